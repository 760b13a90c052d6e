"""Where the detector's clock began anew in a recording: data of the run before were still in the pipeline.

A reset is a step back of the clock that lasts, and more than one clock shows it: global time falls and the phase of
hits and edges leaps, or the counter of edges does. Global times that fall alone are wrong, and a counter that leaps
alone has lost edges. Without global time, edges tell a reset by time and counter together: where both begin anew, near
zero, or, in the first half of a recording only, since such data come at the start, where they do not fit each other.
"""

import numpy as np

from rsciio_tpx3.tpx3.packets import edge_input
from rsciio_tpx3.tpx3.stream import COUNTER_LEAP, KIND_CONTROL, KIND_GLOBAL
from rsciio_tpx3.utils.clock import CONTROL_PERIOD, PIXEL_PERIOD, TDC_PERIOD, TICKS_PER_SECOND, nearest_period
from rsciio_tpx3.utils.compiled import njit

__all__ = ["after_last_reset"]

_COUNTER = 4096  # the counter of edges has 12 bits (SERVAL manual 3.1, file format: TDC)
_EARLY = 0.5  # share of the edges before which a leap may be a reset
_ENOUGH_EDGES = 16  # fewer do not tell a reset from wrong times
_NEAR = 64  # items around a step back in which other clocks show it, since chips send in their own time
_ANEW = 16, TICKS_PER_SECOND  # numbers and time that a counter and a clock that were reset go on from
_BELOW_ZERO = TICKS_PER_SECOND // 100_000  # 10 us: edges never read less than zero


def after_last_reset(
    kind: np.ndarray,
    ticks: np.ndarray,
    leaps: np.ndarray,
    of_global: np.ndarray,
    falls: np.ndarray,
    marks: np.ndarray,
    at_mark: np.ndarray,
) -> tuple[int, np.ndarray]:
    """Find the first item after the last reset.

    Parameters
    ----------
    kind, ticks : numpy.ndarray of int64
        Items in stream order, wrapped times.
    leaps : numpy.ndarray of bool
        Items at which the phase leapt.
    of_global : numpy.ndarray of int64
        The items that are global times.
    falls : numpy.ndarray of int64, shape (n, 2)
        Numbers among these, see `contradicted.global_falls`.
    marks : numpy.ndarray of `stream.MARK`
    at_mark : numpy.ndarray of int64
        Item of each mark.

    Returns
    -------
    begin : int
        0 where the clock was not reset.
    denied : numpy.ndarray of int64
        Items whose global time says that it was, and nothing else does.
    """
    counts = _counter_leaps(marks, at_mark, kind)
    denied = []
    for old_number, new_number in falls[::-1]:
        old, new = of_global[old_number], of_global[new_number]
        before = of_global[: old_number + 1]
        before = before[ticks[before] > ticks[new] + TICKS_PER_SECOND]
        near = slice(max(old - _NEAR, 0), new + _NEAR)
        if _is_shown(kind, ticks, leaps[near], before, old, new) or _any_between(counts, near):
            return int(_first_nearer(kind, ticks, old, new)), np.concatenate([*denied, np.empty(0, np.int64)])
        denied.append(before)
    begin = 0 if len(falls) else _after_counter_leap(counts, kind, ticks, leaps)
    return begin, np.unique(np.concatenate([*denied, np.empty(0, np.int64)]))


def _is_shown(
    kind: np.ndarray, ticks: np.ndarray, leaps_near: np.ndarray, before: np.ndarray, old: int, new: int
) -> bool:
    """Whether other clocks than the one global time before a fall show it."""
    phase = nearest_period(ticks[new], ticks[old], PIXEL_PERIOD) - ticks[old]
    if abs(phase) > TICKS_PER_SECOND:
        return bool(leaps_near.any()) or len(before) > 1
    others = (kind[:new] >= 0) & (kind[:new] != KIND_GLOBAL)
    return len(before) > 1 and not others.any()


def _any_between(counts: list[tuple], near: slice) -> bool:
    return any(near.start <= new and old < near.stop for old, new, *_ in counts)


def _counter_leaps(marks: np.ndarray, at_mark: np.ndarray, kind: np.ndarray) -> list[tuple]:
    """Where the trigger counter goes on by a number that the time between does not explain, or begins anew.

    Returns
    -------
    list of tuple
        Item of the last edge before and the first after, whether the time on the clock falls there, whether it is
        early in the recording, and whether counter and clock both begin anew.
    """
    edges = np.flatnonzero((marks["ticks"] >= 0) & (marks["kind"] > KIND_CONTROL))
    if len(edges) < _ENOUGH_EDGES:
        return []
    # one chip and input, since copies on other chips come in their own time
    first = marks[edges[0]]
    same_input = edge_input(marks["kind"][edges].astype(np.int64)) == edge_input(np.int64(first["kind"]))
    edges = edges[(marks["chip"][edges] == first["chip"]) & same_input]
    counter, ticks = marks["counter"][edges].astype(np.int64), marks["ticks"][edges]
    step = np.diff(counter) % _COUNTER
    ordinary = step == 1
    if len(step) == 0 or ordinary.mean() < 0.5:
        return []
    falls = np.diff(ticks) < 0
    anew = falls & ~ordinary & (counter[1:] <= _ANEW[0]) & (ticks[1:] < _ANEW[1]) & (ticks[:-1] > 2 * _ANEW[1])
    far = (step > COUNTER_LEAP) & (step < _COUNTER - COUNTER_LEAP)
    leaps = np.flatnonzero(anew | (far & ~_explained(step, np.diff(ticks), ordinary)))
    places = at_mark[edges]
    return [(int(places[i]), int(places[i + 1]), bool(falls[i]), i < _EARLY * len(edges), bool(anew[i])) for i in leaps]


def _explained(step: np.ndarray, pause: np.ndarray, ordinary: np.ndarray) -> np.ndarray:
    """Whether as many edges as the counter leaps by may have been lost in the time that passed."""
    forward = pause % TDC_PERIOD
    nearest = (pause + TDC_PERIOD // 2) % TDC_PERIOD - TDC_PERIOD // 2
    fits = np.zeros(len(step), bool)
    for passed in (forward, nearest):
        # the mean, since with both directions recorded there are two kinds of pause
        lost = passed / nearest[ordinary].mean()
        fits |= np.abs((lost - step + _COUNTER / 2) % _COUNTER - _COUNTER / 2) <= 0.5 * step
    # edges never come faster than the shortest of their usual pauses
    shortest = np.quantile(nearest[ordinary], 0.05)
    return fits & (forward >= 0.9 * shortest * step)


def _after_counter_leap(counts: list[tuple], kind: np.ndarray, ticks: np.ndarray, leaps: np.ndarray) -> int:
    """The item where edges begin anew by counter and time; else 0."""
    for old, new, falls, early, anew in counts[::-1]:
        if not (early or anew):
            continue
        if (kind[new:] == KIND_GLOBAL).any() and (kind[:old] == KIND_GLOBAL).any():
            continue  # global time goes on across the leap: edges were lost, the clock was not reset
        leapt = falls and leaps[max(old - _NEAR, 0) : new + _NEAR].any()
        if anew or leapt or _below_zero(kind, ticks, old, new):
            return int(_first_nearer(kind, ticks, old, new))
    return 0


def _below_zero(kind: np.ndarray, ticks: np.ndarray, old: int, new: int) -> bool:
    """Whether control words, whose clock is wide and begins at zero, leave no time for what came before."""
    control = np.flatnonzero(kind[old:] == KIND_CONTROL)
    if len(control) == 0 or (kind[:old] == KIND_CONTROL).any():
        return False
    read = ticks[old + control[0]]
    return bool(nearest_period(ticks[old], read, TDC_PERIOD) < -_BELOW_ZERO and ticks[new] < TICKS_PER_SECOND)


@njit(cache=True)
def _period(kind: int) -> int:
    if kind == 0:
        return PIXEL_PERIOD
    if kind == KIND_CONTROL:
        return CONTROL_PERIOD
    return TDC_PERIOD


@njit(cache=True)
def _first_nearer(kind: np.ndarray, ticks: np.ndarray, old: int, new: int) -> int:
    """First item after `old` whose time fits the clock read at `new` better than that at `old`."""
    for i in range(old + 1, new):
        if kind[i] < 0 or kind[i] == KIND_GLOBAL:
            continue
        period = _period(kind[i])
        from_old = abs(nearest_period(ticks[i], ticks[old], period) - ticks[old])
        from_new = abs(nearest_period(ticks[i], ticks[new], period) - ticks[new])
        if from_new < from_old:
            return i
    return new
