"""Frames that are in memory already, as a source like any other."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from dask.base import tokenize

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.dtypes import unmasked
from rsciio_tpx3.frames.source import FrameSource

__all__ = ["HeldChunks", "MemorySource", "frames_by_lines"]

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
        first = self._first_row
        flat = self._frames.reshape((self._frames.n_frames, *self.sig_shape))
        return flat[start - first : stop - first]

    def for_rows(self, start: int, stop: int) -> MemorySource:
        """The same for these rows alone; see `FrameSource`."""
        part = MemorySource(self.frames(start, stop))
        part._first_row = start
        part.nav_shape = self.nav_shape  # rows keep their numbers in the whole, which cut-outs ask for
        return part


class HeldChunks(FrameSource):
    """A `FrameSource` over chunks in memory, as dask's ``persist`` leaves them.

    Rows of several chunks are put together for each call, which takes as long as copying them.

    Parameters
    ----------
    chunks : list of CSRFrames
        Runs of rows, one after the other.
    shape : tuple of int
        Of the whole.
    token : str
        What these counts and no others are called.

    Examples
    --------
    >>> frames = CSRFrames.from_dense(np.arange(24).reshape(3, 2, 2, 2))
    >>> source = HeldChunks([frames[:1], frames[1:]], frames.shape, "counts")
    >>> source.frames(1, 3)[1]
    array([[ 8,  9],
           [10, 11]])
    """

    in_memory = True

    def __init__(self, chunks: list[CSRFrames], shape: tuple[int, ...], token: str) -> None:
        self.nav_shape, self.sig_shape = tuple(shape[:-2]), cast("tuple[int, int]", tuple(shape[-2:]))
        self.dtype = chunks[0].dtype
        self._chunks, self._token, self._first_row = chunks, token, 0
        self._ends = np.cumsum([chunk.n_frames for chunk in chunks])

    def __dask_tokenize__(self) -> tuple:
        return "rsciio_tpx3.HeldChunks", self._token

    def row_events(self) -> np.ndarray:
        """Entries per row; none of rows that `for_rows` excluded. See `FrameSource`."""
        entries = np.zeros(math.prod(self.nav_shape), np.int64)
        held = np.concatenate([np.diff(chunk.indptr) for chunk in self._chunks])
        entries[self._first_row : self._first_row + held.size] = held
        return entries

    def frames(self, start: int, stop: int) -> CSRFrames:
        """Rows `start` to `stop`; see `FrameSource`."""
        start, stop = start - self._first_row, stop - self._first_row
        place = int(np.searchsorted(self._ends, start, "right"))
        parts: list[CSRFrames] = []
        for chunk in self._chunks[place:]:
            first = int(self._ends[place]) - chunk.n_frames
            if first >= stop and parts:
                break
            flat = chunk.reshape((chunk.n_frames, *self.sig_shape))
            parts.append(flat[max(start - first, 0) : max(stop - first, 0)])
            place += 1
        if not parts:  # rows behind the last, of which there are none
            return self._chunks[-1].reshape((-1, *self.sig_shape))[:0]
        return parts[0] if len(parts) == 1 else cast("CSRFrames", np.concatenate(parts))

    def for_rows(self, start: int, stop: int) -> HeldChunks:
        """The same for these rows alone; see `FrameSource`."""
        part = HeldChunks([self.frames(start, stop)], (*self.nav_shape, *self.sig_shape), self._token)
        part._first_row = start
        return part


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
