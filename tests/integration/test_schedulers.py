"""One graph on threads, processes and a cluster: equal results, small tasks, files opened by workers."""

import pickle

import cloudpickle
import dask
import numpy as np
import pytest

from rsciio_tpx3 import file_reader, simulate, to_dask
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.sliced_source import SlicedSource
from rsciio_tpx3.tpx3 import files
from rsciio_tpx3.utils.packing import pack, unpack

pytestmark = pytest.mark.slow  # starts processes and a cluster

QUIET = {"lazy": True, "show_progressbar": False}


def _equal(found, expected):
    assert found.shape == expected.shape and found.dtype == expected.dtype
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def _travelled(array):
    """The array as another process gets it."""
    other = pickle.loads(pickle.dumps(array))
    assert source_of(other) is None
    return other


SCANS = {
    "line-gate": {},
    "line-start": {"dwell_time": "3.3 us"},
    "pixel-trigger": {},
    "shared-clock": {"dwell_time": "3.3 us"},
    "frame-trigger": {"dwell_time": "3.3 us"},
}


@pytest.mark.parametrize("pattern", ["raster", "serpentine"])
@pytest.mark.parametrize("sync", SCANS)
def test_tasks_that_travelled_give_the_same_frames(tmp_path, sync, pattern):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (6, 11), sync=sync, pattern=pattern, n_frames=3, dwell_time="3.3 us", line_flyback="4 us",
        frame_flyback="9 us", electrons_per_position=40, flyback_electrons=True, n_files=2, seed=4,
    )  # fmt: skip
    options = dict(SCANS[sync], sync=sync, pattern=pattern, navigation_shape=(11, 6, 3))
    if sync in ("shared-clock", "frame-trigger"):
        options.update(line_flyback="4 us", frame_flyback="9 us")
    for chunks in (1, 4, ((3,), (6,), (11,))):
        data = file_reader(truth.paths[0], all_parts=True, chunks=chunks, **QUIET, **options)[0]["data"]
        expected = data.compute(scheduler="sync")
        assert expected.nnz > 0
        _equal(_travelled(data).compute(scheduler="sync"), expected)


def test_lines_added_up_from_many_stretches_of_time_travel_too(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (12, 5), n_frames=70, dwell_time="3 us", electrons_per_position=9, seed=2)
    # 70 visits of each line, in more stretches than are read one by one
    data = file_reader(path, navigation_shape=(5, 6, 70), lines_per_row=2, skip_lines=(0, 0), chunks=2, **QUIET)[0][
        "data"
    ]
    _equal(_travelled(data).compute(scheduler="sync"), data.compute(scheduler="sync"))


def test_a_part_of_positions_in_any_order_travels(tmp_path):
    path = tmp_path / "scan.tpx3"
    ny, nx = 9, 560
    order = np.random.default_rng(5).permutation(ny * nx)
    simulate.recording(
        path, (ny, nx), sync="pixel-trigger", positions=order, dwell_time="4 us", electrons_per_position=1, seed=2
    )
    data = file_reader(path, navigation_shape=(nx, ny), sync="pixel-trigger", positions=order, **QUIET)[0]["data"]
    # each line of the part is visited in more stretches than are read one by one, others than the whole part is
    part = to_dask(SlicedSource(source_of(data), np.s_[4:7, 200:300, 9:500, :]))
    _equal(_travelled(part).compute(scheduler="sync"), data.compute(scheduler="sync")[4:7, 200:300, 9:500])


@pytest.mark.parametrize("options", [{"cluster": True}, {"time_bins": 3}, {"frames": "sum"}, {"values": "tot"}])
def test_electrons_time_bins_and_sums_travel(tmp_path, options):
    path = tmp_path / "scan.tpx3"
    simulate.recording(
        path, (6, 11), n_frames=3, dwell_time="3.3 us", electrons_per_position=40, hits="realistic", seed=2,
        layout="single",
    )  # fmt: skip
    data = file_reader(path, navigation_shape=(11, 6, 3), chunks=2, **options, **QUIET)[0]["data"]
    _equal(_travelled(data).compute(scheduler="sync"), data.compute(scheduler="sync"))
    assert max(len(cloudpickle.dumps(task)) for task in dict(data.dask).values()) < 8000


def test_a_source_that_was_narrowed_answers_for_no_other_time(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (6, 11), electrons_per_position=40, seed=4)
    source = source_of(file_reader(path, navigation_shape=(11, 6), **QUIET)[0]["data"])
    part = source.for_rows(11, 33)
    _equal(part.frames(22, 33), source.frames(22, 33))
    _equal(part.for_rows(22, 33).frames(22, 33), source.frames(22, 33))
    begin, end = source.source.index().span
    with pytest.raises(ValueError, match="narrowed to"):
        list(part.source.windows(begin, end))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """The same scan, once with eight times the electrons."""
    folder = tmp_path_factory.mktemp("dose")
    for dose in (400, 3200):
        simulate.recording(
            folder / f"{dose}.tpx3", (12, 17), electrons_per_position=dose, dwell_time="20 us", keep_truth=False, seed=1
        )
    return folder


def _sizes(array):
    graph = dask.optimize(array)[0].dask
    return len(cloudpickle.dumps(array.dask)), max(len(cloudpickle.dumps(task)) for task in graph.values())


def test_the_graph_grows_with_chunks_and_not_with_the_recording(recordings):
    def data(dose, chunks):
        return file_reader(recordings / f"{dose}.tpx3", navigation_shape=(17, 12), chunks=chunks, **QUIET)[0]["data"]

    small, large = data(400, 3), data(3200, 3)
    assert len(pickle.dumps(source_of(large))) > len(pickle.dumps(source_of(small))) + 5000
    (whole_small, task_small), (whole_large, task_large) = _sizes(small), _sizes(large)
    assert task_large < 4000 and whole_large < 4 * 2500
    # a joined block of 64 bytes for each 2 MiB that a task reads, and nothing else
    assert task_large <= task_small + 5 * 64 and whole_large <= whole_small + 4 * 5 * 64
    assert _sizes(data(3200, 1))[0] < 12 * 2500


@pytest.mark.parametrize("options", [{"time_bins": 3}, {"frames": "sum"}])
def test_cut_outs_of_shared_reads_take_along_their_own_part_of_the_index(tmp_path, recordings, options):
    path = recordings / "3200.tpx3"
    if "frames" in options:
        path = tmp_path / "scan.tpx3"
        simulate.recording(path, (12, 17), n_frames=3, electrons_per_position=800, dwell_time="20 us", seed=2)
    source = source_of(file_reader(path, navigation_shape=(17, 12), chunks=3, **QUIET, **options)[0]["data"])
    key = (slice(0, 2), slice(4, 6), slice(2, 9)) if "time_bins" in options else (slice(4, 6), slice(2, 9))
    part = to_dask(SlicedSource(source, (*key, slice(200, 300), slice(9, 500))))
    assert max(len(pickle.dumps(task)) for task in part.dask.layers[part.name].values()) < len(pickle.dumps(source)) / 2
    _equal(_travelled(part).compute(scheduler="sync"), part.compute(scheduler="sync"))
    for start, stop in ((0, 1), (18, 40), (source.n_positions - 1, source.n_positions)):
        _equal(source.for_rows(start, stop).frames(start, stop), source.frames(start, stop))


def _calibration(shape):
    rng = np.random.default_rng(8)
    return {name: rng.uniform(low, high, shape) for name, low, high in
            (("a", 1.5, 2.5), ("b", 5, 30), ("c", 10, 50), ("t", 0.5, 2))}  # fmt: skip


_MASK = np.eye(512, dtype=bool)
CORRECTED = {
    "energies": ({"values": "energy", "corrections": {"energy": _calibration((512, 512))}}, np.s_[11:12, 2:9]),
    "electrons": ({"cluster": True, "corrections": {"columns": (np.arange(256) % 7 - 3.0, "ns"), "mask": _MASK}},
                  np.s_[3:7, 2:9]),
    "time bins": ({"time_bins": 3, "corrections": {"mask": _MASK}}, np.s_[1:2, 2:7, 3:11]),
}  # fmt: skip


@pytest.mark.parametrize("options", CORRECTED)
def test_tables_of_corrections_are_in_the_graph_once(recordings, options):
    path = recordings / "400.tpx3"
    options, key = CORRECTED[options]
    data = file_reader(path, navigation_shape=(17, 12), chunks=2, **QUIET, **options)[0]["data"]
    cut = to_dask(SlicedSource(source_of(data), (*key, slice(100, 300), slice(0, 512))))
    for array in (data, cut):
        tasks = sorted(len(cloudpickle.dumps(task)) for task in array.dask.layers[array.name].values())
        assert tasks[-2] < 5000
        _equal(_travelled(array).compute(scheduler="sync"), array.compute(scheduler="sync"))


def test_weights_are_in_the_graph_once(recordings):
    hs = pytest.importorskip("hyperspy.api")
    signal = hs.load(recordings / "3200.tpx3", navigation_shape=(17, 12), lazy=True, chunks=2)
    image = signal.get_integrated_intensity(hs.roi.CircleROI(20, 10, 60, 30)).data
    tasks = [len(cloudpickle.dumps(task)) for task in dict(dask.optimize(image)[0].dask).values()]
    assert max(tasks) >= 512 * 512
    assert sorted(tasks)[-2] < 5000


def test_columns_pack_and_unpack():
    rng = np.random.default_rng(5)
    for column in (
        np.empty(0, np.int64),
        np.array([-(2**61)]),
        np.array([2**61, -(2**61) + 5, 7]),
        np.arange(9, dtype=np.int8)[::-1],
        rng.integers(-(2**40), 2**40, 1000),
        np.cumsum(rng.integers(1000, 1007, 1000)),
    ):
        back = unpack(pickle.loads(pickle.dumps(pack(column))))
        assert back.dtype == column.dtype
        np.testing.assert_array_equal(back, column)
    assert len(pickle.dumps(pack(np.cumsum(rng.integers(1000, 1007, 1000))))) < 1300


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": "1 GiB", "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


def _analyses(signal, roi):
    import hyperspy_sparse as hss

    return {
        "frames": signal.data,
        "sum": signal.sum(axis=(0, 1)).data,
        "virtual image": signal.get_integrated_intensity(roi).data,
        "centre of mass": signal.get_direct_beam_position(method="center_of_mass").data,
        "variance": signal.var(axis=(0, 1)).data,
        "tilted images": hss.tilted_images(signal, across=5, center=(130, 120), radius=60).data,
    }


def test_threads_processes_and_a_cluster_agree(recordings, client, monkeypatch):
    hs = pytest.importorskip("hyperspy.api")
    roi = hs.roi.CircleROI(20, 10, 60, 30)

    def load():
        signal = hs.load(recordings / "400.tpx3", navigation_shape=(17, 12), lazy=True, chunks=5)
        return list(_analyses(signal, roi).values())

    arrays = load()
    on_threads = dask.compute(*arrays, scheduler="threads")

    def refuse(*args):
        raise AssertionError("workers open the files, not the process that asks them")

    with monkeypatch.context() as patched:
        patched.setattr(files.WordReader, "read", refuse)
        on_cluster = [future.result(timeout=300) for future in client.compute(arrays)]
        in_processes = dask.compute(*arrays, scheduler="processes", num_workers=2)
    for results in (on_cluster, in_processes):
        _equal(results[0], on_threads[0])
        for found, expected in zip(results[1:3], on_threads[1:3]):
            np.testing.assert_array_equal(found, expected)
        for found, expected in zip(results[3:], on_threads[3:]):
            np.testing.assert_allclose(found, expected, rtol=1e-12)


OPTIONS = {
    "electrons": {"cluster": True},
    "centroids": {"cluster": {"position": "centroid", "upsample": 2}, "values": "tot"},
    "time bins": {"time_bins": 3},
    "bins of the recording": {"time_bins": {"over": "recording", "number": 4}},
    "frames added up": {"frames": "sum"},
    "all of it": {
        "cluster": True, "frames": "sum", "time_bins": 3, "corrections": {"mask": "find", "time_walk": True},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def repeated(tmp_path_factory):
    """Three passes over a scan with electrons of several hits that walk, in two pieces."""
    path = tmp_path_factory.mktemp("repeated") / "scan.tpx3"
    truth = simulate.recording(
        path, (6, 11), n_frames=3, electrons_per_position=60, dwell_time="20 us", frame_flyback="90 us",
        hits=simulate.HitModel(walk="60 ns"), defects=simulate.Defects(hot=[517], hot_rate=50_000.0), n_files=2, seed=9,
    )  # fmt: skip
    return truth.paths[0]


@pytest.mark.parametrize("name", OPTIONS)
def test_electrons_bins_and_sums_are_the_same_on_a_cluster(repeated, client, monkeypatch, name):
    hs = pytest.importorskip("hyperspy.api")
    options = {"navigation_shape": (11, 6, 3), "all_parts": True, "layout": "quad", "chunks": 2, **OPTIONS[name]}
    signal = hs.load(repeated, lazy=True, **options)
    scale = signal.axes_manager.signal_axes[0].scale
    roi = hs.roi.CircleROI(128 * 2, 120 * 2, 90, 30)
    images = {
        "frames": signal.data,
        "sum": signal.sum(axis=signal.axes_manager.navigation_axes).data,
        "virtual image": signal.get_integrated_intensity(roi).data,
        "cut-out": signal.inav[2:9, 1:5].isig[40:300, 9:].data,
    }
    assert scale == (0.5 if name == "centroids" else 1.0)
    on_threads = dask.compute(*images.values(), scheduler="threads")
    assert on_threads[0].nnz > 1000 and on_threads[2].sum() > 100

    def refuse(*args):
        raise AssertionError("workers open the files, not the process that asks them")

    with monkeypatch.context() as patched:
        patched.setattr(files.WordReader, "read", refuse)
        on_cluster = [future.result(timeout=300) for future in client.compute(list(images.values()))]
    for found, expected in ((on_cluster[0], on_threads[0]), (on_cluster[3], on_threads[3])):
        _equal(found, expected)
    for found, expected in zip(on_cluster[1:3], on_threads[1:3]):
        np.testing.assert_array_equal(found, expected)


def test_phases_of_aligned_frames_are_the_same_on_a_cluster(repeated, client, monkeypatch):
    hs, hss = pytest.importorskip("hyperspy.api"), pytest.importorskip("hyperspy_sparse")
    signal = hs.load(repeated, lazy=True, navigation_shape=(11, 6, 3), all_parts=True, layout="quad", chunks=2)
    for axis in signal.axes_manager.navigation_axes[:2]:
        axis.scale, axis.units = 0.04, "nm"
    hss.set_microscope(signal, calibrate=None, beam_energy="200 keV", convergence_angle="20 mrad")
    drift = np.array([(0, 0), (0.5, -1.25), (1, 1.75)])  # between positions too: each event goes to its own cell
    aligned = hss.align_frames(signal, drift, upsampling=2, show_progressbar=False)
    disk = {"center": (128, 120), "radius": 90, "across": 5}
    stack = hss.tilted_images(aligned, **disk)
    with dask.config.set(scheduler="threads"):
        expected = stack.data.compute(), hss.phase(aligned, "obf", show_progressbar=False, **disk).data
    assert expected[0].sum() > 1000

    def refuse(*args):
        raise AssertionError("workers open the files, not the process that asks them")

    with monkeypatch.context() as patched:
        patched.setattr(files.WordReader, "read", refuse)
        np.testing.assert_array_equal(client.compute(stack.data).result(timeout=300), expected[0])
        found = hss.phase(aligned, "obf", show_progressbar=False, **disk)
    np.testing.assert_allclose(found.data, expected[1], rtol=1e-9, atol=1e-12)


def test_a_changed_file_is_noticed_by_the_worker(tmp_path, client):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (6, 11), electrons_per_position=40, seed=4)
    data = file_reader(path, navigation_shape=(11, 6), **QUIET)[0]["data"]
    with open(path, "ab") as file:
        file.write(b"12345678")
    with pytest.raises(files.Tpx3FormatError, match="changed since it was opened"):
        client.compute(data.sum()).result()
