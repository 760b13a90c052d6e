"""Scans with a pulse for each probe position, in raster order or by a list."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.scan.edges import gap_messages, pulses_of, regular_pulses
from rsciio_tpx3.scan.intervals import typical_around
from rsciio_tpx3.scan.lines import marks_frames, out_of_step_message, some, whole_runs
from rsciio_tpx3.scan.numbering import number_runs
from rsciio_tpx3.scan.options import need
from rsciio_tpx3.scan.scan import Scan
from rsciio_tpx3.utils.clock import ticks_to_seconds

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import Edges, EventIndex
    from rsciio_tpx3.scan.edges import Pulses
    from rsciio_tpx3.scan.options import ScanOptions

__all__ = ["pixel_pulses", "pixel_trigger_scan"]


def pixel_pulses(edges: Edges, options: ScanOptions, tdc: str) -> Pulses:
    """The `Pulses` of probe positions, by what is known of their time and number."""
    in_run: tuple[int, ...] = ()
    if options.nav_shape is not None and options.positions is None:
        ny, nx = options.nav_shape[-2:]
        in_run = nx, nx * ny
    return pulses_of(edges, tdc, options.first_line, float(options.dwell or 0), in_run)


def pixel_trigger_scan(index: EventIndex, options: ScanOptions, tdc: str) -> Scan:
    pulses = pixel_pulses(index.edges, options, tdc)
    n = len(pulses)
    nx, n_positions, position, nav_shape, messages = _pulse_positions(pulses, options)
    # Each pulse is a segment of one column: `Scan` needs no other case for them.
    start = pulses.ticks
    typical = pulses.period if np.isfinite(pulses.period) else np.iinfo(np.int32).max
    # positions wander with the scan: a pulse that comes a little late does not cut its predecessor short
    length = np.append(np.diff(start), np.iinfo(np.int64).max)
    # Up to half a period later belongs to the same position; a longer pause is a flyback.
    next_to = length < 1.5 * typical
    length[~next_to] = typical_around(length, next_to, np.flatnonzero(~next_to), typical)
    if options.dwell is not None:
        length = np.minimum(length, math.ceil(options.dwell))
    length[pulses.lost] = 0
    outside = (position < 0) | (position >= n_positions)
    delay = round(options.delay)
    messages = [*messages, *gap_messages(pulses, "pixel")]
    if options.positions is None:
        messages += out_of_step_message(pulses, position % nx, "pixel")
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


def _pulse_positions(pulses: Pulses, options: ScanOptions) -> tuple:
    """Flat position of each pulse over all frames, and the scan's shape."""
    if options.positions is not None:
        need(options, "pixel-trigger with positions", "nav_shape")
        return _listed_positions(np.arange(len(pulses)), options)
    if options.nav_shape is None:
        nx, ny = _raster_of_runs(pulses, pulses.run_lengths)
    else:
        ny, nx = options.nav_shape[-2:]
    number, messages = _numbers_by_runs(pulses, nx, ny, options.follow)
    n = int(number.max()) + 1
    frame = nx * ny
    n_frames = options.nav_shape[0] if options.nav_shape and len(options.nav_shape) == 3 else -(-n // frame)
    column, line = number % nx, number // nx
    if options.pattern == "serpentine":
        column = np.where(line % ny % 2 == 1, nx - 1 - column, column)
    nav_shape: tuple[int, ...] = (n_frames, ny, nx)
    if n_frames == 1 and (options.nav_shape is None or len(options.nav_shape) == 2):
        nav_shape = (ny, nx)
    return nx, n_frames * frame, line * nx + column, tuple(int(v) for v in nav_shape), messages


def _numbers_by_runs(pulses: Pulses, nx: int, ny: int, follow: bool) -> tuple:
    """Number of each pulse in a scan without gaps, as the pauses after lines or frames tell it; -1 for none."""
    for whole in (nx * ny, nx):
        run = whole_runs(pulses, whole)
        lengths = np.bincount(run)
        if len(lengths) > 1 and marks_frames(lengths, whole):
            break
    else:
        return _counted_on(pulses, nx)
    what = "line" if whole == nx else "frame"
    found = number_runs(pulses, run, whole, what, "pulse", follow)
    number, messages = found.frame, found.messages
    if what == "line":
        of_line, said = _line_numbers(pulses, found, ny, follow)
        number, messages = of_line[number], messages + said
    placed = (found.within >= 0) & (number >= 0)
    return np.where(placed, number * whole + found.within, -1), messages


def _line_numbers(pulses: Pulses, found: Any, ny: int, follow: bool) -> tuple:
    """Number of each line over all frames, where pauses between frames tell it (-1 for none), and what is to be said.

    As found where no pause tells more.
    """
    numbered = np.flatnonzero(found.within >= 0)
    lines, first = np.unique(found.frame[numbered], return_index=True)
    plain = np.arange(int(found.frame.max()) + 1)
    if len(lines) < 2:
        return plain, []
    first = numbered[first]
    starts = pulses.ticks[first] - np.round(found.within[first] * pulses.period).astype(np.int64)
    frames = regular_pulses(starts, lines, in_run=(ny,))
    run = whole_runs(frames, ny)
    # lines that are missing altogether were put back; with any other change it is not known which line is which
    place = next((p for p in (lines - lines[0], np.arange(len(lines))) if len(frames) == p[-1] + 1), None)
    lengths = np.bincount(run)
    if place is None or frames.spurious or frames.burst or len(lengths) < 2 or not marks_frames(lengths, ny):
        return plain, []
    in_frame = number_runs(frames, run, ny, "frame", "line", follow)
    number = np.full(len(plain), -1)
    number[lines] = np.where(in_frame.within < 0, -1, in_frame.frame * ny + in_frame.within)[place]
    return number, in_frame.messages


def _counted_on(pulses: Pulses, nx: int) -> tuple:
    """Numbers where no pause tells a line or frame of this shape."""
    lengths = pulses.run_lengths
    inner = lengths[1:-1]
    messages = []
    if len(inner) and (inner == inner[0]).all() and inner[0] != nx:
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


def _raster_of_runs(pulses: Pulses, lengths: np.ndarray) -> tuple:
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


def _listed_positions(number: np.ndarray, options: ScanOptions) -> tuple:
    positions, requested = np.asarray(options.positions), options.known_nav_shape
    ny, nx = requested[-2:]
    if positions.dtype.kind not in "iu" or (positions.ndim != 1 and positions.shape != (ny, nx)):
        raise ScanSyncError(
            f"positions must be a list of integers, one flat position y * {nx} + x per pulse; found "
            f"{positions.dtype} of shape {positions.shape}."
        )
    positions = positions.astype(np.int64).ravel()
    if len(positions) == 0 or positions.min() < 0 or positions.max() >= nx * ny:
        raise ScanSyncError(
            f"positions must hold flat scan positions from 0 to {nx * ny - 1} (y * {nx} + x); found "
            f"{positions.min() if len(positions) else 'none'} to {positions.max() if len(positions) else 'none'}."
        )
    # the list is one repetition; a position that it names again belongs to the next one
    # Rank of each entry among those of the same position: a stable sort keeps them in order of time.
    order = np.argsort(positions, kind="stable")
    ranked = positions[order]
    first = np.flatnonzero(np.concatenate([[True], np.diff(ranked) != 0]))
    visit = np.empty(len(positions), np.int64)
    visit[order] = np.arange(len(positions)) - np.repeat(first, np.diff(np.append(first, len(positions))))
    per_list = int(visit.max()) + 1
    n_frames = per_list * -(-len(number) // len(positions))
    if len(requested) == 3:
        n_frames = requested[0]
    entry, repetition = number % len(positions), number // len(positions)
    flat = (repetition * per_list + visit[entry]) * (nx * ny) + positions[entry]
    nav_shape = (ny, nx) if n_frames == 1 and len(requested) == 2 else (n_frames, ny, nx)
    return nx, n_frames * nx * ny, flat, tuple(int(v) for v in nav_shape), []
