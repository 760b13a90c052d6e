"""The times of a recording in which no clock contradicts another: one walk, and nothing to decide.

Nearly all recordings are so. `place_undoubted` stops at the first thing that is to be decided (a long step, clocks
that tell different turns, edges out of order, a counter that leaps), and `unwrap` looks at the whole with care.
"""

import numpy as np

from rsciio_tpx3.tpx3.packets import edge_input
from rsciio_tpx3.tpx3.stream import COUNTER_LEAP, KIND_CONTROL, KIND_GLOBAL
from rsciio_tpx3.utils.clock import PIXEL_PERIOD, TICKS_PER_SECOND, nearest_period
from rsciio_tpx3.utils.compiled import njit

__all__ = ["Walk", "place_undoubted"]

_NO_WORD = np.iinfo(np.int64).max
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


@njit(cache=True, error_model="numpy")
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

    `last`: latest edge of each chip and input.
    """
    i = b = e = 0
    reference, begun, longest = state[_REFERENCE], state[_BEGUN] > 0, state[_LONGEST]
    known, turns = state[_KNOWN : _KNOWN + 3], state[_TURNS : _TURNS + 3]  # by edges, control words, global times
    latest = state[_LATEST]  # global time
    key, counter, read = state[_KEY], state[_COUNTER], state[_READ]  # of the edges of one chip and input
    while True:
        # Three lists, merged by place in the stream: marks, first hits of blocks, and last hits where there are others.
        while b < len(blocks) and blocks[b].n_hits == 0:
            b += 1
        while e < len(blocks) and blocks[e].n_hits < 2:
            e += 1
        word = marks[i].word if i < len(marks) else _NO_WORD
        begin = blocks[b].first_word if b < len(blocks) else _NO_WORD
        end = blocks[e].start + blocks[e].n_words - 1 if e < len(blocks) else _NO_WORD
        if word == _NO_WORD and begin == _NO_WORD and end == _NO_WORD:
            break
        of_mark, of_begin = word <= begin and word <= end, begin <= end
        if of_mark:
            ticks = marks[i].ticks
            if ticks < 0:
                of_marks[i] = no_time
                i += 1
                continue
        elif of_begin:
            ticks = blocks[b].first
        else:
            ticks = blocks[e].first + blocks[e].last
        # a hit of the first 25 ns may lie below zero, and stays there: no turn before the first is missing
        turned = nearest_period(ticks, reference, PIXEL_PERIOD) if begun else min(ticks, ticks % PIXEL_PERIOD)
        if begun:
            step = abs(turned - reference)
            if step > _LONGEST_STEP:
                return False
            longest = max(longest, step)
        reference, begun = turned, True
        if not of_mark:
            if of_begin:
                of_blocks[b] = turned
                b += 1
            else:
                e += 1
            continue
        # A mark's clock counts turns too, modulo 4 (edges) or 16 (control words), or all of them (global times).
        of_marks[i] = turned
        kind, chip = np.int64(marks[i].kind), np.int64(marks[i].chip)
        rank = 2 if kind == KIND_GLOBAL else (1 if kind == KIND_CONTROL else 0)
        turn_now = (ticks - turned) // PIXEL_PERIOD
        # The difference from the turns followed must stay what it was at the first word of that kind.
        if known[rank] == 0:
            known[rank], turns[rank] = 1, turn_now
        elif (turn_now - turns[rank]) % (4, 16, 1)[rank] != 0 or (rank == 2 and turn_now != turns[rank]):
            return False
        if rank == 2:
            # Other chips' words may be late, but not by a second: then the clock may have been reset.
            if ticks < latest - TICKS_PER_SECOND:
                return False
            latest = max(latest, ticks)
        elif rank == 0:
            which = edge_input(kind)
            # Edges of one input leave the chip in order.
            if turned < last[chip, which]:
                return False
            last[chip, which] = turned
            # The counter is followed for one input, the first seen. Where it does not go on by one, edges were lost,
            # or the clock began again: of the latter a smaller reading is a sign.
            number = np.int64(marks[i].counter)
            if key == 2 * chip + which:
                leap = (number - counter) & 0xFFF
                if COUNTER_LEAP < leap < 4096 - COUNTER_LEAP or (leap != 1 and ticks < read):
                    return False
            if key < 0:
                key = 2 * chip + which
            if key == 2 * chip + which:
                counter, read = number, ticks
        i += 1
    state[_REFERENCE], state[_BEGUN], state[_LONGEST], state[_LATEST] = reference, begun, longest, latest
    state[_KEY], state[_COUNTER], state[_READ] = key, counter, read
    return True
