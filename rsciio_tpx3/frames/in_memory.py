"""Frames that are read once and stay in memory: in one piece, whatever the chunks.

Chunks are sized for the worst case, a step that makes them dense, so there are hundreds of them. Were each kept for
itself, every sum would make an image of the detector for each and add them all up, which takes some ten times as long
as adding up the counts. So all rows are put into one CSR; chunks are views of it, and kernels cut it as they like.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dask
import numpy as np

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.dask_array import are_runs, chunks_in_memory, source_of, to_dask
from rsciio_tpx3.frames.deferred import DeferredFrames
from rsciio_tpx3.frames.memory_source import MemorySource, in_one_piece
from rsciio_tpx3.frames.shared_reads import SharedFrames
from rsciio_tpx3.frames.write import known_entries, write

if TYPE_CHECKING:
    import dask.array as da


__all__ = ["held_in_memory"]


def held_in_memory(data: da.Array, **options: Any) -> da.Array:
    """The same array, read once, its frames in memory.

    Parameters
    ----------
    data : dask.array.Array of CSRFrames
    **options
        Passed to :meth:`dask.array.Array.persist`.

    Returns
    -------
    dask.array.Array
        With the same chunks, which are views of one CSR. Where a cluster holds the chunks, they are not whole runs of
        scan lines, or something in them is not sparse, it is what dask's ``persist`` gives.

    Examples
    --------
    >>> counts = np.ones((4, 5, 6, 7), dtype=np.uint8)
    >>> array = held_in_memory(to_dask(MemorySource.from_dense(counts), chunks=1))
    >>> array.numblocks, int(array.sum())
    ((4, 1, 1, 1), 840)
    """
    if isinstance(source_of(data), MemorySource):
        return data
    if _is_streamed(data, options):
        frames = _streamed(data)
        if frames is not None:
            return to_dask(MemorySource(frames, token=f"held {data.name}"), chunks=data.chunks[:-2])
    held = data.persist(**options)
    chunks = _rows_in_order(held)
    if chunks is None:
        return held
    nav_chunks, name, shape = held.chunks[:-2], held.name, held.shape
    del held  # with it the last reference to each chunk that is not in the list
    return to_dask(MemorySource(in_one_piece(chunks, shape), token=f"held {name}"), chunks=nav_chunks)


def _is_streamed(data: da.Array, options: dict) -> bool:
    """Whether spans are read by threads of this process in order, so that nothing is in memory twice."""
    here = dask.base.get_scheduler(**options) is None if set(options) <= {"scheduler"} else False
    source = source_of(data)
    # chunks that share readings would read for each span anew
    shared = isinstance(source.read()[0] if isinstance(source, DeferredFrames) else source, SharedFrames)
    kind = isinstance(data._meta, CSRFrames) and data.ndim > 2 and data.numblocks[-2:] == (1, 1)
    return here and kind and not shared and are_runs(data.chunks[:-2]) and chunks_in_memory(data) is None


def _streamed(data: da.Array) -> CSRFrames | None:
    """All rows as one CSR; None where they are of another type than the array."""
    sink = _Rows(data, known_entries(data))
    try:
        write(data, sink, show_progressbar=False)
    except _OtherTypeError:
        return None
    return sink.frames()


class _OtherTypeError(TypeError):
    """Rows of another type than the array says."""


class _Rows:
    """A sink that keeps the rows; memory is taken as it is filled, whatever the room."""

    def __init__(self, data: da.Array, room: int | None) -> None:
        self.shape, self.n, self.row = data.shape, 0, 0
        room = 1 << 16 if room is None else room
        self.data = np.empty(room, data.dtype)
        self.indices = np.empty(room, np.int32 if math.prod(data.shape[-2:]) <= 2**31 else np.int64)
        self.indptr = np.zeros(math.prod(data.shape[:-2]) + 1, np.int64)

    def prepare(self, frames: CSRFrames) -> CSRFrames:
        if frames.dtype != self.data.dtype:
            raise _OtherTypeError
        return frames

    def append(self, frames: CSRFrames) -> None:
        end, next_row = self.n + frames.data.size, self.row + frames.n_frames
        if end > self.data.size:
            self._resize(max(end, self.data.size * 5 // 4))
        self.data[self.n : end], self.indices[self.n : end] = frames.data, frames.indices
        np.add(frames.indptr[1:], self.n, out=self.indptr[self.row + 1 : next_row + 1])
        self.n, self.row = end, next_row

    def _resize(self, n: int) -> None:
        # by the system, without a copy where arrays are large
        self.data.resize(n, refcheck=False)
        self.indices.resize(n, refcheck=False)

    def frames(self) -> CSRFrames:
        self._resize(self.n)
        return CSRFrames._make(self.data, self.indices, self.indptr, self.shape)


def _rows_in_order(held: da.Array) -> list | None:
    """The chunks, where their rows follow each other and are of one kind; else None."""
    if held.ndim < 3 or held.numblocks[-2:] != (1, 1) or not are_runs(held.chunks[:-2]):
        return None
    chunks = chunks_in_memory(held)
    if not chunks or any(chunk.dtype != held.dtype for chunk in chunks):
        return None
    return chunks
