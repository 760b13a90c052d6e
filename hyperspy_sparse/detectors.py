"""Virtual detectors: what a region of interest over the detector sums, in one pass.

pyXem cuts the region out of every frame, sets NaN outside a circle, and adds up. The region is
the same for every frame, so it is applied once, to an image of pixel numbers; what is left of
that image tells which pixels belong, whatever kind of region it is.
"""

from collections import OrderedDict
from hashlib import blake2b

import dask.array as da
import numpy as np
from dask.base import tokenize
from hyperspy.roi import Line2DROI, Point1DROI, Point2DROI
from hyperspy.signals import BaseSignal, Signal2D

from hyperspy_sparse import blocks
from hyperspy_sparse.kernels.weights import Masks
from hyperspy_sparse.twins import has_sparse_chunks

__all__ = ["mask_of", "masked_sums", "stand_in"]


def mask_of(signal, detector):
    """The pixels of a virtual detector.

    Parameters
    ----------
    signal : hyperspy.api.signals.BaseSignal
        With two signal axes, in whose units the region is given.
    detector : hyperspy ROI, signal or array of bool
        A region of interest over the signal axes, or a mask of shape (height, width).

    Returns
    -------
    mask : numpy.ndarray of bool, shape (height, width)
    dtype : numpy.dtype
        Type that pyXem's sum over the region has: float where NaN marks the outside.

    Raises
    ------
    ValueError
        If a mask has another shape than the detector.
    """
    sig_axes = signal.axes_manager.signal_axes[::-1]
    shape = tuple(axis.size for axis in sig_axes)
    counted = np.sum(np.zeros(1, signal.data.dtype)).dtype
    if isinstance(detector, BaseSignal):
        detector = detector.data
    if isinstance(detector, np.ndarray | da.Array | list):
        mask = np.asarray(detector).astype(bool)
        if mask.shape != shape:
            raise ValueError(f"the mask has shape {mask.shape}, the detector {shape} (y, x).")
        return mask, counted
    mask, with_nan = _applied(detector, sig_axes)
    return mask, np.result_type(signal.data.dtype, float) if with_nan else counted


_APPLIED, _LABELLED = OrderedDict(), OrderedDict()


def _applied(roi, sig_axes):
    """Mask of a region, and whether it marks its outside by NaN; the last ones are remembered."""
    described = [axis.get_axis_dictionary() for axis in sig_axes]
    parameters = getattr(roi, "parameters", None)
    if parameters is None:
        return _apply(roi, described)
    key = type(roi), repr(parameters), repr(described)
    return _remember(_APPLIED, key, lambda: _apply(roi, described))


def _apply(roi, described):
    shape = tuple(axis["size"] for axis in described)
    numbers = np.arange(shape[0] * shape[1]).reshape(shape)
    image = Signal2D(numbers, axes=[{**axis, "navigate": False} for axis in described])
    left = roi(image, axes=image.axes_manager.signal_axes).data
    with_nan = left.dtype.kind == "f"
    left = left[~np.isnan(left)].astype(np.int64) if with_nan else left.ravel()
    mask = np.zeros(numbers.size, dtype=bool)
    mask[left] = True
    return mask.reshape(shape), with_nan


class _Sums:
    """Kernel of several masks at once."""

    def __init__(self, masks, dtype):
        self.masks, self.dtype = _labelled(np.asarray(masks)), dtype
        self._token = tokenize(self.masks.labels, self.masks.members, np.dtype(dtype))

    def __call__(self, frames):
        return self.masks.sums(frames, self.dtype)

    def __dask_tokenize__(self):
        return "hyperspy_sparse.detectors", self._token


def _labelled(masks):
    """The masks with their labels; the last ones are remembered, as users repeat themselves."""
    key = blake2b(np.ascontiguousarray(masks), digest_size=20).digest(), masks.shape
    return _remember(_LABELLED, key, lambda: Masks(masks))


def _remember(kept, key, make):
    if key in kept:
        kept.move_to_end(key)
        return kept[key]
    kept[key] = answer = make()
    while len(kept) > 64:
        kept.popitem(last=False)
    return answer


def masked_sums(data, masks, dtype):
    """Sums under several masks: dask array of shape nav_shape + (n_masks,)."""
    return blocks.apply_kernel(data, _Sums(masks, dtype), (len(masks),), dtype)


_NO_AREA = (Line2DROI, Point1DROI, Point2DROI)


def stand_in(signal, rois):
    """Objects that pyXem may use for the regions, and that answer its sum from one pass.

    None where the ordinary path must run: regions over navigation axes, line profiles, data whose
    sums are not exact.
    """
    kind = signal.data.dtype.kind
    if not has_sparse_chunks(signal) or kind not in "ui":
        return None
    if any(not callable(roi) or isinstance(roi, (_Region, *_NO_AREA)) for roi in rois):
        return None
    found = [mask_of(signal, roi) for roi in rois]
    counted = np.sum(np.zeros(1, signal.data.dtype)).dtype
    sums = masked_sums(signal.data, [mask for mask, _ in found], counted)
    columns = (sums[..., i].astype(dtype) for i, (_, dtype) in enumerate(found))
    return [_Region(roi, column) for roi, column in zip(rois, columns, strict=True)]


class _Region:
    """Looks like the region to pyXem: called, it gives something whose nansum is known."""

    def __init__(self, roi, sums):
        self._roi, self._sums = roi, sums

    def __str__(self):
        return str(self._roi)

    def __repr__(self):
        return repr(self._roi)

    def __call__(self, signal, out=None, axes=None):
        return _Selected(signal, self._sums)


class _Selected:
    """Stands for the signal that a region cut out, of which pyXem wants the sum alone."""

    def __init__(self, signal, sums):
        self._signal, self._sums = signal, sums
        self.axes_manager = signal.axes_manager

    def nansum(self, axis):
        signal = self._signal._deepcopy_with_new_data(self._sums)
        signal._remove_axis([a.index_in_axes_manager for a in axis])
        return signal
