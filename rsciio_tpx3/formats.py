"""Which formats there are, which of them a file has, and which files belong to it."""

import importlib
import os
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NamedTuple

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.utils import hdf5
from rsciio_tpx3.utils.checks import files as check_files
from rsciio_tpx3.utils.files import FileStamp
from rsciio_tpx3.utils.fingerprints import sha256

__all__ = [
    "EVENT_FORMATS",
    "FORMATS",
    "Format",
    "checksums",
    "events_inside",
    "files_of",
    "first_of",
    "format_of",
    "module_of",
    "name_of",
    "need_events",
    "size_of",
]


class Format(NamedTuple):
    """One format of ours.

    Attributes
    ----------
    name : str
        As in its ``specifications.yaml``.
    holds : {"events", "counts"}
        Hits with their times, or the counts of each position.
    endings : tuple of str
        By which `format_of` knows it, in lower case; others are recognised by the first bytes.
    """

    name: str
    holds: str
    endings: tuple[str, ...] = ()


FORMATS = {
    "tpx3": Format("TPX3", "events", (".tpx3",)),
    "t3pa": Format("Advacam", "events", (".t3pa", ".t3p", ".t3r")),
    "raw_csr": Format("RawCSR", "counts", (".toml",)),
    "nxevent": Format("NXEvent", "counts", (".nxevent",)),
    "stempy": Format("stempy", "counts"),
}
"""Every format by its folder: a new one is a row here, and the folder."""

EVENT_FORMATS = {folder: form.name for folder, form in FORMATS.items() if form.holds == "events"}
"""Folders of the formats of hits, and their names; all others are of counts."""

_ENDINGS = {ending: folder for folder, form in FORMATS.items() for ending in form.endings}
_HDF5 = b"\x89HDF\r\n\x1a\n"  # signature of a superblock (HDF5 file format specification 3.0, II.A)


def first_of(filename: str | os.PathLike | Sequence) -> str:
    """The first file of those that are named."""
    check_files("filename", filename)
    return os.fspath(filename if isinstance(filename, (str, os.PathLike)) else filename[0])


def format_of(filename: str | os.PathLike | Sequence) -> str:
    """Folder of the format of a file of ours, by its ending, and by its first bytes where several have one.

    Parameters
    ----------
    filename : str, Path or sequence of them

    Returns
    -------
    str
        "tpx3", "t3pa", "raw_csr", "nxevent" or "stempy"; "tpx3" also where no format was recognised.
    """
    path = first_of(filename)
    found = _ENDINGS.get(os.path.splitext(path)[1].lower())
    if found is None and _is_hdf5(path):
        found = events_inside(path) or "nxevent"
    return found or "tpx3"


def _is_hdf5(path: str | os.PathLike) -> bool:
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(len(_HDF5)) == _HDF5


def events_inside(path: str | os.PathLike) -> str | None:
    """Folder of the format of counted events in an HDF5 file, whatever its ending says; None where there are none.

    RosettaSciIO gives ``.nxs`` to its reader of NXdata, which makes a signal of each list of an NXevent_data group.

    Parameters
    ----------
    path : str
    """
    if not _is_hdf5(path):
        return None
    stamp = FileStamp.of(path)
    hdf5.check_heaps(stamp)  # damaged ones keep the library busy without end
    with hdf5.open_hdf5(stamp, "file of counted events") as file:
        if "electron_events" in file:
            return "stempy"
        return "nxevent" if hdf5.groups_of_class(file, "NXevent_data")[0] else None


def module_of(name: str) -> ModuleType:
    """The package of a format, by its folder."""
    return importlib.import_module(f"rsciio_tpx3.{name}")


def name_of(folder: str) -> str:
    """Name of a format as RosettaSciIO has it."""
    return FORMATS[folder].name


def need_events(filename: str | os.PathLike | Sequence, purpose: str) -> str:
    """Folder of the format of a file of hits.

    Raises
    ------
    Tpx3FormatError
        If it holds counts, which have no times.
    """
    folder = format_of(filename)
    if folder not in EVENT_FORMATS:
        raise Tpx3FormatError(
            f"{first_of(filename)!r} holds counts of each position ({name_of(folder)}), not hits with their times. "
            f"{purpose} is for recordings only: .tpx3, .t3pa and .t3p."
        )
    return folder


def files_of(path: str | os.PathLike) -> list[str]:
    """A file and those it refers to, by its format: a raw_csr data set is four files.

    A format whose data set is more than one file has a function ``files_of(path)``.
    """
    consists_of = getattr(module_of(format_of(path)), "files_of", None)
    return [path] if consists_of is None else consists_of(path)


def size_of(path: str | os.PathLike) -> int:
    """Bytes of a file and of those it refers to."""
    return sum(os.path.getsize(part) for part in files_of(path))


def checksums(paths: list[str], is_over: Callable[[], bool] = bool) -> dict[str, str | None]:
    """Path to SHA-256 of every file that these paths stand for; see `rsciio_tpx3.utils.fingerprints.sha256`."""
    return {part: sha256(part, is_over) for path in paths for part in files_of(path)}
