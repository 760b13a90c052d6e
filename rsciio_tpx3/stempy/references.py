"""Rows of a data set of variable length, as HDF5 keeps them: the values anywhere, and references to them in chunks.

A reference has 16 bytes: the length (u32), where the values are (address u64 and index u32); an empty row has zeros.
It means the same in any place of any data set of the file. Source: HDF5 file format specification, variable-length
data types.
"""

from __future__ import annotations

import bisect
import math
import os
from typing import Any

import h5py
import numpy as np

__all__ = ["REFERENCE", "append_rows", "place_rows", "read_references", "stored_references"]

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


def stored_references(dataset: h5py.Dataset) -> list[tuple[int, int, int]] | None:
    """First row, place in the file and number of references of each stored part.

    Parameters
    ----------
    dataset : h5py.Dataset
        Of rows of variable length, in a file that is open.

    Returns
    -------
    list of tuple of int, or None
        None where the references cannot be read as they lie: packed, in another file, or of other sizes.
    """
    create, sizes = dataset.id.get_create_plist(), dataset.file.id.get_create_plist().get_sizes()
    if create.get_nfilters() or dataset.file.userblock_size or sizes[0] != 8 or dataset.ndim != 1 or dataset.is_virtual:
        return None
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        return None if offset is None or dataset.external else [(0, offset, len(dataset))]
    n_rows, (size,) = len(dataset), dataset.chunks
    found = []

    def note(chunk: Any) -> None:
        first = chunk.chunk_offset[0]
        if first < n_rows:
            found.append((first, chunk.byte_offset, min(size, n_rows - first)))

    if hasattr(h5py.h5d.DatasetID, "chunk_iter"):
        dataset.id.chunk_iter(note)  # one pass; asking for each in turn looks from the first every time
    else:  # h5py before 3.8
        for i in range(dataset.id.get_num_chunks()):
            note(dataset.id.get_chunk_info(i))
    return sorted(found)


def read_references(
    path: str | os.PathLike, parts: list[tuple[int, int, int]], start: int, stop: int
) -> np.ndarray | None:
    """References of a range of rows; zeros where nothing is stored, and None where the file ends before.

    Parameters
    ----------
    path : str or Path
    parts : list of tuple of int
        Of `stored_references`, in order of their first rows.
    start, stop : int

    Returns
    -------
    numpy.ndarray of REFERENCE, shape (stop - start,), or None
    """
    found = np.zeros(stop - start, REFERENCE)
    # strangers may have a part for each row: to look at all of them for each range would take long
    from_part, to_part = (bisect.bisect_right(parts, (row, math.inf, 0)) for row in (start, stop - 1))
    for first, place, n in parts[max(from_part - 1, 0) : to_part]:
        begin, end = max(first, start), min(first + n, stop)
        if begin < end:
            part = np.fromfile(path, REFERENCE, end - begin, offset=place + (begin - first) * REFERENCE.itemsize)
            if len(part) < end - begin:
                return None
            found[begin - start : end - start] = part
    return found
