"""Work of a thread of its own: started, waited for, and stopped, by a context or by hand."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Any, TypeVar

__all__ = ["Worker"]

_W = TypeVar("_W", bound="Worker")


class Worker(ABC):
    """What recorders, senders and sessions have in common; as a context it is stopped at the end.

    A worker makes the events and, in `start`, the thread. The thread sets `_done` when all is done, and looks at
    `_stopped`.
    """

    _thread: threading.Thread | None
    _stopped: threading.Event
    _done: threading.Event

    @abstractmethod
    def start(self: _W) -> _W:
        """Start the thread, once."""

    def stop(self) -> None:
        """Break off, and wait until the thread has ended."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all is done; False where the time was too short."""
        return self._done.wait(timeout)

    def __enter__(self: _W) -> _W:
        return self.start()

    def __exit__(self, *error: Any) -> None:
        self.stop()
