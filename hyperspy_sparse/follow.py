"""Recordings that are still being written: load what there is, and later the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import hyperspy.api as hs

from hyperspy_sparse.arguments import needs_signal

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal


__all__ = ["refresh", "remember"]

_AXIS_VALUES = ("name", "scale", "offset", "units")


def remember(signal: BaseSignal, filename: str | os.PathLike, file_format: str, options: dict) -> BaseSignal:
    """Note on a signal how it was loaded with ``follow=True``; a step of loading."""
    axes = [_about(axis) for axis in signal.axes_manager._axes]
    signal._followed = filename, file_format, options, axes, {key for key, _ in _items(signal.metadata)}
    return signal


@needs_signal
def refresh(signal: BaseSignal) -> BaseSignal:
    """Load a recording that was loaded with ``follow=True`` again, as far as it has been written by now.

    Parameters
    ----------
    signal : one of the sparse signal classes
        As `hyperspy.api.load` gave it, and not cut or computed with since; its axes and metadata may have
        been changed.

    Returns
    -------
    hyperspy.api.signals.BaseSignal
        A new signal, loaded with the same options. Names, scales, offsets and units of the axes that were
        changed in `signal` stay as they are there, and so do metadata that were added to it. `signal` itself
        can be used as before.

    Raises
    ------
    ValueError
        If the signal was not loaded with ``follow=True``.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> s = hs.load("scan.tpx3", navigation_shape=(256, 256), follow=True)  # doctest: +SKIP
    >>> s = hyperspy_sparse.refresh(s)  # doctest: +SKIP
    """
    if not hasattr(signal, "_followed"):
        raise ValueError(
            f"{signal!r} was not loaded with follow=True, or is not the signal that hs.load gave: there is nothing "
            'to load again. Use s = hs.load("scan.tpx3", follow=True, ...), and later s = refresh(s).'
        )
    filename, file_format, options, axes, keys = signal._followed
    new = hs.load(filename, file_format=file_format, **options)
    _keep_axes(signal, axes, new)
    for key, value in _items(signal.metadata):
        # what was found at loading and is not found now is no longer so, such as a chunk that came late
        if key not in keys and not new.metadata.has_item(key):
            new.metadata.set_item(key, value)
    return new


def _about(axis: Any) -> dict:
    """What an axis describes; one that is not uniform, as a user may have made it, has no scale and offset."""
    return {name: getattr(axis, name) for name in _AXIS_VALUES if hasattr(axis, name)}


def _keep_axes(old: BaseSignal, loaded: list[dict], new: BaseSignal) -> None:
    """Change what was changed since loading; the rest may have grown, such as bins over the time recorded so far."""
    # by the names of loading: where a second frame began meanwhile, there is an axis more
    axes = {axis.name: axis for axis in new.axes_manager._axes}
    for was, axis in zip(loaded, old.axes_manager._axes):
        for name, value in _about(axis).items():
            if value != was[name] and was["name"] in axes:
                setattr(axes[was["name"]], name, value)


def _items(metadata: Any, path: str | os.PathLike = "") -> Iterator:
    """Values of a tree of metadata, each with its path."""
    metadata.process_lazy_attributes()
    for key in metadata.keys():
        value, full = metadata[key], f"{path}{key}"
        if isinstance(value, type(metadata)):
            yield from _items(value, f"{full}.")
        else:
            yield full, value
