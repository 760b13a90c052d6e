"""What the functions on signals take, refused by name before any work."""

import functools

from hyperspy.signals import BaseSignal

from rsciio_tpx3.metadata.units import shown

__all__ = ["need_signal", "needs_signal"]


def need_signal(signal):
    """Raise TypeError for what is no signal of HyperSpy."""
    if not isinstance(signal, BaseSignal):
        raise TypeError(f"signal={shown(signal)}: a signal is needed, such as hs.load returns it.")


def needs_signal(function):
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
    def checked(signal, *args, **kwds):
        need_signal(signal)
        return function(signal, *args, **kwds)

    return checked
