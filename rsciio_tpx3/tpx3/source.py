"""The `.tpx3` event source: blocks found by one pass, hits decoded where they are requested."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import normalize_token

from rsciio_tpx3.cache.recall import cache_for
from rsciio_tpx3.events.geometry import layout_for
from rsciio_tpx3.events.losses import Losses
from rsciio_tpx3.events.source import CompactHits, EventSource, Hits, block_ranges, check_inside
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.tpx3.decode import PackedHits, decode_block
from rsciio_tpx3.tpx3.files import WordReader, expand_parts, open_parts, read_words
from rsciio_tpx3.tpx3.follow import grown_key
from rsciio_tpx3.tpx3.index import doubtful_chips, without_chips
from rsciio_tpx3.tpx3.narrow import blocks_between, joined
from rsciio_tpx3.tpx3.pieces import check_pieces
from rsciio_tpx3.tpx3.recall import recalled_blocks
from rsciio_tpx3.utils.clock import COARSE_TICKS, PIXEL_TICKS, ticks_to_seconds
from rsciio_tpx3.utils.text import counted
from rsciio_tpx3.utils.threads import Scratch

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from rsciio_tpx3.cache.store import RecordingCache
    from rsciio_tpx3.events.geometry import Layout
    from rsciio_tpx3.events.source import EventIndex
    from rsciio_tpx3.tpx3.files import Part


__all__ = ["Tpx3Source", "cache_of", "files_of"]

_READ_BLOCKS = 32  # blocks decoded together: 2 MiB of file, so one read serves many blocks
_COMPACT_WORDS = 1 << 16  # the same for kernels: words and their times and pixels stay in the L2 cache
_BEFORE_RESET = ("exclude", "keep")
_COMPACT_SPAN = 2**31 - 2  # largest time in int32, with room for the border after it


@dataclass(frozen=True)
class _Tables:
    """The pass's blocks in absolute time, with what a search by time needs."""

    blocks: np.ndarray
    earliest_from: np.ndarray  # earliest hit of a block and all after it
    latest_until: np.ndarray  # latest hit of a block and all before it


def files_of(
    filename: str | os.PathLike, all_parts: bool | Sequence = False, on_loss: str = "raise", follow: bool = False
) -> tuple[list[Part], Losses]:
    """The files of an acquisition as they are now, and what is missing among them; the parameters of `Tpx3Source`.

    Returns
    -------
    parts : list of rsciio_tpx3.tpx3.files.Part
    losses : rsciio_tpx3.events.losses.Losses
    """
    losses = Losses(on_loss)
    paths, missing = expand_parts(filename, all_parts)
    if missing:
        losses.add(
            "missing_parts",
            len(missing),
            f"{counted(len(missing), 'of the numbered files is', 'of the numbered files are')} absent, the first "
            f"is number {missing[0]}.",
        )
    parts = open_parts(paths, follow)
    check_pieces(parts, losses)
    return parts, losses


def cache_of(
    parts: list[Part], losses: Losses, wanted: bool | str, before_reset: str = "exclude"
) -> RecordingCache | None:
    """The cache of an acquisition, see `rsciio_tpx3.cache.recall.cache_for`: it depends on what is missing already."""
    if before_reset not in _BEFORE_RESET:
        raise ValueError(f"before_reset={before_reset!r} is not valid: must be one of 'exclude', 'keep'.")
    about = {"losses": dict(losses.amounts), "before_reset": before_reset}
    return cache_for([part.stamp for part in parts], wanted, about)


class Tpx3Source(EventSource):
    """Hits and trigger edges of one acquisition in `.tpx3` files.

    Parameters
    ----------
    filename : str, Path or sequence
        One file, or the pieces of one acquisition in order.
    layout, gap, orientation
        See `rsciio_tpx3.events.geometry.make_layout`; a layout of None is chosen from the chips.
    all_parts : bool or sequence
        See `rsciio_tpx3.tpx3.files.expand_parts`.
    on_loss : {"raise", "warn"}
        What to do about damage: a file cut inside a chunk or word, a wrong size field, an absent
        piece. "warn" reads what can be read, and counts the rest.
    cache : bool or "auto"
        Keep the index in the user's cache folder, see `rsciio_tpx3.cache.store`; "auto" from 256 MB on.
    follow : bool
        The last file is still being written: what is there is read, an incomplete end is not damage, and the
        file may grow after it was opened.
    show_progressbar : bool or None
        None shows a bar when the pass takes longer than two seconds.
    before_reset : {"exclude", "keep"}
        What to do about hits and edges from before the detector's clock was reset. "keep" moves them
        to times that end 1 to 28 s before the first time after the reset; they may be negative.

    Examples
    --------
    >>> import rsciio_tpx3.simulate as simulate
    >>> from rsciio_tpx3.tpx3 import Tpx3Source
    >>> truth = simulate.demo("demo.tpx3")  # doctest: +SKIP
    >>> source = Tpx3Source("demo.tpx3")  # doctest: +SKIP
    >>> source.index().n_hits  # doctest: +SKIP
    """

    def __init__(
        self,
        filename: str | os.PathLike,
        layout: Any = None,
        gap: int = 0,
        orientation: str = "up",
        all_parts: bool | Sequence = False,
        on_loss: str = "raise",
        cache: bool | str = False,
        follow: bool = False,
        show_progressbar: bool | None = None,
        before_reset: str = "exclude",
    ) -> None:
        self.parts, losses = files_of(filename, all_parts, on_loss, follow)
        self._spans = None
        self.cache = cache_of(self.parts, losses, cache, before_reset)
        keep = before_reset == "keep"
        self._index, blocks = recalled_blocks(self.parts, losses, self.cache, show_progressbar, keep)
        self._tables = _search_tables(blocks)
        self._grown = None if keep else grown_key(self.parts)
        doubtful = () if follow else doubtful_chips(self._index)  # others are still to come
        self.layout = layout_for(self._index.chips, layout, gap, orientation, doubtful)
        self._index = without_chips(self._index, set(doubtful) - set(self.layout.chips), self.parts[0].name)
        self.sig_shape = self.layout.sig_shape

    @classmethod
    def of_blocks(cls, parts: list[Part], index: EventIndex, blocks: np.ndarray, layout: Layout) -> Tpx3Source:
        """A source of a pass that was made by others, as of a part of the blocks.

        Parameters
        ----------
        parts : list of rsciio_tpx3.tpx3.files.Part
        index : EventIndex
            Its `hit_span` must cover the blocks.
        blocks : numpy.ndarray of `stream.BLOCK`
            In absolute time.
        layout : Layout
        """
        source = cls.__new__(cls)
        source.parts, source._spans, source.cache, source._index, source._grown = parts, None, None, index, None
        source._tables = _search_tables(blocks)
        source.layout, source.sig_shape = layout, layout.sig_shape
        return source

    def __dask_tokenize__(self) -> Any:
        # what was found follows from the files; hashing the tables would take longer than reading a chunk
        found = self._index.n_hits, self._index.span, sorted(self._index.losses.items())
        about = [self.parts, self.layout.__reduce__()[1], len(self._tables.blocks), self._spans, found]
        return "rsciio_tpx3.Tpx3Source", normalize_token(about)

    def describe(self) -> dict:
        """What the format tells about the instrument; see `EventSource.describe`."""
        return {
            "layout": self.layout.name,
            "gap": self.layout.gap,
            "orientation": self.layout.orientation,
            "chips": self._index.chips,
            "toa_step": ticks_to_seconds(PIXEL_TICKS),
            "tot_step": ticks_to_seconds(COARSE_TICKS),
            "paths": tuple(part.path for part in self.parts),
            "size": sum(part.size for part in self.parts),
        }

    def index(self) -> EventIndex:
        """The `EventIndex` of the acquisition."""
        return self._index

    def windows(self, start: int, stop: int) -> Iterator[Hits]:
        """Iterate over `Hits` with ``start <= toa < stop``; see `EventSource.windows`."""
        check_inside(self._spans, start, stop)
        tables = self._tables
        low = int(np.searchsorted(tables.latest_until, start, "left"))
        high = int(np.searchsorted(tables.earliest_from, stop, "left"))
        yield from self._decode(low, high, start, stop)

    def work(self, n_parts: int) -> list[tuple[int, int]]:
        """Ranges of blocks for parallel passes over everything."""
        return block_ranges(len(self._tables.blocks), n_parts)

    def grown(self, until: int) -> tuple[Hashable, list[tuple[int, int]], list[tuple[int, int]]] | None:
        """Blocks that precede a time, and the others; see `EventSource.grown`."""
        if self._grown is None:
            return None
        n = len(self._tables.blocks)
        first = int(np.searchsorted(self._tables.latest_until, until))
        return (*self._grown, self.layout.rules.tobytes()), [(0, first)], [(first, n)]

    def part(self, piece: tuple[int, ...]) -> Iterator:
        """Iterate over all `Hits` of one of the ranges of `work`."""
        first, last = self._index.hit_span
        yield from self._decode(*piece, first, last + 1)

    def compact_windows(self, start: int, stop: int) -> Iterator[CompactHits]:
        """The same hits as `CompactHits`, for kernels; as `Hits` where they lie too far apart in time."""
        check_inside(self._spans, start, stop)
        tables = self._tables
        low = int(np.searchsorted(tables.latest_until, start, "left"))
        high = int(np.searchsorted(tables.earliest_from, stop, "left"))
        yield from self._compact(low, high, start, stop)

    def compact_part(self, piece: tuple[int, ...]) -> Iterator[CompactHits]:
        """The hits of one of the ranges of `work`, as in `compact_windows`."""
        first, last = self._index.hit_span
        yield from self._compact(*piece, first, last + 1)

    def _compact(self, low: int, high: int, start: int, stop: int) -> Iterator[CompactHits]:
        with Scratch() as scratch:
            for packed in self._packed(low, high, start, stop):
                if not isinstance(packed, PackedHits):
                    yield packed
                    continue
                yield packed.compact(scratch.array(len(packed), "<u8"))

    def packed_windows(self, start: int, stop: int) -> Iterator[PackedHits | Hits]:
        """The same hits as words, for kernels that decode them; as `Hits` where they lie too far apart in time."""
        check_inside(self._spans, start, stop)
        tables = self._tables
        low = int(np.searchsorted(tables.latest_until, start, "left"))
        high = int(np.searchsorted(tables.earliest_from, stop, "left"))
        yield from self._packed(low, high, start, stop, check=False)

    def _packed(self, low: int, high: int, start: int, stop: int, check: bool = True) -> Iterator[PackedHits | Hits]:
        blocks = self._tables.blocks[low:high]
        groups = list(_groups(blocks, self.parts, start, stop))
        most = max((n_words for _, _, _, n_words, *_ in groups), default=0)
        rules, width = self.layout.rules, self.sig_shape[1]
        with Scratch() as scratch, WordReader(scratch.array(most, "<u8"), check) as reader:
            for part, own, begin, n_words, first, span in groups:
                if span > _COMPACT_SPAN:
                    yield self._decode_run(part, blocks[own], start, stop)
                elif span > 0:
                    words = reader.read(part, begin, begin + n_words)
                    yield PackedHits(words, blocks[own], rules, first, span, width)
            if not check:
                reader.settle()

    def narrowed(self, spans: Iterable[tuple[int, int]]) -> Tpx3Source:
        """A small source for these spans of time alone; see `EventSource.narrowed`."""
        part = copy.copy(self)
        blocks = joined(blocks_between(self._tables, spans), [part.first_word for part in self.parts])
        part._tables = _search_tables(blocks)
        used = {one.first_word: one for one, _ in _runs(blocks, self.parts)}
        part.parts = list(used.values())
        part._index, part.cache, part._spans = self._index.without_edges(), None, tuple(spans)
        return part

    def _decode(self, low: int, high: int, start: int, stop: int) -> Iterator[Hits]:
        blocks = self._tables.blocks
        for begin in range(low, high, _READ_BLOCKS):
            group = blocks[begin : min(begin + _READ_BLOCKS, high)]
            for run in _runs(group, self.parts):
                yield self._decode_run(*run, start, stop)

    def _decode_run(self, part: Part, blocks: np.ndarray, start: int, stop: int) -> Hits:
        first, last = self._index.hit_span  # differences to times far beyond might overflow
        start, stop = np.int64(max(start, first)), np.int64(min(stop, last + 1))
        base = int(blocks["start"][0])
        words = read_words(part, base, int(blocks["start"][-1] + blocks["n_words"][-1]))
        n = int(blocks["n_hits"].sum())
        pixel, toa, tot = np.empty(n, np.int32), np.empty(n, np.int64), np.empty(n, np.uint16)
        done = 0
        for b in blocks:
            if b["n_hits"]:
                own = words[b["start"] - base :][: b["n_words"]]
                n_block = decode_block(
                    own,
                    np.int64(b["chip"]),
                    np.int64(b["left"]),
                    b["first"],
                    self.layout.rules,
                    start,
                    stop,
                    pixel[done:],
                    toa[done:],
                    tot[done:],
                )
                if n_block < 0:
                    raise Tpx3FormatError(f"{part.path!r} holds more hits than when it was opened. Load it again.")
                done += n_block
        return Hits(pixel[:done], toa[:done], tot[:done], self.sig_shape[1])


def _cuts(blocks: np.ndarray, parts: list[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Where blocks are not adjacent in one file, and the file of each block."""
    ends = blocks["start"] + blocks["n_words"]
    firsts = np.array([part.first_word for part in parts])
    # pieces may be empty and share a first word: the last of them is the one that has data
    owner = np.searchsorted(firsts, blocks["start"], "right") - 1
    return np.flatnonzero((blocks["start"][1:] != ends[:-1]) | (owner[1:] != owner[:-1])) + 1, owner


def _runs(blocks: np.ndarray, parts: list[Part]) -> Iterator[tuple[Part, np.ndarray]]:
    """Split blocks where they are not adjacent in one file: (part, blocks) for each read."""
    cut, owner = _cuts(blocks, parts)
    for run in np.split(np.arange(len(blocks)), cut) if len(blocks) else ():
        yield parts[owner[run[0]]], blocks[run]


def _groups(
    blocks: np.ndarray, parts: list[Part], start: int, stop: int
) -> Iterator[tuple[Part, slice, int, int, int, int]]:
    """Adjacent blocks for each `CompactHits`.

    Yields
    ------
    part : Part
    own : slice
        Of `blocks`.
    begin, n_words : int
        Words to read.
    first, span : int
        The stretch of time from `start` to `stop` that their hits fill, in steps of `PIXEL_TICKS`.
    """
    if len(blocks) == 0:
        return
    cut, owner = _cuts(blocks, parts)
    heads = np.union1d(np.append(cut, 0), np.flatnonzero(np.diff(blocks["start"] // _COMPACT_WORDS)) + 1)
    tails = np.append(heads[1:], len(blocks))
    begin = blocks["start"][heads]
    n_words = blocks["start"][tails - 1] + blocks["n_words"][tails - 1] - begin
    earliest = np.maximum(np.minimum.reduceat(blocks["first"] + blocks["low"], heads), start)
    latest = np.minimum(np.maximum.reduceat(blocks["first"] + blocks["high"], heads), stop - 1)
    # hits stand at whole steps, so the borders may be moved up to the next one
    first = -(-earliest // PIXEL_TICKS)
    span = -(-(latest + 1) // PIXEL_TICKS) - first
    columns = (heads, tails, owner[heads], begin, n_words, first, span)
    for head, tail, of, *numbers in zip(*(column.tolist() for column in columns)):
        yield parts[of], slice(head, tail), *numbers


def _search_tables(blocks: np.ndarray) -> _Tables:
    """Keep blocks with hits, and prepare the search by time.

    Blocks overlap in time. With a running maximum from the front and a running minimum from the
    back, the blocks that can hold hits of a span are one contiguous range, found by bisection.
    """
    blocks = blocks[blocks["n_hits"] > 0]
    low, high = blocks["first"] + blocks["low"], blocks["first"] + blocks["high"]
    earliest = np.minimum.accumulate(low[::-1])[::-1] if len(low) else low
    latest = np.maximum.accumulate(high) if len(high) else high
    return _Tables(blocks, earliest, latest)
