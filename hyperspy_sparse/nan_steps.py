"""Steps of reductions that leave out NaN: of a block of frames, of joining what two blocks give, and of the end.

An entry that is NaN is not the same as one that is missing, which is zero and takes part.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperspy_sparse.twins import as_frames
from rsciio_tpx3.csr.reductions import mean_and_squares

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames


__all__ = [
    "extreme_of_rest",
    "joined_moments_of_rest",
    "mean_of_rest",
    "moments_of_rest",
    "spread_of_rest",
    "sum_and_number",
    "sum_of_rest",
    "without_nan",
]


def without_nan(chunk: CSRFrames, axes: tuple[int, ...], instead: float) -> tuple[CSRFrames, Any]:
    """Frames with another value where they are NaN, and how often that was along `axes`."""
    frames = as_frames(chunk)
    none = np.isnan(frames.data)
    if not none.any():
        return frames, 0
    return (
        frames.with_data(np.where(none, frames.dtype.type(instead), frames.data)),
        np.sum(frames.with_data(none.astype(np.uint8)), axis=axes),
    )


def extreme_of_rest(chunk: CSRFrames, axes: tuple[int, ...], function: Callable, instead: float) -> np.ndarray:
    frames, n_none = without_nan(chunk, axes, instead)
    found = function(frames, axis=axes)
    return np.where(n_none == math.prod(chunk.shape[axis] for axis in axes), found.dtype.type(np.nan), found)


def sum_of_rest(chunk: CSRFrames, axes: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.sum(without_nan(chunk, axes, 0)[0], axis=axes))


def sum_and_number(chunk: CSRFrames, axes: tuple[int, ...]) -> tuple:
    """The sum of what is not NaN, and how many are."""
    frames, n_none = without_nan(chunk, axes, 0)
    return np.sum(frames, axis=axes, dtype=np.float64), n_none


def mean_of_rest(parts: tuple, n: int) -> np.ndarray:
    total, n_none = parts
    number = n - np.asarray(n_none, np.int64)
    with np.errstate(all="ignore"):
        return total / np.where(number, number, np.nan)


def moments_of_rest(chunk: CSRFrames, axes: tuple[int, ...]) -> tuple:
    """Number, mean and sum of squared distances from it, of what is not NaN."""
    frames, n_none = without_nan(chunk, axes, 0)
    n = math.prod(chunk.shape[axis] for axis in axes)
    mean, squares = mean_and_squares(frames, axes)
    number = n - np.asarray(n_none, np.int64)
    with np.errstate(all="ignore"):
        of_rest = np.where(number, mean * (n / number), 0)
        # What stood in for NaN is `n_none` times zero: it is taken away as it would have been joined.
        squares = np.where(n_none == 0, squares, np.maximum(squares - of_rest * (of_rest * (n_none * (number / n))), 0))
    return number, of_rest, squares


def joined_moments_of_rest(parts: list) -> tuple:
    n, mean, squares = parts[0]
    for n_b, mean_b, squares_b in parts[1:]:
        apart, total = mean_b - mean, n + n_b
        share = n_b / np.maximum(total, 1)
        mean, squares, n = mean + apart * share, squares + squares_b + apart * (apart * (n * share)), total
    return n, mean, squares


def spread_of_rest(parts: tuple, std: bool) -> np.ndarray:
    n, _, squares = parts
    with np.errstate(all="ignore"):
        spread = squares / np.where(n, n, np.nan)
        return np.sqrt(spread) if std else spread
