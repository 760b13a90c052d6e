"""Which hits belong together: connected components in space and time, and a summary of each.

Two hits are joined where their pixels are neighbours, or the same, and their times differ by no more than a window. A
cluster is a connected component of that graph. Hits are visited in order of time, with a table of the last hit of each
pixel. Looking at the *last* hit of a neighbour is enough: an earlier one within the window is within the window of that
last one too, and both are of one pixel, so they are joined already.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

__all__ = ["CHOICES", "Summaries", "choose", "join_hits", "summarise"]

# what `choose` counts, in this order
CHOICES = ("electrons", "hits_of_electrons", "squares", "too_small", "too_large", "tot_too_low", "tot_too_high")


class Summaries(NamedTuple):
    """One entry a cluster, in order of its earliest hit.

    Attributes
    ----------
    earliest, largest : numpy.ndarray of int32
        Hit with the lowest time, of equal ones that with the largest ToT; and hit with the largest ToT, of equal ones
        the first. What is equal still goes by pixel.
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


@njit(nogil=True, cache=True)
def join_hits(toa, pixel, row_start, column, stride, corners, window):
    """Cluster number of each hit.

    Parameters
    ----------
    toa : numpy.ndarray of int64, shape (n,)
        Ticks, not decreasing.
    pixel : numpy.ndarray of int32, shape (n,)
    row_start, column : numpy.ndarray of int64, shapes (height,) and (width,)
        Place of a pixel in a grid with a border is ``row_start[y] + column[x]``, see
        `rsciio_tpx3.events.grid.pixel_grid`.
    stride : int
        Places in a row of the grid.
    corners : bool
        Whether pixels that share a corner only are neighbours.
    window : int
        Largest difference in time, ticks.

    Returns
    -------
    label : numpy.ndarray of int32, shape (n,)
        Clusters are numbered in order of their first hit.
    n_clusters : int
    """
    width = len(column)
    inverse = 1.0 / width
    last_hit = np.full(row_start[-1] + 2 * stride, np.int32(-1))
    parent = np.empty(len(toa), np.int32)
    oldest = np.int32(0)  # the first hit within the window: comparing numbers of hits spares a table of times
    for i in range(len(toa)):
        while toa[i] - toa[oldest] > window:
            oldest += 1
        p = np.int64(pixel[i])
        y = np.int64((p + 0.5) * inverse)
        s = row_start[y] + column[p - y * width]
        root = np.int32(i)
        parent[i] = root
        for line in range(3):
            # indices without a sign: numba looks at signed ones for values below zero, which doubles the time
            first = np.uint64(s + (line - 1) * stride - 1)
            for place in range(3):
                j = last_hit[first + np.uint64(place)]
                if j < oldest or not (corners or line == 1 or place == 1):
                    continue
                while parent[np.uint64(j)] != j:
                    parent[np.uint64(j)] = parent[np.uint64(parent[np.uint64(j)])]
                    j = parent[np.uint64(j)]
                # the lower number is the root: the first hit of its cluster
                if j < root:
                    parent[np.uint64(root)] = j
                    root = j
                elif j > root:
                    parent[np.uint64(j)] = root
        last_hit[np.uint64(s)] = i
    return _numbered(parent)


@njit(nogil=True, cache=True)
def _numbered(parent):
    """Roots to numbers, in place: parents come before their children, so one sweep is enough."""
    n_clusters = 0
    for i in range(len(parent)):
        if parent[i] == i:
            parent[i] = n_clusters
            n_clusters += 1
        else:
            parent[i] = parent[parent[i]]
    return parent, n_clusters


@njit(nogil=True, cache=True)
def summarise(label, n_clusters, toa, pixel, tot, energy, width, centroids):
    """`Summaries` of labelled hits in order of time, pixel and ToT; `energy` may be empty."""
    earliest = np.empty(n_clusters, np.int32)
    largest = np.empty(n_clusters, np.int32)
    size = np.zeros(n_clusters, np.int32)
    total = np.zeros(n_clusters, np.int64)
    sum_y = np.zeros(n_clusters if centroids else 0, np.int64)
    sum_x = np.zeros(n_clusters if centroids else 0, np.int64)
    duration = np.zeros(n_clusters, np.int64)
    energies = np.zeros(n_clusters if len(energy) else 0, np.float64)
    inverse = 1.0 / width
    for i in range(len(label)):
        c = np.uint64(label[i])  # see `join_hits`
        if size[c] == 0:
            earliest[c] = i
            largest[c] = i
        elif tot[i] > tot[largest[c]]:
            largest[c] = i
            # the clock's step makes times equal; the larger charge came first
            if toa[i] == toa[earliest[c]]:
                earliest[c] = i
        size[c] += 1
        weight = np.int64(tot[i])
        total[c] += weight
        if centroids:
            p = np.int64(pixel[i])
            # exact for all pixel numbers of 31 bits: half a pixel is far more than the rounding
            y = np.int64((p + 0.5) * inverse)
            sum_y[c] += weight * y
            sum_x[c] += weight * (p - y * width)
        duration[c] = toa[i] - toa[earliest[c]]
        if len(energies):
            energies[c] += energy[i]
    return Summaries(earliest, largest, size, total, sum_y, sum_x, duration, energies)


@njit(nogil=True, cache=True)
def choose(found, hit, toa, start, stop, limits, counts, sizes):
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
    min_size, max_size, min_tot, max_tot, max_duration = limits
    kept = np.empty(len(hit), np.int64)
    n = 0
    for c in range(len(hit)):
        time = toa[hit[c]]
        if time < start or time >= stop or found.duration[c] > max_duration:
            continue
        size, tot = np.int64(found.size[c]), found.tot[c]
        if size < min_size:
            counts[3] += 1
        elif size > max_size:
            counts[4] += 1
        elif tot < min_tot:
            counts[5] += 1
        elif tot > max_tot:
            counts[6] += 1
        else:
            counts[1] += size
            counts[2] += size * size
            sizes[min(size, len(sizes)) - 1] += 1
            kept[n] = c
            n += 1
    counts[0] += n
    return kept[:n]
