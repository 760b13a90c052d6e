"""A user's own 4D intensity as the source of electrons, read one scan line at a time."""

from typing import Any

import numpy as np

from rsciio_tpx3.utils.compiled import njit

__all__ = ["ArrayIntensity"]


class ArrayIntensity:
    """Expected intensities ``array[y, x, detector y, detector x]``.

    Parameters
    ----------
    array : array-like of shape (ny, nx, height, width)
        A numpy array, or any object with `shape` whose ``array[y]`` gives one scan line (a dask or
        zarr array, an HDF5 data set, a class of your own). Values must not be negative.
    sig_shape : tuple of int, optional
        Detector ``(y, x)``; a smaller pattern lies in its middle.

    Raises
    ------
    ValueError
        If the array has not four dimensions, or is larger than the detector.

    Examples
    --------
    >>> import numpy as np
    >>> from rsciio_tpx3.simulate import ArrayIntensity
    >>> ArrayIntensity(np.ones((3, 5, 7, 9)), (256, 256)).origin
    (124, 123)
    """

    def __init__(self, array: Any, sig_shape: tuple[int, int] | None = None) -> None:
        shape = tuple(int(n) for n in getattr(array, "shape", ()))
        if len(shape) != 4:
            raise ValueError(f"intensity has shape {shape}; expected (scan y, scan x, detector y, detector x).")
        self.array = array
        self.nav_shape, self.pattern_shape = shape[:2], shape[2:]
        self.sig_shape = self.pattern_shape if sig_shape is None else tuple(sig_shape)
        self.origin = tuple((n - m) // 2 for n, m in zip(self.sig_shape, self.pattern_shape, strict=True))
        if min(self.origin) < 0:
            raise ValueError(
                f"intensity has patterns of {self.pattern_shape}, larger than the detector "
                f"{self.sig_shape}. Crop or bin it, or choose a larger layout."
            )
        self._row, self._line = None, None

    def line(self, row: int) -> np.ndarray:
        """One scan line as float64, shape (nx, height * width); the last one is kept."""
        if row != self._row:
            line = np.asarray(self.array[row], np.float64).reshape(self.nav_shape[1], -1)
            if not np.all(line >= 0):
                raise ValueError(f"intensity: line {row} has negative values or NaN.")
            self._row, self._line = row, line
        return self._line

    def mean_brightness(self) -> float:
        """Mean of the summed pattern over the scan; reads the array once."""
        return float(np.mean([self.line(row).sum() for row in range(self.nav_shape[0])])) / (self.nav_shape[1])

    def _moved(self, positions: np.ndarray, shift: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
        # drift by whole positions; beyond the border the last line or column goes on
        rows, columns = np.divmod(np.asarray(positions, np.int64), self.nav_shape[1])
        rows = np.clip(rows + round(shift[0]), 0, self.nav_shape[0] - 1)
        return rows, np.clip(columns + round(shift[1]), 0, self.nav_shape[1] - 1)

    def brightness(self, positions: np.ndarray, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """Summed pattern of each flat position."""
        rows, columns = self._moved(positions, shift)
        out = np.empty(len(rows))
        for row in np.unique(rows):
            here = rows == row
            out[here] = self.line(row)[columns[here]].sum(axis=1)
        return out

    def draw(
        self,
        positions: np.ndarray,
        counts: np.ndarray,
        rng: np.random.Generator,
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Places of electrons, evenly spread inside their pixels; see `Specimen.draw`."""
        rows, columns = self._moved(positions, shift)
        ends = np.cumsum(counts)
        y, x = np.empty(counts.sum()), np.empty(counts.sum())
        for i, (row, column) in enumerate(zip(rows, columns, strict=True)):
            part = slice(ends[i] - counts[i], ends[i])
            cumulated = np.cumsum(self.line(row)[column])
            _draw_pixels(rng, cumulated, self.pattern_shape[1], *map(float, self.origin), y[part], x[part])
        return y, x


@njit(nogil=True, cache=True)
def _draw_pixels(
    rng: np.random.Generator, cumulated: np.ndarray, width: int, top: float, left: float, y: np.ndarray, x: np.ndarray
) -> None:
    for i in range(len(y)):
        pixel = np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right")
        y[i] = top + pixel // width + rng.random()
        x[i] = left + pixel % width + rng.random()
