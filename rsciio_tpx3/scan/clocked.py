"""Scans whose lines follow from the dwell time: frame-trigger, shared-clock, and frames over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.exceptions import LimitError, ScanSyncError
from rsciio_tpx3.scan.edges import gap_messages, period_report, period_text, pulses_of
from rsciio_tpx3.scan.lines import lines_of_shape, scan_of_lines
from rsciio_tpx3.scan.options import need
from rsciio_tpx3.scan.scan import MOST_LINES, Scan, refuse_many_positions
from rsciio_tpx3.utils.clock import LATEST, ticks_to_seconds
from rsciio_tpx3.utils.text import counted, format_seconds

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import EventIndex
    from rsciio_tpx3.scan.options import ScanOptions

__all__ = ["frame_trigger_scan", "frames_over_time", "shared_clock_scan"]

_FINEST = 1 << 33  # parts of a tick; times 2e8 lines or frames they stay below 2**62
_SEGMENT_UNITS = 1 << 61  # longest segment of several frames, in parts of a tick: `Scan` counts to 2**62
_MOST_SEGMENTS = 1 << 16  # 2.7 MB of tables at 41 bytes each


def _clocked_lines(
    options: ScanOptions,
    starts: tuple[np.ndarray, np.ndarray, int],
    report: dict,
    messages: Sequence[str] = (),
    numbers: np.ndarray | None = None,
) -> Scan:
    """Lines that follow from the dwell time alone, from the (exact) start of each frame.

    Parameters
    ----------
    starts : tuple of (numpy.ndarray of int64, numpy.ndarray of int64, int)
        Whole ticks, and the rest in parts of a tick, of the start of each frame.
    numbers : numpy.ndarray of int64, optional
        The frames' numbers where some are missing.
    """
    whole, rest, den = starts
    numbers = np.arange(len(whole)) if numbers is None else numbers
    ny, nx = options.known_nav_shape[-2:]
    n_lines = lines_of_shape(options)
    period = nx * options.known_dwell + options.line_flyback
    # One denominator for frame starts, line periods and dwell times: all that follows is exact in integers.
    common = math.lcm(den, period.denominator, options.known_dwell.denominator)
    _refuse_fine(common)
    rest, den = rest * (common // den), common
    line_whole, line_rest = _multiples(np.arange(n_lines), period, den)
    # All lines of all frames, in order of time.
    frames = np.repeat(numbers, n_lines)
    rows = np.tile(np.arange(n_lines), len(whole))
    start, phase = _first_ticks(np.add.outer(whole, line_whole).ravel(), np.add.outer(rest, line_rest).ravel(), den)
    num = np.full(len(start), int(options.known_dwell * den), np.int64)
    length = nx * options.known_dwell
    # the exact start is start - phase / den
    stop, _ = _first_ticks(start + int(length // 1), int(length % 1 * den) - phase, den)
    # a frame that was cut short by the next one's pulse: its later lines were never scanned
    next_frame = np.append(_first_ticks(whole[1:], rest[1:], den)[0], np.iinfo(np.int64).max)
    scanned = start < np.repeat(next_frame, n_lines)
    if not scanned.all():
        cut = counted(int((~scanned).sum()), "line")
        messages = [*messages, f"{cut} would begin after the next frame's edge: excluded."]
        start, stop, phase, num, frames, rows = (a[scanned] for a in (start, stop, phase, num, frames, rows))
    report.update(
        dwell_time=ticks_to_seconds(float(options.known_dwell)),
        line_period=ticks_to_seconds(float(period)),
        lines_found=len(start),
    )
    return scan_of_lines(options, frames, rows, n_lines, nx, start, stop, phase, num, den, report, list(messages))


def _multiples(n: np.ndarray, step: Fraction, den: int) -> tuple[np.ndarray, np.ndarray]:
    """The times ``n * step`` as whole ticks and the rest in 1/den ticks; `step` is an integer number of these."""
    each_whole, each_rest = divmod(int(step * den), den)
    # Whole ticks and rest apart: n * step * den would not fit into 64 bits in a long recording.
    carry, rest = np.divmod(n * each_rest, den)
    return n * each_whole + carry, rest


def _first_ticks(whole: Any, rest: Any, den: int) -> tuple[Any, Any]:
    """The first whole tick of each exact time ``whole + rest / den``, and how far it lies after it in 1/den ticks."""
    after = -rest % den
    return whole + (rest + after) // den, after


def _refuse_fine(den: int) -> None:
    """Stop where products of tick fractions and line numbers would not fit into 64 bits."""
    if den > _FINEST:
        raise ScanSyncError(
            f"dwell_time, line_flyback, frame_flyback and scan_delay have no common step above 1/{den} of a clock "
            "tick (0.26 ns): give them with fewer digits."
        )


def _refuse_endless(n_frames: int, frame: Fraction, options: ScanOptions, what: str) -> None:
    """Stop before a mistyped time makes tables that fill the memory, or numbers that 64 bits do not hold."""
    ny, nx = options.known_nav_shape[-2:]
    if n_frames * frame + options.line_flyback + abs(options.delay) >= LATEST:
        raise LimitError(
            f"{counted(n_frames, 'frame')} of {_seconds(frame)} last longer than the clock can count "
            f"({_seconds(LATEST)}). {what}"
        )
    refuse_many_positions(n_frames * ny * nx, f"{counted(n_frames, 'frame')} of {nx} x {ny} positions", what)
    n_lines = n_frames * lines_of_shape(options)
    if n_lines > MOST_LINES:
        raise LimitError(
            f"{counted(n_frames, 'frame')} of {lines_of_shape(options):,} lines ({ny} rows, lines_per_row="
            f"{options.lines_per_row}, skip_lines={options.skip_lines}) are more than {MOST_LINES:,} lines. {what}"
        )


def shared_clock_scan(index: EventIndex, options: ScanOptions) -> Scan:
    need(options, "shared-clock", "nav_shape", "dwell")
    frame = lines_of_shape(options) * (options.known_nav_shape[-1] * options.known_dwell + options.line_flyback)
    frame += options.frame_flyback
    n_frames, last = options.known_nav_shape[0] if len(options.known_nav_shape) == 3 else 1, index.hit_span[1]
    if len(options.known_nav_shape) == 2:
        n_frames = max(1, math.ceil((last + 1 - options.delay) / frame))
    _refuse_endless(
        n_frames,
        frame,
        options,
        f"A frame takes {_seconds(frame)}, and the last hit came at {_seconds(last)}: where that is one wrong time, or "
        "the recording went on after the scan, give the number of frames by navigation_shape=(x, y, frames); otherwise "
        "check navigation_shape and dwell_time.",
    )
    den = math.lcm(frame.denominator, options.delay.denominator)
    _refuse_fine(den)
    whole, rest = _multiples(np.arange(n_frames, dtype=np.int64), frame, den)
    late_whole, late_rest = divmod(int(options.delay * den), den)
    return _clocked_lines(options, (whole + late_whole, rest + late_rest, den), {})


def frame_trigger_scan(index: EventIndex, options: ScanOptions, tdc: str) -> Scan:
    need(options, "frame-trigger", "nav_shape", "dwell")
    frame = lines_of_shape(options) * (options.known_nav_shape[-1] * options.known_dwell + options.line_flyback)
    # No edge within a frame can begin another one, so the frame's length is the least interval.
    pulses = pulses_of(index.edges, tdc, options.first_line, float(frame))
    # A lost edge keeps its number: the frames after it stay where they are in the stack, and its own is empty.
    numbers = np.flatnonzero(~pulses.lost)
    used = pulses.ticks[numbers]
    report = {
        "edges_spurious": pulses.spurious,
        "frames_repaired": pulses.repaired,
        **period_report(pulses, "frame"),
    }
    # Clocks of two devices, and rounded options, may differ by a thousandth; 6 ticks are one step of a hit's time.
    if len(used) > 1 and frame > 1.001 * pulses.period + 6:
        raise ScanSyncError(
            f"A frame of navigation_shape and dwell_time takes {_seconds(frame)}, but "
            f"frame edges come every {period_text(pulses)}. Check both, and line_flyback."
        )
    _refuse_endless(len(used), frame, options, "Check navigation_shape, and that the edges mark frames.")
    late_whole, late_rest = divmod(options.delay.numerator, options.delay.denominator)
    starts = used + late_whole, np.full(len(used), late_rest, np.int64), options.delay.denominator
    messages = gap_messages(pulses, "frame")
    soon = int((np.diff(used) < 0.999 * float(frame) - 6).sum())
    if soon:
        messages.append(
            f"{counted(soon, 'frame edge')} sooner after the one before than a frame takes "
            f"({_seconds(frame)}): of those, not each can begin a frame."
        )
    return _clocked_lines(options, starts, report, messages, numbers)


def frames_over_time(index: EventIndex, options: ScanOptions) -> Scan:
    if options.frame_time is None:
        raise ScanSyncError(
            'signal="frames" needs frame_time, such as frame_time="1 ms"; the recording lasts '
            f"{format_seconds(ticks_to_seconds(index.hit_span[1] - index.hit_span[0]))}."
        )
    first, end = index.hit_span[0], index.hit_span[1] + 1
    n = max(1, math.ceil((end - first) / options.frame_time))
    refuse_many_positions(
        n,
        f"{counted(n, 'frame')} of {_seconds(options.frame_time)} in the {_seconds(end - first)} between the first and "
        "the last hit",
        "Take a longer frame_time, or load a part of the recording. A single wrong time far away makes a recording "
        "long too.",
    )
    den, num = options.frame_time.denominator, options.frame_time.numerator
    _refuse_fine(den)
    # One segment holds several frames where there are many: a table with a line for each frame would cost 41 bytes a
    # frame. Segments stay short compared with the recording, since a chunk reads those that it touches.
    most_columns = max(_SEGMENT_UNITS // num, 1)
    columns = min(max(1, -(-n // _MOST_SEGMENTS)), most_columns, n)
    # The border after the last segment is the end of the last frame, not of a whole segment.
    number = np.arange(0, n + columns, columns, dtype=np.int64)
    number[-1] = n
    whole, rest = _multiples(number, options.frame_time, den)
    border, phase = _first_ticks(first + whole, rest, den)
    return Scan(
        nav_shape=(n,),
        start=border[:-1],
        stop=border[1:],
        phase=phase[:-1],
        num=np.full(len(number) - 1, num, np.int64),
        den=den,
        n_columns=columns,
        base=number[:-1],
        step=np.ones(len(number) - 1, np.int8),
        report={"dwell_time": ticks_to_seconds(float(options.frame_time)), "frames": n, "messages": ()},
    )


def _seconds(ticks: float | Fraction) -> str:
    return format_seconds(ticks_to_seconds(float(ticks)))
