"""Weights for detector pixels, arranged so that one pass over the events applies them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from dask.base import tokenize

from hyperspy_sparse.kernels import loops
from rsciio_tpx3.csr.dtypes import countable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from rsciio_tpx3.csr.csr_frames import CSRFrames


__all__ = ["Masks", "PixelWeights", "parts_of_slices", "unmasked"]


class PixelWeights:
    """A sparse matrix pixels x columns, read by pixel.

    Parameters
    ----------
    start : numpy.ndarray of int32 or int64, shape (n_pixels + 1,)
        Where the weights of each pixel begin.
    column, weight : numpy.ndarray, shape (n_weights,)
        Small types: the table is read at random, and should stay in the cache.
    n_columns : int
    """

    def __init__(self, start: np.ndarray, column: np.ndarray, weight: np.ndarray, n_columns: int) -> None:
        self.start, self.column, self.weight = start, column, weight
        self.n_columns = n_columns
        self._token: str | None = None

    def __dask_tokenize__(self) -> tuple[str, str]:
        if self._token is None:
            self._token = tokenize(self.start, self.column, self.weight, self.n_columns)
        return "hyperspy_sparse.PixelWeights", self._token

    @classmethod
    def build(
        cls, pixel: np.ndarray, column: np.ndarray, weight: np.ndarray, sig_shape: tuple[int, ...], n_columns: int
    ) -> PixelWeights:
        """From one triple per weight, in any order; weights of zero are excluded."""
        n_pixels = int(np.prod(sig_shape))
        used = weight != 0
        pixel, column, weight = pixel[used], column[used], weight[used]
        order = np.argsort(pixel, kind="stable")
        counts = np.bincount(pixel, minlength=n_pixels)
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        small = np.uint16 if n_columns <= 2**16 else np.int32
        return cls(start, column[order].astype(small), weight[order], n_columns)

    def product(self, frames: CSRFrames) -> np.ndarray:
        """Weighted sums of every frame: ndarray of float64, shape (n_frames, n_columns)."""
        out = np.empty((frames.n_frames, self.n_columns))
        loops.weighted_sums(*self._parts(frames), out)
        return out

    def write_quotient(self, frames: CSRFrames, divisor: float, out: np.ndarray) -> None:
        """Write weighted sums of every frame over `divisor` to `out`, float64 of shape (n_frames, n_columns).

        As fast as `product` where few pixels have weights, and faster than dividing it.
        """
        loops.weighted_means(*self._parts(frames), divisor, out)

    def _parts(self, frames: CSRFrames) -> tuple[np.ndarray, ...]:
        _check_pixels(self.start.size - 1, frames)
        return countable(frames.data), frames.indices, frames.indptr, self.start, self.column, self.weight


def _check_pixels(n: int, frames: CSRFrames) -> None:
    # Compiled loops do not check: a table that is too short would be read beyond its end, and written to places there.
    if n != frames.n_pixels:
        raise ValueError(f"the table of weights has {n} pixels, the frames have {frames.n_pixels}: expected as many.")


def unmasked(mask: np.ndarray | None, sig_shape: tuple[int, ...]) -> np.ndarray | Literal[False] | None:
    """Pixels that count, flat, or None for all; False where the mask is none we know."""
    if mask is None:
        return None
    mask = np.asarray(mask)
    if mask.shape != tuple(sig_shape):
        return False
    return ~mask.astype(bool).ravel()


def parts_of_slices(
    sig_shape: tuple[int, ...], indexes: np.ndarray, factors: np.ndarray, factor_slices: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Pixel, ring and share of each part of a pixel, from the rings that pyXem's calibration describes.

    Parameters
    ----------
    sig_shape : tuple of int
    indexes, factors, factor_slices : numpy.ndarray
        As ``Calibration.get_slices1d`` of pyXem 0.21 gives them: (y, x) and shares, one ring after the other, and where
        each begins and ends.

    Returns
    -------
    pixel, ring : numpy.ndarray of int64
    share : numpy.ndarray of float64

    None where they are not of this detector.
    """
    indexes, slices = np.asarray(indexes), np.asarray(factor_slices, dtype=np.int64)
    if slices.size < 2 or indexes.ndim != 2 or slices[0] != 0:
        return None
    n = slices[-1]
    y, x = indexes[:n, 0].astype(np.int64), indexes[:n, 1].astype(np.int64)
    if ((y < 0) | (x < 0) | (y >= sig_shape[0]) | (x >= sig_shape[1])).any():
        return None  # negative numbers would count from the far side
    ring = np.repeat(np.arange(slices.size - 1), np.diff(slices))
    return y * sig_shape[1] + x, ring, np.asarray(factors, dtype=np.float64)[:n]


class Masks:
    """Any number of detector masks that are summed in one pass, as fast as one.

    Pixels that belong to the same set of masks get one label. Each event is added to the label of
    its pixel, one step however many masks there are, and the few labels are combined afterwards.

    Parameters
    ----------
    masks : array_like of bool, shape (n_masks, height, width)
    """

    def __init__(self, masks: ArrayLike) -> None:
        masks = np.asarray(masks, dtype=bool)
        flat = masks.reshape(len(masks), -1)
        sets, labels = _distinct(flat)
        # A small table of labels stays in the cache, which is where the time goes.
        small = np.uint8 if len(sets) <= 256 else np.int32
        self.labels = labels.astype(small)
        self.members = sets.astype(np.int64)

    def sums(self, frames: CSRFrames, dtype: DTypeLike) -> np.ndarray:
        """Sums of every frame under every mask: ndarray of `dtype`, shape (n_frames, n_masks)."""
        _check_pixels(self.labels.size, frames)
        wide = np.float64 if np.dtype(dtype).kind == "f" else np.dtype(dtype)
        out = np.empty((frames.n_frames, len(self.members)), dtype=wide)
        data = countable(frames.data)
        scratch = np.zeros((4, len(self.members)), dtype=wide)
        loops.label_sums(data, frames.indices, frames.indptr, self.labels, scratch, out)
        with np.errstate(invalid="ignore"):
            sums = out @ self.members.astype(wide)
        if wide is np.float64:
            # Zero times infinity is NaN: what lies outside a mask is excluded there, not multiplied by zero.
            rows = np.flatnonzero(~np.isfinite(out).all(axis=1))
            for mask, inside in enumerate(self.members.T.astype(bool)):
                sums[rows, mask] = out[np.ix_(rows, inside)].sum(axis=1)
        return sums.astype(dtype)


def _distinct(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different sets of masks that pixels belong to, and which one each pixel has.

    Returns booleans (n_sets, n_masks) and numbers (n_pixels,).
    """
    labels = np.zeros(flat.shape[1], dtype=np.int64)
    sets = np.zeros((1, 0), dtype=bool)
    # Mask by mask: labels never outgrow twice the number of sets, so counting finds those in use.
    for mask in flat:
        labels = 2 * labels + mask
        used = np.flatnonzero(np.bincount(labels, minlength=2 * len(sets)))
        new = np.zeros(2 * len(sets), dtype=np.int64)
        new[used] = np.arange(used.size)
        labels = new[labels]
        sets = np.column_stack([sets[used // 2], used % 2 == 1])
    return sets, labels
