"""Every public method of pyXem's ElectronDiffraction2D: sparse data give the dense result."""

import warnings

import dask.array as da
import hyperspy.api as hs
import matplotlib
import numpy as np
import pytest
from hyperspy.io import dict2signal
from method_cases import CASES, NOT_COMPARED
from pyxem.signals import LazyElectronDiffraction2D
from same_results import check_same

from hyperspy_sparse.signals import finish_loading
from rsciio_tpx3 import to_dask
from rsciio_tpx3.frames.memory_source import MemorySource

matplotlib.use("agg")

NAV, SIG = (3, 5), (16, 12)
NAMES = [n for n in dir(LazyElectronDiffraction2D) if not n.startswith("_")]
# On dense data in memory pyXem 0.21 writes into the array of the caller; sparse chunks cannot be
# written into, so the signal keeps its values, as it should.
CHANGES_ITS_INPUT = {"correct_bad_pixels"}
CALLS = [(name, key) for name, calls in CASES.items() for key in calls]


@pytest.fixture(scope="module", autouse=True)
def quiet():
    before = hs.preferences.General.show_progressbar
    hs.preferences.General.show_progressbar = False
    yield
    hs.preferences.General.show_progressbar = before


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:16, :12]
    shift = np.linspace(-1, 1, 15).reshape(NAV)[..., None, None]
    spot = 3 * np.exp(-((y - 7.5 - shift) ** 2 + (x - 5.5 + shift) ** 2) / 6)
    return rng.poisson(spot + 0.1).astype(np.uint8)


def signal_of(data):
    names = ("y", "x", "ky", "kx")
    scales, offsets = (0.5, 0.5, 0.1, 0.1), (1.0, 2.0, -0.8, -0.6)
    units = ("nm", "nm", "1/A", "1/A")
    axes = [
        {"name": n, "size": s, "scale": c, "offset": o, "units": u, "navigate": i < 2}
        for i, (n, s, c, o, u) in enumerate(
            zip(names, data.shape, scales, offsets, units, strict=True)
        )
    ]
    signal = {"General": {"title": "scan"}, "Signal": {"signal_type": "electron_diffraction"}}
    return dict2signal(
        {
            "data": data,
            "axes": axes,
            "metadata": signal,
            "original_metadata": {"recorded": {"by": "nobody"}},
            "attributes": {"_lazy": True},
        }
    )


def sparse_and_dense(counts, dtype):
    counts = counts.astype(dtype)
    ours = finish_loading(signal_of(to_dask(MemorySource.from_dense(counts), chunks=(2, 5))))
    theirs = signal_of(da.from_array(counts, chunks=(2, 5, *SIG)))
    return ours, theirs


def outcome(call, signal, tmp_path):
    """The result of a call, or the exception that it raises."""
    wants_path = call.__code__.co_argcount > 1 and "tmp_path" in call.__code__.co_varnames
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return call(signal, tmp_path) if wants_path else call(signal), None
        except Exception as error:  # noqa: BLE001  (both sides must fail alike)
            return None, error


@pytest.mark.parametrize(("name", "key"), CALLS, ids=[f"{n}-{k}" for n, k in CALLS])
def test_a_method_gives_the_dense_result(counts, tmp_path, name, key):
    ours, theirs = sparse_and_dense(counts, "float64" if key.startswith("f_") else "uint8")
    call = CASES[name][key]
    expected, dense_error = outcome(call, theirs, tmp_path)
    result, error = outcome(call, ours, tmp_path)
    if dense_error is not None:
        assert type(error) is type(dense_error), (error, dense_error)
        pytest.skip(f"fails on dense data too: {type(dense_error).__name__}: {dense_error}"[:150])
    if error is not None:
        raise error
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        check_same(result, expected)
        if name not in CHANGES_ITS_INPUT:
            check_same(ours, theirs, "the signal afterwards")


@pytest.mark.parametrize("name", NAMES)
def test_the_matrix_has_a_case_for(name):
    if name in NOT_COMPARED:
        pytest.skip(f"not compared: {NOT_COMPARED[name]}")
    if name not in CASES:
        pytest.xfail(f"untested: add calls of {name} to method_cases.py")
