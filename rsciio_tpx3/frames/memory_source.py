"""Frames that are in memory already, as a source like any other."""

from __future__ import annotations

import math
from threading import Lock
from typing import TYPE_CHECKING, cast

import numpy as np
from dask.base import tokenize

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.dtypes import unmasked
from rsciio_tpx3.frames.source import FrameSource
from rsciio_tpx3.utils.dask_private import DataNode

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["HeldChunks", "MemorySource", "frames_by_lines", "in_one_piece", "neighbours"]

# numpy.nonzero needs 16 bytes for each count that it finds, so it is given parts of this size.
_PART_BYTES = 128 * 2**20


class MemorySource(FrameSource):
    """A `FrameSource` over one `CSRFrames` in memory.

    For counts that were simulated or decoded at once; the graph then holds them, each task its own,
    so together they are as big as the counts.

    Parameters
    ----------
    frames : CSRFrames, shape nav_shape + (height, width)
    token : str, optional
        What these counts and no others are called, for dask's names of arrays; by default a hash of all of them.

    Examples
    --------
    >>> source = MemorySource.from_dense(np.ones((2, 3, 4, 5), dtype=np.uint8))
    >>> source.nav_shape, source.frames(1, 3).shape
    ((2, 3), (2, 4, 5))
    """

    in_memory = True

    def __init__(self, frames: CSRFrames, token: str | None = None) -> None:
        self._frames = frames
        self.nav_shape = frames.nav_shape
        self.sig_shape = cast("tuple[int, int]", frames.sig_shape)
        self.dtype = frames.dtype
        self._token = token
        self._first_row = 0

    @classmethod
    def from_dense(cls, array: np.ndarray) -> MemorySource:
        """From a dense array of shape nav_shape + (height, width)."""
        return cls(CSRFrames.from_dense(array))

    def __dask_tokenize__(self) -> str:
        # Hashing all counts takes longer than summing them; they never change, so once is enough.
        if self._token is None:
            self._token = tokenize("rsciio_tpx3.MemorySource", self._frames)
        return self._token

    def row_events(self) -> np.ndarray:
        """Entries per row; none of rows that `for_rows` excluded. See `FrameSource`."""
        entries = np.zeros(math.prod(self.nav_shape), np.int64)
        entries[self._first_row : self._first_row + self._frames.n_frames] = np.diff(self._frames.indptr)
        return entries

    def frames(self, start: int, stop: int) -> CSRFrames:
        return neighbours(self._frames, start - self._first_row, stop - self._first_row)

    def for_rows(self, start: int, stop: int) -> MemorySource:
        """The same for these rows alone; see `FrameSource`."""
        part = MemorySource(self.frames(start, stop))
        part._first_row = start
        part.nav_shape = self.nav_shape  # rows keep their numbers in the whole, which cut-outs ask for
        return part


class HeldChunks(FrameSource):
    """A `FrameSource` over chunks in memory, as dask's ``persist`` leaves them.

    The chunks are put together once, as soon as rows of several of them are wanted, and stand in the graph as views of
    the whole from then on: so they are in memory once.

    Parameters
    ----------
    chunks : list of CSRFrames
        Runs of rows, one after the other; the list is the source's own.
    shape : tuple of int
        Of the whole.
    token : str
        What these counts and no others are called.
    graph : dict, optional
        Holds the chunks under `keys`.
    keys : list, optional

    Examples
    --------
    >>> frames = CSRFrames.from_dense(np.arange(24).reshape(3, 2, 2, 2))
    >>> source = HeldChunks([frames[:1], frames[1:]], frames.shape, "counts")
    >>> source.frames(1, 3)[1]
    array([[ 8,  9],
           [10, 11]])
    """

    in_memory = True

    def __init__(
        self,
        chunks: list[CSRFrames],
        shape: tuple[int, ...],
        token: str,
        graph: MutableMapping | None = None,
        keys: list | None = None,
    ) -> None:
        self.nav_shape, self.sig_shape = tuple(shape[:-2]), cast("tuple[int, int]", tuple(shape[-2:]))
        self.dtype = chunks[0].dtype
        self._chunks, self._token, self._first_row = chunks, token, 0
        self._graph, self._keys, self._lock = graph, keys, Lock()

    def __dask_tokenize__(self) -> tuple:
        return "rsciio_tpx3.HeldChunks", self._token

    def __reduce__(self) -> tuple:
        return HeldChunks._again, (self._chunks, (*self.nav_shape, *self.sig_shape), self._token, self._first_row)

    @classmethod
    def _again(cls, chunks: list[CSRFrames], shape: tuple[int, ...], token: str, first_row: int) -> HeldChunks:
        made = cls(chunks, shape, token)
        made._first_row = first_row
        return made

    def row_events(self) -> np.ndarray:
        """Entries per row; none of rows that `for_rows` excluded. See `FrameSource`."""
        entries = np.zeros(math.prod(self.nav_shape), np.int64)
        held = np.concatenate([np.diff(chunk.indptr) for chunk in self._chunks])
        entries[self._first_row : self._first_row + held.size] = held
        return entries

    def frames(self, start: int, stop: int) -> CSRFrames:
        """Rows `start` to `stop`; see `FrameSource`."""
        return neighbours(self._whole(), start - self._first_row, stop - self._first_row)

    def for_rows(self, start: int, stop: int) -> HeldChunks:
        """The same for these rows alone; see `FrameSource`."""
        return self._again([self.frames(start, stop)], (*self.nav_shape, *self.sig_shape), self._token, start)

    def _whole(self) -> CSRFrames:
        with self._lock:  # threads ask for their first rows at the same time
            if len(self._chunks) > 1:
                self._put_together()
            return self._chunks[0]

    def _put_together(self) -> None:
        whole = _views_of_one(self._chunks)
        if whole is None:
            whole, row = _room_for(self._chunks, (*self.nav_shape, *self.sig_shape)), 0
            for i in range(len(self._chunks)):
                # Each chunk is given up as soon as it is copied: by the list, and by the graph, which gets a view of
                # the same values. Whoever computes with it meanwhile holds what was there.
                chunk, row = _copied(self._chunks[i], whole, row)
                self._chunks[i] = chunk
                if self._graph is not None and self._keys is not None:
                    key = self._keys[i]
                    self._graph[key] = DataNode(key, chunk) if isinstance(self._graph[key], DataNode) else chunk
        self._chunks = [whole]
        self._graph = self._keys = None


def neighbours(frames: CSRFrames, start: int, stop: int) -> CSRFrames:
    """Rows `start` to `stop` as views, of shape (rows, height, width)."""
    indptr = frames.indptr[start : stop + 1]
    first, last = (int(indptr[0]), int(indptr[-1])) if indptr.size else (0, 0)
    indptr = indptr - first if first or not indptr.size else indptr
    indptr = indptr if indptr.size else np.zeros(1, np.int64)
    return CSRFrames._make(
        frames.data[first:last], frames.indices[first:last], indptr, (indptr.size - 1, *frames.shape[-2:])
    )


def _views_of_one(chunks: list[CSRFrames]) -> CSRFrames | None:
    """The whole of chunks that are views of it already, as another array over the same graph leaves them; else None."""
    parts = []
    for name in ("data", "indices"):
        arrays = [getattr(chunk, name) for chunk in chunks]
        base = arrays[0].base
        if not isinstance(base, np.ndarray) or any(array.base is not base for array in arrays):
            return None
        if base.ndim != 1 or base.dtype != arrays[0].dtype or not base.flags.c_contiguous:
            return None
        # Views of neighbours: each begins where the one before it ends, the first and the last at the ends of the base.
        starts = [array.__array_interface__["data"][0] for array in arrays if array.size]
        sizes = [array.nbytes for array in arrays if array.size]
        first = base.__array_interface__["data"][0]
        if sum(sizes) != base.nbytes or starts != [first + before for before in np.cumsum([0, *sizes])[:-1]]:
            return None
        parts.append(base)
    data, indices = parts
    lengths = np.concatenate([np.diff(chunk.indptr) for chunk in chunks])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return CSRFrames._make(data, indices, indptr, (lengths.size, *chunks[0].shape[-2:]))


def in_one_piece(chunks: list[CSRFrames], shape: tuple[int, ...]) -> CSRFrames:
    """All rows as one CSR of this shape; the list is empty afterwards.

    Each chunk is given up as soon as it is copied; what the system gets back of it at once depends on its size.
    """
    whole, row = _room_for(chunks, shape), 0
    # Taken from the end, in order: a list gives up its last item without moving the others.
    chunks.reverse()
    while chunks:
        _, row = _copied(chunks.pop(), whole, row)
    return whole


def _room_for(chunks: list[CSRFrames], shape: tuple[int, ...]) -> CSRFrames:
    """All rows of the chunks as one CSR of this shape, whose entries are still to be written."""
    n = sum(chunk.data.size for chunk in chunks)
    indices = np.empty(n, np.result_type(*{chunk.indices.dtype for chunk in chunks}))
    indptr = np.zeros(1 + sum(chunk.n_frames for chunk in chunks), np.int64)
    np.cumsum(np.concatenate([np.diff(chunk.indptr) for chunk in chunks]), out=indptr[1:])
    return CSRFrames._make(np.empty(n, chunks[0].dtype), indices, indptr, shape)


def _copied(chunk: CSRFrames, whole: CSRFrames, row: int) -> tuple[CSRFrames, int]:
    """Write the entries of a chunk to the rows from `row` on; the same chunk as views of them, and the next row."""
    copy = neighbours(whole, row, row + chunk.n_frames).reshape(chunk.shape)
    copy.data[:], copy.indices[:] = chunk.data, chunk.indices
    return copy, row + chunk.n_frames


def frames_by_lines(array: np.ndarray) -> CSRFrames:
    """CSRFrames of a dense array, searched for counts a bounded part at a time.

    Parameters
    ----------
    array : numpy.ndarray, shape nav_shape + (height, width)
        With at least one navigation axis.
    """
    array = unmasked(array)
    rows = max(_PART_BYTES // max(array.nbytes // max(len(array), 1), 1), 1)
    parts = [CSRFrames.from_dense(array[i : i + rows]) for i in range(0, len(array), rows)]
    return cast("CSRFrames", np.concatenate(parts)) if parts else CSRFrames.from_dense(array)
