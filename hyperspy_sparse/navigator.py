"""The picture to navigate by: counts per scan position, or what is nearest to them, without reading a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hyperspy.api import signals

from hyperspy_sparse.arguments import described
from rsciio_tpx3.utils.units import shown

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal


__all__ = ["COUNTS", "attach", "counts_of", "drop_if_outdated", "hand_on", "note_as_ours", "picture", "renamed"]

COUNTS = "Counts"
"""What a navigator holds unless its title and quantity say something else."""


def picture(signal: BaseSignal, values: np.ndarray, holds: str = COUNTS) -> BaseSignal:
    """A signal of the navigation axes of `signal`, as HyperSpy's plotting wants its navigator.

    One navigation axis gives a `Signal1D`, two a `Signal2D`, more a stack of images.
    """
    axes = signal.axes_manager.navigation_axes[::-1]
    try:
        values = np.asarray(values)
    except Exception as error:
        raise ValueError(f"navigator={shown(values)}: expected an array of numbers ({error}).") from None
    shape = tuple(axis.size for axis in axes)
    if values.shape != shape:
        raise ValueError(
            f"the navigator has shape {values.shape}, but the navigation axes are {shape} in "
            "NumPy order (slowest first)."
        )
    own = [described(axis, navigate=i < len(axes) - 2) for i, axis in enumerate(axes)]
    kind = signals.Signal1D if len(axes) == 1 else signals.Signal2D
    made = kind(values, axes=own)
    made.metadata.General.title = f"{holds} per position"
    made.metadata.set_item("Signal.quantity", holds)
    return made


def attach(signal: BaseSignal, values: np.ndarray, holds: str = COUNTS) -> None:
    """Set `signal.navigator` from values of shape nav_shape; nothing without navigation axes."""
    if signal.axes_manager.navigation_dimension:
        signal.navigator = picture(signal, values, holds)
        note_as_ours(signal)


def note_as_ours(signal: BaseSignal) -> None:
    """The stored navigator was made of the data as they are now, and not set by the user."""
    signal._own_navigator = signal.navigator, signal.data.name


def _is_ours(signal: BaseSignal) -> bool:
    """Whether the stored navigator is the one that `attach` made, and not one that the user set."""
    made, _ = vars(signal).get("_own_navigator", (None, None))
    return made is not None and signal.navigator is made


def renamed(signal: BaseSignal, before: str) -> None:
    """The array of a signal, which was called `before`, has another name and the same values."""
    if _is_ours(signal) and signal._own_navigator[1] == before:
        note_as_ours(signal)


def hand_on(signal: BaseSignal, derived: BaseSignal) -> None:
    """A copy of a signal knows, too, that its navigator is not the user's."""
    if _is_ours(signal) and derived.metadata.has_item("_HyperSpy.navigator"):
        derived._own_navigator = derived.navigator, signal._own_navigator[1]


def counts_of(signal: BaseSignal) -> np.ndarray | None:
    """Counts of each position in NumPy order, where the navigator has them for the data as they are; else None."""
    # After compute() the data are NumPy's, which have no name: what they have become since then is not known.
    if not _is_ours(signal) or signal._own_navigator[1] != getattr(signal.data, "name", None):
        return None
    stored = signal.navigator
    fits = np.shape(stored.data) == signal.data.shape[:-2]
    return np.asarray(stored.data) if fits and stored.metadata.get_item("Signal.quantity") == COUNTS else None


def drop_if_outdated(signal: BaseSignal) -> None:
    """Forget a navigator of ours that no longer belongs to the data; plotting makes another.

    Cropping and unfolding leave it behind with another shape, which HyperSpy refuses to plot, and
    arithmetic in place changes the counts. A navigator that the user set stays, whatever it is.
    """
    if not _is_ours(signal):
        return
    stored, of = signal._own_navigator
    sizes = sorted(axis.size for axis in stored.axes_manager._axes)
    fits = sizes == sorted(axis.size for axis in signal.axes_manager.navigation_axes)
    if of != getattr(signal.data, "name", None) or not fits:
        signal.navigator = None
