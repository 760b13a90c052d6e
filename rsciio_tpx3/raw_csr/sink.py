"""Three growing files, and the TOML that makes them a data set once they are whole."""

import os

import numpy as np

from rsciio_tpx3.frames.canonical import index_type
from rsciio_tpx3.raw_csr.description import disk_type, toml_text

__all__ = ["RawCsrSink"]

_SUFFIXES = {"indptr": "indptr.raw", "indices": "indices.raw", "data": "values.raw"}


class RawCsrSink:
    """A `FrameSink` that appends rows to the raw arrays.

    Parameters
    ----------
    files : PartialFiles
        Its target is the TOML.
    sig_shape : tuple of int
    dtype : numpy.dtype
        Of the values.
    compact : bool
        See `description.disk_type`.
    """

    def __init__(self, files, sig_shape, dtype, compact):
        self._files = files
        self.dtypes = {
            "indptr": np.dtype(np.int64),
            "indices": index_type(sig_shape[0] * sig_shape[1]),
            "data": disk_type(dtype, compact),
        }
        self.names = _free_names(files.target)
        folder = os.path.dirname(files.target)
        self._open = {part: open(files.path(os.path.join(folder, name)), "wb") for part, name in self.names.items()}
        self._end = 0
        np.zeros(1, np.int64).tofile(self._open["indptr"])

    def prepare(self, frames):
        """Arrays in the types of the files."""
        data = frames.data.astype(self.dtypes["data"], copy=False)
        indices = frames.indices.astype(self.dtypes["indices"], copy=False)
        return data, indices, frames.indptr[1:]

    def append(self, prepared):
        """Write the next rows."""
        data, indices, ends = prepared
        np.ascontiguousarray(data).tofile(self._open["data"])
        np.ascontiguousarray(indices).tofile(self._open["indices"])
        np.asarray(ends + self._end, np.int64).tofile(self._open["indptr"])
        self._end += len(data)

    def finish(self, params, record):
        """Close the arrays and write the TOML beside them, all still under provisional names."""
        self.close()
        arrays = {}
        for part in _SUFFIXES:
            arrays[f"{part}_file"] = self.names[part]
            arrays[f"{part}_dtype"] = _type_name(self.dtypes[part])
        with open(self._files.path(), "w", encoding="utf-8", newline="\n") as file:
            file.write(toml_text(params, arrays, record))

    def close(self):
        for file in self._open.values():
            file.close()


def _type_name(dtype):
    # plain names: Reader4D takes '<i4' and the like for another type without a word
    return dtype.newbyteorder("=").name


def _free_names(target):
    """Names for the arrays that no file has: the old data set stays whole until the new TOML replaces its own."""
    folder, name = os.path.split(target)
    stem = os.path.splitext(name)[0]
    version = 0
    while True:
        infix = f".{version}" if version else ""
        names = {part: f"{stem}{infix}.{suffix}" for part, suffix in _SUFFIXES.items()}
        if not any(os.path.exists(os.path.join(folder, n)) for n in names.values()):
            return names
        version += 1
