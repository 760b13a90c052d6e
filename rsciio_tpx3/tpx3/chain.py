"""Which parts of a damaged file can be trusted.

Chunks follow each other by their size fields. Where a size leads to a word that is not a header, either
the size is wrong or words are missing, and the words of that chunk may be those of another chip. A
hit at a wrong place is worse than a missing one, so the whole chunk is excluded, up to the next
header that two chunks in a row confirm.
"""

from collections.abc import Sequence

import numpy as np

from rsciio_tpx3.tpx3.packets import header_chip, header_words, is_header
from rsciio_tpx3.utils.compiled import njit

__all__ = ["likely_headers", "n_excluded", "trusted_ranges"]

_MOST_CHIPS = 16  # no device has more; a word that claims so is not a header


@njit(nogil=True, cache=True)
def likely_headers(words: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Words that look like a chunk header.

    Parameters
    ----------
    words : numpy.ndarray of uint64
        A stretch of a file.
    first : int
        Number of its first word in the file.

    Returns
    -------
    at : numpy.ndarray of int64
        Number of each in the file.
    size : numpy.ndarray of int64
        Words that each announces.
    """
    n = 0
    for word in words:
        n += is_header(word) and header_words(word) >= 0 and header_chip(word) < _MOST_CHIPS
    at, size = np.empty(n, np.int64), np.empty(n, np.int64)
    n = 0
    for i in range(len(words)):
        word = words[i]
        if is_header(word) and header_words(word) >= 0 and header_chip(word) < _MOST_CHIPS:
            at[n], size[n] = first + i, header_words(word)
            n += 1
    return at, size


@njit(nogil=True, cache=True)
def _index_of(at: np.ndarray, word: int, begin: int) -> int:
    """Number of the header at this word, from `begin` on; -1 where there is none."""
    i = begin + np.searchsorted(at[begin:], word)
    return i if i < len(at) and at[i] == word else -1


@njit(nogil=True, cache=True)
def _follow(at: np.ndarray, size: np.ndarray, i: int) -> tuple[int, int]:
    """Follow the chain from header number `i`; returns the last one and the word that its size leads to."""
    while True:
        end = at[i] + 1 + size[i]
        following = _index_of(at, end, i + 1)
        if following < 0:
            return i, end
        i = following


@njit(nogil=True, cache=True)
def _next_header(at: np.ndarray, size: np.ndarray, word: int, n_words: int) -> int:
    """The first header from a word on whose chunk is followed by another or ends the file; their number if none."""
    i = np.searchsorted(at, word)
    while i < len(at):
        end = at[i] + 1 + size[i]
        if end == n_words or _index_of(at, end, i + 1) >= 0:
            return i
        i += 1
    return len(at)


def trusted_ranges(at: np.ndarray, size: np.ndarray, n_words: int) -> list[tuple[int, int]]:
    """Find the stretches of a file whose chunks confirm each other.

    Parameters
    ----------
    at, size : numpy.ndarray of int64, shape (n,)
        The file's `likely_headers`.
    n_words : int
        Words of the file.

    Returns
    -------
    list of tuple of int
        Half-open ranges of words that begin with a header. The last one may end inside a chunk: a file
        that was cut keeps the words it has.
    """
    ranges = []
    i = 0 if len(at) and at[0] == 0 else _next_header(at, size, 0, n_words)
    while i < len(at):
        start = at[i]
        last, end = _follow(at, size, i)
        if end == n_words:
            ranges.append((start, end))
            break
        resume = _next_header(at, size, at[last] + 1, n_words)
        if end > n_words and resume == len(at):
            ranges.append((start, n_words))  # nothing but a short last chunk
            break
        if last > i:
            ranges.append((start, at[last]))
        i = resume
    return [(int(a), int(b)) for a, b in ranges]


def n_excluded(ranges: Sequence[tuple[int, int]], n_words: int) -> int:
    """Words of a file that lie in no range."""
    return n_words - int(np.sum([b - a for a, b in ranges], dtype=np.int64))
