"""Hits of a recording, position by position, with what frames forget: time and time over threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.frames.event_frames import EventFrames
from rsciio_tpx3.scan.scan import place_hits

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import EventSource
    from rsciio_tpx3.scan.scan import Scan


__all__ = ["HitFrames", "HitRows"]

_LONGEST = np.iinfo(np.int32).max


@dataclass(frozen=True)
class HitRows:
    """Hits of some positions, sorted by position, pixel and time.

    Attributes
    ----------
    indices : numpy.ndarray of int32, shape (n,)
        Detector pixel.
    offset : numpy.ndarray of int32, shape (n,)
        Ticks since the position began.
    tot : numpy.ndarray of uint16, shape (n,)
        25 ns.
    indptr : numpy.ndarray of int64, shape (n_positions + 1,)
    """

    indices: np.ndarray
    offset: np.ndarray
    tot: np.ndarray
    indptr: np.ndarray

    @property
    def data(self) -> np.ndarray:
        """One count each."""
        return np.ones(len(self.indices), np.uint8)

    @property
    def n_frames(self) -> int:
        return len(self.indptr) - 1


class HitFrames:
    """What `rsciio_tpx3.frames.write.write` reads spans of `HitRows` from.

    Parameters
    ----------
    frames : EventFrames
        A recording joined with a scan.

    Raises
    ------
    ValueError
        If it is something else, or positions last longer than 0.56 s.
    """

    def __init__(self, frames: EventFrames) -> None:
        if not isinstance(frames, EventFrames):
            raise ValueError(
                "times and times over threshold of single hits are known of a recording (.tpx3, .t3pa) that was loaded "
                "and not changed; these data are counted frames. Leave out keep, or convert the recording itself."
            )
        if frames.scan.num.max(initial=0) / frames.scan.den > _LONGEST:
            raise ValueError(
                "positions last longer than 0.56 s, so the time of a hit in it has no place: leave out keep."
            )
        self._frames = frames
        self.nav_shape, self.sig_shape, self.dtype = frames.nav_shape, frames.sig_shape, frames.dtype

    def row_events(self) -> np.ndarray:
        """Hits of each position; see `FrameSource.row_events`."""
        return self._frames.row_events()

    def frames(self, start: int, stop: int) -> HitRows:
        """`HitRows` of the flat positions ``start`` to ``stop``."""
        columns = [_placed(run, self._frames.source, start, stop) for run in self._frames.scan.runs(start, stop)]
        row, pixel, offset, tot = _joined(columns)
        order = np.lexsort((offset, pixel, row))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=stop - start))]).astype(np.int64)
        return HitRows(pixel[order], offset[order], tot[order], indptr)


def _placed(run: Scan, source: EventSource, start: int, stop: int) -> tuple[np.ndarray, ...]:
    """Row, pixel, time since the position began, and time over threshold of hits in one stretch of a scan."""
    found = []
    for hits in source.windows(int(run.start[0]), int(run.stop.max())):
        position = np.empty(len(hits), np.int64)
        place_hits(hits.toa, *run.columns(), position)
        inside = (position >= start) & (position < stop)
        position, toa = position[inside], hits.toa[inside]
        segment = np.searchsorted(run.start, toa, "right") - 1
        column = np.abs(position - run.base[segment])
        scaled = (toa - run.start[segment]) * run.den + run.phase[segment] - column * run.num[segment]
        found.append((position - start, hits.pixel[inside], (scaled // run.den).astype(np.int32), hits.tot[inside]))
    return _joined(found)


def _joined(columns: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    empty = np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.uint16)
    return tuple(np.concatenate(parts) for parts in zip(empty, *columns))
