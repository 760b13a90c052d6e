"""Which detector pixels exist, which are neighbours across chip borders, and which collect for the gap next to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy  # its parts are loaded when they are used first: they cost more than most recordings do

from rsciio_tpx3.events.geometry import CHIP_SIZE

if TYPE_CHECKING:
    from rsciio_tpx3.events.geometry import Layout

__all__ = ["PixelGrid", "collecting_pixels", "pixel_addresses", "pixel_grid"]

_REACH = 2  # pixels of a gap that one border pixel stands for: three times as wide as the others
_WIDEST_GAP = 2 * _REACH  # one border pixel on either side


def pixel_addresses(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Chip and place on it of every detector pixel.

    Parameters
    ----------
    layout : rsciio_tpx3.events.geometry.Layout

    Returns
    -------
    chip : numpy.ndarray of int16, shape (height * width,)
        -1 where there is no pixel.
    address : numpy.ndarray of uint16, same shape
        ``y * 256 + x`` on the chip, 0 where there is no pixel.
    """
    size = layout.sig_shape[0] * layout.sig_shape[1]
    chip, address = np.full(size, -1, np.int16), np.zeros(size, np.uint16)
    own, on_chip = np.arange(CHIP_SIZE), np.arange(CHIP_SIZE**2, dtype=np.uint16)
    for number in layout.chips:
        offset, along_x, along_y = layout.rules[number]
        flat = (offset + along_x * own + along_y * own[:, None]).ravel()
        chip[flat], address[flat] = number, on_chip
    return chip, address


def collecting_pixels(layout: Layout) -> np.ndarray:
    """Flat index of the pixel that collects the charge at each detector pixel, -1 where there is none.

    The pixels at the inner chip borders are about three times as wide as the others, so that a layout with a gap shows
    empty pixels there; their charge goes to the nearest real pixel up to two pixels away.
    """
    chip, _ = pixel_addresses(layout)
    empty = (chip < 0).reshape(layout.sig_shape)
    # the nearest by the true distance lies straight across; a distance in steps would allow slanted ones too
    nearest = scipy.ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True)
    away = np.abs(nearest - np.indices(layout.sig_shape)).max(axis=0)
    flat = nearest[0].astype(np.int64) * layout.sig_shape[1] + nearest[1]
    return np.where(away <= _REACH, flat, -1).ravel()


@dataclass(frozen=True)
class PixelGrid:
    """Detector pixels without the gaps between chips, in a grid with a border of one pixel.

    Attributes
    ----------
    row_start : numpy.ndarray of int64, shape (height,)
        Where each detector row begins in the flat grid; a row in a gap shares the place of the next one.
    column : numpy.ndarray of int64, shape (width,)
        Place of each detector column in a row.
    stride : int
        Places in a row of the grid.
    """

    row_start: np.ndarray
    column: np.ndarray
    stride: int

    @property
    def site(self) -> np.ndarray:
        """Place of each detector pixel in the flat grid, shape (height * width,)."""
        return (self.row_start[:, None] + self.column).ravel()

    @property
    def n_sites(self) -> int:
        """Places with the border."""
        return int(self.row_start[-1]) + 2 * self.stride


def pixel_grid(layout: Layout) -> PixelGrid:
    """The grid in which pixels on both sides of a chip border are neighbours.

    Rows and columns without any pixel are excluded where no more than four, or as many as the gap of the layout, lie
    together: there the sensor goes on. Wider ones keep chips apart.

    Returns
    -------
    PixelGrid
    """
    exists = (pixel_addresses(layout)[0] >= 0).reshape(layout.sig_shape)
    widest = max(_WIDEST_GAP, layout.gap)
    row, column = (_without_gaps(np.any(exists, axis=axis), widest) for axis in (1, 0))
    stride = int(column[-1]) + 3
    return PixelGrid((row + 1) * stride, column + 1, stride)


def _without_gaps(used: np.ndarray, widest: int) -> np.ndarray:
    """New number of each row, when short runs of empty ones are excluded."""
    wide = used.copy()
    borders = np.flatnonzero(np.diff(np.concatenate([[True], used, [True]]).astype(np.int8)))
    for first, stop in zip(borders[::2], borders[1::2]):
        wide[first:stop] = stop - first > widest
    return np.cumsum(wide) - wide
