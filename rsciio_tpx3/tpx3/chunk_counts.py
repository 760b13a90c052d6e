"""How many chunks are missing by the 0x50 counters, of which any single word may be wrong.

Serval numbers the chunks of each chip. Real numbers leap over lost chunks, and some come late by a few. A number that
leaps counts only where the next one goes on from it, and from a number that was reached step by step: one flipped bit
would claim up to 10**14 lost chunks otherwise. The last number of a recording has none after it: its leap counts
where it is short, or no single flipped bit makes it. A loss after the very first chunk goes unnoticed.
"""

import numpy as np

from rsciio_tpx3.utils.compiled import njit, njit_inner

__all__ = ["N_FIELDS", "lost_chunks", "note_chunk", "swapped_chunks"]

_LATE = 64  # chunks: real ones come late by one or two
_NEAR = 16  # numbers that are reached step by step, although some between are missing
_LEAP = 4096  # numbers that the one after a leap may leap again

# Fields of one chip's table.
_N, _LOW, _HIGH, _BACK, _LOST, _DOUBT, _STEADY = range(7)
N_FIELDS = 7


@njit(nogil=True, cache=True, error_model="numpy")
def note_chunk(table: np.ndarray, count: int) -> None:
    """Note the next chunk's number in the table of its chip, which begins with zeros."""
    if table[_STEADY] < 2:
        _note_first(table, count)
        return
    if table[_DOUBT] >= 0:
        _decide(table, count)
    step = count - table[_HIGH]
    if step == 1:
        table[_N] += 1
        table[_HIGH] = count
    elif -_LATE <= step <= 0:
        table[_N] += 1
        table[_BACK] += 1
    else:
        table[_DOUBT] = count


@njit_inner(nogil=True, cache=True, error_model="numpy")
def _note_first(table: np.ndarray, count: int) -> None:
    """Find two numbers in a row, or three near each other; a first one that stands alone is passed over."""
    step = count - table[_HIGH]
    begun = table[_N] > 0
    table[_DOUBT] = -1
    if begun and step == 1:
        table[_N] += 1
        table[_STEADY] = 2
    else:
        table[_STEADY] = table[_STEADY] + 1 if begun and 0 < step <= _NEAR else 0
        if table[_STEADY] < 2:
            table[_N], table[_LOW] = 1, count
        else:
            table[_N] += 1
    table[_HIGH] = count


@njit_inner(nogil=True, cache=True, error_model="numpy")
def _decide(table: np.ndarray, count: int) -> None:
    """Whether the number before was right: if so, chunks are missing, or the counter began anew."""
    doubt, table[_DOUBT] = table[_DOUBT], -1
    forward = doubt > table[_HIGH]
    goes_on = 0 < count - doubt <= _LEAP
    if goes_on and forward:
        table[_N] += 1
        table[_HIGH] = doubt
    elif goes_on and not 0 < count - table[_HIGH] <= _LEAP:
        table[_LOST] += max(table[_HIGH] - table[_LOW] + 1 - table[_N], 0)
        table[_N], table[_LOW], table[_HIGH] = 1, doubt, doubt
    else:
        table[_N] += 1  # the chunk came, and only its number is wrong


def lost_chunks(tables: np.ndarray) -> dict:
    """Chunks that are missing, by chip; of tables of shape (n_chips, N_FIELDS)."""
    lost = {int(chip): _lost_of_chip(*map(int, tables[chip])) for chip in np.flatnonzero(tables[:, _N])}
    return {chip: number for chip, number in lost.items() if number}


def _lost_of_chip(n: int, low: int, high: int, back: int, lost: int, doubt: int, steady: int) -> int:
    if steady < 2:
        return lost
    if doubt > high and (doubt - high <= _NEAR or (doubt ^ (high + 1)).bit_count() > 1):
        n, high = n + 1, doubt
    return lost + max(high - low + 1 - n, 0)


def swapped_chunks(tables: np.ndarray) -> dict:
    """Chunks that came after a later one, by chip."""
    return {int(chip): int(tables[chip, _BACK]) for chip in np.flatnonzero(tables[:, _BACK])}
