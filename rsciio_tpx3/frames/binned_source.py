"""A source with neighbouring positions and pixels added up, as a source of its own.

Binning each chunk of a dask array would do, but then kernels are bound to the chunks that there are, and a sum, which
does not care how entries are grouped, would wait for them to be grouped and sorted.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from dask.base import normalize_token

from rsciio_tpx3.csr.binning import add_groups, binned_pixels, row_groups
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.indexing import take_rows
from rsciio_tpx3.frames.sliced_source import read_rows
from rsciio_tpx3.frames.source import FrameSource

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


__all__ = ["BinnedSource"]


class BinnedSource(FrameSource):
    """The frames of a source, binned.

    Parameters
    ----------
    source : FrameSource
    factors : tuple of int
        How many elements become one, for each axis, navigation first; each divides the size of its axis.
    dtype : numpy.dtype
        Of the sums.
    merged : bool
        False for rows as sums of integers may take them: what a row is made of, with its own counts, each in the pixel
        that it falls into, but neither sorted nor added up.
    in_order : bool
        False for rows whose pixels come in any order, each once, as extremes and moments may take them.

    Raises
    ------
    ValueError
        If a factor does not divide its axis.

    Examples
    --------
    >>> from rsciio_tpx3.frames.memory_source import MemorySource
    >>> whole = MemorySource.from_dense(np.ones((2, 6, 4, 4), np.uint8))
    >>> binned = BinnedSource(whole, (1, 3, 2, 2), np.dtype(np.uint64))
    >>> binned.nav_shape, binned.sig_shape, binned.frames(0, 1)[0]
    ((2, 2), (2, 2), array([[12, 12],
           [12, 12]], dtype=uint64))
    """

    def __init__(
        self,
        source: FrameSource,
        factors: tuple[int, ...],
        dtype: DTypeLike,
        merged: bool = True,
        in_order: bool = True,
    ) -> None:
        shape = (*source.nav_shape, *source.sig_shape)
        factors = tuple(int(f) for f in factors)
        if len(factors) != len(shape) or any(f < 1 or n % f for f, n in zip(factors, shape, strict=False)):
            raise ValueError(f"factors {factors} do not divide the shape {shape}; crop the axes to multiples first.")
        self.source, self.merged, self.in_order = FrameSource.adopt(source), merged, in_order
        self.factors = factors
        n_nav = len(source.nav_shape)
        binned = tuple(n // f for n, f in zip(shape, factors, strict=True))
        self.nav_shape, self.sig_shape = binned[:n_nav], cast("tuple[int, int]", binned[n_nav:])
        self.dtype = np.dtype(dtype)
        self.in_memory = self.source.in_memory

    def __dask_tokenize__(self) -> Any:
        how = self.factors, self.dtype.str, self.merged, self.in_order
        return "rsciio_tpx3.BinnedSource", normalize_token(self.source), how

    def row_events(self) -> np.ndarray | None:
        """Entries of all frames that a row is made of; see `FrameSource`."""
        entries = self.source.row_events()
        if entries is None:
            return None
        rows, start = row_groups(self.source.nav_shape, self.factors[:-2])
        return np.add.reduceat(entries[rows], start[:-1]) if rows.size else np.zeros(0, np.int64)

    def frames(self, start: int, stop: int) -> CSRFrames:
        """Rows `start` to `stop` of the binned frames; see `FrameSource`."""
        groups = self._rows(start, stop)
        size = math.prod(self.factors[:-2])
        wanted = np.sort(groups, axis=None)  # a source reads spans: each row once, in its order
        read = read_rows(self.source, wanted)
        rows, ends = np.searchsorted(wanted, groups.ravel()), np.arange(0, wanted.size + 1, size)
        if self.merged:
            return add_groups(read, rows, ends, self.factors[-2:], self.dtype, self.in_order)
        read = take_rows(read, rows)
        pixels = binned_pixels(read, self.factors[-2:])
        return CSRFrames._make(read.data, pixels, read.indptr[ends], (stop - start, *self.sig_shape))

    def shared_parts(self) -> tuple:
        """What all rows need; see `FrameSource`."""
        return self.source.shared_parts()

    def for_rows(self, start: int, stop: int) -> FrameSource:
        """The same for these rows alone; see `FrameSource`."""
        part, rows = copy.copy(self), self._rows(start, stop)
        if rows.size:
            part.source = self.source.for_rows(int(rows.min()), int(rows.max()) + 1)
        return part

    def _rows(self, start: int, stop: int) -> np.ndarray:
        """Rows of the whole source behind each of these rows: shape (rows, rows that become one)."""
        factors = self.factors[:-2]
        if not factors:
            return np.arange(start, stop)[:, None]
        corner = [n * f for n, f in zip(np.unravel_index(np.arange(start, stop), self.nav_shape), factors, strict=True)]
        inside = np.unravel_index(np.arange(math.prod(factors)), factors)
        places = tuple(np.add.outer(a, b) for a, b in zip(corner, inside, strict=True))
        return np.ravel_multi_index(places, self.source.nav_shape)
