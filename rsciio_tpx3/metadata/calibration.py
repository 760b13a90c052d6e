"""Calibrated axes: scales of the detector in angles or reciprocal lengths, those of the scan in lengths.

The scale of a pixel is found in `rsciio_tpx3.metadata.scales`, and how many pixels a step of an axis is, and which, in
`rsciio_tpx3.metadata.axis_history`; their public names are here too.
"""

from __future__ import annotations

import math

from rsciio_tpx3.exceptions import ConflictError, UnitError
from rsciio_tpx3.metadata.axis_history import (
    calibration_note,
    detector_pixels,
    noted_of,
    place_from_note,
    ratio_to_note,
    scan_positions,
)
from rsciio_tpx3.metadata.scales import (
    CALIBRATIONS,
    PLAIN_UNITS,
    axis_kind,
    check_choice,
    check_uniform,
    detector_scale,
    in_unit,
    wavelength,
)

__all__ = [
    "CALIBRATIONS",
    "axis_kind",
    "calibrated_axes",
    "calibration_note",
    "check_choice",
    "check_uniform",
    "detector_pixels",
    "detector_scale",
    "in_unit",
    "scan_positions",
    "wavelength",
    "with_note",
]


def calibrated_axes(
    axes: list[dict],
    values: dict,
    calibrate: str | None = "auto",
    renew: set[str] | tuple[str, ...] = (),
    before: dict | None = None,
) -> list[dict]:
    """Axes with scales, where they are known; the others as they are.

    A step of an axis need not be one pixel or position: data may be binned, or divided more finely. An axis in
    pixels says so by its scale; one that has been calibrated before, by the quantities of `before`.

    Parameters
    ----------
    axes : list of dict
        RosettaSciIO axes in NumPy order; the last two are the detector.
    values : dict
        Plain values in the table's units: `scan_step_x`, `scan_step_y`, `center_x`, `center_y` (in detector pixels),
        and those of `detector_scale`.
    calibrate : {"auto", "angle", "k", None}
    renew : container of str
        Quantities stated anew: an axis that has a scale already is changed only because of them.
    before : dict, optional
        The values by which axes were calibrated before; `values` by default.

    Returns
    -------
    list of dict

    Raises
    ------
    UnitError, ConflictError
        As `detector_pixels`, for an axis that would be changed.
    """
    return with_note(axes, values, calibrate, renew, before)[0]


def with_note(
    axes: list[dict],
    values: dict,
    calibrate: str | None = "auto",
    renew: set[str] | tuple[str, ...] = (),
    before: dict | None = None,
) -> tuple[list[dict], str | None]:
    """`calibrated_axes`, and the note about them; None where no axis was changed."""
    old = axes
    axes = [dict(axis) for axis in axes]
    before = values if before is None else before
    if calibrate is None:
        return axes, None
    places = [None] * len(axes)
    for i, axis in enumerate(axes[:-2]):
        if axis.get("name") in ("x", "y"):
            places[i] = _calibrate_scan(axis, values, before, f"scan_step_{axis['name']}" in renew)
    scale = detector_scale(values, calibrate)
    about = {"camera_length", "pixel_pitch", "beam_energy", "center_x", "center_y"} & set(renew)
    for i, name in zip(range(len(axes))[-2:], ("center_y", "center_x")):
        axis = axes[i]
        plain = axis.get("units") in PLAIN_UNITS
        known = scale is not None and (plain or calibrate != "auto" or about)
        requested = name in renew and values.get(name) is not None
        if known or requested:
            places[i] = detector_pixels(axis, before, name)
            _calibrate_detector(axis, scale if known else None, values.get(name), requested, places[i])
    if axes == old:
        return axes, None
    return axes, calibration_note(axes, [p or _known_place(a, before) for a, p in zip(axes, places)])


def _known_place(axis: dict, before: dict) -> tuple | None:
    """Of an axis that was not changed: the note about it still holds, for what it is now."""
    found = noted_of(before, axis)
    if not found or axis.get("scale") is None:
        return None
    try:
        ratio = ratio_to_note(axis, axis_kind(axis), *found, before)
        return place_from_note(axis, found[0], ratio) if ratio else None
    except UnitError:
        return None


def _calibrate_scan(axis: dict, values: dict, before: dict, anew: bool) -> tuple | None:
    """Positions in nm; an axis with a length is stretched from the old step to the new one."""
    step = values.get(f"scan_step_{axis['name']}")
    plain = axis.get("units") in PLAIN_UNITS
    if step is None or not (plain or (anew and axis_kind(axis) == "length")):
        return None
    known = before.get(f"scan_step_{axis['name']}") is not None or noted_of(before, axis)
    # a scale that nobody has stated a step for is taken to be that of one position
    positions = scan_positions(axis, before) if plain or known else math.copysign(1.0, axis["scale"])
    zero = axis["offset"] / axis["scale"]
    axis.update(scale=step * positions, offset=zero * step * positions, units="nm")
    return positions, zero * positions


def _calibrate_detector(
    axis: dict,
    scale: tuple[float, str] | None,
    center: float | None,
    center_is_new: bool,
    place: tuple | None,
) -> None:
    """Angle or reciprocal length from the beam; `center` in pixels of the whole detector.

    Without a scale the axis keeps its own, and is moved only.
    """
    pixels, first = place
    plain = axis.get("units") in PLAIN_UNITS
    if plain and center is None:
        center = first + (axis["size"] - 1) / 2 * pixels
    # an axis with a scale may have been cropped since, or centred by other means
    keep = not (plain or (center_is_new and center is not None))
    if not (keep or math.isfinite(first)):
        raise ConflictError(
            f"axis {axis['name']!r}: its zero was moved and the axis cropped since it was calibrated, so "
            "which pixels of the detector are left is unknown. Set the offset of the axis itself, or state the "
            "centre before cropping."
        )
    zero = axis["offset"] / axis["scale"] if keep else (first - center) / pixels
    if scale is None:
        number, unit = axis["scale"] / pixels, axis["units"]
    else:
        number, unit = scale
        # the kind that was requested, in the unit that the axis has of it
        if not plain and axis_kind(axis) == axis_kind({"units": unit}):
            number, unit = in_unit({"scale": number, "units": unit}, axis["units"]), axis["units"]
    axis.update(scale=number * pixels, offset=zero * number * pixels, units=unit)
