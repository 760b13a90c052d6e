"""Parts of a signal that still come straight from the source of the whole."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary, ref

import dask.array as da
import numpy as np

from hyperspy_sparse import recipes
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.dask_array import source_of, to_dask, without_empty_chunks
from rsciio_tpx3.frames.sliced_source import SlicedSource

__all__ = ["from_source", "whole_detector", "whole_scan"]


def from_source(data: da.Array, key: Any, sliced: da.Array) -> da.Array:
    """The dask array ``sliced = data[key]``, read directly from the source where that is possible.

    Parameters
    ----------
    data : dask.array.Array
        What was sliced.
    key : tuple of int, slice or array
        One for each axis.
    sliced : dask.array.Array
        What dask made of it.

    Returns
    -------
    dask.array.Array
        The same values in the same chunks, but for empty ones; `sliced` itself where the key is not of a simple kind,
        or `data` is the result of some other step.
    """
    sliced = without_empty_chunks(sliced)
    source = source_of(data)
    if not sliced.size or sliced.ndim < 2:
        return sliced
    if source is None:
        return _of_parts(data, key, sliced)
    plain = tuple(_from_front(k, n) for k, n in zip(key, data.shape, strict=False))
    plain += tuple(slice(None) for _ in data.shape[len(plain) :])
    try:
        part = SlicedSource(source, plain)
        new = to_dask(part, chunks=sliced.chunks[:-2] or "auto")
    except ValueError:
        return sliced
    # What dask answers is the rule: where ours would look different, dask's is taken.
    same = new.chunks == sliced.chunks and isinstance(new._meta, CSRFrames) == isinstance(sliced._meta, CSRFrames)
    if not same:
        return sliced
    _CUT_FROM[part] = ref(data), plain
    return new


def _of_parts(data: da.Array, key: Any, sliced: da.Array) -> da.Array:
    """A part of what was made of frames and images, made of the parts of these; `sliced` where that is not known."""
    recipe = recipes.recipe_of(data)
    if recipe is None or not all(isinstance(k, int | np.integer | slice) for k in key):
        return sliced
    key = tuple(key) + (slice(None),) * (data.ndim - len(key))
    parts = []
    for operand in recipe.operands:
        n_dim = np.ndim(operand)
        own = tuple(_of_axis(k, n) for k, n in zip(key[data.ndim - n_dim :], np.shape(operand), strict=True))
        part = operand[own] if n_dim else operand
        parts.append(from_source(operand, own, part) if recipes.is_frames(operand) else part)
    made = recipe.again(parts)
    same = isinstance(made, da.Array) and made.chunks == sliced.chunks and made.dtype == sliced.dtype
    return made if same and isinstance(made._meta, CSRFrames) == isinstance(sliced._meta, CSRFrames) else sliced


def _of_axis(k: int | slice, n: int) -> int | slice:
    """The index of an axis that may be one along which an operand is broadcast."""
    if n > 1:
        return k
    return slice(None) if isinstance(k, slice) else 0


_CUT_FROM: WeakKeyDictionary = (
    WeakKeyDictionary()
)  # where each part came from; an array knows the blocks it was read in


def whole_detector(data: da.Array) -> tuple[da.Array, tuple] | None:
    """The array of which `data` is a cut-out of the detector and no part of the scan, and the slices of its two axes.

    None for other arrays, and where that array is gone.
    """
    array, key = _cut_from(data)
    return None if array is None or not _is_all(key[:-2], array.shape) else (array, key[-2:])


def whole_scan(data: da.Array) -> tuple[da.Array, tuple] | None:
    """The array of which `data` is a part of the scan with the whole detector, and the indices of the part.

    None for other arrays, and where that array is gone.
    """
    array, key = _cut_from(data)
    return None if array is None or not _is_all(key[-2:], array.shape[-2:]) else (array, key[:-2])


def _cut_from(data: da.Array) -> tuple[da.Array | None, tuple]:
    source = source_of(data)
    whole, key = _CUT_FROM.get(source, (lambda: None, ())) if source is not None else (lambda: None, ())
    return whole(), key


def _is_all(key: tuple, shape: tuple[int, ...]) -> bool:
    return all(k in (slice(None), slice(0, n, None)) for k, n in zip(key, shape))


def _from_front(k: int | slice, n: int) -> int | slice:
    return int(k) % n if isinstance(k, int | np.integer) and -n <= k < n else k
