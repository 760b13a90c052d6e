"""The loops that add up hits at scan positions, from their words or from their times and pixels.

Hits are added up for each stay of the beam at a position, two numbers in each 64-bit word: number and sum of rows; sum
of columns and hits in the first detector; then two more detectors in each word. A stay in one piece of a recording has
fewer than 2**17 hits, and a side fewer than 2**14 pixels.
"""

import numpy as np

from rsciio_tpx3.scan.timetable import count_entries
from rsciio_tpx3.tpx3.decode import compact_run, times_of_run
from rsciio_tpx3.tpx3.packets import header_chip, header_words
from rsciio_tpx3.utils.clock import PIXEL_STEPS, PIXEL_TICKS
from rsciio_tpx3.utils.compiled import njit, njit_inner

__all__ = ["add_up", "add_words", "count_words", "take_apart", "take_counts"]

_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)

_TILE = 2048
"""Words that are decoded at a time: their times and pixels stay in the first cache, next to what they are added to."""


@njit_inner(nogil=True, cache=True)
def _add_tile(
    when: np.ndarray,
    pixel: np.ndarray,
    begin: np.ndarray,
    cell: np.ndarray,
    shift: int,
    inside: np.ndarray,
    pixels: np.ndarray,
    count_bits: int,
    full: np.ndarray,
    width: int,
    entries: np.ndarray,
) -> None:
    """Add hits up for each interval of a timetable, and count those at positions in each pixel.

    Parameters
    ----------
    when, pixel : numpy.ndarray of int32, shape (n,)
    begin, cell, shift
        Of a `rsciio_tpx3.scan.timetable.Timetable`.
    inside : numpy.ndarray of bool, shape (n_intervals,)
        Whether an interval has a position.
    pixels : numpy.ndarray of uint16 or uint64, shape (n_pixels,)
        Bits of detectors above the hits, for which there are `count_bits`.
    full : numpy.ndarray of int64, shape (n_pixels,)
        Where hits are moved when those bits are full.
    width : int
        Of the detector.
    entries : numpy.ndarray of uint64, shape (n_intervals, n_words)
        Added to.
    """
    # unsigned places, since NumPy would count negative ones from the end; views of rows would cost more than the sums
    bits, one, one_hit = np.uint32(shift), np.uint32(1), np.uint64(1) << _HALF
    wide, n_words, more = np.uint64(width), np.uint64(entries.shape[1]), entries.shape[1] - 2
    flat = entries.reshape(-1)
    below = np.uint64(count_bits)
    # a product instead of a division: exact, since pixels are below 2**28
    magic = np.uint64((1 << 40) // width + 1)
    for i in range(len(when)):
        # The interval. One step without a branch, since hardly any cell holds more than one border.
        k = np.uint32(cell[np.uint32(when[i]) >> bits])
        k += when[i] >= begin[k + one]
        while when[i] >= begin[k + one]:
            k += one
        p, to = np.uint64(pixel[i]), np.uint64(k) * n_words
        y = (p * magic) >> np.uint64(40)
        # The count of a pixel is in the low bits of its word, the detectors that it belongs to are above.
        word = np.uint64(pixels[p])
        counted = word + np.uint64(inside[k])
        pixels[p] = counted
        label = word >> below
        if counted >> below != label:
            # the count ran over into the detectors: all of it goes elsewhere
            full[p] += np.int64(1) << count_bits
            pixels[p] = label << below
        # Two sums share a word: hits above rows, then columns above the first detector, then pairs of detectors.
        flat[to] += one_hit | y
        flat[to + np.uint64(1)] += ((p - y * wide) << _HALF) | (label & np.uint64(1))
        if more > 0:  # or a loop of no turns takes as long as all the rest
            for c in range(more):
                pair = label >> np.uint64(2 * c + 1)
                flat[to + np.uint64(c + 2)] += (pair & np.uint64(1)) | ((pair & np.uint64(2)) << np.uint64(31))


@njit(nogil=True, cache=True)
def add_up(
    when: np.ndarray,
    pixel: np.ndarray,
    begin: np.ndarray,
    cell: np.ndarray,
    shift: int,
    inside: np.ndarray,
    pixels: np.ndarray,
    count_bits: int,
    full: np.ndarray,
    width: int,
    entries: np.ndarray,
) -> None:
    """`_add_tile` of all hits at once."""
    _add_tile(when, pixel, begin, cell, shift, inside, pixels, count_bits, full, width, entries)


@njit(nogil=True, cache=True)
def add_words(
    words: np.ndarray,
    blocks: np.ndarray,
    rules: np.ndarray,
    origin: int,
    span: int,
    begin: np.ndarray,
    cell: np.ndarray,
    shift: int,
    inside: np.ndarray,
    pixels: np.ndarray,
    count_bits: int,
    full: np.ndarray,
    width: int,
    entries: np.ndarray,
) -> None:
    """Decode words and add up their hits, some at a time.

    The first arguments are those of `rsciio_tpx3.tpx3.decode.compact_blocks`, the others those of `_add_tile`.
    """
    half = np.int64(PIXEL_STEPS // 2)
    when, pixel = np.empty(_TILE, np.int32), np.empty(_TILE, np.int32)
    n = i = 0
    for b in range(len(blocks)):
        end = i + np.int64(blocks[b].n_words)
        chip, left = np.int64(blocks[b].chip), np.int64(blocks[b].left)
        first = blocks[b].first // PIXEL_TICKS
        nearest, back = half - first, first - half - origin
        while i < end:
            if left == 0:
                chip, left = header_chip(words[i]), header_words(words[i])
                i += 1
                continue
            size = min(left, end - i, _TILE - n)
            to = n + size
            compact_run(words[i : i + size], rules[chip], nearest, back, span, when[n:to], pixel[n:to])
            left -= size
            i += size
            n = to
            if n == _TILE:
                _add_tile(when, pixel, begin, cell, shift, inside, pixels, count_bits, full, width, entries)
                n = 0
    _add_tile(when[:n], pixel[:n], begin, cell, shift, inside, pixels, count_bits, full, width, entries)


@njit(nogil=True, cache=True)
def count_words(
    words: np.ndarray,
    blocks: np.ndarray,
    rules: np.ndarray,
    origin: int,
    span: int,
    begin: np.ndarray,
    cell: np.ndarray,
    shift: int,
    entries: np.ndarray,
) -> None:
    """Decode the times of words and count their hits, wherever they are on the detector.

    As `add_words`, with `entries` of `rsciio_tpx3.scan.timetable.count_entries`.
    """
    half = np.int64(PIXEL_STEPS // 2)
    when = np.empty(_TILE, np.int32)
    n = i = 0
    for b in range(len(blocks)):
        end = i + np.int64(blocks[b].n_words)
        chip, left = np.int64(blocks[b].chip), np.int64(blocks[b].left)
        first = blocks[b].first // PIXEL_TICKS
        nearest, back = half - first, first - half - origin
        while i < end:
            if left == 0:
                chip, left = header_chip(words[i]), header_words(words[i])
                i += 1
                continue
            size = min(left, end - i, _TILE - n)
            times_of_run(words[i : i + size], rules[chip, 0], nearest, back, span, when[n : n + size])
            left -= size
            i += size
            n += size
            if n == _TILE:
                count_entries(when, begin, cell, shift, entries)
                n = 0
    count_entries(when[:n], begin, cell, shift, entries)


@njit(nogil=True, cache=True)
def take_counts(position: np.ndarray, inside: np.ndarray, entries: np.ndarray, table: np.ndarray, sign: int) -> int:
    """Add the hits of each stay to those of its position; how many have none."""
    outside = 0
    for k in range(len(position)):
        n = sign * (entries[k, 0] + entries[k, 1])
        if inside[k]:
            table[position[k], 0] += n
        else:
            outside += n
    return outside


@njit(nogil=True, cache=True)
def take_apart(
    position: np.ndarray,
    inside: np.ndarray,
    entries: np.ndarray,
    table: np.ndarray,
    sign: int,
    first: int,
    last: int,
    whole: bool,
) -> int:
    """Add the numbers in the words of each stay to those of its position; how many hits have none.

    Parameters
    ----------
    position, inside : numpy.ndarray of int64, and of bool
        Of each interval.
    entries : numpy.ndarray of uint64, shape (n_intervals, n_words)
    table : numpy.ndarray of int64, shape (n_positions, 3 + n_detectors)
        Hits, sum of rows, sum of columns, and hits in each detector. Added to.
    sign : {1, -1}
    first, last : int
        Detectors.
    whole : bool
        Add the first three columns too.
    """
    outside = np.int64(0)
    for k in range(len(position)):
        if not inside[k]:
            outside += sign * np.int64(entries[k, 0] >> _HALF)
            continue
        row = table[position[k]]
        if whole:
            row[0] += sign * np.int64(entries[k, 0] >> _HALF)
            row[1] += sign * np.int64(entries[k, 0] & _LOW)
            row[2] += sign * np.int64(entries[k, 1] >> _HALF)
        for d in range(first, last):
            word = entries[k, (d + 3) // 2 if d else 1] >> np.uint64(32 if d and d % 2 == 0 else 0)
            row[3 + d] += sign * np.int64(word & _LOW)
    return outside
