"""Which times of a stream its other times contradict.

One flipped bit in a hit, an edge or a global time, or a pair of global-time words that was torn by a rollover,
makes one time wrong, and the times before and after it are right. Such a time is known from both sides: the clock
leaves, by far more than it moves there otherwise, and comes back. A leap without a return is a pause. Where the
recording is sparse, a leap is nothing unusual, and none is called wrong.
"""

import numpy as np

from rsciio_tpx3.utils.clock import TICKS_PER_SECOND
from rsciio_tpx3.utils.compiled import njit

__all__ = ["global_falls", "out_of_place", "out_of_turn"]

_AROUND = 8  # times looked at on either side of a leap
_FIRST = 4  # times of which one may be the first that is right
_MANY = 16  # hits of a block that are not alone
_LONGEST = 16  # times that may be wrong in a row
_SMALL = TICKS_PER_SECOND // 50  # 20 ms: ten times the disorder of any real recording
_RATIO = 8  # a leap stands out where it is larger by this than the steps around it


@njit(nogil=True, cache=True)
def _offset(a: int, b: int, period: int) -> int:
    """How far `a` lies after `b` on a clock that wraps, from minus to plus half a period."""
    half = period // 2
    return (a - b + half) % period - half


@njit(nogil=True, cache=True)
def _goes_on(ticks: np.ndarray, inner: np.ndarray, j: int, reference: int, period: int, most: int) -> bool:
    """Whether most of the times from `j` on follow the reference, and each other, by small steps."""
    near, n, followed = 0, 0, True
    for k in range(j, len(ticks)):
        if inner[k]:
            if followed:
                reference = ticks[k]
            continue
        followed = abs(_offset(ticks[k], reference, period)) < most
        if followed:
            near += 1
            reference = ticks[k]
        n += 1
        if n == _AROUND:
            break
    return 2 * near >= n


@njit(nogil=True, cache=True)
def _comes_back(
    ticks: np.ndarray, inner: np.ndarray, counts: np.ndarray, i: int, reference: int, period: int, leap: int
) -> int:
    """Number of times from `i` on after which the clock is near `reference` again, and stays; 0 where it is not.

    Blocks of many hits are not excluded: they go round the clock, and come by the same time again.
    """
    for j in range(i + 1, min(i + 1 + _LONGEST, len(ticks))):
        if counts[j - 1] >= _MANY:
            return 0
        near = not inner[j] and abs(_offset(ticks[j], reference, period)) * _RATIO < leap
        if near and _goes_on(ticks, inner, j, reference, period, leap // _RATIO):
            return j - i
    return 0


@njit(nogil=True, cache=True)
def _number_alone(ticks: np.ndarray, inner: np.ndarray, counts: np.ndarray, i: int, period: int, leap: int) -> int:
    """Number of times from `i` on that nothing goes on from, although what follows them goes on; 0 where it does."""
    if counts[i] >= _MANY or _goes_on(ticks, inner, i + 1, ticks[i], period, leap // _RATIO):
        return 0
    for j in range(i + 1, min(i + 1 + _AROUND, len(ticks))):
        if not inner[j] and (counts[j] >= _MANY or _goes_on(ticks, inner, j + 1, ticks[j], period, leap // _RATIO)):
            return j - i
    return 0


@njit(nogil=True, cache=True)
def _steady_start(ticks: np.ndarray, inner: np.ndarray, period: int) -> int:
    """The first of the times that most of those after it agree with; 0 where the stream is too sparse to tell."""
    for s in range(min(len(ticks) - _AROUND, _FIRST)):
        if _goes_on(ticks, inner, s + 1, ticks[s], period, period // (2 * _RATIO)):
            return s
    return 0


@njit(nogil=True, cache=True)
def out_of_place(
    ticks: np.ndarray, inner: np.ndarray, counts: np.ndarray, period: int, least: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Times that leave the course of their neighbours and come back.

    Parameters
    ----------
    ticks : numpy.ndarray of int64, shape (n,)
        Times in stream order, modulo `period`.
    inner : numpy.ndarray of bool
        Which of them go on from the one before without a gap, however long the step.
    counts : numpy.ndarray of int64
        For how many times each of them stands; `_MANY` are not alone.
    period : int
    least : int
        Smaller leaps are the disorder of the stream.

    Returns
    -------
    out : numpy.ndarray of bool
    steps : numpy.ndarray of int64
        From the time before to each, of those that are in place; without a sign.
    leaps : numpy.ndarray of bool
        Where a step is large for its neighbours: a pause, or another clock.
    alone : numpy.ndarray of bool
        What leaps, does not come back, and is not gone on from: at a pause, nobody tells whether it is right.
    """
    n = len(ticks)
    out, leaps, steps = np.zeros(n, np.bool_), np.zeros(n, np.bool_), np.zeros(n, np.int64)
    alone = np.zeros(n, np.bool_)
    if n == 0:
        return out, steps, leaps, alone
    start = _steady_start(ticks, inner, period)
    # Nothing before these tells their course: they are compared with the first time that others agree with.
    for i in range(start):
        out[i] = abs(_offset(ticks[i], ticks[start], period)) > least
    recent = np.zeros(_AROUND, np.int64)
    n_recent = 0
    reference = ticks[start]
    i = start + 1
    while i < n:
        step = abs(_offset(ticks[i], reference, period))
        # The last hit of a block goes on from its first, however long that took: it leads, and is not judged.
        if inner[i]:
            if counts[i] >= _MANY:  # as many steps, none of them large
                recent[:2], n_recent = step // counts[i], 2
            reference = ticks[i]
            i += 1
            continue
        if step > _SMALL:
            # A step stands out where most of those around it are much smaller; two are the least to compare with.
            smaller = 0
            for r in recent[:n_recent]:
                smaller += r * _RATIO < step
            if n_recent > 1 and 2 * smaller > n_recent:
                # A return is looked for first: it proves the times between wrong, and a pause has none.
                m = _comes_back(ticks, inner, counts, i, reference, period, step) if step > least else 0
                if m:
                    out[i : i + m] = True
                    i += m
                    continue
                m = _number_alone(ticks, inner, counts, i, period, step)
                if m:
                    alone[i : i + m] = True
                    i += m
                    continue
                leaps[i] = True
        steps[i] = step
        # Once full, not always the oldest is replaced: any eight recent steps tell what is usual.
        recent[i % _AROUND if n_recent == _AROUND else n_recent] = step
        n_recent = min(n_recent + 1, _AROUND)
        reference = ticks[i]
        i += 1
    return out, steps, leaps, alone


@njit(nogil=True, cache=True)
def _most_below(ticks: np.ndarray, j: int, limit: int) -> bool:
    """Whether most of the times from `j` on lie below a limit."""
    below, n = 0, min(len(ticks) - j, _AROUND)
    for k in range(j, j + n):
        below += ticks[k] < limit
    return 2 * below >= n


@njit(nogil=True, cache=True)
def global_falls(ticks: np.ndarray, tolerance: int) -> tuple[np.ndarray, np.ndarray]:
    """Check times that never wrap: which are wrong, and where they fall back for good.

    Parameters
    ----------
    ticks : numpy.ndarray of int64, shape (n,)
        Global times of all chips in stream order.
    tolerance : int
        By which chips may be late.

    Returns
    -------
    out : numpy.ndarray of bool
        Times before which or after which the clock reads less than it can.
    falls : numpy.ndarray of int64, shape (m, 2)
        The last time before, and the first time after each step back that lasts.
    """
    n = len(ticks)
    out = np.zeros(n, np.bool_)
    falls = np.empty((n, 2), np.int64)
    n_falls, last = 0, -1
    for i in range(n):
        if last < 0:
            last = i
            continue
        # The last time that was believed leads; other chips may be late by `tolerance`.
        reference = ticks[last]
        if ticks[i] > reference + tolerance:
            # too high if the clock soon reads less again, but no less than before
            for j in range(i + 1, min(i + 1 + _LONGEST, n)):
                if reference - tolerance <= ticks[j] < ticks[i] - tolerance:
                    out[i] = _most_below(ticks, j, ticks[i] - tolerance)
                    break
        elif ticks[i] < reference - tolerance:
            # too low if the clock soon reads what it did, or if nothing follows
            out[i] = i == n - 1
            for j in range(i + 1, min(i + 1 + _LONGEST, n)):
                if ticks[j] >= reference - tolerance:
                    out[i] = not _most_below(ticks, j, reference - tolerance)
                    break
            if not out[i]:
                falls[n_falls, 0], falls[n_falls, 1] = last, i
                n_falls += 1
        if not out[i]:
            last = i
    return out, falls[:n_falls]


@njit(nogil=True, cache=True)
def out_of_turn(ticks: np.ndarray, counter: np.ndarray) -> np.ndarray:
    """Edges of one input and chip whose time is not between those of the edges with the numbers next to theirs.

    Parameters
    ----------
    ticks : numpy.ndarray of int64, shape (n,)
        Absolute times in stream order.
    counter : numpy.ndarray of int64, shape (n,)
        Numbers of the edges, modulo 4096.

    Returns
    -------
    numpy.ndarray of bool
    """
    out = np.zeros(len(ticks), np.bool_)
    for i in range(1, len(ticks) - 1):
        one_by_one = (counter[i] - counter[i - 1]) & 0xFFF == 1 and (counter[i + 1] - counter[i]) & 0xFFF == 1
        if one_by_one and not out[i - 1] and ticks[i - 1] < ticks[i + 1]:
            out[i] = ticks[i] < ticks[i - 1] or ticks[i] > ticks[i + 1]
    return out
