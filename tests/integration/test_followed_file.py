"""Recordings that are still being written: what is there is right, and in the end it is all."""

import numpy as np
import pytest

from hyperspy_sparse import refresh
from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.exceptions import ScanSyncError, Tpx3FormatError
from rsciio_tpx3.frames.event_frames import EventFrames
from rsciio_tpx3.tpx3 import Tpx3Source

QUIET = {"lazy": True, "show_progressbar": False}
NY, NX = 12, 7


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished recording, its bytes, and its truth."""
    path = tmp_path_factory.mktemp("grow") / "scan.tpx3"
    truth = simulate.recording(
        path, (NY, NX), electrons_per_position=60, dwell_time="40 us", chunk_counts=True, disorder="0.1 ms", seed=3
    )
    return path, path.read_bytes(), truth


def _load(path, **options):
    return file_reader(path, **{**QUIET, "navigation_shape": (NX, NY), "follow": True, **options})[0]


def _frames(signal):
    return signal["data"].compute(scheduler="sync")


def _equal(one, other):
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.slow
def test_a_recording_written_in_pieces_of_any_length(tmp_path, finished):
    path, content, truth = finished
    whole = np.asarray(_frames(file_reader(path, navigation_shape=(NX, NY), **QUIET)[0]))
    followed = tmp_path / "followed.tpx3"
    rng = np.random.default_rng(8)
    cuts = np.sort(rng.integers(len(content) // 4, len(content), 12))
    assert len(set(cuts % 8)) > 3
    total = 0
    for cut in [*cuts.tolist(), len(content)]:
        with open(followed, "ab") as file:
            file.write(content[followed.stat().st_size : cut])
        signal = _load(followed)
        frames = np.asarray(_frames(signal))
        assert not signal["metadata"]["Acquisition_instrument"]["TEM"]["Detector"].get("Losses")
        assert frames.sum() >= total
        total = int(frames.sum())
        # each hit stands where it will stand in the end; only the line being written may lack its end mark
        assert (frames <= whole)[: NY - 2].all()
        last = np.flatnonzero(frames.sum(axis=(1, 2, 3)))[-1]
        np.testing.assert_array_equal(frames[: max(last - 2, 0)], whole[: max(last - 2, 0)])
    assert total == truth.counts().sum()
    _equal(_frames(signal), _frames(file_reader(path, navigation_shape=(NX, NY), **QUIET)[0]))


def test_a_signal_still_reads_its_part_while_the_file_grows(tmp_path, finished):
    _, content, _ = finished
    followed = tmp_path / "followed.tpx3"
    followed.write_bytes(content[: len(content) // 2 + 3])
    signal = _load(followed)
    before = _frames(signal)
    with open(followed, "ab") as file:
        file.write(content[len(content) // 2 + 3 :])
    _equal(_frames(signal), before)
    with pytest.raises(Tpx3FormatError, match="changed since it was opened"):
        _frames(_started_anew(followed, content))


def _started_anew(path, content):
    """A signal whose file was replaced by a longer recording of another beginning."""
    path.write_bytes(content[: len(content) // 2])
    signal = _load(path)
    changed = bytearray(content)
    changed[40] ^= 1
    path.write_bytes(changed)
    return signal


def test_another_middle_at_the_old_end_is_noticed(tmp_path, finished):
    _, content, _ = finished
    followed = tmp_path / "followed.tpx3"
    followed.write_bytes(content[: len(content) // 2])
    signal = _load(followed)
    changed = bytearray(content)
    changed[len(content) // 2 - 100] ^= 1
    followed.write_bytes(changed)
    with pytest.raises(Tpx3FormatError, match="changed since it was opened"):
        _frames(signal)


def test_an_unfinished_file_is_damaged_without_follow_and_damage_stays_damage_with_it(tmp_path, finished):
    _, content, _ = finished
    path = tmp_path / "cut.tpx3"
    path.write_bytes(content[:-20])
    with pytest.raises(Tpx3FormatError, match="announces|ends inside a word"):
        _load(path, follow=False)
    path.write_bytes(content[:800] + content[808:-20])
    with pytest.raises(Tpx3FormatError, match="damaged from byte|announces"):
        _load(path)


def test_nothing_written_yet_is_said(tmp_path):
    path = tmp_path / "early.tpx3"
    path.write_bytes(b"")
    with pytest.raises(Tpx3FormatError, match="Nothing was written yet"):
        _load(path)


def test_a_scan_without_an_edge_so_far_is_said(tmp_path, finished):
    _, content, _ = finished
    path = tmp_path / "early.tpx3"
    path.write_bytes(content[:16])
    with pytest.raises(ScanSyncError, match="No trigger edge has come so far.*refresh it again"):
        _load(path)


@pytest.mark.slow
@pytest.mark.parametrize("requested", [{"dwell_time": "5 us"}, {}, {"sync": "pixel-trigger"}])
def test_pixel_triggers_are_followed_from_the_first_pulses_on(tmp_path, requested):
    path, followed = tmp_path / "pixels.tpx3", tmp_path / "followed.tpx3"
    simulate.recording(
        path, (9, 4), n_frames=2, sync="pixel-trigger", dwell_time="5 us", frame_flyback="100 us",
        electrons_per_position=5, layout="single", chunk_time="20 us", disorder="10 us", seed=5,
    )  # fmt: skip
    content = path.read_bytes()
    for shape in ((4, 9, 2), (4, 9)):
        options = {"navigation_shape": shape, "layout": "single", **requested}
        whole = np.asarray(_frames(_load(path, follow=False, **options)))
        loaded = 0
        for cut in [*range(8, len(content), len(content) // 40), len(content)]:
            followed.write_bytes(content[:cut])
            try:
                frames = np.asarray(_frames(_load(followed, **options)))
            except ScanSyncError as error:
                # the advice for lines would be wrong
                assert "edge has come so far" in str(error) or (not requested and 'sync="pixel-trigger"' in str(error))
                assert "navigation_shape=(4," not in str(error) and "skip_lines" not in str(error)
                assert not (requested and loaded)
                continue
            loaded += 1
            frames = frames.reshape(-1, 9, 4, 256, 256)  # one frame so far has no axis of frames
            assert (frames <= whole[: len(frames)]).all()
        assert loaded > (35 if requested else 10)
        np.testing.assert_array_equal(frames, whole)


@pytest.mark.slow
@pytest.mark.parametrize("pause", ["0 us", "100 us", "1 s"])
def test_line_gates_are_followed_over_the_pauses_between_frames(tmp_path, pause):
    path, followed = tmp_path / "gate.tpx3", tmp_path / "followed.tpx3"
    simulate.recording(
        path, (3, 4), n_frames=3, dwell_time="5 us", frame_flyback=pause, electrons_per_position=9, layout="single",
        chunk_time="20 us", disorder="10 us", seed=5,
    )  # fmt: skip
    content = path.read_bytes()
    options = {"navigation_shape": (4, 3, 3), "layout": "single", "sync": "line-gate"}
    whole = np.asarray(_frames(_load(path, follow=False, **options)))
    for cut in [*range(8, len(content), len(content) // 60), len(content)]:
        followed.write_bytes(content[:cut])
        try:
            frames = np.asarray(_frames(_load(followed, **options)))
        except ScanSyncError as error:
            assert "has come so far" in str(error)
            continue
        assert (frames <= whole).all()
    np.testing.assert_array_equal(frames, whole)


def test_what_has_not_come_yet_is_said_and_not_what_else_to_try(tmp_path):
    path, followed = tmp_path / "gate.tpx3", tmp_path / "followed.tpx3"
    simulate.recording(path, (3, 4), dwell_time="50 us", electrons_per_position=9, disorder="0 us", seed=5)
    content = path.read_bytes()
    seen = set()
    for cut in range(8, len(content), 8):
        followed.write_bytes(content[:cut])
        for requested in ({}, {"sync": "line-gate"}, {"tdc": "tdc1-fall", "sync": "line-start", "dwell_time": "50 us"}):
            try:
                _load(followed, **{"navigation_shape": (4, 3), **requested})
            except ScanSyncError as error:
                seen.add(str(error).split("so far")[0].strip())
                assert "load or refresh it again" in str(error) and "record both" not in str(error)
        if len(seen) == 4:
            break
    assert seen == {
        "No trigger edge has come",
        "Only one trigger edge has come",
        'sync="line-gate" needs both edges of an input; no tdc1-fall has come',
        "tdc='tdc1-fall': no such edge",
    }


def test_the_number_of_lines_grows_without_a_shape(tmp_path, finished):
    _, content, _ = finished
    path = tmp_path / "followed.tpx3"
    path.write_bytes(content[: len(content) // 2])
    first = _load(path, navigation_shape=None)["data"].shape[0]
    path.write_bytes(content)
    assert 0 < first < _load(path, navigation_shape=None)["data"].shape[0] == NY


def test_new_pieces_of_an_acquisition_are_found(tmp_path):
    truth = simulate.recording(tmp_path / "all.tpx3", (NY, NX), n_files=3, electrons_per_position=40, seed=3)
    names = [tmp_path / "now" / path.name for path in truth.paths]
    names[0].parent.mkdir()
    counts = []
    for name, path in zip(names, truth.paths):
        content = path.read_bytes()
        name.write_bytes(content[: len(content) // 2 + 5])
        counts.append(int(_frames(_load(names[0], all_parts=True)).data.sum()))
        name.write_bytes(content)
        counts.append(int(_frames(_load(names[0], all_parts=True)).data.sum()))
    assert counts == sorted(counts) and len(set(counts)) == 6
    assert counts[-1] == truth.counts().sum()


def test_refresh_gives_a_new_signal_with_the_rest(tmp_path, finished):
    hs = pytest.importorskip("hyperspy.api")

    _, content, truth = finished
    path = tmp_path / "followed.tpx3"
    path.write_bytes(content[: len(content) // 2 + 5])
    signal = hs.load(path, navigation_shape=(NX, NY), follow=True, lazy=True)
    part = int(signal.data.sum().compute())
    signal.axes_manager[0].scale, signal.axes_manager[0].units = 0.25, "nm"
    signal.metadata.set_item("Acquisition_instrument.TEM.beam_energy", 200.0)
    path.write_bytes(content)
    later = refresh(signal)
    assert type(later) is type(signal)
    assert int(later.data.sum().compute()) == truth.counts().sum() == int(later.navigator.data.sum())
    assert (later.axes_manager[0].scale, later.axes_manager[0].units) == (0.25, "nm")
    assert later.metadata.Acquisition_instrument.TEM.beam_energy == 200.0
    assert later.metadata.Acquisition_instrument.TEM.Scan.lines_placed == NY
    assert int(signal.data.sum().compute()) == part
    assert int(refresh(later).data.sum().compute()) == truth.counts().sum()
    with pytest.raises(ValueError, match="follow=True"):
        refresh(hs.load(path, navigation_shape=(NX, NY), lazy=True))


def test_nothing_of_a_followed_file_is_cached(tmp_path, finished, monkeypatch):
    monkeypatch.setenv("RSCIIO_TPX3_CACHE", str(tmp_path / "cache"))
    _load(finished[0], cache=True)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("bins", [4, {"over": "recording", "number": 5}])
def test_refresh_keeps_what_was_changed_and_takes_the_rest_anew(tmp_path, bins):
    hs = pytest.importorskip("hyperspy.api")

    path = tmp_path / "followed.tpx3"
    simulate.recording(path, (6, 5), n_frames=3, electrons_per_position=60, dwell_time="40 us", seed=3)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 5])  # within the first frame
    options = {"navigation_shape": (5, 6), "time_bins": bins, "lazy": True}
    signal = hs.load(path, follow=True, **options)
    signal.axes_manager["x"].scale = 0.25
    signal.axes_manager["y"].name = "slow"
    path.write_bytes(content)
    expected = hs.load(path, **options)
    later = refresh(refresh(signal))
    assert len(later.axes_manager._axes) - len(signal.axes_manager._axes) == (bins == 4)  # the axis of frames
    expected.axes_manager["x"].scale = 0.25
    expected.axes_manager["y"].name = "slow"
    for axis, other in zip(later.axes_manager._axes, expected.axes_manager._axes, strict=True):
        for name in ("name", "size", "scale", "offset", "units"):
            assert getattr(axis, name) == getattr(other, name)


def test_refresh_forgets_losses_that_were_none(tmp_path):
    hs = pytest.importorskip("hyperspy.api")

    path = tmp_path / "followed.tpx3"
    simulate.recording(
        path, (6, 5), electrons_per_position=60, dwell_time="400 us", chunk_counts=True, swapped_chunks=0.3,
        disorder="1.6 ms", seed=3,
    )  # fmt: skip
    content = path.read_bytes()
    detector = "Acquisition_instrument.TEM.Detector"
    for share in np.linspace(0.3, 0.6, 40):  # until the end comes before a chunk that is late
        path.write_bytes(content[: int(share * len(content))])
        if Tpx3Source(path, follow=True).index().losses:
            break
    signal = hs.load(path, navigation_shape=(5, 6), follow=True, lazy=True)
    assert signal.metadata.has_item(f"{detector}.Losses.chunks_lost")
    signal.metadata.set_item(f"{detector}.Losses.seen_by", "me")
    path.write_bytes(content)
    later = refresh(signal)
    assert later.metadata.get_item(f"{detector}.Losses").as_dictionary() == {"seen_by": "me"}


def test_loading_again_counts_what_is_new_alone(tmp_path, finished, monkeypatch):
    path, content, _ = finished
    followed, counted = tmp_path / "followed.tpx3", []
    original = EventFrames._count_into

    def count_into(self, counts, outside, pieces, *rest):
        counted.append(sum(b - a for a, b in pieces))
        original(self, counts, outside, pieces, *rest)

    monkeypatch.setattr(EventFrames, "_count_into", count_into)
    for share in np.linspace(0.4, 1, 9):
        followed.write_bytes(content[: int(share * len(content))])
        navigator = _frames(_load(followed)).sum(axis=(-1, -2))
        signal = _load(followed)  # and once more, with nothing new
        np.testing.assert_array_equal(_frames(signal).sum(axis=(-1, -2)), navigator)
        scan = signal["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]
        assert scan["hits_placed"] == navigator.sum()
    assert counted[-2] == 0
    whole = file_reader(path, navigation_shape=(NX, NY), **QUIET)[0]["metadata"]["Acquisition_instrument"]["TEM"][
        "Scan"
    ]
    assert (scan["hits_placed"], scan.get("Hits_outside")) == (whole["hits_placed"], whole.get("Hits_outside"))
