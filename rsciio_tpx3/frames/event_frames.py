"""An event source joined with a scan: the `FrameSource` of every event format."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import normalize_token

from rsciio_tpx3.csr.build import csr_from_keys, key_type, pixel_bits, rows_from_keys
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.events.source import EventSource, Hits
from rsciio_tpx3.frames.source import FrameSource
from rsciio_tpx3.frames.weighted import weighted_rows
from rsciio_tpx3.scan.changes import difference
from rsciio_tpx3.scan.scan import OUTSIDE_NAMES, count_positions, place_hits
from rsciio_tpx3.scan.timetable import NOWHERE, add_counts, count_entries, make_timetable, position_keys
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND
from rsciio_tpx3.utils.least_recent import LeastRecent
from rsciio_tpx3.utils.progress import progress_bar
from rsciio_tpx3.utils.threads import Scratch, spread, thread_count

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import CompactHits
    from rsciio_tpx3.scan.scan import Scan
    from rsciio_tpx3.scan.timetable import Timetable


__all__ = ["EventFrames", "count_type"]

# A Timepix3 pixel is blind for its time over threshold and 475 ns of readout (Poikela et al. 2014,
# JINST 9 C05013), so a pixel cannot count faster than this.
_DEAD_TICKS = 475e-9 * TICKS_PER_SECOND
_PART_HITS = 1 << 21  # hits in work at once: 16 MB of times and pixels in 32 bits
_TABLE_SHARE = 2  # intervals in a timetable for each hit, at the most


def count_type(dwell: float, lines_per_row: int = 1) -> np.dtype:
    """Smallest unsigned type that holds what one pixel can count at one scan position, in `dwell` ticks per line."""
    most = 2 * (dwell / _DEAD_TICKS + 1) * lines_per_row
    return np.dtype(next(t for t in ("u1", "u2", "u4") if most <= np.iinfo(t).max or t == "u4"))


class EventFrames(FrameSource):
    """CSR rows of the positions of a scan, decoded from events where they are requested.

    Parameters
    ----------
    source : EventSource
    scan : Scan
    dtype : numpy.dtype
        Type of the values; unsigned for counts.
    values : {"counts", "tot", "energy"}
        What is added up at each pixel.
    """

    def __init__(self, source: EventSource, scan: Scan, dtype: np.dtype, values: str = "counts") -> None:
        self.source = source = EventSource.adopt(source)
        self.scan = scan
        self.dtype = np.dtype(dtype)
        self.values = values
        self.nav_shape = scan.nav_shape
        self.sig_shape = source.sig_shape
        self._counts: np.ndarray | None = None

    def __dask_tokenize__(self) -> Any:
        # everything but the counts, which follow from the rest
        state = {name: value for name, value in self.__dict__.items() if name != "_counts"}
        return ("rsciio_tpx3.EventFrames", *(normalize_token(state[name]) for name in sorted(state)))

    def row_events(self) -> np.ndarray | None:
        """Hits per position, where `count` has been called; see `FrameSource.row_events`."""
        return self._counts

    def frames(self, start: int, stop: int, merged: bool = True) -> CSRFrames:
        """CSR rows of the flat positions ``start`` to ``stop``; see `FrameSource.frames`.

        Counts that are not `merged` stand in the order of the stream, each hit by itself; see `frames.unmerged`.
        """
        height, width = self.sig_shape
        if self.values != "counts":
            # a sum may be zero: a hit without energy is not an entry, as everywhere else
            return CSRFrames(weighted_rows(self, start, stop), shape=(stop - start, height, width), prune=True)
        n_rows, n_pixels = stop - start, height * width
        n, dtype = 0, key_type(n_rows, n_pixels)
        with Scratch() as scratch:
            for run in self.scan.runs(start, stop):
                for hits in self.source.compact_windows(*run.span_of(start, stop)):
                    keys = scratch.array(n + len(hits.pixel), dtype)
                    n += _keys(hits, run, start, n_rows, pixel_bits(n_pixels), keys[n:])
            build = csr_from_keys if merged else rows_from_keys
            arrays = build(scratch.array(n, dtype), n_rows, n_pixels, self.dtype)
        return CSRFrames(arrays, shape=(stop - start, height, width))

    def shared_parts(self) -> tuple:
        """What all rows need: the tables of corrections; see `FrameSource`."""
        return self.source.shared_parts()

    def for_rows(self, start: int, stop: int) -> EventFrames:
        """The same for these rows alone, with the part of the index that they need; see `FrameSource`."""
        part = copy.copy(self)
        part.scan, spans = self.scan.for_rows(start, stop)
        part.source = self.source.narrowed(spans)
        part._counts = None
        return part

    def recall(self, counts: np.ndarray) -> None:
        """Take counts that `count` found earlier for the same source and scan."""
        self._counts = counts

    def count(
        self, show_progressbar: bool | None = None, threads: int | None = None
    ) -> tuple[np.ndarray, dict[str, int]]:
        """Count the hits of each position, and those outside the scan by reason.

        One pass over the recording, without sorting anything, by as many threads as `rsciio_tpx3.utils.threads` says;
        afterwards `row_events` knows.

        Returns
        -------
        counts : numpy.ndarray of int64, shape (n_positions,)
        outside : dict of str to int
            Reasons as in `rsciio_tpx3.scan.scan.OUTSIDE_NAMES`; zero where none.
        """
        counts, outside, pieces = self._counted_before()
        self._count_into(counts, outside, pieces, show_progressbar, threads)
        self._counts = counts
        return counts, {name: int(outside[-code]) for code, name in OUTSIDE_NAMES.items()}

    def _counted_before(self) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
        """Counts of a recording that grows as far as they were made before, and what is to be counted yet.

        Counted for good are hits before the last line: what they belong to is settled by edges on both sides, and is
        compared with what the edges tell now.
        """
        counts, outside = np.zeros(self.scan.n_positions, np.int64), np.zeros(1 - NOWHERE, np.int64)
        n_hits = self.source.index().n_hits
        all_pieces = self.source.work(max(1, n_hits // _PART_HITS))
        # The last line may still be changed by edges to come; what lies before it is counted for good.
        until = int(self.scan.start[-1]) if len(self.scan.start) else 0
        grown = self.source.grown(until) if self.scan.time_axis is None else None
        if grown is None:
            return counts, outside, all_pieces
        key, [(_, n)], rest = grown
        known = _counted.look(key)
        begin = 0
        # Counts of an earlier state serve where the scan is the same as far as they reach, and none fell beyond its
        # shape.
        if known is not None and known.n_blocks <= n and difference(known.scan, self.scan, known.until) is None:
            fits = min(len(counts), len(known.counts))
            if not known.counts[fits:].any():
                counts[:fits], outside[:] = known.counts[:fits], known.outside
                begin = known.n_blocks
        self._count_into(counts, outside, _cut(begin, n), False, None)
        _counted.put(key, _Counted(self.scan, until, n, counts.copy(), outside.copy()))
        return counts, outside, rest

    def _count_into(
        self,
        counts: np.ndarray,
        outside: np.ndarray,
        pieces: list[tuple[int, int]],
        show_progressbar: bool | None,
        threads: int | None,
    ) -> None:
        threads = threads or thread_count(8 * self.scan.n_positions)
        threads = max(min(threads, len(pieces)), 1)
        with progress_bar(show_progressbar, total=len(pieces), desc="Counting hits per position") as bar:
            # tables of the workers are small compared with a recording, but not if each piece had its own
            groups = [pieces[i::threads] for i in range(threads)]
            for part_counts, part_outside in spread(partial(self._count_pieces, bar=bar), groups, threads):
                counts += part_counts
                outside += part_outside

    def _count_pieces(self, pieces: list[tuple[int, int]], bar: Any) -> tuple[np.ndarray, np.ndarray]:
        counts = np.zeros(self.scan.n_positions, np.int64)
        outside = np.zeros(1 - NOWHERE, np.int64)
        for piece in pieces:
            for hits in self.source.compact_part(piece):
                table = _table_for(hits, self.scan)
                if table is None or isinstance(hits, Hits):
                    toa, _ = hits.toa_and_pixel()
                    count_positions(_placed(toa, self.scan), counts, outside)
                else:
                    # Count the hits of each interval, then give the counts of intervals to their positions: far fewer
                    # of these.
                    entries = np.zeros((len(table.position), 2), np.int64)
                    count_entries(hits.when, table.begin, table.cell, table.shift, entries)
                    add_counts(table.position, entries.sum(axis=1), counts, outside)
            bar.update()
        return counts, outside


@dataclass(frozen=True)
class _Counted:
    """Counts of the first part of a recording that grows."""

    scan: Scan
    until: int
    n_blocks: int
    counts: np.ndarray
    outside: np.ndarray


_counted = LeastRecent(4)  # counts of as many scans: those of a few signals open next to each other
_CUT = 256  # blocks counted together, about as many hits as in other pieces


def _cut(begin: int, end: int) -> list[tuple[int, int]]:
    return [(first, min(first + _CUT, end)) for first in range(begin, end, _CUT)]


def _table_for(hits: Hits | CompactHits, scan: Scan) -> Timetable | None:
    """The timetable of `CompactHits`; None for `Hits`, and where a table does not pay."""
    if isinstance(hits, Hits):
        return None
    return make_timetable(scan, hits.origin, hits.step, hits.span, most=_TABLE_SHARE * len(hits.when) + 64)


def _keys(hits: Hits | CompactHits, scan: Scan, first: int, n_rows: int, bits: int, keys: np.ndarray) -> int:
    """Write the keys of the hits at the positions from `first` on, and tell how many; see `build.csr_from_keys`."""
    table = _table_for(hits, scan)
    if table is None or isinstance(hits, Hits):
        toa, pixel = hits.toa_and_pixel()
        row = _placed(toa, scan) - first
        inside = np.flatnonzero((row >= 0) & (row < n_rows))
        keys[: len(inside)] = (row[inside] << bits) | pixel[inside]
        return len(inside)
    # Reasons for having no position are negative, and stay below zero: one comparison excludes both.
    row = table.position - first
    row[(table.position < 0) | (row >= n_rows)] = -1
    return position_keys(hits.when, hits.pixel, table.begin, table.cell, table.shift, row, bits, keys)


def _placed(toa: np.ndarray, scan: Scan) -> np.ndarray:
    position = np.empty(len(toa), np.int64)
    place_hits(toa, *scan.columns(), position)
    return position
