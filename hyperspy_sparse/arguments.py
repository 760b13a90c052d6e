"""What the functions on signals take, refused by name before any work."""

import functools
from collections.abc import Callable
from typing import Any

from hyperspy.signals import BaseSignal

from rsciio_tpx3.utils.units import shown

__all__ = ["need_signal", "needs_signal"]


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
