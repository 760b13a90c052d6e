"""Frames of a stempy file: rows of electrons to counted frames.

Source: stempy 3.6, which reads and writes these files. A row lists the pixels of electrons, each once
(in version 1 several times). A position has one row (version 1), one or more rows by the list of
scan positions (version 2), or the same number of consecutive rows (version 3); its counts are the sum.
"""

from __future__ import annotations

import copy
import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import normalize_token

from rsciio_tpx3.csr.canonical import canonical_frames
from rsciio_tpx3.exceptions import LimitError, Tpx3FormatError
from rsciio_tpx3.frames.source import FrameSource
from rsciio_tpx3.stempy.row_lengths import row_lengths
from rsciio_tpx3.stempy.row_sums import row_sums, sum_of_numbers
from rsciio_tpx3.stempy.sink import ROW_SUMS, SUM_OF_LENGTHS, SUM_OF_POSITIONS
from rsciio_tpx3.stempy.stored_rows import StoredRows
from rsciio_tpx3.utils.files import FileStamp
from rsciio_tpx3.utils.hdf5.files import find, open_hdf5
from rsciio_tpx3.utils.hdf5.storage import check_all_stored, check_stored
from rsciio_tpx3.utils.hdf5.values import attribute, whole, whole_numbers

if TYPE_CHECKING:
    import h5py

    from rsciio_tpx3.csr.csr_frames import CSRFrames


__all__ = ["FRAMES", "POSITIONS", "StempySource"]

EXPECTED = "stempy file"
FRAMES = "electron_events/frames"
POSITIONS = "electron_events/scan_positions"


_FREE_POSITIONS = 1 << 23  # whatever the size of the file


class _Rows:
    """Rows of electrons of an open file, held against their checksums where our writer has left these."""

    def __init__(self, file: h5py.Group, name: str, allow_external: bool, stored: StoredRows | None) -> None:
        self._frames = find(file, FRAMES, allow_external)
        self.stored = stored or StoredRows(self._frames)
        self._sums = find(file, ROW_SUMS)
        self._name = name
        if self._sums is not None and getattr(self._sums, "shape", None) != self._frames.shape:
            # a program that appended or removed rows does not know of them
            self._sums = None

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows ``start`` to ``stop`` one after the other, and the length of each."""
        found = self.stored.read(start, stop)
        if found is None and self.stored.only_here:
            raise Tpx3FormatError(
                f"{FRAMES} of {self._name!r} has numbers in the byte order that this computer does not have, and is "
                "packed, behind a user block, or damaged: h5py would read wrong numbers. Write it anew with "
                "little-endian numbers."
            )
        if found is None:
            rows = self._frames[start:stop]
            found = np.concatenate([*rows, np.empty(0, np.uint32)]), np.cumsum([0, *map(len, rows)])
        flat, ends = found
        if self._sums is not None:
            wrong = np.flatnonzero(row_sums(flat, ends) != self._sums[start:stop])
            if len(wrong):
                raise Tpx3FormatError(
                    f"row {start + int(wrong[0])} of {FRAMES} in {self._name!r} is not the one that was written: "
                    "its checksum differs. The file is damaged; copy it again."
                )
        return flat, np.diff(ends)


class StempySource(FrameSource):
    """A `FrameSource` over a stempy file.

    Parameters
    ----------
    path : str or Path
    version : int
        Of the file, 1 to 3.
    scan_shape : tuple of int
        ``(y, x)`` of the whole scan in the file.
    sig_shape : tuple of int
    dtype : numpy.dtype, optional
        Of the counts; by default the smallest unsigned one that the number of rows per position allows,
        or uint16 where rows may repeat a pixel.
    keep_flyback : bool
        False leaves out the last scan column.
    nav_shape : tuple of int, optional
        Instead of `scan_shape`, with as many positions, where the flyback is kept.

    allow_external : bool
        Whether arrays may lie in other files.

    Raises
    ------
    Tpx3FormatError
        If the rows do not fit the scan, or lie in other files.
    LossError
        If a part of them was never written.
    LimitError
        If the scan has far more positions than a file of this size can hold.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        version: int,
        scan_shape: tuple[int, ...],
        sig_shape: tuple[int, ...],
        dtype: np.dtype | None = None,
        keep_flyback: bool = True,
        nav_shape: tuple[int, ...] | None = None,
        allow_external: bool = False,
    ) -> None:
        self.stamp = FileStamp.of(path)
        self.allow_external = bool(allow_external)
        self.others = ()
        self.version = version
        self.sig_shape = tuple(int(n) for n in sig_shape)
        self._columns = int(scan_shape[-1])
        self._keep = bool(keep_flyback)
        if not self._keep and self._columns < 2:
            raise ValueError(f"{self.stamp.name!r} has one scan column: keep_flyback=False would leave nothing.")
        shape = tuple(int(n) for n in (nav_shape if nav_shape is not None else scan_shape))
        self.nav_shape = shape if self._keep else (shape[0], shape[1] - 1)
        self._find_rows(math.prod(scan_shape))
        largest = self._rows_of_a_position if version > 1 else np.iinfo(np.uint16).max
        self.dtype = np.dtype(dtype if dtype is not None else np.min_scalar_type(largest))
        self._electrons = self._stored = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_electrons": None, "_stored": None}

    def __dask_tokenize__(self) -> Any:
        state = self.__getstate__()
        return ("rsciio_tpx3.StempySource", *(normalize_token(state[key]) for key in sorted(state)))

    def row_events(self) -> np.ndarray | None:
        """Electrons of each position, where the file tells without reading them; see `FrameSource.row_events`."""
        if self._electrons is None:
            self._check_files()
            lengths = row_lengths(self.stamp.path, FRAMES, self.allow_external)
            if lengths is None:
                return None
            self._check_lengths(lengths)
            if self._order is None:
                electrons = lengths.reshape(-1, self._rows_of_a_position).sum(axis=1)
            else:
                electrons = np.zeros(self._n_positions, np.int64)
                np.add.at(electrons, self._positions, lengths[self._order])
            if not self._keep:
                electrons = electrons.reshape(-1, self._columns)[:, :-1].ravel()
            self._electrons = electrons
        return self._electrons

    def row_counts(self, read: bool = False) -> np.ndarray:
        """Counts of each position, which are its electrons: a pixel is named once for each."""
        return self.row_events()

    def frames(self, start: int, stop: int) -> CSRFrames:
        """Frames of the flat positions ``start`` to ``stop``; see `FrameSource.frames`."""
        first, last = self._in_file(start, stop)
        frames = self._whole_frames(first, last)
        if self._keep:
            return frames
        in_scan = np.arange(first, last) % self._columns != self._columns - 1
        return frames[np.flatnonzero(in_scan)[: stop - start]]

    def for_rows(self, start: int, stop: int) -> FrameSource:
        """The same for these rows alone, with their part of the list of positions; see `FrameSource`."""
        if self._order is None:
            return self
        part = copy.copy(self)
        first, last = np.searchsorted(self._positions, self._in_file(start, stop))
        part._order, part._positions = self._order[first:last], self._positions[first:last]
        return part

    def _in_file(self, start: int, stop: int) -> tuple[int, int]:
        """Range of positions of the file, whose lines may have a column more."""
        if self._keep:
            return start, stop
        nx = self._columns
        first, last = (p // (nx - 1) * nx + p % (nx - 1) for p in (start, max(stop - 1, start)))
        return first, last + 1

    def _check_lengths(self, lengths: np.ndarray) -> None:
        with open_hdf5(self.stamp, EXPECTED) as file:
            stored = _noted(file, SUM_OF_LENGTHS, lengths.shape)
        if stored is not None and stored != sum_of_numbers(lengths):
            raise Tpx3FormatError(
                f"{FRAMES} of {self.stamp.name!r} has rows of other lengths than were written: their checksum differs. "
                "The file is damaged; copy it again."
            )

    def _check_positions(self, file: h5py.Group, listed: np.ndarray) -> None:
        stored = _noted(file, SUM_OF_POSITIONS, listed.shape)
        if stored is not None and stored != sum_of_numbers(listed):
            raise Tpx3FormatError(
                f"{POSITIONS} of {self.stamp.name!r} are not those that were written: their checksum differs. The file "
                "is damaged; copy it again."
            )

    def _check_files(self) -> None:
        for stamp in (self.stamp, *self.others):
            stamp.check()

    def _whole_frames(self, start: int, stop: int) -> CSRFrames:
        self._check_files()
        with open_hdf5(self.stamp, EXPECTED) as file:
            rows = _Rows(file, self.stamp.name, self.allow_external, self._stored)
            self._stored = rows.stored
            indices, of_rows, positions = self._rows(rows, start, stop)
        lengths = np.zeros(stop - start, np.int64)
        np.add.at(lengths, positions - start, of_rows)
        if indices.dtype.kind not in "iu":
            raise Tpx3FormatError(f"{FRAMES} of {self.stamp.name!r} holds {indices.dtype} values, not pixel numbers.")
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        return canonical_frames(None, indices, indptr, self.sig_shape, self.dtype, repr(self.stamp.name), start)

    def _rows(self, dataset: _Rows, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of a range of positions one after the other, in order of position; length and position of each."""
        if self._order is None:
            k = self._rows_of_a_position
            return *dataset.read(start * k, stop * k), np.repeat(np.arange(start, stop), k)
        first, last = np.searchsorted(self._positions, [start, stop])
        at = self._order[first:last]
        cut = np.flatnonzero(np.diff(at) != 1) + 1
        runs = [dataset.read(int(run[0]), int(run[-1]) + 1) for run in np.split(at, cut) if len(run)]
        flat = np.concatenate([np.empty(0, np.uint32), *(run[0] for run in runs)])
        lengths = np.concatenate([np.empty(0, np.int64), *(run[1] for run in runs)])
        return flat, lengths, self._positions[first:last]

    def _find_rows(self, n_positions: int) -> None:
        """How rows belong to positions: a number of them each, or a list."""
        with open_hdf5(self.stamp, EXPECTED) as file:
            frames, positions = (find(file, name, self.allow_external) for name in (FRAMES, POSITIONS))
            needed = (frames, positions) if self.version < 3 else (frames,)
            self.others = check_all_stored(self.stamp, needed, self.allow_external)
            n_rows, listed = len(frames), None
            if n_positions > _FREE_POSITIONS + self.stamp.size + sum(stamp.size for stamp in self.others):
                raise LimitError(
                    f"attributes Nx and Ny of {POSITIONS} in {self.stamp.name!r} give {n_positions} scan positions, "
                    f"out of all proportion to a file of {self.stamp.size} bytes. One of them is damaged."
                )
            if self.version < 3:
                if positions.shape != (n_rows,):
                    raise Tpx3FormatError(
                        f"{self.stamp.name!r} lists {positions.size} scan positions of type {positions.dtype} for "
                        f"{n_rows} rows; expected one integer per row."
                    )
                listed = positions[()]
                self._check_positions(file, listed)
            elif positions.ndim == 1 and positions.size not in (n_positions, n_rows, 0):
                # one number for each position (stempy writes them), or for each row
                raise Tpx3FormatError(
                    f"{POSITIONS} of {self.stamp.name!r} lists {positions.size} positions, but its attributes Nx and "
                    f"Ny tell {n_positions}: one of them is damaged. Copy the file again."
                )
            elif positions.ndim == 1 and positions.size == n_rows > n_positions:
                self._check_consecutive(positions, n_positions)
        self._order = self._positions = None
        self._n_positions = n_positions
        if listed is None:
            if n_positions == 0 or n_rows % n_positions:
                raise Tpx3FormatError(
                    f"{self.stamp.name!r} has {n_rows} rows, not a multiple of its {n_positions} scan positions. The "
                    "attributes Nx and Ny of scan_positions may be wrong, or the file is cut."
                )
            self._rows_of_a_position = n_rows // n_positions
            return
        listed = whole_numbers(listed, f"{POSITIONS} of {self.stamp.name!r}")
        if n_rows and (listed.min() < 0 or listed.max() >= n_positions):
            raise Tpx3FormatError(
                f"scan_positions of {self.stamp.name!r} run from {listed.min()} to {listed.max()}, but the scan has "
                f"positions 0 to {n_positions - 1}. The attributes Nx and Ny may be wrong."
            )
        self._rows_of_a_position = int(np.bincount(listed, minlength=1).max())
        if n_rows != n_positions or (listed != np.arange(n_rows)).any():
            self._order = np.argsort(listed, kind="stable")
            self._positions = listed[self._order]
        elif self._rows_of_a_position != 1:
            self._rows_of_a_position = 1

    def _check_consecutive(self, positions: h5py.Dataset, n_positions: int) -> None:
        """Refuse a list of a position for each row that goes beyond the scan: Nx or Ny were larger when it was made."""
        check_stored(positions, self.allow_external)
        listed = whole_numbers(positions[()], f"{POSITIONS} of {self.stamp.name!r}")
        if listed.min() < 0 or listed.max() >= n_positions:
            raise Tpx3FormatError(
                f"{POSITIONS} of {self.stamp.name!r} run from {listed.min()} to {listed.max()}, but its attributes Nx "
                f"and Ny tell {n_positions} positions: one of them is damaged. Copy the file again."
            )


def _noted(file: h5py.Group, name: str, shape: tuple[int, ...]) -> int | None:
    """A checksum that our writer has left; None where another program has changed the number of rows since."""
    sums = find(file, ROW_SUMS)
    return whole(attribute(sums, name)) if getattr(sums, "shape", None) == shape and name in sums.attrs else None
