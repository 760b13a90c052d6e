"""From trigger edges, or a shared clock, to a `Scan`: the conventions by which instruments mark it.

line-gate      rise at the start of a line, fall at its end (ASI CheeTah with evenTem, riCOM)
line-start     a pulse at the start of each line, dwell time known
periodic-line  the same, with lines put on a regular grid fitted through the pulses (TimeSTEM)
pixel-trigger  a pulse for each probe position, visited in raster order or by a list
frame-trigger  a pulse for each frame, the rest by dwell time
shared-clock   no edges: scan unit and detector run from one clock and start together (Jannis 2021)
frames         no scan: a stack of frames of equal length over time

``docs/guide/scan_synchronisation.md`` shows them in pictures, with what each needs to know.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rsciio_tpx3.events.edge_kinds import EDGE_CODES
from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.scan.clocked import frame_trigger_scan, frames_over_time, shared_clock_scan
from rsciio_tpx3.scan.edges import other_direction, period_text
from rsciio_tpx3.scan.frame_edges import frame_edge_kind, frame_edges
from rsciio_tpx3.scan.lines import gate_length, line_pulses, line_scan, lines_of_frame, lines_of_shape, marks_frames
from rsciio_tpx3.scan.options import COMES_LATER, EDGELESS, ScanOptions
from rsciio_tpx3.scan.pixel_pulses import pixel_pulses, pixel_trigger_scan
from rsciio_tpx3.scan.repeats import with_frames
from rsciio_tpx3.scan.scan import refuse_many_positions
from rsciio_tpx3.scan.time_bins import with_time_bins
from rsciio_tpx3.utils.clock import ticks_to_seconds
from rsciio_tpx3.utils.text import format_seconds

if TYPE_CHECKING:
    from fractions import Fraction

    from rsciio_tpx3.events.source import Edges, EventIndex
    from rsciio_tpx3.scan.scan import Scan

__all__ = ["ScanOptions", "build_scan", "choose_sync"]

_MOST_STRAYS = 3  # edges of a kind that mark nothing ...
_FOR_EACH_STRAY = 16  # ... where those that mark the scan are so many times more


def build_scan(index: EventIndex, options: ScanOptions) -> Scan:
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
        ``flyback_time`` with ``*_error``), and ``messages`` for the user. The frames and the time axis
        of `options` are applied last (`rsciio_tpx3.scan.repeats`, `rsciio_tpx3.scan.time_bins`).

    Raises
    ------
    ScanSyncError
        If the edges are absent, do not fit the requested shape, or do not tell enough; or if the delay moves
        the scan out of the recording.
    LimitError
        If there would be more positions or lines than can be counted.
    """
    index, stray_messages = _without_stray_kinds(index, options)
    sync, tdc = choose_sync(index, options)
    if sync in EDGELESS:
        scan = frames_over_time(index, options) if sync == "frames" else shared_clock_scan(index, options)
    elif sync == "frame-trigger":
        scan = frame_trigger_scan(index, options, tdc)
    elif sync == "pixel-trigger":
        scan = pixel_trigger_scan(index, options, tdc)
    else:
        scan = line_scan(index, options, sync, tdc)
    if not options.follow:
        _refuse_delay_beyond(scan, options, index)
    scan.report.update(sync=sync, tdc=tdc, pattern=options.pattern)
    if stray_messages:
        scan.report["messages"] = (*stray_messages, *scan.report["messages"])
    scan = _arranged(scan, options, index.hit_span)
    refuse_many_positions(
        scan.n_positions,
        " x ".join(f"{n:,}" for n in scan.nav_shape[::-1]),
        'Add frames up (frames="sum"), take some of them (frames=slice(0, 10)), or a coarser navigation_shape.',
    )
    return scan


def _refuse_delay_beyond(scan: Scan, options: ScanOptions, index: EventIndex) -> None:
    """Stop where a mistyped delay leaves no hit to the scan."""
    first, last = index.hit_span
    if options.delay and index.n_hits and (scan.start.min() > last or scan.stop.max() <= first):
        raise ScanSyncError(
            f"scan_delay={_seconds(options.delay)} moves the whole scan out of the recording, which lasts "
            f"{_seconds(last - first)}: no hit would have a position. Check its unit."
        )


def _seconds(ticks: float | Fraction) -> str:
    return format_seconds(ticks_to_seconds(float(ticks)))


def _arranged(scan: Scan, options: ScanOptions, hit_span: tuple[int, int]) -> Scan:
    """The scan with the frames and the time axis that were requested."""
    bins = options.time_bins
    # time over the recording takes the place of the frames, unless they are wanted too
    scan = with_frames(scan, options.frames, summed=bins is not None and bins.over == "recording")
    return scan if bins is None else with_time_bins(scan, bins, hit_span)


def choose_sync(index: EventIndex, options: ScanOptions) -> tuple[str, Any]:
    """Convention and edge kind: as requested, or as the edges suggest without guessing.

    Both directions of one input make a line gate; one direction is a line start, unless the pulses can only
    be pixel triggers.
    """
    # From the certain to the likely: an explicit option, a list of positions, both directions of one input, and last
    # the intervals of the edges.
    if options.sync in EDGELESS:
        return options.sync, None
    index, _ = _without_stray_kinds(index, options)
    kinds = index.edges.kinds
    if not kinds:
        if options.follow:
            raise ScanSyncError(f"No trigger edge has come so far. {COMES_LATER}")
        raise ScanSyncError(
            "No trigger edges in the recording: nothing shows where a line begins. Record TDC1 or TDC2 "
            '(Serval setting Tdc), or load a stack of frames over time with signal="frames", '
            'frame_time="1 ms"; where scan and detector share a clock, pass sync="shared-clock" with '
            "navigation_shape and dwell_time."
        )
    tdc = _choose_tdc(index, kinds, options)
    if options.sync != "auto":
        _refuse_half_a_gate(kinds, options, tdc)
        return options.sync, tdc
    if options.positions is not None:
        return "pixel-trigger", tdc
    if other_direction(tdc) in kinds:
        _check_gate(index.edges, options, tdc)
        return "line-gate", tdc
    if options.follow and kinds[tdc] == 1:
        raise ScanSyncError(f"Only one trigger edge has come so far: it does not show what it marks. {COMES_LATER}")
    return ("pixel-trigger" if _looks_like_pixels(index, options, tdc) else "line-start"), tdc


def _without_stray_kinds(index: EventIndex, options: ScanOptions) -> tuple[EventIndex, list[str]]:
    """The index without edges of a kind or input that has a few alone, next to a whole train; and what to say of it.

    One glitch, or one flipped bit that makes a rise a fall or moves it to the other input, changes no convention.
    """
    kinds = index.edges.kinds
    if options.sync in EDGELESS or options.follow or len(kinds) < 2:
        return index, []
    main = options.tdc if options.tdc in kinds else max(kinds, key=lambda name: kinds[name])
    few = [name for name, n in kinds.items() if n <= _MOST_STRAYS and n * _FOR_EACH_STRAY <= kinds[main]]
    stray = [name for name in few if name[:4] == main[:4] and options.sync != "line-gate"]
    others = [name for name in few if name[:4] != main[:4]]
    # the other input has frames where its edges stand as those do, and is a choice where it has a train too
    if len(others) == sum(name[:4] != main[:4] for name in kinds) and options.sync != "frame-trigger":
        stray += others if not _begin_frames(index.edges.without(stray), options, main) else []
    if not stray:
        return index, []
    what = ", ".join(f"{kinds[name]} {name}" for name in stray)
    message = f"Edges that mark nothing ({what}, next to {kinds[main]} {main}) are taken for glitches, and excluded."
    return replace(index, edges=_uncounted(index.edges, stray, main)), [message]


def _uncounted(edges: Edges, stray: Iterable[str], main: str) -> Edges:
    """The edges without strays, and without their numbers where they stand next to the lines of their input."""
    counter = edges.counter.astype(np.int64)
    own = edges.select(main).ticks
    period = float(np.median(np.diff(own)))
    on_input = np.isin(edges.code, [code for name, code in EDGE_CODES.items() if name[:4] == main[:4]])
    for tick in np.concatenate([edges.select(name).ticks for name in stray if name[:4] == main[:4]] or [own[:0]]):
        after = int(np.searchsorted(own, tick))
        inside = 0 < after < len(own)
        # in the place of a line that is missing, it is this line with a wrong direction: its number is one of a line
        is_line = inside and own[after] - own[after - 1] > 1.5 * period
        if not (is_line and abs(tick - own[after - 1] - period) < 0.25 * period):
            counter[on_input & (edges.ticks > tick)] -= 1
    renumbered = replace(edges, counter=(counter & 0xFFF).astype(edges.counter.dtype))
    return renumbered.without(stray)


def _begin_frames(edges: Edges, options: ScanOptions, main: str) -> bool:
    """Whether the edges on the other input stand where frames of lines begin."""
    kind = frame_edge_kind(edges, main)
    if kind is None:
        return False
    try:
        gate = "line-gate" if other_direction(main) in edges.kinds else "line-start"
        pulses = line_pulses(edges, options, gate, main)
    except ScanSyncError:
        return True
    return len(frame_edges(edges, kind, pulses, lines_of_frame(options))[0]) > 0


def _refuse_half_a_gate(kinds: dict[str, int], options: ScanOptions, tdc: str) -> None:
    other = other_direction(tdc)
    if options.sync != "line-gate" or other in kinds:
        return
    if options.follow:
        raise ScanSyncError(f'sync="line-gate" needs both edges of an input; no {other} has come so far. {COMES_LATER}')
    raise ScanSyncError(
        f'sync="line-gate" needs both edges of an input; only {_counted(kinds)} were recorded. '
        'Use sync="line-start" with dwell_time, or record both directions.'
    )


def _choose_tdc(index: EventIndex, kinds: dict[str, int], options: ScanOptions) -> str:
    if options.tdc != "auto":
        if options.tdc not in kinds:
            if options.follow:
                raise ScanSyncError(f"tdc={options.tdc!r}: no such edge so far, but {_counted(kinds)}. {COMES_LATER}")
            raise ScanSyncError(f"tdc={options.tdc!r}: no such edge in the recording; it has {_counted(kinds)}.")
        return options.tdc
    inputs = sorted({name[:4] for name in kinds})
    if len(inputs) > 1:
        lines = _lines_with_frame_edges(index.edges, options, inputs)
        if lines is not None:
            return lines
        raise ScanSyncError(
            f"Edges on both inputs ({_counted(kinds)}): which of them marks the scan? Pass "
            'tdc="tdc1-rise" or tdc="tdc2-rise".'
        )
    rise = f"{inputs[0]}-rise"
    return rise if rise in kinds else f"{inputs[0]}-fall"


def _lines_with_frame_edges(edges: Edges, options: ScanOptions, inputs: Iterable[str]) -> str | None:
    """The edges that mark lines, where those on the other input mark the frames of them; else None."""
    for one in inputs if options.sync in ("auto", "line-gate", "line-start", "periodic-line") else ():
        kind = next(name for name in (f"{one}-rise", f"{one}-fall") if name in edges.kinds)
        try:
            gate = "line-gate" if other_direction(kind) in edges.kinds else "line-start"
            pulses = line_pulses(edges, options, gate, kind)
        except ScanSyncError:
            continue
        frames, _ = frame_edges(edges, cast(str, frame_edge_kind(edges, kind)), pulses, lines_of_frame(options))
        if len(frames):
            return kind
    return None


def _looks_like_pixels(index: EventIndex, options: ScanOptions, tdc: str) -> bool:
    """True where the pulses come as the pixels of the scan shape do, and cannot be lines.

    A recording that stopped early, or is still being written, has fewer pulses than positions.
    """
    if options.nav_shape is None or options.active_fraction is not None:
        return False
    pulses = pixel_pulses(index.edges, options, tdc)
    ny, nx = options.nav_shape[-2:]
    lengths, n_lines = pulses.run_lengths, lines_of_shape(options)
    # as many pulses in a line as lines in a frame: groups of that size may be either
    may_be = {nx, nx * ny} - {n_lines}
    if options.dwell is not None:
        # a line of several positions lasts longer than one of them; frames of lines say that it is mistyped
        whole = len(lengths) > 1 or not options.follow
        lines = n_lines not in (nx, nx * ny) and whole and marks_frames(lengths, n_lines, too_long=False)
        return nx > 1 and 0.9 < pulses.period / float(options.dwell) < 1.1 and not lines
    if len(lengths) == 1:
        return abs(len(pulses) - math.prod(options.nav_shape)) <= 0.01 * len(pulses)
    return any(marks_frames(lengths, n, too_long=False) for n in may_be)


def _counted(kinds: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in kinds.items())


def _check_gate(edges: Edges, options: ScanOptions, tdc: str) -> None:
    """Refuse to take a short trigger pulse for the time of a line."""
    pulses = line_pulses(edges, options, "line-gate", tdc)
    length = gate_length(pulses.ticks[~pulses.lost], edges.select(other_direction(tdc)).ticks)
    if len(pulses) > 1 and length < 0.5 * pulses.period:
        raise ScanSyncError(
            f"{tdc} and {other_direction(tdc)} were recorded, and the signal is high for "
            f"{_seconds(length)} of {period_text(pulses)}: "
            'too short for a whole line, so it may be only a pulse at its start. Pass sync="line-gate" '
            'if the beam scans while it is high, or sync="line-start" with dwell_time.'
        )
