"""Which frames, and which cut-out of the detector, an index asks for.

The navigation part of an index is applied by NumPy itself, to an array of row numbers, so its
meaning is NumPy's for slices, lists, masks and new axes alike.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from rsciio_tpx3.csr import kernels
from rsciio_tpx3.csr.base import dense_all
from rsciio_tpx3.csr.dtypes import carried

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.utils.integers import is_integer

__all__ = ["crop", "getitem", "take_rows"]

_RUN_ROWS = 4
"""Rows of a run from which on a copy of each run takes less time than finding each entry."""


def getitem(frames: CSRFrames, key: Any) -> Any:
    """`frames[key]` as NumPy defines it.

    A view where whole neighbouring frames are requested, `CSRFrames` where both detector axes
    stay, an ndarray where one frame or less is left.
    """
    if type(key) is not tuple:
        key = (key,)
    key = tuple(dense_all(k) for k in key)
    parts = _split(key, frames.n_nav)
    if parts is None:
        dense = frames.densified()[key]
        # dask learns from an array without elements what chunks will be, and asks for more axes
        # at its end also where the new ones are navigation axes (`dask.array.utils.meta_from_array`).
        requested_by_dask = frames.size == 0 and key[0] is Ellipsis and all(k is None for k in key[1:])
        return frames.from_dense(dense) if requested_by_dask else dense
    nav_key, sig_key = parts
    if len(nav_key) == frames.n_nav and all(is_integer(k) for k in nav_key):
        return _one_frame(frames, nav_key)[sig_key]
    rows = _rows_of(frames.nav_shape, nav_key)
    frames_left = crop(frames, rows, sig_key)
    cropped = frames_left if frames_left.n_nav else frames_left.frame(0)
    if not any(is_integer(k) for k in sig_key):
        return cropped
    # An integer drops its detector axis: what is left of it after the crop is one line or pixel.
    drop = (Ellipsis, *(0 if is_integer(k) else slice(None) for k in sig_key))
    return np.asarray(cropped)[drop]


def take_rows(frames: CSRFrames, rows: ArrayLike) -> CSRFrames:
    """The frames whose numbers are in `rows`, any shape; a view if they are neighbours."""
    rows = np.asarray(rows)
    shape = rows.shape + frames.shape[-2:]
    flat = rows.ravel()
    if flat.size == 0:
        return frames._make(frames.data[:0], frames.indices[:0], np.zeros(1, np.int64), shape)
    first, last = int(flat[0]), int(flat[-1])
    # Neighbouring rows are a slice of the arrays: no entry is copied.
    if last - first == flat.size - 1 and (flat.size == 1 or (np.diff(flat) == 1).all()):
        indptr = frames.indptr[first : last + 2]
        start, stop = indptr[0], indptr[-1]
        indptr = indptr if start == 0 else indptr - start
        return frames._make(frames.data[start:stop], frames.indices[start:stop], indptr, shape)
    counts = (frames.indptr[1:] - frames.indptr[:-1])[flat]
    indptr = np.zeros(flat.size + 1, dtype=np.int64)
    np.cumsum(counts, out=indptr[1:])
    data, indices = _entries_of_rows(frames, flat, counts, indptr)
    return frames._make(data, indices, indptr, shape)


def _entries_of_rows(
    frames: CSRFrames, rows: np.ndarray, counts: np.ndarray, indptr: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Counts and pixels of rows in any order."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    if breaks.size * _RUN_ROWS < rows.size:  # runs of neighbours are copied as they are
        first, last = rows[np.append(0, breaks)], rows[np.append(breaks, rows.size) - 1]
        spans = [slice(a, b) for a, b in zip(frames.indptr[first].tolist(), frames.indptr[last + 1].tolist())]
        data, indices = (np.concatenate([part[span] for span in spans]) for part in (frames.data, frames.indices))
        return data, indices
    # Entry k of new row r comes from the start of the old row plus k.
    entries = np.arange(indptr[-1]) + np.repeat(frames.indptr[rows] - indptr[:-1], counts)
    return frames.data[entries], frames.indices[entries]


def crop(frames: CSRFrames, rows: ArrayLike, sig_key: tuple) -> CSRFrames:
    """Frames `rows` with slices (or integers, kept as length one) of the detector axes."""
    height, width = frames.shape[-2:]
    ys, xs = (np.atleast_1d(np.arange(n)[k]) for n, k in zip((height, width), sig_key, strict=True))
    if _is_whole(ys, height) and _is_whole(xs, width):
        return take_rows(frames, rows)
    rows = np.asarray(rows)
    flat = np.ascontiguousarray(rows, dtype=np.int64).ravel()
    place = _places(ys, xs, (height, width))
    counts = np.zeros(flat.size, dtype=np.int64)
    values, back = carried(frames.data)
    room = int((frames.indptr[flat + 1] - frames.indptr[flat]).sum())
    data, indices = np.empty(room, values.dtype), np.empty(room, frames.indices.dtype)
    n_entries = kernels.crop_rows(values, frames.indices, frames.indptr, flat, place, counts, data, indices)
    # given back to the system where they are, without a copy
    data.resize(n_entries, refcheck=False)
    indices.resize(n_entries, refcheck=False)
    indptr = np.zeros(flat.size + 1, dtype=np.int64)
    np.cumsum(counts, out=indptr[1:])
    if _reverses(ys) or _reverses(xs):
        kernels.sort_rows(data, indices, indptr)
    return frames._make(back(data), indices, indptr, rows.shape + (ys.size, xs.size))


def _split(key: tuple, n_nav: int) -> tuple[tuple, tuple] | None:
    """Navigation and detector part of a key, or None where only NumPy knows what it means."""
    if any(_is_fancy(k) and np.ndim(k) > 1 for k in key):
        return None
    n_keys = sum(k is not None and k is not Ellipsis for k in key)
    if n_keys > n_nav + 2 or sum(k is Ellipsis for k in key) > 1:
        return None
    missing = (slice(None),) * (n_nav + 2 - n_keys)
    if not any(k is Ellipsis for k in key):
        key = (*key, Ellipsis)
    at = next(i for i, k in enumerate(key) if k is Ellipsis)
    full = key[:at] + missing + key[at + 1 :]
    nav, seen = [], 0
    for i, k in enumerate(full):
        if seen == n_nav and k is not None:
            sig = full[i:]
            break
        nav.append(k)
        seen += k is not None
    if len(sig) != 2 or not all(is_integer(k) or isinstance(k, slice) for k in sig):
        return None
    fancy = any(_is_fancy(k) for k in nav)
    # Next to an array an integer is an array too, and NumPy moves the axes of both to the front.
    if fancy and any(is_integer(k) for k in sig):
        return None
    return tuple(nav), sig


def _rows_of(nav_shape: tuple[int, ...], nav_key: tuple) -> np.ndarray:
    """The numbers of the rows that the key asks for, in the shape that NumPy gives them."""
    if any(_is_fancy(k) for k in nav_key):
        return np.arange(math.prod(nav_shape)).reshape(nav_shape)[nav_key]
    # Axis by axis, so that a few rows of millions cost as much as a few rows.
    rows, axis = np.zeros((), dtype=np.int64), 0
    for k in nav_key:
        if k is None:
            rows = rows[..., None]
            continue
        stride = math.prod(nav_shape[axis + 1 :])
        picked = _picked(k, nav_shape[axis])
        rows = rows + picked * stride if is_integer(k) else np.add.outer(rows, picked * stride)
        axis += 1
    for i in range(axis, len(nav_shape)):
        rows = np.add.outer(rows, np.arange(nav_shape[i]) * math.prod(nav_shape[i + 1 :]))
    return rows


def _picked(k: Any, n: int) -> Any:
    """Places on an axis of length `n`: a number for an integer, an array for a slice."""
    if isinstance(k, slice):
        return np.arange(*k.indices(n))
    if not -n <= k < n:
        raise IndexError(f"index {k} is out of bounds for a navigation axis of size {n}")
    return int(k) % n


def _one_frame(frames: CSRFrames, nav_key: tuple) -> np.ndarray:
    row = 0
    for k, n in zip(nav_key, frames.nav_shape, strict=True):
        row = row * n + _picked(k, n)
    return frames.frame(row)


def _is_fancy(k: Any) -> bool:
    return not (k is None or k is Ellipsis or isinstance(k, slice) or is_integer(k))


def _is_whole(chosen: np.ndarray, n: int) -> bool:
    return chosen.size == n and (n == 0 or (chosen[0] == 0 and not _reverses(chosen)))


def _reverses(chosen: np.ndarray) -> bool:
    return chosen.size > 1 and chosen[1] < chosen[0]


def _places(ys: np.ndarray, xs: np.ndarray, sig_shape: tuple[int, ...]) -> np.ndarray:
    """The pixel that each pixel of the detector becomes in a cut-out; -1 outside of it."""
    place = np.full(sig_shape, -1, dtype=np.int32 if math.prod(sig_shape) < 2**31 else np.int64)
    place[np.ix_(ys, xs)] = np.arange(ys.size * xs.size).reshape(ys.size, xs.size)
    return place.ravel()
