"""Signals whose frames are in memory: the same results as read from the file, and kernels of a few large blocks."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import dask
import hyperspy.api as hs
import numpy as np
import pytest

from hyperspy_sparse import blocks, navigator, select
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.memory_source import MemorySource

NAV, SIG = (0, 1), (2, 3)
RING = hs.roi.CircleROI(-0.05, 0.0, 0.5, 0.2)

METHODS = {
    "sum": lambda s: s.sum(axis=NAV),
    "counts": lambda s: s.sum(axis=SIG),
    "everything": lambda s: s.sum(axis=NAV + SIG),
    "maximum": lambda s: s.max(axis=NAV),
    "variance": lambda s: s.var(axis=NAV),
    "spread of a frame": lambda s: s.std(axis=SIG),
    "ring": lambda s: s.get_integrated_intensity(RING),
    "mass": lambda s: s.get_direct_beam_position(method="center_of_mass"),
    "part": lambda s: s.inav[1:4, 1:].sum(axis=NAV),
    "cut-out": lambda s: s.isig[2:9, 3:].var(axis=NAV),
    "binned maximum": lambda s: s.rebin(scale=(1, 1, 4, 2)).max(axis=NAV),
    "binned mass": lambda s: s.rebin(scale=(5, 1, 1, 2)).get_direct_beam_position(method="center_of_mass"),
    "binned ring": lambda s: s.rebin(scale=(1, 3, 2, 2)).get_integrated_intensity(RING),
    "binned in bytes": lambda s: s.rebin(scale=(1, 3, 4, 4), dtype="same").sum(axis=NAV),
    "binned": lambda s: s.rebin(scale=(5, 3, 4, 2)).sum(axis=NAV),
}


@pytest.fixture
def files(sparse_signal, tmp_path):
    """The same frames from a file: read lazily, read at once, and read lazily and kept."""
    path = tmp_path / "scan.toml"
    sparse_signal.save(path)
    persisted = hs.load(path, lazy=True, chunks=1)
    persisted.persist()
    return {"lazy": hs.load(path, lazy=True, chunks=1), "loaded": hs.load(path, chunks=1), "persisted": persisted}


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_results_are_those_of_the_file(files, name):
    results = {}
    for kind, signal in files.items():
        result = METHODS[name](signal)
        result = result if isinstance(result, hs.signals.BaseSignal) else hs.signals.BaseSignal(result)
        if result._lazy:
            result.compute(show_progressbar=False)
        results[kind] = result
    for kind in ("loaded", "persisted"):
        assert type(results[kind]) is type(results["lazy"])
        assert results[kind].data.dtype == results["lazy"].data.dtype
        np.testing.assert_array_equal(results[kind].data, results["lazy"].data)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_results_are_those_of_dense_data(files, dense_signal, name):
    ours, theirs = (METHODS[name](s) for s in (files["loaded"], dense_signal))
    for result in (ours, theirs):
        if getattr(result, "_lazy", False):
            result.compute(show_progressbar=False)
    ours, theirs = (getattr(result, "data", result) for result in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12 if np.asarray(theirs).dtype.kind == "f" else 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["loaded", "persisted"])
def test_kernels_cut_one_piece_in_blocks_of_their_own(files, kind):
    signal = files[kind]
    assert isinstance(source_of(signal.data), MemorySource)
    assert signal.data.chunks == files["lazy"].data.chunks
    assert blocks.in_blocks(signal.data).npartitions < signal.data.npartitions


PARTS = {
    "inav": lambda s: s.inav[1:4, 1:],
    "isig": lambda s: s.isig[2:9, 3:],
    "rebin": lambda s: s.rebin(scale=(1, 1, 4, 2)),
    "rebin of the scan": lambda s: s.rebin(scale=(5, 1, 1, 2)),
    "isig of rebin": lambda s: s.rebin(scale=(1, 1, 2, 2)).isig[1:4, 2:],
    "mask": lambda s: s.inav[np.arange(15).reshape(3, 5) % 4 == 1],
}


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_parts_and_binned_signals_are_the_same_at_every_use(files, dense_signal, part):
    lazy, loaded = (PARTS[part](files[kind]) for kind in ("lazy", "loaded"))
    dense = None if part == "mask" else PARTS[part](dense_signal)  # HyperSpy has no masks of positions
    nav = tuple(range(loaded.data.ndim - 2))
    sig = tuple(range(len(nav), len(nav) + 2))
    calls = {
        "sum": lambda s: s.sum(axis=nav),
        "counts": lambda s: s.sum(axis=sig),
        "maximum": lambda s: s.max(axis=nav),
        "variance": lambda s: s.var(axis=nav),
        "spread of a frame": lambda s: s.std(axis=sig),
        "ring": lambda s: s.get_integrated_intensity(RING),
        "mass": lambda s: s.get_direct_beam_position(method="center_of_mass"),
        "profile": lambda s: s.get_azimuthal_integral1d(npt=3, inplace=False),
    }
    for name, call in calls.items():
        expected = call(lazy)
        for _ in range(3):  # from the second use on the frames are held
            found = call(loaded)
            assert type(found) is type(expected) and found.data.dtype == expected.data.dtype
            # pixels of a row that nobody needed in order give their squares in another one
            exact = {"rtol": 0 if found.data.dtype.kind in "ui" else 1e-14, "err_msg": name}
            np.testing.assert_allclose(*(np.asarray(result.data) for result in (found, expected)), **exact)
        if dense is not None:
            of_dense = call(dense)
            np.testing.assert_allclose(np.asarray(found.data), np.asarray(of_dense.data), rtol=1e-12, err_msg=name)
    assert source_of(blocks.in_blocks(loaded.data)).in_memory


def test_counts_that_the_navigator_has_are_known_after_persist(files):
    lazy = files["lazy"]
    assert navigator.counts_of(lazy) is not None
    lazy.persist()
    np.testing.assert_array_equal(navigator.counts_of(lazy), lazy.sum(axis=SIG).T.data)


SCAN_REGION = hs.roi.CircleROI(3.0, 1.5, 1.1)
ANYWHERE = {
    **{
        name: METHODS[name]
        for name in ("sum", "counts", "variance", "ring", "mass", "cut-out", "binned", "binned ring")
    },
    "region": lambda s: SCAN_REGION(s, axes=("x", "y")).nansum(axis=("x", "y")),
    "chosen": lambda s: select(s, np.arange(15).reshape(3, 5) % 4 == 1).max(axis="position"),
}


@pytest.mark.slow  # starts processes and a cluster
def test_threads_processes_and_a_cluster_find_the_same(files):
    distributed = pytest.importorskip("distributed")
    expected = {name: dask.compute(method(files["lazy"]).data)[0] for name, method in ANYWHERE.items()}
    for signal in files.values():
        for scheduler in ("threads", "sync", "processes"):
            found = dask.compute(*(method(signal).data for method in ANYWHERE.values()), scheduler=scheduler)
            for name, values in zip(ANYWHERE, found, strict=True):
                np.testing.assert_array_equal(values, expected[name], err_msg=f"{name}, {scheduler}")
    with distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=None):
        persisted = files["lazy"].deepcopy()
        persisted.persist()
        for signal in (*files.values(), persisted):
            found = dask.compute(*(method(signal).data for method in ANYWHERE.values()))
            for name, values in zip(ANYWHERE, found, strict=True):
                np.testing.assert_array_equal(values, expected[name], err_msg=f"{name}, cluster")


@pytest.mark.parametrize("kind", ["lazy", "persisted"])
def test_threads_reduce_and_cut_one_signal_at_the_same_moment(files, kind):
    """Kind: a copy of a signal was made by taking its data away for a moment, and its axes."""
    signal = files[kind]
    calls = {
        "sum": lambda: signal.sum(axis=(0, 1)),
        "counts": lambda: signal.sum(axis=SIG),
        "of all": lambda: signal.sum(axis=(0, 1, *SIG)),
        "part": lambda: signal.inav[1:, 1:].max(axis=(0, 1)),
        "cut": lambda: signal.isig[2:5, 3:].var(axis=(0, 1)),
        "twice": lambda: (signal * 2).mean(axis=SIG),
    }
    expected = {name: call() for name, call in calls.items()}
    begin, whole = threading.Barrier(len(calls)), repr(signal.axes_manager)

    def repeated(name):
        begin.wait()
        return [calls[name]() for _ in range(20)]

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns in the middle of everything
    try:
        with ThreadPoolExecutor(len(calls)) as pool:
            found = dict(zip(calls, pool.map(repeated, calls), strict=True))
    finally:
        sys.setswitchinterval(before)
    for name, results in found.items():
        for made in results:
            assert repr(made) == repr(expected[name])
        np.testing.assert_array_equal(np.asarray(made.data), np.asarray(expected[name].data), err_msg=name)
    assert repr(signal.axes_manager) == whole
