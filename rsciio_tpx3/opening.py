"""A recording by its name: the event source of whatever format it is, and the words about its scan."""

import os

from rsciio_tpx3.events.event_options import EVENT_OPTIONS, event_options, prepare_events

__all__ = ["open_recording"]

_ADVACAM = (".t3pa", ".t3p")


def open_recording(filename, options):
    """The source of a recording, its scan options, and what is told about it.

    Parameters
    ----------
    filename : str, Path or sequence of them
    options : dict
        Of the format's `file_reader`, those about the scan, the detector, and what is an event.

    Returns
    -------
    source : EventSource
        Of electrons where ``cluster`` is among the options, with corrections applied.
    scan_options : ScanOptions
    account : Account
        What the user and other files tell; it has a say in the scan, see `rsciio_tpx3.reading.told_scan`.
    """
    several = not isinstance(filename, (str, os.PathLike))
    first = os.fspath(next(iter(filename)) if several else filename)
    if first.lower().endswith(_ADVACAM):
        from rsciio_tpx3.t3pa._api import opened

        options = {"sync": "shared-clock", **options}
    else:
        from rsciio_tpx3.tpx3._api import opened
    source, scan_options, account = opened(filename, options)
    events = event_options(**{name: options[name] for name in EVENT_OPTIONS if name in options})
    return prepare_events(source, events)[0], scan_options, account
