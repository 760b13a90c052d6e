"""Tilted images: one picture of the scan for each group of bright-field pixels, in one pass over the events."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.utils import format_bytes
from hyperspy.signals import LazySignal2D

from hyperspy_sparse import blocks
from hyperspy_sparse.arguments import described, need_signal, require_uniform
from hyperspy_sparse.deferred import read_recording
from hyperspy_sparse.navigator import counts_of
from hyperspy_sparse.phase_contrast import loops
from hyperspy_sparse.phase_contrast.groups import Disk, Groups, find_disk, make_groups
from hyperspy_sparse.phase_contrast.optics import Known
from hyperspy_sparse.twins import as_frames, has_sparse_chunks
from rsciio_tpx3.csr import memory_limit
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.dtypes import countable
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.event_frames import EventFrames
from rsciio_tpx3.metadata.provenance import note_analysis
from rsciio_tpx3.utils.units import to_plain

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal


__all__ = ["NODE", "check_memory", "check_scan", "disk_of", "groups_of_stack", "stack_of", "summed", "tilted_images"]

NODE = "Tilted_images"
"""Where the metadata of a stack describe its groups."""


def tilted_images(
    signal: BaseSignal,
    across: int = 16,
    *,
    center: tuple[float, float] | None = None,
    radius: float | None = None,
) -> BaseSignal:
    """Images of the scan, one for each group of pixels of the bright-field disk.

    A pixel of the disk is a small bright-field detector; by reciprocity its image is that of a tilted beam. Pixels
    are grouped in squares. The counts of a group are added up, not normalised: images of few electrons weigh little
    in what is made of them.

    Parameters
    ----------
    signal : one of the sparse signal classes
        With navigation axes (x, y), or more: (x, y, frame).
    across : int
        Squares along a diameter of the disk; 16 make some 200 images. Where they would be smaller than a pixel, each
        pixel is a group.
    center : (float, float), optional
        ``(x, y)`` of the disk in pixels of the data.
    radius : float, optional
        Of the disk in pixels. What is omitted is found in the sum pattern, which takes a pass over the data.

    Returns
    -------
    hyperspy.signals.LazySignal2D
        Dimensions ``(group | x, y)``, further navigation axes before the groups. The metadata node
        ``Tilted_images`` has `y` and `x` of each group (pixels of the data from the centre), its number of `pixels`,
        and the disk; and the node of the microscope is that of `signal`.

    Raises
    ------
    ValueError
        If the signal has no sparse frames or fewer than two scan axes, or there is no disk.

    Notes
    -----
    Each event is one addition. The images are filled in blocks of scan lines, so the result may be larger than memory
    as long as it is not computed at once.

    References
    ----------
    .. [1] J. M. Rodenburg, B. C. McCallum, P. D. Nellist, Ultramicroscopy 48, 304 (1993).

    Examples
    --------
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.disks(shift=0)
    >>> stack = hyperspy_sparse.tilted_images(s, across=4)
    >>> stack
    <LazySignal2D, title: Tilted images of Simulated disks, dimensions: (16|8, 6)>
    >>> len(stack.metadata.Tilted_images.y)
    16
    """
    check_scan(signal, "tilted_images")
    disk = disk_of(signal, center, radius)
    return stack_of(signal, make_groups(disk, signal.data.shape[-2:], across))


def check_scan(signal: BaseSignal, what: str) -> None:
    """Refuse what is not a scan of sparse frames; read a recording that waits."""
    need_signal(signal)
    if not has_sparse_chunks(signal):
        raise ValueError(f"{what}: {signal} has no sparse frames; hyperspy_sparse.to_sparse(signal) makes them.")
    read_recording(signal)
    if signal.data.dtype.kind not in "biuf":
        raise ValueError(f"{what}: values of type {signal.data.dtype} are not counts: expected real numbers.")
    axes = signal.axes_manager
    if axes.navigation_dimension < 2:
        raise ValueError(f"{what}: {signal} has {axes.navigation_dimension} scan axes: expected a scan (x, y).")
    require_uniform(axes._axes, what)


def disk_of(signal: BaseSignal, center: Any = None, radius: Any = None) -> Disk:
    """The bright field as requested, completed from the sum pattern."""
    if center is not None:
        pair = center.tolist() if isinstance(center, np.ndarray) else center
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ValueError(f"center={center!r} is not valid: must be (x, y) in pixels of the data.")
        center = [to_plain(number, "px", "center", "(127.5, 127.5)")[0] for number in pair]
    if radius is not None:
        radius = to_plain(radius, "px", "radius", "40.5")[0]
        if not radius > 0:
            raise ValueError(f"radius={radius!r}: expected a positive number of pixels.")
    if center is not None and radius is not None:
        return Disk(center[1], center[0], radius)
    # the signal's own sum reads in large blocks, hits in any order
    total = signal.sum(axis=signal.axes_manager.navigation_axes)
    found = find_disk(np.asarray(total.data.compute()))
    y, x = (found.y, found.x) if center is None else center[::-1]
    return Disk(y, x, found.radius if radius is None else radius)


def stack_of(signal: BaseSignal, groups: Groups) -> BaseSignal:
    """The lazy signal of the tilted images of these groups."""
    data = summed(signal, groups)
    nav_axes = signal.axes_manager.navigation_axes[::-1]
    axes = [{"name": "group", "size": len(groups), "navigate": True}]
    axes += [described(axis, navigate=i < len(nav_axes) - 2) for i, axis in enumerate(nav_axes)]
    # further scan axes come first: what is left to the user is one group of one frame
    order = (*range(1, len(nav_axes) - 1), 0, len(nav_axes) - 1, len(nav_axes))
    stack = LazySignal2D(data.transpose(order), axes=[axes[i] for i in order])
    disk = groups.disk
    settings = {"groups": len(groups), "width": groups.width, "center": [disk.x, disk.y], "radius": disk.radius}
    tree = note_analysis(signal.metadata.as_dictionary(), "tilted images", "hyperspy_sparse", settings)
    stack.metadata.add_dictionary(
        {key: tree[key] for key in ("Acquisition_instrument", "Sample", "General") if key in tree}
    )
    stack.metadata.General.title = f"Tilted images of {signal.metadata.General.title}".rstrip()
    stack.metadata.set_item("Signal.quantity", "Counts")
    stack.metadata.set_item(NODE, _node(groups, signal))
    return stack


def _node(groups: Groups, signal: BaseSignal) -> dict:
    """The node of the metadata; what a pixel is while the detector axes are still there."""
    try:
        known = Known.of(signal)
        scale, source = known.pixel_angle, known.source
    except ValueError:  # axes without a known angle: whoever needs it raises
        scale, source = None, ""
    about: dict[str, Any] = {} if scale is None else {"pixel_angle": scale, "pixel_angle_units": "mrad"}
    if scale is not None:
        about["pixel_angle_by"] = source
    return {
        **about,
        "y": groups.y,
        "x": groups.x,
        "pixels": groups.pixels,
        "row": groups.row,
        "column": groups.column,
        "width": groups.width,
        "center": [groups.disk.x, groups.disk.y],
        "radius": groups.disk.radius,
        "detector": list(signal.data.shape[:-3:-1]),
    }


def groups_of_stack(stack: BaseSignal) -> Groups | None:
    """The groups that a stack of `tilted_images` was made of, without its pixels; None for another signal."""
    if not stack.metadata.has_item(NODE):
        return None
    node = stack.metadata.get_item(NODE).as_dictionary()
    disk = Disk(float(node["center"][1]), float(node["center"][0]), float(node["radius"]))
    y, x = (np.asarray(node[name], float) for name in ("y", "x"))
    pixels, row, column = (np.asarray(node[name], np.int64) for name in ("pixels", "row", "column"))
    return Groups(np.empty((0, 0), np.int16), y, x, pixels, row, column, float(node["width"]), disk)


def summed(signal: BaseSignal, groups: Groups) -> da.Array:
    """Dask array of shape (groups,) + nav_shape, cut along the scan."""
    data = signal.data
    dtype = _sum_type(signal)
    kernel = _Sums(groups.labels, len(groups), dtype)
    data = blocks.in_blocks(data, len(groups) * dtype.itemsize, kernel.additive)
    n_nav = data.ndim - 2
    if any(len(c) > 1 for c in data.chunks[-2:]):
        data = data.rechunk({n_nav: -1, n_nav + 1: -1})
    # the table of labels is in the graph once, not in every task
    shared = dask.delayed(kernel, pure=True, traverse=False)
    return data.map_blocks(
        _block,
        kernel=shared,
        chunks=((len(groups),), *data.chunks[:n_nav]),
        drop_axis=[n_nav, n_nav + 1],
        new_axis=[0],
        dtype=dtype,
        meta=np.empty((0,) * (n_nav + 1), dtype),
    )


def _sum_type(signal: BaseSignal) -> np.dtype:
    """A type that holds the counts of a group at a position."""
    dtype = signal.data.dtype
    if dtype.kind == "f":
        return np.dtype(np.float64)
    if dtype.kind == "i" or dtype.itemsize > 4:
        return np.dtype(np.int64 if dtype.kind == "i" else np.uint64)
    counts = counts_of(signal)
    source = source_of(signal.data)
    if counts is None and isinstance(source, EventFrames) and source.values == "counts":
        counts = source.row_events()  # hits before pixels are merged: their sum is that of the counts
    # A group cannot have more than its frame: where no frame has 65536 counts, 16 bits hold all of them.
    few = counts is not None and np.max(counts, initial=0) <= np.iinfo(np.uint16).max
    return np.dtype(np.uint16 if few else np.uint32 if dtype.itemsize < 4 else np.uint64)


class _Sums:
    """Sums of every frame over every group, the frame fastest."""

    def __init__(self, labels: np.ndarray, n_groups: int, dtype: np.dtype) -> None:
        self.labels, self.n_groups, self.dtype = np.ascontiguousarray(labels.ravel()), n_groups, dtype
        # float sums depend on their order: hits as they come are for integers alone
        self.additive = dtype.kind in "ui"

    def __dask_tokenize__(self) -> tuple:
        return "hyperspy_sparse.tilted_images", tokenize(self.labels, self.n_groups, self.dtype)

    def __call__(self, frames: CSRFrames) -> np.ndarray:
        # one more for the pixels of no group: a place to write is cheaper than a question
        out = np.zeros((self.n_groups + 1, frames.n_frames), self.dtype)
        loops.tilted_sums(countable(frames.data), frames.indices, frames.indptr, self.labels, out)
        return out[:-1]


def _block(chunk: Any, kernel: _Sums) -> np.ndarray:
    frames = as_frames(chunk)
    nav = frames.shape[:-2]
    sums = kernel(frames.reshape((math.prod(nav), *frames.shape[-2:])))
    return sums.reshape((kernel.n_groups, *nav))


def check_memory(needed: int, what: str, hint: str) -> None:
    """Raise `DenseMemoryError` before work starts, if it would take more than the limit."""
    allowed = memory_limit.get_limit()
    if needed > allowed:
        raise memory_limit.DenseMemoryError(
            f"{what} would need {format_bytes(needed)} (limit {format_bytes(allowed)}). {hint} Or allow it with "
            f"hyperspy_sparse.set_limit({format_bytes(needed)!r})."
        )
