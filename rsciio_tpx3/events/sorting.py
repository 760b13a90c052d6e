"""Order of keys by a radix sort: time orders of hits that are nearly sorted, without a comparison."""

import numpy as np
from numba import njit

__all__ = ["order_of", "time_order"]

_DIGIT = 10  # bits of a pass within a bucket
_BUCKET_BITS = 12  # a bucket holds up to about so many hits (4096: 32 KiB), which stays in the first cache levels
_INDEX_BITS = 24  # of a word that holds key and index together
_KEY_BITS = 63 - _INDEX_BITS


def order_of(keys):
    """Indices that sort the keys, equal keys in the order they came.

    Parameters
    ----------
    keys : numpy.ndarray of int64, shape (n,)
        Of any sign.

    Returns
    -------
    numpy.ndarray of int64, shape (n,)
    """
    if len(keys) == 0:
        return np.empty(0, np.int64)
    lowest, highest = int(keys.min()), int(keys.max())
    if len(keys) >= 1 << _INDEX_BITS or highest - lowest >= 1 << _KEY_BITS:
        return np.argsort(keys, kind="stable")
    return _radix_order(keys, np.int64(lowest), max(highest - lowest, 1).bit_length())


def time_order(toa, pixel, tot):
    """Indices that sort hits by time, then pixel, then time over threshold: the same for any order of the stream.

    Parameters
    ----------
    toa, pixel, tot : numpy.ndarray of int, shape (n,)

    Returns
    -------
    order : numpy.ndarray of int64, shape (n,)
    toa, pixel, tot : numpy.ndarray
        The columns in that order.
    """
    order = order_of(toa)
    return order, *_gathered(order, toa, pixel, tot)


@njit(nogil=True, cache=True)
def _radix_order(keys, lowest, n_bits):
    """Deal words of key and index into buckets by their highest bits, then sort each bucket within the cache."""
    n = len(keys)
    high_bits = 0
    while n >> (high_bits + _BUCKET_BITS) and high_bits < n_bits:
        high_bits += 1
    low_bits = n_bits - high_bits
    end = np.zeros((1 << high_bits) + 1, np.int64)
    for i in range(n):
        end[((keys[i] - lowest) >> low_bits) + 1] += 1
    largest = end.max()
    for b in range(1, len(end)):
        end[b] += end[b - 1]
    words = np.empty(n, np.int64)
    for i in range(n):
        key = keys[i] - lowest
        # hits come nearly in order, so that neighbours go to the same bucket: this pass is a friendly one
        words[end[key >> low_bits]] = key << _INDEX_BITS | i
        end[key >> low_bits] += 1
    spare = np.empty(largest, np.int64)
    count = np.empty(1 << _DIGIT, np.int64)
    first = 0
    for b in range(1 << high_bits):
        _sort_bucket(words[first : end[b]], spare, low_bits, count)
        first = end[b]
    for i in range(n):
        words[i] &= (1 << _INDEX_BITS) - 1
    return words


@njit(nogil=True, cache=True)
def _sort_bucket(words, spare, n_bits, count):
    """Sort in place by the lowest bits of the key, digit by digit."""
    n = len(words)
    if n < 2:
        return
    mask = (1 << _DIGIT) - 1
    now, then = words, spare[:n]
    for shift in range(_INDEX_BITS, _INDEX_BITS + n_bits, _DIGIT):
        count[:] = 0
        for i in range(n):
            count[(now[i] >> shift) & mask] += 1
        total = 0
        for d in range(len(count)):
            c = count[d]
            count[d] = total
            total += c
        for i in range(n):
            d = (now[i] >> shift) & mask
            then[count[d]] = now[i]
            count[d] += 1
        now, then = then, now
    if (n_bits + _DIGIT - 1) // _DIGIT % 2:
        words[:] = now


@njit(nogil=True, cache=True)
def _gathered(order, toa, pixel, tot):
    """The columns in order of time; hits of equal time change places in all of them, `order` included."""
    n = len(order)
    times, pixels, tots = np.empty(n, toa.dtype), np.empty(n, pixel.dtype), np.empty(n, tot.dtype)
    for i in range(n):
        own = np.uint64(order[i])
        times[i] = toa[own]
        p, w = pixel[own], tot[own]
        j = i
        # few hits share a time, so that insertion is the fast way
        while j > 0 and times[j - 1] == times[i] and (p < pixels[j - 1] or (p == pixels[j - 1] and w < tots[j - 1])):
            pixels[j], tots[j], order[j] = pixels[j - 1], tots[j - 1], order[j - 1]
            j -= 1
        pixels[j], tots[j], order[j] = p, w, own
    return times, pixels, tots
