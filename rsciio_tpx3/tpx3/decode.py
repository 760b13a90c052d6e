"""Packet words of blocks to columns of hits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsciio_tpx3.events.source import CompactHits
from rsciio_tpx3.tpx3.packets import (
    TYPE_PIXEL,
    header_chip,
    header_words,
    pixel_address,
    pixel_steps,
    pixel_tot,
)
from rsciio_tpx3.utils.clock import PIXEL_STEPS, PIXEL_TICKS
from rsciio_tpx3.utils.compiled import njit, njit_inner

__all__ = ["PackedHits", "compact_blocks", "compact_run", "decode_block", "times_of_run"]


@dataclass(frozen=True)
class PackedHits:
    """Words of a short stretch of time, for compiled code that decodes them itself; good until the next ones.

    Attributes
    ----------
    words : numpy.ndarray of uint64, shape (n,)
    blocks : numpy.ndarray of `stream.BLOCK`
        The blocks that they are, in absolute time.
    rules : numpy.ndarray of int64, shape (256, 3)
        `geometry.Layout.rules`.
    first, span : int
        The stretch of time, in steps of `clock.PIXEL_TICKS`.
    width : int
        Of the detector.
    """

    words: np.ndarray
    blocks: np.ndarray
    rules: np.ndarray
    first: int
    span: int
    width: int

    def __len__(self) -> int:
        return len(self.words)

    def compact(self, space: np.ndarray) -> CompactHits:
        """Decode them, into space for as many 64-bit words."""
        when, pixel = space.view(np.int32).reshape(2, -1)
        n = compact_blocks(self.words, self.blocks, self.rules, self.first, self.span, when, pixel)
        return CompactHits(self.first * PIXEL_TICKS, PIXEL_TICKS, self.span, when[:n], pixel[:n], self.width)


@njit(nogil=True, cache=True, error_model="numpy")
def decode_block(
    words: np.ndarray,
    chip: int,
    left: int,
    first: int,
    rules: np.ndarray,
    start: int,
    stop: int,
    pixel: np.ndarray,
    toa: np.ndarray,
    tot: np.ndarray,
) -> int:
    """Decode the hits of one block that lie in a span of time.

    Parameters
    ----------
    words : numpy.ndarray of uint64
        The block's words.
    chip, left : int
        Chip and packets to come of the chunk the block starts in.
    first : int
        Absolute time of the block's first hit.
    rules : numpy.ndarray of int64, shape (256, 3)
        `geometry.Layout.rules`.
    start, stop : int
        Half-open span of time.
    pixel, toa, tot : numpy.ndarray
        Space for the columns, filled from 0.

    Returns
    -------
    int
        Hits written, or -1 where there are more than the space holds. A hit of a chip without a place
        in the layout is excluded.
    """
    n = 0
    i = 0
    half, mask = np.int64(PIXEL_STEPS // 2), np.int64(PIXEL_STEPS - 1)
    shift = half - first // PIXEL_TICKS
    origin = first - half * PIXEL_TICKS
    # the span in steps from `origin`, in which a hit's time is never negative
    low = max(-((origin - start) // PIXEL_TICKS), 0)
    high = min(-((origin - stop) // PIXEL_TICKS), PIXEL_STEPS) - 1
    while i < len(words):
        if left == 0:
            chip, left = header_chip(words[i]), header_words(words[i])
            i += 1
            continue
        if (words[i] >> np.uint64(60)) != np.uint64(TYPE_PIXEL):  # a chunk's first packet often is its number
            left -= 1
            i += 1
            continue
        # a slice, not the whole array with an offset: the loops below then become vector instructions
        run = words[i : min(i + left, len(words))]
        left -= len(run)
        i += len(run)
        offset, step_x, step_y = rules[chip, 0], rules[chip, 1], rules[chip, 2]
        if offset < 0:
            continue
        room = min(len(run), len(pixel) - n)
        pixels, toas, tots = pixel[n : n + room], toa[n : n + room], tot[n : n + room]
        other = np.uint64(0)
        earliest, latest = np.int64(PIXEL_STEPS), np.int64(-1)
        for j in range(len(pixels)):
            word = run[j]
            other |= (word >> np.uint64(60)) ^ np.uint64(TYPE_PIXEL)
            steps = (pixel_steps(word) + shift) & mask
            earliest, latest = min(earliest, steps), max(latest, steps)
            address = pixel_address(word)
            pixels[j] = offset + step_x * (address & 0xFF) + step_y * (address >> 8)
            toas[j] = origin + steps * PIXEL_TICKS
            tots[j] = pixel_tot(word)
        if room == len(run) and other == 0 and earliest >= low and latest <= high:
            n += room
            continue
        for word in run:  # other packets, or the border of the span: hit by hit, over what was written
            steps = (pixel_steps(word) + shift) & mask
            if (word >> np.uint64(60)) != np.uint64(TYPE_PIXEL) or steps < low or steps > high:
                continue
            if n == len(pixel):  # the index counted fewer: the file is not the one it was
                return np.int64(-1)
            address = pixel_address(word)
            pixel[n] = offset + step_x * (address & 0xFF) + step_y * (address >> 8)
            toa[n] = origin + steps * PIXEL_TICKS
            tot[n] = pixel_tot(word)
            n += 1
    return n


@njit_inner(nogil=True, cache=True, error_model="numpy")
def compact_run(
    run: np.ndarray, rule: np.ndarray, shift: int, back: int, span: int, when: np.ndarray, pixel: np.ndarray
) -> None:
    """Times and pixels of packets of one chip; `shift` and `back` put them near their block's first hit.

    Arrays that begin at 0, and no branch: the loop becomes vector instructions.
    """
    offset, step_x, step_y = rule[0], rule[1], rule[2]
    mask = np.int64(PIXEL_STEPS - 1)
    for j in range(len(run)):
        word = run[j]
        # nearest to the block's first hit, as seen from the origin; what is before it becomes very large
        t = np.uint64(((pixel_steps(word) + shift) & mask) + back)
        t = t if (word >> np.uint64(60)) == np.uint64(TYPE_PIXEL) else np.uint64(span)
        when[j] = min(t, np.uint64(span))
        address = pixel_address(word)
        pixel[j] = offset + step_x * (address & 0xFF) + step_y * (address >> 8)
    if offset < 0:  # a chip without a place in the layout
        when[:] = span


@njit_inner(nogil=True, cache=True, error_model="numpy")
def times_of_run(run: np.ndarray, offset: int, shift: int, back: int, span: int, when: np.ndarray) -> None:
    """The times of `compact_run` alone."""
    mask = np.int64(PIXEL_STEPS - 1)
    for j in range(len(run)):
        word = run[j]
        t = np.uint64(((pixel_steps(word) + shift) & mask) + back)
        t = t if (word >> np.uint64(60)) == np.uint64(TYPE_PIXEL) else np.uint64(span)
        when[j] = min(t, np.uint64(span))
    if offset < 0:
        when[:] = span


@njit(nogil=True, cache=True, error_model="numpy")
def compact_blocks(
    words: np.ndarray,
    blocks: np.ndarray,
    rules: np.ndarray,
    origin: int,
    span: int,
    when: np.ndarray,
    pixel: np.ndarray,
) -> int:
    """Times and pixels of adjacent blocks in 32 bits each; see `rsciio_tpx3.events.source.CompactHits`.

    Parameters
    ----------
    words : numpy.ndarray of uint64
        The words of all blocks.
    blocks : numpy.ndarray of `stream.BLOCK`
        In absolute time.
    rules : numpy.ndarray of int64, shape (256, 3)
        `geometry.Layout.rules`.
    origin, span : int
        The stretch of time, in steps of `clock.PIXEL_TICKS`.
    when, pixel : numpy.ndarray of int32
        Space for as many entries as words, filled from 0.

    Returns
    -------
    int
        Entries written: one for each packet, at `span` where it is not a hit of the stretch.
    """
    half = np.int64(PIXEL_STEPS // 2)
    n = 0
    i = 0
    for b in range(len(blocks)):
        end = i + np.int64(blocks[b].n_words)
        chip, left = np.int64(blocks[b].chip), np.int64(blocks[b].left)
        first = blocks[b].first // PIXEL_TICKS
        shift, back = half - first, first - half - origin
        while i < end:
            if left == 0:
                chip, left = header_chip(words[i]), header_words(words[i])
                i += 1
                continue
            size = min(left, end - i)
            compact_run(words[i : i + size], rules[chip], shift, back, span, when[n : n + size], pixel[n : n + size])
            left -= size
            i += size
            n += size
    return n
