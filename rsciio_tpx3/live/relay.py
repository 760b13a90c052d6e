"""Bytes from a connection to a file: by one thread as long as the file takes them at once, by two where it does not.

A thread that receives and another that writes wake each other for every piece, and every byte goes from the cache of
one core to that of the other: a fifth of the work of recording. So the thread that receives a piece also writes it. A
second thread stands by. Where a write takes long, since the disk makes room for example, it receives on, into a ring of
bounded size, and the first one writes what waits; the second one then goes on alone, and the first one stands by.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from rsciio_tpx3.live.sockets import shut

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from rsciio_tpx3.live.ring import Ring

__all__ = ["Relay"]

_PIECE = 1 << 20
"""Bytes received at a time: they are written while they are in the second cache."""

_PATIENCE = 0.001
"""Seconds that a write may last before the other thread receives: at 1 GB/s the system holds a few milliseconds."""

_LOOKS = _PATIENCE, 0.02  # s between looks of the thread that stands by: while much comes, and while little does
_MUCH = 50e6  # bytes per second


class Relay:
    """Receive until the connection ends, and write all of it.

    Parameters
    ----------
    sock : socket
    ring : Ring
        For what cannot be written yet.
    write : callable
        Is given bytes, writes some of them and returns how many. What it raises ends the relay.

    Attributes
    ----------
    failed : OSError or None
        Of the connection.
    """

    def __init__(self, sock: socket.socket, ring: Ring, write: Callable[[memoryview], int]) -> None:
        self._sock, self._ring, self._write = sock, ring, write
        self._roles = threading.Lock()
        self._receiver: int | None = None  # threads by their number
        self._writer: int | None = None
        self._writing_since = 0.0
        self._ended, self._over = False, threading.Event()
        self._bytes = 0
        self.failed: OSError | None = None
        self._refused: Exception | None = None

    def run(self) -> None:
        """Go on until the end.

        Raises
        ------
        Exception
            What `write` raised.
        """
        other = threading.Thread(target=self._guarded, args=(1,), name="rsciio_tpx3-stand-in", daemon=True)
        self._receiver = 0
        other.start()
        self._guarded(0)
        other.join()
        if self._refused is not None:
            raise self._refused

    def _guarded(self, me: int) -> None:
        try:
            self._take_turns(me)
        except Exception as error:
            self._refused = error
            self._over.set()
            # the other one may be waiting for bytes, or for room
            self._ring.break_off()
            shut(self._sock)

    def _take_turns(self, me: int) -> None:
        before, look = 0, _LOOKS[0]
        while not self._over.is_set():
            if self._may_receive(me):
                self._go_on(me)
                continue
            look = _LOOKS[0] if self._bytes - before > _MUCH * look else min(2 * look, _LOOKS[1])
            before = self._bytes
            self._over.wait(look)

    def _may_receive(self, me: int) -> bool:
        """Whether to receive now: the other one has been writing for long, or has left that to this one."""
        with self._roles:
            if self._receiver is None and not self._ended and time.monotonic() - self._writing_since > _PATIENCE:
                self._receiver = me
            return self._receiver == me

    def _go_on(self, me: int) -> None:
        """Receive, and write where the other one does not, until that one receives."""
        while self._receiver == me:
            if not self._receive():
                self._ended = True
            with self._roles:
                if self._ended:
                    self._receiver = None
                if self._writer is None:
                    self._writer, self._receiver, self._writing_since = me, None, time.monotonic()
            if self._writer == me:
                self._write_all(me)

    def _receive(self) -> bool:
        """Put a piece into the ring; False at the end."""
        room = self._ring.room()
        if room is None:
            return False
        try:
            n = self._sock.recv_into(room[:_PIECE])
        except OSError as error:
            self.failed = error
            return False
        self._ring.filled(n)
        self._bytes += n
        return n > 0

    def _write_all(self, me: int) -> None:
        """Write what waits, and receive again where nobody does."""
        while True:
            piece = self._ring.pending()
            if piece:
                self._ring.emptied(self._write(piece[:_PIECE]))
                continue
            with self._roles:
                # once more, since the other one may just have received
                if self._ring.pending():
                    continue
                self._writer = None
                if self._ended and self._receiver is None:
                    self._over.set()
                elif self._receiver is None:
                    self._receiver = me
                return
