"""The chunk class: counted detector frames as CSR rows that behave like a NumPy array.

Each row is one detector frame, each index is ``y * width + x``. What has a cheap sparse answer is
answered on the three arrays (`indexing`, `elementwise`, `reductions`, `functions`); everything
else is answered by NumPy on a dense copy of this one chunk, so no NumPy function fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from sparse import GCXS, SparseArray

from rsciio_tpx3.csr.base import BaseFrames
from rsciio_tpx3.csr.dask_register import register_with_dask
from rsciio_tpx3.csr.elementwise import call_ufunc
from rsciio_tpx3.csr.functions import call, reshape
from rsciio_tpx3.csr.indexing import getitem

__all__ = ["CSRFrames"]


class CSRFrames(BaseFrames):
    """A stack of sparse detector frames with any number of navigation axes.

    A :class:`sparse.GCXS` whose navigation axes are compressed and whose last two axes are the
    detector. It cannot be changed in place; slices share memory with it.

    Parameters
    ----------
    arg : tuple of (data, indices, indptr), array, or sparse array
        ``data`` (n_entries,) are the counts, ``indices`` (n_entries,) the pixels
        ``y * width + x``, ascending and unique within a frame, ``indptr`` (n_frames + 1,) where
        each frame starts. The arrays are used as they are, not copied, where they are contiguous,
        in this machine's byte order, and ``indices`` int32 or int64. Dense arrays, `sparse` and
        `scipy.sparse` arrays are converted.
    shape : tuple of int
        ``nav_shape + (height, width)``. May be omitted when `arg` has a shape.

    Attributes
    ----------
    data, indices, indptr : numpy.ndarray
        As above; ``indptr`` is int64, ``indices`` int32 where the detector allows it.
    nav_shape, sig_shape : tuple of int
        The two parts of `shape`.
    n_nav : int
        Number of navigation axes.
    n_frames : int
        Number of frames, the product of `nav_shape`.

    Raises
    ------
    ValueError
        If the arrays do not describe that many frames, or have different lengths. The content of
        ``indices`` is not read: see `check`.
    TypeError
        If the values are of a type that frames cannot have: long floats, objects, times, structures.

    Examples
    --------
    >>> import numpy as np
    >>> from rsciio_tpx3 import CSRFrames
    >>> counts = np.array([3, 1, 2], dtype=np.uint8)
    >>> pixels = np.array([1, 5, 0], dtype=np.int32)
    >>> frames = CSRFrames((counts, pixels, np.array([0, 2, 3])), shape=(2, 2, 4))
    >>> frames[0]
    array([[0, 3, 0, 0],
           [0, 1, 0, 0]], dtype=uint8)
    >>> frames.sum(axis=(-2, -1))
    array([4, 2], dtype=uint64)
    """

    # Above numpy.ma (15): mixed expressions come to us, and dask picks our functions.
    __array_priority__ = 20

    def __reduce__(self) -> tuple:
        return _restore, (self.data, self.indices, self.indptr, self.shape)

    def __getitem__(self, key: Any) -> Any:
        return getitem(self, key)

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
        if len(shape) == 1 and not np.isscalar(shape[0]):
            shape = tuple(shape[0])
        return reshape(self, shape, order=order)

    def transpose(self, *axes: Any) -> CSRFrames | np.ndarray:
        if len(axes) == 1 and (axes[0] is None or not np.isscalar(axes[0])):
            axes = axes[0]
        return np.transpose(self, axes or None)

    @property
    def T(self) -> CSRFrames | np.ndarray:
        return np.transpose(self)

    # -- NumPy's protocols -----------------------------------------------------------------------

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("CSRFrames have no dense memory to share; a copy is unavoidable.")
        dense = self.densified()
        return dense if dtype is None else dense.astype(dtype, copy=False)

    def __array_function__(self, func: Callable, types: Iterable[type], args: tuple, kwargs: dict) -> Any:
        if not all(issubclass(kind, np.ndarray | SparseArray) for kind in types):
            return NotImplemented
        return call(func, args, kwargs)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return call_ufunc(ufunc, method, inputs, kwargs)

    def __getattr__(self, name: str) -> Any:
        # Whatever else an ndarray can do is done by a dense copy. Private names stay unknown:
        # array interfaces would hand out memory that we do not have.
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"'CSRFrames' object has no attribute {name!r}")
        if callable(getattr(np.ndarray, name)):
            # Not before it is called: hasattr() must cost nothing.
            return lambda *args, **kwargs: getattr(self.densified(), name)(*args, **kwargs)
        return getattr(self.densified(), name)

    @property
    def flags(self) -> SimpleNamespace:
        """What dask asks after indexing: a view of a much larger chunk is copied then."""
        return SimpleNamespace(
            owndata=self.data.flags.owndata,
            writeable=self._writeable,
            c_contiguous=True,
            f_contiguous=False,
            aligned=True,
        )

    @property
    def __array_namespace__(self) -> Any:
        # Inherited, it would send array-API callers to the functions of `sparse`, whose integer
        # sums are narrower than NumPy's. Without it they use NumPy, and that comes to us.
        raise AttributeError("CSRFrames follow NumPy's protocols; there is no array namespace.")

    def __bool__(self) -> bool:
        return bool(self.todense())

    def _to_scalar(self, builtin: Callable) -> Any:
        return builtin(self.todense())

    def __matmul__(self, other: Any) -> Any:
        return np.matmul(self, other)

    def dot(self, other: Any) -> Any:
        return np.dot(self, other)

    def flatten(self, order: Any = "C") -> np.ndarray:
        return self.todense().flatten(order)

    def round(self, decimals: int = 0, out: Any = None) -> Any:
        return np.round(self, decimals, out=out)

    round_ = round

    def clip(self, min: Any = None, max: Any = None, out: Any = None, **kwargs: Any) -> Any:
        return np.clip(self, min, max, out=out, **kwargs)

    def conj(self) -> Any:
        return np.conjugate(self)

    conjugate = conj

    def isnan(self) -> Any:
        return np.isnan(self)

    def isinf(self) -> Any:
        return np.isinf(self)

    @property
    def real(self) -> CSRFrames:
        return self.with_data(np.ascontiguousarray(self.data.real))

    @property
    def imag(self) -> CSRFrames:
        return self.with_data(np.ascontiguousarray(self.data.imag))

    def change_compressed_axes(self, new_compressed_axes: Sequence[int]) -> GCXS:
        return self.to_gcxs().change_compressed_axes(new_compressed_axes)

    def reduce(
        self, method: np.ufunc, axis: int | Sequence[int] | None = (0,), keepdims: bool = False, **kwargs: Any
    ) -> Any:
        return method.reduce(self, axis=axis, keepdims=keepdims, **kwargs)


def _add_reductions() -> None:
    """Give the class ndarray's reducing methods, each NumPy's function of the same name."""
    names = "sum prod min max mean var std any all argmax argmin cumsum cumprod ptp".split()
    for name in names:
        function = getattr(np, name)

        def method(
            self: CSRFrames,
            axis: int | Sequence[int] | None = None,
            *args: Any,
            _function: Callable = function,  # bound now, or all methods were the last one
            **kwargs: Any,
        ) -> Any:
            return _function(self, axis, *args, **kwargs)

        method.__name__ = name
        method.__doc__ = f"As :func:`numpy.{name}`; the answer for a dense array of these values."
        setattr(CSRFrames, name, method)
    CSRFrames.amax, CSRFrames.amin = CSRFrames.max, CSRFrames.min


def _refuse_in_place() -> None:
    """In-place operators make a new array, as they do for every immutable Python object."""

    def not_in_place(self: CSRFrames, other: Any) -> Any:
        return NotImplemented

    for name in "add sub mul truediv floordiv mod pow and or xor lshift rshift matmul".split():
        setattr(CSRFrames, f"__i{name}__", not_in_place)


_add_reductions()
_refuse_in_place()


def _restore(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, ...]) -> CSRFrames:
    return CSRFrames._make(data, indices, indptr, shape)


# workers unpickle chunks without ever calling to_dask: dask must know the class there too
register_with_dask(CSRFrames)
