"""A part of a source as a source of its own: some scan positions, a cut-out of the detector.

Slicing the dask array would do, but then nothing tells any more that the chunks come straight from
files: a single frame of the part would cost its whole chunk, and kernels would be bound to the
chunks that there are.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from dask.base import normalize_token

from rsciio_tpx3.csr.indexing import crop, take_rows
from rsciio_tpx3.frames.source import FrameSource

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames


__all__ = ["ChosenSource", "SlicedSource", "read_rows"]

# Reading what lies between the wanted positions costs less than many short reads, up to this ratio.
_WORTHWHILE = 4


class SlicedSource(FrameSource):
    """The frames of ``array[key]``, read from the source of `array`.

    Parameters
    ----------
    source : FrameSource
    key : tuple of int or slice
        One for each axis, navigation first. The detector takes slices only, and no slice has a
        step. Indices count from the front and lie inside.

    Raises
    ------
    ValueError
        If the key is of another kind.

    Examples
    --------
    >>> from rsciio_tpx3.frames.memory_source import MemorySource
    >>> counts = np.arange(3 * 5 * 4 * 6).reshape(3, 5, 4, 6)
    >>> part = SlicedSource(MemorySource.from_dense(counts), np.s_[1:3, 2, 0:3, 1:6])
    >>> part.nav_shape, part.sig_shape
    ((2,), (3, 5))
    >>> bool((part.frames(1, 2)[0] == counts[2, 2, 0:3, 1:6]).all())
    True
    """

    def __init__(self, source: FrameSource, key: tuple) -> None:
        shape = tuple(source.nav_shape) + tuple(source.sig_shape)
        n_nav = len(source.nav_shape)
        if not _is_plain(key, shape) or any(not isinstance(k, slice) for k in key[n_nav:]):
            raise ValueError(f"{key} is not valid for shape {shape}: expected integers and slices without a step.")
        spans = [
            k.indices(n)[:2] if isinstance(k, slice) else (k, k + 1) for k, n in zip(key, shape, strict=True)
        ]  # an integer is a slice of one, whose axis goes
        self._source = source = FrameSource.adopt(source)
        self._nav, self._sig = spans[:n_nav], spans[n_nav:]
        self._retained = [isinstance(k, slice) for k in key[:n_nav]]
        lengths = [max(stop - start, 0) for start, stop in spans]
        self.nav_shape = tuple(n for n, retained in zip(lengths, self._retained, strict=False) if retained)
        self.sig_shape = cast("tuple[int, int]", tuple(lengths[n_nav:]))
        self.dtype = source.dtype
        self.in_memory = source.in_memory

    def __dask_tokenize__(self) -> Any:
        return "rsciio_tpx3.SlicedSource", normalize_token(self._source), self._nav, self._sig, self._retained

    @property
    def source(self) -> FrameSource:
        """What this is a part of."""
        return self._source

    def row_events(self) -> np.ndarray | None:
        """Entries of whole frames, an upper bound of those in the cut-out; see `FrameSource`."""
        entries = self._source.row_events()
        if entries is None:
            return None
        part = np.reshape(entries, self._source.nav_shape)[tuple(slice(*span) for span in self._nav)]
        return part.reshape(-1)

    def frames(self, start: int, stop: int) -> CSRFrames:
        """Rows `start` to `stop` of the part; see `FrameSource`."""
        rows = self._rows(start, stop)
        frames = read_rows(self._source, rows)
        return crop(frames, np.arange(rows.size), tuple(slice(*span) for span in self._sig))

    def shared_parts(self) -> tuple:
        """What all rows need; see `FrameSource`."""
        return self._source.shared_parts()

    def for_rows(self, start: int, stop: int) -> FrameSource:
        """The same for these rows alone; see `FrameSource`."""
        part, rows = copy.copy(self), self._rows(start, stop)
        if rows.size:
            part._source = self._source.for_rows(int(rows[0]), int(rows[-1]) + 1)
        return part

    def _rows(self, start: int, stop: int) -> np.ndarray:
        """Rows of the whole source that stand behind rows of the part."""
        places = iter(np.unravel_index(np.arange(start, stop), self.nav_shape)) if self.nav_shape else iter(())
        whole = [
            next(places) + first if retained else np.full(stop - start, first)
            for (first, _), retained in zip(self._nav, self._retained, strict=True)
        ]
        return np.ravel_multi_index(whole, self._source.nav_shape) if whole else np.arange(start, stop)

    def over(self, source: FrameSource) -> SlicedSource:
        """The same part of another source of the same shape."""
        part = copy.copy(self)
        part._source = source
        return part


class ChosenSource(FrameSource):
    """Some rows of a source, as one row of positions.

    Parameters
    ----------
    source : FrameSource
    rows : numpy.ndarray of int64
        Flat positions, ascending.

    Examples
    --------
    >>> from rsciio_tpx3.frames.memory_source import MemorySource
    >>> whole = MemorySource.from_dense(np.arange(24).reshape(3, 2, 2, 2))
    >>> ChosenSource(whole, np.array([0, 3, 4])).frames(1, 3)[0]
    array([[12, 13],
           [14, 15]])
    """

    def __init__(self, source: FrameSource, rows: np.ndarray) -> None:
        self.source, self.rows = FrameSource.adopt(source), np.asarray(rows, np.int64)
        self.nav_shape, self.sig_shape, self.dtype = (self.rows.size,), source.sig_shape, source.dtype
        self.in_memory = self.source.in_memory

    def __dask_tokenize__(self) -> Any:
        return "rsciio_tpx3.ChosenSource", normalize_token(self.source), normalize_token(self.rows)

    def row_events(self) -> np.ndarray | None:
        """Entries of the rows; see `FrameSource`."""
        entries = self.source.row_events()
        return None if entries is None else entries[self.rows]

    def frames(self, start: int, stop: int) -> CSRFrames:
        """Rows `start` to `stop` of those that were chosen; see `FrameSource`."""
        return read_rows(self.source, self.rows[start:stop])

    def shared_parts(self) -> tuple:
        """What all rows need; see `FrameSource`."""
        return self.source.shared_parts()

    def for_rows(self, start: int, stop: int) -> FrameSource:
        """The same for these rows alone; see `FrameSource`."""
        part, rows = copy.copy(self), self.rows[start:stop]
        if rows.size:
            part.source = self.source.for_rows(int(rows[0]), int(rows[-1]) + 1)
        return part

    def over(self, source: FrameSource) -> ChosenSource:
        """The same rows of another source of the same shape."""
        return ChosenSource(source, self.rows)


def read_rows(source: FrameSource, rows: np.ndarray) -> CSRFrames:
    """Rows of a source in ascending order, in as few readings as are worth it."""
    pieces = [_read(source, run) for run in _runs(rows)]
    return pieces[0] if len(pieces) == 1 else cast("CSRFrames", np.concatenate(pieces))


def _read(source: FrameSource, rows: np.ndarray) -> CSRFrames:
    if rows.size == 0:
        return source.frames(0, 0)
    first = int(rows[0])
    return take_rows(source.frames(first, int(rows[-1]) + 1), rows - first)


def _is_plain(key: tuple, shape: tuple[int, ...]) -> bool:
    if len(key) != len(shape):
        return False
    for k, n in zip(key, shape, strict=True):
        if isinstance(k, slice):
            if k.step not in (None, 1):
                return False
        elif not isinstance(k, int | np.integer) or isinstance(k, bool) or not 0 <= k < n:
            return False
    return True


def _runs(rows: np.ndarray) -> list[np.ndarray]:
    """The rows in groups that are read at once."""
    if rows.size == 0 or rows[-1] - rows[0] < _WORTHWHILE * rows.size:
        return [rows]
    return np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
