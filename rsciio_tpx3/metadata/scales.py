"""From camera length, pixel pitch and beam energy to the scale of a detector pixel; and what the units of an axis are.

Scales hold at the axis and are the ones that pyXem turns back into the same camera length
(``Calibration.set_camera_length_from_calibration``): an angle of ``atan(pitch / camera length)`` a pixel, or
``pitch / (camera length * wavelength)`` in reciprocal space. Along a flat detector the tangent of the angle is
linear, not the angle: 50 mrad off the axis the angle is 0.08 % smaller than the axis says, at 100 mrad 0.3 %.
"""

from __future__ import annotations

import math

from scipy.constants import c, electron_mass, elementary_charge, h

from rsciio_tpx3.exceptions import ConflictError, UnitError
from rsciio_tpx3.metadata.mapping import missing
from rsciio_tpx3.utils.units import parse_unit

__all__ = [
    "CALIBRATIONS",
    "PLAIN_UNITS",
    "axis_kind",
    "check_choice",
    "check_uniform",
    "detector_scale",
    "in_unit",
    "nominal_scale",
    "wavelength",
]

CALIBRATIONS = ("auto", "angle", "k", None)

PLAIN_UNITS = (None, "", "px", "pixel", "pixels", "<undefined>")
"""Units of axes that are in pixels or positions."""

_KINDS = {"rad": "angle", "1/m": "k", "m": "length", "s": "time", "px": "pixels"}


def wavelength(beam_energy: float) -> float:
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
    energy = beam_energy * 1e3 * elementary_charge
    return h / math.sqrt(2 * electron_mass * energy * (1 + energy / (2 * electron_mass * c**2)))


def check_choice(calibrate: str | None) -> None:
    """Refuse what is not a way of calibration."""
    if not isinstance(calibrate, (str, type(None))) or calibrate not in CALIBRATIONS:
        raise ValueError(
            f"calibrate={calibrate!r} is not valid: must be one of 'auto', 'angle' (mrad), 'k' (1/nm), None."
        )


def detector_scale(values: dict, calibrate: str | None = "auto") -> tuple[float, str] | None:
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
        If a way is requested by name and something that it needs is absent.
    """
    check_choice(calibrate)
    lacking = _missing(values, calibrate)
    if calibrate is None or (lacking and calibrate == "auto"):
        return None
    if lacking:
        raise ValueError(
            f"calibrate={calibrate!r} needs {' and '.join(lacking)}, which no source gives. Pass for example "
            "metadata={'camera_length': '100 mm', 'beam_energy': '200 keV'}."
        )
    ratio = values["pixel_pitch"] / values["camera_length"]
    if calibrate == "k":
        return ratio / wavelength(values["beam_energy"]) * 1e-9, "nm^-1"
    return math.atan(ratio) * 1e3, "mrad"


def axis_kind(axis: dict) -> str:
    """What the steps of an axis are.

    Parameters
    ----------
    axis : dict
        RosettaSciIO axis.

    Returns
    -------
    {"pixels", "angle", "k", "length", "time", "other"}
        "pixels" for an axis without a unit too.

    Raises
    ------
    UnitError
        For a unit that is not known: it never means one pixel.
    """
    unit = axis.get("units")
    if unit in PLAIN_UNITS:
        return "pixels"
    try:
        dimension = parse_unit(unit).dimension
    except UnitError as error:
        raise UnitError(
            f"axis {axis.get('name')!r}: {error}. Give the axis a unit such as 'mrad', '1/nm', '1/angstrom', 'nm' or "
            "'px' first."
        ) from None
    return next((kind for unit, kind in _KINDS.items() if parse_unit(unit).dimension == dimension), "other")


def in_unit(axis: dict, unit: str) -> float:
    """Scale of an axis in another unit of its dimension."""
    return axis["scale"] * float(parse_unit(axis["units"]).factor / parse_unit(unit).factor)


def check_uniform(axis: dict, wanted: str) -> None:
    """Refuse an axis whose steps differ, or are none."""
    scale, offset = axis.get("scale"), axis.get("offset")
    if scale is None or offset is None:
        raise ConflictError(
            f"axis {axis.get('name')!r} is not uniform, so it has no scale: {wanted}. Resample it first, for "
            f"example by "
            "s.interpolate_on_axis."
        )
    if not (math.isfinite(scale) and math.isfinite(offset) and scale != 0):
        raise ConflictError(
            f"axis {axis.get('name')!r} has scale {scale:g} and offset {offset:g}: {wanted}. Give it finite "
            f"numbers, and "
            "a scale that is not 0."
        )


def nominal_scale(kind: str, values: dict) -> tuple[float, str] | None:
    """Scale of one pixel by the values, and its unit; None where they do not tell."""
    if kind not in ("angle", "k") or _missing(values, kind):
        return None
    return detector_scale(values, kind)


def _missing(values: dict, way: str | None) -> list[str]:
    return missing(values, "k axes" if way == "k" else "angle axes")
