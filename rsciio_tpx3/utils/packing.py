"""Tables in few bytes, for what travels with every task of a graph or stays in a cache.

Tables of a scan are nearly regular: equal dwell times, line starts at equal distances but for some
ticks, rows one after the other. The differences of neighbours then fit a byte or two (`pack`). Tables with an entry for
each pixel repeat most of them, so that little is left of them when they are compressed (`Packed`).
"""

import zlib
from typing import Any

import numpy as np

__all__ = ["Packed", "pack", "unpack"]


def pack(column: np.ndarray) -> tuple:
    """A column as (type, length, first value, lowest difference, differences above it).

    Parameters
    ----------
    column : numpy.ndarray of integers, shape (n,)

    Returns
    -------
    tuple
        Its last item is an array of the smallest unsigned type, or None where all differences are equal.

    Examples
    --------
    >>> import numpy as np
    >>> pack(np.array([7, 9, 11, 13]))
    ('<i8', 4, 7, 2, None)
    """
    column = np.asarray(column)
    first = int(column[0]) if len(column) else 0
    steps = np.diff(column.astype(np.int64, copy=False))
    low, high = (int(steps.min()), int(steps.max())) if len(steps) else (0, 0)
    rest = None if low == high else (steps - low).astype(np.min_scalar_type(high - low))
    return column.dtype.str, len(column), first, low, rest


def unpack(packed: tuple) -> np.ndarray:
    """The column that `pack` was given."""
    dtype, n, first, low, rest = packed
    column = np.full(n, low, np.int64)
    column[:1] = first
    if rest is not None:
        column[1:] += rest.astype(np.int64)
    return np.cumsum(column).astype(dtype)


class Packed:
    """Base of dataclasses with arrays of one entry for each pixel, which are compressed when they are pickled."""

    def __getstate__(self) -> dict:
        return {name: _packed(value) if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    def __setstate__(self, state: dict) -> None:
        # not by attribute: the dataclasses are frozen
        self.__dict__.update(
            {name: _unpacked(*value[1:]) if _is_packed(value) else value for name, value in state.items()}
        )


_MARK = "zlib"


def _packed(array: np.ndarray) -> tuple:
    return _MARK, zlib.compress(np.ascontiguousarray(array).tobytes(), 1), array.dtype.str, array.shape


def _is_packed(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 4 and value[0] == _MARK


def _unpacked(data: bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(zlib.decompress(data), dtype).reshape(shape)
