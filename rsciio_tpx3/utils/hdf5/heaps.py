"""Collections of texts and rows in an HDF5 file, looked at before the library does.

HDF5 keeps values of any length in "global heaps". A free space of length 0 in one of them keeps the library (2.0 and
before) busy for ever, and a reference that tells a length of 4 GiB makes it take as much memory. Both are found by
reading the bytes. Source: HDF5 file format specification 3.0, section III.E, and variable-length types.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.utils.compiled import njit
from rsciio_tpx3.utils.files import filled
from rsciio_tpx3.utils.hdf5.dense import TABLES, check_tables
from rsciio_tpx3.utils.hdf5.marks import marks_in

if TYPE_CHECKING:
    from rsciio_tpx3.utils.files import FileStamp

__all__ = ["check_heaps", "number_at"]

MOST_BYTES = 1 << 24
"""Files above are not read from end to end for this: it takes some 10 ms for 16 MiB. ``guard=True`` is for them."""

_BEGINNING, _VERSION = b"GCOL", b"\x01"
_FEW_HEAPS = 64
_MOST_HEAPS = 16  # whose references are looked for; metadata lie in the first ones
_SEARCHED_BYTES = 1 << 20  # and are referred to from the beginning of the file


def check_heaps(stamp: FileStamp) -> None:
    """Raise Tpx3FormatError if the library would get stuck in a heap of a file, or ask for gigabytes for a table.

    Parameters
    ----------
    stamp : FileStamp
        Nothing is done for files above 16 MiB.
    """
    if stamp.size > MOST_BYTES:
        return
    with open(stamp.path, "rb", buffering=0) as file:
        found = marks_in(file, stamp.size, (_BEGINNING, *TABLES))
        check_tables(file, {mark: found[mark] for mark in TABLES}, stamp.size, stamp.name)
        heaps = [at for at in found[_BEGINNING] if _byte_at(file, at + len(_BEGINNING)) == _VERSION]
        if not heaps:
            return
        content = _beginning(file, heaps, stamp.size)
    objects = {at: _objects(content, at, stamp) for at in heaps}
    _check_references(content, {at: objects[at] for at in heaps[:_MOST_HEAPS]}, stamp)


def _beginning(file: io.FileIO, heaps: list[int], size: int) -> np.ndarray:
    """The file as far as its heaps and the references to them reach."""
    stop = size
    if len(heaps) <= _FEW_HEAPS:
        ends = [at + 16 + _length_at(file, at + 8) for at in heaps]
        stop = min(max(*ends, _SEARCHED_BYTES + 16), size)
    content = np.zeros(stop, np.uint8)
    filled(file, 0, content)
    return content


def _byte_at(file: BinaryIO, at: int) -> bytes:
    file.seek(at)
    return file.read(1)


def _length_at(file: BinaryIO, at: int) -> int:
    file.seek(at)
    return int.from_bytes(file.read(8), "little")


def _objects(content: np.ndarray, at: int, stamp: FileStamp) -> tuple[np.ndarray, np.ndarray]:
    """Number and size of each object of a heap."""
    name = stamp.name
    room = min(_number(content, at + 8, 8), len(content)) // 16 if at + 16 <= stamp.size else 0
    numbers, sizes = np.empty(room, np.int64), np.empty(room, np.int64)
    n, damaged = _walk(content, at, stamp.size, numbers, sizes)
    if damaged == at:
        raise Tpx3FormatError(f"{name!r} ends within its texts (at byte {at}): it is damaged or cut. Copy it again.")
    if damaged >= 0:
        left = at + _number(content, at + 8, 8) - damaged
        raise Tpx3FormatError(
            f"{name!r} has an object of {_number(content, damaged + 8, 8)} bytes at byte {damaged}, where {left} are "
            "left: its texts are damaged. Copy the file again."
        )
    return numbers[:n], sizes[:n]


def _check_references(content: np.ndarray, heaps: dict[int, tuple[np.ndarray, np.ndarray]], stamp: FileStamp) -> None:
    """Refuse a reference to an object of a heap that tells more bytes than the whole file has.

    Other things than a length may stand before the address: a kind of layout, or the reference before. These are small
    numbers, or the bytes 4 and 3 of a virtual data set.
    """
    for found in _long_references(content[:_SEARCHED_BYTES], np.array(list(heaps), np.uint64), stamp.size).tolist():
        if found + 12 > stamp.size:
            continue
        numbers, sizes = heaps[_number(content, found, 8)]
        # object 0 is the free space, to which nothing refers: a checksum, and zeros behind it, once looked so
        same = np.flatnonzero((numbers == _number(content, found + 8, 4)) & (numbers != 0))
        if len(same):
            raise Tpx3FormatError(
                f"{stamp.name!r} refers at byte {found - 4} to {_number(content, found - 4, 4)} items in a text of "
                f"{sizes[same[-1]]} bytes: it is damaged. Copy the file again."
            )


def _number(content: np.ndarray, at: int, n_bytes: int) -> int:
    return int.from_bytes(content[at : at + n_bytes].tobytes(), "little")


@njit(nogil=True, cache=True)
def number_at(content: np.ndarray, at: int, n_bytes: int) -> int:
    """A number without a sign, the lowest byte first."""
    found = np.uint64(0)
    for i in range(n_bytes):
        found |= np.uint64(content[at + i]) << np.uint64(8 * i)
    return found


@njit(nogil=True, cache=True)
def _walk(content: np.ndarray, at: int, n_bytes: int, numbers: np.ndarray, sizes: np.ndarray) -> tuple[int, int]:
    """Fill in the objects of a heap: how many there are, and the byte of one that is damaged, or -1.

    The byte is that of the heap itself if its end is beyond the `n_bytes` of the file.
    """
    n = 0
    if at + 16 > n_bytes:
        return n, np.int64(-1)
    total = number_at(content, at + 8, 8)
    if total > np.uint64(n_bytes - at):
        return n, np.int64(at)
    end, place = at + np.int64(total), np.int64(at + 16)
    while place + 16 <= end:
        number, size = np.int64(number_at(content, place, 2)), number_at(content, place + 8, 8)
        if size > np.uint64(n_bytes):
            return n, place
        # free space counts its own head, other objects do not
        step = np.int64(size) if number == 0 else 16 + (np.int64(size) + 7) // 8 * 8
        if step < 16 or place + step > end:
            return n, place
        numbers[n], sizes[n] = number, np.int64(size)
        n += 1
        place += step
    return n, np.int64(-1)


@njit(nogil=True, cache=True)
def _long_references(content: np.ndarray, heaps: np.ndarray, n_bytes: int) -> np.ndarray:
    """Where the address of a heap stands after a length beyond the file, and is not part of a virtual data set."""
    found, n = np.empty(len(content), np.int64), 0
    # every address is below 16 MiB: its five upper bytes are zero
    for at in range(4, len(content) - 7):
        if content[at + 7] or content[at + 6] or content[at + 5] or content[at + 4] or content[at + 3]:
            continue
        address, known = number_at(content, at, 3), False
        for heap in heaps:
            known |= heap == address
        virtual = content[at - 1] == 3 and (content[at - 2] == 4 or content[at - 2] == 5)
        if known and not virtual and number_at(content, at - 4, 4) > np.uint64(n_bytes):
            found[n] = at
            n += 1
    return found[:n]
