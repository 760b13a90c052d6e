"""Pauses whose length the recording cannot tell: a clock may have gone round in them, and none tells how often.

Hits go round every 26.8 s. Where nothing at all is recorded for seconds, although hits come much more often otherwise,
and no wider clock stands on both sides, the pause may be longer by any number of turns.
"""

import numpy as np

from rsciio_tpx3.utils.clock import PIXEL_PERIOD, TICKS_PER_SECOND

__all__ = ["SHORTEST", "uncertain_pauses"]

SHORTEST = 3 * TICKS_PER_SECOND
"""Shorter pauses are taken as they read: one of 27 s that reads so short is not to be expected."""

_UNUSUAL = 16  # times the mean step between hits: by chance once in ten million
_ENOUGH = 8  # times of a section that tell a mean step


def uncertain_pauses(
    starts: np.ndarray, ends: np.ndarray, counts: np.ndarray, wide: np.ndarray
) -> list[tuple[int, int]]:
    """Find pauses that may hide turns of the clock of hits.

    Parameters
    ----------
    starts, ends : numpy.ndarray of int64
        First and last time of what was recorded without a gap (blocks of hits), or twice the same (marks).
    counts : numpy.ndarray of int64
        Number of times in each.
    wide : numpy.ndarray of bool
        Which of them tell the turns.

    Returns
    -------
    list of (int, int)
        When each begins, and how long it reads, in ticks.
    """
    order = np.argsort(starts, kind="stable")
    starts, until = starts[order], np.maximum.accumulate(ends[order])
    gaps = starts[1:] - until[:-1]
    at = np.flatnonzero(gaps > SHORTEST)
    if len(at) == 0:
        return []
    bounds = np.concatenate([[0], at + 1])
    anchored = np.logical_or.reduceat(wide[order], bounds)
    mean = _mean_steps(np.add.reduceat(counts[order], bounds), until[np.append(at, -1)] - starts[bounds])
    known_before = np.logical_or.accumulate(anchored)[:-1]
    known_after = np.logical_or.accumulate(anchored[::-1])[::-1][1:]
    # what lies between two that are reported has room to move only in a pause of a whole turn
    room = (gaps[at] >= PIXEL_PERIOD) & ~(anchored[:-1] & anchored[1:])
    unusual = (gaps[at] > _UNUSUAL * np.maximum(mean[:-1], mean[1:])) | (gaps[at] > PIXEL_PERIOD // 2)
    found = at[unusual & (room | ~known_before | ~known_after)]
    return [(int(until[i]), int(gaps[i])) for i in found]


def _mean_steps(n: np.ndarray, span: np.ndarray) -> np.ndarray:
    """Mean step between the times of each section; those of few times take the most of the others."""
    mean = np.where(n >= _ENOUGH, span / np.maximum(n - 1, 1), -1.0)
    return np.where(mean < 0, mean.max(), mean)
