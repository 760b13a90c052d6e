"""Factorial moments of rings of the detector: what `variance` takes the shot noise out with.

Independent Poisson counts n with means m have ``<n (n - 1)> = m**2``: pairs of different electrons know nothing of
the noise of one. The image functions are written for one dense frame; their kernels look at the entries alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hyperspy_sparse.kernels import loops
from hyperspy_sparse.kernels.table import register_kernel
from hyperspy_sparse.kernels.weights import PixelWeights, parts_of_slices, unmasked
from rsciio_tpx3.csr.dtypes import countable

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames


__all__ = ["MOMENTS", "ring_moments", "ring_pairs"]

MOMENTS = ("area", "sum", "own", "pairs")
"""What `ring_moments` gives of each ring, weights w being the share of a pixel that lies in the ring: the sum of w,
of w n, of w**2 n, and of w n (n - 1)."""


def ring_moments(
    image: np.ndarray,
    indexes: np.ndarray,
    factors: np.ndarray,
    factor_slices: np.ndarray,
    mask: np.ndarray | None = None,
    gain: float = 1.0,
) -> np.ndarray:
    """Sums over rings of one frame.

    Parameters
    ----------
    image : numpy.ndarray, shape (height, width)
    indexes, factors, factor_slices : numpy.ndarray
        Pixels of each ring and their weights, as pyXem's calibration gives them.
    mask : numpy.ndarray of bool, shape (height, width), optional
        Pixels to leave out.
    gain : float
        Value of one electron.

    Returns
    -------
    numpy.ndarray of float64, shape (4, rings)
        See `MOMENTS`; counts in electrons.

    Raises
    ------
    ValueError
        If rings or mask are not of the shape of the image.
    """
    weights = _weights(image.shape, indexes, factors, factor_slices, mask)
    return _moments(image.ravel(), np.arange(image.size), np.array([0, image.size]), weights, gain)[0]


def ring_pairs(
    image: np.ndarray,
    indexes: np.ndarray,
    factors: np.ndarray,
    factor_slices: np.ndarray,
    mask: np.ndarray | None = None,
    gain: float = 1.0,
) -> np.ndarray:
    """Chance that two electrons of a ring of one frame lie in the same pixel, times pixels of the ring.

    Parameters
    ----------
    image, indexes, factors, factor_slices, mask, gain
        See `ring_moments`.

    Returns
    -------
    numpy.ndarray of float64, shape (2, rings)
        The product of that chance, the area, and how far the ring has two electrons; and how far it has,
        1 with two electrons in pixels of its own. Their ratio is the mean square over the square of the mean of
        the intensity, without shot noise.

    Notes
    -----
    An electron of a pixel that a ring has in part belongs to it by lot. This is the mean over all lots, so that
    the ratio has no bias however few electrons there are: given their number, counts are multinomial.
    """
    weights = _weights(image.shape, indexes, factors, factor_slices, mask)
    return _pairs(image.ravel(), np.arange(image.size), np.array([0, image.size]), weights, gain)[0]


def _weights(
    sig_shape: tuple[int, ...],
    indexes: np.ndarray,
    factors: np.ndarray,
    factor_slices: np.ndarray,
    mask: np.ndarray | None,
) -> PixelWeights:
    parts, used = parts_of_slices(sig_shape, indexes, factors, factor_slices), unmasked(mask, sig_shape)
    if parts is None or used is False:
        raise ValueError(
            f"rings and mask are not of a detector of {sig_shape}; take both from the signal's calibration."
        )
    pixel, ring, weight = parts
    if used is not None:
        weight = weight * used[pixel]
    # pieces of a pixel add up to rounding of its area: a whole one has to be whole
    return PixelWeights.build(pixel, ring, np.minimum(weight, 1.0), sig_shape, len(factor_slices) - 1)


def _moments(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, weights: PixelWeights, gain: float
) -> np.ndarray:
    out = np.zeros((len(indptr) - 1, len(MOMENTS), weights.n_columns))
    out[:, 0] = _areas(weights)
    loops.ring_moments(data, indices, indptr, weights.start, weights.column, weights.weight, float(gain), out)
    return out


def _pairs(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, weights: PixelWeights, gain: float) -> np.ndarray:
    out = np.zeros((len(indptr) - 1, 2, weights.n_columns))
    table = weights.start, weights.column, weights.weight
    loops.ring_pairs(data, indices, indptr, *table, float(gain), *_NODES, out)
    out[:, 0] *= _areas(weights)
    return out


def _areas(weights: PixelWeights) -> np.ndarray:
    return np.bincount(weights.column, weights.weight, minlength=weights.n_columns)


_NODES = tuple(0.5 * part for part in np.polynomial.legendre.leggauss(24))
"""Nodes from -1/2 to 1/2 and weights of a quadrature that is exact to rounding for up to some 40 electrons, and has
an error below 1e-9 for more."""


def _prepare_rings(
    sig_shape: tuple[int, ...],
    dtype: np.dtype,
    indexes: np.ndarray,
    factors: np.ndarray,
    factor_slices: np.ndarray,
    mask: np.ndarray | None = None,
    gain: float = 1.0,
) -> dict | None:
    known = parts_of_slices(sig_shape, indexes, factors, factor_slices) is not None
    if not known or unmasked(mask, sig_shape) is False or dtype.kind not in "uif" or not np.size(indexes):
        return None
    return {"weights": _weights(sig_shape, indexes, factors, factor_slices, mask), "gain": gain}


def _moments_of_frames(frames: CSRFrames, weights: PixelWeights, gain: float) -> np.ndarray:
    return _moments(countable(frames.data), frames.indices, frames.indptr, weights, gain)


def _pairs_of_frames(frames: CSRFrames, weights: PixelWeights, gain: float) -> np.ndarray:
    return _pairs(countable(frames.data), frames.indices, frames.indptr, weights, gain)


register_kernel(ring_moments, _moments_of_frames, prepare=_prepare_rings)
register_kernel(ring_pairs, _pairs_of_frames, prepare=_prepare_rings)
