"""Frames with NaN outside a region, as HyperSpy's circles and polygons leave them, but sparse.

A region over the detector becomes ``where(mask, nan, frames)`` with the same mask for every frame,
one over the scan with the same for every pixel, and that has no zeros to leave out. But all that is
computed with it, as a rule, is a sum or a mean that skips the NaN; and the mask and the frames are still
there, side by side, in the graph of the dask array. So the answer is taken from the frames, and the
array is never made.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
from dask.blockwise import Blockwise

from hyperspy_sparse import reductions, slicing
from hyperspy_sparse.virtual_detectors import masked_image
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.dtypes import sum_for_floats
from rsciio_tpx3.frames.dask_array import empty_meta, source_of, to_dask
from rsciio_tpx3.frames.shared_reads import SharedFrames
from rsciio_tpx3.frames.sliced_source import ChosenSource
from rsciio_tpx3.utils.least_recent import LeastRecent

if TYPE_CHECKING:
    from dask.highlevelgraph import HighLevelGraph


__all__ = ["behind", "is_masked", "n_pixels", "reduced", "remember"]

_FRAMES = LeastRecent(1024)


def remember(data: da.Array) -> None:
    """Remember that the chunks of a dask array are frames: a graph does not say that of the arrays in it.

    Every region of interest cuts out its rectangle first, and masks that; so each cut-out is remembered, by its name
    alone, however its frames came into being.
    """
    if isinstance(data, da.Array) and isinstance(data._meta, CSRFrames):
        _FRAMES.put(data.name, (data.dtype, data.chunks))


def behind(data: da.Array) -> tuple[da.Array, np.ndarray] | None:
    """Frames and mask of an array that is ``where(mask, nan, frames)``.

    Parameters
    ----------
    data : dask.array.Array
        Any.

    Returns
    -------
    frames : dask.array.Array of CSRFrames
        Of integers.
    mask : numpy.ndarray of bool
        True where the array is NaN, with as many axes as the frames: of length 1 along navigation for a mask of the
        detector, along the detector for one of the scan.

    None if the array is something else.
    """
    if not isinstance(data, da.Array):
        return None
    # needed by each call, and found by a computation: the array keeps its answer
    cached = vars(data)
    if "_behind" not in cached:
        cached["_behind"] = _behind(data)
    return cached["_behind"]


def _behind(data: da.Array) -> tuple[da.Array, np.ndarray] | None:
    parts = _parts_of_where(data)
    if parts is None:
        return None
    mask_name, frames_name = parts
    frames_name = _before_rechunk(data.dask, frames_name)
    dtype, chunks = _FRAMES.look(frames_name, (np.dtype(object), None))
    if dtype.kind not in "ui":
        return None
    frames = da.Array(data.dask, frames_name, chunks, meta=empty_meta(dtype, data.ndim - 2))
    mask = _before_broadcast(data.dask, mask_name, data.ndim)
    return None if mask is None or mask.dtype != np.bool_ else (frames, mask)


def is_masked(data: da.Array) -> bool:
    """Whether this is an array of frames next to a mask of NaN, which the sparse classes may have."""
    return _parts_of_where(data) is not None


def _parts_of_where(data: da.Array) -> tuple[str, ...] | None:
    """Names of the mask and of the frames; None if this is not such an array."""
    if not isinstance(data, da.Array) or isinstance(data._meta, CSRFrames) or data.ndim < 3 or not data.size:
        return None
    layer = data.dask.layers.get(data.name)
    if not isinstance(layer, Blockwise) or not data.name.startswith("where-") or len(layer.indices) != 3:
        return None
    (mask, mask_axes), (nan, nan_axes), (frames, axes) = layer.indices
    # ``where(mask, nan, frames)`` as HyperSpy 2.5 writes it in its circles and polygons, and nothing else.
    straight = mask_axes == axes == tuple(layer.output_indices) and nan_axes is None
    if not straight or not isinstance(nan, float) or not math.isnan(nan):
        return None
    return mask, frames


def _before_rechunk(graph: HighLevelGraph, name: str | None) -> str | None:
    """The array that dask cut, in one or several steps, to fit the mask and the frames to each other; else `name`."""
    names = {name}
    while any(name.startswith("rechunk-") for name in names):
        names = set().union(*(graph.dependencies[n] if n.startswith("rechunk-") else {n} for n in names))
    return names.pop() if len(names) == 1 else None


def _before_broadcast(graph: HighLevelGraph, name: str | None, ndim: int) -> np.ndarray | None:
    """The mask that was broadcast, if it was along the navigation axes or along those of the detector; else None.

    What it was broadcast to has an element for each pixel of each frame.
    """
    name = _before_rechunk(graph, name)
    if name is None or not name.startswith("broadcast_to-"):
        return None
    (name,) = graph.dependencies[name]
    # dask cuts the mask like the scan, into hundreds of tasks, before it broadcasts it
    name = _before_rechunk(graph, name)
    if name is None:
        return None
    # The mask itself is small and known: it is computed here, block by block, for what it was broadcast to is not.
    keys = [key for key in graph.layers[name] if isinstance(key, tuple)]
    n_blocks = [1 + max(key[1 + axis] for key in keys) for axis in range(ndim)]
    ahead = (range(ndim - 2), range(ndim - 2, ndim))
    if all(any(n_blocks[axis] > 1 for axis in axes) for axes in ahead):
        return None
    blocks = {key: getattr(task, "value", task) for key, task in graph.layers[name].items()}
    if not all(isinstance(block, np.ndarray) for block in blocks.values()):  # dask cut the mask already, or will
        blocks = dict(zip(keys, dask.get(graph.cull(keys), keys), strict=True))

    def joined(place: tuple[int, ...]) -> np.ndarray:
        axis = len(place)
        if axis == ndim:
            return np.asarray(blocks[(name, *place)])
        return np.concatenate([joined((*place, i)) for i in range(n_blocks[axis])], axis=axis)

    mask = joined(())
    return mask if any(all(mask.shape[axis] == 1 for axis in axes) for axes in ahead) else None


def n_pixels(data: da.Array) -> int | np.integer:
    """Pixels of the detector that are not masked in every frame."""
    masked = behind(data)
    if masked is None or masked[1].shape[-2:] == (1, 1):
        return math.prod(data.shape[-2:])
    return np.count_nonzero(~masked[1])


def reduced(name: str, masked: tuple, axes: tuple[int, ...]) -> da.Array | None:
    """A reduction over the navigation or the detector axes, from the entries.

    Parameters
    ----------
    name : str
        Of NumPy's function. Those that do not skip NaN give it where anything is masked.
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
    nav, sig = tuple(range(n_nav)), (n_nav, n_nav + 1)
    if name not in _KNOWN or axes not in (nav, sig):
        return None
    if name in ("nansum", "nanmean"):
        return _skipping(name, frames, mask, axes)
    with_nan = np.broadcast_to(mask.any(axis=axes), tuple(n for i, n in enumerate(frames.shape) if i not in axes))
    all_or_none = all(mask.shape[axis] == 1 for axis in axes)
    # Of a result some values are masked, and some count: only positions can be chosen one by one.
    if name.startswith("nan") and not all_or_none:
        return _of_chosen(name, frames, mask) if axes == nav else None
    if with_nan.all():
        return da.full(with_nan.shape, np.nan)
    plain = reductions.reduced(name, frames, axes, for_floats=True)
    return None if plain is None else da.where(with_nan, np.nan, plain.astype(np.float64))


_PLAIN = ("sum", "mean", "max", "amax", "min", "amin", "std", "var")
_KNOWN = {*_PLAIN, *(f"nan{name}" for name in _PLAIN)}


def _skipping(name: str, frames: da.Array, mask: np.ndarray, axes: tuple[int, ...]) -> da.Array:
    """``nansum`` or ``nanmean``."""
    n_nav = frames.ndim - 2
    of_detector = mask.shape[:n_nav] == (1,) * n_nav
    total = (_under_detector_mask if of_detector else _under_scan_mask)(frames, mask, axes == (n_nav, n_nav + 1))
    if name == "nansum":
        return total.astype(np.float64)
    number = _number(mask, frames.shape, axes)
    return total.astype(np.float64) / np.where(number == 0, np.nan, number)


def _under_detector_mask(frames: da.Array, mask: np.ndarray, over_detector: bool) -> da.Array:
    # Where the region is a single position the mask has one element, which holds for all pixels.
    mask = np.broadcast_to(mask.reshape(mask.shape[-2:]), frames.shape[-2:])
    if over_detector:
        inside = ~mask
        whole = slicing.whole_detector(frames)
        if whole is not None:  # nothing has to be cut out to be added up
            frames, cut = whole
            inside = np.zeros(frames.shape[-2:], bool)
            inside[cut] = ~mask
        return masked_image(frames, inside)
    return da.where(mask, 0, _sums(frames, tuple(range(frames.ndim - 2))))


def _under_scan_mask(frames: da.Array, mask: np.ndarray, over_detector: bool) -> da.Array:
    if over_detector:
        return da.where(mask[..., 0, 0], 0, _sums(frames, (frames.ndim - 2, frames.ndim - 1)))
    total = _of_chosen("sum", frames, mask)
    return _sums(frames * ~mask, tuple(range(frames.ndim - 2))) if total is None else total


def _of_chosen(name: str, frames: da.Array, mask: np.ndarray) -> da.Array | None:
    """A reduction over the positions that a mask of the scan leaves, which alone are read; None if it leaves none."""
    source, rows = source_of(frames), np.flatnonzero(~mask)
    if source is None or isinstance(source, SharedFrames) or not rows.size or mask.shape[-2:] != (1, 1):
        return None
    # Where the frames are in memory, nothing has to be read: their entries are added up where they are.
    answer = _sum_in_memory(frames, ~mask[..., 0, 0]) if name == "sum" else None
    if answer is not None:
        return answer
    answer = reductions.reduced(name, to_dask(ChosenSource(source, rows)), (0,), for_floats=True)
    return answer if answer is None or name == "sum" else answer.astype(np.float64)


def _sum_in_memory(frames: da.Array, chosen: np.ndarray) -> da.Array | None:
    whole = slicing.whole_scan(frames)  # a region cuts out its rectangle first, which would copy it
    if whole is not None:
        frames, part = whole
        inside, chosen = chosen, np.zeros(frames.shape[:-2], bool)
        chosen[part] = inside
    return reductions.sum_of_chosen(frames, chosen)


def _sums(frames: da.Array, axes: tuple[int, ...]) -> da.Array:
    answer = reductions.reduced("sum", frames, axes, for_floats=True)
    return frames.sum(axis=axes, dtype=sum_for_floats(frames.dtype)) if answer is None else answer


def _number(mask: np.ndarray, shape: tuple[int, ...], axes: Any) -> int | np.ndarray:
    """How many values are not masked, for each result."""
    repeats = math.prod(shape[axis] for axis in axes if mask.shape[axis] == 1 != shape[axis])
    return np.count_nonzero(~mask, axis=axes) * repeats
