"""Parts of a signal that still come straight from the source of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.dask_array import source_of, to_dask, without_empty_chunks
from rsciio_tpx3.frames.sliced_source import SlicedSource

if TYPE_CHECKING:
    import dask.array as da


__all__ = ["from_source", "whole_detector"]


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
    if source is None or not sliced.size or sliced.ndim < 2:
        return sliced
    plain = tuple(_from_front(k, n) for k, n in zip(key, data.shape, strict=False))
    plain += tuple(slice(None) for _ in data.shape[len(plain) :])
    try:
        part = SlicedSource(source, plain)
        new = to_dask(part, chunks=sliced.chunks[:-2] or "auto")
    except ValueError:
        return sliced
    same = new.chunks == sliced.chunks and isinstance(new._meta, CSRFrames) == isinstance(sliced._meta, CSRFrames)
    if not same:
        return sliced
    _CUT_FROM[part] = ref(data), plain
    return new


_CUT_FROM: WeakKeyDictionary = (
    WeakKeyDictionary()
)  # where each part came from; an array knows the blocks it was read in


def whole_detector(data: da.Array) -> tuple[da.Array, tuple] | None:
    """The array of which `data` is a cut-out of the detector and no part of the scan, and the slices of its two axes.

    None for other arrays, and where that array is gone.
    """
    source = source_of(data)
    whole, key = _CUT_FROM.get(source, (lambda: None, ())) if source is not None else (lambda: None, ())
    array = whole()
    if array is None or any(k not in (slice(None), slice(0, n, None)) for k, n in zip(key[:-2], array.shape)):
        return None
    return array, key[-2:]


def _from_front(k: int | slice, n: int) -> int | slice:
    return int(k) % n if isinstance(k, int | np.integer) and -n <= k < n else k
