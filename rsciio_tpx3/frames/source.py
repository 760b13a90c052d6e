"""The contract between formats that hold counted frames and everything above them.

`rsciio_tpx3.testing.check_frame_source` tries an implementation.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.utils.adoption import Adopted

__all__ = ["FrameSource"]


class FrameSource(ABC):
    """Where CSR rows come from: a counted file, or an event recording joined with a scan.

    A source is a small, picklable description (paths, offsets, index arrays). It opens files inside `frames` and closes
    them again, so that the same dask graph runs on threads, processes and a cluster. A format has to give `nav_shape`,
    `sig_shape`, `dtype` and `frames`; everything else has a default.

    Attributes
    ----------
    nav_shape : tuple of int
        Scan axes in NumPy order, slowest first, e.g. ``(frames, y, x)``; may be empty.
    sig_shape : tuple of int
        Detector ``(height, width)``.
    dtype : numpy.dtype
        Type of the counts.
    in_memory : bool
        Whether `frames` gives what is in memory already, so that it costs little; False where nothing else is said.
    """

    in_memory: bool = False
    nav_shape: tuple[int, ...]
    sig_shape: tuple[int, int]
    dtype: np.dtype

    # -- required ------------------------------------------------------------------------------------

    @abstractmethod
    def frames(self, start: int, stop: int) -> CSRFrames:
        """Rows ``start`` to ``stop`` of the flat navigation range.

        Parameters
        ----------
        start, stop : int
            Half-open range of flat positions (C order over `nav_shape`).

        Returns
        -------
        CSRFrames
            Shape ``(stop - start, height, width)``.
        """

    # -- with a default ------------------------------------------------------------------------------

    def row_events(self) -> np.ndarray | None:
        """Entries per scan position where that is known without reading the data.

        Returns
        -------
        numpy.ndarray of int64, shape (n_positions,), or None
            An upper bound of the number of CSR entries of each row (hits before equal pixels
            are merged).
        """
        return None

    def row_counts(self, read: bool = False) -> np.ndarray | None:
        """Sum of the counts of each position where that is known without reading the data, or at all where `read`.

        Returns
        -------
        numpy.ndarray, shape (n_positions,), or None
        """
        return None

    def for_rows(self, start: int, stop: int) -> "FrameSource":
        """A source that answers `frames` for a part of these rows only, and holds what they need.

        For sources whose index arrays grow with the data: this is what travels to other processes.
        """
        return self

    def shared_parts(self) -> tuple:
        """Large objects that all rows need: they travel to other processes once, not with every task."""
        return ()

    # -- sources that know nothing of this class -----------------------------------------------------

    @classmethod
    def adopt(cls, source: Any) -> "FrameSource":
        """A source that has the required members, but not this class, with all defaults; others as they are."""
        return source if isinstance(source, cls) else _Adopted(source)


class _Adopted(Adopted, FrameSource):
    """A source of another make: its own methods where it has them."""

    contract, what = "FrameSource", "a source of frames"
    required = ("nav_shape", "sig_shape", "dtype", "frames")
    optional = ("row_events", "row_counts", "for_rows", "shared_parts")

    def __init__(self, source: Any) -> None:
        super().__init__(source)
        self.nav_shape, self.sig_shape, self.dtype = source.nav_shape, source.sig_shape, source.dtype

    def frames(self, start: int, stop: int) -> CSRFrames:
        return self.source.frames(start, stop)
