"""CSR rows whose values are sums of time over threshold or energy, not counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from rsciio_tpx3.scan.scan import place_hits
from rsciio_tpx3.utils.compiled import njit
from rsciio_tpx3.utils.sorting import order_of

if TYPE_CHECKING:
    from rsciio_tpx3.frames.event_frames import EventFrames


__all__ = ["csr_of_weights", "value_type", "weighted_rows"]

_MOST_TOT = 1023  # ten bits
_TOT_STEP = 96  # ticks of 25 ns


def value_type(values: str, dwell: float, lines_per_row: int = 1, clustered: bool = False) -> np.dtype:
    """Type that holds what one pixel can sum up at one scan position, in `dwell` ticks per line.

    A pixel is over threshold one hit at a time, so its summed ToT is bounded by the dwell time; an electron brings the
    ToT of its neighbours along.
    """
    if values == "energy":
        return np.dtype(np.float32)
    if clustered:
        return np.dtype(np.uint32)
    most = 2 * (dwell / _TOT_STEP + _MOST_TOT) * lines_per_row
    return np.dtype(np.uint16 if most <= np.iinfo(np.uint16).max else np.uint32)


def weighted_rows(frames: EventFrames, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CSR arrays of the flat positions ``start`` to ``stop`` of an `EventFrames` with values other than counts."""
    # Empty arrays first, so that a chunk without hits concatenates too.
    rows, pixels = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    parts: list[np.ndarray] = []
    for run in frames.scan.runs(start, stop):
        columns = run.columns()
        for hits in frames.source.windows(int(run.start[0]), int(run.stop.max())):
            position = np.empty(len(hits), np.int64)
            place_hits(hits.toa, *columns, position)
            inside = np.flatnonzero((position >= start) & (position < stop))
            rows.append(position[inside] - start)
            pixels.append(hits.pixel[inside])
            values = cast("np.ndarray", hits.tot if frames.values == "tot" else hits.energy)
            parts.append(values[inside])
    weights = np.concatenate(parts) if parts else np.empty(0, frames.dtype)
    n_pixels = frames.sig_shape[0] * frames.sig_shape[1]
    return csr_of_weights(np.concatenate(rows), np.concatenate(pixels), weights, stop - start, n_pixels, frames.dtype)


def csr_of_weights(
    rows: np.ndarray, pixels: np.ndarray, weights: np.ndarray, n_rows: int, n_pixels: int, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Canonical CSR arrays: rows sorted by pixel, weights of equal pixels added up.

    Parameters
    ----------
    rows, pixels : numpy.ndarray of int, shape (n,)
    weights : numpy.ndarray, shape (n,)
        Integers are added exactly; others in double precision, in the order they come.
    n_rows, n_pixels : int
    dtype : numpy.dtype

    Returns
    -------
    data : numpy.ndarray of `dtype`
    indices : numpy.ndarray of int32
    indptr : numpy.ndarray of int64, shape (n_rows + 1,)

    Raises
    ------
    OverflowError
        If a sum is larger than an integer `dtype` can hold.

    Examples
    --------
    >>> import numpy as np
    >>> from rsciio_tpx3.frames.weighted import csr_of_weights
    >>> csr_of_weights(np.array([1, 0, 1]), np.array([7, 3, 7]), np.array([20, 5, 30]), 2, 12, np.uint16)
    (array([ 5, 50], dtype=uint16), array([3, 7], dtype=int32), array([0, 1, 2]))
    """
    dtype = np.dtype(dtype)
    key = rows.astype(np.int64) * n_pixels + pixels
    order = order_of(key)
    # Sums in 64 bits, whatever the type of the answer: too large a sum is then seen, and refused.
    exact = np.int64 if np.dtype(weights.dtype).kind in "iu" else np.float64
    sums, indices, indptr = _add_up(key[order], weights[order].astype(exact), n_rows, n_pixels)
    if dtype.kind in "iu" and len(sums) and sums.max() > np.iinfo(dtype).max:
        raise OverflowError(
            f"The values of a pixel add up to {sums.max()} at one scan position, more than {dtype} can hold. "
            'Load with dtype="uint32".'
        )
    return sums.astype(dtype), indices, indptr


@njit(nogil=True, cache=True)
def _add_up(
    keys: np.ndarray, weights: np.ndarray, n_rows: int, n_pixels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sums = np.empty(len(keys), weights.dtype)
    indices = np.empty(len(keys), np.int32)
    indptr = np.zeros(n_rows + 1, np.int64)
    n = 0
    last = np.int64(-1)
    for i in range(len(keys)):
        # Keys are sorted: equal ones follow each other and add up in the order of the hits.
        if keys[i] == last:
            sums[n - 1] += weights[i]
            continue
        last = keys[i]
        row = last // n_pixels
        indices[n] = last - row * n_pixels
        sums[n] = weights[i]
        indptr[row + 1] += 1
        n += 1
    for r in range(n_rows):
        indptr[r + 1] += indptr[r]
    return sums[:n].copy(), indices[:n].copy(), indptr
