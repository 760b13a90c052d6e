"""Counted frames as rows of electrons in a growing HDF5 data set."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING

import h5py
import numpy as np

from rsciio_tpx3.utils.compiled import njit

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from rsciio_tpx3.csr.csr_frames import CSRFrames


__all__ = ["ROW_SUMS", "SUM_OF_LENGTHS", "StempySink", "row_sums", "sum_of_lengths"]

ROW_SUMS = "rsciio_tpx3/row_crc32"
"""CRC-32 of each row of electrons, as numbers of four bytes, the lowest first: HDF5 has no checksum for such rows."""

SUM_OF_LENGTHS = "lengths_crc32"
"""Attribute of these: CRC-32 of the lengths of all rows."""

_CHUNK_ROWS = 1 << 12


class StempySink:
    """A `FrameSink` that appends rows to the group ``electron_events``.

    Parameters
    ----------
    group : h5py.Group
    version : {1, 2, 3}
        1 repeats a pixel in its row; 2 adds rows for the pixels that count more than once, which name
        their position; 3 gives every position as many rows as the highest count.
    rows_of_a_position : int
        For version 3: the highest count.
    """

    def __init__(self, group: h5py.Group, version: int | str, rows_of_a_position: int = 1) -> None:
        self.version, self._k = version, rows_of_a_position
        kind = h5py.vlen_dtype(np.uint32)
        options = {"maxshape": (None,), "chunks": (_CHUNK_ROWS,)}
        self._frames = group.create_dataset("frames", (0,), kind, **options)
        self._sums = group.file.create_dataset(ROW_SUMS, (0,), "<u4", fletcher32=True, **options)
        self._sum_of_lengths = 0
        self._positions = []
        self._n_positions = 0

    def prepare(self, frames: CSRFrames) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
        """Rows, and how many positions before the next ones each belongs to."""
        data, indices = frames.data, frames.indices.astype(np.uint32)
        low, high = (int(data.min()), int(data.max())) if len(data) else (0, 0)
        if data.dtype.kind not in "biu" or low < 0 or high > np.iinfo(np.int32).max:
            raise ValueError(
                f"stempy files hold counted electrons; found values of type {data.dtype} from {low} to {high}. "
                "Expected counts of 0 or more; save other values as raw_csr."
            )
        counts = data.astype(np.int32)
        rows = np.arange(frames.n_frames)
        if self.version == 1:
            ends = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])[frames.indptr]
            listed = _split(np.repeat(indices, counts), ends)
            return listed, rows, frames.n_frames, row_sums(listed)
        layers = range(self._k if self.version == 3 else max(high, 1))
        if self.version == 3 and high > self._k:
            raise ValueError(f"a pixel counts {high}, more than the {self._k} rows per position that were announced.")
        parts, owners = [], []
        for layer in layers:
            # the n-th row of a position lists the pixels that count n or more
            flat, ends = _layer(counts, indices, frames.indptr, layer)
            listed = _split(flat, ends)
            if layer and self.version == 2:
                listed, owner = listed[np.diff(ends) > 0], rows[np.diff(ends) > 0]
            else:
                owner = rows
            parts.append(listed)
            owners.append(owner)
        owners = np.concatenate(owners)
        order = np.argsort(owners, kind="stable")
        listed = np.concatenate(parts)[order]
        return listed, owners[order], frames.n_frames, row_sums(listed)

    def append(self, prepared: tuple[np.ndarray, np.ndarray, int, np.ndarray]) -> None:
        """Write the next rows."""
        rows, owners, n_positions, sums = prepared
        if len(rows):
            before = len(self._frames)
            self._sums.resize(before + len(rows), axis=0)
            self._sums[before:] = sums
            self._sum_of_lengths = sum_of_lengths(list(map(len, rows)), self._sum_of_lengths)
            self._frames.resize(before + len(rows), axis=0)
            # assignment would make a rectangle of rows that happen to have one length
            self._frames.write_direct(rows.astype(self._frames.dtype), dest_sel=np.s_[before:])
        self._positions.append((owners + self._n_positions).astype(np.int64))
        self._n_positions += n_positions

    def finish(self, scan_shape: tuple[int, ...], sig_shape: tuple[int, ...]) -> None:
        """Write scan positions and shapes."""
        listed = np.concatenate([np.empty(0, np.int64), *self._positions])
        if self.version == 3:
            listed = np.arange(self._n_positions)
        kind = np.int32 if self._n_positions <= np.iinfo(np.int32).max else np.int64
        chunks = (max(min(len(listed), 1 << 16), 1),)
        group = self._frames.parent
        positions = group.create_dataset("scan_positions", data=listed.astype(kind), chunks=chunks, fletcher32=True)
        positions.attrs["Nx"], positions.attrs["Ny"] = scan_shape[1], scan_shape[0]
        self._frames.attrs["Nx"], self._frames.attrs["Ny"] = sig_shape
        self._sums.attrs[SUM_OF_LENGTHS] = np.uint32(self._sum_of_lengths)


def row_sums(rows: np.ndarray) -> np.ndarray:
    """CRC-32 of each row.

    Parameters
    ----------
    rows : sequence of numpy.ndarray of uint32

    Returns
    -------
    numpy.ndarray of uint32, shape (n_rows,)
    """
    if sys.byteorder == "big":
        rows = [row.astype("<u4") for row in rows]
    return np.fromiter((zlib.crc32(row) for row in rows), np.uint32, len(rows))


def sum_of_lengths(lengths: ArrayLike, before: int = 0) -> int:
    """CRC-32 of lengths of rows, as numbers of four bytes, the lowest first; `before` is that of earlier rows."""
    return zlib.crc32(np.asarray(lengths, "<u4"), before)


@njit(nogil=True, cache=True)
def _layer(counts: np.ndarray, indices: np.ndarray, indptr: np.ndarray, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that count more than `layer`, and where each row of them begins."""
    valid = np.empty(len(indices), np.uint32)
    ends = np.empty(len(indptr), np.int64)
    ends[0] = 0
    n = 0
    for row in range(len(indptr) - 1):
        for i in range(indptr[row], indptr[row + 1]):
            if counts[i] > layer:
                valid[n] = indices[i]
                n += 1
        ends[row + 1] = n
    return valid[:n], ends


def _split(flat: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """An object array of rows."""
    rows = np.empty(len(ends) - 1, object)
    for i in range(len(rows)):
        rows[i] = flat[ends[i] : ends[i + 1]]
    return rows
