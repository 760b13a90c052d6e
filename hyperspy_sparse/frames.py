"""One frame for one picture, without reading the chunk around it."""

import math

import numpy as np

from rsciio_tpx3.frames.csr_frames import CSRFrames
from rsciio_tpx3.frames.dask_array import source_of

__all__ = ["one_frame"]


def one_frame(signal, indices):
    """The frame that plotting wants, or None where only its chunk can be computed.

    Parameters
    ----------
    signal : LazySignal
        With sparse chunks.
    indices : tuple
        Navigation indices, followed by slices for the signal axes.
    """
    data = signal._data
    nav = indices[: data.ndim - 2]
    if not isinstance(data._meta, CSRFrames) or not all(
        isinstance(i, int | np.integer) for i in nav
    ):
        return None
    if any(s != slice(None) for s in indices[data.ndim - 2 :]):
        return None
    if any(len(sizes) > 1 for sizes in data.chunks[-2:]):
        return None
    source = source_of(data)
    if source is not None:
        row = int(np.ravel_multi_index(nav, data.shape[:-2])) if nav else 0
        return source.frames(row, row + 1).frame(0)
    return _from_memory(data, nav)


def _from_memory(data, nav):
    """From a chunk that is in memory already, after persist(); None if it is not."""
    key, inside = [data.name], []
    for i, sizes in zip(nav, data.chunks, strict=False):
        block = 0
        while i >= sizes[block]:
            i -= sizes[block]
            block += 1
        key.append(block)
        inside.append(i)
    layer = data.dask.layers.get(data.name) if hasattr(data.dask, "layers") else None
    node = layer.get((*key, 0, 0)) if layer is not None else None
    chunk = getattr(node, "value", node)
    if not isinstance(chunk, CSRFrames):
        return None
    row = (
        int(np.ravel_multi_index(tuple(inside), chunk.nav_shape))
        if math.prod(chunk.nav_shape)
        else 0
    )
    return chunk.frame(row)
