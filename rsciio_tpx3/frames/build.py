"""Hits with a position and a pixel to canonical CSR rows.

Two steps, each within the cache where it can be. Hits come nearly in order of position, so that
moving them into their rows is a friendly counting sort. Then a few rows at a time are sorted by
pixel (radix, 2 or 3 short passes) and equal pixels are added up.
"""

import numpy as np
from numba import njit

__all__ = ["csr_from_hits"]

_DIGIT = 9  # bits of a radix pass: 512 counters stay in the first cache level
_BATCH = 1 << 13  # hits sorted together


@njit(nogil=True, cache=True)
def _into_rows(rows, pixels, n_rows, indptr, out):
    """Counting sort by row, keeping the order within a row."""
    indptr[:] = 0
    for i in range(len(rows)):
        indptr[rows[i] + 1] += 1
    for r in range(n_rows):
        indptr[r + 1] += indptr[r]
    place = indptr[:-1].copy()
    for i in range(len(rows)):
        r = rows[i]
        out[place[r]] = pixels[i]
        place[r] += 1


@njit(nogil=True, cache=True)
def _radix_pass(keys, tags, n, shift, keys_out, tags_out, count):
    count[:] = 0
    mask = (1 << _DIGIT) - 1
    for i in range(n):
        count[(keys[i] >> shift) & mask] += 1
    total = 0
    for d in range(len(count)):
        c = count[d]
        count[d] = total
        total += c
    for i in range(n):
        d = (keys[i] >> shift) & mask
        keys_out[count[d]] = keys[i]
        tags_out[count[d]] = tags[i]
        count[d] += 1


@njit(nogil=True, cache=True)
def _sort_rows(pixels, indptr, n_bits):
    """Sort the pixels of each row, in place."""
    n_rows = len(indptr) - 1
    size = _BATCH
    for r in range(n_rows):
        size = max(size, indptr[r + 1] - indptr[r])
    keys = np.empty((2, size), np.int32)
    tags = np.empty((2, size), np.int32)
    count = np.empty(1 << _DIGIT, np.int64)
    first = 0
    while first < n_rows:
        last = first + 1
        while last < n_rows and indptr[last + 1] - indptr[first] <= _BATCH:
            last += 1
        begin, n = indptr[first], indptr[last] - indptr[first]
        for r in range(first, last):
            for i in range(indptr[r], indptr[r + 1]):
                keys[0, i - begin] = pixels[i]
                tags[0, i - begin] = r - first
        now = 0
        for shift in range(0, n_bits, _DIGIT):
            _radix_pass(keys[now], tags[now], n, shift, keys[1 - now], tags[1 - now], count)
            now = 1 - now
        # sorted by pixel over the whole batch: deal them back to their rows
        place = indptr[first:last].copy()
        for i in range(n):
            r = tags[now, i]
            pixels[place[r]] = keys[now, i]
            place[r] += 1
        first = last


@njit(nogil=True, cache=True)
def _merge(pixels, indptr, counts):
    """Add up equal neighbours, in place; returns the number of entries and the largest count."""
    n = 0
    largest = 0
    begin = indptr[0]
    for r in range(len(indptr) - 1):
        end = indptr[r + 1]
        row_start = n
        for i in range(begin, end):
            if n > row_start and pixels[n - 1] == pixels[i]:
                counts[n - 1] += 1
                largest = max(largest, counts[n - 1])
            else:
                pixels[n] = pixels[i]
                counts[n] = 1
                n += 1
        begin = end
        indptr[r + 1] = n
    return n, largest if n == 0 else max(largest, 1)


def csr_from_hits(rows, pixels, n_rows, n_pixels, dtype):
    """Canonical CSR arrays of hits: rows sorted by pixel, several hits of a pixel added up.

    Parameters
    ----------
    rows : numpy.ndarray of int, shape (n,)
        Row of each hit, from 0.
    pixels : numpy.ndarray of int32, shape (n,)
        Flat detector index.
    n_rows, n_pixels : int
    dtype : numpy.dtype
        Unsigned integer type of the counts.

    Returns
    -------
    data : numpy.ndarray of `dtype`
    indices : numpy.ndarray of int32
    indptr : numpy.ndarray of int64, shape (n_rows + 1,)

    Raises
    ------
    OverflowError
        If a pixel was hit more often than `dtype` can count.

    Examples
    --------
    >>> import numpy as np
    >>> from rsciio_tpx3.frames.build import csr_from_hits
    >>> csr_from_hits(np.array([1, 0, 1]), np.array([7, 3, 7], np.int32), 2, 12, np.uint8)
    (array([1, 2], dtype=uint8), array([3, 7], dtype=int32), array([0, 1, 2]))
    """
    indptr = np.empty(n_rows + 1, np.int64)
    sorted_pixels = np.empty(len(pixels), np.int32)
    _into_rows(rows, pixels, n_rows, indptr, sorted_pixels)
    _sort_rows(sorted_pixels, indptr, max(1, int(n_pixels - 1).bit_length()))
    counts = np.empty(len(pixels), np.uint32)
    n, largest = _merge(sorted_pixels, indptr, counts)
    dtype = np.dtype(dtype)
    if largest > np.iinfo(dtype).max:
        wider = next(t for t in ("uint16", "uint32") if largest <= np.iinfo(t).max)
        raise OverflowError(
            f"A pixel counts {largest} hits at one scan position, more than {dtype} can hold. "
            f'Load with dtype="{wider}".'
        )
    return counts[:n].astype(dtype), sorted_pixels[:n].copy(), indptr
