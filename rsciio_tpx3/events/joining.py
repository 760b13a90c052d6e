"""Which hits belong together: connected components in space and time, and a summary of each.

Two hits are joined where their pixels are neighbours, or the same, and their times differ by no more than a window. A
cluster is a connected component of that graph. Hits are visited in order of time, with a table of the last hit of each
pixel. Looking at the *last* hit of a neighbour is enough: an earlier one within the window is within the window of that
last one too, and both are of one pixel, so they are joined already.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

__all__ = ["Summaries", "join_hits", "summarise"]

_NEVER = np.iinfo(np.int64).min // 2


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
        Sums of row and column times ToT.
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
def join_hits(toa, pixel, site, steps, n_sites, window):
    """Cluster number of each hit.

    Parameters
    ----------
    toa : numpy.ndarray of int64, shape (n,)
        Ticks, not decreasing.
    pixel : numpy.ndarray of int32, shape (n,)
    site : numpy.ndarray of int32, shape (n_pixels,)
        Place of each pixel in a grid with a border, see `rsciio_tpx3.events.grid.pixel_grid`.
    steps : numpy.ndarray of int64
        From a place in that grid to itself and its neighbours.
    n_sites : int
        Places in the grid.
    window : int
        Largest difference in time, ticks.

    Returns
    -------
    label : numpy.ndarray of int32, shape (n,)
        Clusters are numbered in order of their first hit.
    n_clusters : int
    """
    last_time = np.full(n_sites, np.int64(_NEVER))
    last_hit = np.empty(n_sites, np.int32)
    parent = np.empty(len(toa), np.int32)
    for i in range(len(toa)):
        t = toa[i]
        s = site[pixel[i]]
        root = i
        parent[i] = i
        for k in range(len(steps)):
            near = s + steps[k]
            if t - last_time[near] <= window:
                j = last_hit[near]
                while parent[j] != j:
                    parent[j] = parent[parent[j]]
                    j = parent[j]
                # the lower number is the root: the first hit of its cluster
                if j < root:
                    parent[root] = j
                    root = j
                elif j > root:
                    parent[j] = root
        last_time[s] = t
        last_hit[s] = i
    # parents come before their children, so one sweep numbers all; it may overwrite what it has read
    n_clusters = 0
    for i in range(len(parent)):
        if parent[i] == i:
            parent[i] = n_clusters
            n_clusters += 1
        else:
            parent[i] = parent[parent[i]]
    return parent, n_clusters


@njit(nogil=True, cache=True)
def summarise(label, n_clusters, toa, pixel, tot, energy, width):
    """`Summaries` of labelled hits in order of time, pixel and ToT; `energy` may be empty."""
    earliest = np.empty(n_clusters, np.int32)
    largest = np.empty(n_clusters, np.int32)
    size = np.zeros(n_clusters, np.int32)
    total = np.zeros(n_clusters, np.int64)
    sum_y, sum_x = np.zeros(n_clusters, np.int64), np.zeros(n_clusters, np.int64)
    duration = np.zeros(n_clusters, np.int64)
    energies = np.zeros(n_clusters if len(energy) else 0, np.float64)
    inverse = 1.0 / width
    for i in range(len(label)):
        c = label[i]
        if size[c] == 0:
            earliest[c] = i
            largest[c] = i
        elif tot[i] > tot[largest[c]]:
            largest[c] = i
            # the clock's step makes times equal; the larger charge came first
            if toa[i] == toa[earliest[c]]:
                earliest[c] = i
        size[c] += 1
        p = np.int64(pixel[i])
        # exact for all pixel numbers of 31 bits: half a pixel is far more than the rounding
        y = np.int64((p + 0.5) * inverse)
        weight = np.int64(tot[i])
        total[c] += weight
        sum_y[c] += weight * y
        sum_x[c] += weight * (p - y * width)
        duration[c] = toa[i] - toa[earliest[c]]
        if len(energies):
            energies[c] += energy[i]
    return Summaries(earliest, largest, size, total, sum_y, sum_x, duration, energies)
