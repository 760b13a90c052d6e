"""Time as a further axis of a scan: inside the dwell time, or over the recording.

A dwell time cut into n bins is the same scan with n times the columns: bin ``k`` of a position is the
hits whose time since the start of the dwell lies in ``[k / n, (k + 1) / n)`` of it, exactly. Bins over
the recording cut the lines where a bin ends. So both are changes of a `Scan` alone, and each hit with a
position lies in exactly one bin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rsciio_tpx3.exceptions import LimitError, ScanSyncError
from rsciio_tpx3.scan.scan import LARGEST, MOST_LINES, refuse_many_positions
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND, ticks_to_seconds
from rsciio_tpx3.utils.integers import is_whole
from rsciio_tpx3.utils.text import format_seconds

if TYPE_CHECKING:
    from rsciio_tpx3.scan.scan import Scan

__all__ = ["OVER", "TimeAxis", "TimeBins", "with_time_bins"]

OVER = ("dwell", "recording")


@dataclass(frozen=True)
class TimeBins:
    """What the user wants.

    Attributes
    ----------
    over : {"dwell", "recording"}
    number : int or None
    width : fractions.Fraction or None
        Ticks, for the recording; one of the two is given.
    """

    over: str
    number: int | None = None
    width: Fraction | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.over, str) or self.over not in OVER:
            raise ValueError(f"time_bins over {self.over!r} is not valid: must be one of {', '.join(map(repr, OVER))}.")
        if (self.number is None) == (self.width is None):
            raise ValueError("time_bins needs either a number of bins or their width.")
        if self.width is not None and self.over == "dwell":
            raise ValueError(
                "time_bins inside the dwell time are given by their number, since lines differ a little in their "
                'dwell time: {"over": "dwell", "number": 10}.'
            )
        number = self.number
        if number is not None and (not is_whole(number, 1, math.inf)):
            raise ValueError(f"time_bins: {number!r} is not valid: expected a positive integer.")

    def words(self) -> dict:
        """As the option is written, in plain text and numbers."""
        if self.width is None:
            return {"over": self.over, "number": int(cast(int, self.number))}
        return {"over": self.over, "width": f"{float(self.width / TICKS_PER_SECOND)!r} s"}


@dataclass(frozen=True)
class TimeAxis:
    """The time axis of a scan: bin ``k`` begins at ``first + k * width`` seconds."""

    over: str
    number: int
    first: float
    width: float


def with_time_bins(scan: Scan, bins: TimeBins, hit_span: tuple[int, int]) -> Scan:
    """The scan with a time axis.

    Parameters
    ----------
    scan : Scan
    bins : TimeBins
    hit_span : tuple of int
        First and last hit of the recording.

    Returns
    -------
    Scan
        Bins inside the dwell time are its last axis, those over the recording its first;
        ``scan.time_axis`` describes them.

    Raises
    ------
    ScanSyncError
        If there would be more positions than can be counted.
    """
    if bins.over == "dwell":
        scan = _inside_dwell(scan, int(cast(int, bins.number)))
    else:
        scan = _over_recording(scan, bins, hit_span)
    about = {"time_bins_over": bins.over, "time_bin": cast(TimeAxis, scan.time_axis).width}
    return replace(scan, report={**scan.report, **about})


def _inside_dwell(scan: Scan, n: int) -> Scan:
    _refuse_endless(scan, n)
    if scan.largest_number * n >= LARGEST:
        raise LimitError(
            f"time_bins={n:,}: such bins are far shorter than the detector's clock can tell (1.5625 ns). Take fewer."
        )
    scan = _positions_of_backward_lines(scan)
    dwell = scan.report["dwell_time"]
    return replace(
        scan,
        nav_shape=(*scan.nav_shape, n),
        phase=scan.phase * n,
        den=scan.den * n,
        n_columns=scan.n_columns * n,
        base=np.where(scan.base >= 0, scan.base * n, -1),
        time_axis=TimeAxis("dwell", n, 0.0, dwell / n),
    )


def _positions_of_backward_lines(scan: Scan) -> Scan:
    """Lines that run backwards, as one segment a position: time runs forward inside each."""
    backwards = np.flatnonzero((scan.step < 0) & (scan.base >= 0))
    if len(backwards) == 0:
        return scan
    if len(backwards) * scan.n_columns > MOST_LINES:
        raise LimitError(
            f"time_bins need a table of the {len(backwards) * scan.n_columns:,} positions in lines that run backwards; "
            f"{MOST_LINES:,} are possible. Take fewer frames (frames=...), or a coarser navigation_shape."
        )
    column = np.arange(scan.n_columns)
    begin, phase, num = (getattr(scan, name)[backwards, None] for name in ("start", "phase", "num"))
    # the first tick of column k is the first t with (t - begin) * den + phase >= k * num
    start = begin + np.maximum(-((phase - column * num) // scan.den), 0)
    stop = np.concatenate([start[:, 1:], scan.stop[backwards, None]], axis=1)
    # the last column ends after its dwell time; the line may be cut before
    last = begin[:, 0] - (phase[:, 0] - scan.n_columns * num[:, 0]) // scan.den
    stop = np.minimum(stop, np.minimum(scan.stop[backwards], last)[:, None])
    rest = (start - begin) * scan.den + phase - column * num
    filled = start < stop
    # a line whose time is not known keeps its place, so that no time is counted to its neighbours
    empty = ~filled.any(axis=1)
    filled[empty, 0], stop[empty, 0] = True, start[empty, 0]
    pieces = {
        "start": start[filled],
        "stop": stop[filled],
        "phase": rest[filled],
        "num": np.broadcast_to(num, start.shape)[filled],
        "base": (scan.base[backwards, None] - column)[filled],
        "step": np.ones(int(filled.sum()), np.int8),
    }
    forwards = np.flatnonzero((scan.step > 0) | (scan.base < 0))
    joined = {name: np.concatenate([getattr(scan, name)[forwards], made]) for name, made in pieces.items()}
    # of segments that start together the last one has the hits, as before
    line = np.concatenate([forwards, np.broadcast_to(backwards[:, None], start.shape)[filled]])
    order = np.lexsort((line, joined["start"]))
    in_order: dict[str, Any] = {name: values[order] for name, values in joined.items()}
    return replace(scan, **in_order)


def _over_recording(scan: Scan, bins: TimeBins, hit_span: tuple[int, int]) -> Scan:
    # Bins reach from the first to the last line that has positions: hits elsewhere are in no bin anyway.
    used = (scan.base >= 0) & (scan.stop > scan.start)
    first = int(scan.start[used].min()) if used.any() else 0
    end = min(int(scan.stop[used].max(initial=first)), int(hit_span[1]) + 1)
    end = max(end, first + int(bins.number or 1))  # a bin has a tick at least
    if bins.width is not None:
        n, width = math.ceil((end - first) / bins.width), bins.width
    else:
        n = int(cast(int, bins.number))
        width = Fraction(end - first, n)
    if width < 1:
        raise ScanSyncError(
            f"time_bins of {format_seconds(ticks_to_seconds(float(width)))} are shorter than the detector's clock "
            "can tell."
        )
    _refuse_endless(scan, n)
    if len(scan.start) + n > MOST_LINES:
        raise LimitError(
            f"{n:,} time bins cut the scan's {len(scan.start):,} lines into more than {MOST_LINES:,} pieces. Take "
            "fewer bins."
        )
    # the first tick of each bin; in two steps, since a product of all digits might not fit into 64 bits
    whole, rest = divmod(width.numerator, width.denominator)
    k = np.arange(n + 1, dtype=np.int64)
    borders = first + k * whole - (-k * rest // width.denominator)
    # The last bin takes what rounding left over, so that every hit of the scan has one.
    borders[-1] = max(int(borders[-1]), int(scan.stop.max(initial=end)))
    cut = _cut(scan, np.where(used)[0], borders)
    return replace(
        scan,
        **cut,
        nav_shape=(n, *scan.nav_shape),
        time_axis=TimeAxis("recording", n, ticks_to_seconds(first), ticks_to_seconds(float(width))),
    )


def _cut(scan: Scan, used: np.ndarray, borders: np.ndarray) -> dict:
    """Segments cut at the borders; the part in bin k has its positions there."""
    low = np.zeros(len(scan.start), np.int64)
    high = np.zeros(len(scan.start), np.int64)
    low[used] = np.searchsorted(borders, scan.start[used], "right") - 1
    high[used] = np.searchsorted(borders, scan.stop[used] - 1, "right") - 1
    pieces = high - low + 1
    of = np.repeat(np.arange(len(scan.start)), pieces)
    number = np.arange(len(of)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    k = low[of] + number
    start, stop = scan.start[of], scan.stop[of]
    inner = number > 0
    start[inner] = borders[k[inner]]
    ends = number < pieces[of] - 1
    stop[ends] = borders[k[ends] + 1]
    base = scan.base[of]
    base[base >= 0] += (k * scan.n_positions)[base >= 0]
    return {
        "start": start,
        "stop": stop,
        "phase": scan.phase[of] + (start - scan.start[of]) * scan.den,
        "num": scan.num[of],
        "base": base,
        "step": scan.step[of],
    }


def _refuse_endless(scan: Scan, n: int) -> None:
    refuse_many_positions(
        scan.n_positions * n,
        f"time_bins: {n:,} bins at {scan.n_positions:,} positions",
        "Take fewer bins, fewer frames (frames=...), or read the hits themselves: rsciio_tpx3.read_hits.",
    )
