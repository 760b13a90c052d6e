"""Quantities with a unit, as text, numbers or pint objects: the one parser of the package.

Units come from the table in `rsciio_tpx3.utils.unit_names`. Numbers are bounded, and so is the length of the text,
before anything is computed.

Inside the package times are exact: ticks as integers or fractions. So numbers are fractions, and a decimal such as
"40.0203 us" loses nothing on its way.

A comma is refused: "1,2" is 1.2 to one person and a slip for 12 to another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from numbers import Integral, Number
from typing import Any

from rsciio_tpx3.exceptions import UnitError
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND
from rsciio_tpx3.utils.text import shown
from rsciio_tpx3.utils.unit_names import Unit, parse_unit

__all__ = ["Unit", "convert", "is_number", "is_time", "parse_unit", "shown", "to_number", "to_plain", "to_ticks"]

_MOST_DIGITS = 100
_LARGEST_EXPONENT = 300  # a float ends near 1e308, and prefixes shift it
_LONGEST_TEXT = 400  # two numbers, their unit and what stands between
_LONGEST_TIME = 10**9  # s: int64 holds 2.4e9 s in ticks
_SHORTEST_TIME = Fraction(1, 1000)  # ticks; less than a quarter of a picosecond is a slip of the pen

# one way to match each text: with "[0-9]+\.?[0-9]*" a million digits and a letter take hours
_NUMBER = r"[-+\u2212]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+\u2212]?[0-9]+)?"
_PLAIN = re.compile(_NUMBER)
_ERROR_SIGN = re.compile(r"\s*(?:\u00b1|\+/-|\+-)\s*")
# what stands between digits of one number in some countries or programs, and in Python
_SEPARATED = re.compile("[0-9]\\s*['\u2019_\u00b7\u066b\u066c]\\s*[0-9]|[,\uff0c]|[0-9]\\s+(?!1\\s*/)[0-9]")
_WHAT = {
    "keV": "an energy", "m": "a length", "mm": "a length", "um": "a length", "nm": "a length",
    "angstrom": "a length", "mrad": "an angle", "deg": "an angle", "s": "a time", "nA": "a current",
    "V": "a voltage", "degC": "a temperature", "px": "a number of pixels",
}  # fmt: skip


def to_number(value: Any, name: str = "value", example: str = "", magnified: bool = False) -> Fraction:
    """A plain number, exactly, from a number or its text.

    Parameters
    ----------
    value : number or str
    name, example : str
        For errors.
    magnified : bool
        Text may have a prefix and a cross, as people write magnifications: "200 kx", "1.5M", "x 20,000" is refused
        for its comma.

    Returns
    -------
    fractions.Fraction

    Raises
    ------
    UnitError
        For NaN, infinity, a bool, a comma or another separator, or more digits than any measurement has.

    Examples
    --------
    >>> from rsciio_tpx3.utils.units import to_number
    >>> int(to_number("200 kx", magnified=True))
    200000
    """
    if magnified and isinstance(value, str):
        _refuse_text(value, value, name, example)
        found = _MAGNIFIED.fullmatch(value.strip())
        if found:
            power = {"": 0, "k": 3, "K": 3, "M": 6}[found["prefix"] or ""]
            return _exact(found["number"], value, name, example) * 10**power
    return _exact(value, value, name, example)


_CROSS = "[xX\u00d7]"
_MAGNIFIED = re.compile(rf"(?:{_CROSS}\s*)?(?P<number>{_NUMBER})\s*(?P<prefix>[kKM])?\s*{_CROSS}?")


def is_number(text: str) -> bool:
    """Whether a text is a plain number and nothing else."""
    return _PLAIN.fullmatch(text.strip()) is not None


def _exact(number: Any, value: Any, name: str, example: str) -> Fraction:
    if isinstance(number, Fraction):
        return number
    if isinstance(number, str):
        _refuse_text(number, value, name, example)
    try:
        # bool and the bool of NumPy are numbers to Python, and answers to a question to everybody else
        if not isinstance(number, (str, Number)) or type(number).__name__ in ("bool", "bool_"):
            raise ValueError
        if isinstance(number, Integral):
            if abs(int(number)) >= 10**_MOST_DIGITS:
                raise ValueError
            return Fraction(int(number))
        text = str(number).strip()
        if len(text) > _MOST_DIGITS or not _PLAIN.fullmatch(text):
            raise ValueError
        text = text.replace("\u2212", "-").lower()
        # a fraction of a number with a large exponent would fill the memory
        if len(text.partition("e")[2]) > 5 or abs(int(text.partition("e")[2] or 0)) > _LARGEST_EXPONENT:
            raise ValueError
        return Fraction(text)
    except (ValueError, TypeError, OverflowError, ZeroDivisionError):
        raise UnitError(
            f"{name}={shown(value)}: {shown(number)} is not a finite number of sensible size.{_hint(example)}"
        ) from None


def _refuse_text(text: str, value: Any, name: str, example: str) -> None:
    """What no quantity looks like, before a pattern meets it: those try each place of a long text anew."""
    if len(text) > _LONGEST_TEXT:
        raise UnitError(f"{name}={shown(value)} is not a number of sensible size.{_hint(example)}")
    found = _SEPARATED.search(text)
    if found is None:
        return
    mark = found[0].strip("0123456789")
    kind = "a comma" if "," in mark or "\uff0c" in mark else f"{mark!r} between digits"
    raise UnitError(
        f"{name}={shown(value)} has {kind}, which is a decimal sign to some and separates thousands for others. "
        f"Write a "
        f"decimal point and no separator, such as 1.2 or 1200{f', for example {example!r}' if example else ''}; "
        f"several "
        "values are a list."
    )


def _hint(example: str) -> str:
    return f" Write for example {example!r}." if example else ""


# -- quantities ----------------------------------------------------------------------------------------


def to_ticks(value: Any, name: str = "time", example: str = "0.5 us", allow_negative: bool = False) -> Fraction:
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
        Without a unit of time, for zero or less where that makes no sense, and for times that no clock of a
        detector has.

    Examples
    --------
    >>> from rsciio_tpx3.utils.units import to_ticks
    >>> to_ticks("0.5 us")
    Fraction(1920, 1)
    """
    ticks = value if isinstance(value, Fraction) else _seconds(value, name, example) * TICKS_PER_SECOND
    if ticks <= 0 and not allow_negative:
        raise UnitError(f"{name}={shown(value)} must be longer than zero. Write for example {example!r}.")
    if abs(ticks) > _LONGEST_TIME * TICKS_PER_SECOND:
        raise UnitError(
            f"{name}={shown(value)} is longer than any recording: expected less than 30 years. Write for example "
            f"{example!r}."
        )
    if 0 < ticks < _SHORTEST_TIME and not allow_negative:
        raise UnitError(
            f"{name}={shown(value)} is shorter than a thousandth of a tick of the clock (260 ps). Write for example "
            f"{example!r}."
        )
    return ticks


def _seconds(value: Any, name: str, example: str) -> Fraction:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise UnitError(
            f"{name}={shown(value)} has no unit. Write {example!r}; packages of this field differ between ns, us and s "
            "for the same key."
        )
    number, error, found = _split(value, "s", name, example, None)
    if error is not None:
        raise UnitError(f"{name}={shown(value)}: expected a time without an error. Write for example {example!r}.")
    try:
        unit = parse_unit(found)
        if not _same_dimension(found, "s"):
            raise UnitError(f"found the unit {found!r}")
    except UnitError as problem:
        raise UnitError(
            f"{name}={shown(value)} has no unit of time ({problem}). Write for example {example!r}."
        ) from None
    return number * unit.factor


def to_plain(
    value: Any, unit: str, name: str = "value", example: str = "", also: Sequence[str] = (), bare: str | None = None
) -> tuple[float, float | None]:
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
        Without a unit, with an unknown one or one of another dimension, for NaN and what is not a number.

    Examples
    --------
    >>> from rsciio_tpx3.utils.units import to_plain
    >>> to_plain("100 +/- 2 mm", "m")
    (0.1, 0.002)
    """
    if bare is None and unit == "px":
        bare = "px"
    number, error, found = _split(value, unit, name, example, bare)
    try:
        wanted = next((other for other in also if _same_dimension(found, other)), unit)
        result = _converted(number, found, wanted)
        if error is None:
            return float(result), None
        return float(result), float(abs(_converted(number + error, found, wanted) - result))
    except OverflowError:
        raise UnitError(f"{name}={shown(value)} is not a finite number of sensible size.{_hint(example)}") from None
    except UnitError as problem:
        raise UnitError(
            f"{name}={shown(value)}: expected {_WHAT.get(unit, unit)}, {problem}. Write for example {example!r}."
        ) from None


def convert(number: float | Fraction, found: str, wanted: str) -> float:
    """A number of one unit in another, as a float.

    Parameters
    ----------
    number : float or fractions.Fraction
    found, wanted : str
        Names of units, see `parse_unit`.

    Raises
    ------
    UnitError
        If a unit is unknown, the dimensions differ, or the number is not finite.
    """
    return float(_converted(_exact(number, number, "number", ""), found, wanted))


def _converted(number: Fraction, found: str, wanted: str) -> Fraction:
    """Exact."""
    source, target = parse_unit(found), parse_unit(wanted)
    if source.dimension != target.dimension:
        raise UnitError(f"found the unit {found!r}")
    return (number * source.factor + source.zero - target.zero) / target.factor


def is_time(unit: Any) -> bool:
    """Whether the units of an axis, if it has any, are those of a time.

    Examples
    --------
    >>> is_time("ms"), is_time("nm"), is_time("$A^{-1}$"), is_time("")
    (True, False, False, False)
    """
    return isinstance(unit, str) and _same_dimension(unit, "s")


def _same_dimension(found: str, other: str) -> bool:
    try:
        return parse_unit(found).dimension == parse_unit(other).dimension
    except UnitError:
        return False


def _split(value: Any, unit: str, name: str, example: str, bare: str | None) -> tuple[Fraction, Fraction | None, str]:
    """Number, error and unit as they were written; exact."""
    error = None
    if isinstance(value, dict):
        entry = {str(key).lower().rstrip("s"): item for key, item in value.items()}
        number, error, found = entry.get("value"), entry.get("error"), entry.get("unit", bare)
        if isinstance(number, str) and "unit" not in entry:
            number, error, found = _split_text(number, value, unit, name, example, bare)
    elif isinstance(value, (tuple, list)) and len(value) in (2, 3) and isinstance(value[-1], str):
        number, found = value[0], value[-1]
        error = value[1] if len(value) == 3 else None
    elif hasattr(value, "magnitude") and hasattr(value, "units"):
        number, found = _of_pint(value)
    elif isinstance(value, str):
        number, error, found = _split_text(value, value, unit, name, example, bare)
    else:
        number, found = value, bare
    number = _exact(number, value, name, example)
    error = None if error is None else _exact(error, value, name, example)
    if not found:
        raise UnitError(
            f"{name}={shown(value)} has no unit. Write for example {example!r}: packages of this field differ in the "
            "unit of the same key."
        )
    return number, error, str(found)


def _split_text(
    text: str, value: Any, unit: str, name: str, example: str, bare: str | None
) -> tuple[Any, Any, str | None]:
    """A number, perhaps an error, and the unit behind them; brackets may hold both numbers."""
    _refuse_text(text, value, name, example)
    rest = text.strip()
    closing = rest.startswith("(")
    rest = rest[closing:].lstrip()
    number, error = _PLAIN.match(rest), None
    if number is not None:
        rest, quotient = rest[number.end() :], _DIVISOR.match(rest, number.end())
        if quotient:  # an exact time, such as "103074260778 / 3840000000 s"
            exact, rest = _quotient(number[0], quotient[1], value, name, example), quotient.string[quotient.end() :]
            return exact, None, rest.strip() or bare
        sign = _ERROR_SIGN.match(rest)
        error = _PLAIN.match(rest, sign.end()) if sign else None
        rest = rest[error.end() :] if error else rest
        rest = rest.lstrip()
        if closing:
            number, rest = (number, rest[1:]) if rest.startswith(")") else (None, rest)
    if number is None:
        raise UnitError(
            f"{name}={shown(value)} cannot be read as {_WHAT.get(unit, unit)}. Write a number and a unit, for "
            f"example {example!r}."
        )
    return number[0], error and error[0], rest.strip() or bare


_DIVISOR = re.compile(rf"\s*/\s*({_NUMBER})(?!\s*/)")


def _quotient(number: str, divisor: str, value: Any, name: str, example: str) -> Fraction:
    below = _exact(divisor, value, name, example)
    if not below:
        raise UnitError(f"{name}={shown(value)} is divided by zero.{_hint(example)}")
    return _exact(number, value, name, example) / below


def _of_pint(value: Any) -> tuple[float, str]:
    """Number and unit of a quantity made with pint; units of ours by their names, others in base units."""
    try:
        parse_unit(str(value.units))
        return value.magnitude, str(value.units)
    except UnitError:
        base = value.to_base_units() if hasattr(value, "to_base_units") else value
        return base.magnitude, str(base.units)
