"""The `.tpx3` event source: blocks found by one pass, hits decoded where they are asked for."""

import logging
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from rsciio_tpx3.events.clock import COARSE_TICKS, PIXEL_TICKS, ticks_to_seconds
from rsciio_tpx3.events.geometry import layout_for
from rsciio_tpx3.events.packets import (
    CONTROL_ID_NAMES,
    HEADER_MAGIC,
    PACKET_TYPE_NAMES,
    TYPE_COUNT,
    TYPE_PIXEL,
)
from rsciio_tpx3.events.source import Edges, EventIndex, Hits
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.tpx3.decode import decode_block
from rsciio_tpx3.tpx3.files import expand_parts, open_parts, read_words
from rsciio_tpx3.tpx3.stream import BLOCK_WORDS, WINDOW_WORDS, StreamPass
from rsciio_tpx3.tpx3.unwrap import place_in_time

__all__ = ["Tpx3Source"]

_logger = logging.getLogger(__name__)

_READ_BLOCKS = 32  # blocks decoded together: 2 MiB of file, so one read serves many blocks
_ON_LOSS = ("raise", "warn")


@dataclass(frozen=True)
class _Tables:
    """The pass's blocks in absolute time, with what a search by time needs."""

    blocks: np.ndarray
    earliest_from: np.ndarray  # earliest hit of a block and all after it
    latest_until: np.ndarray  # latest hit of a block and all before it


class Tpx3Source:
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
    show_progressbar : bool or None
        None shows a bar when the pass takes longer than two seconds.

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
        filename,
        layout=None,
        gap=0,
        orientation="up",
        all_parts=False,
        on_loss="raise",
        show_progressbar=None,
    ):
        if on_loss not in _ON_LOSS:
            raise ValueError(f"on_loss={on_loss!r} is none of {', '.join(map(repr, _ON_LOSS))}.")
        self.on_loss = on_loss
        paths, missing = expand_parts(filename, all_parts)
        self.parts = open_parts(paths)
        self._damage = {}
        if missing:
            self._lose(
                "missing_parts",
                len(missing),
                f"{len(missing)} of the numbered files are absent, the first is number {missing[0]}.",
            )
        self._pass_over_files(show_progressbar)
        self.layout = layout_for(self._index.chips, layout, gap, orientation)
        self.sig_shape = self.layout.sig_shape

    def describe(self):
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

    def index(self):
        """The `EventIndex` of the acquisition."""
        return self._index

    def windows(self, start, stop):
        """Iterate over `Hits` with ``start <= toa < stop``; see `EventSource.windows`."""
        tables = self._tables
        low = int(np.searchsorted(tables.latest_until, start, "left"))
        high = int(np.searchsorted(tables.earliest_from, stop, "left"))
        yield from self._decode(low, high, start, stop)

    def hits(self, start=None, stop=None):
        """All `Hits` of a half-open span of time, in stream order; the whole recording by default."""
        span = self._index.span
        start = span[0] if start is None else start
        stop = span[1] + 1 if stop is None else stop
        found = list(self.windows(start, stop))
        if not found:
            return Hits(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.uint16), self.sig_shape[1])
        columns = (np.concatenate([getattr(h, c) for h in found]) for c in ("pixel", "toa", "tot"))
        return Hits(*columns, self.sig_shape[1])

    def work(self, n_parts):
        """Ranges of blocks for parallel passes over everything."""
        n = len(self._tables.blocks)
        borders = np.linspace(0, n, min(max(n_parts, 1), max(n, 1)) + 1).astype(int)
        return [(int(a), int(b)) for a, b in zip(borders[:-1], borders[1:])]

    def part(self, piece):
        """Iterate over all `Hits` of one of the ranges of `work`."""
        yield from self._decode(*piece, np.iinfo(np.int64).min, np.iinfo(np.int64).max)

    def _decode(self, low, high, start, stop):
        blocks = self._tables.blocks
        for begin in range(low, high, _READ_BLOCKS):
            group = blocks[begin : min(begin + _READ_BLOCKS, high)]
            for run in _runs(group, self.parts):
                yield self._decode_run(*run, start, stop)

    def _decode_run(self, part, blocks, start, stop):
        base = int(blocks["start"][0])
        words = read_words(part, base, int(blocks["start"][-1] + blocks["n_words"][-1]))
        n = int(blocks["n_hits"].sum())
        pixel, toa, tot = np.empty(n, np.int32), np.empty(n, np.int64), np.empty(n, np.uint16)
        done = 0
        for b in blocks:
            if b["n_hits"]:
                own = words[b["start"] - base :][: b["n_words"]]
                done += decode_block(
                    own,
                    np.int64(b["chip"]),
                    np.int64(b["left"]),
                    b["first"],
                    self.layout.rules,
                    np.int64(start),
                    np.int64(stop),
                    pixel[done:],
                    toa[done:],
                    tot[done:],
                )
        return Hits(pixel[:done], toa[:done], tot[:done], self.sig_shape[1])

    # -- the pass ---------------------------------------------------------------------------

    def _pass_over_files(self, show_progressbar):
        stream = StreamPass(any(part.headerless for part in self.parts))
        total = sum(part.size for part in self.parts)
        # tqdm shows nothing before `delay`: short files leave no trace on the screen
        with tqdm(
            total=total,
            unit="B",
            unit_scale=True,
            desc="Indexing",
            delay=2 if show_progressbar is None else 0,
            disable=show_progressbar is False,
        ) as bar:
            for part in self.parts:
                self._pass_over(part, stream, bar)
        last = self.parts[-1]
        stream.finish(last.first_word + last.n_words)
        blocks, marks, stale = place_in_time(stream.blocks, stream.marks)
        self._tables = _search_tables(blocks)
        self._index = _summary(stream, blocks, marks, stale, self._damage)
        for text in _loss_messages(self._index.losses, self.parts[0].name):
            _logger.warning(text)

    def _pass_over(self, part, stream, bar):
        at, end = part.first_word + part.skip, part.first_word + part.n_words
        stream.skip(part.first_word, at)
        step = BLOCK_WORDS if part.headerless else WINDOW_WORDS
        while at < end:
            words = read_words(part, at, min(at + step, end))
            done = stream.feed(words, at)
            at += done
            bar.update(done * 8)
            if done < len(words):
                found = self._resume_after(part, at, words[done])
                stream.skip(at, found)
                at = found
        if stream.words_left and not part.headerless:
            self._lose(
                "words_cut",
                stream.words_left,
                f"the last chunk of {part.name!r} announces {stream.words_left} words more than the "
                "file has: it was cut.",
            )
        if part.size % 8:
            self._lose(
                "bytes_cut",
                part.size % 8,
                f"{part.name!r} ends inside a word: {part.size} bytes are no multiple of 8.",
            )

    def _resume_after(self, part, at, word):
        """Next trustworthy chunk header after damage at word `at`; the end of the file if none."""
        end = part.first_word + part.n_words
        found = _find_header(part, at + 1, end)
        self._lose(
            "bytes_skipped",
            (found - at) * 8,
            f"byte {(at - part.first_word) * 8} of {part.name!r}: a chunk header was due, found "
            f"{int(word):#018x}. A size field before it is wrong, or bytes are missing; "
            + (f"{(found - at) * 8} bytes on there is a header again." if found < end else "none follows."),
        )
        return found

    def _lose(self, what, amount, text):
        if self.on_loss == "raise":
            raise Tpx3FormatError(
                f'{text[0].upper()}{text[1:]}\n    on_loss="warn" reads what is left and counts what is lost.'
            )
        _logger.warning(text)
        self._damage[what] = self._damage.get(what, 0) + amount


def _runs(blocks, parts):
    """Split blocks where they are not adjacent in one file: (part, blocks) for each read."""
    ends = blocks["start"] + blocks["n_words"]
    firsts = np.array([part.first_word for part in parts])
    owner = np.searchsorted(firsts, blocks["start"], "right") - 1
    # pieces may be empty and share a first word: the last of them is the one that has data
    cut = np.flatnonzero((blocks["start"][1:] != ends[:-1]) | (owner[1:] != owner[:-1])) + 1
    for run in np.split(np.arange(len(blocks)), cut):
        yield parts[owner[run[0]]], blocks[run]


def _find_header(part, start, end):
    """First word from `start` on that begins a chain of two chunks (or ends with the file)."""
    while start < end:
        words = read_words(part, start, min(start + WINDOW_WORDS, end))
        magic = np.flatnonzero((words & np.uint64(0xFFFFFFFF)) == HEADER_MAGIC)
        for i in magic:
            size = int(words[i] >> np.uint64(48))
            follows = start + int(i) + 1 + size // 8
            if size % 8 or int(words[i] >> np.uint64(32)) & 0xFF > 15 or follows > end:
                continue
            if follows == end or int(read_words(part, follows, follows + 1)[0]) & 0xFFFFFFFF == HEADER_MAGIC:
                return start + int(i)
        start += len(words)
    return end


def _search_tables(blocks):
    """Keep blocks with hits, and prepare the search by time.

    Blocks overlap in time. With a running maximum from the front and a running minimum from the
    back, the blocks that can hold hits of a span are one contiguous range, found by bisection.
    """
    blocks = blocks[blocks["n_hits"] > 0]
    low, high = blocks["first"] + blocks["low"], blocks["first"] + blocks["high"]
    earliest = np.minimum.accumulate(low[::-1])[::-1] if len(low) else low
    latest = np.maximum.accumulate(high) if len(high) else high
    return _Tables(blocks, earliest, latest)


def _summary(stream, blocks, marks, stale, damage):
    chips = np.flatnonzero(stream.chip_chunks + stream.chip_hits)
    edges, untimed = _merged_edges(marks)
    losses = dict(damage)
    losses.update(
        chunks_lost=sum(stream.lost_chunks.values()),
        hits_before_reset=stale[0],
        marks_before_reset=stale[1],
        edges_without_time=untimed,
        hits_without_time=_count(stream, TYPE_COUNT << 12, (TYPE_COUNT + 1) << 12),
    )
    return EventIndex(
        edges=edges,
        n_hits=int(blocks["n_hits"].sum()),
        span=_span(blocks, marks),
        hit_span=_span(blocks, marks[:0]) if blocks["n_hits"].any() else (0, -1),
        chips=tuple(int(chip) for chip in chips),
        statistics=_statistics(stream),
        losses={name: amount for name, amount in losses.items() if amount},
    )


def _count(stream, low, high):
    return int(stream.top_counts[low:high].sum())


def _merged_edges(marks):
    """TDC edges of all chips as one list in time, exact copies removed; and how many have no time."""
    marks = marks[marks["kind"] > 2]
    valid = marks["ticks"] >= 0 if len(marks) else np.empty(0, bool)
    # each chip that copies an edge copies its invalid time too: count the edge once
    untimed = len(np.unique(marks[~valid][["counter", "kind"]])) if (~valid).any() else 0
    marks = marks[valid]
    order = np.lexsort([marks["kind"], marks["ticks"]])
    ticks, code, counter = (marks[name][order] for name in ("ticks", "kind", "counter"))
    fresh = np.ones(len(ticks), bool)
    fresh[1:] = (np.diff(ticks) != 0) | (code[1:] != code[:-1])
    return Edges(ticks[fresh], code[fresh], counter[fresh]), untimed


def _span(blocks, marks):
    full = blocks[blocks["n_hits"] > 0]
    timed = marks["ticks"][marks["ticks"] >= 0]
    ends = np.concatenate([full["first"] + full["low"], full["first"] + full["high"], timed])
    return (int(ends.min()), int(ends.max())) if len(ends) else (0, 0)


def _statistics(stream):
    types = {PACKET_TYPE_NAMES[TYPE_PIXEL]: int(stream.chip_hits.sum())}
    for nibble in range(16):
        n = _count(stream, nibble << 12, (nibble + 1) << 12)
        if n:
            types[PACKET_TYPE_NAMES.get(nibble, f"unknown 0x{nibble:x}")] = n
    controls = {name: _count(stream, code << 8, (code + 1) << 8) for code, name in CONTROL_ID_NAMES.items()}
    return {
        "packets": types,
        "hits_by_chip": {int(c): int(stream.chip_hits[c]) for c in np.flatnonzero(stream.chip_hits)},
        "chunks_by_chip": {int(c): int(stream.chip_chunks[c]) for c in np.flatnonzero(stream.chip_chunks)},
        "chunks_lost_by_chip": stream.lost_chunks,
        "chunks_swapped_by_chip": stream.swapped_chunks,
        "control": {name: n for name, n in controls.items() if n},
    }


def _loss_messages(losses, name):
    texts = {
        "chunks_lost": "{n} chunks are missing by the detector's own count: their hits were lost before "
        "the file was written",
        "hits_before_reset": "{n} hits recorded before the detector's clock was reset are left out",
        "marks_before_reset": "{n} clock and trigger packets from before the detector's clock was reset are left out",
        "edges_without_time": "{n} trigger edges carry no valid time",
        "hits_without_time": "{n} pixel packets of count mode carry no time and are left out",
    }
    return [f"{name!r}: {text.format(n=losses[key])}." for key, text in texts.items() if key in losses]
