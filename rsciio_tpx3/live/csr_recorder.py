"""Receive LiberTEM's stream of CSR frames, and keep each scan as a raw_csr data set."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.live.addresses import parse_address
from rsciio_tpx3.live.csr_stream import (  # fmt: skip
    AcquisitionEnd,
    AcquisitionStart,
    ArrayChunk,
    ScanEnd,
    ScanStart,
    read_stream,
    received_frames,
)
from rsciio_tpx3.live.sockets import accept, connect, listener
from rsciio_tpx3.metadata.record import default_axes, make_record
from rsciio_tpx3.raw_csr.sink import RawCsrSink
from rsciio_tpx3.reader.signal import axis
from rsciio_tpx3.utils.files import PartialFiles
from rsciio_tpx3.utils.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsciio_tpx3.live.addresses import Address

__all__ = ["receiver_of", "record_csr"]

_logger = logging.getLogger(__name__)

_VALUES = {2: np.uint8, 3: np.uint16, 4: np.uint32, 5: np.uint64}


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
    says so. While a scan runs its arrays have provisional names, which end in ``.partial``.

    Examples
    --------
    >>> from rsciio_tpx3.live.csr_recorder import record_csr
    >>> record_csr("csr://localhost:8283", "scan.toml")  # doctest: +SKIP
    """
    address = parse_address(address, ("csr",))
    target = Path(path).absolute()
    if target.exists() and not overwrite:
        raise FileExistsError(f"{str(target)!r} is there already: choose another name, or overwrite=True.")
    found: list[str] = []
    with _connected(address, wait) as sock:
        scan = None
        try:
            for header, content in read_stream(receiver_of(sock)):
                if isinstance(header, AcquisitionStart):
                    start = header
                elif isinstance(header, ScanStart):
                    scan = _Scan(_numbered(target, len(found)), start, content)
                elif isinstance(header, ArrayChunk) and scan is not None:
                    frames = received_frames(header, content, start)
                    if look is not None:
                        look(frames, scan.n_rows)
                    scan.append(frames)
                elif isinstance(header, (ScanEnd, AcquisitionEnd)) and scan is not None:
                    found.append(scan.finish())
                    scan = None
                    if len(found) == scans:
                        break
        except (EOFError, OSError) as error:
            _logger.warning(f"{address}: {error}. What came is kept.")
        except BaseException:
            if scan is not None:
                scan.drop()
            raise
        if scan is not None:
            found.append(scan.finish())
    return found


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


def _numbered(path: Path, number: int) -> Path:
    return path if number == 0 else path.with_name(f"{path.stem}_{number}{path.suffix}")


class _Scan:
    """A data set that is being received."""

    def __init__(self, path: Path, start: AcquisitionStart, metadata: dict) -> None:
        self.path, self.start, self.metadata = path, start, metadata
        self.n_rows = 0
        self._files = PartialFiles(path)
        self._sink: RawCsrSink | None = None
        self._value_type = np.dtype(np.uint32)

    @property
    def _most(self) -> int:
        return self.start.nav_y * self.start.nav_x

    def append(self, frames: CSRFrames) -> None:
        """Take the next frames; those beyond the scan are excluded."""
        if self._sink is None:
            self._begin(frames.dtype)
        n = min(len(frames), self._most - self.n_rows)
        if n < len(frames):
            _logger.warning(
                f"{counted(len(frames) - n, 'frame')} beyond the scan of {self._most:,} positions: excluded."
            )
            frames = frames[:n]
        if n and self._sink is not None:
            if (
                frames.dtype.itemsize > self._value_type.itemsize
                and frames.data.max(initial=0) > np.iinfo(self._value_type).max
            ):
                raise ValueError(f"values do not fit the type of the first chunk, {self._value_type}.")
            self._sink.append(self._sink.prepare(frames))
            self.n_rows += n

    def _begin(self, dtype: np.dtype) -> None:
        self._value_type = np.dtype(dtype)
        self._sink = RawCsrSink(self._files, (self.start.sig_y, self.start.sig_x), self._value_type, True)

    def finish(self) -> str:
        """Write what did not come as empty frames, and give the data set its name."""
        missing = self._most - self.n_rows
        if self._sink is None:
            self._begin(self._value_type)
        assert self._sink is not None
        if missing:
            _logger.warning(
                f"{self.path.name!r}: {self.n_rows:,} of {self._most:,} positions came; the others are empty."
            )
            self._sink.append((np.empty(0, self._sink.dtypes["data"]), np.empty(0, self._sink.dtypes["indices"]),
                               np.zeros(missing, np.int64)))  # fmt: skip
        nav, sig = (self.start.nav_y, self.start.nav_x), (self.start.sig_y, self.start.sig_x)
        axes = [*default_axes(nav), *(axis(name, size, False, units="px") for name, size in zip(("ky", "kx"), sig))]
        signal = {
            "data": np.empty(0, self._value_type),
            "axes": axes,
            "metadata": {"General": {"title": self.path.stem}},
            "original_metadata": {"csr_stream": {"metadata": self.metadata, "sequence": self.start.sequence}},
        }
        params = {
            "filetype": "raw_csr",
            "nav_shape": list(nav),
            "sig_shape": list(sig),
            "values_role": "itot" if self.start.format == 1 else "count",
        }
        with self._files:
            self._sink.finish(params, make_record(signal))
            self._files.commit()
        return str(self.path)

    def drop(self) -> None:
        """Remove what was written."""
        if self._sink is not None:
            self._sink.close()
        with self._files:
            pass
