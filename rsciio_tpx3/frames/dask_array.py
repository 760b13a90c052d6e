"""One function turns any source of frames into a dask array of `CSRFrames`.

Chunks are whole scan lines with the whole detector; nothing is read before it is needed.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, cast

import dask
import numpy as np
from dask.array import Array
from dask.base import flatten, tokenize
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.exceptions import LimitError
from rsciio_tpx3.frames.memory_source import HeldChunks
from rsciio_tpx3.frames.rows import Rows
from rsciio_tpx3.frames.shared_reads import SharedFrames, read_together, shared_tasks
from rsciio_tpx3.frames.source import FrameSource
from rsciio_tpx3.utils.checks import refused
from rsciio_tpx3.utils.dask_private import DataNode, Task, TaskRef
from rsciio_tpx3.utils.integers import is_integer

if TYPE_CHECKING:
    import dask.array as da


__all__ = ["DENSE_CHUNK_BYTES", "CHUNK_ENTRIES", "are_runs", "chunks_in_memory", "is_in_memory", "read_frames",
           "source_of", "sources_of", "to_dask", "with_its_own_tasks", "without_empty_chunks"]  # fmt: skip

_NAME = "csr-frames-"  # of the layer in the graph

_MOST_CHUNKS = 100_000  # five seconds and some hundred MB of tasks; "auto" makes fewer for nearly all

DENSE_CHUNK_BYTES = 128 * 2**20
"""Size that the dense form of one chunk, in the type of the counts, should not exceed."""

CHUNK_ENTRIES = 16 * 10**6
"""Entries that one chunk should not exceed: about 80 MB of counts and pixel numbers."""


def to_dask(frame_source: FrameSource, chunks: int | str | tuple = "auto") -> da.Array:
    """A dask array of `CSRFrames` chunks, read on demand.

    Parameters
    ----------
    frame_source : FrameSource
        Where the frames come from; small and picklable.
    chunks : "auto", int, tuple of int, or tuple of tuples
        Chunk sizes of the navigation axes in NumPy order. "auto" takes as many whole scan lines
        as keep the dense form of a chunk near 128 MiB and its entries below 16 million. An
        integer is the number of lines. The last navigation axis and the detector are never split.

    Returns
    -------
    dask.array.Array, shape nav_shape + (height, width)
        Its ``_meta`` is a `CSRFrames`. Without navigation axes the one frame is a plain ndarray.

    Raises
    ------
    ValueError
        If `chunks` splits the last navigation axis or the detector, or does not fit the shape.

    Examples
    --------
    >>> import numpy as np
    >>> from rsciio_tpx3 import to_dask
    >>> from rsciio_tpx3.frames.memory_source import MemorySource
    >>> counts = np.zeros((3, 5, 16, 12), dtype=np.uint8)
    >>> counts[1, 2, 3, 4] = 7
    >>> array = to_dask(MemorySource.from_dense(counts))
    >>> int(array.sum())
    7
    """
    frame_source = FrameSource.adopt(frame_source)
    nav_shape = tuple(int(n) for n in frame_source.nav_shape)
    sig_shape = tuple(int(n) for n in frame_source.sig_shape)
    dtype = np.dtype(frame_source.dtype)
    nav_chunks = _nav_chunks(frame_source, nav_shape, sig_shape, dtype, chunks)
    # Equal source and chunks give an equal name: dask then computes chunks that two signals share once.
    name = f"{_NAME}{tokenize(frame_source, nav_chunks)}"
    spans = _spans(nav_shape, nav_chunks)
    parts = frame_source.shared_parts()
    # What all chunks need goes to a cluster once, as a task of its own, and not inside of each.
    parts_key = f"{name}-parts"
    extra = (TaskRef(parts_key),) if parts else ()
    if isinstance(frame_source, SharedFrames) and nav_shape:
        graph = shared_tasks(frame_source, name, spans, extra)
    else:
        graph = {}
        for place, (start, stop, shape) in spans:
            key, rows = (name, *place, 0, 0), Rows(frame_source, start, stop, frame_source)
            graph[key] = Task(key, read_frames, rows, shape + sig_shape, *extra)
    if parts:
        graph[parts_key] = DataNode(parts_key, parts)
    layers = {name: MaterializedLayer(graph)}
    whole = HighLevelGraph(layers, {name: set()})
    chunks = nav_chunks + tuple((n,) for n in sig_shape)
    meta = empty_meta(dtype, len(nav_shape))
    return Array(whole, name, chunks, meta=meta, dtype=dtype)


def empty_meta(dtype: np.dtype, n_nav: int) -> np.ndarray | CSRFrames:
    """The empty chunk that tells dask what chunks are like."""
    if n_nav == 0:
        return np.empty((0, 0), dtype=dtype)
    empty = np.zeros(0, dtype=dtype), np.zeros(0, dtype=np.int32), np.zeros(1, dtype=np.int64)
    return CSRFrames._make(*empty, (0,) * (n_nav + 2))


def read_frames(rows: Rows, shape: tuple[int, ...], parts: tuple = ()) -> np.ndarray | CSRFrames:
    """Rows of a source as one chunk of this shape; what each task runs. `parts` as for `Rows.read`."""
    frames = rows.read(parts)
    if len(shape) == 2:
        return np.asarray(frames).reshape(shape)
    return frames.reshape(shape)


def without_empty_chunks(array: da.Array) -> da.Array:
    """The same array without chunks that hold nothing, where it has others.

    A slice with a step leaves such chunks, as (1, 0). dask then takes the axis of length one for one to broadcast
    along, and ``array * image`` has an element more than its shape says.
    """
    sizes = {
        axis: tuple(n for n in pieces if n) for axis, pieces in enumerate(array.chunks) if 0 in pieces and any(pieces)
    }
    return array.rechunk(sizes) if sizes else array


def with_its_own_tasks(array: da.Array) -> da.Array:
    """The same array with the tasks that it needs alone.

    A cluster is sent the whole graph that a part was taken from, and cuts it down itself: once for each part that is
    computed, where parts are computed one by one.
    """
    (alone,) = dask.optimize(array)
    return alone


def source_of(array: da.Array) -> FrameSource | None:
    """The FrameSource that a dask array reads directly, or None if anything was done to it.

    None as well for an array that came from another process: its tasks have what they need, but no
    longer the whole source.
    """
    layers = getattr(array.dask, "layers", {})
    source = _source_in(layers[array.name]) if array.name in layers and _is_ours(array.name) else None
    return _held(array) if source is None and isinstance(array._meta, CSRFrames) else source


def _held(array: da.Array) -> FrameSource | None:
    """The chunks of an array that dask's ``persist`` has left in this process, where they are runs of rows."""
    if len(array.dask) != array.npartitions or array.ndim < 3 or not array.size:  # nothing but the chunks
        return None
    kept = vars(array).setdefault("_held", {})
    if array.name not in kept:
        whole = array.numblocks[-2:] == (1, 1) and are_runs(array.chunks[:-2])
        chunks = chunks_in_memory(array) if whole else None
        alike = chunks is not None and all(chunk.dtype == array.dtype for chunk in chunks)
        kept[array.name] = None
        if chunks is not None and alike:
            layer = array.dask.layers[array.name]
            graph = getattr(layer, "mapping", layer)  # of a layer of dask's: a dictionary
            keys = list(flatten(array.__dask_keys__())) if isinstance(graph, dict) else None
            graph = graph if keys else None
            kept[array.name] = HeldChunks(chunks, array.shape, array.name, graph, keys)
    return kept[array.name]


def chunks_in_memory(data: da.Array) -> list | None:
    """The chunks of an array that `persist` has left in this process, in order; None for other arrays."""
    layer = getattr(data.dask, "layers", {}).get(data.name, {})
    if len(layer) < data.npartitions:
        return None
    chunks = [getattr(task, "value", task) for task in map(layer.get, flatten(data.__dask_keys__()))]
    return chunks if all(isinstance(chunk, CSRFrames) for chunk in chunks) else None


def sources_of(array: da.Array) -> list[FrameSource]:
    """All `FrameSource` that a dask array reads, whatever was done to them."""
    found = (_source_in(layer) for name, layer in getattr(array.dask, "layers", {}).items() if _is_ours(name))
    return [source for source in found if source is not None]


def is_in_memory(array: da.Array) -> bool:
    """Whether no task of an array reads a file: all frames are in memory, or made of such."""
    layers = getattr(array.dask, "layers", {})
    return all(_holds_frames(layer) for name, layer in layers.items() if _is_ours(name))


def _holds_frames(layer: Any) -> bool:
    """Whether the tasks of a layer have their frames: of a source in memory, or kept by ``persist``."""
    task = next(iter(layer.values()), None)
    source = _source_in(layer)
    return isinstance(getattr(task, "value", task), CSRFrames) or (source is not None and source.in_memory)


def _is_ours(name: str) -> bool:
    return isinstance(name, str) and name.startswith(_NAME)


def _source_in(layer: Any) -> FrameSource | None:
    """The source that the reading tasks of a layer hold; they come first in it."""
    task = next(iter(layer.values()), None)
    rows = task.args[0] if isinstance(task, Task) else None
    return rows.whole if isinstance(rows, Rows) else None


def _spans(nav_shape: tuple[int, ...], nav_chunks: tuple) -> list[tuple[tuple, tuple]]:
    """Place of every chunk in the grid, with its flat span of rows and its navigation shape."""
    if not nav_shape:
        return [((), (0, 1, ()))]
    places = itertools.product(*(range(len(sizes)) for sizes in nav_chunks))
    spans, first = [], 0
    # Chunks are single runs of rows (`_contiguous`), so each begins where the one before it ended.
    for place, shape in zip(places, itertools.product(*nav_chunks), strict=True):
        stop = first + math.prod(shape)
        spans.append((place, (first, stop, shape)))
        first = stop
    return spans


def _nav_chunks(
    source: FrameSource,
    nav_shape: tuple[int, ...],
    sig_shape: tuple[int, ...],
    dtype: np.dtype,
    chunks: int | str | tuple,
) -> tuple:
    if not nav_shape:
        return ()
    if isinstance(chunks, str) and chunks == "auto":
        return _auto_chunks(source, nav_shape, sig_shape, dtype)
    # dask's own forms: a number, a number for each axis, or the sizes along each axis.
    parts = chunks if isinstance(chunks, (tuple, list)) else [chunks]
    if not all(map(is_integer, (n for part in parts for n in (part if isinstance(part, (tuple, list)) else [part])))):
        raise refused("chunks", chunks, 'expected a number of scan lines, one size for each axis, or "auto"')
    if isinstance(chunks, int | np.integer):
        lines = 1 if len(nav_shape) < 2 else int(chunks)
        # A number alone counts scan lines, whole ones: rows of an event file follow time, and so do lines.
        each = (1,) * max(len(nav_shape) - 2, 0) + (lines, nav_shape[-1])
        chunks = each[-len(nav_shape) :] if len(nav_shape) > 1 else (int(chunks),)
    chunks = tuple(chunks)
    requested = chunks[: len(nav_shape)]
    tail = chunks[len(nav_shape) :]
    sizes = tuple(
        _pieces(n, cast("int", c)) if np.isscalar(c) else tuple(c) for n, c in zip(nav_shape, requested, strict=False)
    )
    if len(sizes) != len(nav_shape) or tuple(sum(s) for s in sizes) != nav_shape:
        raise ValueError(
            f"chunks={chunks!r} does not cover the navigation shape {nav_shape} (NumPy order). "
            'Give one size per navigation axis, or chunks="auto".'
        )
    if any(c not in (-1, n, (n,)) for c, n in zip(tail, sig_shape, strict=False)):
        raise ValueError(f"chunks={chunks!r} splits the detector {sig_shape}; frames stay whole.")
    n = math.prod(len(size) for size in sizes)
    if n > _MOST_CHUNKS:
        raise LimitError(
            f"chunks={requested[:3]!r} cuts {nav_shape} positions into {n:,} chunks, each a task of dask; "
            f'{_MOST_CHUNKS:,} are possible. Take more lines in a chunk, or chunks="auto".'
        )
    # Chunks must be spans of frames, see `_contiguous`; a task for each is bounded before.
    return _contiguous(sizes, nav_shape)


def _contiguous(sizes: tuple, nav_shape: tuple[int, ...]) -> tuple:
    """Refuse chunks whose rows are not one span: the reader is asked for spans."""
    # Half a line of every line would be read by each chunk on its own: events lie in order of time.
    if len(nav_shape) > 1 and len(sizes[-1]) > 1:
        raise ValueError(
            f"the last navigation axis ({nav_shape[-1]} positions) cannot be split: chunks are "
            "whole scan lines. Use more, shorter chunks along the axis before it."
        )
    if not are_runs(sizes):
        raise ValueError(
            f"chunks {sizes} are not single runs of scan lines: where one navigation axis is "
            "split, the axes before it need chunks of 1."
        )
    return sizes


def are_runs(sizes: tuple) -> bool:
    """Whether chunks of these sizes along the navigation axes are runs of rows, one after the other."""
    split = [i for i, s in enumerate(sizes) if len(s) > 1]
    below = sizes[: split[-1]] if split else ()
    return all(max(s) <= 1 for s in below) and (len(sizes) == 1 or len(sizes[-1]) == 1)


def _pieces(n: int, size: int) -> tuple[int, ...]:
    if size == -1 or size >= n:
        return (n,)
    if size < 1:
        raise ValueError(f"chunks: the size {size} is not positive.")
    return (size,) * (n // size) + ((n % size,) if n % size else ())


def _auto_chunks(source: FrameSource, nav_shape: tuple[int, ...], sig_shape: tuple[int, ...], dtype: np.dtype) -> tuple:
    """Whole lines by the bound on dense bytes and, where entries are known, on entries."""
    frame_bytes = max(math.prod(sig_shape) * dtype.itemsize, 1)
    if len(nav_shape) == 1:
        line, n_lines = 1, nav_shape[0]
    else:
        line, n_lines = nav_shape[-1], nav_shape[-2]
    room = max(int(DENSE_CHUNK_BYTES // (frame_bytes * max(line, 1))), 1)
    entries = source.row_events()
    pieces = _pieces(n_lines, room) if n_lines else (0,)
    if entries is not None and n_lines and math.prod(nav_shape):
        per_line = np.asarray(entries, dtype=np.int64).reshape(-1, n_lines, line).sum(axis=2)
        # Chunks are the same in every repetition: the fullest one decides. Time bins of a line are read together.
        per_line = per_line.reshape(read_together(source), -1, n_lines).sum(axis=0)
        pieces = _by_entries(per_line.max(axis=0), room)
    if len(nav_shape) == 1:
        return (pieces,)
    outer = tuple((1,) * n for n in nav_shape[:-2])
    if len(pieces) == 1 and outer:
        outer = outer[:-1] + (_outer_pieces(source, nav_shape, room, entries),)
    return (*outer, pieces, (nav_shape[-1],))


def _outer_pieces(
    source: FrameSource, nav_shape: tuple[int, ...], room: int, entries: np.ndarray | None
) -> tuple[int, ...]:
    """Several small scans in one chunk, where a whole scan leaves room for more."""
    n_scans = nav_shape[-3]
    room = max(room // max(nav_shape[-2], 1), 1)
    if entries is None or not math.prod(nav_shape):
        return _pieces(n_scans, room)
    per_scan = np.asarray(entries, dtype=np.int64).reshape(-1, n_scans, math.prod(nav_shape[-2:])).sum(axis=2)
    if len(nav_shape) > 3:  # else the scans are the time bins themselves
        per_scan = per_scan.reshape(read_together(source), -1, n_scans).sum(axis=0)
    return _by_entries(per_scan.max(axis=0), room)


def _by_entries(per_line: np.ndarray, room: int) -> tuple[int, ...]:
    pieces, lines, filled = [], 0, 0
    for n in per_line.tolist():
        if lines and (lines == room or filled + n > CHUNK_ENTRIES):
            pieces.append(lines)
            lines, filled = 0, 0
        lines, filled = lines + 1, filled + n
    return (*pieces, lines)
