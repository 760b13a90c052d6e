"""Receive LiberTEM's stream of CSR frames, and keep each scan as a raw_csr data set."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsciio_tpx3.exceptions import FormatError, LimitError
from rsciio_tpx3.live.addresses import parse_address
from rsciio_tpx3.live.csr_scan import ReceivedScan, ReceivedScans
from rsciio_tpx3.live.csr_stream import read_stream
from rsciio_tpx3.live.recorder import ENDED, FULL, LOST, STOPPED, Recorded, Recorder, numbered, refuse_target
from rsciio_tpx3.live.ring import Ring
from rsciio_tpx3.live.sockets import accept, connect, listener, shut

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsciio_tpx3.csr.csr_frames import CSRFrames
    from rsciio_tpx3.live.addresses import Address

__all__ = ["CsrRecorder", "numbered", "receiver_of", "record_csr"]

_logger = logging.getLogger(__name__)

_RECEIVE = 4 << 20  # bytes requested at a time


def record_csr(
    address: str | Address,
    path: str | os.PathLike,
    *,
    scans: int | None = 1,
    wait: float | None = None,
    overwrite: bool = False,
    look: Callable[[CSRFrames, int], object] | None = None,
) -> list[str]:
    """Record scans that a sender such as Accos sends as CSR frames.

    Parameters
    ----------
    address : str or Address
        ``csr://host:port``: the sender listens there, as Accos does (port 8283); with ``csr://connect@`` we listen.
    path : str or Path
        Of the TOML of the first scan, ``scan.toml``; the next ones are ``scan_1.toml`` and so on.
    scans : int or None
        How many to record; None goes on until the sender ends the connection.
    wait : float, optional
        Seconds to wait for the sender.
    overwrite : bool
        Replace a data set that is there.
    look : callable, optional
        Is given every chunk of frames, and the number of the first of them in its scan.

    Returns
    -------
    list of str
        The data sets.

    Raises
    ------
    FileExistsError
        If a data set is there.
    FormatError
        If the stream is another one.
    ConnectionError
        If nobody sends.

    Notes
    -----
    A scan that is cancelled, or whose connection is lost, is kept: positions that did not come are empty, and a warning
    says so. The data set can be loaded from its first frames on, also where its recorder is killed.

    Examples
    --------
    >>> from rsciio_tpx3.live.csr_recorder import record_csr
    >>> record_csr("csr://localhost:8283", "scan.toml")  # doctest: +SKIP
    """
    address = parse_address(address, ("csr",))
    target = Path(path).absolute()
    refuse_target(target, overwrite)
    received = ReceivedScans(lambda number: numbered(target, number), look)
    with _connected(address, wait) as sock:
        try:
            for header, content in read_stream(receiver_of(sock)):
                received.take(header, content)
                if scans is not None and len(received.finished) >= scans:
                    break
        except (EOFError, OSError) as error:
            _logger.warning(f"{address}: {error}. What came is kept.")
        finally:
            received.finish()
    return received.finished


@contextlib.contextmanager
def _connected(address: Address, wait: float | None) -> Any:
    never = threading.Event()
    if not address.listen:
        sock = connect(address, never, wait)
    else:
        with listener(address) as bound:
            sock = accept(bound, never, wait)
        if sock is None:
            raise ConnectionError(f"{address}: no sender connected within {wait:g} s.")
    assert sock is not None
    with sock:
        yield sock


def receiver_of(sock: socket.socket) -> Callable[[int], bytes]:
    """What `read_stream` takes, of a connection."""

    def receive(n: int) -> bytes:
        data = bytearray(n)
        view, got = memoryview(data), 0
        while got < n:
            k = sock.recv_into(view[got:])
            if k == 0:
                break
            got += k
        return bytes(view[:got])

    return receive


class CsrRecorder(Recorder):
    """Record scans that are sent as CSR frames, while somebody else follows them: a data set for each.

    As a `Recorder`, with `measurements` counting scans: one thread receives, another takes the stream apart and writes
    raw_csr arrays. A data set can be loaded from its first frames on, and says that it is unfinished.
    """

    SCHEMES = ("csr",)
    _received: ReceivedScans | None = None

    def _one(self, sock: socket.socket) -> int:
        """Record one connection; how many scans came."""
        first = self._begun(sock)
        before = len(self.files)
        with contextlib.closing(sock):
            if first:
                self._ring = Ring(self._ring_bytes)
                writer = threading.Thread(target=self._take_apart, args=(self._ring,), daemon=True)
                writer.start()
                self._put(self._ring, memoryview(first))
                state, reason = self._receive(sock, self._ring)
                writer.join()
                self._close_ring()
                self._finish(state, reason)
        if self.files and self.files[-1].state == FULL:
            raise OSError(errno.EIO, self.files[-1].reason)
        return len(self.files) - before

    def _receive(self, sock: socket.socket, ring: Ring) -> tuple[str, str]:
        """Fill the ring until the connection ends; how it ended, and why."""
        failed = None
        try:
            while (room := ring.room()) is not None:
                n = sock.recv_into(room[:_RECEIVE])
                if n == 0:
                    break
                ring.filled(n)
            else:
                return STOPPED, ""
        except OSError as error:
            failed = error
        finally:
            ring.end()
        return self._end_of(failed)

    def _take_apart(self, ring: Ring) -> None:
        received = self._received = ReceivedScans(self._path_of, self._note_rows, self._new_scan)
        try:
            for header, content in read_stream(ring.take):
                received.take(header, content)
                self._note_written(received)
                if self._enough():
                    break
        except (EOFError, FormatError, LimitError, ValueError) as error:
            if not self._stopped.is_set():
                self._finish(LOST, f"{self.address}: {error}. What came is kept.")
        except OSError as error:
            self._finish(FULL, f"{str(self.path)!r} could not be written any further ({error.strerror or error}).")
        finally:
            # the sender may go on for long
            ring.break_off()
            shut(self._sock)

    def _enough(self) -> bool:
        return self.measurements is not None and len(self.files) >= self.measurements and not self._receiving

    def _path_of(self, number: int) -> Path:
        return self._next_path()

    def _new_scan(self, scan: ReceivedScan) -> None:
        self.files.append(Recorded(str(scan.path)))

    def _note_rows(self, frames: CSRFrames, first: int) -> None:
        self._note(frames.indices.nbytes + frames.data.nbytes)

    def _note_written(self, received: ReceivedScans) -> None:
        if not self._receiving:
            return
        if received.scan is not None and str(received.scan.path) == self.files[-1].path:
            self.files[-1].bytes = received.scan.n_bytes
        elif self.files[-1].path in received.finished:
            self.files[-1].state = ENDED

    def _finish(self, state: str, reason: str) -> None:
        """Finish a scan that was not: its positions that did not come are empty."""
        if self._received is not None and self._received.scan is not None:
            with contextlib.suppress(OSError):
                self._received.finish()
        if self._receiving:
            # a stream that ends in a scan was cut, whoever ended it
            self.files[-1].state = LOST if state == ENDED else state
            self.files[-1].reason = reason or f"the stream ended inside the scan of {self.files[-1].path!r}."
        if reason:
            _logger.warning(reason)
