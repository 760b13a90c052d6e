"""Columns of integers in few bytes, for what travels in tasks or stays in a cache.

Tables of a scan are nearly regular: equal dwell times, line starts at equal distances but for some
ticks, rows one after the other. The differences of neighbours then fit a byte or two.
"""

import numpy as np

__all__ = ["pack", "unpack"]


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
