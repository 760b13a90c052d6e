"""Which of the intervals between edges is the line: neither the quick pulses of a burst nor the pauses.

Two recordings can hold the same kinds of intervals and mean opposite things. Frames of 513 lines that end
with 142 pulses 0.16 us apart (the real raster in the tests) are long lines and short bursts; frames of
three lines with a rest of a second between them are short lines and long pauses. Neither length nor number
tells them apart. What tells them apart, in this order: the number of lines that a frame should have; how long
a line must be (columns times dwell time, or the time for which a line gate is high); and whether intervals
follow others of their kind, as lines do and pauses do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["AROUND", "SHORT", "IntervalKind", "holds", "kinds_of_intervals", "line_interval", "typical_around"]

AROUND = 8
"""Edges before and after that decide about one: more of them change nothing, so that it can be final while others
are still to come."""

SHORT = 0.25  # of the interval from line to line: anything closer is not a line of its own
_ALIKE = 1.3  # intervals of one kind follow each other this closely when sorted
_PARTS = 10  # times as many: what is so rare and so near are parts of the other kind
_SHARE = 0.7  # of the number of another kind: lines are as frequent as pauses, even if some are missing
_PIECE = 1 << 16  # looked at together
_NEARLY = 0.95  # of the shortest possible line: edges jitter


@dataclass(frozen=True)
class IntervalKind:
    """Intervals of like length.

    Attributes
    ----------
    length : float
        Median, ticks.
    number : int
    in_rows : bool
        Whether at least half of them stand next to another one of the kind.
    """

    length: float
    number: int
    in_rows: bool


def kinds_of_intervals(intervals: np.ndarray) -> list[IntervalKind]:
    """The kinds of intervals in a series, shortest first.

    Kinds of one, or of less than a hundredth of all, are excluded where a larger one exists: they are
    parts of intervals that a glitch has split, single pauses, and missing edges. So are those that would make
    a more frequent kind neither lines nor bursts, such as two lines where each other edge is missing, and parts of
    lines that edges too many have split.

    Parameters
    ----------
    intervals : numpy.ndarray of int64, shape (n,)
        In order of time.

    Returns
    -------
    list of IntervalKind
        Empty if there is no interval.
    """
    if len(intervals) == 0:
        return []
    order = np.argsort(intervals, kind="stable")
    ranked = np.maximum(intervals[order], 1).astype(np.float64)
    label = np.empty(len(ranked), np.int64)
    label[order] = np.concatenate([[0], np.cumsum(ranked[1:] > _ALIKE * ranked[:-1])])
    same = label[1:] == label[:-1]
    adjacent = np.concatenate([[False], same]) | np.concatenate([same, [False]])
    number = np.bincount(label)
    rows = np.bincount(label, adjacent)
    ends = np.cumsum(number)
    many = np.flatnonzero(number > max(1, 0.01 * len(ranked)))
    kinds = [
        IntervalKind(float(np.median(ranked[ends[k] - number[k] : ends[k]])), int(number[k]), 2 * rows[k] >= number[k])
        for k in (many if len(many) else range(len(number)))
    ]
    return [kind for kind in kinds if not any(_made_of(kind, other) for other in kinds)]


def _made_of(kind: IntervalKind, other: IntervalKind) -> bool:
    """Whether intervals are some of the other kind with edges missing between them, or parts of it that edges split."""
    if other.length < kind.length:
        return SHORT * kind.length < other.length and other.number > kind.number
    return kind.length < other.length < kind.length / SHORT and other.number > _PARTS * kind.number


def holds(kind: IntervalKind, least: float) -> bool:
    """Whether an interval is long enough for what it must hold."""
    return kind.length > _NEARLY * least


def line_interval(kinds: list[IntervalKind], least: float = 0, confirmed: bool = False) -> tuple[float, bool]:
    """The interval from line to line.

    Parameters
    ----------
    kinds : list of IntervalKind
        At least one; shortest first.
    least : float
        Ticks that a line takes at least; 0 where unknown.
    confirmed : bool
        Whether `kinds` were already chosen by something known.

    Returns
    -------
    length : float
        Ticks.
    confirmed : bool
        Whether something known has chosen it.
    """
    in_rows = [kind for kind in kinds if kind.in_rows]
    # the shortest that holds a line: longer ones are pauses, shorter ones bursts. Where other intervals follow
    # each other and this does not, it is a pause, and what was known is wrong
    # there are as many lines as pauses, or more: fewer short intervals are parts of those that edges too many split
    long = [kind for kind in kinds if holds(kind, least)] if least else []
    holding = next((k for k in long if k.number >= _SHARE * max(o.number for o in long)), None)
    if holding is not None and (holding.in_rows or not in_rows):
        return holding.length, True
    if in_rows:
        # a burst may have more pulses than a frame has lines: longer intervals count more
        return max(in_rows, key=lambda kind: kind.number * np.sqrt(kind.length)).length, confirmed
    return max(kinds, key=lambda kind: (kind.number, kind.length)).length, confirmed


def typical_around(lengths: np.ndarray, known: np.ndarray, at: np.ndarray, otherwise: float) -> np.ndarray:
    """What is typical of the lengths near some of them, to stand where one is not known.

    Parameters
    ----------
    lengths : numpy.ndarray of int64, shape (n,)
        Ticks.
    known : numpy.ndarray of bool, shape (n,)
    at : numpy.ndarray of int64, shape (m,)
        Numbers of those in question.
    otherwise : float
        Where none of the `AROUND` before and after is known.

    Returns
    -------
    numpy.ndarray of int64, shape (m,)
        Medians, rounded.
    """
    found = np.full(len(at), round(otherwise))
    for begin in range(0, len(at), _PIECE):
        near = at[begin : begin + _PIECE, None] + np.arange(-AROUND, AROUND + 1)
        inside = (near >= 0) & (near < len(lengths))
        near = np.clip(near, 0, len(lengths) - 1)
        # relative to what all are near to, so that floats hold them
        values = np.where(inside & known[near], lengths[near] - round(otherwise), np.nan)
        some = np.flatnonzero(~np.isnan(values).all(axis=1))
        # halves upwards, not to even numbers: what they are relative to must not matter
        found[begin + some] += np.floor(np.nanmedian(values[some], axis=1) + 0.5).astype(np.int64)
    return found
