"""HDF5 files that came from somewhere: nothing in them is followed, allocated or believed before it was looked at.

An HDF5 file may name other files (external links, external storage, virtual data sets), declare far more than it
holds (a chunk of 2 GiB packed into 10 kB), and lack what it declares: parts that were never written, and sources of
virtual data sets that are gone, read as the fill value, which is a good pixel number. The library answers all of this
without a word; here it is asked about it first.

Source: HDF5 file format specification 3.0 (links, data layout, filter pipeline); h5py's low-level interface.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from rsciio_tpx3.exceptions import LimitError, LossError, Tpx3FormatError, format_errors
from rsciio_tpx3.utils.files import FileStamp
from rsciio_tpx3.utils.hdf5.chunk_index import has_hidden_chunks
from rsciio_tpx3.utils.hdf5.objects import identity
from rsciio_tpx3.utils.hdf5.references import StoredAttributes, check_references, limit_attribute, limit_values

__all__ = [
    "attribute",
    "attributes",
    "check_stored",
    "groups_of_class",
    "find",
    "limit_size",
    "nexus_class",
    "open_hdf5",
    "text",
    "tree",
    "value",
    "whole",
    "whole_numbers",
]

_logger = logging.getLogger(__name__)

_MOST_LINKS = 32  # soft links that lead to soft links: more are a loop
_MOST_DEPTH = 64  # groups in groups, and virtual data sets of virtual data sets
_MOST_BYTES = 1 << 24  # of one value of metadata
_MOST_ATTRIBUTE = 1 << 20
_MOST_ITEMS = 10_000  # values of metadata in one file
FREE_BYTES = 1 << 26
"""Bytes that anything may take without being in proportion to its file."""

PROPORTION = 10
"""Bytes that anything above may take for each byte of its file; packed numbers take a third to a tenth."""

_ALLOW = (
    "Files are not followed out of the one that was opened, since a file from elsewhere could show any of yours as "
    "counts. Pass allow_external=True where they lie apart on purpose."
)


# -- opening -----------------------------------------------------------------------------------


@contextmanager
def open_hdf5(stamp: FileStamp, expected: str) -> Iterator[h5py.File]:
    """An `h5py.File` for reading; errors of the library name the file.

    Parameters
    ----------
    stamp : FileStamp
    expected : str
        What the file should be, such as "NXevent_data file".

    Yields
    ------
    h5py.File

    Raises
    ------
    Tpx3FormatError
        For anything that the library says about the content.
    """
    with format_errors(stamp.path, f"{expected} (HDF5)"):
        if not h5py.is_hdf5(stamp.path):
            raise Tpx3FormatError(
                f"{stamp.name!r} is not an HDF5 file, so not {expected}. Check the file, or pass file_format."
            )
        with h5py.File(stamp.path, "r") as file:
            yield file


# -- finding objects ---------------------------------------------------------------------------


def find(group: h5py.Group, path: str, allow_external: bool = False, _links: int = 0) -> Any:
    """The object at a path, or None where there is none.

    Parameters
    ----------
    group : h5py.Group
        Where the path begins, unless it begins with a slash.
    path : str
    allow_external : bool
        Whether links may lead into other files.

    Returns
    -------
    h5py.Group, h5py.Dataset or None
        None also for a soft link to nothing.

    Raises
    ------
    Tpx3FormatError
        If the path leads into another file, and may not, or that file has no such object; or if soft links go round
        in a circle.
    LossError
        If there is an object that is damaged.
    """
    if _links > _MOST_LINKS:
        raise Tpx3FormatError(f"soft links at {path!r} of '{group.file.filename}' go round in a circle.")
    node = group.file["/"] if path.startswith("/") else group
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if not isinstance(node, h5py.Group):
            return None
        link = _link(node, part)
        if link is None:
            return None
        if isinstance(link, h5py.SoftLink):
            node = find(node, link.path, allow_external, _links + 1)
        elif isinstance(link, h5py.ExternalLink):
            node = _linked(node, part, link, allow_external)
        else:
            node = _opened(node, part)
        if node is None:
            return None
    return node


# h5py's `get` has None for what cannot be opened and for groups that cannot be read, as for what is absent; a checksum,
# or the numbers of the pixels, must not vanish so


def _link(group: h5py.Group, name: str) -> Any:
    """A link as h5py has it, or None where a group has none.

    h5py's own `get` opens what the link leads to, also in another file, before it tells that it is a link.
    """
    links, stored = group.id.links, name.encode("utf-8", "surrogateescape")
    try:
        if not links.exists(stored):
            return None
        kind = links.get_info(stored).type
        if kind == h5py.h5l.TYPE_SOFT:
            return h5py.SoftLink(links.get_val(stored).decode("utf-8", "surrogateescape"))
        if kind == h5py.h5l.TYPE_EXTERNAL:
            return h5py.ExternalLink(*(part.decode("utf-8", "surrogateescape") for part in links.get_val(stored)))
    except (KeyError, RuntimeError, OSError, ValueError) as error:
        raise _damaged(group, f"the group where {name!r} may be", "read", error) from error
    return h5py.HardLink()


def _opened(group: h5py.Group, name: str) -> Any:
    """What a hard link leads to."""
    try:
        return group[name]
    except (KeyError, RuntimeError, OSError) as error:
        raise _damaged(group, repr(name), "opened", error) from error


def _damaged(group: h5py.Group, what: str, done: str, error: Exception) -> LossError:
    words = " ".join(str(error).split())[:200]
    return LossError(
        f"{group.name} of {os.path.basename(group.file.filename)!r}: {what} cannot be {done} ({words}). The file is "
        "damaged; copy it again."
    )


def _linked(group: h5py.Group, name: str, link: Any, allow_external: bool) -> Any:
    """The object behind an external link."""
    where = f"{group.name.rstrip('/')}/{name} of {os.path.basename(group.file.filename)!r} is an external link to"
    if not allow_external:
        raise Tpx3FormatError(f"{where} {link.path!r} in another file, {link.filename!r}. {_ALLOW}")
    try:
        return group[name]
    except (KeyError, OSError) as error:
        raise Tpx3FormatError(
            f"{where} {link.path!r} in {link.filename!r}, where it is not found ({error}). Copy that file too."
        ) from error


def groups_of_class(
    file: h5py.Group, kind: str, allow_external: bool = False
) -> tuple[dict[str, h5py.Group], list[str]]:
    """Groups with an attribute ``NX_class``, each once, wherever they lie.

    Parameters
    ----------
    file : h5py.Group
    kind : str
        Value of ``NX_class``.
    allow_external : bool
        Whether groups in other files count too.

    Returns
    -------
    found : dict of str to h5py.Group
        By the path that leads there.
    outside : list of str
        Links into other files that were passed over, for messages.
    """
    found, outside, seen = {}, [], set()
    # depth counts the links, so that a circle of hard links, or of files, ends
    pending = [("/", file["/"], 0)]
    while pending:
        path, group, depth = pending.pop()
        key = identity(group)
        if key in seen:
            continue
        seen.add(key)
        if nexus_class(group) == kind:
            found[path] = group
        for name in sorted(group, reverse=True):
            link, below = _link(group, name), f"{path.rstrip('/')}/{name}"
            if link is None or isinstance(link, h5py.SoftLink) or depth >= _MOST_DEPTH:
                continue  # its end is reached without it, or not at all
            if isinstance(link, h5py.ExternalLink):
                if not allow_external:
                    outside.append(f"{below} -> {link.filename}")
                    continue
                item = group.get(name)
            else:
                below_is = group.get(name, getclass=True)
                if below_is is None:
                    _logger.warning(f"{below} of {file.file.filename!r} cannot be opened and is passed over: damage.")
                item = below_is is h5py.Group and group.get(name)
            if isinstance(item, h5py.Group):
                pending.append((below, item, depth + 1))
    return found, outside


def nexus_class(item: h5py.Group | h5py.Dataset) -> str | None:
    """The NeXus class of a group, however its text was written: padded, as bytes, or as a list of one; or None."""
    found = attribute(item, "NX_class")
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    return found.strip(" \0") if isinstance(found, str) else None


# -- small values ------------------------------------------------------------------------------


def text(found: Any) -> Any:
    """Bytes as text; the rest as it is."""
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found


def attribute(item: h5py.Group | h5py.Dataset, name: str, stored: StoredAttributes | None = None) -> Any:
    """Value of an attribute as Python has it; None where it is absent, empty, too large or cannot be read."""
    try:
        if name not in item.attrs:
            return None
        about = item.attrs.get_id(name)
        if math.prod(about.shape or ()) * about.dtype.itemsize > _MOST_ATTRIBUTE:
            _logger.warning(f"attribute {name!r} of {item.name} in {item.file.filename!r} is too large and excluded.")
            return None
        limit_attribute(item, name, _MOST_ATTRIBUTE, about, stored)
        return _plain(item.attrs[name])
    except Exception as error:  # of a dozen types, and no attribute is worth the data
        _left_out(item, name, error)
        return None


def attributes(item: h5py.Group | h5py.Dataset, most: int = _MOST_ITEMS) -> dict[str, Any]:
    """Names and values of the attributes of an object, `attribute` of each; no more than `most` of them."""
    try:
        names = list(itertools.islice(item.attrs, most + 1))
    except Exception as error:
        _left_out(item, "(all)", error)
        return {}
    if len(names) > most:
        _logger.warning(f"{item.name} in {item.file.filename!r} has more than {most} attributes; the rest is excluded.")
    stored = StoredAttributes(item)
    return {name: attribute(item, name, stored) for name in names[:most]}


def _left_out(item: h5py.Group | h5py.Dataset, name: str, error: Exception) -> None:
    _logger.warning(f"attribute {name!r} of {item.name} cannot be read ({error}) and is excluded.")


def value(dataset: h5py.Dataset, most: int = _MOST_BYTES) -> Any:
    """Value of a small data set as Python has it, its size asked before it is read.

    Parameters
    ----------
    dataset : h5py.Dataset
    most : int
        Bytes.

    Returns
    -------
    object
        Numbers, texts, lists and dictionaries of these; None for an empty one.

    Raises
    ------
    LimitError
        If it is too large.
    Tpx3FormatError, LossError
        If it lies in another file, or some of its parts are lost.
    """
    if dataset.external or dataset.is_virtual:
        raise Tpx3FormatError(f"{dataset.name} of {dataset.file.filename!r} lies in other files. {_ALLOW}")
    shape = dataset.shape
    if shape is None:
        return None
    limit_size(dataset, most)
    limit_values(dataset, most)
    if dataset.chunks is not None and dataset.id.get_num_chunks():  # what was never set at all has its default
        check_stored(dataset)
    texts = h5py.check_vlen_dtype(dataset.dtype) or h5py.check_string_dtype(dataset.dtype)
    if not shape or texts is None or dataset.size <= 1:
        return _plain(dataset[()])
    # one by one: many references to one long text take little room in a file, and empty ones none
    if dataset.size > _MOST_ITEMS:
        raise LimitError(
            f"{dataset.name} of {dataset.file.filename!r} holds {dataset.size} texts or rows; expected at most "
            f"{_MOST_ITEMS} in a value of metadata."
        )
    found, n_bytes = [], 0
    for place in np.ndindex(shape):
        found.append(_plain(dataset[place]))
        n_bytes += len(found[-1]) if hasattr(found[-1], "__len__") else 8
        if n_bytes > most:
            raise LimitError(f"{dataset.name} of {dataset.file.filename!r} holds more than {most} bytes of text.")
    return found


def limit_size(dataset: h5py.Dataset, most: int, remedy: str = "It is too much for what it should be.") -> None:
    """Raise LimitError where a data set, or the part of it that is unpacked at once, has more bytes than `most`."""
    shape = dataset.chunks or ()
    n_bytes = max(math.prod(dataset.shape or ()), math.prod(shape)) * dataset.dtype.itemsize
    if n_bytes > most:
        raise LimitError(
            f"{dataset.name} of {dataset.file.filename!r} would take {n_bytes} bytes, more than {most}. {remedy}"
        )


def _plain(found: Any) -> Any:
    """A value of h5py as Python has it."""
    if isinstance(found, h5py.Empty):
        return None
    if isinstance(found, np.void) and found.dtype.names:
        return {name: _plain(found[name]) for name in found.dtype.names}
    if isinstance(found, np.ndarray):
        if found.dtype.names:
            return [_plain(item) for item in found.ravel()[:_MOST_ITEMS]]
        if found.dtype.kind in "biufc":
            return found.tolist()  # plain already: a million numbers one by one took 0.2 s
        return [_plain(item) for item in found.tolist()] if found.ndim else _plain(found[()])
    if isinstance(found, list):
        return [_plain(item) for item in found]
    if isinstance(found, np.generic):
        found = found.item()
    if isinstance(found, (h5py.Reference, h5py.RegionReference)):
        return None
    return text(found)


def whole(found: Any) -> int | None:
    """A number without a fraction as an int, also where it is text, a float, or a list of one; else None."""
    while isinstance(found, (list, tuple, np.ndarray)) and len(found) == 1:
        found = found[0]
    if isinstance(found, (bytes, str)):
        found = text(found).strip()
        return int(found) if found.lstrip("-").isdecimal() and len(found) < 20 else None
    if isinstance(found, (bool, np.bool_)) or not isinstance(found, (int, float, np.number)):
        return None
    return int(found) if np.isfinite(found) and found == int(found) else None


def whole_numbers(array: np.ndarray, what: str) -> np.ndarray:
    """An array of numbers without fractions as int64, of whatever type and byte order they are.

    Parameters
    ----------
    array : numpy.ndarray
    what : str
        For errors.

    Returns
    -------
    numpy.ndarray of int64, shape (n,)
    """
    array = np.asarray(array).ravel()
    if array.dtype.kind == "f":
        if len(array) and not (np.isfinite(array).all() and (array == np.floor(array)).all()):
            raise Tpx3FormatError(f"{what} holds {array.dtype} values that are not integers.")
        too_large = len(array) and np.abs(array).max() >= 2.0**53
    else:
        too_large = array.dtype == np.uint64 and len(array) and int(array.max()) > np.iinfo(np.int64).max
    if too_large:
        raise Tpx3FormatError(f"{what} holds {array.max()}, beyond any number of events or pixels.")
    return array.astype(np.int64)


def tree(item: h5py.Group | h5py.Dataset, allow_external: bool = False) -> dict:
    """Groups, values and attributes below an object as nested dictionaries; what cannot be understood is excluded.

    Metadata must never keep anybody from the data, so one warning names what was passed over.

    Parameters
    ----------
    item : h5py.Group or h5py.Dataset
    allow_external : bool

    Returns
    -------
    object
        A dictionary for a group; a plain value for a data set.
    """
    state = _Walk(allow_external)
    found = state.visit(item, 0)
    if state.passed:
        names = ", ".join(state.passed[:5]) + (", ..." if len(state.passed) > 5 else "")
        _logger.warning(f"{len(state.passed)} entries below {item.name} cannot be read and are excluded: {names}.")
    return found


@dataclass
class _Walk:
    """How far a walk through metadata has come."""

    allow_external: bool
    n_items: int = 0
    n_bytes: int = 0

    def __post_init__(self) -> None:
        self.passed: list[str] = []
        self.seen: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()

    def visit(self, item: h5py.Group | h5py.Dataset, depth: int) -> Any:
        if isinstance(item, h5py.Dataset):
            found = value(item, _MOST_BYTES - self.n_bytes)
            self.n_bytes += item.size * item.dtype.itemsize if item.shape is not None else 0
            return found
        if identity(item) in self.seen or depth > _MOST_DEPTH:
            raise ValueError("a group holds itself")
        self.seen.add(identity(item))
        found = attributes(item, max(_MOST_ITEMS - self.n_items, 0))
        self.n_items += len(found)
        for name in item:
            self.n_items += 1
            if self.n_items > _MOST_ITEMS:
                self.passed.append(f"{item.name}/{name} and what follows")
                break
            try:
                below = find(item, name, self.allow_external)
                if below is None:
                    raise ValueError("a link to nothing")
                found[name] = self.visit(below, depth + 1)
            except Exception as error:  # as for attributes
                self.passed.append(f"{item.name.rstrip('/')}/{name} ({' '.join(str(error).split())[:100]})")
        return found


# -- arrays of events ----------------------------------------------------------------------------


def check_stored(
    dataset: h5py.Dataset, allow_external: bool = False, file_size: int | None = None, _depth: int = 0
) -> list[FileStamp]:
    """Raise unless all that a data set declares is stored, where it may be read from, and in proportion to its file.

    Costs a look at the list of its chunks: 10 ms for 8000 of them.

    Parameters
    ----------
    dataset : h5py.Dataset
    allow_external : bool
        Whether it may lie in other files.
    file_size : int, optional
        Bytes; those of the data set's file by default.

    Returns
    -------
    list of FileStamp
        The other files that it lies in.

    Raises
    ------
    Tpx3FormatError
        If it lies in other files, and may not; or a part is packed in a way that its filters do not tell.
    LossError
        If parts were never written, or the file that holds them is absent: they would read as zeros.
    LimitError
        If what has to be unpacked at once is out of all proportion to the file, or its values are of an unknown kind.
    """
    name = f"{dataset.name} of {os.path.basename(dataset.file.filename)!r}"
    if dataset.shape is None:
        raise Tpx3FormatError(f"{name} is an empty data set (of the kind 'null'); expected a list of numbers.")
    if dataset.size == 0:
        return []
    check_references(dataset)
    if dataset.is_virtual:
        return _check_virtual(dataset, name, allow_external, _depth)
    if dataset.external:
        return _check_external(dataset, name, allow_external)
    if file_size is None:
        file_size = os.path.getsize(dataset.file.filename)
    if dataset.chunks is not None:
        _check_chunks(dataset, name, file_size)
    elif dataset.id.get_offset() is None and dataset.id.get_storage_size() < dataset.size * _item_bytes(dataset):
        raise LossError(f"{name} was never written: its {dataset.size} values would read as zeros. Copy it again.")
    elif dataset.size * _item_bytes(dataset) > file_size:
        raise LossError(f"{name} declares more bytes than the whole file has. The file is cut; copy it again.")
    return []


def _item_bytes(dataset: h5py.Dataset) -> int:
    # in the file: a row of any length has 16 there, and the 8 of a pointer in memory
    return dataset.id.get_type().get_size()


def _check_chunks(dataset: h5py.Dataset, name: str, file_size: int) -> None:
    n_bytes = math.prod(dataset.chunks) * _item_bytes(dataset)
    if n_bytes > FREE_BYTES + PROPORTION * file_size:
        raise LimitError(
            f"{name} is packed in parts of {n_bytes} bytes, in a file of {file_size}: to read one number takes them "
            "all. Write it anew in smaller parts, such as by 'h5repack -l CHUNK=131072'."
        )
    expected = math.prod(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks))
    count = masked = 0
    corners, ranges = set(), []
    sizes = dataset.id.get_create_plist().get_nfilters() > 0

    def look(chunk: Any) -> bool | None:
        nonlocal count, masked
        count += 1
        masked += bool(chunk.filter_mask)
        corners.add(chunk.chunk_offset)
        ranges.append((chunk.byte_offset, chunk.byte_offset + chunk.size))
        if chunk.byte_offset + chunk.size > file_size:
            raise LossError(f"{name} has a part beyond the end of the file, which is cut. Copy it again.")
        if not sizes and chunk.size != n_bytes:
            raise Tpx3FormatError(f"{name} has a part of {chunk.size} bytes instead of {n_bytes}. The file is damaged.")
        return True if count > expected else None

    if hasattr(h5py.h5d.DatasetID, "chunk_iter"):
        dataset.id.chunk_iter(look)
    else:  # h5py before 3.8
        for i in range(min(dataset.id.get_num_chunks(), expected + 1)):
            look(dataset.id.get_chunk_info(i))
    if count > expected:
        raise Tpx3FormatError(f"{name} has more than the {expected} parts that its shape needs. The file is damaged.")
    # the library passes over a part that belongs nowhere, and reads zeros in its place
    inside = sum(
        all(at % c == 0 and at < n for at, c, n in zip(corner, dataset.chunks, dataset.shape)) for corner in corners
    )
    if inside < count:
        raise Tpx3FormatError(
            f"{name} has {count - inside} parts too many in one place, or outside of its shape {dataset.shape}: "
            "what belongs there would read as zeros. The file is damaged; copy it again."
        )
    ranges.sort()
    if any(end > begin for (_, end), (begin, _) in zip(ranges, ranges[1:])):
        raise Tpx3FormatError(f"{name} has two parts in the same bytes of the file. It is damaged; copy it again.")
    if count < expected:
        raise LossError(
            f"{expected - count} of the {expected} parts of {name} were never written, or are lost: they would read "
            "as zeros. Copy the file again, or end the program that writes it."
        )
    if has_hidden_chunks(dataset):
        raise Tpx3FormatError(
            f"the index of the parts of {name} contradicts itself: some are not found by it, and would read as zeros. "
            "The file is damaged; copy it again."
        )
    if masked:
        # h5py and HDF5 leave out filters of single parts only where packing makes them longer, and only by a filter
        # that declares itself optional; a checksum is never left out
        _check_masks(dataset, name)


def _check_masks(dataset: h5py.Dataset, name: str) -> None:
    """Refuse parts that lack a filter which is not optional, among them the checksum."""
    create = dataset.id.get_create_plist()
    required = 0
    for i in range(create.get_nfilters()):
        code, flags, *_ = create.get_filter(i)
        if code == h5py.h5z.FILTER_FLETCHER32 or not flags & h5py.h5z.FLAG_OPTIONAL:
            required |= 1 << i

    def look(chunk: Any) -> None:
        if chunk.filter_mask & required:
            raise Tpx3FormatError(f"{name} has a part without the checksum or packing of the others: it is damaged.")

    for i in range(dataset.id.get_num_chunks()):
        look(dataset.id.get_chunk_info(i))


def _check_external(dataset: h5py.Dataset, name: str, allow_external: bool) -> list[FileStamp]:
    files = list(dict.fromkeys(text(part[0]) for part in dataset.external))
    if not allow_external:
        raise Tpx3FormatError(f"{name} is in external storage: in the other file {files[0]!r}. {_ALLOW}")
    # as HDF5 has it, relative names begin at the folder of the process
    needed: dict = {}
    for part, offset, size in dataset.external:
        end = offset + min(size, dataset.size * dataset.dtype.itemsize)
        needed[text(part)] = max(needed.get(text(part), 0), end)
    for part, end in needed.items():
        if not os.path.isfile(part) or (len(needed) == 1 and os.path.getsize(part) < end):
            raise LossError(f"{name} is in external storage, but {part!r} is absent or cut: it would read as zeros.")
    return [FileStamp.of(part) for part in needed]


def _check_virtual(dataset: h5py.Dataset, name: str, allow_external: bool, depth: int) -> list[FileStamp]:
    if depth > 4:
        raise Tpx3FormatError(f"{name} is a virtual data set of virtual data sets without end.")
    covered, stamps = 0, []
    for source in dataset.virtual_sources():
        other = source.file_name
        if other != "." and not allow_external:
            raise Tpx3FormatError(f"{name} is a virtual data set with values in another file, {other!r}. {_ALLOW}")
        n = source.vspace.get_select_npoints()
        if n < 0 or n > dataset.size or "%" in other or "%" in source.dset_name:
            raise LossError(
                f"{name} is a virtual data set of sources without a fixed number ({other!r}): what is missing cannot "
                "be told from zeros. Copy it into a plain data set first."
            )
        covered += n
        gone = f"{name} is a virtual data set, but its source {source.dset_name!r} in {other!r} is absent"
        if other == ".":
            part = find(dataset.file, source.dset_name, allow_external)
            stamps += _check_part(part, source, gone, allow_external, depth)
            continue
        path = _beside(dataset.file.filename, other)
        if not os.path.isfile(path):
            raise LossError(f"{gone}: it would read as zeros. Copy that file too.")
        with h5py.File(path, "r") as file:
            part = find(file, source.dset_name, allow_external)
            stamps += [FileStamp.of(path), *_check_part(part, source, gone, allow_external, depth)]
    if covered < dataset.size:
        raise LossError(
            f"{name} is a virtual data set that has sources for {covered} of its {dataset.size} values: the rest would "
            "read as zeros."
        )
    return stamps


def _check_part(part: h5py.Dataset, source: Any, gone: Any, allow_external: bool, depth: int) -> list[FileStamp]:
    """One source of a virtual data set: that it is there, long enough, and stored."""
    if not isinstance(part, h5py.Dataset):
        raise LossError(f"{gone}: it would read as zeros.")
    selected = source.src_space
    if selected.get_select_type() != h5py.h5s.SEL_ALL and selected.get_select_npoints() > 0:
        low, high = selected.get_select_bounds()
        if len(high) != part.ndim or any(h >= n for h, n in zip(high, part.shape)):
            raise LossError(f"{gone} in part: it has {part.shape} values. The rest would read as zeros.")
    elif selected.get_select_type() == h5py.h5s.SEL_ALL and part.size < source.vspace.get_select_npoints():
        raise LossError(f"{gone} in part: it has {part.shape} values. The rest would read as zeros.")
    return check_stored(part, allow_external, _depth=depth + 1)


def _beside(path: str, other: str) -> str:
    """Where HDF5 looks for the source of a virtual data set."""
    return other if os.path.isabs(other) else os.path.join(os.path.dirname(os.path.abspath(path)), other)
