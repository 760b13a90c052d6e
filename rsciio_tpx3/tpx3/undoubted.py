"""The times of a recording in which no clock contradicts another: one walk, and nothing to decide.

Nearly all recordings are so. `place_undoubted` stops at the first thing that is to be decided (a long step, clocks
that tell different turns, edges out of order, a counter that leaps), and `unwrap` looks at the whole with care.
"""

import numpy as np

from rsciio_tpx3.tpx3.packets import edge_input
from rsciio_tpx3.tpx3.stream import COUNTER_LEAP, KIND_CONTROL, KIND_GLOBAL
from rsciio_tpx3.utils.clock import PIXEL_PERIOD, TICKS_PER_SECOND, nearest_period
from rsciio_tpx3.utils.compiled import njit

__all__ = ["place_undoubted"]

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
    of_blocks, of_marks = blocks["first"].copy(), np.empty(len(marks), np.int64)
    told, turns = np.zeros(3, np.bool_), np.zeros(3, np.int64)  # by edges, control words, global times
    last = np.full((256, 2), no_time, np.int64)  # edge of each chip and input
    longest = _walk(blocks, marks, of_blocks, of_marks, no_time, told, turns, last)
    return None if longest < 0 else (of_blocks, of_marks, longest)


@njit(cache=True, error_model="numpy")
def _walk(
    blocks: np.ndarray,
    marks: np.ndarray,
    of_blocks: np.ndarray,
    of_marks: np.ndarray,
    no_time: int,
    told: np.ndarray,
    turns: np.ndarray,
    last: np.ndarray,
) -> int:
    """Follow marks, first and last hits of blocks in stream order; the longest step, or -1 for a doubt."""
    i = b = e = 0
    reference, begun, longest = np.int64(0), False, np.int64(0)
    latest = np.int64(0)  # global time
    key, counter, read = -1, np.int64(0), np.int64(0)  # of the edges of one chip and input
    while True:
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
        turned = nearest_period(ticks, reference, PIXEL_PERIOD) if begun else ticks % PIXEL_PERIOD
        if begun:
            step = abs(turned - reference)
            if step > _LONGEST_STEP:
                return np.int64(-1)
            longest = max(longest, step)
        reference, begun = turned, True
        if not of_mark:
            if of_begin:
                of_blocks[b] = turned
                b += 1
            else:
                e += 1
            continue
        of_marks[i] = turned
        kind, chip = np.int64(marks[i].kind), np.int64(marks[i].chip)
        rank = 2 if kind == KIND_GLOBAL else (1 if kind == KIND_CONTROL else 0)
        told_now = (ticks - turned) // PIXEL_PERIOD
        if not told[rank]:
            told[rank], turns[rank] = True, told_now
        elif (told_now - turns[rank]) % (4, 16, 1)[rank] != 0 or (rank == 2 and told_now != turns[rank]):
            return np.int64(-1)
        if rank == 2:
            if ticks < latest - TICKS_PER_SECOND:
                return np.int64(-1)
            latest = max(latest, ticks)
        elif rank == 0:
            which = edge_input(kind)
            if turned < last[chip, which]:
                return np.int64(-1)
            last[chip, which] = turned
            number = np.int64(marks[i].counter)
            if key == 2 * chip + which:
                leap = (number - counter) & 0xFFF
                if COUNTER_LEAP < leap < 4096 - COUNTER_LEAP or (leap != 1 and ticks < read):
                    return np.int64(-1)
            if key < 0:
                key = 2 * chip + which
            if key == 2 * chip + which:
                counter, read = number, ticks
        i += 1
    rank = 2 if told[2] else (1 if told[1] else 0)
    if told[0] and (turns[rank] - turns[0]) % 4 != 0:
        return np.int64(-1)
    if told[1] and (turns[rank] - turns[1]) % 16 != 0:
        return np.int64(-1)
    for j in range(len(of_marks)):
        if of_marks[j] != no_time:
            of_marks[j] += turns[rank] * PIXEL_PERIOD
    for j in range(len(blocks)):
        if blocks[j].n_hits > 0:
            of_blocks[j] += turns[rank] * PIXEL_PERIOD
    return longest
