"""Frames of which many chunks come from one piece of the recording.

Time bins inside the dwell time: the hits of a scan line belong to all bins. Repeated scans that are
added up: every frame holds a little of each line, and a block of the file more than that. Decoding for
each chunk alone would read the same hits many times, so one task reads a range of positions for several
chunks, and each chunk takes its rows out of it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from dask.base import normalize_token

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.indexing import take_rows
from rsciio_tpx3.frames.event_frames import EventFrames
from rsciio_tpx3.frames.rows import Rows
from rsciio_tpx3.frames.source import FrameSource
from rsciio_tpx3.utils.dask_private import Task, TaskRef

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import EventSource
    from rsciio_tpx3.scan.scan import Scan


__all__ = ["READ_ENTRIES", "SharedFrames", "event_frames", "read_together", "shared_tasks", "take_chunk"]

READ_ENTRIES = 8 * 10**6
"""Hits of repeated scans that are read together: about 130 MB while they are sorted."""


def event_frames(source: EventSource, scan: Scan, dtype: np.dtype, values: str = "counts") -> FrameSource:
    """The `FrameSource` of an event source seen through a scan."""
    frames = EventFrames(source, scan, dtype, values)
    return SharedFrames(frames) if _time_last(scan) or scan.passes > 1 else frames


def _time_last(scan: Scan) -> bool:
    """Whether the last axis of a scan is that of time bins inside the dwell time."""
    time: Any = scan.time_axis
    return time is not None and time.over == "dwell"


class SharedFrames(FrameSource):
    """A `FrameSource` whose chunks share reads; time bins inside the dwell time are its first axis.

    Parameters
    ----------
    events : EventFrames
        With a scan that has bins inside the dwell time as its last axis, or adds up frames.
    """

    def __init__(self, events: EventFrames) -> None:
        scan = events.scan
        time_last = _time_last(scan)
        self.events = events
        self.scan = scan
        self.n_bins = scan.nav_shape[-1] if time_last else 1
        self.nav_shape = (scan.nav_shape[-1], *scan.nav_shape[:-1]) if time_last else scan.nav_shape
        self.sig_shape = events.sig_shape
        self.dtype = events.dtype

    def __dask_tokenize__(self) -> Any:
        return "rsciio_tpx3.SharedFrames", normalize_token(self.events)

    @property
    def n_positions(self) -> int:
        """Positions of one time bin."""
        return self.scan.n_positions // self.n_bins

    def row_events(self) -> np.ndarray | None:
        """Hits per row, where they have been counted; see `FrameSource.row_events`."""
        counts = self.events.row_events()
        return None if counts is None else counts.reshape(-1, self.n_bins).T.ravel()

    def count(self, show_progressbar: bool | None = None) -> tuple[np.ndarray | None, dict[str, int]]:
        """As `EventFrames.count`, with the time bins first."""
        _, outside = self.events.count(show_progressbar)
        return self.row_events(), outside

    def frames(self, start: int, stop: int) -> CSRFrames:
        """CSR rows of the flat range ``start`` to ``stop``; see `FrameSource.frames`."""
        n, parts = self.n_positions, []
        for b in range(start // n, max(-(-stop // n), start // n + 1)):
            first, last = max(start - b * n, 0), min(stop - b * n, n)
            parts.append(pick_rows(self.rows(first, last).read(), self.n_bins, 0, last - first, b, b + 1))
        return cast("CSRFrames", np.concatenate(parts)) if len(parts) > 1 else parts[0]

    def shared_parts(self) -> tuple:
        """What all rows need; see `FrameSource`."""
        return self.events.shared_parts()

    def for_rows(self, start: int, stop: int) -> FrameSource:
        """The same for these rows alone, with the part of the index that they need; see `FrameSource`."""
        part, n = copy.copy(self), self.n_positions
        # rows of several time bins: which positions they leave out is not worth asking
        first, last = (start % n, (stop - 1) % n + 1) if start // n == (stop - 1) // n else (0, n)
        part.events = self.events.for_rows(first * self.n_bins, last * self.n_bins)
        part.scan = part.events.scan
        return part

    def rows(self, first: int, last: int) -> Rows:
        """All bins of the positions ``first`` to ``last``, time fastest."""
        return Rows(self.events, first * self.n_bins, last * self.n_bins, whole=self)

    def entries(self, first: int, last: int) -> float:
        """Hits at a range of positions, about where they have not been counted."""
        counts = self.events.row_events()
        if counts is None:
            return self.events.source.index().n_hits * (last - first) / max(self.n_positions, 1)
        return float(counts[first * self.n_bins : last * self.n_bins].sum())


def read_together(source: FrameSource) -> int:
    """How many parts of the first axis of a scan one read serves: the time bins inside the dwell time, else 1."""
    return source.n_bins if isinstance(source, SharedFrames) and len(source.nav_shape) > 2 else 1


def pick_rows(frames: CSRFrames, n_bins: int, first: int, last: int, low: int, high: int) -> CSRFrames:
    """Bins ``low`` to ``high`` of the positions ``first`` to ``last`` of a read, bins slowest."""
    if n_bins == 1:
        return frames[first:last]
    rows = np.arange(first, last) * n_bins + np.arange(low, high)[:, None]
    return take_rows(frames, rows.ravel())


def shared_tasks(source: SharedFrames, name: str, spans: Sequence[tuple], extra: tuple = ()) -> dict:
    """The tasks of all chunks of an array, with the reads that they share.

    Parameters
    ----------
    source : SharedFrames
    name : str
        Of the array.
    spans : list of (place, (start, stop, navigation shape))
        Chunks in order.
    extra : tuple
        Further arguments of `Rows.read`.

    Returns
    -------
    dict
    """
    n = source.n_positions
    wanted: dict[tuple[int, int], list] = {}
    for place, (start, stop, shape) in spans:
        # With time bins the same positions are wanted once for each: chunks are grouped by positions, and the bins
        # cut afterwards.
        bins = shape[0] if source.n_bins > 1 else 1
        low = start // n if source.n_bins > 1 else 0
        first = start - low * n
        size = (stop - start) // max(bins, 1)
        wanted.setdefault((first, first + size), []).append((place, low, low + bins, shape))
    tasks: dict[tuple, Task] = {}
    for number, group in enumerate(_groups(source, sorted(wanted))):
        begin, end = group[0][0], group[-1][1]  # one read for neighbouring chunks
        read = (f"{name}-read", number)
        tasks[read] = Task(read, Rows.read, source.rows(begin, end), *extra)
        for first, last in group:
            for place, low, high, shape in wanted[first, last]:
                key = (name, *place, 0, 0)
                rows = (source.n_bins, first - begin, last - begin, low, high)
                tasks[key] = Task(key, take_chunk, TaskRef(read), rows, shape + source.sig_shape)
    return tasks


def _groups(source: SharedFrames, ranges: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Neighbouring ranges of positions that are read together."""
    groups: list[list[tuple[int, int]]] = []
    filled = math.inf
    for first, last in ranges:
        entries = source.entries(first, last)
        # lines of one frame lie apart in the file: reading them one by one reads nothing twice
        if source.scan.passes == 1 or filled + entries > READ_ENTRIES or groups[-1][-1][1] != first:
            groups.append([])
            filled = 0
        groups[-1].append((first, last))
        filled += entries
    return groups


def take_chunk(frames: CSRFrames, rows: tuple[int, ...], shape: tuple[int, ...]) -> CSRFrames:
    """One chunk out of a read that it shares; `rows` are the arguments of `pick_rows`."""
    picked = pick_rows(frames, *rows)
    return CSRFrames._make(picked.data, picked.indices, picked.indptr, shape)
