"""From a source to the dictionary that RosettaSciIO promises: what all formats share.

The public border: here HyperSpy's (x, y) becomes NumPy's (y, x), and text with units becomes ticks.
"""

import difflib
import inspect
import logging
import math
import os
from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np

from rsciio_tpx3.cache.store import recalled_counts
from rsciio_tpx3.events.tally import tally_of
from rsciio_tpx3.exceptions import (
    MetadataConflictError,
    ScanSyncError,
    Tpx3FormatError,
    UnitError,
    format_errors,
)
from rsciio_tpx3.frames.dask_array import to_dask
from rsciio_tpx3.frames.event_frames import count_type
from rsciio_tpx3.frames.shared_reads import event_frames
from rsciio_tpx3.frames.weighted import value_type
from rsciio_tpx3.metadata.event_values import event_values
from rsciio_tpx3.metadata.mapping import PIXEL_PITCH, build
from rsciio_tpx3.metadata.provenance import reading_step
from rsciio_tpx3.metadata.requested import asked_for
from rsciio_tpx3.reader.event_options import EventOptions, prepare_events
from rsciio_tpx3.reader.options import check_options
from rsciio_tpx3.reader.report import report_left_out
from rsciio_tpx3.scan.options import EDGELESS
from rsciio_tpx3.scan.repeats import FrameChoice, frame_choice
from rsciio_tpx3.scan.scan import refuse_many_positions
from rsciio_tpx3.scan.sync import ScanOptions, build_scan, choose_sync
from rsciio_tpx3.scan.time_bins import TimeBins
from rsciio_tpx3.utils.clock import LATEST, TICKS_PER_SECOND, ticks_to_seconds
from rsciio_tpx3.utils.extensions import extension
from rsciio_tpx3.utils.paths import has_ending, load_npy, need_file
from rsciio_tpx3.utils.text import counted
from rsciio_tpx3.utils.units import shown, to_ticks

__all__ = [
    "axis",
    "called_with",
    "described_files",
    "detector_axes",
    "event_signal",
    "followed",
    "frames_signal",
    "numpy_order",
    "position_axes",
    "refuse_unknown",
    "scan_options",
    "told_options",
    "told_scan",
    "value_dtype",
]

_logger = logging.getLogger(__name__)

_MOST_GROUPS = 10**6
_MANY_FOR_EACH = 20  # hits in each frame, by which none lacks them by chance


def refuse_unknown(unknown, reader, what, taken=None):
    """Raise for options that a reader does not know, naming the one that was probably meant.

    Parameters
    ----------
    unknown : dict
        What was left over; nothing happens when it is empty.
    reader : callable
        Whose parameters are the known options.
    what : str
        For the message, such as ".tpx3 files".
    taken : set of str, optional
        Those of the options that the call takes, where it is not the reader itself.
    """
    if not unknown:
        return
    known = [name for name, p in inspect.signature(reader).parameters.items() if p.kind is not p.VAR_KEYWORD]
    name = next(iter(unknown))
    if taken is not None and name in known:
        raise TypeError(f"{name!r} is an option of loading {what}, and means nothing here. Leave it out.")
    known = [other for other in known if taken is None or other in taken or other == known[0]]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else "Known are " + ", ".join(known[1:]) + "."
    raise TypeError(f"Unknown option {name!r} for {what}. {hint}")


def called_with(function, given, **decided):
    """Call a function with those of a reader's own arguments (its ``locals()``) that it takes, but for some decided."""
    taken = {name: given[name] for name in inspect.signature(function).parameters}
    return function(**{**taken, **decided})


def numpy_order(navigation_shape):
    """HyperSpy's (x, y[, frames]) to NumPy's ([frames,] y, x)."""
    if navigation_shape is None:
        return None
    check_options({"navigation_shape": navigation_shape})
    shape = tuple(int(n) for n in navigation_shape[::-1])
    # frames may be added up or left out; positions of one frame may not
    refuse_many_positions(
        math.prod(shape[-2:]), f"navigation_shape={tuple(shape[::-1])}", "Take a coarser shape of one frame."
    )
    return shape


def scan_options(
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
    time_bins=None,
    frames=None,
):
    """The user's words about a scan as `ScanOptions`; the parameters are those of `tpx3.file_reader`."""
    if signal not in ("scan", "frames"):
        raise ValueError(f"signal={shown(signal)} is none of 'scan', 'frames'; see available_signals(file).")
    pauses = {"line_flyback": line_flyback, "frame_flyback": frame_flyback, "scan_delay": scan_delay}
    given = {
        name.replace("scan_", ""): _ticks(name, value, allow_negative=True)
        for name, value in pauses.items()
        if value is not None
    }
    return ScanOptions(
        nav_shape=numpy_order(navigation_shape),
        dwell=_ticks("dwell_time", dwell_time),
        sync="frames" if signal == "frames" else sync,
        tdc=tdc,
        active_fraction=active_fraction,
        pattern=pattern,
        positions=_read_positions(positions),
        lines_per_row=lines_per_row,
        first_line=first_line,
        skip_lines=tuple(skip_lines) if np.iterable(skip_lines) else (skip_lines,),
        frame_time=_ticks("frame_time", frame_time, example="1 ms"),
        frames=frame_choice(frames),
        time_bins=_time_bins(time_bins),
        **given,
    )


def _time_bins(value):
    """``time_bins`` as the user wrote it: a number of bins inside the dwell time, or a dictionary."""
    if value is None or isinstance(value, TimeBins):
        return value
    if isinstance(value, dict) and set(value) <= {"over", "number", "width"} and "over" in value:
        return TimeBins(value["over"], value.get("number"), _ticks("time_bins width", value.get("width"), "1 s"))
    if isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64)):
        return TimeBins("dwell", int(value))
    raise ValueError(
        f'time_bins={shown(value)}: a number of bins inside the dwell time, {{"over": "recording", "number": 10}} or '
        '{"over": "recording", "width": "1 s"} is needed.'
    )


def _ticks(name, value, example="0.5 us", allow_negative=False):
    if value is None:
        return None
    ticks = to_ticks(value, name, example, allow_negative)
    if abs(ticks) >= LATEST or (0 < abs(ticks) < 1 and not allow_negative):
        kind = "longer than the clock can count (9 years)" if abs(ticks) > 1 else "shorter than a tick (0.26 ns)"
        raise UnitError(f"{name}={shown(value)} is {kind} of the detector's clock. Check the times, and their units.")
    # the nearest fraction that keeps products small: off by less than 1e-12 ticks
    return ticks.limit_denominator(10**6)


def _read_positions(positions):
    if positions is None:
        return None
    if not isinstance(positions, (str, os.PathLike)):
        try:
            return np.asarray(positions)
        except (TypeError, ValueError):
            raise ValueError(
                f"positions={shown(positions)}: a list of whole numbers, the flat position of each pulse, is needed."
            ) from None
    try:
        path = need_file(positions)
    except (FileNotFoundError, Tpx3FormatError) as error:
        raise type(error)(f"positions={shown(positions)}: a file of whole numbers is expected; {error}") from None
    with format_errors(path, "scan positions (a .npy file, or text of whole numbers)"):
        return load_npy(path) if has_ending(path, ".npy") else np.loadtxt(path, dtype=np.int64, ndmin=1)


def told_scan(index, options, account=None):
    """The scan of a recording, where a sidecar may have told what the user has not.

    Parameters
    ----------
    index : EventIndex
    options : ScanOptions
        With the shape that the account steered to.
    account : Account, optional

    Returns
    -------
    Scan

    Raises
    ------
    ScanSyncError
        See `rsciio_tpx3.scan.sync.build_scan`.
    MetadataConflictError
        If a sidecar's rows are not those of the recorded frames.
    """
    if account is None:
        return build_scan(index, options)
    options = told_options(index, options, account)
    try:
        scan = build_scan(index, options)
    except ScanSyncError as error:
        told = ", ".join(f"{name} from {label}" for name, label in account.told_by.items())
        raise (ScanSyncError(f"{error} ({told}; an option decides otherwise)") if told else error) from None
    if "navigation_shape" in account.told_by:
        _check_told_rows(index, options, account.told_by["navigation_shape"])
    return scan


def told_options(index, options, account):
    """Scan options with the dwell time that a sidecar tells, where neither the user nor the edges do."""
    dwell = account.dwell_time
    if dwell is not None and options.dwell is None and options.active_fraction is None and options.sync != "frames":
        # edges that measure the dwell time are believed before any file
        if choose_sync(index, options)[0] not in ("line-gate", "pixel-trigger"):
            return replace(options, dwell=Fraction(repr(dwell)) * TICKS_PER_SECOND)
    return options


def _check_told_rows(index, options, label):
    """Refuse a sidecar's shape that the edges contradict: its lines would end up in wrong rows."""
    # frames that are added up or left out, and time bins, would hide how many frames of how many rows were recorded
    recorded = replace(options, nav_shape=None, frames=FrameChoice(), time_bins=None)
    try:
        found = build_scan(index, recorded)
    except ScanSyncError:
        return  # the edges do not tell the rows
    frames = found.nav_shape[0] if len(found.nav_shape) == 3 else 1
    rows, told = found.nav_shape[-2], options.nav_shape[-2]
    if rows != told and (frames > 1 or told < rows < 2 * told):
        raise MetadataConflictError(
            f"{label} tells {told} rows of scan positions, but the trigger edges show {counted(frames, 'frame')} of "
            f"{rows}. Decide by navigation_shape=({options.nav_shape[-1]}, {rows}), or what the scan really was."
        )


def event_signal(
    source, options, lazy=False, chunks="auto", dtype=None, show_progressbar=None, events=None, account=None
):
    """Signal dictionary of an event source seen through a scan.

    Parameters
    ----------
    source : EventSource
    options : ScanOptions
    lazy : bool
        False decodes now and keeps the sparse chunks in memory.
    chunks, dtype, show_progressbar
        As in `rsciio_tpx3.tpx3.file_reader`.
    events : rsciio_tpx3.reader.event_options.EventOptions, optional
        Clusters, corrections and values; plain hits by default.
    account : Account, optional
        What the user and other files tell.

    Returns
    -------
    dict
    """
    events = events or EventOptions()
    source, corrections = prepare_events(source, events)
    scan = told_scan(source.index(), options, account)
    for message in scan.report["messages"]:
        _logger.warning(message)
    dtype = value_dtype(dtype, scan.longest_dwell, options.lines_per_row * scan.passes, events)
    frames = event_frames(source, scan, dtype, events.values)
    counts, outside = recalled_counts(frames, show_progressbar)
    _warn_of_far_hits(scan, counts)
    values = event_values(source, events, corrections, counts, outside)
    chosen = "frames_used" in scan.report
    of_scan = scan.report.get("frames", 1), scan.report.get("lines_found", 1)
    report_left_out(events.cluster, tally_of(source), counts, outside, chosen, *of_scan)
    return frames_signal(
        frames,
        _nav_axes(scan),
        _metadata(source, scan, asked_for(source.describe(), options, events, frames.dtype), options.delay, values),
        _original_metadata(source),
        lazy=lazy,
        chunks=chunks,
        navigator=counts.reshape(frames.nav_shape),
        sig_axes=detector_axes(source.sig_shape, events),
        account=account,
    )


def _warn_of_far_hits(scan, counts):
    """Say so where a few hits far from all others decide how many frames there are."""
    if scan.report["sync"] not in EDGELESS or len(scan.nav_shape) == 2:
        return
    n, total = scan.nav_shape[0], int(counts.sum())
    if total < 20:
        return
    each = -(-n // _MOST_GROUPS)  # frames looked at together: tables for millions of them would fill the memory
    in_groups = np.add.reduceat(
        counts.ravel(), np.arange(0, scan.n_positions, each * (scan.n_positions // n)), dtype=np.int64
    )
    for of_end, side in ((in_groups, "first"), (in_groups[::-1], "last")):
        n_full = _groups_of_most(of_end, total)
        beyond = total - int(of_end[:n_full].sum())
        if beyond:
            part = "tenth" if n_full <= len(in_groups) // 10 else f"{each * n_full:,}"
            _logger.warning(
                f"All but {beyond} of {total} hits lie in the {side} {part} of {n:,} frames: the others may have wrong "
                "times, and make the recording seem longer than it was. Check it, or tell the number of frames."
            )
            return
    occupied = int(np.count_nonzero(in_groups))
    # as many frames as hits at random would find, but for a few: a scan is not like that, pulses of a source are
    if scan.report["sync"] == "shared-clock" and occupied < 0.1 * len(in_groups) * -math.expm1(-total / len(in_groups)):
        _logger.warning(
            f"Only {each * occupied:,} of {n:,} frames have hits ({total:,} in all): times may be wrong, of packets "
            "from before a reset for example, or the scan was short. Check it, or tell the number of frames."
        )


def _groups_of_most(counts, total):
    """Number of the first groups of frames that have all hits but a few far away; all groups where none are."""
    n = len(counts)
    few = max(1, min(total // 1000, 10))
    until = int(np.searchsorted(np.cumsum(counts), total - few)) + 1
    # where there are few hits for each frame, one without any is nothing unusual
    apart = until < n and counts[until] == 0 and total >= _MANY_FOR_EACH * until
    return until if apart or until <= n // 10 else n


def frames_signal(
    frames,
    nav_axes,
    metadata,
    original_metadata,
    lazy=False,
    chunks="auto",
    navigator=None,
    navigator_holds="Counts",
    sig_axes=None,
    account=None,
):
    """Signal dictionary of any `FrameSource`.

    Parameters
    ----------
    frames : FrameSource
    nav_axes, sig_axes : list of dict
        RosettaSciIO axes in NumPy order; detector axes in pixels by default.
    metadata, original_metadata : dict
    lazy, chunks
        As in `event_signal`.
    navigator : numpy.ndarray of shape nav_shape, optional
        Counts of each position, where they are known already.
    navigator_holds : {"Counts", "Entries"}
        "Entries" where only the number of pixels that counted is known.
    account : Account, optional
        What the user and other files tell.

    Returns
    -------
    dict
    """
    data = to_dask(frames, chunks=chunks)
    if sig_axes is None:
        sig_axes = [axis(name, size, navigate=False, units="px") for name, size in zip(("ky", "kx"), frames.sig_shape)]
    signal = {
        "data": data if lazy else data.persist(),
        "axes": [*nav_axes, *sig_axes],
        "metadata": metadata,
        "original_metadata": original_metadata,
        # a 4D array of events is lazy even when its chunks are in memory
        "attributes": {"_lazy": True},
        "post_process": [partial(_finish, navigator=navigator, holds=navigator_holds)],
    }
    return signal if account is None else account.complete(signal)


def _finish(signal, navigator, holds):
    """Runs inside HyperSpy only: the sparse class, and the navigator that is known already."""
    finish_loading = extension("finish_loading")
    return signal if finish_loading is None else finish_loading(signal, navigator, holds)


def followed(signal, filename, file_format, options):
    """The dictionary of a recording that is still being written, which remembers how to load it again.

    Parameters
    ----------
    signal : dict
        As `event_signal` gives it.
    filename : str, Path or sequence of them
    file_format : str
        Name of the format, for `hyperspy.api.load`.
    options : dict
        All that the reader was called with.
    """
    step = partial(_remember, filename=filename, file_format=file_format, options=options)
    return {**signal, "post_process": [*signal["post_process"], step]}


def _remember(signal, filename, file_format, options):
    """Runs inside HyperSpy only: how to load it again, for `hyperspy_sparse.refresh`."""
    remember = extension("remember_recording")
    return signal if remember is None else remember(signal, filename, file_format, options)


def axis(name, size, navigate, scale=1.0, offset=0.0, units=""):
    """One RosettaSciIO axis."""
    return {
        "name": name,
        "size": int(size),
        "navigate": navigate,
        "scale": float(scale),
        "offset": float(offset),
        "units": units,
    }


def _nav_axes(scan):
    """Axes in NumPy order; a time axis comes first, so that HyperSpy shows x and y."""
    time, sizes, extra = scan.time_axis, list(scan.nav_shape), []
    if time is not None:
        del sizes[0 if time.over == "recording" else -1]
        extra = [axis(f"time in {time.over}", time.number, True, time.width, time.first, "s")]
    if scan.report["sync"] == "frames":
        first = ticks_to_seconds(scan.start[0])
        return [*extra, axis("time", sizes[0], True, scan.report["dwell_time"], first, "s")]
    return [*extra, *position_axes(sizes, _frame_scale(scan))]


def position_axes(sizes, frame_scale=()):
    """Axes of scan positions, ``([frames,] y, x)``; the scale and offset are those of the frame axis."""
    names = ("frame", "y", "x")[-len(sizes) :]
    return [axis(name, size, True, *(frame_scale if name == "frame" else ())) for name, size in zip(names, sizes)]


def _frame_scale(scan):
    """Scale and offset of the frame axis: frame numbers, where those used are evenly spaced."""
    used = scan.report.get("frames_used") or [0]
    steps = np.unique(np.diff(used))
    if len(steps) > 1:
        return ()
    return (float(steps[0]) if len(steps) else 1.0, float(used[0]))


def detector_axes(sig_shape, events):
    """Detector axes in pixels of the detector, also where it was divided more finely."""
    fine = 1 if events.cluster is None else events.cluster.upsample
    offset = (1 / fine - 1) / 2  # the first fine pixel lies left of the middle of the first pixel
    sizes = zip(("ky", "kx"), sig_shape)
    return [axis(name, size, False, scale=1 / fine, offset=offset, units="px") for name, size in sizes]


def value_dtype(dtype, dwell, lines_per_row, events):
    """Type of the values: as given, else the smallest that cannot overflow in so many lines of `dwell` ticks each."""
    if dtype is None:
        if events.values != "counts":
            return value_type(events.values, dwell, lines_per_row, events.cluster is not None)
        # a centroid may lie in a pixel that was not hit: its neighbours, at most four pairs, can give it electrons
        centroids = events.cluster is not None and events.cluster.position == "centroid"
        return count_type(dwell, lines_per_row * (4 if centroids else 1))
    dtype = np.dtype(dtype)
    kind, example = ("f", "float32") if events.values == "energy" else ("u", "uint16")
    if dtype.kind != kind:
        raise ValueError(
            f"dtype={dtype} cannot hold {events.values}: "
            f"{'a floating-point' if kind == 'f' else 'an unsigned integer'} type such as {example!r} is needed."
        )
    return dtype


def described_files(paths):
    """Values for `rsciio_tpx3.metadata.mapping.build` that are known of event files before they are read."""
    names = [os.path.basename(path) for path in paths]
    return {
        "title": os.path.splitext(names[0])[0],
        "original_filename": names[0],
        "original_files": names if len(names) > 1 else None,
        "signal_type": "electron_diffraction",
        "detector_type": "Timepix3",
        "pixel_pitch": PIXEL_PITCH,
    }


def _metadata(source, scan, asked, delay, values):
    about = source.describe()
    index = source.index()
    return build(
        {
            **about,
            **scan.report,
            **described_files(about["paths"]),
            "chips": list(index.chips),
            "losses": index.losses,
            "scan_delay": ticks_to_seconds(float(delay)) if delay else None,
            "processing": {"reading_0": reading_step(about["paths"], asked)},
            **values,
        }
    )


def _original_metadata(source):
    index = source.index()
    text = {
        key: {str(k): v for k, v in value.items()} if isinstance(value, dict) else value
        for key, value in index.statistics.items()
    }
    about = source.describe()
    found = {"size": about["size"], "statistics": text}
    if about.get("sidecar"):
        found["sidecar"] = about["sidecar"]
    return {about.get("format", "tpx3"): found}
