"""What is added up while a recording comes in: counts, moments and virtual detectors of each position, and the pattern.

All are sums over hits, in integers. So hits may come in any order, and what was placed wrongly can be taken back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.events.source import CompactHits, Hits
from rsciio_tpx3.exceptions import LimitError
from rsciio_tpx3.scan.scan import place_hits
from rsciio_tpx3.scan.timetable import make_timetable
from rsciio_tpx3.utils.compiled import njit
from rsciio_tpx3.utils.integers import is_whole

if TYPE_CHECKING:
    from rsciio_tpx3.scan.scan import Scan

__all__ = ["MOST_BYTES", "MOST_DETECTORS", "Sums"]

MOST_DETECTORS = 32
MOST_BYTES = 1 << 31
"""Memory that the sums may take."""

_COUNTS, _SUM_Y, _SUM_X, _DETECTORS = range(4)  # columns of the table of positions
_Y_AT, _X_AT, _SIDE = np.uint64(48), np.uint64(32), np.uint64(0xFFFF)


class Sums:
    """Sums of the hits at each scan position, and of all hits at positions in each pixel.

    Parameters
    ----------
    sig_shape : tuple of int
        Detector ``(height, width)``.
    n_positions : int

    Attributes
    ----------
    pattern : numpy.ndarray of int64, shape (height * width,)
        Hits in each pixel, of all positions.
    outside : int
        Hits without a position.
    """

    def __init__(self, sig_shape: tuple[int, int], n_positions: int = 0) -> None:
        height, width = sig_shape
        self.sig_shape = sig_shape
        y, x = np.divmod(np.arange(height * width, dtype=np.uint64), np.uint64(width))
        # where a pixel lies and which detectors have it: one read from memory for each hit
        self._pixels = (y << _Y_AT) | (x << _X_AT)
        self._table = np.zeros((n_positions, _DETECTORS), np.int64)
        self.pattern = np.zeros(height * width, np.int64)
        self.outside = 0

    @property
    def n_positions(self) -> int:
        return len(self._table)

    @property
    def n_detectors(self) -> int:
        return self._table.shape[1] - _DETECTORS

    @property
    def counts(self) -> np.ndarray:
        """Hits at each position: int64, shape (n_positions,)."""
        return self._table[:, _COUNTS]

    @property
    def moments(self) -> np.ndarray:
        """Sums of the rows and of the columns of the hits at each position: int64, shape (n_positions, 2), (y, x)."""
        return self._table[:, _SUM_Y : _SUM_X + 1]

    def detector(self, number: int) -> np.ndarray:
        """Hits in a virtual detector at each position: int64, shape (n_positions,)."""
        return self._table[:, _DETECTORS + number]

    def resize(self, n_positions: int) -> None:
        """Make room for more positions, as when another frame begins."""
        if n_positions != self.n_positions:
            self._refuse(n_positions, self.n_detectors)
            table = np.zeros((n_positions, self._table.shape[1]), np.int64)
            n = min(n_positions, self.n_positions)
            table[:n] = self._table[:n]
            self._table = table

    def add_detector(self, mask: np.ndarray) -> int:
        """Add a virtual detector; its number. It sees the hits that are added from now on.

        Parameters
        ----------
        mask : numpy.ndarray of bool, shape (height, width)
        """
        if self.n_detectors == MOST_DETECTORS:
            raise LimitError(f"There are {MOST_DETECTORS} virtual detectors already, which are as many as can be.")
        self._refuse(self.n_positions, self.n_detectors + 1)
        self._table = np.concatenate([self._table, np.zeros((self.n_positions, 1), np.int64)], axis=1)
        self.move_detector(self.n_detectors - 1, mask)
        return self.n_detectors - 1

    def move_detector(self, number: int, mask: np.ndarray) -> None:
        """Give a virtual detector another mask, and begin its sums anew."""
        mask = np.asarray(mask)
        if mask.shape != self.sig_shape or mask.dtype != bool:
            raise ValueError(
                f"mask: expected an array of bool of shape {self.sig_shape} (y, x), got {mask.dtype} of {mask.shape}."
            )
        bit = np.uint64(1) << np.uint64(number)
        self._pixels = (self._pixels & ~bit) | (mask.ravel().astype(np.uint64) << np.uint64(number))
        self.detector(number)[:] = 0

    def clear(self) -> None:
        """Begin anew, with the same detectors."""
        self._table[:] = 0
        self.pattern[:] = 0
        self.outside = 0

    def _refuse(self, n_positions: int, n_detectors: int) -> None:
        needed = 8 * n_positions * (_DETECTORS + n_detectors)
        if not is_whole(n_positions) or needed > MOST_BYTES:
            raise LimitError(
                f"Sums of {n_positions:,} positions with {n_detectors} virtual detectors take {needed / 2**30:.1f} "
                f'GiB, more than {MOST_BYTES / 2**30:.0f}. Add frames up (frames="sum"), or use fewer detectors.'
            )

    def add(self, hits: Hits | CompactHits, scan: Scan, sign: int = 1, only: int | None = None) -> None:
        """Add hits, or take them back.

        Parameters
        ----------
        hits : Hits or CompactHits
        scan : Scan
        sign : {1, -1}
        only : int, optional
            Add to this virtual detector alone.
        """
        if len(scan.start) == 0:
            return
        table = None
        if isinstance(hits, CompactHits):
            table = make_timetable(scan, hits.origin, hits.step, hits.span, most=2 * len(hits.when) + 64)
        first, last = (0, self.n_detectors) if only is None else (only, only + 1)
        whole = only is None
        if table is None or isinstance(hits, Hits):
            toa, pixel = hits.toa_and_pixel()
            position = np.empty(len(toa), np.int64)
            place_hits(toa, *scan.columns(), position)
            outside = _add_placed(position, pixel, self._pixels, self._table, self.pattern, sign, first, last, whole)
        else:
            outside = _add_timed(
                hits.when, hits.pixel, table.begin, table.cell, table.shift, table.position,
                self._pixels, self._table, self.pattern, sign, first, last, whole,
            )  # fmt: skip
        if whole:
            self.outside += outside


@njit(nogil=True, cache=True, inline="always")
def _add_one(entry: np.uint64, row: np.ndarray, sign: int, first: int, last: int, whole: bool) -> None:
    if whole:
        row[_COUNTS] += sign
        row[_SUM_Y] += sign * np.int64(entry >> _Y_AT)
        row[_SUM_X] += sign * np.int64((entry >> _X_AT) & _SIDE)
    for d in range(first, last):
        row[_DETECTORS + d] += sign * np.int64((entry >> np.uint64(d)) & np.uint64(1))


@njit(nogil=True, cache=True)
def _add_placed(
    position: np.ndarray,
    pixel: np.ndarray,
    pixels: np.ndarray,
    table: np.ndarray,
    pattern: np.ndarray,
    sign: int,
    first: int,
    last: int,
    whole: bool,
) -> int:
    """Add hits at positions; negative ones are outside, and counted."""
    outside = 0
    for i in range(len(position)):
        p = position[i]
        if p < 0 or p >= len(table):
            outside += sign
            continue
        if whole:
            pattern[pixel[i]] += sign
        _add_one(pixels[pixel[i]], table[p], sign, first, last, whole)
    return outside


@njit(nogil=True, cache=True)
def _add_timed(
    when: np.ndarray,
    pixel: np.ndarray,
    begin: np.ndarray,
    cell: np.ndarray,
    shift: int,
    position: np.ndarray,
    pixels: np.ndarray,
    table: np.ndarray,
    pattern: np.ndarray,
    sign: int,
    first: int,
    last: int,
    whole: bool,
) -> int:
    """The same by a timetable, see `rsciio_tpx3.scan.timetable`; what is no hit of the stretch is passed over."""
    bits, one = np.uint32(shift), np.uint32(1)
    outside = 0
    end = np.uint32(len(position) - 1)  # the interval after the stretch
    for i in range(len(when)):
        k = np.uint32(cell[np.uint32(when[i]) >> bits])
        k += when[i] >= begin[k + one]
        while when[i] >= begin[k + one]:
            k += one
        p = position[k]
        if p < 0 or p >= len(table):
            outside += sign * (k != end)
            continue
        if whole:
            pattern[pixel[i]] += sign
        _add_one(pixels[pixel[i]], table[p], sign, first, last, whole)
    return outside
