"""The RosettaSciIO reader of `.tpx3` files."""

import difflib
import inspect
import logging
import os
from functools import partial

import numpy as np

from rsciio_tpx3.events.clock import ticks_to_seconds
from rsciio_tpx3.events.sync import ScanOptions, build_scan
from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.frames.dask_array import to_dask
from rsciio_tpx3.frames.event_frames import EventFrames, count_type
from rsciio_tpx3.metadata.mapping import build
from rsciio_tpx3.metadata.units import format_seconds, to_ticks
from rsciio_tpx3.tpx3.source import Tpx3Source

__all__ = ["available_signals", "file_info", "file_reader"]

_logger = logging.getLogger(__name__)


def file_reader(
    filename,
    lazy=False,
    navigation_shape=None,
    dwell_time=None,
    signal="scan",
    frame_time=None,
    sync="auto",
    tdc="auto",
    pattern="raster",
    positions=None,
    active_fraction=None,
    line_flyback=None,
    frame_flyback=None,
    lines_per_row=1,
    first_line=0,
    skip_lines=(0, 0),
    scan_delay=None,
    layout=None,
    gap=0,
    orientation="up",
    all_parts=False,
    chunks="auto",
    dtype=None,
    on_loss="raise",
    show_progressbar=None,
    **kwds,
):
    """Read a Timepix3 event recording as a 4D STEM data set of sparse frames.

    Opening reads the file once to find the trigger edges, and once more to count the hits of each
    position; frames are decoded when they are asked for.

    Parameters
    ----------
    filename : str, Path or sequence of them
        A sequence is one acquisition cut into pieces, in order of time.
    lazy : bool
        True decodes on demand. False decodes now and keeps the sparse frames in memory; a dense 4D
        array is never made.
    navigation_shape : tuple of int, optional
        Scan positions as ``(x, y)`` or ``(x, y, frames)``. Found from the trigger edges where they
        tell it. It may differ from what was set at the microscope: a line is sampled with as many
        columns as you like.
    dwell_time : str or quantity, optional
        Time on one position, such as "0.5 us". Follows from the edges of a line gate.
    signal : {"scan", "frames"}
        "frames" makes a stack of frames of equal length over time, without trigger edges.
    frame_time : str or quantity
        Length of a frame, for ``signal="frames"``.
    sync : {"auto", "line-gate", "line-start", "periodic-line", "pixel-trigger", "frame-trigger", \
"shared-clock"}
        What the trigger edges mean; see the guide on scan synchronisation.
    tdc : {"auto", "tdc1-rise", "tdc1-fall", "tdc2-rise", "tdc2-fall"}
        Which edges mark the scan; the start of the line for a line gate.
    pattern : {"raster", "serpentine"}
        Whether every other line runs backwards.
    positions : array of int or path, optional
        For pixel triggers: flat position ``y * nx + x`` of each pulse; a `.npy` or text file.
    active_fraction : float, optional
        Share of the line period in which the beam scans, where `dwell_time` is not known.
    line_flyback, frame_flyback : str or quantity, optional
        Pause after each line and frame, for "shared-clock" and "frame-trigger".
    lines_per_row : int
        Trigger lines added up to one row.
    first_line : int
        Lines to pass over before the scan.
    skip_lines : tuple of int
        Lines to leave out at the beginning and the end of each frame.
    scan_delay : str or quantity, optional
        Time by which the beam lags behind the edges; may be negative.
    layout : {"single", "quad", "strip", "strip-reversed"} or list of dict, optional
        Arrangement of the chips; from the chips in the file by default (a strip must be asked for).
    gap : int
        Extra pixels between the chips of a quad: 0, 2 or 4.
    orientation : str
        Turn of the whole detector: "up", "left", "down", "right", and with "_mirrored".
    all_parts : bool or sequence
        True takes all files whose names differ in the running number only; a sequence names them.
    chunks : "auto" or int
        Scan lines in one chunk.
    dtype : numpy.dtype, optional
        Unsigned type of the counts; by default the smallest that a pixel cannot overflow.
    on_loss : {"raise", "warn"}
        For damaged files: refuse, or read what can be read and count the rest.
    show_progressbar : bool, optional
        None shows a bar for work that takes longer than two seconds.
    **kwds
        Refused, with the option that was probably meant.

    Returns
    -------
    list of dict
        One RosettaSciIO signal dictionary: ``data`` (dask array of `CSRFrames`), ``axes``,
        ``metadata``, ``original_metadata``, ``attributes``, ``post_process``.

    Raises
    ------
    Tpx3FormatError
        If the file is no Timepix3 stream, or is damaged and `on_loss` is "raise".
    ScanSyncError
        If there are no trigger edges, or they do not fit the scan asked for.
    UnitError
        If a time has no unit.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> s = hs.load("scan.tpx3", navigation_shape=(256, 256))  # doctest: +SKIP
    >>> s = hs.load("spots.tpx3", signal="frames", frame_time="1 ms")  # doctest: +SKIP
    """
    _refuse_unknown(kwds)
    if signal not in ("scan", "frames"):
        raise ValueError(f"signal={signal!r} is none of 'scan', 'frames'; see available_signals(file).")
    options = ScanOptions(
        nav_shape=_numpy_order(navigation_shape),
        dwell=_ticks("dwell_time", dwell_time),
        sync="frames" if signal == "frames" else sync,
        tdc=tdc,
        active_fraction=active_fraction,
        pattern=pattern,
        positions=_read_positions(positions),
        lines_per_row=lines_per_row,
        first_line=first_line,
        skip_lines=tuple(skip_lines),
        frame_time=_ticks("frame_time", frame_time, example="1 ms"),
        **{
            name: _ticks(given, value, allow_negative=True)
            for name, given, value in (
                ("line_flyback", "line_flyback", line_flyback),
                ("frame_flyback", "frame_flyback", frame_flyback),
                ("delay", "scan_delay", scan_delay),
            )
            if value is not None
        },
    )
    source = Tpx3Source(filename, layout, gap, orientation, all_parts, on_loss, show_progressbar)
    scan = build_scan(source.index(), options)
    frames = EventFrames(source, scan, _count_dtype(dtype, scan, lines_per_row))
    counts, outside = frames.count(show_progressbar)
    _report_outside(source, counts, outside)
    data = to_dask(frames, chunks=chunks)
    return [
        {
            "data": data if lazy else data.persist(),
            "axes": _axes(scan, source, signal),
            "metadata": _metadata(source, scan, counts, outside),
            "original_metadata": _original_metadata(source),
            # a 4D array of events is lazy even when its chunks are in memory
            "attributes": {"_lazy": True},
            "post_process": [partial(_finish, navigator=counts.reshape(scan.nav_shape))],
        }
    ]


def _finish(signal, navigator):
    """Runs inside HyperSpy only: the sparse class, and the navigator that is known already."""
    from hyperspy_sparse.signals import finish_loading

    return finish_loading(signal, navigator=navigator)


def _refuse_unknown(kwds):
    if not kwds:
        return
    known = [name for name in inspect.signature(file_reader).parameters if name != "kwds"]
    name = next(iter(kwds))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else "Known are " + ", ".join(known[1:]) + "."
    raise TypeError(f"Unknown option {name!r} for .tpx3 files. {hint}")


def _numpy_order(navigation_shape):
    """HyperSpy's (x, y[, frames]) to NumPy's ([frames,] y, x)."""
    if navigation_shape is None:
        return None
    shape = tuple(navigation_shape) if np.iterable(navigation_shape) else (navigation_shape,)
    if len(shape) not in (2, 3) or any(n != int(n) or n < 1 for n in shape):
        raise ValueError(
            f"navigation_shape={navigation_shape!r}: two or three whole numbers above 0 are needed, (x, y) or "
            "(x, y, frames)."
        )
    return tuple(int(n) for n in shape[::-1])


def _ticks(name, value, example="0.5 us", allow_negative=False):
    return None if value is None else to_ticks(value, name, example, allow_negative)


def _read_positions(positions):
    if positions is None or not isinstance(positions, (str, os.PathLike)):
        return None if positions is None else np.asarray(positions)
    if str(positions).endswith(".npy"):
        return np.load(positions)
    return np.loadtxt(positions, dtype=np.int64, ndmin=1)


def _count_dtype(dtype, scan, lines_per_row):
    if dtype is None:
        return count_type(scan, lines_per_row)
    dtype = np.dtype(dtype)
    if dtype.kind != "u":
        raise ValueError(f"dtype={dtype} cannot hold counts: an unsigned integer type such as 'uint16' is needed.")
    return dtype


def _report_outside(source, counts, outside):
    lost = sum(outside.values())
    total = source.index().n_hits
    if lost:
        parts = ", ".join(f"{n} {name}" for name, n in outside.items() if n)
        # flyback is what a scan has; more than half the hits elsewhere is a scan misread
        log = _logger.warning if lost > 0.5 * total else _logger.info
        log(f"{lost} of {total} hits have no scan position: {parts}.")


def _axes(scan, source, signal):
    axes = []
    names = ["frame", "y", "x"][-len(scan.nav_shape) :]
    if signal == "frames":
        names = ["time"]
    for name, size in zip(names, scan.nav_shape):
        timed = name == "time"
        axes.append(
            {
                "name": name,
                "size": size,
                "navigate": True,
                "scale": scan.report["dwell_time"] if timed else 1.0,
                "offset": ticks_to_seconds(scan.start[0]) if timed else 0.0,
                "units": "s" if timed else "",
            }
        )
    for name, size in zip(("ky", "kx"), source.sig_shape):
        axes.append(
            {"name": name, "size": size, "navigate": False, "scale": 1.0, "offset": 0.0, "units": "px"}
        )
    return axes


def _metadata(source, scan, counts, outside):
    about = source.describe()
    index = source.index()
    names = [os.path.basename(path) for path in about["paths"]]
    return build(
        {
            **about,
            **scan.report,
            "chips": list(index.chips),
            "title": os.path.splitext(names[0])[0],
            "original_filename": names[0],
            "original_files": names if len(names) > 1 else None,
            "signal_type": "electron_diffraction",
            "quantity": "Counts (hits)",
            "event_type": "hits",
            "detector_type": "Timepix3",
            "losses": index.losses,
            "hits_total": index.n_hits,
            "hits_placed": int(counts.sum()),
            "hits_outside": {name.replace(" ", "_"): n for name, n in outside.items() if n},
        }
    )


def _original_metadata(source):
    index = source.index()
    text = {
        key: {str(k): v for k, v in value.items()} if isinstance(value, dict) else value
        for key, value in index.statistics.items()
    }
    return {"tpx3": {"size": source.describe()["size"], "statistics": text}}


def available_signals(filename, **options):
    """What a recording can be loaded as.

    Parameters
    ----------
    filename : str, Path or sequence of them
    **options
        As for `file_reader`, such as ``all_parts=True`` or ``tdc="tdc2-rise"``.

    Returns
    -------
    list of dict
        Each with ``signal`` (what to pass), ``ready`` (whether it loads as it is), and either
        ``navigation_shape``, ``sync`` and ``tdc``, or ``needs``: what has to be told and why.

    Examples
    --------
    >>> import rsciio_tpx3
    >>> rsciio_tpx3.available_signals("scan.tpx3")  # doctest: +SKIP
    [{'signal': 'scan', 'ready': True, 'sync': 'line-gate', ...}, {'signal': 'frames', ...}]
    """
    about, rest = _split_options(options)
    source = Tpx3Source(filename, **about)
    return _offers(source.index(), _plain_options(rest))


_SOURCE_OPTIONS = ("layout", "gap", "orientation", "all_parts", "on_loss", "show_progressbar")


def _split_options(options):
    return (
        {name: value for name, value in options.items() if name in _SOURCE_OPTIONS},
        {name: value for name, value in options.items() if name not in _SOURCE_OPTIONS},
    )


def _plain_options(options):
    known = {"sync", "tdc", "pattern", "active_fraction", "lines_per_row", "first_line", "skip_lines"}
    _refuse_unknown({k: v for k, v in options.items() if k not in known | {"navigation_shape", "dwell_time"}})
    return ScanOptions(
        nav_shape=_numpy_order(options.get("navigation_shape")),
        dwell=_ticks("dwell_time", options.get("dwell_time")),
        **{name: value for name, value in options.items() if name in known},
    )


def _offers(index, options):
    offers = []
    if len(index.edges):
        offer = {"signal": "scan"}
        try:
            scan = build_scan(index, options)
        except ScanSyncError as error:
            offer.update(ready=False, needs=str(error))
        else:
            offer.update(
                ready=True,
                sync=scan.report["sync"],
                tdc=scan.report["tdc"],
                navigation_shape=tuple(scan.nav_shape[::-1]),
                dwell_time=scan.report["dwell_time"],
                notes=list(scan.report["messages"]),
            )
        offers.append(offer)
    if index.n_hits:
        span = ticks_to_seconds(index.span[1] - index.span[0])
        offers.append(
            {
                "signal": "frames",
                "ready": False,
                "needs": f'frame_time, such as frame_time="1 ms"; the recording lasts {format_seconds(span)}.',
                "duration": span,
            }
        )
    return offers


def file_info(filename, **options):
    """What is in a recording, without decoding its hits.

    Parameters
    ----------
    filename : str, Path or sequence of them
    **options
        As for `available_signals`.

    Returns
    -------
    dict
        Plain numbers and text, ready for JSON: ``files``, ``bytes``, ``chips``, ``hits``, ``packets``,
        ``edges`` (number, period and its error of each kind, in seconds), ``first`` and ``last`` time in
        seconds, ``losses``, ``signals`` (`available_signals`).
    """
    about, rest = _split_options(options)
    source = Tpx3Source(filename, **about)
    index, description = source.index(), source.describe()
    return {
        "files": list(description["paths"]),
        "bytes": description["size"],
        "layout": description["layout"],
        "detector_shape": list(source.sig_shape[::-1]),
        "chips": list(index.chips),
        "hits": index.n_hits,
        **index.statistics,
        "edges": {name: _edge_summary(index.edges.select(name)) for name in index.edges.kinds},
        "first": ticks_to_seconds(index.span[0]),
        "last": ticks_to_seconds(index.span[1]),
        "losses": index.losses,
        "signals": _offers(index, _plain_options(rest)),
    }


def _edge_summary(edges):
    intervals = np.diff(edges.ticks)
    summary = {"number": len(edges), "first": ticks_to_seconds(edges.ticks[0])}
    if len(intervals):
        from rsciio_tpx3.events.edges import regular_pulses

        pulses = regular_pulses(edges.ticks, None)
        summary.update(
            period=ticks_to_seconds(pulses.period),
            period_error=ticks_to_seconds(pulses.jitter),
            groups=len(pulses.run_lengths),
            in_bursts=pulses.burst,
        )
    return summary


