"""Frames of chosen scan positions as a signal of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from hyperspy.axes import UniformDataAxis

from hyperspy_sparse import deferred, navigator, recipes
from hyperspy_sparse.arguments import need_signal
from rsciio_tpx3.frames.dask_array import source_of, to_dask
from rsciio_tpx3.frames.shared_reads import SharedFrames
from rsciio_tpx3.frames.sliced_source import ChosenSource
from rsciio_tpx3.utils.units import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyperspy.signal import BaseSignal


__all__ = ["chosen_frames", "is_mask", "on_a_line", "select"]


def select(signal: BaseSignal, mask: Any) -> BaseSignal:
    """The frames of chosen scan positions, one after the other.

    Parameters
    ----------
    signal : one of the sparse signal classes
    mask : array of bool or signal, shape of the scan in NumPy order, ``(y, x)``
        True for positions to be included: a threshold of a virtual image, a cluster of an analysis, a drawn region.

    Returns
    -------
    A signal of the same class with one navigation axis, "position", in the order of the scan. Frames are read when they
    are needed, and those of other positions are not.

    Raises
    ------
    ValueError
        If `mask` is not of bool, has another shape than the scan, masked values, or chooses nothing; if `signal` has
        no images of some pixels, or no scan.

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
    _need_images(signal)
    chosen = _mask(signal, mask)
    rows = np.flatnonzero(chosen)
    counts = navigator.counts_of(signal)
    axis = UniformDataAxis(size=rows.size, name="position", navigate=True)
    part = on_a_line(signal, signal.axes_manager.navigation_axes, axis, chosen_frames(signal.data, rows))
    if counts is not None:
        navigator.attach(part, counts.ravel()[rows])
    return part


def is_mask(index: Any) -> bool:
    """Whether what somebody wrote between the brackets of ``inav`` is a mask of positions, not a list of slices."""
    values = index if isinstance(index, np.ndarray) else getattr(index, "data", index)
    if isinstance(values, list) and values and isinstance(values[0], list):
        values = np.asarray(values) if len({len(row) for row in values if isinstance(row, list)}) == 1 else None
    dtype, n = getattr(values, "dtype", None), getattr(values, "ndim", 0)
    # HyperSpy takes no arrays of several axes: whatever they are, they are refused as masks. Regions have ndim, too.
    return dtype is not None and (n > 1 or (n > 0 and dtype == np.bool_))


def _need_images(signal: BaseSignal) -> None:
    shape = signal.axes_manager.signal_shape
    if len(shape) != 2 or not signal.axes_manager.navigation_dimension or 0 in shape:
        raise ValueError(
            f"{signal}: expected a scan of images, to select some of them; got navigation_shape "
            f"{signal.axes_manager.navigation_shape} and signal_shape {shape}."
        )


def _mask(signal: BaseSignal, mask: Any) -> np.ndarray:
    values = np.asarray(mask if isinstance(mask, np.ndarray) else getattr(mask, "data", mask))
    shape = signal.data.shape[:-2]
    if np.ma.is_masked(getattr(mask, "data", None) if not isinstance(mask, np.ndarray) else mask):
        raise ValueError(
            f"mask={shown(mask)}: expected an array of bool, got one of which some values are masked. Say what "
            "they are: mask.filled(False) excludes these positions."
        )
    if values.dtype != np.bool_ or values.shape != shape:
        raise ValueError(
            f"mask={shown(mask)}: expected an array of bool of the shape of the scan, {shape} (NumPy order), got "
            f"{values.dtype} of shape {values.shape}. Compare an image of the scan with a number to make one."
        )
    if not values.any():
        raise ValueError("The mask chooses none of the scan positions; at least one has to be True.")
    return values


def chosen_frames(data: da.Array | np.ndarray, rows: np.ndarray) -> da.Array | np.ndarray:
    """Frames of some flat positions, ascending, as an array with one axis of positions."""
    if isinstance(data, np.ndarray):
        return data.reshape((-1, *data.shape[-2:]))[rows]
    source = source_of(data)
    if source is not None and not isinstance(source, SharedFrames):
        return to_dask(ChosenSource(source, rows))
    recipe = recipes.recipe_of(data)
    if source is None and recipe is not None:
        made = recipe.again([_chosen(operand, data, rows) for operand in recipe.operands])
        if recipes.is_frames(made) == recipes.is_frames(data):
            return made
    return data.reshape((-1, *data.shape[-2:]))[rows]


def _chosen(operand: Any, data: da.Array, rows: np.ndarray) -> Any:
    """What of an operand of the whole belongs to the chosen positions."""
    if recipes.is_frames(operand):
        return chosen_frames(operand, rows)
    if np.ndim(operand) <= 2:
        return operand
    image = np.broadcast_to if isinstance(operand, np.ndarray) else da.broadcast_to
    return image(operand, data.shape[:-2] + operand.shape[-2:]).reshape((-1, *operand.shape[-2:]))[rows]


def on_a_line(signal: BaseSignal, axes: Sequence, axis: Any, data: da.Array | np.ndarray) -> BaseSignal:
    """The signal with one navigation axis in the place of the first of two, or of all `axes`, and with other data."""
    places = sorted(old.index_in_array for old in axes)
    gone = [signal.axes_manager._axes[place] for place in places[1:]]
    key = [0 if any(old is a for a in gone) else slice(None) for old in signal.axes_manager.navigation_axes]
    part = signal.inav[tuple(key)]
    part.navigator = None
    part.axes_manager.set_axis(axis, places[0])
    part.data = data
    return part
