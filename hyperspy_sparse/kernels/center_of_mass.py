"""Centre of mass: the kernel behind pyXem's `center_of_mass_from_image`.

``get_direct_beam_position(method="center_of_mass")``, centring and differential phase contrast
rest on it. Sums of integer counts are exact in double precision, so the result is the dense one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pyxem.utils.diffraction import center_of_mass_from_image

from hyperspy_sparse.kernels import loops
from hyperspy_sparse.kernels.table import register_kernel
from rsciio_tpx3.csr.dtypes import countable

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames


__all__ = ["center_of_mass"]


def _prepare(
    sig_shape: tuple[int, ...], dtype: np.dtype, mask: np.ndarray | None = None, threshold: float | None = None
) -> dict | None:
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != tuple(sig_shape) or mask.dtype.kind not in "biuf":
            return None
        if mask.dtype.kind in "iu" and not np.isin(mask, (0, 1)).all():
            return None  # the dense product may overflow the type of the counts; let it
    # With a threshold each comparison counts, and float means depend on the order of summing.
    exact = dtype.kind in "bui" and (mask is None or mask.dtype.kind in "biu")
    if threshold is not None and (not exact or np.ndim(threshold)):
        return None
    if dtype.kind not in "uif" or dtype == np.float16:
        return None
    return {"mask": mask, "threshold": threshold}


def _additive(mask: np.ndarray | None = None, threshold: float | None = None) -> bool:
    """A threshold looks at each pixel's count; float weights may round differently in another order."""
    return threshold is None and (mask is None or mask.dtype.kind in "biu")


@register_kernel(center_of_mass_from_image, prepare=_prepare, additive=_additive)
def center_of_mass(frames: CSRFrames, mask: np.ndarray | None = None, threshold: float | None = None) -> np.ndarray:
    """Centre of mass of every frame.

    Parameters
    ----------
    frames : CSRFrames, shape (n, height, width)
    mask : numpy.ndarray, shape (height, width), optional
        Multiplies the counts.
    threshold : float, optional
        Pixels below this times the mean of the frame are excluded.

    Returns
    -------
    numpy.ndarray of float64, shape (n, 2)
        x and y in pixels; NaN for frames without counts.
    """
    out = np.empty((frames.n_frames, 2))
    parts = countable(frames.data), frames.indices, frames.indptr
    if mask is None and threshold is None and _fits_32_bits(frames):
        loops.center_of_mass_of_bytes(*parts, frames.shape[-1], out)
        return out
    weights = np.ones(1) if mask is None else mask.astype(np.float64).ravel()
    cut = np.nan if threshold is None else float(threshold)
    loops.center_of_mass(*parts, frames.shape[-1], weights, cut, frames.n_pixels, out)
    return out


center_of_mass.any_type = True  # the moments of counts of one byte are those of the same counts in eight


def _fits_32_bits(frames: CSRFrames) -> bool:
    small = max(frames.sig_shape) <= loops.LONGEST_SIDE and frames.n_pixels <= loops.MOST_PIXELS
    return small and frames.data.dtype == np.uint8
