"""Parts and binned forms of frames in memory, made at the second use and held from then on.

A cut-out of the detector, or binned frames, take longer to make than to add up. Who looks at them once gets them made
block by block, as from a file. Who looks twice, as when a detector is moved over them, will look again.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import normalize_token

from rsciio_tpx3.csr.memory_limit import get_limit
from rsciio_tpx3.frames.binned_source import BinnedSource
from rsciio_tpx3.frames.memory_source import in_one_piece, neighbours
from rsciio_tpx3.frames.sliced_source import ChosenSource, SlicedSource
from rsciio_tpx3.frames.source import FrameSource

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames

__all__ = ["MadeOnce", "as_it_is", "as_narrow_as_can_be", "can_be_held"]

SHARE = 4
"""Part of the memory limit that frames may take which are held: one in so many."""

_SPAN_ENTRIES = 2 * 10**6  # made at a time, in the type of the sums


def can_be_held(source: FrameSource) -> bool:
    """Whether a source makes its rows of frames in memory, and they are few enough to be held.

    Examples
    --------
    >>> from rsciio_tpx3.frames.memory_source import MemorySource
    >>> whole = MemorySource.from_dense(np.ones((2, 3, 4, 5), np.uint8))
    >>> can_be_held(whole), can_be_held(BinnedSource(whole, (1, 1, 2, 1), np.uint64))
    (False, True)
    """
    if not source.in_memory or not isinstance(source, SlicedSource | ChosenSource | BinnedSource):
        return False
    entries = source.row_events()
    if entries is None:
        return False
    # Pixel numbers have four bytes, or eight, and counts as many as the type has.
    return int(entries.sum()) * (8 + source.dtype.itemsize) <= get_limit() // SHARE


class MadeOnce(FrameSource):
    """The frames of a source, made as soon as some of them are wanted, and held.

    Parameters
    ----------
    source : FrameSource
        That reads no file.

    Examples
    --------
    >>> from rsciio_tpx3.frames.memory_source import MemorySource
    >>> whole = MemorySource.from_dense(np.ones((2, 6, 4, 4), np.uint8))
    >>> held = MadeOnce(BinnedSource(whole, (1, 3, 2, 2), np.uint64))
    >>> held.frames(0, 1).dtype, as_narrow_as_can_be(held).frames(0, 1).dtype
    (dtype('uint64'), dtype('uint8'))
    """

    in_memory = True

    def __init__(self, source: FrameSource) -> None:
        self.source = source
        self.nav_shape, self.sig_shape, self.dtype = source.nav_shape, source.sig_shape, source.dtype
        self.narrow, self._held = False, _Held()

    def __dask_tokenize__(self) -> Any:
        return "rsciio_tpx3.MadeOnce", normalize_token(self.source), self.narrow

    def __reduce__(self) -> tuple:
        return _same, (self.source,)  # other processes make what they need

    @property
    def held_bytes(self) -> int:
        """What the frames take in memory by now; 0 before any of them was wanted."""
        return self._held.size

    def row_events(self) -> np.ndarray | None:
        """Entries per row, or more; see `FrameSource`."""
        return self.source.row_events()

    def frames(self, start: int, stop: int) -> CSRFrames:
        """Rows `start` to `stop`; see `FrameSource`."""
        rows = neighbours(self._held.of(self.source), start, stop)
        return rows if self.narrow else rows.with_data(rows.data.astype(self.dtype, copy=False))

    def shared_parts(self) -> tuple:
        """What all rows need; see `FrameSource`."""
        return self.source.shared_parts()

    def for_rows(self, start: int, stop: int) -> FrameSource:
        """The same for these rows alone; see `FrameSource`."""
        return self.source.for_rows(start, stop)


def as_it_is(made: MadeOnce) -> MadeOnce:
    """The frames with counts of the type that they have."""
    return made


def as_narrow_as_can_be(made: MadeOnce) -> MadeOnce:
    """The same frames, held once, whose rows have counts of the narrowest type, as kernels may take them."""
    other = MadeOnce(made.source)
    other.narrow, other._held = True, made._held
    return other


def _same(source: FrameSource) -> FrameSource:
    return source


class _Held:
    """Frames that are made once, by the thread that comes first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._frames: CSRFrames | None = None

    @property
    def size(self) -> int:
        frames = self._frames
        return 0 if frames is None else sum(part.nbytes for part in (frames.data, frames.indices, frames.indptr))

    def of(self, source: FrameSource) -> CSRFrames:
        with self._lock:
            if self._frames is None:
                self._frames = _made(source)
            return self._frames


def _made(source: FrameSource) -> CSRFrames:
    """All rows, with counts of the narrowest type; a span at a time, since sums are wide before they are known."""
    ends = np.cumsum(np.asarray(source.row_events()))  # known of what `can_be_held`
    n_rows = ends.size
    cuts = np.searchsorted(ends, np.arange(_SPAN_ENTRIES, ends[-1] if n_rows else 0, _SPAN_ENTRIES))
    cuts = np.unique([0, *cuts, n_rows])
    parts = [_narrow(source.frames(int(a), int(b))) for a, b in zip(cuts, cuts[1:])] or [source.frames(0, 0)]
    dtype = np.result_type(*{part.dtype for part in parts})
    parts = [part if part.dtype == dtype else part.with_data(part.data.astype(dtype)) for part in parts]
    return in_one_piece(parts, (n_rows, *source.sig_shape))


def _narrow(frames: CSRFrames) -> CSRFrames:
    if frames.dtype.kind != "u":
        return frames
    return frames.with_data(frames.data.astype(np.min_scalar_type(int(frames.data.max(initial=0)))))
