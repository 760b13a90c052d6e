"""What a row of a hit list is: a hit, a known service row, or something that cannot be either.

Sources: Advacam's Pixet manuals and public wiki (limits of the columns, rows around lost data), and a documentation of
719 real files (rows with the time of a trigger); see ``docs/formats/advacam.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.events.geometry import CHIP_SIZE
from rsciio_tpx3.utils.clock import COARSE_TICKS
from rsciio_tpx3.utils.compiled import njit

if TYPE_CHECKING:
    from rsciio_tpx3.t3pa.records import Columns


__all__ = [
    "COUNTS",
    "FAR_STEPS",
    "FIRST_ODD",
    "HIT",
    "MOST_BY_CHIP",
    "MOST_MATRIX",
    "ODD",
    "SERVICE",
    "UNKNOWN",
    "add_neighbours",
    "add_service",
    "is_good",
    "judged",
    "kind_of",
]

HIT, SERVICE, UNKNOWN, _IMPOSSIBLE, _FAR = range(5)
FIRST_ODD = UNKNOWN
ODD = (UNKNOWN, _IMPOSSIBLE, _FAR)
"""Kinds that are lost; they are the last ones, and the first of `COUNTS` are the kinds in order."""

COUNTS = (
    "hits",
    "service_rows",
    "rows_unknown",
    "rows_impossible",
    "rows_of_wrong_time",
    "gap_starts",
    "gap_ends",
    "chip_in_overflow",  # unknown rows whose Overflow is the number of the chip in the upper bits of the pixel
    "above_one_chip",  # hits beyond the pixels of one chip
    "neighbours_256",  # hits of one moment in rows below each other, if a matrix is 256 wide
    "neighbours_512",
)
"""What `judged` counts."""
_N_COUNTS = len(COUNTS)

MOST_MATRIX = 4 * CHIP_SIZE**2
"""Pixels of the largest detector whose matrix is one picture."""
MOST_BY_CHIP = 256 * CHIP_SIZE**2

_GAP_START, _GAP_END, _CORRUPTED = 0x74, 0x75, 0
_TRIGGER = 10
_CHIP_BITS = 16  # a chip has 2**16 pixels: the bits above number the chip
ONE_CHIP = CHIP_SIZE**2
_MOST_COARSE = (1 << 62) // COARSE_TICKS  # ToA in steps of 25 ns whose ticks fit into int64, with a bit to spare
_TOGETHER = 8  # steps of 25 ns: hits of one electron
# one time that is this far from those around it, which agree, is not theirs (1.7 s and 0.4 s)
FAR_STEPS, _NEAR_STEPS = 1 << 26, 1 << 24
_PERIODS = (1 << 28, 1 << 30)


def judged(
    rows: Columns, own: slice, most_pixel: int = MOST_MATRIX, by_chip: bool = False, packed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """What each row of a stretch is, and how many of each there are.

    Parameters
    ----------
    rows : Columns
    own : slice
        The stretch.
    most_pixel : int
        Pixels there can be.
    by_chip : bool
        The matrix index is that of a chip and of a pixel on it; Overflow may repeat the number of the chip.
    packed : bool
        Binary records, where one that is all zeros was never written.

    Returns
    -------
    kind : numpy.ndarray of uint8
        `HIT`, or something else.
    counts : numpy.ndarray of int64
        In the order of `COUNTS`.
    """
    columns = [
        getattr(rows, name)[own].astype(np.int64, copy=False) for name in ("pixel", "toa", "tot", "ftoa", "overflow")
    ]
    kind = np.empty(len(columns[0]), np.uint8)
    counts = np.zeros(_N_COUNTS, np.int64)
    _judge(*columns, most_pixel, by_chip, packed, kind, counts)
    return kind, counts


@njit(nogil=True, cache=True)
def _judge(
    pixel: np.ndarray,
    toa: np.ndarray,
    tot: np.ndarray,
    ftoa: np.ndarray,
    overflow: np.ndarray,
    most_pixel: int,
    by_chip: bool,
    packed: bool,
    kind: np.ndarray,
    counts: np.ndarray,
) -> None:
    n = len(pixel)
    # Each row by itself.
    leaps = False  # whether any time is far from the one before: mostly none is
    for i in range(n):
        leaps |= i > 0 and abs(toa[i] - toa[i - 1]) > FAR_STEPS
        plain = overflow[i] == 0 and pixel[i] > 0  # by far the most are
        good = is_good(pixel[i], toa[i], tot[i], ftoa[i], most_pixel)
        if plain and good:
            kind[i] = HIT
            continue
        kind[i] = kind_of(pixel[i], toa[i], tot[i], ftoa[i], overflow[i], good, by_chip, packed)
        if kind[i] == SERVICE:
            add_service(pixel[i], counts)
        elif kind[i] == UNKNOWN:
            counts[7] += (pixel[i] >> _CHIP_BITS) == overflow[i]
    # Then hits by the rows around them, whose kinds must be known by now.
    if leaps:
        for i in range(n):
            if kind[i] == HIT and _is_far(toa, kind, i):
                kind[i] = _FAR
    # Counts at the end, when no kind changes any more; neighbours are hits, whatever rows lie between.
    last = -1
    for i in range(n):
        counts[kind[i]] += 1
        if kind[i] == HIT:
            counts[8] += pixel[i] >= ONE_CHIP
            if last >= 0:
                add_neighbours(pixel[i], toa[i], pixel[last], toa[last], counts)
            last = i


@njit(nogil=True, cache=True)
def is_good(pixel: int, toa: int, tot: int, ftoa: int, most_pixel: int) -> bool:
    """Whether the numbers of a row are within the limits of a hit."""
    return 0 <= pixel < most_pixel and 0 <= toa <= _MOST_COARSE and 0 <= tot <= 1023 and 0 <= ftoa <= 31


@njit(nogil=True, cache=True)
def add_service(pixel: int, counts: np.ndarray) -> None:
    """Count a service row that tells of a gap."""
    counts[5] += pixel == _GAP_START
    counts[6] += pixel == _GAP_END


@njit(nogil=True, cache=True)
def add_neighbours(pixel: int, toa: int, last_pixel: int, last_toa: int, counts: np.ndarray) -> None:
    """Count a hit, compared with the one before it, by what it tells about the width of the matrix."""
    if abs(toa - last_toa) <= _TOGETHER:
        apart = abs(pixel - last_pixel)
        counts[9] += 255 <= apart <= 257
        counts[10] += 511 <= apart <= 513


@njit(nogil=True, cache=True)
def kind_of(pixel: int, toa: int, tot: int, ftoa: int, overflow: int, good: bool, by_chip: bool, packed: bool) -> int:
    """`HIT`, or what else a row is that has Overflow, pixel 0, or a number beyond the limits of a hit."""
    if overflow != 0:
        if overflow == _TRIGGER or (overflow == 1 and pixel in (_GAP_START, _GAP_END, _CORRUPTED)):
            return SERVICE
        if not (by_chip and (pixel >> _CHIP_BITS) == overflow):
            return UNKNOWN
    if packed and pixel == 0 and toa == 0 and tot == 0 and ftoa == 0:
        good = False
    return HIT if good else _IMPOSSIBLE


@njit(nogil=True, cache=True)
def _is_far(toa: np.ndarray, kind: np.ndarray, i: int) -> bool:
    """Whether the time of a hit is far from four hits around it that agree, and no rollover explains it."""
    n = len(toa)
    first = min(max(i - 2, 0), n - 5)
    if first < 0:
        return False
    neighbour = first if first != i else first + 1
    step = abs(toa[i] - toa[neighbour])
    if step <= FAR_STEPS:
        return False
    for k in range(first, first + 5):
        if k != i and (kind[k] != HIT or abs(toa[k] - toa[neighbour]) > _NEAR_STEPS):
            return False
    for period in _PERIODS:
        if abs(step - period) <= _NEAR_STEPS:
            return False
    return True
