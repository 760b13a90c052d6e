"""Patterns of lines that are complete, for accumulators that need more of a recording than sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rsciio_tpx3.frames.event_frames import EventFrames, count_type
from rsciio_tpx3.live.lines import STEADY, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rsciio_tpx3.csr.csr_frames import CSRFrames
    from rsciio_tpx3.events.source import EventSource
    from rsciio_tpx3.scan.scan import Scan

__all__ = ["LineRows", "RowAccumulator", "complete_segments", "rows_of_segment", "segments_of_positions"]


@dataclass(frozen=True)
class LineRows:
    """Rows of a line that is complete, for accumulators that need whole patterns.

    Attributes
    ----------
    start, stop : int
        Half-open range of flat positions, C order over (frames, y, x).
    nav_shape : tuple of int
        As known so far.
    frames : CSRFrames
        Shape ``(stop - start, height, width)``.
    """

    start: int
    stop: int
    nav_shape: tuple[int, ...]
    frames: CSRFrames


class RowAccumulator(Protocol):
    """What `Following.plug` takes: anything that adds up patterns, such as a reconstruction of the phase."""

    def add(self, rows: LineRows) -> object:
        """Take the rows of a line, each line once, in the order of time."""


def complete_segments(scan: Scan, until: int, ended: bool) -> int:
    """How many segments, from the first, are complete: all at the end; before, some more must have followed."""
    if ended:
        return len(scan.start)
    return min(int(np.searchsorted(scan.stop, until, "right")), len(scan.start) - STEADY)


def segments_of_positions(scan: Scan, first: int, stop: int) -> Iterator[int]:
    """Numbers of those segments of a half-open range that have positions, and last some time."""
    for number in range(first, stop):
        if scan.base[number] >= 0 and scan.stop[number] > scan.start[number]:
            yield number


def rows_of_segment(source: EventSource, scan: Scan, number: int) -> LineRows:
    """Rows of one segment, from a source that has all its hits."""
    base, n = int(scan.base[number]), scan.n_columns
    start = base if scan.step[number] > 0 else base - n + 1
    # the type is that of the whole scan, so that all lines are of one type
    frames = EventFrames(source, one_line(scan, number), count_type(scan.longest_dwell)).frames(start, start + n)
    return LineRows(start, start + n, scan.nav_shape, frames)
