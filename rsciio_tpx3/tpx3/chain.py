"""Which parts of a damaged file can be trusted.

Chunks follow each other by their size fields. Where a size leads to a word that is no header, either
the size is wrong or words are missing, and the words of that chunk may be those of another chip. A
hit at a wrong place is worse than a missing one, so the whole chunk is left out, up to the next
header that two chunks in a row confirm.
"""

import numpy as np

from rsciio_tpx3.compiled import njit
from rsciio_tpx3.events.packets import header_chip, header_words, is_header

__all__ = ["left_out", "trusted_ranges"]

_MOST_CHIPS = 16  # no device has more; a word that claims so is no header


@njit(nogil=True, cache=True)
def _plausible(words, at):
    return (
        at < len(words)
        and is_header(words[at])
        and header_words(words[at]) >= 0
        and header_chip(words[at]) < _MOST_CHIPS
    )


@njit(nogil=True, cache=True)
def _follow(words, at):
    """Follow the chain from `at`; returns the last chunk's header and where its size leads."""
    last = at
    while at < len(words) and _plausible(words, at):
        last = at
        at += 1 + header_words(words[at])
    return last, at


@njit(nogil=True, cache=True)
def _next_header(words, at):
    """First header from `at` on whose chunk is followed by another header or ends the file."""
    while at < len(words):
        if _plausible(words, at):
            following = at + 1 + header_words(words[at])
            if following == len(words) or _plausible(words, following):
                return at
        at += 1
    return len(words)


def trusted_ranges(words):
    """Find the stretches of a file whose chunks confirm each other.

    Parameters
    ----------
    words : numpy.ndarray of uint64, shape (n,)
        A whole file, such as a memory map.

    Returns
    -------
    list of tuple of int
        Half-open ranges of words that begin with a header. The last one may end inside a chunk: a file
        that was cut keeps the words it has.
    """
    ranges = []
    start = 0 if _plausible(words, 0) else _next_header(words, 0)
    while start < len(words):
        last, end = _follow(words, start)
        if end == len(words):
            ranges.append((start, end))
            break
        resume = _next_header(words, last + 1)
        if end > len(words) and resume == len(words):
            ranges.append((start, len(words)))  # nothing but a short last chunk
            break
        if last > start:
            ranges.append((start, last))
        start = resume
    return [(int(a), int(b)) for a, b in ranges]


def left_out(ranges, n_words):
    """Words of a file that lie in no range."""
    return n_words - int(np.sum([b - a for a, b in ranges], dtype=np.int64))
