"""What a chunk holds: three arrays and a shape, made from other arrays and turned into them.

Operations (`indexing`, `elementwise`, `reductions`, `functions`) stand above this and below `csr_frames`, which joins
them to NumPy's protocols. They make new frames by ``frames._make``, and so of the class of what they were given.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import normalize_token
from numpy.typing import ArrayLike, DTypeLike
from scipy.sparse import csr_array
from sparse import COO, GCXS, SparseArray

from rsciio_tpx3.csr import kernels, memory_limit
from rsciio_tpx3.csr.dtypes import index_arrays, is_stored, native, native_type, unmasked, values_of_frames

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames

__all__ = ["BaseFrames", "dense_all", "drop_zeros"]


class BaseFrames(GCXS):
    """The three arrays and their shape, and the ways in and out; `CSRFrames` adds what can be done with them."""

    def __init__(
        self,
        arg: Any,
        shape: Sequence[int] | None = None,
        compressed_axes: Sequence[int] | None = None,
        prune: bool = False,
        fill_value: Any = None,
        idx_dtype: DTypeLike | None = None,
    ) -> None:
        if not isinstance(arg, tuple | list):
            arg, shape = _parts_of(arg, shape)
        if shape is None:
            raise ValueError("CSRFrames needs shape=nav_shape + (height, width): three arrays do not tell it.")
        shape = tuple(operator.index(n) for n in shape)
        if len(shape) < 2:
            raise ValueError(f"shape {shape} has {len(shape)} axes; frames need at least the two of the detector.")
        if compressed_axes is not None and tuple(compressed_axes) != tuple(range(len(shape) - 2)):
            raise ValueError(
                f"compressed_axes={tuple(compressed_axes)}: CSRFrames compresses all axes but the "
                "last two. Use sparse.GCXS for other layouts."
            )
        if fill_value is not None and fill_value != 0:
            raise ValueError(
                f"fill_value={fill_value!r}: pixels without an entry are zero in CSRFrames. "
                "Use sparse.GCXS for another one."
            )
        # Lengths are compared last: what is wrong with the shape itself has a message of its own.
        data, indices, indptr = arg
        data = np.ascontiguousarray(values_of_frames(data)) if np.ndim(data) else np.asarray(data)
        indices, indptr = index_arrays(indices if idx_dtype is None else np.asarray(indices, idx_dtype), indptr)
        _check_lengths(data, indices, indptr, shape)
        self._set(data, indices, indptr, shape)
        if prune:
            drop_zeros(self)

    def _set(self, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, ...]) -> None:
        self.data = data if data.dtype.isnative else native(data)
        self.indices = indices
        self.indptr = indptr
        self.shape = shape
        self.fill_value = data.dtype.type(0)
        self._compressed_axes = tuple(range(len(shape) - 2))
        self._writeable = False

    @classmethod
    def _make(cls, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, ...]) -> CSRFrames:
        """Wrap arrays that are known to fit: no check, a few microseconds."""
        new = cls.__new__(cls)
        new._set(data, indices, indptr, shape)
        return new

    def __dask_tokenize__(self) -> tuple:
        parts = (self.data, self.indices, self.indptr, self.shape)
        return ("rsciio_tpx3.CSRFrames", *(normalize_token(part) for part in parts))

    # -- what it is ------------------------------------------------------------------------------

    @property
    def n_nav(self) -> int:
        return len(self.shape) - 2

    @property
    def nav_shape(self) -> tuple[int, ...]:
        return self.shape[:-2]

    @property
    def sig_shape(self) -> tuple[int, ...]:
        return self.shape[-2:]

    @property
    def n_frames(self) -> int:
        return math.prod(self.shape[:-2])

    @property
    def n_pixels(self) -> int:
        return self.shape[-2] * self.shape[-1]

    @property
    def nbytes(self) -> int:
        """Bytes that the three arrays hold; the dense form has ``size * dtype.itemsize``."""
        return self.data.nbytes + self.indices.nbytes + self.indptr.nbytes

    @property
    def itemsize(self) -> int:
        return self.data.dtype.itemsize

    @property
    def format(self) -> str:
        return "csr_frames"

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator:
        return (self[i] for i in range(self.shape[0]))

    def __repr__(self) -> str:
        return f"<CSRFrames: shape={self.shape}, dtype={self.dtype}, entries={self.data.size}, {self.nbytes} bytes>"

    __str__ = __repr__

    def check(self) -> None:
        """Raise ValueError unless every row is sorted, unique and inside the detector.

        Reads all of ``indices``; the constructor does not call it.
        """
        steps = np.diff(self.indptr)
        if self.indptr[0] != 0 or (steps < 0).any():
            raise ValueError("indptr must start at 0 and never decrease.")
        if self.indices.size == 0:
            return
        low, high = int(self.indices.min()), int(self.indices.max())
        if low < 0 or high >= self.n_pixels:
            raise ValueError(
                f"pixel numbers from {low} to {high} found, but the detector {self.sig_shape} has "
                f"pixels 0 to {self.n_pixels - 1}. Check the order (y, x) of its shape."
            )
        # One comparison for all rows; steps from one row to the next may fall.
        ascending = np.diff(self.indices.astype(np.int64, copy=False)) > 0
        first = self.indptr[1:-1]
        ascending[first[(first > 0) & (first < self.indices.size)] - 1] = True
        if not ascending.all():
            raise ValueError(
                "a frame holds a pixel twice, or out of order. "
                "CSRFrames.from_scipy(array, nav_shape, sig_shape) sorts and adds up."
            )

    # -- from and to other arrays ----------------------------------------------------------------

    @classmethod
    def from_dense(cls, array: ArrayLike) -> CSRFrames:
        """Frames from a dense array.

        Parameters
        ----------
        array : array_like, shape (..., height, width)

        Returns
        -------
        CSRFrames
            Same shape, same values, and the same dtype in this machine's byte order.

        Raises
        ------
        TypeError
            If the values are of a type that frames cannot have.
        ValueError
            If there are no two detector axes, or values are masked.

        Examples
        --------
        >>> import numpy as np
        >>> from rsciio_tpx3 import CSRFrames
        >>> CSRFrames.from_dense(np.eye(3, dtype=np.uint8)[None]).nnz
        3
        """
        array = unmasked(array)
        if array.ndim < 2:
            raise ValueError(f"an array of shape {array.shape} has no two detector axes; reshape it first.")
        array = values_of_frames(array)
        n_frames, n_pixels = math.prod(array.shape[:-2]), math.prod(array.shape[-2:])
        flat = np.ascontiguousarray(array).reshape(n_frames, n_pixels)
        # NaN and -0.0 differ from the zero of a missing entry in what NumPy makes of them; NaN
        # counts as nonzero, -0.0 equals 0.0 and is dropped.
        rows, pixels = np.nonzero(flat)
        indptr = np.zeros(n_frames + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=n_frames), out=indptr[1:])
        indices: np.ndarray = pixels.astype(_index_dtype(n_pixels), copy=False)
        return cls._make(flat[rows, pixels], indices, indptr, array.shape)

    @classmethod
    def from_numpy(
        cls,
        x: ArrayLike,
        compressed_axes: Sequence[int] | None = None,
        fill_value: Any = None,
        idx_dtype: DTypeLike | None = None,
    ) -> CSRFrames:
        """`from_dense` under the name that `sparse` uses."""
        return cls.from_dense(x)

    @classmethod
    def from_coo(
        cls, x: COO, compressed_axes: Sequence[int] | None = None, idx_dtype: DTypeLike | None = None
    ) -> CSRFrames:
        """From `sparse.COO`, under the name that `sparse` uses."""
        return cls(x)

    @classmethod
    def from_scipy_sparse(cls, x: Any, /, *, fill_value: Any = None) -> CSRFrames:
        """Refused: a matrix does not tell the detector's shape; see `from_scipy`."""
        raise ValueError(
            "a scipy.sparse matrix has no detector axes: use CSRFrames.from_scipy(array, nav_shape, sig_shape)."
        )

    @classmethod
    def from_iter(
        cls,
        x: Any,
        shape: Sequence[int] | None = None,
        compressed_axes: Sequence[int] | None = None,
        fill_value: Any = None,
        idx_dtype: DTypeLike | None = None,
    ) -> CSRFrames:
        """From coordinates and values as :meth:`sparse.COO.from_iter` takes them."""
        return cls(COO.from_iter(x, shape, fill_value))

    def todense(self) -> np.ndarray:
        """All frames as one `numpy.ndarray`, fresh and writable.

        Examples
        --------
        >>> import numpy as np
        >>> from rsciio_tpx3 import CSRFrames
        >>> CSRFrames.from_dense(np.arange(8).reshape(2, 2, 2)).todense()[1]
        array([[4, 5],
               [6, 7]])
        """
        out = np.zeros((self.n_frames, self.n_pixels), dtype=self.dtype)
        if self.dtype != np.float16:
            kernels.fill_dense(self.data, self.indices, self.indptr, out)
        else:  # compiled loops do not know it
            out[self.rows(), self.indices] = self.data
        return out.reshape(self.shape)

    def densified(self) -> np.ndarray:
        """`todense` inside other operations: within the memory limit.

        Raises
        ------
        DenseMemoryError
            If the dense array is larger than `rsciio_tpx3.csr.memory_limit` allows.
        """
        if self.size * self.itemsize > memory_limit.ALWAYS_ALLOWED:
            memory_limit.check(self.shape, self.dtype, "this operation on CSRFrames")
        return self.todense()

    def frame(self, row: int) -> np.ndarray:
        """One frame of the flat navigation range as a fresh ndarray, shape (height, width)."""
        out = np.zeros(self.n_pixels, dtype=self.dtype)
        start, stop = self.indptr[row], self.indptr[row + 1]
        out[self.indices[start:stop]] = self.data[start:stop]
        return out.reshape(self.shape[-2:])

    @classmethod
    def from_scipy(cls, array: Any, nav_shape: tuple[int, ...], sig_shape: tuple[int, ...]) -> CSRFrames:
        """Frames from a scipy.sparse matrix with one row per frame.

        Parameters
        ----------
        array : scipy.sparse array, shape (n_frames, height * width)
            A canonical ``csr_array`` is not copied; other formats are converted, duplicates added.
        nav_shape, sig_shape : tuple of int
            Navigation shape and ``(height, width)``.

        Returns
        -------
        CSRFrames

        Examples
        --------
        >>> import numpy as np
        >>> import scipy.sparse
        >>> from rsciio_tpx3 import CSRFrames
        >>> CSRFrames.from_scipy(scipy.sparse.csr_array(np.eye(4)), (2, 2), (2, 2)).shape
        (2, 2, 2, 2)
        """
        nav_shape, sig_shape = tuple(nav_shape), tuple(sig_shape)
        expected = (math.prod(nav_shape), math.prod(sig_shape))
        if tuple(array.shape) != expected:
            raise ValueError(
                f"the matrix is {tuple(array.shape)}, but nav_shape {nav_shape} and sig_shape "
                f"{sig_shape} need {expected}."
            )
        # Asking for has_canonical_format may sort the owner's arrays later on; so ask, then copy.
        csr = array.tocsr()
        if not csr.has_canonical_format:
            csr = csr.copy() if csr is array else csr
            csr.sum_duplicates()
        return cls((csr.data, csr.indices, csr.indptr), shape=nav_shape + sig_shape)

    def to_scipy(self) -> csr_array:
        """As `scipy.sparse.csr_array`, one row per frame, sharing the arrays.

        Returns
        -------
        scipy.sparse.csr_array, shape (n_frames, height * width)
        """
        # scipy wants one type for both index arrays; the small one is converted where it fits.
        indptr = self.indptr
        if self.data.size <= np.iinfo(self.indices.dtype).max:
            indptr = indptr.astype(self.indices.dtype)
        parts = (self.data, self.indices, indptr)
        return csr_array(parts, shape=(self.n_frames, self.n_pixels), copy=False)

    def to_scipy_sparse(self, /) -> csr_array:
        return self.to_scipy()

    def to_gcxs(self) -> GCXS:
        """As plain `sparse.GCXS` with the same arrays."""
        axes = self._compressed_axes if self.n_nav else None
        if self.n_nav == 0:
            return GCXS.from_coo(self.tocoo())
        parts = (self.data, self.indices, self.indptr)
        return GCXS(parts, shape=self.shape, compressed_axes=axes)

    def tocoo(self) -> COO:
        """As `sparse.COO` with one coordinate per axis."""
        pixels = self.indices.astype(np.int64, copy=False)
        coords = [*np.unravel_index(self.rows(), self.nav_shape)] if self.n_nav else []
        width = max(self.shape[-1], 1)
        coords += [pixels // width, pixels % width]
        return COO(np.stack(coords), self.data, shape=self.shape, has_duplicates=False, sorted=True)

    def asformat(self, format: str, **kwargs: Any) -> SparseArray:
        if format in ("gcxs", "csr_frames"):
            return self
        return self.tocoo().asformat(format, **kwargs)

    def todok(self) -> SparseArray:
        return self.tocoo().asformat("dok")

    def maybe_densify(self, max_size: int = 1000, min_density: float = 0.25) -> np.ndarray:
        if self.size <= max_size or self.density >= min_density:
            return self.todense()
        raise ValueError(f"{self.size} values are more than max_size={max_size}; todense() makes them anyway.")

    def rows(self) -> np.ndarray:
        """Row of every entry, shape (n_entries,), int64."""
        out = np.empty(self.data.size, dtype=np.int64)
        kernels.row_numbers(self.indptr, out)
        return out

    # -- changes of form -------------------------------------------------------------------------

    def with_data(self, data: np.ndarray) -> CSRFrames:
        """The same pixels with other values, shape (n_entries,)."""
        return self._make(data, self.indices, self.indptr, self.shape)

    def astype(
        self, dtype: DTypeLike, order: str = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True
    ) -> CSRFrames | np.ndarray:
        """The same pixels with values of another type, in this machine's byte order whichever is requested.

        Types that frames cannot have, such as long floats, make a dense array.
        """
        dtype = native_type(dtype)
        if dtype == self.dtype:
            return self
        if not is_stored(dtype):
            return self.densified().astype(dtype, casting=casting)
        return self.with_data(self.data.astype(dtype, casting=casting))

    def copy(self, deep: bool = True, order: str = "C") -> CSRFrames:
        """A copy that, unlike every other CSRFrames, accepts assignment to its elements."""
        parts = (self.data, self.indices, self.indptr)
        if deep:
            parts = tuple(part.copy() for part in parts)
        new = self._make(*parts, self.shape)
        new._writeable = True
        return new

    def __copy__(self) -> CSRFrames:
        return self._make(self.data, self.indices, self.indptr, self.shape)

    def __deepcopy__(self, memo: dict) -> CSRFrames:
        return self.copy()

    def __setitem__(self, key: Any, value: Any) -> None:
        if not self._writeable:
            raise ValueError(
                "CSRFrames cannot be changed in place, since chunks are shared. "
                "Assign to frames.copy(), or to the ndarray frames.todense()."
            )
        dense = self.todense()
        dense[dense_all(key)] = dense_all(value)
        new = self.from_dense(dense)
        self.data, self.indices, self.indptr = new.data, new.indices, new.indptr


def _index_dtype(n_pixels: int) -> type:
    return np.int32 if n_pixels <= np.iinfo(np.int32).max else np.int64


def dense_all(value: Any) -> Any:
    """`value` with every sparse array in it made dense, tuples, lists and dicts searched."""
    if isinstance(value, SparseArray):
        return value.densified() if isinstance(value, BaseFrames) else value.todense()
    if type(value) in (tuple, list):
        return type(value)(dense_all(v) for v in value)
    if type(value) is dict:
        return {k: dense_all(v) for k, v in value.items()}
    return value


def _parts_of(
    array: Any, shape: Sequence[int] | None
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], Sequence[int]]:
    """The three arrays and the shape of anything that holds frames."""
    if isinstance(array, BaseFrames):
        frames = array
    elif isinstance(array, SparseArray):
        frames = _from_coo(array.asformat("coo"))
    elif hasattr(array, "tocsr"):
        if shape is None:
            raise ValueError("a scipy.sparse matrix has no detector axes: give shape=(..., h, w).")
        frames = BaseFrames.from_scipy(array, tuple(shape)[:-2], tuple(shape)[-2:])
    else:
        frames = BaseFrames.from_dense(array)
    shape = frames.shape if shape is None else shape
    if math.prod(shape) != frames.size or tuple(shape[-2:]) != frames.sig_shape:
        raise ValueError(f"an array of shape {frames.shape} does not make frames of {shape}.")
    return (frames.data, frames.indices, frames.indptr), shape


def _from_coo(coo: COO) -> BaseFrames:
    if coo.ndim < 2:
        raise ValueError(f"an array of shape {coo.shape} has no two detector axes.")
    if coo.fill_value != 0:
        raise ValueError(f"fill_value is {coo.fill_value!r}; CSRFrames need 0.")
    nav_shape, (height, width) = coo.shape[:-2], coo.shape[-2:]
    n_frames = math.prod(nav_shape)
    coords = coo.coords.astype(np.int64, copy=False)
    rows = np.ravel_multi_index(tuple(coords[:-2]), nav_shape) if nav_shape else 0 * coords[0]
    pixels = coords[-2] * width + coords[-1]
    # sparse sorts its coordinates by default, but need not have: a sort of what is sorted is cheap.
    order = np.argsort(rows * (height * width) + pixels, kind="stable")
    indptr = np.zeros(n_frames + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=n_frames), out=indptr[1:])
    indices = pixels[order].astype(_index_dtype(height * width), copy=False)
    return BaseFrames._make(coo.data[order], indices, indptr, coo.shape)


def _check_lengths(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, ...]) -> None:
    n_frames = math.prod(shape[:-2])
    if data.ndim != 1 or indices.shape != data.shape or indptr.ndim != 1:
        raise ValueError(
            f"data, indices and indptr have shapes {data.shape}, {indices.shape} and "
            f"{indptr.shape}; needed are two of equal length and one of one axis."
        )
    if indptr.size != n_frames + 1:
        raise ValueError(f"indptr describes {indptr.size - 1} frames but nav_shape {shape[:-2]} needs {n_frames}.")
    if indptr[0] != 0 or indptr[-1] != data.size:
        raise ValueError(
            f"indptr runs from {indptr[0]} to {indptr[-1]}; it must run from 0 to the number of "
            f"entries, {data.size}. Subtract indptr[0] and cut data and indices to match."
        )


def drop_zeros(frames: CSRFrames) -> CSRFrames:
    """Remove stored zeros, in place: for arrays that nobody else has seen yet."""
    keep = frames.data != 0
    if keep.all():
        return frames
    n_before = np.zeros(keep.size + 1, dtype=np.int64)
    np.cumsum(keep, out=n_before[1:])
    frames.data, frames.indices = frames.data[keep], frames.indices[keep]
    frames.indptr = n_before[frames.indptr]
    return frames
