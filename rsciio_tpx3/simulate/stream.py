"""Hits and service words as a detector sends them: chunks of several chips, in bounded disorder.

Time is cut into slots. In each slot every chip sends what it has, in chunks of bounded size; which
chip is first changes from slot to slot. Each word leaves a little after it happened, by a delay
that never exceeds the disorder. Nothing here depends on how the words were handed over: pieces of
any size give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.simulate.service import END_OF_READOUT
from rsciio_tpx3.tpx3.packets import (
    encode_chunk_count,
    encode_control,
    encode_header,
    encode_hits,
)
from rsciio_tpx3.utils.ranges import ranges

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from rsciio_tpx3.simulate.service import ServiceWords


__all__ = ["PART_NAME", "StreamLayout", "StreamWriter"]

PART_NAME = "{stem}_{number:06d}{suffix}"
_MAX_SLOTS = 1 << 22  # slots handled at once, so that the sort key fits 63 bits
_TIME_BITS = 33  # within a slot: 2.2 s
_LOST, _SWAPPED = 1, 2


@dataclass(frozen=True)
class StreamLayout:
    """How words become chunks, and chunks files.

    Attributes
    ----------
    chips : tuple of int
    slot : int
        Ticks after which a chip's buffer is sent.
    max_words : int
        Largest payload of a chunk, its 0x50 word included.
    headerless : bool
        Plain words without chunk headers.
    start_stamp : int or None
        Nanoseconds since 1970 as the first word of a headerless file.
    chunk_counts : bool
        Start each chunk with a 0x50 word.
    end_words : bool
        Close each file with 0x71B0 words.
    lost : float or sequence of (int, int)
        Share of the chunks that are lost, or chip and number of each.
    swapped : float
        Share of neighbouring slots of a chip that are sent in the wrong order.
    part_slots : tuple of int
        First slot, an even number, of each file but the first.
    seed : int
        Of the chunks that are lost or swapped.
    """

    chips: tuple
    slot: int
    max_words: int = 1119  # 8952 bytes, the largest payload seen in real files
    headerless: bool = False
    start_stamp: int | None = None
    chunk_counts: bool = False
    end_words: bool = True
    lost: object = 0.0
    swapped: float = 0.0
    part_slots: tuple = ()
    seed: int = 0


class StreamWriter:
    """Writes the files piece by piece.

    Parameters
    ----------
    paths : sequence of path-like
        One file more than `layout.part_slots`, in which the empty ones are not counted.
    layout : StreamLayout
    service : ServiceWords
    """

    def __init__(self, paths: Sequence[str | os.PathLike], layout: StreamLayout, service: ServiceWords | None) -> None:
        self._paths = [Path(path) for path in paths]
        self._layout, self._service = layout, service
        self._hits = None  # columns that wait, first the time at which they leave
        self._service_done = 0
        self._numbers = np.zeros(256, np.int64)
        self._explicit = None
        if not isinstance(layout.lost, Real):
            self._explicit = {(int(chip), int(number)) for chip, number in layout.lost}
        self._part, self._file = -1, None
        self.edge_copies_of = []
        self.lost_chunks = []
        self.n_lost_hits = self.n_packets = 0
        self._next_part(0)

    def write_chunk(self, chip: int, words: np.ndarray) -> None:
        """Write one chunk at once, outside the order of time."""
        if self._layout.headerless:
            payload = words
        else:
            head = [encode_header(chip, len(words) + self._counted)]
            if self._counted:
                head.append(encode_chunk_count(self._numbers[chip]))
            payload = np.concatenate([np.array(head, np.uint64), words])
        self._numbers[chip] += 1
        self.n_packets += len(words) + self._counted
        payload.tofile(self._file)

    def feed(
        self,
        leaves: np.ndarray,
        chip: np.ndarray,
        address: np.ndarray,
        time: np.ndarray,
        tot: np.ndarray,
        columns: dict[str, np.ndarray],
        until: int | None,
    ) -> dict[str, np.ndarray]:
        """Take hits, and write what surely is complete.

        Parameters
        ----------
        leaves : numpy.ndarray of int64, shape (n,)
            Time at which each hit leaves the detector.
        chip, address, time, tot : numpy.ndarray, shape (n,)
        columns : dict of str to numpy.ndarray
            Further columns, returned in the order of the file.
        until : int or None
            No later hit leaves before this time; None at the end of the recording.

        Returns
        -------
        dict of str to numpy.ndarray
            `columns` of the hits that were written.
        """
        new = {"leaves": leaves, "chip": chip, "word": encode_hits(address, time, tot), **columns}
        if self._hits is not None:
            new = {name: np.concatenate([self._hits[name], new[name]]) for name in new}
        pair = 2 * self._layout.slot  # slots may swap in pairs
        limit = np.iinfo(np.int64).max if until is None else until // pair * pair
        ready = new["leaves"] < limit
        self._hits = {name: values[~ready] for name, values in new.items()}
        ready = {name: values[ready] for name, values in new.items()}
        upto = len(self._service.time) if until is None else self._service.before(limit)
        part = slice(self._service_done, max(upto, self._service_done))
        self._service_done = part.stop
        order = self._write(ready, part)
        return {name: ready[name][order] for name in columns}

    def finish(self) -> None:
        """Close the last file."""
        self._next_part(len(self._paths))

    def close(self) -> None:
        """Close the file that is open, as it is."""
        if self._file is not None:
            self._file.close()

    @property
    def _counted(self) -> int:
        return int(self._layout.chunk_counts and not self._layout.headerless)

    def _write(self, hits: dict[str, np.ndarray], words_of: slice) -> np.ndarray:
        """Write ready hits and service words; the order of the hits that are in the file."""
        service, slot_time = self._service, self._layout.slot
        leaves = np.concatenate([hits["leaves"], service.time[words_of]])
        chips = np.concatenate([hits["chip"], service.chip[words_of]])
        words = np.concatenate([hits["word"], service.word[words_of]])
        edges = np.concatenate([np.full(len(hits["chip"]), -1, np.int64), service.edge[words_of]])
        if not len(leaves):
            return np.empty(0, np.int64)
        slots = leaves // slot_time
        within = leaves - slots * slot_time
        done, first, last = [], int(slots.min()), int(slots.max())
        while first <= last:
            part = int(np.searchsorted(self._layout.part_slots, first, side="right"))
            self._next_part(part)
            stop = min([first // 2 * 2 + _MAX_SLOTS, *self._layout.part_slots[part : part + 1]])
            here = np.flatnonzero((slots >= first) & (slots < stop))
            key = (slots[here] - first << 8 | chips[here]) << _TIME_BITS | within[here]
            here = here[np.argsort(key, kind="stable")]
            done.append(self._write_sorted(here, slots[here], chips[here], words))
            first = int(slots[slots >= stop].min(initial=last + 1)) if stop <= last else last + 1
        written = np.concatenate(done)
        sent = edges[written]
        self.edge_copies_of.append(sent[sent >= 0])
        hit_order = written[written < len(hits["chip"])]
        self.n_lost_hits += len(hits["chip"]) - len(hit_order)
        return hit_order

    def _write_sorted(self, order: np.ndarray, slots: np.ndarray, chips: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Cut sorted words into chunks and write them; the order in the file."""
        layout = self._layout
        starts, lengths = _cut(slots, chips, layout.max_words - self._counted)
        chip, slot = chips[starts], slots[starts]
        numbers = self._number(chip)
        swapped = _random(layout.seed + _SWAPPED, chip, slot >> 1) < layout.swapped
        slot = np.where(swapped, slot ^ 1, slot)
        n_chips = len(layout.chips)
        rank = (np.searchsorted(layout.chips, chip) + slot) % n_chips
        sequence = np.lexsort((numbers, rank, slot))
        sequence = sequence[~self._is_lost(chip, numbers)[sequence]]
        order = order[ranges(starts[sequence], lengths[sequence])]
        self._write_chunks(chip[sequence], numbers[sequence], lengths[sequence], words[order])
        return order

    def _number(self, chip: np.ndarray) -> np.ndarray:
        numbers = np.empty(len(chip), np.int64)
        for c in np.unique(chip):
            here = np.flatnonzero(chip == c)
            numbers[here] = self._numbers[c] + np.arange(len(here))
            self._numbers[c] += len(here)
        return numbers

    def _is_lost(self, chip: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        if self._explicit is None:
            lost = _random(self._layout.seed + _LOST, chip, numbers) < self._layout.lost
        else:
            pairs = zip(chip.tolist(), numbers.tolist(), strict=True)
            lost = np.fromiter((pair in self._explicit for pair in pairs), bool, len(chip))
        self.lost_chunks += list(zip(chip[lost].tolist(), numbers[lost].tolist(), strict=True))
        return lost

    def _write_chunks(self, chip: np.ndarray, numbers: np.ndarray, lengths: np.ndarray, words: np.ndarray) -> None:
        self.n_packets += len(words) + self._counted * len(chip)
        if self._layout.headerless:
            words.tofile(self._file)
            return
        extra = 1 + self._counted
        chunk = np.repeat(np.arange(len(chip)), lengths)
        out = np.empty(len(words) + extra * len(chip), np.uint64)
        out[np.arange(len(words)) + extra * (chunk + 1)] = words
        heads = np.cumsum(lengths) - lengths + extra * np.arange(len(chip))
        out[heads] = encode_header(chip, lengths + self._counted)
        if self._counted:
            out[heads + 1] = encode_chunk_count(numbers)
        out.tofile(self._file)

    def _next_part(self, part: int) -> None:
        """Close files up to `part` and open it; files that get no data are closed properly too."""
        while self._part < part:
            if self._file is not None:
                if self._layout.end_words:
                    for chip in self._layout.chips:
                        self.write_chunk(chip, np.atleast_1d(encode_control(END_OF_READOUT, chip, 0)))
                self._file.close()
            self._part += 1
            self._file = open(self._paths[self._part], "wb") if self._part < len(self._paths) else None
            if self._part == 0 and self._layout.start_stamp is not None:
                np.array([self._layout.start_stamp], np.uint64).tofile(self._file)


def _cut(slots: np.ndarray, chips: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts and lengths of chunks: one slot of one chip each, of at most `size` words."""
    change = np.flatnonzero((np.diff(slots) != 0) | (np.diff(chips) != 0)) + 1
    groups = np.concatenate([[0], change])
    lengths = np.diff(np.append(groups, len(slots)))
    pieces = -(-lengths // size)
    group = np.repeat(np.arange(len(groups)), pieces)
    nth = np.arange(len(group)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return groups[group] + nth * size, np.minimum(lengths[group] - nth * size, size)


def _random(seed: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """One number from 0 to 1 for each pair, by the splitmix64 finaliser; independent of any order."""
    with np.errstate(over="ignore"):
        z = np.asarray(b, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.asarray(a, np.uint64) * np.uint64(0xD1B54A32D192ED03) + np.uint64(seed + 1)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) / (1 << 53)
