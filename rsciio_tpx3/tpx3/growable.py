"""A table that grows at its end."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

__all__ = ["GrowableTable"]


class GrowableTable:
    """Rows in one piece of memory, to which more are appended in time that depends on them alone.

    Parameters
    ----------
    dtype : dtype
        May have fields.

    Examples
    --------
    >>> from rsciio_tpx3.tpx3.growable import GrowableTable
    >>> table = GrowableTable("i8")
    >>> table.append([3, 4])
    >>> table.rows
    array([3, 4])
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self._row = np.dtype(dtype)
        # NumPy copies structured arrays field by field, ten times slower than bytes
        self._bytes = np.empty(0, np.uint8)
        self._n = 0

    def __len__(self) -> int:
        return self._n

    @property
    def rows(self) -> np.ndarray:
        """All rows; a view that keeps its contents, since only what follows them is written."""
        return self._bytes[: self._n * self._row.itemsize].view(self._row)

    def append(self, rows: np.ndarray) -> None:
        """Add rows at the end."""
        added = np.ascontiguousarray(rows, self._row).view(np.uint8).ravel()
        used = self._n * self._row.itemsize
        if used + len(added) > len(self._bytes):
            larger = np.empty(max(2 * len(self._bytes), used + len(added)), np.uint8)
            larger[:used] = self._bytes[:used]
            self._bytes = larger
        self._bytes[used : used + len(added)] = added
        self._n += len(rows)

    def put(self, n_first: int, rows: np.ndarray) -> None:
        """Replace what follows the first `n_first` rows; arrays that `rows` gave before stay as they were."""
        if n_first < self._n:
            retained = self._bytes[: n_first * self._row.itemsize]
            self._bytes = np.concatenate([retained, np.empty(len(self._bytes) - len(retained), np.uint8)])
        self._n = n_first
        self.append(rows)
