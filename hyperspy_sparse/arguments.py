"""Which signals and axes the functions on signals take; others are refused by name before any work."""

import functools
from collections.abc import Callable
from typing import Any

from hyperspy.signals import BaseSignal

from rsciio_tpx3.utils.units import shown

__all__ = ["are_uniform", "need_signal", "needs_signal", "require_uniform"]


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
