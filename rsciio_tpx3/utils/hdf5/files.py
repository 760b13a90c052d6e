"""HDF5 files that came from somewhere: opening one, and finding what is in it without following what leads elsewhere.

Small values are read in `rsciio_tpx3.utils.hdf5.values`, and whether all that a data set declares is stored is asked in
`rsciio_tpx3.utils.hdf5.storage`.

Source: HDF5 file format specification 3.0 (links); h5py's low-level interface.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py

from rsciio_tpx3.exceptions import LossError, Tpx3FormatError, format_errors
from rsciio_tpx3.utils.files import FileStamp
from rsciio_tpx3.utils.hdf5.values import MOST_BYTES, MOST_ITEMS, OTHER_FILES, attribute, attributes, value

__all__ = ["find", "groups_of_class", "identity", "nexus_class", "open_hdf5", "tree"]

_logger = logging.getLogger(__name__)

_MOST_LINKS = 32  # soft links that lead to soft links: more are a loop
_MOST_DEPTH = 64  # groups in groups, and virtual data sets of virtual data sets


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
        raise Tpx3FormatError(f"{where} {link.path!r} in another file, {link.filename!r}. {OTHER_FILES}")
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


def identity(item: h5py.Group | h5py.Dataset) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What two paths to one object have in common.

    Not of `h5py.h5o.get_info`, which measures the tree of a group as well: it follows the links between neighbours, and
    goes round for ever where damage has made them a circle (HDF5 1.14).
    """
    about = h5py.h5g.get_objinfo(item.id)
    return about.fileno, about.objno


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
            found = value(item, MOST_BYTES - self.n_bytes)
            self.n_bytes += item.size * item.dtype.itemsize if item.shape is not None else 0
            return found
        if identity(item) in self.seen or depth > _MOST_DEPTH:
            raise ValueError("a group holds itself")
        self.seen.add(identity(item))
        found = attributes(item, max(MOST_ITEMS - self.n_items, 0))
        self.n_items += len(found)
        for name in item:
            self.n_items += 1
            if self.n_items > MOST_ITEMS:
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
