"""A loaded signal in LiberTEM, py4DSTEM and quantem, and LiberTEM's results as signals.

Each function imports the program that it is for: none of them is a dependency.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from hyperspy.signals import BaseSignal, Signal2D

from hyperspy_sparse.arguments import described, needs_signal, require_uniform
from hyperspy_sparse.phase_contrast.image import computed_images, stack_and_optics
from hyperspy_sparse.twins import has_sparse_chunks
from rsciio_tpx3.csr import memory_limit
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.metadata.calibration import axis_kind, check_uniform, in_unit
from rsciio_tpx3.raw_csr import RawCsrSource, file_writer
from rsciio_tpx3.utils.checks import check_flag
from rsciio_tpx3.utils.integers import is_whole
from rsciio_tpx3.utils.units import parse_unit, shown

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal

    from rsciio_tpx3.frames.source import FrameSource


__all__ = ["run_udf", "to_libertem", "to_py4dstem", "to_quantem", "to_quantem_direct"]


@needs_signal
def to_libertem(signal: BaseSignal, context: Any) -> Any:
    """A LiberTEM data set of a sparse signal; LiberTEM gets the counts as CSR.

    A signal that was loaded from a raw_csr file, and nothing done to it, is opened from that file. Any
    other is streamed into a temporary one first, which goes when the data set does: so LiberTEM's
    workers map what they need, and memory holds a few chunks.

    Parameters
    ----------
    signal : a signal of `hyperspy_sparse.signals`
    context : libertem.api.Context

    Returns
    -------
    libertem.io.dataset.base.DataSet
        Shape nav_shape + (height, width), in NumPy order.

    Raises
    ------
    ValueError
        If the signal's chunks are not sparse, or it has no counts at all: LiberTEM maps no empty file.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> import libertem.api as lt  # doctest: +SKIP
    >>> with lt.Context.make_with("inline") as context:  # doctest: +SKIP
    ...     data = hyperspy_sparse.interop.arrays.to_libertem(hyperspy_sparse.data.disks(), context)
    """
    _need_sparse(signal)
    path, folder = _raw_csr_path(source_of(signal.data)), None
    if path is None:
        path, folder = _temporary(signal)
    shape = {"nav_shape": signal.data.shape[:-2], "sig_shape": signal.data.shape[-2:]}
    data = context.load("raw_csr", path=path, **shape)
    if folder is not None:
        weakref.finalize(data, folder.cleanup)
    return data


def _raw_csr_path(source: FrameSource | None) -> str | None:
    whole = isinstance(source, RawCsrSource) and source.sync_offset == 0
    return source.path if whole and source.n_rows == np.prod(source.nav_shape) else None


def _temporary(signal: BaseSignal) -> tuple[str, tempfile.TemporaryDirectory]:
    folder = tempfile.TemporaryDirectory(prefix="hyperspy_sparse_")
    path = os.path.join(folder.name, "frames.toml")
    # small types stay small: nobody but LiberTEM reads it
    file_writer(path, signal._to_dictionary(), compact=True, show_progressbar=False)
    return path, folder


def _need_sparse(signal: BaseSignal) -> None:
    """Refuse what LiberTEM could not get as CSR."""
    if not has_sparse_chunks(signal):
        raise ValueError(f"{signal} is not a sparse signal. Make it one with hyperspy_sparse.to_sparse(signal).")


@needs_signal
def run_udf(
    signal: BaseSignal, udf: Any, context: Any = None, roi: np.ndarray | None = None, progress: bool = False
) -> dict[str, Any]:
    """Run a LiberTEM user-defined function on a sparse signal.

    Parameters
    ----------
    signal : a signal of `hyperspy_sparse.signals`
    udf : libertem.udf.UDF
    context : libertem.api.Context, optional
        One that works in this process by default.
    roi : numpy.ndarray of bool, shape nav_shape, optional
        Positions to run on; the others are NaN, or 0 in integers.
    progress : bool
        Show LiberTEM's bar.

    Returns
    -------
    dict of str to hyperspy.api.signals.BaseSignal or numpy.ndarray
        By the names of the UDF's buffers: with the navigation axes of the signal for one value per position,
        with its detector axes for one value per pixel, an array for anything else.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> from libertem.udf.sum import SumUDF  # doctest: +SKIP
    >>> s = hyperspy_sparse.data.disks()
    >>> hyperspy_sparse.interop.arrays.run_udf(s, SumUDF())["intensity"]  # doctest: +SKIP
    <Signal2D, title: Simulated disks, dimensions: (|32, 32)>
    """
    import libertem.api as lt
    from libertem.udf.base import UDF

    _need_sparse(signal)
    if not isinstance(udf, UDF):
        raise TypeError(f"udf={shown(udf)}: expected an object of a UDF of LiberTEM, such as SumUDF().")
    if context is not None and not isinstance(context, lt.Context):
        raise TypeError(f"context={shown(context)}: expected a context of LiberTEM, or None for one in this process.")
    check_flag("progress", progress)
    roi = _checked_roi(roi, signal.data.shape[:-2])
    with contextlib.ExitStack() as stack:
        if context is None:
            context = stack.enter_context(lt.Context.make_with("inline"))
        found = context.run_udf(to_libertem(signal, context), udf, roi=roi, progress=progress)
        return {name: _as_signal(signal, buffer) for name, buffer in found.items()}


def _checked_roi(roi: Any, nav_shape: tuple[int, ...]) -> Any:
    """Positions to run on; those that LiberTEM takes in forms of its own are handed on."""
    if roi is None:
        return None
    found = roi if hasattr(roi, "shape") and hasattr(roi, "dtype") else _array_or_none(roi)
    if found is None or found.dtype != bool or tuple(found.shape) != tuple(nav_shape):
        raise ValueError(f"roi={shown(roi)}: expected an array of bool of the shape {tuple(nav_shape)} of the scan.")
    return found


def _array_or_none(value: Any) -> np.ndarray | None:
    try:
        return np.asarray(value)
    except (ValueError, TypeError):  # a list of lists of unlike lengths
        return None


def _as_signal(signal: BaseSignal, buffer: Any) -> Any:
    axes = signal.axes_manager
    values = np.asarray(buffer.data)
    if buffer.kind == "nav":
        return _new(signal, values, axes.navigation_axes[::-1])
    if buffer.kind == "sig":
        return _new(signal, values, axes.signal_axes[::-1])
    return values


def _new(signal: BaseSignal, values: np.ndarray, axes: Any) -> BaseSignal:
    """A signal with these axes; further axes of the values are signal axes after them."""
    extra = values.shape[len(axes) :]
    if not extra and len(axes) >= 2:
        new = Signal2D(values, axes=[described(axis, navigate=i < len(axes) - 2) for i, axis in enumerate(axes)])
    else:
        own = [described(axis, navigate=bool(extra)) for axis in axes]
        new = BaseSignal(values, axes=own + [{"size": n, "navigate": False} for n in extra])
    new.metadata.General.title = signal.metadata.General.title
    return new


@needs_signal
def to_py4dstem(signal: BaseSignal) -> Any:
    """A py4DSTEM DataCube of a signal: dense, with its calibration.

    Crop or bin first where the whole is too large: ``to_py4dstem(s.inav[10:50, 10:50])``.

    Parameters
    ----------
    signal : hyperspy signal with two navigation and two signal axes

    Returns
    -------
    py4DSTEM.DataCube
        Data of shape ``(y, x, ky, kx)``; scales and units of the first scan and detector axis, as
        py4DSTEM has one each.

    Raises
    ------
    DenseMemoryError
        If the dense data would exceed the limit of `hyperspy_sparse.set_limit`.
    ValueError
        If the signal has not two and two axes, scales that differ between x and y, or detector axes in a unit that
        py4DSTEM does not know.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> cube = hyperspy_sparse.interop.arrays.to_py4dstem(hyperspy_sparse.data.disks())  # doctest: +SKIP
    """
    axes = _four_axes(signal, "a DataCube")
    for pair in (axes.navigation_axes, axes.signal_axes):
        if not np.isclose(abs(pair[0].scale), abs(pair[1].scale), rtol=1e-6):
            raise ValueError(
                f"scales {pair[0].scale} and {pair[1].scale} of {pair[0].name!r} and {pair[1].name!r} differ; a "
                "DataCube has one for both. Rebin the signal, or set the scales."
            )
    scan, detector = (_in_their_units(pair[0]) for pair in (axes.navigation_axes, axes.signal_axes))
    if detector[2] not in _PY4DSTEM_UNITS:
        raise ValueError(
            f"py4DSTEM knows detector axes in {', '.join(_PY4DSTEM_UNITS)}; these are in {detector[2]!r}. Calibrate "
            "them by hyperspy_sparse.set_microscope, or set their scale and units."
        )
    data = _dense(signal, "to_py4dstem")
    from py4DSTEM import DataCube

    cube = DataCube(data=data, name=signal.metadata.General.title or "datacube")
    cube.calibration.set_R_pixel_size(abs(scan[0]))
    cube.calibration.set_R_pixel_units(scan[2])
    cube.calibration.set_Q_pixel_size(abs(detector[0]))
    cube.calibration.set_Q_pixel_units(detector[2])
    return cube


@needs_signal
def to_quantem(signal: BaseSignal) -> Any:
    """A quantem Dataset4dstem of a signal: dense, with its calibration.

    Crop or bin first where the whole is too large: ``to_quantem(s.inav[10:50, 10:50])``.

    Parameters
    ----------
    signal : hyperspy signal with two navigation and two signal axes

    Returns
    -------
    quantem.core.datastructures.Dataset4dstem
        Data of shape ``(y, x, ky, kx)`` with the scale, offset and unit of each axis.

    Raises
    ------
    DenseMemoryError
        If the dense data would exceed the limit of `hyperspy_sparse.set_limit`.
    ValueError
        If the signal has not two and two axes.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> data = hyperspy_sparse.interop.arrays.to_quantem(hyperspy_sparse.data.disks())  # doctest: +SKIP
    """
    axes = _four_axes(signal, "a Dataset4dstem")
    data = _dense(signal, "to_quantem")
    from quantem.core.datastructures import Dataset4dstem

    ordered = (*axes.navigation_axes[::-1], *axes.signal_axes[::-1])
    scales = [_in_their_units(axis) for axis in ordered]
    return Dataset4dstem.from_array(
        data,
        name=signal.metadata.General.title or None,
        origin=[offset for _, offset, _ in scales],
        sampling=[scale for scale, _, _ in scales],
        units=[unit for _, _, unit in scales],
        signal_units=signal.metadata.get_item("Signal.quantity", "Counts"),
    )


@needs_signal
def to_quantem_direct(
    signal: BaseSignal,
    across: int = 15,
    *,
    aberrations: dict | None = None,
    rotation: str | None = None,
    flip: bool | None = None,
    center: tuple[float, float] | None = None,
    radius: float | None = None,
    show_progressbar: bool | None = None,
) -> Any:
    """quantem's direct ptychography of a scan, from tilted images: no dense 4D array is made.

    Parameters
    ----------
    signal : one of the sparse signal classes
        With what `hyperspy_sparse.phase` needs in its metadata.
    across : int
        Groups along the diameter of the disk, an odd number: quantem's pixels have one in the middle.
    aberrations, rotation, flip, center, radius, show_progressbar
        As in `hyperspy_sparse.phase`. Of the aberrations quantem gets C10; it fits others itself.

    Returns
    -------
    quantem.diffractive_imaging.direct_ptychography.DirectPtychography
        Ready to `reconstruct`. Counts are divided by their mean over all groups, not by that of each image.

    Raises
    ------
    ValueError
        If `across` is even, the scan is turned against the detector, or the metadata lack something.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.phase_object()
    >>> found = hyperspy_sparse.interop.to_quantem_direct(s)  # doctest: +SKIP
    >>> found.reconstruct(deconvolution_kernel="ssb")  # doctest: +SKIP
    """
    about = direct_arguments(signal, across, aberrations, rotation, flip, show_progressbar, center, radius)
    from quantem.core.datastructures import Dataset2d, Dataset3d
    from quantem.diffractive_imaging.direct_ptychography import DirectPtychography

    images = Dataset3d.from_array(about["images"], units=("index", "A", "A"), sampling=(1, *about["step"]))
    mask = Dataset2d.from_array(about["mask"], units=("mrad", "mrad"), sampling=(about["pixel"],) * 2)
    return DirectPtychography.from_virtual_bfs(
        images,
        mask,
        energy=about["energy"],
        rotation_angle=0.0,
        aberration_coefs=about["aberrations"],
        semiangle_cutoff=about["semiangle"],
        verbose=False,
    )


def direct_arguments(
    signal: BaseSignal,
    across: int,
    aberrations: Any,
    rotation: Any,
    flip: Any,
    show_progressbar: bool | None,
    center: Any = None,
    radius: Any = None,
) -> dict:
    """Arguments of quantem's direct ptychography, as plain arrays and numbers.

    Its detector has its origin in the corner, as after ``ifftshift``; images are in the order of the mask's pixels.
    """
    if not is_whole(across, 1) or int(across) % 2 == 0:
        raise ValueError(f"across={shown(across)}: expected an odd number of groups along a diameter, such as 15.")
    what = "to_quantem_direct"
    stack, groups, optics = stack_and_optics(signal, what, across, center, radius, aberrations, rotation, flip)
    images = computed_images(stack, show_progressbar).astype(np.float32)
    side = 4 * int(max(np.abs(groups.row).max(), np.abs(groups.column).max()) + 1)
    if optics.rotation % 360 != 0:
        raise ValueError(
            f"to_quantem_direct: the scan is turned by {optics.rotation:g} deg against the detector, and it is not "
            "established which way quantem counts that. Use hyperspy_sparse.phase, which is tested for it."
        )
    row = -groups.row if optics.flip else groups.row
    place = (row % side) * side + groups.column % side
    mask = np.zeros(side * side, bool)
    mask[place] = True
    images = images[np.argsort(place)]
    return {
        "images": images / (images.sum(dtype=np.float64) / images[0].size),
        "mask": mask.reshape(side, side),
        "pixel": groups.width * optics.pixel_angle,
        "step": tuple(10 * step for step in optics.scan_step),
        "energy": optics.beam_energy * 1e3,
        "semiangle": optics.semi_angle,
        "aberrations": {"C10": 10 * optics.aberrations.get("C10", 0.0)},
    }


def _four_axes(signal: BaseSignal, what: str) -> Any:
    axes = signal.axes_manager
    require_uniform(axes._axes, what[0].upper() + what[1:])
    if axes.navigation_dimension != 2 or axes.signal_dimension != 2:
        raise ValueError(
            f"{signal} has not two navigation and two signal axes, as {what} needs. Take one frame of several, "
            "such as s.inav[:, :, 0], or add them up: s.sum(axis=-1)."
        )
    return axes


def _dense(signal: BaseSignal, caller: str) -> np.ndarray:
    """The data as one array, within the memory limit."""
    data = signal.data
    if hasattr(data, "compute"):
        memory_limit.check(data.shape, data.dtype, caller)
        data = np.asarray(data.compute())
    return data


_PY4DSTEM_UNITS = ("pixels", "A^-1", "mrad")
# kind of an axis: a unit of its dimension that we read, and how py4DSTEM and quantem spell it, who compare text
_THEIRS = {"k": ("1/angstrom", "A^-1"), "length": ("nm", "nm"), "angle": ("mrad", "mrad")}


def _in_their_units(axis: Any) -> tuple[float, float, str]:
    """Scale, offset and unit of an axis: reciprocal lengths in 1/angstrom, lengths in nm; angles as they are."""
    about = {key: getattr(axis, key, None) for key in ("name", "scale", "offset", "units")}
    about["units"] = about["units"] if isinstance(about["units"], str) else ""
    check_uniform(about, "the other program has a scale for each axis")
    kind = axis_kind(about)
    if kind == "pixels":
        return axis.scale, axis.offset, "pixels"
    if kind not in _THEIRS:
        return axis.scale, axis.offset, about["units"]
    ours, theirs = _THEIRS[kind]
    if parse_unit(about["units"]) == parse_unit(ours):
        return axis.scale, axis.offset, theirs
    if kind == "angle":
        return axis.scale, axis.offset, about["units"]  # py4DSTEM's users choose: it is refused by name
    factor = in_unit({**about, "scale": 1.0}, ours)
    return axis.scale * factor, axis.offset * factor, theirs
