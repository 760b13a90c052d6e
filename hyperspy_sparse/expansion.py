"""What to say before a signal becomes many times larger in memory than its events are."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np
from dask.utils import format_bytes

from rsciio_tpx3.csr.memory_limit import ALWAYS_ALLOWED
from rsciio_tpx3.frames.dask_array import sources_of
from rsciio_tpx3.frames.in_memory import chunks_in_memory

if TYPE_CHECKING:
    import dask.array as da


__all__ = ["bytes_of_entries", "entries_of", "sparse_bytes", "warn_once"]

_logger = logging.getLogger(__name__)

LEAST_FACTOR = 10
"""Times that dense data are larger than the sparse ones, from which on it is worth a word."""

_PIXEL_NUMBER, _ROW_POINTER = 4, 8  # bytes

_warned = set()


def warn_once(data: da.Array, what: str) -> None:
    """Log a warning before `data` become dense, if that takes much more memory; once in a session.

    Parameters
    ----------
    data : dask.array.Array of CSRFrames
    what : str
        The call that does it.
    """
    dense = math.prod(data.shape) * data.dtype.itemsize
    if what in _warned or dense < ALWAYS_ALLOWED:
        return
    sparse = sparse_bytes(data)
    if sparse is None or dense < LEAST_FACTOR * sparse:
        return
    _warned.add(what)
    sizes = " x ".join(map(str, data.shape))
    _logger.warning(
        f"{what} expands {sizes} {data.dtype} to {format_bytes(dense)}; as sparse frames they take about "
        f"{format_bytes(sparse)}. Methods of a sparse signal need no {what}: sums, virtual images, centre of mass and "
        "map read the events. persist() keeps those in memory. (This is said once.)"
    )


def sparse_bytes(data: da.Array) -> int | None:
    """About the size of the sparse frames of an array in memory, in bytes; None where it is not known without reading.

    Sources know how many events they have. Of a part, or after other steps, as many are supposed to be left as there
    are of the pixels; frames in memory are counted.
    """
    entries = entries_of(data)
    return None if entries is None else bytes_of_entries(data, entries)


def bytes_of_entries(data: da.Array, entries: int) -> int:
    """The size of so many entries in the rows of an array."""
    return int(entries * (data.dtype.itemsize + _PIXEL_NUMBER)) + math.prod(data.shape[:-2]) * _ROW_POINTER


def entries_of(data: da.Array) -> int | None:
    """About the entries of the sparse frames of an array; None where it is not known without reading."""
    entries = _entries_in_memory(data)
    return _entries_of_sources(data) if entries is None else entries


def _entries_in_memory(data: da.Array) -> int | None:
    """Entries of chunks held by `persist`; None for other arrays."""
    chunks = chunks_in_memory(data)
    return None if chunks is None else sum(chunk.nnz for chunk in chunks)


def _entries_of_sources(data: da.Array) -> int | None:
    """Entries by the numbers of the sources, in proportion to the pixels; None where a source has no numbers."""
    entries, pixels = 0.0, 0
    for source in sources_of(data):
        rows = source.row_events()
        if rows is None:
            return None
        entries += float(np.sum(rows))
        pixels += math.prod(source.nav_shape) * math.prod(source.sig_shape)
    return int(entries * math.prod(data.shape) / pixels) if pixels else None
