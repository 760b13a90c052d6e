"""Tilted images and centre of mass that grow line by line, while a recording is still being made."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hyperspy_sparse.phase_contrast import loops
from hyperspy_sparse.phase_contrast.groups import Groups
from hyperspy_sparse.phase_contrast.tilted import check_memory
from hyperspy_sparse.phase_contrast.transform import METHODS, phase_of_images
from rsciio_tpx3.csr.dtypes import countable
from rsciio_tpx3.utils.integers import is_whole
from rsciio_tpx3.utils.units import shown

if TYPE_CHECKING:
    from hyperspy_sparse.phase_contrast.optics import Optics
    from rsciio_tpx3.csr.csr_frames import CSRFrames


__all__ = ["LineAccumulator"]


class LineAccumulator:
    """Adds rows of CSR as they come, and has the pictures so far at any time.

    At the end the pictures are those of the whole; a scan that is repeated adds up.

    Parameters
    ----------
    groups : Groups
        See `hyperspy_sparse.phase_contrast.groups.make_groups`.
    nav_shape : (int, int)
        Of the scan in NumPy order.

    Attributes
    ----------
    images : numpy.ndarray of uint32, shape (groups, ny, nx)
        Tilted images so far; not a copy.
    counts : numpy.ndarray of int64, shape (ny, nx)
        Counts of the whole detector so far.
    seen : numpy.ndarray of bool, shape (ny, nx)
        Positions that were added.

    Raises
    ------
    ValueError
        If `nav_shape` is not two positive integers.
    hyperspy_sparse.DenseMemoryError
        If the images would take more than the limit.

    Examples
    --------
    >>> import numpy as np, hyperspy_sparse
    >>> from hyperspy_sparse.phase_contrast import LineAccumulator
    >>> from hyperspy_sparse.phase_contrast.groups import Disk, make_groups
    >>> s = hyperspy_sparse.data.disks()
    >>> accumulator = LineAccumulator(make_groups(Disk(15.5, 15.5, 4.0), (32, 32), 4), (6, 8))
    >>> for line in range(6):
    ...     accumulator.add(s.data[line].compute(), 8 * line)
    >>> bool((accumulator.counts == s.data.sum(axis=(2, 3)).compute()).all())
    True
    """

    def __init__(self, groups: Groups, nav_shape: tuple[int, int]) -> None:
        if len(nav_shape) != 2 or not all(is_whole(n, 1) for n in nav_shape):
            raise ValueError(f"nav_shape={shown(nav_shape)}: expected two positive integers (y, x).")
        shape = int(nav_shape[0]), int(nav_shape[1])
        hint = "Take fewer groups (across=10)."
        check_memory(math.prod(shape) * (4 * len(groups) + 25), f"LineAccumulator of {shape} positions", hint)
        self.groups = groups
        # one more image, of the pixels of no group
        self._sums = np.zeros((len(groups) + 1, *shape), np.uint32)
        self._moments = np.zeros((3, *shape), np.int64)
        self.seen = np.zeros(shape, bool)
        self._labels = np.ascontiguousarray(groups.labels.ravel())

    @property
    def images(self) -> np.ndarray:
        return self._sums[:-1]

    @property
    def counts(self) -> np.ndarray:
        return self._moments[0]

    def clear(self) -> None:
        """Forget what was added."""
        self._sums[:], self._moments[:], self.seen[:] = 0, 0, False

    def add(self, frames: CSRFrames, first: int) -> None:
        """Add rows of a scan.

        Parameters
        ----------
        frames : CSRFrames, shape (n, height, width)
            Counts of neighbouring positions; hits may come in any order.
        first : int
            Flat position of the first one.

        Raises
        ------
        ValueError
            If the rows lie outside of the scan, or are of another detector, or no counts.
        """
        n = frames.n_frames
        if not is_whole(first, 0, self.seen.size - n):
            raise ValueError(f"first={shown(first)}: {n} rows from there are not inside {self.seen.size} positions.")
        if tuple(frames.sig_shape) != self.groups.labels.shape or frames.dtype.kind not in "bu":
            raise ValueError(
                f"frames are {frames.dtype} of {tuple(frames.sig_shape)}; expected counts (unsigned) of the detector "
                f"{self.groups.labels.shape} that the groups are of."
            )
        part = slice(int(first), int(first) + n)
        sums = self._sums.reshape(len(self._sums), -1)[:, part]
        data = countable(frames.data)
        loops.tilted_sums(data, frames.indices, frames.indptr, self._labels, sums)
        moments = self._moments.reshape(3, -1)[:, part]
        loops.moments(data, frames.indices, frames.indptr, frames.sig_shape[1], moments)
        self.seen.ravel()[part] = True

    def center_of_mass(self) -> np.ndarray:
        """Centre of mass so far: float64, shape (ny, nx, 2), x and y in pixels; NaN where there are no counts."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.stack([self._moments[2] / self._moments[0], self._moments[1] / self._moments[0]], axis=-1)

    def phase(self, optics: Optics, method: str = "icom", eps: float | None = None) -> np.ndarray:
        """Phase of what has been seen, in rad; positions to come have the mean of those seen.

        Parameters
        ----------
        optics : hyperspy_sparse.phase_contrast.optics.Optics
        method : str
            As in `hyperspy_sparse.phase`.
        eps : float, optional

        Returns
        -------
        numpy.ndarray of float64, shape (ny, nx)
            Zeros as long as there are no counts.
        """
        if method not in METHODS:
            raise ValueError(f"method={shown(method)} is not valid: must be one of {', '.join(map(repr, METHODS))}.")
        if not self.images.any():
            return np.zeros(self.seen.shape)
        images = self.images
        if not self.seen.all():
            images = images.astype(np.float32)
            images[:, ~self.seen] = images[:, self.seen].mean(axis=1, keepdims=True)
        return phase_of_images(images, self.groups, optics, method, 1, eps)[0]
