"""A recording by its name: the event source of whatever format it is, and the words about its scan."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rsciio_tpx3.formats import need_events
from rsciio_tpx3.reader.event_format import EventFormat, open_events
from rsciio_tpx3.reader.event_options import event_options, prepare_events
from rsciio_tpx3.reader.options import names_of

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import EventSource
    from rsciio_tpx3.metadata.known import KnownMetadata
    from rsciio_tpx3.scan.options import ScanOptions


__all__ = ["event_format", "open_recording"]


def open_recording(
    filename: str | os.PathLike | Sequence, options: dict, purpose: str = "This"
) -> tuple[EventSource, ScanOptions, KnownMetadata]:
    """The source of a recording, its scan options, and what is known about it.

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
    known : KnownMetadata
        What the user and other files tell; it has a say in the scan, see `rsciio_tpx3.reader.scan.known_scan`.
    """
    form = event_format(need_events(filename, purpose))
    source, scan_options, known = open_events(form, filename, options)
    events = event_options(**{name: options[name] for name in names_of("events") if name in options})
    return prepare_events(source, events)[0], scan_options, known


def event_format(folder: str) -> EventFormat:
    """What the package of an event format declares."""
    return importlib.import_module(f"rsciio_tpx3.{folder}._api").FORMAT
