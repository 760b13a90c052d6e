"""Trigger edges to a complete, regular series of pulses: what is spurious, missing, or a mark.

Scan generators mark lines (or pixels) with pulses. In a recording some are missing, some are extra,
and some mean something else: the real raster in the tests ends each frame with a burst of 142 pulses
0.16 us apart. The detector's 12-bit counter tells how many edges of an input are missing between two
that were recorded, so a gap in time is either explained (missing pulses, put back) or it is the
flyback between two frames.
"""

from dataclasses import dataclass

import numpy as np

from rsciio_tpx3.events.clock import ticks_to_seconds
from rsciio_tpx3.events.packets import EDGE_CODES
from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.wording import counted

__all__ = ["Pulses", "gap_messages", "other_direction", "period_report", "pulses_of", "regular_pulses"]

_SHORT = 0.25  # of the period: anything closer is no line of its own
_LONG = 1.5  # of the period: anything longer holds missing pulses or a frame flyback
_FIT = 0.25  # of the period: how well missing pulses must explain a long gap
_ALIKE = 1.3  # intervals of one kind follow each other this closely when sorted
_COUNTER = 4096


@dataclass(frozen=True)
class Pulses:
    """Start times of lines (or pixels), grouped into runs between frame marks.

    Attributes
    ----------
    ticks : numpy.ndarray of int64, shape (n,)
        Ascending, with the missing ones put back.
    lost : numpy.ndarray of bool, shape (n,)
        Pulses known from the counter whose time cannot be told: they take a place and no hits.
    run : numpy.ndarray of int64, shape (n,)
        Number of the run a pulse belongs to; a new one begins after each frame mark.
    period : float
        Ticks from pulse to pulse.
    jitter : float
        Standard deviation of that interval, ticks.
    found, repaired, spurious, burst : int
        Pulses kept as recorded, put back, dropped as glitches, and part of bursts.
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

    def __len__(self):
        return len(self.ticks)

    @property
    def run_lengths(self):
        """Pulses in each run."""
        return np.bincount(self.run) if len(self.run) else np.zeros(0, np.int64)


def other_direction(tdc):
    """The opposite edge of the same input."""
    return tdc[:5] + ("fall" if tdc.endswith("rise") else "rise")


def pulses_of(edges, tdc, first=0):
    """The pulses of one edge kind, with what its input's counter says is missing.

    Parameters
    ----------
    edges : rsciio_tpx3.events.source.Edges
    tdc : str
        Edge kind, such as "tdc1-rise".
    first : int
        Edges to pass over.

    Returns
    -------
    Pulses

    Raises
    ------
    ScanSyncError
        If no edge is left.
    """
    own_input = (edges.code == EDGE_CODES[tdc]) | (edges.code == EDGE_CODES[other_direction(tdc)])
    code, counter = edges.code[own_input], edges.counter[own_input].astype(np.int64)
    ticks = edges.ticks[own_input]
    step = np.diff(counter) % 4096
    per_pulse = len(np.unique(code))
    wanted = code == EDGE_CODES[tdc]
    # a counter that mostly stands still or leaps is none: nothing can be said about missing edges
    usable = len(step) == 0 or np.mean(step == 1) > 0.5
    missing = None
    if usable:
        total = np.cumsum(np.concatenate([[0], step - 1]))
        missing = np.diff(total[wanted], prepend=0)
    starts = ticks[wanted][first:]
    if len(starts) == 0:
        raise ScanSyncError(f"first_line={first} passes over all {int(wanted.sum())} {tdc} edges.")
    if missing is not None:
        missing = missing[first:]
    return regular_pulses(starts, missing, per_pulse)


def regular_pulses(edges, missing_before, per_pulse=1):
    """Sort out a series of edges of one kind.

    Parameters
    ----------
    edges : numpy.ndarray of int64, shape (n,), n >= 1
        Times of one kind of edge, ascending.
    missing_before : numpy.ndarray of int64, shape (n,), or None
        Edges of the same input that the counter says are missing since the edge before, modulo
        4096; None where counters cannot be used.
    per_pulse : int
        Recorded edges a pulse makes on its input: 2 where rise and fall are recorded.

    Returns
    -------
    Pulses
    """
    missing = np.zeros(len(edges), np.int64) if missing_before is None else missing_before
    period = _typical_interval(edges)
    edges, missing, n_spurious = _without_glitches(edges, missing, period)
    edges, missing, mark, n_burst = _without_bursts(edges, missing, period)
    intervals = np.diff(edges)
    long = np.concatenate([[False], intervals > _LONG * period])
    ticks, lost, run = [edges[:1]], [np.zeros(1, bool)], [np.zeros(1, np.int64)]
    n_runs = n_repaired = 0
    last = 0
    for i in np.flatnonzero(long | mark):
        if i == 0:
            continue
        _append(ticks, lost, run, edges[last + 1 : i], n_runs)
        n_missing = 0 if missing_before is None else _whole_pulses(missing[i], per_pulse, intervals[i - 1], period)
        if n_missing and not mark[i] and abs(intervals[i - 1] - (n_missing + 1) * period) < _FIT * period:
            between = edges[i - 1] + np.round(
                np.arange(1, n_missing + 1) * (intervals[i - 1] / (n_missing + 1))
            ).astype(np.int64)
            _append(ticks, lost, run, between, n_runs)
            n_repaired += n_missing
        else:
            if n_missing:
                # a gap longer than the missing pulses explain: they count, but nobody knows where they were
                _append(ticks, lost, run, np.full(n_missing, edges[i]), n_runs, lost_here=True)
            if mark[i] or intervals[i - 1] > (n_missing + _LONG) * period:
                n_runs += 1
        _append(ticks, lost, run, edges[i : i + 1], n_runs)
        last = i
    _append(ticks, lost, run, edges[last + 1 :], n_runs)
    ordinary = intervals[(intervals < _LONG * period) & (intervals > _SHORT * period)]
    return Pulses(
        ticks=np.concatenate(ticks),
        lost=np.concatenate(lost),
        run=np.concatenate(run),
        period=float(ordinary.mean()) if len(ordinary) else float(period),
        jitter=float(ordinary.std()) if len(ordinary) else 0.0,
        found=len(edges),
        repaired=n_repaired,
        spurious=n_spurious,
        burst=n_burst,
    )


def _append(ticks, lost, run, times, number, lost_here=False):
    ticks.append(times)
    lost.append(np.full(len(times), lost_here))
    run.append(np.full(len(times), number, np.int64))


def _typical_interval(edges):
    """The interval that a series is made of, although bursts may be more and pauses longer.

    Intervals of like length form groups, and the heaviest group wins. Each interval weighs the square
    root of its length: many short ones of a burst then count little, and so do a few long pauses.
    """
    intervals = np.sort(np.diff(edges)).astype(np.float64)
    if len(intervals) == 0:
        return np.inf
    intervals = np.maximum(intervals, 1)
    borders = np.flatnonzero(intervals[1:] > _ALIKE * intervals[:-1]) + 1
    groups = np.split(intervals, borders)
    return float(np.median(max(groups, key=lambda group: np.sqrt(group).sum())))


def _without_glitches(edges, missing, period):
    """Drop edges that split one ordinary interval in two."""
    if len(edges) < 3:
        return edges, missing, 0
    whole = edges[2:] - edges[:-2]
    intervals = np.diff(edges)
    split = (np.abs(whole - period) < 0.02 * period) & (intervals[:-1] < 0.98 * period)
    split[1:] &= ~split[:-1]
    # the last pulse of a burst is no glitch, although a burst's last interval and a line add up to a line
    short = intervals < _SHORT * period
    split[1:] &= ~(short[1:-1] & short[:-2])
    glitch = np.concatenate([[False], split, [False]])
    missing = _carry_over(missing, glitch)
    return edges[~glitch], missing, int(glitch.sum())


def _without_bursts(edges, missing, period):
    """Drop pulses followed by a short interval; mark the first line after each burst."""
    short = np.diff(edges) < _SHORT * period
    burst = np.concatenate([short, short[-1:]])  # the last edge belongs to what came before it
    if len(burst) < len(edges):
        burst = np.zeros(len(edges), bool)
    mark = np.concatenate([[False], burst[:-1]])[~burst]
    return edges[~burst], _carry_over(missing, burst), mark, int(burst.sum())


def _carry_over(missing, dropped):
    """Add what is missing before a dropped edge to the next kept one."""
    total = np.cumsum(missing)[~dropped]
    return np.diff(total, prepend=0)


def _whole_pulses(missing_edges, per_pulse, interval, period):
    """Missing pulses: the counter gives their number modulo 4096, the gap its order of magnitude."""
    n = -(-int(missing_edges) // per_pulse)
    turn = _COUNTER // per_pulse
    expected = round(interval / period) - 1
    if expected > n:
        n += turn * round((expected - n) / turn)
    return n


def period_report(pulses, what):
    """Measured interval with its spread, for the metadata."""
    if not np.isfinite(pulses.period):
        return {}
    return {
        f"{what}_period": ticks_to_seconds(pulses.period),
        f"{what}_period_error": ticks_to_seconds(pulses.jitter),
    }


def gap_messages(pulses, what):
    """What the user has to be told about repaired, lost and spurious edges."""
    messages = []
    if pulses.repaired:
        messages.append(
            f"{counted(pulses.repaired, f'missing {what} edge')} put back between the neighbours, as the edge "
            "counter says."
        )
    if pulses.lost.any():
        messages.append(
            f"{counted(int(pulses.lost.sum()), what)} missing where the gap does not tell when they were scanned: the "
            "positions stay empty."
        )
    if pulses.spurious:
        messages.append(f"{counted(pulses.spurious, 'edge')} inside a {what} taken as a glitch and left out.")
    return messages
