"""Weights for detector pixels, arranged so that one pass over the events applies them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from dask.base import tokenize

from hyperspy_sparse.kernels import loops
from rsciio_tpx3.csr.dtypes import countable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from rsciio_tpx3.csr.csr_frames import CSRFrames


__all__ = ["Masks", "PixelWeights"]


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
        out = np.zeros((frames.n_frames, self.n_columns))
        parts = frames.data, frames.indices, frames.indptr
        loops.weighted_sums(*parts, self.start, self.column, self.weight, out)
        return out


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
        wide = np.float64 if np.dtype(dtype).kind == "f" else np.dtype(dtype)
        out = np.empty((frames.n_frames, len(self.members)), dtype=wide)
        data = countable(frames.data)
        scratch = np.zeros((4, len(self.members)), dtype=wide)
        loops.label_sums(data, frames.indices, frames.indptr, self.labels, scratch, out)
        return (out @ self.members.astype(wide)).astype(dtype)


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
