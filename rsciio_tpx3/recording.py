"""A recording by its name: the event source of whatever format it is, and the words about its scan."""

import importlib

from rsciio_tpx3.formats import need_events
from rsciio_tpx3.reader.event_options import EVENT_OPTIONS, event_options, prepare_events

__all__ = ["open_recording"]


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
        What the user and other files tell; it has a say in the scan, see `rsciio_tpx3.reader.signal.told_scan`.
    """
    folder = need_events(filename, purpose)
    if folder == "t3pa":
        options = {"sync": "shared-clock", **options}
    opened = importlib.import_module(f"rsciio_tpx3.{folder}._api").opened
    source, scan_options, account = opened(filename, options)
    events = event_options(**{name: options[name] for name in EVENT_OPTIONS if name in options})
    return prepare_events(source, events)[0], scan_options, account
