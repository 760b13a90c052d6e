"""Arrays of a counted file to canonical CSR rows: what is checked before anything may index with them.

Files hold any integer type and byte order, and CSR itself promises neither sorted nor unique entries
in a row. Everything above relies on both, and a pixel number outside the detector would be read by
compiled code that does not look. So every span that is read passes here, at the speed of memory.
"""

import numpy as np
from scipy.sparse import csr_array

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.dtypes import native
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.utils.compiled import njit

__all__ = ["canonical_frames", "index_type", "native"]

_ASCENDING, _REPEATS, _UNSORTED = 0, 1, 2


def index_type(n_pixels: int) -> np.dtype:
    """Smallest of int32 and int64 that holds every pixel number."""
    return np.dtype(np.int32 if n_pixels <= np.iinfo(np.int32).max else np.int64)


def canonical_frames(
    data: np.ndarray | None,
    indices: np.ndarray,
    indptr: np.ndarray,
    sig_shape: tuple[int, ...],
    dtype: np.dtype,
    where: str,
    start: int = 0,
) -> CSRFrames:
    """Frames of arrays from a file, checked, sorted and added up.

    Parameters
    ----------
    data : numpy.ndarray, shape (n_entries,), or None
        Values; None counts how often a pixel is named.
    indices : numpy.ndarray of any integer type, shape (n_entries,)
        Pixels ``y * width + x``.
    indptr : numpy.ndarray of int64, shape (n_rows + 1,)
        From 0 to n_entries, never decreasing.
    sig_shape : tuple of int
        Detector ``(height, width)``.
    dtype : numpy.dtype
        Type of the result's values, which must hold every value exactly.
    where : str
        For errors: the file.
    start : int
        For errors: flat scan position of the first row.

    Returns
    -------
    CSRFrames, shape (n_rows, height, width)
        Shares memory with the arguments where they are canonical already.

    Raises
    ------
    ValueError
        If a pixel number lies outside the detector, or rows do not follow each other.
    OverflowError
        If a value, or the sum over a repeated pixel, does not fit in `dtype`.
    """
    n_pixels = int(sig_shape[0]) * int(sig_shape[1])
    _check_rows(indptr, len(indices), where, start)
    indices = native(_inside(indices, indptr, sig_shape, where, start))
    indices = indices.astype(index_type(n_pixels), copy=False)
    order = _order(indices, indptr)
    if data is None and order == _UNSORTED:
        order, indices = _insert(indices, indptr)
    if data is None and order == _REPEATS:
        data, indices, indptr = _count(indices, indptr)
    else:
        data = np.ones(len(indices), np.uint8) if data is None else native(data)
        if order != _ASCENDING:
            add_up = _sorted_sums if order == _UNSORTED else _neighbour_sums
            data, indices, indptr = add_up(_widest(data), indices, indptr, n_pixels)
    shape = (len(indptr) - 1, *(int(n) for n in sig_shape))
    return CSRFrames((_as_type(data, indptr, np.dtype(dtype), where, start), indices, indptr), shape=shape)


def _check_rows(indptr: np.ndarray, n_entries: int, where: str, start: int) -> None:
    """Refuse rows along which compiled loops would leave the arrays."""
    back = np.flatnonzero(np.diff(indptr) < 0)
    if len(back):
        raise Tpx3FormatError(
            f"{where} has a row that ends before it begins, at position {start + int(back[0])}. The file is damaged, "
            "or changed while it was read."
        )
    if int(indptr[0]) != 0 or int(indptr[-1]) != n_entries:
        raise Tpx3FormatError(
            f"{where} has {n_entries} entries where its rows run from {int(indptr[0])} to {int(indptr[-1])}. The file "
            "is damaged, or changed while it was read."
        )


def _first(wrong: np.ndarray, indptr: np.ndarray, start: int) -> int:
    """Flat scan position of the first entry that is wrong."""
    return start + int(np.searchsorted(indptr, np.argmax(wrong), "right")) - 1


def _inside(indices: np.ndarray, indptr: np.ndarray, sig_shape: tuple[int, ...], where: str, start: int) -> np.ndarray:
    n_pixels = int(sig_shape[0]) * int(sig_shape[1])
    if len(indices):
        low, high = int(indices.min()), int(indices.max())
        if low < 0 or high >= n_pixels:
            raise Tpx3FormatError(
                f"{where} holds pixel numbers from {low} to {high}, but a detector of {sig_shape[0]} rows and "
                f"{sig_shape[1]} columns has pixels 0 to {n_pixels - 1}. The first that is none is at position "
                f"{_first((indices < 0) | (indices >= n_pixels), indptr, start)}. Correct the detector shape "
                "(signal_shape), or the type or byte order of the pixel numbers."
            )
    return indices


@njit(nogil=True, cache=True)
def _order(indices: np.ndarray, indptr: np.ndarray) -> int:
    """Whether rows ascend, ascend with repeats, or neither."""
    found = _ASCENDING
    for row in range(len(indptr) - 1):
        for i in range(indptr[row] + 1, indptr[row + 1]):
            if indices[i] < indices[i - 1]:
                return _UNSORTED
            if indices[i] == indices[i - 1]:
                found = _REPEATS
    return found


def _insert(indices: np.ndarray, indptr: np.ndarray) -> tuple[int, np.ndarray]:
    """Rows sorted by insertion, which is fast where little is out of place, and their order; as they are otherwise."""
    inserted = indices.copy()
    return (_REPEATS, inserted) if _insert_rows(inserted, indptr) else (_UNSORTED, indices)


@njit(nogil=True, cache=True)
def _insert_rows(indices: np.ndarray, indptr: np.ndarray) -> bool:
    """Sort rows in place; False, with some of them sorted, as soon as it takes long."""
    moves = np.int64(0)
    for row in range(len(indptr) - 1):
        first = indptr[row]
        for i in range(first + 1, indptr[row + 1]):
            value, at = indices[i], i
            while at > first and indices[at - 1] > value:
                indices[at] = indices[at - 1]
                at -= 1
            indices[at] = value
            moves += i - at
            if moves > 16 * (i + 64):
                return False
    return True


def _widest(data: np.ndarray) -> np.ndarray:
    """The same values in a type in which sums do not overflow."""
    return data.astype({"b": np.uint64, "u": np.uint64, "i": np.int64}.get(data.dtype.kind, data.dtype))


def _sorted_sums(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, n_pixels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows sorted, repeated pixels added up."""
    rows = csr_array((data, indices.copy(), indptr.copy()), shape=(len(indptr) - 1, n_pixels))
    rows.sum_duplicates()
    return rows.data, rows.indices.astype(index_type(n_pixels), copy=False), rows.indptr.astype(np.int64)


def _neighbour_sums(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, n_pixels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same for rows that are sorted already."""
    first = np.ones(len(indices), bool)
    first[1:] = indices[1:] != indices[:-1]
    starts = indptr[:-1]
    first[starts[starts < len(indices)]] = True
    n_distinct = np.concatenate([[0], np.cumsum(first)])
    at = np.flatnonzero(first)
    return np.add.reduceat(data, at), indices[at], n_distinct[indptr]


@njit(nogil=True, cache=True)
def _count(indices: np.ndarray, indptr: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of pixels in rows that are sorted already."""
    counts = np.empty(len(indices), np.uint32)
    pixels = np.empty_like(indices)
    ends = np.empty_like(indptr)
    ends[0] = 0
    n = 0
    for row in range(len(indptr) - 1):
        begin = n
        for i in range(indptr[row], indptr[row + 1]):
            # Equal pixels stand next to each other, so the last entry written is the only one to compare with.
            if n > begin and pixels[n - 1] == indices[i]:
                counts[n - 1] += 1
            else:
                pixels[n] = indices[i]
                counts[n] = 1
                n += 1
        ends[row + 1] = n
    return counts[:n].copy(), pixels[:n].copy(), ends


def _as_type(data: np.ndarray, indptr: np.ndarray, dtype: np.dtype, where: str, start: int) -> np.ndarray:
    if data.dtype == dtype:
        return data
    if dtype.kind in "iu" and data.dtype.kind in "iu" and len(data):
        limits = np.iinfo(dtype)
        low, high = int(data.min()), int(data.max())
        if low < limits.min or high > limits.max:
            raise OverflowError(
                f"{where} holds values from {low} to {high}, more than {dtype} can hold, the first of them at position "
                f"{_first((data < limits.min) | (data > limits.max), indptr, start)}. "
                f"Load with dtype={_wider(low, high)!r}."
            )
    cast = data.astype(dtype)
    # integers into floats and back, or floats into integers: exact, or not at all
    if data.dtype.kind != dtype.kind and not np.array_equal(cast, data, equal_nan=dtype.kind == "f"):
        raise OverflowError(
            f"{where} holds {data.dtype} values that {dtype} cannot hold exactly. Leave dtype out, or convert "
            "after loading."
        )
    return cast


def _wider(low: int, high: int) -> str:
    kinds = ("uint8", "uint16", "uint32", "uint64") if low >= 0 else ("int8", "int16", "int32", "int64")
    return next(k for k in kinds if np.iinfo(k).min <= low and high <= np.iinfo(k).max)
