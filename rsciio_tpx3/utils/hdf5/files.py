"""HDF5 files that came from somewhere: opening one, and finding what is in it without following what leads elsewhere.

Above it are: whether all that a data set declares is stored (`rsciio_tpx3.utils.hdf5.storage`), small values
(`values`), and walks through all of a file (`contents`).

Source: HDF5 file format specification 3.0 (links); h5py's low-level interface.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py

from rsciio_tpx3.exceptions import LossError, Tpx3FormatError, format_errors
from rsciio_tpx3.utils.files import FileStamp

__all__ = ["OTHER_FILES", "find", "link_of", "open_hdf5", "text"]

_logger = logging.getLogger(__name__)

OTHER_FILES = (
    "Files are not followed out of the one that was opened, since a file from elsewhere could show any of yours as "
    "counts. Pass allow_external=True where they lie apart on purpose."
)
"""The end of messages on what lies in other files."""

_MOST_LINKS = 32  # soft links that lead to soft links: more are a loop


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
                f"{stamp.name!r} is not an HDF5 file, and so no {expected}. Check the file, or pass file_format."
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
        link = link_of(node, part)
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


def link_of(group: h5py.Group, name: str) -> Any:
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


def text(found: Any) -> Any:
    """Bytes as text; the rest as it is."""
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found
