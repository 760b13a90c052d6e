"""Rows of several chunks added up in other places."""

import math
from collections.abc import Sequence

import numpy as np

from rsciio_tpx3.csr import kernels
from rsciio_tpx3.csr.csr_frames import CSRFrames

__all__ = ["add_rows"]


def add_rows(chunks: list[CSRFrames], places: Sequence[np.ndarray], n_rows: int, dtype: np.dtype) -> CSRFrames:
    """Add up frames of several chunks by place.

    Parameters
    ----------
    chunks : list of CSRFrames
        Of one detector shape.
    places : list of numpy.ndarray of int64, one of shape (n_frames,) a chunk
        Row of the result for each frame; negative for frames to be excluded.
    n_rows : int
    dtype : numpy.dtype
        Of the result; has to hold the sums.

    Returns
    -------
    CSRFrames, shape (n_rows, height, width)

    Examples
    --------
    >>> import numpy as np
    >>> from rsciio_tpx3 import CSRFrames
    >>> frames = CSRFrames.from_dense(np.ones((3, 1, 2), np.uint8))
    >>> add_rows([frames], [np.array([1, -1, 1])], 2, np.uint16).todense()[1]
    array([[2, 2]], dtype=uint16)
    """
    dtype = np.dtype(dtype)
    sig_shape = chunks[0].sig_shape
    wide = np.dtype(np.float64) if dtype.kind == "f" else np.dtype(f"{dtype.kind}8")
    ends = np.cumsum([0, *(chunk.data.size for chunk in chunks)])
    # One CSR array of all chunks, whose rows are then added up in groups by the row that they go to.
    indptr = np.concatenate([[0], *(chunk.indptr[1:] + end for chunk, end in zip(chunks, ends[:-1]))])
    data = np.concatenate([chunk.data.astype(wide, copy=False) for chunk in chunks])
    indices = np.concatenate([chunk.indices for chunk in chunks])
    place = np.concatenate([np.asarray(p, np.int64).ravel() for p in places])
    placed = np.flatnonzero(place >= 0)
    # Stable: rows of one group are added up in the order of the chunks, so float sums are the same in every run.
    rows = placed[np.argsort(place[placed], kind="stable")]
    start = np.searchsorted(place[rows], np.arange(n_rows + 1)).astype(np.int64)
    counts = np.zeros(n_rows, np.int64)
    out, pixels = np.empty(data.size, wide), np.empty(data.size, indices.dtype)
    scratch = np.zeros(max(math.prod(sig_shape), 1), wide)
    n = kernels.merge_rows(data, indices, indptr, rows, start, scratch, counts, out, pixels)
    new = np.zeros(n_rows + 1, np.int64)
    np.cumsum(counts, out=new[1:])
    data, indices = out[:n].copy(), pixels[:n].copy()
    kernels.sort_rows(data, indices, new)
    return CSRFrames._make(data.astype(dtype, copy=False), indices, new, (n_rows, *sig_shape))
