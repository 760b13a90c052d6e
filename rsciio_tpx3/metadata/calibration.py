"""From camera length, pixel pitch and beam energy to scales of the detector axes; from scan steps to those of the scan.

Scales hold at the axis and are the ones that pyXem turns back into the same camera length
(``Calibration.set_camera_length_from_calibration``): an angle of ``atan(pitch / camera length)`` a pixel, or
``pitch / (camera length * wavelength)`` in reciprocal space. Along a flat detector the tangent of the angle is
linear, not the angle: 50 mrad off the axis the angle is 0.08 % smaller than the axis says, at 100 mrad 0.3 %.

A scale alone does not tell whether data were binned or their scale was measured anew: 2.06 times the nominal scale
may be two pixels and 3 % of camera length. So each calibration notes what the axes were (`Noted`), and `place_of`
finds from it what was done since: a binning is an integer or its inverse, a crop an integer number of steps, and any
other factor is a measured scale. What cannot be decided is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from scipy.constants import c, electron_mass, elementary_charge, h

from rsciio_tpx3.exceptions import ConflictError, UnitError
from rsciio_tpx3.metadata.mapping import missing
from rsciio_tpx3.utils.units import parse_unit

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

CALIBRATIONS = ("auto", "angle", "k", None)

_PLAIN_UNITS = (None, "", "px", "pixel", "pixels", "<undefined>")
_KINDS = {"rad": "angle", "1/m": "k", "m": "length", "s": "time", "px": "pixels"}
_BASE = {"angle": "mrad", "k": "nm^-1", "length": "nm"}
_EXACT = 1e-5  # relative; axes may have gone through a file with single precision
_NEAR = math.log(1.3)  # a measured scale is within this factor of the nominal one, where a binning is possible too
_CLEAR = math.log(1.16)  # and other binnings must be farther than this


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
    if unit in _PLAIN_UNITS:
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


# -- what was done to an axis since it was calibrated ----------------------------------------------------


@dataclass(frozen=True)
class Noted:
    """An axis when it was calibrated.

    Attributes
    ----------
    size : int
    scale, offset : float
    units : str
    pixels, first : float
        Detector pixels (scan positions) in a step, negative where they run backwards, and the one in the middle of
        the first step; None where somebody has moved the zero and cropped, so that nobody knows.
    """

    size: int
    scale: float
    offset: float
    units: str
    pixels: float
    first: float | None


def calibration_note(axes: list[dict], places: list) -> str:
    """What axes are now, as text that any file keeps; for `calibrated_axes` of `rsciio_tpx3.metadata.mapping`.

    Parameters
    ----------
    axes : list of dict
    places : list of (float, float) or None
        `pixels` and `first` of each, None where they are not known.
    """
    noted = {
        str(axis["name"]): asdict(
            Noted(
                int(axis["size"]),
                float(axis["scale"]),
                float(axis["offset"]),
                axis["units"],
                float(place[0]),
                float(place[1]) if math.isfinite(place[1]) else None,
            )
        )
        for axis, place in zip(axes, places)
        if place is not None
    }
    return json.dumps(noted)


def _noted(values: dict, axis: dict) -> tuple[Noted, str] | None:
    """The note about an axis; None where there is none that makes sense."""
    text = values.get("calibrated_axes")
    if not isinstance(text, str) or len(text) > 10_000:
        return None
    try:
        found = Noted(**json.loads(text)[str(axis.get("name"))])
        numbers = (found.size, found.scale, found.offset, found.pixels, found.first or 0)
        found = replace(found, first=math.nan) if found.first is None else found
        sound = all(type(n) in (int, float) and math.isfinite(n) for n in numbers) and isinstance(found.units, str)
        kind = axis_kind({"name": "", "units": found.units})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return (found, kind) if sound and found.size > 0 and found.scale and found.pixels else None


def _from_note(axis: dict, noted: Noted, ratio: float) -> tuple | None:
    """Pixels in a step and the first of them, from the note; `ratio` is that of the scales, in one unit.

    The first is NaN where it cannot be told; None where several histories are possible, or none is.
    """
    size, sign = axis["size"], math.copysign(1.0, ratio)
    if size == noted.size:
        # neither binned nor cropped: whatever the scale and the offset are, somebody has set them
        pixels = sign * noted.pixels
        return pixels, noted.first if sign > 0 else noted.first + (size - 1) * noted.pixels
    zero, noted_zero = -axis["offset"] / axis["scale"], -noted.offset / noted.scale
    likely, rivals, certain = [], [], None
    for binning, exact in _binnings(abs(ratio), size, noted.size):
        pixels = sign * binning * noted.pixels
        rivals.append(abs(math.log(abs(ratio) / binning)))
        first = (noted_zero - sign * binning * zero) * noted.pixels + noted.first
        if exact or binning == 1:
            certain = pixels, math.nan
        if not _lies_within(pixels, first, size, noted, binning):
            # the zero was moved; where data of all pixels were binned, they begin where the detector does
            if not 0 <= noted.size - size * binning < max(1, binning):
                continue
            begin = noted.first + (binning - 1) / 2 * noted.pixels
            first = begin if sign > 0 else begin + (size - 1) * binning * noted.pixels
        likely.append((rivals[-1], pixels, first))
        if exact:
            return pixels, first
    likely.sort()
    if not likely or likely[0][0] > _NEAR:
        return certain if certain and abs(math.log(abs(ratio * noted.pixels / certain[0]))) < _NEAR else None
    # a place that fits is not proof: the zero may have been moved as well
    return None if sorted(rivals)[1:2] < [_CLEAR] and len(rivals) > 1 else likely[0][1:]


def _binnings(ratio: float, size: int, before: int) -> Iterator[tuple[float, bool]]:
    """Integer numbers of steps that may be one now, or their inverses; and whether the scale is exactly that."""
    if size < before:
        most = min(before // size, int(ratio * 2) + 1)
        near = range(max(1, int(ratio / 2)), max(1, most) + 1)
        for n in sorted(near, key=lambda n: abs(math.log(ratio / n)))[:8]:
            yield float(n), abs(ratio / n - 1) < _EXACT
    else:
        whole = round(1 / ratio) or 1
        for n in {max(1, whole - 1), whole, whole + 1}:
            yield 1 / n, abs(ratio * n - 1) < _EXACT


def _lies_within(pixels: float, first: float, size: int, noted: Noted, binning: float) -> bool:
    """Whether steps lie on the noted ones, and begin at one of them."""
    last = first + (size - 1) * pixels
    ends = sorted((first, last))
    half = abs(pixels) / 2
    low = min(noted.first, noted.first + (noted.size - 1) * noted.pixels) - abs(noted.pixels) / 2
    high = low + noted.size * abs(noted.pixels)
    slack = 1e-3 * abs(noted.pixels) + _EXACT * abs(first)
    if ends[0] - half < low - slack or ends[1] + half > high + slack:
        return False
    if binning < 1:
        return True
    steps = (ends[0] - half - low) / abs(noted.pixels)
    return abs(steps - round(steps)) < 1e-3 + _EXACT * noted.size


def detector_pixels(axis: dict, values: dict, name: str) -> tuple | None:
    """Which pixels of the whole detector the steps of a detector axis are.

    Parameters
    ----------
    axis : dict
        RosettaSciIO axis.
    values : dict
        By which the axis was made, as for `calibrated_axes`; `calibrated_axes` among them is the note of it.
    name : {"center_x", "center_y"}
        Which of them is the centre along this axis.

    Returns
    -------
    pixels, first : float
        Detector pixels in a step, negative where they run backwards, and the pixel in the middle of the first step;
        NaN for the latter where the zero of the axis was moved by hand and the axis cropped.

    Raises
    ------
    UnitError
        For a unit that is not known.
    ConflictError
        For an axis that is not uniform, and where it cannot be told whether data were binned or a scale was measured.
    """
    check_uniform(axis, "the pixels of the detector cannot be determined")
    kind = axis_kind(axis)
    if found := _noted(values, axis):
        noted, noted_kind = found
        ratio = _ratio(axis, kind, noted, noted_kind, values)
        place = _from_note(axis, noted, ratio) if ratio else None
        if place is None and kind not in ("pixels", "other"):
            raise ConflictError(_undecided(axis, noted.scale, noted.units))
        if place is not None:
            return place
    if kind == "pixels":
        pixels, first = axis["scale"], axis["offset"]
        # pixel numbers begin at 0, or above -0.5 where pixels are divided; below it they count from the beam
        lowest = first if pixels > 0 else first + (axis["size"] - 1) * pixels
        if lowest < min(0.0, (abs(pixels) - 1) / 2) and values.get(name) is not None:
            first += values[name]
        return pixels, first
    return _without_note(axis, kind, values, name)


def _ratio(axis: dict, kind: str, noted: Noted, noted_kind: str, values: dict) -> float:
    """Scale of an axis over the noted one; 0 where they cannot be compared."""
    if kind == noted_kind == "pixels":
        return axis["scale"] / noted.scale
    if kind == "pixels":
        return 0  # set back to pixels since: the axis says itself what its steps are
    if kind == noted_kind:
        return axis["scale"] * float(parse_unit(axis["units"]).factor / parse_unit(noted.units).factor) / noted.scale
    if axis["size"] == noted.size:
        return math.copysign(1.0, axis["scale"] * noted.scale)
    nominal = _nominal(kind, values)
    return 0 if nominal is None else in_unit(axis, nominal[1]) / nominal[0] / abs(noted.pixels)


def _without_note(axis: dict, kind: str, values: dict, name: str) -> tuple | None:
    """From the nominal scale alone: exactly a binning, or nearly one pixel; anything else is refused."""
    if kind not in ("angle", "k"):
        raise ConflictError(
            f"axis {axis['name']!r} is in {axis['units']}: the axes of a detector are in pixels, angles or reciprocal "
            "lengths. Set its units to 'px', and its scale to the detector pixels in a step, first."
        )
    nominal = _nominal(kind, values)
    if nominal is None:
        pixels = math.copysign(1.0, axis["scale"])  # nobody knows more
    else:
        ratio = in_unit(axis, nominal[1]) / nominal[0]
        whole = max(1, round(abs(ratio))) if abs(ratio) > 1 else 1 / max(1, round(1 / abs(ratio)))
        if abs(abs(ratio) / whole - 1) > _EXACT:
            if abs(math.log(abs(ratio))) > _NEAR:
                raise ConflictError(_undecided(axis, *nominal))
            whole = 1
        pixels = math.copysign(whole, ratio)
    low = (abs(pixels) - 1) / 2
    center, zero = values.get(name), -axis["offset"] / axis["scale"]
    if center is not None and pixels * zero != 0:
        # data that were cropped begin an integer number of pixels later
        begin = center - pixels * zero if pixels > 0 else center - pixels * zero + (axis["size"] - 1) * pixels
        if abs(begin - low - round(begin - low)) < 1e-3 and begin > low - 1e-3:
            return pixels, center - pixels * zero
    return pixels, low if pixels > 0 else low - (axis["size"] - 1) * pixels


def _undecided(axis: dict, scale: float, units: str) -> str:
    return (
        f"axis {axis['name']!r} has {axis['size']} steps of {axis['scale']:.6g} {axis['units']}, where the "
        f"metadata expect "
        f"{scale:.6g} {units}: this is not a binning by an integer, and it is not known which pixels of the "
        f"detector "
        "they are. Set scale, offset and units of the axis to 1, 0 and 'px' (or the binning and its middle) and "
        "calibrate "
        "it again by set_microscope, or tell the camera length before data are binned."
    )


def _nominal(kind: str, values: dict) -> tuple[float, str] | None:
    """Scale of one pixel by the values, and its unit; None where they do not tell."""
    if kind not in ("angle", "k") or _missing(values, kind):
        return None
    return detector_scale(values, kind)


def _missing(values: dict, way: str | None) -> list[str]:
    return missing(values, "k axes" if way == "k" else "angle axes")


def scan_positions(axis: dict, values: dict) -> float | None:
    """Scan positions in a step of a scan axis, negative where they run backwards.

    Parameters
    ----------
    axis : dict
        RosettaSciIO axis named "x" or "y".
    values : dict
        By which it was made.
    """
    check_uniform(axis, "the scan steps cannot be determined")
    kind, step = axis_kind(axis), values.get(f"scan_step_{axis['name']}")
    if kind not in ("pixels", "length"):
        return None
    if found := _noted(values, axis):
        noted, noted_kind = found
        if kind == noted_kind and (place := _from_note(axis, noted, _ratio(axis, kind, noted, noted_kind, values))):
            return place[0]
    if kind == "pixels":
        return axis["scale"]
    if step is None:
        return math.copysign(1.0, axis["scale"])
    ratio = in_unit(axis, "nm") / step
    whole = max(1, round(abs(ratio))) if abs(ratio) > 1 else 1 / max(1, round(1 / abs(ratio)))
    if abs(abs(ratio) / whole - 1) > _EXACT:
        if abs(math.log(abs(ratio))) > _NEAR:
            raise ConflictError(
                f"axis {axis['name']!r} has steps of {axis['scale']:.6g} {axis['units']}, where the metadata expect "
                f"{step:.6g} nm: this is not a binning by an integer. Set scale and units of the axis to the "
                f"positions "
                "in a step and '', and tell scan_step again."
            )
        whole = 1
    return math.copysign(whole, ratio)


# -- calibration -----------------------------------------------------------------------------------------


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
        Quantities told anew: an axis that has a scale already is changed only because of them.
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
        plain = axis.get("units") in _PLAIN_UNITS
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
    found = _noted(before, axis)
    if not found or axis.get("scale") is None:
        return None
    try:
        ratio = _ratio(axis, axis_kind(axis), *found, before)
        return _from_note(axis, found[0], ratio) if ratio else None
    except UnitError:
        return None


def _calibrate_scan(axis: dict, values: dict, before: dict, anew: bool) -> tuple | None:
    """Positions in nm; an axis with a length is stretched from the old step to the new one."""
    step = values.get(f"scan_step_{axis['name']}")
    plain = axis.get("units") in _PLAIN_UNITS
    if step is None or not (plain or (anew and axis_kind(axis) == "length")):
        return None
    known = before.get(f"scan_step_{axis['name']}") is not None or _noted(before, axis)
    # a scale that nobody has told a step for is taken for that of one position
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
    plain = axis.get("units") in _PLAIN_UNITS
    if plain and center is None:
        center = first + (axis["size"] - 1) / 2 * pixels
    # an axis with a scale may have been cropped since, or centred by other means
    keep = not (plain or (center_is_new and center is not None))
    if not (keep or math.isfinite(first)):
        raise ConflictError(
            f"axis {axis['name']!r}: its zero was moved and the axis cropped since it was calibrated, so it "
            f"cannot be told "
            "which pixels of the detector are left. Set the offset of the axis itself, or tell the centre "
            "before cropping."
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
