"""Every source, whole and in parts, by threads, in another process and on a cluster (kind: only whole sources)."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import dask
import numpy as np
import pytest
from advacam_files import expected_ticks, hits, write_binary, write_text
from counted_data import counted, lazy, signal_dict
from test_round_trips import FORMATS

from rsciio_tpx3 import simulate
from rsciio_tpx3.raw_csr import file_writer

hs = pytest.importorskip("hyperspy.api")
pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed")
hyperspy_sparse = pytest.importorskip("hyperspy_sparse")

COUNTED = [name for name in FORMATS if name not in ("hspy", "zspy")]
HIT_LISTS = {".t3pa": write_text, ".t3p": write_binary}
SOURCES = ["memory", "memory, lazy", "recording", "recording, in memory", *HIT_LISTS, *COUNTED]


def _cropped(s):
    s = s.deepcopy()
    s.crop(1, 1, 5)
    return s


def _mask(data):
    return np.arange(data[0, 0].size).reshape(data.shape[-2:]) % 3 == 0


# The signal, and the dense array by NumPy's rules: a part of the frames, of the detector, of both, of a part.
PARTS = {
    "whole": (lambda s: s, lambda d: d),
    "one frame": (lambda s: s.inav[3, 1], lambda d: d[1, 3]),
    "columns": (lambda s: s.inav[2:7], lambda d: d[:, 2:7]),
    "lines": (lambda s: s.inav[:, 2:5], lambda d: d[2:5]),
    "one line": (lambda s: s.inav[:, 2], lambda d: d[2]),
    "detector": (lambda s: s.isig[2:-3, 1:7], lambda d: d[..., 1:7, 2:-3]),
    "part of a part": (lambda s: s.inav[1:8].isig[2:9].inav[2:5, 1:4], lambda d: d[1:4, 3:6, :, 2:9]),
    "cropped": (_cropped, lambda d: d[1:5]),
    "mapped": (lambda s: s.map(np.flipud, inplace=False, lazy_output=True), lambda d: d[:, :, ::-1]),
    "mapped part": (lambda s: s.inav[2:7].map(np.flipud, inplace=False, lazy_output=True), lambda d: d[:, 2:7, ::-1]),
    "added up": (lambda s: s.inav[1:6].sum(axis=(0, 1)), lambda d: d[:, 1:6].sum(axis=(0, 1))),
    "multiplied": (lambda s: s.inav[1:6] * hs.signals.Signal2D(_mask(s.data)), lambda d: d[:, 1:6] * _mask(d)),
}


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None) as made:
        with distributed.Client(made, set_as_default=False) as client:
            yield client


def _hit_list(ending, folder):
    """A scan on the detector's own clock in a list of hits of Advacam, and its counts by NumPy."""
    ny, nx, dwell = 6, 9, 100_000 // 25  # in steps of 25 ns
    columns = hits(4000, last=ny * nx * dwell)
    position = expected_ticks(columns) // (96 * dwell)
    dense = np.zeros((ny * nx, 256 * 256), np.uint8)
    # a fine time moves the first hits before the scan
    known = (position >= 0) & (position < ny * nx)
    np.add.at(dense, (position[known], columns["pixel"][known]), 1)
    path = HIT_LISTS[ending](folder / f"scan{ending}", columns)
    s = hs.load(path, navigation_shape=(nx, ny), dwell_time="100 us", lazy=True, chunks=2)
    return s, dense.reshape(ny, nx, 256, 256)


def _source(name, folder):
    """A signal from such a source, and its dense counts."""
    if name.startswith("recording"):
        path = folder / "scan.tpx3"
        simulate.recording(path, (6, 9), electrons_per_position=30, dwell_time="3 us", layout="single", seed=8)
        s = hs.load(path, navigation_shape=(9, 6), lazy=name == "recording", chunks=2)
        return s, s.data.compute(scheduler="sync").todense()
    if name in HIT_LISTS:
        return _hit_list(name, folder)
    dense = counted((6, 9), most=5)
    if name.startswith("memory"):
        signal = hs.signals.Signal2D(dense)
        return hyperspy_sparse.to_sparse(signal.as_lazy() if "lazy" in name else signal), dense
    ending, options = FORMATS[name]
    file_writer(folder / "begin.toml", signal_dict(lazy(dense)))
    hs.load(folder / "begin.toml", lazy=True).save(folder / f"one{ending}", **options)
    return hs.load(folder / f"one{ending}", lazy=True), dense


@pytest.mark.parametrize("name", SOURCES)
def test_parts_of_every_source_are_the_same_wherever_they_are_computed(tmp_path, pool, cluster, name):
    s, dense = _source(name, tmp_path)
    assert s.data.shape == dense.shape
    parts = {part: make(s).data for part, (make, _) in PARTS.items()}
    row = s._get_cache_dask_chunk((1, 3, slice(None), slice(None)))
    np.testing.assert_array_equal(np.asarray(row), dense[1, 3])  # what a plot shows
    computed = {
        "threads": dask.compute(*parts.values(), scheduler="threads"),
        "synchronous": dask.compute(*parts.values(), scheduler="sync"),
        "processes": dask.compute(*parts.values(), scheduler="processes", pool=pool),
        "cluster": cluster.gather(cluster.compute(list(parts.values()))),
    }
    for scheduler, arrays in computed.items():
        for part, found in zip(parts, arrays, strict=True):
            np.testing.assert_array_equal(np.asarray(found), PARTS[part][1](dense), err_msg=f"{part} by {scheduler}")
