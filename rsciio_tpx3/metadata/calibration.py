"""From camera length, pixel pitch and beam energy to scales of the detector axes; from scan steps to those of the scan.

Scales hold at the axis and are the ones that pyXem turns back into the same camera length
(``Calibration.set_camera_length_from_calibration``): an angle of ``atan(pitch / camera length)`` a pixel, or
``pitch / (camera length * wavelength)`` in reciprocal space. Along a flat detector the tangent of the angle is
linear, not the angle: 50 mrad off the axis the angle is 0.08 % smaller than the axis says, at 100 mrad 0.3 %.
"""

import math

from rsciio_tpx3.metadata.mapping import missing

__all__ = ["CALIBRATIONS", "calibrated_axes", "check_choice", "detector_pixels", "detector_scale", "wavelength"]

CALIBRATIONS = ("auto", "angle", "k", None)


def wavelength(beam_energy):
    """Relativistic wavelength of an electron.

    ``h / sqrt(2 m e U (1 + e U / (2 m c^2)))``; Williams and Carter, Transmission Electron Microscopy, eq. 1.6.

    Parameters
    ----------
    beam_energy : float
        keV.

    Returns
    -------
    float
        m.

    Examples
    --------
    >>> from rsciio_tpx3.metadata.calibration import wavelength
    >>> round(wavelength(200) * 1e12, 3)
    2.508
    """
    # imported here: most calls of the reader need no constants
    from scipy.constants import c, e, h, m_e

    energy = beam_energy * 1e3 * e
    return h / math.sqrt(2 * m_e * energy * (1 + energy / (2 * m_e * c**2)))


def check_choice(calibrate):
    """Refuse what is no way of calibration."""
    if calibrate not in CALIBRATIONS:
        raise ValueError(f"calibrate={calibrate!r} is none of 'auto', 'angle' (mrad), 'k' (1/nm), None.")


def detector_scale(values, calibrate="auto"):
    """Scale of a detector pixel.

    Parameters
    ----------
    values : dict
        `camera_length` and `pixel_pitch` in m, `beam_energy` in keV, as far as known.
    calibrate : {"auto", "angle", "k", None}
        "auto" takes the angle where camera length and pitch are known.

    Returns
    -------
    (float, str) or None
        Scale and its unit, "mrad" or "nm^-1"; None where it is not known or not wanted.

    Raises
    ------
    ValueError
        If a way is asked for by name and something that it needs is absent.
    """
    check_choice(calibrate)
    lacking = _missing(values, calibrate)
    if calibrate is None or (lacking and calibrate == "auto"):
        return None
    if lacking:
        raise ValueError(
            f"calibrate={calibrate!r} needs {' and '.join(lacking)}, which no source tells. Pass for example "
            "metadata={'camera_length': '100 mm', 'beam_energy': '200 keV'}."
        )
    ratio = values["pixel_pitch"] / values["camera_length"]
    if calibrate == "k":
        return ratio / wavelength(values["beam_energy"]) * 1e-9, "nm^-1"
    return math.atan(ratio) * 1e3, "mrad"


def calibrated_axes(axes, values, calibrate="auto", renew=(), before=None):
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
        Quantities told anew: an axis that has a scale already is changed only because of them.
    before : dict, optional
        The values by which axes were calibrated before; `values` by default.

    Returns
    -------
    list of dict
    """
    axes = [dict(axis) for axis in axes]
    before = values if before is None else before
    if calibrate is None:
        return axes
    for name in ("x", "y"):
        _calibrate_scan(_named(axes, name), values.get(f"scan_step_{name}"), before.get(f"scan_step_{name}"),
                        f"scan_step_{name}" in renew)  # fmt: skip
    scale = detector_scale(values, calibrate)
    about = {"camera_length", "pixel_pitch", "beam_energy", "center_x", "center_y"} & set(renew)
    for axis, name in zip(axes[-2:], ("center_y", "center_x")):
        known = scale is not None and (_is_plain(axis) or calibrate != "auto" or about)
        told = name in renew and values.get(name) is not None
        if known or told:
            place = detector_pixels(axis, before, name)
            _calibrate_detector(axis, scale if known else None, values.get(name), told, place)
    return axes


def detector_pixels(axis, values, name):
    """Which pixels of the whole detector the steps of a detector axis are.

    Parameters
    ----------
    axis : dict
        RosettaSciIO axis.
    values : dict
        By which the axis was made, as for `calibrated_axes`.
    name : {"center_x", "center_y"}
        Which of them is the centre along this axis.

    Returns
    -------
    pixels, first : float
        Detector pixels in a step, and the pixel in the middle of the first step. An axis with a scale does not
        tell the latter: it is taken to begin at the edge of the detector.
    """
    if _is_plain(axis):
        pixels, first = axis["scale"], axis["offset"]
        # pixel numbers begin at 0, or above -0.5 where pixels are divided; below it they count from the beam
        if first < min(0.0, (pixels - 1) / 2) and values.get(name) is not None:
            first += values[name]
        return pixels, first
    way = "k" if "nm" in axis["units"] else "angle"
    old = None if _missing(values, way) else detector_scale(values, way)
    pixels = axis["scale"] / old[0] if old and axis["units"] in _UNITS[old[1]] else 1.0
    return pixels, (pixels - 1) / 2


def _missing(values, way):
    return missing(values, "k axes" if way == "k" else "angle axes")


def _calibrate_scan(axis, step, old_step, anew):
    """Positions in nm; an axis in nm is stretched from the old step to the new one."""
    if axis is None or step is None:
        return
    if _is_plain(axis):
        factor = step
    elif anew and axis.get("units") == "nm":
        factor = step / (old_step or axis["scale"])
    else:
        return
    axis.update(scale=axis["scale"] * factor, offset=axis["offset"] * factor, units="nm")


def _calibrate_detector(axis, scale, center, center_is_new, place):
    """Angle or reciprocal length from the beam; `center` in pixels of the whole detector.

    Without a scale the axis keeps its own, and is moved only.
    """
    pixels, first = place
    if _is_plain(axis) and center is None:
        center = first + (axis["size"] - 1) / 2 * pixels
    # an axis with a scale may have been cropped since, or centred by other means
    keep = not (_is_plain(axis) or (center_is_new and center is not None))
    zero = axis["offset"] / axis["scale"] if keep else (first - center) / pixels
    number, unit = (axis["scale"] / pixels, axis["units"]) if scale is None else scale
    axis.update(scale=number * pixels, offset=zero * number * pixels, units=unit)


_UNITS = {"mrad": ("mrad",), "nm^-1": ("nm^-1", "nm$^{-1}$", "1/nm")}


def _named(axes, name):
    """The scan axis of a name; a stack of frames over time has none."""
    return next((axis for axis in axes[:-2] if axis.get("name") == name), None)


def _is_plain(axis):
    """Whether an axis counts positions or pixels still."""
    return axis.get("units") in (None, "", "px", "<undefined>")
