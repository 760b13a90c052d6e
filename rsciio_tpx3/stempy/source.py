"""Frames of a stempy file: rows of electrons to counted frames.

Source: stempy 3.6, which reads and writes these files. A row lists the pixels of electrons, each once
(in version 1 several times). A position has one row (version 1), one or more rows by the list of
scan positions (version 2), or the same number of consecutive rows (version 3); its counts are the sum.
"""

import copy
import math

import numpy as np

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.frames.canonical import canonical_frames
from rsciio_tpx3.frames.files import FileStamp
from rsciio_tpx3.stempy.row_lengths import row_lengths

__all__ = ["FRAMES", "POSITIONS", "StempySource"]

FRAMES = "electron_events/frames"
POSITIONS = "electron_events/scan_positions"


class StempySource:
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
        Of the counts; by default the smallest unsigned one that the number of rows a position allows,
        or uint16 where rows may repeat a pixel.
    keep_flyback : bool
        False leaves out the last scan column.
    nav_shape : tuple of int, optional
        Instead of `scan_shape`, with as many positions, where the flyback is kept.

    Raises
    ------
    Tpx3FormatError
        If the rows do not fit the scan.
    """

    def __init__(self, path, version, scan_shape, sig_shape, dtype=None, keep_flyback=True, nav_shape=None):
        self.stamp = FileStamp.of(path)
        self.version = version
        self.sig_shape = tuple(int(n) for n in sig_shape)
        self._columns = int(scan_shape[-1])
        self._keep = bool(keep_flyback)
        if not self._keep and self._columns < 2:
            raise ValueError(f"{self.stamp.name!r} has one scan column: keep_flyback=False would leave nothing.")
        kept = tuple(int(n) for n in (nav_shape if nav_shape is not None else scan_shape))
        self.nav_shape = kept if self._keep else (kept[0], kept[1] - 1)
        self._find_rows(math.prod(scan_shape))
        largest = self._rows_of_a_position if version > 1 else np.iinfo(np.uint16).max
        self.dtype = np.dtype(dtype if dtype is not None else np.min_scalar_type(largest))
        self._electrons = None

    def __getstate__(self):
        return {**self.__dict__, "_electrons": None}

    def __dask_tokenize__(self):
        from dask.base import normalize_token

        state = self.__getstate__()
        return ("rsciio_tpx3.StempySource", *(normalize_token(state[key]) for key in sorted(state)))

    def row_events(self):
        """Electrons of each position, where the file tells without reading them; see `FrameSource.row_events`."""
        if self._electrons is None:
            self.stamp.check()
            lengths = row_lengths(self.stamp.path, FRAMES)
            if lengths is None:
                return None
            if self._order is None:
                electrons = lengths.reshape(-1, self._rows_of_a_position).sum(axis=1)
            else:
                electrons = np.zeros(self._n_positions, np.int64)
                np.add.at(electrons, self._positions, lengths[self._order])
            if not self._keep:
                electrons = electrons.reshape(-1, self._columns)[:, :-1].ravel()
            self._electrons = electrons
        return self._electrons

    def row_counts(self, read=False):
        """Counts of each position, which are its electrons: a pixel is named once for each."""
        return self.row_events()

    def frames(self, start, stop):
        """Frames of the flat positions ``start`` to ``stop``; see `FrameSource.frames`."""
        first, last = self._in_file(start, stop)
        frames = self._whole_frames(first, last)
        if self._keep:
            return frames
        kept = np.arange(first, last) % self._columns != self._columns - 1
        return frames[np.flatnonzero(kept)[: stop - start]]

    def for_rows(self, start, stop):
        """The same for these rows alone, with their part of the list of positions; see `FrameSource`."""
        if self._order is None:
            return self
        part = copy.copy(self)
        first, last = np.searchsorted(self._positions, self._in_file(start, stop))
        part._order, part._positions = self._order[first:last], self._positions[first:last]
        return part

    def _in_file(self, start, stop):
        """Range of positions of the file, whose lines may have a column more."""
        if self._keep:
            return start, stop
        nx = self._columns
        first, last = (p // (nx - 1) * nx + p % (nx - 1) for p in (start, max(stop - 1, start)))
        return first, last + 1

    def _whole_frames(self, start, stop):
        import h5py

        self.stamp.check()
        with h5py.File(self.stamp.path, "r") as file:
            rows, positions = self._rows(file[FRAMES], start, stop)
        lengths = np.zeros(stop - start, np.int64)
        np.add.at(lengths, positions - start, [len(row) for row in rows])
        indices = np.concatenate([*rows, np.empty(0, np.uint32)]) if len(rows) else np.empty(0, np.uint32)
        if indices.dtype.kind == "f":
            raise Tpx3FormatError(f"{FRAMES} of {self.stamp.name!r} holds {indices.dtype} values, not pixel numbers.")
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        return canonical_frames(None, indices, indptr, self.sig_shape, self.dtype, repr(self.stamp.name), start)

    def _rows(self, dataset, start, stop):
        """Rows of a range of positions, in order of position, and the position of each."""
        if self._order is None:
            k = self._rows_of_a_position
            return dataset[start * k : stop * k], np.repeat(np.arange(start, stop), k)
        first, last = np.searchsorted(self._positions, [start, stop])
        at = self._order[first:last]
        cut = np.flatnonzero(np.diff(at) != 1) + 1
        runs = [dataset[run[0] : run[-1] + 1] for run in np.split(at, cut) if len(run)]
        return [row for run in runs for row in run], self._positions[first:last]

    def _find_rows(self, n_positions):
        """How rows belong to positions: a number of them each, or a list."""
        import h5py

        with h5py.File(self.stamp.path, "r") as file:
            n_rows = len(file[FRAMES])
            listed = file[POSITIONS][()] if self.version < 3 else None
        self._order = self._positions = None
        self._n_positions = n_positions
        if listed is None:
            if n_positions == 0 or n_rows % n_positions:
                raise Tpx3FormatError(
                    f"{self.stamp.name!r} has {n_rows} rows, no multiple of its {n_positions} scan positions. The "
                    "attributes Nx and Ny of scan_positions may be wrong, or the file is cut."
                )
            self._rows_of_a_position = n_rows // n_positions
            return
        if len(listed) != n_rows or listed.dtype.kind not in "iu":
            raise Tpx3FormatError(
                f"{self.stamp.name!r} lists {len(listed)} scan positions of type {listed.dtype} for {n_rows} rows; one "
                "whole number a row is needed."
            )
        listed = listed.astype(np.int64)
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
