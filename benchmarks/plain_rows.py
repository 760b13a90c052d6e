"""The plain way from packets to sorted, merged rows: what ours is measured against.

Key, histogram, scatter, merge, as anyone would write them down first: one loop each, over arrays of a piece that fits
the cache. It knows nothing of damage, of times that wrap, of scans other than a line gate, of chunks cut by a
border (`words_of` repairs the first one), or of what was lost. Its result is compared with ours before it is timed.
"""

from __future__ import annotations

import numpy as np

from rsciio_tpx3.frames.event_frames import EventFrames
from rsciio_tpx3.tpx3 import Tpx3Source
from rsciio_tpx3.tpx3.packets import (
    TYPE_PIXEL,
    encode_header,
    header_chip,
    header_words,
    pixel_address,
    pixel_ticks,
)
from rsciio_tpx3.utils.compiled import njit

__all__ = ["plain_rows", "spans_of_lines", "words_of"]


@njit(nogil=True, cache=True)
def _keys(
    words: np.ndarray, rules: np.ndarray, start: np.ndarray, stop: np.ndarray, per_tick: float, n_columns: int,
    bits: int, keys: np.ndarray,
) -> int:  # fmt: skip
    """Position and pixel of each hit as one number; returns how many."""
    n, line, last = 0, 0, len(start) - 1
    left, chip = np.int64(0), np.int64(0)
    for word in words:
        if left == 0:
            chip, left = header_chip(word), header_words(word)
            continue
        left -= 1
        if (word >> np.uint64(60)) != np.uint64(TYPE_PIXEL):
            continue
        t = pixel_ticks(word)
        while line < last and t >= start[line + 1]:
            line += 1
        while line > 0 and t < start[line]:
            line -= 1
        column = np.int64((t - start[line]) * per_tick)
        if t < start[line] or t >= stop[line] or column >= n_columns:
            continue
        address = pixel_address(word)
        pixel = rules[chip, 0] + rules[chip, 1] * (address & 0xFF) + rules[chip, 2] * (address >> 8)
        keys[n] = ((line * n_columns + column) << bits) | pixel
        n += 1
    return n


@njit(nogil=True, cache=True)
def _scatter(keys: np.ndarray, shift: int, count: np.ndarray, out: np.ndarray) -> None:
    """Histogram of the digit above `shift`, as many values as `count`, and every key to its place."""
    low, mask = np.uint64(shift), np.uint64(len(count) - 1)
    count[:] = 0
    for key in keys:
        count[(np.uint64(key) >> low) & mask] += 1
    total = 0
    for d in range(len(count)):
        count[d], total = total, total + count[d]
    for key in keys:
        d = (np.uint64(key) >> low) & mask
        out[count[d]] = key
        count[d] += 1


@njit(nogil=True, cache=True)
def _merge(keys: np.ndarray, bits: int, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray) -> int:
    """Sorted keys to CSR arrays, equal ones added up; returns the number of entries."""
    n, row = 0, 0
    indptr[0] = 0
    for i in range(len(keys)):
        if i and keys[i] == keys[i - 1]:
            data[n - 1] += 1
            continue
        while row < np.int64(keys[i] >> bits):
            row += 1
            indptr[row] = n
        indices[n], data[n] = keys[i] & ((1 << bits) - 1), 1
        n += 1
    indptr[row + 1 :] = n
    return n


def plain_rows(
    words: np.ndarray, frames: EventFrames, first: int, last: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CSR arrays (data, indices, indptr) of the scan lines `first` to `last`, whose words these are."""
    scan, height_width = frames.scan, frames.sig_shape
    bits = int(height_width[0] * height_width[1] - 1).bit_length()
    n_rows = (last - first) * scan.n_columns
    lines = slice(first, last)
    keys = np.empty(len(words), np.uint32 if n_rows << bits <= 1 << 32 else np.uint64)
    n = _keys(
        words, frames.source.layout.rules, scan.start[lines], scan.stop[lines], scan.den / scan.num[0],
        scan.n_columns, bits, keys,
    )  # fmt: skip
    keys, other = keys[:n], np.empty(n, keys.dtype)
    # pixels in two digits, then rows: each pass keeps the order of the one before
    half = bits // 2
    for shift, digit in ((0, half), (half, bits - half), (bits, max(n_rows - 1, 1).bit_length())):
        _scatter(keys, shift, np.empty(1 << digit, np.int64), other)
        keys, other = other, keys
    data, indices, indptr = np.empty(n, frames.dtype), np.empty(n, np.int32), np.empty(n_rows + 1, np.int64)
    n = _merge(keys, bits, data, indices, indptr)
    return data[:n], indices[:n], indptr


def spans_of_lines(frames: EventFrames, pieces: list[tuple[int, int]]) -> list[tuple]:
    """Where the words of each piece stand: (first word, end, chip and words left of the chunk that is cut there)."""
    tables, scan = frames.source._tables, frames.scan
    found = []
    for first, last in pieces:
        low = int(np.searchsorted(tables.latest_until, scan.start[first], "left"))
        high = int(np.searchsorted(tables.earliest_from, scan.stop[last - 1], "left"))
        head, tail = tables.blocks[low], tables.blocks[high - 1]
        end = int(tail["start"] + tail["n_words"])
        found.append((int(head["start"]), end, int(head["chip"]), int(head["left"])))
    return found


def words_of(source: Tpx3Source, span: tuple) -> np.ndarray:
    """The words of a span, read into memory of their own, beginning with a chunk header."""
    start, stop, chip, left = span
    words = np.empty(stop - start + 1, "<u8")
    words[0] = np.ravel(encode_header(chip, left))[0]
    with open(source.parts[0].path, "rb") as file:
        file.seek(8 * start)
        file.readinto(words[1:])
    return words if left else words[1:]
