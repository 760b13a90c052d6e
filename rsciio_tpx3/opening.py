"""A recording by its name: the event source of whatever format it is, and the words about its scan."""

import os

__all__ = ["open_recording"]

_ADVACAM = (".t3pa", ".t3p")


def open_recording(filename, options):
    """The source of a recording and its scan options.

    Parameters
    ----------
    filename : str, Path or sequence of them
    options : dict
        Of the format's `file_reader`, those about the scan and those about the detector.

    Returns
    -------
    source : EventSource
    scan_options : ScanOptions
    """
    several = not isinstance(filename, (str, os.PathLike))
    first = os.fspath(next(iter(filename)) if several else filename)
    if first.lower().endswith(_ADVACAM):
        from rsciio_tpx3.t3pa._api import opened

        return opened(filename, {"sync": "shared-clock", **options})
    from rsciio_tpx3.tpx3._api import opened

    return opened(filename, options)
