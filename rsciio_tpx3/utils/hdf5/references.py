"""How long values of any length claim to be, read from the bytes of a file before the library believes them.

A text or a row of any length lies in HDF5 as a reference of 16 bytes: its length (u32), and where it is (u64 and u32).
The library takes memory for the length before it looks whether there is anything: 16 changed bytes cost 4 to 32 GiB.
It has no call that tells the length, but it says where an object or a data set begins in the file; from there the
references are found. Source: HDF5 file format specification 3.0, sections IV.A.1 (object headers), IV.A.2.m
(attribute message), and variable-length data types.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from rsciio_tpx3.exceptions import LimitError
from rsciio_tpx3.utils.hdf5.dense import ATTRIBUTE_INFO, blocks
from rsciio_tpx3.utils.hdf5.objects import address

__all__ = [
    "LAYOUT",
    "StoredAttributes",
    "check_references",
    "has_references",
    "limit_attribute",
    "limit_values",
    "messages",
    "read_at",
]

_REFERENCE = 16  # bytes
_DATATYPE, LAYOUT, _ATTRIBUTE, _CONTINUATION = 0x03, 0x08, 0x0C, 0x10
_ANY_LENGTH = 9  # class of a type
_ROW, _TEXT = 0, 1  # what is known of any length; the four lowest bits that follow the class
_MOST_HEADER = 1 << 20
_MOST_PARTS = 256  # of one object header
_COMPACT = 0  # layout class: the data stand in the object header itself
_RUN = re.compile(rb"[^\0]{1,4096}(?=\0)")


def has_references(kind: h5py.h5t.TypeID) -> bool:
    """Whether values of a type lie elsewhere, and their size is not known from it.

    Parameters
    ----------
    kind : h5py.h5t.TypeID
    """
    kinds = h5py.h5t
    found = kind.get_class()
    if found == kinds.STRING:
        return bool(kind.is_variable_str())
    if found == kinds.VLEN:
        return True
    if found == kinds.COMPOUND:
        return any(has_references(kind.get_member_type(i)) for i in range(kind.get_nmembers()))
    return found == kinds.ARRAY and has_references(kind.get_super())


def limit_attribute(
    item: h5py.Group | h5py.Dataset, name: str, most: int, about: Any = None, stored: StoredAttributes | None = None
) -> None:
    """Raise LimitError if an attribute claims more bytes than `most`, or claims them in a way that cannot be seen.

    Parameters
    ----------
    item : h5py.Group or h5py.Dataset
    name : str
    most : int
    about : h5py.h5a.AttrID, optional
        Of the attribute, where it is known.
    stored : StoredAttributes, optional
        Of the item, where several are requested.
    """
    about = about or item.attrs.get_id(name)
    kind, n = about.get_type(), math.prod(about.shape or ())
    if about.shape is None or not has_references(kind):
        return
    where = _Where(item, f"attribute {name!r} of {{}} in {{!r}}")
    _check_kinds(kind, where)
    found = list((stored or StoredAttributes(item)).values(name.encode("utf-8", "surrogateescape")))
    if not found:
        raise LimitError(f"{where} is kept in a way that does not show its size before it is read.")
    for values in found:
        _limit(values[: n * _stored_size(kind)], kind, most, where)


class StoredAttributes:
    """The attributes of an object as they lie in its file, found there once for all of them.

    Parameters
    ----------
    item : h5py.Group or h5py.Dataset
    """

    def __init__(self, item: h5py.Group | h5py.Dataset) -> None:
        self._item = item
        self._header: list[tuple[int, bytes]] | None = None
        self._places: dict[bytes, list[tuple[bytes, int]]] | None = None

    def values(self, name: bytes) -> Iterator[bytes]:
        """What an attribute holds; in a heap of its own also what it held before, where that can still be seen.

        Parameters
        ----------
        name : bytes

        Yields
        ------
        bytes
        """
        if self._header is None:
            self._header = list(messages(self._item))
        for kind, data in self._header:
            if kind == _ATTRIBUTE and (values := _attribute_data(data, name)) is not None:
                yield values
                return
        if self._places is None:
            self._places = self._found()
        for block, at in self._places.get(name, ()):
            for version, head in ((1, 8), (2, 8), (3, 9)):
                if at >= head and block[at - head] == version:
                    values = _attribute_data(block[at - head : at + _MOST_HEADER], name)
                    if values is not None:
                        yield values

    def _found(self) -> dict[bytes, list[tuple[bytes, int]]]:
        """Block and place of each run of bytes without a zero, which a name is; one pass, however many there are."""
        places: dict[bytes, list[tuple[bytes, int]]] = {}
        file = self._item.file
        for kind, info in self._header or ():
            if kind != ATTRIBUTE_INFO or len(info) < 18:
                continue
            for block in blocks(lambda at, n: read_at(file, at, n), info):
                for run in _RUN.finditer(block):
                    # before the name stands the high byte of a size, or the character set: 0 for ASCII, 1 for UTF-8
                    for at in (run.start(), run.start() + 1):
                        places.setdefault(block[at : run.end()], []).append((block, at))
        return places


def limit_values(dataset: h5py.Dataset, most: int) -> None:
    """The same for all values of a data set of texts or rows of any length; those packed by unknown filters are let be.

    Parameters
    ----------
    dataset : h5py.Dataset
    most : int
    """
    kind = dataset.id.get_type()
    if dataset.shape is None or dataset.size == 0 or not has_references(kind):
        return
    check_references(dataset)
    where = _Where(dataset, "{} of {!r}")
    if any(found == _DATATYPE and _is_misfit(data[:8]) for found, data in messages(dataset)):
        raise LimitError(f"{where} has values of any length whose type is damaged: nothing tells how long they are.")
    claimed = _limit(b"", kind, most, where)  # refuses the types of which nothing can be known
    for part in _parts(dataset):
        claimed += _limit(part, kind, most - claimed, where)


def check_references(dataset: h5py.Dataset) -> None:
    """Raise LimitError where values of any length are of a kind that the library does not know.

    Parameters
    ----------
    dataset : h5py.Dataset
    """
    kind = dataset.id.get_type()
    if has_references(kind):
        _check_kinds(kind, _Where(dataset, "{} of {!r}"))


def _check_kinds(kind: h5py.h5t.TypeID, where: object) -> None:
    """Refuse values of any length that are neither rows nor texts.

    HDF5 (2.0 and before) does not look, and ends the process at the first value: it calls what it has for rows or
    texts, which for these is nothing.
    """
    kinds = h5py.h5t
    found = kind.get_class()
    if found == kinds.VLEN:
        # number of the message and version of the coding; class; then the bits
        if kind.encode()[3] & 0x0F not in (_ROW, _TEXT):
            raise LimitError(f"{where} has values of any length that are neither rows nor texts. The file is damaged.")
        _check_kinds(kind.get_super(), where)
    elif found == kinds.COMPOUND:
        for i in range(kind.get_nmembers()):
            _check_kinds(kind.get_member_type(i), where)
    elif found == kinds.ARRAY:
        _check_kinds(kind.get_super(), where)


class _Where:
    """Words for errors, made when there is one: h5py takes longer for the names than the check takes."""

    def __init__(self, item: h5py.Group | h5py.Dataset, words: str) -> None:
        self._item, self._words = item, words

    def __str__(self) -> str:
        return self._words.format(self._item.name, self._item.file.filename)


def _stored_size(kind: h5py.h5t.TypeID) -> int:
    """Bytes of a value in the file; `get_size` tells those in memory, where a reference is a pointer."""
    kinds = h5py.h5t
    if not has_references(kind):
        return kind.get_size()
    if kind.get_class() == kinds.COMPOUND:
        members = [kind.get_member_type(i) for i in range(kind.get_nmembers())]
        return kind.get_size() + sum(_stored_size(member) - member.get_size() for member in members)
    if kind.get_class() == kinds.ARRAY:
        return math.prod(kind.get_array_dims()) * _stored_size(kind.get_super())
    return _REFERENCE


def _places(kind: h5py.h5t.TypeID, where: _Where, at: int = 0) -> Iterator[tuple[int, int]]:
    """Where in a record its references are, and how many bytes an item of each takes (1 for a letter of a text)."""
    kinds = h5py.h5t
    if not has_references(kind):
        return
    if kind.get_class() == kinds.STRING:
        yield at, 1
    elif kind.get_class() == kinds.COMPOUND:
        for i in sorted(range(kind.get_nmembers()), key=kind.get_member_offset):
            member = kind.get_member_type(i)
            yield from _places(member, where, at + kind.get_member_offset(i))
            at += _stored_size(member) - member.get_size()
    elif kind.get_class() == kinds.ARRAY:
        below = kind.get_super()
        for i in range(min(math.prod(kind.get_array_dims()), _MOST_HEADER)):
            yield from _places(below, where, at + i * _stored_size(below))
    elif has_references(kind.get_super()):
        raise LimitError(f"{where} has rows of any length within rows, whose size cannot be determined.")
    else:
        yield at, kind.get_super().get_size()


def _limit(content: bytes, kind: h5py.h5t.TypeID, most: int, where: _Where) -> int:
    """Bytes that records claim, refused above `most`."""
    size, claimed = _stored_size(kind), 0
    rows = np.frombuffer(content[: len(content) // size * size], np.uint8).reshape(-1, size)
    for at, each in _places(kind, where):
        lengths = np.ascontiguousarray(rows[:, at : at + 4]).view("<u4")
        claimed += int(lengths.sum(dtype=np.int64)) * each
    if claimed > most:
        raise LimitError(
            f"{where} claims to have {claimed} bytes, more than the {most} it may have. The file is damaged."
        )
    return claimed


# -- bytes of a file -------------------------------------------------------------------------------


def _usual(file: h5py.File) -> bool:
    """Whether addresses in a file have 8 bytes, as in all but those made for very small machines."""
    return tuple(file.id.get_create_plist().get_sizes()) == (8, 8)


def read_at(file: h5py.File, begin: int, n: int) -> bytes:
    """Bytes of a file as they lie, from an address on; fewer where it ends."""
    if begin >= 1 << 62:
        return b""
    with open(file.filename, "rb", buffering=0) as opened:
        opened.seek(begin + file.userblock_size)
        return opened.read(n)


def messages(item: h5py.Group | h5py.Dataset) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each message in the header of an object."""
    file = item.file
    if not _usual(file):
        return
    begin = address(item)
    head = read_at(file, begin, 32)
    if head[:5] == b"OHDR\x02" and len(head) == 32:
        pending, form = [_first_part_2(begin, head)], _split_2
        marked = bool(head[5] & 4)
    elif head[:1] == b"\x01" and len(head) == 32:
        pending, form, marked = [(begin + 16, struct.unpack_from("<I", head, 8)[0])], _split_1, False
    else:
        return
    n_parts = 0
    while pending and n_parts < _MOST_PARTS:
        at, size = pending.pop()
        n_parts += 1
        for kind, data in form(read_at(file, at, min(size, _MOST_HEADER)), marked):
            if kind == _CONTINUATION and len(data) >= 16:
                next_at, next_size = struct.unpack_from("<QQ", data)
                if next_at < 1 << 62 and form is _split_2:
                    next_at, next_size = next_at + 4, max(next_size, 8) - 8  # its mark and its checksum
                if next_at < 1 << 62:
                    pending.append((next_at, next_size))
            yield kind, data


def _first_part_2(begin: int, head: bytes) -> tuple[int, int]:
    flags = head[5]
    at = 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
    width = 1 << (flags & 3)
    return begin + at + width, int.from_bytes(head[at : at + width], "little")


def _split_1(content: bytes, marked: bool) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 8 <= len(content):
        kind, size = struct.unpack_from("<HH", content, at)
        yield kind, content[at + 8 : at + 8 + size]
        at += 8 + size


def _split_2(content: bytes, marked: bool) -> Iterator[tuple[int, bytes]]:
    at, head = 0, 6 if marked else 4
    while at + head <= len(content):
        kind, size = struct.unpack_from("<BH", content, at)
        yield kind, content[at + head : at + head + size]
        at += head + size


def _attribute_data(content: bytes, wanted: bytes) -> bytes | None:
    """What follows name, type and shape in an attribute message; None for an attribute of another name."""
    if len(content) < 8:
        return None
    version, _, *sizes = struct.unpack_from("<BBHHH", content)
    at = 8 + (version == 3)
    name = content[at : at + sizes[0]].split(b"\0")[0]
    if name != wanted:
        return None
    padded = [-(-n // 8) * 8 for n in sizes] if version == 1 else sizes
    if _is_misfit(content[at + padded[0] : at + padded[0] + 8]):
        return None
    return content[at + sum(padded) :]


def _is_misfit(kind: bytes) -> bool:
    """Whether the type of a value of any length, as it lies in the file, has another size than a reference has.

    The library reads that many bytes and takes what lies behind them for an address and a length.
    """
    return len(kind) == 8 and kind[0] & 0x0F == _ANY_LENGTH and struct.unpack_from("<I", kind, 4)[0] != _REFERENCE


def _parts(dataset: h5py.Dataset) -> Iterator[bytes]:
    """The references of a data set as they lie, part by part."""
    file = dataset.file
    if not _usual(file) or dataset.external or dataset.is_virtual:
        return
    if dataset.chunks is not None:
        for i in range(dataset.id.get_num_chunks()):
            part = _unpacked(dataset, dataset.id.get_chunk_info(i))
            if part is not None:
                yield part
        return
    offset = dataset.id.get_offset()
    if offset is not None:
        yield read_at(file, offset - file.userblock_size, dataset.size * _stored_size(dataset.id.get_type()))
        return
    for kind, data in messages(dataset):
        if kind == LAYOUT and data[:1] in (b"\x03", b"\x04") and data[1] == _COMPACT:
            yield data[4:]


def _unpacked(dataset: h5py.Dataset, chunk: Any) -> bytes | None:
    """A part as it was before it was packed; None for filters that are not known here."""
    create, width = dataset.id.get_create_plist(), _stored_size(dataset.id.get_type())
    size = math.prod(dataset.chunks) * width
    _, content = dataset.id.read_direct_chunk(chunk.chunk_offset)
    for i in reversed(range(create.get_nfilters())):
        if chunk.filter_mask >> i & 1:
            continue
        code = create.get_filter(i)[0]
        if code == h5py.h5z.FILTER_FLETCHER32:
            content = content[:-4]
        elif code == h5py.h5z.FILTER_DEFLATE:
            content = zlib.decompressobj().decompress(content, size + 4)
        elif code == h5py.h5z.FILTER_SHUFFLE:
            whole = len(content) // width * width
            content = np.frombuffer(content[:whole], np.uint8).reshape(width, -1).T.tobytes()
        else:
            return None
    return content
