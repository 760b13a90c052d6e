"""Trigger edges to a complete, regular series of pulses: what is spurious, missing, or a mark.

Scan generators mark lines (or pixels) with pulses. In a recording some are missing, some are extra,
and some mean something else: the real raster in the tests ends each frame with a burst of 142 pulses
0.16 us apart, and a series over hours rests for seconds between its frames. Which of the intervals is
the line comes from `rsciio_tpx3.scan.intervals`. The detector's 12-bit counter tells how many edges
of an input are missing between two that were recorded, so a gap in time is either explained (missing
pulses, put back) or it is the flyback between two frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.exceptions import LimitError, ScanSyncError
from rsciio_tpx3.scan.intervals import SHORT, holds, kinds_of_intervals, line_interval
from rsciio_tpx3.scan.steps import ends_in_step, keeps_step, out_of_step
from rsciio_tpx3.utils.clock import ticks_to_seconds
from rsciio_tpx3.utils.text import counted, format_seconds

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import Edges

__all__ = [
    "Pulses",
    "gap_messages",
    "other_direction",
    "period_report",
    "period_text",
    "pulses_of",
    "regular_pulses",
]

_LONG = 1.5  # of the period: anything longer holds missing pulses or a frame flyback
_FIT = 0.25  # of the period: how well missing pulses must explain a long gap
_OUT_OF_STEP = 0.05  # of the period: an edge too many that no line has sent
_STRAYS = 2  # edges alone in pauses for each whole frame: more are not an accident
_FEW_LESS = 0.95  # of the edges of the best period: one that explains fewer takes lines for glitches
_COUNTER = 4096  # the counter of edges has 12 bits (SERVAL manual 3.1, file format: TDC)
_MOST_PUT_BACK = 2 * 10**6  # edges: their tables take of the order of 100 MB
_FEW = 16  # edges, below which no step of the counter is in the majority for sure


@dataclass(frozen=True)
class Pulses:
    """Start times of lines (or pixels), grouped into runs between frame marks.

    Attributes
    ----------
    ticks : numpy.ndarray of int64, shape (n,)
        Ascending, with the missing ones put back.
    lost : numpy.ndarray of bool, shape (n,)
        Pulses known from the counter whose time is unknown: they take a place and no hits.
    run : numpy.ndarray of int64, shape (n,)
        Number of the run a pulse belongs to; a new one begins after each frame mark.
    period : float
        Ticks from pulse to pulse.
    jitter : float
        Standard deviation of that interval, ticks.
    found, repaired, spurious, burst : int
        Pulses kept as recorded, put back, dropped as glitches, and part of bursts.
    counter_usable : bool
        Whether the edges are numbered; without it missing ones cannot be distinguished from pauses.
    confirmed : bool
        Whether the interval agrees with something that was known, and not only with the other intervals.
    doubtful : numpy.ndarray of bool, shape (n,)
        Where nobody knows how many pulses lie between a pulse and the one before it.
    marked : numpy.ndarray of bool, shape (n,)
        Where an edge on the other input says that a frame begins; see `rsciio_tpx3.scan.frame_edges`.
    unexplained : int
        Edges that are missing by the counter and stand for no pulse: the time between those recorded has no room for
        so many, or they belonged to a burst.
    moved : int
        Edges at the beginning or end of a run that were put in step with the others.
    """

    ticks: np.ndarray
    lost: np.ndarray
    run: np.ndarray
    period: float
    jitter: float
    found: int
    repaired: int
    spurious: int
    burst: int
    counter_usable: bool = True
    confirmed: bool = False
    doubtful: np.ndarray = None  # type: ignore[assignment]  # never None once `__post_init__` has run
    marked: np.ndarray = None  # type: ignore[assignment]
    unexplained: int = 0
    moved: int = 0

    def __post_init__(self) -> None:
        for name in ("doubtful", "marked"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.zeros(len(self.ticks), bool))

    def __len__(self) -> int:
        return len(self.ticks)

    @property
    def run_lengths(self) -> np.ndarray:
        """Pulses in each run."""
        return np.bincount(self.run) if len(self.run) else np.zeros(0, np.int64)


def other_direction(tdc: str) -> str:
    """The opposite edge of the same input."""
    return tdc[:5] + ("fall" if tdc.endswith("rise") else "rise")


def period_text(pulses: Pulses) -> str:
    return format_seconds(ticks_to_seconds(pulses.period)) if np.isfinite(pulses.period) else "an unknown time"


def pulses_of(edges: Edges, tdc: str, first: int = 0, least: float = 0, in_run: Sequence[int] = ()) -> Pulses:
    """The pulses of one edge kind, with what its counter says is missing.

    Parameters
    ----------
    edges : rsciio_tpx3.events.source.Edges
    tdc : str
        Edge kind, such as "tdc1-rise".
    first : int
        Edges to pass over.
    least, in_run
        See `regular_pulses`.

    Returns
    -------
    Pulses

    Raises
    ------
    ScanSyncError
        If no edge is left, or most edges would be bursts between lines and nothing known says so.
    """
    own = edges.select(tdc)
    ticks, counter = own.ticks[first:], own.counter[first:].astype(np.int64)
    if len(ticks) == 0:
        raise ScanSyncError(f"first_line={first} passes over all {counted(len(own), f'{tdc} edge')}.")
    pulses = regular_pulses(ticks, counter, least, in_run, both=other_direction(tdc) in edges.kinds)
    if pulses.burst > 0.5 * len(ticks) and not pulses.confirmed:
        raise ScanSyncError(
            f"{pulses.burst} of {len(ticks)} {tdc} edges come far quicker than the rest, which come every "
            f"{period_text(pulses)}: either they are bursts and mark no line, or they are the lines. Pass "
            "navigation_shape=(x, y) with dwell_time, which give how long a line is; first_line=n passes over n edges "
            "from before the scan."
        )
    return pulses


def regular_pulses(
    edges: np.ndarray,
    counter: np.ndarray | None = None,
    least: float = 0,
    in_run: Sequence[int] = (),
    both: bool | None = None,
) -> Pulses:
    """Sort out a series of edges of one kind.

    Parameters
    ----------
    edges : numpy.ndarray of int64, shape (n,), n >= 1
        Times of one kind of edge, ascending.
    counter : numpy.ndarray of int64, shape (n,), optional
        The detector's number of each edge, modulo 4096. It may count every edge of the input, so that it
        steps by two where rise and fall are recorded; a counter without a regular step is not used.
    least : float
        Ticks that the interval cannot be shorter than, such as columns times dwell time; 0 where unknown.
    in_run : tuple of int
        Pulses that there may be from one frame mark to the next; empty where unknown.
    both : bool, optional
        Whether the other direction of the input was recorded too, so that the counter steps by two.

    Returns
    -------
    Pulses
    """
    number, usable = _numbers(counter, len(edges), both)
    uncounted = int(number[-1]) + 1 - len(edges)
    period, confirmed = _period(edges, number, least, in_run)
    # First what the edges are, then what is absent between them: a glitch counted as a line would hide a missing one.
    sorted_out = _sort_out(edges, number, period)
    edges, intervals, missing, explained = (sorted_out[name] for name in ("edges", "intervals", "missing", "explained"))
    if missing.sum() > _MOST_PUT_BACK:
        # a gap can hide 4095 edges by its counter: 16 bytes of a damaged file could ask for 70 kB each
        raise LimitError(
            f"The edge counter says that {int(missing.sum()):,} edges are missing between the {len(edges):,} that were "
            f"recorded; more than {_MOST_PUT_BACK:,} are not put back. Check tdc, or load a part of the recording."
        )
    # a gap longer than the missing pulses explain: they count, but nobody knows where they were
    step = np.where(explained, intervals / (missing + 1), 0)
    number_in_gap = np.arange(missing.sum()) - np.repeat(np.cumsum(missing) - missing, missing) + 1
    absent = np.where(
        np.repeat(explained, missing),
        np.repeat(edges[:-1], missing) + np.round(number_in_gap * np.repeat(step, missing)).astype(np.int64),
        np.repeat(edges[1:], missing),
    )
    run = np.concatenate([[0], np.cumsum(sorted_out["mark"])])
    place = np.repeat(np.arange(1, len(edges)), missing)
    # The period that is reported is measured anew on intervals that hold one line each; the first one was a rank
    # among all.
    ordinary = intervals[(intervals < _LONG * period) & (intervals > SHORT * period)]
    tolerance = keeps_step(edges, period)
    if tolerance is not None:
        in_step = np.abs(ordinary - period) <= tolerance  # one edge too early or too late tells no period
        ordinary = ordinary[in_step]
    pulses = _without_strays(
        Pulses(
            ticks=np.insert(edges, place, absent),
            lost=np.insert(np.zeros(len(edges), bool), place, np.repeat(~explained, missing)),
            run=np.insert(run, place, np.repeat(run[:-1], missing)),
            doubtful=np.insert(np.append(False, sorted_out["doubtful"]), place, False),
            unexplained=max(uncounted - int(missing.sum()), 0),
            period=float(ordinary.mean()) if len(ordinary) else float(period),
            jitter=float(ordinary.std()) if len(ordinary) else 0.0,
            found=len(edges),
            repaired=int(missing[explained].sum()),
            spurious=sorted_out["spurious"],
            burst=sorted_out["burst"],
            counter_usable=usable,
            confirmed=confirmed,
        ),
        in_run,
    )
    # Inside a train both neighbours show an edge out of step; at its ends only one does: they are looked at apart.
    known = ~pulses.lost
    numbers = np.unique(pulses.run[known], return_inverse=True)[1]
    in_step, moved = ends_in_step(pulses.ticks[known], numbers, pulses.period)
    if moved == 0:
        return pulses
    ticks = pulses.ticks.copy()
    ticks[known] = in_step
    return replace(pulses, ticks=ticks, moved=moved)


def _without_strays(pulses: Pulses, in_run: Sequence[int]) -> Pulses:
    """Leave out edges in the pause between whole runs: alone, or as one too many, out of step, at the end of a run."""
    lengths = pulses.run_lengths
    n_whole = np.isin(lengths, in_run).sum()
    if 1 in in_run or not (n_whole or np.isin(lengths - 1, in_run).any()):
        return pulses
    begin, end = np.cumsum(lengths) - lengths, np.cumsum(lengths)
    stray = np.zeros(len(pulses), bool)
    # Two pulses in step make a line of their own, however short the run is.
    near = np.abs(np.diff(pulses.ticks) - pulses.period) <= _OUT_OF_STEP * pulses.period
    near &= np.diff(pulses.run) == 0
    in_step = np.bincount(pulses.run[1:], near, len(lengths))
    # edges in a pause, one alone or a few without any step
    lone = (lengths == 1) | ((lengths < 4) & (in_step == 0))
    # the recording may have begun, or ended, inside a frame
    lone[[0, -1]] = False
    lone[1:] &= ~pulses.lost[end[:-1] - 1]  # the rest of a frame whose other edges are missing
    if lone.sum() <= _STRAYS * n_whole:
        stray |= lone[pulses.run]
    # A run of one too many: of its two ends, the one that stands farther out of step.
    long = np.flatnonzero(np.isin(lengths - 1, in_run))
    if len(long) <= max(n_whole, 1):
        first, last = (
            np.abs(pulses.ticks[i + 1] - pulses.ticks[i] - pulses.period) for i in (begin[long], end[long] - 2)
        )
        one = np.where(first > last, begin[long], end[long] - 1)
        stray[one[(np.maximum(first, last) > _OUT_OF_STEP * pulses.period) & ~pulses.lost[one]]] = True
    n_stray = int(stray.sum())
    if n_stray == 0:
        return pulses
    return replace(
        pulses,
        ticks=pulses.ticks[~stray],
        lost=pulses.lost[~stray],
        run=np.unique(pulses.run[~stray], return_inverse=True)[1],
        doubtful=_doubtful_without(pulses.doubtful, stray),
        marked=pulses.marked[~stray],
        found=pulses.found - n_stray,
        spurious=pulses.spurious + n_stray,
    )


def _doubtful_without(doubtful: np.ndarray, stray: np.ndarray) -> np.ndarray:
    """`Pulses.doubtful` of those that are kept: what was doubtful before one excluded is so before the next."""
    remaining = np.flatnonzero(~stray)
    if len(remaining) == 0:
        return doubtful[:0]
    return np.logical_or.reduceat(doubtful, np.append(0, remaining[:-1] + 1))


def _sort_out(edges: np.ndarray, number: np.ndarray, period: float) -> dict:
    """What edges and gaps are, if lines (or pixels) come every `period`.

    Returns
    -------
    dict
        ``edges`` that are pulses, and between each two ``intervals``, pulses ``missing``, whether the time
        fits them (``explained``), and whether a new run begins (``mark``); ``spurious``, ``burst`` edges.
    """
    tolerance = keeps_step(edges, period)
    if tolerance is None:
        glitch = _glitches(edges, number, period)
        number = number - np.cumsum(glitch)
    else:
        glitch, number = out_of_step(edges, number, period, tolerance, SHORT * period)
    edges, number = edges[~glitch], number[~glitch]
    # Glitches go first: one inside a line would look like the first two pulses of a burst.
    burst = _bursts(edges, number, period)
    after_burst = np.concatenate([[False], burst[:-1]])[~burst][1:]
    edges, number = edges[~burst], number[~burst]
    intervals = np.diff(edges)
    # what is missing in a burst is not a line
    missing = np.where(after_burst | (intervals <= _LONG * period), 0, np.diff(number) - 1)
    # more than the gap has room for: the counter leaped, or what is missing was a burst
    doubtful = (missing + 1) * period > intervals + _FIT * period
    doubtful &= missing > 0
    missing[doubtful] = 0
    explained = (missing > 0) & (np.abs(intervals - (missing + 1) * period) < _FIT * period)
    pause = (intervals > (missing + _LONG) * period) & ~explained
    return {
        "edges": edges,
        "intervals": intervals,
        "missing": missing,
        "explained": explained,
        "mark": after_burst | pause,
        "doubtful": doubtful,
        "spurious": int(glitch.sum()),
        "burst": int(burst.sum()),
    }


def _period(edges: np.ndarray, number: np.ndarray, least: float, in_run: Sequence[int]) -> tuple[float, bool]:
    """The interval from line to line, and whether anything known tells that it is this one."""
    intervals, steps = np.diff(edges), np.diff(number)
    if len(steps) and (steps > 1).all():
        intervals = intervals // steps  # every other edge is missing, or more
    kinds = kinds_of_intervals(intervals)
    if not kinds:
        return np.inf, False
    fits = [_fit(edges, number, kind.length, in_run) for kind in kinds] if len(kinds) > 1 and in_run else []
    fitting = [(fit, kind) for fit, kind in zip(fits, kinds) if fit]
    fitting = [(fit, kind) for fit, kind in fitting if holds(kind, least)] or fitting
    # of several that agree with the frames, the one that leaves fewest edges out; a few are glitches
    most = max((fit for fit, _ in fitting), default=0)
    best = [kind for fit, kind in fitting if fit > _FEW_LESS * most]
    best = [kind for kind in best if kind.number == max(k.number for k in best)]
    return line_interval(best or kinds, least, confirmed=bool(best))


def _fit(edges: np.ndarray, number: np.ndarray, period: float, in_run: Sequence[int]) -> int:
    """Pulses in frames that are as long as they should be, if lines come every `period`; 0 if most are not.

    The first run and the last may be shorter, and a few others. Pulses missing at a border belong to either side.
    """
    found = _sort_out(edges, number, period)
    if 2 * found["spurious"] > len(found["edges"]):
        return 0  # glitches are few
    border = np.flatnonzero(found["mark"])
    # Length of each run with the pulses missing inside it; those missing at a border may belong to either side.
    places = np.concatenate([[0], np.cumsum(1 + np.where(found["mark"], 0, found["missing"]))])
    lengths = np.diff(np.concatenate([[0], places[border + 1], [places[-1] + 1]]))
    spare = np.concatenate([[0], np.where(found["explained"], 0, found["missing"])[border], [0]])
    most = lengths + spare[:-1] + spare[1:]
    inner = np.ones(len(lengths), bool)
    if len(lengths) > 2:
        inner[[0, -1]] = False
        inner &= most > 1  # an edge alone in a pause begins nothing
    for n in in_run:
        whole = (lengths <= n) & (n <= most)
        if (most == 1).sum() <= _STRAYS * whole.sum() > 0 and 2 * (whole & inner).sum() >= inner.sum():
            return len(found["edges"])
    return 0


def _numbers(counter: np.ndarray | None, n: int, both: bool | None = None) -> tuple[np.ndarray, bool]:
    """Running number of each pulse by the counter, and whether the counter can be used.

    A whole turn of 4096 cannot be seen: a long pause is far likelier than so many lost edges.
    """
    if counter is None or n < 2 or (n < 3 and both is not False):
        return np.arange(n), True
    step = np.diff(counter) % _COUNTER
    if both is False and n < _FEW:
        # too few to see how the counter steps; it counts recorded edges, and all of them are of one direction
        return np.concatenate([[0], np.cumsum(np.maximum(step, 1))]), True
    sizes, times = np.unique(step, return_counts=True)
    # 1 where one direction is recorded, 2 where the detector counts rise and fall alike.
    usual = int(sizes[np.argmax(times)])
    if usual not in (1, 2) or times.max() < 0.5 * len(step):
        return np.arange(n), False
    return np.concatenate([[0], np.cumsum(np.maximum(step // usual, 1))]), True


def _glitches(edges: np.ndarray, number: np.ndarray, period: float) -> np.ndarray:
    """Edges that split one ordinary interval in two, or bounce after the last one before a pause."""
    glitch = np.zeros(len(edges), bool)
    if len(edges) < 3:
        return glitch
    intervals = np.diff(edges)
    off = np.abs(intervals - period)
    off_whole = np.abs(edges[2:] - edges[:-2] - period)
    # the edge excluded is the one whose absence makes an interval more regular
    split = (off_whole < 0.02 * period) & (off[:-1] > off_whole) & (off[1:] > off_whole)
    split[1:] &= ~split[:-1]
    # the last pulse of a burst is not a glitch, although a burst's last interval and a line add up to a line
    short = intervals < SHORT * period
    split[1:] &= ~(short[1:-1] & short[:-2])
    glitch[1:-1] = split
    bounce = np.flatnonzero(short[1:] & ~short[:-1]) + 2
    glitch[bounce[_before_pause(edges, number, period, bounce)]] = True
    return glitch


def _before_pause(edges: np.ndarray, number: np.ndarray, period: float, which: np.ndarray) -> np.ndarray:
    """Whether the interval after each edge is longer than the pulses missing in it explain, or no edge follows."""
    following = np.minimum(which + 1, len(edges) - 1)
    steps = number[following] - number[which]
    return (edges[following] - edges[which] > (steps + _LONG - 1) * period) | (following == which)


def _bursts(edges: np.ndarray, number: np.ndarray, period: float) -> np.ndarray:
    """Pulses followed by a short interval; the last one of all, or before a pause, belongs to what came before it."""
    short = np.diff(edges) < SHORT * period
    after = np.flatnonzero(short) + 1
    burst = np.append(short, False)
    burst[after[_before_pause(edges, number, period, after)]] = True
    return burst


def period_report(pulses: Pulses, what: str) -> dict:
    """Measured interval with its spread, for the metadata."""
    if not np.isfinite(pulses.period):
        return {}
    return {
        f"{what}_period": ticks_to_seconds(pulses.period),
        f"{what}_period_error": ticks_to_seconds(pulses.jitter),
    }


def gap_messages(pulses: Pulses, what: str) -> list[str]:
    """What the user has to know about repaired, lost and spurious edges."""
    messages = []
    if not pulses.counter_usable:
        messages.append(
            f"The counter of the {what} edges has no regular step: a missing edge cannot be distinguished from a pause."
        )
    if pulses.repaired:
        messages.append(
            f"{counted(pulses.repaired, f'missing {what} edge')} put back between the neighbours, as the edge "
            "counter says."
        )
    if pulses.lost.any():
        messages.append(
            f"{counted(int(pulses.lost.sum()), what)} missing where the gap does not show when they were scanned: the "
            "positions stay empty."
        )
    if pulses.unexplained:
        messages.append(
            f"{counted(pulses.unexplained, 'edge')} more missing by the edge counter than {what}s are put back or left "
            "empty for: the counter leaped, or they marked something else."
        )
    if pulses.moved:
        messages.append(
            f"{counted(pulses.moved, f'{what} edge')} at the beginning or end of a group out of step with the others: "
            "put in step."
        )
    if pulses.burst and what != "line":
        messages.append(f"{counted(pulses.burst, 'edge')} far quicker than {what}s come: excluded.")
    if pulses.spurious:
        messages.append(
            f"{counted(pulses.spurious, 'edge')} inside a {what}, or alone in a pause, taken as a glitch and excluded."
        )
    return messages
