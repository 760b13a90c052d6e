"""Checksums of rows of electrons, which HDF5 has none for, and of the lists that go with them: CRC-32, as in zlib.

Of numbers of four bytes, the lowest first. A row is short, so that calling zlib for each would take longer than its
work, and would keep other threads waiting for the interpreter.

Source: RFC 1952, section 8 (the polynomial, and a table for one byte at a time); tables for eight bytes at a time are
made from it as in M. E. Kounavis and F. L. Berry, IEEE Transactions on Computers 57, 1550 (2008).
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.utils.compiled import njit

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["row_sums", "sum_of_numbers"]

_POLYNOMIAL = 0xEDB88320


def row_sums(flat: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """CRC-32 of each row, as numbers of four bytes, the lowest first.

    Parameters
    ----------
    flat : numpy.ndarray of uint32
        The rows one after the other.
    ends : numpy.ndarray of int64, shape (n_rows + 1,)

    Returns
    -------
    numpy.ndarray of uint32, shape (n_rows,)

    Examples
    --------
    >>> import zlib
    >>> row_sums(np.array([1, 2], np.uint32), np.array([0, 2, 2])).tolist() == [zlib.crc32(np.array([1, 2], "<u4")), 0]
    True
    """
    sums = np.empty(len(ends) - 1, np.uint32)
    _add_up(np.ascontiguousarray(flat, np.uint32), np.ascontiguousarray(ends, np.int64), _TABLES, sums)
    return sums


def sum_of_numbers(numbers: ArrayLike, before: int = 0) -> int:
    """CRC-32 of lengths of rows or positions, as numbers of four bytes, the lowest first; `before`: of earlier ones."""
    return zlib.crc32(np.asarray(numbers).astype("<u4"), before)


def _tables() -> np.ndarray:
    """For each byte the sum of it and so many zero bytes behind it."""
    tables = np.zeros((8, 256), np.uint32)
    tables[0] = np.arange(256)
    for _ in range(8):
        tables[0] = (tables[0] >> 1) ^ np.where(tables[0] & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    for i in range(1, 8):
        tables[i] = (tables[i - 1] >> 8) ^ tables[0][tables[i - 1] & 0xFF]
    return tables


_TABLES = _tables()


@njit(nogil=True, cache=True, error_model="numpy")
def _add_up(flat: np.ndarray, ends: np.ndarray, tables: np.ndarray, out: np.ndarray) -> None:
    low, all_bits = np.uint32(0xFF), np.uint32(0xFFFFFFFF)
    for row in range(len(out)):
        crc, i, end = all_bits, ends[row], ends[row + 1]
        while i + 1 < end:  # two numbers at a time
            a, b = crc ^ flat[i], flat[i + 1]
            crc = (
                tables[7, a & low] ^ tables[6, (a >> 8) & low] ^ tables[5, (a >> 16) & low] ^ tables[4, a >> 24]
                ^ tables[3, b & low] ^ tables[2, (b >> 8) & low] ^ tables[1, (b >> 16) & low] ^ tables[0, b >> 24]
            )  # fmt: skip
            i += 2
        if i < end:
            a = crc ^ flat[i]
            crc = tables[3, a & low] ^ tables[2, (a >> 8) & low] ^ tables[1, (a >> 16) & low] ^ tables[0, a >> 24]
        out[row] = crc ^ all_bits
