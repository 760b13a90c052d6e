"""What was done to an axis since it was calibrated: binned, cropped, or given a scale that somebody measured.

A scale alone does not tell whether data were binned or their scale was measured anew: 2.06 times the nominal scale
may be two pixels and 3 % of camera length. So each calibration notes what the axes were (`Noted`), and
`place_from_note` finds from it what was done since: a binning is an integer or its inverse, a crop an integer number of
steps, and any other factor is a measured scale. What cannot be decided is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from rsciio_tpx3.exceptions import ConflictError
from rsciio_tpx3.metadata.scales import axis_kind, check_uniform, in_unit, nominal_scale
from rsciio_tpx3.utils.units import parse_unit

__all__ = [
    "Noted",
    "calibration_note",
    "detector_pixels",
    "noted_of",
    "place_from_note",
    "ratio_to_note",
    "scan_positions",
]

_EXACT = 1e-5  # relative; axes may have gone through a file with single precision
_NEAR = math.log(1.3)  # a measured scale is within this factor of the nominal one, where a binning is possible too
_CLEAR = math.log(1.16)  # and other binnings must be farther than this


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


def noted_of(values: dict, axis: dict) -> tuple[Noted, str] | None:
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


def place_from_note(axis: dict, noted: Noted, ratio: float) -> tuple | None:
    """Pixels in a step and the first of them, from the note; `ratio` is that of the scales, in one unit.

    The first is NaN where it cannot be determined; None where several histories are possible, or none is.
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
        For an axis that is not uniform, and where data may have been binned or a scale measured alike.
    """
    check_uniform(axis, "the pixels of the detector cannot be determined")
    kind = axis_kind(axis)
    if found := noted_of(values, axis):
        noted, noted_kind = found
        ratio = ratio_to_note(axis, kind, noted, noted_kind, values)
        place = place_from_note(axis, noted, ratio) if ratio else None
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


def ratio_to_note(axis: dict, kind: str, noted: Noted, noted_kind: str, values: dict) -> float:
    """Scale of an axis over the noted one; 0 where they cannot be compared."""
    if kind == noted_kind == "pixels":
        return axis["scale"] / noted.scale
    if kind == "pixels":
        return 0  # set back to pixels since: the axis says itself what its steps are
    if kind == noted_kind:
        return axis["scale"] * float(parse_unit(axis["units"]).factor / parse_unit(noted.units).factor) / noted.scale
    if axis["size"] == noted.size:
        return math.copysign(1.0, axis["scale"] * noted.scale)
    nominal = nominal_scale(kind, values)
    return 0 if nominal is None else in_unit(axis, nominal[1]) / nominal[0] / abs(noted.pixels)


def _without_note(axis: dict, kind: str, values: dict, name: str) -> tuple | None:
    """From the nominal scale alone: exactly a binning, or nearly one pixel; anything else is refused."""
    if kind not in ("angle", "k"):
        raise ConflictError(
            f"axis {axis['name']!r} is in {axis['units']}: the axes of a detector are in pixels, angles or reciprocal "
            "lengths. Set its units to 'px', and its scale to the detector pixels in a step, first."
        )
    nominal = nominal_scale(kind, values)
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
    if found := noted_of(values, axis):
        noted, noted_kind = found
        if kind == noted_kind and (
            place := place_from_note(axis, noted, ratio_to_note(axis, kind, noted, noted_kind, values))
        ):
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
