"""Where the oldest frames of a scan are held as their sum alone, everything that is shown stays what it was."""

import numpy as np
import pytest

from rsciio_tpx3 import simulate
from rsciio_tpx3.exceptions import LimitError
from rsciio_tpx3.live import followed_scan
from rsciio_tpx3.live import following as module
from rsciio_tpx3.live.following import Following
from rsciio_tpx3.tpx3 import follow

NY, NX = 5, 4
BASIC = {"electrons_per_position": 8, "dwell_time": "40 us", "chunk_counts": True, "disorder": "0.3 ms", "n_frames": 9}
TRIGGER = {"sync": "frame-trigger", "line_flyback": "12 us"}
CLOCK = {"sync": "shared-clock", "line_flyback": "12 us"}
# options of the recording, and of reading it
KINDS = {
    "line-gate": ({}, {}),
    "only counts": ({}, {"only_counts": True}),
    "line-gate, serpentine": ({"pattern": "serpentine"}, {"pattern": "serpentine"}),
    "lost edges": ({"missing_edges": [5, 16, 31], "invalid_edges": [9, 22]}, {}),
    "lost and swapped chunks": ({"lost_chunks": 0.1, "swapped_chunks": 0.1}, {}),
    "clock reset": ({"stale_start": True, "global_time": "1 ms"}, {}),
    "late hits": ({"late_chunks": (8, 25, 60, 110)}, {"disorder": "1 us"}),
    "line-start": ({"sync": "line-start"}, {"dwell_time": "40 us"}),
    "frame-trigger": (TRIGGER, {"dwell_time": "40 us", **TRIGGER}),
    "shared-clock": ({**CLOCK, "frame_flyback": "0 us"}, {"dwell_time": "40 us", **CLOCK}),
    "a hundred frames": ({"n_frames": 100}, {}),
}
SOME = [pytest.param(name, marks=[pytest.mark.slow] * (number > 1)) for number, name in enumerate(KINDS)]


def _recording(folder, name, seed=0):
    of_recording, options = KINDS[name]
    path, about = folder / "sent.tpx3", {**BASIC, **of_recording}
    late = about.pop("late_chunks", ())
    simulate.recording(path, (NY, NX), seed=6, **about)
    content = _with_late_chunks(path.read_bytes(), late, seed)
    return content, {"navigation_shape": (NX, NY), "layout": "quad", **options}


def _with_late_chunks(content, late, seed):
    """A stream in which chunks come so many chunks later than they should."""
    sizes, at = [], 0
    while at < len(content):
        sizes.append(8 + int.from_bytes(content[at + 6 : at + 8], "little"))
        at += sizes[-1]
    rng, begins, order = np.random.default_rng(seed), np.cumsum([0, *sizes]), np.arange(len(sizes), dtype=float)
    for n in late:
        order[rng.integers(len(sizes) // 8, len(sizes) - n - 2)] += n + 0.5
    return b"".join(content[begins[i] : begins[i + 1]] for i in np.argsort(order))


def _shown(following):
    """All that is shown of a recording, for each choice of frames."""
    if following.scan is None or following.sums is None:
        return {}
    found = {"state": (following.lines_drawn, following.lines_final, following.late_hits, following.withdrawn)}
    if not following.sums.only_counts:
        found["pattern"] = following.sum_pattern()
    for frame in ("latest", "running", "complete", "sum"):
        found["counts", frame] = following.counts(frame)
        if not following.sums.only_counts:
            found["centre of mass", frame] = following.center_of_mass(frame)
            for number in range(2):
                found["detector", number, frame] = following.virtual_image(number, frame)
    return found


def _disk(rng):
    y, x = np.indices((512, 512))
    centre = rng.uniform(100, 400, 2)
    return np.hypot(y - centre[0], x - centre[1]) < rng.uniform(50, 250)


def _followed_both(content, options, folder, monkeypatch, seed):
    """Compare two that follow one file, of which one has two frames at most and long blocks, after each piece."""
    monkeypatch.setattr(followed_scan, "_LONG", np.inf)  # on a busy machine, one of them would wait and not the other
    rng = np.random.default_rng(seed)
    path = folder / "recorded.tpx3"
    path.write_bytes(b"")
    both = [Following(path, **options) for _ in range(2)]
    cuts = np.sort(rng.integers(0, len(content), 30)).tolist()
    for step, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(content)])):
        with open(path, "ab") as file:
            file.write(content[start:stop])
        mask, number = _disk(rng), int(rng.integers(2))
        shown = []
        for following, n_bytes, bits in zip(both, (0, 1 << 40), (0, 40)):
            monkeypatch.setattr(module, "SINGLE_BYTES", n_bytes)
            monkeypatch.setattr(follow, "_BLOCKS_BITS", bits)
            if not options.get("only_counts"):
                if step < 2:
                    following.add_detector(mask)
                elif step % 5 == 0:
                    following.move_detector(number, mask)
            following.update(ended=stop == len(content))
            shown.append(_shown(following) if step > 1 else {})
        few, all_of_them = shown
        assert few.keys() == all_of_them.keys()
        for name, expected in all_of_them.items():
            np.testing.assert_array_equal(few[name], expected, err_msg=str(name))
    assert both[1].sums.first == 0
    return both[0]


@pytest.mark.parametrize("name", SOME)
def test_what_is_shown_is_the_same(name, tmp_path, monkeypatch):
    content, options = _recording(tmp_path, name)
    following = _followed_both(content, options, tmp_path, monkeypatch, 1)
    n_frames = following.nav_shape[0]
    assert n_frames >= 9 and following.frame == n_frames - 1
    older = following.sums.first // (NY * NX)
    assert n_frames - 2 - n_frames // 20 <= older <= n_frames - 2  # and those that the last piece brought
    assert following.sums.n_positions == n_frames * NY * NX
    with pytest.raises(LimitError, match=rf"Of {n_frames} frames the first {older} are held as their sum alone"):
        following.counts()
    assert following.final.shape == following.nav_shape


COME_BACK = [*(("late hits", n) for n in (0, 2, 11, 13, 15)), *(("lost edges", n) for n in (1, 2, 4, 5))]


@pytest.mark.parametrize(
    ("name", "seed"), [pytest.param(*one, marks=[pytest.mark.slow] * (n > 0)) for n, one in enumerate(COME_BACK)]
)
def test_frames_that_come_back_are_drawn_anew(tmp_path, monkeypatch, name, seed):
    """Where later edges say that fewer frames have gone by, the last two are among those that were added up."""
    content, options = _recording(tmp_path, name, seed)
    rng, real = np.random.default_rng(seed), module.running_frame
    monkeypatch.setattr(module, "running_frame", lambda *of: max(real(*of) - int(rng.integers(4)), 0))
    again, clear = [], module.Sums.clear
    monkeypatch.setattr(module.Sums, "clear", lambda self: again.append(1) or clear(self))
    _followed_both(content, options, tmp_path, monkeypatch, seed)
    assert len(again) > 0


@pytest.mark.parametrize("name", ["late hits", pytest.param("lost edges", marks=pytest.mark.slow)])
def test_a_detector_that_is_moved_sees_what_is_drawn(tmp_path, name):
    """Also where late hits have come that are not drawn yet: they are added once."""
    content, options = _recording(tmp_path, name)
    path = tmp_path / "recorded.tpx3"
    path.write_bytes(b"")
    following = Following(path, **options)
    following.add_detector(np.ones((512, 512), bool))
    cuts = np.sort(np.random.default_rng(0).integers(0, len(content), 30)).tolist()
    for start, stop in zip([0, *cuts], [*cuts, len(content)]):
        with open(path, "ab") as file:
            file.write(content[start:stop])
        following.move_detector(0, np.ones((512, 512), bool))
        following.update(ended=stop == len(content))
        following.move_detector(0, np.ones((512, 512), bool))
        if following.sums is not None and following.scan is not None:
            np.testing.assert_array_equal(following.virtual_image(0, "sum"), following.counts("sum"))
    assert following.finished and (following.late_hits > 0) == (name == "late hits")


def test_blocks_of_a_long_recording_are_longer():
    """So that their table, which stays in memory, hardly grows: a few MiB of a recording of hundreds of GB."""
    words, n = 0, 0
    for _ in range(200_000):
        words, n = words + follow.block_words(words), n + 1
    assert 8 * words > 120e9 and 64 * n < 15e6
    assert [follow.block_words(1 << bits) for bits in (0, 20, 27, 28, 29, 30, 31, 40)] == [
        *[1 << 13] * 3, *[1 << bits for bits in (14, 15, 16, 17, 17)]
    ]  # fmt: skip
