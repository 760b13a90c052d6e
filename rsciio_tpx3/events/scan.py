"""Hit time to scan position.

A `Scan` is a list of segments in time, one for each scan line (or pixel pulse). Inside a segment the
column follows from the time since its start by exact integer arithmetic, so that a hit on a dwell
border always goes to the later position and nothing drifts along a line. Between segments is flyback.
Whatever synchronised the scan (`rsciio_tpx3.events.sync`), it ends in this one form.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numba import njit

__all__ = ["AFTER", "BEFORE", "FLYBACK", "LEFT_OUT", "OUTSIDE_NAMES", "Scan", "count_positions", "place_hits"]

# Why a hit has no position; as negative positions.
BEFORE, FLYBACK, AFTER, LEFT_OUT = -1, -2, -3, -4
OUTSIDE_NAMES = {
    BEFORE: "before the first line",
    FLYBACK: "in flyback",
    AFTER: "after the last line",
    LEFT_OUT: "in lines left out of the scan",
}


@dataclass(frozen=True)
class Scan:
    """Segments of time that belong to scan positions.

    Attributes
    ----------
    nav_shape : tuple of int
        ``(y, x)``, ``(frames, y, x)`` or ``(frames,)``.
    start, stop : numpy.ndarray of int64, shape (n_segments,)
        Half-open times, ascending and without overlap.
    phase : numpy.ndarray of int64, shape (n_segments,)
        Time from the exact (fractional) start of the segment to `start`, in ticks / `den`.
    num : numpy.ndarray of int64, shape (n_segments,)
        Dwell time of a segment is ``num / den`` ticks.
    den : int
    n_columns : int
        Positions in a segment; later hits belong to the flyback.
    base : numpy.ndarray of int64, shape (n_segments,)
        Flat position of the segment's first column; -1 for a segment left out of the scan.
    step : numpy.ndarray of int8, shape (n_segments,)
        1, or -1 where the line is scanned backwards.
    report : dict
        What was found and repaired; see `rsciio_tpx3.events.sync.build_scan`.
    """

    nav_shape: tuple
    start: np.ndarray
    stop: np.ndarray
    phase: np.ndarray
    num: np.ndarray
    den: int
    n_columns: int
    base: np.ndarray
    step: np.ndarray
    report: dict = field(default_factory=dict)

    @property
    def n_positions(self):
        return int(np.prod(self.nav_shape, dtype=np.int64))

    def runs(self, start, stop, most=64):
        """Where in time a range of flat positions was scanned.

        Parameters
        ----------
        start, stop : int
            Half-open range of flat positions.
        most : int
            Stretches at the most: the nearest ones are joined, since each costs a read.

        Returns
        -------
        list of Scan
            One for each stretch of segments that touches the range. Other segments may lie inside
            a stretch, so positions still have to be compared with the range.
        """
        lowest, order = self._by_position
        first, last = np.searchsorted(lowest, [start - self.n_columns + 1, stop])
        at = np.sort(order[first:last])
        if len(at) == 0:
            return []
        cut = np.flatnonzero(np.diff(at) > 1)
        if len(cut) >= most:
            pause = self.start[at[cut + 1]] - self.stop[at[cut]]
            cut = np.sort(cut[np.argsort(pause)[len(cut) - most + 1 :]])
        return [self._slice(run[0], run[-1] + 1) for run in np.split(at, cut + 1)]

    @cached_property
    def _by_position(self):
        """Segments with hits to expect, in order of their lowest position: a chunk finds its own by bisection."""
        lowest = np.where(self.step > 0, self.base, self.base - self.n_columns + 1)
        used = np.flatnonzero((self.base >= 0) & (self.stop > self.start))
        order = used[np.argsort(lowest[used], kind="stable")]
        return lowest[order], order

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_by_position"}

    def _slice(self, first, last):
        names = ("start", "stop", "phase", "num", "base", "step")
        return replace(self, **{name: getattr(self, name)[first:last] for name in names}, report={})

    def columns(self):
        """The arrays in the order that the kernels take them."""
        return (self.start, self.stop, self.phase, self.num, self.base, self.step, self.den, self.n_columns)


@njit(nogil=True, cache=True, inline="always")
def _segment(t, start, at):
    """The last segment that starts at or before `t`, looking near `at` first; -1 before all."""
    n = len(start)
    if t >= start[at]:
        for _ in range(4):  # hits come nearly in order of time
            if at + 1 == n or t < start[at + 1]:
                return at
            at += 1
        return at + np.searchsorted(start[at:], t, "right") - 1
    for _ in range(4):
        if at == 0:
            return -1
        at -= 1
        if t >= start[at]:
            return at
    return np.searchsorted(start[:at], t, "right") - 1


@njit(nogil=True, cache=True, inline="always")
def _position(t, s, start, stop, phase, num, base, step, den, n_columns):
    """Flat position of a time in segment `s`, or why it has none."""
    if t >= stop[s]:
        return np.int64(AFTER) if s == len(start) - 1 else np.int64(FLYBACK)
    if base[s] < 0:
        return np.int64(LEFT_OUT)
    scaled = (t - start[s]) * den + phase[s]
    # an integer division costs as much as all the rest: guess in floating point, then make it exact
    column = np.int64(np.float64(scaled) / np.float64(num[s]))
    rest = scaled - column * num[s]
    if rest < 0:
        column -= 1
    elif rest >= num[s]:
        column += 1
    if column >= n_columns:
        return np.int64(AFTER) if s == len(start) - 1 else np.int64(FLYBACK)
    return base[s] + step[s] * column


@njit(nogil=True, cache=True)
def place_hits(toa, start, stop, phase, num, base, step, den, n_columns, out):
    """Flat scan position of each hit; negative where it has none (`OUTSIDE_NAMES`).

    Parameters
    ----------
    toa : numpy.ndarray of int64, shape (n,)
    start, stop, phase, num, base, step, den, n_columns
        `Scan.columns`; at least one segment.
    out : numpy.ndarray of int64, shape (n,)
    """
    s = np.int64(0)
    for i in range(len(toa)):
        found = _segment(toa[i], start, s)
        if found < 0:
            out[i] = BEFORE
            s = np.int64(0)
            continue
        s = found
        out[i] = _position(toa[i], s, start, stop, phase, num, base, step, den, n_columns)


@njit(nogil=True, cache=True)
def count_positions(toa, start, stop, phase, num, base, step, den, n_columns, counts, outside):
    """Count hits for each position and, by reason, those without one.

    Parameters
    ----------
    toa, start, stop, phase, num, base, step, den, n_columns
        As for `place_hits`.
    counts : numpy.ndarray of int64, shape (n_positions,)
        Added to.
    outside : numpy.ndarray of int64, shape (5,)
        Added to at ``-reason``.
    """
    s = np.int64(0)
    for i in range(len(toa)):
        found = _segment(toa[i], start, s)
        if found < 0:
            outside[-BEFORE] += 1
            s = np.int64(0)
            continue
        s = found
        position = _position(toa[i], s, start, stop, phase, num, base, step, den, n_columns)
        if position < 0:
            outside[-position] += 1
        else:
            counts[position] += 1
