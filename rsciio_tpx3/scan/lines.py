"""Scans whose lines are marked by edges: line-gate, line-start, periodic-line; and rows from lines."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.scan.edges import gap_messages, other_direction, period_report, period_text, pulses_of
from rsciio_tpx3.scan.frame_edges import marked_by_frame_edges
from rsciio_tpx3.scan.intervals import typical_around
from rsciio_tpx3.scan.numbering import number_runs
from rsciio_tpx3.scan.options import COMES_LATER
from rsciio_tpx3.scan.scan import Scan
from rsciio_tpx3.scan.steps import slips
from rsciio_tpx3.utils.clock import ticks_to_seconds
from rsciio_tpx3.utils.text import counted, format_seconds

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import Edges, EventIndex
    from rsciio_tpx3.scan.edges import Pulses
    from rsciio_tpx3.scan.options import ScanOptions

__all__ = [
    "gate_length",
    "line_pulses",
    "line_scan",
    "lines_of_frame",
    "lines_of_shape",
    "marks_frames",
    "out_of_step_message",
    "scan_of_lines",
    "some",
    "whole_runs",
]


_END_FITS = 0.002  # of a line: how far its end may be out of place although no other one is
_END_SPREADS = 12  # times the median distance from the typical length


def line_scan(index: EventIndex, options: ScanOptions, sync: str, tdc: str) -> Scan:
    """The `Scan` of a recording whose lines are marked by edges of kind `tdc`."""
    pulses = line_pulses(index.edges, options, sync, tdc)
    first_messages: list[str] = []
    if sync == "line-gate" and options.first_line == 0:
        pulses, first_messages = _with_first_line(index, pulses, tdc)
    pulses, frame_report, frame_messages = marked_by_frame_edges(index.edges, tdc, pulses, lines_of_frame(options))
    first_messages = first_messages + frame_messages
    start, length, gate_report = _line_times(index, pulses, sync, tdc)
    gated = "active_time" in gate_report
    if options.nav_shape is not None and not gated:
        # before rows are counted: edges that mark positions would make advice on rows
        _need_dwell(options, pulses, "a row")
    # Rows before columns: without a shape, a scan is taken for square and its rows give the columns.
    frames, rows, n_lines, messages = _frame_rows(pulses, options)
    nx, num, den, messages_x = _columns(options, gated, pulses, length, _rows_of(n_lines, options))
    # A line ends with its last position or with its gate, whichever comes first; what follows is flyback.
    stop = start + np.minimum(length, -(-nx * num // den))
    stop[pulses.lost] = start[pulses.lost]
    messages = first_messages + messages + messages_x + gap_messages(pulses, "line")
    messages += out_of_step_message(pulses, rows, "line")
    if gate_report.get("line_ends_repaired"):
        messages.append(
            f"{counted(gate_report['line_ends_repaired'], 'line end')} missing or out of place: these lines are taken "
            "to be as long as the others."
        )
    report = {
        "lines_found": pulses.found,
        "lines_repaired": pulses.repaired,
        "lines_lost": int(pulses.lost.sum()),
        "edges_spurious": pulses.spurious,
        "edges_in_bursts": pulses.burst,
        **period_report(pulses, "line"),
        **_jitter_report(pulses),
        **gate_report,
        **frame_report,
        "dwell_time": ticks_to_seconds(float(np.median(num)) / den),
        "dwell_time_error": ticks_to_seconds(float(np.std(num)) / den),
    }
    delay = round(options.delay)
    return scan_of_lines(
        options,
        frames,
        rows,
        n_lines,
        nx,
        start + delay,
        stop + delay,
        np.zeros_like(start),
        num,
        den,
        report,
        messages,
    )


def lines_of_frame(options: ScanOptions) -> int | None:
    """Trigger lines in a frame of the requested shape; None where none is."""
    return None if options.nav_shape is None else lines_of_shape(options)


def lines_of_shape(options: ScanOptions) -> int:
    """The same for a scan that needs its shape."""
    return options.known_nav_shape[-2] * options.lines_per_row + sum(options.skip_lines)


def line_pulses(edges: Edges, options: ScanOptions, sync: str, tdc: str) -> Pulses:
    """The `Pulses` of lines, by what is known of their length and number."""
    n_lines = lines_of_frame(options)
    least: float = 0
    ends = edges.select(other_direction(tdc)).ticks
    if sync == "line-gate" or (sync == "periodic-line" and len(ends)):
        least = _high_time(edges.select(tdc).ticks, ends)
    elif options.dwell is not None and options.nav_shape is not None:
        least = options.nav_shape[-1] * float(options.dwell)
    return pulses_of(edges, tdc, options.first_line, least, (n_lines,) if n_lines else ())


def _high_time(starts: np.ndarray, ends: np.ndarray) -> float:
    """How long the signal is high for half of the time that it is high: a line, however many pulses a burst has."""
    following = np.searchsorted(ends, starts, "right")
    known = following < len(ends)
    begin, end = starts[known], ends[following[known]]
    # where an end is missing, the next one belongs to another start
    own = end <= np.append(begin[1:], np.iinfo(np.int64).max)
    high = np.sort(end[own] - begin[own])
    return float(high[np.searchsorted(np.cumsum(high), high.sum() / 2)]) if len(high) else 0.0


def gate_length(starts: np.ndarray, ends: np.ndarray) -> float:
    """Typical time from a line's start to the end that follows it, ticks; 0 where none follows."""
    following = np.searchsorted(ends, starts, "right")
    inside = following < len(ends)
    return float(np.median(ends[following[inside]] - starts[inside])) if inside.any() else 0.0


def _with_first_line(index: EventIndex, pulses: Pulses, tdc: str) -> tuple[Pulses, list[str]]:
    """Put back the first line's start where only its end was recorded, if the recording had begun by then."""
    ends = index.edges.select(other_direction(tdc)).ticks
    start = pulses.ticks
    length = gate_length(start, ends)
    if length <= 0 or ends[0] >= start[0] or start[0] - ends[0] > pulses.period:
        return pulses, []
    missing = ends[0] - round(length)
    if missing < index.span[0]:
        return pulses, [
            "The recording begins inside a line, whose end alone was recorded; its hits have no position, and the "
            "next line is row 0."
        ]
    return replace(
        pulses,
        ticks=np.concatenate([[missing], start]),
        lost=np.concatenate([[False], pulses.lost]),
        run=np.concatenate([pulses.run[:1], pulses.run]),
        doubtful=np.concatenate([[False], pulses.doubtful]),
        marked=np.concatenate([[False], pulses.marked]),
        repaired=pulses.repaired + 1,
    ), []


def _line_times(
    index: EventIndex, pulses: Pulses, sync: str, tdc: str
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Start and usable length of each line, ticks."""
    start = pulses.ticks
    ends = index.edges.select(other_direction(tdc)).ticks
    if sync == "line-start" or (sync == "periodic-line" and len(ends) == 0):
        limit = round(pulses.period) if np.isfinite(pulses.period) else np.iinfo(np.int32).max
        return start if sync == "line-start" else _fitted(pulses), np.full(len(start), limit), {}
    typical = gate_length(start, ends)
    if typical <= 0:
        raise ScanSyncError(f"No {other_direction(tdc)} edge follows a {tdc} edge: there is no line gate.")
    # of several ends, the one that fits: a dropout inside a line ends it too early
    raw = ends[_nearest(ends, start + round(typical))] - start
    # an absent end would borrow the one of another line
    # Median, not deviation: a few ends far away must not widen what counts as good.
    spread = np.median(np.abs(raw - typical))
    good = np.abs(raw - typical) <= max(_END_FITS * typical, _END_SPREADS * spread)
    length = raw.copy()
    length[~good] = typical_around(raw, good, np.flatnonzero(~good), typical)
    if sync == "periodic-line":
        start, length = _fitted(pulses), np.full(len(start), round(typical))
    return (
        start,
        length,
        {
            "active_time": ticks_to_seconds(typical),
            "active_time_error": ticks_to_seconds(raw[good].std()),
            "line_ends_repaired": int((~good).sum()),
        },
    )


def _nearest(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of the value nearest to each wanted one; `values` ascend."""
    right = np.clip(np.searchsorted(values, wanted), 1, max(len(values) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(values) - 1)
    return np.where(wanted - values[left] <= values[right] - wanted, left, right)


def _fitted(pulses: Pulses) -> np.ndarray:
    """Line starts on a straight line through the pulses of each run: period common, offset its own."""
    origin, offset = _fit(pulses)
    return origin + np.round(offset).astype(np.int64)


def _fit(pulses: Pulses) -> tuple[np.ndarray, np.ndarray]:
    """The fitted times as an integer near them and a float to be added."""
    number = np.arange(len(pulses), dtype=np.float64)
    recorded = ~pulses.lost
    run = _stretches(pulses)
    runs = run[recorded]
    n = np.bincount(runs, minlength=run[-1] + 1)  # pulses of each run
    origin = np.full(len(n), 0, np.int64)
    np.maximum.at(origin, run, pulses.ticks)  # near the times, so that floats stay exact
    # Least squares with one slope for all runs and an offset for each: deviations from the means of the run decouple
    # them.
    x = number[recorded]
    y = (pulses.ticks[recorded] - origin[runs]).astype(np.float64)
    mean_x = np.bincount(runs, x, len(n)) / np.maximum(n, 1)
    mean_y = np.bincount(runs, y, len(n)) / np.maximum(n, 1)
    dx, dy = x - mean_x[runs], y - mean_y[runs]
    slope = (dx * dy).sum() / (dx * dx).sum() if (dx * dx).sum() else 0.0
    return origin[run], mean_y[run] + slope * (number - mean_x[run])


def _stretches(pulses: Pulses) -> np.ndarray:
    """Numbers of the stretches of pulses in one step: runs, cut where the step changes without a mark."""
    border, known = np.zeros(len(pulses), bool), np.flatnonzero(~pulses.lost)
    border[known] = slips(pulses.ticks[known], pulses.period)
    border[1:] |= np.diff(pulses.run) > 0
    return np.cumsum(border)


def _jitter_report(pulses: Pulses) -> dict:
    """How far line starts lie from a regular grid, one standard deviation, with its own error."""
    origin, offset = _fit(pulses)
    recorded = ~pulses.lost
    free = int(recorded.sum()) - int(_stretches(pulses)[-1]) - 2  # an offset for each run, and one period
    if free < 1:
        return {}
    residual = (pulses.ticks - origin)[recorded] - offset[recorded]
    jitter = ticks_to_seconds(float(np.sqrt((residual**2).sum() / free)))
    return {"line_jitter": jitter, "line_jitter_error": jitter / float(np.sqrt(2 * free))}


def _frame_rows(pulses: Pulses, options: ScanOptions) -> tuple[np.ndarray, np.ndarray, int, list[str]]:
    """Frame and row of each line, and the number of lines in a frame.

    Frame marks (a burst, or a gap no missing pulse explains) decide where they are regular; the
    shape requested must agree with them. Lines before the first mark are the end of a frame that
    began before the recording; a later frame that lacks lines was stopped, and lacks its last ones.
    """
    wanted = lines_of_frame(options)
    run = whole_runs(pulses, wanted)
    lengths = np.bincount(run)
    if len(lengths) == 1 and wanted is not None and marks_frames(np.bincount(_stretches(pulses)), wanted):
        # pauses of less than half a line are marks as well, where they come after so many lines as a frame has
        run = _stretches(pulses)
        lengths = np.bincount(run)
    # The first and the last frame may be cut by the recording's ends, so only those between show a frame's length.
    inner = lengths[1:-1]
    messages = []
    if len(lengths) == 1 and wanted is None:  # one frame, as long as it is
        marked = int(lengths[0])
    elif len(lengths) == 1:  # nothing marks frames: count lines
        marked = None
    elif len(lengths) == 2 and wanted is not None and (len(pulses) <= wanted or options.known_nav_shape[:-2] == (1,)):
        marked = None
        messages.append(
            f"The scan pauses once, after {int(lengths[0])} lines; {len(pulses)} lines make no more than one frame of "
            f"{wanted}, so it is taken as a pause."
        )
    elif len(inner) and (inner == inner[0]).all() and max(lengths[0], lengths[-1]) <= inner[0]:
        marked = int(inner[0])
    elif len(inner) == 0:  # two runs: the longer one is nearer to whole
        marked = int(lengths.max())
        if wanted is not None and wanted >= marked:
            marked = wanted
    elif wanted is not None and (lengths == lengths[0]).all():
        marked = int(lengths[0])
    elif wanted is not None and marks_frames(lengths, wanted):
        marked = wanted
    elif wanted is not None:
        marked = None
        messages.append(
            f"The scan pauses {len(lengths) - 1} times at irregular lines; they are taken as pauses, and "
            f"frames are counted by {wanted} lines from the first on."
        )
    else:
        raise ScanSyncError(
            f"The edges form {len(lengths)} groups of {some(lengths)} lines: no regular frame can be seen. "
            "Pass navigation_shape=(x, y)."
        )
    # Without marks frames are counted off, from the first line on.
    if marked is None:
        number, whole = np.arange(len(pulses)), lines_of_shape(options)
        return number // whole, number % whole, whole, messages
    if wanted is not None and wanted != marked:
        raise _shape_error(options, marked, wanted, len(lengths))
    if len(lengths) == 1:
        return run, np.arange(len(pulses)), marked, messages
    run = _cut_where_out_of_step(pulses, run, marked)
    found = number_runs(pulses, run, marked, "frame", "line", options.follow)
    return found.frame, found.within, marked, messages + found.messages


def out_of_step_message(pulses: Pulses, within: np.ndarray, what: str) -> list:
    """What there is to say where pulses inside a frame (or line) change their step, and nothing has repaired that."""
    odd = np.diff(_stretches(pulses), prepend=0) > 0
    odd[1:] &= np.diff(pulses.run) == 0
    odd &= (within != 0) & ~pulses.lost
    if not odd.any():
        return []
    return [
        f"{counted(int(odd.sum()), f'{what} edge')} out of step with those before, for no reason that can be seen: "
        f"hits in the {what}s around may have wrong positions."
    ]


def _cut_where_out_of_step(pulses: Pulses, run: np.ndarray, whole: int) -> np.ndarray:
    """Runs longer than a frame are cut where the lines change their step: a mark that was lost has left that."""
    border = np.diff(run, prepend=run[0]) > 0
    too_long = (np.bincount(run) > whole)[run]
    cut = np.diff(_stretches(pulses), prepend=0) > 0
    return np.cumsum(border | (cut & too_long))


def marks_frames(lengths: np.ndarray, wanted: int, too_long: bool = True) -> bool:
    """Whether runs between marks are frames (or lines) of the length wanted, but for some that are doubtful.

    `too_long`: some may be longer, since a mark was lost or edges came before the scan.
    """
    is_whole = lengths == wanted
    if lengths.max() == wanted and 2 * is_whole[1:-1].sum() + 1 >= len(lengths) - 2:
        return True
    return bool(too_long and is_whole.any() and 2 * is_whole.sum() >= len(lengths))


def whole_runs(pulses: Pulses, wanted: int | None) -> np.ndarray:
    """Run of each pulse, where marks are frame marks: what belongs together is put together.

    A pulse missing at the border of two frames may be the last of one or the first of the next: it is moved
    to the run that lacks it. Two runs that make a whole one together are one with a pause in it.
    """
    lengths = pulses.run_lengths.copy()
    if len(lengths) < 2:
        return pulses.run
    usual = wanted or int(np.bincount(lengths[1:-1]).argmax() if len(lengths) > 2 else lengths.max())
    end = np.cumsum(lengths)
    for k in range(len(lengths) - 1) if pulses.lost.any() else ():
        spare = lengths[k] - usual
        too_many = lengths[k + 1] + spare - usual  # for the next run; it may hand them on
        if spare <= 0 or not pulses.lost[end[k] - spare : end[k]].all():
            continue
        if too_many <= 0 or pulses.lost[end[k + 1] - too_many : end[k + 1]].all():
            lengths[k : k + 2] += -spare, spare
            end[k] -= spare
    if wanted in lengths:
        pair = np.concatenate([[False], lengths[1:] + lengths[:-1] == wanted])
        for at in np.flatnonzero(pair):
            pair[at] = not pair[at - 1]
        lengths = np.add.reduceat(lengths, np.flatnonzero(~pair))
    return np.repeat(np.arange(len(lengths)), lengths)


def some(lengths: np.ndarray) -> str:
    shown = ", ".join(str(n) for n in lengths[:6])
    return shown + (", ..." if len(lengths) > 6 else "")


def _shape_error(options: ScanOptions, marked: int, wanted: int, n_frames: int) -> ScanSyncError:
    y, x = options.known_nav_shape[-2:]
    advice = [f"navigation_shape=({x}, {marked})"]
    if marked % y == 0:
        advice.append(f"lines_per_row={marked // y} to add up {marked // y} lines to a row")
    if wanted < marked:
        advice.append(f"skip_lines=(0, {marked - wanted}) to leave lines out at the end of each frame")
    return ScanSyncError(
        f"The edges form {n_frames} frame{'s' if n_frames > 1 else ''} of {marked} lines; navigation_shape=({x}, {y}) "
        f"needs {wanted}.\n    Pass " + ", or ".join(advice) + "."
    )


def _columns(
    options: ScanOptions, gated: bool, pulses: Pulses, length: np.ndarray, n_rows: int
) -> tuple[int, np.ndarray, int, list[str]]:
    """Columns in a line and the dwell time as ``num / den`` for each line.

    `gated`: whether the edges tell for how long the beam scans, and not only the period.
    """
    n = len(pulses)
    messages = []
    nx = options.nav_shape[-1] if options.nav_shape is not None else None
    dwell = options.dwell
    if options.active_fraction is not None and (gated or (dwell is not None and nx is not None)):
        known = "both edges of a line are recorded" if gated else "dwell_time and navigation_shape are given"
        raise ScanSyncError(f"active_fraction={options.active_fraction} is not used where {known}: omit it.")
    if gated:
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
        _need_dwell(options, pulses, f"each of {n_rows} rows")
        if not np.isfinite(pulses.period):
            raise ScanSyncError(
                "A single line edge gives no line period for active_fraction. "
                + (COMES_LATER if options.follow else 'Pass dwell_time="1 us" instead.')
            )
        nx = options.known_nav_shape[-1]
        dwell = Fraction(pulses.period) * Fraction(str(options.active_fraction)) / nx
        dwell = dwell.limit_denominator(10**6)  # keeps products small, and is off by less than 1e-12 ticks
    elif nx is None:
        if options.active_fraction is None:
            raise ScanSyncError(
                f"dwell_time is known, but not how many positions a line of {period_text(pulses)} has before the "
                "flyback. Pass navigation_shape too."
            )
        nx = max(1, int(round(pulses.period * options.active_fraction / float(dwell))))
    available = float(np.median(length))
    # The dwell time may be rounded, by a thousandth; 6 ticks are one step of a hit's time.
    if nx * float(dwell) > 1.001 * available + 6:
        raise ScanSyncError(
            f"{nx} positions of {format_seconds(ticks_to_seconds(float(dwell)))} take "
            f"{format_seconds(ticks_to_seconds(nx * float(dwell)))}, but a line lasts "
            f"{format_seconds(ticks_to_seconds(available))}. Check dwell_time and navigation_shape."
        )
    return nx, np.full(n, dwell.numerator, np.int64), dwell.denominator, messages


def _need_dwell(options: ScanOptions, pulses: Pulses, row: str) -> None:
    """Refuse to go on where neither edges nor options tell the time on a position."""
    if options.dwell is None and (options.active_fraction is None or options.nav_shape is None):
        raise ScanSyncError(
            f"The edges mark where {row} begins, every {period_text(pulses)}, but not how long "
            'the beam stays on a position. Pass navigation_shape and dwell_time="1 us", or '
            "navigation_shape and active_fraction=0.9 (the share of the period that is not flyback); if each edge "
            'is one probe position, sync="pixel-trigger".'
        )


def _rows_of(n_lines: int, options: ScanOptions) -> int:
    """Rows that the lines of a frame make."""
    n_rows = (n_lines - sum(options.skip_lines)) // options.lines_per_row
    if n_rows < 1:
        raise ScanSyncError(
            f"Frames have {n_lines} lines; skip_lines={options.skip_lines} and lines_per_row={options.lines_per_row} "
            "leave no row of them."
        )
    return n_rows


def scan_of_lines(
    options: ScanOptions,
    frames: np.ndarray,
    rows: np.ndarray,
    n_lines: int,
    nx: int,
    start: np.ndarray,
    stop: np.ndarray,
    phase: np.ndarray,
    num: np.ndarray,
    den: int,
    report: dict,
    messages: list[str],
) -> Scan:
    """Put lines into frames and rows: the one place that knows raster and serpentine."""
    first = options.skip_lines[0]
    n_rows = _rows_of(n_lines, options)
    found_frames = int(frames.max()) + 1 if len(frames) else 0
    stack = options.nav_shape is not None and len(options.nav_shape) == 3
    n_frames = options.known_nav_shape[0] if stack else found_frames
    # a single frame has an axis of its own only where it was requested
    nav_shape = (n_frames, n_rows, nx) if stack or n_frames != 1 else (n_rows, nx)
    # Several lines may add up to one row, and some of a frame may be skipped: see `lines_per_row` and `skip_lines`.
    row = (rows - first) // options.lines_per_row
    inside = (rows >= first) & (row < n_rows) & (frames < n_frames)
    # trigger lines turn, not rows; the first line of a frame runs forwards
    backwards = (options.pattern == "serpentine") & (rows % 2 == 1)
    base = (frames * n_rows + row) * nx + np.where(backwards, nx - 1, 0)
    scanned = int((inside & (stop > start)).sum())
    expected = n_frames * n_rows * options.lines_per_row
    if scanned < expected:
        messages = [
            *messages,
            f"{scanned} of {expected} lines were recorded: the positions of the others are empty.",
        ]
    if found_frames > n_frames:
        messages = [*messages, f"{found_frames} frames were recorded, {n_frames} requested: the rest is excluded."]
    report.update(
        lines_expected=expected,
        lines_placed=scanned,
        lines_left_out=int((~inside).sum()),
        frames=n_frames,
        messages=tuple(messages),
    )
    report.update(_flyback_report(report, nx))
    # `Scan` searches by time: starts have to ascend, in whatever order the lines came.
    order = np.argsort(start, kind="stable")
    start, stop = start[order], stop[order].copy()
    # a line ends where the next begins, whatever was requested: no hit has two places
    stop[:-1] = np.minimum(stop[:-1], start[1:])
    return Scan(
        nav_shape=tuple(int(n) for n in nav_shape),
        start=start,
        stop=stop,
        phase=phase[order],
        num=np.asarray(num, np.int64)[order],
        den=int(den),
        n_columns=int(nx),
        base=np.where(inside, base, -1)[order],
        step=np.where(backwards, -1, 1).astype(np.int8)[order],
        report=report,
    )


def _flyback_report(report: dict, nx: int) -> dict:
    """What the period of a line leaves over, and its error from those of two measurements."""
    if not report.get("line_period"):
        return {}
    of_line, of_dwell = (report.get(f"{name}_error") or 0.0 for name in ("line_period", "dwell_time"))
    return {
        "flyback_time": report["line_period"] - nx * report["dwell_time"],
        "flyback_time_error": math.hypot(of_line, nx * of_dwell),
    }
