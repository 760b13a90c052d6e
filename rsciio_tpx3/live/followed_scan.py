"""The scan of a recording that grows, found by its last edges, where those before can no longer change it.

Reading all edges anew takes 1 us for each: of 100,000 lines as long as a refresh may take. So of a long recording only
the edges of the last frames are read each time. They must say of the lines that were known before what was said of
them, or all are read; and all are read each time that there are three hundredths more of them, and in the end.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.events.source import Edges
from rsciio_tpx3.exceptions import ConflictError, ScanSyncError
from rsciio_tpx3.live.lines import STEADY, spliced
from rsciio_tpx3.scan.changes import COLUMNS, difference
from rsciio_tpx3.scan.options import ScanOptions
from rsciio_tpx3.scan.sync import build_scan

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import EventIndex
    from rsciio_tpx3.scan.scan import Scan

__all__ = ["FollowedScan"]

_MANY_EDGES = 4096  # of fewer, all are read each time: 5 ms
_MORE = 1 / 32
_LATE = 64  # edges that may come out of order
_LOCAL = ("line-gate", "line-start", "pixel-trigger")  # conventions by which a frame's edges alone place its lines
_LONG, _PAUSE = 0.02, 4  # where edges take longer than so many seconds each time, four times as long lies between


class FollowedScan:
    """Scans by more and more edges of one recording.

    Parameters
    ----------
    options : ScanOptions

    Attributes
    ----------
    read_until : int
        Ticks: end of the lines that were known when all edges were read last.
    """

    def __init__(self, options: ScanOptions) -> None:
        self._options = options
        self._known: Scan | None = None
        self._n_all = self._tick = 0
        self._took = self._wait_until = 0.0
        self.read_until = 0

    @property
    def waits(self) -> bool:
        """Whether the edges were read so shortly before that doing it again would take too much of the time."""
        return time.perf_counter() < self._wait_until

    def find(self, index: EventIndex, ended: bool = False) -> Scan:
        """The scan by the edges that have come.

        Parameters
        ----------
        index : EventIndex
            With the edges of the last time, and more of them.
        ended : bool
            No more edges will come.

        Raises
        ------
        ScanSyncError, ConflictError
            As `rsciio_tpx3.scan.sync.build_scan`.
        """
        begin = time.perf_counter()
        scan = None if ended else self._by_last_frames(index)
        if scan is None:
            self._known, self._n_all = None, 0
            scan = build_scan(index, replace(self._options, follow=not ended))
            self._n_all = len(index.edges)
            self._tick = int(index.edges.ticks[max(self._n_all - _LATE, 0)]) if self._n_all else 0
            self.read_until = int(scan.stop[-1]) if len(scan.stop) else 0
        self._known = scan
        before, self._took = self._took, time.perf_counter() - begin
        # one reading of all edges between those of the last frames is no reason to wait
        self._wait_until = begin + (1 + _PAUSE) * self._took if min(before, self._took) > _LONG else 0.0
        return scan

    def _is_local(self, sync: str) -> bool:
        """Whether lines are placed by the edges of their own frame, and frames are counted from the first one."""
        options, plain = self._options, ScanOptions()
        with_defaults = ("active_fraction", "lines_per_row", "first_line", "skip_lines", "frames", "time_bins")
        return (
            sync in _LOCAL
            and options.positions is None
            and options.nav_shape is not None
            and all(getattr(options, name) == getattr(plain, name) for name in with_defaults)
        )

    def _by_last_frames(self, index: EventIndex) -> Scan | None:
        """The known scan, carried on by the edges of its last frames; None where all edges must be read."""
        known, n_edges = self._known, len(index.edges)
        if known is None or not _MANY_EDGES <= n_edges <= (1 + _MORE) * self._n_all:
            return None
        if not self._is_local(known.report["sync"]):
            return None
        if int(index.edges.ticks[self._n_all - _LATE]) != self._tick:  # some came among those of long ago, or went
            return None
        ny, nx = known.nav_shape[-2:]
        used = np.flatnonzero(known.base >= 0)
        frame = int(known.base[used[-1]]) // (ny * nx) - 1  # the last one that is over
        first = int(used[np.searchsorted(known.base[used], frame * ny * nx)])
        steady = len(known.start) - STEADY
        if frame < 1 or int(known.base[first]) != frame * ny * nx or not first < steady:
            return None
        cut = (int(known.stop[first - 1]) + int(known.start[first])) // 2 - round(self._options.delay)
        last = self._of_edges_after(cut, index, known.report)
        if last is None or last.den != known.den or last.n_columns != known.n_columns:
            return None
        last = _moved(last, frame)
        same_until = int(known.start[steady])
        rest = replace(known, **{name: getattr(known, name)[first:] for name in COLUMNS})
        if difference(rest, last, same_until) is not None:
            return None
        return replace(spliced(known, last, same_until), report=known.report)

    def _of_edges_after(self, cut: int, index: EventIndex, report: dict) -> Scan | None:
        """The scan by the edges after a time, read as the ones before were; None where they do not tell it."""
        edges = index.edges
        n = int(np.searchsorted(edges.ticks, cut))
        after = replace(
            index,
            edges=Edges(edges.ticks[n:], edges.code[n:], edges.counter[n:]),
            span=(cut, index.span[1]),
            hit_span=(max(cut, index.hit_span[0]), index.hit_span[1]),
        )
        try:
            return build_scan(after, replace(self._options, sync=report["sync"], tdc=report["tdc"], follow=True))
        except (ScanSyncError, ConflictError):
            return None


def _moved(scan: Scan, frame: int) -> Scan:
    """A scan of the last frames, as frames from this number on."""
    ny, nx = scan.nav_shape[-2:]
    n_frames = scan.nav_shape[0] if len(scan.nav_shape) == 3 else 1
    base = np.where(scan.base >= 0, scan.base + frame * ny * nx, scan.base)
    return replace(scan, nav_shape=(frame + n_frames, ny, nx), base=base)
