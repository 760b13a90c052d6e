"""Which class a signal has: its chunks decide, sparse twin or stock.

The rule that everything else may rely on: a sparse class has a dask array of `CSRFrames` whose last
two axes are the signal axes, or such frames next to a mask of NaN, as HyperSpy's regions leave them (see
`nan_masks`), or plus or minus an image (see `shifted`); a stock class has dense data. HyperSpy changes data,
axes and class of a signal one after the other, so the rule is restored where the last of the three is changed,
see `settle`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.blockwise import blockwise
from dask.highlevelgraph import HighLevelGraph
from hyperspy.signals import ComplexSignal, LazySignal

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.dask_array import without_empty_chunks

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal


__all__ = [
    "DENSE_CHUNKS",
    "SPARSE_CHUNKS",
    "as_frames",
    "choose_class",
    "densified",
    "has_sparse_chunks",
    "host_type",
    "keep_twin",
    "register_twin",
    "settle",
    "sparsified",
    "stock_class_of",
    "twin_of",
]

DENSE_CHUNKS = "asarray-"
"""How the names of layers begin whose chunks were made dense."""

_TWIN_OF = {}
_STOCK_OF = {}
_MIXIN = []  # the one class of it, which imports this module


def register_twin(twin: type) -> None:
    """Make `twin`, a class of (SparseFramesMixin, host class), the sparse form of its host."""
    mixin, host = twin.__bases__
    _MIXIN[:] = [mixin]
    _TWIN_OF[host] = twin
    _STOCK_OF[twin] = host


def _make_twin(host: type) -> None:
    """A class (mixin, host), registered; `hyperspy_sparse.signals` finds it by its name, as pickles need."""
    plain = host.__name__.removeprefix("Lazy")
    about = f"A lazy `{host.__module__.split('.')[0]}` {plain} over sparse frames."
    twin = type(f"LazySparse{plain}", (_MIXIN[0], host), {"__doc__": about, "__module__": "hyperspy_sparse.signals"})
    register_twin(twin)


def host_type(signal_type: Any) -> str:
    """The host's signal type for one of ours: "sparse_dpc" is "dpc", "sparse_frames" is none."""
    plain = signal_type.removeprefix("sparse_")
    return "" if plain == "frames" else plain


def twin_of(host: type) -> type | None:
    """The sparse twin of a stock class, made when it is first requested; None where there can be none."""
    if host not in _TWIN_OF and _can_have_twin(host):
        _make_twin(host)
    return _TWIN_OF.get(host)


def _can_have_twin(host: Any) -> bool:
    lazy_images = issubclass(host, LazySignal) and host._signal_dimension == 2
    return lazy_images and not issubclass(host, ComplexSignal)


def stock_class_of(kind: type) -> type:
    """The host's class of a sparse twin; any other class itself."""
    return _STOCK_OF.get(kind, kind)


def _is_sparse(data: da.Array | np.ndarray) -> bool:
    return isinstance(data, da.Array) and isinstance(data._meta, CSRFrames)


def _is_over_detector(signal: BaseSignal, data: da.Array) -> bool:
    """Whether the signal axes are the last two of the array, with navigation axes before them."""
    axes = signal.axes_manager
    places = sorted(axis.index_in_array for axis in axes.signal_axes)
    return data.ndim >= 3 and data.ndim == len(axes._axes) and places == [data.ndim - 2, data.ndim - 1]


def has_sparse_chunks(signal: BaseSignal) -> bool:
    """Whether the data are a dask array of `CSRFrames` whose last two axes are the signal axes."""
    return _is_sparse(signal._data) and _is_over_detector(signal, signal._data)


def choose_class(signal: BaseSignal) -> None:
    """The twin for sparse chunks, the stock class for dense ones; in place.

    Sparse chunks in a class that cannot have them, as of spectra or complex numbers, become dense
    one by one when they are computed.
    """
    data, kind = signal._data, type(signal)
    stock = _STOCK_OF.get(kind, kind)
    frames = data if _is_sparse(data) else vars(data).get("_sparse_before") if isinstance(data, da.Array) else None
    twin = twin_of(stock) if frames is not None and _is_over_detector(signal, frames) else None
    if twin is None:
        signal.__class__ = stock
        if _is_sparse(data) and data.ndim == len(signal.axes_manager._axes):
            signal._data = densified(data)
            # as_signal1D and back, unfold and fold: the frames return with the axes
            signal._data._sparse_before = data
        return
    # HyperSpy's own way to change a class, see `BaseSignal._assign_subclass`: the object stays the user's.
    signal._data, signal.__class__ = frames, twin
    if twin is not kind:
        signal._remember_geometries()


def keep_twin(signal: BaseSignal) -> None:
    """The twin for dense data that have frames behind them, where the axes are those of frames; in place."""
    twin = twin_of(stock_class_of(type(signal))) if _is_over_detector(signal, signal._data) else None
    if twin is None:
        choose_class(signal)
    else:
        signal.__class__ = twin


def settle(signal: BaseSignal) -> None:
    """Restore the rule above after the host's code; in place.

    While HyperSpy copies a signal it has no data, and while it reduces one it has more axes than
    the data have; then nothing is decided yet.
    """
    data = signal._data
    if signal._lazy and isinstance(data, da.Array) and data.ndim == len(signal.axes_manager._axes):
        choose_class(signal)


def densified(data: da.Array) -> da.Array:
    """The dask array with every chunk made dense when its turn comes."""
    # by hand: `map_blocks` asks for the signature of np.asarray, which takes longer than all the rest
    name = f"{DENSE_CHUNKS}{tokenize(data.name, data.dtype)}"
    axes = tuple(range(data.ndim))
    layer = blockwise(np.asarray, name, axes, data.name, axes, numblocks={data.name: data.numblocks})
    graph = HighLevelGraph.from_collections(name, layer, dependencies=[data])
    return da.Array(graph, name, data.chunks, meta=np.empty((0,) * data.ndim, data.dtype))


def as_frames(chunk: Any) -> CSRFrames:
    """A chunk as `CSRFrames`: itself, or made of the dense or other sparse array that a step before left."""
    return chunk if isinstance(chunk, CSRFrames) else CSRFrames(chunk)


SPARSE_CHUNKS = f"{as_frames.__name__}-"
"""How the names of layers begin whose chunks were made `CSRFrames`: dask names them by the function."""


def sparsified(data: da.Array) -> da.Array:
    """The dask array with every chunk made `CSRFrames`; the detector is one chunk first."""
    data = without_empty_chunks(data).rechunk({data.ndim - 2: -1, data.ndim - 1: -1})
    meta = CSRFrames.from_dense(np.empty((0,) * data.ndim, data.dtype))
    return data.map_blocks(as_frames, dtype=meta.dtype, meta=meta)
