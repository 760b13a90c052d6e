"""Frames of an NXevent_data group: events of a range of positions, sorted and counted."""

import logging
import math

import numpy as np

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.frames.canonical import canonical_frames, native
from rsciio_tpx3.frames.files import FileStamp
from rsciio_tpx3.nxevent.layout import load_plugin, require_plugin

__all__ = ["NXEventSource"]

_logger = logging.getLogger(__name__)


class NXEventSource:
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

    Raises
    ------
    Tpx3FormatError
        If the arrays of the group do not fit each other.
    """

    def __init__(self, path, group, nav_shape, sig_shape, dtype, values="counts", merged=False):
        self.stamp = FileStamp.of(path)
        self.group = group
        self.nav_shape = tuple(int(n) for n in nav_shape)
        self.sig_shape = tuple(int(n) for n in sig_shape)
        self.dtype = np.dtype(dtype)
        self.values = values
        self.merged = merged
        self._starts = None
        self._check()

    def __getstate__(self):
        return {**self.__dict__, "_starts": None}

    def __dask_tokenize__(self):
        from dask.base import normalize_token

        state = self.__getstate__()
        return ("rsciio_tpx3.NXEventSource", *(normalize_token(state[key]) for key in sorted(state)))

    def row_events(self):
        """Events of each position; see `FrameSource.row_events`."""
        return np.diff(self._all_starts())

    def row_counts(self, read=False):
        """Counts of each position; None where events of a pixel were written as one."""
        return None if self.merged else self.row_events()

    def frames(self, start, stop):
        """Frames of the flat positions ``start`` to ``stop``; see `FrameSource.frames`."""
        import h5py

        self.stamp.check()
        load_plugin()
        with h5py.File(self.stamp.path, "r") as file:
            group = file[self.group]
            starts = self._starts
            if starts is None:
                # a worker that reads one span needs one span of starts
                last = stop == math.prod(self.nav_shape)
                part = native(_read(group["event_index"], start, stop + (not last))).astype(np.int64)
                starts = np.append(part, len(group["event_id"])) if last else part
            else:
                starts = starts[start : stop + 1]
            begin, end = int(starts[0]), int(starts[-1])
            indices = _read(group["event_id"], begin, end)
            if self.values == "counts":
                data = None
            else:
                data = _read(group["pulse_height"], begin, end).ravel()
        return canonical_frames(data, indices, starts - begin, self.sig_shape, self.dtype, repr(self.stamp.name), start)

    def _all_starts(self):
        import h5py

        if self._starts is None:
            self.stamp.check()
            with h5py.File(self.stamp.path, "r") as file:
                group = file[self.group]
                index = native(_read(group["event_index"])).astype(np.int64)
                self._starts = np.append(index, len(group["event_id"]))
        return self._starts

    def _check(self):
        starts = self._all_starts()
        where = f"{self.group!r} of {self.stamp.name!r}"
        n_positions = math.prod(self.nav_shape)
        if len(starts) - 1 != n_positions:
            raise Tpx3FormatError(
                f"event_index in {where} describes {len(starts) - 1} positions, but the navigation shape "
                f"{self.nav_shape[::-1]} needs {n_positions}. Pass navigation_shape=(x, y) to match."
            )
        back = np.flatnonzero(np.diff(starts) < 0)
        if len(back):
            raise Tpx3FormatError(
                f"event_index in {where} falls from {starts[back[0]]} to {starts[back[0] + 1]} at position {back[0]}; "
                "it must never decrease, nor exceed the number of events. The file is damaged."
            )
        if starts[0] != 0:
            _logger.warning(f"{starts[0]} events in {where} come before the first position and are left out.")


def _read(dataset, begin=0, end=None):
    try:
        return dataset[begin:end]
    except OSError as error:
        if "filter" not in str(error) and "plugin" not in str(error):
            raise
        require_plugin("to unpack this file")
        raise
