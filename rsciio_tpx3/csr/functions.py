"""NumPy's functions on CSR frames: the table of those with a sparse answer.

Whatever is not in the table, and whatever a function in it declines with NotImplemented, NumPy
computes on dense copies.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from rsciio_tpx3.csr import kernels, reductions
from rsciio_tpx3.csr.base import BaseFrames, dense_all
from rsciio_tpx3.csr.dtypes import carried
from rsciio_tpx3.csr.elementwise import cleaned
from rsciio_tpx3.csr.indexing import take_rows

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames

__all__ = ["call", "concatenate", "reshape"]

_TABLE: dict[Callable, Callable] = {}


def call(func: Callable, args: tuple, kwargs: dict) -> Any:
    """What ``__array_function__`` of the frames answers."""
    ours = _TABLE.get(func)
    if ours is not None:
        answer = ours(*args, **kwargs)
        if answer is not NotImplemented:
            return answer
    return func(*dense_all(args), **dense_all(kwargs))


def _answers(*functions: Callable) -> Callable:
    def enter(ours: Callable) -> Callable:
        for function in functions:
            _TABLE[function] = ours
        return ours

    return enter


# -- shape ---------------------------------------------------------------------------------------


@_answers(np.reshape)
def reshape(a: Any, shape: Any, order: Any = "C", **kwargs: Any) -> Any:
    """A view with other navigation axes; anything that touches the detector axes is dense."""
    if not isinstance(a, BaseFrames):
        return NotImplemented
    shape = (shape,) if np.isscalar(shape) else tuple(int(n) for n in shape)
    if shape.count(-1) == 1 and 0 not in shape:
        rest = math.prod(n for n in shape if n != -1)
        shape = tuple(a.size // rest if n == -1 else n for n in shape)
    # Only navigation axes are free: pixel numbers depend on the detector's width, and rows stay in the order of C.
    same_frames = shape[-2:] == a.sig_shape and math.prod(shape[:-2]) == a.n_frames
    if order not in ("C", "A") or len(shape) < 3 or not same_frames:
        return a.densified().reshape(shape, order=order)
    return a._make(a.data, a.indices, a.indptr, shape)


@_answers(np.transpose)
def _transpose(a: CSRFrames, axes: Sequence[int] | None = None) -> Any:
    ndim = len(a.shape)
    axes = tuple(range(ndim))[::-1] if axes is None else axes
    axes = reductions.axis_tuple(axes, ndim)
    if axes[-2:] != (ndim - 2, ndim - 1) or len(axes) != ndim:
        return NotImplemented
    rows = np.arange(a.n_frames).reshape(a.nav_shape).transpose(axes[:-2])
    return take_rows(a, rows)


@_answers(np.moveaxis)
def _moveaxis(a: CSRFrames, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    ndim = len(a.shape)
    order = np.moveaxis(np.empty((0,) * ndim), source, destination)  # checks the arguments
    source = reductions.axis_tuple(source, order.ndim)
    destination = reductions.axis_tuple(destination, order.ndim)
    axes = [n for n in range(ndim) if n not in source]
    for where, axis in sorted(zip(destination, source, strict=True)):
        axes.insert(where, axis)
    return np.transpose(a, tuple(axes))


@_answers(np.swapaxes)
def _swapaxes(a: CSRFrames, axis1: int, axis2: int) -> Any:
    axes = list(range(len(a.shape)))
    axes[axis1], axes[axis2] = axes[axis2], axes[axis1]
    return np.transpose(a, tuple(axes))


@_answers(np.rollaxis)
def _rollaxis(a: CSRFrames, axis: int, start: int = 0) -> Any:
    order = np.rollaxis(np.empty(tuple(range(len(a.shape)))), axis, start)
    return np.transpose(a, order.shape)


@_answers(np.expand_dims)
def _expand_dims(a: CSRFrames, axis: int | Sequence[int]) -> Any:
    shape = np.expand_dims(_nothing_of_shape(a), axis).shape
    return reshape(a, shape) if shape[-2:] == a.sig_shape else NotImplemented


@_answers(np.squeeze)
def _squeeze(a: CSRFrames, axis: int | Sequence[int] | None = None) -> Any:
    return reshape(a, np.squeeze(_nothing_of_shape(a), axis).shape)


def _nothing_of_shape(a: CSRFrames) -> np.ndarray:
    """An array of this shape that takes no memory, to ask NumPy what becomes of the shape."""
    return np.broadcast_to(np.zeros((), dtype=np.bool_), a.shape)


@_answers(np.atleast_1d, np.atleast_2d, np.atleast_3d)
def _atleast(*arrays: Any) -> Any:
    if len(arrays) != 1 or len(arrays[0].shape) < 3:
        return NotImplemented
    return arrays[0]


@_answers(np.flip)
def _flip(m: CSRFrames, axis: int | Sequence[int] | None = None) -> Any:
    axes = reductions.normalize_axes(axis, len(m.shape))
    turn = (slice(None, None, -1) if i in axes else slice(None) for i in range(len(m.shape)))
    return m[tuple(turn)]


@_answers(np.broadcast_to)
def _broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    shape = (shape,) if np.isscalar(shape) else tuple(shape)
    if not isinstance(array, BaseFrames) or shape[-2:] != array.sig_shape:
        return NotImplemented
    rows = np.arange(array.n_frames).reshape(array.nav_shape)
    return take_rows(array, np.broadcast_to(rows, shape[:-2]))


@_answers(np.take)
def _take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    if axis is None or out is not None or mode != "raise" or not isinstance(a, BaseFrames):
        return NotImplemented
    axis %= len(a.shape)
    if axis >= a.n_nav:
        return NotImplemented
    rows = np.arange(a.n_frames).reshape(a.nav_shape)
    rows = np.take(rows, dense_all(indices), axis)
    return take_rows(a, rows) if rows.ndim else a.frame(int(rows))


# -- joining -------------------------------------------------------------------------------------


@_answers(np.concatenate)
def concatenate(arrays: Iterable, axis: int | None = 0, out: Any = None, **kwargs: Any) -> Any:
    """Frames joined along any axis; dense if one of them is dense, or types differ."""
    arrays = list(arrays)
    if out is not None or kwargs or axis is None:
        return NotImplemented
    if not all(isinstance(a, BaseFrames) for a in arrays):
        return NotImplemented
    if len(arrays) == 1:
        return arrays[0]
    dtype = np.result_type(*(a.dtype for a in arrays))
    arrays = [a.astype(dtype) for a in arrays]
    axis = reductions.axis_tuple(axis, len(arrays[0].shape))[0]
    shapes = [a.shape[:axis] + a.shape[axis + 1 :] for a in arrays]
    if len(set(shapes)) != 1:
        return NotImplemented  # NumPy's own message says which
    if axis >= arrays[0].n_nav:
        return _join_detectors(arrays, axis)
    return _join_rows(arrays, axis)


def _join_rows(arrays: list[CSRFrames], axis: int) -> CSRFrames:
    total = sum(a.shape[axis] for a in arrays)
    shape = arrays[0].shape[:axis] + (total,) + arrays[0].shape[axis + 1 :]
    starts = np.cumsum([0] + [a.data.size for a in arrays])
    data = np.concatenate([a.data for a in arrays])
    indices = np.concatenate([a.indices for a in arrays])
    pointers = [a.indptr[1:] + start for a, start in zip(arrays, starts[:-1], strict=True)]
    indptr = np.concatenate([np.zeros(1, np.int64), *pointers])
    stacked = arrays[0]._make(data, indices, indptr, (indptr.size - 1,) + shape[-2:])
    if axis == 0:
        return arrays[0]._make(data, indices, indptr, shape)
    # Along another axis than the first, frames of the pieces alternate: stack them, and take rows in the new order.
    first = np.cumsum([0] + [a.n_frames for a in arrays])
    rows = [np.arange(a.n_frames).reshape(a.nav_shape) + n for a, n in zip(arrays, first[:-1], strict=True)]
    return take_rows(stacked, np.concatenate(rows, axis))


def _join_detectors(arrays: list[CSRFrames], axis: int) -> CSRFrames:
    """Detector pieces side by side: each keeps its entries, at new pixel numbers."""
    along_y = axis == arrays[0].n_nav
    total = sum(a.shape[axis] for a in arrays)
    shape = arrays[0].shape[:axis] + (total,) + arrays[0].shape[axis + 1 :]
    width = shape[-1]
    all_rows, all_pixels, offset = [], [], 0
    for a in arrays:
        # A pixel's number depends on the width, so rows and columns are moved one by one.
        y, x = np.divmod(a.indices.astype(np.int64), max(a.shape[-1], 1))
        y, x = (y + offset, x) if along_y else (y, x + offset)
        offset += a.shape[axis]
        all_rows.append(a.rows())
        all_pixels.append(y * width + x)
    rows, pixels = np.concatenate(all_rows), np.concatenate(all_pixels)
    # Entries of one frame stand in several pieces: bring rows together, then sort pixels inside them.
    order = np.argsort(rows, kind="stable")
    data, back = carried(np.concatenate([a.data for a in arrays])[order])
    indices = pixels[order].astype(arrays[0].indices.dtype)
    indptr = functools.reduce(np.add, (a.indptr for a in arrays))
    kernels.sort_rows(data, indices, indptr)
    return arrays[0]._make(back(data), indices, indptr, shape)


@_answers(np.stack)
def _stack(arrays: Iterable, axis: int = 0, out: Any = None, **kwargs: Any) -> Any:
    arrays = list(arrays)
    if out is not None or kwargs or not all(isinstance(a, BaseFrames) for a in arrays):
        return NotImplemented
    ndim = len(arrays[0].shape) + 1
    axis = reductions.axis_tuple(axis, ndim)[0]
    if len({a.shape for a in arrays}) != 1 or axis > arrays[0].n_nav:
        return NotImplemented
    return concatenate([np.expand_dims(a, axis) for a in arrays], axis=axis)


# -- values --------------------------------------------------------------------------------------


@_answers(np.where)
def _where(condition: Any, *choice: Any) -> Any:
    """``where(mask, frames, 0)`` and ``where(mask, 0, frames)`` are products with a mask."""
    if len(choice) != 2 or isinstance(condition, BaseFrames):
        return NotImplemented
    x, y = choice
    condition = np.asarray(condition)
    if condition.dtype != np.bool_:
        condition = condition != 0
    for frames, other, keep in ((x, y, condition), (y, x, ~condition)):
        if isinstance(frames, BaseFrames) and np.ndim(other) == 0 and not hasattr(other, "mask"):
            if other == 0 and np.result_type(frames.dtype, other) == frames.dtype:
                # NaN times 0 would be NaN, and where() gives 0: cut instead of multiplying.
                if frames.dtype.kind == "f" and not np.isfinite(frames.data).all():
                    return NotImplemented
                return frames * keep
    return NotImplemented


@_answers(np.round, np.around)
def _round(a: CSRFrames, decimals: int = 0, out: Any = None) -> Any:
    if out is not None or a.dtype.kind not in "iuf":
        return NotImplemented
    return cleaned(np.round(a.data, decimals), a)


@_answers(np.clip)
def _clip(a: Any, *args: Any, out: Any = None, **kwargs: Any) -> Any:
    if out is not None or not isinstance(a, BaseFrames):
        return NotImplemented
    bounds = [*args, *kwargs.values()]
    if any(np.ndim(b) for b in bounds if b is not None):
        return NotImplemented
    if np.clip(np.zeros(1, a.dtype), *args, **kwargs)[0] != 0:
        return NotImplemented
    return cleaned(np.clip(a.data, *args, **kwargs), a)


@_answers(np.nan_to_num)
def _nan_to_num(
    x: CSRFrames, copy: bool = True, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> CSRFrames:
    return cleaned(np.nan_to_num(x.data, nan=nan, posinf=posinf, neginf=neginf), x)


@_answers(np.real)
def _real(val: CSRFrames) -> CSRFrames:
    return val.real


@_answers(np.copy)
def _copy(a: CSRFrames, order: str = "K", subok: bool = False) -> CSRFrames:
    return a.copy()


@_answers(np.shape)
def _shape(a: CSRFrames) -> tuple[int, ...]:
    return a.shape


@_answers(np.ndim)
def _ndim(a: CSRFrames) -> int:
    return len(a.shape)


@_answers(np.size)
def _size(a: CSRFrames, axis: int | None = None) -> int:
    return a.size if axis is None else _nothing_of_shape(a).shape[axis]


@_answers(np.result_type)
def _result_type(*args: Any) -> np.dtype:
    return np.result_type(*(_typed(a) for a in args))


@_answers(np.can_cast)
def _can_cast(from_: CSRFrames, to: DTypeLike, casting: Any = "safe") -> bool:
    return np.can_cast(_typed(from_).dtype, to, casting)


@_answers(np.iscomplexobj, np.isrealobj)
def _declined(x: Any) -> Any:
    return NotImplemented


@_answers(np.iscomplexobj)
def _iscomplexobj(x: CSRFrames) -> bool:
    return x.dtype.kind == "c"


def _typed(a: Any) -> Any:
    return np.empty((0,) * len(a.shape), a.dtype) if isinstance(a, BaseFrames) else a


# zeros_like and its kin make buffers that the caller writes into, so they are ndarrays.
def _like(function: Callable) -> Callable:
    def ours(prototype: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(prototype, BaseFrames):
            return NotImplemented
        return function(_nothing_of_shape(prototype).view(), *args, **_full(prototype, kwargs))

    return ours


def _full(prototype: CSRFrames, kwargs: dict) -> dict:
    kwargs = dict(kwargs)
    kwargs["dtype"] = kwargs.get("dtype") or prototype.dtype
    kwargs["order"] = "C"
    kwargs["subok"] = False
    return kwargs


for _function in (np.zeros_like, np.ones_like, np.empty_like):
    _TABLE[_function] = _like(_function)


# -- reductions ----------------------------------------------------------------------------------

_NO_VALUE = np._NoValue


def _plain(a: Any, out: Any, extras: tuple) -> bool:
    """Whether a reduction was requested without the options that only NumPy handles."""
    unusual = (v is not _NO_VALUE and v is not True for v in extras)
    return isinstance(a, BaseFrames) and out is None and not any(unusual)


def _flag(keepdims: Any) -> bool:
    return keepdims is not _NO_VALUE and bool(keepdims)


@_answers(np.sum)
def _sum(
    a: Any,
    axis: int | Sequence[int] | None = None,
    dtype: DTypeLike | None = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = _NO_VALUE,
    where: Any = True,
) -> Any:
    if initial is not _NO_VALUE or not _plain(a, out, (where,)):
        return NotImplemented
    return reductions.sum_over(a, axis, dtype, _flag(keepdims))


@_answers(np.mean)
def _mean(
    a: Any,
    axis: int | Sequence[int] | None = None,
    dtype: DTypeLike | None = None,
    out: Any = None,
    keepdims: Any = False,
    *,
    where: Any = True,
) -> Any:
    if not _plain(a, out, (where,)):
        return NotImplemented
    return reductions.mean(a, axis, dtype, _flag(keepdims))


@_answers(np.max)
def _max(
    a: Any,
    axis: int | Sequence[int] | None = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = _NO_VALUE,
    where: Any = True,
) -> Any:
    if initial is not _NO_VALUE or not _plain(a, out, (where,)):
        return NotImplemented
    return reductions.extreme(a, True, axis, _flag(keepdims))


@_answers(np.min)
def _min(
    a: Any,
    axis: int | Sequence[int] | None = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = _NO_VALUE,
    where: Any = True,
) -> Any:
    if initial is not _NO_VALUE or not _plain(a, out, (where,)):
        return NotImplemented
    return reductions.extreme(a, False, axis, _flag(keepdims))


@_answers(np.any)
def _any(
    a: Any, axis: int | Sequence[int] | None = None, out: Any = None, keepdims: Any = False, *, where: Any = True
) -> Any:
    if not _plain(a, out, (where,)):
        return NotImplemented
    return reductions.logical(a, True, axis, _flag(keepdims))


@_answers(np.all)
def _all(
    a: Any, axis: int | Sequence[int] | None = None, out: Any = None, keepdims: Any = False, *, where: Any = True
) -> Any:
    if not _plain(a, out, (where,)):
        return NotImplemented
    return reductions.logical(a, False, axis, _flag(keepdims))


@_answers(np.count_nonzero)
def _count_nonzero(a: CSRFrames, axis: int | Sequence[int] | None = None, *, keepdims: Any = False) -> Any:
    answer = reductions.sum_over(a.with_data(a.data != 0), axis, np.intp, _flag(keepdims))
    return answer if answer is NotImplemented or answer.ndim else int(answer)


@_answers(np.var)
def _var(
    a: Any,
    axis: int | Sequence[int] | None = None,
    dtype: DTypeLike | None = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    **extras: Any,
) -> Any:
    if extras or not _plain(a, out, ()):
        return NotImplemented
    return reductions.var(a, axis, dtype, ddof, _flag(keepdims))


@_answers(np.std)
def _std(
    a: Any,
    axis: int | Sequence[int] | None = None,
    dtype: DTypeLike | None = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    **extras: Any,
) -> Any:
    if extras or not _plain(a, out, ()):
        return NotImplemented
    return reductions.std(a, axis, dtype, ddof, _flag(keepdims))


def _without_nan(ours: Callable) -> Callable:
    """The nan-function of a reduction: the same wherever there is no NaN to skip."""

    def answer(a: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(a, BaseFrames) or np.isnan(a.data).any():
            return NotImplemented
        return ours(a, *args, **kwargs)

    return answer


for _nan, _plainly in (
    (np.nansum, _sum),
    (np.nanmean, _mean),
    (np.nanmax, _max),
    (np.nanmin, _min),
    (np.nanvar, _var),
    (np.nanstd, _std),
):
    _TABLE[_nan] = _without_nan(_plainly)
