"""Frames as a matrix, positions x pixels, of which only products with a few columns are made, block by block."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import scipy.sparse

from hyperspy_sparse import blocks, recipes, reductions, shifted
from hyperspy_sparse.kernels import loops
from hyperspy_sparse.small_matrix import SmallMatrix, is_better_dense
from hyperspy_sparse.twins import as_frames
from rsciio_tpx3.csr.dtypes import countable
from rsciio_tpx3.csr.memory_limit import get_limit
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.in_memory import held_in_memory
from rsciio_tpx3.frames.write import known_entries
from rsciio_tpx3.utils.threads import spread, thread_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


__all__ = ["TOGETHER", "Matrix"]

TOGETHER = 4
"""Products of blocks, each an array of pixels x columns, that are in memory before they are added up."""

COLUMNS = loops.COLUMNS
"""Columns that the loops take at once, and that one step adds where the entries are in memory."""


class Matrix:
    """Frames as the rows of a matrix, scaled and shifted, of which only products are ever made.

    The matrix is ``rows * frames * columns``, less ``outer(of_rows, of_columns)``.

    Parameters
    ----------
    frames : dask.array.Array of CSRFrames
    rows : numpy.ndarray, shape (positions,)
        Scale of each row; 0 for those that are masked.
    columns : numpy.ndarray, shape (pixels,)
    """

    def __init__(self, frames: da.Array, rows: np.ndarray, columns: np.ndarray) -> None:
        self.frames, self.rows, self.columns = frames, rows, columns
        self.of_rows, self.of_columns = np.zeros(rows.size), np.zeros(columns.size)
        self._tasks: list | None = None
        self._are_here = False

    @classmethod
    def of(cls, data: da.Array) -> Matrix | None:
        """The matrix of an array: of frames, or of what was made of them by images; None for others."""
        parts = shifted.behind(data)
        if parts is not None:
            made = cls.of(parts.frames)
            image = np.asarray(parts.image).ravel()
            if made is None or made.of_rows.any():
                return None
            made.rows = made.rows * parts.frames_sign
            ones = np.ones(made.shape[parts.kind == "scan"])
            of_image = -parts.image_sign * image
            made.of_rows, made.of_columns = (of_image, ones) if parts.kind == "scan" else (ones, of_image)
            return made
        if not recipes.is_frames(data) or data.ndim < 3:
            return None
        recipe = recipes.recipe_of(data)
        if recipe is not None and recipe.function.__name__ == "astype" and _holds(data.dtype, recipe.operands[0].dtype):
            return cls.of(recipe.operands[0])
        found = recipes.frames_and_image(recipe, data.ndim)
        name = "" if recipe is None else recipe.function.__name__
        scales = name in ("mul", "multiply") or (name in ("truediv", "divide") and found is not None and found[3])
        if not scales or found is None or data.dtype != np.float64 or not isinstance(found[1], np.ndarray):
            return cls.as_it_is(data)
        frames, image, kind, _ = found
        made = cls.of(frames)
        if made is None:
            return None
        image = np.broadcast_to(image, data.shape[:-2] if kind == "scan" else data.shape[-2:]).ravel().astype(float)
        image = image if name in ("mul", "multiply") else 1 / image
        if not np.isfinite(image).all():  # what becomes of a pixel without an entry
            return cls.as_it_is(data)
        if kind == "scan":
            made.rows = made.rows * image
        else:
            made.columns = made.columns * image
        return made

    @classmethod
    def as_it_is(cls, data: da.Array) -> Matrix:
        """The matrix of frames, neither scaled nor shifted."""
        return cls(data, np.ones(math.prod(data.shape[:-2])), np.ones(math.prod(data.shape[-2:])))

    @property
    def shape(self) -> tuple[int, int]:
        """Positions and pixels."""
        return self.rows.size, self.columns.size

    def masked(self, rows: np.ndarray | None, columns: np.ndarray | None) -> Matrix:
        """The matrix with zeros in rows and columns that are True."""
        made = Matrix(self.frames, self.rows, self.columns)
        made.of_rows, made.of_columns = self.of_rows, self.of_columns
        if rows is not None:
            made.rows, made.of_rows = np.where(rows, 0, made.rows), np.where(rows, 0, made.of_rows)
        if columns is not None:
            made.columns, made.of_columns = np.where(columns, 0, made.columns), np.where(columns, 0, made.of_columns)
        return made

    def less(self, of_rows: np.ndarray, of_columns: np.ndarray) -> Matrix:
        """The matrix less an outer product, where nothing was subtracted before."""
        made = Matrix(self.frames, self.rows, self.columns)
        made.of_rows, made.of_columns = of_rows, of_columns
        return made

    @property
    def in_memory(self) -> bool:
        """Whether a product costs no reading."""
        return getattr(source_of(self.frames), "in_memory", False)

    def held(self) -> Matrix:
        """The same with its entries in memory, in one piece, where they fit: they are read for each product."""
        entries = known_entries(self.frames)
        size = None if entries is None else entries * (self.frames.dtype.itemsize + 4)
        if size is None or size > get_limit() // 2:
            return self
        made = self.masked(None, None)
        made.frames = held_in_memory(self.frames)
        return made

    def for_svd(self, n: int) -> Matrix | SmallMatrix:
        """The same in the form of which `n` components are found fastest, see `small_matrix`."""
        entries = known_entries(self.frames)
        if entries is not None and is_better_dense(self.shape, entries, n):
            return SmallMatrix.of(self)
        return self.held()

    def dense(self) -> np.ndarray:
        """All values, float64; of a small matrix."""
        out = np.empty(self.shape)
        for (_, rows), values in zip(
            self._parts(), self._of_blocks(_dense, [(block,) for block, _ in self._parts()]), strict=True
        ):
            out[rows] = values
        out *= self.rows[:, None]
        out *= self.columns
        if self.of_rows.any():
            out -= np.outer(self.of_rows, self.of_columns)
        return out

    def turned(self) -> _Turned:
        """The matrix with rows and columns exchanged."""
        return _Turned(self)

    def times(self, columns: np.ndarray) -> np.ndarray:
        """Product with columns, shape (pixels, n): (positions, n)."""
        panels, made = _panels(columns * self.columns[:, None]), np.zeros((self.shape[0], columns.shape[1]))
        products = self._of_blocks(_times, [(block, self.rows[rows], panels) for block, rows in self._parts()])
        for (_, rows), product in zip(self._parts(), products, strict=True):
            made[rows] = product[:, : columns.shape[1]]
        if self.of_rows.any():
            made -= np.outer(self.of_rows, self.of_columns @ columns)
        return made

    def turned_times(self, rows: np.ndarray) -> np.ndarray:
        """Product of the turned matrix with rows, shape (positions, n): (pixels, n)."""
        steps = [(block, self.rows[part], rows[part]) for block, part in self._parts()]
        total = None
        for start in range(0, len(steps), TOGETHER):
            for product in self._of_blocks(_turned_times, steps[start : start + TOGETHER]):
                total = product if total is None else np.add(total, product, out=total)
        if total is None:
            return np.zeros((self.shape[1], rows.shape[1]))
        total = np.concatenate(total, axis=1)[:, : rows.shape[1]] * self.columns[:, None]
        if self.of_rows.any():
            total -= np.outer(self.of_columns, self.of_rows @ rows)
        return total

    def _parts(self) -> list:
        """Blocks, each with the positions that it has: tasks, or the frames themselves where those are in memory."""
        if self._tasks is None:
            cut = blocks.in_blocks(self.frames)
            numbers = np.arange(self.shape[0]).reshape(self.frames.shape[:-2])
            rows = [_span(numbers[spans].ravel()) for _, spans in reductions.spans_of(cut)]
            tasks = [cut.blocks[(*place, 0, 0)].to_delayed().item() for place, _ in reductions.spans_of(cut)]
            self._are_here = blocks.are_views(source_of(cut)) and dask.base.get_scheduler() is None
            self._tasks = list(zip(dask.compute(*tasks) if self._are_here else tasks, rows, strict=True))
        return self._tasks

    def _of_blocks(self, function: Callable, steps: list) -> Iterable:
        """What a function gives for the arguments of each block."""
        if self._are_here:  # dask takes 3 ms for a product, as much as a million entries do
            return spread(lambda arguments: function(*arguments), steps, thread_count())
        return dask.compute(*(_delayed(function)(*arguments) for arguments in steps))


class _Turned:
    """A matrix with rows and columns exchanged."""

    def __init__(self, matrix: Matrix) -> None:
        self.shape, self.in_memory = matrix.shape[::-1], matrix.in_memory
        self.times, self.turned_times = matrix.turned_times, matrix.times


def _span(rows: np.ndarray) -> Any:
    """Ascending numbers as a slice, which takes no copy, where they follow each other."""
    return slice(rows[0], rows[-1] + 1) if rows.size and rows[-1] - rows[0] == rows.size - 1 else rows


def _delayed(function: Callable) -> Any:
    return dask.delayed(function, pure=False, traverse=False)


def _panels(columns: np.ndarray) -> np.ndarray:
    """Columns as the loops take them, some side by side: (panels, rows, `COLUMNS`), filled up with zeros."""
    rows, n = columns.shape
    out = np.zeros((-(-n // COLUMNS), rows, COLUMNS))
    for i in range(n):
        out[i // COLUMNS, :, i % COLUMNS] = columns[:, i]
    return out


def _holds(dtype: np.dtype, counted: np.dtype) -> bool:
    """Whether floats of a type are the counts that they were cast from."""
    return dtype.kind == "f" and counted.kind in "bu" and (dtype.itemsize == 8 or counted.itemsize <= 2)


def _frames_of(chunk: Any) -> tuple:
    frames = as_frames(chunk)
    return frames, (countable(frames.data), frames.indices, frames.indptr)


def _dense(chunk: Any) -> np.ndarray:
    frames, parts = _frames_of(chunk)
    return scipy.sparse.csr_array(parts, shape=(frames.n_frames, frames.n_pixels)).toarray()  # nothing to compile


def _times(chunk: Any, scale: np.ndarray, panels: np.ndarray) -> np.ndarray:
    frames, parts = _frames_of(chunk)
    out = np.empty((frames.n_frames, len(panels), COLUMNS))
    for i, columns in enumerate(panels):
        loops.times_columns(*parts, scale, columns, out[:, i])
    return out.reshape(frames.n_frames, -1)


def _turned_times(chunk: Any, scale: np.ndarray, rows: np.ndarray) -> np.ndarray:
    frames, parts = _frames_of(chunk)
    panels = _panels(rows)
    out = np.zeros((len(panels), frames.n_pixels, COLUMNS))
    for some, sums in zip(panels, out, strict=True):
        loops.times_rows(*parts, scale, some, sums)
    return out
