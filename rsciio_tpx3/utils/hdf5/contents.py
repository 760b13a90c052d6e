"""Walks through HDF5 files: groups of a class wherever they lie, and all that is below an object, as plain values."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import h5py

from rsciio_tpx3.utils.hdf5.files import find, link_of
from rsciio_tpx3.utils.hdf5.objects import identity
from rsciio_tpx3.utils.hdf5.values import MOST_BYTES, MOST_ITEMS, attribute, attributes, value

__all__ = ["groups_of_class", "nexus_class", "tree"]

_logger = logging.getLogger(__name__)

_MOST_DEPTH = 64  # groups in groups


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
            link, below = link_of(group, name), f"{path.rstrip('/')}/{name}"
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
