"""Many results from one reading of the data."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
from hyperspy.signals import LazySignal1D, LazySignal2D

from hyperspy_sparse import noise
from hyperspy_sparse.arguments import described, need_signal
from hyperspy_sparse.virtual_detectors import mask_of, masked_sums
from rsciio_tpx3.utils.units import shown

if TYPE_CHECKING:
    import dask.array as da
    from hyperspy.signal import BaseSignal


__all__ = ["one_pass", "virtual_images"]


def one_pass(
    signal: BaseSignal,
    *,
    sum_pattern: bool = True,
    total_counts: bool = True,
    center_of_mass: bool = True,
    detectors: Any = None,
    scheduler: str | None = None,
) -> dict:
    """Sum pattern, counts per position, centre of mass and virtual images together.

    Each block of the data is read and decoded once, whatever is requested.

    Parameters
    ----------
    signal : one of the sparse signal classes
    sum_pattern, total_counts, center_of_mass : bool
        Which of these to compute.
    detectors : dict of str to ROI or mask, optional
        Virtual detectors: HyperSpy regions of interest over the signal axes, or arrays of bool of
        shape (height, width).
    scheduler : str, optional
        Passed to :func:`dask.compute`.

    Returns
    -------
    dict
        "sum_pattern": the frames added up. "total_counts": counts per position.
        "center_of_mass": pyXem's beam shift, as ``get_direct_beam_position`` gives it. And one
        virtual image under each name of `detectors`. All in memory, in the host's classes.

    Raises
    ------
    ValueError
        If a name in `detectors` is one of the three above.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.disks()
    >>> found = hyperspy_sparse.one_pass(s, detectors={"bright": hs.roi.CircleROI(0, 0, 0.2)})
    >>> sorted(found)
    ['bright', 'center_of_mass', 'sum_pattern', 'total_counts']
    """
    need_signal(signal)
    if scheduler is not None and not callable(scheduler) and not isinstance(scheduler, (str, Executor)):
        raise ValueError(f"scheduler={shown(scheduler)}: expected a name such as 'threads' or 'sync'.")
    try:
        # dask itself says which names it knows, and does so before anything is read.
        dask.base.get_scheduler(scheduler=scheduler)
    except ValueError as error:
        raise ValueError(f"scheduler={shown(scheduler)}: {error}") from None
    flags = {"sum_pattern": sum_pattern, "total_counts": total_counts, "center_of_mass": center_of_mass}
    for name, value in flags.items():
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{name}={shown(value)}: expected True or False.")
    if not isinstance(detectors, (dict, type(None))):
        raise ValueError(f"detectors={shown(detectors)}: expected a dictionary of names to regions or masks.")
    detectors = detectors or {}
    taken = set(flags) & set(detectors)
    if taken:
        raise ValueError(f"detectors cannot be called {sorted(taken)}: these are results already.")
    lazy = {}
    if sum_pattern:
        lazy["sum_pattern"] = signal.sum(axis=signal.axes_manager.navigation_axes)
    if total_counts:
        lazy["total_counts"] = signal.sum(axis=signal.axes_manager.signal_axes).T
    if center_of_mass:
        lazy["center_of_mass"] = signal.get_direct_beam_position(method="center_of_mass")
    lazy.update(_images(signal, detectors))
    arrays = dask.compute(*(s.data for s in lazy.values()), scheduler=scheduler)
    return {name: _in_memory(s, array) for (name, s), array in zip(lazy.items(), arrays, strict=True)}


def virtual_images(signal: BaseSignal, detectors: Any) -> BaseSignal:
    """Images of many virtual detectors, from one pass over the events.

    Parameters
    ----------
    signal : one of the sparse signal classes
    detectors : dict of str to ROI or mask, or an iterable of these
        HyperSpy regions of interest over the signal axes, or arrays of bool of shape
        (height, width).

    Returns
    -------
    hyperspy.signals.LazySignal2D
        The images, with the detectors as the first navigation axis; their names are in
        ``metadata.Virtual_detectors.names``. For one scan axis a `LazySignal1D`.

    Raises
    ------
    ValueError
        If there are no detectors, no scan axes, or a mask has another shape than the detector.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.disks()
    >>> rings = [hs.roi.CircleROI(0, 0, 0.1 * i + 0.1, 0.1 * i) for i in range(4)]
    >>> hyperspy_sparse.virtual_images(s, rings)
    <LazySignal2D, title: Virtual images, dimensions: (4|8, 6)>
    """
    need_signal(signal)
    if isinstance(detectors, (str, bytes)) or not np.iterable(detectors):
        raise ValueError(f"detectors={shown(detectors)}: expected regions or masks, in a list or by their names.")
    named = detectors if isinstance(detectors, dict) else dict(enumerate(detectors))
    nav_axes = signal.axes_manager.navigation_axes[::-1]
    if not named or not nav_axes:
        raise ValueError(f"{len(named)} detectors and {len(nav_axes)} scan axes: expected at least one of both.")
    sums, sizes = _sums(signal, named.values())
    order = (sums.ndim - 1, *range(sums.ndim - 1))
    axes = [{"name": "detector", "size": len(named), "navigate": True}]
    axes += [described(axis, navigate=i < len(nav_axes) - 2) for i, axis in enumerate(nav_axes)]
    kind = LazySignal1D if len(nav_axes) == 1 else LazySignal2D
    images = kind(sums.transpose(order), axes=axes)
    images.metadata.General.title = "Virtual images"
    images.metadata.set_item("Virtual_detectors.names", [str(name) for name in named])
    noise.of_area(images, signal, min(sizes))
    return images


def _sums(signal: BaseSignal, detectors: Any) -> tuple[da.Array, list[int]]:
    """Sums of every frame under every detector, and the pixels that each detector has."""
    masks = [mask_of(signal, detector)[0] for detector in detectors]
    dtype = np.sum(np.zeros(1, signal.data.dtype)).dtype
    return masked_sums(signal.data, masks, dtype), [np.count_nonzero(mask) for mask in masks]


def _images(signal: BaseSignal, detectors: Any) -> dict[str, BaseSignal]:
    """One image for each name, sharing one calculation."""
    if not detectors:
        return {}
    sums, sizes = _sums(signal, detectors.values())
    images = {}
    for i, name in enumerate(detectors):
        image = signal._deepcopy_with_new_data(sums[..., i])
        image._remove_axis([a.index_in_axes_manager for a in signal.axes_manager.signal_axes])
        image.set_signal_type("")
        image.metadata.General.title = name
        noise.of_area(image, signal, sizes[i])
        images[name] = image.T
    return images


def _in_memory(signal: BaseSignal, array: np.ndarray) -> BaseSignal:
    signal.data = array
    signal._lazy = False
    signal._assign_subclass()
    return signal
