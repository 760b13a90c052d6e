"""Send frames as Accos does, for LiberTEM-live to receive."""

from __future__ import annotations

import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.csr.indexing import take_rows
from rsciio_tpx3.exceptions import LimitError
from rsciio_tpx3.frames.write import write
from rsciio_tpx3.live.addresses import Address
from rsciio_tpx3.live.csr_stream import AcquisitionEnd, AcquisitionStart, ScanEnd, ScanStart, pack_frames
from rsciio_tpx3.live.sockets import accept, listener, shut
from rsciio_tpx3.live.worker import Worker

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames

__all__ = ["CHUNK_BYTES", "CsrServer", "Sender"]

_logger = logging.getLogger(__name__)

CHUNK_BYTES = 16 * 1024 * 24
"""What LiberTEM-live holds in one piece by default: ``bytes_per_chunk`` (16 KiB) times ``chunks_per_stack`` (24)."""


class CsrServer(Worker):
    """Serve frames as LiberTEM's stream of CSR frames: an acquisition on every connection.

    Use as a context, or call `start` and `stop`.

    Parameters
    ----------
    data : dask.array.Array, FrameSource, CSRFrames
        Shape ``(y, x, height, width)`` or ``(scans, y, x, height, width)``.
    host : str
    port : int
        0 lets the system choose one.
    chunk_bytes : int
        A chunk of whole frames is not larger; see `CHUNK_BYTES`.
    times : int or None
        Acquisitions; None goes on until `stop`.

    Attributes
    ----------
    sent : int
        Acquisitions that were sent whole.
    error : Exception or None

    Raises
    ------
    LimitError
        If a shape or a type has no place in the headers.

    Notes
    -----
    The length of the metadata is always 0: the receiver of LiberTEM-live 0.3 does not read them, and takes them for a
    header.

    Examples
    --------
    >>> from rsciio_tpx3.live.csr_server import CsrServer
    >>> with CsrServer(s.data, port=8283) as server:  # doctest: +SKIP
    ...     server.wait()
    """

    def __init__(
        self, data: Any, host: str = "127.0.0.1", port: int = 0, chunk_bytes: int = CHUNK_BYTES, times: int | None = 1
    ) -> None:
        shape = getattr(data, "shape", None) or (*data.nav_shape, *data.sig_shape)
        if len(shape) not in (4, 5) or max(shape[-4:]) > 0xFFFF:
            raise LimitError(
                f"frames of shape {tuple(shape)} cannot be sent: expected (y, x, height, width), or one axis of scans "
                "more, with sides up to 65535."
            )
        self._data, self._shape = data, tuple(int(n) for n in shape)
        self._value_type = np.dtype(data.dtype)
        if self._value_type.kind != "u" or self._value_type.itemsize > 4:
            raise LimitError(f"values of type {self._value_type} cannot be sent: expected uint8, uint16 or uint32.")
        self._prepare(host, port, chunk_bytes, times)

    def _prepare(self, host: str, port: int, chunk_bytes: int, times: int | None) -> None:
        self.address = Address("csr", host, port, True)
        self._chunk_bytes, self._times = chunk_bytes, times
        self.sent = 0
        self.error: Exception | None = None
        self._stopped, self._done = threading.Event(), threading.Event()
        self._bound: socket.socket | None = None
        self._sock: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> CsrServer:
        """Begin to listen, in a thread; nothing happens where it listens already."""
        if self._thread is not None:
            return self
        self._bound = listener(self.address)
        self.address = Address("csr", self.address.host, self._bound.getsockname()[1], True)
        self._thread = threading.Thread(target=self._run, name="rsciio_tpx3-csr-server", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Break off."""
        self._stopped.set()
        shut(self._sock)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        assert self._bound is not None
        try:
            while not self._stopped.is_set() and (self._times is None or self.sent < self._times):
                self._sock = accept(self._bound, self._stopped)
                if self._sock is not None:
                    self._acquisition(self._sock)
        except Exception as error:
            self.error = error
            _logger.error(f"serving frames ended: {error}")
        finally:
            shut(self._bound)
            self._done.set()

    def _acquisition(self, sock: socket.socket) -> None:
        with sock:
            try:
                self._send(sock)
            except ConnectionError as error:
                _logger.warning(f"the receiver has gone ({error.strerror or error}); the next one may connect.")

    def _send(self, sock: socket.socket) -> None:
        ny, nx, height, width = self._shape[-4:]
        sock.sendall(AcquisitionStart(ny, nx, height, width).pack())
        write(self._data, Sender(sock, ny * nx, self._value_type, self._chunk_bytes), False)
        sock.sendall(AcquisitionEnd().pack())
        self.sent += 1


class Sender:
    """A `FrameSink` that sends chunks of whole frames; a scan begins and ends with its frames."""

    def __init__(self, sock: socket.socket, per_scan: int, dtype: np.dtype, chunk_bytes: int) -> None:
        self._sock, self._per_scan, self._value_type, self._most = sock, per_scan, dtype, chunk_bytes
        self.row = 0  # the next one

    def prepare(self, frames: CSRFrames) -> CSRFrames:
        return frames

    def append(self, prepared: CSRFrames) -> None:
        """Send the next frames."""
        each = 4 + self._value_type.itemsize
        lengths = 4 + np.diff(prepared.indptr) * each
        first, n = 0, len(lengths)
        while first < n:
            scan, place = divmod(self.row, self._per_scan)
            if place == 0:
                self._sock.sendall(ScanStart(scan).pack())
            end = min(n, first + self._per_scan - place)
            last = first + int(np.searchsorted(np.cumsum(lengths[first:end]), self._most - 4, "right"))
            if last == first:
                raise LimitError(
                    f"one frame takes {int(lengths[first]) + 4:,} bytes, more than the {self._most:,} of a chunk: "
                    "pass a larger chunk_bytes, and LiberTEM-live as many as bytes_per_chunk * chunks_per_stack."
                )
            rows = take_rows(prepared, np.arange(first, last)) if last - first < n else prepared
            self._sock.sendall(pack_frames(rows, self._value_type))
            self.row += last - first
            if self.row % self._per_scan == 0:
                self._sock.sendall(ScanEnd(scan).pack())
            first = last
