"""Hits against the time since the edge of their line, over the whole scan: what a scan looks like before
anybody has decided where in a line the beam scans.

The table is an image whose columns are finer than the positions and go beyond the line on both sides, so
that a shift in time is a shift of columns. Two channels part the detector in halves of equal counts, the
inner and the outer: what electrons leave the one, the other gains, so there is contrast even where nothing
is absorbed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.utils.compiled import njit
from rsciio_tpx3.utils.threads import add_up

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import EventSource
    from rsciio_tpx3.scan.scan import Scan

__all__ = ["LineProfiles", "half_mask", "line_profiles"]

_SAMPLE_HITS = 2 * 10**6  # hits that show how the pattern lies
_MOST_CELLS = 1 << 23  # 128 MB for each thread: int64, two halves of the detector
_PART_HITS = 1 << 21  # hits in work at once: 24 MB of times and pixels


@dataclass(frozen=True)
class LineProfiles:
    """Counts in fine steps of time since the edge of each line.

    Attributes
    ----------
    counts : numpy.ndarray of int64, shape (2, rows, columns)
        Inner and outer half of the detector; frames are added up.
    before : int
        Columns before the edge.
    per_position : int
        Columns in a dwell time.
    n_positions : int
        Positions in a line.
    backwards : numpy.ndarray of bool, shape (rows,)
    step : float
        Ticks of a column.
    """

    counts: np.ndarray
    before: int
    per_position: int
    n_positions: int
    backwards: np.ndarray
    step: float


def half_mask(pattern: np.ndarray) -> np.ndarray:
    """Pixels farther from the centre of mass than those that hold half of the counts.

    Parameters
    ----------
    pattern : numpy.ndarray, shape (height, width)

    Returns
    -------
    numpy.ndarray of bool, shape (height, width)
    """
    total = pattern.sum()
    if total == 0:
        return np.zeros(pattern.shape, bool)
    y, x = np.indices(pattern.shape)
    distance = (y - (y * pattern).sum() / total) ** 2 + (x - (x * pattern).sum() / total) ** 2
    order = np.argsort(distance, axis=None, kind="stable")
    inner = np.searchsorted(np.cumsum(pattern.ravel()[order]), total / 2)
    return distance > distance.ravel()[order[min(inner, len(order) - 1)]]


def line_profiles(
    source: EventSource, scan: Scan, before: int, after: int, per_position: int, mask: np.ndarray | None = None
) -> LineProfiles:
    """Profiles of all lines of a scan, from one pass over the recording.

    Parameters
    ----------
    source : EventSource
    scan : Scan
        Of lines, of shape ``(y, x)`` or ``(frames, y, x)``.
    before, after : int
        Positions before the start and after the end of a line to take along.
    per_position : int
        Columns in a dwell time; fewer where the table would be large.
    mask : numpy.ndarray of bool, shape sig_shape, optional
        What is the outer half.

    Returns
    -------
    LineProfiles
    """
    ny, nx = scan.nav_shape[-2:]
    width = before + nx + after
    per_position = max(1, min(per_position, _MOST_CELLS // max(ny * width, 1)))
    rows = min(ny, max(_MOST_CELLS // (width * per_position), 8))
    mask = half_mask(_pattern(source)) if mask is None else np.asarray(mask, bool)
    if mask.shape != tuple(source.sig_shape):
        raise ValueError(f"mask has shape {mask.shape}, the detector {tuple(source.sig_shape)} (y, x).")
    used = (scan.base >= 0) & (scan.stop > scan.start)
    row = np.where(used, scan.base // nx % ny, -1)
    row[row >= rows] = -1
    backwards = np.zeros(rows, bool)
    backwards[row[row >= 0]] = scan.step[row >= 0] < 0
    first = -before * per_position
    limits = first, width * per_position + first
    columns = (scan.start, scan.phase, scan.num, row, scan.den * per_position, per_position, *limits, mask.ravel())
    pieces = source.work(max(1, source.index().n_hits // _PART_HITS))
    counts = add_up(lambda part: _counted(source, part, columns, rows), pieces, 16 * rows * width * per_position)
    dwell = float(np.median(scan.num[used] if used.any() else scan.num)) / scan.den
    return LineProfiles(counts, -first, per_position, nx, backwards, dwell / per_position)


def _pattern(source: EventSource) -> np.ndarray:
    """The sum of the first hits, enough of them to part the detector."""
    size, n = source.sig_shape[0] * source.sig_shape[1], 0
    pattern = np.zeros(size, np.int64)
    for piece in source.work(max(1, source.index().n_hits // _PART_HITS)):
        for hits in source.part(piece):
            pattern += np.bincount(hits.pixel, minlength=size)
            n += len(hits)
            if n >= _SAMPLE_HITS:
                return pattern.reshape(source.sig_shape)
    return pattern.reshape(source.sig_shape)


def _counted(
    source: EventSource,
    pieces: Iterable[tuple[int, int]],
    columns: tuple,
    rows: int,
) -> np.ndarray:
    scan, (low, high, mask) = columns[:-3], columns[-3:]
    counts = np.zeros((2, rows, high - low), np.int64)
    for piece in pieces:
        for hits in source.part(piece):
            _add_hits(hits.toa, hits.pixel, *scan, low, high, mask, counts)
    return counts


@njit(nogil=True, cache=True)
def _add_hits(
    toa: np.ndarray,
    pixel: np.ndarray,
    start: np.ndarray,
    phase: np.ndarray,
    num: np.ndarray,
    row: np.ndarray,
    den: int,
    per_position: int,
    low: int,
    high: int,
    mask: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Count each hit to its line, and to the lines before and after where it is near enough."""
    last = len(start) - 1
    s = 0
    for i in range(len(toa)):
        t = toa[i]
        # Hits come nearly in order of time: the line of the hit before is the place to begin.
        while s < last and start[s + 1] <= t:
            s += 1
        while s > 0 and start[s] > t:
            s -= 1
        channel = 1 if mask[pixel[i]] else 0
        # A delay of either sign moves hits into the neighbouring lines, so each is counted there too.
        for k in range(max(s - 1, 0), min(s + 2, last + 1)):
            if row[k] >= 0:
                # Integers throughout: a float would put hits at a border to either side of it.
                column = ((t - start[k]) * den + phase[k] * per_position) // num[k]
                if low <= column < high:
                    counts[channel, row[k], column - low] += 1
