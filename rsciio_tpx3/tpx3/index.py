"""What one pass over the files of an acquisition tells, and what was lost on the way."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.cache.recall import indexing_bar
from rsciio_tpx3.events.source import Edges, EventIndex
from rsciio_tpx3.tpx3.chain import likely_headers, n_excluded, trusted_ranges
from rsciio_tpx3.tpx3.files import read_ahead
from rsciio_tpx3.tpx3.packets import (
    CONTROL_ID_NAMES,
    KNOWN_TOPS,
    PACKET_TYPE_NAMES,
    TYPE_COUNT,
    TYPE_PIXEL,
)
from rsciio_tpx3.tpx3.stream import BLOCK_WORDS, WINDOW_WORDS, StreamPass
from rsciio_tpx3.tpx3.unwrap import NO_TIME, place_in_time
from rsciio_tpx3.utils.clock import PIXEL_PERIOD, ticks_to_seconds
from rsciio_tpx3.utils.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rsciio_tpx3.events.losses import Losses
    from rsciio_tpx3.tpx3.files import Part
    from rsciio_tpx3.tpx3.unwrap import Excluded


__all__ = ["build_index", "doubtful_chips", "refuse_unknown", "summary", "warn_of_losses", "without_chips"]

_logger = logging.getLogger(__name__)

# Single words may be flipped in a long recording that is good otherwise; more than one in a thousand is another matter.
_FEW_UNKNOWN = 64
_SHARE_UNKNOWN = 0.001  # of the words
_FEW_CHUNKS = 32  # of a file that is too short to call one of them wrong
_NAMED_PAUSES = 8  # as many are named
_OUT_OF_TIME = "whose time contradicts the times before and after"


def build_index(
    parts: list[Part], losses: Losses, show_progressbar: bool | None = None, keep_before_reset: bool = False
) -> tuple[EventIndex, np.ndarray]:
    """Pass over all files once.

    Parameters
    ----------
    parts : list of rsciio_tpx3.tpx3.files.Part
    losses : Losses
    show_progressbar : bool or None
        None shows a bar when the pass takes longer than two seconds.
    keep_before_reset : bool
        See `rsciio_tpx3.tpx3.unwrap.place_in_time`.

    Returns
    -------
    index : EventIndex
    blocks : numpy.ndarray of `stream.BLOCK`
        In absolute time.

    Raises
    ------
    LossError
        For damage, where `losses` refuses it.
    """
    stream = StreamPass(any(part.headerless for part in parts))
    total = sum(part.size for part in parts)
    with indexing_bar(total, show_progressbar) as bar:
        end = _pass(parts, None, stream, bar, losses)
        if end is None:
            # rare, and worth a second look: only chunks that confirm each other are read
            bar.reset()
            stream = StreamPass(stream.headerless)
            end = _pass(parts, [_trusted(part, losses) for part in parts], stream, bar, losses)
    stream.finish(end)
    for part in parts:
        if part.size % 8 and not part.followed:
            losses.add(
                "bytes_cut",
                part.size % 8,
                f"{part.name!r} ends inside a word: {part.size} bytes are not a multiple of 8.",
            )
    refuse_unknown(stream, losses, parts[0].name)
    blocks, marks, excluded = place_in_time(stream.blocks, stream.marks, keep_before_reset)
    index = _summary(stream, blocks, marks, excluded, losses.amounts)
    warn_of_losses(index, parts, losses)
    return index, blocks


def warn_of_losses(index: EventIndex, parts: list[Part], losses: Losses) -> None:
    """Say once what was lost and refused nothing; `losses` has said the rest."""
    rest = {name: n for name, n in index.losses.items() if name not in losses.amounts}
    for text in _loss_messages(rest, parts[0].name):
        _logger.warning(text)
    if "pauses_uncertain" in index.statistics:
        _logger.warning(_pauses_message(index.statistics["pauses_uncertain"], parts[0].name))


def doubtful_chips(index: EventIndex) -> tuple:
    """Chips that one header alone tells of, in a recording of a single chip or of chips with lower numbers.

    A flipped bit in the chip number of one header would make a quad of a single detector. All chips of a quad send
    control words, whether they are hit or not.
    """
    chunks = index.statistics["chunks_by_chip"]
    once = {int(chip) for chip, n in chunks.items() if n == 1}
    others = {int(chip) for chip in chunks} - once
    if sum(chunks.values()) < _FEW_CHUNKS or not others:
        return ()
    if len(others) > 1 or len(once) > 1:
        once = {chip for chip in once if chip > max(3, *others)}
    return tuple(sorted(once))


def without_chips(index: EventIndex, chips: set, name: str) -> EventIndex:
    """The index of a recording of which these chips have no place, and what is said about it."""
    chips = sorted(set(chips) & set(index.chips))
    if not chips:
        return index
    hits = sum(n for chip, n in index.statistics["hits_by_chip"].items() if int(chip) in chips)
    _logger.warning(
        f"{name!r}: a single chunk says that it is of chip {' or '.join(map(str, chips))}, and no other does: its "
        f"header must be damaged, and its {counted(hits, 'hit')} excluded. layout='quad', 'strip' or a table with that "
        "chip would keep them."
    )
    return replace(
        index,
        chips=tuple(chip for chip in index.chips if chip not in chips),
        n_hits=index.n_hits - hits,
        losses={**index.losses, **({"hits_of_doubtful_chips": hits} if hits else {})},
    )


def _unknown(stream: StreamPass) -> dict:
    """Packets of a type that no stream has, by the top byte of the word."""
    tops = stream.top_counts.reshape(256, 256).sum(axis=1)
    return {int(top): int(tops[top]) for top in np.flatnonzero(tops) if top not in KNOWN_TOPS}


def refuse_unknown(stream: StreamPass, losses: Losses, name: str) -> None:
    """Refuse a recording of which a noticeable part cannot be understood."""
    unknown = _unknown(stream)
    n, n_all = sum(unknown.values()), int(stream.top_counts.sum() + stream.chip_hits.sum())
    if n >= _FEW_UNKNOWN and n > _SHARE_UNKNOWN * n_all:
        most = sorted(unknown, key=unknown.get, reverse=True)[:4]
        kinds = ", ".join(f"0x{top:02X}: {unknown[top]:,}" for top in most)
        losses.add(
            "unknown_packets",
            n,
            f"{name!r}: {counted(n, 'packet')} of {n_all} are of a type that no Timepix3 stream has (by first byte "
            f"{kinds}{', ...' if len(unknown) > 4 else ''}): what they held is lost. The file is damaged, or written "
            "by a program that this one does not know.",
        )


def _pass(
    parts: list[Part], ranges: list[list[tuple[int, int]]] | None, stream: StreamPass, bar: Any, losses: Losses
) -> int | None:
    """Feed all files to the pass; the last word reached, or None for damage that needs a closer look."""
    reached = 0
    for i, part in enumerate(parts):
        begin, end = part.first_word, part.first_word + part.n_words
        own = [(begin + part.skip, end)] if ranges is None else [(begin + a, begin + b) for a, b in ranges[i]]
        for start, stop in own:
            stream.skip(reached, start)
            if not _feed(part, start, stop, stream, bar) and ranges is None:
                return None
            reached = stop
        if stream.words_left and not part.headerless and not part.followed:
            if ranges is None and losses.on_loss == "warn":
                return None  # cut, or a size field that swallows what follows
            losses.add(
                "words_cut",
                stream.words_left,
                f"The last chunk of {part.name!r} announces {counted(stream.words_left, 'word')} more than the file "
                "has: it was cut.",
            )
    return reached


def _feed(part: Part, start: int, stop: int, stream: StreamPass, bar: Any) -> bool:
    """Feed one stretch; False where a chunk header was due and none came."""
    step = BLOCK_WORDS if part.headerless else WINDOW_WORDS
    with contextlib.closing(read_ahead(part, start, stop, WINDOW_WORDS)) as windows:
        for words, first in windows:
            for begin in range(0, len(words), step):
                window = words[begin : begin + step]
                done = stream.feed(window, first + begin)
                bar.update(done * 8)
                if done < len(window):
                    return False
    return True


def _trusted(part: Part, losses: Losses) -> list[tuple[int, int]]:
    """Ranges of words of a file whose chunks confirm each other; the rest is counted."""
    if part.n_words == 0 or part.headerless:
        return [(part.skip, part.n_words)] if part.n_words else []
    # read, not mapped: a mapped file that is cut meanwhile kills the process
    with contextlib.closing(read_ahead(part, part.first_word, part.first_word + part.n_words, WINDOW_WORDS)) as windows:
        found = [likely_headers(words, first - part.first_word) for words, first in windows]
    ranges = trusted_ranges(*(np.concatenate(column) for column in zip(*found)), part.n_words)
    lost = n_excluded(ranges, part.n_words)
    if lost:
        at = ranges[0][1] if ranges and ranges[0][0] == 0 else 0
        losses.add(
            "bytes_skipped",
            lost * 8,
            f"{part.name!r} is damaged from byte {at * 8} on: a size field there does not lead to a chunk header, or "
            f"bytes are missing. {counted(lost, 'word')} of {part.n_words} cannot be trusted and are excluded.",
        )
    return ranges


def _summary(stream: StreamPass, blocks: np.ndarray, marks: np.ndarray, excluded: Excluded, damage: dict) -> EventIndex:
    hit_span = _span(blocks, marks[:0]) if blocks["n_hits"].any() else (0, -1)
    spans = _span(blocks, marks), hit_span
    return summary(stream, _merged_edges(marks), int(blocks["n_hits"].sum()), spans, excluded, damage)


def summary(
    stream: StreamPass,
    merged: tuple[Edges, int, int],
    n_hits: int,
    spans: tuple[tuple[int, ...], tuple[int, ...]],
    excluded: Excluded,
    damage: dict,
) -> EventIndex:
    """The `EventIndex` of a pass.

    Parameters
    ----------
    stream : StreamPass
    merged : tuple of (Edges, int, int)
        Edges of all chips, and how many have no time, or repeat.
    n_hits : int
    spans : tuple of (int, int)
        First and last time of anything, and of hits.
    excluded : rsciio_tpx3.tpx3.unwrap.Excluded
    damage : dict
        What `Losses` counted.
    """
    chips = np.flatnonzero(stream.chip_chunks + stream.chip_hits)
    edges, untimed, repeated = merged
    losses = dict(damage)
    losses.update(
        chunks_lost=sum(stream.lost_chunks.values()),
        # nothing is lost where a pause may have another length: that is in the statistics
        **{name: n for name, n in asdict(excluded).items() if name != "pauses_uncertain"},
        edges_without_time=untimed,
        edges_repeated=repeated,
        unknown_packets=sum(_unknown(stream).values()),
        hits_without_time=_count(stream, TYPE_COUNT << 12, (TYPE_COUNT + 1) << 12),
    )
    return EventIndex(
        edges=edges,
        n_hits=n_hits,
        span=spans[0],
        hit_span=spans[1],
        chips=tuple(int(chip) for chip in chips),
        statistics=_statistics(stream) | _pauses(excluded.pauses_uncertain),
        losses={name: amount for name, amount in losses.items() if amount},
    )


def _count(stream: StreamPass, low: int, high: int) -> int:
    return int(stream.top_counts[low:high].sum())


def _merged_edges(marks: np.ndarray) -> tuple[Edges, int, int]:
    """TDC edges of all chips as one list in time, exact copies removed; how many have no time, or repeat.

    Chips copy each other's edges. The same edge twice on one chip is another matter: a piece of the
    acquisition was given twice, or recorded twice.
    """
    marks = marks[marks["kind"] > 2]
    valid = marks["ticks"] != NO_TIME
    # each chip that copies an edge copies its invalid time too: count the edge once
    untimed = len(np.unique(marks[~valid][["counter", "kind"]])) if (~valid).any() else 0
    marks = marks[valid]
    order = np.lexsort([marks["kind"], marks["ticks"]])
    ticks, code, counter = (marks[name][order] for name in ("ticks", "kind", "counter"))
    fresh = np.ones(len(ticks), bool)
    fresh[1:] = (np.diff(ticks) != 0) | (code[1:] != code[:-1])
    # sorting records costs more than all the rest, and without copies there are no repetitions
    repeated = 0 if fresh.all() else len(marks) - len(np.unique(marks[["ticks", "kind", "counter", "chip"]]))
    return Edges(ticks[fresh], code[fresh], counter[fresh]), untimed, repeated


def _span(blocks: np.ndarray, marks: np.ndarray) -> tuple[int, ...]:
    full = blocks[blocks["n_hits"] > 0]
    timed = marks["ticks"][marks["ticks"] != NO_TIME]
    ends = np.concatenate([full["first"] + full["low"], full["first"] + full["high"], timed])
    return (int(ends.min()), int(ends.max())) if len(ends) else (0, 0)


def _statistics(stream: StreamPass) -> dict:
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


def _pauses(pauses: tuple) -> dict:
    """When the pauses begin whose turns no clock tells, and how long they read, in seconds."""
    seconds = [[ticks_to_seconds(ticks) for ticks in pause] for pause in pauses[:_NAMED_PAUSES]]
    return {"pauses_uncertain": seconds} if seconds else {}


def _pauses_message(pauses: Sequence[Sequence[float]], name: str) -> str:
    places = ", ".join(f"{long:.6g} s from {begin:.6g} s on" for begin, long in pauses)
    return (
        f"{name!r}: nothing was recorded for {places}, and no clock tells across the pause how often that of the hits "
        f"went round: each may have been longer by {ticks_to_seconds(PIXEL_PERIOD):.5g} s, or a multiple, and all "
        "after it so much later. Times within what was recorded without a pause are right. Global times or trigger "
        "edges in the recording would tell."
    )


def _loss_messages(losses: dict, name: str) -> list:
    texts = {
        "chunks_lost": ("chunk", "missing by the detector's own count: lost before the file was written"),
        "hits_before_reset": ("hit", "from before the detector's clock was reset, and excluded"),
        "marks_before_reset": (
            "clock or trigger packet",
            "from before the detector's clock was reset, and excluded",
        ),
        "hits_out_of_time": ("hit", f"{_OUT_OF_TIME}, and excluded"),
        "edges_out_of_time": ("trigger edge", f"{_OUT_OF_TIME}, and excluded"),
        "clock_words_out_of_time": ("clock packet", f"{_OUT_OF_TIME}, and not used"),
        "edges_without_time": ("trigger edge", "without a valid time"),
        "edges_repeated": (
            "trigger edge",
            "twice on the same chip: a piece may have been given twice, and its hits count double",
        ),
        "unknown_packets": ("packet", "of a type that no Timepix3 stream has, and passed over"),
        "hits_without_time": ("pixel packet", "of count mode, which has no time, and excluded"),
    }
    return [f"{name!r}: {counted(losses[key], noun)} {what}." for key, (noun, what) in texts.items() if key in losses]
