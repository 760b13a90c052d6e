"""HyperSpy's `interpolate_on_axis`, chunk by chunk.

HyperSpy gives the data as they are to SciPy, which makes all of them dense at once. The axis, the
checks and the warnings are the host's: it interpolates a single line of zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import make_interp_spline

if TYPE_CHECKING:
    import dask.array as da


__all__ = ["interpolated", "single_line"]


def single_line(data: da.Array, place: int) -> np.ndarray:
    """Zeros along one axis, of the type of `data` and with one element along each other axis."""
    shape = [1] * data.ndim
    shape[place] = data.shape[place]
    return np.zeros(shape, data.dtype)


def interpolated(data: da.Array, place: int, old: np.ndarray, new: np.ndarray, degree: int) -> da.Array:
    """The data at other places along one axis.

    Parameters
    ----------
    data : dask.array.Array
    place : int
        Axis of the array.
    old, new : numpy.ndarray
        Coordinates of the elements, before and after.
    degree : int
        Of the spline.

    Returns
    -------
    dask.array.Array
        Dense.
    """
    data = data.rechunk({axis: -1 if axis == place else "auto" for axis in range(data.ndim)})
    dtype = _along(single_line(data, place), place, old, old[:1], degree).dtype
    chunks = tuple((len(new),) if axis == place else sizes for axis, sizes in enumerate(data.chunks))
    meta = np.empty((0,) * data.ndim, dtype)
    steps = {"place": place, "old": old, "new": new, "degree": degree}
    return data.map_blocks(_along, **steps, chunks=chunks, dtype=dtype, meta=meta)


def _along(chunk: np.ndarray, place: int, old: np.ndarray, new: np.ndarray, degree: int) -> np.ndarray:
    return make_interp_spline(old, np.asarray(chunk), axis=place, k=degree)(new)
