"""scikit-learn's `MiniBatchNMF`, which HyperSpy takes for NMF, with steps that take the entries of sparse rows once.

For each batch scikit-learn finds the loadings by up to two hundred updates, and multiplies all rows with all factors
for each of them, though neither changes. Here both products are made once. The factors then change in one pass over
the pixels. What is computed is the same [1]_, and equal to rounding.

References
----------
.. [1] A. Lefèvre, F. Bach, C. Févotte, "Online algorithms for nonnegative matrix factorization with the Itakura-Saito
   divergence", IEEE WASPAA (2011).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from sklearn.decomposition import MiniBatchNMF

from hyperspy_sparse.kernels import loops

__all__ = ["OnlineNMF"]

_STATE = ("_components_numerator", "_components_denominator", "_rho", "_beta_loss", "_transform_max_iter")
"""Private in scikit-learn 1.9: what it keeps from batch to batch. Where one is missing, its own steps run."""

_SMALLEST = float(np.finfo(np.float32).eps)
"""What scikit-learn divides by in place of zero."""


class OnlineNMF(MiniBatchNMF):
    """`sklearn.decomposition.MiniBatchNMF`, faster on sparse rows.

    Batches that are dense, of other numbers than float64 or regularised, and losses other than Frobenius', are left to
    scikit-learn.
    """

    def partial_fit(self, X: Any, y: Any = None, W: Any = None, H: Any = None) -> OnlineNMF:
        """Update the factors by a batch of rows, shape (positions, pixels); see scikit-learn's."""
        if not self._is_ours(X):
            return super().partial_fit(X, y, W, H)
        factors, numerators, denominators = self._by_pixel()
        loadings = self._loadings(X, factors, self.fresh_restarts_max_iter)
        loops.update_factors(
            X.T @ loadings, loadings.T @ loadings, self._rho, _SMALLEST, factors, numerators, denominators
        )
        self.n_steps_ += 1
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Loadings of rows, shape (positions, components)."""
        if not self._is_ours(X):
            return super().transform(X)
        return self._loadings(X, self._by_pixel()[0], self._transform_max_iter)

    def _is_ours(self, X: Any) -> bool:
        """Whether the first batch is done, and this one of the kind that takes no more than the entries."""
        known = hasattr(self, "components_") and all(hasattr(self, name) for name in _STATE)
        if not known or not scipy.sparse.issparse(X) or X.shape[1] != self.components_.shape[1]:
            return False
        plain = self._beta_loss == 2 and self.alpha_W == 0 and self.alpha_H in ("same", 0)
        return plain and X.dtype == self.components_.dtype == np.float64 and bool(np.isfinite(X.data).all())

    def _by_pixel(self) -> tuple:
        """Factors and what they are made of, (pixels, components): those of a pixel lie side by side."""
        names = ("components_", *_STATE[:2])
        for name in names:
            if not getattr(self, name).T.flags.c_contiguous:
                setattr(self, name, np.ascontiguousarray(getattr(self, name).T).T)
        return tuple(getattr(self, name).T for name in names)

    def _loadings(self, X: Any, factors: np.ndarray, steps: int) -> np.ndarray:
        """What minimises the distance of rows from ``loadings @ factors.T``, by multiplicative updates."""
        products, gram = X @ factors, factors.T @ factors
        loadings = np.full(products.shape, np.sqrt(X.mean() / factors.shape[1]))
        for _ in range(steps):
            below = loadings @ gram
            below[below == 0] = _SMALLEST
            new = loadings * (products / below)
            change, size = np.linalg.norm(new - loadings), np.linalg.norm(new)
            loadings = new
            if self.tol > 0 and change <= self.tol * size:
                break
        return loadings
