"""Which detector pixels make one tilted image: squares over the bright-field disk."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from rsciio_tpx3.utils.integers import is_whole
from rsciio_tpx3.utils.units import shown

__all__ = ["Disk", "Groups", "find_disk", "make_groups"]

_SMOOTH = 1.0  # pixels: an edge of electrons that light up neighbours is about as wide


@dataclass(frozen=True)
class Disk:
    """The undiffracted beam on the detector.

    Attributes
    ----------
    y, x : float
        Centre in pixels of the data, 0 being the middle of the first one.
    radius : float
        In pixels, where the edge has half of its height.
    """

    y: float
    x: float
    radius: float


def find_disk(pattern: np.ndarray) -> Disk:
    """Centre and radius of the bright-field disk of a sum pattern.

    Parameters
    ----------
    pattern : numpy.ndarray, shape (height, width)
        Counts added up over the scan.

    Returns
    -------
    Disk

    Raises
    ------
    ValueError
        If there are no counts, or what is bright is not a disk inside the detector.

    Notes
    -----
    The pattern is smoothed by a pixel. Where it passes half of the median of the disk a pixel belongs to the disk in
    part, so that centre and area change smoothly with the edge. Lines without counts (gaps between chips, dead
    columns) are filled from their neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> from hyperspy_sparse.phase_contrast.groups import find_disk
    >>> y, x = np.mgrid[:48, :40]
    >>> disk = find_disk(100.0 * (np.hypot(y - 25.3, x - 18.6) < 9))
    >>> round(disk.y, 1), round(disk.x, 1), round(disk.radius, 1)
    (25.4, 18.6, 9.0)
    """
    pattern = np.asarray(pattern, np.float64)
    if not pattern.max(initial=0) > 0:
        raise ValueError("the sum pattern has no counts, so there is no bright-field disk. Check the loaded data.")
    # Gaps between chips are not dark specimen: smoothing has to divide by what it saw.
    known = (_seen(pattern.any(axis=1))[:, None] & _seen(pattern.any(axis=0))).astype(float)
    smooth = ndimage.gaussian_filter(pattern, _SMOOTH)
    smooth /= np.maximum(ndimage.gaussian_filter(known, _SMOOTH), 0.05)
    # a mean over some pixels: at low dose the highest pixel is noise
    broad = ndimage.gaussian_filter(smooth, max(1.0, min(pattern.shape) / 64))
    labels, _ = ndimage.label(broad > 0.5 * broad.max())
    core = ndimage.binary_fill_holes(labels == labels[np.unravel_index(np.argmax(broad), broad.shape)])
    # The height is that of the disk found so far, and the disk what is above half of it: three rounds settle both.
    for _ in range(3):
        height = np.median(smooth[core])
        near = ndimage.binary_dilation(core, iterations=3)
        # steep, and centred on half of the height
        inside = np.where(near, np.clip(2.0 * (smooth / height - 0.5) + 0.5, 0, 1), 0.0)
        filled = ndimage.binary_fill_holes(inside >= 0.5)
        inside[ndimage.binary_erosion(filled, iterations=2)] = 1.0
        core = filled
    area = inside.sum()
    y, x = (float((inside * axis).sum() / area) for axis in np.mgrid[: pattern.shape[0], : pattern.shape[1]])
    radius = float(np.sqrt(area / np.pi))
    spread = sum(
        (inside * (axis - c) ** 2).sum() for axis, c in zip(np.mgrid[tuple(map(slice, pattern.shape))], (y, x))
    )
    # a disk has half of the square of its radius; a stripe or a pair of spots has more
    if radius < 1 or spread / area > 0.65 * radius**2:
        raise ValueError(
            f"the brightest part of the sum pattern (area {area:.0f} px) is not a disk, so centre and radius of the "
            "bright field cannot be found. Pass them: center=(x, y), radius=... in pixels."
        )
    return Disk(y, x, radius)


def _seen(any_counts: np.ndarray) -> np.ndarray:
    """Lines with a meaning: all but those without counts between others, as in a gap between chips."""
    ends = np.flatnonzero(any_counts)[[0, -1]]
    number = np.arange(len(any_counts))
    return any_counts | (number < ends[0]) | (number > ends[1])


@dataclass(frozen=True)
class Groups:
    """Groups of detector pixels, each of which makes a tilted image.

    Attributes
    ----------
    labels : numpy.ndarray of int16, shape (height, width)
        Group of each pixel; their number for pixels of no group.
    y, x : numpy.ndarray of float64, shape (groups,)
        Mean place of the pixels of each group, in pixels from the centre of the disk.
    pixels : numpy.ndarray of int64, shape (groups,)
        How many each has.
    row, column : numpy.ndarray of int64, shape (groups,)
        Place of each group in the square grid, 0 being the middle of the disk or just above.
    width : float
        Side of a square in pixels.
    disk : Disk
    """

    labels: np.ndarray
    y: np.ndarray
    x: np.ndarray
    pixels: np.ndarray
    row: np.ndarray
    column: np.ndarray
    width: float
    disk: Disk

    def __len__(self) -> int:
        return len(self.y)


_MOST = 32_000  # groups: labels are int16, and as many images of a scan fit no memory


def make_groups(disk: Disk, sig_shape: tuple[int, int], across: int = 16) -> Groups:
    """Squares over the disk.

    Parameters
    ----------
    disk : Disk
    sig_shape : tuple of int
        Detector ``(height, width)``.
    across : int
        Squares along a diameter; where they would be smaller than a pixel, each pixel is a group.

    Returns
    -------
    Groups

    Raises
    ------
    ValueError
        If `across` is not a positive integer, or the disk does not meet the detector.

    Examples
    --------
    >>> from hyperspy_sparse.phase_contrast.groups import Disk, make_groups
    >>> groups = make_groups(Disk(24.0, 20.0, 13.0), (48, 40), across=6)
    >>> len(groups), int(groups.pixels.sum())
    (36, 529)
    """
    if not is_whole(across, 1, 180):
        raise ValueError(f"across={shown(across)}: expected an integer from 1 to 180, the groups along a diameter.")
    width = max(2 * disk.radius / int(across), 1.0)
    y, x = (axis - c for axis, c in zip(np.mgrid[: sig_shape[0], : sig_shape[1]], (disk.y, disk.x)))
    inside = np.hypot(y, x) <= disk.radius
    if not inside.any():
        raise ValueError(
            f"no pixel of the detector {sig_shape} lies within {disk.radius:.3g} px of ({disk.x:.3g}, {disk.y:.3g}), "
            "the centre (x, y) of the disk. Check center and radius."
        )
    # an even number of squares has a corner in the middle of the disk, an odd one a square
    squares = math.ceil(2 * disk.radius / width - 1e-9)
    # a pixel at the very end of a diameter belongs to the last square
    rows, columns = (
        np.floor(axis[inside] / width + 0.5 * (squares % 2)).astype(np.int64).clip(-(squares // 2), (squares - 1) // 2)
        for axis in (y, x)
    )
    reach = int(max(np.abs(rows).max(), np.abs(columns).max())) + 1
    cells, group = np.unique((rows + reach) * 2 * reach + columns + reach, return_inverse=True)
    if len(cells) > _MOST:
        raise ValueError(f"across={across} makes {len(cells)} groups; {_MOST} are possible. Choose fewer.")
    labels = np.full(sig_shape, len(cells), np.int16)
    labels[inside] = group
    pixels = np.bincount(group)
    mean_y, mean_x = (np.bincount(group, axis[inside]) / pixels for axis in (y, x))
    row, column = cells // (2 * reach) - reach, cells % (2 * reach) - reach
    return Groups(labels, mean_y, mean_x, pixels, row, column, float(width), disk)
