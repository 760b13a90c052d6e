"""Rows of a stempy file read as they lie in it.

HDF5 reads a row into memory of its own, and h5py makes an object of it: ten times as long as reading the bytes. Rows
lie in "global heaps" of 4 KiB or more, one after the other as they were written. Whatever is not as expected here is
left to the library, which says what is wrong with it.

Source: HDF5 file format specification 3.0, section III.E, and variable-length types.
"""

from __future__ import annotations

import io
import os

import h5py
import numpy as np

from rsciio_tpx3.stempy.references import read_references, stored_references
from rsciio_tpx3.utils.compiled import njit
from rsciio_tpx3.utils.files import filled
from rsciio_tpx3.utils.hdf5.heaps import number_at

__all__ = ["StoredRows"]

_GAP = 1 << 17
"""Bytes between two heaps that are read with them: to begin anew takes as long, and references lie between."""

_AT_ONCE = 1 << 24
"""Bytes of the file in memory at once, or those of one heap: rows in any order may lie all over it."""

_MOST_HEAP = 1 << 16
"""Bytes of a heap, where no object in it is larger (`H5HG_MAXSIZE` of the library)."""

_MOST_STEPS = 256  # from object to object, for each row: a heap of 4 KiB has no more


class StoredRows:
    """Rows of pixel numbers, integers of any size and byte order, by their references.

    Parameters
    ----------
    dataset : h5py.Dataset
        Of a file that is open; it need not stay so.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._path = os.path.abspath(dataset.file.filename)
        kind = dataset.id.get_type()
        base = kind.get_super() if isinstance(kind, h5py.h5t.TypeVlenID) else None
        dtype = base.dtype if isinstance(base, h5py.h5t.TypeIntegerID) else np.dtype(object)
        readable = dtype.kind in "iu" and base.equal(h5py.h5t.py_create(dtype))
        self._number = dtype
        self._parts = stored_references(dataset) if readable else None

    @property
    def only_here(self) -> bool:
        """Whether the rows can be read in this way alone: h5py (3.16) makes wrong numbers of the other byte order."""
        return not self._number.isnative

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Rows ``start`` to ``stop`` one after the other, and where each begins and ends.

        Parameters
        ----------
        start, stop : int

        Returns
        -------
        flat : numpy.ndarray of integers
            Of the type in the file.
        ends : numpy.ndarray of int64, shape (stop - start + 1,)
            None instead of both where they cannot be read as they lie.
        """
        references = None if self._parts is None else read_references(self._path, self._parts, start, stop)
        if references is None:
            return None
        ends = np.concatenate([[0], np.cumsum(references["length"], dtype=np.int64)])
        size = self._number.itemsize
        with open(self._path, "rb", buffering=0) as file:
            if ends[-1] * size > os.fstat(file.fileno()).st_size:
                return None
            flat = np.empty(ends[-1], self._number)
            for rows in _neighbours(references):
                content, first = _content(
                    file, references["address"][rows], size * int(references["length"][rows].max())
                )
                heaps = references["address"][rows].astype(np.int64) - first
                numbers = references["index"][rows].astype(np.int64)
                if not _gather(content, heaps, numbers, size * ends[rows], size * ends[rows + 1], flat.view(np.uint8)):
                    return None
        return flat, ends


def _neighbours(references: np.ndarray) -> list[np.ndarray]:
    """Numbers of the rows that have values, in groups whose heaps are read at once."""
    rows = np.flatnonzero(references["length"])
    if not len(rows):
        return []
    rows = rows[np.argsort(references["address"][rows], kind="stable")]
    heaps = references["address"][rows]
    apart = (np.diff(heaps) > _GAP) | (np.diff(heaps // np.uint64(_AT_ONCE)) > 0)
    return np.split(rows, np.flatnonzero(apart) + 1)


def _content(file: io.FileIO, heaps: np.ndarray, longest: int) -> tuple[np.ndarray, int]:
    """Bytes from the first heap to the end of the last, as far as the file has them, and where the first is.

    What a damaged heap says of its own length is believed as far as the longest row in it, in bytes, explains it.
    """
    size = os.fstat(file.fileno()).st_size
    first, last = min(int(heaps[0]), size), min(int(heaps[-1]), size)
    file.seek(last + 8)
    length = min(int.from_bytes(file.read(8), "little"), longest + _MOST_HEAP)
    stop = min(last + length, size)
    content = np.zeros(stop - first, np.uint8)
    filled(file, first, content)
    return content, first


@njit(nogil=True, cache=True)
def _gather(
    content: np.ndarray, places: np.ndarray, numbers: np.ndarray, begins: np.ndarray, stops: np.ndarray, out: np.ndarray
) -> bool:
    """Copy objects of heaps, given by the place of the heap and the number in it; False where one is not as it says."""
    heap, end, at = np.int64(-1), np.int64(0), np.int64(0)
    steps = np.int64(0)
    for row in range(len(places)):
        if numbers[row] == 0:
            return False  # free space
        if places[row] != heap:
            heap = places[row]
            if heap < 0 or heap > len(content) - 16 or content[heap + 4] != 1:
                return False
            if content[heap] != 71 or content[heap + 1] != 67 or content[heap + 2] != 79 or content[heap + 3] != 76:
                return False  # GCOL
            n_bytes = np.int64(number_at(content, heap + 8, 8))
            if n_bytes < 16 or n_bytes > len(content) - heap:
                return False
            end, at = heap + n_bytes, heap + 16
        begun_anew, done = False, False
        while not done:
            if at + 16 > end:
                if begun_anew:
                    return False
                at, begun_anew = heap + 16, True
                continue
            number, size = np.int64(number_at(content, at, 2)), np.int64(number_at(content, at + 8, 8))
            if size < 0 or size > end - at:
                return False
            # free space counts its own head, other objects do not
            step = size if number == 0 else 16 + (size + 7) // 8 * 8
            if step < 16 or step > end - at:
                return False
            if number == numbers[row]:
                n = stops[row] - begins[row]
                if n != size:
                    return False
                out[begins[row] : stops[row]] = content[at + 16 : at + 16 + n]
                done = True
            at += step
            steps += 1
            if steps > _MOST_STEPS * (row + 16):
                return False
    return True
