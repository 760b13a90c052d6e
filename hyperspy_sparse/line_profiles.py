"""`Line2DROI`, HyperSpy's profile along a line, on sparse frames.

HyperSpy interpolates pixel by pixel: over the scan that is an image of the scan for each pixel of the detector, a
quarter of a million of them, and all of them dense. A profile is a sum, though: frames along the line, each made of
the few around its place on the scan. So the frames are read, weighted, added up, and stay sparse. Over the detector
it is the same with pixels.

HyperSpy's interpolation (`scipy.ndimage.map_coordinates`) is linear along each axis, and is asked for its weights by
unit vectors; so they are its own for all orders, at the edges as well. It rounds counts to integers, sample by sample,
before it averages over the width of the line. So is done here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import scipy.ndimage
import scipy.sparse
from hyperspy.axes import UniformDataAxis
from hyperspy.roi import Line2DROI
from hyperspy.signals import BaseSignal

from hyperspy_sparse import blocks, deferred, reductions, selection
from hyperspy_sparse.kernels import loops
from hyperspy_sparse.kernels.table import Kernel
from hyperspy_sparse.kernels.weights import PixelWeights
from hyperspy_sparse.twins import as_frames, has_sparse_chunks
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.dtypes import countable
from rsciio_tpx3.frames.dask_array import DENSE_CHUNK_BYTES, are_runs, empty_meta

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["Samples", "profile_over_detector", "profile_over_scan", "weights_over_detector"]

NEGLIGIBLE = 1e-16
"""Weights of splines (order 2 and more), which reach across the scan, end here: 28 positions away."""

_UNROUNDED, _TO_UNSIGNED, _TO_SIGNED, _CUT_OFF = range(4)


class Samples:
    """Where a line is sampled, and what of the pixels around makes each sample.

    Parameters
    ----------
    line : hyperspy.api.roi.Line2DROI
    axes : sequence of two hyperspy.axes.UniformDataAxis
        x and y, in whose units the line is.
    order : int
        Of the interpolation, 0 to 5.

    Attributes
    ----------
    order : int
    n_points, width : int
        Places along the line, and samples across it, which are averaged.
    along_y, along_x : scipy.sparse.csr_array of float64, shape (n_points * width, n)
        Weights along each axis: a sample is the sum of values times the products of both.

    Raises
    ------
    NotImplementedError
        If an axis is not uniform.
    ValueError
        If the width of the line is negative, or `order` is not valid.
    """

    def __init__(self, line: Line2DROI, axes: Sequence, order: int) -> None:
        if any(not axis.is_uniform for axis in axes):
            raise NotImplementedError("Line profiles on data with non-uniform axes is not implemented.")
        if line.linewidth < 0:
            raise ValueError("linewidth must be positive number")
        if order not in range(6):
            raise ValueError(f"order={order!r}: expected an integer from 0 to 5.")
        ends = [[(x - axes[0].offset) / axes[0].scale, (y - axes[1].offset) / axes[1].scale] for x, y in _ends(line)]
        width = max(round(line.linewidth / min(axis.scale for axis in axes)), 1)
        places = Line2DROI._line_profile_coordinates(*ends, linewidth=width)
        self.n_points, self.width = places.shape[1:]
        self.order = order
        self.along_y, self.along_x = (
            _weights(place.ravel(), axis.size, order) for place, axis in zip(places, axes[::-1], strict=True)
        )

    def of_points(self, start: int, stop: int) -> tuple[scipy.sparse.csr_array, scipy.sparse.csr_array]:
        """The weights of some points, along y and along x."""
        part = slice(start * self.width, stop * self.width)
        return self.along_y[part], self.along_x[part]


def _ends(line: Line2DROI) -> tuple:
    return (line.x1, line.y1), (line.x2, line.y2)


def _weights(places: np.ndarray, n: int, order: int) -> scipy.sparse.csr_array:
    """What each of `n` elements of an axis counts at each place: (places, n)."""
    if order <= 1:
        return _near_weights(places, n, order)
    out = np.empty((places.size, n))
    for i in range(n):
        # Interpolation is linear in the values: what it makes of unit vectors are its weights, borders included.
        unit = np.zeros(n)
        unit[i] = 1
        out[:, i] = scipy.ndimage.map_coordinates(unit, places[None], order=order, mode="constant", cval=0.0)
    out[np.abs(out) < NEGLIGIBLE] = 0
    return scipy.sparse.csr_array(out)


_APART = 4  # elements between two that are asked for at once: linear interpolation reaches one to each side


def _near_weights(places: np.ndarray, n: int, order: int) -> scipy.sparse.csr_array:
    """The same for interpolation that does not reach far: a few questions tell of all elements."""
    found = []
    for first in range(min(_APART, n)):
        units = np.zeros(n)
        units[first::_APART] = 1
        values = scipy.ndimage.map_coordinates(units, places[None], order=order, mode="constant", cval=0.0)
        nearest = first + _APART * np.rint((places - first) / _APART).astype(np.int64)
        sample = np.flatnonzero((values != 0) & (nearest >= 0) & (nearest < n))
        found.append((sample, nearest[sample], values[sample]))
    samples, elements, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    # One or two elements count at each place: to fill a table of all of them takes longer than to add up the frames.
    weights = scipy.sparse.csr_array((values, (samples, elements)), shape=(places.size, n))
    weights.sort_indices()
    return weights


def _rounding(dtype: np.dtype) -> int:
    return {"u": _TO_UNSIGNED, "i": _TO_SIGNED, "b": _CUT_OFF}.get(dtype.kind, _UNROUNDED)


def _largest(dtype: np.dtype) -> float:
    return float(np.iinfo(dtype).max) if dtype.kind in "ui" else np.inf


def profile_over_scan(data: da.Array, samples: Samples, places: tuple[int, int]) -> da.Array:
    """Frames along a line over the scan.

    Parameters
    ----------
    data : dask.array.Array of CSRFrames
    samples : Samples
    places : tuple of int
        Axes of the array that are x and y of the line.

    Returns
    -------
    dask.array.Array of CSRFrames
        With one axis, of the points, in the place of the first of the two; floats.
    """
    nav, sig = data.shape[:-2], data.shape[-2:]
    x, y = places
    others = tuple(i for i in range(len(nav)) if i not in places)
    rows = np.arange(np.prod(nav, dtype=np.int64)).reshape(nav).transpose(*others, y, x)
    rows = rows.reshape(-1, nav[y], nav[x])
    dtype = np.mean(np.zeros(1, data.dtype)).dtype
    # So many points that their frames, were they dense, are a chunk.
    n_together = max(1, DENSE_CHUNK_BYTES // (8 * sig[0] * sig[1]))
    lines = [_one_line(data, samples, scan, dtype, n_together) for scan in rows]
    whole = da.stack(lines).reshape(*(nav[i] for i in others), samples.n_points, *sig) if others else lines[0]
    return da.moveaxis(whole, len(others), min(places)) if len(others) > min(places) else whole


def _one_line(data: da.Array, samples: Samples, rows: np.ndarray, dtype: np.dtype, n_together: int) -> da.Array:
    parts = []
    for start in range(0, samples.n_points, n_together):
        weights = samples.of_points(start, min(start + n_together, samples.n_points))
        along_y, along_x = (along.toarray() for along in weights)
        used = np.zeros(rows.shape, bool)
        used[_pairs(*weights)[1:3]] = True  # by any of the samples
        used.flat[0] |= not used.any()  # a line outside of the scan
        wanted = np.unique(rows[used])
        place = np.full(rows.shape, -1)
        place[used] = np.searchsorted(wanted, rows[used])
        frames = selection.chosen_frames(data, wanted).rechunk((-1, -1, -1))
        made = frames.map_blocks(
            _profile, place, along_y, along_x, samples.width, data.dtype, dtype,
            chunks=((len(along_y) // samples.width,), *frames.chunks[1:]), dtype=dtype, meta=empty_meta(dtype, 1),
        )  # fmt: skip
        parts.append(made)
    return da.concatenate(parts) if len(parts) > 1 else parts[0]


def _profile(
    chunk: Any,
    place: np.ndarray,
    along_y: np.ndarray,
    along_x: np.ndarray,
    width: int,
    counted: np.dtype,
    dtype: np.dtype,
) -> CSRFrames:
    """Frames along the line from the frames around it; `place` has the number of each, or -1."""
    frames = as_frames(chunk)
    counts = np.diff(frames.indptr)
    n_points = len(along_y) // width
    made, rows = [], np.zeros(n_points + 1, np.int64)
    sample, total = np.zeros((2, frames.n_pixels))
    touched, summed = np.zeros((2, frames.n_pixels), np.bool_)
    pixels, seen = np.empty((2, frames.n_pixels), frames.indices.dtype)
    parts = countable(frames.data), frames.indices, frames.indptr
    if counts.size:
        for point in range(n_points):
            part = slice(point * width, (point + 1) * width)
            n = loops.line_point(
                *parts, place, along_y[part], along_x[part], _rounding(counted), _largest(counted),
                sample, touched, seen, total, summed, pixels,
            )  # fmt: skip
            # The loop notes pixels as it meets them; rows are sorted.
            there = np.sort(pixels[:n])
            values = total[there] / width
            # Space is shared by all points: only what was written is made zero again.
            total[there], summed[there] = 0, False
            # Rounding may leave nothing of a pixel, and rows hold no zeros.
            there, values = there[values != 0], values[values != 0]
            made.append((there, values.astype(dtype)))
            rows[point + 1] = rows[point] + there.size
    indices = np.concatenate([there for there, _ in made])
    values = np.concatenate([values for _, values in made])
    return CSRFrames._make(values, indices, rows, (n_points, *frames.sig_shape))


def profile_over_detector(data: da.Array, samples: Samples, turned: bool = False) -> np.ndarray:
    """The profile of each frame along a line over the detector.

    Parameters
    ----------
    data : dask.array.Array of CSRFrames
    samples : Samples
    turned : bool
        The axes of the line are y and x, not x and y.

    Returns
    -------
    numpy.ndarray
        Of floats, nav_shape + (points,).
    """
    # where nothing is rounded, samples of a point are added up at once
    rounded = samples.order > 0 and data.dtype.kind != "f"
    weights = weights_over_detector(samples, data.shape[-2:], rounded, turned)
    dtype = np.mean(np.zeros(1, data.dtype)).dtype
    options = {"weights": weights, "width": samples.width, "counted": data.dtype.str if rounded else None}
    found = _in_one_array(data, options, samples.n_points, dtype)
    if found is not None:
        return found
    kernel = Kernel(_points_of_frames, options)
    return blocks.apply_kernel(data, kernel, (samples.n_points,), dtype).compute()


def weights_over_detector(
    samples: Samples, sig_shape: tuple[int, ...], each_sample: bool, turned: bool = False
) -> PixelWeights:
    """What each pixel counts in each point of a line, or in each sample across it; not divided by the width."""
    along = samples.along_y, samples.along_x
    sample, y, x, weight = _pairs(*(along[::-1] if turned else along))
    column = sample if each_sample else sample // samples.width
    n_columns = samples.n_points * (samples.width if each_sample else 1)
    return PixelWeights.build(y * sig_shape[1] + x, column, weight, sig_shape, n_columns)


def _in_one_array(data: da.Array, options: dict, n_points: int, dtype: np.dtype) -> np.ndarray | None:
    """The profiles, written by threads where they belong; None where other processes compute, or chunks lie elsewhere.

    They take more memory than the entries, so that joining those of blocks would take longer than making them.
    """
    if dtype != np.float64 or dask.base.get_scheduler() is not None:
        return None
    frames = blocks.in_blocks(data, n_points * dtype.itemsize)
    if frames.numblocks[-2:] != (1, 1) or not are_runs(frames.chunks[:-2]):
        return None
    out = np.empty((*frames.shape[:-2], n_points), dtype)
    chunks = frames.to_delayed().ravel()
    fill = dask.delayed(_fill, pure=False, traverse=False)
    spans = [span for _, span in reductions.spans_of(frames)]
    dask.compute(*(fill(chunk, _Target(out[span]), options) for chunk, span in zip(chunks, spans, strict=True)))
    return out


class _Target:
    """A part of an array that a task writes to, which dask has no look into."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array


def _fill(chunk: Any, target: _Target, options: dict) -> None:
    frames = as_frames(chunk)
    out = target.array.reshape(frames.n_frames, -1)  # a view: chunks are runs of frames
    flat = frames.reshape((frames.n_frames, *frames.sig_shape))
    if options["counted"] is None:
        options["weights"].write_quotient(flat, options["width"], out)
    else:
        out[:] = _points_of_frames(flat, **options)


def _pairs(along_y: scipy.sparse.csr_array, along_x: scipy.sparse.csr_array) -> tuple[np.ndarray, ...]:
    """Number of the sample, y, x and weight, of each pixel that has a weight in a sample."""
    n_x = np.diff(along_x.indptr)
    n = np.diff(along_y.indptr) * n_x
    sample = np.repeat(np.arange(n.size), n)
    number = np.arange(sample.size) - np.repeat(np.cumsum(n) - n, n)
    row = along_y.indptr[sample] + number // n_x[sample]
    column = along_x.indptr[sample] + number % n_x[sample]
    return sample, along_y.indices[row], along_x.indices[column], along_y.data[row] * along_x.data[column]


TOGETHER = 32 * 2**20
"""Bytes of samples that are made before they are averaged."""


def _points_of_frames(frames: CSRFrames, weights: PixelWeights, width: int, counted: str | None) -> np.ndarray:
    if counted is None:
        out = np.empty((frames.n_frames, weights.n_columns))
        weights.write_quotient(frames, width, out)
        return out
    n = max(1, TOGETHER // (8 * weights.n_columns))
    starts = range(0, max(frames.n_frames, 1), n)
    return np.concatenate([_averages(frames[i : i + n], weights, width, np.dtype(counted)) for i in starts])


def _averages(frames: CSRFrames, weights: PixelWeights, width: int, counted: np.dtype) -> np.ndarray:
    values, rounding = weights.product(frames), _rounding(counted)
    if rounding == _TO_UNSIGNED:
        values = np.minimum(np.floor(np.maximum(values, 0) + 0.5), _largest(counted))
    elif rounding == _TO_SIGNED:
        values = np.trunc(values + np.copysign(0.5, values))
        values = np.clip(values, -_largest(counted) - 1, _largest(counted))
    elif rounding == _CUT_OFF:
        values = np.trunc(values)
    return values.reshape(len(values), -1, width).mean(axis=2)


_host_call = Line2DROI.__call__


def _call(self: Line2DROI, signal: BaseSignal, out: Any = None, axes: Any = None, order: int = 0) -> Any:
    """HyperSpy's, but for frames that are sparse; ``Line2DROI`` has no hook of its own."""
    if not self.is_valid() or not has_sparse_chunks(signal):
        return _host_call(self, signal, out, axes, order)
    deferred.read_recording(signal)
    if axes is None and signal in self.signal_map:
        axes = self.signal_map[signal][1]
    else:
        axes = self._parse_axes(axes, signal.axes_manager)
    if len({bool(axis.navigate) for axis in axes}) > 1:  # one of the scan, one of the detector
        return _host_call(self, signal, out, axes, order)
    samples = Samples(self, axes, order)
    places = axes[0].index_in_array, axes[1].index_in_array
    over_scan = bool(axes[0].navigate)
    if over_scan:
        profile = profile_over_scan(signal.data, samples, places)
    else:
        profile = profile_over_detector(signal.data, samples, places[0] < places[1])
    return _delivered(self, signal, out, axes, profile, min(places))


def _delivered(line: Line2DROI, signal: BaseSignal, out: Any, axes: Sequence, profile: Any, place: int) -> Any:
    size = profile.shape[place]
    scale = float(np.linalg.norm(np.subtract(*_ends(line)))) / size
    if out is not None:
        out.data = profile
        axis = out.axes_manager._axes[place]
        if (axis.size, axis.scale) != (size, scale):
            axis.size, axis.scale = size, scale
        out.events.data_changed.trigger(out)
        return None
    axis = UniformDataAxis(size=size, scale=scale, units=axes[0].units, navigate=bool(axes[0].navigate))
    if axis.navigate:
        return selection.on_a_line(signal, axes, axis, profile)
    described = [a.get_axis_dictionary() for a in signal.axes_manager._axes if not any(a is gone for gone in axes)]
    described.insert(place, axis.get_axis_dictionary())
    metadata, original = (tree.deepcopy().as_dictionary() for tree in (signal.metadata, signal.original_metadata))
    return BaseSignal(profile, axes=described, metadata=metadata, original_metadata=original)


Line2DROI.__call__ = _call
