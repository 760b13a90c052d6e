"""Frames of a raw_csr data set, of which the part that is requested is read.

Read, not mapped into memory: a mapped file that another program cuts ends the process by a signal.
"""

from __future__ import annotations

import logging
import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import normalize_token

from rsciio_tpx3.csr.canonical import canonical_frames, native
from rsciio_tpx3.csr.kernels import sum_rows
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.frames.source import FrameSource
from rsciio_tpx3.raw_csr.description import changed_array

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames
    from rsciio_tpx3.raw_csr.description import Description


__all__ = ["RawCsrSource"]

_logger = logging.getLogger(__name__)

_QUICK_BYTES = 128 * 2**20  # values that opening adds up: a tenth of a second from memory, less than one from a disk
_PART_BYTES = 16 * 2**20


class RawCsrSource(FrameSource):
    """A `FrameSource` over the three arrays of a raw_csr data set.

    Parameters
    ----------
    description : Description
    nav_shape, sig_shape : tuple of int, optional
        NumPy order; instead of those in the TOML. The number of detector pixels must stay.
    sync_offset : int
        Frames to skip at the beginning, or blank ones to put there where it is negative, as in
        LiberTEM. Positions beyond the last frame are blank, frames beyond the last position excluded.
    dtype : numpy.dtype, optional
        Type of the values; as in the file by default.
    verify : bool
        Compare the sums of the blocks that are read; False where the whole arrays are compared afterwards.

    Raises
    ------
    Tpx3FormatError
        If the arrays do not fit each other: lengths, or the order of indptr.
    ValueError
        If the shapes do not fit the arrays.

    Examples
    --------
    >>> from rsciio_tpx3.raw_csr.description import read_description
    >>> source = RawCsrSource(read_description("scan.toml"))  # doctest: +SKIP
    >>> source.frames(0, 10).sum(axis=0)  # doctest: +SKIP
    """

    def __init__(
        self,
        description: Description,
        nav_shape: tuple[int, ...] | None = None,
        sig_shape: tuple[int, ...] | None = None,
        sync_offset: int = 0,
        dtype: np.dtype | None = None,
        verify: bool = True,
    ) -> None:
        self.path = description.path
        self._stamps = description.stamps
        self._dtypes = description.dtypes
        self._sums = description.block_sums if verify else {}
        self._name = description.stamps["indices"].name
        self.dtype = np.dtype(dtype) if dtype is not None else native(np.empty(0, self._dtypes["data"])).dtype
        n_entries = self._check_lengths()
        indptr = self._read("indptr", 0, self._length("indptr"))
        self._check_indptr(indptr, n_entries)
        self.n_rows = len(indptr) - 1
        self.sync_offset = int(sync_offset)
        self.sig_shape = _sig_shape(description, sig_shape)
        self.nav_shape = self._nav_shape(description, nav_shape)
        # other values, such as times over threshold, say nothing of how many events there were
        self._holds_counts = description.holds_counts and self._dtypes["data"].kind in "biu"
        self._entries = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_entries": None}

    def __dask_tokenize__(self) -> Any:
        state = self.__getstate__()
        return ("rsciio_tpx3.RawCsrSource", *(normalize_token(state[key]) for key in sorted(state)))

    @property
    def n_entries(self) -> int:
        """Entries in the files."""
        return self._length("data")

    def row_events(self) -> np.ndarray:
        """Entries of each position; see `FrameSource.row_events`."""
        if self._entries is None:
            self._entries = self._at_positions(np.diff(self._rows(0, self.n_rows)))
        return self._entries

    def row_counts(self, read: bool = False) -> np.ndarray | None:
        """Counts of each position: pixels may count more than once, so that all values have to be added up.

        Parameters
        ----------
        read : bool
            Add up any number of values; else as many as cost no time.

        Returns
        -------
        numpy.ndarray of int64, shape (n_positions,), or None
            None where there are too many values, or they are not counts.
        """
        if not self._holds_counts or (self._stamps["data"].size > _QUICK_BYTES and not read):
            return None
        for stamp in self._stamps.values():
            stamp.check()
        indptr = self._rows(0, self.n_rows)
        counts = np.zeros(self.n_rows, np.sum(np.zeros(1, self._dtypes["data"])).dtype)
        most = _PART_BYTES // self._dtypes["data"].itemsize
        start = 0
        while start < self.n_rows:
            stop = max(int(np.searchsorted(indptr, indptr[start] + most, "right")) - 1, start + 1)
            part = native(self._read("data", int(indptr[start]), int(indptr[stop])))
            sum_rows(part, indptr[start : stop + 1] - indptr[start], counts[start:stop])
            start = stop
        return self._at_positions(counts.astype(np.int64))

    def frames(self, start: int, stop: int) -> CSRFrames:
        """Frames of the flat positions ``start`` to ``stop``; see `FrameSource.frames`."""
        for stamp in self._stamps.values():
            stamp.check()
        first, last, blank = self._file_rows(start, stop)
        indptr = self._rows(first, last)
        begin, end = int(indptr[0]), int(indptr[-1])
        if not 0 <= begin <= end <= self.n_entries:
            # the order inside is checked with the frames
            raise Tpx3FormatError(
                f"{self._stamps['indptr'].name!r} names entries {begin} to {end} of {self.n_entries}: it changed since "
                "it was opened. Load it again."
            )
        counts = np.zeros(stop - start + 1, np.int64)
        counts[blank + 1 : blank + 1 + last - first] = np.diff(indptr)
        return canonical_frames(
            self._read("data", begin, end),
            self._read("indices", begin, end),
            np.cumsum(counts),
            self.sig_shape,
            self.dtype,
            repr(self._name),
            start,
        )

    # -- the files ------------------------------------------------------------------------------

    def _at_positions(self, found: np.ndarray) -> np.ndarray:
        """What was found for each row of the file, at the positions of the scan."""
        placed = np.zeros(math.prod(self.nav_shape), np.int64)
        first, last, blank = self._file_rows(0, len(placed))
        placed[blank : blank + last - first] = found[first:last]
        return placed

    def _file_rows(self, start: int, stop: int) -> tuple[int, int, int]:
        """Rows of the file for a range of positions, and the blank positions before them."""
        first = min(max(start + self.sync_offset, 0), self.n_rows)
        last = min(max(stop + self.sync_offset, first), self.n_rows)
        blank = min(max(-(start + self.sync_offset), 0), stop - start)
        return first, last, blank

    def _rows(self, first: int, last: int) -> np.ndarray:
        # int64: uint64 minus uint64 wraps, uint64 with int64 promotes to float64
        return native(self._read("indptr", first, last + 1)).astype(np.int64, copy=False)

    def _read(self, part: str, first: int, last: int) -> np.ndarray:
        """Entries of one array, refused where the file is no longer the one that was opened, or written."""
        stamp, dtype, sums = self._stamps[part], self._dtypes[part], self._sums.get(part)
        start, stop = first * dtype.itemsize, max(last, first) * dtype.itemsize
        if sums is None or start == stop:
            found = np.empty(stop - start, np.uint8)
            with stamp.open() as file:
                stamp.fill(file, start, found)
            return found.view(dtype)
        begin, end = sums.around(start, stop, stamp.size)
        words = np.empty(-(-(end - begin) // 8), np.uint64)
        words[-1:] = 0  # beyond the end of the file
        found = words.view(np.uint8)[: end - begin]
        with stamp.open() as file:
            stamp.fill(file, begin, found)
        changed = sums.first_changed(words, begin)
        if changed is not None:
            raise changed_array(stamp, part, self.path, f"its block from byte {changed} on differs from {part}_sums")
        wanted = found[start - begin : stop - begin].view(dtype)
        # a few frames should not keep the blocks around them in memory
        return wanted if 2 * (stop - start) > end - begin else wanted.copy()

    def _length(self, part: str) -> int:
        return self._stamps[part].size // self._dtypes[part].itemsize

    # -- checks ---------------------------------------------------------------------------------

    def _check_lengths(self) -> int:
        for part, stamp in self._stamps.items():
            if stamp.size % self._dtypes[part].itemsize:
                raise Tpx3FormatError(
                    f"{stamp.name!r} has {stamp.size} bytes, not a multiple of the {self._dtypes[part].itemsize} of "
                    f"{part}_dtype = {self._dtypes[part].name!r}. Correct the type in the TOML, or copy the file again."
                )
        n_data, n_indices = self._length("data"), self._length("indices")
        if n_data != n_indices:
            raise Tpx3FormatError(
                f"{self._stamps['data'].name!r} holds {n_data} values as {self._dtypes['data'].name}, but "
                f"{self._stamps['indices'].name!r} {n_indices} pixel numbers as {self._dtypes['indices'].name}. One "
                "of the types in the TOML is wrong, or a file is cut."
            )
        if self._length("indptr") < 2:
            raise Tpx3FormatError(
                f"{self._stamps['indptr'].name!r} holds {self._length('indptr')} numbers; expected at least 2, one "
                "more than there are frames."
            )
        return n_data

    def _check_indptr(self, indptr: np.ndarray, n_entries: int) -> None:
        name = self._stamps["indptr"].name
        first, last = int(indptr[0]), int(indptr[-1])
        if first != 0 or last != n_entries:
            raise Tpx3FormatError(
                f"{name!r} runs from {first} to {last}, but must run from 0 to the number of entries, {n_entries}. "
                "indptr_dtype in the TOML may be wrong, or a file is cut."
            )
        back = np.flatnonzero(indptr[1:] < indptr[:-1])
        if len(back):
            raise Tpx3FormatError(
                f"{name!r} falls from {indptr[back[0]]} to {indptr[back[0] + 1]} at frame {back[0]}; it must never "
                "decrease. indptr_dtype in the TOML may be wrong, or the file is damaged."
            )

    def _nav_shape(self, description: Description, requested: tuple[int, ...] | None) -> tuple[int, ...]:
        shape = requested if requested is not None else description.nav_shape
        name = description.path
        if shape is None:
            raise ValueError(f"{name!r} has no nav_shape. Pass navigation_shape=(x, y) for its {self.n_rows} frames.")
        if not -self.n_rows < self.sync_offset < self.n_rows:
            raise ValueError(
                f"sync_offset={self.sync_offset} shifts all {self.n_rows} frames out of the scan; it must lie between "
                f"{-self.n_rows} and {self.n_rows}."
            )
        n_positions = math.prod(shape)
        # Frames beyond the last position where positive, positions without a frame where negative.
        rest = self.n_rows - self.sync_offset - n_positions
        if description.unfinished and rest < 0:
            _logger.warning(
                f"{os.path.basename(name)!r} is still being recorded, or that was interrupted: {self.n_rows:,} "
                f"of {n_positions:,} positions are there, the others are blank."
            )
            rest = 0
        if requested is None and self.sync_offset == 0 and rest:
            raise ValueError(
                f"indptr describes {self.n_rows} frames but nav_shape {tuple(shape)} needs {n_positions}. Pass "
                f"navigation_shape=(x, y) for {self.n_rows} frames, or correct nav_shape in {name!r}."
            )
        if rest:
            what = (
                f"{rest} frames after the last position are excluded"
                if rest > 0
                else f"the last {-rest} positions are blank"
            )
            _logger.warning(
                f"{self.n_rows} frames with sync_offset={self.sync_offset} and navigation shape "
                f"{tuple(shape)[::-1]}: {what}."
            )
        return tuple(int(n) for n in shape)


def _sig_shape(description: Description, requested: tuple[int, ...] | None) -> tuple[int, ...]:
    shape = requested if requested is not None else description.sig_shape
    if shape is None:
        raise ValueError(f"{description.path!r} has no sig_shape. Pass signal_shape=(x, y) of the detector.")
    stated = description.sig_shape
    if stated is not None and math.prod(stated) != math.prod(shape):
        raise ValueError(
            f"signal_shape {tuple(shape)[::-1]} has {math.prod(shape)} pixels, but the data set "
            f"{math.prod(stated)}, as {stated[::-1]}. The number of pixels cannot change; crop after loading."
        )
    return tuple(int(n) for n in shape)
