"""Hit time to scan position.

A `Scan` is a list of segments in time, one for each scan line (or pixel pulse). Inside a segment the
column follows from the time since its start by exact integer arithmetic, so that a hit on a dwell
border always goes to the later position and nothing drifts along a line. Between segments is flyback.
Whatever synchronised the scan (`rsciio_tpx3.scan.sync`), it ends in this one form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.exceptions import LimitError, ScanSyncError
from rsciio_tpx3.utils.compiled import njit
from rsciio_tpx3.utils.packing import pack, unpack

if TYPE_CHECKING:
    from rsciio_tpx3.scan.time_bins import TimeAxis

__all__ = [
    "AFTER",
    "BEFORE",
    "FLYBACK",
    "LARGEST",
    "EXCLUDED",
    "MOST_LINES",
    "MOST_POSITIONS",
    "OUTSIDE_NAMES",
    "Scan",
    "count_positions",
    "place_hits",
    "refuse_many_positions",
    "search",
]

# Why a hit has no position; as negative positions.
BEFORE, FLYBACK, AFTER, EXCLUDED = -1, -2, -3, -4
# These are keys of the metadata (Hits_outside.in_lines_left_out_of_the_scan) and of the cache: their words must stay.
OUTSIDE_NAMES = {
    BEFORE: "before the first line",
    FLYBACK: "in flyback",
    AFTER: "after the last line",
    EXCLUDED: "in lines left out of the scan",
}

_COLUMNS = ("start", "stop", "phase", "num", "base", "step")

MOST_POSITIONS = 2 * 10**8
"""Positions that a scan may have: their counts alone take 1.6 GB."""

MOST_LINES = 2 * 10**7
"""Scan lines, or pulses, that a scan may have: its tables take some hundred bytes for each while they are made."""

LARGEST = 1 << 62
"""Bound of all products of times and columns."""

_MOST_READS = 64  # runs of lines read one by one; more are cheaper as one span with what lies between
_APART = -2  # base of an empty segment between two stretches that `Scan.for_rows` kept


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
        Flat position of the segment's first column; negative for a segment excluded from the scan.
    step : numpy.ndarray of int8, shape (n_segments,)
        1, or -1 where the line is scanned backwards.
    report : dict
        What was found and repaired; see `rsciio_tpx3.scan.sync.build_scan`.
    passes : int
        How many frames are added up at each position.
    time_axis : rsciio_tpx3.scan.time_bins.TimeAxis or None
        Where time is an axis: the last one of `nav_shape` inside the dwell time, the first one over
        the recording.
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
    passes: int = 1
    time_axis: TimeAxis | None = None

    def __post_init__(self) -> None:
        if len(self.start) and (self.largest_number >= LARGEST or self.n_positions >= 2**40):
            raise ScanSyncError(
                f"A scan of {' x '.join(map(str, self.nav_shape))} positions with a dwell time of {self.num.max()} / "
                f"{self.den} ticks is beyond what can be counted exactly. Check the times and the shape."
            )

    @property
    def largest_number(self) -> int:
        """The largest product inside the kernel, here in Python's endless integers."""
        if len(self.start) == 0:
            return 0
        longest = int((self.stop - self.start).max()) * self.den + int(self.phase.max())
        return max(longest, int(self.num.max()) * self.n_columns)

    @property
    def n_positions(self) -> int:
        return math.prod(int(n) for n in self.nav_shape)

    @property
    def longest_dwell(self) -> float:
        """Longest time on one position in one pass, ticks."""
        return float(self.num.max(initial=1)) / self.den

    def runs(self, start: int, stop: int, most: int | None = None) -> list[Scan]:
        """Where in time a range of flat positions was scanned.

        Parameters
        ----------
        start, stop : int
            Half-open range of flat positions.
        most : int
            Stretches at the most: the nearest ones are joined, since each costs a read. 64 for each
            pass over the scan by default.

        Returns
        -------
        list of Scan
            One for each stretch of segments that touches the range. Other segments may lie inside
            a stretch, so positions still have to be compared with the range.
        """
        most = _MOST_READS * self.passes if most is None else most
        lowest, order = self._by_position
        first, last = np.searchsorted(lowest, [start - self.n_columns + 1, stop])
        at = np.sort(order[first:last])
        if len(at) == 0:
            return []
        cut = np.flatnonzero(np.diff(at) > 1)
        if len(cut) >= most:
            pause = self.start[at[cut + 1]] - self.stop[at[cut]]
            # what lies between two stretches is not to be had any more: they stay apart, however near they are
            stretch = np.cumsum(self.base == _APART)
            pause[stretch[at[cut + 1]] != stretch[at[cut]]] = np.iinfo(np.int64).max
            cut = np.sort(cut[np.argsort(pause)[len(cut) - most + 1 :]])
        return [self._slice(run[0], run[-1] + 1) for run in np.split(at, cut + 1)]

    @cached_property
    def _by_position(self) -> tuple[np.ndarray, np.ndarray]:
        """Segments with hits to expect, in order of their lowest position: a chunk finds its own by bisection."""
        lowest = np.where(self.step > 0, self.base, self.base - self.n_columns + 1)
        used = np.flatnonzero((self.base >= 0) & (self.stop > self.start))
        order = used[np.argsort(lowest[used], kind="stable")]
        return lowest[order], order

    def __getstate__(self) -> dict:
        state = {name: value for name, value in self.__dict__.items() if name != "_by_position"}
        # ends lie at equal distances from the starts far more often than from each other
        state["stop"] = self.stop - self.start
        return {name: pack(state[name]) if name in _COLUMNS else state[name] for name in state}

    def __setstate__(self, state: dict) -> None:
        columns = {name: unpack(value) for name, value in state.items() if name in _COLUMNS}
        columns["stop"] += columns["start"]
        self.__dict__.update(state, **columns)

    def _slice(self, first: int, last: int) -> Scan:
        return replace(self, **{name: getattr(self, name)[first:last] for name in _COLUMNS}, report={})

    def for_rows(self, start: int, stop: int) -> tuple[Scan, list[tuple[int, int]]]:
        """The part of the scan that a range of flat positions needs, and when it was scanned.

        Returns
        -------
        scan : Scan
            Its `runs` for this range are those of the whole, and for a part of it lie inside `spans`.
        spans : list of tuple of int
            Half-open spans of time, ascending.
        """
        runs = self.runs(start, stop)
        parts = {name: [getattr(self, name)[:0]] for name in _COLUMNS}
        for run in runs:
            # an empty segment, excluded from the scan, keeps the stretches apart for `runs`
            end = {"start": run.stop[-1], "stop": run.stop[-1], "phase": 0, "num": 1, "base": _APART, "step": 1}
            for name, columns in parts.items():
                column = getattr(run, name)
                columns += [column, np.array([end[name]], column.dtype)]
        segments: dict[str, Any] = {name: np.concatenate(columns) for name, columns in parts.items()}
        return replace(self, **segments, report={}), [run.span for run in runs]

    @property
    def span(self) -> tuple[int, int]:
        """Half-open span of time from the first segment to the end of the last one that ends."""
        return int(self.start[0]), int(self.stop.max())

    def span_of(self, start: int, stop: int) -> tuple[int, int]:
        """The part of `span` in which a range of flat positions was scanned: less than a line for a part of a line."""
        if len(self.start) != 1:
            return self.span
        base, begin, end = int(self.base[0]), int(self.start[0]), int(self.stop[0])
        first, last = (start - base, stop - base) if self.step[0] > 0 else (base - stop + 1, base - start + 1)
        edges = (max(first, 0), min(last, self.n_columns))
        # the first ticks of the first column and of the one after the last, as `place_hits` divides them
        low, high = (begin + -((int(self.phase[0]) - n * int(self.num[0])) // self.den) for n in edges)
        return max(low, begin), min(high, end)

    def columns(self) -> tuple:
        """The arrays in the order that the kernels take them."""
        return (self.start, self.stop, self.phase, self.num, self.base, self.step, self.den, self.n_columns)


def refuse_many_positions(n: int, what: str, remedy: str) -> None:
    """Raise before tables for more positions are made than can be counted.

    Parameters
    ----------
    n : int
        Positions.
    what, remedy : str
        Sentence parts for the message: what makes so many, and what to do.

    Raises
    ------
    LimitError
        Above `MOST_POSITIONS`.
    """
    if n > MOST_POSITIONS:
        raise LimitError(f"{what} are {n:,} positions, more than the {MOST_POSITIONS:,} that can be counted. {remedy}")


@njit(nogil=True, cache=True, error_model="numpy")
def search(t: int, start: np.ndarray) -> int:
    """The last segment that starts at or before `t`, by bisection; -1 before all."""
    low, high = 0, len(start)
    while low < high:
        middle = (low + high) // 2
        if start[middle] <= t:
            low = middle + 1
        else:
            high = middle
    return low - 1


@njit(nogil=True, cache=True)
def place_hits(
    toa: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    phase: np.ndarray,
    num: np.ndarray,
    base: np.ndarray,
    step: np.ndarray,
    den: int,
    n_columns: int,
    out: np.ndarray,
) -> None:
    """Flat scan position of each hit; negative where it has none (`OUTSIDE_NAMES`).

    Parameters
    ----------
    toa : numpy.ndarray of int64, shape (n,)
    start, stop, phase, num, base, step, den, n_columns
        `Scan.columns`; at least one segment.
    out : numpy.ndarray of int64, shape (n,)

    Notes
    -----
    Hits come nearly in order of time, so the segment of the hit before is tried first; it is kept in
    scalars, since a call that takes the arrays costs more than the arithmetic (reference counting).
    """
    last = len(start) - 1
    # -2: nothing was searched for yet; -1: before the first segment.
    s = np.int64(-2)
    begin = end = following = np.int64(0)
    for i in range(len(toa)):
        t = toa[i]
        if s == -2 or t < begin or t >= following:
            s = search(t, start)
            # On the outer sides there is no next segment: the largest numbers save a search for every such hit.
            begin = start[s] if s >= 0 else np.iinfo(np.int64).min
            following = start[s + 1] if s < last else np.iinfo(np.int64).max
            if s >= 0:
                end, offset, dwell, first, direction = stop[s], phase[s], num[s], base[s], step[s]
                inverse = 1.0 / dwell
        if s < 0:
            out[i] = BEFORE
            continue
        if t >= end:
            out[i] = AFTER if s == last else FLYBACK
            continue
        if first < 0:
            out[i] = EXCLUDED
            continue
        # In parts of a tick of which a dwell time has an integer number: no error grows along a line.
        scaled = (t - begin) * den + offset
        # an integer division costs as much as all the rest: guess in floating point, then make it exact
        column = np.int64(scaled * inverse)
        rest = scaled - column * dwell
        if rest < 0:
            column -= 1
        elif rest >= dwell:
            column += 1
        # The segment may last longer than its columns: the beam then is on its way back.
        if column >= n_columns:
            out[i] = AFTER if s == last else FLYBACK
        else:
            out[i] = first + direction * column


@njit(nogil=True, cache=True)
def count_positions(position: np.ndarray, counts: np.ndarray, outside: np.ndarray) -> None:
    """Count hits for each position and, by reason, those without one.

    Parameters
    ----------
    position : numpy.ndarray of int64, shape (n,)
        As `place_hits` makes them.
    counts : numpy.ndarray of int64, shape (n_positions,)
        Added to.
    outside : numpy.ndarray of int64, shape (5,)
        Added to at ``-reason``.
    """
    for i in range(len(position)):
        if position[i] < 0:
            outside[-position[i]] += 1
        elif position[i] < len(counts):
            counts[position[i]] += 1
