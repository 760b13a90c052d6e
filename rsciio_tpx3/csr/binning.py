"""Binning of frames: neighbouring positions and pixels added up, without a dense array."""

import math
from collections.abc import Sequence

import numpy as np

from rsciio_tpx3.csr import kernels
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.dtypes import countable

__all__ = ["add_groups", "bin_frames", "binned_pixels", "row_groups"]


def bin_frames(frames: CSRFrames, factors: Sequence[int], dtype: np.dtype | None = None) -> CSRFrames:
    """Add up blocks of neighbouring elements along every axis.

    Parameters
    ----------
    frames : CSRFrames
    factors : tuple of int, one per axis
        Each divides the size of its axis.
    dtype : numpy.dtype, optional
        Of the result; by default that of NumPy's sum.

    Returns
    -------
    CSRFrames, each axis shorter by its factor

    Raises
    ------
    ValueError
        If a factor does not divide its axis.

    Examples
    --------
    >>> frames = CSRFrames.from_dense(np.ones((2, 4, 6), dtype=np.uint8))
    >>> bin_frames(frames, (2, 2, 3))[0]
    array([[12, 12],
           [12, 12]], dtype=uint64)
    """
    factors = tuple(int(f) for f in factors)
    shape = frames.shape
    if len(factors) != len(shape) or any(f < 1 or n % f for f, n in zip(factors, shape, strict=False)):
        raise ValueError(f"factors {factors} do not divide the shape {shape}; crop the axes to multiples first.")
    dtype = np.dtype(dtype) if dtype else np.sum(np.zeros(1, frames.dtype)).dtype
    new_shape = tuple(n // f for f, n in zip(factors, shape, strict=True))
    rows, start = row_groups(frames.nav_shape, factors[:-2])
    return add_groups(frames, rows, start, factors[-2:], dtype).reshape(new_shape)


def add_groups(
    frames: CSRFrames, rows: np.ndarray, start: np.ndarray, factors: tuple, dtype: np.dtype, in_order: bool = True
) -> CSRFrames:
    """Add up groups of frames, and blocks of their pixels.

    Parameters
    ----------
    frames : CSRFrames
    rows : numpy.ndarray of int64
        Frames of one group after the other.
    start : numpy.ndarray of int64, shape (n_groups + 1,)
        Where each group starts in `rows`.
    factors : tuple of int
        Height and width of a block of pixels.
    dtype : numpy.dtype
        Of the sums.
    in_order : bool
        False for pixels of a row in any order, each once: sorting takes half of the time, and extremes and moments do
        without.

    Returns
    -------
    CSRFrames, shape (n_groups, height, width)
    """
    sig_shape = tuple(n // f for n, f in zip(frames.sig_shape, factors, strict=True))
    wide = np.float64 if dtype.kind == "f" else np.dtype(f"{dtype.kind}8")
    counts = np.zeros(start.size - 1, dtype=np.int64)
    out = np.empty(frames.data.size, dtype=wide)
    pixels = np.empty(frames.data.size, dtype=frames.indices.dtype)
    scratch = np.zeros(max(math.prod(sig_shape), 1), dtype=wide)
    mapped = binned_pixels(frames, factors)
    data = countable(frames.data)
    if dtype.kind in "iu" and frames.dtype.kind not in ("b", dtype.kind):
        data = frames.data.astype(dtype)  # as NumPy: cast, then add
    parts = data, mapped, frames.indptr
    n = kernels.merge_rows(*parts, rows, start, scratch, counts, out, pixels)
    indptr = np.zeros(start.size, dtype=np.int64)
    np.cumsum(counts, out=indptr[1:])
    out.resize(n, refcheck=False)  # given back to the system where they are, without a copy
    pixels.resize(n, refcheck=False)
    if in_order:
        kernels.sort_rows(out, pixels, indptr)  # compiled loops know no half floats
    return CSRFrames._make(out.astype(dtype, copy=False), pixels, indptr, (start.size - 1, *sig_shape))


def binned_pixels(frames: CSRFrames, factors: Sequence[int]) -> np.ndarray:
    """The pixel of each entry on a detector with blocks of pixels added up: of the type that indices have."""
    if tuple(factors) == (1, 1):
        return frames.indices
    (height, width), (by, bx) = frames.sig_shape, factors
    y, x = np.arange(height) // by, np.arange(width) // bx
    pixel_map = (y[:, None] * (width // bx) + x).ravel().astype(frames.indices.dtype)
    return pixel_map[frames.indices]


def row_groups(nav_shape: tuple[int, ...], factors: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows in the order of the groups that become one, and where each group starts."""
    n_frames, size = math.prod(nav_shape), math.prod(factors)
    split = [part for n, f in zip(nav_shape, factors, strict=True) for part in (n // f, f)]
    order = [*range(0, len(split), 2), *range(1, len(split), 2)]
    rows = np.arange(n_frames).reshape(split).transpose(order)
    rows = np.ascontiguousarray(rows).reshape(-1)
    return rows, np.arange(0, n_frames + 1, size, dtype=np.int64)
