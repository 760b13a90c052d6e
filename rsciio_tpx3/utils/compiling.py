"""Says that functions are being compiled: the first use of an installation waits for it, and should know why.

Numba announces each compilation by its event interface; code that comes from its cache is not announced. Meanwhile
Python's search for unreachable objects rests: compiling makes objects by the million and drops few, so that the search,
set off by their number, took a tenth of the time and found little.
"""

from __future__ import annotations

import gc
import logging
import threading
from typing import Any

from numba.core import event

from rsciio_tpx3.utils.progress import progress_bar

__all__ = ["Announcement", "announce"]

_logger = logging.getLogger(__name__)

_PACKAGES = ("rsciio_tpx3", "hyperspy_sparse")
# what loading imports; compiling theirs takes three times as long as ours, and the user waits for both
_OTHERS = ("pyxem", "orix", "diffsims", "hyperspy", "exspy")
_IDLE = 1.0  # seconds without compiling after which the bar is taken away: the work goes on


class Announcement(event.Listener):
    """A progress bar while functions of ours, HyperSpy's and pyXem's are compiled, shown from the third second on.

    Attributes
    ----------
    compiled : int
        Functions of ours compiled by this process so far.
    registered : bool
    """

    def __init__(self) -> None:
        self.compiled = 0
        self.registered = False
        self._bar: Any = None
        self._timer: threading.Timer | None = None
        self._lock = threading.RLock()
        self._open = 0  # compilations that have begun and not ended, in all threads
        self._collects = False  # whether unreachable objects were searched for before the first of them

    def on_start(self, event: event.Event) -> None:
        """Open the bar where there is none."""
        if not _is_waited_for(event):
            return
        with self._lock:
            if self._open == 0:
                self._collects = gc.isenabled()
                gc.disable()
            self._open += 1
            self._stop_timer()
            if self._bar is None:
                _logger.debug("Compiling functions; the results are kept for the next use.")
                about = "Compiling for the first use of this installation"
                bar_format = "{desc}: {n_fmt} functions, {elapsed}"
                self._bar = progress_bar(None, desc=about, bar_format=bar_format, leave=False)

    def on_end(self, event: event.Event) -> None:
        """Count the function, and take the bar away when no other one follows."""
        if not _is_waited_for(event):
            return
        with self._lock:
            self.compiled += _package(event) in _PACKAGES
            self._open = max(self._open - 1, 0)
            if self._open == 0 and self._collects:
                gc.enable()
            if self._bar is not None:
                self._bar.update()
            self._stop_timer()
            self._timer = threading.Timer(_IDLE, self._close)
            self._timer.daemon = True
            self._timer.start()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _close(self) -> None:
        with self._lock:
            if self._bar is not None:
                self._bar.__exit__(None, None, None)
                self._bar = None


def _is_waited_for(event: event.Event) -> bool:
    return _package(event) in _PACKAGES + _OTHERS


def _package(event: event.Event) -> str:
    function = getattr(event.data.get("dispatcher"), "py_func", None)
    return (getattr(function, "__module__", None) or "").split(".")[0]


announcement = Announcement()


def announce() -> Announcement:
    """Register the one announcement of this process with numba, once, and give it."""
    if not announcement.registered:
        event.register("numba:compile", announcement)
        announcement.registered = True
    return announcement
