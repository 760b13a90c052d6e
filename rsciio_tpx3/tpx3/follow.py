"""The pass over a file that is still being written, carried on with what is new.

State of the pass, tables, clocks and edges are kept, so that going on costs what the new bytes cost. One thing may make
it look at its tables again (an entry for each 8192 words, and one for each edge): clocks that contradict each other, as
where a detector was reset, until what follows the reset can be followed by itself.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.events.source import Edges, EventIndex
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.tpx3.files import read_ahead
from rsciio_tpx3.tpx3.growable import GrowableTable
from rsciio_tpx3.tpx3.index import refuse_unknown, summary
from rsciio_tpx3.tpx3.silences import SHORTEST
from rsciio_tpx3.tpx3.stream import BLOCK, BLOCK_WORDS, KIND_CONTROL, MARK, WINDOW_WORDS, StreamPass
from rsciio_tpx3.tpx3.undoubted import Walk
from rsciio_tpx3.tpx3.unwrap import NO_TIME, Excluded, pauses_of, place_in_time
from rsciio_tpx3.utils.least_recent import LeastRecent

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsciio_tpx3.events.losses import Losses
    from rsciio_tpx3.tpx3.files import Part
    from rsciio_tpx3.utils.files import FileStamp

__all__ = ["FollowPass", "block_words", "grown_blocks", "grown_key"]

_BLOCKS_BITS = 15  # from 2**15 blocks on, the first of 2 GiB, blocks are longer, up to a megabyte


def block_words(words: int) -> int:
    """Words of a block so far into a recording: more and more, so that the table of blocks hardly grows in the end."""
    return max(BLOCK_WORDS, min(1 << (words >> _BLOCKS_BITS).bit_length(), WINDOW_WORDS))


class FollowPass:
    """Index and blocks of a growing file; `go_on` looks at what came since.

    Parameters
    ----------
    headerless : bool
        See `rsciio_tpx3.tpx3.stream.StreamPass`.

    Attributes
    ----------
    words : int
        Words looked at so far.
    version : int
        Another number, once times or edges that were reported before change, or go.
    """

    def __init__(self, headerless: bool = False) -> None:
        self.stream = StreamPass(headerless)
        self.words = self.version = 0
        self._headerless = headerless
        self._raw_blocks, self._raw_marks = GrowableTable(BLOCK), GrowableTable(MARK)
        self._blocks, self._marks = GrowableTable(BLOCK), GrowableTable(MARK)
        self._latest = GrowableTable(np.int64)
        self._edges = _GrowingEdges()
        self._walk: Walk | None = Walk(NO_TIME)
        self._excluded = Excluded()
        self._n_hits = 0
        self._span: tuple[int, int] | None = None
        self._hit_span: tuple[int, int] | None = None

    @property
    def blocks(self) -> np.ndarray:
        """Blocks in absolute time."""
        return self._blocks.rows

    @property
    def marks(self) -> np.ndarray:
        """Marks in absolute time, `unwrap.NO_TIME` where they have none."""
        return self._marks.rows

    def first_block(self, start: int) -> int:
        """Number of the block before which none has hits at this time or later."""
        return int(np.searchsorted(self._latest.rows, start))

    def go_on(self, part: Part, look: Callable[[np.ndarray, int], None] | None = None) -> None:
        """Look at the words of a file that have come since.

        Parameters
        ----------
        part : Part
            The file as it is now: the one of before, or longer.
        look : callable, optional
            Is given every window of new words, and the number of the first of them.

        Raises
        ------
        Tpx3FormatError
            If a chunk header is not where it must be.
        """
        if self.words == 0:
            self.stream.skip(0, part.skip)
            self.words = part.skip
        # Without headers a whole window would make one block, however many words have come.
        self.stream.block_words = block_words(self.words)
        step = self.stream.block_words if self._headerless else WINDOW_WORDS
        with contextlib.closing(read_ahead(part, self.words, part.n_words, WINDOW_WORDS, check=False)) as windows:
            for words, first in windows:
                for begin in range(0, len(words), step):
                    window = words[begin : begin + step]
                    done = self.stream.feed(window, first + begin)
                    if look is not None:
                        look(window[:done], first + begin)
                    self.words = first + begin + done
                    if done < len(window):
                        raise Tpx3FormatError(
                            f"{part.name!r} is damaged from byte {8 * (self.words - part.first_word)} on: a chunk "
                            "header must begin there, and none does. What follows cannot be followed; "
                            'on_loss="warn" reads what is left when the recording is loaded.'
                        )
        self._take(*self.stream.take(self.words))

    def _take(self, blocks: np.ndarray, marks: np.ndarray) -> None:
        """Put new blocks and marks in their place in time."""
        if len(blocks) == 0:
            return
        self._raw_blocks.append(blocks)
        self._raw_marks.append(marks)
        placed = None
        if self._walk is not None:
            shift = self._walk.shift
            placed = self._walk.go_on(blocks, marks)
            if placed is not None and self._walk.shift != shift and len(self._blocks):
                placed = None  # a wider clock tells the time of all that came before
        if placed is None:
            self._begin_again()
        else:
            self._add(_with(blocks, "first", placed[0]), _with(marks, "ticks", placed[1]))

    def _begin_again(self) -> None:
        """Place everything anew, with care where that is needed, and go on from there."""
        blocks, marks = self._raw_blocks.rows, self._raw_marks.rows
        found = place_in_time(blocks, marks)
        before = self._blocks.rows, self._edges.edges
        self._excluded = replace(found[2], pauses_uncertain=())
        self._blocks, self._marks, self._edges = GrowableTable(BLOCK), GrowableTable(MARK), _GrowingEdges()
        self._latest = GrowableTable(np.int64)
        self._n_hits, self._span, self._hit_span = 0, None, None
        self._add(found[0], found[1])
        if not self._goes_on(*before):
            self.version += 1
        self._walk = self._walk_of(blocks, marks, found)

    def _goes_on(self, blocks: np.ndarray, edges: Edges) -> bool:
        """Whether what was reported before still holds."""
        now = self._blocks.rows[: len(blocks)]
        same = len(now) == len(blocks) and now.tobytes() == np.ascontiguousarray(blocks).tobytes()
        ticks = self._edges.edges.ticks
        return same and bool(np.isin(edges.ticks, ticks).all())

    def _walk_of(self, blocks: np.ndarray, marks: np.ndarray, found: tuple) -> Walk | None:
        """A walk that goes on from here; None where the next blocks need care as well.

        After a reset it begins with what was kept: that must be the whole rest of the stream.
        """
        placed, placed_marks, _ = found
        if len(placed) == 0:
            return None
        b = int(np.searchsorted(blocks["start"], placed["start"][0]))
        m = len(marks) - len(placed_marks)
        rest = marks[m:]
        whole = len(blocks) - b == len(placed) and np.array_equal(rest["word"], placed_marks["word"])
        walk = Walk(NO_TIME)
        again = walk.go_on(blocks[b:], rest) if whole else None
        if again is None:
            return None
        full = placed["n_hits"] > 0
        same = np.array_equal(again[0][full], placed["first"][full]) and np.array_equal(again[1], placed_marks["ticks"])
        return walk if same else None

    def _add(self, blocks: np.ndarray, marks: np.ndarray) -> None:
        self._blocks.append(blocks)
        self._marks.append(marks)
        self._edges.add(marks[marks["kind"] > KIND_CONTROL])
        high = np.where(blocks["n_hits"] > 0, blocks["first"] + blocks["high"], NO_TIME)
        before = self._latest.rows[-1:]
        self._latest.append(np.maximum.accumulate(np.concatenate([before, high]))[len(before) :])
        full = blocks[blocks["n_hits"] > 0]
        self._n_hits += int(full["n_hits"].sum())
        if len(full):
            ends = full["first"] + full["low"], full["first"] + full["high"]
            self._hit_span = _joined(self._hit_span, *ends)
            self._span = _joined(self._span, *ends)
        timed = marks["ticks"][marks["ticks"] != NO_TIME]
        if len(timed):
            self._span = _joined(self._span, timed, timed)

    def index(self, damage: dict | None = None) -> EventIndex:
        """The `EventIndex` of what has come so far."""
        excluded = self._excluded
        if self._walk is None or self._walk.longest > SHORTEST:
            excluded = replace(excluded, pauses_uncertain=pauses_of(self.blocks, self.marks))
        spans = self._span or (0, 0), self._hit_span or (0, -1)
        edges = self._edges
        merged = edges.edges, edges.untimed, edges.repeated
        return summary(self.stream, merged, self._n_hits, spans, excluded, damage or {})


def _with(table: np.ndarray, name: str, column: np.ndarray) -> np.ndarray:
    table = table.copy()
    table[name] = column
    return table


def _joined(span: tuple[int, int] | None, low: np.ndarray, high: np.ndarray) -> tuple[int, int]:
    first, last = int(low.min()), int(high.max())
    return (first, last) if span is None else (min(first, span[0]), max(last, span[1]))


_EDGE = np.dtype([("ticks", "i8"), ("code", "u1"), ("counter", "u2")])
_COPY = np.dtype([("ticks", "i8"), ("kind", "u1"), ("counter", "u2"), ("chip", "u1")])


class _GrowingEdges:
    """Edges of all chips, merged as they come: only those that lie among the new ones are sorted again."""

    def __init__(self) -> None:
        self._merged, self._copies = GrowableTable(_EDGE), GrowableTable(_COPY)
        self._untimed: set = set()
        self.repeated = 0

    @property
    def untimed(self) -> int:
        """Edges without a valid time: each chip that copies one copies its invalid time too."""
        return len(self._untimed)

    @property
    def edges(self) -> Edges:
        rows = self._merged.rows
        return Edges(*(np.ascontiguousarray(rows[name]) for name in ("ticks", "code", "counter")))

    def add(self, marks: np.ndarray) -> None:
        """Take the marks that are edges, in absolute time."""
        valid = marks["ticks"] != NO_TIME
        self._untimed.update(zip(marks["counter"][~valid].tolist(), marks["kind"][~valid].tolist()))
        marks = marks[valid]
        if len(marks) == 0:
            return
        first = marks["ticks"].min()
        self._count_repeated(marks, first)
        n_before = int(np.searchsorted(self._merged.rows["ticks"], first))
        new = np.empty(len(marks), _EDGE)
        for name, column in (("ticks", "ticks"), ("code", "kind"), ("counter", "counter")):
            new[name] = marks[column]
        rest = np.concatenate([self._merged.rows[n_before:], new])
        rest = rest[np.lexsort([rest["code"], rest["ticks"]])]
        fresh = np.ones(len(rest), bool)
        fresh[1:] = (np.diff(rest["ticks"]) != 0) | (rest["code"][1:] != rest["code"][:-1])
        self._merged.put(n_before, rest[fresh])

    def _count_repeated(self, marks: np.ndarray, first: int) -> None:
        """Count edges that came twice on the same chip: a piece of the recording was sent twice."""
        n_before = int(np.searchsorted(self._copies.rows["ticks"], first))
        new = np.empty(len(marks), _COPY)
        for name in _COPY.names or ():
            new[name] = marks[name]
        old = self._copies.rows[n_before:]
        rest = np.concatenate([old, new])
        rest = rest[np.lexsort([rest[name] for name in reversed(_COPY.names or ())])]
        self.repeated += int((rest[1:] == rest[:-1]).sum()) - int((old[1:] == old[:-1]).sum())
        self._copies.put(n_before, rest)


_followed, _lock = LeastRecent(4), threading.Lock()


def grown_blocks(parts: list[Part], losses: Losses) -> tuple[EventIndex, np.ndarray] | None:
    """Index and blocks of a file that grows, from the pass of last time and what came since.

    Returns
    -------
    index : EventIndex
    blocks : numpy.ndarray of `stream.BLOCK`
        None instead of both where the ordinary pass must look: at several files, or damage.
    """
    if len(parts) != 1 or not parts[0].followed:
        return None
    part = parts[0]
    with _lock:  # the same file may be opened by several threads
        resumed = _gone_on(part)
        if resumed is None:
            return None
        index, blocks = resumed.index(losses.amounts), resumed.blocks
    refuse_unknown(resumed.stream, losses, part.name)
    return index, blocks


def grown_key(parts: list[Part]) -> tuple | None:
    """What identifies a file that was opened while it grew, and how its times are determined; None for others."""
    if len(parts) != 1 or not parts[0].followed:
        return None
    with _lock:
        known = _followed.look(parts[0].path)
        return None if known is None else (parts[0].path, id(known[0]), known[0].version)


def _gone_on(part: Part) -> FollowPass | None:
    before = _followed.look(part.path)
    if before is None or before[1].size > part.size or not _fits(before[1], part):
        before = FollowPass(part.headerless), None
    try:
        before[0].go_on(part)
    except Tpx3FormatError:
        _followed.put(part.path, None)
        return None
    _followed.put(part.path, (before[0], part.stamp))
    return before[0]


def _fits(stamp: FileStamp, part: Part) -> bool:
    """Whether a file still begins with what was looked at before."""
    with part.stamp.open() as file:
        return stamp.fits(file)
