"""Three growing files, and the TOML that makes them a data set once they are whole."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.csr.canonical import index_type
from rsciio_tpx3.raw_csr.block_sums import SummedBlocks
from rsciio_tpx3.raw_csr.description import disk_type, toml_text

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames
    from rsciio_tpx3.utils.files import PartialFiles


__all__ = ["RawCsrSink"]

_SUFFIXES = {"indptr": "indptr.raw", "indices": "indices.raw", "data": "values.raw"}


class RawCsrSink:
    """A `FrameSink` that appends rows to the raw arrays.

    Parameters
    ----------
    files : PartialFiles, or what has its methods
        Its target is the TOML.
    sig_shape : tuple of int
    dtype : numpy.dtype
        Of the values.
    compact : bool
        See `description.disk_type`.
    """

    def __init__(self, files: PartialFiles, sig_shape: tuple[int, ...], dtype: np.dtype, compact: bool) -> None:
        self._files = files
        self.dtypes = {
            "indptr": np.dtype(np.int64),
            "indices": index_type(sig_shape[0] * sig_shape[1]),
            "data": disk_type(dtype, compact),
        }
        refuse_odd_name(files.target)
        names = next(_names(files.target))
        files.reserve(_names(files.target))
        self._open = {part: _Summed(files.path(path)) for part, path in zip(_SUFFIXES, names)}
        self._end = 0
        self._open["indptr"].write(np.zeros(1, np.int64))

    def prepare(self, frames: CSRFrames) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Arrays in the types of the files."""
        data = frames.data.astype(self.dtypes["data"], copy=False)
        indices = frames.indices.astype(self.dtypes["indices"], copy=False)
        return data, indices, frames.indptr[1:]

    def append(self, prepared: tuple[np.ndarray, ...]) -> None:
        """Write the next rows."""
        data, indices, ends = prepared
        self._open["data"].write(data)
        self._open["indices"].write(indices)
        self._open["indptr"].write(np.asarray(ends + self._end, np.int64))
        self._end += len(data)

    def finish(self, params: dict, record: str) -> None:
        """Close the arrays and write the TOML next to them, all still under provisional names."""
        self.close()
        sums = {f"{part}_sha256": file.sum.hexdigest() for part, file in self._open.items()}
        sums |= {f"{part}_sums": file.blocks.finish().text() for part, file in self._open.items()}
        self._write(params, record, sums)

    def describe(self, params: dict, record: str) -> None:
        """Write the TOML of a data set that goes on growing, for those who read it meanwhile."""
        self._write(params, record, {"unfinished": "rows of indptr count, as far as all their entries are there"})

    def _write(self, params: dict, record: str, sums: dict[str, str]) -> None:
        arrays = {}
        # names that nobody has: the old data set stays whole until the new TOML replaces its own
        for part, path in zip(_SUFFIXES, self._files.claim(_names(self._files.target))):
            arrays[f"{part}_file"] = os.path.basename(path)
            arrays[f"{part}_dtype"] = _type_name(self.dtypes[part])
        path = self._files.path()
        # of a data set that grows somebody may be reading the description: it is there as a whole, or not yet
        grows = "unfinished" in sums or os.path.exists(path)
        written = f"{path}.partial" if grows else path
        with open(written, "w", encoding="utf-8", newline="\n") as file:
            file.write(toml_text(params, arrays, record, sums))
        if grows:
            os.replace(written, path)

    def close(self) -> None:
        for file in self._open.values():
            file.close()


def _type_name(dtype: np.dtype) -> str:
    # plain names: Reader4D takes '<i4' and the like for another type without a word
    return dtype.newbyteorder("=").name


def _names(target: str) -> Iterator[list[str]]:
    """Paths for the arrays of a data set, one list after the other."""
    folder, name = os.path.split(target)
    stem = os.path.splitext(name)[0]
    for version in itertools.count():
        infix = f".{version}" if version else ""
        yield [os.path.join(folder, f"{stem}{infix}.{suffix}") for suffix in _SUFFIXES.values()]


def refuse_odd_name(target: str) -> None:
    """Raise where no TOML file could name the arrays next to it."""
    name = os.path.basename(target)
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(
            f"{name!r} is not UTF-8 text, in which a TOML file names its arrays. Choose a name of letters that "
            "Unicode has."
        ) from None


class _Summed:
    """A file that is written from its beginning to its end, its SHA-256, and the sums of its blocks."""

    def __init__(self, path: str | os.PathLike) -> None:
        self._file = open(path, "wb")
        self.sum, self.blocks = hashlib.sha256(), SummedBlocks()

    def write(self, array: np.ndarray) -> None:
        array = np.ascontiguousarray(array)
        array.tofile(self._file)
        content = array.view(np.uint8).data
        self.sum.update(content)
        self.blocks.update(content)

    def close(self) -> None:
        self._file.close()
