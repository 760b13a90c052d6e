"""Packet words of one block to columns of hits."""

import numpy as np
from numba import njit

from rsciio_tpx3.events.clock import PIXEL_PERIOD
from rsciio_tpx3.events.packets import (
    TYPE_PIXEL,
    header_chip,
    header_words,
    pixel_address,
    pixel_ticks,
    pixel_tot,
)

__all__ = ["decode_block"]


@njit(nogil=True, cache=True)
def decode_block(words, chip, left, first, rules, start, stop, pixel, toa, tot):
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
        in the layout is left out.
    """
    n = 0
    i = 0
    wrapped_first = first % PIXEL_PERIOD
    period_start = first - wrapped_first
    half = PIXEL_PERIOD // 2
    # the chip's rule in scalars: a call that takes the table costs more than the arithmetic
    offset, step_x, step_y = rules[chip, 0], rules[chip, 1], rules[chip, 2]
    while i < len(words):
        if left == 0:
            chip, left = header_chip(words[i]), header_words(words[i])
            offset, step_x, step_y = rules[chip, 0], rules[chip, 1], rules[chip, 2]
            i += 1
            continue
        # a slice, not the whole array with an offset: the loop below then vectorises
        run = words[i : min(i + left, len(words))]
        for j in range(len(run)):
            word = run[j]
            if (word >> np.uint64(60)) != np.uint64(TYPE_PIXEL):
                continue
            d = pixel_ticks(word) - wrapped_first
            if d >= half:
                d -= PIXEL_PERIOD
            elif d < -half:
                d += PIXEL_PERIOD
            t = period_start + wrapped_first + d
            if t < start or t >= stop:
                continue
            if offset < 0:
                continue
            if n == len(pixel):  # the index counted fewer: the file is not the one it was
                return np.int64(-1)
            address = pixel_address(word)
            pixel[n] = offset + step_x * (address & 0xFF) + step_y * (address >> 8)
            toa[n] = t
            tot[n] = pixel_tot(word)
            n += 1
        left -= len(run)
        i += len(run)
    return n
