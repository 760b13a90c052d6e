"""Rows of a data set of variable length, as HDF5 keeps them: the values anywhere, and references to them in chunks.

A reference has 16 bytes: the length (u32), where the values are (address u64 and index u32); an empty row has zeros.
It means the same in any place of any data set of the file. Source: HDF5 file format specification, variable-length
data types.
"""

from __future__ import annotations

import h5py
import numpy as np

__all__ = ["REFERENCE", "append_rows", "place_rows"]

REFERENCE = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])

_SEQUENCE = np.dtype([("length", np.uintp), ("values", np.uintp)])
"""A row in memory: hvl_t of HDF5's interface in C."""


def append_rows(dataset: h5py.Dataset, flat: np.ndarray, ends: np.ndarray) -> None:
    """Write rows behind those of a data set, without an object of Python's for each.

    Parameters
    ----------
    dataset : h5py.Dataset
        One axis without an end, of rows of uint32.
    flat : numpy.ndarray of uint32
        The rows one after the other.
    ends : numpy.ndarray of int64, shape (n_rows + 1,)
        Where each begins and ends.
    """
    n, before = len(ends) - 1, len(dataset)
    if n == 0:
        return
    rows = np.empty(n, _SEQUENCE)
    rows["length"] = np.diff(ends)
    rows["values"] = flat.ctypes.data + flat.itemsize * ends[:-1]
    dataset.resize(before + n, axis=0)
    there = dataset.id.get_space()
    there.select_hyperslab((before,), (n,))
    dataset.id.write(h5py.h5s.create_simple((n,)), there, rows, h5py.h5t.vlen_create(h5py.h5t.NATIVE_UINT32))


def place_rows(dataset: h5py.Dataset, places: np.ndarray, n_rows: int) -> None:
    """Move the rows of a data set apart, with empty ones between them.

    The references alone are written again. From the last chunk to the first: a row never moves towards the beginning,
    so what is overwritten has been moved before.

    Parameters
    ----------
    dataset : h5py.Dataset
        In chunks without filters.
    places : numpy.ndarray of int64, shape (rows of the data set,)
        Where each row shall be, ascending.
    n_rows : int
        Of the result.
    """
    if n_rows == len(places):
        return
    dataset.resize(n_rows, axis=0)
    dataset.flush()
    size = dataset.chunks[0]
    for start in range((n_rows - 1) // size * size, -1, -size):
        first, last = np.searchsorted(places, [start, start + size])
        moved = np.zeros(size, REFERENCE)
        moved[places[first:last] - start] = _references(dataset, int(first), int(last))
        dataset.id.write_direct_chunk((start,), moved.tobytes())


def _references(dataset: h5py.Dataset, first: int, last: int) -> np.ndarray:
    size = dataset.chunks[0]
    begin = first // size * size
    found = [dataset.id.read_direct_chunk((start,))[1] for start in range(begin, last, size)]
    return np.frombuffer(b"".join(found), REFERENCE)[first - begin : last - begin]
