"""Attributes that lie in a heap of their own, looked at before the library reads them.

In the newer file format an object with more than eight attributes, or with a large one, keeps them in a "fractal heap"
with a B-tree of their names ("dense storage"). Both declare sizes that the library believes: the B-tree's node is
allocated and cleared as it is declared (4 GiB), and its number of entries decides a table of pointers. Both structures
have a checksum, so chance hardly makes such a file; whoever means it does.

Source: HDF5 file format specification 3.0, sections III.A.2 (B-trees, version 2), III.G (fractal heap) and IV.A.2.v
(attribute info message).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from rsciio_tpx3.exceptions import Tpx3FormatError

__all__ = ["ATTRIBUTE_INFO", "TABLES", "blocks", "check_tables", "lookup3"]

ATTRIBUTE_INFO = 0x15  # header message (the specification, IV.A.2.v)

_TREE, _TREE_SIZE = b"BTHD", 38
_HEAP, _HEAP_SIZE = b"FRHP", 142
TABLES = (_TREE, _HEAP)
"""Marks of the structures that `check_tables` looks at."""

_MOST_NODE = 1 << 20  # bytes; the library makes nodes of 512 to 2048
_NODE_HEAD, _LEAST_RECORD = 10, 8
_RECORDS = {1: 24, 2: 36, 3: 16, 4: 28, 5: 11, 6: 15, 8: 17, 9: 13}
"""Bytes of an entry by the kind of tree: of heaps (1 to 4), links (5, 6) and attributes (8, 9)."""
_OTHER_TREES = (7, 10, 11)  # shared messages, and lists of chunks, whose entries depend on the data set
_MOST_DIRECT = 1 << 26  # bytes of a block; the library's own heaps have 64 KiB
_LEAST_ID, _MOST_ID = 3, 4096
_MOST_BLOCKS = 1 << 10
_MOST_BYTES = 1 << 24  # of all blocks of a heap that are looked through
_HUGE_RECORDS = 1
_UNDEFINED = (1 << 64) - 1  # an address that is not set: all bits are set
_MASK = 0xFFFFFFFF  # arithmetic of lookup3 is modulo 2**32


# -- tables --------------------------------------------------------------------------------------


def check_tables(file: BinaryIO, places: dict[bytes, list[int]], size: int, name: str) -> None:
    """Raise Tpx3FormatError for a B-tree or a heap that declares what its file cannot have, or no heap can be.

    To ask an object for its number of attributes reads these already, so this comes before anything else.

    Parameters
    ----------
    file : io.RawIOBase
    places : dict
        Where each of `TABLES` may begin, as `rsciio_tpx3.utils.hdf5.marks.marks_in` finds it.
    size : int
        Of the whole file, in bytes.
    name : str
        Of the file, for the error.
    """
    for at in places[_TREE]:
        file.seek(at)
        if head := _sealed(file.read(_TREE_SIZE)):
            _check_tree(head, name, size)
    for at in places[_HEAP]:
        file.seek(at)
        head = file.read(_HEAP_SIZE)
        if head := _sealed(head + file.read(max(_heap_size(head) - len(head), 0))):
            _check_heap(head, name)


def _sealed(head: bytes) -> bytes:
    """The bytes of a structure with the right checksum; none where the library refuses it, or it is something else."""
    right = len(head) > 4 and lookup3(head[:-4]) == struct.unpack("<I", head[-4:])[0]
    return head if right else b""


def _heap_size(head: bytes) -> int:
    """Bytes of a heap's head with its checksum; it is longer where the heap is packed."""
    (packed,) = struct.unpack_from("<H", head, 7) if len(head) > 8 else (0,)
    return _HEAP_SIZE + 4 + (12 + packed if packed else 0)


def _check_tree(head: bytes, name: str, size: int) -> None:
    node, record = struct.unpack_from("<IH", head, 6)
    (n_records,) = struct.unpack_from("<Q", head, 26)
    # too small a node is as bad: the room for entries is a difference of unsigned numbers
    fits = _LEAST_RECORD <= record <= node - _NODE_HEAD and node <= max(size, _MOST_NODE)
    kind = head[5]
    fits &= kind in _OTHER_TREES or _RECORDS.get(kind) == record
    if not fits or n_records * record > size:
        raise Tpx3FormatError(
            f"{name!r} has a table (kind {kind}) of {n_records} entries of {record} bytes, nodes of {node} bytes, but "
            f"the whole file has {size}: it is damaged. Copy the file again."
        )


def _check_heap(head: bytes, name: str) -> None:
    """The library takes the logarithms of these numbers, and ends the process where they are 0."""
    id_length, most_object = struct.unpack_from("<H", head, 5)[0], struct.unpack_from("<I", head, 10)[0]
    width, start, most_direct, bits, first_rows = struct.unpack_from("<HQQHH", head, 110)
    (n_rows,) = struct.unpack_from("<H", head, 140)
    powers = all(n > 0 and n & (n - 1) == 0 for n in (width, start, most_direct))
    # rows double, and together have places of so many bits
    most_rows = bits - start.bit_length() - width.bit_length() + 3
    if (
        not powers
        or not most_object <= most_direct <= _MOST_DIRECT
        or start > most_direct
        or bits > 64
        or max(first_rows, n_rows) > most_rows
        or not _LEAST_ID <= id_length <= _MOST_ID
    ):
        raise Tpx3FormatError(
            f"{name!r} has a heap of texts, attributes or links whose blocks cannot be: {width} of {start} to "
            f"{most_direct} bytes, {n_rows} rows. It is damaged: copy the file again."
        )


# -- heaps ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Heap:
    """What a fractal heap says of itself: how its blocks grow, and where the first one is."""

    place_width: int
    width: int
    start: int
    most_direct: int
    root: int
    n_rows: int
    huge: int

    @classmethod
    def of(cls, head: bytes) -> _Heap | None:
        """None where it is not a heap, or one that is packed, as those of attributes never are."""
        if len(head) != _HEAP_SIZE or head[:5] != _HEAP + b"\0":
            return None
        (packed,), (huge,) = struct.unpack_from("<H", head, 7), struct.unpack_from("<Q", head, 22)
        width, start, most_direct, bits = struct.unpack_from("<HQQH", head, 110)
        root, n_rows = struct.unpack_from("<QH", head, 132)
        if packed or not width or not 0 < start <= most_direct or bits > 64 or n_rows > 64:
            return None
        return cls(-(-bits // 8), width, start, most_direct, root, n_rows, huge)

    def row_size(self, row: int) -> int:
        return self.start << max(row - 1, 0)

    @property
    def head_size(self) -> int:
        """Bytes before what a block holds, but for the checksum of a direct one."""
        return 13 + self.place_width

    def rows_of(self, size: int) -> int:
        """Rows of an indirect block that stands for so many bytes."""
        return max(size.bit_length() - (self.start * self.width).bit_length() + 1, 0)


def blocks(read: Callable, info: bytes) -> Iterator[bytes]:
    """Content of the blocks of a heap of attributes, in no order.

    Parameters
    ----------
    read : callable
        Bytes of the file from a place, and so many.
    info : bytes
        The attribute info message of an object.

    Yields
    ------
    bytes
        With the head of a block, where it has one.

    Raises
    ------
    Tpx3FormatError
        If there are more of them, or longer ones, than metadata may have.
    """
    at = 2 + 2 * bool(info[1] & 1)
    (address,) = struct.unpack_from("<Q", info, at)
    heap = None if address == _UNDEFINED else _Heap.of(read(address, _HEAP_SIZE))
    if heap is None:
        return
    pending, n_blocks, n_bytes = list(_huge(heap, read)), 0, 0
    if heap.root != _UNDEFINED:
        pending.append((heap.root, heap.n_rows, heap.start))
    while pending:
        address, n_rows, size = pending.pop()
        n_blocks += 1
        n_bytes += 0 if n_rows else size
        if n_blocks > _MOST_BLOCKS or n_bytes > _MOST_BYTES:
            raise Tpx3FormatError("its attributes lie in more blocks than metadata may have")
        if n_rows:
            pending += _children(heap, read, address, n_rows)
        else:
            # a large attribute lies alone, without a head
            yield read(address, size)


def _huge(heap: _Heap, read: Callable) -> Iterator[tuple[int, int, int]]:
    """Address, 0 and size of each attribute above 4 KiB, as far as they are listed in one node."""
    head = b"" if heap.huge == _UNDEFINED else read(heap.huge, _TREE_SIZE)
    if len(head) < _TREE_SIZE or head[:4] != _TREE or head[5] != _HUGE_RECORDS:
        return
    (depth,), (root, n) = struct.unpack_from("<H", head, 12), struct.unpack_from("<QH", head, 16)
    content = b"" if depth or root == _UNDEFINED else read(root, 6 + 24 * n)
    if content[:4] == b"BTLF":
        for at in range(6, len(content) - 23, 24):
            yield struct.unpack_from("<Q", content, at)[0], 0, struct.unpack_from("<Q", content, at + 8)[0]


def _children(heap: _Heap, read: Callable, address: int, n_rows: int) -> Iterator[tuple[int, int, int]]:
    """Address, rows (0 for a direct block) and size of what an indirect block leads to."""
    content = read(address, heap.head_size + 8 * n_rows * heap.width)
    if content[:4] != b"FHIB":
        return
    places = struct.unpack_from(f"<{(len(content) - heap.head_size) // 8}Q", content, heap.head_size)
    for i, place in enumerate(places):
        size = heap.row_size(i // heap.width)
        if place != _UNDEFINED:
            yield place, 0 if size <= heap.most_direct else heap.rows_of(size), size


# -- checksum ------------------------------------------------------------------------------------


def _turn(x: int, n: int) -> int:
    return (x << n | x >> 32 - n) & _MASK


def lookup3(content: bytes) -> int:
    """Checksum of structures in the newer file format: Bob Jenkins' lookup3 (2006), "hashlittle" from 0.

    Parameters
    ----------
    content : bytes

    Returns
    -------
    int
    """
    a = b = c = (0xDEADBEEF + len(content)) & _MASK
    if not content:
        return c
    padded = content + bytes(-len(content) % 12)
    words = struct.unpack(f"<{len(padded) // 4}I", padded)
    # Turns and their order are those of the published function; the last three words are mixed in another way.
    for i in range(0, len(words) - 3, 3):
        a, b, c = (a + words[i]) & _MASK, (b + words[i + 1]) & _MASK, (c + words[i + 2]) & _MASK
        a = (a - c & _MASK) ^ _turn(c, 4)
        c = c + b & _MASK
        b = (b - a & _MASK) ^ _turn(a, 6)
        a = a + c & _MASK
        c = (c - b & _MASK) ^ _turn(b, 8)
        b = b + a & _MASK
        a = (a - c & _MASK) ^ _turn(c, 16)
        c = c + b & _MASK
        b = (b - a & _MASK) ^ _turn(a, 19)
        a = a + c & _MASK
        c = (c - b & _MASK) ^ _turn(b, 4)
        b = b + a & _MASK
    a, b, c = (a + words[-3]) & _MASK, (b + words[-2]) & _MASK, (c + words[-1]) & _MASK
    c = ((c ^ b) - _turn(b, 14)) & _MASK
    a = ((a ^ c) - _turn(c, 11)) & _MASK
    b = ((b ^ a) - _turn(a, 25)) & _MASK
    c = ((c ^ b) - _turn(b, 16)) & _MASK
    a = ((a ^ c) - _turn(c, 4)) & _MASK
    b = ((b ^ a) - _turn(a, 14)) & _MASK
    return ((c ^ b) - _turn(b, 24)) & _MASK
