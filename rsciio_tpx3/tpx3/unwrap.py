"""Which period of each clock a packet belongs to: one time without rollovers.

Global time (81 days), control words (429 s), TDC edges (107 s) and hits (26.8 s) count from the same
zero, and each period is a multiple of the shortest. So all of them show the same *phase*, their time modulo
26.8 s, and the wider ones tell how many times it went round. Both are found from many times together, since any
one may be wrong:

1. The phase is followed in stream order, all chips together (sparse chips of a real quad deliver seconds late, so
   late and early are treated alike), each time to the period nearest to the one before. A time that leaves the
   others and comes back is out of place: it leads nobody, see `contradicted`.
2. The number of turns that a wider clock tells is believed where the next ones of its kind tell the same, or where
   the phase itself leapt: there was a pause. A pause that shows too late is put where the phase leapt.

3. Hits alone cannot tell how often their clock went round in a pause. On one chip it goes forward; a hit that stands
   alone at a pause leads nobody; and the pause is reported, see `silences`.

Most recordings have nothing to decide, see `undoubted`.

When the detector's clock was reset while data of the run before were still in the pipeline, its time steps
back for good; see `resets`. What came before is timed by the nearer of the two clocks, and excluded or kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsciio_tpx3.tpx3.contradicted import global_falls, out_of_place, out_of_turn
from rsciio_tpx3.tpx3.packets import edge_input
from rsciio_tpx3.tpx3.resets import after_last_reset
from rsciio_tpx3.tpx3.silences import SHORTEST, uncertain_pauses
from rsciio_tpx3.tpx3.stream import KIND_CONTROL, KIND_GLOBAL
from rsciio_tpx3.tpx3.undoubted import place_undoubted
from rsciio_tpx3.utils.clock import CONTROL_PERIOD, PIXEL_PERIOD, TDC_PERIOD, TICKS_PER_SECOND, nearest_period
from rsciio_tpx3.utils.compiled import njit

__all__ = ["NO_TIME", "Excluded", "pauses_of", "place_in_time"]

NO_TIME = np.iinfo(np.int64).min  # ticks of a mark whose packet carries no valid time

_BLOCK_KIND = 0
_BACK = 1 << 12  # items among which a pause is looked for: clocks that are all wrong cost no more than that each
_AHEAD = 8  # wide clocks compared before one of them is believed
_TOLERANCE = TICKS_PER_SECOND  # far beyond any disorder between chips, far below any restart worth keeping
_OUTVOTED = 64  # hits around for each hit that is called wrong
_PAUSE = TICKS_PER_SECOND // 4  # leaps of the phase that may hide turns
_LATE = PIXEL_PERIOD // 4  # hits may be so late; what is nearer misleads nobody about the period


@dataclass(frozen=True)
class Excluded:
    """What of a recording has no place in time, in numbers.

    Attributes
    ----------
    hits_before_reset, marks_before_reset : int
        Of the clock before a reset.
    hits_out_of_time, edges_out_of_time, clock_words_out_of_time : int
        Whose time is contradicted by the times before and after it.
    pauses_uncertain : tuple of (int, int)
        When a pause begins and how long it reads, ticks, where no clock tells its turns.
    """

    hits_before_reset: int = 0
    marks_before_reset: int = 0
    hits_out_of_time: int = 0
    edges_out_of_time: int = 0
    clock_words_out_of_time: int = 0
    pauses_uncertain: tuple = ()


def place_in_time(
    blocks: np.ndarray, marks: np.ndarray, keep_before_reset: bool = False
) -> tuple[np.ndarray, np.ndarray, Excluded]:
    """Make the times of blocks and marks absolute; exclude what precedes a clock reset, and what is out of time.

    Parameters
    ----------
    blocks, marks : numpy.ndarray of `stream.BLOCK` and of `stream.MARK`
        As the pass made them; not changed.
    keep_before_reset : bool
        Keep what precedes a reset, at times that end between 1 and 28 s before the first time after it.

    Returns
    -------
    blocks, marks : numpy.ndarray
        Blocks with ``first`` in absolute ticks; marks likewise, `NO_TIME` where they have none.
    excluded : Excluded
    """
    if len(blocks) == 0:
        return blocks, marks, Excluded()
    undoubted = place_undoubted(blocks, marks, NO_TIME)
    blocks, marks = blocks.copy(), marks.copy()
    if undoubted is None:
        return _place_with_care(blocks, marks, keep_before_reset)
    blocks["first"], marks["ticks"], longest = undoubted
    pauses = pauses_of(blocks, marks) if longest > SHORTEST else ()
    return blocks, marks, Excluded(pauses_uncertain=pauses)


def _place_with_care(
    blocks: np.ndarray, marks: np.ndarray, keep_before_reset: bool
) -> tuple[np.ndarray, np.ndarray, Excluded]:
    place, kind, ticks, block = _items(blocks, marks)
    at_mark, at_block = place[: len(marks)], place[len(marks) :]
    # Phase 1: which items have a time that cannot be theirs, and from where on the last clock runs.
    begin, wrong, alone = _clean(kind, ticks, block, blocks, marks, at_mark)
    if begin and keep_before_reset:
        wrong[:begin] = _place_before(kind, ticks, block, blocks, marks, at_mark, begin)
        begin = 0
    blocks["first"], marks["ticks"] = ticks[at_block], np.where(kind[at_mark] < 0, NO_TIME, ticks[at_mark])
    # Phase 2: edges, whose order says more than their neighbours' times.
    late_edges = _edges_out_of_turn(marks, at_mark >= begin)
    wrong[at_mark[late_edges]] = True
    # Phase 3: what is excluded, and why. A block of many hits is not excluded for one wrong time in it.
    keep_block, keep_mark = at_block >= begin, at_mark >= begin
    wrong_block = _outvoted(blocks["n_hits"], wrong[at_block]) & keep_block
    wrong_mark = wrong[at_mark] & keep_mark
    sound_block, sound_mark = keep_block & ~wrong_block, keep_mark & ~wrong_mark
    leading = sound_block & ~alone[at_block]
    excluded = Excluded(
        int(blocks["n_hits"][~keep_block].sum()),
        int((~keep_mark).sum()),
        int(blocks["n_hits"][wrong_block].sum()),
        int((wrong_mark & (marks["kind"] > KIND_CONTROL)).sum()),
        int((wrong_mark & (marks["kind"] <= KIND_CONTROL)).sum()),
        pauses_of(blocks[leading], marks[sound_mark]),
    )
    return blocks[sound_block], marks[sound_mark], excluded


def pauses_of(blocks: np.ndarray, marks: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Pauses whose turns no clock tells, of blocks and marks in absolute time; see `Excluded`."""
    full = blocks[blocks["n_hits"] > 0]
    timed = marks["ticks"][marks["ticks"] != NO_TIME]
    wide = np.zeros(len(full) + len(timed), bool)
    wide[len(full) :] = True
    starts = np.concatenate([full["first"] + full["low"], timed])
    ends = np.concatenate([full["first"] + full["high"], timed])
    counts = np.concatenate([full["n_hits"], np.ones(len(timed), np.int64)])
    return tuple(uncertain_pauses(starts, ends, counts, wide))


def _items(blocks: np.ndarray, marks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Marks and blocks in stream order as columns: place of each mark and block, kind, time and number of the block.

    A block stands where its first hit does, since the marks before it tell the time by then, and once more where it
    ends, with the time of its last hit. A block without hits and a mark without a time have kind -1.
    """
    word = np.concatenate([marks["word"], blocks["first_word"], blocks["start"] + blocks["n_words"] - 1])
    kind = np.concatenate([marks["kind"].astype(np.int64), np.full(2 * len(blocks), _BLOCK_KIND)])
    ticks = np.concatenate([marks["ticks"], blocks["first"], blocks["first"] + blocks["last"]])
    kind[np.concatenate([marks["ticks"] < 0, blocks["n_hits"] == 0, blocks["n_hits"] < 2])] = -1
    number = np.arange(len(blocks))
    block = np.concatenate([np.full(len(marks), -1), number, number])
    order = np.argsort(word, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place[: len(marks) + len(blocks)], kind[order], ticks[order], block[order]


def _clean(
    kind: np.ndarray, ticks: np.ndarray, block: np.ndarray, blocks: np.ndarray, marks: np.ndarray, at_mark: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray]:
    """Place what follows the last reset, in place; where it begins, what is out of place, and what leads nobody."""
    wrong = np.zeros(len(kind), bool)
    of_global = np.flatnonzero(kind == KIND_GLOBAL)
    out, falls = global_falls(ticks[of_global], _TOLERANCE)
    wrong[of_global[out]] = True
    steps, leaps, alone = _phases_out(kind, ticks, block, blocks, wrong)
    begin, denied = after_last_reset(kind, ticks, leaps, of_global, falls, marks, at_mark)
    if begin:
        # what was taken for wrong may be the border, and what is new has its own neighbours
        own = np.zeros(len(kind) - begin, bool)
        of_global = np.flatnonzero(kind[begin:] == KIND_GLOBAL)
        own[of_global[global_falls(ticks[begin:][of_global], _TOLERANCE)[0]]] = True
        steps[begin:], leaps[begin:], alone[begin:] = _phases_out(
            kind[begin:], ticks[begin:], block[begin:], blocks, own
        )
        wrong[begin:] = own
    wrong[denied] = True
    one_chip = len(np.unique(blocks["chip"])) == 1
    _place(*(column[begin:] for column in (kind, ticks, block, wrong, steps, leaps, alone)), one_chip)
    return begin, wrong, alone


def _place_before(
    kind: np.ndarray,
    ticks: np.ndarray,
    block: np.ndarray,
    blocks: np.ndarray,
    marks: np.ndarray,
    at_mark: np.ndarray,
    begin: int,
) -> np.ndarray:
    """Place what precedes a reset, in place, so that it ends before what follows; what in it is out of place."""
    old = slice(0, begin)
    sure = marks[at_mark < begin], at_mark[at_mark < begin]
    first, wrong, _ = _clean(kind[old], ticks[old], block[old], blocks, *sure)
    if first:
        wrong[:first] = _place_before(kind[old], ticks[old], block[old], blocks, *sure, first)
    timed = np.flatnonzero((kind[old] >= 0) & ~wrong)
    after = np.flatnonzero(kind[begin:] >= 0) + begin
    if len(timed) and len(after):
        latest = int(np.max(ticks[timed]))
        needed = latest - int(np.min(ticks[after])) + TICKS_PER_SECOND
        # whole periods, since decoding a hit takes its time modulo the period from the word
        ticks[old] -= -(-needed // PIXEL_PERIOD) * PIXEL_PERIOD
    return wrong


def _phases_out(
    kind: np.ndarray, ticks: np.ndarray, block: np.ndarray, blocks: np.ndarray, wrong: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mark in `wrong` what is out of place among times of its own kind, and of all; how the phase steps and leaps.

    Returns
    -------
    steps : numpy.ndarray of int64
    leaps, alone : numpy.ndarray of bool
        Where the phase leapt, and what nothing after it goes on from.
    """
    for wide, period in ((kind == KIND_CONTROL, CONTROL_PERIOD), (kind > KIND_CONTROL, TDC_PERIOD)):
        at = np.flatnonzero(wide)
        none, one = np.zeros(len(at), bool), np.ones(len(at), np.int64)
        out, _, _, _ = out_of_place(ticks[at], none, one, period, _LATE)
        wrong[at[out]] = True
    at = np.flatnonzero((kind >= 0) & ~wrong)
    number = block[at]
    inner = np.zeros(len(at), bool)  # the last hit of a block goes on from its first
    inner[1:] = (number[1:] >= 0) & (number[1:] == number[:-1])
    counts = np.where(number >= 0, blocks["n_hits"][number], 1).astype(np.int64)
    out, stepping, leaping, lone = out_of_place(ticks[at], inner, counts, PIXEL_PERIOD, _LATE)
    wrong[at[out]] = True
    steps, leaps, alone = np.zeros(len(kind), np.int64), np.zeros(len(kind), bool), np.zeros(len(kind), bool)
    steps[at], leaps[at], alone[at] = stepping, leaping, lone
    return steps, leaps, alone


def _place(
    kind: np.ndarray,
    ticks: np.ndarray,
    block: np.ndarray,
    wrong: np.ndarray,
    steps: np.ndarray,
    leaps: np.ndarray,
    alone: np.ndarray,
    one_chip: bool,
) -> None:
    """Replace wrapped by absolute times, in place; what contradicts the wide clocks is marked in `wrong`."""
    wide = np.flatnonzero((kind > 0) & ~wrong)
    turned = _follow(kind, ticks, block, wrong | alone, leaps & (steps > _PAUSE), one_chip and len(wide) == 0)
    width = np.where(kind[wide] == KIND_GLOBAL, 0, np.where(kind[wide] == KIND_CONTROL, 16, 4))
    turns = (ticks[wide] - turned[wide]) // PIXEL_PERIOD
    shift, out = _turns(wide, width, turns, steps, leaps & (steps > _PAUSE))
    wrong[wide[out]] = True
    timed = kind >= 0
    ticks[timed] = (turned + np.cumsum(shift) * PIXEL_PERIOD)[timed]


@njit(cache=True)
def _follow(
    kind: np.ndarray, ticks: np.ndarray, block: np.ndarray, aside: np.ndarray, leaps: np.ndarray, in_order: bool
) -> np.ndarray:
    """Times continued from one to the next by the period of hits alone, beginning at any turn.

    Those set aside lead nobody. Where the hits come `in_order`, those of one chip, a leap goes forward.
    """
    turned = np.zeros(len(kind), np.int64)
    first, before = -1, -1
    reference = np.int64(0)
    for i in range(len(kind)):
        if kind[i] < 0:
            continue
        if first < 0:
            if aside[i]:
                continue
            first, turned[i] = i, min(ticks[i], ticks[i] % PIXEL_PERIOD)  # those of the first 25 ns stay below zero
        elif aside[i] and before >= 0 and aside[before] and block[i] >= 0 and block[i] == block[before]:
            turned[i] = nearest_period(ticks[i], turned[before], PIXEL_PERIOD)  # one block, one turn
        else:
            turned[i] = nearest_period(ticks[i], reference, PIXEL_PERIOD)
            if in_order and leaps[i] and not aside[i] and turned[i] < reference - _TOLERANCE:
                turned[i] += PIXEL_PERIOD
        if not aside[i]:
            reference = turned[i]
        before = i
    # Those set aside before the first: backwards from it.
    reference = turned[max(first, 0)]
    for i in range(first - 1, -1, -1):
        if kind[i] >= 0:
            turned[i] = nearest_period(ticks[i], reference, PIXEL_PERIOD)
    return turned


@njit(cache=True)
def _same(turns: int, other: int, width: int) -> bool:
    """Whether two numbers of turns agree on a clock that counts `width` of them, or all where it is 0."""
    return turns == other if width == 0 else (turns - other) % width == 0


@njit(cache=True)
def _wider(width: int, other: int) -> bool:
    """Whether a clock counts more turns than another; 0 counts all of them."""
    return other != 0 and (width == 0 or width > other)


@njit(cache=True)
def _largest_step(steps: np.ndarray, after: int, until: int) -> int:
    """The item with the largest step among those after one item and until another: where a pause was, if any."""
    found = -1
    for i in range(after + 1, until + 1):
        if found < 0 or steps[i] > steps[found]:
            found = i
    return found


@njit(cache=True)
def _leapt(leaps: np.ndarray, after: int, until: int) -> bool:
    """Whether the phase leapt after one item and until another."""
    for i in range(after + 1, until + 1):
        if leaps[i]:
            return True
    return False


@njit(cache=True)
def _support(
    wide: np.ndarray, width: np.ndarray, turns: np.ndarray, leaps: np.ndarray, k: int, old: int, new: int
) -> tuple[int, int, int]:
    """How many of the next clocks at least as wide as number `k` agree with the old and with the new turns.

    Those after another leap say nothing: there may have been turns in it.
    """
    for_old = for_new = n = 0
    for j in range(k + 1, len(turns)):
        if _leapt(leaps, wide[j - 1], wide[j]):
            break
        if _wider(width[k], width[j]):
            continue
        for_old += _same(turns[j], old, width[j])
        for_new += _same(turns[j], new, width[j])
        n += 1
        if n == _AHEAD:
            break
    return for_old, for_new, n


@njit(cache=True)
def _turns(
    wide: np.ndarray, width: np.ndarray, turns: np.ndarray, steps: np.ndarray, leaps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How many turns are to be added, and from which item on; and the wide clocks that the others contradict.

    Parameters
    ----------
    wide : numpy.ndarray of int64, shape (n,)
        Items that are wide clocks.
    width, turns : numpy.ndarray of int64, shape (n,)
        How many turns each can count (0: all), and how many it tells beyond what was followed.
    steps, leaps : numpy.ndarray of int64 and of bool
        Of the phase, for every item; see `out_of_place`.
    """
    shift = np.zeros(len(leaps), np.int64)
    out = np.zeros(len(wide), np.bool_)
    now, known = np.int64(0), np.int64(1)
    agreed = np.full(3, -1, np.int64)  # last item that agreed, of clocks that count all turns, 16, or fewer
    for k in range(len(wide)):
        w, at = width[k], wide[k]
        rank = 0 if w == 0 else (1 if w == 16 else 2)
        if _wider(w, known):  # the first of a wider clock: it tells the turns of all before it
            _, same, n = _support(wide, width, turns, leaps, k, now, turns[k])
            if 2 * same < n and _agree_otherwise(wide, width, turns, leaps, k):
                out[k] = True
                continue
            since = max(agreed.max(), at - _BACK)
            # Turns within the range of the clock before are missing since it last agreed, likely at the longest step;
            # multiples of its range are missing from the beginning on.
            rest = _nearest_turns(turns[k] - now, known)
            if rest:
                shift[_largest_step(steps, since, at)] += rest
            shift[0] += turns[k] - now - rest
            now, known = turns[k], w
        else:
            step = _nearest_turns(turns[k] - now, w)
            if step:
                since = max(agreed[rank], at - _BACK)
                paused, pause = _leapt(leaps, since, at), _largest_step(steps, since, at)
                if paused and w:
                    step %= w  # a pause goes forward, however long
                # Either a turn went by unseen, or this reading is wrong: the clocks that come next decide.
                for_old, for_new, _ = _support(wide, width, turns, leaps, k, now, now + step)
                if for_new < for_old or (for_new == for_old and not paused):
                    out[k] = True
                    continue
                shift[pause] += step
                now += step
        # Agreement with a clock is agreement with the narrower ones too.
        agreed[rank:] = at
    return shift, out


@njit(cache=True)
def _agree_otherwise(wide: np.ndarray, width: np.ndarray, turns: np.ndarray, leaps: np.ndarray, k: int) -> bool:
    """Whether most of the next clocks as wide as number `k` tell one and the same number of turns, another one."""
    for j in range(k + 1, min(k + 1 + 4 * _AHEAD, len(turns))):
        if _leapt(leaps, wide[j - 1], wide[j]):
            return False
        if width[j] == width[k] and not _same(turns[j], turns[k], width[k]):
            for_old, for_new, n = _support(wide, width, turns, leaps, j, turns[k], turns[j])
            if for_new > for_old and 2 * for_new >= n:
                return True
    return False


@njit(cache=True)
def _nearest_turns(difference: int, width: int) -> int:
    """The smallest number of turns that agrees with the difference on a clock of this width."""
    return difference if width == 0 else (difference + width // 2) % width - width // 2


def _outvoted(n_hits: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Blocks out of place among so many hits that the few in them must be wrong; others stay near where they are."""
    sure = np.concatenate([[0], np.cumsum(np.where(wrong, 0, n_hits))])
    at = np.arange(len(n_hits))
    around = sure[np.minimum(at + 1 + _AHEAD, len(n_hits))] - sure[np.maximum(at - _AHEAD, 0)]
    return wrong & (around >= _OUTVOTED * n_hits)


def _edges_out_of_turn(marks: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Numbers of the edges whose time is not between those of their neighbours by number, on their own chip."""
    found = []
    edges = np.flatnonzero((marks["kind"] > KIND_CONTROL) & (marks["ticks"] != NO_TIME) & keep)
    key = marks["chip"][edges].astype(np.int64) * 2 + edge_input(marks["kind"][edges].astype(np.int64))
    for one in np.flatnonzero(np.bincount(key)) if len(edges) else ():
        own = edges[key == one]
        found.append(own[out_of_turn(marks["ticks"][own], marks["counter"][own].astype(np.int64))])
    return np.concatenate(found) if found else np.empty(0, np.int64)
