"""LiberTEM's stream of CSR frames, as Accos sends it: which bytes mean what, in both directions.

All headers have 32 bytes and are little endian, without padding between their fields. An acquisition is a start, one or
more scans, and an end; a scan is a start with a text of JSON, chunks of whole frames, and an end. Any number of
acquisitions follow each other on one connection.

Sources: the receiver of LiberTEM (``LiberTEM-rs``, libertem_asi_tpx3/src/headers.rs), whose own writer of test data
gives the same bytes (``tests/live/test_libertem_live.py``).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.exceptions import FormatError, LimitError

__all__ = [
    "HEADER_BYTES",
    "AcquisitionEnd",
    "AcquisitionStart",
    "ArrayChunk",
    "ScanEnd",
    "ScanStart",
    "pack_frames",
    "read_stream",
    "received_frames",
]

HEADER_BYTES = 32
_VERSION = 7
_MOST_BYTES = 1 << 30  # of a chunk or a text: a damaged length must not fill the memory
_DTYPES: dict[int, Any] = {2: np.dtype("<u1"), 3: np.dtype("<u2"), 4: np.dtype("<u4"), 5: np.dtype("<u8")}
_CODES: dict[Any, int] = {dtype: code for code, dtype in _DTYPES.items()}


class _Header:
    """Fields of a header in the order of the stream."""

    TAG: ClassVar[int]
    LAYOUT: ClassVar[struct.Struct]

    def pack(self) -> bytes:
        """The 32 bytes."""
        return self.LAYOUT.pack(self.TAG, *self._fields())

    def _fields(self) -> tuple:
        return tuple(vars(self).values())


@dataclass(frozen=True)
class AcquisitionStart(_Header):
    """What all scans of an acquisition have in common; types by their code, shapes (y, x)."""

    nav_y: int
    nav_x: int
    sig_y: int
    sig_x: int
    indptr: int = 4
    indices: int = 4
    sequence: int = 0
    version: int = _VERSION
    format: int = 0

    TAG: ClassVar[int] = 0
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BBBHHBHHBI15x")

    def _fields(self) -> tuple:
        nav, sig = (self.nav_y, self.nav_x, self.indptr), (self.sig_y, self.sig_x, self.indices)
        return self.version, self.format, *nav, *sig, self.sequence

    @classmethod
    def unpack(cls, data: bytes) -> AcquisitionStart:
        version, form, ny, nx, indptr, sy, sx, indices, sequence = cls.LAYOUT.unpack(data)[1:]
        return cls(ny, nx, sy, sx, indptr, indices, sequence, version, form)


@dataclass(frozen=True)
class ScanStart(_Header):
    """A scan begins, and so many bytes of JSON follow."""

    sequence: int = 0
    metadata_length: int = 0

    TAG: ClassVar[int] = 1
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BIQ19x")

    @classmethod
    def unpack(cls, data: bytes) -> ScanStart:
        return cls(*cls.LAYOUT.unpack(data)[1:])


@dataclass(frozen=True)
class ArrayChunk(_Header):
    """Whole frames: three arrays follow, with indptr first and the others at their offsets."""

    value: int
    n_frames: int
    n_entries: int
    indices_offset: int
    values_offset: int

    TAG: ClassVar[int] = 2
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BBIIII14x")

    @classmethod
    def unpack(cls, data: bytes) -> ArrayChunk:
        return cls(*cls.LAYOUT.unpack(data)[1:])


@dataclass(frozen=True)
class ScanEnd(_Header):
    """A scan ends."""

    sequence: int = 0

    TAG: ClassVar[int] = 3
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BI27x")

    @classmethod
    def unpack(cls, data: bytes) -> ScanEnd:
        return cls(*cls.LAYOUT.unpack(data)[1:])


@dataclass(frozen=True)
class AcquisitionEnd(_Header):
    """An acquisition ends, or is cancelled."""

    sequence: int = 0

    TAG: ClassVar[int] = 4
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BI27x")

    @classmethod
    def unpack(cls, data: bytes) -> AcquisitionEnd:
        return cls(*cls.LAYOUT.unpack(data)[1:])


_HEADERS: dict[int, Any] = {
    header.TAG: header for header in (AcquisitionStart, ScanStart, ArrayChunk, ScanEnd, AcquisitionEnd)
}


def pack_frames(frames: CSRFrames, value_dtype: np.dtype) -> bytes:
    """A chunk of frames, header and payload, with 32-bit indptr and indices and without padding.

    Parameters
    ----------
    frames : CSRFrames
    value_dtype : numpy.dtype
        uint8, uint16 or uint32.

    Returns
    -------
    bytes
    """
    indptr, indices = (frames.indptr - frames.indptr[0]).astype("<u4"), frames.indices.astype("<u4")
    values = frames.data.astype(np.dtype(value_dtype).newbyteorder("<"))
    offset = indptr.nbytes
    code = _CODES[values.dtype]
    header = ArrayChunk(code, len(indptr) - 1, len(indices), offset, offset + indices.nbytes)
    return b"".join([header.pack(), indptr.tobytes(), indices.tobytes(), values.tobytes()])


def read_stream(receive: Callable[[int], bytes]) -> Iterator[tuple[Any, Any]]:
    """Take a stream apart.

    Parameters
    ----------
    receive : callable
        ``receive(n)`` gives exactly so many bytes, or fewer at the end of the stream.

    Yields
    ------
    header : AcquisitionStart, ScanStart, ArrayChunk, ScanEnd or AcquisitionEnd
    content : dict, bytes or None
        The metadata of a scan, or the payload of a chunk.

    Raises
    ------
    FormatError
        If something else comes, or headers come in another order.
    EOFError
        If the stream ends inside a header or what belongs to it.
    """
    at, in_scan = 0, False
    start: AcquisitionStart | None = None
    content: Any
    while True:
        data = receive(HEADER_BYTES)
        if not data:
            return
        if len(data) < HEADER_BYTES:
            raise EOFError(f"the stream ended inside a header, at byte {at + len(data)}")
        kind = _HEADERS.get(data[0])
        if kind is None:
            raise FormatError(f"byte {at} of the CSR stream: {data[0]} is not a header's number (0 to 4).")
        header, content = kind.unpack(data), None
        place = f"byte {at} of the CSR stream: {kind.__name__}"
        at += HEADER_BYTES
        if isinstance(header, AcquisitionStart):
            _check_start(header, place)
            start, in_scan = header, False
        elif start is None or (isinstance(header, (ArrayChunk, ScanEnd)) and not in_scan):
            raise FormatError(f"{place} comes before the {'scan' if start else 'acquisition'} that it belongs to.")
        elif isinstance(header, ScanStart):
            in_scan = True
            content = _whole(receive, header.metadata_length, place)
            at += len(content)
            content = _json(content, place)
        elif isinstance(header, ArrayChunk):
            content = _whole(receive, _payload_bytes(header, start, place), place)
            at += len(content)
        else:
            in_scan = False
        if isinstance(header, AcquisitionEnd):
            start = None
        yield header, content


def _whole(receive: Callable[[int], bytes], n: int, place: str) -> bytes:
    if n > _MOST_BYTES:
        raise LimitError(f"{place} announces {n:,} bytes, more than the {_MOST_BYTES:,} that are taken.")
    data = receive(n) if n else b""
    if len(data) < n:
        raise EOFError(f"the stream ended inside what {place} announces")
    return data


def _json(text: bytes, place: str) -> dict:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise FormatError(f"{place}: the metadata are not JSON: {text[:60]!r}.") from None
    return found if isinstance(found, dict) else {"metadata": found}


def _check_start(header: AcquisitionStart, place: str) -> None:
    if header.format not in (0, 1):
        raise FormatError(f"{place}: format {header.format} is not known (0: counts, 1: ToT).")
    if header.indptr not in _DTYPES or header.indices not in _DTYPES:
        raise FormatError(f"{place}: types {header.indptr} and {header.indices}: expected 2 to 5, uint8 to uint64.")
    if 0 in (header.nav_y, header.nav_x, header.sig_y, header.sig_x):
        raise FormatError(f"{place}: a shape has a side of 0.")


def _payload_bytes(chunk: ArrayChunk, start: AcquisitionStart, place: str) -> int:
    if chunk.value not in _DTYPES:
        raise FormatError(f"{place}: type {chunk.value} of the values: expected 2 to 5, uint8 to uint64.")
    ends = (chunk.n_frames + 1) * _DTYPES[start.indptr].itemsize
    indices = chunk.indices_offset + chunk.n_entries * _DTYPES[start.indices].itemsize
    if chunk.indices_offset < ends or chunk.values_offset < indices:
        raise FormatError(f"{place}: its arrays overlap (offsets {chunk.indices_offset} and {chunk.values_offset}).")
    return chunk.values_offset + chunk.n_entries * _DTYPES[chunk.value].itemsize


def received_frames(chunk: ArrayChunk, payload: bytes, start: AcquisitionStart) -> CSRFrames:
    """The frames of a chunk.

    Raises
    ------
    FormatError
        If its numbers contradict each other, or an entry lies outside of the detector.
    """
    n_pixels = start.sig_y * start.sig_x
    indptr = np.frombuffer(payload, _DTYPES[start.indptr], chunk.n_frames + 1).astype(np.int64)
    indices = np.frombuffer(payload, _DTYPES[start.indices], chunk.n_entries, chunk.indices_offset)
    values = np.frombuffer(payload, _DTYPES[chunk.value], chunk.n_entries, chunk.values_offset)
    if indptr[0] != 0 or indptr[-1] != chunk.n_entries or (np.diff(indptr) < 0).any():
        raise FormatError(f"a chunk of {chunk.n_frames} frames: indptr does not go from 0 up to {chunk.n_entries}.")
    if chunk.n_entries and int(indices.max()) >= n_pixels:
        raise FormatError(f"a chunk has an entry at pixel {int(indices.max())}; the detector has {n_pixels}.")
    arrays = values, indices.astype(np.int32 if n_pixels < 1 << 31 else np.int64), indptr
    return CSRFrames(arrays, shape=(chunk.n_frames, start.sig_y, start.sig_x))
