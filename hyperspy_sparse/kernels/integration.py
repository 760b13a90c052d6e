"""Radial and azimuthal integration: the kernels behind pyXem's 1D and 2D integrals.

pyXem describes a geometry (centre, affine distortion, detector, ranges) as a list of pixels with
the fraction of each that falls into each bin. That is a sparse matrix, pixels by bins; a frame's
integral is its product with the counts. The matrix is made once for a signal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hyperspy_sparse.hosts import slice_radial_integrate, slice_radial_integrate1d
from hyperspy_sparse.kernels.table import register_kernel
from hyperspy_sparse.kernels.weights import PixelWeights, parts_of_slices, unmasked

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames


__all__ = ["integrate"]


def integrate(frames: CSRFrames, weights: PixelWeights, shape: tuple[int, ...]) -> np.ndarray:
    """Product of frames with pixel weights.

    Parameters
    ----------
    frames : CSRFrames, shape (n, height, width)
    weights : PixelWeights
    shape : tuple of int
        Shape of the bins.

    Returns
    -------
    numpy.ndarray of float64, shape (n,) + shape
    """
    return weights.product(frames).reshape((frames.n_frames, *shape))


vars(integrate)["any_type"] = True  # counts become floats one by one, of whatever type they are


def _prepare_1d(
    sig_shape: tuple[int, ...],
    dtype: np.dtype,
    indexes: np.ndarray,
    factors: np.ndarray,
    factor_slices: np.ndarray,
    mask: np.ndarray | None = None,
    mean: bool = False,
) -> dict | None:
    used = unmasked(mask, sig_shape)
    parts = parts_of_slices(sig_shape, indexes, factors, factor_slices)
    if used is False or parts is None or dtype.kind not in "uif":
        return None
    (pixel, column, weight), n_bins = parts, len(factor_slices) - 1
    if used is not None:
        weight = weight * used[pixel]
    if mean:
        # As pyXem divides: by the unmasked area, plus the smallest step so that 0 / 0 is 0.
        area = np.bincount(column, weight, minlength=n_bins) + np.finfo(np.float32).eps
        weight = weight / area[column]
    weights = PixelWeights.build(pixel, column, weight, sig_shape, n_bins)
    return {"weights": weights, "shape": (n_bins,)}


def _prepare_2d(
    sig_shape: tuple[int, ...],
    dtype: np.dtype,
    factors: np.ndarray,
    factors_slice: np.ndarray,
    slices: np.ndarray,
    npt_rad: int,
    npt_azim: int,
    mask: np.ndarray | None = None,
    mean: bool = False,
) -> dict | None:
    used = unmasked(mask, sig_shape)
    n_bins = int(npt_rad) * int(npt_azim)
    if used is False or dtype.kind not in "uif" or len(factors_slice) != n_bins:
        return None
    factors = np.asarray(factors, dtype=np.float64)
    boxes = np.asarray(slices, dtype=np.int64)
    spans = np.asarray(factors_slice, dtype=np.int64)
    height, width = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    outside = (boxes < 0).any() or (boxes[:, 2:].max(axis=0) > sig_shape).any()
    if outside or (spans[:, 1] - spans[:, 0] != height * width).any():
        return None
    # Every bin is a box of pixels; entry k of box b is at row k // width of it.
    sizes = height * width
    column = np.repeat(np.arange(n_bins), sizes)
    first = np.cumsum(sizes) - sizes
    k = np.arange(column.size) - first[column]
    weight = factors[spans[column, 0] + k]
    wide = np.maximum(width, 1)[column]
    pixel = (boxes[column, 0] + k // wide) * sig_shape[1] + boxes[column, 1] + k % wide
    if mean:
        area = np.bincount(column, weight, minlength=n_bins).astype(float)
        area[area == 0] = np.inf  # pyXem gives 0 for a bin without area
        weight = weight / area[column]
    if used is not None:
        weight = weight * used[pixel]
    weights = PixelWeights.build(pixel, column, weight, sig_shape, n_bins)
    return {"weights": weights, "shape": (int(npt_rad), int(npt_azim))}


register_kernel(slice_radial_integrate1d, integrate, prepare=_prepare_1d)
register_kernel(slice_radial_integrate, integrate, prepare=_prepare_2d)
