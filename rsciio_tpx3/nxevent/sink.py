"""Rows appended to the growing arrays of an NXevent_data group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.csr.electron_rows import repeated
from rsciio_tpx3.nxevent.layout import CHUNK_EVENTS, height_type, id_type, packing
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND
from rsciio_tpx3.utils.hdf5.appending import AppendedValues
from rsciio_tpx3.utils.threads import thread_count

if TYPE_CHECKING:
    from concurrent.futures import Executor

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
    pool : concurrent.futures.Executor
        Its threads pack.
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
        pool: Executor,
        keep: tuple[str, ...] = (),
    ) -> None:
        self.repeat = repeat
        self.keep = keep
        columns = {"event_id": (id_type(sig_shape), (CHUNK_EVENTS,)), "event_index": (np.dtype("<i8"), (_CHUNK_ROWS,))}
        if not repeat or "tot" in keep:
            columns["pulse_height"] = height_type(dtype if not repeat else np.uint16), (CHUNK_EVENTS, 1)
        if "time" in keep:
            columns["event_time_offset"] = np.dtype("<i4"), (CHUNK_EVENTS,)
        datasets = {name: _resizable(group, name, *kind, compression) for name, kind in columns.items()}
        for name, dataset in datasets.items():
            ticks = name == "event_time_offset"
            dataset.attrs["units"] = f"{1e9 / TICKS_PER_SECOND!r} ns" if ticks else ""  # NX_DIMENSIONLESS
        # threads that prepare must not ask the file: HDF5 makes them wait while another writes
        self._dtypes = {name: dtype for name, (dtype, _) in columns.items()}
        self._columns = {name: AppendedValues(dataset, pool, 2 * thread_count()) for name, dataset in datasets.items()}
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
        """Write the next rows."""
        starts = prepared["event_index"][:-1] + self._end
        self._end += len(prepared["event_id"])
        for name, values in {**prepared, "event_index": starts}.items():
            self._columns[name].append(values.reshape(-1))

    def finish(self) -> None:
        """Write what is left."""
        for column in self._columns.values():
            column.finish()


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
    options = packing(compression, dtype, chunks)
    return group.create_dataset(name, (0, *chunks[1:]), dtype, maxshape=(None, *chunks[1:]), **options)
