"""The contract between formats that hold counted frames and everything above them."""

from typing import Protocol, runtime_checkable

__all__ = ["FrameSource"]


@runtime_checkable
class FrameSource(Protocol):
    """Where CSR rows come from: a counted file, or an event recording joined with a scan.

    A source is a small, picklable description (paths, offsets, index arrays). It opens files
    inside `frames` and closes them again, so that the same dask graph runs on threads, processes
    and a cluster. Where its index arrays grow with the data, it also has ``for_rows(start, stop)``:
    a source that answers `frames` for a part of these rows only and holds what they need; this is
    what travels to other processes. A source with large parts that all rows need also has ``shared_parts()``: a
    tuple of these objects, which then travel once instead of with every task.

    Attributes
    ----------
    nav_shape : tuple of int
        Scan axes in NumPy order, slowest first, e.g. ``(frames, y, x)``; may be empty.
    sig_shape : tuple of int
        Detector ``(height, width)``.
    dtype : numpy.dtype
        Type of the counts.
    """

    nav_shape: tuple
    sig_shape: tuple
    dtype: object

    def row_events(self):
        """Entries per scan position where that is known without reading the data.

        Returns
        -------
        numpy.ndarray of int64, shape (n_positions,), or None
            An upper bound of the number of CSR entries of each row (hits before equal pixels
            are merged).
        """

    def frames(self, start, stop):
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
