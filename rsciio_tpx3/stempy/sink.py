"""Counted frames as rows of electrons in a growing HDF5 data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import h5py
import numpy as np

from rsciio_tpx3.csr.electron_rows import layers, repeated
from rsciio_tpx3.stempy.references import append_rows, place_rows
from rsciio_tpx3.stempy.row_sums import row_sums, sum_of_numbers

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames


__all__ = ["ROW_SUMS", "SUM_OF_LENGTHS", "SUM_OF_POSITIONS", "StempySink"]

ROW_SUMS = "rsciio_tpx3/row_crc32"
"""CRC-32 of each row of electrons, as numbers of four bytes, the lowest first: HDF5 has no checksum for such rows."""

SUM_OF_LENGTHS = "lengths_crc32"
"""Attribute of these: CRC-32 of the lengths of all rows."""

SUM_OF_POSITIONS = "positions_crc32"
"""Another one: that of the list of positions. HDF5's own checksum of a list that is all zeros is zero, too."""

_ROWS = {"maxshape": (None,), "chunks": (1 << 12,)}
_ROWS_AT_ONCE = 1 << 20
_MOST_ROWS = 32  # rows per position that version 3 should have: every one costs 16 bytes, empty or not


class StempySink:
    """A `FrameSink` that appends rows to the group ``electron_events``.

    What a position's rows are is known when all counts are: until then the rows that have electrons are in the file
    one after the other, and `finish` moves them to their places.

    Parameters
    ----------
    group : h5py.Group
    version : {"auto", 1, 2, 3}
        1 repeats a pixel in its row; 2 adds rows for the pixels that count more than once, which name
        their position; 3 gives every position as many rows as the highest count; "auto" is 3 where no count is
        above 32, and else 2.
    """

    def __init__(self, group: h5py.Group, version: int | str) -> None:
        self.version = version
        self._frames = group.create_dataset("frames", (0,), h5py.vlen_dtype(np.uint32), **_ROWS)
        self._lengths: list[np.ndarray] = []
        self._sums: list[np.ndarray] = []
        self._n_layers: list[np.ndarray] = []

    def prepare(self, frames: CSRFrames) -> _Prepared:
        """The rows that have electrons, and how many each position has."""
        data, indices = frames.data, frames.indices.astype(np.uint32)
        low, high = (int(data.min()), int(data.max())) if len(data) else (0, 0)
        if data.dtype.kind not in "biu" or low < 0 or high > np.iinfo(np.int32).max:
            raise ValueError(
                f"stempy files hold counted electrons; found values of type {data.dtype} from {low} to {high}. "
                "Expected counts of 0 or more; save other values as raw_csr."
            )
        if self.version == 1:
            flat, ends = repeated(data, indices, frames.indptr)
            full = np.diff(ends) > 0
            ends, n_layers = np.append(ends[:-1][full], ends[-1]), full.astype(np.int64)
        else:
            flat, ends, n_layers = layers(data, indices, frames.indptr)
        return _Prepared(flat, ends, n_layers, row_sums(flat, ends))

    def append(self, prepared: _Prepared) -> None:
        """Write the next rows."""
        append_rows(self._frames, prepared.flat, prepared.ends)
        self._lengths.append(np.diff(prepared.ends).astype("<u4"))
        self._sums.append(prepared.sums)
        self._n_layers.append(prepared.n_layers.astype(np.int32))

    def finish(self, scan_shape: tuple[int, ...], sig_shape: tuple[int, ...]) -> None:
        """Give rows their places, and write scan positions and shapes."""
        n_layers = np.concatenate([np.empty(0, np.int32), *self._n_layers])
        highest = max(int(n_layers.max(initial=0)), 1)
        if self.version == "auto":
            self.version = 3 if highest <= _MOST_ROWS else 2
        n_rows, places = _places(n_layers, highest if self.version == 3 else 1)
        place_rows(self._frames, places, n_rows)
        listed = np.arange(len(n_layers))
        if self.version == 2:
            listed = np.repeat(listed, np.maximum(n_layers, 1))
        sums = self._write_sums(places, n_rows)
        sums.attrs[SUM_OF_POSITIONS] = np.uint32(sum_of_numbers(listed))
        kind = np.int32 if len(n_layers) <= np.iinfo(np.int32).max else np.int64
        chunks = (max(min(len(listed), 1 << 16), 1),)
        group = self._frames.parent
        positions = group.create_dataset("scan_positions", data=listed.astype(kind), chunks=chunks, fletcher32=True)
        positions.attrs["Nx"], positions.attrs["Ny"] = scan_shape[1], scan_shape[0]
        self._frames.attrs["Nx"], self._frames.attrs["Ny"] = sig_shape

    def _write_sums(self, places: np.ndarray, n_rows: int) -> h5py.Dataset:
        """Checksums of all rows, the empty ones too, a part at a time."""
        sums, lengths = (np.concatenate([np.empty(0, "<u4"), *parts]) for parts in (self._sums, self._lengths))
        dataset = self._frames.file.create_dataset(ROW_SUMS, (n_rows,), "<u4", fletcher32=True, **_ROWS)
        of_lengths = 0
        for start in range(0, n_rows, _ROWS_AT_ONCE):
            stop = min(start + _ROWS_AT_ONCE, n_rows)
            first, last = np.searchsorted(places, [start, stop])
            part = np.zeros((2, stop - start), "<u4")  # of an empty row both are 0
            part[:, places[first:last] - start] = sums[first:last], lengths[first:last]
            dataset[start:stop] = part[0]
            of_lengths = sum_of_numbers(part[1], of_lengths)
        dataset.attrs[SUM_OF_LENGTHS] = np.uint32(of_lengths)
        return dataset


class _Prepared(NamedTuple):
    """Rows of some positions, one after the other."""

    flat: np.ndarray
    ends: np.ndarray
    n_layers: np.ndarray
    sums: np.ndarray


def _places(n_layers: np.ndarray, rows_of_a_position: int) -> tuple[int, np.ndarray]:
    """Number of all rows, and the place of each that has electrons; a position has this many rows, or more."""
    begins = np.concatenate([[0], np.cumsum(np.maximum(n_layers, rows_of_a_position), dtype=np.int64)])
    before = np.cumsum(n_layers, dtype=np.int64) - n_layers
    return int(begins[-1]), np.arange(n_layers.sum(dtype=np.int64)) + np.repeat(begins[:-1] - before, n_layers)
