"""A loaded signal in napari, which shows one frame at a time and asks for no more.

napari takes any object that has a shape, a type and slices. Given a dask array of chunks it would compute a chunk for
every frame that is shown; the object here reads the frame.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperspy_sparse import frame_cache as frames
from hyperspy_sparse.arguments import needs_signal, require_uniform
from hyperspy_sparse.twins import has_sparse_chunks
from rsciio_tpx3.csr import memory_limit
from rsciio_tpx3.frames.dask_array import with_its_own_tasks
from rsciio_tpx3.utils.units import parse_unit, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyperspy.signal import BaseSignal
    from numpy.typing import DTypeLike


__all__ = ["FrameView", "to_napari"]

_logger = logging.getLogger(__name__)


class FrameView:
    """Dense frames of a sparse signal, one at a time, by NumPy's indices.

    Parameters
    ----------
    signal : a signal of `hyperspy_sparse.signals`

    Examples
    --------
    >>> import hyperspy_sparse
    >>> view = FrameView(hyperspy_sparse.data.disks())
    >>> view[3, 5].shape, view[3:4, 5:6, 8:].shape
    ((32, 32), (1, 1, 24, 32))
    """

    def __init__(self, signal: BaseSignal) -> None:
        self._signal = signal
        self.shape = tuple(signal.data.shape)
        self.dtype = np.dtype(signal.data.dtype)
        self.ndim = len(self.shape)
        self.size = math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[()], dtype=dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Part of the data, dense; within the memory limit where it is more than one frame."""
        key = key if isinstance(key, tuple) else (key,)
        nav, sig = self._split(key)
        places = [_one_place(k, n) for k, n in zip(nav, self.shape)]
        if any(place is None for place in places):
            part = self._signal.data[key]
            memory_limit.check(part.shape, part.dtype, "a view of more than one frame")
            return np.asarray(part.compute() if hasattr(part, "compute") else part)
        frame = frames.one_frame(self._signal, (*places, slice(None), slice(None)))
        if frame is None:
            frame = np.asarray(with_its_own_tasks(self._signal.data[tuple(places)]).compute())
        length_one = (1,) * sum(isinstance(k, slice) for k in nav)
        return frame.reshape(length_one + frame.shape)[(slice(None),) * len(length_one) + sig]

    def _split(self, key: tuple) -> tuple[tuple, tuple]:
        """Navigation and detector part of a key, of full length."""
        at = next((i for i, k in enumerate(key) if k is Ellipsis), None)
        if at is not None:
            key = key[:at] + (slice(None),) * (self.ndim - len(key) + 1) + key[at + 1 :]
        key += (slice(None),) * (self.ndim - len(key))
        return key[: self.ndim - 2], key[self.ndim - 2 :]


def _one_place(key: Any, size: int) -> int | None:
    """The index that an index or a slice stands for, None where it is not one."""
    if isinstance(key, slice):
        found = range(*key.indices(size))
        return found[0] if len(found) == 1 else None
    if isinstance(key, (int, np.integer)) and -size <= key < size:
        return int(key) % size
    return None


@needs_signal
def to_napari(signal: BaseSignal, viewer: Any = None, **options: Any) -> Any:
    """Show a signal in napari: patterns with sliders for the scan, or a picture.

    Of a sparse signal, napari reads the frame that it shows. Give a virtual image a viewer of its own, as its axes are
    others.

    Parameters
    ----------
    signal : hyperspy signal
    viewer : napari.Viewer, optional
        A new one by default.
    **options
        For napari's ``add_image``, such as ``colormap``.

    Returns
    -------
    napari.layers.Image
        With the scale, offset, name and unit of each axis. Its contrast is that of the frame with the most electrons
        where that is known, else of the one in the middle.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.disks()
    >>> hyperspy_sparse.interop.arrays.to_napari(s, colormap="magma")  # doctest: +SKIP
    """
    if viewer is not None and not hasattr(viewer, "add_image"):
        raise TypeError(f"viewer={shown(viewer)}: expected a viewer of napari, or None for a new one.")
    data = FrameView(signal) if has_sparse_chunks(signal) else signal.data
    axes = signal.axes_manager
    ordered = (*axes.navigation_axes[::-1], *axes.signal_axes[::-1])
    require_uniform(ordered, "napari")
    about = {
        "name": signal.metadata.General.title or "frames",
        "scale": [axis.scale for axis in ordered],
        "translate": [axis.offset for axis in ordered],
        "axis_labels": [str(axis.name) for axis in ordered],
        "metadata": {"hyperspy": signal.metadata.as_dictionary()},
    }
    if isinstance(data, FrameView):
        about["contrast_limits"] = (0, max(1, data[_brightest(signal)].max()))
    if viewer is None:
        import napari  # not a dependency

        viewer = napari.Viewer()
    layer = viewer.add_image(data, **{**about, **options})
    if "units" not in options:
        _set_units(layer, ordered)
    return layer


def _brightest(signal: BaseSignal) -> tuple[int, ...]:
    """Indices of the frame to take the contrast from."""
    shape = signal.data.shape[:-2]
    navigator = getattr(signal, "navigator", None)
    counts = getattr(navigator, "data", None)
    if isinstance(counts, np.ndarray) and counts.shape == shape:
        return tuple(int(i) for i in np.unravel_index(counts.argmax(), shape))
    return tuple(n // 2 for n in shape)


# napari knows units by pint, which does not know HyperSpy's TeX
_UNITS = {"": "pixel", "px": "pixel", "$A^{-1}$": "1/angstrom", "A^-1": "1/angstrom", "1/A": "1/angstrom"}


def _set_units(layer: Any, axes: Sequence) -> None:
    """Units as far as napari knows them; else it shows pixels."""
    units = [axis.units if isinstance(axis.units, str) else "" for axis in axes]
    try:
        for unit in units:
            # pint computes what it is given, m**9**9**9 too: it gets units of our table only
            if unit not in _UNITS:
                parse_unit(unit)
        layer.units = tuple(_UNITS.get(unit, unit) for unit in units)
    except (ValueError, AttributeError, TypeError) as error:  # what pint raises for text that is not a unit
        _logger.info(f"napari does not know a unit of the axes: {error}")
