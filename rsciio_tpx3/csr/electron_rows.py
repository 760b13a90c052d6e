"""Rows in which a pixel is named once for each electron that it counts."""

from __future__ import annotations

import numpy as np
from dask.utils import format_bytes

from rsciio_tpx3.csr import memory_limit
from rsciio_tpx3.csr.memory_limit import DenseMemoryError
from rsciio_tpx3.utils.compiled import njit

__all__ = ["layers", "repeated"]


def repeated(counts: np.ndarray, indices: np.ndarray, indptr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel as often as it counts, one time after the other.

    Parameters
    ----------
    counts : numpy.ndarray of integers, shape (entries,)
        None below 0.
    indices : numpy.ndarray of integers, shape (entries,)
    indptr : numpy.ndarray of int64, shape (n_rows + 1,)

    Returns
    -------
    indices : numpy.ndarray of the same type, shape (electrons,)
    indptr : numpy.ndarray of int64, shape (n_rows + 1,)

    Raises
    ------
    DenseMemoryError
        If the electrons do not fit.

    Examples
    --------
    >>> repeated(np.array([1, 2]), np.array([5, 7]), np.array([0, 0, 2]))
    (array([5, 7, 7]), array([0, 0, 3]))
    """
    out, new = np.empty(_electrons(counts, indices.itemsize), indices.dtype), np.zeros(len(indptr), np.int64)
    _repeat(counts, indices, indptr, out, new)
    return out, new


def layers(counts: np.ndarray, indices: np.ndarray, indptr: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that name a pixel once: the n-th of a frame has the pixels that count n or more.

    Parameters
    ----------
    counts, indices, indptr
        As in `repeated`; a pixel is once in a frame.

    Returns
    -------
    indices : numpy.ndarray of the same type, shape (electrons,)
    ends : numpy.ndarray of int64, shape (n_rows + 1,)
        Where each row begins and ends; none is empty.
    n_layers : numpy.ndarray of int64, shape (n_frames,)
        Rows of each frame, which is its highest count.

    Raises
    ------
    DenseMemoryError
        If the electrons do not fit.

    Examples
    --------
    >>> layers(np.array([1, 2]), np.array([5, 7]), np.array([0, 0, 2]))
    (array([5, 7, 7]), array([0, 2, 3]), array([0, 2]))
    """
    n_layers = np.zeros(len(indptr) - 1, np.int64)
    _highest(counts, indptr, n_layers)
    out = np.empty(_electrons(counts, indices.itemsize), indices.dtype)
    ends = np.zeros(n_layers.sum() + 1, np.int64)
    left = np.empty(int(np.diff(indptr).max(initial=0)), np.int64)
    _peel(counts, indices, indptr, left, out, ends)
    return out, ends, n_layers


def _electrons(counts: np.ndarray, itemsize: int) -> int:
    """Sum of the counts, if as many pixel numbers fit."""
    highest = int(counts.max(initial=0))
    if highest * len(counts) * itemsize <= memory_limit.ALWAYS_ALLOWED:
        return int(counts.sum())
    # as a float: integers wrap around
    n_bytes, limit = float(counts.sum(dtype=np.float64)) * itemsize, memory_limit.get_limit()
    if n_bytes > max(limit, memory_limit.ALWAYS_ALLOWED):
        raise DenseMemoryError(
            f"naming a pixel once for each of its counts would take {format_bytes(int(n_bytes))} for {len(counts)} "
            f"pixels that count up to {highest} (limit {format_bytes(limit)}). Save as raw_csr, which has one number "
            "for each pixel, or raise the limit with hyperspy_sparse.set_limit(...)."
        )
    return int(counts.sum())


_jit = njit(nogil=True, cache=True, error_model="numpy")


@_jit
def _repeat(counts: np.ndarray, indices: np.ndarray, indptr: np.ndarray, out: np.ndarray, new: np.ndarray) -> None:
    n = 0
    for row in range(indptr.size - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            count = counts[entry]
            if count == 1:  # nearly always, and without a loop half again as fast
                out[n] = indices[entry]
                n += 1
            else:
                for _ in range(count):
                    out[n] = indices[entry]
                    n += 1
        new[row + 1] = n


@_jit
def _highest(counts: np.ndarray, indptr: np.ndarray, out: np.ndarray) -> None:
    for row in range(indptr.size - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            out[row] = max(out[row], counts[entry])


@_jit
def _peel(
    counts: np.ndarray, indices: np.ndarray, indptr: np.ndarray, left: np.ndarray, out: np.ndarray, ends: np.ndarray
) -> None:
    """Layer by layer; `left` has room for the entries of a frame that count more than the layers before."""
    n = row = 0
    for frame in range(indptr.size - 1):
        begin, stay, layer = n, 0, 1
        for entry in range(indptr[frame], indptr[frame + 1]):
            if counts[entry] > 0:
                out[n] = indices[entry]
                n += 1
                if counts[entry] > 1:
                    left[stay] = entry
                    stay += 1
        if n > begin:
            row += 1
            ends[row] = n
        while stay:
            n_left, stay, layer = stay, 0, layer + 1
            for i in range(n_left):
                entry = left[i]
                out[n] = indices[entry]
                n += 1
                if counts[entry] > layer:
                    left[stay] = entry
                    stay += 1
            row += 1
            ends[row] = n
