"""Frames of an NXevent_data group: events of a range of positions, sorted and counted."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import normalize_token

from rsciio_tpx3.csr.canonical import canonical_frames, native
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.exceptions import LimitError, Tpx3FormatError
from rsciio_tpx3.frames.source import FrameSource
from rsciio_tpx3.nxevent.layout import load_plugin, require_plugin
from rsciio_tpx3.nxevent.pixels import PixelNumbers
from rsciio_tpx3.utils.files import FileStamp
from rsciio_tpx3.utils.hdf5.files import find, open_hdf5
from rsciio_tpx3.utils.hdf5.storage import check_all_stored
from rsciio_tpx3.utils.hdf5.values import value, whole, whole_numbers

if TYPE_CHECKING:
    import h5py


__all__ = ["NXEventSource"]

_logger = logging.getLogger(__name__)

EXPECTED = "NXevent_data file"
_FREE_POSITIONS = 1 << 23  # 64 MiB of starts, whatever the size of the file
_PART_EVENTS = 1 << 23  # events unpacked at once: a position may have any number of them in few bytes


class NXEventSource(FrameSource):
    """A `FrameSource` over one NXevent_data group of an HDF5 file.

    Parameters
    ----------
    path : str or Path
    group : str
        Of the group in the file.
    nav_shape, sig_shape : tuple of int
        NumPy order.
    dtype : numpy.dtype
        Of the values.
    values : {"counts", "pulse_height"}
        Whether a pixel's value is its number of events or the sum of their pulse heights.
    merged : bool
        Whether the events of a pixel and position were written as one, with the value that all have.
    numbers : str, optional
        Path of the data set with the number of each pixel, in the order of the detector; without it an event's number
        is ``y * width + x``.
    allow_external : bool
        Whether arrays may lie in other files.
    shape_requested : bool
        Whether the user requested the shape: any number of positions is believed then.

    Raises
    ------
    Tpx3FormatError
        If the arrays of the group do not fit each other, or lie in other files.
    LossError
        If a part of them was never written.
    LimitError
        If they describe far more positions than a file of this size can hold.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        group: str,
        nav_shape: tuple[int, ...],
        sig_shape: tuple[int, ...],
        dtype: np.dtype,
        values: str = "counts",
        merged: bool = False,
        numbers: str | None = None,
        allow_external: bool = False,
        shape_requested: bool = False,
    ) -> None:
        self.stamp = FileStamp.of(path)
        self.group = group
        self.nav_shape = tuple(int(n) for n in nav_shape)
        self.sig_shape = tuple(int(n) for n in sig_shape)
        self.dtype = np.dtype(dtype)
        self.values = values
        self.merged = merged
        self.numbers = numbers
        self.allow_external = bool(allow_external)
        self.others = ()
        self._starts = self._pixels = None
        self._check(shape_requested)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_starts": None, "_pixels": None}

    def __dask_tokenize__(self) -> Any:
        state = self.__getstate__()
        return ("rsciio_tpx3.NXEventSource", *(normalize_token(state[key]) for key in sorted(state)))

    def row_events(self) -> np.ndarray:
        """Events of each position; see `FrameSource.row_events`."""
        return np.diff(self._all_starts())

    def row_counts(self, read: bool = False) -> np.ndarray | None:
        """Counts of each position; None where events of a pixel were written as one."""
        return None if self.merged else self.row_events()

    def frames(self, start: int, stop: int) -> CSRFrames:
        """Frames of the flat positions ``start`` to ``stop``; see `FrameSource.frames`."""
        self._check_files()
        load_plugin()
        with open_hdf5(self.stamp, EXPECTED) as file:
            group = self._group(file)
            starts = self._span(group, start, stop)
            parts = []
            for first, last in _parts(starts):
                begin, end = int(starts[first]), int(starts[last])
                parts.append((start + first, starts[first : last + 1], self._read_events(group, begin, end)))
        found = [self._canonical(*part) for part in parts]
        return found[0] if len(found) == 1 else _joined(found, self.sig_shape)

    def _read_events(self, group: h5py.Group, begin: int, end: int) -> tuple:
        """Pixels and values of a range of events; values are None where events are counted."""
        indices = _read(find(group, "event_id", self.allow_external), begin, end).ravel()
        data = None
        if self.values != "counts":
            data = _read(find(group, "pulse_height", self.allow_external), begin, end).ravel()
        return self._pixel_numbers(group.file).places(indices, self._where("event_id")), data

    def _canonical(self, row: int, starts: np.ndarray, events: tuple) -> CSRFrames:
        indices, data = events
        where = repr(self.stamp.name)
        return canonical_frames(data, indices, starts - starts[0], self.sig_shape, self.dtype, where, row)

    def _span(self, group: h5py.Group, start: int, stop: int) -> np.ndarray:
        """First events of some positions, and the end of the last."""
        if self._starts is not None:
            return self._starts[start : stop + 1]
        # a worker that reads one span needs one span of starts
        index, n_events = find(group, "event_index", self.allow_external), self._n_events(group)
        last = stop >= len(index)  # a closed list has one more than there are positions
        part = whole_numbers(_read(index, start, stop + (not last)), self._where("event_index"))
        starts = np.append(part, n_events) if last else part
        return self._ascending(starts, n_events, start)

    def _all_starts(self) -> np.ndarray:
        if self._starts is None:
            self._check_files()
            with open_hdf5(self.stamp, EXPECTED) as file:
                group = self._group(file)
                n_positions, n_events = math.prod(self.nav_shape), self._n_events(group)
                index = find(group, "event_index", self.allow_external)
                found = whole_numbers(_read(index), self._where("event_index"))
                if len(found) == n_positions + 1 and int(found[-1]) == n_events:
                    starts = found  # a closed list: its last entry is the end of the last position
                else:
                    starts = np.append(found, n_events)
                self._starts = self._ascending(starts, n_events, 0)
        return self._starts

    def _ascending(self, starts: np.ndarray, n_events: int, first: int) -> np.ndarray:
        """The same, refused unless compiled loops may run along it."""
        back = np.flatnonzero(np.diff(starts) < 0)
        if len(back):
            raise Tpx3FormatError(
                f"{self._where('event_index')} falls from {starts[back[0]]} to {starts[back[0] + 1]} at position "
                f"{first + back[0]}; it must never decrease, nor exceed the number of events. The file is damaged."
            )
        if len(starts) and (starts[0] < 0 or starts[-1] > n_events):
            raise Tpx3FormatError(
                f"{self._where('event_index')} runs from {starts[0]} to {starts[-1]}, but there are events 0 to "
                f"{n_events}. The file is damaged."
            )
        return starts

    def _pixel_numbers(self, file: h5py.Group) -> PixelNumbers:
        if self._pixels is None:
            numbers = None
            if self.numbers is not None:
                numbers = find(file, self.numbers, self.allow_external)[()]
            self._pixels = PixelNumbers(numbers, self.sig_shape, self._where("detector_number"))
        return self._pixels

    def _group(self, file: h5py.Group) -> h5py.Group:
        return find(file, self.group, self.allow_external)

    def _n_events(self, group: h5py.Group) -> int:
        return len(find(group, "event_id", self.allow_external))

    def _where(self, name: str) -> str:
        return f"{name} in {self.group!r} of {self.stamp.name!r}"

    def _check_files(self) -> None:
        for stamp in (self.stamp, *self.others):
            stamp.check()

    def _check(self, shape_requested: bool) -> None:
        self._check_arrays(shape_requested)
        starts = self._all_starts()
        where = f"{self.group!r} of {self.stamp.name!r}"
        n_positions = math.prod(self.nav_shape)
        if len(starts) - 1 != n_positions:
            raise Tpx3FormatError(
                f"event_index in {where} describes {len(starts) - 1} positions, but the navigation shape "
                f"{self.nav_shape[::-1]} needs {n_positions}. Pass navigation_shape=(x, y) to match."
            )
        # An index without its 0 ends twice at the number of events: its entries are ends, not beginnings.
        if starts[0] != 0 and n_positions > 1 and starts[-2] == starts[-1]:
            _logger.warning(
                f"event_index in {where} runs from {starts[0]} to the number of events, {starts[-1]}: it is read as "
                "where each position begins, and events before it belong to no position. If its entries are the ends "
                "of the positions, each has the events of the next: write it with a 0 in front and without its last."
            )
        if starts[0] != 0:
            _logger.warning(f"{starts[0]} events in {where} come before the first position and are excluded.")

    def _check_arrays(self, shape_requested: bool) -> None:
        """Lengths, types and places of the arrays, checked before anything is read."""
        with open_hdf5(self.stamp, EXPECTED) as file:
            group = self._group(file)
            names = ["event_id", "event_index", *(["pulse_height"] if self.values != "counts" else [])]
            arrays = {name: find(group, name, self.allow_external) for name in names}
            if self.numbers is not None:
                arrays["detector_number"] = find(file, self.numbers, self.allow_external)
            for name, array in arrays.items():
                if not hasattr(array, "dtype") or array.shape is None or array.dtype.kind not in "iuf":
                    raise Tpx3FormatError(f"{self._where(name)} is absent, or not a list of numbers.")
            self.others = check_all_stored(self.stamp, arrays.values(), self.allow_external)
            n_events, n_index = len(arrays["event_id"]), len(arrays["event_index"])
            if self.values != "counts" and arrays["pulse_height"].size != n_events:
                raise Tpx3FormatError(
                    f"{self._where('pulse_height')} has {arrays['pulse_height'].size} values for {n_events} events; "
                    "expected one for each. The file is damaged."
                )
            stored = find(group, "total_counts", self.allow_external)
            stored = whole(value(stored)) if getattr(stored, "shape", None) in ((), (1,)) else None
            if stored is not None and stored != n_events:
                _logger.warning(
                    f"{self._where('total_counts')} is {stored}, but there are {n_events} events: some may be no "
                    "events, such as room that was not used, or be missing. All are read."
                )
            size = self.stamp.size + sum(stamp.size for stamp in self.others)
            if not shape_requested and n_index > _FREE_POSITIONS + size:
                raise LimitError(
                    f"{self._where('event_index')} describes {n_index} positions, out of all proportion to a file of "
                    f"{size} bytes. If this is right, pass navigation_shape=(x, y)."
                )
            most = _FREE_POSITIONS * 2 + size
            if self.numbers is not None and arrays["detector_number"].size > most:
                raise LimitError(
                    f"{self._where('detector_number')} is out of all proportion to a file of {size} bytes."
                )
            self._pixel_numbers(file)  # refuses at the call what would else fail in the middle of a computation


def _parts(starts: np.ndarray) -> Iterator[tuple[int, ...]]:
    """Ranges of rows with no more events together than are unpacked at once; one row where it has more alone."""
    first = 0
    n_rows = len(starts) - 1
    while first < n_rows or (first == 0 and n_rows == 0):
        last = int(np.searchsorted(starts, starts[first] + _PART_EVENTS, "right")) - 1
        last = min(max(last, first + 1), n_rows)
        yield first, last
        first = max(last, first + 1)


def _joined(frames: Sequence[CSRFrames], sig_shape: tuple[int, ...]) -> CSRFrames:
    """Frames of following parts as one."""
    ends = np.cumsum([0, *(part.data.size for part in frames)])
    indptr = np.concatenate([[0], *(part.indptr[1:] + end for part, end in zip(frames, ends))]).astype(np.int64)
    data = np.concatenate([part.data for part in frames])
    indices = np.concatenate([part.indices for part in frames])
    return CSRFrames((data, indices, indptr), shape=(len(indptr) - 1, *sig_shape))


def _read(dataset: h5py.Dataset, begin: int = 0, end: int | None = None) -> np.ndarray:
    try:
        return native(dataset[begin:end])
    except OSError as error:
        if "filter" not in str(error) and "plugin" not in str(error):
            raise
        if "fletcher" in str(error).lower() or "checksum" in str(error).lower():
            raise
        require_plugin("to unpack this file")
        raise
