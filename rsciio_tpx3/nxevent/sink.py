"""Rows appended to the growing arrays of an NXevent_data group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.csr.electron_rows import repeated
from rsciio_tpx3.nxevent.layout import CHUNK_EVENTS, height_type, id_type, packing
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND

if TYPE_CHECKING:
    import h5py

    from rsciio_tpx3.csr.csr_frames import CSRFrames
    from rsciio_tpx3.nxevent.hits import HitRows


__all__ = ["NXEventSink"]

_CHUNK_ROWS = 1 << 14


class NXEventSink:
    """A `FrameSink` that appends rows to an open HDF5 group.

    Parameters
    ----------
    group : h5py.Group
        The NXevent_data group.
    sig_shape : tuple of int
    dtype : numpy.dtype
        Of the values.
    repeat : bool
        True writes an event for each count; False one for each pixel, with its value in
        `pulse_height`.
    compression : str
        See `layout.packing`.
    keep : sequence of {"time", "tot"}
        What the rows bring of each hit besides: they are `hits.HitRows` then.
    """

    def __init__(
        self,
        group: h5py.Group,
        sig_shape: tuple[int, ...],
        dtype: np.dtype,
        repeat: bool,
        compression: str,
        keep: tuple[str, ...] = (),
    ) -> None:
        self.repeat = repeat
        self.keep = keep
        columns = {"event_id": (id_type(sig_shape), (CHUNK_EVENTS,)), "event_index": (np.dtype("<i8"), (_CHUNK_ROWS,))}
        if not repeat or "tot" in keep:
            columns["pulse_height"] = height_type(dtype if not repeat else np.uint16), (CHUNK_EVENTS, 1)
        if "time" in keep:
            columns["event_time_offset"] = np.dtype("<i4"), (CHUNK_EVENTS,)
        self._columns = {name: _resizable(group, name, *kind, compression) for name, kind in columns.items()}
        for name in set(columns) - {"event_time_offset"}:
            self._columns[name].attrs["units"] = ""  # NX_DIMENSIONLESS
        if "time" in keep:
            self._columns["event_time_offset"].attrs["units"] = f"{1e9 / TICKS_PER_SECOND!r} ns"
        # threads that prepare must not ask the file: HDF5 makes them wait while another writes
        self._dtypes = {name: dtype for name, (dtype, _) in columns.items()}
        self._pending = {name: _Pending(dtype) for name, dtype in self._dtypes.items()}
        self._end = 0

    def prepare(self, frames: CSRFrames | HitRows) -> dict[str, np.ndarray]:
        """Name to the values of each column, in the types of the file; `event_index` with its end."""
        indices = frames.indices.astype(self._dtypes["event_id"], copy=False)
        if self.keep:
            new = {"event_id": indices, "event_index": frames.indptr}
            if "tot" in self.keep:
                new["pulse_height"] = _as_heights(frames.tot, self._dtypes["pulse_height"])
            if "time" in self.keep:
                new["event_time_offset"] = frames.offset
            return new
        if not self.repeat:
            heights = _as_heights(frames.data, self._dtypes["pulse_height"])
            return {"event_id": indices, "event_index": frames.indptr, "pulse_height": heights}
        counts = _as_counts(frames.data)
        indices, ends = repeated(counts, indices, frames.indptr)
        return {"event_id": indices, "event_index": ends}

    def append(self, prepared: dict[str, np.ndarray]) -> None:
        """Write the next rows; whole HDF5 chunks only, so that none is packed twice."""
        starts = prepared["event_index"][:-1] + self._end
        self._end += len(prepared["event_id"])
        for name, values in {**prepared, "event_index": starts}.items():
            self._pending[name].add(values)
            self._flush(name, self._columns[name].chunks[0])

    def finish(self) -> None:
        """Write what is left."""
        for name in self._columns:
            self._flush(name, 1)

    def _flush(self, name: str, multiple: int) -> None:
        values = self._pending[name].take(multiple)
        if not len(values):
            return
        dataset = self._columns[name]
        before = len(dataset)
        dataset.resize(before + len(values), axis=0)
        dataset[before:] = values.reshape(-1, *dataset.shape[1:])


class _Pending:
    """Values of one column that wait for a chunk to be full, in memory that is used again: fresh memory is not free."""

    def __init__(self, dtype: np.dtype) -> None:
        self._values = np.empty(0, dtype)
        self._n = self._taken = 0

    def add(self, values: np.ndarray) -> None:
        """Put some behind the others; what was taken before is no longer valid."""
        kept = self._n - self._taken
        n = kept + len(values)
        room = self._values if n <= len(self._values) else np.empty(n + n // 4, self._values.dtype)
        room[:kept] = self._values[self._taken : self._n]
        room[kept:n] = values.reshape(-1)
        self._values, self._n, self._taken = room, n, 0

    def take(self, multiple: int) -> np.ndarray:
        """As many as make up whole multiples, each value once; good until `add` is called."""
        first, left = self._taken, self._n - self._taken
        self._taken = self._n - left % multiple
        return self._values[first : self._taken]


def _as_counts(data: np.ndarray) -> np.ndarray:
    if data.dtype.kind == "i" and len(data) and data.min() < 0:
        raise ValueError(
            f"a value is {data.min()}: counts are never negative. "
            'Save with values="pulse_height", which keeps any value.'
        )
    return data


def _as_heights(data: np.ndarray, dtype: np.dtype) -> np.ndarray:
    heights = data.astype(dtype)
    if data.dtype.kind in "iu" and data.dtype.itemsize > 4 and not np.array_equal(heights.astype(data.dtype), data):
        raise ValueError(
            f"{data.dtype} values above 2**53 have no exact place in pulse_height, which NeXus wants as a float. "
            "Save as raw_csr, which keeps the type."
        )
    return heights.reshape(-1, 1)


def _resizable(
    group: h5py.Group, name: str, dtype: np.dtype, chunks: tuple[int, ...], compression: str
) -> h5py.Dataset:
    options = packing(compression, dtype.itemsize)
    shape = (0, *chunks[1:])
    return group.create_dataset(name, shape, dtype, maxshape=(None, *chunks[1:]), chunks=chunks, **options)
