"""Order of keys by a radix sort: time orders of hits that are nearly sorted, without a comparison.

What is sorted are words of 64 bits: the key above, and below it what goes along. That is the index, or all that is
known of a hit where it fits: then sorted hits are read off their words, and nothing is gathered from anywhere.
"""

import numpy as np

from rsciio_tpx3.utils.compiled import njit, njit_inner

__all__ = ["order_of", "radix_pass", "time_order", "time_sorted"]

_DIGIT = 10  # most bits of a pass within a bucket: 1024 counters stay in the first cache level
_BUCKET_BITS = 11  # a bucket holds up to about so many hits (2048: 16 KiB), which stays there too
_INDEX_BITS = 24  # of a word that holds key and index together
_WORD_BITS = 63  # a shift by all 64 would have no meaning


def order_of(keys: np.ndarray) -> np.ndarray:
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
    lowest, n_bits = _range(keys)
    if len(keys) >= 1 << _INDEX_BITS or n_bits > _WORD_BITS - _INDEX_BITS:
        return np.argsort(keys, kind="stable")
    words = np.empty(len(keys), np.uint64)
    _indexed(keys, lowest, words)
    words = _sorted_words(words, _INDEX_BITS, n_bits)
    words &= np.uint64((1 << _INDEX_BITS) - 1)
    return words.view(np.int64)


def time_order(toa: np.ndarray, pixel: np.ndarray, tot: np.ndarray) -> np.ndarray:
    """Indices that sort hits by time, then pixel, then time over threshold: the same for any order of the stream.

    Parameters
    ----------
    toa, pixel, tot : numpy.ndarray of int, shape (n,)

    Returns
    -------
    numpy.ndarray of int64, shape (n,)
    """
    order = order_of(toa)
    _order_equal_times(order, toa[order], pixel, tot)
    return order


def time_sorted(toa: np.ndarray, pixel: np.ndarray, tot: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits in that order, where nothing else goes with them.

    Parameters
    ----------
    toa : numpy.ndarray of int64, shape (n,)
    pixel, tot : numpy.ndarray of int, shape (n,)
        Not negative.

    Returns
    -------
    toa, pixel, tot : numpy.ndarray
        The columns in the order of `time_order`.
    """
    if len(toa) == 0:
        return toa, pixel, tot
    lowest, time_bits = _range(toa)
    pixel_bits, tot_bits = int(pixel.max()).bit_length(), int(tot.max()).bit_length()
    if time_bits + pixel_bits + tot_bits > _WORD_BITS:
        order = time_order(toa, pixel, tot)
        return toa[order], pixel[order], tot[order]
    words = np.empty(len(toa), np.uint64)
    _packed(toa, pixel, tot, lowest, pixel_bits, tot_bits, words)
    words = _sorted_words(words, pixel_bits + tot_bits, time_bits)
    columns = np.empty_like(toa), np.empty_like(pixel), np.empty_like(tot)
    _unpack(words, lowest, pixel_bits, tot_bits, *columns)
    return columns


def _range(keys: np.ndarray) -> tuple[int, int]:
    """Lowest key, and the bits that hold the others above it."""
    lowest = int(keys.min())
    return np.int64(lowest), (int(keys.max()) - lowest).bit_length()


@njit(nogil=True, cache=True, error_model="numpy")
def _indexed(keys: np.ndarray, lowest: int, words: np.ndarray) -> None:
    """Write words of key and index."""
    for i in range(len(keys)):
        words[i] = (np.uint64(keys[i] - lowest) << np.uint64(_INDEX_BITS)) | np.uint64(i)


@njit(nogil=True, cache=True, error_model="numpy")
def _packed(
    toa: np.ndarray, pixel: np.ndarray, tot: np.ndarray, lowest: int, pixel_bits: int, tot_bits: int, words: np.ndarray
) -> None:
    """Write words of time, pixel and time over threshold: their order as numbers is the order of the hits."""
    above, middle = np.uint64(pixel_bits + tot_bits), np.uint64(tot_bits)
    for i in range(len(toa)):
        words[i] = (np.uint64(toa[i] - lowest) << above) | (np.uint64(pixel[i]) << middle) | np.uint64(tot[i])


@njit(nogil=True, cache=True, error_model="numpy")
def _unpack(
    words: np.ndarray, lowest: int, pixel_bits: int, tot_bits: int, toa: np.ndarray, pixel: np.ndarray, tot: np.ndarray
) -> None:
    """Write the columns of `_packed` words that are in order of time, those of equal time in order too."""
    for i in range(1, len(words)):
        word, j = words[i], i
        # few hits share a time, so that insertion is the fast way
        while j > 0 and words[j - 1] > word:
            words[j] = words[j - 1]
            j -= 1
        words[j] = word
    above, middle = np.uint64(pixel_bits + tot_bits), np.uint64(tot_bits)
    pixels, tots = np.uint64((1 << pixel_bits) - 1), np.uint64((1 << tot_bits) - 1)
    for i in range(len(words)):
        toa[i] = np.int64(words[i] >> above) + lowest
        pixel[i] = (words[i] >> middle) & pixels
        tot[i] = words[i] & tots


@njit(nogil=True, cache=True, error_model="numpy")
def _order_equal_times(order: np.ndarray, times: np.ndarray, pixel: np.ndarray, tot: np.ndarray) -> None:
    """Sort the indices of hits of equal time by pixel and time over threshold, in place; `times` are in order."""
    for i in range(1, len(order)):
        own, j = order[i], i
        while j > 0 and times[j - 1] == times[i]:
            before = order[j - 1]
            if (pixel[before], tot[before]) <= (pixel[own], tot[own]):
                break
            order[j] = before
            j -= 1
        order[j] = own


def _sorted_words(words: np.ndarray, shift: int, n_bits: int) -> np.ndarray:
    """Words in order of the bits from `shift` on, equal ones in the order they came.

    They are dealt into buckets by their highest bits, and each bucket is then sorted within the cache.
    """
    n = len(words)
    high_bits = min(max(n.bit_length() - _BUCKET_BITS, 0), n_bits)
    low_bits = n_bits - high_bits
    n_passes = -(-low_bits // _DIGIT)
    digit = -(-low_bits // max(n_passes, 1))
    # Room is made here, since `np.empty` in a compiled function is compiled too. Of `spare`, as long as the largest
    # bucket can be, only as much takes memory as is written to.
    end, count = np.zeros((1 << high_bits) + 1, np.uint32), np.empty(1 << digit, np.uint32)
    dealt, spare = np.empty(n, np.uint64), np.empty(n, np.uint64)
    _deal(words, shift + low_bits, end, dealt)
    _sort_buckets(dealt, end, spare, shift, n_passes, digit, count)
    return dealt


@njit(nogil=True, cache=True, error_model="numpy")
def _deal(words: np.ndarray, shift: int, end: np.ndarray, dealt: np.ndarray) -> None:
    """Put words into buckets by their bits from `shift` on; `end`, which holds zeros, becomes where each ends."""
    above, one = np.uint64(shift), np.uint32(1)
    for i in range(len(words)):
        end[(words[i] >> above) + np.uint64(1)] += one
    for b in range(1, len(end)):
        end[b] += end[b - 1]
    for i in range(len(words)):
        # hits come nearly in order, so that neighbours go to the same bucket: this pass is a friendly one
        b = words[i] >> above
        dealt[end[b]] = words[i]
        end[b] += one


@njit(nogil=True, cache=True, error_model="numpy")
def _sort_buckets(
    words: np.ndarray, end: np.ndarray, spare: np.ndarray, shift: int, n_passes: int, digit: int, count: np.ndarray
) -> None:
    first = 0
    for b in range(len(end) - 1):
        stop = np.int64(end[b])
        _sort_bucket(words[first:stop], spare, shift, n_passes, digit, count)
        first = stop


@njit_inner(nogil=True, cache=True, error_model="numpy")
def _sort_bucket(
    words: np.ndarray, spare: np.ndarray, shift: int, n_passes: int, digit: int, count: np.ndarray
) -> None:
    """Sort in place by the lowest bits of the key, digit by digit."""
    n = len(words)
    if n < 2:
        return
    now, then = words, spare[:n]
    for p in range(n_passes):
        radix_pass(now, shift + p * digit, count, then)
        now, then = then, now
    if n_passes % 2:
        for i in range(n):
            words[i] = now[i]


@njit_inner(nogil=True, cache=True, error_model="numpy")
def radix_pass(keys: np.ndarray, shift: int, count: np.ndarray, out: np.ndarray) -> None:
    """Sort unsigned keys by the digit above `shift`, keeping the order of equal digits.

    `count` is room for a counter of each digit. All numbers are of the type of the keys: mixed with signed ones, they
    would be floats.
    """
    low, mask, one = keys.dtype.type(shift), keys.dtype.type(len(count) - 1), np.uint32(1)
    for d in range(len(count)):
        count[d] = 0
    for i in range(len(keys)):
        count[(keys[i] >> low) & mask] += one
    # where each digit begins
    total = np.uint32(0)
    for d in range(len(count)):
        n = count[d]
        count[d] = total
        total += n
    for i in range(len(keys)):
        d = (keys[i] >> low) & mask
        at = count[d]
        count[d] = at + one
        out[at] = keys[i]
