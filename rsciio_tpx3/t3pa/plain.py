"""Blocks of good rows in one pass each: hits and known service rows, in order, with no rollover.

Almost all blocks are such. What is neither is left to `rsciio_tpx3.t3pa.rows` and arrays of NumPy, which tell what it
is; both give the same for a block that both can read. Columns are taken as they lie in the file, of any integer type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rsciio_tpx3.t3pa.rows import (
    COUNTS,
    FAR_STEPS,
    HIT,
    ONE_CHIP,
    SERVICE,
    add_neighbours,
    add_service,
    is_good,
    kind_of,
)
from rsciio_tpx3.utils.clock import COARSE_TICKS, PIXEL_TICKS, nearest_period
from rsciio_tpx3.utils.compiled import njit

if TYPE_CHECKING:
    from rsciio_tpx3.t3pa.records import Columns


__all__ = ["Survey", "plain_hits", "steady_shift", "survey"]

_SECOND = 40_000_000  # steps of 25 ns: rows are out of order by up to a third of it


class Survey(NamedTuple):
    """What a block of good rows holds; times in ticks, before its rollovers are added.

    Attributes
    ----------
    counts : numpy.ndarray of int64
        As of `rsciio_tpx3.t3pa.rows.judged`.
    largest_pixel, largest_toa, last_toa : int
        Of its hits, as in the file.
    first, last, least, most : int
        Coarse ticks of the first, the last, the earliest and the latest hit.
    low, high : int
        Earliest and latest time with its fine part.
    """

    counts: np.ndarray
    largest_pixel: int
    largest_toa: int
    last_toa: int
    first: int
    last: int
    least: int
    most: int
    low: int
    high: int


def survey(
    rows: Columns, own: slice, most_pixel: int, by_chip: bool, packed: bool, last_toa: int | None
) -> Survey | None:
    """The `Survey` of a stretch of rows, or None where a row is odd, time leaps or goes back, or there is no hit.

    Parameters
    ----------
    rows : rsciio_tpx3.t3pa.records.Columns
    own : slice
    most_pixel, by_chip, packed
        As in `rsciio_tpx3.t3pa.rows.judged`.
    last_toa : int or None
        Of the hit before.
    """
    counts, seen = np.zeros(len(COUNTS), np.int64), np.zeros(len(Survey._fields) - 1, np.int64)
    before = -1 if last_toa is None else last_toa
    if not _survey(*_columns(rows, own), most_pixel, by_chip, packed, before, counts, seen):
        return None
    return Survey(counts, *seen.tolist())


def plain_hits(
    rows: Columns, own: slice, most_pixel: int, by_chip: bool, packed: bool, table: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int, int] | None:
    """Hits of a stretch of rows with times before the rollovers are added, or None where time leaps.

    Parameters
    ----------
    rows, own, most_pixel, by_chip, packed
        As in `survey`.
    table : numpy.ndarray of int32
        Flat pixel of each matrix index. Hits beyond it are excluded.

    Returns
    -------
    pixel, toa, tot : numpy.ndarray of int32, int64 and uint16, shape (n,)
    first, least, most : int
        As in `Survey`.
    """
    n = own.stop - own.start
    out = np.empty(n, np.int32), np.empty(n, np.int64), np.empty(n, np.uint16)
    seen = np.zeros(3, np.int64)
    n_hits = _take(*_columns(rows, own), most_pixel, by_chip, packed, table, *out, seen)
    return None if n_hits < 0 else (*(column[:n_hits] for column in out), *seen.tolist())


def steady_shift(first: int, least: int, most: int, bits: int, reference: int) -> int | None:
    """Ticks to add to all times of a block; None where the clock may have started again within it.

    Parameters
    ----------
    first, least, most : int
        As in `Survey`.
    bits : int
        Of the clock.
    reference : int
        Ticks of the hit before, without rollovers.
    """
    if bits == 64:
        return 0
    period = (1 << bits) * COARSE_TICKS
    # what holds for the first hit holds for all, and none is from before zero
    return max(nearest_period(first, reference, period) - first, 0) if most - least < period // 2 else None


def _columns(rows: Columns, own: slice) -> list[np.ndarray]:
    return [getattr(rows, name)[own] for name in ("pixel", "toa", "tot", "ftoa", "overflow")]


@njit(nogil=True, cache=True)
def _survey(
    pixels: np.ndarray,
    toas: np.ndarray,
    tots: np.ndarray,
    ftoas: np.ndarray,
    overflows: np.ndarray,
    most_pixel: int,
    by_chip: bool,
    packed: bool,
    last_toa: int,
    counts: np.ndarray,
    seen: np.ndarray,
) -> bool:
    largest_pixel, n_hits, last_pixel, before_row = np.int64(-1), 0, np.int64(-1), np.int64(-1)
    first, least, most, low, high = np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for i in range(len(pixels)):
        pixel, toa, tot, ftoa = np.int64(pixels[i]), np.int64(toas[i]), np.int64(tots[i]), np.int64(ftoas[i])
        overflow = np.int64(overflows[i])
        # A leap is a damaged time or a rollover: `rows.judged` looks at the rows around it to tell which.
        if i > 0 and abs(toa - before_row) > FAR_STEPS:
            return False
        before_row = toa
        good = is_good(pixel, toa, tot, ftoa, most_pixel)
        if not (good and overflow == 0 and pixel > 0):  # by far the most are
            kind = kind_of(pixel, toa, tot, ftoa, overflow, good, by_chip, packed)
            if kind == SERVICE:
                counts[SERVICE] += 1
                add_service(pixel, counts)
                continue
            if kind != HIT:
                return False
        # Further back than rows are out of order.
        if toa < last_toa - _SECOND:
            return False
        # The fine time counts from the hit to the next coarse step: it is taken off.
        ticks = toa * COARSE_TICKS - ftoa * PIXEL_TICKS
        if n_hits == 0:
            first = least = most = toa
            low = high = ticks
        else:
            add_neighbours(pixel, toa, last_pixel, last_toa, counts)
            least, most, low, high = min(least, toa), max(most, toa), min(low, ticks), max(high, ticks)
        n_hits += 1
        counts[8] += pixel >= ONE_CHIP
        largest_pixel = max(largest_pixel, pixel)
        last_pixel, last_toa = pixel, toa
    # In the order of `Survey`, without its counts.
    counts[HIT] = n_hits
    seen[0], seen[1], seen[2] = largest_pixel, most, last_toa
    seen[3], seen[4] = first * COARSE_TICKS, last_toa * COARSE_TICKS
    seen[5], seen[6], seen[7], seen[8] = least * COARSE_TICKS, most * COARSE_TICKS, low, high
    return n_hits > 0


@njit(nogil=True, cache=True)
def _take(
    pixels: np.ndarray,
    toas: np.ndarray,
    tots: np.ndarray,
    ftoas: np.ndarray,
    overflows: np.ndarray,
    most_pixel: int,
    by_chip: bool,
    packed: bool,
    table: np.ndarray,
    out_pixel: np.ndarray,
    out_toa: np.ndarray,
    out_tot: np.ndarray,
    seen: np.ndarray,
) -> int:
    n_hits, before_row = 0, np.int64(-1)
    first, least, most = np.int64(0), np.int64(0), np.int64(0)
    for i in range(len(pixels)):
        pixel, toa, tot, ftoa = np.int64(pixels[i]), np.int64(toas[i]), np.int64(tots[i]), np.int64(ftoas[i])
        overflow = np.int64(overflows[i])
        # The same limit as in `_survey`, and before anything is written for the row.
        if i > 0 and abs(toa - before_row) > FAR_STEPS:
            return -1
        before_row = toa
        # By far the most rows pass without a call of `kind_of`.
        good = is_good(pixel, toa, tot, ftoa, most_pixel)
        plain = good and overflow == 0 and pixel > 0
        if not plain and kind_of(pixel, toa, tot, ftoa, overflow, good, by_chip, packed) != HIT:
            continue
        if pixel >= len(table):
            if by_chip:
                return -1
            continue
        if n_hits == 0:
            first = least = most = toa
        least, most = min(least, toa), max(most, toa)
        out_pixel[n_hits], out_tot[n_hits] = table[pixel], tot
        out_toa[n_hits] = toa * COARSE_TICKS - ftoa * PIXEL_TICKS
        n_hits += 1
    seen[0], seen[1], seen[2] = first * COARSE_TICKS, least * COARSE_TICKS, most * COARSE_TICKS
    return n_hits
