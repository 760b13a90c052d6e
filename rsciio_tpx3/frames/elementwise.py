"""NumPy's element-wise functions on CSR frames.

A function that maps zero to zero needs only the stored entries. Whether it does is not looked up
in a list but asked of the function itself, with the very operands at hand, so that ``x * nan``,
``x / 0`` or ``x < 1`` come out dense as they must.
"""

import numpy as np
from sparse import SparseArray

from rsciio_tpx3.frames import kernels
from rsciio_tpx3.frames.csr_frames import CSRFrames, _dense_all, _drop_zeros

__all__ = ["call_ufunc"]


def call_ufunc(ufunc, method, inputs, kwargs):
    """What ``__array_ufunc__`` of the frames answers: sparse where possible, else NumPy's."""
    out = kwargs.get("out") or ()
    if any(isinstance(o, CSRFrames) for o in out):
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
    return getattr(ufunc, method)(*_dense_all(tuple(inputs)), **_dense_all(kwargs))


def _is_ours(x):
    """Whether NumPy or we know `x`; dask arrays and signals answer for themselves."""
    known = isinstance(x, np.ndarray | np.generic | SparseArray)
    return known or not hasattr(x, "__array_ufunc__")


_FUNCTION_OF = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_or: np.any,
    np.logical_and: np.all,
}


def _reduce(ufunc, inputs, kwargs):
    function = _FUNCTION_OF.get(ufunc)
    (frames,) = inputs
    kwargs = dict(kwargs)
    kwargs.setdefault("axis", 0)
    if function is None or kwargs.get("out") or kwargs.get("where", True) is not True:
        return ufunc.reduce(_dense_all(frames), **kwargs)
    kwargs = {k: v for k, v in kwargs.items() if v is not None or k == "axis"}
    if function in (np.max, np.min, np.any, np.all) and kwargs.pop("dtype", None) is not None:
        return ufunc.reduce(_dense_all(frames), **kwargs)
    return function(frames, **kwargs)


def _on_entries(ufunc, inputs, kwargs):
    """The answer computed on stored entries, or NotImplemented if zeros do not stay zero."""
    ours = [x for x in inputs if isinstance(x, CSRFrames)]
    others = [x for x in inputs if not isinstance(x, CSRFrames)]
    if len(ours) == 2 and not others:
        return _two(ufunc, *inputs, kwargs)
    if len(ours) != 1 or any(isinstance(x, SparseArray) for x in others):
        return NotImplemented
    (frames,) = ours
    values = [_values_at(x, frames) for x in others]
    if any(v is None for v in values):
        return NotImplemented
    if _of_zero(ufunc, inputs, kwargs):
        return NotImplemented
    at_entries = iter(values)
    operands = (frames.data if x is frames else next(at_entries) for x in inputs)
    return _cleaned(ufunc(*operands, **kwargs), frames)


def _of_zero(ufunc, inputs, kwargs):
    """Whether the function makes something else of a zero anywhere."""
    zeros = (np.zeros(1, x.dtype) if isinstance(x, CSRFrames) else x for x in inputs)
    result = ufunc(*zeros, **kwargs)
    # Not any(result != 0): NaN must count as something else, and it does compare unequal.
    return result.dtype.kind not in "biufc" or bool(np.any(result != 0))


def _values_at(x, frames):
    """What of the operand `x` meets each stored entry; None if it does not broadcast to us."""
    if np.ndim(x) == 0:
        return x
    x = np.asarray(x)
    try:
        fits = np.broadcast_shapes(x.shape, frames.shape) == frames.shape
    except ValueError:
        fits = False
    if not fits or isinstance(x, np.ma.MaskedArray) or x.dtype.kind not in "biufc":
        return None
    x = x.reshape((1,) * (len(frames.shape) - x.ndim) + x.shape)
    n_frames, n_pixels = frames.n_frames, frames.n_pixels
    if x.shape[:-2] == (1,) * frames.n_nav:
        return np.broadcast_to(x.reshape(x.shape[-2:]), frames.sig_shape).ravel()[frames.indices]
    counts = np.diff(frames.indptr)
    if x.shape[-2:] == (1, 1):
        per_row = np.broadcast_to(x[..., 0, 0], frames.nav_shape).reshape(n_frames)
        return np.repeat(per_row, counts)
    full = np.broadcast_to(x, frames.shape).reshape(n_frames, n_pixels)
    return full[frames.rows(), frames.indices]


def _two(ufunc, a, b, kwargs):
    """Two stacks of equal shape, entry by entry of the union of their pixels."""
    if a.shape != b.shape:
        return NotImplemented
    if np.any(ufunc(np.zeros(1, a.dtype), np.zeros(1, b.dtype), **kwargs) != 0):
        return NotImplemented
    if a.indices is b.indices and a.indptr is b.indptr:
        return _cleaned(ufunc(a.data, b.data, **kwargs), a)
    room = a.data.size + b.data.size
    from_a, from_b = np.empty(room, np.int64), np.empty(room, np.int64)
    pixels = np.empty(room, dtype=np.result_type(a.indices, b.indices))
    counts = np.empty(a.n_frames, dtype=np.int64)
    arrays = (a.indices, a.indptr, b.indices, b.indptr)
    n = kernels.align_rows(*arrays, from_a, from_b, pixels, counts)
    indptr = np.zeros(a.n_frames + 1, dtype=np.int64)
    np.cumsum(counts, out=indptr[1:])
    values = ufunc(_taken(a.data, from_a[:n]), _taken(b.data, from_b[:n]), **kwargs)
    return _drop_zeros(CSRFrames._make(values, pixels[:n].copy(), indptr, a.shape))


def _taken(data, entries):
    out = np.zeros(entries.size, dtype=data.dtype)
    there = entries >= 0
    out[there] = data[entries[there]]
    return out


def _cleaned(values, frames):
    """New frames without stored zeros; the pixels are shared where none appeared."""
    return _drop_zeros(frames.with_data(values))
