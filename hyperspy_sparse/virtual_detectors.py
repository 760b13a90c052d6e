"""Virtual detectors: what a region of interest over the detector sums, in one pass.

pyXem cuts the region out of every frame, sets NaN outside a circle, and adds up. The region is
the same for every frame, so it is applied once, to an image of pixel numbers; what is left of
that image says which pixels belong, whatever kind of region it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from hashlib import blake2b
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from hyperspy.roi import BaseROI, Line2DROI, Point1DROI, Point2DROI
from hyperspy.signals import BaseSignal, Signal2D
from numpy.typing import ArrayLike, DTypeLike

from hyperspy_sparse import blocks, noise, shifted
from hyperspy_sparse.kernels.weights import Masks
from hyperspy_sparse.twins import has_sparse_chunks
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.dtypes import sum_for_floats, sum_type
from rsciio_tpx3.utils.least_recent import LeastRecent
from rsciio_tpx3.utils.units import shown

__all__ = ["can_stand_in", "fill_stack", "mask_of", "masked_image", "masked_sums", "stand_in"]


def mask_of(signal: BaseSignal, detector: Any) -> tuple[np.ndarray, np.dtype]:
    """The pixels of a virtual detector.

    Parameters
    ----------
    signal : hyperspy.api.signals.BaseSignal
        With two signal axes, in whose units the region is.
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
        try:
            mask = np.asarray(detector).astype(bool)
        except ValueError:  # rows of several lengths
            raise ValueError(f"detectors: {shown(detector)} is not a mask of shape {shape} (y, x).") from None
        if mask.shape != shape:
            raise ValueError(f"detectors: the mask has shape {mask.shape}, the detector {shape} (y, x).")
        return mask, counted
    if not isinstance(detector, BaseROI):
        raise ValueError(
            f"detectors: {shown(detector)} is not a detector: expected a region such as hs.roi.CircleROI(0, 0, 5), or "
            f"a mask of shape {shape} (y, x)."
        )
    mask, with_nan = _applied(detector, sig_axes)
    # HyperSpy puts NaN outside of the region: integers become float64 by that, and floats stay what they are
    return mask, np.dtype(float) if with_nan and signal.data.dtype.kind != "f" else counted


_APPLIED, _LABELLED = LeastRecent(64), LeastRecent(64)


def _applied(roi: Any, sig_axes: Sequence) -> tuple[np.ndarray, bool]:
    """Mask of a region, and whether it marks its outside by NaN; the last ones are remembered."""
    described = [axis.get_axis_dictionary() for axis in sig_axes]
    shape = tuple(axis.size for axis in sig_axes)
    # A class of a user's own may depend on more than its parameters.
    if not type(roi).__module__.startswith("hyperspy."):
        return _apply(roi, described, shape)
    key = tokenize(type(roi), roi.parameters, described, shape)
    return _APPLIED.get(key, lambda: _apply(roi, described, shape))


def _apply(roi: Any, described: list[dict], shape: tuple[int, ...]) -> tuple[np.ndarray, bool]:
    # The region cuts an image of pixel numbers: those that come back are its pixels, whatever its shape.
    numbers = np.arange(shape[0] * shape[1]).reshape(shape)
    image = Signal2D(numbers, axes=[{**axis, "navigate": False} for axis in described])
    left = roi(image, axes=image.axes_manager.signal_axes).data
    with_nan = left.dtype.kind == "f"
    # float64 holds pixel numbers exactly.
    left = left[~np.isnan(left)].astype(np.int64) if with_nan else left.ravel()
    mask = np.zeros(numbers.size, dtype=bool)
    mask[left] = True
    return mask.reshape(shape), with_nan


class _Sums:
    """Kernel of several masks at once, or of one `alone`, whose answer has no axis of masks."""

    any_type = True

    def __init__(self, masks: ArrayLike, dtype: DTypeLike, alone: bool = False) -> None:
        self.masks, self.dtype, self.alone = _labelled(np.asarray(masks)), dtype, alone
        self.additive = np.dtype(dtype).kind in "ui"
        self._token = tokenize(self.masks.labels, self.masks.members, np.dtype(dtype), alone)

    def __call__(self, frames: CSRFrames) -> np.ndarray:
        if frames.dtype.kind == "f" and np.isnan(frames.data).any():
            frames = frames.with_data(np.where(np.isnan(frames.data), 0, frames.data))  # as a nansum
        sums = self.masks.sums(frames, self.dtype)
        return sums[:, 0] if self.alone else sums

    def __dask_tokenize__(self) -> Any:
        return "hyperspy_sparse.virtual_detectors", self._token


def _labelled(masks: np.ndarray) -> Masks:
    """The masks with their labels; the last ones are remembered, as users repeat themselves."""
    key = blake2b(np.ascontiguousarray(masks), digest_size=20).digest(), masks.shape
    return _LABELLED.get(key, lambda: Masks(masks))


def masked_sums(data: da.Array, masks: ArrayLike, dtype: DTypeLike) -> da.Array:
    """Sums under several masks: dask array of shape nav_shape + (n_masks,)."""
    parts = shifted.behind(data)
    if parts is not None:
        return _of_difference(data, parts, np.asarray(masks, bool), dtype)
    return blocks.apply_kernel(data, _Sums(masks, dtype), (len(masks),), dtype)


def _of_difference(data: da.Array, parts: shifted.Shifted, masks: np.ndarray, dtype: DTypeLike) -> da.Array:
    """As `masked_sums`, of frames plus or minus an image; what is NaN is excluded, the count with the image."""
    counted = sum_for_floats(parts.frames.dtype)
    if parts.kind == "detector" and isinstance(parts.image, np.ndarray):
        return blocks.apply_kernel(parts.frames, _DifferenceSums(masks, parts, dtype), (len(masks),), dtype)
    if parts.kind == "detector":  # sums of the frames do not wait for the image: both come from one pass
        sums = blocks.apply_kernel(parts.frames, _NumbersOnly(masks, counted), (len(masks),), counted)
        return shifted.under_masks(parts, sums, masks, dtype)
    if parts.frames.dtype.kind in "ui":
        return shifted.under_masks(parts, masked_sums(parts.frames, masks, counted), masks, dtype)
    # A count that is NaN takes its share of the image with it, which sums of the counts do not tell.
    n = data.ndim - 2
    return data.rechunk({n: -1, n + 1: -1}).map_blocks(
        _nansums,
        masks,
        dtype,
        chunks=(*data.chunks[:-2], (len(masks),)),
        drop_axis=[n, n + 1],
        new_axis=[n],
        dtype=dtype,
    )


def _nansums(images: np.ndarray, masks: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Sums of dense images under masks, without NaN: shape of the scan and one number per mask."""
    sums = [np.nansum(np.asarray(images)[..., mask], axis=-1, dtype=np.float64) for mask in masks]
    return np.stack(sums, axis=-1).astype(dtype)


class _DifferenceSums:
    """Kernel of several masks, for frames plus or minus an image of the detector."""

    any_type = True

    def __init__(self, masks: np.ndarray, parts: shifted.Shifted, dtype: DTypeLike) -> None:
        self.masks, self.image, self.dtype = masks, parts.image, np.dtype(dtype)
        self.signs, self.additive = (parts.frames_sign, parts.image_sign), parts.frames.dtype.kind in "ui"

    def __call__(self, frames: CSRFrames) -> np.ndarray:
        (of_frames, of_image), image = self.signs, self.image
        inside = self.masks & ~np.isnan(image)
        added = of_image * np.array([image[mask].sum(dtype=np.float64) for mask in inside])
        counted = np.float64 if frames.dtype.kind == "f" else sum_for_floats(frames.dtype)
        sums = of_frames * _labelled(inside).sums(frames, counted).astype(np.float64) + added
        if frames.dtype.kind == "f":  # one frame after the other where a count is not a number
            entries = np.flatnonzero(~np.isfinite(frames.data))
            for row in np.unique(np.searchsorted(frames.indptr, entries, side="right") - 1):
                sums[row] = _nansums(of_frames * frames[int(row)] + of_image * image, self.masks, np.float64)
        return sums.astype(self.dtype)

    def __dask_tokenize__(self) -> Any:
        return "hyperspy_sparse.virtual_detectors.difference", tokenize(self.masks, self.image, self.signs, self.dtype)


class _NumbersOnly(_Sums):
    """Refuses frames with NaN, of which the share of an image that is not known yet cannot be excluded."""

    def __call__(self, frames: CSRFrames) -> np.ndarray:
        if frames.dtype.kind == "f" and np.isnan(frames.data).any():
            raise ValueError(shifted.NOT_KNOWN.format("frames"))
        return super().__call__(frames)

    def __dask_tokenize__(self) -> Any:
        return "hyperspy_sparse.virtual_detectors.numbers", self._token


def masked_image(data: da.Array, mask: np.ndarray) -> da.Array:
    """Sums under one mask, which become floats: dask array of shape nav_shape, in the type of `sum_for_floats`."""
    dtype = sum_for_floats(data.dtype)
    return blocks.apply_kernel(data, _Sums([mask], dtype, alone=True), (), dtype)


_NO_AREA = (Line2DROI, Point1DROI, Point2DROI)


def can_stand_in(signal: BaseSignal, rois: Any) -> bool:
    """Whether `stand_in` has an answer.

    Not for line profiles and points.
    """
    kind = signal.data.dtype.kind
    known = all(callable(roi) and not isinstance(roi, (_Region, *_NO_AREA)) for roi in rois)
    sparse = has_sparse_chunks(signal) or shifted.behind(signal.data) is not None
    return known and sparse and kind in "uif"


def stand_in(signal: BaseSignal, rois: Any) -> list[_Region] | None:
    """Objects that pyXem may use for the regions, and that answer its sum from one pass.

    None where the ordinary path must run, see `can_stand_in`.
    """
    if not can_stand_in(signal, rois):
        return None
    masks, dtypes = zip(*(mask_of(signal, roi) for roi in rois), strict=True)
    # A single one needs no axis of masks, which HyperSpy would have to slice away.
    if len(rois) == 1 and has_sparse_chunks(signal):
        kernel = _Sums(masks, _counted(signal.data, dtypes[0]), alone=True)
        return [_Region(rois[0], blocks.apply_kernel(signal.data, kernel, (), dtypes[0]), masks[0])]
    columns = _columns(signal.data, masks, dtypes)
    return [_Region(*parts) for parts in zip(rois, columns, masks, strict=True)]


def _counted(data: da.Array, result: np.dtype) -> np.dtype:
    """The type in which values are added up under a region that gives them the type `result`."""
    return (sum_for_floats if result.kind == "f" else sum_type)(data.dtype)


def _columns(data: da.Array, masks: Sequence[np.ndarray], dtypes: Sequence[np.dtype]) -> list[da.Array]:
    """The image of each mask, in its type."""
    counted = [_counted(data, dtype) for dtype in dtypes]
    images: list = [None] * len(masks)
    # Two passes at most: integers of 64 bits are such under one region, and floats under another.
    for kind in set(counted):
        chosen = [i for i, other in enumerate(counted) if other == kind]
        sums = masked_sums(data, [masks[i] for i in chosen], kind)
        for column, i in enumerate(chosen):
            images[i] = sums[..., column].astype(dtypes[i])
    return images


def fill_stack(images: BaseSignal, signal: BaseSignal, rois: list) -> None:
    """Turn a stack of the images of two regions into one of the images of all `rois`, in place.

    HyperSpy takes a hundredth of a second for the signal of each image. These differ in their
    values alone, so two of them show what a stack of any number looks like.

    Parameters
    ----------
    images : hyperspy.api.signals.BaseSignal
        As pyXem's ``get_virtual_image`` gives it for the first two of the `rois`.
    signal : LazySignal
        What they are images of.
    rois : list
        Two or more that `stand_in` accepts.
    """
    masks, dtypes = zip(*(mask_of(signal, roi) for roi in rois), strict=True)
    counted = {_counted(signal.data, dtype) for dtype in dtypes}
    if len(counted) == 1:  # no need to take hundreds of images apart, and to put them together again
        stack = da.moveaxis(masked_sums(signal.data, masks, counted.pop()), -1, 0)
    else:
        stack = da.stack(_columns(signal.data, masks, dtypes))
    images.data = stack.astype(np.result_type(*dtypes))
    images.get_dimensions_from_data()
    images.metadata.set_item("Diffraction.roi_list", [f"{roi}" for roi in rois])
    # pyXem 0.21 stacks signals, and HyperSpy keeps the metadata of each: they differ in the region alone.
    first = images.original_metadata.stack_elements.element0.as_dictionary()
    described = first["metadata"]["Diffraction"]["integrated_range"]
    for i, roi in enumerate(rois[2:], start=2):
        element = deepcopy(first)
        element["metadata"]["Diffraction"]["integrated_range"] = described.replace(f"{rois[0]}", f"{roi}")
        images.original_metadata.stack_elements.add_dictionary({f"element{i}": element})


class _Region:
    """Looks like the region to pyXem: called, it gives something whose nansum is known."""

    def __init__(self, roi: Any, sums: da.Array, mask: np.ndarray) -> None:
        self._roi, self._sums, self._mask = roi, sums, mask

    def __str__(self) -> str:
        return str(self._roi)

    def __repr__(self) -> str:
        return repr(self._roi)

    def __call__(self, signal: BaseSignal, out: Any = None, axes: Any = None) -> _Selected:
        return _Selected(signal, self._sums, self._mask)


class _Selected:
    """Stands for the signal that a region cut out, of which pyXem wants the sum alone."""

    def __init__(self, signal: BaseSignal, sums: da.Array, mask: np.ndarray) -> None:
        self._signal, self._sums, self._mask = signal, sums, mask
        self.axes_manager = signal.axes_manager

    def nansum(self, axis: Any) -> BaseSignal:
        signal = self._signal._deepcopy_with_new_data(self._sums)
        signal._remove_axis([a.index_in_axes_manager for a in axis])
        noise.of_area(signal, self._signal, np.count_nonzero(self._mask))
        return signal
