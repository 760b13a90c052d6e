"""Scans with a pulse for each probe position, in raster order or by a list."""

import math

import numpy as np

from rsciio_tpx3.events.clock import ticks_to_seconds
from rsciio_tpx3.events.edges import gap_messages, pulses_of, regular_pulses
from rsciio_tpx3.events.lines import marks_frames, some, whole_runs
from rsciio_tpx3.events.scan import Scan
from rsciio_tpx3.events.scan_options import need
from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.wording import counted

__all__ = ["pixel_pulses", "pixel_trigger_scan"]


def pixel_pulses(edges, options, tdc):
    """The `Pulses` of probe positions, by what is known of their time and number."""
    in_run = ()
    if options.nav_shape is not None and options.positions is None:
        ny, nx = options.nav_shape[-2:]
        in_run = nx, nx * ny
    return pulses_of(edges, tdc, options.first_line, float(options.dwell or 0), in_run)


def pixel_trigger_scan(index, options, tdc):
    pulses = pixel_pulses(index.edges, options, tdc)
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
    messages = [*messages, *gap_messages(pulses, "pixel")]
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
    if options.positions is not None:
        need(options, "pixel-trigger with positions", "nav_shape")
        return _listed_positions(np.arange(len(pulses)), options)
    if options.nav_shape is None:
        nx, ny = _raster_of_runs(pulses, pulses.run_lengths)
    else:
        ny, nx = options.nav_shape[-2:]
    number, messages = _numbers_by_runs(pulses, nx, ny)
    n = int(number[-1]) + 1
    frame = nx * ny
    n_frames = options.nav_shape[0] if options.nav_shape and len(options.nav_shape) == 3 else -(-n // frame)
    column, line = number % nx, number // nx
    if options.pattern == "serpentine":
        column = np.where(line % ny % 2 == 1, nx - 1 - column, column)
    nav_shape = (n_frames, ny, nx)
    if n_frames == 1 and (options.nav_shape is None or len(options.nav_shape) == 2):
        nav_shape = (ny, nx)
    return nx, n_frames * frame, line * nx + column, tuple(int(v) for v in nav_shape), messages


def _numbers_by_runs(pulses, nx, ny):
    """Number of each pulse in a scan without gaps, as the pauses after lines or frames tell it."""
    for whole in (nx * ny, nx):
        run = whole_runs(pulses, whole)
        lengths = np.bincount(run)
        if len(lengths) > 1 and marks_frames(lengths, whole):
            break
    else:
        return _counted_on(pulses, nx)
    what = "line" if whole == nx else "frame"
    first = _line_numbers(pulses, lengths, ny) if what == "line" else np.arange(len(lengths))
    begin = np.cumsum(lengths) - lengths
    number = np.arange(len(pulses)) + (first * whole - begin)[run]
    messages = []
    if lengths[0] < whole:
        number[run == 0] += whole - lengths[0]
        messages.append(
            f"The recording begins inside a {what}: its first {lengths[0]} pulses are the end of {what} 0."
        )
    stopped = int((lengths[1:-1] < whole).sum())
    if stopped:
        messages.append(f"{counted(stopped, what)} ended early: the positions that were not reached are empty.")
    return number, messages


def _line_numbers(pulses, lengths, ny):
    """Number of each line over all frames; a frame that was stopped lacks its last lines."""
    starts = pulses.ticks[np.cumsum(lengths) - lengths]
    frames = regular_pulses(starts, in_run=(ny,))
    per_frame = frames.run_lengths
    if len(frames) != len(lengths) or len(per_frame) < 2 or not marks_frames(per_frame, ny):
        return np.arange(len(lengths))
    begin = np.cumsum(per_frame) - per_frame
    number = np.arange(len(lengths)) + (np.arange(len(per_frame)) * ny - begin)[frames.run]
    number[frames.run == 0] += ny - per_frame[0]
    return number


def _counted_on(pulses, nx):
    """Numbers where no pause tells a line or frame of this shape."""
    lengths = pulses.run_lengths
    inner = lengths[1:-1]
    messages = []
    if len(inner) and (inner == inner[0]).all():
        raise ScanSyncError(
            f"The pulses come in groups of {int(inner[0])}, but navigation_shape has {nx} positions in a line. "
            f'Pass navigation_shape=({int(inner[0])}, y), or sync="line-start" if each pulse is a line.'
        )
    if len(inner):
        messages.append(
            f"The pulses come in irregular groups of {some(lengths)}; they are counted on from the first, as if none "
            "were missing."
        )
    return np.arange(len(pulses)), messages


def _raster_of_runs(pulses, lengths):
    """Columns and rows from the flybacks between pulses."""
    whole = lengths[:-1] if len(lengths) > 1 else lengths
    if len(lengths) == 1 or not (whole == whole[0]).all() or lengths[-1] > whole[0]:
        raise ScanSyncError(
            f"{len(pulses)} pixel pulses in {len(lengths)} groups of {some(lengths)}: the length of a line cannot be "
            "seen. Pass navigation_shape=(x, y)."
        )
    nx = int(whole[0])
    line_starts = pulses.ticks[np.concatenate([[0], np.cumsum(lengths)[:-1]])]
    lines = regular_pulses(line_starts)
    per_frame = lines.run_lengths
    if len(per_frame) > 1 and not (per_frame[:-1] == per_frame[0]).all():
        raise ScanSyncError(
            f"Lines of {nx} pulses come in groups of {some(per_frame)}: no regular frame can be seen. Pass "
            f"navigation_shape=({nx}, y)."
        )
    return nx, int(per_frame[0])


def _listed_positions(number, options):
    positions = np.asarray(options.positions)
    ny, nx = options.nav_shape[-2:]
    if positions.dtype.kind not in "iu" or (positions.ndim != 1 and positions.shape != (ny, nx)):
        raise ScanSyncError(
            f"positions must be a list of whole numbers, one flat position y * {nx} + x a pulse; found "
            f"{positions.dtype} of shape {positions.shape}."
        )
    positions = positions.astype(np.int64).ravel()
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
