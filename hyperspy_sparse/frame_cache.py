"""One frame for one picture, without reading the chunk around it.

Who looks at one frame looks at its neighbours next, and a line takes hardly longer to read than a
frame. So whole lines are read where they are short, and the last ones are cached.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.memory_source import MemorySource

if TYPE_CHECKING:
    import dask.array as da
    from hyperspy.signal import BaseSignal

    from rsciio_tpx3.frames.source import FrameSource


__all__ = ["one_frame"]


def one_frame(signal: BaseSignal, indices: tuple) -> np.ndarray | None:
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
    if not isinstance(data._meta, CSRFrames) or not all(isinstance(i, int | np.integer) for i in nav):
        return None
    if any(s != slice(None) for s in indices[data.ndim - 2 :]):
        return None
    if any(len(sizes) > 1 for sizes in data.chunks[-2:]):
        return None
    source = source_of(data)
    if source is not None:
        row = int(np.ravel_multi_index(nav, data.shape[:-2])) if nav else 0
        return _neighbours.frame(source, row)
    return _from_memory(data, nav)


READ_ENTRIES = 10**6
"""Entries that are read at once for one picture: some 20 ms of decoding."""

CACHE_BYTES = 128 * 2**20
"""Size of the lines that are cached for all signals together."""


class _Neighbours:
    """Frames of the lines that were looked at last."""

    def __init__(self) -> None:
        self._lines = WeakKeyDictionary()
        self._lock = threading.Lock()

    def frame(self, source: FrameSource, row: int) -> np.ndarray:
        start, stop = _around(source, row)
        if stop - start == 1:
            return source.frames(row, row + 1).frame(0)
        with self._lock:
            lines, span = self._lines.setdefault(source, OrderedDict()), (start, stop)
            if span in lines:
                lines.move_to_end(span)
            else:
                lines[span] = source.frames(start, stop)
                self._forget(lines)
            return lines[span].frame(row - start)

    def _forget(self, newest: dict) -> None:
        """Drop what was not looked at for the longest time: first of other signals, then of this one."""
        everything = [lines for lines in self._lines.values() if lines is not newest] + [newest]
        size = sum(frames.nbytes for lines in everything for frames in lines.values())
        for lines in everything:
            while size > CACHE_BYTES and len(lines) > (lines is newest):
                size -= lines.popitem(last=False)[1].nbytes


_neighbours = _Neighbours()


def _around(source: FrameSource, row: int) -> tuple[int, int]:
    """Rows that are read together with one: a few lines, a line, or the row alone."""
    entries = None if isinstance(source, MemorySource) or not source.nav_shape else source.row_events()
    if entries is None:
        return row, row + 1
    line = source.nav_shape[-1]
    start = row // line * line
    n = int(entries[start : start + line].sum())
    if n > READ_ENTRIES:
        return row, row + 1
    lines = max(1, min(READ_ENTRIES // max(n, 1), math.prod(source.nav_shape[:-1])))
    # aligned, so that neighbours find the same lines; those around may hold more than this one
    first = row // (lines * line) * lines * line
    last = min(first + lines * line, math.prod(source.nav_shape))
    if int(entries[first:last].sum()) > 2 * READ_ENTRIES:
        return start, start + line
    return first, last


def _from_memory(data: da.Array, nav: tuple[int, ...]) -> np.ndarray | None:
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
    row = int(np.ravel_multi_index(tuple(inside), chunk.nav_shape)) if math.prod(chunk.nav_shape) else 0
    return chunk.frame(row)
