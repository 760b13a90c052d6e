"""From dense signals to sparse ones, and between the array types that other packages use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import scipy.sparse

from hyperspy_sparse.arguments import need_signal
from hyperspy_sparse.interop.exchange import run_udf, to_libertem, to_py4dstem, to_quantem, to_quantem_direct
from hyperspy_sparse.interop.napari import FrameView, to_napari
from hyperspy_sparse.signals import as_sparse_twin
from hyperspy_sparse.twins import has_sparse_chunks, sparsified
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.dtypes import is_stored
from rsciio_tpx3.frames.dask_array import to_dask
from rsciio_tpx3.frames.memory_source import MemorySource, frames_by_lines
from rsciio_tpx3.metadata.earlier import renewed
from rsciio_tpx3.utils.units import shown

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal


__all__ = [
    "FrameView",
    "convert",
    "run_udf",
    "to_libertem",
    "to_napari",
    "to_py4dstem",
    "to_quantem",
    "to_quantem_direct",
    "to_sparse",
]


def to_sparse(signal: BaseSignal) -> BaseSignal:
    """The sparse twin of a dense 4D STEM signal.

    Counts from another camera, simulated or thresholded data. A lazy signal is converted chunk by
    chunk when it is needed; one in memory now, a few lines at a time.

    Parameters
    ----------
    signal : hyperspy.api.signals.Signal2D or a class derived from it
        With at least one navigation axis; any dtype of real numbers up to double precision. Those in the other byte
        order, as of Medipix files, come out in this machine's.

    Returns
    -------
    LazySparseSignal2D or another class of `hyperspy_sparse.signals`
        Same values, axes, metadata and signal type.

    Raises
    ------
    ValueError
        If the signal has not two signal axes and at least one navigation axis, or its values are of a type that
        frames cannot have, or masked.

    Examples
    --------
    >>> import hyperspy.api as hs, numpy as np
    >>> import hyperspy_sparse
    >>> dense = hs.signals.Signal2D(np.eye(6, dtype=np.uint8).reshape(2, 3, 2, 3))
    >>> hyperspy_sparse.to_sparse(dense)
    <LazySparseSignal2D, title: , dimensions: (3, 2|3, 2)>
        sparse     6 entries in memory: 78 B, dense 36 B
    """
    need_signal(signal)
    am = signal.axes_manager
    if am.signal_dimension != 2 or am.navigation_dimension < 1 or signal.ragged:
        raise ValueError(
            f"{signal} cannot be sparse frames: expected two signal axes and at least one "
            "navigation axis. Use transpose(signal_axes=...) or as_signal2D(...) first."
        )
    if has_sparse_chunks(signal):
        return as_sparse_twin(signal)
    data = signal._data_aligned_with_axes
    if data.dtype.kind not in "biuf" or not is_stored(data.dtype):
        raise ValueError(
            f"{data.dtype} data cannot be sparse frames: expected real numbers of at most double precision. Use "
            'signal.change_dtype("float64") first where that is enough.'
        )
    # A lazy array stays lazy; one in memory becomes sparse a few lines at a time.
    if isinstance(data, da.Array):
        frames = sparsified(data)
    else:
        frames = to_dask(MemorySource(frames_by_lines(data)))
    new = signal._deepcopy_with_new_data(frames, copy_variance=True, copy_navigator=True)
    # HyperSpy 2.5 chooses the class of a signal by `_lazy` and its data, which both have changed.
    new._lazy = True
    new._assign_subclass()
    _renew_metadata(new)
    return as_sparse_twin(new)


def _renew_metadata(signal: BaseSignal) -> None:
    """Give a signal that was saved by an earlier version the names of today, in place."""
    before = {key: signal.metadata.get_item(key).as_dictionary() for key in _RENEWED if signal.metadata.has_item(key)}
    after = renewed(before, str(signal))
    if after is not before:
        for key in after:
            if signal.metadata.has_item(key):
                delattr(signal.metadata, key)
        signal.metadata.add_dictionary(after)


# nodes with quantities of earlier versions; others hold signals, which no plain dictionary has
_RENEWED = ("Signal", "Acquisition_instrument")


_CONVERTERS = {
    "numpy": CSRFrames.todense,
    "sparse.GCXS": CSRFrames.to_gcxs,
    "sparse.COO": CSRFrames.tocoo,
    "sparse.DOK": CSRFrames.todok,
    "scipy.sparse.csr_array": CSRFrames.to_scipy,
    "scipy.sparse.csr_matrix": lambda f: scipy.sparse.csr_matrix(f.to_scipy()),
    "scipy.sparse.csc_array": lambda f: f.to_scipy().tocsc(),
    "scipy.sparse.csc_matrix": lambda f: scipy.sparse.csc_matrix(f.to_scipy()),
    "scipy.sparse.coo_array": lambda f: f.to_scipy().tocoo(),
    "scipy.sparse.coo_matrix": lambda f: scipy.sparse.coo_matrix(f.to_scipy()),
}


def convert(array: Any, backend: str, shape: tuple[int, ...] | None = None) -> Any:
    """An array of frames as another type, by the names that LiberTEM's sparseconverter uses.

    Parameters
    ----------
    array : CSRFrames, numpy.ndarray, sparse or scipy.sparse array
    backend : str
        "numpy", "sparse.GCXS", "sparse.COO", "sparse.DOK", "scipy.sparse.csr_array" (and csr,
        csc, coo as array or matrix), or "CSRFrames". The scipy types are matrices of one row per
        frame, as they have two axes only.
    shape : tuple of int, optional
        ``nav_shape + (height, width)``, for `array` a scipy matrix.

    Returns
    -------
    The converted array; memory is shared where both types keep their data alike.

    Raises
    ------
    ValueError
        If the name is not one of these.

    Examples
    --------
    >>> import numpy as np
    >>> from rsciio_tpx3 import CSRFrames
    >>> frames = CSRFrames.from_dense(np.eye(6).reshape(2, 3, 2, 3))
    >>> matrix = convert(frames, "scipy.sparse.csr_array")
    >>> matrix.shape
    (6, 6)
    >>> convert(matrix, "CSRFrames", shape=(2, 3, 2, 3)).nav_shape
    (2, 3)
    """
    if not isinstance(backend, str) or backend not in (*_CONVERTERS, "CSRFrames"):
        raise ValueError(f"backend={shown(backend)} is not valid: must be one of {', '.join(_CONVERTERS)}, CSRFrames.")
    frames = array if isinstance(array, CSRFrames) else CSRFrames(array, shape=shape)
    if backend == "CSRFrames":
        return frames
    return _CONVERTERS[backend](frames)
