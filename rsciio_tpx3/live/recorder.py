"""Record a stream: bytes from a connection to a file, and nothing else.

A reader that is slow makes the sender drop data. So whoever wants to see something reads the file, and where the disk
is slow, bytes wait in a ring of bounded size. Nothing here knows what the bytes mean.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rsciio_tpx3.live.addresses import Address, parse_address
from rsciio_tpx3.live.relay import Relay
from rsciio_tpx3.live.ring import Ring
from rsciio_tpx3.live.sockets import accept, connect, listener, shut
from rsciio_tpx3.live.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RING_BYTES", "Recorded", "Recorder", "numbered", "record", "refuse_target"]

_logger = logging.getLogger(__name__)

RING_BYTES = 128 << 20
"""What waits to be written at the most, in bytes: 0.13 s of the fastest detector, and all the memory of a recorder."""

_RATE_OVER, _RATE_STEP = 1.0, 0.02  # s
ENDED, LOST, FULL, STOPPED = "ended", "connection lost", "not written", "stopped"


@dataclass
class Recorded:
    """One connection, and the file that it went to.

    Attributes
    ----------
    path : str
    bytes : int
        Written so far.
    state : str
        "receiving"; then "ended" where the sender closed the connection, "connection lost", "not written" (a full disk
        for example), or "stopped" by us.
    reason : str
        What happened, for the user; empty where all is well.
    """

    path: str
    bytes: int = 0
    state: str = "receiving"
    reason: str = ""


class Recorder(Worker):
    """Record what a detector sends, one file for each connection.

    A connection is a measurement, with a clock that starts anew: the second one goes to ``name_1``, never behind the
    first. Use as a context, or call `start` and `stop`.

    Parameters
    ----------
    address : str or Address
        See `parse_address`: ``tcp://host:port`` to connect, ``tcp://connect@host:port`` to listen.
    path : str or Path
        The first file.
    measurements : int or None
        Connections to record; None goes on until `stop`.
    wait : float or None
        Seconds to wait for the sender, each time; None waits for ever.
    overwrite : bool
        Replace a file that is there. Otherwise it is refused, before anything is received.
    ring_bytes : int
        Memory between receiving and writing.

    Attributes
    ----------
    files : list of Recorded
    error : Exception or None
        What ended the recording, if anything did.

    Raises
    ------
    FileExistsError
        If the file is there, and `overwrite` does not allow to replace it.
    OSError
        If the port is taken, or the folder is not there, or cannot be written to.

    Notes
    -----
    Each byte is handed to the operating system as soon as it is received, without buffering: a recorder that is killed
    leaves a file with all of them but those in the ring. A file that ends inside a chunk loads with ``on_loss="warn"``.

    Examples
    --------
    >>> from rsciio_tpx3.live import Recorder
    >>> with Recorder("tcp://connect@localhost:0", "scan.tpx3") as recorder:  # doctest: +SKIP
    ...     recorder.wait()
    """

    SCHEMES: ClassVar[tuple[str, ...]] = ("tcp",)

    def __init__(
        self,
        address: str | Address,
        path: str | os.PathLike,
        *,
        measurements: int | None = 1,
        wait: float | None = None,
        overwrite: bool = False,
        ring_bytes: int = RING_BYTES,
    ) -> None:
        self.address = parse_address(address, self.SCHEMES)
        self.path = Path(path).absolute()
        if measurements is not None and measurements < 1:
            raise ValueError(f"measurements={measurements!r}: expected 1 or more, or None to go on until stopped.")
        refuse_target(self.path, overwrite)
        self.measurements, self._wait, self._overwrite = measurements, wait, overwrite
        self.files: list[Recorded] = []
        self.error: Exception | None = None
        self._ring_bytes = int(ring_bytes)
        self._ring = Ring(0)
        self._peak = self._waits = 0
        self._stopped, self._done = threading.Event(), threading.Event()
        self._bound: socket.socket | None = None
        self._sock: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._history: deque = deque()

    # -- life ------------------------------------------------------------------------------------------

    def start(self) -> Recorder:
        """Begin to listen or to connect, in a thread."""
        if self._thread is not None:
            raise RuntimeError("this recorder was started before: make a new one.")
        if self.address.listen:
            self._bound = listener(self.address)
            self.address = Address(self.address.scheme, self.address.host, self._bound.getsockname()[1], True)
        self._thread = threading.Thread(target=self._run, name="rsciio_tpx3-recorder", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the connection; what was received is written first."""
        self._stopped.set()
        shut(self._sock)
        if self._thread is not None:
            self._thread.join()

    # -- what can be seen ------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """ "waiting" for a connection, "receiving", or how the last one ended."""
        if self.error is not None and not self._receiving:
            return "failed"
        if self._receiving:
            return "receiving"
        return "waiting" if not self._done.is_set() or not self.files else self.files[-1].state

    @property
    def _receiving(self) -> bool:
        return bool(self.files) and self.files[-1].state == "receiving"

    @property
    def finished(self) -> bool:
        """Whether no more will be recorded."""
        return self._done.is_set()

    @property
    def bytes(self) -> int:
        """Bytes written, of all files."""
        return sum(one.bytes for one in self.files)

    @property
    def rate(self) -> float:
        """Bytes per second over the last second."""
        now = time.monotonic()
        recent = [item for item in list(self._history) if now - item[0] <= _RATE_OVER]
        return sum(n for _, n in recent) / _RATE_OVER

    @property
    def memory(self) -> int:
        """Bytes of memory that the recorder takes, whatever is sent."""
        return self._ring_bytes

    @property
    def ring_peak(self) -> int:
        """Most bytes that waited to be written at a time; near `memory`, the disk is too slow."""
        return max(self._peak, self._ring.peak)

    @property
    def ring_waits(self) -> int:
        """How often receiving had to wait for the disk: each time the sender may have dropped data."""
        return self._waits + self._ring.waits

    # -- threads ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            n = 0
            while not self._stopped.is_set() and (self.measurements is None or n < self.measurements):
                sock = self._connection()
                if sock is None:
                    break
                n += self._one(sock)
        except Exception as error:
            self.error = error
            _logger.error(f"recording ended: {error}")
        finally:
            shut(self._bound)
            self._done.set()

    def _connection(self) -> socket.socket | None:
        if self._bound is None:
            return connect(self.address, self._stopped, self._wait)
        sock = accept(self._bound, self._stopped, self._wait)
        if sock is None and not self._stopped.is_set():
            raise ConnectionError(
                f"{self.address}: no sender connected within {self._wait:g} s. Set Serval's destination to this "
                "address, start the measurement, or wait longer."
            )
        return sock

    def _begun(self, sock: socket.socket) -> Any:
        """The first byte of a connection; nothing where it was closed before, which is not a measurement."""
        self._sock, first = sock, b""
        if self._stopped.is_set():  # set while the connection was made: nobody shuts it then
            shut(sock)
        with contextlib.suppress(OSError):
            first = sock.recv(1)
        if not first:
            # a port that is only tried, or Serval's listener between two measurements
            self._stopped.wait(0.05)
        return first

    def _close_ring(self) -> None:
        self._peak, self._waits = self.ring_peak, self.ring_waits
        self._ring = Ring(0)

    def _one(self, sock: socket.socket) -> int:
        """Record one connection; how many measurements it was."""
        first = self._begun(sock)
        with contextlib.closing(sock):
            if not first:
                return 0
            with self._next_file() as file:
                about = Recorded(file.name)
                self.files.append(about)
                self._ring = Ring(self._ring_bytes)
                self._put(self._ring, memoryview(first))
                state, reason = self._relay(sock, file, about)
            self._close_ring()
        about.state, about.reason = state, reason
        if about.reason:
            _logger.warning(about.reason)
        if about.state == FULL:
            raise OSError(errno.EIO, about.reason)
        return 1

    def _next_path(self) -> Path:
        number = len(self.files)
        path = numbered(self.path, number)
        while path.exists() and not self._overwrite:
            number += 1
            path = numbered(self.path, number)
        if number > 0 and not self.files:
            _logger.warning(
                f"{str(self.path)!r} was made by somebody else since this recorder was: recorded to {path.name!r}."
            )
        return path

    def _next_file(self) -> Any:
        """The next file, opened; never one of another recorder, which may have been given the same name."""
        while True:
            path = self._next_path()
            with contextlib.suppress(FileExistsError):
                return open(str(path), "wb" if self._overwrite else "xb", buffering=0)

    def _put(self, ring: Ring, first: memoryview) -> None:
        room = ring.room()
        if room is not None:
            room[:1] = first
            ring.filled(1)

    def _relay(self, sock: socket.socket, file: Any, about: Recorded) -> tuple[str, str]:
        """Receive and write until the connection ends; how it ended, and why."""

        def write(piece: memoryview) -> int:
            n = file.write(piece) or 0
            about.bytes += n
            self._note(n)
            return n

        relay = Relay(sock, self._ring, write)
        try:
            relay.run()
        except OSError as error:
            return FULL, (
                f"{about.path!r} could not be written any further ({error.strerror or error}) after {about.bytes:,} "
                "bytes, which are there. Make room, or record to another disk."
            )
        return self._end_of(relay.failed)

    def _end_of(self, failed: OSError | None) -> tuple[str, str]:
        """How a connection ended, and why."""
        if self._stopped.is_set():
            return STOPPED, ""
        if failed is None:
            return ENDED, ""
        reason = f"the connection to {self.address} was lost ({failed.strerror or failed}): what came is recorded"
        return LOST, f"{reason} in {self.files[-1].path!r}." if self.files else f"{reason}."

    def _note(self, n: int) -> None:
        now = time.monotonic()
        if self._history and now - self._history[-1][0] < _RATE_STEP:
            n += self._history.pop()[1]
        self._history.append((now, n))
        while now - self._history[0][0] > _RATE_OVER:
            self._history.popleft()


def numbered(path: Path, number: int) -> Path:
    """Path of a measurement: the second one is ``name_1``."""
    return path if number == 0 else path.with_name(f"{path.stem}_{number}{path.suffix}")


def refuse_target(path: Path, overwrite: bool) -> None:
    """Raise OSError where nothing could be recorded to a path, as long as nothing has come that would be lost."""
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {str(folder)!r} does not exist. Make it first.")
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder. Name the file that is to be recorded to.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{str(path)!r} is there already: choose another name, or overwrite=True to replace it.")
    try:
        # tried, since permissions do not tell of all file systems whether they can be written to
        with open(path, "rb+") if path.exists() else tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            error.errno,
            f"nothing can be written to {str(path)!r} ({error.strerror or error}). Choose another folder, or change "
            "the permissions of this one.",
        ) from None


def record(
    address: str | Address,
    path: str | os.PathLike,
    *,
    progress: Callable[[Recorder], object] | None = None,
    every: float = 1.0,
    **options: Any,
) -> list[Recorded]:
    """Record until the sender has ended, or until Ctrl+C.

    Parameters
    ----------
    address, path, **options
        Of `Recorder`.
    progress : callable, optional
        Called with the recorder every so often.
    every : float
        Seconds.

    Returns
    -------
    list of Recorded

    Raises
    ------
    OSError
        If nothing could be received or written.

    Examples
    --------
    >>> from rsciio_tpx3.live import record
    >>> record("tcp://localhost:8085", "scan.tpx3", measurements=2)  # doctest: +SKIP
    """
    with Recorder(address, path, **options) as recorder:
        # Ctrl+C is not an error of a recording: it is how one ends
        with contextlib.suppress(KeyboardInterrupt):
            while not recorder.wait(every):
                if progress is not None:
                    progress(recorder)
    if progress is not None:
        progress(recorder)
    if recorder.error is not None:
        raise recorder.error
    return recorder.files
