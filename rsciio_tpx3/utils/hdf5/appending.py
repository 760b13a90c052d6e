"""Values appended to a data set whose chunks are packed by several threads."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future

import h5py
import numpy as np

from rsciio_tpx3.utils.hdf5.filters import chunk_packing

__all__ = ["AppendedValues"]


class AppendedValues:
    """Values that come piece by piece, written in whole chunks, so that none is packed twice.

    Parameters
    ----------
    dataset : h5py.Dataset, shape (0,) or (0, 1)
        In chunks, and without an end.
    pool : concurrent.futures.Executor
        Its threads pack.
    most_pending : int
        Chunks that are packed at a time; more are waited for.
    """

    def __init__(self, dataset: h5py.Dataset, pool: Executor, most_pending: int) -> None:
        self._dataset = dataset
        self._pool = pool
        self._most_pending = most_pending
        self._pack = chunk_packing(dataset)
        self._chunk = dataset.chunks[0]
        self._n_written = 0
        self._pending: deque[tuple[Callable, Future]] = deque()
        self._room, self._filled = np.empty(self._chunk, dataset.dtype), 0

    def append(self, values: np.ndarray) -> None:
        """Put some behind the others; they must not change afterwards."""
        taken = 0
        while taken < len(values):
            n = min(self._chunk - self._filled, len(values) - taken)
            part = values[taken : taken + n]
            taken += n
            if n == self._chunk:  # whole: nothing has to be put together
                self._hand_over(part)
                continue
            self._room[self._filled : self._filled + n] = part
            self._filled += n
            if self._filled == self._chunk:
                self._hand_over(self._room)
                self._room, self._filled = np.empty_like(self._room), 0

    def finish(self) -> None:
        """Write what is left."""
        while self._pending:
            self._write_next()
        self._write(self._room[: self._filled])
        self._filled = 0

    def _hand_over(self, chunk: np.ndarray) -> None:
        """Have a chunk packed, and write those that are."""
        if self._pack is None:
            self._write(chunk)
            return
        pack = functools.partial(self._pack, chunk)
        self._pending.append((pack, self._pool.submit(pack)))
        while len(self._pending) > self._most_pending or (self._pending and self._pending[0][1].done()):
            self._write_next()

    def _write_next(self) -> None:
        pack, future = self._pending.popleft()
        try:
            packed, omitted = future.result()
        except MemoryError:  # each thread has some of its own; once more in this one
            packed, omitted = pack()
        start = self._grow(self._chunk)
        self._dataset.id.write_direct_chunk((start,) + (0,) * (self._dataset.ndim - 1), packed, omitted)

    def _write(self, values: np.ndarray) -> None:
        """Write some through the library, which packs them."""
        if len(values):
            start = self._grow(len(values))
            self._dataset[start:] = values.reshape(-1, *self._dataset.shape[1:])

    def _grow(self, n: int) -> int:
        start, self._n_written = self._n_written, self._n_written + n
        self._dataset.resize(self._n_written, axis=0)
        return start
