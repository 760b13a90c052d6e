"""One way out: any source of frames, streamed span by span into any writable format.

Memory holds a few spans, whatever the size of the data. Spans are read and prepared in parallel and
handed to the format in order; the format keeps its files under provisional names until `commit`.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import dask
import numpy as np
from dask.array import Array

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.dask_array import source_of, to_dask, with_its_own_tasks
from rsciio_tpx3.frames.deferred import DeferredFrames
from rsciio_tpx3.frames.source import FrameSource
from rsciio_tpx3.utils.interrupts import held_interrupt
from rsciio_tpx3.utils.progress import progress_bar
from rsciio_tpx3.utils.threads import cluster_is_elsewhere, cluster_threads, thread_count

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    import dask.array as da


__all__ = ["FrameSink", "NullSink", "known_entries", "spans_of", "write"]

SPAN_ENTRIES = 750_000
"""Entries that one span should not exceed: decoding them takes some 25 MB, and a few spans are in work at once."""

SPAN_ROWS = 1 << 16  # where frames are all but empty, entries alone would not bound the rows
_DENSE_SPAN_BYTES = 128 * 2**20  # a dense array is cut as dask cuts it by default
_MOST_AWAY = 16
"""Spans that a cluster has in work at once: each comes here, with up to 80 MB, and is written in its turn."""


@runtime_checkable
class FrameSink(Protocol):
    """A writable format. `write` calls `prepare` in parallel and `append` in order of rows."""

    def prepare(self, frames: CSRFrames) -> Any:
        """What `append` needs of these rows; pure, so that threads can do it."""

    def append(self, prepared: Any) -> None:
        """Write the next rows."""


class NullSink:
    """Takes everything and keeps nothing: reading all frames is a check of its own."""

    def prepare(self, frames: CSRFrames) -> None:
        return None

    def append(self, prepared: Any) -> None:
        pass


def write(
    data: da.Array | FrameSource | CSRFrames | np.ndarray,
    sink: FrameSink,
    show_progressbar: bool | None = None,
    threads: int | None = None,
    description: str = "Writing",
) -> dict:
    """Stream frames into a sink.

    Where a `dask.distributed` cluster is connected, its workers read what a dask array holds, and the frames come here
    to be written; a worker that is lost costs the time to read its spans again.

    Parameters
    ----------
    data : dask.array.Array, FrameSource, CSRFrames or numpy.ndarray
        Shape nav_shape + (height, width); dask arrays may have any chunks, sparse or dense.
    sink : FrameSink
    show_progressbar : bool, optional
        None shows a bar, with frames a second, when it takes longer than two seconds.
    threads : int, optional
        Spans in work at once; by default as many as `rsciio_tpx3.utils.threads.thread_count` says, or as the cluster
        has threads, up to 16.
    description : str
        For the bar.

    Returns
    -------
    dict
        ``frames``, ``entries`` and ``total`` (sum of all values).

    Examples
    --------
    >>> from rsciio_tpx3.frames.memory_source import MemorySource
    >>> class Count:
    ...     def prepare(self, frames):
    ...         return frames.data.size
    ...     def append(self, n):
    ...         print(n, "entries")
    >>> write(MemorySource.from_dense(np.ones((2, 3, 4, 5), np.uint8)), Count())
    120 entries
    {'frames': 6, 'entries': 120, 'total': 120}
    """
    away = min(cluster_threads(), _MOST_AWAY) if cluster_is_elsewhere() else 0
    threads = threads or away or thread_count()
    n_rows, tasks = spans_of(data)
    done = {"frames": 0, "entries": 0, "total": 0}

    def work(read: _Reader | _Slab) -> tuple:
        frames = read()
        return frames.n_frames, frames.data.size, _total(frames.data), sink.prepare(frames)

    with (
        ThreadPoolExecutor(threads) as pool,
        progress_bar(show_progressbar, total=n_rows, unit="frames", unit_scale=True, desc=description) as bar,
    ):
        # One span more than threads: while one is written, every thread has another to prepare.
        for rows, entries, total, prepared in _in_order(pool, work, tasks, threads + 1):
            with held_interrupt():
                sink.append(prepared)
            done = {
                "frames": done["frames"] + rows,
                "entries": done["entries"] + entries,
                "total": done["total"] + total,
            }
            bar.update(rows)
    return done


def _total(values: np.ndarray) -> int:
    if values.dtype.kind in "biu":
        return int(values.sum(dtype=np.uint64 if values.dtype.kind != "i" else np.int64))
    return values.sum(dtype=np.result_type(values.dtype, np.float64)).item()


def _in_order(pool: Executor, work: Callable, tasks: Iterable, most: int) -> Iterator[tuple]:
    """Results in order of the tasks, at most `most` of them begun and not yet taken."""
    pending: deque[Future] = deque()
    try:
        for task in tasks:
            pending.append(pool.submit(work, task))
            if len(pending) == most:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # An error, or a reader that stops, must not leave work running whose results nobody takes.
        for future in pending:
            future.cancel()


def spans_of(data: da.Array | FrameSource | CSRFrames | np.ndarray) -> tuple:
    """Number of frames, and functions that read one span of flat rows each, in order."""
    source = _direct_source(data)
    if source is not None and isinstance(data, Array) and not source.in_memory and cluster_is_elsewhere():
        data, source = _for_workers(source), None
    if source is not None:
        return math.prod(source.nav_shape), _source_spans(source)
    if isinstance(data, Array):
        return math.prod(data.shape[:-2]), _dask_spans(data)
    array = cast("CSRFrames | np.ndarray", data)
    return math.prod(array.shape[:-2]), _array_spans(array)


def _for_workers(source: FrameSource) -> da.Array:
    """An array with a chunk for each span that a worker reads."""
    if isinstance(source, DeferredFrames):
        source, _ = source.read()  # here, and once
    entries = source.row_events()
    if entries is None or len(source.nav_shape) != 2:
        return to_dask(source)
    n_lines, total = source.nav_shape[0], max(int(np.sum(entries)), 1)
    return to_dask(source, chunks=min(max(SPAN_ENTRIES * n_lines // total, 1), max(n_lines, 1)))


def known_entries(data: da.Array | FrameSource | CSRFrames | np.ndarray) -> int | None:
    """Upper bound of the entries, where it is known without reading the data; else None."""
    source = _direct_source(data)
    entries = None if source is None else source.row_events()
    return None if entries is None else int(np.sum(entries))


def _direct_source(data: da.Array | FrameSource | CSRFrames | np.ndarray) -> FrameSource | None:
    """The source behind the data, if nothing was done to them: it is read without dask."""
    if isinstance(data, Array):
        return source_of(data)
    if isinstance(data, (CSRFrames, np.ndarray)) or not hasattr(data, "frames"):
        return None
    return FrameSource.adopt(data)


def _source_spans(source: FrameSource) -> Iterator[_Reader]:
    n_rows = math.prod(source.nav_shape)
    entries = source.row_events()
    if entries is None:
        # Unknown: taken to be one pixel in a hundred.
        entries = np.full(n_rows, math.prod(source.sig_shape) // 100 + 1)
    ends = np.cumsum(np.asarray(entries, dtype=np.int64).ravel())
    start = 0
    while start < n_rows:
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + SPAN_ENTRIES, "right"))
        stop = min(max(stop, start + 1), start + SPAN_ROWS, n_rows)
        yield _Reader(source, start, stop)
        start = stop


class _Reader:
    """``source.frames(start, stop)`` for later."""

    def __init__(self, source: FrameSource, start: int, stop: int) -> None:
        self.source, self.start, self.stop = source, start, stop

    def __call__(self) -> CSRFrames:
        return self.source.frames(self.start, self.stop)


def _array_spans(array: CSRFrames | np.ndarray) -> Iterator[Callable]:
    shape = tuple(array.shape)
    n_rows = math.prod(shape[:-2])
    flat = array.reshape((n_rows, *shape[-2:]))
    step = _rows_that_fit(shape, array.dtype)
    for start in range(0, n_rows, step):
        yield lambda start=start: _flat_frames(flat[start : start + step], shape[-2:])


def _rows_that_fit(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return max(1, _DENSE_SPAN_BYTES // max(1, math.prod(shape[-2:]) * np.dtype(dtype).itemsize))


def _dask_spans(array: da.Array) -> Iterator[_Slab]:
    """Slabs that are one run of rows: a chunk long on the first axis that is divided, whole below it."""
    shape = array.shape
    if array.ndim == 2:
        yield _Slab(array, (), shape[-2:])
        return
    if not isinstance(array._meta, CSRFrames):
        # before chunks are put together, so that never more than one chunk for each thread is dense
        array = array.rechunk({array.ndim - 2: -1, array.ndim - 1: -1})
        meta = CSRFrames.from_dense(np.empty((0,) * array.ndim, array.dtype))
        # dask's wrapper of the method has the types of the function, with one argument more
        array = array.map_blocks(CSRFrames, dtype=array.dtype, meta=meta)  # type: ignore[call-arg, arg-type]
    axis = next((i for i, sizes in enumerate(array.chunks[:-2]) if max(sizes, default=0) > 1), array.ndim - 3)
    for lead in itertools.product(*(range(n) for n in shape[:axis])):
        start = 0
        for size in array.chunks[axis]:
            yield _Slab(array, (*lead, slice(start, start + size)), shape[-2:])
            start += size


class _Slab:
    """A slice of a dask array, computed when it is its turn."""

    def __init__(self, array: da.Array, key: tuple[int | slice, ...], sig_shape: tuple[int, ...]) -> None:
        self.array, self.key, self.sig_shape = array, key, sig_shape

    def __call__(self) -> CSRFrames:
        part = with_its_own_tasks(self.array[self.key] if self.key else self.array)
        # slabs run in our threads already; a cluster or a scheduler of the user's choice is used as it is
        chosen = dask.base.get_scheduler()
        value = part.compute() if chosen is not None else part.compute(scheduler="synchronous")
        return _flat_frames(value, self.sig_shape)


def _flat_frames(value: CSRFrames | np.ndarray, sig_shape: tuple[int, ...]) -> CSRFrames:
    frames = value if isinstance(value, CSRFrames) else CSRFrames(value)
    return frames.reshape((-1 if frames.size else frames.n_frames, *sig_shape))
