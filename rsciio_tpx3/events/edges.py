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
    counter_usable : bool
        Whether the edges are numbered; without it missing ones cannot be told from pauses.
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
    """The pulses of one edge kind, with what its counter says is missing.

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
    own = edges.select(tdc)
    ticks, counter = own.ticks[first:], own.counter[first:].astype(np.int64)
    if len(ticks) == 0:
        raise ScanSyncError(f"first_line={first} passes over all {counted(len(own), f'{tdc} edge')}.")
    return regular_pulses(ticks, counter)


def regular_pulses(edges, counter=None):
    """Sort out a series of edges of one kind.

    Parameters
    ----------
    edges : numpy.ndarray of int64, shape (n,), n >= 1
        Times of one kind of edge, ascending.
    counter : numpy.ndarray of int64, shape (n,), optional
        The detector's number of each edge, modulo 4096. It may count every edge of the input, so that it
        steps by two where rise and fall are recorded; a counter without a regular step is not used.

    Returns
    -------
    Pulses
    """
    period = _typical_interval(edges)
    number, usable = _numbers(counter, len(edges))
    glitch = _glitches(edges, period)
    n_glitches = int(glitch.sum())
    edges, number = edges[~glitch], (number - np.cumsum(glitch))[~glitch]
    burst = _bursts(edges, period)
    mark = np.concatenate([[False], burst[:-1]])[~burst]
    edges, number = edges[~burst], number[~burst]
    intervals = np.diff(edges)
    # what is missing in a burst is no line
    missing = np.where(mark, 0, np.diff(number, prepend=number[0] - 1) - 1)
    long = np.concatenate([[False], intervals > _LONG * period])
    ticks, lost, run = [edges[:1]], [np.zeros(1, bool)], [np.zeros(1, np.int64)]
    n_runs = n_repaired = last = 0
    for i in np.flatnonzero(long | mark):
        if i == 0:
            continue
        _append(ticks, lost, run, edges[last + 1 : i], n_runs)
        n_missing, interval = int(missing[i]), intervals[i - 1]
        if n_missing and abs(interval - (n_missing + 1) * period) < _FIT * period:
            steps = np.arange(1, n_missing + 1) * (interval / (n_missing + 1))
            _append(ticks, lost, run, edges[i - 1] + np.round(steps).astype(np.int64), n_runs)
            n_repaired += n_missing
        else:
            if n_missing:
                # a gap longer than the missing pulses explain: they count, but nobody knows where they were
                _append(ticks, lost, run, np.full(n_missing, edges[i]), n_runs, lost_here=True)
            if mark[i] or interval > (n_missing + _LONG) * period:
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
        spurious=n_glitches,
        burst=int(burst.sum()),
        counter_usable=usable,
    )


def _numbers(counter, n):
    """Running number of each pulse by the counter, and whether the counter can be used.

    A whole turn of 4096 cannot be seen: a long pause is far likelier than so many lost edges.
    """
    if counter is None or n < 3:
        return np.arange(n), True
    step = np.diff(counter) % _COUNTER
    sizes, times = np.unique(step, return_counts=True)
    usual = int(sizes[np.argmax(times)])
    if usual not in (1, 2) or times.max() <= 0.5 * len(step):
        return np.arange(n), False
    return np.concatenate([[0], np.cumsum(np.maximum(step // usual, 1))]), True


def _append(ticks, lost, run, times, number, lost_here=False):
    ticks.append(times)
    lost.append(np.full(len(times), lost_here))
    run.append(np.full(len(times), number, np.int64))


def _typical_interval(edges):
    """The interval that a series is made of, although bursts may be more and pauses longer.

    Intervals of like length form groups, and the heaviest group wins. Each interval weighs the square
    root of its length: many short ones of a burst then count little, and so do a few long pauses. A
    group of one or two is a pause, where a larger one exists.
    """
    intervals = np.sort(np.diff(edges)).astype(np.float64)
    if len(intervals) == 0:
        return np.inf
    intervals = np.maximum(intervals, 1)
    borders = np.flatnonzero(intervals[1:] > _ALIKE * intervals[:-1]) + 1
    groups = np.split(intervals, borders)
    many = [group for group in groups if len(group) > max(2, 0.01 * len(intervals))]
    return float(np.median(max(many or groups, key=lambda group: np.sqrt(group).sum())))


def _glitches(edges, period):
    """Edges that split one ordinary interval in two, or bounce after the last one."""
    glitch = np.zeros(len(edges), bool)
    if len(edges) < 3:
        return glitch
    intervals = np.diff(edges)
    whole = edges[2:] - edges[:-2]
    split = (np.abs(whole - period) < 0.02 * period) & (intervals[:-1] < 0.98 * period)
    split[1:] &= ~split[:-1]
    # the last pulse of a burst is no glitch, although a burst's last interval and a line add up to a line
    short = intervals < _SHORT * period
    split[1:] &= ~(short[1:-1] & short[:-2])
    glitch[1:-1] = split
    glitch[-1] = short[-1] and not short[-2]
    return glitch


def _bursts(edges, period):
    """Pulses followed by a short interval; the last one of all belongs to what came before it."""
    short = np.diff(edges) < _SHORT * period
    return np.concatenate([short, short[-1:]]) if len(short) else np.zeros(len(edges), bool)


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
    if not pulses.counter_usable:
        messages.append(
            f"The counter of the {what} edges has no regular step: a missing edge cannot be told from a pause."
        )
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
