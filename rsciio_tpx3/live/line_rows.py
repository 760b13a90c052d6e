"""Patterns of lines that are complete, for accumulators that need more of a recording than sums."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rsciio_tpx3.frames.event_frames import EventFrames, count_type
from rsciio_tpx3.live.followed_images import NEVER
from rsciio_tpx3.live.lines import STEADY
from rsciio_tpx3.scan.changes import COLUMNS, difference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rsciio_tpx3.csr.csr_frames import CSRFrames
    from rsciio_tpx3.events.source import EventSource
    from rsciio_tpx3.scan.scan import Scan

__all__ = ["Handing", "LineRows", "Plugged", "RowAccumulator", "complete_segments"]

_logger = logging.getLogger(__name__)

_MOST_SECONDS = 0.2  # in one step: pictures must go on while an accumulator catches up


class LineRows:
    """Rows of a line that is complete, for accumulators that need whole patterns.

    Attributes
    ----------
    start, stop : int
        Half-open range of flat positions, C order over (frames, y, x).
    nav_shape : tuple of int
        As known so far.
    frames : CSRFrames
        Shape ``(stop - start, height, width)``; decoded when it is first asked for, by the thread that asks.
    """

    def __init__(self, start: int, stop: int, nav_shape: tuple[int, ...], read: Callable[[], CSRFrames]) -> None:
        self.start, self.stop, self.nav_shape, self._read = start, stop, nav_shape, read

    @cached_property
    def frames(self) -> CSRFrames:
        return self._read()

    def undecoded(self) -> LineRows:
        """The same rows without their frames, for those who keep them for later."""
        return LineRows(self.start, self.stop, self.nav_shape, self._read)


class RowAccumulator(Protocol):
    """What `Following.plug` takes: anything that adds up patterns, such as a reconstruction of the phase.

    Two more methods are used where there are any: ``clear()`` before all lines are handed out anew, since later edges
    given other positions, or since another measurement begins; and ``end()`` when nothing more will come.
    """

    def add(self, rows: LineRows) -> object:
        """Take the rows of a line, each line once, in the order of time."""


def complete_segments(scan: Scan, until: int, ended: bool) -> int:
    """How many segments, from the first, are complete: all at the end; before, some more must have followed."""
    if ended:
        return len(scan.start)
    return min(int(np.searchsorted(scan.stop, until, "right")), len(scan.start) - STEADY)


class Plugged:
    """An accumulator of somebody else, whose failures end nothing but itself.

    Parameters
    ----------
    accumulator : RowAccumulator

    Attributes
    ----------
    accumulator : RowAccumulator
    failed : bool
    note : str
        What the user should know of it; empty where all is well.
    """

    def __init__(self, accumulator: RowAccumulator) -> None:
        self.accumulator, self.failed, self.note = accumulator, False, ""
        self._ended = False

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Calls of the accumulator: one that fails gets no more lines."""
        try:
            yield
        except Exception as error:
            self.failed = True
            self.note = f"{type(self.accumulator).__name__} gets no more lines, since it failed: {error!r}"
            _logger.exception(self.note)

    def end(self) -> None:
        """Tell that nothing more will come; once, also where another accumulator is plugged in afterwards."""
        if not self._ended:
            self._ended = True
            getattr(self.accumulator, "end", _nothing)()


class Handing(Plugged):
    """One accumulator, and which lines of a scan it was handed.

    Attributes
    ----------
    behind : bool
        Whether there are more lines for it than it could take in one step.
    """

    def __init__(self, accumulator: RowAccumulator) -> None:
        super().__init__(accumulator)
        self.behind = True
        self._scan: Scan | None = None
        self._until = NEVER  # lines that begin before were handed out
        self._differs = False

    def begin_again(self) -> None:
        """What was handed out no longer holds."""
        if self._scan is None or self.failed:
            return
        self._scan, self._until, self._differs = None, NEVER, False
        clear = getattr(self.accumulator, "clear", None)
        if clear is not None:
            clear()
            return
        self.note = (
            f"{type(self.accumulator).__name__} was handed lines that were read differently afterwards, and it has no "
            "method clear(): it has some lines twice."
        )
        _logger.warning(self.note)

    def go_on(self, scan: Scan, stop: int, ended: bool, source_from: Callable[[int], EventSource]) -> None:
        """Hand out what is complete by now.

        Parameters
        ----------
        scan : Scan
            By which hits were placed.
        stop : int
            Segments before are complete.
        ended : bool
            Nothing more will come.
        source_from : callable
            Gives a source of all hits from a time on.
        """
        self.behind = False
        if self.failed:
            return
        if self._scan is not None and not self._differs:
            self._differs = difference(self._scan, scan, self._until) is not None
        with self.guarded():
            if ended and self._differs:
                self.begin_again()
            self._hand_out(scan, stop, ended, source_from)
            if ended:
                self.end()

    def _hand_out(self, scan: Scan, stop: int, ended: bool, source_from: Callable[[int], EventSource]) -> None:
        first = int(np.searchsorted(scan.start, self._until))
        if first >= stop:
            return
        begin, source = time.monotonic(), source_from(int(scan.start[first]))
        for low, high in _runs(scan, first, stop):
            self.accumulator.add(_rows_of(source, scan, low, high))
            self._scan, self._until = scan, int(scan.stop[high - 1])
            if not ended and time.monotonic() - begin > _MOST_SECONDS:
                self.behind = True
                return


def _nothing() -> None:
    pass


def _runs(scan: Scan, first: int, stop: int) -> Iterator[tuple[int, int]]:
    """Segments that are handed out together: each line, or pulses of neighbouring positions in a line."""
    used = (scan.base[first:stop] >= 0) & (scan.stop[first:stop] > scan.start[first:stop])
    if scan.n_columns > 1 or len(scan.nav_shape) < 2:
        for number in np.flatnonzero(used):
            yield first + int(number), first + int(number) + 1
        return
    base, width = scan.base[first:stop], scan.nav_shape[-1]
    goes_on = used[1:] & used[:-1] & (np.diff(base) == 1) & (base[1:] % width != 0)
    cuts = np.concatenate([[0], np.flatnonzero(~goes_on) + 1, [len(used)]])
    for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist()):
        if low < high and used[low]:
            yield first + low, first + high


def _rows_of(source: EventSource, scan: Scan, low: int, high: int) -> LineRows:
    """Rows of a run of segments, from a source that has all their hits."""
    columns: dict[str, Any] = {name: getattr(scan, name)[low:high] for name in COLUMNS}
    part = replace(scan, **columns, report={})
    n = scan.n_columns
    start = int(columns["base"][0]) - (n - 1 if columns["step"][0] < 0 else 0)
    stop = start + n * (high - low)
    # the type is that of the whole scan, so that all lines are of one type
    dtype = count_type(scan.longest_dwell)
    return LineRows(start, stop, scan.nav_shape, lambda: EventFrames(source, part, dtype).frames(start, stop))
