"""Hits with a row and a pixel to canonical CSR rows.

Each hit is one number, its key: ``row << bits | pixel``. Hits come nearly in order of rows, so that moving them
into their rows is a friendly counting sort. Then a few rows at a time, as much as fits the cache, are sorted by pixel
(radix sort, two passes for the usual detectors and doses), and equal keys are added up.
"""

import numpy as np
from numpy.typing import DTypeLike

from rsciio_tpx3.utils.compiled import njit
from rsciio_tpx3.utils.sorting import radix_pass

__all__ = ["csr_from_hits", "csr_from_keys", "key_type", "pixel_bits", "rows_from_keys"]

_GROUP_KEYS = 1 << 11  # keys sorted together, about
_DIGIT = 11  # most bits of a radix pass: 2048 counters stay in the first cache level


def pixel_bits(n_pixels: int) -> int:
    """Bits that hold every pixel number."""
    return max(1, int(n_pixels - 1).bit_length())


def key_type(n_rows: int, n_pixels: int) -> np.dtype:
    """Smallest type that holds every key."""
    return np.dtype(np.uint32 if n_rows << pixel_bits(n_pixels) <= 1 << 32 else np.uint64)


@njit(nogil=True, cache=True, error_model="numpy")
def _count_rows(keys: np.ndarray, n_bits: int, count: np.ndarray) -> None:
    bits = np.uint64(n_bits)
    for i in range(len(keys)):
        count[np.uint64(keys[i]) >> bits] += 1


@njit(nogil=True, cache=True, error_model="numpy")
def _into_rows(keys: np.ndarray, n_bits: int, row_bits: int, place: np.ndarray, out: np.ndarray) -> None:
    """Put each key at the next free place of its row, without the row's higher bits."""
    bits, one = np.uint64(n_bits), np.uint64(1)
    mask = np.uint64((1 << (n_bits + row_bits)) - 1)
    for i in range(len(keys)):
        key = np.uint64(keys[i])
        at = place[key >> bits]
        place[key >> bits] = at + one
        out[at] = key & mask


@njit(nogil=True, cache=True, error_model="numpy")
def _sorted_rows(
    keys: np.ndarray,
    ends: np.ndarray,
    n_bits: int,
    row_bits: int,
    indices: np.ndarray,
    data: np.ndarray,
    indptr: np.ndarray,
) -> tuple[int, int]:
    """Sort groups of ``2**row_bits`` rows, and write them with equal keys added up.

    `ends` are the ends of the rows in `keys`, which hold the row within its group above the pixel. `indices` may
    share its memory with `keys`: entries are written no further than keys were read. Returns the number of entries
    and the largest count.
    """
    n_rows, n_group = len(ends), 1 << row_bits
    # Groups are sorted one after the other, so one buffer of the longest serves them all.
    longest = 0
    begin = np.int64(0)
    for first in range(0, n_rows, n_group):
        end = np.int64(ends[min(first + n_group, n_rows) - 1])
        longest = max(longest, end - begin)
        begin = end
    other = np.empty(longest, keys.dtype)
    # As few passes as `_DIGIT` allows, then digits as equal as can be: fewer counters to clear in each.
    n_passes = -(-(n_bits + row_bits) // _DIGIT)
    digit = -(-(n_bits + row_bits) // n_passes)
    count = np.empty(1 << digit, np.uint32)
    pixel_mask, bits, one = np.uint32((1 << n_bits) - 1), np.uint32(n_bits), np.uint64(1)
    indptr[:] = 0
    n = np.uint64(0)
    largest = np.uint32(0)
    begin = np.int64(0)
    for first in range(0, n_rows, n_group):
        end = np.int64(ends[min(first + n_group, n_rows) - 1])
        # Row and pixel are sorted as one key, lowest digit first; the two buffers change roles with each pass.
        now, then = keys[begin:end], other[: end - begin]
        begin = end
        if len(now) > 1:
            for p in range(n_passes):
                radix_pass(now, p * digit, count, then)
                now, then = then, now
        # Differs from the first key in every bit, so that the first hit begins an entry.
        before = ~now[0] if len(now) else np.uint32(0)
        c = np.uint32(0)
        row_ends = indptr[first + 1 : first + n_group + 1]
        for i in range(len(now)):
            key = now[i]
            # each entry is written again for each of its hits, so that nothing has to be decided
            n += np.uint64(key != before)
            c = np.uint32(1) if key != before else c + np.uint32(1)
            largest = max(largest, c)
            indices[n - one] = key & pixel_mask
            data[n - one] = c
            row_ends[key >> bits] = n
            before = key
    # Rows without hits wrote no end: theirs is the end of the row before.
    for r in range(1, len(indptr)):
        indptr[r] = max(indptr[r], indptr[r - 1])
    return np.int64(n), largest


def _in_rows(hits: np.ndarray, n_rows: int, n_bits: int, row_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys in order of their rows, with `row_bits` bits of the row left; and where each row ends."""
    place = np.zeros(n_rows + 1, np.uint64)
    _count_rows(hits, n_bits, place[1:])
    np.cumsum(place, out=place)
    keys = np.empty(len(hits), np.uint32)
    _into_rows(hits, n_bits, row_bits, place, keys)  # each row's place ends where the next one began
    return keys, place[:-1]


def rows_from_keys(
    hits: np.ndarray, n_rows: int, n_pixels: int, dtype: DTypeLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CSR arrays that are not canonical: each hit is an entry of 1, in the order in which they come.

    Parameters and results are those of `csr_from_keys`.
    """
    pixels, ends = _in_rows(hits, int(n_rows), pixel_bits(n_pixels), 0)
    indptr = np.concatenate([[0], ends.astype(np.int64)])
    return np.ones(len(hits), dtype), pixels.view(np.int32), indptr


def csr_from_keys(
    hits: np.ndarray, n_rows: int, n_pixels: int, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Canonical CSR arrays of hits given by keys.

    Parameters
    ----------
    hits : numpy.ndarray of `key_type`, shape (n,)
        ``row << pixel_bits(n_pixels) | pixel`` of each hit; nearly in order of rows at best.
    n_rows, n_pixels : int
    dtype : numpy.dtype
        Unsigned integer type of the counts.

    Returns
    -------
    data, indices, indptr
        See `csr_from_hits`.
    """
    n_rows, n_bits = int(n_rows), pixel_bits(n_pixels)
    n_group = min(max(_GROUP_KEYS * n_rows // max(len(hits), 1), 1), max(n_rows, 1))
    row_bits = min(n_group.bit_length() - 1, 32 - n_bits)
    keys, ends = _in_rows(hits, n_rows, n_bits, row_bits)
    dtype = np.dtype(dtype)
    data, indptr = np.empty(len(hits), dtype), np.empty(n_rows + 1, np.int64)
    n, largest = _sorted_rows(keys, ends, n_bits, row_bits, keys.view(np.int32), data, indptr)
    if largest > np.iinfo(dtype).max:
        wider = next(t for t in ("uint16", "uint32") if largest <= np.iinfo(t).max)
        raise OverflowError(
            f"A pixel counts {largest} hits at one scan position, more than {dtype} can hold. "
            f'Load with dtype="{wider}".'
        )
    # given back to the system where they are, without a copy
    keys.resize(n, refcheck=False)
    data.resize(n, refcheck=False)
    return data, keys.view(np.int32), indptr


def csr_from_hits(
    rows: np.ndarray, pixels: np.ndarray, n_rows: int, n_pixels: int, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    >>> from rsciio_tpx3.csr.build import csr_from_hits
    >>> csr_from_hits(np.array([1, 0, 1]), np.array([7, 3, 7], np.int32), 2, 12, np.uint8)
    (array([1, 2], dtype=uint8), array([3, 7], dtype=int32), array([0, 1, 2]))
    """
    keys = (np.asarray(rows, np.int64) << pixel_bits(n_pixels)) | pixels
    return csr_from_keys(keys.astype(key_type(n_rows, n_pixels)), n_rows, n_pixels, dtype)
