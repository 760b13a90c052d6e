"""What may be assigned to ``signal.data``, and what the signal has from then on.

HyperSpy's setter keeps whatever is assigned. A lazy signal needs a dask array, and a sparse one a
dask array of `CSRFrames`; so frames that are in memory become one here, and so do dense arrays.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import dask.array as da
import numpy as np
import scipy.sparse
import sparse
from dask.highlevelgraph import MaterializedLayer
from hyperspy.signals import BaseSignal, LazySignal

from hyperspy_sparse import blocks, nan_masks, reductions, shifted, twins
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.dask_array import to_dask
from rsciio_tpx3.frames.memory_source import MemorySource

__all__ = ["as_lazy_data", "assign", "in_chunks", "watch_stock_classes"]

# names of layers whose chunks are NumPy's, whatever they take
_MAKE_DENSE = (twins.DENSE_CHUNKS, blocks.ANSWERS, reductions.REDUCED)


def as_lazy_data(value: Any, shape: tuple[int, ...]) -> da.Array:
    """The dask array that a lazy signal has after ``signal.data = value``.

    Parameters
    ----------
    value : numpy.ndarray, dask.array.Array, sparse or scipy.sparse array
        A scipy matrix has one row per position.
    shape : tuple of int
        Of the axes of the signal; says what the rows and columns of a scipy matrix are.

    Returns
    -------
    dask.array.Array
        Of `CSRFrames` where `value` was sparse.

    Raises
    ------
    ValueError
        If a scipy matrix does not fit `shape`.
    """
    if isinstance(value, da.Array):
        other = isinstance(value._meta, sparse.SparseArray) and not isinstance(value._meta, CSRFrames)
        return twins.sparsified(value) if other and value.ndim > 2 else value
    if scipy.sparse.issparse(value):
        value = _from_matrix(value, shape)
    if isinstance(value, sparse.SparseArray):
        return to_dask(MemorySource(CSRFrames(value))) if value.ndim > 2 else da.from_array(value.todense())
    return in_chunks(value)


def _from_matrix(matrix: Any, shape: tuple[int, ...]) -> CSRFrames:
    wanted = (math.prod(shape[:-2]), math.prod(shape[-2:]))
    if len(shape) < 3 or matrix.shape != wanted:
        raise ValueError(
            f"a scipy.sparse matrix of shape {matrix.shape} does not fit a signal of shape {tuple(shape)}: expected "
            f"a row per position and a column per pixel, {wanted}. Assign an array of the signal's shape."
        )
    return CSRFrames(matrix, shape=shape)


def in_chunks(array: np.ndarray) -> da.Array:
    """The dask array of a dense array in memory, the detector in one piece."""
    array = np.atleast_1d(array)
    return da.from_array(array, chunks=("auto",) * (array.ndim - 2) + (-1,) * min(array.ndim, 2))


def keeps_class(data: Any) -> bool:
    """Whether dense data may be of a sparse class: frames next to a mask of NaN, or plus or minus an image."""
    return nan_masks.is_masked(data) or shifted.is_shifted(data)


def assign(signal: BaseSignal, value: Any) -> None:
    """Set the data of a lazy signal of a sparse class, and the class that goes with them."""
    if value is None or (isinstance(value, np.ndarray) and value.dtype == object):
        # HyperSpy takes the data away while it copies the rest of a signal.
        signal._data = np.atleast_1d(value)
        return
    axes = vars(signal).get("axes_manager")
    shape = () if axes is None else tuple(axis.size for axis in axes._axes)
    if not hasattr(value, "__array_function__") and not scipy.sparse.issparse(value):
        value = np.asanyarray(value)
    signal._data = as_lazy_data(_of_one_kind(value), shape)
    if axes is not None:
        if isinstance(signal._data._meta, CSRFrames):
            twins.settle(signal)
        elif not keeps_class(signal._data):
            twins.choose_class(signal)


def watch_stock_classes() -> None:
    """Let HyperSpy's lazy classes pass sparse frames on to their twins, once.

    ``LazyDiffraction2D(frames)``, `fold` and ``signal.data = frames`` all run code of the host's
    own classes, which has no hook for the kind of an array (HyperSpy 2.5). For any other data these
    two do what they did.
    """
    if vars(LazySignal).get("_passes_frames_on"):
        return
    LazySignal._passes_frames_on = True
    LazySignal.data = property(BaseSignal.data.fget, _set_and_pass_on, doc=BaseSignal.data.__doc__)
    LazySignal.__init__ = _passing_on(LazySignal.__init__)


def _may_be_frames(data: da.Array | np.ndarray) -> bool:
    return isinstance(data, da.Array) and (isinstance(data._meta, CSRFrames) or "_sparse_before" in vars(data))


def _of_one_kind(data: da.Array | np.ndarray | None) -> da.Array | np.ndarray | None:
    """An array that dask calls dense, with no chunk of frames in it.

    dask infers the kind of a result from empty arrays. Stacked frames and dense arrays are of both kinds, and
    ``arctan2(frames, array)`` is of frames where the array is positive, and dense where it is not.
    """
    called_dense = isinstance(data, da.Array) and type(data._meta) is np.ndarray  # masked arrays stay masked
    if not called_dense or data.ndim < 3 or nan_masks.is_masked(data):
        return data
    return twins.densified(data) if _may_hold_frames(data) else data


def _may_hold_frames(data: Any) -> bool:
    """Whether frames lead to an array by any way on which nothing makes dense chunks of them."""
    layers, parents = data.dask.layers, data.dask.dependencies
    # From the result back to where it came from, by layers: a graph of a scan has thousands of tasks in each.
    ahead, seen = [data.name] if data.name in layers else list(layers), set()
    while ahead:
        name = ahead.pop()
        if name in seen or name.startswith(_MAKE_DENSE):
            continue
        seen.add(name)
        if _has_frames(name, layers[name]):
            return True
        ahead += parents[name]
    return False


def _has_frames(name: str, layer: Mapping) -> bool:
    """Whether a layer of a graph makes frames, or has them in memory."""
    if isinstance(layer, MaterializedLayer):
        first = next(iter(layer.values()), None)
        if isinstance(getattr(first, "value", first), CSRFrames):
            return True
    return name.startswith(("csr-frames-", twins.SPARSE_CHUNKS))


def _set_and_pass_on(signal: BaseSignal, value: Any) -> None:
    value = _of_one_kind(value)
    BaseSignal.data.fset(signal, value)
    if _may_be_frames(signal._data) and vars(signal).get("axes_manager") is not None:
        twins.settle(signal)


def _passing_on(host: Callable) -> Callable:
    @functools.wraps(host)
    def __init__(self: BaseSignal, *args: Any, **kwargs: Any) -> None:
        host(self, *args, **kwargs)
        if _may_be_frames(self._data):
            twins.settle(self)

    return __init__
