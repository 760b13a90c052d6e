"""Where the structures of an HDF5 file begin: each kind that may do harm has a name of four letters."""

from __future__ import annotations

import io

import numpy as np

from rsciio_tpx3.utils.compiled import njit

__all__ = ["marks_in"]

_LETTERS = 4
_WINDOW = 1 << 17  # bytes: a piece of memory that stays in the processor's cache


def marks_in(file: io.RawIOBase, size: int, marks: tuple[bytes, ...]) -> dict[bytes, list[int]]:
    """The places of all marks, by one pass over a file.

    Parameters
    ----------
    file : io.RawIOBase
        Without a buffer of its own.
    size : int
        Bytes to search, from the beginning.
    marks : tuple of bytes
        Of four letters each.

    Returns
    -------
    dict
        Each mark, with the bytes at which it stands, in order.
    """
    found: dict[bytes, list[int]] = {mark: [] for mark in marks}
    table = np.frombuffer(b"".join(marks), np.uint8).reshape(-1, _LETTERS)
    steps = _steps(table)
    absent = steps == _LETTERS
    overlap = _LETTERS - 1  # bytes of the window before, in which a mark may begin
    window, start = np.zeros(_WINDOW + overlap, np.uint8), -overlap
    file.seek(0)
    while start + overlap < size:
        n = file.readinto(window[overlap : overlap + min(_WINDOW, size - start - overlap)].data)
        if not n:
            break
        at, which = _next(window[: overlap + n], 0, table, absent, steps)
        while at >= 0:
            found[marks[which]].append(start + at)
            at, which = _next(window[: overlap + n], at + _LETTERS, table, absent, steps)
        window[:overlap] = window[n : n + overlap].copy()
        start += n
    return found


def _steps(table: np.ndarray) -> np.ndarray:
    """How far a search may go on by the letter three places ahead: 0 where it may be the last one of a mark."""
    steps = np.full(256, _LETTERS, np.uint8)
    for place in range(_LETTERS):  # the last place has the last word
        steps[table[:, place]] = _LETTERS - 1 - place
    return steps


@njit(nogil=True, cache=True)
def _next(content: np.ndarray, at: int, table: np.ndarray, absent: np.ndarray, steps: np.ndarray) -> tuple[int, int]:
    """The next place with a mark, and which one it is; -1 where there is none."""
    while at + _LETTERS <= len(content):
        letter = content[at + _LETTERS - 1]
        if absent[letter]:  # mostly: a guess lets the processor go on before the table has answered
            at += _LETTERS
            continue
        if steps[letter]:
            at += steps[letter]
            continue
        for which in range(len(table)):
            same = True
            for i in range(_LETTERS):
                same &= content[at + i] == table[which, i]
            if same:
                return at, which
        at += 1
    return -1, -1
