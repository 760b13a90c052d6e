"""Sums, extremes and moments of CSR frames over any of their axes.

Missing entries are zeros and take part: the mean of a pixel divides by all frames, and the
smallest count is 0 wherever one frame has no entry. Integer sums are exact and as wide as NumPy
makes them; float sums are accumulated in double precision.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import DTypeLike

from rsciio_tpx3.csr import kernels
from rsciio_tpx3.csr.dtypes import countable

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames

__all__ = [
    "column_sums",
    "extreme",
    "logical",
    "mean",
    "mean_and_squares",
    "normalize_axes",
    "powers",
    "std",
    "sum_over",
    "var",
    "weighted_sum",
]


def normalize_axes(axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Sorted tuple of non-negative axes; None means all."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(sorted(axis_tuple(axis, ndim)))


def axis_tuple(axis: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    """The axes in the order given, counted from the front; NumPy's error for a wrong one."""
    named: Any = (axis,) if np.ndim(axis) == 0 else axis
    axes = tuple(operator.index(a) for a in named)
    for a in axes:
        if not -ndim <= a < ndim:
            raise np.exceptions.AxisError(a, ndim)
    axes = tuple(a % ndim for a in axes)
    if len(set(axes)) != len(axes):
        raise ValueError(f"an axis is named twice in {axis}")
    return axes


def which(frames: CSRFrames, axes: tuple[int, ...]) -> str | None:
    """Which case of reduction `axes` is: "nav", "sig", "all", "line", "some nav", or None."""
    n = frames.n_nav
    nav, sig = tuple(range(n)), (n, n + 1)
    if axes == nav + sig:
        return "all"
    if axes == sig:
        return "sig"
    if axes == nav:
        return "nav" if n else None
    if len(axes) == 1 and axes[0] in sig:
        return "line"
    if axes and set(axes) < set(nav):
        return "some nav"
    return None


def shaped(values: np.ndarray, frames: CSRFrames, axes: tuple[int, ...], keepdims: bool) -> Any:
    """Give the values the shape that NumPy's reduction has; a full reduction gives a scalar."""
    if keepdims:
        shape = tuple(1 if i in axes else n for i, n in enumerate(frames.shape))
    else:
        shape = tuple(n for i, n in enumerate(frames.shape) if i not in axes)
    values = values.reshape(shape)
    return values if shape else values[()]


def sum_over(
    frames: CSRFrames, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, keepdims: bool = False
) -> Any:
    """Sum, or NotImplemented where only a dense copy can tell."""
    axes = normalize_axes(axis, len(frames.shape))
    out_dtype = np.sum(np.zeros(1, frames.dtype), dtype=dtype).dtype
    if out_dtype.kind not in "iuf" or frames.dtype.kind not in "biuf":
        return NotImplemented
    case = which(frames, axes)
    if case is None:
        return _in_two_steps(sum_over, np.sum, frames, axes, keepdims, dtype=out_dtype)
    data = frames.data
    if out_dtype.kind in "iu" and data.dtype.kind not in ("b", out_dtype.kind):
        # As NumPy: cast, then add. A loop that mixes signs would go through floats.
        data = data.astype(out_dtype)
    wide = np.float64 if out_dtype.kind == "f" else np.dtype(f"{out_dtype.kind}8")
    if case == "some nav":
        return _merged(frames, axes, data, wide, keepdims).astype(out_dtype)
    values = _sums(frames, case, axes, countable(data), wide)
    return shaped(values.astype(out_dtype), frames, axes, keepdims)


def _sums(frames: CSRFrames, case: str, axes: tuple[int, ...], data: np.ndarray, wide: DTypeLike) -> np.ndarray:
    if case == "nav":
        out = _column_sums(frames, data, wide)
    elif case == "line":
        height, width = frames.sig_shape
        along_y = axes[0] == frames.n_nav
        out = np.zeros((frames.n_frames, width if along_y else height), dtype=wide)
        kernels.sum_lines(data, frames.indices, frames.indptr, max(width, 1), along_y, out)
    else:
        out = np.zeros(frames.n_frames, dtype=wide)
        (kernels.sum_rows_of_floats if data.dtype.kind == "f" else kernels.sum_rows)(data, frames.indptr, out)
        out = out.sum(keepdims=True, dtype=wide) if case == "all" else out
    return out


def _column_sums(frames: CSRFrames, data: np.ndarray, wide: DTypeLike, rows: np.ndarray | None = None) -> np.ndarray:
    # Half the size of `out` stays in the cache; a pixel cannot exceed 32 bits where all entries together do not.
    small = data.dtype == np.uint8 and data.size * 255 < 2**32
    out = np.zeros(frames.n_pixels, dtype=np.uint32 if small else wide)
    if rows is None:
        kernels.sum_columns(data, frames.indices, out)
    elif rows.size:
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        first, last = rows[np.append(0, breaks)], rows[np.append(breaks, rows.size) - 1]
        kernels.sum_spans(data, frames.indices, frames.indptr[first], frames.indptr[last + 1], out)
    return out


def column_sums(frames: CSRFrames, rows: np.ndarray | None = None, wide: DTypeLike = np.uint64) -> np.ndarray:
    """Sum of unsigned counts over the navigation axes, of a type as narrow as cannot run over.

    Parameters
    ----------
    frames : CSRFrames
    rows : numpy.ndarray of int64, optional
        Flat positions that take part, ascending; their entries are not copied.
    wide : numpy.dtype
        The type where 32 bits are too few.

    Returns
    -------
    numpy.ndarray of uint32 or `wide`, shape (height, width)
    """
    return _column_sums(frames, countable(frames.data), wide, rows).reshape(frames.sig_shape)


def weighted_sum(frames: CSRFrames, weights: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Sum over the navigation axes with a weight for each frame, or over the detector with one for each pixel.

    Parameters
    ----------
    frames : CSRFrames
        Rows may be unsorted, with a pixel more than once.
    weights : numpy.ndarray of float64 or int64
        Finite; of the shape of `axes`.
    axes : tuple of int
        All navigation axes or both detector axes.

    Returns
    -------
    numpy.ndarray
        Of the type of the weights.
    """
    over_scan = axes == tuple(range(frames.n_nav))
    out = np.zeros(frames.n_pixels if over_scan else frames.n_frames, weights.dtype)
    loop = kernels.weighted_columns if over_scan else kernels.weighted_rows
    loop(countable(frames.data), frames.indices, frames.indptr, np.ascontiguousarray(weights).ravel(), out)
    return out.reshape(frames.sig_shape if over_scan else frames.nav_shape)


def _in_two_steps(
    ours: Callable, numpys: Callable, frames: CSRFrames, axes: tuple[int, ...], keepdims: bool, **kwargs: Any
) -> Any:
    """Detector axes first, on the entries; then NumPy on the small dense rest."""
    sig = tuple(a for a in axes if a >= frames.n_nav)
    nav = tuple(a for a in axes if a < frames.n_nav)
    if not sig or not nav:
        return NotImplemented
    first = ours(frames, sig, keepdims=True, **kwargs)
    if first is NotImplemented:
        return NotImplemented
    out = numpys(first, axis=nav, keepdims=True, **kwargs)
    return shaped(out, frames, axes, keepdims)


def _merged(frames: CSRFrames, axes: tuple[int, ...], data: np.ndarray, wide: DTypeLike, keepdims: bool) -> CSRFrames:
    """Sum over some navigation axes: still frames, with rows added up in groups."""
    nav = tuple(range(frames.n_nav))
    remaining = tuple(a for a in nav if a not in axes)
    rows = np.arange(frames.n_frames).reshape(frames.nav_shape).transpose(remaining + axes)
    new_nav = tuple(frames.shape[a] for a in remaining)
    n_groups = int(np.prod(new_nav))
    # Rows that are added up stand next to each other now, in as many equal groups as new positions.
    group_rows = np.ascontiguousarray(rows).reshape(-1)
    # Float steps are exact: groups are of one size, and below 2**53.
    start = np.linspace(0, group_rows.size, n_groups + 1).astype(np.int64) if n_groups else [0]
    start = np.asarray(start, dtype=np.int64)
    counts = np.zeros(n_groups, dtype=np.int64)
    out = np.empty(data.size, dtype=wide)
    pixels = np.empty(data.size, dtype=frames.indices.dtype)
    n = kernels.merge_rows(
        countable(data),
        frames.indices,
        frames.indptr,
        group_rows,
        start,
        np.zeros(frames.n_pixels, dtype=wide),
        counts,
        out,
        pixels,
    )
    indptr = np.zeros(n_groups + 1, dtype=np.int64)
    np.cumsum(counts, out=indptr[1:])
    out, pixels = out[:n].copy(), pixels[:n].copy()
    # The kernel leaves pixels in the order in which they came.
    kernels.sort_rows(out, pixels, indptr)
    if keepdims:
        new_nav = tuple(1 if a in axes else frames.shape[a] for a in nav)
    return frames._make(out, pixels, indptr, new_nav + frames.sig_shape)


def mean(
    frames: CSRFrames, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, keepdims: bool = False
) -> Any:
    axes = normalize_axes(axis, len(frames.shape))
    out_dtype = np.mean(np.zeros(1, frames.dtype), dtype=dtype).dtype
    if out_dtype.kind != "f" or frames.dtype.kind not in "biuf":
        return NotImplemented
    total = sum_over(frames, axes, dtype=np.float64, keepdims=keepdims)
    if total is NotImplemented:
        return NotImplemented
    n = int(np.prod([frames.shape[a] for a in axes], dtype=np.int64))
    if n == 0:
        return NotImplemented
    return (total / n).astype(out_dtype)


def extreme(frames: CSRFrames, largest: bool, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
    """Maximum or minimum."""
    axes = normalize_axes(axis, len(frames.shape))
    case = which(frames, axes)
    data = frames.data
    if data.dtype.kind not in "biuf" or data.dtype == np.float16 or frames.size == 0:
        return NotImplemented
    if case is None:
        numpys = np.max if largest else np.min

        def ours(frames: CSRFrames, axis: int | Sequence[int] | None, keepdims: bool) -> Any:
            return extreme(frames, largest, axis, keepdims)

        return _in_two_steps(ours, numpys, frames, axes, keepdims)
    if case in ("line", "some nav"):
        return NotImplemented
    zero = frames.dtype.type(0)
    # Without negative values zeros of absent entries never win over others: no need to count entries.
    if case == "nav" and largest and (data.dtype.kind in "bu" or not _has_negative(data)):
        out = np.zeros(frames.n_pixels, dtype=data.dtype)
        (kernels.max_counts if data.dtype == np.uint8 else kernels.max_values)(data, frames.indices, out)
        return shaped(out, frames, axes, keepdims)
    if case == "nav":
        out = np.zeros(frames.n_pixels, dtype=data.dtype)
        stored = np.zeros(frames.n_pixels, dtype=np.int64)
        loop = kernels.max_columns if largest else kernels.min_columns
        loop(data, frames.indices, out, stored)
        has_zero = stored < frames.n_frames
    else:
        out = np.zeros(frames.n_frames, dtype=data.dtype)
        loop = kernels.max_rows if largest else kernels.min_rows
        loop(data, frames.indptr, out)
        has_zero = np.diff(frames.indptr) < frames.n_pixels
    # maximum and minimum pass NaN on, as a dense reduction would.
    meet = np.maximum if largest else np.minimum
    out = np.where(has_zero, meet(out, zero), out)
    if case == "all":
        out = meet.reduce(out, keepdims=True)
    return shaped(out, frames, axes, keepdims)


def _has_negative(data: np.ndarray) -> bool:
    return bool(data.size) and bool(np.fmin.reduce(data) < 0)  # the smallest of those that are not NaN


def logical(frames: CSRFrames, any_of: bool, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
    """`any` or `all`."""
    if frames.dtype.kind not in "biuf":
        return NotImplemented
    return extreme(frames.with_data(frames.data != 0), any_of, axis, keepdims)


def var(
    frames: CSRFrames,
    axis: int | Sequence[int] | None = None,
    dtype: DTypeLike | None = None,
    ddof: Any = 0,
    keepdims: bool = False,
) -> Any:
    axes = normalize_axes(axis, len(frames.shape))
    out_dtype = np.var(np.zeros(1, frames.dtype), dtype=dtype).dtype
    case = which(frames, axes)
    if case not in ("nav", "sig", "all") or frames.dtype.kind not in "biuf" or not frames.size:
        return NotImplemented
    if out_dtype.kind != "f" or not np.isscalar(ddof):
        return NotImplemented
    n = int(np.prod([frames.shape[a] for a in axes]))
    out = np.asarray(mean_and_squares(frames, axes)[1]).reshape(-1)
    with np.errstate(all="ignore"):
        out = out / max(n - cast(Any, ddof), 0)
    return shaped(out.astype(out_dtype), frames, axes, keepdims)


def mean_and_squares(frames: CSRFrames, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """Means, and sums of squared distances from them, over the navigation axes, the detector axes, or both.

    From integers where these fit, else by distances from the mean: a mean of squares minus a squared mean would lose
    the digits of bright pixels.
    """
    case, data = which(frames, axes), countable(frames.data)
    n = math.prod(frames.shape[a] for a in axes)
    if _squares_fit(data, n):  # exact, and in one pass
        total, squares = (np.asarray(values) for values in powers(frames, axes, False))
        return total / n, (n * squares - total**2) / n
    if case == "nav":
        table = np.zeros((frames.n_pixels, 3))
        kernels.squares_columns(data, frames.indices, table)
        stored, of_entries, squares = table.T
        # The zeros all lie in one place: they add what their distance from the entries is.
        squares = squares + of_entries * (of_entries * (stored * (n - stored) / n))
        return tuple(shaped(values, frames, axes, False) for values in (of_entries * (stored / n), squares))
    average = np.asarray(mean(frames, axes, dtype=np.float64))
    flat = average.reshape(-1)
    if case == "sig":
        out = np.zeros(frames.n_frames)
        stored = np.diff(frames.indptr)
        kernels.squares_rows(data, frames.indptr, flat, out)
    else:
        out = np.zeros(1)
        stored = data.size
        kernels.squares_rows(data, np.array([0, data.size]), flat, out)
    return average, shaped(out + (n - stored) * flat * flat, frames, axes, False)


def _squares_fit(data: np.ndarray, n: int) -> bool:
    """Whether ``n * sum of squares`` and the square of the sum stay below 2**63."""
    if data.dtype.kind not in "ui" or not data.size:
        return False
    largest = max(int(data.max()), -int(data.min()))
    return (n * largest) ** 2 < 2**63


def powers(frames: CSRFrames, axes: tuple[int, ...], keepdims: bool = True) -> tuple:
    """Exact sums of small integer counts and of their squares, as two int64 arrays.

    Over the navigation axes, the detector axes, or both.
    """
    case = which(frames, axes)
    data = countable(frames.data)
    if case == "nav":
        # A pixel has one entry in a frame at most.
        small = data.dtype == np.uint8 and frames.n_frames * 255**2 < 2**32
        sums = np.zeros((frames.n_pixels, 2), dtype=np.uint32 if small else np.int64)
        kernels.powers_columns(data, frames.indices, sums)
        total, squares = (np.ascontiguousarray(sums[:, i], dtype=np.int64) for i in (0, 1))
    else:
        total, squares = np.zeros((2, frames.n_frames), dtype=np.int64)
        kernels.powers_rows(data, frames.indptr, total, squares)
    if case == "all":
        total, squares = total.sum(keepdims=True), squares.sum(keepdims=True)
    return tuple(shaped(values, frames, axes, keepdims) for values in (total, squares))


def std(
    frames: CSRFrames,
    axis: int | Sequence[int] | None = None,
    dtype: DTypeLike | None = None,
    ddof: Any = 0,
    keepdims: bool = False,
) -> Any:
    answer = var(frames, axis, dtype, ddof, keepdims)
    return answer if answer is NotImplemented else np.sqrt(answer)
