"""The highest and the lowest of frames plus or minus an image that varies among them.

Each entry gives a value, and so does each position (for an image of the scan) or pixel (for one of the detector): that
of its missing entries. Of these the best one counts for a pixel whose position has no entry there, which is the first
one without an entry among all in the order of their values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hyperspy_sparse import reductions
from hyperspy_sparse.blocks import in_blocks
from hyperspy_sparse.kernels import loops
from hyperspy_sparse.twins import as_frames

if TYPE_CHECKING:
    import dask.array as da

    from hyperspy_sparse.shifted import Shifted
    from rsciio_tpx3.csr.csr_frames import CSRFrames


__all__ = ["MEET", "extremes"]

MEET = {"max": np.maximum, "min": np.minimum, "nanmax": np.fmax, "nanmin": np.fmin}
"""What gives one value of two; those that skip NaN give it where there is no other."""


def extremes(name: str, shifted: Shifted, axes: tuple[int, ...]) -> da.Array | None:
    """An extreme of frames plus or minus an image over the scan, the detector or both.

    Parameters
    ----------
    name : str
        See `MEET`.
    shifted : Shifted
    axes : tuple of int
        All navigation axes, both of the detector, or all.

    Returns
    -------
    dask.array.Array
        None where blocks are not whole frames.
    """
    signs = shifted.frames_sign, shifted.image_sign
    part = _part, name, shifted.frames.dtype, shifted.kind, signs
    blocks = in_blocks(shifted.frames, any_order=True)
    return reductions.with_image(blocks, shifted.image, shifted.kind, axes, shifted.dtype, part, MEET[name])


def _part(
    chunk: CSRFrames,
    axes: tuple[int, ...],
    name: str,
    dtype: np.dtype,
    kind: str,
    signs: tuple[int, int],
    image: np.ndarray,
) -> np.ndarray:
    """The extreme of a block of frames, which may have narrower counts than those of `dtype` that it stands for."""
    frames, n_nav, meet = as_frames(chunk), chunk.ndim - 2, MEET[name]
    flat = np.ascontiguousarray(image).reshape(-1)
    counts = frames.data.astype(dtype, copy=False).astype(flat.dtype, copy=False)
    with np.errstate(all="ignore"):
        of_image = flat if signs[1] > 0 else -flat
        of_entries = np.repeat(of_image, np.diff(frames.indptr)) if kind == "scan" else of_image[frames.indices]
        (np.add if signs[0] > 0 else np.subtract)(of_entries, counts, out=of_entries)
        if axes == tuple(range(n_nav)):
            return _of_pixels(frames, of_entries, of_image, meet, kind).reshape(chunk.shape[-2:])
        made = _of_rows(frames, of_entries, of_image, meet, kind)
    return meet.reduce(made) if len(axes) > 2 else made.reshape(chunk.shape[:-2])


def _of_pixels(frames: CSRFrames, values: np.ndarray, without: np.ndarray, meet: np.ufunc, kind: str) -> np.ndarray:
    n = frames.n_pixels
    out = np.full(n, _nothing(meet, values.dtype))
    meet.at(out, frames.indices, values)
    if kind == "detector":
        stored = np.bincount(frames.indices, minlength=n)
        return np.where(stored < frames.n_frames, meet(out, without), out)
    first = np.full(n, -1)
    order = _best_first(without, meet)
    loops.first_rows_without(frames.indices, frames.indptr, order, np.arange(n), np.full(n, -1), first)
    return np.where(first >= 0, meet(out, without[first]), out)


def _of_rows(frames: CSRFrames, values: np.ndarray, without: np.ndarray, meet: np.ufunc, kind: str) -> np.ndarray:
    out = np.full(frames.n_frames, _nothing(meet, values.dtype))
    number = np.diff(frames.indptr)
    filled = np.flatnonzero(number)
    if filled.size:
        out[filled] = meet.reduceat(values, frames.indptr[:-1][filled])
    if kind == "scan":
        return np.where(number < frames.n_pixels, meet(out, without), out)
    first = np.full(frames.n_frames, -1)
    seen = np.full(frames.n_pixels, -1)
    loops.first_pixels_without(frames.indices, frames.indptr, _best_first(without, meet), seen, first)
    return np.where(first >= 0, meet(out, without[first]), out)


def _nothing(meet: np.ufunc, dtype: np.dtype) -> np.floating:
    """What any value wins over; also what is left where all are skipped."""
    if meet in (np.fmax, np.fmin):
        return dtype.type(np.nan)
    return dtype.type(-np.inf if meet is np.maximum else np.inf)


def _best_first(values: np.ndarray, meet: np.ufunc) -> np.ndarray:
    """Places of values, those first that win; NaN is first or last."""
    order = np.argsort(values, kind="stable")  # NaN at the end
    n = len(values) - int(np.count_nonzero(values != values))
    numbers, none = order[:n], order[n:]
    if meet in (np.maximum, np.fmax):
        numbers = numbers[::-1]
    parts = (none, numbers) if meet in (np.maximum, np.minimum) else (numbers, none)
    return np.concatenate(parts)
