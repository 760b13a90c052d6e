"""Hot and dead pixels, found in a recording from how often each pixel was hit.

A pixel is compared with a reference from its surroundings: for hot pixels the larger of the median of the 24 pixels
around it and the third largest of its 8 neighbours, for dead ones the smaller of that median and the third smallest.
A pixel is hot if it has more hits than a Poisson process of `contrast` times the reference would give with
`probability`, divided by the number of pixels; dead if it has fewer than one of the reference divided by `contrast`.
The ranks leave edges of disks and small spots alone, which have bright neighbours, and stand up to two bad neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy  # its parts are loaded when they are used first: they cost more than most recordings do

from rsciio_tpx3.corrections.pixel_config import read_pixel_config
from rsciio_tpx3.corrections.tables import errors_of_files, is_path, read_numbers
from rsciio_tpx3.events.grid import pixel_addresses, pixel_grid
from rsciio_tpx3.utils.compiled import njit
from rsciio_tpx3.utils.paths import has_ending
from rsciio_tpx3.utils.threads import add_up

if TYPE_CHECKING:
    from rsciio_tpx3.events.geometry import Layout
    from rsciio_tpx3.events.grid import PixelGrid
    from rsciio_tpx3.events.source import EventSource

__all__ = ["BadPixels", "check_limits", "count_pixels", "find_bad_pixels", "mask_array", "read_mask"]


@dataclass(frozen=True)
class BadPixels:
    """What was found.

    Attributes
    ----------
    hot, dead : numpy.ndarray of bool, shape (height, width)
    counts : numpy.ndarray of int64, shape (height, width)
        Hits of each pixel.
    """

    hot: np.ndarray
    dead: np.ndarray
    counts: np.ndarray


def count_pixels(source: EventSource) -> np.ndarray:
    """Hits of each pixel over a whole recording, by one pass.

    Returns
    -------
    numpy.ndarray of int64, shape (height, width)
    """
    size = source.sig_shape[0] * source.sig_shape[1]

    def count(pieces: Iterable[tuple[int, int]]) -> np.ndarray:
        counts = np.zeros(size, np.int64)
        for piece in pieces:
            for hits in source.part(piece):
                _add(hits.pixel, counts)
        return counts

    # Pieces of some two million hits each.
    pieces = source.work(max(1, source.index().n_hits >> 21))
    return add_up(count, pieces, 8 * size).reshape(source.sig_shape)


@njit(nogil=True, cache=True)
def _add(pixel: np.ndarray, counts: np.ndarray) -> None:
    for i in range(len(pixel)):
        counts[pixel[i]] += 1


def find_bad_pixels(counts: np.ndarray, layout: Layout, probability: float = 1e-3, contrast: float = 3.0) -> BadPixels:
    """Hot and dead pixels of a picture of counts.

    Parameters
    ----------
    counts : numpy.ndarray of int, shape (height, width)
        As from `count_pixels`.
    layout : rsciio_tpx3.events.geometry.Layout
    probability : float
        Of a wrong finding among all pixels, if neighbours differ by no more than `contrast`.
    contrast : float
        Ratio of neighbouring intensities that real patterns may have.

    Returns
    -------
    BadPixels

    Examples
    --------
    >>> import numpy as np
    >>> from rsciio_tpx3.corrections.bad_pixels import find_bad_pixels
    >>> from rsciio_tpx3.events.geometry import make_layout
    >>> counts = np.full((256, 256), 100)
    >>> counts[3, 5], counts[200, 9] = 900, 0
    >>> found = find_bad_pixels(counts, make_layout("single"))
    >>> np.argwhere(found.hot).tolist(), np.argwhere(found.dead).tolist()
    ([[3, 5]], [[200, 9]])
    """
    check_limits(probability, contrast)
    grid = pixel_grid(layout)
    exists = pixel_addresses(layout)[0] >= 0
    image = np.zeros(grid.n_sites)
    image[grid.site[exists]] = counts.ravel()[exists]
    image = image.reshape(-1, grid.stride)[1:-1, 1:-1]
    near, far = np.ones((3, 3), bool), np.ones((5, 5), bool)
    near[1, 1] = far[2, 2] = False
    median = scipy.ndimage.rank_filter(image, 12, footprint=far, mode="mirror")
    hot_reference = np.maximum(median, scipy.ndimage.rank_filter(image, -3, footprint=near, mode="mirror"))
    dead_reference = np.minimum(median, scipy.ndimage.rank_filter(image, 2, footprint=near, mode="mirror"))
    limit = probability / int(exists.sum())
    # at least one hit is expected everywhere: noise gives a few hits where no beam falls
    hot = scipy.stats.poisson.sf(image - 1, np.maximum(contrast * hot_reference, 1)) < limit
    dead = scipy.stats.poisson.cdf(image, dead_reference / contrast) < limit
    hot, dead = (_on_detector(found, grid, exists, counts.shape) for found in (hot, dead))
    return BadPixels(hot, dead, counts)


def check_limits(probability: Any = 1e-3, contrast: Any = 3.0) -> None:
    """Refuse limits with which `find_bad_pixels` cannot work."""
    if any(isinstance(n, bool) or not isinstance(n, Real) for n in (probability, contrast)) or not (
        0 < probability < 1 <= contrast
    ):
        raise ValueError(
            f"corrections: mask: probability={probability!r}, contrast={contrast!r}: expected a probability between 0 "
            "and 1 and a contrast of 1 or more."
        )


def _on_detector(found: np.ndarray, grid: PixelGrid, exists: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    sites = np.zeros((found.shape[0] + 2, grid.stride), bool)
    sites[1:-1, 1:-1] = found
    flat = sites.ravel()[grid.site]
    flat[~exists] = False
    return flat.reshape(shape)


@errors_of_files
def read_mask(user_input: Any, layout: Layout) -> np.ndarray:
    """A mask from an array, a `.npy` or text file (True, or not 0, leaves a pixel out), or a `.bpc` of Serval.

    Raises
    ------
    ValueError
        If it has another shape than the detector, or is not a mask; of a file it is Tpx3FormatError.
    """
    if is_path(user_input) and has_ending(user_input, ".bpc"):
        return read_pixel_config(user_input, layout)
    mask = mask_array(user_input)
    if mask.shape != tuple(layout.sig_shape):
        raise ValueError(
            f"corrections: mask has shape {mask.shape}; expected the detector's (y, x) = "
            f"{tuple(layout.sig_shape)}, True where a pixel is excluded."
        )
    return mask


@errors_of_files
def mask_array(user_input: Any) -> np.ndarray:
    """What `read_mask` takes, but for a `.bpc`, as bool; whatever its shape, as long as it is a picture."""
    mask = read_numbers(user_input, "mask")
    if mask.ndim != 2:
        raise ValueError(
            f"corrections: mask has shape {mask.shape}; expected that of the detector, (y, x), True where a pixel is "
            'excluded. mask="find" looks for hot pixels.'
        )
    return mask != 0
