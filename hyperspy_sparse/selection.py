"""Frames of chosen scan positions as a signal of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hyperspy.axes import UniformDataAxis

from hyperspy_sparse import deferred, navigator
from hyperspy_sparse.arguments import need_signal
from rsciio_tpx3.frames.dask_array import source_of, to_dask
from rsciio_tpx3.frames.shared_reads import SharedFrames
from rsciio_tpx3.frames.sliced_source import ChosenSource
from rsciio_tpx3.utils.units import shown

if TYPE_CHECKING:
    import dask.array as da
    from hyperspy.signal import BaseSignal


__all__ = ["select"]


def select(signal: BaseSignal, mask: Any) -> BaseSignal:
    """The frames of chosen scan positions, one after the other.

    Parameters
    ----------
    signal : one of the sparse signal classes
    mask : array of bool or signal, shape of the scan in NumPy order, ``(y, x)``
        True for positions to be kept: a threshold of a virtual image, a cluster of an analysis, a hand-drawn region.

    Returns
    -------
    A signal of the same class with one navigation axis, "position", in the order of the scan. Frames are read when they
    are needed, and those of other positions are not.

    Raises
    ------
    ValueError
        If `mask` is not of bool, has another shape than the scan, or chooses nothing.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.disks()
    >>> counts = s.sum(axis=s.axes_manager.signal_axes).data.compute()
    >>> hyperspy_sparse.select(s, counts >= np.median(counts)).axes_manager.navigation_shape[0] >= 24
    True
    """
    need_signal(signal)
    deferred.read_recording(signal)
    chosen = _mask(signal, mask)
    rows = np.flatnonzero(chosen)
    counts = navigator.counts_of(signal)
    part = _one_axis(signal, rows.size)
    part.data = _frames(signal.data, rows)
    if counts is not None:
        navigator.attach(part, counts.ravel()[rows])
    return part


def _mask(signal: BaseSignal, mask: Any) -> np.ndarray:
    values = np.asarray(getattr(mask, "data", mask))
    shape = signal.data.shape[:-2]
    if values.dtype != np.bool_ or values.shape != shape:
        raise ValueError(
            f"mask={shown(mask)}: an array of bool of the shape of the scan, {shape} (NumPy order), is expected, not "
            f"{values.dtype} of shape {values.shape}. Compare an image of the scan with a number to make one."
        )
    if not values.any():
        raise ValueError("The mask chooses none of the scan positions; at least one has to be True.")
    return values


def _frames(data: da.Array, rows: np.ndarray) -> da.Array:
    source = source_of(data)
    if source is None or isinstance(source, SharedFrames):
        return data.reshape((-1, *data.shape[-2:]))[rows]
    return to_dask(ChosenSource(source, rows))


def _one_axis(signal: BaseSignal, size: int) -> BaseSignal:
    """The signal with one navigation axis of this size; its data have to follow."""
    line = (slice(None), *(0,) * (signal.axes_manager.navigation_dimension - 1))
    part = signal.inav[line]
    part.navigator = None
    axis = UniformDataAxis(size=size, name="position", navigate=True)
    part.axes_manager.set_axis(axis, part.axes_manager.navigation_axes[0].index_in_axes_manager)
    return part
