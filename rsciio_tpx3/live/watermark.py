"""Until when a stream is complete: how far the clock of each chip has come.

A chip sends its hits in about the order of time, chips among each other do not. What a chip has sent last (a hit, a
heartbeat, a global time, the largest time in a chunk) tells that it has sent everything before, but for hits that
overtake each other in the readout. So the stream is complete up to the earliest of these times over all chips, less
some time for disorder. Hits that come later still are counted.
"""

from __future__ import annotations

import numpy as np

from rsciio_tpx3.tpx3.packets import CHUNK_TIMES, TYPE_PIXEL, header_chip, header_words, pixel_steps
from rsciio_tpx3.tpx3.stream import KIND_CONTROL
from rsciio_tpx3.tpx3.unwrap import NO_TIME
from rsciio_tpx3.utils.clock import PIXEL_PERIOD, PIXEL_STEPS, PIXEL_TICKS, TICKS_PER_SECOND
from rsciio_tpx3.utils.compiled import njit

__all__ = ["SILENT_AFTER", "Watermark"]

SILENT_AFTER = TICKS_PER_SECOND * 6 // 5
"""Ticks without a sign of life after which a chip is not waited for: the heartbeat comes every second."""

_ALL_RUNS, _EACH, _ENDS = 1 << 12, 8, 8
_MOST_DISORDER = TICKS_PER_SECOND // 10
_UNKNOWN = np.iinfo(np.int64).min // 2

# What a chip sent without a break: a chunk, or the part of it that lies in one window.
_RUN = np.dtype(
    [
        ("word", "i8"),
        ("chip", "i8"),
        ("n_hits", "i8"),
        ("first", "i8"),  # of its hits: the first one, and relative to it, in steps of PIXEL_TICKS
        ("low", "i8"),
        ("high", "i8"),
        ("last", "i8"),
        ("disorder", "i8"),
        ("until", "i8"),  # largest time in the chunk by its own word (0x51), in steps and wrapped; -1 without one
    ]
)


@njit(nogil=True, cache=True)
def _runs(words: np.ndarray, base: int, state: np.ndarray, runs: np.ndarray) -> int:
    """What the chips sent in one window; `state`: chip, words left, 0x51 words of the chunk, runs so far."""
    chip, left, times, n_runs = state
    half, mask = np.int64(PIXEL_STEPS // 2), np.int64(PIXEL_STEPS - 1)
    n = i = 0
    while i < len(words):
        if left == 0:
            chip, left, times = header_chip(words[i]), header_words(words[i]), 0
            i += 1
            continue
        # The window may end within the chunk: what is left of it is a run of the next window.
        size = min(left, len(words) - i)
        run = words[i : i + size]
        n_hits, first = np.int64(0), np.int64(0)
        low = high = last = disorder = shift = np.int64(0)
        until = np.int64(-1)
        n_runs += 1
        # of many runs, some tell the disorder; of the others the last hit will do
        few = n_runs > _ALL_RUNS and n_runs % _EACH != 0
        for word in run[max(len(run) - _ENDS, 0) :] if few else run:
            if (word >> np.uint64(60)) == np.uint64(TYPE_PIXEL):
                if n_hits == 0:
                    # Times relative to the first hit, within half a period of it: a rollover in the run does not show.
                    first = pixel_steps(word)
                    shift = half - first
                last = ((pixel_steps(word) + shift) & mask) - half
                low, high = min(low, last), max(high, last)
                disorder = max(disorder, high - last)
                n_hits += 1
            elif (word >> np.uint64(56)) == np.uint64(CHUNK_TIMES):
                times += 1
                # generation, earliest, latest
                if times == 3:
                    until = np.int64(word & np.uint64(PIXEL_STEPS - 1))
        r = runs[n]
        r.word, r.chip, r.n_hits, r.first = base + i, chip, n_hits, first
        r.low, r.high, r.last, r.disorder, r.until = low, high, last, disorder, until
        n += 1
        left -= size
        i += size
    state[0], state[1], state[2], state[3] = chip, left, times, n_runs
    return n


class Watermark:
    """The latest time of each chip, from the words and from the marks of a pass.

    Parameters
    ----------
    headerless : bool
        All words are of chip 0.
    least : int
        Ticks that are allowed for disorder at least; twice what was seen, where that is more.

    Attributes
    ----------
    latest : numpy.ndarray of int64, shape (256,)
        Last sign of life of each chip in absolute time.
    disorder : numpy.ndarray of int64, shape (256,)
        How much later than a later hit one came on its own chip, ticks.
    """

    def __init__(self, headerless: bool = False, least: int = TICKS_PER_SECOND // 1000) -> None:
        self._state = np.array([0, np.iinfo(np.int64).max if headerless else 0, 0, 0])
        self._least = least
        self._pending: list[bytes] = []
        self._room = np.empty(0, _RUN)
        self._high = np.full(256, _UNKNOWN)
        self.latest = np.full(256, _UNKNOWN)
        self.disorder = np.zeros(256, np.int64)

    def look(self, words: np.ndarray, base: int) -> None:
        """Take the next words of the stream."""
        # Each run but one begins with a header, and has a word. One room for all windows: fresh memory of that size
        # comes in pages of 2 MiB, and clearing them took longer than looking at the words.
        if len(self._room) < len(words) // 2 + 2:
            self._room = np.empty(len(words) // 2 + 2, _RUN)
        n = _runs(words, base, self._state, self._room)
        self._pending.append(self._room[:n].view(np.uint8).tobytes())

    def settle(self, blocks: np.ndarray, marks: np.ndarray) -> None:
        """Put what was looked at in absolute time.

        Parameters
        ----------
        blocks, marks : numpy.ndarray of `stream.BLOCK` and of `stream.MARK`
            Those of the words since the last call, in absolute time.
        """
        # NumPy joins structured arrays field by field, ten times slower than bytes
        runs = np.frombuffer(b"".join(self._pending), _RUN)
        self._pending = []
        # what lies in no block was excluded with the clock before a reset
        runs = runs[_inside(runs["word"], blocks)]
        full = blocks[blocks["n_hits"] > 0]
        if len(full) and len(runs):
            at = np.maximum(np.searchsorted(full["start"], runs["word"], "right") - 1, 0)
            self._take(runs, full["first"][at])
        clocks = marks[(marks["kind"] <= KIND_CONTROL) & (marks["ticks"] != NO_TIME)]
        np.maximum.at(self.latest, clocks["chip"].astype(np.int64), clocks["ticks"])

    def _take(self, runs: np.ndarray, reference: np.ndarray) -> None:
        timed = runs["until"] >= 0
        until = _near(runs["until"][timed] * PIXEL_TICKS, reference[timed])
        np.maximum.at(self.latest, runs["chip"][timed], until)
        hit = runs["n_hits"] > 0
        runs, reference = runs[hit], reference[hit]
        first = _near(runs["first"] * PIXEL_TICKS, reference)
        np.maximum.at(self.disorder, runs["chip"], runs["disorder"] * PIXEL_TICKS)
        for chip in np.unique(runs["chip"]):
            own = runs["chip"] == chip
            high = first[own] + runs["high"][own] * PIXEL_TICKS
            before = np.maximum.accumulate(np.append(self._high[chip], high))
            late = before[:-1] - (first[own] + runs["low"][own] * PIXEL_TICKS)
            late = late[before[:-1] != _UNKNOWN]
            self.disorder[chip] = max(self.disorder[chip], late.max(initial=0))
            self._high[chip] = before[-1]
            # the last hit, not the latest: one wrong time must not speak for all that is still to come
            self.latest[chip] = max(self.latest[chip], first[own][-1] + runs["last"][own][-1] * PIXEL_TICKS)

    def forget(self) -> None:
        """Forget the times: the clock is another one."""
        self.latest[:] = self._high[:] = _UNKNOWN

    @property
    def allowance(self) -> int:
        """Ticks that hits may be late."""
        return max(self._least, min(2 * int(self.disorder.max()), _MOST_DISORDER))

    @property
    def silent(self) -> tuple[int, ...]:
        """Chips that have sent nothing for so long that they are not waited for."""
        return tuple(int(c) for c in np.flatnonzero(self._known & (self.latest < self.latest.max() - SILENT_AFTER)))

    @property
    def _known(self) -> np.ndarray:
        return self.latest != _UNKNOWN

    @property
    def complete(self) -> int | None:
        """The time before which everything has come, ticks; None where nothing is known."""
        alive = self.latest[self._known & (self.latest >= self.latest.max() - SILENT_AFTER)]
        return int(alive.min()) - self.allowance if len(alive) else None


def _inside(words: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Whether words lie in one of the blocks, which follow each other."""
    if len(blocks) == 0:
        return np.zeros(len(words), bool)
    at = np.searchsorted(blocks["start"], words, "right") - 1
    return (at >= 0) & (words < (blocks["start"] + blocks["n_words"])[at])


def _near(wrapped: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """`rsciio_tpx3.utils.clock.nearest_period` of columns."""
    half = PIXEL_PERIOD // 2
    return reference - half + (wrapped - reference + half) % PIXEL_PERIOD
