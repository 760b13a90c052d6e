"""What is drawn while a recording grows is what the finished file has; what is called final never changes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.live import line_rows, watermark
from rsciio_tpx3.live.chunk_times import chunk_times
from rsciio_tpx3.live.following import Following
from rsciio_tpx3.live.integrated import integrated
from rsciio_tpx3.live.sums import Sums

NY, NX = 13, 7
BASIC = {"electrons_per_position": 25, "dwell_time": "40 us", "chunk_counts": True, "disorder": "0.3 ms"}
DWELL = {"dwell_time": "40 us"}
PERIODIC = {**DWELL, "sync": "periodic-line"}
TRIGGER = {"sync": "frame-trigger", "line_flyback": "12 us"}
CLOCK = {"sync": "shared-clock", "line_flyback": "12 us"}
KINDS = {
    "line-gate": ({}, {}),
    "line-gate, three frames": ({"n_frames": 3}, {}),
    "line-gate, serpentine": ({"pattern": "serpentine", "edge_chips": (0, 1, 2, 3)}, {"pattern": "serpentine"}),
    "line-gate, lost edges": ({"missing_edges": [5, 16], "invalid_edges": [9], "n_frames": 2}, {}),
    "line-gate, lost and swapped chunks": ({"lost_chunks": 0.1, "swapped_chunks": 0.1, "n_frames": 3}, {}),
    "line-gate, global time, clock reset": ({"stale_start": True, "global_time": "1 ms"}, {}),
    "line-start": ({"sync": "line-start", "n_frames": 2}, DWELL),
    "line-start, active fraction": ({"sync": "line-start"}, {"active_fraction": 0.8}),
    "periodic-line": ({"sync": "periodic-line", "edge_jitter": "0.1 us", "n_frames": 2}, PERIODIC),
    "pixel-trigger": ({"sync": "pixel-trigger", "n_frames": 2}, {"sync": "pixel-trigger"}),
    "frame-trigger": ({**TRIGGER, "n_frames": 3}, {**DWELL, **TRIGGER}),
    "shared-clock": ({**CLOCK, "n_frames": 3, "frame_flyback": "0 us"}, {**DWELL, **CLOCK}),
    "frames added up": ({"n_frames": 3}, {"frames": "sum"}),
    "frames over time": ({}, {"signal": "frames", "frame_time": "1 ms"}),
    "delay": ({"scan_delay": "30 us"}, {"scan_delay": "30 us"}),
}  # fmt: skip
FINAL = {"line-gate, three frames", "line-start", "pixel-trigger", "frame-trigger", "shared-clock", "frames over time"}


class Rows:
    """Keeps the rows of lines, as an accumulator of phases would add them up."""

    def __init__(self):
        self.lines = []

    def add(self, rows):
        self.lines.append(rows)

    def clear(self):
        self.lines.clear()


@pytest.fixture(scope="module", params=list(KINDS))
def case(request, tmp_path_factory):
    """Bytes of a recording, options to load it, and the finished signal in plain arrays."""
    path = tmp_path_factory.mktemp("follow") / "scan.tpx3"
    of_recording, of_reader = KINDS[request.param]
    simulate.recording(path, (NY, NX), seed=6, **{**BASIC, **of_recording})
    options = dict(of_reader)
    if options.get("signal") != "frames":
        options["navigation_shape"] = (NX, NY)
    return request.param, path, options, Expected(path, options)


class Expected:
    """The finished signal, and what is added up of it, by plain NumPy."""

    def __init__(self, path, options):
        self.signal = file_reader(path, lazy=False, show_progressbar=False, **options)[0]
        frames = self.signal["data"].compute(scheduler="sync")
        self.shape = frames.shape[:-2]
        self.frames = frames.reshape((-1, *frames.shape[-2:]))
        row = np.repeat(np.arange(len(self.frames)), np.diff(self.frames.indptr))
        y, x = np.divmod(self.frames.indices, self.frames.shape[-1])
        inside = _mask(self.frames.shape[-2:])[y, x]
        columns = [np.ones_like(x), y, x, inside]
        weights = self.frames.data.astype(np.int64)
        sums = [np.bincount(row, weights * column, len(self.frames)) for column in columns]
        self.sums = np.stack(sums, axis=1).astype(np.int64)
        self.pattern = np.asarray(self.frames.sum(axis=0))

    @property
    def losses(self):
        return self.signal["metadata"]["Acquisition_instrument"]["TEM"]["Detector"].get("Losses", {})


def _mask(shape):
    y, x = np.indices(shape)
    return np.hypot(y - shape[0] * 0.4, x - shape[1] * 0.55) < shape[0] / 5


def _grow(path, content, cuts, options, tmp, rows=None):
    """A `Following` after each cut of the file, and at the end."""
    recorded = tmp / "recorded.tpx3"
    recorded.write_bytes(b"")
    following = Following(recorded, **options)
    if rows is not None:
        following.plug(rows)
    following.add_detector(_mask((512, 512)))
    for cut in cuts:
        with open(recorded, "ab") as file:
            file.write(content[recorded.stat().st_size : cut])
        following.update()
        yield following
    with open(recorded, "ab") as file:
        file.write(content[recorded.stat().st_size :])
    following.update(ended=True)
    yield following


def _sums(following):
    columns = [following.counts()[..., None], following.sums.moments.held, following.virtual_image(0)[..., None]]
    return np.concatenate([column.reshape(-1, column.shape[-1]) for column in columns], axis=1)


def _check(following, expected):
    """Compare positions that are final with those of the finished file; how many there are."""
    if following.scan is None or following.sums is None:
        return 0
    final = np.flatnonzero(following.final.ravel())
    assert final.max(initial=-1) < len(expected.sums)
    np.testing.assert_array_equal(_sums(following)[final], expected.sums[final])
    return len(final)


def _check_end(following, expected):
    assert following.finished
    assert following.withdrawn == 0
    np.testing.assert_array_equal(_sums(following), expected.sums)
    assert following.counts().size == np.prod(expected.shape)
    np.testing.assert_array_equal(following.sum_pattern(), expected.pattern)
    assert {k: v for k, v in following.losses.items() if k != "late_hits"} == expected.losses
    before_reset = following.losses.get("hits_before_reset", 0)
    assert following.counts().sum() + following.sums.outside == sum(following.hits.values()) - before_reset


@pytest.mark.slow
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_final_lines_are_those_of_the_finished_file(case, tmp_path_factory, data):
    name, path, options, expected = case
    content = path.read_bytes()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), min_size=2, max_size=25)))
    rows = Rows() if name not in ("frames over time", "frames added up") else None
    known, following = 0, None
    for following in _grow(path, content, cuts, options, tmp_path_factory.mktemp("cuts"), rows):
        now = _check(following, expected)
        assert now >= known
        known = now
        assert following.late_hits == 0
    _check_end(following, expected)
    if rows is not None:
        _check_rows(rows, expected.frames)


def _check_rows(rows, frames):
    """Every line that was handed out is that of the file, and no line came twice."""
    starts = [one.start for one in rows.lines]
    assert len(starts) == len(set(starts))
    for one in rows.lines:
        np.testing.assert_array_equal(np.asarray(one.frames), np.asarray(frames[one.start : one.stop]))
    assert sum(one.frames.data.sum() for one in rows.lines) == frames.data.sum()


@pytest.mark.slow
def test_lines_appear_while_the_recording_grows(case, tmp_path):
    name, path, options, expected = case
    content = path.read_bytes()
    cuts = np.linspace(0, len(content), 40).astype(int)
    drawn, final = [], []
    for following in _grow(path, content, cuts, options, tmp_path):
        drawn.append(following.lines_drawn)
        final.append(_check(following, expected))
    assert drawn == sorted(drawn) or "lost edges" in name  # a line that was put back moves those behind it
    n_lines = following.lines_drawn
    # all conventions show lines soon; those that can tell also which are final
    assert sum(0.2 * n_lines < n < 0.8 * n_lines for n in drawn) > 6
    if name in FINAL:
        assert max(final[:-1]) > 0


def test_one_byte_at_a_time(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(
        path,
        (3, 2),
        electrons_per_position=4,
        dwell_time="40 us",
        n_frames=2,
        layout="single",
        disorder="20 us",
        seed=2,
    )
    options = {"navigation_shape": (2, 3)}
    expected = Expected(path, options)
    content = path.read_bytes()
    recorded = tmp_path / "recorded.tpx3"
    recorded.write_bytes(b"")
    following = Following(recorded, **options)
    with open(recorded, "ab", buffering=0) as file:
        for byte in content:
            file.write(bytes([byte]))
            following.update()
    following.update(ended=True)
    np.testing.assert_array_equal(following.counts().ravel(), expected.sums[:, 0])
    assert following.withdrawn == 0


def test_hits_later_than_allowed_are_counted_and_added(tmp_path, monkeypatch):
    monkeypatch.setattr(watermark, "_MOST_DISORDER", 0)  # or what is seen would be allowed
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (NY, NX), **{**BASIC, "disorder": "0.9 ms"}, seed=2)
    options = {"navigation_shape": (NX, NY), "disorder": "1 us"}
    content = path.read_bytes()
    cuts = np.linspace(0, len(content), 300).astype(int)
    *_, following = _grow(path, content, cuts, options, tmp_path)
    del options["disorder"]
    expected = Expected(path, options)
    assert following.late_hits > 0
    assert following.losses["late_hits"] == following.late_hits
    assert max(following.disorder.values()) == pytest.approx(0.9e-3, rel=0.2)
    np.testing.assert_array_equal(following.counts().ravel(), expected.sums[:, 0])


def test_a_silent_chip_is_excluded_with_a_note_and_comes_back(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (NY, NX), electrons_per_position=60, dwell_time="40 ms", chunk_time="5 ms", seed=2)
    content = path.read_bytes()
    start = chunk_times(path).start
    of_chip = [content[a + 4] for a in start[:-1]]
    late = [i for i, chip in enumerate(of_chip) if chip == 2][5:]
    in_time = [i for i in range(len(of_chip)) if i not in set(late)]
    parts = [content[start[i] : start[i + 1]] for i in in_time]
    recorded = tmp_path / "recorded.tpx3"
    recorded.write_bytes(b"".join(parts))
    following = Following(recorded, navigation_shape=(NX, NY))
    following.update()
    assert "chip 2 has sent nothing for more than a second" in following.notes[0]
    assert following.lines_drawn > NY // 2
    with open(recorded, "ab") as file:
        file.write(b"".join(content[start[i] : start[i + 1]] for i in late))
    following.update(ended=True)
    assert following.late_hits > 0
    expected = Expected(path, {"navigation_shape": (NX, NY)})
    np.testing.assert_array_equal(following.counts().ravel(), expected.sums[:, 0])


def test_detectors_may_be_moved_while_it_runs(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (NY, NX), **BASIC, seed=2, n_frames=2)
    content = path.read_bytes()
    expected = Expected(path, {"navigation_shape": (NX, NY)})
    recorded = tmp_path / "recorded.tpx3"
    recorded.write_bytes(content[: len(content) // 3])
    following = Following(recorded, navigation_shape=(NX, NY))
    first = following.add_detector(np.ones((512, 512), bool))
    following.update()
    second = following.add_detector(_mask((512, 512)))
    np.testing.assert_array_equal(following.virtual_image(first), following.counts())
    assert 0 < following.virtual_image(second).sum() < following.counts().sum()
    recorded.write_bytes(content[: len(content) // 2])
    following.update()
    following.move_detector(first, ~_mask((512, 512)))
    both = following.virtual_image(first) + following.virtual_image(second)
    np.testing.assert_array_equal(both, following.counts())
    recorded.write_bytes(content)
    following.update(ended=True)
    np.testing.assert_array_equal(following.virtual_image(second).ravel(), expected.sums[:, 3])
    assert following.frame == 1
    with pytest.raises(ValueError, match=r"mask of shape \(3, 3\), the detector is \(512, 512\)"):
        following.add_detector(np.ones((3, 3), bool))


def test_what_cannot_be_followed_is_said(tmp_path):
    with pytest.raises(ValueError, match="navigation_shape="):
        Following(tmp_path / "a.tpx3")
    with pytest.raises(ValueError, match="'cluster' is not an option of a live view"):
        Following(tmp_path / "a.tpx3", navigation_shape=(2, 3), cluster=True)
    with pytest.raises(ValueError, match="number of frames"):
        Following(tmp_path / "a.tpx3", navigation_shape=(2, 3, 4))
    following = Following(tmp_path / "a.tpx3", navigation_shape=(2, 3))
    assert not following.update()
    with pytest.raises(ScanSyncError, match="nothing has come yet"):
        following.counts()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["line-gate, three frames", "pixel-trigger"])
def test_an_accumulator_gets_all_lines_whenever_it_is_plugged_in(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(line_rows, "_MOST_SECONDS", 0.0)  # one line in each step
    path = tmp_path / "scan.tpx3"
    of_recording, of_reader = KINDS[kind]
    simulate.recording(path, (NY, NX), seed=6, **{**BASIC, **of_recording})
    options = {**of_reader, "navigation_shape": (NX, NY)}
    expected, content = Expected(path, options), path.read_bytes()
    recorded = tmp_path / "recorded.tpx3"
    recorded.write_bytes(content[: int(0.8 * len(content))])
    following = Following(recorded, **options)
    following.update()
    middle, last = Rows(), Rows()
    following.plug(middle)
    following.update()
    assert len(middle.lines) == 1
    while following._plugged[0].behind:
        assert following.update()  # nothing has come, and lines are handed out all the same
    assert not following.update()
    assert len(middle.lines) > NY
    recorded.write_bytes(content)
    following.update(ended=True)
    following.plug(last)
    for rows in (middle, last):
        _check_rows(rows, expected.frames)


def test_an_accumulator_that_fails_is_excluded_with_a_note(tmp_path):
    class Failing:
        def add(self, rows):
            raise ZeroDivisionError

    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (NY, NX), **BASIC, seed=2)
    following, rows = Following(path, navigation_shape=(NX, NY)), Rows()
    following.plug(Failing())
    following.plug(rows)
    following.update(ended=True)
    assert "Failing gets no more lines" in following.notes[-1]
    _check_rows(rows, Expected(path, {"navigation_shape": (NX, NY)}).frames)
    following.unplug(rows)
    assert [handing.accumulator for handing in following._plugged if handing.accumulator is rows] == []


def test_surface_of_the_centre_of_mass(tmp_path):
    rng = np.random.default_rng(1)
    surface = rng.normal(size=(12, 9))
    fy, fx = np.meshgrid(np.fft.fftfreq(12), np.fft.fftfreq(9), indexing="ij")
    transform = np.where(np.abs(fy) == 0.5, 0, np.fft.fft2(surface))
    transform[0, 0] = 0
    surface = np.fft.ifft2(transform).real
    slope = np.stack([np.fft.ifft2(2j * np.pi * f * transform).real for f in (fx, fy)], axis=-1)
    np.testing.assert_allclose(integrated(slope + [3.0, -4.0]), surface, atol=1e-12)
    # a detector that is mirrored and turned sees other directions of the same slope
    x, y, turn = slope[..., 0], slope[..., 1], np.radians(30)
    seen = np.stack([np.cos(turn) * x - np.sin(turn) * y, -(np.cos(turn) * y + np.sin(turn) * x)], axis=-1)
    np.testing.assert_allclose(integrated(seen, 30.0, True), surface, atol=1e-12)
    assert not integrated(np.full((3, 4, 2), np.nan)).any()
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (NY, NX), **{**BASIC, "electrons_per_position": 200}, seed=2, n_frames=2)
    following = Following(path, navigation_shape=(NX, NY))
    following.update(ended=True)
    com = following.center_of_mass()
    np.testing.assert_array_equal(following.integrated_center_of_mass("running"), integrated(com[1]))
    both = following.integrated_center_of_mass("sum")
    counts = following.counts()[..., None]
    np.testing.assert_allclose(both, integrated((com * counts).sum(axis=0) / counts.sum(axis=0)), atol=1e-9)


@pytest.mark.slow
def test_a_hundred_frames(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (5, 4), **{**BASIC, "electrons_per_position": 8}, n_frames=100, seed=3)
    options = {"navigation_shape": (4, 5)}
    expected = Expected(path, options)
    assert expected.shape == (100, 5, 4)
    content, rows, known = path.read_bytes(), Rows(), 0
    cuts = np.linspace(0, len(content), 23).astype(int)[:-1]
    for following in _grow(path, content, cuts, options, tmp_path, rows):
        now = _check(following, expected)
        assert now >= known
        known = now
    _check_end(following, expected)
    _check_rows(rows, expected.frames)
    assert following.frame == 99
    np.testing.assert_array_equal(following.frame_of(following.counts(), "sum").ravel(),
                                  expected.sums[:, 0].reshape(100, 20).sum(axis=0))  # fmt: skip


@pytest.mark.slow
def test_a_refresh_costs_what_is_new_whatever_is_there(tmp_path, monkeypatch):
    """Words that are looked at, hits that are decoded, and bytes of state beyond the tables, of pieces of one size."""
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (NY, NX), **{**BASIC, "electrons_per_position": 60}, n_frames=60, seed=3)
    content = path.read_bytes()
    recorded = tmp_path / "recorded.tpx3"
    recorded.write_bytes(b"")
    following = Following(recorded, navigation_shape=(NX, NY), layout="quad")
    looked, added = [], []
    look, add = watermark.Watermark.look, Sums.add_all

    def looking(self, words, base):
        looked.append(len(words))
        look(self, words, base)

    monkeypatch.setattr(watermark.Watermark, "look", looking)

    def counted(self, parts, scan, sign=1, only=None):
        parts = [list(map(_copied, part)) for part in parts]
        added.append(sum(len(hits) for part in parts for hits in part))
        add(self, parts, scan, sign, only)

    monkeypatch.setattr(Sums, "add_all", counted)
    cuts = np.linspace(0, len(content), 31).astype(int)
    words, hits = [], []
    for start, stop in zip(cuts[:-1], cuts[1:]):
        with open(recorded, "ab") as file:
            file.write(content[start:stop])
        looked.clear(), added.clear()
        following.update()
        words.append(sum(looked))
        hits.append(sum(added))
    assert max(words) <= 1.01 * max(words[:5]) and sum(words) == len(content) // 8
    # some blocks of 64 kB are decoded twice, at the border of what is drawn
    assert max(hits[10:]) < 8 * 8192 + 3 * max(words)
    assert following.sums.nbytes < 8 * 8 * following.sums.n_positions + 4 * 20 * 512 * 512 + 1
    # an entry for each block, and one for each edge and each of its copies
    assert len(following._pass.blocks) < len(content) / 8 / 8192 * 4 + 400


def _copied(hits):
    return replace(hits, words=hits.words.copy())


@pytest.mark.parametrize(
    "options", [{"layout": "wrong"}, {"orientation": "sideways"}, {"gap": -3}, {"layout": "single", "gap": 3}]
)
def test_a_detector_that_cannot_be_is_refused_before_hits_come(options):
    with pytest.raises(ValueError, match=f"{list(options)[-1]}="):
        Following("not_there.tpx3", navigation_shape=(7, 9), **options)
