"""Frames of a repeated scan added up at other positions, a few chunks at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.regroup import add_rows
from rsciio_tpx3.frames.dask_array import DENSE_CHUNK_BYTES, empty_meta
from rsciio_tpx3.frames.shared_reads import READ_ENTRIES
from rsciio_tpx3.utils.dask_private import List, Task, TaskRef

if TYPE_CHECKING:
    from rsciio_tpx3.scan.regrid import Grid


__all__ = ["moved_rows", "sum_dtype"]

_TOGETHER = 8  # chunks added up by one task


def sum_dtype(dtype: np.dtype, n: int) -> np.dtype:
    """Smallest type that holds the sum of `n` values of a type."""
    if dtype.kind != "u":
        return np.sum(np.zeros(1, dtype)).dtype
    most = int(np.iinfo(dtype).max) * n
    return np.dtype(next(t for t in ("u1", "u2", "u4", "u8") if most <= np.iinfo(t).max))


def moved_rows(data: da.Array, grid: Grid, counts: np.ndarray) -> tuple[da.Array, np.ndarray]:
    """Frames of a repeated scan added up on a grid, each position as a whole.

    Parameters
    ----------
    data : dask.array.Array of CSRFrames, shape (frames, y, x, height, width)
    grid : rsciio_tpx3.scan.regrid.Grid
    counts : numpy.ndarray, shape (frames, y, x)
        Of each position, to choose chunks of bounded size.

    Returns
    -------
    dask.array.Array of CSRFrames, shape grid.shape + (height, width)
    numpy.ndarray, shape grid.shape
        Counts of each cell.
    """
    whole = {axis: -1 for axis in (2, 3, 4) if len(data.chunks[axis]) > 1}
    data = data.rechunk(whole) if whole else data
    rows, columns = grid.cells(0), grid.cells(1)
    placed = np.zeros((grid.shape[0], grid.shape[1] + 1), counts.dtype)
    for frame, (y, x) in enumerate(zip(rows, columns)):
        inside = y >= 0
        np.add.at(placed, (y[inside][:, None], x[None, :]), counts[frame][inside])
    placed = np.ascontiguousarray(placed[:, :-1])
    dtype = sum_dtype(data.dtype, int(grid.visits().max(initial=1)))
    lines = _lines(placed, data.shape[-2:], dtype)
    name = f"aligned-{tokenize(data, rows, columns, grid.shape, lines)}"
    graph = _graph(name, data, rows, columns, grid.shape, lines, dtype)
    # dask's arrays are collections, but its own types do not say so
    layers = HighLevelGraph.from_collections(name, graph, dependencies=[data])  # type: ignore[list-item]
    chunks = (lines, (grid.shape[1],), *data.chunks[-2:])
    return da.Array(layers, name, chunks, meta=empty_meta(dtype, 2), dtype=dtype), placed


def _lines(placed: np.ndarray, sig_shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
    """Lines of each chunk of the result: bounded as `to_dask` bounds them."""
    room = max(int(DENSE_CHUNK_BYTES // max(math.prod(sig_shape) * dtype.itemsize * placed.shape[1], 1)), 1)
    pieces, lines, filled = [], 0, 0.0
    for n in placed.sum(axis=1).tolist():
        if lines and (lines == room or filled + n > READ_ENTRIES):
            pieces.append(lines)
            lines, filled = 0, 0.0
        lines, filled = lines + 1, filled + n
    return (*pieces, lines)


def _graph(
    name: str,
    data: da.Array,
    rows: np.ndarray,
    columns: np.ndarray,
    shape: tuple[int, ...],
    lines: tuple[int, ...],
    dtype: np.dtype,
) -> dict:
    """One sum for each chunk of the result, a few chunks of the data at a time."""
    frame_ends, line_ends = (np.cumsum((0, *sizes)) for sizes in data.chunks[:2])
    graph: dict[tuple, Task] = {}
    first = 0
    for number, n in enumerate(lines):
        # Row of this chunk of the result that each line of each frame goes to, -1 for the other chunks.
        out = np.where((rows >= first) & (rows < first + n), rows - first, -1)
        parts = []
        for i in range(len(frame_ends) - 1):
            for j in range(len(line_ends) - 1):
                own = slice(frame_ends[i], frame_ends[i + 1])
                y = out[own, line_ends[j] : line_ends[j + 1]]
                if (y >= 0).any():  # chunks of the data that give nothing are no inputs
                    parts.append(((data.name, i, j, 0, 0, 0), (y, columns[own])))
        key = (name, number, 0, 0, 0)
        _add_tree(graph, key, parts, (n, shape[1], *data.shape[-2:]), dtype)
        first += n
    return graph


def _add_tree(graph: dict, key: tuple, parts: list, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Sums of sums: no task holds more than a few chunks."""
    level = 0
    while len(parts) > _TOGETHER:
        sums = []
        for k in range(0, len(parts), _TOGETHER):
            inner = (f"{key[0]}-part", *key[1:], level, k)
            graph[inner] = _sum_task(inner, parts[k : k + _TOGETHER], shape, dtype)
            sums.append((inner, None))
        parts, level = sums, level + 1
    graph[key] = _sum_task(key, parts, shape, dtype)


def _sum_task(key: tuple, parts: list, shape: tuple[int, ...], dtype: np.dtype) -> Task:
    chunks = List(*(TaskRef(part) for part, _ in parts))
    return Task(key, _sum_placed, chunks, [cells for _, cells in parts], shape, dtype)


def _sum_placed(chunks: list, cells: list, shape: tuple[int, ...], dtype: np.dtype) -> CSRFrames:
    """Chunks added up in the cells of a chunk of the result; a sum has its places already."""
    if not chunks:
        empty = np.zeros(0, dtype), np.zeros(0, np.int32), np.zeros(shape[0] * shape[1] + 1, np.int64)
        return CSRFrames._make(*empty, shape)
    width, places = shape[1], []
    for chunk, place in zip(chunks, cells):
        if place is None:
            places.append(np.arange(chunk.n_frames))
            continue
        # A frame moves as a whole, so rows and columns of its cells are independent of each other.
        y, x = place[0][:, :, None], place[1][:, None, :]
        places.append(np.where((y >= 0) & (x >= 0), y * width + x, -1).ravel())
    return add_rows(chunks, places, shape[0] * width, dtype).reshape(shape)
