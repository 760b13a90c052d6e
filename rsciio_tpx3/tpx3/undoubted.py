"""The times of a recording in which no clock contradicts another: one walk, and nothing to decide.

Nearly all recordings are so. `place_undoubted` stops at the first thing that is to be decided (a long step, clocks
that tell different turns, edges out of order, a counter that leaps), and `unwrap` looks at the whole with care.
"""

import numpy as np

from rsciio_tpx3.tpx3.packets import edge_input
from rsciio_tpx3.tpx3.stream import COUNTER_LEAP, KIND_CONTROL, KIND_GLOBAL
from rsciio_tpx3.utils.clock import PIXEL_PERIOD, TICKS_PER_SECOND

__all__ = ["Walk", "place_undoubted"]

_LONGEST_STEP = PIXEL_PERIOD // 4  # from one time to the next in the stream


def place_undoubted(blocks: np.ndarray, marks: np.ndarray, no_time: int) -> tuple[np.ndarray, np.ndarray, int] | None:
    """Absolute times of blocks and marks, and the longest step between them; None where anything is doubtful.

    Parameters
    ----------
    blocks, marks : numpy.ndarray of `stream.BLOCK` and of `stream.MARK`
    no_time : int
        For marks without one.

    Returns
    -------
    of_blocks, of_marks : numpy.ndarray of int64
    longest : int
    """
    walk = Walk(no_time)
    placed = walk.go_on(blocks, marks)
    return None if placed is None else (*placed, walk.longest)


class Walk:
    """The walk over a recording that grows: each call goes on where the last one ended.

    Parameters
    ----------
    no_time : int
        For marks without one.

    Attributes
    ----------
    shift : int
        What was added to the times of the last call. The first word of a wider clock changes it for all times before.
    """

    def __init__(self, no_time: int) -> None:
        self._no_time = no_time
        self._state = np.zeros(_N_STATE, np.int64)
        self._state[_KEY] = -1
        self._last = np.full((256, 2), no_time, np.int64)
        self.shift = 0

    @property
    def longest(self) -> int:
        """Longest step from one time to the next in the stream, ticks."""
        return int(self._state[_LONGEST])

    def go_on(self, blocks: np.ndarray, marks: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Absolute times of what follows in the stream; None where anything is doubtful, and then the walk is over."""
        of_blocks, of_marks = blocks["first"].copy(), np.empty(len(marks), np.int64)
        if not _walk(blocks, marks, of_blocks, of_marks, self._no_time, self._state, self._last):
            return None
        known, turns = self._state[_KNOWN : _KNOWN + 3], self._state[_TURNS : _TURNS + 3]
        rank = 2 if known[2] else (1 if known[1] else 0)
        if any(known[k] and (turns[rank] - turns[k]) % width for k, width in ((0, 4), (1, 16))):
            return None
        self.shift = int(turns[rank]) * PIXEL_PERIOD
        of_marks[of_marks != self._no_time] += self.shift
        of_blocks[blocks["n_hits"] > 0] += self.shift
        return of_blocks, of_marks


# Fields of the state that goes from call to call.
_REFERENCE, _BEGUN, _LONGEST, _LATEST, _KEY, _COUNTER, _READ, _KNOWN, _TURNS, _N_STATE = 0, 1, 2, 3, 4, 5, 6, 7, 10, 13


def _walk(
    blocks: np.ndarray,
    marks: np.ndarray,
    of_blocks: np.ndarray,
    of_marks: np.ndarray,
    no_time: int,
    state: np.ndarray,
    last: np.ndarray,
) -> bool:
    """Follow marks, first and last hits of blocks in stream order; False for a doubt.

    `last`: latest edge of each chip and input. In NumPy, since there are few of them: a loop takes a second to compile.
    """
    timed = np.flatnonzero(marks["ticks"] >= 0)
    begun, ended = np.flatnonzero(blocks["n_hits"] > 0), np.flatnonzero(blocks["n_hits"] > 1)
    of_marks[:] = no_time
    words = np.concatenate(
        (marks["word"][timed], blocks["first_word"][begun], blocks["start"][ended] + blocks["n_words"][ended] - 1)
    )
    if len(words) == 0:
        return True
    ticks = np.concatenate(
        (marks["ticks"][timed], blocks["first"][begun], blocks["first"][ended] + blocks["last"][ended])
    )
    order = np.argsort(words, kind="stable")  # of one word: the mark, then the first hit of a block, then the last
    followed = _followed(ticks[order], state)
    if followed is None:
        return False
    turned = np.empty_like(followed)
    turned[order] = followed
    of_marks[timed] = turned[: len(timed)]
    of_blocks[begun] = turned[len(timed) : len(timed) + len(begun)]
    marks, ticks, turned = marks[timed], ticks[: len(timed)], turned[: len(timed)]
    kind = marks["kind"].astype(np.int64)
    rank = np.select([kind == KIND_GLOBAL, kind == KIND_CONTROL], [2, 1], 0)
    if not _turns_agree(rank, (ticks - turned) // PIXEL_PERIOD, state):
        return False
    edges = rank == 0
    which = 2 * marks["chip"][edges].astype(np.int64) + edge_input.py_func(kind[edges])
    return (
        _global_times_rise(ticks[rank == 2], state)
        and _edges_rise(which, turned[edges], last.reshape(-1))
        and _counter_goes_on(which, marks["counter"][edges].astype(np.int64), ticks[edges], state)
    )


def _followed(ticks: np.ndarray, state: np.ndarray) -> np.ndarray | None:
    """Times without turns of the clock, each nearest to the one before; None where a step is long."""
    first = int(ticks[0])
    # a hit of the first 25 ns may lie below zero, and stays there: no turn before the first is missing
    reference = int(state[_REFERENCE]) if state[_BEGUN] else min(first, first % PIXEL_PERIOD)
    half = PIXEL_PERIOD // 2
    steps = (np.diff(ticks, prepend=reference) + half) % PIXEL_PERIOD - half
    longest = int(np.abs(steps).max())
    if longest > _LONGEST_STEP:
        return None
    followed = reference + np.cumsum(steps)
    state[_REFERENCE], state[_BEGUN] = followed[-1], 1
    state[_LONGEST] = max(longest, state[_LONGEST])
    return followed


def _turns_agree(rank: np.ndarray, turns: np.ndarray, state: np.ndarray) -> bool:
    """Whether marks count the turns that were followed: modulo 4 (edges) or 16 (control words), or all (global times).

    The difference must stay what it was at the first word of that kind.
    """
    for k, modulus in enumerate((4, 16, None)):
        counted = turns[rank == k]
        if len(counted) == 0:
            continue
        if not state[_KNOWN + k]:
            state[_KNOWN + k], state[_TURNS + k] = 1, counted[0]
        difference = counted - state[_TURNS + k]
        if np.any(difference if modulus is None else difference % modulus):
            return False
    return True


def _global_times_rise(ticks: np.ndarray, state: np.ndarray) -> bool:
    """Other chips' words may be late, but not by a second: then the clock may have been reset."""
    latest = np.maximum.accumulate(np.concatenate((state[_LATEST : _LATEST + 1], ticks)))
    state[_LATEST] = latest[-1]
    return not np.any(ticks < latest[:-1] - TICKS_PER_SECOND)


def _edges_rise(which: np.ndarray, turned: np.ndarray, last: np.ndarray) -> bool:
    """Edges of one chip and input leave the chip in order."""
    for key in np.unique(which):
        times = turned[which == key]
        if times[0] < last[key] or np.any(times[1:] < times[:-1]):
            return False
        last[key] = times[-1]
    return True


def _counter_goes_on(which: np.ndarray, number: np.ndarray, ticks: np.ndarray, state: np.ndarray) -> bool:
    """The counter is followed for one input, the first seen.

    Where it does not go on by one, edges were lost, or the clock began again: of that a smaller reading is a sign.
    """
    if len(which) == 0:
        return True
    if state[_KEY] < 0:
        state[_KEY], state[_COUNTER], state[_READ] = which[0], number[0] - 1, ticks[0]
    own = which == state[_KEY]
    numbers, readings = (np.concatenate((state[k : k + 1], of[own])) for k, of in ((_COUNTER, number), (_READ, ticks)))
    state[_COUNTER], state[_READ] = numbers[-1], readings[-1]
    leap = np.diff(numbers) & 0xFFF
    far = (leap > COUNTER_LEAP) & (leap < 4096 - COUNTER_LEAP)
    return not np.any(far | ((leap != 1) & (np.diff(readings) < 0)))
