"""Clusters by comparing each hit with those just before it.

Within a window of 200 ns there are few hits: four at 20 million a second. So every hit is compared with the one before
it, the one before that, and so on as far as the window reaches, for a block of hits at a time: such loops become vector
instructions. What they find is a bit for each distance and the nearest hit that is joined. Then hits are visited in
order. Most have their nearest hit's other neighbours for neighbours, and those are joined already.
"""

import numpy as np

from rsciio_tpx3.utils.compiled import njit, njit_inner

__all__ = ["LONGEST", "join_near_hits"]

LONGEST = 2**32 - 1  # ticks from the first hit to the last: times are compared in 32 bits
_BLOCK = 2048  # hits looked at together: what is known of them stays in the first cache level
_DISTANCES = 32  # hits before each that one word of bits tells of
_STEP = 4  # distances between two looks whether the window still reaches


def join_near_hits(
    toa: np.ndarray,
    pixel: np.ndarray,
    row_start: np.ndarray,
    column: np.ndarray,
    stride: int,
    corners: bool,
    window: int,
) -> np.ndarray:
    """An earlier hit of the same cluster for each hit, or the hit itself.

    Parameters
    ----------
    toa : numpy.ndarray of int64, shape (n,)
        Ticks, not decreasing; from the first to the last no more than `LONGEST`.
    pixel : numpy.ndarray of int32, shape (n,)
    row_start, column : numpy.ndarray of int64, shapes (height,) and (width,)
        Place of a pixel in a grid with a border is ``row_start[y] + column[x]``, see
        `rsciio_tpx3.events.grid.pixel_grid`.
    stride : int
        Places in a row of the grid.
    corners : bool
        Whether pixels that share a corner only are neighbours.
    window : int
        Largest difference in time, ticks; no more than `LONGEST`.

    Returns
    -------
    numpy.ndarray of int32, shape (n,)
    """
    n = len(toa)
    # Room is made here, since `np.empty` in a compiled function is compiled too.
    # 32 bits for both: twice as many lanes in a vector register. Times wrap, and differences within the window do not
    # mind.
    place, when = np.empty(n, np.int32), np.empty(n, np.uint32)
    parent, joined = np.empty(n, np.int32), np.empty(n, np.uint32)
    nearest, farther = np.empty(_BLOCK, np.uint32), np.empty(_BLOCK, np.uint32)
    numbers = np.int32(stride), np.int32(1 if corners else 0), np.uint32(window)
    _join(toa, pixel, row_start, column, *numbers, place, when, parent, joined, nearest, farther)
    return parent


@njit(nogil=True, cache=True, error_model="numpy")
def _join(
    toa: np.ndarray,
    pixel: np.ndarray,
    row_start: np.ndarray,
    column: np.ndarray,
    stride: int,
    reach: int,
    window: int,
    place: np.ndarray,
    when: np.ndarray,
    parent: np.ndarray,
    joined: np.ndarray,
    nearest: np.ndarray,
    farther: np.ndarray,
) -> None:
    """Fill `parent`; the other arrays are room to work in."""
    _places_and_times(toa, pixel, row_start, column, place, when)
    n = len(toa)
    for first in range(0, n, _BLOCK):
        stop = min(first + _BLOCK, n)
        # a literal 1 would be a type of its own, and compiled for itself
        end, alive = _reached(when, first, stop, np.int64(1), window)
        own, near = joined[first:stop], nearest[: stop - first]
        _compare(place, when, first, stop, np.int64(1), end, stride, reach, window, own, near)
        _join_block(parent, joined, first, own, near)
        # Comparisons go into 32 bits of a word; hits within the window beyond that come in further rounds.
        while alive:  # many hits within the window
            begin = end
            end, alive = _reached(when, first, stop, begin, window)
            own = farther[: stop - first]
            _compare(place, when, first, stop, begin, end, stride, reach, window, own, near)
            for i in range(len(own)):
                if own[i]:
                    _unite(parent, np.int32(first + i), begin, own[i])


@njit_inner(nogil=True, cache=True, error_model="numpy")
def _places_and_times(
    toa: np.ndarray, pixel: np.ndarray, row_start: np.ndarray, column: np.ndarray, place: np.ndarray, when: np.ndarray
) -> None:
    """Place of each hit in the grid, and the lower half of its time: enough for differences."""
    width = len(column)
    inverse = 1.0 / width
    for i in range(len(toa)):
        p = np.int64(pixel[i])
        y = np.int64((p + 0.5) * inverse)
        place[i] = row_start[np.uint64(y)] + column[np.uint64(p - y * width)]
        when[i] = np.uint32(toa[i])


@njit_inner(nogil=True, cache=True, error_model="numpy")
def _reached(when: np.ndarray, first: int, stop: int, begin: int, window: int) -> tuple[int, bool]:
    """Where distances from `begin` on end for a word of bits, and whether the window reaches beyond."""
    end, alive = begin, True
    while alive and end < begin + _DISTANCES:
        end += _STEP
        from_hit = max(first, end)
        # The smallest difference at this distance: where it is beyond the window, so is all that lies farther back.
        shortest = np.uint32(LONGEST)
        if from_hit < stop:
            now, then = when[from_hit:stop], when[from_hit - end : stop - end]
            for i in range(len(now)):
                shortest = min(shortest, np.uint32(now[i] - then[i]))
        alive = from_hit < stop and shortest <= window
    return end, alive


@njit_inner(nogil=True, cache=True, error_model="numpy")
def _compare(
    place: np.ndarray,
    when: np.ndarray,
    first: int,
    stop: int,
    begin: int,
    end: int,
    stride: int,
    reach: int,
    window: int,
    joined: np.ndarray,
    nearest: np.ndarray,
) -> None:
    """Compare a block of hits with those `begin` to `end` before each.

    Parameters
    ----------
    reach : {1, 0}
        Places in the rows above and below, next to that straight across.
    joined : numpy.ndarray of uint32
        Set to the hits that each is joined with, the lowest bit for distance `begin`.
    nearest : numpy.ndarray of uint32
        Set to the number of the lowest bit, from 1; 0 where there is none.
    """
    joined[:] = 0
    nearest[:] = 0
    row, spread, one = np.int32(stride - reach), np.uint32(2 * reach), np.uint32(1)
    # From far to near: the nearest match is the lowest bit, and the last one written to `nearest`.
    for distance in range(end - 1, begin - 1, -1):
        from_hit = max(first, distance)
        if from_hit >= stop:
            continue
        number = np.uint32(distance - begin + 1)
        here, now = place[from_hit:stop], when[from_hit:stop]
        there, then = place[from_hit - distance : stop - distance], when[from_hit - distance : stop - distance]
        bits, near = joined[from_hit - first :], nearest[from_hit - first :]
        for i in range(len(here)):
            apart = np.int32(abs(np.int32(here[i] - there[i])))
            # next to each other in a row, or in rows above each other
            adjacent = (apart <= 1) | (np.uint32(apart - row) <= spread)
            match = adjacent & (np.uint32(now[i] - then[i]) <= window)
            bits[i] = np.uint32((bits[i] << one) | np.uint32(match))
            near[i] = number if match else near[i]


@njit_inner(nogil=True, cache=True, error_model="numpy")
def _join_block(parent: np.ndarray, joined: np.ndarray, first: int, bits: np.ndarray, nearest: np.ndarray) -> None:
    """Join each hit of a block with the nearest, and with those that are not known to be joined with that one."""
    one = np.uint32(1)
    for i in range(len(bits)):
        hit = np.int32(first + i)
        near = np.int32(hit - np.int32(nearest[i]))
        parent[hit] = hit
        parent[hit] = parent[near]
        # the bits without the lowest, and without the nearest hit's own
        rest = np.uint32(bits[i] & (bits[i] - one) & ~(joined[near] << nearest[i]))
        if rest:
            _unite(parent, hit, np.int64(1), rest)


@njit_inner(nogil=True, cache=True, error_model="numpy")
def _unite(parent: np.ndarray, hit: int, distance: int, bits: int) -> None:
    """Join a hit with those so far before it and more, one for each bit that is set."""
    root = _root(parent, hit)
    while bits:
        if bits & np.uint32(1):
            other = _root(parent, np.int32(hit - distance))
            # the lower number is the root: the first hit of its cluster
            parent[max(root, other)] = min(root, other)
            root = min(root, other)
        bits = np.uint32(bits >> np.uint32(1))
        distance += 1


@njit_inner(nogil=True, cache=True, error_model="numpy")
def _root(parent: np.ndarray, hit: int) -> int:
    while parent[hit] != hit:
        parent[hit] = parent[parent[hit]]
        hit = parent[hit]
    return hit
