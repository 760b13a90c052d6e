"""NumPy's element-wise functions on CSR frames.

A function that maps zero to zero needs only the stored entries. Whether it does is not looked up
in a list but found by calling the function itself, with the very operands at hand, so that ``x * nan``,
``x / 0`` or ``x < 1`` come out dense as they must.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike
from sparse import SparseArray

from rsciio_tpx3.csr import kernels
from rsciio_tpx3.csr.base import BaseFrames, dense_all, drop_zeros
from rsciio_tpx3.csr.dtypes import is_stored

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames

__all__ = ["FILLED_SHARE", "call_ufunc", "compact", "probe"]

FILLED_SHARE = 1 / 8
"""Share of pixels without an entry that may get one, as by 0 / 0: the frames stay the smaller form up to there."""


def call_ufunc(ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any:
    """What ``__array_ufunc__`` of the frames answers: sparse where possible, else NumPy's."""
    out = kwargs.get("out") or ()
    if any(isinstance(o, BaseFrames) for o in out):
        raise ValueError("output array is read-only: CSRFrames cannot be written to.")
    if not all(_is_ours(x) for x in (*inputs, *out)):
        return NotImplemented
    if method == "reduce":
        return _reduce(ufunc, inputs, kwargs)
    if method == "__call__" and ufunc.nout == 1 and ufunc.signature is None:
        if not out and kwargs.get("where", True) is True:
            with np.errstate(all="ignore"):
                answer = _on_entries(ufunc, inputs, kwargs)
            if answer is not NotImplemented:
                return answer
    return getattr(ufunc, method)(*dense_all(tuple(inputs)), **dense_all(kwargs))


def _is_ours(x: Any) -> bool:
    """Whether NumPy or we know `x`; dask arrays and signals answer for themselves."""
    known = isinstance(x, np.ndarray | np.generic | SparseArray)
    return known or not hasattr(x, "__array_ufunc__")


_FUNCTION_OF: dict[np.ufunc, Callable] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_or: np.any,
    np.logical_and: np.all,
}


def _reduce(ufunc: np.ufunc, inputs: tuple, kwargs: dict) -> Any:
    function = _FUNCTION_OF.get(ufunc)
    (frames,) = inputs
    kwargs = dict(kwargs)
    kwargs.setdefault("axis", 0)
    if function is None or kwargs.get("out") or kwargs.get("where", True) is not True:
        return ufunc.reduce(dense_all(frames), **kwargs)
    kwargs = {k: v for k, v in kwargs.items() if v is not None or k == "axis"}
    if function in (np.max, np.min, np.any, np.all) and kwargs.pop("dtype", None) is not None:
        return ufunc.reduce(dense_all(frames), **kwargs)
    return function(frames, **kwargs)


def _on_entries(ufunc: np.ufunc, inputs: tuple, kwargs: dict) -> Any:
    """The answer computed on stored entries, or NotImplemented if zeros do not stay zero."""
    ours = [x for x in inputs if isinstance(x, BaseFrames)]
    others = [x for x in inputs if not isinstance(x, BaseFrames)]
    # Two arrays of frames meet at the union of their entries; with anything dense, entries alone are looked at.
    if len(ours) == 2 and not others:
        a, b = inputs
        return _two(ufunc, a, b, kwargs)
    if len(ours) != 1 or any(isinstance(x, SparseArray) for x in others):
        return NotImplemented
    (frames,) = ours
    values = [_values_at(x, frames) for x in others]
    if any(v is None for v in values):
        return NotImplemented
    # What the function makes of a zero decides: nothing, a value at few pixels, or a dense answer.
    filled = _of_zero(ufunc, inputs, kwargs, frames.shape)
    if filled is None:
        return NotImplemented
    at_entries = iter(values)
    operands = (frames.data if x is frames else next(at_entries) for x in inputs)
    made = ufunc(*operands, **kwargs)
    return cleaned(made, frames) if filled.size == 0 else _with_filled(made, frames, filled)


_UNCHANGED = np.zeros(0, bool)


def _of_zero(ufunc: np.ufunc, inputs: tuple, kwargs: dict, shape: tuple[int, ...]) -> np.ndarray | None:
    """What the function makes of zeros: nothing else anywhere (an empty array), values for few of them, or None."""
    zeros = (np.zeros(1, x.dtype) if isinstance(x, BaseFrames) else _example(x, shape) for x in inputs)
    result = ufunc(*zeros, **kwargs)
    if not is_stored(result.dtype):
        return None
    if 0 in shape:  # only the type is wanted: what `probe` is for
        return None if np.any(result[~np.isnan(result)]) else _UNCHANGED
    # count_nonzero: NaN must count as something else, and it does.
    n = np.count_nonzero(result)
    if n == 0:
        return _UNCHANGED
    few = result.ndim >= 2 and n <= FILLED_SHARE * result.size
    return result if few and _is_image(result, shape) else None


def _example(x: Any, shape: tuple[int, ...]) -> Any:
    """An operand as small as it tells the same, or examples of its values where it is there for its type alone."""
    if np.ndim(x) == 0:
        return x
    x = np.asarray(x)
    return probe(x.dtype) if x.size == 0 else compact(x, shape)


def probe(dtype: DTypeLike) -> np.ndarray:
    """Values that tell what a function makes of zeros and an operand that is not known yet: 1, 0 and -1.

    A zero of the operand may give NaN (0 / 0), which is left to single chunks.
    """
    dtype = np.dtype(dtype)
    return np.array([1, 0, -1] if dtype.kind in "ifc" else [1, 0, 2]).astype(dtype)


def compact(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array without the repetitions of broadcasting along axes of `shape`, along which it broadcasts again."""
    first = x.ndim - len(shape)
    repeats = (
        i >= first and n > 1 and step == 0 and shape[i - first] == n
        for i, (n, step) in enumerate(zip(x.shape, x.strides, strict=True))
    )
    return x[tuple(slice(0, 1) if again else slice(None) for again in repeats)]


def _is_image(x: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether the array has one value for each frame, or one for each pixel of the detector."""
    x = x.reshape((1,) * (len(shape) - x.ndim) + x.shape)
    return x.shape[-2:] == (1, 1) or x.shape[:-2] == (1,) * (len(shape) - 2)


def _with_filled(values: np.ndarray, frames: CSRFrames, filled: np.ndarray) -> CSRFrames:
    """Frames with other values, and with entries where zeros became something: whole frames, or pixels of all."""
    filled = filled.reshape((1,) * (len(frames.shape) - filled.ndim) + filled.shape)
    # Zeros of whole frames became something (an operand of navigation shape), or the same pixels of all frames.
    if filled.shape[-2:] == (1, 1):
        new = np.broadcast_to(filled[..., 0, 0], frames.nav_shape).reshape(-1)
        full = np.flatnonzero(new)
        counts = np.zeros(frames.n_frames, np.int64)
        counts[full] = frames.n_pixels
        pixels = np.tile(np.arange(frames.n_pixels, dtype=frames.indices.dtype), full.size)
        there = np.repeat(new[full], frames.n_pixels)
    else:
        new = np.broadcast_to(filled.reshape(filled.shape[-2:]), frames.sig_shape).ravel()
        full = np.flatnonzero(new).astype(frames.indices.dtype)
        counts = np.full(frames.n_frames, full.size, np.int64)
        pixels, there = np.tile(full, frames.n_frames), np.tile(new[full], frames.n_frames)
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    from_a, from_b, pixels, indptr = _union(frames, pixels, indptr)
    made = np.where(from_a >= 0, _taken(values, from_a), _taken(there.astype(values.dtype), from_b))
    return drop_zeros(frames._make(made, pixels, indptr, frames.shape))


def _values_at(x: Any, frames: CSRFrames) -> Any:
    """What of the operand `x` meets each stored entry; None if it does not broadcast to us."""
    if np.ndim(x) == 0:
        return x
    if isinstance(x, np.ma.MaskedArray):  # the answer is masked, too, which frames cannot be
        return None
    x = np.asarray(x)
    try:
        fits = np.broadcast_shapes(x.shape, frames.shape) == frames.shape
    except ValueError:
        fits = False
    if not fits or x.dtype.kind not in "biufc":
        return None
    x = compact(x.reshape((1,) * (len(frames.shape) - x.ndim) + x.shape), frames.shape)
    n_frames = frames.n_frames
    if x.shape[:-2] == (1,) * frames.n_nav:
        return np.broadcast_to(x.reshape(x.shape[-2:]), frames.sig_shape).ravel()[frames.indices]
    counts = np.diff(frames.indptr)
    if x.shape[-2:] == (1, 1):
        per_row = np.broadcast_to(x[..., 0, 0], frames.nav_shape).reshape(n_frames)
        return np.repeat(per_row, counts)
    nav, width = np.unravel_index(frames.rows(), frames.nav_shape), frames.shape[-1]
    places = (*nav, frames.indices // width, frames.indices % width)
    return x[tuple(place if n > 1 else 0 for place, n in zip(places, x.shape, strict=True))]


def _two(ufunc: np.ufunc, a: CSRFrames, b: CSRFrames, kwargs: dict) -> Any:
    """Two stacks of equal shape, entry by entry of the union of their pixels."""
    if a.shape != b.shape:
        return NotImplemented
    of_zeros = ufunc(np.zeros(1, a.dtype), np.zeros(1, b.dtype), **kwargs)
    if not is_stored(of_zeros.dtype) or np.any(of_zeros != 0):
        return NotImplemented
    if a.indices is b.indices and a.indptr is b.indptr:
        return cleaned(ufunc(a.data, b.data, **kwargs), a)
    from_a, from_b, pixels, indptr = _union(a, b.indices, b.indptr)
    values = ufunc(_taken(a.data, from_a), _taken(b.data, from_b), **kwargs)
    return drop_zeros(a._make(values, pixels, indptr, a.shape))


def _union(
    frames: CSRFrames, indices: np.ndarray, indptr: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of the frames and of other rows together: where each comes from in both (-1 for nowhere), and the rows."""
    room = frames.data.size + indices.size
    from_a, from_b = np.empty(room, np.int64), np.empty(room, np.int64)
    pixels = np.empty(room, dtype=np.result_type(frames.indices, indices))
    counts = np.empty(frames.n_frames, dtype=np.int64)
    n = kernels.align_rows(frames.indices, frames.indptr, indices, indptr, from_a, from_b, pixels, counts)
    ends = np.zeros(frames.n_frames + 1, dtype=np.int64)
    np.cumsum(counts, out=ends[1:])
    return from_a[:n], from_b[:n], pixels[:n].copy(), ends


def _taken(data: np.ndarray, entries: np.ndarray) -> np.ndarray:
    out = np.zeros(entries.size, dtype=data.dtype)
    there = entries >= 0
    out[there] = data[entries[there]]
    return out


def cleaned(values: np.ndarray, frames: CSRFrames) -> CSRFrames:
    """New frames without stored zeros; the pixels are shared where none appeared."""
    return drop_zeros(frames.with_data(values))
