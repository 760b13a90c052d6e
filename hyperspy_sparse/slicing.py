"""Parts of a signal that still come straight from the source of the whole."""

import numpy as np

from rsciio_tpx3.frames.csr_frames import CSRFrames
from rsciio_tpx3.frames.dask_array import source_of, to_dask, without_empty_chunks
from rsciio_tpx3.frames.sliced_source import SlicedSource

__all__ = ["from_source"]


def from_source(data, key, sliced):
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
    return new if same else sliced


def _from_front(k, n):
    return int(k) % n if isinstance(k, int | np.integer) and -n <= k < n else k
