"""The words of a stream that are not hits: edges, global time, shutter, heartbeat, acknowledgements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.tpx3.packets import (
    EDGE_CODES,
    encode_control,
    encode_global,
    encode_hits,
    encode_spidr_time,
    encode_tdc,
    encode_tdc_invalid,
)
from rsciio_tpx3.utils.clock import COARSE_TICKS, TICKS_PER_SECOND

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from rsciio_tpx3.simulate.edges import Edges


__all__ = ["END_OF_READOUT", "ServiceWords", "service_words", "stale_words"]

END_OF_READOUT = 0x71B0
_OTHER_CHIP = 0x7200
_CHIP_ID = 0x1A00  # any identifier; chips differ in the low bits


@dataclass(frozen=True)
class ServiceWords:
    """Words with the time at which they leave the detector, sorted by it.

    Attributes
    ----------
    time : numpy.ndarray of int64
    chip : numpy.ndarray of int64
    word : numpy.ndarray of uint64
    edge : numpy.ndarray of int64
        Number of the edge, -1 for other words.
    """

    time: np.ndarray
    chip: np.ndarray
    word: np.ndarray
    edge: np.ndarray

    def before(self, time: int) -> int:
        """How many words leave before a time."""
        return int(np.searchsorted(self.time, time))


def service_words(
    edges: Edges,
    chips: Sequence[int],
    start: int,
    end: int,
    *,
    edge_chips: Sequence[int],
    disorder: int,
    global_time: int | None,
    control_words: bool,
    part_ends: Sequence[int],
    rng: np.random.Generator,
) -> ServiceWords:
    """All words that are not hits.

    Parameters
    ----------
    edges : Edges
    chips : sequence of int
    start, end : int
        Span of the recording in ticks.
    edge_chips : sequence of int
        Chips in whose stream each edge is copied.
    disorder : int
        Longest delay of a packet in ticks.
    global_time : int or None
        Interval of the global time in ticks.
    control_words : bool
        Shutter, heartbeat.
    part_ends : sequence of int
        Times at which a new file starts; a global-time pair is split across each.
    rng : numpy.random.Generator

    Returns
    -------
    ServiceWords
    """
    groups = _edge_groups(edges, edge_chips, disorder, rng)
    if global_time:
        groups += _global_groups(chips, start, end, global_time, part_ends)
    if control_words:
        groups += _shutter_groups(chips, start, end)
    columns = [np.concatenate(column) for column in zip(*groups, strict=True)] if groups else []
    if not columns:
        columns = [np.empty(0, np.int64)] * 2 + [np.empty(0, np.uint64), np.empty(0, np.int64)]
    order = np.argsort(columns[0], kind="stable")
    return ServiceWords(*(column[order] for column in columns))


def _group(
    time: ArrayLike, chip: int, word: ArrayLike, edge: ArrayLike = -1
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    time, word = np.atleast_1d(np.asarray(time, np.int64)), np.atleast_1d(word)
    edge = np.broadcast_to(np.asarray(edge, np.int64), time.shape)
    return time, np.full(len(time), chip, np.int64), word, edge


def _edge_groups(
    edges: Edges, edge_chips: Sequence[int], disorder: int, rng: np.random.Generator
) -> list[tuple[np.ndarray, ...]]:
    words = encode_tdc(edges.kind, edges.counter, edges.time)
    # a failed interpolation repeats the coarse time of the edge before
    stale = np.concatenate([edges.time[:1], edges.time[:-1]])
    words = np.where(edges.invalid, encode_tdc_invalid(edges.kind, edges.counter, stale), words)
    sent = np.flatnonzero(~edges.missing)
    groups = []
    for chip in edge_chips:
        # edges of one chip keep their order, but lag behind the hits by a varying time
        leaves = edges.time[sent] + (disorder * rng.random(len(sent)) ** 3).astype(np.int64)
        groups.append(_group(np.maximum.accumulate(leaves), chip, words[sent], sent))
    return groups


def _global_groups(
    chips: Sequence[int], start: int, end: int, interval: int, part_ends: Sequence[int]
) -> list[tuple[np.ndarray, ...]]:
    times = np.arange(start, end, interval, dtype=np.int64)
    groups = []
    for n, chip in enumerate(chips):
        # one chip after the other is addressed; the others see a command that is not theirs
        at = times + n * COARSE_TICKS
        pair = encode_global(at)
        for k, step in enumerate((pair[:, 0], 0x7144, pair[:, 1], 0x7145)):
            word = step if k % 2 == 0 else encode_control(step, _CHIP_ID + chip, at)
            groups.append(_group(at + k, chip, word))
        for other in chips:
            if other != chip:
                groups.append(_group(at + 1, other, encode_control(_OTHER_CHIP, _CHIP_ID + other, at)))
        split = np.asarray(part_ends, np.int64)
        pair = encode_global(split)
        groups += [_group(split - 1, chip, pair[:, 0]), _group(split, chip, pair[:, 1])]
    return groups


def _shutter_groups(chips: Sequence[int], start: int, end: int) -> list[tuple[np.ndarray, ...]]:
    beats = np.arange(start + TICKS_PER_SECOND, end, TICKS_PER_SECOND, dtype=np.int64)
    groups = []
    for chip in chips:
        groups.append(_group(start, chip, encode_spidr_time(0x5F, start)))
        groups.append(_group(beats, chip, encode_spidr_time(0x5C, beats)))
        groups.append(_group(end, chip, encode_spidr_time(0x5A, end)))
    return groups


def stale_words(chips: Sequence[int], edge: str, counter: int, old_time: int) -> list[tuple[int, np.ndarray]]:
    """What is left in the buffers from before a clock reset, as in a real file.

    Parameters
    ----------
    chips : sequence of int
    edge : str
        Kind of the edges.
    counter : int
        Counter of the first one.
    old_time : int
        The old clock's ticks.

    Returns
    -------
    list of (int, numpy.ndarray of uint64)
        Chip and words of each chunk: 60 edges and one hit (``address`` 0, ToT 25, `old_time`) on
        the first chip, a global-time pair on every chip.
    """
    kinds = np.full(60, EDGE_CODES[edge])
    times = old_time - (np.arange(60)[::-1] + 1) * (TICKS_PER_SECOND // 1000)
    words = encode_tdc(kinds, counter + np.arange(60), times)
    hit = np.atleast_1d(encode_hits(0, old_time, 25))
    pairs = [encode_global(old_time + n * COARSE_TICKS).ravel() for n in range(len(chips))]
    chunks = [(chips[0], np.concatenate([words, hit]))]
    return chunks + list(zip(chips, pairs, strict=True))
