"""Scans with a pulse for each probe position, in raster order or by a list."""

import math

import numpy as np

from rsciio_tpx3.events.clock import ticks_to_seconds
from rsciio_tpx3.events.edges import gap_messages, pulses_of, regular_pulses
from rsciio_tpx3.events.lines import some
from rsciio_tpx3.events.scan import Scan
from rsciio_tpx3.events.scan_options import need
from rsciio_tpx3.exceptions import ScanSyncError

__all__ = ["pixel_trigger_scan"]


def pixel_trigger_scan(index, options, tdc):
    pulses = pulses_of(index.edges, tdc, options.first_line)
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
    n = len(pulses)
    number = np.arange(n, dtype=np.int64)
    if options.positions is not None:
        need(options, "pixel-trigger with positions", "nav_shape")
        return _listed_positions(number, options)
    lengths = pulses.run_lengths
    inner = lengths[1:-1]
    messages = []
    if options.nav_shape is None:
        nx, ny = _raster_of_runs(pulses, lengths)
    else:
        ny, nx = options.nav_shape[-2:]
        if len(inner) and (inner == inner[0]).all() and inner[0] not in (nx, nx * ny):
            raise ScanSyncError(
                f"The pulses come in groups of {int(inner[0])}, but navigation_shape has {nx} positions in a line. "
                f'Pass navigation_shape=({int(inner[0])}, y), or sync="line-start" if each pulse is a line.'
            )
    if len(lengths) > 1 and len(inner) and (inner == nx).all() and lengths[0] < nx:
        # the recording begins inside a line: its pulses are the last of that line
        number += nx - lengths[0]
        n += nx - lengths[0]
        messages.append(f"The recording begins inside a line: its first {lengths[0]} pulses are the end of line 0.")
    elif len(inner) and not ((inner == inner[0]).all() and inner[0] in (nx, nx * ny)):
        messages.append(
            f"The pulses come in irregular groups of {some(lengths)}; they are counted on from the first, as if none "
            "were missing."
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
