"""Which types of numbers frames may have, and how compiled loops get the others.

Compiled loops know the machine's own byte order, and neither half nor long floats. The other byte order is common in
files that are mapped into memory (Medipix, TIFF, raw data), and is turned where frames are made. Half floats are what
NumPy makes of the square root of one-byte counts; frames keep them, and loops get them as single precision. All
other types are refused where frames are made, so that nothing fails later, far from the cause.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

__all__ = [
    "carried",
    "countable",
    "index_arrays",
    "is_stored",
    "native",
    "native_type",
    "sum_for_floats",
    "sum_type",
    "unmasked",
    "values_of_frames",
]

_STORED = frozenset(
    "?bBhHiIlLqQefdFD"
)  # booleans, integers, floats and complex numbers; no long doubles, dates or objects
_INDEX_TYPES = (np.dtype(np.int32), np.dtype(np.int64))


def is_stored(dtype: DTypeLike) -> bool:
    """Whether frames may have values of this type, in either byte order."""
    return np.dtype(dtype).char in _STORED


def native_type(dtype: DTypeLike) -> np.dtype:
    """The type in this machine's byte order."""
    return np.dtype(dtype).newbyteorder("=")


def native(array: ArrayLike) -> np.ndarray:
    """The array in this machine's byte order, not copied where it is already."""
    array = np.asarray(array)
    return array if array.dtype.isnative else array.astype(native_type(array.dtype))


def values_of_frames(array: ArrayLike) -> np.ndarray:
    """An array as values of frames: in this machine's byte order.

    Raises
    ------
    TypeError
        If frames cannot have values of this type; before anything is done with them.
    """
    array = np.asarray(array)
    if not is_stored(array.dtype):
        raise TypeError(
            f"{array.dtype} values cannot be sparse frames: needed are bool, integers, or real or complex floats of at "
            f"most double precision. {_remedy(array.dtype)}"
        )
    return native(array)


def unmasked(array: ArrayLike) -> np.ndarray:
    """A dense array without the mask that NumPy's masked arrays carry.

    Raises
    ------
    ValueError
        If any value is masked: frames have no masks, and a value that was to be excluded would count again.
    """
    if isinstance(array, np.ma.MaskedArray):
        n = np.ma.count_masked(array)
        if n:
            raise ValueError(
                f"{n} of {array.size} values are masked, and sparse frames have no masks: they would count again. Say "
                "what they are first, as with array.filled(0)."
            )
    return np.asarray(array)


def _remedy(dtype: np.dtype) -> str:
    if dtype.char == "g":
        return "Convert them first, as with astype(float), where double precision is enough."
    if dtype.char == "G":
        return "Convert them first, as with astype(complex), where double precision is enough."
    if dtype.kind == "O":
        return "Convert them first, as with astype(float), if each element is one number."
    if dtype.kind in "mM":
        return "Convert times to numbers first, as with (times - start) / numpy.timedelta64(1, 's')."
    if dtype.names:
        return f"Choose one of the fields {', '.join(dtype.names)} first."
    return "Convert them to numbers first."


def index_arrays(indices: ArrayLike, indptr: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Pixel numbers as int32 or int64 and row pointers as int64, contiguous; copied only where they are something else.

    Raises
    ------
    ValueError
        If they are not integers, or too large.
    """
    indices, indptr = np.asarray(indices), np.asarray(indptr)
    for name, array, what in (("indices", indices, "pixel numbers"), ("indptr", indptr, "starts of rows")):
        if array.dtype.kind not in "iu":
            raise ValueError(f"{name} are {array.dtype}; {what} must be integers.")
    return _signed(indices, "indices", _INDEX_TYPES), _signed(indptr, "indptr", _INDEX_TYPES[1:])


def _signed(array: np.ndarray, name: str, types: tuple[np.dtype, ...]) -> np.ndarray:
    if array.dtype not in types:  # false for the other byte order
        large = array.dtype.kind == "u" and array.dtype.itemsize == 8 and array.size
        if large and array.max() > np.iinfo(np.int64).max:
            raise ValueError(
                f"{name} hold {array.max()}, more than any detector or memory has; are their type {array.dtype} and "
                "their byte order the right ones?"
            )
        fits = array.dtype.itemsize < 4 or array.dtype.itemsize == 4 and array.dtype.kind == "i"
        array = array.astype(types[0] if fits else np.int64)
    return np.ascontiguousarray(array)


def sum_type(dtype: DTypeLike) -> np.dtype:
    """The type that NumPy's sum of values of this type has."""
    return np.sum(np.zeros(1, dtype)).dtype


def sum_for_floats(dtype: DTypeLike) -> np.dtype:
    """The type in which values are added up where the result is a float, as that of a mean is.

    Sums of small integers are exact in 64 bits. Those of 64 bits would run over there, and NumPy, which turns them to
    floats before it adds them, does not.
    """
    dtype = np.dtype(dtype)
    return np.dtype(np.float64) if dtype.kind in "ui" and dtype.itemsize == 8 else sum_type(dtype)


def countable(data: np.ndarray) -> np.ndarray:
    """Values as compiled loops add them up: bool as 0 and 1, half precision as single."""
    if data.dtype == np.bool_:
        return data.view(np.uint8)
    return data.astype(np.float32) if data.dtype == np.float16 else data


def carried(data: np.ndarray) -> tuple[np.ndarray, Callable]:
    """Values as compiled loops move them, and how to get values back from what was moved.

    Half floats stay behind, and their places are moved.
    """
    if data.dtype != np.float16:
        return data, lambda moved: moved
    return np.arange(data.size), data.__getitem__
