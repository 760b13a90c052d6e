"""Sums, means, extremes and variances over the scan, the detector or both: a task for each block, and one to join them.

dask's own reductions ask NumPy what an empty array would give, several times for each call, and stack the images of all
blocks to add them up. Both take longer than the events themselves where those are in memory.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from hyperspy_sparse import nan_steps, recipes
from hyperspy_sparse.blocks import are_views, in_blocks
from hyperspy_sparse.twins import as_frames
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.dtypes import sum_for_floats, sum_type
from rsciio_tpx3.csr.reductions import column_sums, mean_and_squares, powers, weighted_sum
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.memory_source import HeldChunks, MemorySource
from rsciio_tpx3.utils.dask_private import List, Task, TaskRef
from rsciio_tpx3.utils.threads import cluster_threads

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


__all__ = ["REDUCED", "moments", "reduced", "spans_of", "sum_of_chosen", "weighted", "with_image"]

REDUCED = "_reduced-"
"""How the names of layers begin that this module makes; their chunks are NumPy's."""

TOGETHER = 8
"""Partial results, each perhaps an image of the detector, that one task joins."""


def reduced(name: str, data: da.Array, axes: tuple[int, ...], for_floats: bool = False) -> da.Array | None:
    """A reduction over the navigation axes, the detector axes or all of them.

    Parameters
    ----------
    name : str
        Of NumPy's function: "sum", "mean", "max" or "amax", "min" or "amin", "var", "std"; with "nan" before it or not.
    data : dask.array.Array of CSRFrames
        Of integers or floats.
    axes : tuple of int
        Ascending.
    for_floats : bool
        A sum of integers that becomes a float: none runs over, whatever their type.

    Returns
    -------
    dask.array.Array
        In the type that NumPy gives it, but for `for_floats`; None where something else has to do it.
    """
    plain = {"amax": "max", "amin": "min"}.get(name, name).removeprefix("nan")
    if name.startswith("nan") and data.dtype.kind == "f":
        return _skipping_nan(plain, data, axes)
    if plain in ("std", "var"):
        return moments(data, axes, np.var(np.zeros(1, data.dtype)).dtype, plain == "std")
    if data.dtype.kind not in "uif" or not data.size:
        return None
    if plain in ("sum", "mean"):
        answer = _of_product(plain, data, axes, for_floats)
        if answer is not None:
            return answer
    function = getattr(np, plain)
    dtype = function(np.zeros(1, data.dtype)).dtype
    if plain in ("max", "min"):
        join = np.maximum if plain == "max" else np.minimum
        return _made(
            in_blocks(data, any_order=True, light=_of_rows(data, axes)),
            axes,
            dtype,
            (_plain_part, function),
            (_joined, join),
            (_as_they_are,),
        )
    # Integers may come in any order and split over entries: their sum is the same, and reading need not sort.
    n = math.prod(data.shape[axis] for axis in axes) if plain == "mean" else None
    additive = data.dtype.kind in "ui"
    total = sum_for_floats(data.dtype) if for_floats or plain == "mean" else sum_type(data.dtype)
    dtype = total if plain == "sum" else dtype
    if plain == "mean" and data.dtype == np.float16:  # a mean fits where the sum does not
        total = np.dtype(np.float64)
    if total.kind == "f" and total != data.dtype:
        part: tuple = (_float_sum,)
    else:
        # Partial sums of counts of a byte have half the size: they need not be widened before they are added up.
        part = (_narrow_sum,) if additive and axes == tuple(range(data.ndim - 2)) else (_plain_part, np.sum)
    blocks = in_blocks(data, additive=additive, light=_of_rows(data, axes))
    return _made(blocks, axes, dtype, part, (_summed, total), (_divided, n))


def _skipping_nan(plain: str, data: da.Array, axes: tuple[int, ...]) -> da.Array | None:
    """A reduction of floats that leaves out those that are NaN."""
    if plain not in _SKIPPING or not data.size:
        return None
    part, join, finish = _SKIPPING[plain]
    blocks = in_blocks(data, any_order=True)
    n = math.prod(data.shape[axis] for axis in axes)
    return _made(blocks, axes, data.dtype, part, join, (*finish, n) if finish[0] is nan_steps.mean_of_rest else finish)


def _of_rows(data: da.Array, axes: tuple[int, ...]) -> bool:
    """Whether the detector's axes are among `axes`: pixels of a row need not be known."""
    return set(axes) >= {data.ndim - 2, data.ndim - 1}


_PRODUCT = {"mul", "multiply"}


def _of_product(plain: str, data: da.Array, axes: tuple[int, ...], for_floats: bool) -> da.Array | None:
    """Sum or mean of frames times an image of the scan or of the detector, without the product; None for others."""
    recipe = recipes.recipe_of(data)
    found = recipes.frames_and_image(recipe, data.ndim)
    if found is None or recipe is None or recipe.function.__name__ not in _PRODUCT:
        return None
    frames, image, kind, _ = found
    # where the image is not known yet, or not finite, a product with nothing may be something
    exact = data.dtype.itemsize == 8 or image.dtype.kind == "b"  # small integers run over, as NumPy's do
    if not isinstance(image, np.ndarray) or not np.isfinite(image).all() or not (data.dtype.kind == "f" or exact):
        return None
    n_nav = data.ndim - 2
    nav, sig = tuple(range(n_nav)), (n_nav, n_nav + 1)
    if axes not in (nav, sig):
        return None
    for_floats = for_floats or plain == "mean"
    # A product that runs over is another number, of which only a sum that runs over as well takes no notice.
    if for_floats and data.dtype.kind != "f" and not _products_fit(frames.dtype, image, data.dtype):
        return None
    dtype = sum_for_floats(data.dtype) if for_floats else sum_type(data.dtype)
    image = np.broadcast_to(image, data.shape[:-2] if kind == "scan" else data.shape[-2:])
    # The image lies along what is added up: it is a weight. Otherwise it is a factor of the result.
    if (kind == "scan") == (axes == nav):
        total = weighted(frames, image.astype(np.int64 if dtype.kind in "ui" else np.float64), axes, dtype)
    else:
        total = reduced("sum", frames, axes, for_floats=dtype.kind == "f")
        total = None if total is None else total.astype(dtype) * image.astype(dtype)
    if total is None or plain == "sum":
        return total
    return total.astype(np.mean(np.zeros(1, data.dtype)).dtype) / math.prod(data.shape[axis] for axis in axes)


def _products_fit(counts: np.dtype, image: np.ndarray, dtype: np.dtype) -> bool:
    """Whether no count of a type times a value of an image of integers exceeds `dtype`."""
    if image.dtype.kind == "b" or not image.size:
        return True
    if counts.kind not in "ui":
        return counts.kind == "b"
    ends = [int(end) * int(value) for end in _limits(counts) for value in (image.min(), image.max())]
    lowest, highest = _limits(dtype)
    return lowest <= min(ends) and max(ends) <= highest


def _limits(dtype: np.dtype) -> tuple[int, int]:
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def weighted(
    frames: da.Array, weights: np.ndarray | da.Array, axes: tuple[int, ...], dtype: DTypeLike
) -> da.Array | None:
    """Sum over the scan with a weight for each position, or over the detector with one for each pixel.

    Parameters
    ----------
    frames : dask.array.Array of CSRFrames
    weights : numpy.ndarray or dask.array.Array of float64 or int64
        Finite; of the shape of `axes`.
    axes : tuple of int
        All navigation axes, or both of the detector.
    dtype : numpy.dtype

    Returns
    -------
    dask.array.Array
        None where blocks are not whole frames.
    """
    blocks = in_blocks(frames, additive=frames.dtype.kind in "ui")
    kind = "scan" if axes == tuple(range(frames.ndim - 2)) else "detector"
    return with_image(blocks, weights, kind, axes, np.dtype(dtype), (_weighted_part,), np.add)


def with_image(
    blocks: da.Array,
    image: np.ndarray | da.Array,
    kind: str,
    axes: tuple[int, ...],
    dtype: np.dtype,
    part: tuple,
    join: np.ufunc,
) -> da.Array | None:
    """A reduction to which an image of the scan or of the detector belongs.

    Parameters
    ----------
    blocks : dask.array.Array of CSRFrames
    image : numpy.ndarray or dask.array.Array
    kind : str
        What it is an image of, "scan" or "detector".
    axes : tuple of int
    dtype : numpy.dtype
    part : tuple
        A function of a block, `axes`, options and the part of the image that belongs to the block; and the options.
    join : numpy.ufunc
        Of the results of two blocks.

    Returns
    -------
    dask.array.Array
        None where blocks are not whole frames.
    """
    steps = (_joined, join), (_as_they_are,)
    own = {place: spans if kind == "scan" else ... for place, spans in spans_of(blocks)}
    if isinstance(image, da.Array):
        # Not known yet: each block is given all of it, and takes its own.
        later = {place: (_with_own_part, part, spans) for place, spans in own.items()}
        return _made(blocks, axes, dtype, later, *steps, with_image=image)
    if kind == "detector":
        return _made(blocks, axes, dtype, (*part, image), *steps)
    return _made(blocks, axes, dtype, {place: (*part, image[spans]) for place, spans in own.items()}, *steps)


def _weighted_part(chunk: CSRFrames, axes: tuple[int, ...], weights: np.ndarray) -> np.ndarray:
    frames = as_frames(chunk)
    return weighted_sum(frames, weights, axes)


def _with_own_part(chunk: CSRFrames, axes: tuple[int, ...], part: tuple, own: Any, image: np.ndarray) -> np.ndarray:
    function, *options = part
    return function(chunk, axes, *options, image[own])


def sum_of_chosen(frames: da.Array, chosen: np.ndarray) -> da.Array | None:
    """Sum over some positions of frames in memory, without a copy of their entries; None for other frames.

    Parameters
    ----------
    frames : dask.array.Array of CSRFrames
    chosen : numpy.ndarray of bool, shape of the scan
        Some of them true.

    Returns
    -------
    dask.array.Array of uint64, shape (height, width)
        Of float64 for frames of uint64, which would run over.
    """
    if frames.dtype.kind != "u" or not isinstance(source_of(frames), MemorySource | HeldChunks):
        return None
    blocks = in_blocks(frames, additive=True)
    part = {place: (_chosen_sum, np.flatnonzero(chosen[spans])) for place, spans in spans_of(blocks)}
    dtype = sum_for_floats(frames.dtype)
    return _made(blocks, tuple(range(frames.ndim - 2)), dtype, part, (_summed, dtype), (_as_they_are,))


def _chosen_sum(chunk: CSRFrames, axes: tuple[int, ...], rows: np.ndarray) -> np.ndarray:
    frames = as_frames(chunk)
    return column_sums(frames, rows, sum_for_floats(frames.dtype))


def spans_of(blocks: da.Array) -> Any:
    """Places of blocks, and the part of the scan that each of them is."""
    ends = [np.concatenate([[0], np.cumsum(sizes)]).tolist() for sizes in blocks.chunks[:-2]]
    for place in _places(blocks):
        yield place, tuple(slice(end[i], end[i + 1]) for i, end in zip(place, ends, strict=True))


def moments(data: da.Array, axes: tuple[int, ...], dtype: DTypeLike, std: bool) -> da.Array | None:
    """Variance or standard deviation over `axes` without a dense chunk; None for an array without elements.

    Counts of one byte are added up with their squares as integers, which is exact and takes one
    pass. For other types each block gives number, mean and sum of squared distances; pairs of
    blocks are merged by the update of Chan, Golub and LeVeque [1]_, which keeps the digits.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub, R. J. LeVeque, Stanford STAN-CS-79-773 (1979).
    """
    if not data.size:
        return None
    n = math.prod(data.shape[a] for a in axes)
    # The numerator is below (255 n)**2, and has to fit into 63 bits.
    exact = data.dtype.kind in "bui" and data.dtype.itemsize == 1 and n < 2**23
    steps = (_powers, _joined_powers) if exact else (_moments, _joined_moments)
    blocks = in_blocks(data, any_order=True, light=_of_rows(data, axes))
    return _made(blocks, axes, np.dtype(dtype), (steps[0],), (steps[1],), (_spread, exact, std))


def _made(
    blocks: da.Array,
    axes: tuple[int, ...],
    dtype: np.dtype,
    part: Any,
    join: tuple,
    finish: tuple,
    with_image: da.Array | None = None,
) -> Any:
    """The dask array of a reduction: its steps are functions, each with what it takes in addition to partial results.

    `part` may be a dictionary with a step for each place of a block; it takes `with_image`, too, where there is one.
    """
    n_nav = blocks.ndim - 2
    nav, sig = tuple(range(n_nav)), (n_nav, n_nav + 1)
    if blocks.numblocks[-2:] != (1, 1) or axes not in (nav, sig, nav + sig) or not n_nav:
        return None
    image = None if with_image is None else with_image.rechunk(-1)
    name = f"{REDUCED}{tokenize(blocks.name, axes, dtype, part, join, finish, None if image is None else image.name)}"
    remaining = sig if axes == nav else nav if axes == sig else ()
    make = _partial_results if remaining == nav else _tree
    extra = () if image is None else (TaskRef((image.name, *(0 for _ in image.shape))),)
    layer = make(blocks, name, axes, dtype, part, join, finish, extra)
    needed = [x for x in (None if _taken_in_place(blocks) else blocks, image) if x is not None]
    graph = HighLevelGraph.from_collections(name, layer, dependencies=needed)
    chunks = tuple(blocks.chunks[axis] for axis in remaining)
    return da.Array(graph, name, chunks, meta=np.empty((0,) * len(remaining), dtype))


def _places(blocks: da.Array) -> Any:
    return itertools.product(*(range(n) for n in blocks.numblocks[:-2]))


def _block(blocks: da.Array, place: tuple[int, ...]) -> Any:
    """A block as an argument of a task: its key, or what takes it from the frames in memory."""
    key = (blocks.name, *place, 0, 0)
    return blocks.dask.layers[blocks.name][key] if _taken_in_place(blocks) else TaskRef(key)


def _taken_in_place(blocks: da.Array) -> bool:
    """Whether blocks are views of frames in memory, which take less time than dask does for a task of its own.

    To a cluster frames are sent, which is done once for all tasks that need them.
    """
    return are_views(source_of(blocks)) and not cluster_threads()


def _partial_results(
    blocks: da.Array, name: str, axes: tuple, dtype: np.dtype, part: Any, join: tuple, finish: tuple, extra: tuple
) -> dict:
    """Over the detector: each block has its own part of the answer."""
    layer = {}
    for place in _places(blocks):
        key = (name, *place)
        step = part[place] if isinstance(part, dict) else part
        layer[key] = Task(key, _part_and_finish, _block(blocks, place), axes, step, finish, dtype, *extra)
    return layer


def _tree(
    blocks: da.Array, name: str, axes: tuple, dtype: np.dtype, part: Any, join: tuple, finish: tuple, extra: tuple
) -> dict:
    """Over the scan: partial results of all blocks, a few at a time."""
    layer, keys = {}, []
    for place in _places(blocks):
        key = (f"{name}-part", *place)
        step = part[place] if isinstance(part, dict) else part
        layer[key] = Task(key, _part, _block(blocks, place), axes, step, *extra)
        keys.append(key)
    level = 0
    # A tree: all partial results at once may be thousands of images of the detector.
    while len(keys) > TOGETHER:
        groups = [keys[i : i + TOGETHER] for i in range(0, len(keys), TOGETHER)]
        keys = [(f"{name}-joined-{level}", i) for i in range(len(groups))]
        for key, group in zip(keys, groups, strict=True):
            layer[key] = Task(key, _join, List(*map(TaskRef, group)), join)
        level += 1
    last = (name, 0, 0) if len(axes) == blocks.ndim - 2 else (name,)
    layer[last] = Task(last, _join_and_finish, List(*map(TaskRef, keys)), join, finish, dtype)
    return layer


def _part(chunk: CSRFrames, axes: tuple[int, ...], part: tuple, *extra: np.ndarray) -> Any:
    function, *options = part
    return function(chunk, axes, *options, *extra)


def _join(parts: list, join: tuple) -> Any:
    function, *options = join
    return function(parts, *options)


def _finished(result: Any, finish: tuple, dtype: np.dtype) -> np.ndarray:
    function, *options = finish
    return np.asarray(function(result, *options)).astype(dtype, copy=False)


def _part_and_finish(
    chunk: CSRFrames, axes: tuple[int, ...], part: tuple, finish: tuple, dtype: np.dtype, *extra: np.ndarray
) -> np.ndarray:
    return _finished(_part(chunk, axes, part, *extra), finish, dtype)


def _join_and_finish(parts: list, join: tuple, finish: tuple, dtype: np.dtype) -> np.ndarray:
    return _finished(_join(parts, join), finish, dtype)


# -- steps -----------------------------------------------------------------------------------------


def _plain_part(chunk: CSRFrames, axes: tuple[int, ...], function: Callable) -> np.ndarray:
    return np.asarray(function(chunk, axis=axes))


def _narrow_sum(chunk: CSRFrames, axes: tuple[int, ...]) -> np.ndarray:
    frames = as_frames(chunk)
    return column_sums(frames) if frames.dtype.kind == "u" else np.asarray(np.sum(frames, axis=axes))


def _float_sum(chunk: CSRFrames, axes: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.sum(chunk, axis=axes, dtype=np.float64))


def _summed(parts: list, dtype: np.dtype) -> np.ndarray:
    """The sum of partial results in `dtype`, which they may be narrower than."""
    if len(parts) == 1:
        return parts[0].astype(dtype, copy=False)
    total = np.add(parts[0], parts[1], dtype=dtype)  # dask may keep the parts: they are not written into
    for part in parts[2:]:
        total = np.add(total, part, out=total if isinstance(total, np.ndarray) else None, dtype=dtype)
    return total


def _joined(parts: list, ufunc: np.ufunc) -> np.ndarray:
    if len(parts) == 1:
        return parts[0]
    total = ufunc(parts[0], parts[1])  # dask may keep the parts: they are not written into
    for part in parts[2:]:
        total = ufunc(total, part, out=total) if isinstance(total, np.ndarray) else ufunc(total, part)
    return total


def _as_they_are(result: np.ndarray) -> np.ndarray:
    return result


def _divided(total: np.ndarray, n: int | None) -> np.ndarray:
    return total if n is None else np.asarray(total, np.float64) / n


def _powers(chunk: CSRFrames, axes: tuple[int, ...]) -> tuple:
    """Number, sum and sum of squares."""
    frames = as_frames(chunk)
    return math.prod(chunk.shape[a] for a in axes), *powers(frames, axes, False)


def _joined_powers(parts: list) -> tuple:
    return tuple(sum(values) for values in zip(*parts, strict=True))


def _moments(chunk: CSRFrames, axes: tuple[int, ...]) -> tuple:
    """Number, mean and sum of squared distances from it."""
    frames = as_frames(chunk)
    return math.prod(chunk.shape[a] for a in axes), *mean_and_squares(frames, axes)


def _joined_moments(parts: list) -> tuple:
    n, mean, squares = 0, 0.0, 0.0
    for n_b, mean_b, squares_b in parts:
        # Means and distances are joined, not sums of squares, which would cancel (Chan et al., see `moments`).
        apart = mean_b - mean
        total = n + n_b
        mean = mean + apart * (n_b / total)
        # Weighted before it is squared: no distance, however large, makes anything of no elements.
        squares = squares + squares_b + apart * (apart * (n * n_b / total))
        n = total
    return n, mean, squares


def _spread(parts: tuple, exact: bool, std: bool) -> np.ndarray:
    n, first, second = parts
    spread = (n * second - first**2) / n**2 if exact else second / n
    return np.sqrt(spread) if std else spread


_SKIPPING: dict[str, tuple] = {
    "sum": ((nan_steps.sum_of_rest,), (_joined, np.add), (_as_they_are,)),
    "mean": ((nan_steps.sum_and_number,), (_joined_powers,), (nan_steps.mean_of_rest,)),
    "max": ((nan_steps.extreme_of_rest, np.max, -np.inf), (_joined, np.fmax), (_as_they_are,)),
    "min": ((nan_steps.extreme_of_rest, np.min, np.inf), (_joined, np.fmin), (_as_they_are,)),
    "var": ((nan_steps.moments_of_rest,), (nan_steps.joined_moments_of_rest,), (nan_steps.spread_of_rest, False)),
    "std": ((nan_steps.moments_of_rest,), (nan_steps.joined_moments_of_rest,), (nan_steps.spread_of_rest, True)),
}
"""Steps of a block, of joining two, and of the end."""
