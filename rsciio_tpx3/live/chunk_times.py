"""When a detector would have sent each chunk of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.tpx3.files import read_ahead
from rsciio_tpx3.tpx3.index import build_index
from rsciio_tpx3.tpx3.packets import TYPE_PIXEL, header_words, pixel_ticks
from rsciio_tpx3.tpx3.source import files_of
from rsciio_tpx3.tpx3.stream import WINDOW_WORDS
from rsciio_tpx3.utils.clock import PIXEL_PERIOD, TICKS_PER_SECOND, nearest_period
from rsciio_tpx3.utils.compiled import njit

if TYPE_CHECKING:
    import os

__all__ = ["ChunkTimes", "chunk_times"]

_NOTHING = np.iinfo(np.int64).min


@dataclass(frozen=True)
class ChunkTimes:
    """Chunks of a recording.

    Attributes
    ----------
    start : numpy.ndarray of int64, shape (n + 1,)
        First byte of each chunk, and the end of the last one.
    seconds : numpy.ndarray of float64, shape (n,)
        When each is complete, from the first hit on; never decreasing.
    """

    start: np.ndarray
    seconds: np.ndarray

    def __len__(self) -> int:
        return len(self.seconds)


def chunk_times(path: str | os.PathLike) -> ChunkTimes:
    """Find the chunks of a ``.tpx3`` file, and when each was complete.

    Parameters
    ----------
    path : str or Path
        An end inside a chunk is that of a last, shorter chunk.

    Returns
    -------
    ChunkTimes

    Raises
    ------
    Tpx3FormatError
        If the file has no chunk headers, or is damaged.
    """
    parts, losses = files_of(path, follow=True)
    part = parts[0]
    if part.headerless:
        raise Tpx3FormatError(f"{part.name!r} has no chunk headers: a Serval stream consists of chunks.")
    index, blocks = build_index(parts, losses, False)
    blocks = blocks[blocks["n_hits"] > 0]
    references = np.ascontiguousarray(blocks["start"]), np.ascontiguousarray(blocks["first"])
    n = sum(index.statistics["chunks_by_chip"].values())
    start, ticks = np.empty(n + 1, np.int64), np.full(n, _NOTHING)
    state = np.zeros(3, np.int64)
    for words, first in read_ahead(part, 0, part.n_words, WINDOW_WORDS):
        _walk(words, first, state, *references, start, ticks)
    start[n] = part.n_words
    start *= 8
    start[n] = part.size  # bytes of an unfinished word go with the last chunk
    known = ticks != _NOTHING
    times = np.maximum.accumulate(np.where(known, ticks, index.hit_span[0]))
    return ChunkTimes(start, (times - times[0]) / TICKS_PER_SECOND if n else np.empty(0))


@njit(cache=True)
def _walk(
    words: np.ndarray,
    base: int,
    state: np.ndarray,
    block_start: np.ndarray,
    block_first: np.ndarray,
    start: np.ndarray,
    ticks: np.ndarray,
) -> None:
    """Note the chunks of one window, which may begin and end inside of one.

    `state`: chunks so far, words of the last one still to come, and the block that it lies in.
    """
    n, left, b = state
    i = 0
    while i < len(words):
        if left == 0:
            start[n] = base + i
            n += 1
            left = header_words(words[i])
            i += 1
            continue
        size = min(left, len(words) - i)
        for j in range(i + size - 1, i - 1, -1):
            if (words[j] >> np.uint64(60)) == np.uint64(TYPE_PIXEL):
                while b + 1 < len(block_start) and block_start[b + 1] <= base + j:
                    b += 1
                if len(block_start):
                    ticks[n - 1] = nearest_period(pixel_ticks(words[j]), block_first[b], PIXEL_PERIOD)
                break
        left -= size
        i += size
    state[0], state[1], state[2] = n, left, b
