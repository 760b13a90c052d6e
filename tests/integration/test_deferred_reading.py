"""A recording whose array is fully described is read at the first computation, and then it is like any other."""

import os
import pickle

import dask
import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.convert import convert
from rsciio_tpx3.exceptions import ScanSyncError, Tpx3FormatError
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.deferred import DeferredFrames
from rsciio_tpx3.frames.event_frames import EventFrames
from rsciio_tpx3.reader import deferred
from rsciio_tpx3.t3pa.source import AdvacamSource
from rsciio_tpx3.tpx3.packets import encode_header, encode_hits

pytestmark = pytest.mark.slow  # half a second per test, and starts a cluster

NY, NX, FRAMES = 11, 7, 3
KNOWN = {"navigation_shape": (NX, NY, FRAMES), "layout": "quad", "dwell_time": "20 us"}
QUIET = {"lazy": True, "show_progressbar": False, "cache": False}
NOT_READ = "Acquisition_instrument.TEM.Detector.not_read_yet"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("deferred") / "scan.tpx3"
    simulate.recording(path, (NY, NX), n_frames=FRAMES, dwell_time="20 us", electrons_per_position=30, seed=3)
    return path


def _read_at_once(path, **options):
    """The same, but for the layout, which is then found."""
    return hs.load(path, **{**QUIET, **KNOWN, "layout": None, **options})


def _dense(signal):
    return np.asarray(signal.data.compute(scheduler="sync"))


def test_what_is_known_in_full_is_not_read(path, reads):
    s = hs.load(path, **QUIET, **KNOWN)
    assert isinstance(source_of(s.data), DeferredFrames) and reads == []
    assert s.axes_manager.shape == (NX, NY, FRAMES, 512, 512)
    part, total = s.inav[2:5, :, 1], s.data.sum(axis=(0, 1, 2))
    assert repr(s) and repr(part) and reads == []
    assert s.metadata.get_item(NOT_READ) is True
    total.compute()
    assert reads


@pytest.mark.parametrize(
    "omitted",
    [
        {"layout": None},
        {"dwell_time": None},
        {"navigation_shape": None},
        {"navigation_shape": (NX, NY)},
        {"frames": "sum"},
        {"frames": [0, 2]},
        {"time_bins": 2},
        {"corrections": {"mask": np.eye(512, dtype=bool)}},
        {"follow": True},
        {"lazy": False},
    ],
    ids=lambda options: " ".join(map(str, options)),
)
def test_what_is_not_known_is_found_at_once(path, reads, omitted):
    s = hs.load(path, **{**QUIET, **KNOWN, **omitted})
    assert reads and not s.metadata.has_item(NOT_READ) and s.metadata.has_item("Acquisition_instrument.TEM.Scan.sync")


@pytest.mark.parametrize(
    "requested",
    [
        {},
        {"navigation_shape": (NX, NY), "frames": 2},
        {"dwell_time": None, "dtype": "uint16"},
        {"gap": 4, "orientation": "left_mirrored"},
        {"cluster": {"position": "centroid", "upsample": 2}},
        {"values": "tot", "chunks": 4},
        {"all_parts": True, "on_loss": "warn"},
    ],
    ids=lambda options: " ".join(options) or "plain",
)
def test_the_first_computation_makes_it_equal_to_one_read_at_once(path, tmp_path, requested):
    if "all_parts" in requested:
        simulate.recording(tmp_path / "part_000.tpx3", (NY, NX), n_frames=FRAMES, dwell_time="20 us", n_files=2)
        path = sorted(tmp_path.glob("part_*.tpx3"))[0]
    expected = _read_at_once(path, **requested)
    s = hs.load(path, **{**QUIET, **KNOWN, **requested})
    assert s.metadata.has_item(NOT_READ)
    assert s.data.dtype == expected.data.dtype
    np.testing.assert_array_equal(_dense(s), _dense(expected))
    assert s.axes_manager.as_dictionary() == expected.axes_manager.as_dictionary()
    np.testing.assert_equal(_without_time(s), _without_time(expected))
    np.testing.assert_equal(s.original_metadata.as_dictionary(), expected.original_metadata.as_dictionary())
    np.testing.assert_array_equal(s.navigator.data, expected.navigator.data)
    assert isinstance(source_of(s.data), EventFrames)


def _without_time(signal):
    tree = signal.metadata.as_dictionary()
    del tree["General"]["FileIO"]
    tree.pop("Shifts", None)  # holds axes, which equal themselves only
    return tree


def test_a_user_s_own_metadata_stay(path):
    s = hs.load(path, **QUIET, **KNOWN, metadata={"camera_length": "100 mm"})
    s.metadata.General.title = "mine"
    s.metadata.set_item("Acquisition_instrument.TEM.Scan.sync", "by hand")
    s.axes_manager[0].scale = 0.25
    hyperspy_sparse.read_recording(s)
    scan = s.metadata.Acquisition_instrument.TEM.Scan
    assert (s.metadata.General.title, scan.sync, s.axes_manager[0].scale) == ("mine", "by hand", 0.25)
    assert s.metadata.Acquisition_instrument.TEM.camera_length == 0.1
    assert scan.lines_found == NY * FRAMES


def test_results_carry_the_summary_of_the_recording(path):
    expected = _read_at_once(path)
    roi = hs.roi.CircleROI(256, 256, 60)
    for analysis in (
        lambda s: s.get_direct_beam_position(method="center_of_mass", lazy_output=True),
        lambda s: s.get_integrated_intensity(roi),
        lambda s: s.sum(axis=(0, 1, 2)),
        lambda s: s.inav[1:4, 2:9].sum(axis=(0, 1, 2)),
    ):
        found = analysis(hs.load(path, **QUIET, **KNOWN))
        scan = found.metadata.Acquisition_instrument.TEM.Scan
        assert scan.hits_placed == expected.metadata.Acquisition_instrument.TEM.Scan.hits_placed
        np.testing.assert_array_equal(np.asarray(found.data), np.asarray(analysis(expected).data))


@pytest.mark.parametrize(
    "step",
    [
        lambda s: s.to_dense(),
        lambda s: s.inav[3, 4, 1],
        lambda s: s.deepcopy(),
        lambda s: s.isig[100:140, 200:260],
        lambda s: s.inav[2:5].T,
        lambda s: s * 2,
        lambda s: s.sum(axis=(0, 1)),
        lambda s: s.get_direct_beam_position(method="center_of_mass"),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_is_made_of_it_has_the_same_metadata_whenever_it_is_read(path, step, when):
    expected, s = _read_at_once(path), hs.load(path, **QUIET, **KNOWN)
    if when == "after":
        s.data.sum().compute()
    found, expected = step(s), step(expected)
    assert type(found) is type(expected)
    np.testing.assert_array_equal(np.asarray(found.data), np.asarray(expected.data))
    np.testing.assert_equal(_without_time(found), _without_time(expected))


@pytest.mark.parametrize("part", [lambda s: s.isig[200:208, 240:250], lambda s: s.inav[3, 4, 1]])
def test_computing_in_place_is_as_of_one_read_at_once(path, part):
    expected, s = part(_read_at_once(path)), hs.load(path, **QUIET, **KNOWN)
    found = part(s)
    hyperspy_sparse.read_recording(s)
    for signal in (found, expected):
        signal.compute()
    assert type(found) is type(expected) and not found._lazy
    np.testing.assert_array_equal(found.data, expected.data)
    np.testing.assert_equal(_without_time(found), _without_time(expected))


def test_arrays_that_are_read_differently_have_different_names(path):
    more = [{}, {"dtype": "uint16"}, {"dtype": "uint32"}, {"on_loss": "warn"}, {"gap": 4}, {"sync": "line-start"},
            {"dwell_time": "19 us"}, {"cluster": True}, {"frames": 1}, {"scan_delay": "1 us"}]  # fmt: skip
    names = [hs.load(path, **{**QUIET, **KNOWN, **options}).data.name for options in more]
    requested = {**KNOWN, "dwell_time": None, "dtype": "uint16"}
    names += [hs.load(path, **QUIET, **requested, metadata={"dwell_time": t}).data.name for t in ("20 us", "21 us")]
    assert len(set(names)) == len(names)
    assert hs.load(path, **QUIET, **KNOWN).data.name == names[0]


def test_the_recording_is_believed_before_a_sidecar(path):
    requested = {"metadata": {"dwell_time": "18 us", "camera_length": "100 mm"}}
    s, expected = hs.load(path, **QUIET, **KNOWN, **requested), _read_at_once(path, **requested)
    hyperspy_sparse.read_recording(s)
    np.testing.assert_equal(_without_time(s), _without_time(expected))
    assert s.axes_manager.as_dictionary() == expected.axes_manager.as_dictionary()


def test_a_navigator_of_one_s_own_stays_and_other_axes_get_none(path):
    s = hs.load(path, **QUIET, **KNOWN)
    own = hs.signals.Signal2D(np.zeros((FRAMES, NY, NX)))
    s.navigator = own
    hyperspy_sparse.read_recording(s)
    assert s.navigator is own
    s = hs.load(path, **QUIET, **KNOWN)
    s.axes_manager[0].navigate = False
    hyperspy_sparse.read_recording(s)
    assert s.navigator is None and not s.metadata.has_item(NOT_READ)


def test_threads_that_wait_share_a_failure(path, monkeypatch):
    single = hs.load(path, **QUIET, **{**KNOWN, "layout": "single"}, chunks=1)
    opened, begin = [], deferred.event_signal
    monkeypatch.setattr(deferred, "event_signal", lambda *args, **kwargs: opened.append(1) or begin(*args, **kwargs))
    for tries in (1, 2):
        with pytest.raises(ValueError, match="has no place for chip"):
            single.data.sum().compute(scheduler="threads", num_workers=4)
        assert len(opened) <= 4 * tries


def test_chunks_are_bounded_in_entries_before_and_after(path, monkeypatch):
    monkeypatch.setattr("rsciio_tpx3.frames.dask_array.CHUNK_ENTRIES", 1500)
    s, expected = hs.load(path, **QUIET, **KNOWN), _read_at_once(path)
    assert len(s.data.chunks[1]) > 1
    hyperspy_sparse.read_recording(s)
    assert s.data.chunks == expected.data.chunks


def test_plotting_shows_the_counts(path):
    s = hs.load(path, **QUIET, **KNOWN)
    s.plot()
    np.testing.assert_array_equal(s.navigator.data, _dense(s).sum(axis=(-2, -1)))


def test_frames_are_aligned_from_their_events(path):
    shifts = np.array([(0, 0), (1, -2), (2, 1)])
    aligned = hyperspy_sparse.align_frames(hs.load(path, **QUIET, **KNOWN), shifts)
    np.testing.assert_array_equal(_dense(aligned), _dense(hyperspy_sparse.align_frames(_read_at_once(path), shifts)))


def test_one_pass_serves_all_threads_and_tasks_that_travel(path, reads):
    expected = _read_at_once(path)
    reads.clear()
    s = hs.load(path, **QUIET, **KNOWN, chunks=2)
    tasks = [pickle.dumps(task) for task in s.data.dask.layers[s.data.name].values()]
    size, passes = os.path.getsize(path), sum(stop - start for start, stop in reads)
    # both passes and a sample of clusters, for the noise
    assert size <= passes <= 3 * size
    assert max(map(len, tasks)) < 5000
    s = hs.load(path, **QUIET, **KNOWN)
    with dask.config.set(scheduler="processes"):
        found = s.data.sum(axis=(0, 1)).compute()
    np.testing.assert_array_equal(found, expected.data.sum(axis=(0, 1)).compute())


def test_the_file_may_not_change_while_it_waits(path, tmp_path):
    copy = tmp_path / "copy.tpx3"
    copy.write_bytes(path.read_bytes())
    s = hs.load(copy, **QUIET, **KNOWN)
    with open(copy, "ab") as file:
        file.write(encode_header(0, 1).tobytes() + encode_hits([3], [10**9], [7]).tobytes())
    for _ in range(2):
        with pytest.raises(Tpx3FormatError, match="was changed after it was opened"):
            s.data.sum().compute()
    with pytest.raises(Tpx3FormatError, match="Load it again"):
        hyperspy_sparse.read_recording(s)
    assert s.metadata.has_item(NOT_READ)


def test_errors_of_the_recording_come_with_the_first_computation(path, write_stream):
    with pytest.raises(FileNotFoundError):
        file_reader(str(path) + ".none", **QUIET, **KNOWN)
    silent = write_stream([(0, encode_hits([3, 4], [600, 1200], [7, 8]))])
    s = hs.load(silent, **QUIET, **KNOWN)
    with pytest.raises(ScanSyncError, match="No trigger edges"):
        s.sum()
    single = hs.load(path, **QUIET, **{**KNOWN, "layout": "single"})
    with pytest.raises(ValueError, match="has no place for chip"):
        single.plot()


def test_losses_are_reported_once(path, tmp_path, caplog):
    cut = tmp_path / "cut.tpx3"
    cut.write_bytes(path.read_bytes()[:-20])
    s = hs.load(cut, **QUIET, **KNOWN, on_loss="warn")
    assert not caplog.records
    s.data.sum().compute()
    s.data.sum().compute()
    found = [record.getMessage() for record in caplog.records if "cut" in record.getMessage()]
    assert found and len(set(found)) == len(found)
    assert s.metadata.Acquisition_instrument.TEM.Detector.has_item("Losses")
    refused = hs.load(cut, **QUIET, **KNOWN)
    with pytest.raises(Tpx3FormatError, match='on_loss="warn"'):
        refused.data.sum().compute()


def test_an_index_in_the_cache_is_taken_at_once(path, tmp_path, monkeypatch):
    monkeypatch.setenv("RSCIIO_TPX3_CACHE", str(tmp_path))
    options = {**QUIET, **KNOWN, "cache": True}
    assert hs.load(path, **options).metadata.has_item(NOT_READ)
    hs.load(path, **options).data.sum().compute()
    again = hs.load(path, **options)
    assert not again.metadata.has_item(NOT_READ) and again.navigator is not None


def test_conversion_writes_the_whole_summary(path, tmp_path):
    for name, options in (("waited", KNOWN), ("plain", {**KNOWN, "layout": None})):
        convert(path, tmp_path / f"{name}.nxevent", reader_options=options)
    waited, plain = (hs.load(tmp_path / f"{name}.nxevent").metadata for name in ("waited", "plain"))
    assert not waited.has_item(NOT_READ)
    placed = "Acquisition_instrument.TEM.Scan.hits_placed"
    assert waited.get_item(placed) == plain.get_item(placed)


def test_hit_lists_of_advacam_wait_too(tmp_path, monkeypatch):
    rng = np.random.default_rng(7)
    n, dwell = 3000, 160  # a dwell time in steps of 25 ns
    rows = [range(n), rng.integers(0, 256**2, n), np.sort(rng.integers(0, NX * NY * FRAMES * dwell, n)),
            rng.integers(1, 90, n), rng.integers(0, 16, n), [0] * n]  # fmt: skip
    path = tmp_path / "scan.t3pa"
    names = "Index\tMatrix Index\tToA\tToT\tFToA\tOverflow"
    np.savetxt(path, np.transpose(rows), "%d", "\t", header=names, comments="")
    passes, begin = [], AdvacamSource.__init__

    def noted(self, *args, **kwargs):
        passes.append(args)
        begin(self, *args, **kwargs)

    monkeypatch.setattr(AdvacamSource, "__init__", noted)
    options = {**KNOWN, **QUIET, "layout": "single", "dwell_time": "4 us"}
    s = hs.load(path, **options)
    assert not passes and s.axes_manager.shape == (NX, NY, FRAMES, 256, 256)
    expected = hs.load(path, **{**options, "layout": None})
    np.testing.assert_array_equal(_dense(s), _dense(expected))
    np.testing.assert_equal(_without_time(s), _without_time(expected))
    assert len(passes) == 2
    with pytest.raises(Tpx3FormatError, match="t3r"):
        hs.load(path.rename(path.with_suffix(".t3r")), file_format="Advacam", **options)
