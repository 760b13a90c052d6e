"""Which edges of a regular train keep step: what stands between two that do is not a line.

A scan generator that runs on a clock sends its edges at equal distances. An edge out of step, whose train goes on
in step without it, is a glitch; where the place of a line in such a train is empty and an edge stands near it, that
edge came too early or too late, and the line is where the train says. A train that goes on with the new step has
paused. Trains whose intervals scatter (lines started by the mains) keep no step, and are left alone.
"""

import numpy as np

from rsciio_tpx3.utils.compiled import njit

__all__ = ["ends_in_step", "keeps_step", "out_of_step", "scatter", "slips"]

_NEAR = 0.25  # of the period: intervals that are meant to be one
_SIGMAS = 8  # standard deviations: normal noise goes beyond once in 10**15 edges
_LEAST = 0.002  # of the period: what is in step although nothing scatters
_MOST = 0.1  # of the period: with more scatter there is no step to keep
_EXACT = 0.3  # of the intervals: where so many are equal, the others are out of step
_AHEAD = 4  # periods looked ahead for edges that keep a step
_LOOKS = 300  # edges looked at in doing so: time stays linear whatever the recording holds


def scatter(edges: np.ndarray, period: float) -> float:
    """Robust standard deviation of the intervals that are about one period, ticks; infinite where there are none."""
    off = np.diff(edges) - period
    near = off[np.abs(off) < _NEAR * period]
    if len(near) == 0:
        return np.inf
    return 1.4826 * float(np.median(np.abs(near - np.median(near))))


def keeps_step(edges: np.ndarray, period: float) -> float | None:
    """How far an edge may stand from its place in the train, ticks; None where the train keeps no step."""
    if not np.isfinite(period) or len(edges) < 4:
        return None
    tolerance = max(_SIGMAS * scatter(edges, period), _LEAST * period)
    if tolerance <= _MOST * period:
        return tolerance
    # a short train with several edges out of place scatters, and yet many of its intervals are equal
    exact = np.abs(np.diff(edges) - period) < 0.5 * _LEAST * period
    return _LEAST * period if exact.sum() >= max(4, _EXACT * len(exact)) else None


def slips(ticks: np.ndarray, period: float) -> np.ndarray:
    """Where a train goes on in another step: pauses too short to be distinguished from a line by their length.

    Parameters
    ----------
    ticks : numpy.ndarray of int64, shape (n,)
    period : float

    Returns
    -------
    numpy.ndarray of bool, shape (n,)
        Whether the interval before a pulse is not an integer number of periods; False where the train keeps no step.
    """
    found = np.zeros(len(ticks), bool)
    tolerance = keeps_step(ticks, period)
    if tolerance is None:
        return found
    intervals = np.diff(ticks)
    places = np.maximum(np.rint(intervals / period), 1)
    found[1:] = np.abs(intervals - places * period) > 2 * tolerance
    return found


def ends_in_step(ticks: np.ndarray, run: np.ndarray, period: float) -> tuple[np.ndarray, int]:
    """Put the first and the last edge of a run in step with the others, where they alone are not.

    Parameters
    ----------
    ticks : numpy.ndarray of int64, shape (n,)
    run : numpy.ndarray of int64, shape (n,)
        Run of each edge, from 0 on and ascending.
    period : float

    Returns
    -------
    ticks : numpy.ndarray of int64, shape (n,)
    moved : int
    """
    tolerance = keeps_step(ticks, period)
    if tolerance is None:
        return ticks, 0
    off = np.diff(ticks) - period
    lengths = np.bincount(run)
    end = np.cumsum(lengths)
    long = lengths >= 4
    first, last = (end - lengths)[long], end[long] - 1
    ticks, moved = ticks.copy(), 0
    for at, outer, inner, sign in ((first, first, first + 1, 1), (last, last - 1, last - 2, -1)):
        odd = (np.abs(off[outer]) > tolerance) & (np.abs(off[outer]) < 0.5 * period) & (np.abs(off[inner]) <= tolerance)
        if len(odd) > 1 and 2 * odd.sum() > len(odd):
            continue  # a habit of this scan: so it was meant
        ticks[at[odd]] += sign * np.rint(off[outer[odd]]).astype(np.int64)
        moved += int(odd.sum())
    return ticks, moved


def out_of_step(
    edges: np.ndarray, number: np.ndarray, period: float, tolerance: float, short: float
) -> tuple[np.ndarray, np.ndarray]:
    """Edges out of step in a train that goes on without them.

    Parameters
    ----------
    edges, number : numpy.ndarray of int64, shape (n,)
        Times, ascending, and running numbers.
    period, tolerance, short : float
        Ticks; `short` is the longest interval of a burst.

    Returns
    -------
    glitch : numpy.ndarray of bool, shape (n,)
    number : numpy.ndarray of int64, shape (n,)
        Running numbers without the edges that mark nothing. One that came too early or too late keeps its number:
        with it excluded, its line is missing, and its place is known.
    """
    glitch, renumbered = np.zeros(len(edges), bool), number.copy()
    if np.any(np.abs(np.diff(edges) - period) > tolerance):
        _walk(edges, number, float(period), float(tolerance), float(short), glitch, renumbered)
    return glitch, renumbered


@njit(cache=True)
def _support(edges: np.ndarray, i: int, period: float, tolerance: float) -> int:
    """How many of the next places in step with edge `i` hold an edge."""
    found, place = 0, 1
    for j in range(i + 1, min(i + 1 + _LOOKS, len(edges))):
        ahead = edges[j] - edges[i]
        while place <= _AHEAD and ahead > place * period + tolerance:
            place += 1
        if place > _AHEAD:
            break
        if ahead >= place * period - tolerance:
            found += 1
            place += 1
    return found


@njit(cache=True)
def _misfit(edges: np.ndarray, i: int, period: float, tolerance: float) -> float:
    """How far the edge one period after edge `i` is from its place, ticks; infinite where there is none."""
    least = np.inf
    for j in range(i + 1, min(i + 1 + _LOOKS, len(edges))):
        off = edges[j] - edges[i] - period
        if off > tolerance:
            break
        if off >= -tolerance:
            least = min(least, abs(off))
    return least


@njit(cache=True)
def _is_out(
    edges: np.ndarray, good: int, e: int, anchored: bool, period: float, tolerance: float, short: float
) -> bool:
    """Whether edge `e` is out of step with `good`, while the train goes on in step with `good`."""
    apart = edges[e] - edges[good]
    own, of_e = _support(edges, good, period, tolerance), _support(edges, e, period, tolerance)
    if own >= 1 and own >= of_e:
        # the last edges of a burst and the line after it may all be near enough: the one that fits best is the line
        near = not anchored and own == of_e and apart <= 2 * tolerance
        return not (near and _misfit(edges, e, period, tolerance) < _misfit(edges, good, period, tolerance))
    if own or of_e or not anchored or apart > 0.5 * period:
        return False  # the end of a train out of step may be its last line: its number decides
    # before a pause, or at the end: nothing goes on. Two quick ones are a burst, whose beginning may be missing
    quick = int(apart < short)
    for j in range(e, min(e + 2, len(edges) - 1)):
        if edges[j + 1] - edges[j] >= short:
            break
        quick += 1
    return quick < 2


@njit(cache=True)
def _walk(
    edges: np.ndarray,
    number: np.ndarray,
    period: float,
    tolerance: float,
    short: float,
    glitch: np.ndarray,
    renumbered: np.ndarray,
) -> None:
    # The last edge believed and the one before it; glitches since; whether `good` came one period after another.
    good, before, pending, anchored = 0, -1, 0, False
    for e in range(1, len(edges)):
        apart = edges[e] - edges[good]
        steps = int(np.rint(apart / period))
        in_step = steps >= 1 and abs(apart - steps * period) <= tolerance
        # Only an edge nearer than a line and a half can be one too many; over longer gaps the numbers decide.
        if not in_step and apart < 1.5 * period:
            if _is_out(edges, good, e, anchored, period, tolerance, short):
                glitch[e] = True
                pending += 1
                continue
            first = before < 0
            # the first edge after a pause may have come too early or too late: the number of lines decides
            begins = first or edges[good] - edges[before] > 1.5 * period
            most = (0.5 if begins else 1.0) * period - tolerance
            if apart < most and not anchored and (first or apart >= short):
                if _support(edges, e, period, tolerance) > _support(edges, good, period, tolerance):
                    # the edge before, which nothing supports on either side, is the one too many
                    glitch[good] = True
                    if first:
                        good, anchored = e, False
                        continue
                    pending += 1
                    good = before
                    apart = edges[e] - edges[good]
                    steps = int(np.rint(apart / period))
                    in_step = steps >= 1 and abs(apart - steps * period) <= tolerance
        # Lines since `good`: glitches between may have been numbered as lines or not, and time decides which.
        counted = number[e] - number[good]
        plain = max(counted - pending, 1)
        if in_step and (steps == 1 or (pending and plain <= steps <= counted)):
            plain = steps
        renumbered[e] = renumbered[good] + plain
        before, good, pending, anchored = good, e, 0, in_step and steps == 1
