"""Which period of each clock a packet belongs to: one time without rollovers.

Global time (81 days), control words (429 s), TDC edges (107 s) and hits (26.8 s) count from the same
zero. Each item, in stream order, is put into the period nearest to the latest time known from any
of them (sparse chips of a real quad deliver seconds late, so late and early are treated alike), so
that the widest clock present carries the narrower ones over gaps. The walk starts at the first item
of the widest clock and goes both ways from there, because nothing else tells which period the first
hits belong to. All chips share one reference: a chip with few hits could not be unwrapped on its own.
Two hits more than 13.4 s apart, with no other clock between them, cannot be told from nearer ones.

When the detector's clock was reset while data of the run before were still in the pipeline, global
time falls back. What came before is told by the nearer of the two clocks, and left out. Without global
time a reset shows in the trigger edges only: their counter leaps by a number that the time between
them does not explain. That is believed in the first half of a recording only: such data come at the start.
"""

import numpy as np

from rsciio_tpx3.compiled import njit
from rsciio_tpx3.events.clock import (
    CONTROL_PERIOD,
    PIXEL_PERIOD,
    TDC_PERIOD,
    TICKS_PER_SECOND,
    nearest_period,
)
from rsciio_tpx3.events.packets import edge_input
from rsciio_tpx3.tpx3.stream import COUNTER_LEAP, KIND_CONTROL, KIND_GLOBAL

__all__ = ["NO_TIME", "place_in_time"]

NO_TIME = np.iinfo(np.int64).min  # ticks of a mark whose packet carries no valid time

_BLOCK_KIND = 0
_COUNTER = 4096
_EARLY = 0.5  # share of the edges before which a leap may be a reset
_ENOUGH_EDGES = 16


def place_in_time(blocks, marks):
    """Make the times of blocks and marks absolute, and leave out what precedes a clock reset.

    Parameters
    ----------
    blocks, marks : numpy.ndarray of `stream.BLOCK` and of `stream.MARK`
        As the pass made them; not changed.

    Returns
    -------
    blocks, marks : numpy.ndarray
        Blocks with ``first`` in absolute ticks; marks likewise, those without a valid time as before.
    stale : tuple of int
        Hits and marks left out because they belong to the clock before a reset.
    """
    blocks, marks = blocks.copy(), marks.copy()
    if len(blocks) == 0:
        return blocks, marks, (0, 0)
    place, kind, ticks, carry = _items(blocks, marks)
    begin = _after_reset(kind, ticks)
    if begin == 0:
        begin = _after_counter_leap(marks, place, kind, ticks)
    _walk(kind[begin:], ticks[begin:], carry[begin:])
    at_mark, at_block = place[: len(marks)], place[len(marks) :]
    blocks["first"], marks["ticks"] = ticks[at_block], np.where(kind[at_mark] < 0, NO_TIME, ticks[at_mark])
    keep_block, keep_mark = at_block >= begin, at_mark >= begin
    stale = int(blocks["n_hits"][~keep_block].sum()), int((~keep_mark).sum())
    return blocks[keep_block], marks[keep_mark], stale


def _items(blocks, marks):
    """Marks and blocks in stream order as columns: place of each, kind, time and carry.

    A block stands where its first hit does: the marks before it tell the time by then.
    `carry` is what an item adds to its own time as a reference for the next: a block's last hit.
    A block without hits and a mark without a time have kind -1.
    """
    word = np.concatenate([marks["word"], blocks["first_word"]])
    kind = np.concatenate([marks["kind"].astype(np.int64), np.full(len(blocks), _BLOCK_KIND)])
    ticks = np.concatenate([marks["ticks"], blocks["first"]])
    carry = np.concatenate([np.zeros(len(marks), np.int64), blocks["last"]])
    kind[np.concatenate([marks["ticks"] < 0, blocks["n_hits"] == 0])] = -1
    order = np.argsort(word, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place, kind[order], ticks[order], carry[order]


def _after_reset(kind, ticks):
    """Index of the first item that follows the last fall-back of global time."""
    at = np.flatnonzero(kind == KIND_GLOBAL)
    # one second is far beyond any disorder between chips, and far below any restart worth keeping
    falls = np.flatnonzero(np.diff(ticks[at]) < -TICKS_PER_SECOND)
    if len(falls) == 0:
        return 0
    old, new = at[falls[-1]], at[falls[-1] + 1]
    return _first_nearer(kind, ticks, old, new)


def _after_counter_leap(marks, place, kind, all_ticks):
    """Index of the item where the trigger counter starts anew, early in the recording; else 0."""
    edges = np.flatnonzero(marks["ticks"] >= 0)
    edges = edges[(marks["kind"][edges] > KIND_CONTROL)]
    if len(edges) < _ENOUGH_EDGES:
        return 0
    # one chip and input, since copies on other chips come in their own time
    first = marks[edges[0]]
    same_input = edge_input(marks["kind"][edges]) == edge_input(first["kind"])
    edges = edges[(marks["chip"][edges] == first["chip"]) & same_input]
    counter, ticks = marks["counter"][edges].astype(np.int64), marks["ticks"][edges]
    step = np.diff(counter) % _COUNTER
    pause = (np.diff(ticks) + TDC_PERIOD // 2) % TDC_PERIOD - TDC_PERIOD // 2
    ordinary = step == 1
    if ordinary.mean() < 0.5:
        return 0
    # the mean, since with both directions recorded there are two kinds of pause
    explained = pause / pause[ordinary].mean()
    leaps = np.flatnonzero(
        (step > COUNTER_LEAP) & (step < _COUNTER - COUNTER_LEAP) & (np.abs(explained - step) > 0.5 * step)
    )
    early = leaps[leaps < _EARLY * len(edges)]
    if len(early) == 0:
        return 0
    old, new = place[edges[early[-1]]], place[edges[early[-1] + 1]]
    if (kind[new:] == KIND_GLOBAL).any() and (kind[:old] == KIND_GLOBAL).any():
        return 0  # global time goes on across the leap: edges were lost, the clock was not reset
    return _first_nearer(kind, all_ticks, old, new)


@njit(cache=True)
def _period(kind):
    if kind == _BLOCK_KIND:
        return PIXEL_PERIOD
    if kind == KIND_CONTROL:
        return CONTROL_PERIOD
    return TDC_PERIOD


@njit(cache=True)
def _first_nearer(kind, ticks, old, new):
    """First item after `old` whose time fits the clock read at `new` better than that at `old`."""
    for i in range(old + 1, new):
        if kind[i] < 0 or kind[i] == KIND_GLOBAL:
            continue
        period = _period(kind[i])
        from_old = abs(nearest_period(ticks[i], ticks[old], period) - ticks[old])
        from_new = abs(nearest_period(ticks[i], ticks[new], period) - ticks[new])
        if from_new < from_old:
            return i
    return new


@njit(cache=True)
def _anchor(kind):
    """The first item of the widest clock that occurs; -1 where nothing has a time."""
    first_control = first_tdc = first_block = -1
    for i in range(len(kind)):
        if kind[i] == KIND_GLOBAL:
            return i
        if kind[i] == KIND_CONTROL and first_control < 0:
            first_control = i
        elif kind[i] > KIND_CONTROL and first_tdc < 0:
            first_tdc = i
        elif kind[i] == _BLOCK_KIND and first_block < 0:
            first_block = i
    if first_control >= 0:
        return first_control
    return first_tdc if first_tdc >= 0 else first_block


@njit(cache=True)
def _walk(kind, ticks, carry):
    """Replace wrapped by absolute times, in place, from the anchor forwards and backwards."""
    anchor = _anchor(kind)
    if anchor < 0:
        return
    reference = ticks[anchor] + carry[anchor]
    for i in range(anchor + 1, len(kind)):
        if kind[i] < 0:
            continue
        if kind[i] != KIND_GLOBAL:
            ticks[i] = nearest_period(ticks[i], reference, _period(kind[i]))
        reference = ticks[i] + carry[i]
    reference = ticks[anchor]
    for i in range(anchor - 1, -1, -1):
        if kind[i] < 0:
            continue
        if kind[i] != KIND_GLOBAL:
            last = nearest_period(ticks[i] + carry[i], reference, _period(kind[i]))
            ticks[i] = last - carry[i]
        reference = ticks[i]
