"""Send a recording that is still being made as LiberTEM's stream of CSR frames."""

from __future__ import annotations

import logging
import queue
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.live.csr_server import CHUNK_BYTES, CsrServer, Sender
from rsciio_tpx3.live.csr_stream import AcquisitionEnd, AcquisitionStart

if TYPE_CHECKING:
    import socket

    from rsciio_tpx3.live.line_rows import LineRows
    from rsciio_tpx3.live.session import Session

__all__ = ["LiveCsrServer"]

_logger = logging.getLogger(__name__)

_LOOK = 0.1  # s
_MOST_EMPTY = 1 << 16  # rows that are sent together for lines that did not come


class LiveCsrServer(CsrServer):
    """Serve what a session follows: an acquisition for each measurement, lines as they become complete.

    Every receiver gets the running measurement from its first line on. What waits for a slow receiver is read from the
    recording when its turn comes, so it takes no memory and holds nobody up. Lines whose edges are missing are sent
    empty. Where later edges tell other positions for what was sent, the acquisition is cancelled, and another begins.

    Parameters
    ----------
    session : Session
        It may have been started already, or not yet.
    host, port, chunk_bytes, times
        Of `CsrServer`.

    Examples
    --------
    >>> from rsciio_tpx3.live.csr_live_server import LiveCsrServer
    >>> with LiveCsrServer(session, port=8283) as server:  # doctest: +SKIP
    ...     server.wait()
    """

    def __init__(
        self,
        session: Session,
        host: str = "127.0.0.1",
        port: int = 0,
        chunk_bytes: int = CHUNK_BYTES,
        times: int | None = 1,
    ) -> None:
        self._session = session
        self._prepare(host, port, chunk_bytes, times)

    def _send(self, sock: socket.socket) -> None:
        feed = _Feed(sock, self._chunk_bytes)
        self._session.plug(feed)
        try:
            while not self._stopped.is_set():
                finished = self._session.finished
                if feed.go_on(_LOOK):
                    self.sent += 1
                elif finished and feed.empty:
                    return
                if self._times is not None and self.sent >= self._times:
                    return
        finally:
            self._session.unplug(feed)


class _Feed:
    """An accumulator that only notes what is to be sent, and the thread of a connection that sends it."""

    def __init__(self, sock: socket.socket, chunk_bytes: int) -> None:
        self._sock, self._chunk_bytes = sock, chunk_bytes
        self._queue: queue.SimpleQueue[LineRows | str] = queue.SimpleQueue()
        self._sender: Sender | None = None
        self._per_scan = 0
        self._empty: CSRFrames | None = None

    # -- of the thread that follows --------------------------------------------------------------------

    def add(self, rows: LineRows) -> None:
        """A line that is complete."""
        self._queue.put(rows.undecoded())

    def clear(self) -> None:
        """What was added is to be read anew."""
        self._queue.put("clear")

    def end(self) -> None:
        """The measurement has ended."""
        self._queue.put("end")

    # -- of the thread that sends ----------------------------------------------------------------------

    @property
    def empty(self) -> bool:
        return self._queue.empty()

    def go_on(self, wait: float) -> bool:
        """Send what comes next, if anything does in some time; whether that was the end of an acquisition."""
        try:
            item = self._queue.get(timeout=wait)
        except queue.Empty:
            return False
        if isinstance(item, str):
            return self._finish(whole=item == "end")
        frames = item.frames
        if self._sender is None:
            self._begin(item, frames)
        assert self._sender is not None
        if item.start < self._sender.row:
            _logger.warning(f"positions {item.start} to {item.stop} come after later ones: they are not sent.")
            return False
        self._skip(item.start)
        self._sender.append(frames)
        return False

    def _begin(self, rows: LineRows, frames: CSRFrames) -> None:
        height, width = frames.sig_shape
        ny, nx = rows.nav_shape[-2:]
        self._sock.sendall(AcquisitionStart(ny, nx, height, width).pack())
        self._per_scan = ny * nx
        self._sender = Sender(self._sock, self._per_scan, frames.dtype, self._chunk_bytes)
        self._empty = frames[:0]

    def _skip(self, row: int) -> None:
        """Send empty frames up to a row."""
        assert self._sender is not None and self._empty is not None
        while self._sender.row < row:
            n = min(row - self._sender.row, _MOST_EMPTY)
            arrays = self._empty.data, self._empty.indices, np.zeros(n + 1, np.int64)
            self._sender.append(CSRFrames(arrays, shape=(n, *self._empty.sig_shape)))

    def _finish(self, whole: bool) -> bool:
        """End an acquisition; one that is not `whole` is cancelled. False where none had begun."""
        sender = self._sender
        if sender is None:
            return False
        if whole:
            self._skip(-(-sender.row // self._per_scan) * self._per_scan)
        self._sender = None
        self._sock.sendall(AcquisitionEnd().pack())
        return whole
