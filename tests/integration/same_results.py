"""Comparison of what a call gives on sparse and on dense data."""

import dask.array as da
import numpy as np
import sparse
from hyperspy.signals import BaseSignal

from hyperspy_sparse.assigned_data import keeps_class
from hyperspy_sparse.mixin import SparseFramesMixin
from rsciio_tpx3 import CSRFrames

# In metadata these differ by nature: random identifiers, times of writing, paths.
_IGNORED = {"FileIO", "date", "time", "_id", "navigator", "_sig_navigator"}


def check_same(ours, theirs, where="result"):
    """Assert that two results are equal: class, axes, metadata, laziness, values."""
    if isinstance(theirs, BaseSignal):
        _same_signals(ours, theirs, where)
    elif isinstance(theirs, da.Array | np.ndarray):
        _same_arrays(ours, theirs, where)
    elif isinstance(theirs, list | tuple):
        assert type(ours) is type(theirs) and len(ours) == len(theirs), where
        for i, pair in enumerate(zip(ours, theirs, strict=True)):
            check_same(*pair, f"{where}[{i}]")
    elif isinstance(theirs, dict):
        assert set(ours) == set(theirs), where
        for key in theirs:
            check_same(ours[key], theirs[key], f"{where}[{key!r}]")
    elif isinstance(theirs, int | float | complex | np.number):
        assert type(ours) is type(theirs), (where, type(ours), type(theirs))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9, err_msg=where)
    elif isinstance(theirs, str | bytes | bool | type(None)):
        assert ours == theirs, (where, ours, theirs)
    else:
        assert type(ours).__name__ == type(theirs).__name__, where


def check_computed(ours, theirs, where="result"):
    """Assert that everything lazy in two equal results can be computed, and is equal then; in place."""
    if isinstance(theirs, list | tuple):
        for i, pair in enumerate(zip(ours, theirs, strict=True)):
            check_computed(*pair, f"{where}[{i}]")
    elif isinstance(theirs, dict):
        for key in theirs:
            check_computed(ours[key], theirs[key], f"{where}[{key!r}]")
    elif isinstance(theirs, BaseSignal) and theirs._lazy and ours._lazy:
        for signal in (ours, theirs):
            signal.compute(show_progressbar=False)
        assert type(ours) is type(theirs), f"{where}: computed {type(ours)}, dense {type(theirs)}"
        assert type(ours.data) is np.ndarray, f"{where}: {type(ours.data)} after compute()"
        _same_arrays(ours.data, theirs.data, f"{where}.data, computed")


def check_class_and_chunks(signal, where="signal"):
    """Assert the rule of the classes: sparse frames in the sparse ones, dense data in all others."""
    data = signal._data
    frames = isinstance(data, da.Array) and isinstance(data._meta, CSRFrames)
    if isinstance(signal, SparseFramesMixin):
        assert frames or keeps_class(data), f"{where}: {type(signal).__name__} with {data!r}"
    else:
        assert not frames, f"{where}: sparse frames in {type(signal).__name__}"
    if isinstance(data, da.Array) and data.size:
        chunk = data.blocks[(0,) * data.ndim].compute(scheduler="sync")
        assert frames or not isinstance(chunk, CSRFrames), f"{where}: a chunk is {type(chunk)}, unknown to dask"
    # a function of NumPy leaves an array in a lazy signal of HyperSpy's own classes
    if not signal._lazy or isinstance(signal, SparseFramesMixin):
        assert isinstance(data, da.Array) == signal._lazy, f"{where}: {type(data)} in {type(signal).__name__}"


def _same_signals(ours, theirs, where):
    name = type(ours).__name__.replace("Sparse", "")
    assert name == type(theirs).__name__, (where, name, type(theirs).__name__)
    assert ours._lazy == theirs._lazy, f"{where}: lazy {ours._lazy}, dense {theirs._lazy}"
    assert ours.ragged == theirs.ragged, where
    check_class_and_chunks(ours, where)
    _same_axes(ours, theirs, where)
    one, other = (_plain(s.metadata.as_dictionary()) for s in (ours, theirs))
    assert one == other, f"{where}: metadata {one} != {other}"
    one, other = (_plain(s.original_metadata.as_dictionary()) for s in (ours, theirs))
    assert one == other, f"{where}: original_metadata"
    if not ours._lazy:
        assert type(ours.data) is np.ndarray, f"{where}: {type(ours.data)} in a signal in memory"
    _same_arrays(ours.data, theirs.data, f"{where}.data")


def _same_axes(ours, theirs, where):
    one, other = (s.axes_manager.as_dictionary() for s in (ours, theirs))
    assert _plain(one) == _plain(other), f"{where}: axes {one} != {other}"


def _plain(value):
    """Nested dictionaries as values that compare: arrays as lists, floats rounded."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if k not in _IGNORED}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, BaseSignal):
        return (type(value).__name__.replace("Sparse", ""), _plain(np.asarray(value.data)))
    if isinstance(value, da.Array | np.ndarray | sparse.SparseArray):
        value = np.asarray(value)
        return [_plain(v) for v in value.ravel().tolist()] if value.dtype.kind in "biuf" else "array"
    if isinstance(value, float | np.floating):
        return "nan" if np.isnan(value) else float(f"{float(value):.6g}")
    if isinstance(value, str | int | bool | type(None) | np.integer):
        return value
    return type(value).__name__


def _same_arrays(ours, theirs, where):
    assert ours.shape == theirs.shape or np.isnan(ours.shape).any(), where
    assert ours.dtype == theirs.dtype, f"{where}: {ours.dtype} != {theirs.dtype}"
    ours, theirs = _values(ours), _values(theirs)
    assert ours.shape == theirs.shape, (where, ours.shape, theirs.shape)
    if theirs.dtype == object:
        for i, (a, b) in enumerate(zip(ours.ravel(), theirs.ravel(), strict=True)):
            check_same(a, b, f"{where}[{i}]")
    elif theirs.dtype.kind in "fc":
        tolerance = 1e-4 if theirs.dtype in (np.float32, np.complex64) else 1e-7
        scale = np.nanmax(np.abs(theirs), initial=0, where=np.isfinite(theirs))
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * scale, err_msg=where)
    else:
        np.testing.assert_array_equal(ours, theirs, err_msg=where)


def _values(array):
    if isinstance(array, da.Array):
        array = array.compute(scheduler="sync")
    return np.asarray(array)
