"""Which class a signal has: its chunks decide, sparse twin or stock."""

import dask.array as da
import numpy as np

from rsciio_tpx3.frames.csr_frames import CSRFrames

__all__ = ["choose_class", "densified", "has_sparse_chunks", "register_twin", "sparsified"]

_TWIN_OF = {}
_STOCK_OF = {}


def register_twin(twin):
    """Make `twin`, a class of (SparseFramesMixin, host class), the sparse form of its host."""
    _, host = twin.__bases__
    _TWIN_OF[host] = twin
    _STOCK_OF[twin] = host


def has_sparse_chunks(signal):
    """Whether the data are a dask array of `CSRFrames` whose last two axes are the signal axes."""
    data = signal._data
    if not isinstance(data, da.Array) or not isinstance(data._meta, CSRFrames):
        return False
    places = sorted(axis.index_in_array for axis in signal.axes_manager.signal_axes)
    return data.ndim >= 3 and places == [data.ndim - 2, data.ndim - 1]


def choose_class(signal):
    """The twin for sparse chunks, the stock class for dense ones; in place."""
    kind = type(signal)
    if has_sparse_chunks(signal):
        signal.__class__ = _TWIN_OF.get(kind, kind)
        if type(signal) is not kind:
            signal._remember_geometries()
    else:
        signal.__class__ = _STOCK_OF.get(kind, kind)


def densified(data):
    """The dask array with every chunk made dense when its turn comes."""
    return data.map_blocks(
        np.asarray, dtype=data.dtype, meta=np.empty((0,) * data.ndim, data.dtype)
    )


def _to_frames(chunk):
    return chunk if isinstance(chunk, CSRFrames) else CSRFrames.from_dense(chunk)


def sparsified(data):
    """The dask array with every chunk made `CSRFrames`; the detector is one chunk first."""
    data = data.rechunk({data.ndim - 2: -1, data.ndim - 1: -1})
    meta = CSRFrames.from_dense(np.empty((0,) * data.ndim, data.dtype))
    return data.map_blocks(_to_frames, dtype=meta.dtype, meta=meta)
