"""What is in a file of any format that is read here, found without decoding it."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from rsciio_tpx3.formats import EVENT_FORMATS, first_of, format_of, module_of, name_of, size_of
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.reader.event_format import open_events
from rsciio_tpx3.recording import event_format

__all__ = ["available_signals", "check_events", "file_info"]


def file_info(filename: str | os.PathLike | Sequence, **options: Any) -> dict:
    """What is in a file, without decoding its hits or counts.

    Parameters
    ----------
    filename : str, Path or sequence of them
        A recording (`.tpx3`, `.t3pa`, `.t3p`), or counts (`.toml` of raw_csr, `.nxevent`, HDF5 of stempy).
    **options
        As for the `file_reader` of the format, where they are needed.

    Returns
    -------
    dict
        Plain numbers and text, ready for JSON: ``format``, ``files``, ``bytes``, ``detector_shape``, ``losses`` and
        ``signals`` (`available_signals`). Of a recording also ``layout``, ``chips``, ``hits``, ``packets`` or
        ``records``, ``edges`` (number, period and its error of each kind, in seconds), ``first`` and ``last`` time in
        seconds; of counts ``navigation_shape``, ``dtype``, and ``entries`` and ``counts`` where they are known without
        reading (else None).

    Examples
    --------
    >>> import rsciio_tpx3
    >>> rsciio_tpx3.file_info("scan.tpx3")["hits"]  # doctest: +SKIP
    """
    folder = format_of(filename)
    if folder in EVENT_FORMATS:
        return module_of(folder).file_info(filename, **options)
    return _counted_info(filename, folder, options)


def available_signals(filename: str | os.PathLike | Sequence, **options: Any) -> list[dict]:
    """What a file can be loaded as.

    Parameters
    ----------
    filename : str, Path or sequence of them
    **options
        As for the `file_reader` of the format, such as ``all_parts=True`` or ``tdc="tdc2-rise"``.

    Returns
    -------
    list of dict
        Each with ``signal`` (what to pass), ``ready`` (whether it loads as it is), and either
        ``navigation_shape``, ``sync`` and ``tdc``, or ``needs``: what has to be given and why. Counts have one.

    Examples
    --------
    >>> import rsciio_tpx3
    >>> rsciio_tpx3.available_signals("scan.tpx3")  # doctest: +SKIP
    [{'signal': 'scan', 'ready': True, 'sync': 'line-gate', ...}, {'signal': 'frames', ...}]
    """
    folder = format_of(filename)
    if folder in EVENT_FORMATS:
        return module_of(folder).available_signals(filename, **options)
    return _counted_info(filename, folder, options)["signals"]


def _counted_info(filename: str | os.PathLike | Sequence, folder: str, options: dict) -> dict:
    path = first_of(filename)
    [signal] = module_of(folder).file_reader(path, lazy=True, **options)
    frames = source_of(signal["data"])
    sums = {"entries": frames.row_events(), "counts": frames.row_counts()}
    shape = [int(n) for n in frames.nav_shape[::-1]]
    return {
        "format": name_of(folder),
        "files": [os.path.abspath(path)],
        "bytes": int(size_of(path)),
        "detector_shape": [int(n) for n in frames.sig_shape[::-1]],
        "navigation_shape": shape,
        "dtype": np.dtype(frames.dtype).name,
        **{name: None if found is None else int(np.sum(found, dtype=np.int64)) for name, found in sums.items()},
        "losses": {},
        "signals": [{"signal": "scan", "ready": True, "navigation_shape": tuple(shape)}],
    }


def check_events(path: str | os.PathLike, folder: str, options: dict) -> dict:
    """Decode all hits of a recording, and raise at the first thing that is wrong.

    Parameters
    ----------
    path : str
    folder : str
        Of the format.
    options : dict
        Of its `file_reader`, but for those about the scan.

    Returns
    -------
    dict
        ``hits``, ``losses`` and ``detector_shape``.
    """
    source, _, _ = open_events(event_format(folder), path, options)
    index, n_pixels, n_hits = source.index(), source.sig_shape[0] * source.sig_shape[1], 0
    for piece in source.work(max(1, index.n_hits >> 20)):
        for hits in source.part(piece):
            n_hits += len(hits)
            if len(hits) and not 0 <= int(hits.pixel.min()) <= int(hits.pixel.max()) < n_pixels:
                raise ValueError(f"{path!r} holds a hit that lies on no pixel of the layout {source.layout.name!r}.")
    if n_hits != index.n_hits:
        raise ValueError(f"{path!r} holds {n_hits} hits now, {index.n_hits} when it was opened: it was changed.")
    return {"hits": n_hits, "losses": index.losses, "detector_shape": list(source.sig_shape[::-1])}
