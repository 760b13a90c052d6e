"""Ctrl+C while a library works that would lose it.

Python raises `KeyboardInterrupt` in whatever the main thread runs next. After a call of HDF5 that is often a function
which a weak reference calls, and there Python prints an exception and goes on: a third of all attempts to end a
conversion were lost, and it ran to its end.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

__all__ = ["held_interrupt"]


@contextlib.contextmanager
def held_interrupt() -> Iterator[None]:
    """Hold Ctrl+C back during a short piece of work, and let it act at the end of it.

    Only the main thread is interrupted, so others pass through; so does a program that ignores Ctrl+C.

    Examples
    --------
    >>> from rsciio_tpx3.utils.interrupts import held_interrupt
    >>> with held_interrupt():
    ...     written = 1 + 1
    """
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple] = []
    signal.signal(signal.SIGINT, lambda *about: came.append(about))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[0])
