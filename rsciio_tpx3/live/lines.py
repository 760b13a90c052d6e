"""Which lines of a scan are known, and which can no longer change, while more edges are still to come."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.scan.changes import COLUMNS
from rsciio_tpx3.scan.intervals import AROUND
from rsciio_tpx3.scan.options import EDGELESS

if TYPE_CHECKING:
    from rsciio_tpx3.scan.options import ScanOptions
    from rsciio_tpx3.scan.scan import Scan

__all__ = ["STEADY", "final_until", "spliced", "whole_lines_until"]

STEADY = AROUND
"""Lines that must follow before one is called final: whether an edge is a glitch is decided by those around it."""


def spliced(one: Scan, other: Scan, at: int) -> Scan:
    """The first scan before a time, the second one from there on.

    A line that lies across is that of the first; both must have columns of one kind, or the second one is taken.
    """
    if one.den != other.den or one.n_columns != other.n_columns:
        return other
    n = int(np.searchsorted(one.start, at))
    end = max(at, int(one.stop[n - 1])) if n else at
    m = int(np.searchsorted(other.start, end))
    both: dict[str, Any] = {
        name: np.concatenate([getattr(one, name)[:n], getattr(other, name)[m:]]) for name in COLUMNS
    }
    return replace(other, **both)


def whole_lines_until(scan: Scan, until: int, sync: str) -> int:
    """The time up to which lines can be drawn: `until`, or the beginning of the line that lies across it.

    How long a line is, its own end may tell.
    """
    if sync in EDGELESS:
        return until
    across = np.flatnonzero((scan.start < until) & (scan.stop > until))
    return int(scan.start[across[0]]) if len(across) else until


def final_until(scan: Scan, options: ScanOptions, drawn: int, complete: int) -> int | None:
    """The time before which no later edge can change which hits belong where; None where there is none yet.

    Without edges, the clock tells. With edges, lines are numbered from the marks of their frame, and a frame that began
    before the recording shows only at its end: so the lines of a frame are final once it is over, and some lines more
    have come. Where lines are put on a grid that is fitted through all edges, none is final before the end.

    Parameters
    ----------
    scan : Scan
        By all edges that have come.
    options : ScanOptions
    drawn, complete : int
        Until when hits have been added up, and the stream is complete.
    """
    sync = scan.report["sync"]
    chosen = options.frames.chosen is not None or options.frames.summed or options.time_bins is not None
    if sync in EDGELESS:
        return None if chosen else drawn
    fitted = sync == "periodic-line" or options.active_fraction is not None
    if fitted or chosen or options.nav_shape is None or len(scan.start) == 0:
        return None
    n_positions = scan.nav_shape[-1] * scan.nav_shape[-2]
    used = np.flatnonzero(scan.base >= 0)
    if len(used) == 0:
        return None
    frame = scan.base[used] // n_positions
    last = int(frame[-1])
    # of the running frame none is final, unless all of its lines are there, and nothing more has come for some lines
    steady = len(scan.start) - STEADY
    over = used[frame < last]
    period = float(np.median(np.diff(scan.start))) if len(scan.start) > 1 else np.inf
    if np.count_nonzero(frame == last) * scan.n_columns == n_positions and complete > scan.stop[-1] + STEADY * period:
        over, steady = used, len(scan.start)
    over = over[over < steady]
    return min(drawn, int(scan.stop[over[-1]])) if len(over) else None
