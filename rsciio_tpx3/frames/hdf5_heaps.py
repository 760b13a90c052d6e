"""Collections of texts and rows in an HDF5 file, looked at before the library does.

HDF5 keeps values of any length in "global heaps". A free space of length 0 in one of them keeps the library (2.0 and
before) busy for ever, and a reference that tells a length of 4 GiB makes it take as much memory. Both are found by
reading the bytes. Source: HDF5 file format specification 3.0, section III.E, and variable-length types.
"""

import struct

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.frames.hdf5_dense import check_tables

__all__ = ["check_heaps"]

MOST_BYTES = 1 << 24
"""Files above are not read from end to end for this: it takes up to 0.2 s for 16 MiB. ``guard=True`` is for them."""

_BEGINNING = b"GCOL\x01"
_MOST_HEAPS = 16  # whose references are looked for; metadata lie in the first ones
_SEARCHED_BYTES = 1 << 20  # and are referred to from the beginning of the file


def check_heaps(stamp):
    """Raise Tpx3FormatError if the library would get stuck in a heap of a file, or ask for gigabytes for a table.

    Parameters
    ----------
    stamp : FileStamp
        Nothing is done for files above 16 MiB.
    """
    if stamp.size > MOST_BYTES:
        return
    with open(stamp.path, "rb") as file:
        content = file.read(stamp.size)
    check_tables(content, stamp.name)
    at, n_heaps = content.find(_BEGINNING), 0
    while at >= 0:
        sizes = _sizes(content, at, stamp.name)
        n_heaps += 1
        if n_heaps <= _MOST_HEAPS:
            _check_references(content, at, sizes, stamp.name)
        at = content.find(_BEGINNING, at + len(_BEGINNING))


def _sizes(content, at, name):
    """Number of each object of a heap to its size."""
    if at + 16 > len(content):
        return {}
    (total,) = struct.unpack_from("<Q", content, at + 8)
    end, place, sizes = at + total, at + 16, {}
    if end > len(content):
        raise Tpx3FormatError(f"{name!r} ends within its texts (at byte {at}): it is damaged or cut. Copy it again.")
    while place + 16 <= end:
        number, _, _, size = struct.unpack_from("<HHIQ", content, place)
        # free space counts its own head, other objects do not
        step = size if number == 0 else 16 + -(-size // 8) * 8
        if step < 16 or place + step > end:
            raise Tpx3FormatError(
                f"{name!r} has an object of {size} bytes at byte {place}, where {end - place} are left: its texts are "
                "damaged. Copy the file again."
            )
        sizes[number] = size
        place += step
    return sizes


def _check_references(content, at, sizes, name):
    """Refuse a reference to an object of the heap that tells more bytes than the whole file has.

    Other things than a length may stand before the address: a kind of layout, or the reference before. These are small
    numbers, or the bytes 4 and 3 of a virtual data set.
    """
    address = struct.pack("<Q", at)
    found = content.find(address, 4, _SEARCHED_BYTES)
    while found >= 0 and found + 12 <= len(content):
        length, _, number = struct.unpack_from("<IQI", content, found - 4)
        virtual = content[found - 1] == 3 and content[found - 2] in (4, 5)
        if number in sizes and length > len(content) and not virtual:
            raise Tpx3FormatError(
                f"{name!r} refers at byte {found - 4} to {length} items in a text of {sizes[number]} bytes: it is "
                "damaged. Copy the file again."
            )
        found = content.find(address, found + 1, _SEARCHED_BYTES)
