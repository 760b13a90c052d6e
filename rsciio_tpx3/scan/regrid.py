"""Events of a drifting specimen put where they belong: the drift as a change of the `Scan`.

A shift along the line is a shift in time, so it is exact to the clock; a shift across lines goes to the
nearest row of a grid that may be finer than the lines. Nothing is interpolated: each event stays one
event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.scan.scan import MOST_POSITIONS

if TYPE_CHECKING:
    from rsciio_tpx3.scan.scan import Scan

__all__ = ["Grid", "common_grid", "scan_grid", "shifted_scan"]


class Grid:
    """The navigation grid of aligned frames.

    Parameters
    ----------
    shifts : numpy.ndarray of float, shape (frames, 2)
        ``(y, x)`` in scan positions, added to the positions of a frame's events.
    nav_shape : tuple of int
        ``(y, x)`` of a frame.
    upsampling : int
        Cells of the grid in a position, along each axis.
    first : tuple of int
        Cell ``(y, x)`` of the unshifted scan where the grid begins.
    shape : tuple of int
        Cells ``(y, x)``.

    Raises
    ------
    ValueError
        If there are more cells than a scan may have positions.
    """

    def __init__(
        self,
        shifts: np.ndarray,
        nav_shape: Sequence[int],
        upsampling: int,
        first: Sequence[int],
        shape: Sequence[int],
    ) -> None:
        self.shifts = np.asarray(shifts, float)
        self.nav_shape = tuple(nav_shape)
        self.upsampling = int(upsampling)
        self.first = tuple(int(n) for n in first)
        self.shape = tuple(int(n) for n in shape)
        if self.shape[0] * self.shape[1] > MOST_POSITIONS:
            raise ValueError(
                f"upsampling={self.upsampling} makes {self.shape[1]:,} x {self.shape[0]:,} positions, more than "
                f"{MOST_POSITIONS:,}, whose counts alone take 1.6 GB. Take a smaller upsampling, or a part of the scan "
                "(s.inav)."
            )

    def cells(self, axis: int) -> np.ndarray:
        """Cell of the middle of each position along an axis, for each frame; -1 outside the grid.

        Returns
        -------
        numpy.ndarray of int64, shape (frames, n)
        """
        cells = _cells(self.shifts[:, axis], self.nav_shape[axis], self.upsampling) - self.first[axis]
        return np.where((cells >= 0) & (cells < self.shape[axis]), cells, -1)

    def visits(self) -> np.ndarray:
        """How many positions of all frames fall into each cell, shape `shape`."""
        along = []
        for axis in (0, 1):
            cells = self.cells(axis)
            counted = np.zeros((len(cells), self.shape[axis] + 1), np.int64)
            np.add.at(counted, (np.arange(len(cells))[:, None], cells), 1)
            along.append(counted[:, :-1])
        return np.einsum("fy,fx->yx", *along)


def _cells(shifts: np.ndarray, n: int, upsampling: int) -> np.ndarray:
    return np.floor((np.arange(n) + 0.5 + shifts[:, None]) * upsampling).astype(np.int64)


def scan_grid(shifts: np.ndarray, nav_shape: Sequence[int], upsampling: int = 1) -> Grid:
    """The grid of the unshifted scan."""
    return Grid(shifts, nav_shape, upsampling, (0, 0), [n * upsampling for n in nav_shape])


def common_grid(shifts: np.ndarray, nav_shape: Sequence[int], upsampling: int = 1) -> Grid:
    """The part of the field that every frame has seen.

    Raises
    ------
    ValueError
        If there is none.
    """
    shifts = np.asarray(shifts, float)
    first, shape = [], []
    for axis in (0, 1):
        cells = _cells(shifts[:, axis], nav_shape[axis], upsampling)
        first.append(int(cells[:, 0].max()))
        shape.append(int(cells[:, -1].min()) + 1 - first[-1])
    if min(shape) < 1:
        raise ValueError(
            f"The frames drift by up to {np.ptp(shifts, axis=0).max():.4g} positions and have no common field. Check "
            'the shifts, choose fewer frames, or pass field="scan".'
        )
    return Grid(shifts, nav_shape, upsampling, first, shape)


def shifted_scan(scan: Scan, grid: Grid) -> Scan:
    """The scan of repeated frames with every event at its place on a grid, frames added up.

    Parameters
    ----------
    scan : Scan
        Of shape ``(frames, y, x)``, of lines or of single positions in raster order.
    grid : Grid

    Returns
    -------
    Scan
        Of shape ``grid.shape``.
    """
    n_frames, ny, nx = scan.nav_shape
    k, width = grid.upsampling, grid.shape[1]
    used = (scan.base >= 0) & (scan.stop > scan.start)
    frame, position = np.divmod(np.where(used, scan.base, 0), ny * nx)
    row, first_column = np.divmod(position, nx)
    backwards = scan.step < 0
    # row of the grid that each line falls on
    target = grid.cells(0)[frame, row]
    num, den = scan.num, scan.den * k
    # Exact in 1 / den ticks: the shift along x moves the phase of a line, the shift along y its row.
    moved = np.round(grid.shifts[frame, 1] * k * num).astype(np.int64)
    ahead = scan.phase * k + moved + (first_column * k - grid.first[1]) * num
    # a line in reverse counts its columns from the right end of the grid
    back = scan.phase * k - moved + (width + grid.first[1] - (first_column + 1) * k) * num
    phase = np.where(backwards, back, ahead)
    # hits beyond the scan's own columns have no place, nor those beyond the grid
    own = -(-(scan.n_columns * num - scan.phase) // scan.den)
    inside = -(-(width * num - phase) // den)
    # What would lie left of the grid is cut off by beginning later, and the phase follows.
    start = scan.start + np.maximum(-(phase // den), 0)
    stop = np.minimum(scan.stop, scan.start + np.minimum(own, inside))
    placed = used & (target >= 0) & (start < stop)
    start, stop = np.where(placed, start, scan.start), np.where(placed, stop, scan.stop)
    phase = phase + (start - scan.start) * den
    return replace(
        scan,
        nav_shape=grid.shape,
        start=start,
        stop=stop,
        phase=np.where(placed, phase, 0),
        den=den,
        n_columns=width,
        base=np.where(placed, target * width + np.where(backwards, width - 1, 0), -1),
        passes=n_frames,
        report={**scan.report, "frames_summed": n_frames},
    )
