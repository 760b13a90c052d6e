"""The picture to navigate by: counts per scan position, without reading a frame."""

import numpy as np

__all__ = ["attach", "counts_signal", "drop_if_outdated"]


def counts_signal(signal, counts):
    """A signal of the navigation axes of `signal`, as HyperSpy's plotting wants its navigator.

    One navigation axis gives a `Signal1D`, two a `Signal2D`, more a stack of images.
    """
    from hyperspy.api import signals

    axes = signal.axes_manager.navigation_axes[::-1]
    counts = np.asarray(counts)
    shape = tuple(axis.size for axis in axes)
    if counts.shape != shape:
        raise ValueError(
            f"the navigator has shape {counts.shape}, but the navigation axes are {shape} in "
            "NumPy order (slowest first)."
        )
    described = [_described(axis, i >= len(axes) - 2) for i, axis in enumerate(axes)]
    kind = signals.Signal1D if len(axes) == 1 else signals.Signal2D
    picture = kind(counts, axes=described)
    picture.metadata.General.title = "Counts per position"
    picture.metadata.set_item("Signal.quantity", "Counts")
    return picture


def _described(axis, in_picture):
    kept = {k: v for k, v in axis.get_axis_dictionary().items() if k != "navigate"}
    return {**kept, "navigate": not in_picture}


def attach(signal, counts):
    """Set `signal.navigator` from counts of shape nav_shape; nothing without navigation axes."""
    if signal.axes_manager.navigation_dimension:
        signal.navigator = counts_signal(signal, counts)
        signal._navigator_of = signal.data.name


def drop_if_outdated(signal):
    """Forget a stored navigator that no longer belongs to the data; plotting makes another.

    Cropping and unfolding leave it behind with another shape, which HyperSpy refuses to plot, and
    arithmetic in place changes the counts.
    """
    stored = signal.navigator
    if stored is None:
        return
    of = getattr(signal, "_navigator_of", signal.data.name)
    sizes = sorted(axis.size for axis in stored.axes_manager._axes)
    fits = sizes == sorted(axis.size for axis in signal.axes_manager.navigation_axes)
    if of != signal.data.name or not fits:
        signal.navigator = None
