"""Bytes between the thread that receives and the one that writes: a ring of bounded size."""

from __future__ import annotations

import threading

__all__ = ["Ring"]


class Ring:
    """A buffer that one thread fills and another empties, each in pieces as long as there is room.

    Parameters
    ----------
    size : int
        Bytes: all that it ever holds.

    Attributes
    ----------
    peak : int
        Most bytes that waited at a time.
    waits : int
        How often the filling thread found no room.

    Examples
    --------
    >>> from rsciio_tpx3.live.ring import Ring
    >>> ring = Ring(4)
    >>> room = ring.room()
    >>> room[:3] = b"abc"
    >>> ring.filled(3)
    >>> bytes(ring.next_bytes())
    b'abc'
    """

    def __init__(self, size: int) -> None:
        self._bytes = memoryview(bytearray(size))
        self._size = size
        self._head = self._tail = 0  # bytes filled and emptied since nothing waited
        self._ended = self._broken = False
        self._changed = threading.Condition()
        self.peak = self.waits = 0

    def room(self) -> memoryview | None:
        """Where to put the next bytes, as much as lies in one piece; waits for room. None after `break_off`."""
        with self._changed:
            if self._head == self._tail:
                # nothing waits: the beginning is still in the processor's cache
                self._head = self._tail = 0
            if self._head - self._tail == self._size and not self._broken:
                self.waits += 1
                self._changed.wait_for(lambda: self._head - self._tail < self._size or self._broken)
            if self._broken:
                return None
            at = self._head % self._size
            return self._bytes[at : min(self._size, at + self._size - (self._head - self._tail))]

    def filled(self, n: int) -> None:
        """Tell that so many bytes of `room` are filled."""
        with self._changed:
            self._head += n
            self.peak = max(self.peak, self._head - self._tail)
            self._changed.notify_all()

    def next_bytes(self) -> memoryview:
        """The next bytes to take, as many as lie in one piece; waits for some. Empty after the `end`."""
        with self._changed:
            self._changed.wait_for(lambda: self._head > self._tail or self._ended or self._broken)
            return self.pending()

    def pending(self) -> memoryview:
        """The bytes that wait, as many as lie in one piece; empty where none do. Waits for nothing."""
        with self._changed:
            at = self._tail % self._size
            return self._bytes[at : min(self._size, at + self._head - self._tail)]

    def emptied(self, n: int) -> None:
        """Tell that so many bytes of `next_bytes` are no longer needed."""
        with self._changed:
            self._tail += n
            self._changed.notify_all()

    def take(self, n: int) -> bytes:
        """The next `n` bytes, as they come; fewer at the end."""
        found = bytearray()
        while len(found) < n:
            piece = self.next_bytes()[: n - len(found)]
            if not piece:
                break
            found += piece
            self.emptied(len(piece))
        return bytes(found)

    def end(self) -> None:
        """No bytes will follow."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def break_off(self) -> None:
        """Nobody takes bytes any more."""
        with self._changed:
            self._broken = True
            self._changed.notify_all()
