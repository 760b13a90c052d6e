"""From trigger edges, or a shared clock, to a `Scan`: the conventions by which instruments mark it.

line-gate      rise at the start of a line, fall at its end (ASI CheeTah with evenTem, riCOM)
line-start     a pulse at the start of each line, dwell time known
periodic-line  the same, with lines put on a regular grid fitted through the pulses (TimeSTEM)
pixel-trigger  a pulse for each probe position, visited in raster order or by a list
frame-trigger  a pulse for each frame, the rest by dwell time
shared-clock   no edges: scan unit and detector run from one clock and start together (Jannis 2021)
frames         no scan: a stack of frames of equal length over time

``docs/guide/scan_synchronisation.md`` shows them in pictures, with what each needs to be told.
"""

import logging
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from rsciio_tpx3.events.clock import ticks_to_seconds
from rsciio_tpx3.events.edges import regular_pulses
from rsciio_tpx3.events.packets import EDGE_CODES
from rsciio_tpx3.events.scan import Scan
from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.metadata.units import format_seconds

__all__ = ["PATTERNS", "SYNCS", "ScanOptions", "build_scan", "choose_sync"]

_logger = logging.getLogger(__name__)

SYNCS = (
    "line-gate",
    "line-start",
    "periodic-line",
    "pixel-trigger",
    "frame-trigger",
    "shared-clock",
    "frames",
)
PATTERNS = ("raster", "serpentine")
_EDGELESS = ("shared-clock", "frames")


@dataclass(frozen=True)
class ScanOptions:
    """What the user says about the scan; None where it is to be found.

    Attributes
    ----------
    nav_shape : tuple of int or None
        ``(y, x)`` or ``(frames, y, x)``, NumPy order.
    dwell, line_flyback, frame_flyback, frame_time, delay : fractions.Fraction or None
        Ticks. `delay` is added to every edge: how long after the pulse the beam really moves.
    sync, tdc : str
        "auto", one of `SYNCS`; "auto", one of `EDGE_CODES`.
    active_fraction : float or None
        Share of the line period in which the beam scans, for syncs that do not tell.
    pattern : {"raster", "serpentine"}
    positions : numpy.ndarray of int64 or None
        Flat position of each pixel pulse.
    lines_per_row : int
        Trigger lines that make one row of the result.
    first_line : int
        Lines to pass over before the first one of the scan.
    skip_lines : tuple of int
        Lines to leave out at the beginning and at the end of each frame.
    """

    nav_shape: tuple | None = None
    dwell: Fraction | None = None
    sync: str = "auto"
    tdc: str = "auto"
    active_fraction: float | None = None
    pattern: str = "raster"
    positions: np.ndarray | None = None
    lines_per_row: int = 1
    first_line: int = 0
    skip_lines: tuple = (0, 0)
    line_flyback: Fraction = Fraction(0)
    frame_flyback: Fraction = Fraction(0)
    frame_time: Fraction | None = None
    delay: Fraction = Fraction(0)

    def __post_init__(self):
        for name, allowed in (("sync", ("auto", *SYNCS)), ("tdc", ("auto", *EDGE_CODES)), ("pattern", PATTERNS)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is none of {', '.join(map(repr, allowed))}."
                )
        if self.active_fraction is not None and not 0 < self.active_fraction <= 1:
            raise ValueError(f"active_fraction={self.active_fraction!r} must lie above 0 and not above 1.")
        if self.lines_per_row < 1 or self.first_line < 0 or min(self.skip_lines) < 0:
            raise ValueError("lines_per_row must be 1 or more, first_line and skip_lines 0 or more.")


def build_scan(index, options):
    """The scan of a recording.

    Parameters
    ----------
    index : EventIndex
    options : ScanOptions

    Returns
    -------
    Scan
        Its ``report`` holds plain numbers: ``sync``, ``tdc``, ``pattern``, ``lines_found``,
        ``lines_expected``, ``lines_repaired``, ``lines_lost``, ``edges_spurious``, ``edges_in_bursts``,
        ``frames``, times in seconds (``dwell_time``, ``line_period``, ``active_time``,
        ``flyback_time`` with ``*_error``), and ``messages`` for the user.

    Raises
    ------
    ScanSyncError
        If the edges are absent, do not fit the shape asked for, or do not tell enough.
    """
    sync, tdc = choose_sync(index, options)
    if sync in _EDGELESS:
        scan = _frames(index, options) if sync == "frames" else _shared_clock(index, options)
    elif sync == "frame-trigger":
        scan = _frame_trigger(index, options, tdc)
    elif sync == "pixel-trigger":
        scan = _pixel_trigger(index, options, tdc)
    else:
        scan = _lines(index, options, sync, tdc)
    scan.report.update(sync=sync, tdc=tdc, pattern=options.pattern)
    for message in scan.report.get("messages", ()):
        _logger.warning(message)
    return scan


# -- choosing ----------------------------------------------------------------------------------


def choose_sync(index, options):
    """Convention and edge kind: as asked for, or as the edges suggest without guessing.

    Both directions of one input make a line gate; one direction is a line start; as many pulses of
    one kind as the scan shape has positions are pixel triggers.
    """
    if options.sync in _EDGELESS:
        return options.sync, None
    kinds = index.edges.kinds
    if not kinds:
        raise ScanSyncError(
            "No trigger edges in the recording: nothing tells where a line begins. Record TDC1 or TDC2 "
            "(Serval setting Tdc), or load a stack of frames over time with signal=\"frames\", "
            'frame_time="1 ms"; where scan and detector share a clock, pass sync="shared-clock" with '
            "navigation_shape and dwell_time."
        )
    tdc = _choose_tdc(kinds, options)
    if options.sync != "auto":
        if options.sync == "line-gate" and _other_direction(tdc) not in kinds:
            raise ScanSyncError(
                f"sync=\"line-gate\" needs both edges of an input; only {_counted(kinds)} were recorded. "
                'Use sync="line-start" with dwell_time, or record both directions.'
            )
        return options.sync, tdc
    if options.positions is not None:
        return "pixel-trigger", tdc
    if _other_direction(tdc) in kinds:
        _check_gate(index.edges, tdc)
        return "line-gate", tdc
    return ("pixel-trigger" if _looks_like_pixels(index, options, tdc) else "line-start"), tdc


def _choose_tdc(kinds, options):
    if options.tdc != "auto":
        if options.tdc not in kinds:
            raise ScanSyncError(f"tdc={options.tdc!r}: no such edge in the recording; it has {_counted(kinds)}.")
        return options.tdc
    inputs = sorted({name[:4] for name in kinds})
    if len(inputs) > 1:
        raise ScanSyncError(
            f"Edges on both inputs ({_counted(kinds)}): which of them marks the scan? Pass "
            'tdc="tdc1-rise" or tdc="tdc2-rise".'
        )
    rise = f"{inputs[0]}-rise"
    return rise if rise in kinds else f"{inputs[0]}-fall"


def _looks_like_pixels(index, options, tdc):
    """True where the pulses come as the pixels of the scan shape do, and cannot be lines."""
    if options.nav_shape is None or options.active_fraction is not None:
        return False
    pulses = _pulses(index, options, tdc)
    if options.dwell is not None and not 0.9 < pulses.period / float(options.dwell) < 1.1:
        return False
    ny, nx = options.nav_shape[-2:]
    lengths = pulses.run_lengths
    inner = lengths[1:-1] if len(lengths) > 2 else lengths
    if len(lengths) > 1:
        # as many pulses in a line as lines in a frame: groups of that size may be either
        return nx != ny and bool(((inner == nx) | (inner == nx * ny)).all())
    return abs(len(pulses) - math.prod(options.nav_shape)) <= 0.01 * len(pulses)


def _counted(kinds):
    return ", ".join(f"{n} {name}" for name, n in kinds.items())


def _other_direction(tdc):
    return tdc[:5] + ("fall" if tdc.endswith("rise") else "rise")


def _check_gate(edges, tdc):
    """Refuse to take a short trigger pulse for the time of a line."""
    length, period = _gate(edges, tdc)
    if length < 0.5 * period:
        raise ScanSyncError(
            f"{tdc} and {_other_direction(tdc)} were recorded, and the signal is high for "
            f"{format_seconds(ticks_to_seconds(length))} of {format_seconds(ticks_to_seconds(period))}: "
            "too short for a whole line, so it may be only a pulse at its start. Pass sync=\"line-gate\" "
            'if the beam scans while it is high, or sync="line-start" with dwell_time.'
        )


def _gate(edges, tdc):
    start, stop = edges.select(tdc).ticks, edges.select(_other_direction(tdc)).ticks
    following = np.searchsorted(stop, start, "right")
    inside = following < len(stop)
    length = np.median(stop[following[inside]] - start[inside]) if inside.any() else 0
    return length, np.median(np.diff(start)) if len(start) > 1 else length


# -- lines -------------------------------------------------------------------------------------


def _pulses(index, options, tdc):
    """The pulses of one edge kind, with what its input's counter says is missing."""
    edges = index.edges
    own_input = (edges.code == EDGE_CODES[tdc]) | (edges.code == EDGE_CODES.get(_other_direction(tdc), 0))
    code, counter = edges.code[own_input], edges.counter[own_input].astype(np.int64)
    ticks = edges.ticks[own_input]
    step = np.diff(counter) % 4096
    per_pulse = len(np.unique(code))
    wanted = code == EDGE_CODES[tdc]
    # a counter that mostly stands still or leaps is none: nothing can be said about missing edges
    usable = len(step) == 0 or np.mean(step == 1) > 0.5
    missing = None
    if usable:
        total = np.cumsum(np.concatenate([[0], step - 1]))
        missing = np.diff(total[wanted], prepend=0)
    starts = ticks[wanted][options.first_line :]
    if len(starts) == 0:
        raise ScanSyncError(
            f"first_line={options.first_line} passes over all {int(wanted.sum())} {tdc} edges."
        )
    if missing is not None:
        missing = missing[options.first_line :]
    return regular_pulses(starts, missing, per_pulse)


def _lines(index, options, sync, tdc):
    pulses = _pulses(index, options, tdc)
    start, length, gate_report = _line_times(index, pulses, sync, tdc)
    frames, rows, n_lines, messages = _frame_rows(pulses, options)
    nx, num, den, messages_x = _columns(options, sync, pulses, length, n_lines // options.lines_per_row)
    stop = start + np.minimum(length, -(-nx * num // den))
    # a line ends where the next begins, whatever was asked for
    stop[:-1] = np.minimum(stop[:-1], start[1:])
    stop[pulses.lost] = start[pulses.lost]
    messages = messages + messages_x + _gap_messages(pulses, "line")
    report = {
        "lines_found": pulses.found,
        "lines_repaired": pulses.repaired,
        "lines_lost": int(pulses.lost.sum()),
        "edges_spurious": pulses.spurious,
        "edges_in_bursts": pulses.burst,
        **_period_report(pulses, "line"),
        **gate_report,
        "dwell_time": ticks_to_seconds(float(np.median(num)) / den),
        "dwell_time_error": ticks_to_seconds(float(np.std(num)) / den),
    }
    delay = round(options.delay)
    return _scan_of_lines(
        options, frames, rows, n_lines, nx, start + delay, stop + delay, np.zeros_like(start), num, den, report, messages
    )


def _line_times(index, pulses, sync, tdc):
    """Start and usable length of each line, ticks."""
    start = pulses.ticks
    limit = np.full(len(start), round(pulses.period) if np.isfinite(pulses.period) else np.iinfo(np.int32).max)
    if sync == "periodic-line":
        return _fitted(pulses), limit, {}
    if sync == "line-start":
        return start, limit, {}
    ends = index.edges.select(_other_direction(tdc)).ticks
    following = np.searchsorted(ends, start, "right")
    raw = np.where(following < len(ends), ends[np.minimum(following, len(ends) - 1)] - start, -1)
    typical = np.median(raw[raw > 0]) if (raw > 0).any() else 0
    if typical <= 0:
        raise ScanSyncError(f"No {_other_direction(tdc)} edge follows a {tdc} edge: there is no line gate.")
    # an absent end would borrow the one of a later line, a glitch end the line too early
    good = (raw > 0.5 * typical) & (raw < 1.5 * typical)
    length = np.where(good, raw, round(typical))
    return start, length, {
        "active_time": ticks_to_seconds(typical),
        "active_time_error": ticks_to_seconds(raw[good].std()),
        "line_ends_repaired": int((~good).sum()),
    }


def _fitted(pulses):
    """Line starts on a straight line through the pulses of each run: period common, offset its own."""
    number = np.arange(len(pulses), dtype=np.float64)
    kept = ~pulses.lost
    runs = pulses.run[kept]
    n = np.bincount(runs, minlength=pulses.run[-1] + 1)
    origin = np.full(len(n), 0, np.int64)
    np.maximum.at(origin, pulses.run, pulses.ticks)  # near the times, so that floats stay exact
    x = number[kept]
    y = (pulses.ticks[kept] - origin[runs]).astype(np.float64)
    mean_x = np.bincount(runs, x, len(n)) / np.maximum(n, 1)
    mean_y = np.bincount(runs, y, len(n)) / np.maximum(n, 1)
    dx, dy = x - mean_x[runs], y - mean_y[runs]
    slope = (dx * dy).sum() / (dx * dx).sum() if (dx * dx).sum() else 0.0
    offset = mean_y[pulses.run] + slope * (number - mean_x[pulses.run])
    return origin[pulses.run] + np.round(offset).astype(np.int64)


def _frame_rows(pulses, options):
    """Frame and row of each line, and the number of lines in a frame.

    Frame marks (a burst, or a gap no missing pulse explains) decide where they are regular; the
    shape asked for must agree with them. Lines before the first mark are the end of a frame that
    began before the recording.
    """
    lengths = pulses.run_lengths
    skip = sum(options.skip_lines)
    wanted = None
    if options.nav_shape is not None:
        wanted = options.nav_shape[-2] * options.lines_per_row + skip
    inner = lengths[1:-1]
    messages = []
    if len(lengths) == 1 and wanted is None:
        marked = int(lengths[0])
    elif len(lengths) == 1:
        marked = None
    elif len(inner) and (inner == inner[0]).all() and max(lengths[0], lengths[-1]) <= inner[0]:
        marked = int(inner[0])
    elif len(inner) == 0:
        marked = int(lengths.max())
        if wanted is not None and wanted >= marked:
            marked = wanted
    elif wanted is not None and (lengths == lengths[0]).all():
        marked = int(lengths[0])
    elif wanted is not None:
        marked = None
        messages.append(
            f"The scan pauses {len(lengths) - 1} times at irregular lines; they are taken as pauses, and "
            f"frames are counted by {wanted} lines from the first on."
        )
    else:
        raise ScanSyncError(
            f"The edges form {len(lengths)} groups of {_some(lengths)} lines: no regular frame can be seen. "
            "Pass navigation_shape=(x, y)."
        )
    if marked is None:
        number = np.arange(len(pulses))
        return number // wanted, number % wanted, wanted, messages
    if wanted is not None and wanted != marked:
        raise _shape_error(options, marked, wanted, len(lengths))
    within = np.arange(len(pulses)) - np.concatenate([[0], np.cumsum(lengths)[:-1]])[pulses.run]
    if len(lengths) > 1:
        within[pulses.run == 0] += marked - lengths[0]
    return pulses.run, within, marked, messages


def _some(lengths):
    shown = ", ".join(str(n) for n in lengths[:6])
    return shown + (", ..." if len(lengths) > 6 else "")


def _shape_error(options, marked, wanted, n_frames):
    x, y = options.nav_shape[-1], options.nav_shape[-2]
    advice = [f"navigation_shape=({x}, {marked})"]
    if marked % y == 0:
        advice.append(f"lines_per_row={marked // y} to add up {marked // y} lines to a row")
    if wanted < marked:
        advice.append(f"skip_lines=(0, {marked - wanted}) to leave lines out at the end of each frame")
    return ScanSyncError(
        f"The edges form {n_frames} frame{'s' if n_frames > 1 else ''} of {marked} lines; navigation_shape=({x}, {y}) "
        f"needs {wanted}.\n    Pass " + ", or ".join(advice) + "."
    )


def _columns(options, sync, pulses, length, n_rows):
    """Columns in a line and the dwell time as ``num / den`` for each line."""
    n = len(pulses)
    messages = []
    nx = options.nav_shape[-1] if options.nav_shape is not None else None
    dwell = options.dwell
    if sync == "line-gate":
        if nx is None and dwell is not None:
            nx = max(1, int(round(float(np.median(length)) / float(dwell))))
        elif nx is None:
            nx = n_rows
            messages.append(
                f"navigation_shape was not given: {n_rows} rows were found, and as many columns are taken, as for a "
                f"square scan. Any number is right that you wish to sample a line with: "
                f"navigation_shape=(x, {n_rows})."
            )
        if dwell is None:
            return nx, length.astype(np.int64), nx, messages
    elif dwell is None:
        if options.active_fraction is None or nx is None:
            raise ScanSyncError(
                f"The edges mark where each of {n_rows} rows begins, every {_period_text(pulses)}, but not how long "
                "the beam stays on a position. Pass navigation_shape and dwell_time=\"1 us\", or "
                "navigation_shape and active_fraction=0.9 (the share of the period that is no flyback); if each edge "
                'is one probe position, sync="pixel-trigger".'
            )
        dwell = Fraction(pulses.period).limit_denominator(1000) * Fraction(str(options.active_fraction)) / nx
    elif nx is None:
        if options.active_fraction is None:
            raise ScanSyncError(
                f"dwell_time is known, but not how many positions a line of {_period_text(pulses)} has before the "
                "flyback. Pass navigation_shape too."
            )
        nx = max(1, int(round(pulses.period * options.active_fraction / float(dwell))))
    available = float(np.median(length))
    if nx * float(dwell) > 1.001 * available + 6:
        raise ScanSyncError(
            f"{nx} positions of {format_seconds(ticks_to_seconds(float(dwell)))} take "
            f"{format_seconds(ticks_to_seconds(nx * float(dwell)))}, but a line lasts "
            f"{format_seconds(ticks_to_seconds(available))}. Check dwell_time and navigation_shape."
        )
    return nx, np.full(n, dwell.numerator, np.int64), dwell.denominator, messages


def _period_text(pulses):
    return format_seconds(ticks_to_seconds(pulses.period)) if np.isfinite(pulses.period) else "an unknown time"


def _period_report(pulses, what):
    if not np.isfinite(pulses.period):
        return {}
    return {
        f"{what}_period": ticks_to_seconds(pulses.period),
        f"{what}_period_error": ticks_to_seconds(pulses.jitter),
    }


def _gap_messages(pulses, what):
    messages = []
    if pulses.repaired:
        messages.append(
            f"{pulses.repaired} missing {what} edges were put back between their neighbours, as the edge "
            "counter says."
        )
    if pulses.lost.any():
        messages.append(
            f"{int(pulses.lost.sum())} {what}s are missing and the gap does not tell when they were scanned: their "
            "positions stay empty."
        )
    if pulses.spurious:
        messages.append(f"{pulses.spurious} edges inside a {what} were taken as glitches and left out.")
    return messages


def _scan_of_lines(options, frames, rows, n_lines, nx, start, stop, phase, num, den, report, messages):
    """Put lines into frames and rows: the one place that knows raster and serpentine."""
    first, last = options.skip_lines
    n_rows = (n_lines - first - last) // options.lines_per_row
    found_frames = int(frames.max()) + 1 if len(frames) else 0
    n_frames = found_frames
    if options.nav_shape is not None and len(options.nav_shape) == 3:
        n_frames = options.nav_shape[0]
    nav_shape = (n_frames, n_rows, nx)
    if n_frames == 1 and (options.nav_shape is None or len(options.nav_shape) == 2):
        nav_shape = (n_rows, nx)
    row = (rows - first) // options.lines_per_row
    inside = (rows >= first) & (row < n_rows) & (frames < n_frames)
    backwards = (options.pattern == "serpentine") & (row % 2 == 1)
    base = (frames * n_rows + row) * nx + np.where(backwards, nx - 1, 0)
    scanned = int((inside & (stop > start)).sum())
    expected = n_frames * n_rows * options.lines_per_row
    if scanned < expected:
        messages = [
            *messages,
            f"{scanned} of {expected} lines were recorded: the positions of the others are empty.",
        ]
    if found_frames > n_frames:
        messages = [*messages, f"{found_frames} frames were recorded, {n_frames} asked for: the rest is left out."]
    report.update(
        lines_expected=expected,
        lines_placed=scanned,
        lines_left_out=int((~inside).sum()),
        frames=n_frames,
        messages=tuple(messages),
    )
    if report.get("line_period"):
        report["flyback_time"] = report["line_period"] - nx * report["dwell_time"]
    order = np.argsort(start, kind="stable")
    return Scan(
        nav_shape=tuple(int(n) for n in nav_shape),
        start=start[order],
        stop=stop[order],
        phase=phase[order],
        num=np.asarray(num, np.int64)[order],
        den=int(den),
        n_columns=int(nx),
        base=np.where(inside, base, -1)[order],
        step=np.where(backwards, -1, 1).astype(np.int8)[order],
        report=report,
    )


# -- clocked lines -----------------------------------------------------------------------------


def _need(options, sync, *names):
    text = {"nav_shape": "navigation_shape", "dwell": "dwell_time"}
    missing = [text.get(name, name) for name in names if getattr(options, name) is None]
    if missing:
        raise ScanSyncError(f"sync={sync!r} needs {' and '.join(missing)}: no edge tells it.")


def _clocked_lines(options, frame_starts, report, messages=()):
    """Lines that follow from the dwell time alone, from the (exact) start of each frame."""
    ny, nx = options.nav_shape[-2:]
    n_lines = ny * options.lines_per_row + sum(options.skip_lines)
    period = nx * options.dwell + options.line_flyback
    den = math.lcm(period.denominator, options.dwell.denominator, *(Fraction(t).denominator for t in frame_starts[:1]))
    frames = np.repeat(np.arange(len(frame_starts)), n_lines)
    rows = np.tile(np.arange(n_lines), len(frame_starts))
    # exact starts in 1/den ticks, as Python integers where int64 might not hold them
    line = [int(r * period * den) for r in range(n_lines)]
    exact = np.array([int(Fraction(t) * den) + step for t in frame_starts for step in line], dtype=object)
    start = np.array([-(-v // den) for v in exact], np.int64)
    phase = np.array([int(s) * den - v for s, v in zip(start.tolist(), exact)], np.int64)
    num = np.full(len(start), int(options.dwell * den), np.int64)
    length = int(nx * options.dwell * den)
    stop = np.array([-(-(v + length) // den) for v in exact], np.int64)
    report.update(
        dwell_time=ticks_to_seconds(float(options.dwell)),
        line_period=ticks_to_seconds(float(period)),
        lines_found=len(start),
    )
    return _scan_of_lines(
        options, frames, rows, n_lines, nx, start, stop, phase, num, den, report, list(messages)
    )


def _shared_clock(index, options):
    _need(options, "shared-clock", "nav_shape", "dwell")
    ny, nx = options.nav_shape[-2:]
    n_lines = ny * options.lines_per_row + sum(options.skip_lines)
    frame = n_lines * (nx * options.dwell + options.line_flyback) + options.frame_flyback
    n_frames = options.nav_shape[0] if len(options.nav_shape) == 3 else 1
    if len(options.nav_shape) == 2:
        n_frames = max(1, math.ceil((index.hit_span[1] + 1 - options.delay) / frame))
    return _clocked_lines(options, [options.delay + i * frame for i in range(n_frames)], {})


def _frame_trigger(index, options, tdc):
    _need(options, "frame-trigger", "nav_shape", "dwell")
    pulses = _pulses(index, options, tdc)
    kept = pulses.ticks[~pulses.lost]
    report = {
        "edges_spurious": pulses.spurious,
        "frames_repaired": pulses.repaired,
        **_period_report(pulses, "frame"),
    }
    ny, nx = options.nav_shape[-2:]
    lines = ny * options.lines_per_row + sum(options.skip_lines)
    frame = lines * (nx * options.dwell + options.line_flyback)
    if len(kept) > 1 and frame > 1.001 * pulses.period + 6:
        raise ScanSyncError(
            f"A frame of navigation_shape and dwell_time takes {format_seconds(ticks_to_seconds(float(frame)))}, but "
            f"frame edges come every {_period_text(pulses)}. Check both, and line_flyback."
        )
    starts = [Fraction(int(t)) + options.delay for t in kept]
    return _clocked_lines(options, starts, report, _gap_messages(pulses, "frame"))


def _frames(index, options):
    if options.frame_time is None:
        raise ScanSyncError(
            'signal="frames" needs frame_time, such as frame_time="1 ms"; the recording lasts '
            f"{format_seconds(ticks_to_seconds(index.hit_span[1] - index.hit_span[0]))}."
        )
    first, end = index.hit_span[0], index.hit_span[1] + 1
    n = max(1, math.ceil((end - first) / options.frame_time))
    number = np.arange(n + 1, dtype=np.int64).astype(object)
    den, num = options.frame_time.denominator, options.frame_time.numerator
    border = np.array([first - (-int(k) * num // den) for k in number], np.int64)
    phase = (border[:-1] - first) * den - np.array([int(k) * num for k in number[:-1]], np.int64)
    return Scan(
        nav_shape=(n,),
        start=border[:-1],
        stop=border[1:],
        phase=phase,
        num=np.full(n, num, np.int64),
        den=den,
        n_columns=1,
        base=np.arange(n, dtype=np.int64),
        step=np.ones(n, np.int8),
        report={"dwell_time": ticks_to_seconds(float(options.frame_time)), "frames": n, "messages": ()},
    )


# -- pixel pulses ------------------------------------------------------------------------------


def _pixel_trigger(index, options, tdc):
    pulses = _pulses(index, options, tdc)
    n = len(pulses)
    nx, n_positions, position, nav_shape, messages = _pulse_positions(pulses, options)
    start = pulses.ticks
    length = np.full(n, round(pulses.period) if np.isfinite(pulses.period) else np.iinfo(np.int32).max)
    if options.dwell is not None:
        length = np.minimum(length, math.ceil(options.dwell))
    # positions wander with the scan: a pulse that comes a little late does not cut its predecessor short
    following = np.append(np.diff(start), np.iinfo(np.int64).max)
    stretch = (following < 1.5 * length) & (options.dwell is None)
    length = np.where(stretch, following, np.minimum(length, following))
    length[pulses.lost] = 0
    outside = (position < 0) | (position >= n_positions)
    delay = round(options.delay)
    messages = [*messages, *_gap_messages(pulses, "pixel")]
    placed = int((~outside & ~pulses.lost).sum())
    if placed < n_positions:
        messages.append(f"{placed} pulses for {n_positions} positions: the others are empty.")
    report = {
        "pulses_found": pulses.found,
        "pulses_repaired": pulses.repaired,
        "pulses_lost": int(pulses.lost.sum()),
        "pulses_left_out": int(outside.sum()),
        "edges_spurious": pulses.spurious,
        "frames": nav_shape[0] if len(nav_shape) == 3 else 1,
        "dwell_time": ticks_to_seconds(float(options.dwell) if options.dwell else pulses.period),
        "dwell_time_error": ticks_to_seconds(pulses.jitter),
        "messages": tuple(messages),
    }
    return Scan(
        nav_shape=nav_shape,
        start=start + delay,
        stop=start + delay + length,
        phase=np.zeros(n, np.int64),
        num=np.maximum(length, 1),
        den=1,
        n_columns=1,
        base=np.where(outside, -1, position),
        step=np.ones(n, np.int8),
        report=report,
    )


def _pulse_positions(pulses, options):
    """Flat position of each pulse over all frames, and the scan's shape."""
    n = len(pulses)
    number = np.arange(n, dtype=np.int64)
    if options.positions is not None:
        _need(options, "pixel-trigger with positions", "nav_shape")
        return _listed_positions(number, options)
    lengths = pulses.run_lengths
    messages = []
    if options.nav_shape is None:
        nx, ny = _raster_of_runs(pulses, lengths)
    else:
        ny, nx = options.nav_shape[-2:]
        inner = lengths[1:-1]
        if len(inner) and (inner == inner[0]).all() and inner[0] not in (nx, nx * ny):
            raise ScanSyncError(
                f"The pulses come in groups of {int(inner[0])}, but navigation_shape has {nx} positions in a line. "
                f"Pass navigation_shape=({int(inner[0])}, y), or sync=\"line-start\" if each pulse is a line."
            )
    frame = nx * ny
    n_frames = options.nav_shape[0] if options.nav_shape and len(options.nav_shape) == 3 else -(-n // frame)
    column, line = number % nx, number // nx
    if options.pattern == "serpentine":
        column = np.where(line % ny % 2 == 1, nx - 1 - column, column)
    nav_shape = (n_frames, ny, nx)
    if n_frames == 1 and (options.nav_shape is None or len(options.nav_shape) == 2):
        nav_shape = (ny, nx)
    return nx, n_frames * frame, line * nx + column, tuple(int(v) for v in nav_shape), messages


def _raster_of_runs(pulses, lengths):
    """Columns and rows from the flybacks between pulses."""
    whole = lengths[:-1] if len(lengths) > 1 else lengths
    if len(lengths) == 1 or not (whole == whole[0]).all() or lengths[-1] > whole[0]:
        raise ScanSyncError(
            f"{len(pulses)} pixel pulses in {len(lengths)} groups of {_some(lengths)}: the length of a line cannot be "
            "seen. Pass navigation_shape=(x, y)."
        )
    nx = int(whole[0])
    line_starts = pulses.ticks[np.concatenate([[0], np.cumsum(lengths)[:-1]])]
    lines = regular_pulses(line_starts, None)
    per_frame = lines.run_lengths
    if len(per_frame) > 1 and not (per_frame[:-1] == per_frame[0]).all():
        raise ScanSyncError(
            f"Lines of {nx} pulses come in groups of {_some(per_frame)}: no regular frame can be seen. Pass "
            f"navigation_shape=({nx}, y)."
        )
    return nx, int(per_frame[0])


def _listed_positions(number, options):
    positions = np.asarray(options.positions, np.int64).ravel()
    ny, nx = options.nav_shape[-2:]
    if len(positions) == 0 or positions.min() < 0 or positions.max() >= nx * ny:
        raise ScanSyncError(
            f"positions must hold flat scan positions from 0 to {nx * ny - 1} (y * {nx} + x); found "
            f"{positions.min() if len(positions) else 'none'} to {positions.max() if len(positions) else 'none'}."
        )
    # the list is one repetition; a position that it names again belongs to the next one
    order = np.argsort(positions, kind="stable")
    ranked = positions[order]
    first = np.flatnonzero(np.concatenate([[True], np.diff(ranked) != 0]))
    visit = np.empty(len(positions), np.int64)
    visit[order] = np.arange(len(positions)) - np.repeat(first, np.diff(np.append(first, len(positions))))
    per_list = int(visit.max()) + 1
    n_frames = per_list * -(-len(number) // len(positions))
    if len(options.nav_shape) == 3:
        n_frames = options.nav_shape[0]
    entry, repetition = number % len(positions), number // len(positions)
    flat = (repetition * per_list + visit[entry]) * (nx * ny) + positions[entry]
    nav_shape = (ny, nx) if n_frames == 1 and len(options.nav_shape) == 2 else (n_frames, ny, nx)
    return nx, n_frames * nx * ny, flat, tuple(int(v) for v in nav_shape), []

