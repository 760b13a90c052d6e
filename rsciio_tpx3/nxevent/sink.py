"""Rows appended to the growing arrays of an NXevent_data group."""

import numpy as np

from rsciio_tpx3.nxevent.layout import CHUNK_EVENTS, height_type, id_type, packing

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
    """

    def __init__(self, group, sig_shape, dtype, repeat, compression):
        self.repeat = repeat
        self._ids = _growing(group, "event_id", id_type(sig_shape), (CHUNK_EVENTS,), compression)
        self._index = _growing(group, "event_index", np.dtype("<i8"), (_CHUNK_ROWS,), compression)
        self._values = None
        if not repeat:
            self._values = _growing(group, "pulse_height", height_type(dtype), (CHUNK_EVENTS, 1), compression)
        self._buffers = {"event_id": [], "event_index": [], "pulse_height": []}
        self._end = 0

    def prepare(self, frames):
        """Pixel numbers in the type of the file, first events of the rows, and values."""
        indices = frames.indices.astype(self._ids.dtype)
        if not self.repeat:
            return indices, frames.indptr, _as_heights(frames.data, self._values.dtype)
        counts = _as_counts(frames.data)
        ends = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])[frames.indptr]
        return np.repeat(indices, counts), ends, None

    def append(self, prepared):
        """Write the next rows; whole HDF5 chunks only, so that none is packed twice."""
        ids, ends, values = prepared
        self._put("event_id", self._ids, ids, CHUNK_EVENTS)
        self._put("event_index", self._index, ends[:-1] + self._end, _CHUNK_ROWS)
        if values is not None:
            self._put("pulse_height", self._values, values, CHUNK_EVENTS)
        self._end += len(ids)

    def finish(self):
        """Write what is left."""
        for name, data in (("event_id", self._ids), ("event_index", self._index), ("pulse_height", self._values)):
            if data is not None:
                self._put(name, data, np.empty((0, *data.shape[1:]), data.dtype), 1)

    def _put(self, name, dataset, values, multiple):
        waiting = self._buffers[name]
        waiting.append(values)
        n = sum(map(len, waiting))
        whole = n - n % multiple
        if whole == 0:
            return
        joined = np.concatenate(waiting)
        before = len(dataset)
        dataset.resize(before + whole, axis=0)
        dataset[before:] = joined[:whole]
        self._buffers[name] = [joined[whole:].copy()]


def _as_counts(data):
    if data.dtype.kind == "i" and len(data) and data.min() < 0:
        raise ValueError(
            f"a value is {data.min()}: counts are never negative. "
            'Save with values="pulse_height", which keeps any value.'
        )
    return data.astype(np.int64, copy=False)


def _as_heights(data, dtype):
    heights = data.astype(dtype)
    if data.dtype.kind in "iu" and data.dtype.itemsize > 4 and not np.array_equal(heights.astype(data.dtype), data):
        raise ValueError(
            f"{data.dtype} values above 2**53 have no exact place in pulse_height, which NeXus wants as a float. "
            "Save as raw_csr, which keeps the type."
        )
    return heights.reshape(-1, 1)


def _growing(group, name, dtype, chunks, compression):
    options = packing(compression, dtype.itemsize)
    shape = (0, *chunks[1:])
    return group.create_dataset(name, shape, dtype, maxshape=(None, *chunks[1:]), chunks=chunks, **options)
