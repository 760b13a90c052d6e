"""Small sets as a dense matrix, of which LAPACK finds the largest singular values faster than products of the entries.

The choice between both ways is made here (`is_better_dense`), and nowhere else.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
from threadpoolctl import ThreadpoolController

from rsciio_tpx3.csr.memory_limit import ALWAYS_ALLOWED, get_limit

if TYPE_CHECKING:
    from hyperspy_sparse.frame_matrix import Matrix


__all__ = ["SmallMatrix", "is_better_dense", "one_thread"]

MORE = 10
"""Vectors beyond those that are wanted, among which the last digits are found."""

SHARE = 8
"""The dense matrix with its squares takes one part in so many of the memory limit at the most."""

# Milliseconds of one core, fitted to both ways for 256 to 1600 positions, 1024 to 16384 pixels, 80 000 to 1.6 million
# entries and 3 to 100 components, with Poisson noise. In ms (products of entries | dense), for 10 components:
#   256 x 4096, 98 000 entries: 72 | 39        1024 x 4096, 82 000: 133 | 400     1024 x 4096, 1 560 000: 865 | 363
#   576 x 4096, 220 000: 187 | 99              1024 x 4096, 394 000: 271 | 370    1600 x 4096, 615 000: 287 | 739
# and for 394 000 entries and 3, 30, 100 components: 144, 361, 434 | 441, 353, 449.
_SQUARES, _VECTORS = 43e-9, 145e-9  # for each multiplication of the squares, and of their decomposition
_STEPS, _COMPONENT, _ENTRY = 50, 2, 0.5e-3  # for sixty steps, and for each component and each entry in them

DIGITS = 1e-9
"""Share of the largest square below which a square has too few digits left for its vector to be as exact as 1e-6."""


def is_better_dense(shape: tuple[int, int], entries: int, n: int) -> bool:
    """Whether a truncated SVD is faster by a dense matrix and its squares, and these take little memory.

    Parameters
    ----------
    shape : tuple of int
        Positions and pixels.
    entries : int
    n : int
        Number of components.
    """
    short, long = sorted(map(int, shape))
    if 8 * (short * long + 3 * short**2) > min(get_limit() // SHARE, ALWAYS_ALLOWED):
        return False
    return bool(short**2 * (long * _SQUARES + short * _VECTORS) < _STEPS + _COMPONENT * n + _ENTRY * entries)


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread() -> AbstractContextManager:
    """Let linear algebra take one thread meanwhile.

    Matrices of a few columns are read faster than threads meet. On two cores, one of them busy, block Lanczos took two
    to six times the processor time with two threads: 0.6 to 2.2 s instead of 0.3 to 0.5 s for 4096 x 4096, 6.5 to 12 s
    instead of 3.4 to 5.9 s for 16384 x 16384. Products with the entries have threads of their own.
    """
    return _libraries().limit(limits=1, user_api="blas")


class SmallMatrix:
    """A dense matrix with what `frame_matrix.Matrix` can do.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (positions, pixels)
    """

    in_memory = True

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape = values, values.shape

    @classmethod
    def of(cls, matrix: Matrix) -> SmallMatrix:
        """The same matrix, dense."""
        return cls(matrix.dense())

    def masked(self, rows: np.ndarray | None, columns: np.ndarray | None) -> SmallMatrix:
        """The matrix with zeros in rows and columns that are True."""
        values = self.values.copy()
        if rows is not None:
            values[rows] = 0
        if columns is not None:
            values[:, columns] = 0
        return SmallMatrix(values)

    def less(self, of_rows: np.ndarray, of_columns: np.ndarray) -> SmallMatrix:
        """The matrix less an outer product."""
        return SmallMatrix(self.values - np.outer(of_rows, of_columns))

    def turned(self) -> SmallMatrix:
        """The matrix with rows and columns exchanged."""
        return SmallMatrix(self.values.T)

    def times(self, columns: np.ndarray) -> np.ndarray:
        """Product with columns, shape (pixels, n): (positions, n)."""
        return self.values @ columns

    def turned_times(self, rows: np.ndarray) -> np.ndarray:
        """Product of the turned matrix with rows, shape (positions, n): (pixels, n)."""
        return (rows.T @ self.values).T  # BLAS takes longer for a turned matrix times a narrow one

    def largest(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """The `n` largest singular values with their vectors, as `block_lanczos.truncated_svd` gives them.

        None where squares have lost the digits of the last ones.
        """
        if self.shape[0] > self.shape[1]:
            found = self.turned().largest(n)
            return None if found is None else found[::-1]
        squares, side = self.values @ self.values.T, self.shape[0]
        if not np.isfinite(squares).all():
            return None
        wanted = [max(side - n - MORE, 0), side - 1]
        found, basis = scipy.linalg.eigh(squares, subset_by_index=wanted, overwrite_a=True, check_finite=False)
        if found[-n] <= DIGITS * found[-1]:
            return None
        # Of the image itself: squares have half of the digits.
        right, values, weights = np.linalg.svd(self.turned_times(basis), full_matrices=False)
        return basis @ weights[:n].T, values[:n], right[:, :n]
