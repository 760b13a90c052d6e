"""How much of each pixel lies in each sector of a ring: the geometry of azimuthal integration.

A sector is the quadrilateral of pyXem (`pyxem.utils.calibration.Calibration`), whose arcs are chords; a pixel is a
rectangle whose sides follow from the axes, also those of a curved Ewald sphere. The overlap of a convex polygon with a
rectangle follows by cutting it at the four sides in turn (Sutherland and Hodgman, Communications of the ACM 17 (1974)
32), and its area by the shoelace formula. Rows of pixels are cut first: the pixels of a row share half of the work.
"""

from __future__ import annotations

import numpy as np

from rsciio_tpx3.utils.compiled import njit, njit_inner
from rsciio_tpx3.utils.ranges import ranges

__all__ = ["are_convex", "overlaps", "ring_weights", "sector_slices"]

_CORNERS = 16  # a quadrilateral has at most 8 corners after four cuts


def sector_slices(corners: np.ndarray, extents: list[np.ndarray]) -> np.ndarray:
    """The block of pixels around each sector, as pyXem chooses it.

    Parameters
    ----------
    corners : numpy.ndarray of float64, shape (n_sectors, 4, 2)
        Corners of each sector in the units of the axes, first axis first.
    extents : sequence of two numpy.ndarray, shape (2, n_pixels)
        Lower and upper side of the pixels of each axis.

    Returns
    -------
    numpy.ndarray of int64, shape (n_sectors, 4)
        First pixel of both axes, and the ones behind the last.
    """
    columns = []
    for axis, extent in enumerate(extents):
        points = np.ascontiguousarray(corners[:, :, axis])
        # Of the four corners the outermost pixels; a corner on a border belongs to both.
        first = np.searchsorted(extent[1], points, side="left").min(axis=1) - 1
        behind = np.searchsorted(extent[0], points, side="right").max(axis=1)
        columns.append((first, behind, extent.shape[1]))
    (x0, x1, n_x), (y0, y1, n_y) = columns
    return np.stack(
        [np.clip(x0, 0, n_x), np.clip(y0, 0, n_y), np.clip(x1, 0, n_x), np.clip(y1, 0, n_y)], axis=1
    ).astype(np.int64)


def are_convex(corners: np.ndarray) -> bool:
    """Whether all sectors are convex, which cutting needs; crossed ones are made by a negative radius.

    Parameters
    ----------
    corners : numpy.ndarray of float64, shape (n_sectors, 4, 2)
    """
    side = np.roll(corners, -1, axis=1) - corners
    following = np.roll(side, -1, axis=1)
    turn = side[..., 0] * following[..., 1] - side[..., 1] * following[..., 0]
    # corners that coincide, as in the centre, make turns of rounding errors
    small = 1e-9 * np.abs(corners).max(axis=(1, 2), initial=0) ** 2
    left, right = (turn < -small[:, None]).any(axis=1), (turn > small[:, None]).any(axis=1)
    return bool(np.isfinite(corners).all() and not (left & right).any())


def overlaps(corners: np.ndarray, slices: np.ndarray, extents: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Share of each pixel that lies in a sector.

    Parameters
    ----------
    corners : numpy.ndarray of float64, shape (n_sectors, 4, 2)
        Convex, see `are_convex`.
    slices : numpy.ndarray of int64, shape (n_sectors, 4)
        Of `sector_slices`.
    extents : sequence of two numpy.ndarray, shape (2, n_pixels)
        Lower and upper side of the pixels of each axis.

    Returns
    -------
    shares : numpy.ndarray of float64
        From 0 to 1; the blocks of all sectors one after the other, each in C order.
    places : numpy.ndarray of int64, shape (n_sectors, 2)
        Where each sector begins and ends in `shares`.

    Examples
    --------
    >>> square = np.array([[[0.0, 0.0], [0.0, 1.5], [1.0, 1.5], [1.0, 0.0]]])
    >>> sides = np.array([[0.0, 1.0], [1.0, 2.0]])
    >>> shares, places = overlaps(square, np.array([[0, 0, 2, 2]]), [sides, sides])
    >>> shares.reshape(2, 2).tolist()
    [[1.0, 0.5], [0.0, 0.0]]
    """
    sizes = np.maximum(slices[:, 2] - slices[:, 0], 0) * np.maximum(slices[:, 3] - slices[:, 1], 0)
    ends = np.cumsum(sizes)
    places = np.stack([ends - sizes, ends], axis=1)
    shares = np.empty(int(ends[-1]) if ends.size else 0)
    x, y = (np.ascontiguousarray(extent, np.float64) for extent in extents)
    _fill_shares(np.ascontiguousarray(corners, np.float64), slices, places, x, y, np.empty((3, _CORNERS, 2)), shares)
    return shares, places


@njit_inner(nogil=True, cache=True, error_model="numpy")
def _cut(points: np.ndarray, n: int, axis: int, bound: float, sign: float, out: np.ndarray) -> int:
    """Corners of a polygon on one side of a line: ``sign * (coordinate - bound) >= 0``; how many there are."""
    m = 0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        here, there = sign * (points[i, axis] - bound), sign * (points[j, axis] - bound)
        if here >= 0:
            out[m, 0], out[m, 1] = points[i, 0], points[i, 1]
            m += 1
        # The side crosses the line: the crossing is a corner of what remains (Sutherland, Hodgman 1974).
        if (here >= 0) != (there >= 0):
            share = here / (here - there)
            out[m, 0] = points[i, 0] + share * (points[j, 0] - points[i, 0])
            out[m, 1] = points[i, 1] + share * (points[j, 1] - points[i, 1])
            m += 1
    return m


@njit_inner(nogil=True, cache=True, error_model="numpy")
def _area(points: np.ndarray, n: int) -> float:
    """Area of a polygon, without sign; seen from its first corner, so that no digits are lost far from the origin."""
    twice = 0.0
    for i in range(1, n - 1):
        twice += (points[i, 0] - points[0, 0]) * (points[i + 1, 1] - points[0, 1])
        twice -= (points[i + 1, 0] - points[0, 0]) * (points[i, 1] - points[0, 1])
    return abs(twice) / 2


@njit(nogil=True, cache=True, error_model="numpy")
def _fill_shares(
    corners: np.ndarray,
    slices: np.ndarray,
    places: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    room: np.ndarray,
    shares: np.ndarray,
) -> None:
    """Fill `shares`; `room`, shape (3, _CORNERS, 2), holds the polygons of each step."""
    half, row, rest = room[0], room[1], room[2]
    # as arguments, literals are types of their own, and `_cut` would be compiled for each
    four, first, second = np.int64(4), np.int64(0), np.int64(1)
    for sector in range(len(corners)):
        x0, y0, x1, y1 = slices[sector]
        place = places[sector, 0]
        for i in range(x0, x1):
            n = _cut(corners[sector], four, first, x[0, i], 1.0, half)
            # The strip of a whole row of pixels is cut once, and each pixel from the strip.
            n_row = _cut(half, n, first, x[1, i], -1.0, row)
            height = x[1, i] - x[0, i]
            for k in range(y0, y1):
                share = 0.0
                if n_row > 2:
                    n = _cut(row, n_row, second, y[0, k], 1.0, half)
                    n = _cut(half, n, second, y[1, k], -1.0, rest)
                    share = _area(rest, n) / (height * (y[1, k] - y[0, k]))
                shares[place] = share
                place += 1


def ring_weights(
    slices: np.ndarray, shares: np.ndarray, places: np.ndarray, n_rings: int, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sectors of each ring added up.

    Parameters
    ----------
    slices, shares, places : numpy.ndarray
        Of `sector_slices` and `overlaps`; the sectors of a ring one after the other.
    n_rings : int
    shape : tuple of int
        Pixels of the detector, first axis first.

    Returns
    -------
    pixels : numpy.ndarray of int64, shape (n, 2)
        Pixels that have a part in a ring, in C order for each ring.
    weights : numpy.ndarray of float64, shape (n,)
    begins : numpy.ndarray of int64, shape (n_rings + 1,)
        Where each ring begins in both.
    """
    begins = np.zeros(n_rings + 1, np.int64)
    n_sectors = len(slices) // max(n_rings, 1)
    pixels, weights = [np.empty(0, np.int64)], [np.empty(0)]
    for ring in range(n_rings):
        own = slice(ring * n_sectors, (ring + 1) * n_sectors)
        # adds in the order of the sectors, so that the sum is always rounded alike
        image = np.bincount(_pixels_of_blocks(slices[own], shape[1]), shares[places[own][0, 0] : places[own][-1, 1]])
        pixels.append(np.flatnonzero(image))
        weights.append(image[pixels[-1]])
        begins[ring + 1] = begins[ring] + len(pixels[-1])
    places_of_pixels = np.stack(np.divmod(np.concatenate(pixels), shape[1]), axis=1)
    return places_of_pixels, np.concatenate(weights), begins


def _pixels_of_blocks(slices: np.ndarray, width: int) -> np.ndarray:
    """Flat numbers of the pixels of blocks, one block after the other, each in C order."""
    x0, y0, x1, y1 = slices.T
    n_lines = np.maximum(x1 - x0, 0)
    lines = ranges(x0, n_lines) * width + np.repeat(y0, n_lines)
    return ranges(lines, np.repeat(np.maximum(y1 - y0, 0), n_lines))
