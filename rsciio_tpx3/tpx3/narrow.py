"""What of a recording's index a task takes along when it travels to another process.

The table of blocks is 0.1 % of the file. A task needs those of its own time, and needs them coarser
than the search by time does: neighbours are joined as long as one read serves them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rsciio_tpx3.utils.clock import PIXEL_PERIOD

__all__ = ["blocks_between", "joined"]

_MOST_WORDS = 1 << 18  # of a joined block: as much as is read at a time


def blocks_between(tables: Any, spans: Iterable[tuple[int, int]]) -> np.ndarray:
    """Blocks that can hold hits of some spans of time, in order, each once.

    Parameters
    ----------
    tables : blocks with what the search by time needs
        ``blocks``, ``earliest_from`` and ``latest_until`` of a `Tpx3Source`.
    spans : sequence of tuple of int
        Half-open.
    """
    blocks = tables.blocks
    keep = np.zeros(len(blocks), bool)
    for start, stop in spans:
        low = int(np.searchsorted(tables.latest_until, start, "left"))
        high = int(np.searchsorted(tables.earliest_from, stop, "left"))
        near = blocks[low:high]
        keep[low:high] |= (near["first"] + near["high"] >= start) & (near["first"] + near["low"] < stop)
    return blocks[keep]


def joined(blocks: np.ndarray, borders: Sequence[int] = ()) -> np.ndarray:
    """Join blocks that follow each other in one file and lie near in time.

    What is decoded from the result is the same: a block's packets are read in one go from where it
    starts, and a hit's time is the one nearest to the block's first hit.

    Parameters
    ----------
    blocks : numpy.ndarray of `stream.BLOCK`
        In absolute time, as after `unwrap.place_in_time`.
    borders : sequence of int
        First words of the files of the acquisition.

    Returns
    -------
    numpy.ndarray of `stream.BLOCK`
        Its ``last`` means nothing any more: it served to place blocks in time.
    """
    if len(blocks) < 2:
        return blocks.copy()
    apart = blocks["start"][1:] != (blocks["start"] + blocks["n_words"])[:-1]
    apart |= np.diff(blocks["start"] // _MOST_WORDS) != 0
    apart |= np.isin(blocks["start"][1:], borders)
    begins = np.concatenate([[0], np.flatnonzero(apart) + 1])
    groups = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(blocks))))
    low = blocks["first"] + blocks["low"] - blocks["first"][begins][groups]
    high = blocks["first"] + blocks["high"] - blocks["first"][begins][groups]
    # hits of one block lie within a quarter of their clock's period: where a group spans more, it stays apart
    wide = np.maximum.reduceat(np.maximum(high, -low), begins) > PIXEL_PERIOD // 4
    return _sums(blocks, np.union1d(begins, np.flatnonzero(wide[groups])))


def _sums(blocks: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """One block for each group of neighbours that begins at these numbers."""
    ends = np.append(begins[1:], len(blocks))
    groups = np.repeat(np.arange(len(begins)), ends - begins)
    whole = blocks[begins].copy()
    offset = blocks["first"] - whole["first"][groups]
    whole["n_words"] = np.add.reduceat(blocks["n_words"], begins)
    whole["n_hits"] = np.add.reduceat(blocks["n_hits"], begins)
    whole["low"] = np.minimum.reduceat(offset + blocks["low"], begins)
    whole["high"] = np.maximum.reduceat(offset + blocks["high"], begins)
    return whole
