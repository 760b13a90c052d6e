"""Scans whose lines follow from the dwell time: frame-trigger, shared-clock, and frames over time."""

import math
from fractions import Fraction

import numpy as np

from rsciio_tpx3.events.clock import ticks_to_seconds
from rsciio_tpx3.events.edges import gap_messages, period_report, period_text, pulses_of
from rsciio_tpx3.events.lines import lines_of_frame, scan_of_lines
from rsciio_tpx3.events.scan import MOST_POSITIONS, Scan
from rsciio_tpx3.events.scan_options import need
from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.wording import counted, format_seconds

__all__ = ["frame_trigger_scan", "frames_over_time", "shared_clock_scan"]


def _clocked_lines(options, frame_starts, report, messages=(), numbers=None):
    """Lines that follow from the dwell time alone, from the (exact) start of each frame.

    `numbers` are the frames' numbers where some are missing.
    """
    numbers = np.arange(len(frame_starts)) if numbers is None else numbers
    ny, nx = options.nav_shape[-2:]
    n_lines = lines_of_frame(options)
    period = nx * options.dwell + options.line_flyback
    den = math.lcm(
        period.denominator, options.dwell.denominator, options.frame_flyback.denominator, options.delay.denominator
    )
    _refuse_endless(len(frame_starts) * ny * nx, f"{len(frame_starts)} frames of {nx} x {ny} positions")
    frames = np.repeat(numbers, n_lines)
    rows = np.tile(np.arange(n_lines), len(frame_starts))
    # exact starts in 1/den ticks, as Python integers where int64 might not hold them
    line = [int(r * period * den) for r in range(n_lines)]
    exact = np.array([int(Fraction(t) * den) + step for t in frame_starts for step in line], dtype=object)
    start = np.array([-(-v // den) for v in exact], np.int64)
    phase = np.array([int(s) * den - v for s, v in zip(start.tolist(), exact)], np.int64)
    num = np.full(len(start), int(options.dwell * den), np.int64)
    length = int(nx * options.dwell * den)
    stop = np.array([-(-(v + length) // den) for v in exact], np.int64)
    # a frame that was cut short by the next one's pulse: its later lines were never scanned
    next_frame = np.append([-(-int(Fraction(t) * den) // den) for t in frame_starts[1:]], np.iinfo(np.int64).max)
    scanned = start < np.repeat(next_frame, n_lines)
    if not scanned.all():
        cut = counted(int((~scanned).sum()), "line")
        messages = [*messages, f"{cut} would begin after the next frame's edge: left out."]
        start, stop, phase, num, frames, rows = (a[scanned] for a in (start, stop, phase, num, frames, rows))
    report.update(
        dwell_time=ticks_to_seconds(float(options.dwell)),
        line_period=ticks_to_seconds(float(period)),
        lines_found=len(start),
    )
    return scan_of_lines(options, frames, rows, n_lines, nx, start, stop, phase, num, den, report, list(messages))


def _refuse_endless(n_positions, what):
    """Stop before a mistyped time makes tables that fill the memory."""
    if n_positions > MOST_POSITIONS:
        raise ScanSyncError(
            f"{what} make {n_positions:,} positions, more than {MOST_POSITIONS:,}. Check the times and "
            "navigation_shape; load a part of the recording, or longer frames."
        )


def shared_clock_scan(index, options):
    need(options, "shared-clock", "nav_shape", "dwell")
    ny, nx = options.nav_shape[-2:]
    n_lines = lines_of_frame(options)
    frame = n_lines * (nx * options.dwell + options.line_flyback) + options.frame_flyback
    n_frames = options.nav_shape[0] if len(options.nav_shape) == 3 else 1
    if len(options.nav_shape) == 2:
        n_frames = max(1, math.ceil((index.hit_span[1] + 1 - options.delay) / frame))
    return _clocked_lines(options, [options.delay + i * frame for i in range(n_frames)], {})


def frame_trigger_scan(index, options, tdc):
    need(options, "frame-trigger", "nav_shape", "dwell")
    frame = lines_of_frame(options) * (options.nav_shape[-1] * options.dwell + options.line_flyback)
    pulses = pulses_of(index.edges, tdc, options.first_line, float(frame))
    numbers = np.flatnonzero(~pulses.lost)
    kept = pulses.ticks[numbers]
    report = {
        "edges_spurious": pulses.spurious,
        "frames_repaired": pulses.repaired,
        **period_report(pulses, "frame"),
    }
    if len(kept) > 1 and frame > 1.001 * pulses.period + 6:
        raise ScanSyncError(
            f"A frame of navigation_shape and dwell_time takes {format_seconds(ticks_to_seconds(float(frame)))}, but "
            f"frame edges come every {period_text(pulses)}. Check both, and line_flyback."
        )
    starts = [Fraction(int(t)) + options.delay for t in kept]
    messages = gap_messages(pulses, "frame")
    soon = int((np.diff(kept) < 0.999 * float(frame) - 6).sum())
    if soon:
        messages.append(
            f"{counted(soon, 'frame edge')} sooner after the one before than a frame takes "
            f"({format_seconds(ticks_to_seconds(float(frame)))}): of those, not each can begin a frame."
        )
    return _clocked_lines(options, starts, report, messages, numbers)


def frames_over_time(index, options):
    if options.frame_time is None:
        raise ScanSyncError(
            'signal="frames" needs frame_time, such as frame_time="1 ms"; the recording lasts '
            f"{format_seconds(ticks_to_seconds(index.hit_span[1] - index.hit_span[0]))}."
        )
    first, end = index.hit_span[0], index.hit_span[1] + 1
    n = max(1, math.ceil((end - first) / options.frame_time))
    _refuse_endless(n, f"{n} frames of {format_seconds(ticks_to_seconds(float(options.frame_time)))}")
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
