"""Quantities with a unit, as text or pint objects; the only module that touches pint.

Inside the package times are exact: ticks as integers or fractions. So text is parsed with
fractions, and a decimal such as "40.0203 us" loses nothing on its way.

pint has no dimension for angles ("30 mrad" and "3 %" are both plain numbers to it), and its ``px`` is a length
of style sheets, 1/96 inch. These units are therefore known by name here.
"""

import math
import re
from fractions import Fraction
from functools import cache
from tokenize import TokenError

from rsciio_tpx3.events.clock import TICKS_PER_SECOND
from rsciio_tpx3.exceptions import UnitError

__all__ = ["convert", "is_time", "to_plain", "to_ticks"]

_DEGREE = math.pi / 180
_ANGLES = {
    "rad": 1, "radian": 1, "radians": 1,
    "mrad": Fraction(1, 10**3), "milliradian": Fraction(1, 10**3), "milliradians": Fraction(1, 10**3),
    "urad": Fraction(1, 10**6), "\u00b5rad": Fraction(1, 10**6), "\u03bcrad": Fraction(1, 10**6),
    "microradian": Fraction(1, 10**6),
}  # fmt: skip
_DEGREES = ("deg", "degree", "degrees", "\u00b0")
_PIXELS = ("px", "pixel", "pixels")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_QUANTITY = re.compile(
    rf"^\s*\(?\s*(?P<value>{_NUMBER})\s*(?:(?:\u00b1|\+/-|\+-)\s*(?P<error>{_NUMBER})\s*)?\)?\s*(?P<unit>.*?)\s*$"
)
_MOST_DIGITS = 300
_UNREADABLE = (ValueError, AttributeError, AssertionError, TypeError, SyntaxError, TokenError)  # from pint's parser
_WHAT = {
    "keV": "an energy", "m": "a length", "mm": "a length", "um": "a length", "nm": "a length",
    "angstrom": "a length", "mrad": "an angle", "deg": "an angle", "s": "a time", "nA": "a current",
    "V": "a voltage", "degC": "a temperature", "px": "a number of pixels",
}  # fmt: skip


@cache
def _registry():
    # imported here: pint takes longer than reading a small recording, and most calls need no unit
    import pint

    return pint.UnitRegistry(non_int_type=Fraction)


def to_ticks(value, name="time", example="0.5 us", allow_negative=False):
    """A time as an exact number of clock ticks.

    Parameters
    ----------
    value : str, pint.Quantity or (number, str)
        "0.5 us", a quantity of any registry, or ``(0.5, "us")``. A `fractions.Fraction` is taken
        as ticks, for callers that have them already. Any other bare number is refused.
    name, example : str
        For the error: which option this is, and how it could be written.
    allow_negative : bool
        Accept zero and times below it.

    Returns
    -------
    fractions.Fraction
        Ticks of 260.41666 ps, not rounded.

    Raises
    ------
    UnitError
        Without a unit of time, or for zero or less where that makes no sense.

    Examples
    --------
    >>> from rsciio_tpx3.metadata.units import to_ticks
    >>> to_ticks("0.5 us")
    Fraction(1920, 1)
    """
    ticks = value if isinstance(value, Fraction) else _seconds(value, name, example) * TICKS_PER_SECOND
    if ticks <= 0 and not allow_negative:
        raise UnitError(f"{name}={value!r} must be longer than zero. Write for example {example!r}.")
    return ticks


def _seconds(value, name, example):
    import pint

    text = value
    if isinstance(value, tuple) and len(value) == 2:
        text = f"{value[0]} {value[1]}"
    elif hasattr(value, "magnitude") and hasattr(value, "units"):
        text = f"{value.magnitude} {value.units}"
    if not isinstance(text, str):
        raise UnitError(
            f"{name}={value!r} has no unit. Write {example!r}; packages of this field differ "
            "between ns, us and s for the same key."
        )
    try:
        return Fraction(_registry().parse_expression(text).to("s").magnitude)
    except pint.DimensionalityError as error:
        raise UnitError(
            f"{name}={value!r} has no unit of time (found {error.units1}). Write for example {example!r}."
        ) from None
    except (pint.UndefinedUnitError, OverflowError, *_UNREADABLE):
        raise UnitError(
            f"{name}={value!r} cannot be read as a time. Write a number and a unit, for example {example!r}."
        ) from None


def to_plain(value, unit, name="value", example="", also=(), bare=None):
    """A quantity as a plain number in a given unit, with its error where it has one.

    Parameters
    ----------
    value : str, pint.Quantity, tuple or dict
        "0.1 m", "100 +/- 2 mm", a quantity of any registry, ``(0.1, "m")``, ``(100, 2, "mm")`` with the error in
        the middle, or ``{"value": 100, "error": 2, "unit": "mm"}``.
    unit : str
        In which the result is wanted.
    name, example : str
        For errors: which quantity this is, and how it could be written.
    also : sequence of str
        Units of another dimension whose number means the same, such as kV for the keV of an electron.
    bare : str, optional
        Unit of a number without one, where the source format defines it. Otherwise it is refused; a bare
        number of pixels is not, since there is only one pixel.

    Returns
    -------
    number, error : float, float or None

    Raises
    ------
    UnitError
        Without a unit, with an unknown one or one of another dimension, for NaN and what is no number.

    Examples
    --------
    >>> from rsciio_tpx3.metadata.units import to_plain
    >>> to_plain("100 +/- 2 mm", "m")
    (0.1, 0.002)
    """
    if bare is None and unit == "px":
        bare = "px"
    number, error, found = _split(value, unit, name, example, bare)
    wanted = next((other for other in also if _same_kind(found, other)), unit)
    try:
        result = _converted(number, found, wanted)
        error = None if error is None else float(abs(_converted(number + error, found, wanted) - result))
    except UnitError as problem:
        raise UnitError(
            f"{name}={value!r}: {_WHAT.get(unit, unit)} is expected, {problem}. Write for example {example!r}."
        ) from None
    return float(result), error


def convert(number, found, wanted):
    """A number of one unit in another, as a float.

    Parameters
    ----------
    number : float or fractions.Fraction
    found, wanted : str
        Names of units; angles and pixels by name, all others as pint knows them.

    Raises
    ------
    UnitError
        If a unit is unknown or the dimensions differ.
    """
    return float(_converted(number, found, wanted))


def _converted(number, found, wanted):
    """Exact where both units are of one kind."""
    kinds = _kind(found), _kind(wanted)
    if kinds == ("pint", "pint"):
        return _by_pint(Fraction(number), found, wanted)
    if "pixels" in kinds or "pint" in kinds:
        if kinds[0] != kinds[1]:
            if kinds[0] == "pint":
                _known(found)
            raise UnitError(f"found the unit {found!r}")
        return number
    if kinds[0] == kinds[1]:
        return number * (1 if kinds[0] == "degrees" else Fraction(_ANGLES[found]) / _ANGLES[wanted])
    if kinds[0] == "degrees":
        return float(number) * _DEGREE / float(_ANGLES[wanted])
    return float(number * _ANGLES[found]) / _DEGREE


def is_time(unit):
    """Whether the units of an axis, if it has any, are those of a time.

    Examples
    --------
    >>> is_time("ms"), is_time("nm"), is_time("$A^{-1}$"), is_time("")
    (True, False, False, False)
    """
    return isinstance(unit, str) and _same_kind(unit, "s")


def _kind(unit):
    if unit in _ANGLES:
        return "angle"
    return "degrees" if unit in _DEGREES else "pixels" if unit in _PIXELS else "pint"


def _known(unit):
    import pint

    try:
        return _registry().parse_units(unit)
    except (pint.UndefinedUnitError, pint.PintError, *_UNREADABLE):
        raise UnitError(f"the unit {unit!r} is not known") from None


def _by_pint(number, found, wanted):
    registry = _registry()
    source, target = _known(found), registry.parse_units(wanted)
    if source.dimensionality != target.dimensionality:
        raise UnitError(f"found the unit {found!r}")
    return registry.Quantity(number, source).to(target).magnitude


def _same_kind(found, other):
    if _kind(found) != "pint":
        return False
    try:
        return _known(found).dimensionality == _registry().parse_units(other).dimensionality
    except UnitError:
        return False


def _split(value, unit, name, example, bare):
    """Number, error and unit as they were written; exact."""
    error = None
    if isinstance(value, dict):
        entry = {str(key).lower().rstrip("s"): item for key, item in value.items()}
        number, error, found = entry.get("value"), entry.get("error"), entry.get("unit", bare)
    elif isinstance(value, (tuple, list)) and len(value) in (2, 3) and isinstance(value[-1], str):
        number, found = value[0], value[-1]
        error = value[1] if len(value) == 3 else None
    elif hasattr(value, "magnitude") and hasattr(value, "units"):
        number, found = value.magnitude, str(value.units)
    elif isinstance(value, str):
        match = _QUANTITY.match(value)
        if not match:
            raise UnitError(
                f"{name}={value!r} cannot be read as {_WHAT.get(unit, unit)}. Write a number and a unit, for "
                f"example {example!r}."
            )
        number, error, found = match["value"], match["error"], match["unit"] or bare
    else:
        number, found = value, bare
    number, error = _exact(number, value, name, example), _exact(error, value, name, example, optional=True)
    if not found:
        raise UnitError(
            f"{name}={value!r} has no unit. Write for example {example!r}: packages of this field differ in the "
            "unit of the same key."
        )
    return number, error, found


def _exact(number, value, name, example, optional=False):
    if number is None and optional:
        return None
    try:
        text = str(number).lower()
        # a fraction of such a number would fill the memory
        if isinstance(number, bool) or abs(int(text.partition("e")[2] or 0)) > _MOST_DIGITS:
            raise ValueError
        return Fraction(text)
    except (ValueError, TypeError, ZeroDivisionError, OverflowError):
        raise UnitError(f"{name}={value!r}: {number!r} is no finite number. Write for example {example!r}.") from None
