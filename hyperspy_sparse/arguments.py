"""Arguments that functions on signals share: signals and axes, refused by name before any work, and progress bars."""

import functools
from collections.abc import Callable
from typing import Any

import hyperspy.api as hs
from hyperspy.signals import BaseSignal

from rsciio_tpx3.utils.units import shown

__all__ = ["are_uniform", "described", "need_signal", "needs_signal", "require_uniform", "shows_progress"]


def need_signal(signal: BaseSignal, name: str = "signal") -> None:
    """Raise TypeError for what is not a signal of HyperSpy; `name` is that of the argument."""
    if not isinstance(signal, BaseSignal):
        raise TypeError(f"{name}={shown(signal)}: expected a signal, such as hs.load returns it.")


def needs_signal(function: Callable) -> Callable:
    """Let a function check its first argument before it starts.

    Parameters
    ----------
    function : callable

    Returns
    -------
    callable
        With the same signature.
    """

    @functools.wraps(function)
    def checked(signal: BaseSignal, *args: Any, **kwds: Any) -> BaseSignal | None:
        need_signal(signal)
        return function(signal, *args, **kwds)

    return checked


def shows_progress(show_progressbar: bool | None) -> bool:
    """Whether to show a progress bar: as requested, and by HyperSpy's preference for None."""
    return bool(hs.preferences.General.show_progressbar) if show_progressbar is None else show_progressbar


def described(axis: Any, navigate: bool) -> dict:
    """An axis as the dictionary of which a new signal makes the same axis, of the navigation or of the signal.

    HyperSpy's own dictionary has under "navigate" where the axis was in the signal that it comes from.
    """
    return {**axis.get_axis_dictionary(), "navigate": navigate}


def are_uniform(axes: Any) -> bool:
    """Whether all of these axes have a scale and an offset."""
    return all(axis.is_uniform for axis in axes)


def require_uniform(axes: Any, what: str) -> None:
    """Refuse axes that have no scale, in HyperSpy's words.

    Parameters
    ----------
    axes : iterable of hyperspy.axes.BaseDataAxis
    what : str
        Who needs them, to begin a sentence.

    Raises
    ------
    NotImplementedError
        If one of the axes lists its values, or computes them.
    """
    others = [str(axis.name) for axis in axes if not axis.is_uniform]
    if others:
        raise NotImplementedError(
            f"{what} cannot operate on a non-uniform axis, and {', '.join(others)} of this signal is one. Interpolate "
            'first: s = s.interpolate_on_axis("uniform", axis).'
        )
