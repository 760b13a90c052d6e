"""What is known of each cluster, and which clusters pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rsciio_tpx3.utils.compiled import njit

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import Hits

__all__ = ["CHOICES", "Summaries", "choose", "summarise"]

# what `choose` counts, in this order
CHOICES = ("electrons", "hits_of_electrons", "squares", "too_small", "too_large", "tot_too_low", "tot_too_high",
           "hits_left_out")  # fmt: skip


class Summaries(NamedTuple):
    """One entry a cluster, in order of its earliest hit.

    Attributes
    ----------
    earliest : numpy.ndarray of int32
        Hit with the lowest time. Of equal ones that with the largest ToT where the place of the earliest is wanted,
        else the first: their time is the same.
    largest : numpy.ndarray of int32
        Hit with the largest ToT, of equal ones the first. What is equal still goes by pixel.
    size : numpy.ndarray of int32
        Hits.
    tot : numpy.ndarray of int64
        Summed time over threshold.
    sum_y, sum_x : numpy.ndarray of int64
        Sums of row and column times ToT; empty where no centroids are wanted.
    duration : numpy.ndarray of int64
        Ticks from the first hit to the last.
    energy : numpy.ndarray of float64
        Summed energy; empty where hits have none.
    """

    earliest: np.ndarray
    largest: np.ndarray
    size: np.ndarray
    tot: np.ndarray
    sum_y: np.ndarray
    sum_x: np.ndarray
    duration: np.ndarray
    energy: np.ndarray


def summarise(label: np.ndarray, n_clusters: int, hits: Hits, position: str) -> Summaries:
    """Summaries of clusters.

    Parameters
    ----------
    label : numpy.ndarray of int32, shape (n,)
        Cluster of each hit, numbered in order of their first hits.
    n_clusters : int
    hits : rsciio_tpx3.events.source.Hits
        In order of time, pixel and ToT.
    position : {"largest", "centroid", "earliest"}
        Which place is wanted.

    Returns
    -------
    Summaries
    """
    # Arrays are made here: each that a compiled function makes takes as long to compile as its loop.
    earliest, last = np.empty(n_clusters + 1, np.int32), np.empty(n_clusters, np.int32)
    best = np.zeros(n_clusters, np.uint64)  # ToT above, and below it a number that falls from hit to hit
    size, tot = np.zeros(n_clusters, np.int32), np.zeros(n_clusters, np.int64)
    _summaries(label, hits.tot, earliest, last, best, size, tot)
    earliest = earliest[:n_clusters]
    # The number in the lower half fell from hit to hit, so that of equal charges the first hit won.
    largest = (np.uint64(0xFFFFFFFF) - (best & np.uint64(0xFFFFFFFF))).astype(np.int32)
    duration = hits.toa[last] - hits.toa[earliest]
    sum_y = sum_x = np.empty(0, np.int64)
    if position == "earliest":
        _largest_of_equal_times(earliest, label, hits.toa, hits.tot)
    elif position == "centroid":
        sum_y, sum_x = _moments(label, n_clusters, hits.pixel, hits.tot, hits.width)
    energy = np.empty(0) if hits.energy is None else np.bincount(label, hits.energy, n_clusters)
    return Summaries(earliest, largest, size, tot, sum_y, sum_x, duration, energy)


@njit(nogil=True, cache=True, error_model="numpy")
def _summaries(
    label: np.ndarray,
    tot: np.ndarray,
    earliest: np.ndarray,
    last: np.ndarray,
    best: np.ndarray,
    size: np.ndarray,
    total: np.ndarray,
) -> None:
    """The columns that are always wanted; the loop over hits decides nothing, so that no guess of it can be wrong."""
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    seen = np.uint64(0)
    for i in range(len(label)):
        c = np.uint64(label[i])  # without a sign: see `rsciio_tpx3.electrons.joining`
        # the next new cluster's entry is written until it comes
        earliest[seen] = i
        seen += np.uint64(c == seen)
        last[c] = i
        best[c] = max(best[c], (np.uint64(tot[i]) << half) | (low - np.uint64(i)))
        size[c] += 1
        total[c] += np.int64(tot[i])


@njit(nogil=True, cache=True, error_model="numpy")
def _largest_of_equal_times(earliest: np.ndarray, label: np.ndarray, toa: np.ndarray, tot: np.ndarray) -> None:
    """The clock's step makes times equal; the larger charge came first."""
    for i in range(len(label)):
        first = earliest[label[i]]
        if toa[i] == toa[first] and tot[i] > tot[first]:
            earliest[label[i]] = i


@njit(nogil=True, cache=True, error_model="numpy")
def _moments(
    label: np.ndarray, n_clusters: int, pixel: np.ndarray, tot: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of row and column times ToT."""
    sum_y, sum_x = np.zeros(n_clusters, np.int64), np.zeros(n_clusters, np.int64)
    inverse = 1.0 / width
    for i in range(len(label)):
        c, p, weight = np.uint64(label[i]), np.int64(pixel[i]), np.int64(tot[i])
        # exact for all pixel numbers of 31 bits: half a pixel is far more than the rounding
        y = np.int64((p + 0.5) * inverse)
        sum_y[c] += weight * y
        sum_x[c] += weight * (p - y * width)
    return sum_y, sum_x


def choose(
    found: Summaries,
    hit: np.ndarray,
    toa: np.ndarray,
    start: int,
    stop: int,
    limits: tuple[int, ...],
    counts: np.ndarray,
    sizes: np.ndarray,
) -> np.ndarray:
    """Numbers of the clusters of a span of time that pass all limits; what fails is counted at the first limit.

    Parameters
    ----------
    found : Summaries
    hit : numpy.ndarray of int32
        The hit whose time is that of each cluster.
    toa : numpy.ndarray of int64
        Of all hits.
    start, stop : int
        Half-open span of time.
    limits : tuple of int
        Smallest and largest size, smallest and largest ToT, longest duration; longer chains belong to no span.
    counts : numpy.ndarray of int64
        As `CHOICES`, added to.
    sizes : numpy.ndarray of int64
        Chosen clusters by size, from 1; the last entry holds all larger ones. Added to.

    Returns
    -------
    numpy.ndarray of int64
    """
    chosen = np.empty(len(hit), np.int64)
    n = _choose(found.size, found.tot, found.duration, hit, toa, start, stop, limits, counts, sizes, chosen)
    return chosen[:n]


@njit(nogil=True, cache=True, error_model="numpy")
def _choose(
    size: np.ndarray,
    tot: np.ndarray,
    duration: np.ndarray,
    hit: np.ndarray,
    toa: np.ndarray,
    start: int,
    stop: int,
    limits: tuple[int, ...],
    counts: np.ndarray,
    sizes: np.ndarray,
    chosen: np.ndarray,
) -> int:
    """Fill `chosen`; how many there are."""
    min_size, max_size, min_tot, max_tot, max_duration = limits
    n = 0
    for c in range(len(hit)):
        time = toa[hit[c]]
        # Clusters of another span are counted there, and chains beyond the longest duration nowhere.
        if time < start or time >= stop or duration[c] > max_duration:
            continue
        n_hits, total = np.int64(size[c]), tot[c]
        # Places in `counts` are those of `CHOICES`: one limit for each cluster that fails, the first of them.
        if n_hits < min_size:
            counts[3] += 1
        elif n_hits > max_size:
            counts[4] += 1
        elif total < min_tot:
            counts[5] += 1
        elif total > max_tot:
            counts[6] += 1
        else:
            counts[1] += n_hits
            counts[2] += n_hits * n_hits
            sizes[min(n_hits, len(sizes)) - 1] += 1
            chosen[n] = c
            n += 1
            continue
        counts[7] += n_hits
    counts[0] += n
    return n
