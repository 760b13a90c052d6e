"""Telling a signal about its microscope: metadata checked by the one table, and axes calibrated from them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from hyperspy_sparse.arguments import are_uniform, require_uniform
from rsciio_tpx3.exceptions import ConflictError, UnitError
from rsciio_tpx3.metadata import calibration
from rsciio_tpx3.metadata.mapping import LEAVES, missing
from rsciio_tpx3.metadata.merge import display
from rsciio_tpx3.metadata.user_input import read_mapping, read_tree
from rsciio_tpx3.utils.units import shown, to_plain

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal

    from rsciio_tpx3.metadata.values import SourceValues


__all__ = ["beam_disk", "set_microscope"]

_logger = logging.getLogger(__name__)


def set_microscope(
    signal: BaseSignal,
    metadata: dict | None = None,
    calibrate: str = "auto",
    center: str | tuple | None = None,
    **quantities: Any,
) -> BaseSignal:
    """Set microscope and detector quantities of a signal, and calibrate its axes by them, in place.

    Parameters
    ----------
    signal : hyperspy.api.signals.BaseSignal
        Two signal axes; sparse or not.
    metadata : dict, optional
        Quantities by name, as for ``hs.load(..., metadata=...)``.
    calibrate : {"auto", "angle", "k", None}
        Detector axes in mrad or 1/nm; "auto" keeps the kind that they have, or takes mrad. None leaves all axes.
    center : {"detector", "beam"} or (float, float), optional
        Where the undiffracted beam is: the middle of the detector, the brightest compact part of the sum pattern
        (one pass over the data), or ``(x, y)`` in pixels of the detector, also where data are binned. What the axes
        say already by default.
    **quantities
        Single ones, such as ``camera_length="100 mm"``; None forgets one.

    Returns
    -------
    The same signal.

    Raises
    ------
    UnitError
        For a quantity without a unit, with a wrong one, or outside physical sense.
    ValueError
        For an unknown quantity, or one that reading finds and nobody can set.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.disks()
    >>> s = hyperspy_sparse.set_microscope(s, beam_energy="200 keV", camera_length="100 mm", pixel_pitch="55 um")
    >>> s.axes_manager.signal_axes[0].units
    'mrad'
    """
    calibration.check_choice(calibrate)
    if not hasattr(signal, "axes_manager") or signal.axes_manager.signal_dimension != 2:
        raise TypeError(f"set_microscope: expected a signal with two signal axes, found {shown(signal)}.")
    if not isinstance(metadata, (dict, type(None))):
        raise TypeError(
            f"metadata={shown(metadata)}: expected a dictionary such as {{'camera_length': '100 mm'}}. Files are read "
            "by hs.load(..., metadata=...)."
        )
    forgotten = [name for name, value in quantities.items() if value is None]
    requested = read_mapping({**(metadata or {}), **quantities}, "set_microscope")
    unknown = [*requested.original, *(name for name in forgotten if name not in LEAVES)]
    if unknown:
        raise ValueError(
            f"set_microscope: {unknown[0]!r} is not a quantity that can be set; those are "
            f"{', '.join(name for name, row in LEAVES.items() if 'user' in row.sources and not row.steers)}."
        )
    steering = [name for name in requested.values if LEAVES[name].steers]
    if steering:
        raise ValueError(f"set_microscope: {steering[0]} was applied while reading. Load again with it as an option.")
    renew = set(requested.values) | set(forgotten)
    before = read_tree(signal.metadata.as_dictionary(), "the signal", "recording").values
    if center is not None:
        requested.values["center_x"], requested.values["center_y"] = _center(signal, center, before)
        renew |= {"center_x", "center_y"}
    axes, plain, made, note = _calibrated(signal, requested, forgotten, calibrate, renew, before)
    _store(signal.metadata, requested, forgotten, calibrate)
    # Only what differs is set: HyperSpy triggers an event for each, and plots are drawn again.
    for axis, old, new in zip(axes, plain, made):
        for key in ("scale", "offset", "units"):
            if new[key] != old[key]:
                setattr(axis, key, new[key])
    if note is not None:
        signal.metadata.set_item(LEAVES["calibrated_axes"].leaf, note)
    return signal


def _center(signal: BaseSignal, center: str | tuple, before: dict) -> tuple[float, ...]:
    """(x, y) in pixels of the detector, however many of them a step of the axes is."""
    require_uniform(signal.axes_manager.signal_axes, "set_microscope(center=...)")
    if isinstance(center, str) and center in ("detector", "beam"):
        steps = _middle(signal) if center == "detector" else _beam(signal)
        places = zip(_plain(signal)[:-3:-1], steps, ("center_x", "center_y"))
        found = [(*calibration.detector_pixels(axis, before, name), step) for axis, step, name in places]
        # NaN: cropping after the zero was moved cannot be distinguished from a move of the zero.
        if not np.isfinite([first for _, first, _ in found]).all():
            raise ConflictError(
                f"center={center!r}: the zero of the axes was moved and they were cropped since they were calibrated, "
                "so it is not known which pixels of the detector are left. Set the offsets of the axes themselves."
            )
        return tuple(first + step * pixels for pixels, first, step in found)
    pair = center.tolist() if isinstance(center, np.ndarray) else center
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(f"center={shown(center)} is not valid: must be one of 'detector', 'beam', (x, y) in pixels.")
    return tuple(to_plain(number, "px", "center", "(127.5, 127.5)")[0] for number in pair)


def _middle(signal: BaseSignal) -> tuple[float, ...]:
    return tuple((n - 1) / 2 for n in signal.axes_manager.signal_shape)


def _beam(signal: BaseSignal) -> tuple[float, ...]:
    total = signal.sum(axis=signal.axes_manager.navigation_axes) if signal.axes_manager.navigation_size else signal
    if total._lazy:
        total.compute(show_progressbar=False)
    return beam_disk(np.asarray(total.data, float))[0]


def _store(metadata: Any, requested: SourceValues, forgotten: list[str], calibrate: str | None) -> None:
    # the wavelength stands and falls with the energy it was made from
    for name in [*forgotten, *("wavelength",) * ("beam_energy" in forgotten)]:
        for ending in ("", "_units", "_errors"):
            _forget(metadata, LEAVES[name].leaf + ending)
    for name, value in requested.values.items():
        leaf, unit = LEAVES[name].leaf, LEAVES[name].unit
        metadata.set_item(leaf, value)
        if unit is not None:
            metadata.set_item(f"{leaf}_units", unit)
        if name in requested.errors:
            metadata.set_item(f"{leaf}_errors", requested.errors[name])
        else:
            _forget(metadata, f"{leaf}_errors")
        _logger.info(f"{name}: {display(name, value, requested.errors.get(name))}")
    if "beam_energy" in requested.values and calibrate is not None:
        row = LEAVES["wavelength"]
        metadata.set_item(row.leaf, calibration.wavelength(requested.values["beam_energy"]) * 1e10)
        metadata.set_item(f"{row.leaf}_units", row.unit)


def _forget(metadata: Any, leaf: str) -> None:
    if metadata.has_item(leaf):
        node, _, last = leaf.rpartition(".")
        delattr(metadata.get_item(node), last)


def _calibrated(
    signal: BaseSignal,
    requested: SourceValues,
    forgotten: list[str],
    calibrate: str | None,
    renew: set[str],
    before: dict,
) -> tuple:
    """HyperSpy's axes, what they are, what they become, and the note about it; nothing is changed yet."""
    axes, plain = signal.axes_manager._axes, _plain(signal)
    if calibrate is None:
        return axes, plain, plain, None
    if not are_uniform(axes):
        _logger.warning("Axes that are not uniform keep the calibration that they have, and so do all others.")
        return axes, plain, plain, None
    values = {name: value for name, value in {**before, **requested.values}.items() if name not in forgotten}
    if calibrate == "auto" and _keeps_reciprocal(plain[-1], before) and values.get("beam_energy") is not None:
        calibrate = "k"
        renew = renew or {"beam_energy"}
    return axes, plain, *calibration.with_note(plain, values, calibrate, renew, before)


def _keeps_reciprocal(axis: Any, before: dict) -> bool:
    """Whether an axis is in reciprocal space by quantities that are known; other scales say nothing of ours."""
    try:
        if calibration.axis_kind(axis) != "k":
            return False
    except UnitError:
        return False
    return "nm" in axis["units"] or not missing(before, "k axes")


def _plain(signal: BaseSignal) -> list[dict]:
    """The axes in NumPy order as RosettaSciIO has them."""
    return [
        {
            "name": axis.name,
            # an axis that is not uniform has none
            "scale": getattr(axis, "scale", None),
            "offset": getattr(axis, "offset", None),
            "units": axis.units if isinstance(axis.units, str) else "",
            "size": axis.size,
        }
        for axis in signal.axes_manager._axes
    ]


def beam_disk(pattern: np.ndarray) -> tuple[tuple[float, float], float]:
    """Centre (x, y) and radius of the direct beam: the brightest compact part of a pattern.

    Parameters
    ----------
    pattern : numpy.ndarray of float, shape (y, x)

    Returns
    -------
    (float, float), float
        Pixels.
    """
    smooth = ndimage.gaussian_filter(pattern, 1.5)
    labels, _ = ndimage.label(smooth > 0.5 * smooth.max())
    disk = labels == labels[np.unravel_index(np.argmax(smooth), smooth.shape)]
    y, x = ndimage.center_of_mass(disk)
    return (float(x), float(y)), max(2.0, float(np.sqrt(disk.sum() / np.pi)) * 1.1)
