"""Frames with NaN outside a region, as HyperSpy's circles and polygons leave them, kept sparse.

A region over the detector becomes ``where(mask, nan, frames)`` with the same mask for every frame,
and that has no zeros to leave out. But all that is asked of it, as a rule, is a sum or a mean that
skips the NaN; and the mask and the frames are still there, side by side, in the graph of the dask
array. So the answer is taken from the frames, and the array is never made.
"""

import math

import dask
import dask.array as da
import numpy as np
from dask.blockwise import Blockwise

from hyperspy_sparse import blocks
from hyperspy_sparse.detectors import masked_sums
from rsciio_tpx3.frames.csr_frames import CSRFrames
from rsciio_tpx3.frames.dask_array import empty_meta, source_of

__all__ = ["behind", "is_masked", "reduced"]


def behind(data):
    """Frames and mask of an array that is ``where(mask, nan, frames)``.

    Parameters
    ----------
    data : dask.array.Array
        Any.

    Returns
    -------
    frames : dask.array.Array of CSRFrames
    mask : numpy.ndarray of bool, shape (height, width)
        True where the array is NaN.

    None if the array is something else, or its frames do not come straight from a source.
    """
    parts = _parts_of_where(data)
    if parts is None:
        return None
    mask_name, frames_name = parts
    # The type is read from the source below; this only asks which one it is.
    frames = da.Array(data.dask, frames_name, data.chunks, meta=empty_meta(np.dtype("u1"), data.ndim - 2))
    source = source_of(frames)
    if source is None or np.dtype(source.dtype).kind not in "ui":
        return None
    frames = da.Array(data.dask, frames_name, data.chunks, meta=empty_meta(source.dtype, data.ndim - 2))
    if not _is_broadcast(data.dask, mask_name):
        return None
    masks = da.Array(data.dask, mask_name, data.chunks, dtype=bool)
    mask = np.asarray(masks[(0,) * (data.ndim - 2)].compute(scheduler="sync"))
    return (frames, mask) if mask.dtype == np.bool_ else None


def is_masked(data):
    """Whether this is an array of frames beside a mask of NaN, which the sparse classes may have."""
    return _parts_of_where(data) is not None


def _parts_of_where(data):
    """Names of the mask and of the frames; None if this is no such array."""
    if not isinstance(data, da.Array) or isinstance(data._meta, CSRFrames) or data.ndim < 3 or not data.size:
        return None
    layer = data.dask.layers.get(data.name)
    if not isinstance(layer, Blockwise) or not data.name.startswith("where-") or len(layer.indices) != 3:
        return None
    (mask, mask_axes), (nan, nan_axes), (frames, axes) = layer.indices
    straight = mask_axes == axes == tuple(layer.output_indices) and nan_axes is None
    if not straight or not isinstance(nan, float) or not math.isnan(nan):
        return None
    return mask, frames


def _is_broadcast(graph, name):
    """Whether every frame has the same mask: it was made from one by broadcasting."""
    while name.startswith("rechunk-"):  # dask cuts it where the frames are cut
        above = graph.dependencies[name]
        if len(above) != 1:
            return False
        (name,) = above
    if not name.startswith("broadcast_to-"):
        return False
    (name,) = graph.dependencies[name]
    keys = [key for key in graph.layers[name] if isinstance(key, tuple)]
    if any(any(key[1:-2]) for key in keys):
        return False
    first = min(keys)
    return set(dask.get(graph.cull([first]), first).shape[:-2]) == {1}


def reduced(name, masked, axes):
    """``nansum`` or ``nanmean`` over the navigation or the detector axes, from the entries.

    Parameters
    ----------
    name : str
    masked : tuple
        Frames and mask, as `behind` gives them.
    axes : tuple of int

    Returns
    -------
    dask.array.Array of float64
        None for other functions and axes.
    """
    frames, mask = masked
    n_nav = frames.ndim - 2
    over_detector = axes == (n_nav, n_nav + 1)
    if name not in ("nansum", "nanmean") or not (over_detector or axes == tuple(range(n_nav))):
        return None
    if over_detector:
        total = masked_sums(frames, [~mask], np.sum(np.zeros(1, frames.dtype)).dtype)[..., 0]
        number = np.count_nonzero(~mask)
    else:
        total = da.where(mask, 0, blocks.in_blocks(frames).sum(axis=axes))
        number = np.where(mask, 0, math.prod(frames.shape[:-2]))
    total = total.astype(np.float64)
    return total if name == "nansum" else total / np.where(number == 0, np.nan, number)
