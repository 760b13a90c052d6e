"""A recording by its name: the event source of whatever format it is, and the words about its scan."""

import importlib
import os

from rsciio_tpx3.events.event_options import EVENT_OPTIONS, event_options, prepare_events
from rsciio_tpx3.exceptions import Tpx3FormatError

__all__ = ["EVENT_FORMATS", "format_of", "open_recording"]

EVENT_FORMATS = {"tpx3": "TPX3", "t3pa": "Advacam"}
"""Folders of the formats of hits, and their names; all others are of counts."""

_COUNTED = {"raw_csr": "RawCSR", "nxevent": "NXEvent", "stempy": "stempy"}
_ENDINGS = {
    ".t3pa": "t3pa", ".t3p": "t3pa", ".t3r": "t3pa", ".toml": "raw_csr", ".nxevent": "nxevent", ".tpx3": "tpx3",
}  # fmt: skip
_HDF5 = b"\x89HDF\r\n\x1a\n"


def first_of(filename):
    """The first file of those that are named."""
    several = not isinstance(filename, (str, os.PathLike))
    names = list(filename) if several else [filename]
    if not names:
        raise ValueError("No file given: the list of files is empty.")
    return os.fspath(names[0])


def format_of(filename):
    """Folder of the format of a file of ours, by its ending, and by its first bytes where several have one.

    Parameters
    ----------
    filename : str, Path or sequence of them

    Returns
    -------
    str
        "tpx3", "t3pa", "raw_csr", "nxevent" or "stempy"; "tpx3" too for what is none of them.
    """
    path = first_of(filename)
    found = _ENDINGS.get(os.path.splitext(path)[1].lower())
    if found is None and os.path.isfile(path):
        with open(path, "rb") as file:
            if file.read(len(_HDF5)) == _HDF5:
                found = _hdf5_format(path)
    return found or "tpx3"


def _hdf5_format(path):
    import h5py

    from rsciio_tpx3.exceptions import format_errors

    with format_errors(path, "an HDF5 file"), h5py.File(path, "r") as file:
        return "stempy" if "electron_events" in file else "nxevent"


def events_inside(path):
    """Folder of the format of counted events in an HDF5 file, whatever its ending says; None where there are none.

    RosettaSciIO gives ``.nxs`` to its reader of NXdata, which makes a signal of each list of an NXevent_data group.

    Parameters
    ----------
    path : str
    """
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        if file.read(len(_HDF5)) != _HDF5:
            return None
    from rsciio_tpx3.frames.files import FileStamp
    from rsciio_tpx3.frames.hdf5 import groups_of_class, open_hdf5
    from rsciio_tpx3.frames.hdf5_heaps import check_heaps

    stamp = FileStamp.of(path)
    check_heaps(stamp)
    with open_hdf5(stamp, "file of counted events") as file:
        if "electron_events" in file:
            return "stempy"
        return "nxevent" if groups_of_class(file, "NXevent_data")[0] else None


def module_of(name):
    """The package of a format, by its folder."""
    return importlib.import_module(f"rsciio_tpx3.{name}")


def name_of(folder):
    """Name of a format as RosettaSciIO has it."""
    return {**EVENT_FORMATS, **_COUNTED}[folder]


def need_events(filename, purpose):
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


def open_recording(filename, options, purpose="This"):
    """The source of a recording, its scan options, and what is told about it.

    Parameters
    ----------
    filename : str, Path or sequence of them
    options : dict
        Of the format's `file_reader`, those about the scan, the detector, and what is an event.
    purpose : str
        Who asks, for errors.

    Returns
    -------
    source : EventSource
        Of electrons where ``cluster`` is among the options, with corrections applied.
    scan_options : ScanOptions
    account : Account
        What the user and other files tell; it has a say in the scan, see `rsciio_tpx3.reading.told_scan`.
    """
    folder = need_events(filename, purpose)
    if folder == "t3pa":
        options = {"sync": "shared-clock", **options}
    opened = importlib.import_module(f"rsciio_tpx3.{folder}._api").opened
    source, scan_options, account = opened(filename, options)
    events = event_options(**{name: options[name] for name in EVENT_OPTIONS if name in options})
    return prepare_events(source, events)[0], scan_options, account
