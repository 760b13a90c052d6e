"""Which hits belong together: connected components in space and time.

Two hits are joined where their pixels are neighbours, or the same, and their times differ by no more than a window. A
cluster is a connected component of that graph. Hits are visited in order of time, and there are two ways to find those
that a hit is joined with, with the same answer:

- Compare it with the hits before it, as far back as the window reaches: a few at usual rates, with vector instructions
  (`rsciio_tpx3.electrons.near_hits`).
- Look at its neighbours in a table of the last hit of each pixel, at any rate. Looking at the *last* hit of a neighbour
  is enough: an earlier one within the window is within the window of that last one too, and both are of one pixel, so
  they are joined already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.electrons.near_hits import LONGEST, join_near_hits
from rsciio_tpx3.utils.compiled import njit

if TYPE_CHECKING:
    from rsciio_tpx3.events.grid import PixelGrid

__all__ = ["join_hits"]

_SAMPLES = 256  # hits, evenly spread, at which the number within the window is looked up
_MOST_ALIVE = 55  # hits within the window before each, on average, from where on the table is faster


def join_hits(
    toa: np.ndarray, pixel: np.ndarray, grid: PixelGrid, corners: bool, window: int
) -> tuple[np.ndarray, int]:
    """Cluster number of each hit.

    Parameters
    ----------
    toa : numpy.ndarray of int64, shape (n,)
        Ticks, not decreasing.
    pixel : numpy.ndarray of int32, shape (n,)
    grid : rsciio_tpx3.events.grid.PixelGrid
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
    join = join_near_hits if _few_alive(toa, window) else join_by_table
    return _numbered(join(toa, pixel, grid.row_start, grid.column, grid.stride, corners, np.int64(window)))


def _few_alive(toa: np.ndarray, window: int) -> bool:
    if len(toa) == 0 or toa[-1] - toa[0] > LONGEST or window > LONGEST:
        return False
    some = np.arange(0, len(toa), -(-len(toa) // _SAMPLES))
    return (some - np.searchsorted(toa, toa[some] - window)).mean() < _MOST_ALIVE


@njit(nogil=True, cache=True, error_model="numpy")
def join_by_table(
    toa: np.ndarray,
    pixel: np.ndarray,
    row_start: np.ndarray,
    column: np.ndarray,
    stride: int,
    corners: bool,
    window: int,
) -> np.ndarray:
    """An earlier hit of the same cluster for each hit, or the hit itself; parameters as of `join_near_hits`."""
    width = len(column)
    inverse = 1.0 / width
    # By pixel. -1 is below every `oldest`, so that "no hit yet" needs no test of its own.
    last_hit = np.full(row_start[-1] + 2 * stride, np.int32(-1))
    parent = np.empty(len(toa), np.int32)
    oldest = np.int32(0)  # the first hit within the window: comparing numbers of hits spares a table of times
    for i in range(len(toa)):
        while toa[i] - toa[oldest] > window:
            oldest += 1
        p = np.int64(pixel[i])
        # A product instead of a division by the width; half a pixel more keeps rounding from reaching the row below.
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
                # To the root of its cluster, halving the path on the way: later searches are short.
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
    return parent


@njit(nogil=True, cache=True, error_model="numpy")
def _numbered(parent: np.ndarray) -> tuple[np.ndarray, int]:
    """Roots to numbers, in place: parents come before their children, so one sweep is enough."""
    n_clusters = np.int32(0)
    for i in range(len(parent)):
        of = parent[i]
        # a root reads back what was just written. No branch: which hit begins a cluster cannot be guessed
        parent[i] = n_clusters
        parent[i] = parent[np.uint64(of)]
        n_clusters += np.int32(of == i)
    return parent, n_clusters
