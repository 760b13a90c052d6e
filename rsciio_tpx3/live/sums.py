"""What is added up while a recording comes in: counts, moments and virtual detectors of each position, and the pattern.

All are sums over hits, in integers. So hits may come in any order, and what was placed wrongly can be taken back.
Memory does not grow with the number of frames: the oldest are held as their sum, in which late hits find their place.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from rsciio_tpx3.events.source import CompactHits, Hits
from rsciio_tpx3.exceptions import LimitError
from rsciio_tpx3.live.sum_loops import add_up, add_words, count_words, take_apart, take_counts
from rsciio_tpx3.scan.scan import place_hits
from rsciio_tpx3.scan.timetable import NOWHERE, Timetable, count_entries, make_timetable
from rsciio_tpx3.tpx3.decode import PackedHits
from rsciio_tpx3.utils.clock import PIXEL_TICKS
from rsciio_tpx3.utils.threads import spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rsciio_tpx3.scan.scan import Scan

SomeHits: TypeAlias = Hits | CompactHits | PackedHits

__all__ = ["MOST_BYTES", "MOST_DETECTORS", "SINGLE_BYTES", "Sums"]

MOST_DETECTORS = 32
MOST_BYTES = 1 << 31
"""Memory that the sums may take."""

SINGLE_BYTES = 1 << 26
"""Memory of frames that are held one by one, where these are more than the last two."""

_COUNTS, _SUM_Y, _SUM_X, _DETECTORS = range(4)  # columns of the table of positions

_MOST_HITS = 1 << 17  # of a piece, so that sums of a stay fit into 32 bits, see `sum_loops`

# Each pixel has one word, so that a hit needs one look into memory: bits of its detectors above, and below a count of
# hits, which is moved elsewhere when it is full. The fewer bytes, the more of the table stays in the cache: 16 bits of
# each pixel of a quad are 512 KiB, and with 32 bits a hit took 2 ns longer.
_NARROW, _WIDE = (np.uint16, 8), (np.uint64, 32)
_NARROW_DETECTORS = 8


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
    first : int
        First position that is held by itself; those before are of frames that were added up.
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
    >>> sums.counts.held.shape, sums.pattern.shape
    ((77,), (221,))
    """

    def __init__(self, sig_shape: tuple[int, int], n_positions: int = 0, only_counts: bool = False) -> None:
        self.only_counts = only_counts
        n_pixels = sig_shape[0] * sig_shape[1]
        self.sig_shape = sig_shape
        self._refuse(n_positions, 0)
        self._bits = _NARROW[1]
        self._lanes = [_Lane(np.zeros(n_pixels, _NARROW[0]), self._bits)]
        self._pattern = np.zeros(n_pixels, np.int64)  # but for what the lanes hold
        self._lock = threading.Lock()
        self._table = np.zeros((n_positions, _DETECTORS), np.int64)
        self.first = self._field = 0
        self.outside = 0

    @property
    def n_positions(self) -> int:
        return self.first + len(self._table) - self._field

    @property
    def n_detectors(self) -> int:
        return self._table.shape[1] - _DETECTORS

    @property
    def pattern(self) -> np.ndarray:
        """Hits in each pixel, of all positions: int64, shape (height * width,)."""
        self.refuse_more("the sum pattern")
        return sum((lane.counted for lane in self._lanes), start=self._pattern)

    @property
    def labels(self) -> np.ndarray:
        """A bit for each virtual detector of every pixel: uint32, shape (height * width,)."""
        return self._lanes[0].labels.astype(np.uint32)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that they take."""
        return self._table.nbytes + self._pattern.nbytes + sum(lane.nbytes for lane in self._lanes)

    @property
    def placed(self) -> int:
        """Hits at positions."""
        return int(self._table[:, _COUNTS].sum())

    @property
    def counts(self) -> Sum:
        """Hits at each position: int64, shape (n_positions - first,)."""
        return self._sum(_COUNTS)

    @property
    def moments(self) -> Sum:
        """Sums of the rows and of the columns of the hits: int64, shape (n_positions - first, 2), (y, x)."""
        self.refuse_more("the centre of mass")
        return self._sum(slice(_SUM_Y, _SUM_X + 1))

    def detector(self, number: int) -> Sum:
        """Hits in a virtual detector at each position: int64, shape (n_positions - first,)."""
        return self._sum(_DETECTORS + number)

    def _sum(self, columns: int | slice) -> Sum:
        return Sum(self.first, self._table[self._field :, columns], self._table[: self._field, columns])

    def refuse_more(self, what: str) -> None:
        """Raise ValueError where counts alone are added up."""
        if self.only_counts:
            raise ValueError(f"{what}: only_counts=True adds up counts per position and nothing else. Leave it out.")

    def resize(self, n_positions: int) -> None:
        """Make room for more positions, as when another frame begins; not for fewer than `first`."""
        if n_positions != self.n_positions:
            n = n_positions - self.first
            self._refuse(self._field + n, self.n_detectors)
            held = self._table[self._field :][:n]
            self._replace(self._table[: self._field], held, n)

    def add_up_frames(self, field: int, stop: int) -> None:
        """Add up the frames before the position `stop`, and give their memory back; the sum pattern has them anyway.

        Parameters
        ----------
        field : int
            Positions of a frame: the same at each call.
        stop : int
            A multiple of it; `n_positions` becomes as much at least.
        """
        if stop <= self.first:
            return
        older, held = self._table[: self._field], self._table[self._field :]
        if not self._field:
            older = np.zeros((field, self._table.shape[1]), np.int64)
        n = min(stop - self.first, len(held))
        for begin in range(0, n, field):
            frame = held[begin:n][:field]
            older[: len(frame)] += frame
        self.first, self._field = stop, field
        self._replace(older, held[n:], len(held) - n)

    def _replace(self, older: np.ndarray, held: np.ndarray, n: int) -> None:
        """Another table: positions of the frames that are added up, and `n` others, of which some have sums."""
        table = np.zeros((len(older) + n, self._table.shape[1]), np.int64)
        table[: len(older)] = older
        table[len(older) : len(older) + len(held)] = held
        self._table = table

    def single_bytes(self, n_positions: int) -> int:
        """Bytes of memory that the positions from `first` on take, where there are so many positions in all."""
        return 8 * (n_positions - self.first) * self._table.shape[1]

    def add_detector(self, mask: np.ndarray) -> int:
        """Add a virtual detector; its number. It sees the hits that are added from now on.

        Parameters
        ----------
        mask : numpy.ndarray of bool, shape (height, width)
        """
        self.refuse_more("a virtual detector")
        if self.n_detectors == MOST_DETECTORS:
            raise LimitError(f"There are {MOST_DETECTORS} virtual detectors already, which are as many as can be.")
        self._refuse(len(self._table), self.n_detectors + 1)
        self._check(mask)
        self._table = np.concatenate([self._table, np.zeros((len(self._table), 1), np.int64)], axis=1)
        if self.n_detectors > _NARROW_DETECTORS and self._bits == _NARROW[1]:
            self._bits = _WIDE[1]
            for lane in self._lanes:
                lane.widen(*_WIDE)
        self.move_detector(self.n_detectors - 1, mask)
        return self.n_detectors - 1

    def move_detector(self, number: int, mask: np.ndarray) -> None:
        """Give a virtual detector another mask, and begin its sums anew."""
        self._check(mask)
        for lane in self._lanes:
            lane.label(number, mask.ravel())
        self._table[:, _DETECTORS + number] = 0

    def _check(self, mask: np.ndarray) -> None:
        if mask.shape != self.sig_shape or mask.dtype != bool:
            raise ValueError(
                f"mask: expected an array of bool of shape {self.sig_shape} (y, x), got {mask.dtype} of {mask.shape}."
            )

    def clear(self) -> None:
        """Begin anew, with the same detectors."""
        self._table = np.zeros((0, self._table.shape[1]), np.int64)
        self.first = self._field = 0
        self._pattern[:] = 0
        self._lanes = [self._lanes[0].without_hits()]
        self.outside = 0

    def _refuse(self, n_positions: int, n_detectors: int) -> None:
        needed = 8 * n_positions * (_DETECTORS + n_detectors)
        if needed > MOST_BYTES:
            raise LimitError(
                f"Sums of {n_positions:,} positions with {n_detectors} virtual detectors take {needed / 2**30:.1f} "
                f"GiB, more than {MOST_BYTES / 2**30:.0f}. Use fewer detectors."
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
        lanes = self._lanes
        while len(lanes) < len(parts):
            lanes.append(lanes[0].without_hits())
        if sign < 0 or only is not None:
            lanes = [lane.without_hits() for lane in lanes[: len(parts)]]

        def work(number: int) -> None:
            for hits in parts[number]:
                self._add_piece(hits, scan, sign, only, lanes[number])

        for _ in spread(work, list(range(len(parts))), len(parts)):
            pass
        if sign < 0 and only is None:
            for lane in lanes:
                self._pattern -= lane.counted

    def _rows(self, position: np.ndarray) -> np.ndarray:
        """Where positions are in the table."""
        if not self._field:
            return position
        return np.where(position < self.first, position % self._field, position - self.first + self._field)

    def _add_piece(self, hits: SomeHits, scan: Scan, sign: int, only: int | None, lane: _Lane) -> None:
        hits, table = _with_table(hits, scan)
        inside = (table.position >= 0) & (table.position < self.n_positions)
        rows = self._rows(table.position)
        # the last interval of a timetable holds what does not belong to this stretch
        n = len(inside) - 1
        if self.only_counts:
            entries = np.zeros((len(inside), 2), np.int64)
            if isinstance(hits, PackedHits):
                where = hits.words, hits.blocks, hits.rules, hits.first, hits.span
                count_words(*where, table.begin, table.cell, table.shift, entries)
            else:
                count_entries(hits.when, table.begin, table.cell, table.shift, entries)
            with self._lock:
                self.outside += take_counts(rows[:n], inside, entries, self._table, sign)
            return
        more = max(self.n_detectors - 1, 0)
        sums = np.zeros((len(inside), 2 + more // 2 + more % 2), np.uint64)
        to = table.begin, table.cell, table.shift, inside, *lane.columns, self.sig_shape[1], sums
        if isinstance(hits, PackedHits):
            add_words(hits.words, hits.blocks, hits.rules, hits.first, hits.span, *to)
        else:
            add_up(hits.when, hits.pixel, *to)
        first, last = (0, self.n_detectors) if only is None else (only, only + 1)
        with self._lock:
            outside = take_apart(rows[:n], inside, sums, self._table, sign, first, last, only is None)
            self.outside += outside if only is None else 0


@dataclass(frozen=True)
class Sum:
    """One of the sums.

    Parameters
    ----------
    first : int
        The first position that is held by itself.
    held : numpy.ndarray of int64, shape (n, ...)
        Of these positions; a view.
    older : numpy.ndarray of int64, shape (field, ...)
        Of each position of a frame, all frames before added up; empty where there are none. A view.
    """

    first: int
    held: np.ndarray
    older: np.ndarray


def _with_table(hits: SomeHits, scan: Scan) -> tuple[PackedHits | CompactHits, Timetable]:
    """Hits, and the positions in their stretch of time."""
    if isinstance(hits, PackedHits):
        if len(hits) < _MOST_HITS:
            table = make_timetable(scan, hits.first * PIXEL_TICKS, PIXEL_TICKS, hits.span, 2 * len(hits) + 64)
            if table is not None:
                return hits, table
        hits = hits.compact(np.empty(len(hits), np.uint64))
    if isinstance(hits, CompactHits) and len(hits) < _MOST_HITS:
        table = make_timetable(scan, hits.origin, hits.step, hits.span, most=2 * len(hits) + 64)
        if table is not None:
            return hits, table
    # each hit has a stay of its own: slow, and rare
    toa, pixel = hits.toa_and_pixel()
    position = np.full(len(toa) + 1, NOWHERE)
    place_hits(toa, *scan.columns(), position[:-1])
    when = np.arange(len(toa), dtype=np.int32)
    begin = np.append(np.arange(len(position), dtype=np.int32), np.iinfo(np.int32).max)
    width = hits.width
    return CompactHits(0, 1, len(toa), when, pixel, width), Timetable(begin, position, begin[:-1], 0)


class _Lane:
    """What one thread counts in each pixel.

    Parameters
    ----------
    pixels : numpy.ndarray of uint16 or uint64, shape (n_pixels,)
        Bits of virtual detectors, above `bits` bits that count hits.
    bits : int
    """

    def __init__(self, pixels: np.ndarray, bits: int) -> None:
        self._pixels, self._bits = pixels, bits
        self._full = np.zeros(len(pixels), np.int64)  # hits that the words had no room for

    @property
    def columns(self) -> tuple[np.ndarray, int, np.ndarray]:
        """As the loops take them."""
        return self._pixels, self._bits, self._full

    @property
    def nbytes(self) -> int:
        return self._pixels.nbytes + self._full.nbytes

    @property
    def counted(self) -> np.ndarray:
        """Hits in each pixel: int64, shape (n_pixels,)."""
        return self._full + (self._pixels & self._pixels.dtype.type((1 << self._bits) - 1)).astype(np.int64)

    @property
    def labels(self) -> np.ndarray:
        """A bit for each virtual detector of every pixel."""
        return self._pixels >> self._pixels.dtype.type(self._bits)

    def label(self, number: int, mask: np.ndarray) -> None:
        """Give a virtual detector other pixels."""
        word = self._pixels.dtype.type
        bit = word(number + self._bits)
        self._pixels &= ~(word(1) << bit)
        self._pixels |= mask.astype(word) << bit

    def widen(self, dtype: type, bits: int) -> None:
        """Take words of another type, with so many bits for hits."""
        labels, self._full = self.labels, self.counted
        self._pixels, self._bits = labels.astype(dtype) << dtype(bits), bits

    def without_hits(self) -> _Lane:
        """Another one with the same detectors."""
        bits = self._pixels.dtype.type(self._bits)
        return _Lane((self._pixels >> bits) << bits, self._bits)
