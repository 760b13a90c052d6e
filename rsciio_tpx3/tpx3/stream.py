"""One pass over packet words: blocks with their time span, trigger edges, clocks, statistics.

The pass knows no absolute time. A block keeps its hits' times relative to its own first hit, so
that `unwrap` can put whole blocks into the right clock period afterwards, without a second look at
the data.
"""

from typing import Any

import numpy as np

from rsciio_tpx3.tpx3.chunk_counts import N_FIELDS, lost_chunks, note_chunk, swapped_chunks
from rsciio_tpx3.tpx3.packets import (
    CHUNK_COUNT,
    GLOBAL_HIGH,
    GLOBAL_LOW,
    TYPE_GLOBAL,
    TYPE_PIXEL,
    TYPE_SPIDR,
    TYPE_TDC,
    control_ticks,
    edge_input,
    header_chip,
    header_words,
    is_edge,
    is_header,
    pixel_steps,
    pixel_ticks,
    tdc_counter,
    tdc_edge,
    tdc_ticks,
)
from rsciio_tpx3.utils.clock import (
    CONTROL_PERIOD,
    GLOBAL_TICKS,
    PIXEL_PERIOD,
    PIXEL_STEPS,
    PIXEL_TICKS,
    TDC_PERIOD,
    TICKS_PER_SECOND,
)
from rsciio_tpx3.utils.compiled import njit, njit_inner

__all__ = ["BLOCK", "BLOCK_WORDS", "COUNTER_LEAP", "KIND_CONTROL", "KIND_GLOBAL", "MARK", "WINDOW_WORDS", "StreamPass"]

BLOCK_WORDS = 8192  # 64 KiB: the unit of lazy reading; its table is 0.1 % of the file
WINDOW_WORDS = 1 << 17  # 1 MiB read at a time: few calls for the whole file, and still in the cache when looked at

# A run of packet words whose hits lie within a fraction of the pixel clock's period.
BLOCK = np.dtype(
    [
        ("start", "i8"),  # first word, counted over all files
        ("n_words", "i4"),
        ("chip", "i4"),  # chip of the chunk the block starts in ...
        ("left", "i4"),  # ... and how many of its packets are still to come
        ("n_hits", "i4"),
        ("first_word", "i8"),  # where the first hit stands, and
        ("first", "i8"),  # its time: wrapped here, absolute after `unwrap`
        ("low", "i8"),  # earliest, latest and last hit relative to the first
        ("high", "i8"),
        ("last", "i8"),
    ]
)

# A packet with a time of its own: a TDC edge (kind 0xA, 0xB, 0xE, 0xF), a global time or a control word.
MARK = np.dtype([("word", "i8"), ("ticks", "i8"), ("counter", "u2"), ("kind", "u1"), ("chip", "u1")])
KIND_GLOBAL = 1
KIND_CONTROL = 2

COUNTER_LEAP = 64  # edges; as many may be missing, or copied late, without a reset of the clock
_ENDLESS = np.iinfo(np.int32).max  # packets left in a stream without headers
_QUARTER = PIXEL_PERIOD // 4  # 6.7 s of the 26.8 s of a turn
_PIECES = 16, 512  # packets looked at together: few where other packets are many, more while all are hits
# Blocks are cut where clock packets, or hits from one to the next, leap by more: what comes before and after may
# belong to different turns, or to different clocks, and must not share a reference.
_LEAP = TICKS_PER_SECOND

# Fields of the state that goes from window to window.
(
    _CHIP,
    _LEFT,
    _B_START,
    _B_CHIP,
    _B_LEFT,
    _B_HITS,
    _B_FIRST,
    _B_LOW,
    _B_HIGH,
    _B_LAST,
    _CLOCK_TDC,
    _CLOCK_GLOBAL,
    _CLOCK_CONTROL,
    _COUNTER_TDC1,
    _COUNTER_TDC2,
    _B_TDC,
    _B_GLOBAL,
    _B_CONTROL,
    _B_WORD,
    _N_STATE,
) = range(20)


@njit(nogil=True, cache=True)
def _close(state: np.ndarray, end: int, blocks: np.ndarray, n_blocks: int) -> int:
    """Write the running block, which ends before word `end`, and open the next one there."""
    if end > state[_B_START]:
        b = blocks[n_blocks]
        b.start = state[_B_START]
        b.n_words = end - state[_B_START]
        b.chip = state[_B_CHIP]
        b.left = state[_B_LEFT]
        b.n_hits = state[_B_HITS]
        b.first_word = state[_B_WORD] if state[_B_HITS] else end
        b.first = state[_B_FIRST]
        b.low = state[_B_LOW]
        b.high = state[_B_HIGH]
        b.last = state[_B_LAST]
        n_blocks += 1
    state[_B_START] = end
    state[_B_HITS] = 0
    state[_B_TDC] = state[_B_GLOBAL] = state[_B_CONTROL] = -1
    return n_blocks


@njit_inner(nogil=True, cache=True, error_model="numpy")
def _leaps(clock: int, ticks: int, period: int, limit: int) -> bool:
    """True where a clock moved by more than `limit` since a reading; -1 is not a reading."""
    if clock < 0:
        return False
    step = ticks - clock
    if period > 0:
        step = (step + period // 2) % period - period // 2
    return step > limit or step < -limit


@njit_inner(nogil=True, cache=True, error_model="numpy")
def _note_clock(state: np.ndarray, clock: int, ticks: int, period: int) -> bool:
    """Keep a clock's reading; True where it leapt, or ran too far since the block's first hit.

    Hits wrap every 26.8 s and cannot tell such a time by themselves: hits of one block must lie closer.
    """
    of_block = clock - _CLOCK_TDC + _B_TDC
    # numbers that are not literals, or each of them is a type of its own, and compiled for itself
    leap = _leaps(state[clock], ticks, np.int64(period), np.int64(_LEAP))
    state[clock] = ticks
    if state[_B_HITS] == 0:
        return leap
    if state[of_block] < 0:
        state[of_block] = ticks
    return leap or _leaps(state[of_block], ticks, np.int64(period), np.int64(_QUARTER))


@njit_inner(nogil=True, cache=True, error_model="numpy")
def _first_hit(state: np.ndarray, word: int, ticks: int) -> None:
    """Begin the hits of a block, still to be counted, at this word, with what the clocks read by then."""
    state[_B_WORD] = word
    state[_B_FIRST] = ticks
    state[_B_LOW] = state[_B_HIGH] = state[_B_LAST] = 0
    state[_B_TDC] = state[_CLOCK_TDC]
    state[_B_GLOBAL] = state[_CLOCK_GLOBAL]
    state[_B_CONTROL] = state[_CLOCK_CONTROL]


@njit_inner(nogil=True, cache=True)
def _near_hits(words: np.ndarray, first: int, last: int) -> tuple[int, int, int, int]:
    """How many of the words, from the first on, are hits within a quarter period of `first`, without a leap.

    Parameters
    ----------
    first, last : int
        Of the block's hits so far: time of the first, and of the last relative to it, in steps of `PIXEL_TICKS`.

    Returns
    -------
    taken, low, high, last : int
        Number, and the earliest, latest and last time in the same steps relative to `first`.

    Notes
    -----
    All words are looked at in one loop without a branch, which becomes vector instructions; where one
    of them is something else, or they spread so far that there may be a leap, the loop runs once more over those
    before it.
    """
    half, mask = np.int64(PIXEL_STEPS // 2), np.int64(PIXEL_STEPS - 1)
    shift = half - first
    quarter, leap = np.int64(PIXEL_STEPS // 4), np.int64(_LEAP // PIXEL_TICKS)
    n = len(words)
    walked = False
    while True:
        # All words at once: the bits that differ from a hit's, and the span of the times.
        other = np.uint64(0)
        low, high = np.int64(PIXEL_STEPS), np.int64(-1)
        for i in range(n):
            other |= (words[i] >> np.uint64(60)) ^ np.uint64(TYPE_PIXEL)
            d = (pixel_steps(words[i]) + shift) & mask
            low = min(low, d)
            high = max(high, d)
        # No step can be a leap where all times, and the one before them, span no more than that.
        together = max(high, last + half) - min(low, last + half) <= leap
        if other == 0 and low >= half - quarter and high <= half + quarter and (together or walked):
            break
        n = 0
        # Word by word up to the first that does not belong; the next turn takes the span of those before it.
        before = last
        for word in words:
            d = ((pixel_steps(word) + shift) & mask) - half
            if (word >> np.uint64(60)) != np.uint64(TYPE_PIXEL) or d < -quarter or d > quarter:
                break
            if d - before > leap or before - d > leap:
                break
            before = d
            n += 1
        if n == 0:
            return 0, np.int64(0), np.int64(0), np.int64(0)
        walked = True
    return n, low - half, high - half, ((pixel_steps(words[n - 1]) + shift) & mask) - half


_NO_MARK, _MARK, _LEAPT = 0, 1, 2


@njit_inner(nogil=True, cache=True, error_model="numpy")
def _note_packet(
    word: int, kind: int, chip: int, state: np.ndarray, low_words: np.ndarray, chunk_counts: np.ndarray, mark: Any
) -> int:
    """Look at a packet that is not a hit: whether it is a mark, and whether its clock leapt; fills in what it tells.

    A function of its own, because the loop over hits is compiled in half the time without it.
    """
    mark_kind, ticks, counter = np.int64(0), np.int64(0), np.int64(0)
    leap = False
    if kind == TYPE_TDC and is_edge(np.int64(word >> np.uint64(56))):
        mark_kind = tdc_edge(word)
        ticks = tdc_ticks(word)
        counter = tdc_counter(word)
        # An edge whose time is damaged stays a mark, but moves no clock.
        if ticks >= 0:
            leap = _note_clock(state, np.int64(_CLOCK_TDC), ticks, np.int64(TDC_PERIOD))
            which = _COUNTER_TDC1 + edge_input(mark_kind)
            step = (counter - state[which]) & 0xFFF
            # a clock that was reset may show in nothing else
            leap |= state[which] >= 0 and COUNTER_LEAP < step < 4096 - COUNTER_LEAP
            state[which] = counter
    elif kind == TYPE_GLOBAL:
        identifier = np.int64(word >> np.uint64(56))
        if identifier == GLOBAL_LOW:
            low_words[chip] = np.int64((word >> np.uint64(16)) & np.uint64(0xFFFFFFFF))
        elif identifier == GLOBAL_HIGH and low_words[chip] >= 0:
            high = np.int64((word >> np.uint64(16)) & np.uint64(0xFFFF))
            # A pair of words: used up, so that a second high word without its low one makes no time.
            ticks = ((high << 32) | low_words[chip]) * GLOBAL_TICKS
            low_words[chip] = -1
            mark_kind = np.int64(KIND_GLOBAL)
            leap = _note_clock(state, np.int64(_CLOCK_GLOBAL), ticks, np.int64(0))
    elif kind == TYPE_SPIDR:
        identifier = np.int64(word >> np.uint64(56))
        if identifier == CHUNK_COUNT:
            note_chunk(chunk_counts[chip], np.int64(word & np.uint64(0xFFFFFFFFFFFF)))
        elif identifier == 0x5F or identifier == 0x5A or identifier == 0x5C:
            mark_kind = np.int64(KIND_CONTROL)
            ticks = control_ticks(word)
            leap = _note_clock(state, np.int64(_CLOCK_CONTROL), ticks, np.int64(CONTROL_PERIOD))
            leap |= identifier == 0x5F  # the shutter opens: a measurement, and its clock, begins
    if mark_kind == 0:
        return _NO_MARK
    mark.ticks, mark.counter, mark.kind = ticks, counter, mark_kind
    return _LEAPT if leap else _MARK


@njit(nogil=True, cache=True)
def _pass(
    words: np.ndarray,
    base: int,
    state: np.ndarray,
    low_words: np.ndarray,
    chunk_counts: np.ndarray,
    top_counts: np.ndarray,
    chip_hits: np.ndarray,
    chip_chunks: np.ndarray,
    blocks: np.ndarray,
    marks: np.ndarray,
    block_words: int,
) -> tuple[int, int, int]:
    """Go through one window; returns (words done, blocks, marks).

    Stops early at a word that should be a chunk header and is none. Blocks have `block_words` words or some more, or
    less where times leap. Tables:
    `low_words` pending 0x44 time of each chip or -1; `chunk_counts` of the 0x50 counter of each chip;
    `top_counts` by the top 16 bits for other packets.
    """
    n_blocks, n_marks = np.int64(0), np.int64(0)  # not literals, see `_note_clock`
    chip, left = state[_CHIP], state[_LEFT]
    i = 0
    n = len(words)
    piece = _PIECES[0]
    while i < n:
        if left == 0:
            word = words[i]
            size = header_words(word)
            if not is_header(word) or size < 0:
                break
            chip, left = header_chip(word), size
            chip_chunks[chip] += 1
            # Long blocks end where a chunk begins: the next one then has its header, and needs nothing from before.
            if base + i - state[_B_START] >= block_words:
                n_blocks = _close(state, base + i, blocks, n_blocks)
                state[_B_CHIP], state[_B_LEFT] = chip, 0
            i += 1
            continue
        run = words[i : min(i + left, n)]
        j = 0
        while j < len(run):
            word = run[j]
            kind = np.int64(word >> np.uint64(60))
            if kind == TYPE_PIXEL:
                if state[_B_HITS] == 0:
                    _first_hit(state, base + i + j, pixel_ticks(word))
                first, last = state[_B_FIRST] // PIXEL_TICKS, state[_B_LAST] // PIXEL_TICKS
                taken, low, high, last = _near_hits(run[j : j + piece], first, last)
                if taken == 0:  # too far from the block's first hit to share its reference
                    n_blocks = _close(state, base + i + j, blocks, n_blocks)
                    state[_B_CHIP], state[_B_LEFT] = chip, left - j
                    continue
                # The block goes on: its span, relative to its first hit, is widened.
                chip_hits[chip] += taken
                state[_B_HITS] += taken
                state[_B_LAST] = last * PIXEL_TICKS
                state[_B_LOW] = min(state[_B_LOW], low * PIXEL_TICKS)
                state[_B_HIGH] = max(state[_B_HIGH], high * PIXEL_TICKS)
                j += taken
                piece = _PIECES[0] if taken < piece and j < len(run) else min(2 * piece, _PIECES[1])
                continue
            top_counts[np.int64(word >> np.uint64(48))] += 1
            # A view, filled in for a mark only; the next packet takes the same place otherwise.
            m = marks[n_marks]
            found = _note_packet(word, kind, chip, state, low_words, chunk_counts, m)
            if found:
                if found == _LEAPT:
                    # Hits after the leap need another reference: the block ends before this packet.
                    n_blocks = _close(state, base + i + j, blocks, n_blocks)
                    state[_B_CHIP], state[_B_LEFT] = chip, left - j
                m.word = base + i + j
                m.chip = chip
                n_marks += 1
            j += 1
        left -= len(run)
        i += len(run)
    state[_CHIP], state[_LEFT] = chip, left
    return i, n_blocks, n_marks


class StreamPass:
    """The running pass: feed windows of words in order, then read the tables.

    Parameters
    ----------
    headerless : bool
        No chunk headers: every word is a packet of chip 0.

    Attributes
    ----------
    block_words : int
        Words of a block, about; it may be changed between windows.
    blocks, marks : numpy.ndarray of `BLOCK` and of `MARK`
        After `finish`.
    top_counts : numpy.ndarray of int64, shape (65536,)
        Number of packets that are not hits, by their top 16 bits.
    chip_hits, chip_chunks : numpy.ndarray of int64, shape (256,)
    chunk_counts : numpy.ndarray of int64, shape (256, chunk_counts.N_FIELDS)
    """

    def __init__(self, headerless: bool = False) -> None:
        self.headerless = headerless
        self.block_words = BLOCK_WORDS
        self._state = np.full(_N_STATE, -1, np.int64)
        self._state[[_CHIP, _LEFT, _B_START, _B_CHIP, _B_LEFT, _B_HITS]] = 0
        self._low_words = np.full(256, -1, np.int64)
        self.chunk_counts = np.zeros((256, N_FIELDS), np.int64)
        self.top_counts = np.zeros(1 << 16, np.int64)
        self.chip_hits = np.zeros(256, np.int64)
        self.chip_chunks = np.zeros(256, np.int64)
        # A cut needs a header or a packet of its own, so a window cannot make more of either.
        self._block_space = np.empty(WINDOW_WORDS + 1, BLOCK)
        self._mark_space = np.empty(WINDOW_WORDS, MARK)
        # NumPy copies and joins structured arrays field by field, ten times slower than bytes
        self._block_bytes = memoryview(self._block_space.view(np.uint8))
        self._mark_bytes = memoryview(self._mark_space.view(np.uint8))
        self._blocks, self._marks = [], []

    @property
    def words_left(self) -> int:
        """Packets that the last header announced and that have not come yet."""
        return int(self._state[_LEFT])

    def skip(self, stop: int, start: int) -> None:
        """End a block before word `stop` and go on at word `start`, which must be a chunk header.

        At the border of two files both are the same; around damage they are not.
        """
        self._cut(stop)
        self._state[_B_START] = start
        self._state[_LEFT] = _ENDLESS if self.headerless else 0
        self._state[_B_LEFT] = self._state[_LEFT]
        self._state[_CHIP] = self._state[_B_CHIP] = 0

    def feed(self, words: np.ndarray, base: int) -> int:
        """Take the words from number `base` on; returns how many were taken.

        Fewer than given means that the next one is not a chunk header although it must be.
        """
        # Nothing counts the packets of a chunk down: the stream is one chunk without end.
        if self.headerless:
            self._state[_LEFT] = _ENDLESS
        done, n_blocks, n_marks = _pass(
            words,
            base,
            self._state,
            self._low_words,
            self.chunk_counts,
            self.top_counts,
            self.chip_hits,
            self.chip_chunks,
            self._block_space,
            self._mark_space,
            self.block_words,
        )
        self._blocks.append(bytes(self._block_bytes[: n_blocks * BLOCK.itemsize]))
        self._marks.append(bytes(self._mark_bytes[: n_marks * MARK.itemsize]))
        # A block that is full is closed here too, so that following hands out what has come.
        if base + done - self._state[_B_START] >= self.block_words:
            self._cut(base + done)
        return done

    def _cut(self, word: int) -> None:
        n = _close(self._state, word, self._block_space, 0)
        self._blocks.append(bytes(self._block_bytes[: n * BLOCK.itemsize]))
        self._state[_B_CHIP], self._state[_B_LEFT] = self._state[_CHIP], self._state[_LEFT]

    def take(self, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Close the running block before word `end`, and hand out the blocks and marks since the last call."""
        self._cut(end)
        blocks, marks = np.frombuffer(b"".join(self._blocks), BLOCK), np.frombuffer(b"".join(self._marks), MARK)
        self._blocks, self._marks = [], []
        return blocks, marks

    def finish(self, end: int) -> None:
        """Close the last block before word `end` and join the tables."""
        self.blocks, self.marks = self.take(end)
        self._block_space = self._mark_space = self._block_bytes = self._mark_bytes = None

    @property
    def lost_chunks(self) -> dict:
        """Chunks that the 0x50 counters say are missing, by chip."""
        return lost_chunks(self.chunk_counts)

    @property
    def swapped_chunks(self) -> dict:
        """Chunks that came after a later one, by chip."""
        return swapped_chunks(self.chunk_counts)
