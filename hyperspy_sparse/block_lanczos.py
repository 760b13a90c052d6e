"""The largest singular values of a matrix of which only products are known: block Lanczos with thick restarts [1]_.

References
----------
.. [1] J. Baglama, L. Reichel, "Augmented implicitly restarted Lanczos bidiagonalization methods", SIAM J. Sci.
   Comput. 27, 19 (2005).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from hyperspy_sparse.kernels.loops import COLUMNS

if TYPE_CHECKING:
    from hyperspy_sparse.frame_matrix import Matrix


__all__ = ["MORE", "basis_size", "truncated_svd"]

_logger = logging.getLogger(__name__)

MORE = 10
"""Columns beyond those that are wanted: the last ones converge slowly."""

TOLERANCE = 1e-6
"""What a vector may differ from its image under the matrix, relative to its value: vectors are as exact as that, times
the distance to the next value, and values as its square."""

MOST_STEPS = 60
"""Steps after which an answer is taken as it is, where the entries are in memory."""

MOST_READINGS = 12
"""The same where each step reads them twice."""

ROUNDING = 1e-13
"""Share of the largest value below which nothing can be distinguished from rounding."""


def truncated_svd(matrix: Matrix, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The largest singular values with their vectors, from products alone.

    Block Lanczos with thick restarts [1]_: the matrix is multiplied by few columns at a time, whose images join a
    basis, and a full basis starts again from its best. Many steps with few columns find more than few steps with many
    columns in the same time.

    Parameters
    ----------
    matrix : Matrix
    n : int
        Number of singular values.
    seed : int
        Of the first columns.

    Returns
    -------
    left : numpy.ndarray, shape (rows, n)
    values : numpy.ndarray, shape (n,)
        Descending; as exact as rounding allows where `n` and ten more are half as many as the shorter side of the
        matrix, else to about 1e-12, and the vectors to 1e-6, for values that stand out; less for those in a crowd of
        equals.
    right : numpy.ndarray, shape (columns, n)
    """
    if matrix.shape[0] > matrix.shape[1]:  # the basis is kept orthogonal: the shorter side is
        right, values, left = truncated_svd(matrix.turned(), n, seed)
        return left, values, right
    width, steps = (COLUMNS, MOST_STEPS) if matrix.in_memory else (n + MORE, MOST_READINGS)
    if basis_size(n, width) + width >= matrix.shape[0]:
        basis = np.eye(matrix.shape[0])
    else:
        basis = _searched(matrix, n, width, steps, np.random.default_rng(seed))
    # Of the image itself: its square would have half of the digits.
    right, values, weights = np.linalg.svd(matrix.turned_times(basis), full_matrices=False)
    return basis @ weights[:n].T, values[:n], right[:, :n]


def _searched(matrix: Matrix, n: int, width: int, steps: int, random: np.random.Generator) -> np.ndarray:
    """Orthonormal columns that hold the vectors of the `n` largest values of a matrix times itself turned."""
    best, room = n + MORE // 2, basis_size(n, width)
    basis, squares, used = np.empty((room, matrix.shape[0])), np.zeros((room, room)), 0
    coupled, settled = np.zeros((width, 0)), None
    found, vectors = np.zeros(0), np.zeros((0, 0))
    new = np.linalg.qr(matrix.times(random.standard_normal((matrix.shape[1], width))))[0]
    for _ in range(steps):
        if used + width > room:
            basis[:best], squares[:best, :best] = vectors[:, :best].T @ basis[:used], np.diag(found[:best])
            coupled, used = coupled @ vectors[:, :best], best
        before, used = used, used + width
        added = matrix.turned_times(new)
        basis[before:used] = new.T
        squares[before:used, :before], squares[:before, before:used] = coupled, coupled.T
        squares[before:used, before:used] = added.T @ added
        found, vectors = (x[..., ::-1] for x in np.linalg.eigh(squares[:used, :used]))
        found = np.maximum(found, 0)
        # The images of earlier columns lie within the basis: what is left over is of those that were added last.
        new, left_over = _beyond(matrix.times(added), basis[:used], random)
        coupled = np.hstack([np.zeros((width, before)), left_over])
        nothing = ROUNDING * found[0]
        apart = np.linalg.norm(coupled @ vectors[:, :n], axis=0)
        enough = used >= n and bool(np.all(apart <= np.maximum(TOLERANCE * found[:n], nothing)))
        if np.abs(left_over).max() > nothing:
            if enough and settled is None:
                break
            continue
        # Nothing is left over: of equal values no more are seen than there are first columns, and others may see more.
        if enough and settled is not None and np.allclose(found[:n], settled, rtol=1e-9, atol=nothing):
            break
        settled = np.pad(found, (0, n))[:n]
    _logger.debug(f"block Lanczos with {width} columns: found {found[:n]}, apart by {apart}")
    return (vectors[:, :best].T @ basis[:used]).T


def basis_size(n: int, width: int) -> int:
    """Columns of the basis before it starts again from its best."""
    return 2 * (n + MORE) + 2 * width


def _beyond(columns: np.ndarray, basis: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal columns for what a basis, whose vectors are rows here, lacks of some columns; and amounts of them.

    Where a column brings nothing new, one at random stands in for it.
    """
    new, amounts = np.linalg.qr(_less_basis(columns, basis))
    there = np.abs(np.diag(amounts)) > ROUNDING * np.linalg.norm(columns)
    if not there.all():
        new = np.linalg.qr(_less_basis(np.where(there, new, random.standard_normal(new.shape)), basis))[0]
    new, again = np.linalg.qr(_less_basis(new, basis))  # twice, since once loses digits
    return new, np.where(there[:, None], again @ amounts, 0)


def _less_basis(columns: np.ndarray, basis: np.ndarray) -> np.ndarray:
    # in this order: BLAS takes four times as long for a tall matrix times a narrow one
    return columns - ((basis @ columns).T @ basis).T
