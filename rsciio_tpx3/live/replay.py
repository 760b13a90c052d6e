"""Play a recording as a detector would send it, with the faults that detectors, networks and people have."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.live.addresses import Address, parse_address
from rsciio_tpx3.live.chunk_times import chunk_times
from rsciio_tpx3.live.sockets import accept, connect, listener, shut
from rsciio_tpx3.live.worker import Worker
from rsciio_tpx3.utils.paths import need_file

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Faults", "Replay"]

_logger = logging.getLogger(__name__)

_PIECE = 1 << 20  # bytes handed to the network at a time
_LOOK = 0.05  # s between looks at whether to stop


@dataclass(frozen=True)
class Faults:
    """What goes wrong in a replay.

    Attributes
    ----------
    stall : tuple of (int, float) or None
        After so many bytes nothing is sent for so many seconds.
    cut : int or None
        The sender ends properly after so many bytes, wherever that is.
    disconnect : int or None
        The connection breaks after so many bytes.
    lost_chunks : float or sequence of int
        Share of chunks that are not sent, or their numbers.
    segment : int or None
        Bytes in each piece that is sent; 1 sends them one by one. None: as many as there are.
    random_segments : bool
        Pieces of random length, up to `segment` (4096 where it is not given).
    seed : int
        Of what is random.

    Raises
    ------
    ValueError
        For what can never happen, such as an end after -5 bytes.
    """

    stall: tuple[int, float] | None = None
    cut: int | None = None
    disconnect: int | None = None
    lost_chunks: float | Sequence[int] = ()
    segment: int | None = None
    random_segments: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("cut", 0), ("disconnect", 0), ("segment", 1)):
            n = getattr(self, name)
            if n is not None and n < least:
                raise ValueError(f"{name}={n!r}: expected a number of bytes from {least} on.")
        if self.stall is not None and not (self.stall[0] >= 0 and 0 <= self.stall[1] < math.inf):
            raise ValueError(f"stall={self.stall!r}: expected a number of bytes, and seconds, from 0 on.")


class Replay(Worker):
    """Serve a ``.tpx3`` file as the raw stream of Serval.

    Use as a context, or call `start` and `stop`.

    Parameters
    ----------
    path : str or Path
    address : str or Address
        ``tcp://host:port``: the receiver listens there and we connect to it (Serval's ``tcp://connect@``);
        ``tcp://listen@host:port``: we listen, and the receiver connects. Port 0 lets the system choose one.
    speed : float or None
        1 at the pace of the recording's own clock, 2 twice as fast; None as fast as it is taken.
    times : int or None
        Measurements, each on a connection of its own; None goes on until `stop`.
    faults : Faults
    wait : float or None
        Seconds to wait for the receiver.

    Attributes
    ----------
    sent : list of int
        Bytes sent in each measurement.
    began : list of float
        When each began, by `time.monotonic`.
    error : Exception or None

    Examples
    --------
    >>> from rsciio_tpx3.live import Replay
    >>> with Replay("scan.tpx3", "tcp://listen@localhost:8085", speed=1) as replay:  # doctest: +SKIP
    ...     replay.wait()
    """

    def __init__(
        self,
        path: str | os.PathLike,
        address: str | Address = "tcp://listen@127.0.0.1:0",
        *,
        speed: float | None = 1.0,
        times: int | None = 1,
        faults: Faults | None = None,
        wait: float | None = None,
    ) -> None:
        self.path = need_file(path)
        # in Serval's words "listen@" is Serval, which is us here: the other way round than for a recorder
        receiver = parse_address(address)
        listens = isinstance(address, str) and "listen@" in address
        self.address = Address(receiver.scheme, receiver.host, receiver.port, listens)
        if speed is not None and not speed > 0:
            raise ValueError(f"speed={speed!r}: expected a number above 0, or None for as fast as it is taken.")
        self.speed, self.times, self.faults, self._wait = speed, times, faults or Faults(), wait
        self.chunks = chunk_times(self.path)
        self.ranges = _ranges(self.chunks.start, self.faults)
        self.sent: list[int] = []
        self.began: list[float] = []
        self.error: Exception | None = None
        self._stopped, self._done = threading.Event(), threading.Event()
        self._bound: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Replay:
        """Begin to listen or to connect, in a thread."""
        if self.address.listen:
            self._bound = listener(self.address)
            self.address = Address("tcp", self.address.host, self._bound.getsockname()[1], True)
        self._thread = threading.Thread(target=self._run, name="rsciio_tpx3-replay", daemon=True)
        self._thread.start()
        return self

    @property
    def receiver(self) -> str:
        """The address that a `Recorder` needs to receive this."""
        who = "" if self.address.listen else "connect@"
        return f"tcp://{who}{self.address.host}:{self.address.port}"

    def _run(self) -> None:
        try:
            while not self._stopped.is_set() and (self.times is None or len(self.sent) < self.times):
                sock = self._connection()
                if sock is None:
                    break
                self._send(sock)
        except Exception as error:
            self.error = error
            _logger.error(f"replay ended: {error}")
        finally:
            shut(self._bound)
            self._done.set()

    def _connection(self) -> socket.socket | None:
        if self._bound is not None:
            return accept(self._bound, self._stopped, self._wait)
        return connect(self.address, self._stopped, self._wait)

    def _send(self, sock: socket.socket) -> None:
        """One measurement."""
        sock.settimeout(_LOOK)
        line = _Line(sock, self.faults, self._stopped)
        self.sent.append(0)
        with contextlib.closing(sock), open(self.path, "rb", buffering=0) as file:
            begin = time.monotonic()
            self.began.append(begin)
            try:
                for start, stop, seconds in self._pieces():
                    if self.speed is not None:
                        self._stopped.wait(max(begin + seconds / self.speed - time.monotonic(), 0))
                    if self._stopped.is_set() or not self._piece(file, start, stop, line):
                        break
            except ConnectionError as error:
                _logger.warning(f"the receiver has gone after {line.sent:,} bytes ({error.strerror or error}).")
            self.sent[-1] = line.sent

    def _piece(self, file: Any, start: int, stop: int, line: _Line) -> bool:
        file.seek(start)
        while start < stop:
            data = file.read(min(_PIECE, stop - start))
            if not data or not line.send(data):
                return False
            start += len(data)
        return True

    def _pieces(self) -> Any:
        """Bytes that are due together, as (start, stop, seconds)."""
        seconds, start = self.chunks.seconds, self.chunks.start
        for first, last in self.ranges:
            at = first
            while at < last:
                # what is due within a millisecond goes together
                end = last if self.speed is None else int(np.searchsorted(seconds, seconds[at] + 1e-3 * self.speed))
                end = min(max(end, at + 1), last)
                yield int(start[at]), int(start[end]), float(seconds[end - 1])
                at = end


def _ranges(start: np.ndarray, faults: Faults) -> list[tuple[int, int]]:
    """Chunks that are sent, as half-open ranges of their numbers."""
    n = len(start) - 1
    kept = np.ones(n, bool)
    if isinstance(faults.lost_chunks, float):
        kept[np.random.default_rng(faults.seed).random(n) < faults.lost_chunks] = False
    elif len(faults.lost_chunks):
        kept[list(faults.lost_chunks)] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


class _Line:
    """A connection with faults: counts bytes, and does what is to happen at some of them."""

    def __init__(self, sock: socket.socket, faults: Faults, stopped: threading.Event) -> None:
        self.sock, self.faults, self.stopped, self.sent = sock, faults, stopped, 0
        self._random = random.Random(faults.seed)
        ends = [n for n in (faults.cut, faults.disconnect) if n is not None]
        self._end = min(ends) if ends else None
        self._stall = faults.stall
        if faults.segment or faults.random_segments:
            # or the system would join them again
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> bool:
        """Send all of it; False where the line has ended."""
        view = memoryview(data)
        while view:
            if self.sent == self._end:
                self._break()
                return False
            if self._stall and self.sent == self._stall[0]:
                self.stopped.wait(self._stall[1])
                self._stall = None
            n = self._send_some(view[: self._next(len(view))])
            if self.stopped.is_set():
                return False
            self.sent += n
            view = view[n:]
        return True

    def _next(self, n: int) -> int:
        """Bytes of the next piece: none goes beyond a place where something happens."""
        for at in (self._end, self._stall and self._stall[0]):
            if at is not None and at > self.sent:
                n = min(n, at - self.sent)
        most = self.faults.segment or (4096 if self.faults.random_segments else n)
        return min(n, self._random.randint(1, most) if self.faults.random_segments else most)

    def _send_some(self, view: memoryview) -> int:
        while not self.stopped.is_set():
            with contextlib.suppress(TimeoutError):
                return self.sock.send(view)
        return 0

    def _break(self) -> None:
        if self.sent == self.faults.disconnect:
            # closed so, the other side sees a reset and not an end
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
