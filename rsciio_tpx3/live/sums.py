"""What is added up while a recording comes in: counts, moments and virtual detectors of each position, and the pattern.

All are sums over hits, in integers. So hits may come in any order, and what was placed wrongly can be taken back.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from rsciio_tpx3.events.source import CompactHits, Hits
from rsciio_tpx3.exceptions import LimitError
from rsciio_tpx3.scan.scan import place_hits
from rsciio_tpx3.scan.timetable import make_timetable
from rsciio_tpx3.tpx3.decode import PackedHits, compact_run, times_of_run
from rsciio_tpx3.tpx3.packets import header_chip, header_words
from rsciio_tpx3.utils.clock import PIXEL_STEPS, PIXEL_TICKS
from rsciio_tpx3.utils.compiled import njit, njit_inner
from rsciio_tpx3.utils.threads import spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rsciio_tpx3.scan.scan import Scan

SomeHits: TypeAlias = Hits | CompactHits | PackedHits

__all__ = ["MOST_BYTES", "MOST_DETECTORS", "Sums"]

MOST_DETECTORS = 32
MOST_BYTES = 1 << 31
"""Memory that the sums may take."""

_COUNTS, _SUM_Y, _SUM_X, _DETECTORS = range(4)  # columns of the table of positions

# Hits are added up for each stay of the beam at a position, two numbers in each 64-bit word: number and sum of rows;
# sum of columns and hits in the first detector; then two more detectors in each word. A stay in one piece of a
# recording has fewer than 2**17 hits, and a side fewer than 2**14 pixels.
_MOST_HITS = 1 << 17
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)

# Each pixel has one word, so that a hit needs one look into memory: bits of its detectors above, and below the hits
# that are not in the pattern yet. The fewer bytes, the more of the table stays in the cache.
_NARROW, _WIDE = (np.uint32, 24), (np.uint64, 32)
_NARROW_DETECTORS = 8

_TILE = 2048
"""Words that are decoded at a time: their times and pixels stay in the first cache, next to what they are added to."""


class Sums:
    """Sums of the hits at each scan position, and of all hits at positions in each pixel.

    Parameters
    ----------
    sig_shape : tuple of int
        Detector ``(height, width)``.
    n_positions : int
    only_counts : bool
        Count the hits at each position and nothing else, in half of the time.

    Attributes
    ----------
    outside : int
        Hits without a position.

    Raises
    ------
    LimitError
        If the sums would take more memory than `MOST_BYTES`.

    Examples
    --------
    >>> from rsciio_tpx3.live.sums import Sums
    >>> sums = Sums((13, 17), 77)
    >>> sums.counts.shape, sums.pattern.shape
    ((77,), (221,))
    """

    def __init__(self, sig_shape: tuple[int, int], n_positions: int = 0, only_counts: bool = False) -> None:
        self.only_counts = only_counts
        n_pixels = sig_shape[0] * sig_shape[1]
        self.sig_shape = sig_shape
        self._refuse(n_positions, 0)
        self._pixels, self._bits = np.zeros(n_pixels, _NARROW[0]), _NARROW[1]
        self._pattern = np.zeros(n_pixels, np.int64)
        self._n_recent = 0
        self._lock = threading.Lock()
        self._table = np.zeros((n_positions, _DETECTORS), np.int64)
        self.outside = 0

    @property
    def n_positions(self) -> int:
        return len(self._table)

    @property
    def n_detectors(self) -> int:
        return self._table.shape[1] - _DETECTORS

    @property
    def pattern(self) -> np.ndarray:
        """Hits in each pixel, of all positions: int64, shape (height * width,)."""
        self.refuse_more("the sum pattern")
        return self._pattern + self._counted(self._pixels)

    @property
    def labels(self) -> np.ndarray:
        """A bit for each virtual detector of every pixel: uint32, shape (height * width,)."""
        return (self._pixels >> self._pixels.dtype.type(self._bits)).astype(np.uint32)

    def _counted(self, pixels: np.ndarray) -> np.ndarray:
        """Hits in words of pixels."""
        return (pixels & pixels.dtype.type((1 << self._bits) - 1)).astype(np.int64)

    @property
    def placed(self) -> int:
        """Hits at positions."""
        return int(self.counts.sum())

    @property
    def counts(self) -> np.ndarray:
        """Hits at each position: int64, shape (n_positions,)."""
        return self._table[:, _COUNTS]

    @property
    def moments(self) -> np.ndarray:
        """Sums of the rows and of the columns of the hits at each position: int64, shape (n_positions, 2), (y, x)."""
        self.refuse_more("the centre of mass")
        return self._table[:, _SUM_Y : _SUM_X + 1]

    def detector(self, number: int) -> np.ndarray:
        """Hits in a virtual detector at each position: int64, shape (n_positions,)."""
        return self._table[:, _DETECTORS + number]

    def refuse_more(self, what: str) -> None:
        """Raise ValueError where counts alone are added up."""
        if self.only_counts:
            raise ValueError(f"{what}: only_counts=True adds up counts per position and nothing else. Leave it out.")

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
        self.refuse_more("a virtual detector")
        if self.n_detectors == MOST_DETECTORS:
            raise LimitError(f"There are {MOST_DETECTORS} virtual detectors already, which are as many as can be.")
        self._refuse(self.n_positions, self.n_detectors + 1)
        self._check(mask)
        self._table = np.concatenate([self._table, np.zeros((self.n_positions, 1), np.int64)], axis=1)
        if self.n_detectors > _NARROW_DETECTORS and self._bits == _NARROW[1]:
            labels, self._pattern = self.labels, self.pattern
            self._pixels, self._bits, self._n_recent = labels.astype(_WIDE[0]) << _HALF, _WIDE[1], 0
        self.move_detector(self.n_detectors - 1, mask)
        return self.n_detectors - 1

    def move_detector(self, number: int, mask: np.ndarray) -> None:
        """Give a virtual detector another mask, and begin its sums anew."""
        self._check(mask)
        word = self._pixels.dtype.type
        bit = word(number + self._bits)
        self._pixels &= ~(word(1) << bit)
        self._pixels |= mask.ravel().astype(word) << bit
        self.detector(number)[:] = 0

    def _check(self, mask: np.ndarray) -> None:
        if mask.shape != self.sig_shape or mask.dtype != bool:
            raise ValueError(
                f"mask: expected an array of bool of shape {self.sig_shape} (y, x), got {mask.dtype} of {mask.shape}."
            )

    def clear(self) -> None:
        """Begin anew, with the same detectors."""
        self._table[:] = 0
        self._pattern[:] = 0
        self._pixels = self._uncounted()
        self.outside = self._n_recent = 0

    def _refuse(self, n_positions: int, n_detectors: int) -> None:
        needed = 8 * n_positions * (_DETECTORS + n_detectors)
        if needed > MOST_BYTES:
            raise LimitError(
                f"Sums of {n_positions:,} positions with {n_detectors} virtual detectors take {needed / 2**30:.1f} "
                f'GiB, more than {MOST_BYTES / 2**30:.0f}. Add frames up (frames="sum"), or use fewer detectors.'
            )

    def add(self, hits: SomeHits, scan: Scan, sign: int = 1, only: int | None = None) -> None:
        """Add hits, or take them back.

        Parameters
        ----------
        hits : Hits, CompactHits or PackedHits
        scan : Scan
        sign : {1, -1}
        only : int, optional
            Add to this virtual detector alone.
        """
        self.add_all([[hits]], scan, sign, only)

    def add_all(self, parts: Sequence[Iterable[SomeHits]], scan: Scan, sign: int = 1, only: int | None = None) -> None:
        """Add the hits of several parts of a recording, each part by a thread of its own; as `add`."""
        if len(scan.start) == 0:
            return
        lanes = [_Lane(self._uncounted()) for _ in parts]
        if sign > 0 and only is None:
            lanes[0] = _Lane(self._pixels, self._n_recent)

        def work(number: int) -> None:
            for hits in parts[number]:
                self._add_window(hits, scan, sign, only, lanes[number])

        for _ in spread(work, list(range(len(parts))), len(parts)):
            pass
        for lane in lanes:
            if lane.pixels is self._pixels:
                self._n_recent = lane.n_hits
            elif only is None:
                self._flush(lane, sign)

    def _uncounted(self) -> np.ndarray:
        """Words of pixels without hits."""
        word = self._pixels.dtype.type
        return self._pixels & ~word((1 << self._bits) - 1)

    def _add_window(self, hits: SomeHits, scan: Scan, sign: int, only: int | None, lane: _Lane) -> None:
        most = (1 << self._bits) - 1
        if isinstance(hits, Hits) and len(hits) > most:
            for first in range(0, len(hits), most):
                self._add_window(hits.take(slice(first, first + most)), scan, sign, only, lane)
            return
        if lane.n_hits + len(hits) > most:
            with self._lock:
                self._flush(lane, 0 if only is not None else sign)
        lane.n_hits += len(hits)
        position, entries = self._entries(hits, scan, lane.pixels)
        inside = (position >= 0) & (position < self.n_positions)
        first, last = (0, self.n_detectors) if only is None else (only, only + 1)
        with self._lock:
            if only is None:
                self.outside += sign * int((entries[~inside, 0] >> _HALF).sum())
            if self.only_counts:
                _take_counts(position, inside, entries, self._table, sign)
            else:
                _take_apart(position, inside, entries, self._table, sign, first, last, only is None)

    def _flush(self, lane: _Lane, sign: int) -> None:
        """Move hits to the pattern, or away from it."""
        self._pattern += sign * self._counted(lane.pixels)
        lane.pixels &= ~lane.pixels.dtype.type((1 << self._bits) - 1)
        lane.n_hits = 0

    def _entries(self, hits: SomeHits, scan: Scan, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions of some stays, and the words that are added up for each; hits in `pixels` are counted."""
        table, more = None, max(self.n_detectors - 1, 0)
        n_words = 1 if self.only_counts else 2 + more // 2 + more % 2
        if isinstance(hits, PackedHits) and len(hits) < _MOST_HITS:
            most = 2 * len(hits) + 64
            table = make_timetable(scan, hits.first * PIXEL_TICKS, PIXEL_TICKS, hits.span, most)
        if isinstance(hits, PackedHits) and table is None:
            hits = hits.compact(np.empty(len(hits), np.uint64))
        if isinstance(hits, CompactHits) and len(hits) < _MOST_HITS:
            table = make_timetable(scan, hits.origin, hits.step, hits.span, most=2 * len(hits) + 64)
        if table is None:
            # each hit has a stay of its own: slow, and rare
            assert not isinstance(hits, PackedHits)
            toa, pixel = hits.toa_and_pixel()
            position = np.empty(len(toa), np.int64)
            place_hits(toa, *scan.columns(), position)
            when = np.arange(len(toa), dtype=np.int32)
            hits = CompactHits(0, 1, len(toa), when, pixel, self.sig_shape[1])
            begin, cell, shift = np.append(when, np.iinfo(np.int32).max), when, 0
        else:
            begin, cell, shift, position = table.begin, table.cell, table.shift, table.position
        entries = np.zeros((len(position), n_words), np.uint64)
        inside = (position >= 0) & (position < self.n_positions)
        where = begin, cell, shift, inside, pixels, self._bits, self.sig_shape[1], entries
        if isinstance(hits, PackedHits):
            _add_words(hits.words, hits.blocks, hits.rules, hits.first, hits.span, *where)
        else:
            assert isinstance(hits, CompactHits)
            _add_up(hits.when, hits.pixel, *where)
        # the last interval of a timetable holds what does not belong to this stretch
        n = len(position) if table is None else len(position) - 1
        return position[:n], entries[:n]


class _Lane:
    """What one thread adds to: words of pixels, and how many hits they hold."""

    def __init__(self, pixels: np.ndarray, n_hits: int = 0) -> None:
        self.pixels, self.n_hits = pixels, n_hits


@njit_inner(nogil=True, cache=True)
def _add_tile(
    when: np.ndarray,
    pixel: np.ndarray,
    begin: np.ndarray,
    cell: np.ndarray,
    shift: int,
    inside: np.ndarray,
    pixels: np.ndarray,
    count_bits: int,
    width: int,
    entries: np.ndarray,
) -> None:
    """Add hits up for each interval of a timetable, and count those at positions in each pixel.

    Parameters
    ----------
    when, pixel : numpy.ndarray of int32, shape (n,)
    begin, cell, shift
        Of a `rsciio_tpx3.scan.timetable.Timetable`.
    inside : numpy.ndarray of bool, shape (n_intervals,)
        Whether an interval has a position.
    pixels : numpy.ndarray of uint32 or uint64, shape (n_pixels,)
        Bits of detectors above the hits, for which there are `count_bits`.
    width : int
        Of the detector.
    entries : numpy.ndarray of uint64, shape (n_intervals, n_words)
        Added to. Where there is one word, hits alone are counted.
    """
    # unsigned places, since NumPy would count negative ones from the end; views of rows would cost more than the sums
    bits, one, one_hit = np.uint32(shift), np.uint32(1), np.uint64(1) << _HALF
    wide, n_words, more = np.uint64(width), np.uint64(entries.shape[1]), entries.shape[1] - 2
    flat = entries.reshape(-1)
    if more < 0:
        for i in range(len(when)):
            k = np.uint32(cell[np.uint32(when[i]) >> bits])
            k += when[i] >= begin[k + one]
            while when[i] >= begin[k + one]:
                k += one
            flat[k] += one_hit
        return
    below = np.uint64(count_bits)
    # a product instead of a division: exact, since pixels are below 2**28
    magic = np.uint64((1 << 40) // width + 1)
    for i in range(len(when)):
        # The interval. One step without a branch, since hardly any cell holds more than one border.
        k = np.uint32(cell[np.uint32(when[i]) >> bits])
        k += when[i] >= begin[k + one]
        while when[i] >= begin[k + one]:
            k += one
        p, to = np.uint64(pixel[i]), np.uint64(k) * n_words
        y = (p * magic) >> np.uint64(40)
        # The count of a pixel is in the low bits of its word, the detectors that it belongs to are above.
        word = np.uint64(pixels[p])
        pixels[p] = word + np.uint64(inside[k])
        label = word >> below
        # Two sums share a word: hits above rows, then columns above the first detector, then pairs of detectors.
        flat[to] += one_hit | y
        flat[to + np.uint64(1)] += ((p - y * wide) << _HALF) | (label & np.uint64(1))
        if more > 0:  # or a loop of no turns takes as long as all the rest
            for c in range(more):
                pair = label >> np.uint64(2 * c + 1)
                flat[to + np.uint64(c + 2)] += (pair & np.uint64(1)) | ((pair & np.uint64(2)) << np.uint64(31))


@njit(nogil=True, cache=True)
def _add_up(
    when: np.ndarray,
    pixel: np.ndarray,
    begin: np.ndarray,
    cell: np.ndarray,
    shift: int,
    inside: np.ndarray,
    pixels: np.ndarray,
    count_bits: int,
    width: int,
    entries: np.ndarray,
) -> None:
    """`_add_tile` of all hits at once."""
    _add_tile(when, pixel, begin, cell, shift, inside, pixels, count_bits, width, entries)


@njit(nogil=True, cache=True)
def _add_words(
    words: np.ndarray,
    blocks: np.ndarray,
    rules: np.ndarray,
    origin: int,
    span: int,
    begin: np.ndarray,
    cell: np.ndarray,
    shift: int,
    inside: np.ndarray,
    pixels: np.ndarray,
    count_bits: int,
    width: int,
    entries: np.ndarray,
) -> None:
    """Decode words and add up their hits, some at a time; the first arguments are those of `compact_blocks`."""
    half = np.int64(PIXEL_STEPS // 2)
    when, pixel = np.empty(_TILE, np.int32), np.empty(_TILE, np.int32)
    alone = entries.shape[1] == 1  # then hits are counted, wherever they are on the detector
    n = i = 0
    for b in range(len(blocks)):
        end = i + np.int64(blocks[b].n_words)
        chip, left = np.int64(blocks[b].chip), np.int64(blocks[b].left)
        first = blocks[b].first // PIXEL_TICKS
        nearest, back = half - first, first - half - origin
        while i < end:
            if left == 0:
                chip, left = header_chip(words[i]), header_words(words[i])
                i += 1
                continue
            size = min(left, end - i, _TILE - n)
            to = n + size
            if alone:
                times_of_run(words[i : i + size], rules[chip, 0], nearest, back, span, when[n:to])
            else:
                compact_run(words[i : i + size], rules[chip], nearest, back, span, when[n:to], pixel[n:to])
            left -= size
            i += size
            n = to
            if n == _TILE:
                _add_tile(when, pixel, begin, cell, shift, inside, pixels, count_bits, width, entries)
                n = 0
    _add_tile(when[:n], pixel[:n], begin, cell, shift, inside, pixels, count_bits, width, entries)


@njit(nogil=True, cache=True)
def _take_counts(position: np.ndarray, inside: np.ndarray, entries: np.ndarray, table: np.ndarray, sign: int) -> None:
    """`_take_apart` where hits alone were counted."""
    for k in range(len(position)):
        if inside[k]:
            table[position[k], _COUNTS] += sign * np.int64(entries[k, 0] >> _HALF)


@njit(nogil=True, cache=True)
def _take_apart(
    position: np.ndarray,
    inside: np.ndarray,
    entries: np.ndarray,
    table: np.ndarray,
    sign: int,
    first: int,
    last: int,
    whole: bool,
) -> None:
    """Add the numbers in the words of each stay to those of its position."""
    for k in range(len(position)):
        if not inside[k]:
            continue
        row = table[position[k]]
        if whole:
            row[_COUNTS] += sign * np.int64(entries[k, 0] >> _HALF)
            row[_SUM_Y] += sign * np.int64(entries[k, 0] & _LOW)
            row[_SUM_X] += sign * np.int64(entries[k, 1] >> _HALF)
        for d in range(first, last):
            word = entries[k, (d + 3) // 2 if d else 1] >> np.uint64(32 if d and d % 2 == 0 else 0)
            row[_DETECTORS + d] += sign * np.int64(word & _LOW)
