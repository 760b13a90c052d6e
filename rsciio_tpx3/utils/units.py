"""Quantities with a unit, as text, numbers or pint objects: the one parser of the package.

Units come from a table and a small grammar: products and quotients of known units with whole exponents. Text never
reaches a parser of expressions: pint computes ``m**9**9**9``, and does not come back. Numbers and exponents are
bounded, and so is the length of the text, before anything is computed.

Inside the package times are exact: ticks as integers or fractions. So numbers are fractions, and a decimal such as
"40.0203 us" loses nothing on its way. Angles and pixels are dimensions of their own: an angle is never a plain number,
and a pixel never a length of style sheets (1/96 inch, as pint has it).

A comma is refused: "1,2" is 1.2 to one person and a slip for 12 to another.
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from numbers import Integral, Number
from typing import Any

from rsciio_tpx3.exceptions import UnitError
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND

__all__ = ["Unit", "convert", "is_number", "is_time", "parse_unit", "shown", "to_number", "to_plain", "to_ticks"]

_MOST_DIGITS = 100
_LARGEST_EXPONENT = 300
_LONGEST_UNIT = 64
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


def shown(value: Any) -> str:
    """A value for a message: what a file holds may be long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return f"<{type(value).__name__} of very many digits>"
    except Exception:  # of an object that cannot even say what it is
        return f"<{type(value).__name__}>"
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text):,} characters)"


# -- the table of units ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unit:
    """A unit by its dimension.

    Attributes
    ----------
    factor : fractions.Fraction
        In metres, kilograms, seconds, amperes, kelvins, radians, pixels.
    dimension : tuple of int
        Powers of these seven.
    zero : fractions.Fraction
        Kelvins at zero degrees of a scale of temperature.
    """

    factor: Fraction
    dimension: tuple
    zero: Fraction = Fraction(0)


_LENGTH, _MASS, _TIME, _CURRENT, _KELVIN, _ANGLE, _PIXEL = (tuple(int(i == j) for j in range(7)) for i in range(7))
_ENERGY, _VOLTAGE = (2, 1, -2, 0, 0, 0, 0), (2, 1, -3, -1, 0, 0, 0)
_NEWTON, _PASCAL, _WATT = (1, 1, -2, 0, 0, 0, 0), (-1, 1, -2, 0, 0, 0, 0), (2, 1, -3, 0, 0, 0, 0)
_HERTZ, _COULOMB, _TESLA = (0, 0, -1, 0, 0, 0, 0), (0, 0, 1, 1, 0, 0, 0), (0, 1, -2, -1, 0, 0, 0)
_DEGREE = Fraction(math.pi) / 180
_EV = Fraction(1602176634, 10**28)  # J, exact since 2019

# symbols, names, factor, dimension; those above take prefixes
_PREFIXED = (
    (("m",), ("meter", "metre"), 1, _LENGTH),
    (("s", "sec"), ("second",), 1, _TIME),
    (("g",), ("gram",), Fraction(1, 1000), _MASS),
    (("A", "amp"), ("ampere",), 1, _CURRENT),
    (("K",), ("kelvin",), 1, _KELVIN),
    (("rad",), ("radian",), 1, _ANGLE),
    (("eV",), ("electronvolt", "electron_volt"), _EV, _ENERGY),
    (("J",), ("joule",), 1, _ENERGY),
    (("V",), ("volt",), 1, _VOLTAGE),
    (("N",), ("newton",), 1, _NEWTON),
    (("Pa",), ("pascal",), 1, _PASCAL),
    (("W",), ("watt",), 1, _WATT),
    (("Hz",), ("hertz",), 1, _HERTZ),
    (("C",), ("coulomb",), 1, _COULOMB),
    (("T",), ("tesla",), 1, _TESLA),
    (("deg",), ("degree",), _DEGREE, _ANGLE),
)
_ALONE = (
    (("min",), ("minute",), 60, _TIME),
    (("h", "hr"), ("hour",), 3600, _TIME),
    (("d",), ("day",), 86400, _TIME),
    (("\u00c5", "Ang", "ang"), ("angstrom", "\u00e5ngstr\u00f6m", "\u00e5ngstrom"), Fraction(1, 10**10), _LENGTH),
    ((), ("micron",), Fraction(1, 10**6), _LENGTH),
    ((), ("inch",), Fraction(254, 10**4), _LENGTH),
    (("\u00b0",), ("arcdegree",), _DEGREE, _ANGLE),
    (("arcmin",), ("arcminute",), _DEGREE / 60, _ANGLE),
    (("arcsec",), ("arcsecond",), _DEGREE / 3600, _ANGLE),
    (("px",), ("pixel",), 1, _PIXEL),
)
_TEMPERATURES = {
    Unit(Fraction(1), _KELVIN, Fraction(27315, 100)): (
        "degC", "\u00b0C", "celsius", "Celsius", "degree_Celsius", "degrees_Celsius", "degree_celsius", "deg C",
    ),
    Unit(Fraction(5, 9), _KELVIN, Fraction(45967, 180)): (
        "degF", "\u00b0F", "fahrenheit", "Fahrenheit", "degree_Fahrenheit", "degree_fahrenheit",
    ),
}  # fmt: skip
# "u" for micro is everybody's, and both signs of Unicode become the Greek letter before they are looked up
_PREFIXES = {"a": -18, "f": -15, "p": -12, "n": -9, "u": -6, "\u03bc": -6, "m": -3, "c": -2, "d": -1, "k": 3, "M": 6,
             "G": 9, "T": 12}  # fmt: skip
_LONG_PREFIXES = {"atto": -18, "femto": -15, "pico": -12, "nano": -9, "micro": -6, "milli": -3, "centi": -2,
                  "deci": -1, "kilo": 3, "mega": 6, "giga": 9, "tera": 12}  # fmt: skip


def _table() -> tuple[dict[str, Unit], dict[str, Unit]]:
    """Symbols and names, with every prefix, to units."""
    symbols: dict[str, Unit] = {}
    names: dict[str, Unit] = {}
    for rows, prefixed in ((_PREFIXED, True), (_ALONE, False)):
        for short, long, factor, dimension in rows:
            for prefix, power in ({"": 0} | (_PREFIXES if prefixed else {})).items():
                for symbol in short:
                    symbols.setdefault(prefix + symbol, Unit(factor * Fraction(10) ** power, dimension))
            for prefix, power in ({"": 0} | (_LONG_PREFIXES if prefixed else {})).items():
                for name in long:
                    unit = Unit(factor * Fraction(10) ** power, dimension)
                    names[prefix + name] = names[f"{prefix}{name}s"] = unit
    # a name before a prefix with a symbol: "min" is a minute, and "cd" no hundredth of a day
    for short, _, factor, dimension in _ALONE:
        symbols.update({symbol: Unit(Fraction(factor), dimension) for symbol in short})
    names["inches"] = names["inch"]
    return symbols, names


_SYMBOLS, _NAMES = _table()
_OF_TEMPERATURE = {name: unit for unit, names in _TEMPERATURES.items() for name in names}
_SUPERSCRIPT = re.compile("[\u207a\u207b]?[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]")
_TOKEN = re.compile(r"\s*(?:(?P<name>[^\W\d]+|\u00b0)|(?P<number>[0-9]+)|(?P<sign>\*\*|[*/^()+-]))")
_MOST_FACTORS = 8
_LARGEST_POWER = 9


def parse_unit(text: str) -> Unit:
    """The unit that a text names.

    Parameters
    ----------
    text : str
        A symbol or name ("nm", "nanometers"), products and quotients of them with whole exponents, or a power as TeX
        has it ("$\\\\AA^{-1}$"). In this field "A^-1" is one over an angstrom, as pyXem writes it: nothing is
        measured in one over amperes.

    Returns
    -------
    Unit

    Raises
    ------
    UnitError
        If it is not known.

    Examples
    --------
    >>> from rsciio_tpx3.utils.units import parse_unit
    >>> parse_unit("1/nm") == parse_unit("nm^-1") == parse_unit("nm$^{-1}$")
    True
    """
    if not isinstance(text, str) or len(text) > _LONGEST_UNIT:
        raise UnitError(f"the unit {shown(text)} is not known")
    return _parsed_unit(text)


# what pyXem's `unit` setter writes on axes; its q, which holds 2 pi, is another quantity and stays unknown
_OF_PYXEM = {"k_nm^-1": "nm^-1", "k_A^-1": "angstrom^-1", "2th_deg": "deg", "2th_rad": "rad"}


@lru_cache(512)
def _parsed_unit(text: str) -> Unit:
    plain = _without_tex(text)
    plain = _OF_PYXEM.get(plain, plain)
    if plain in _OF_TEMPERATURE:
        return _OF_TEMPERATURE[plain]
    powers = _powers(plain)
    if not powers:
        raise UnitError(f"the unit {text!r} is not known{_near(plain)}")
    if powers == [("A", -1)]:
        powers = [("angstrom", -1)]
    factor, dimension = Fraction(1), (0,) * 7
    for name, power in powers:
        unit = _SYMBOLS.get(name) or _NAMES.get(name) or _NAMES.get(name.lower())
        if unit is None:
            raise UnitError(f"the unit {text!r} is not known{_near(name)}")
        factor *= unit.factor**power
        dimension = tuple(a + power * b for a, b in zip(dimension, unit.dimension))
    return Unit(factor, dimension)


def _without_tex(text: str) -> str:
    """One spelling of micro, minus, angstrom and powers."""
    text = _SUPERSCRIPT.sub(lambda found: f"^{unicodedata.normalize('NFKC', found[0])}", text)
    text = unicodedata.normalize("NFKC", text).replace("\u2212", "-")
    for tex, plain in (("\\AA", "angstrom"), ("\\angstrom", "angstrom"), ("\\mu", "u"), ("\\degree", "deg"),
                       ("\\mathrm", ""), ("\\cdot", "*"), ("\\,", " "), ("\u22c5", "*"), ("\u00b7", "*"),
                       ("\u00d7", "*"), ("$", ""), ("{", ""), ("}", "")):  # fmt: skip
        text = text.replace(tex, plain)
    return text.strip()


def _powers(text: str) -> list[tuple[str, int]]:
    """(name, power) of each factor; empty for what the grammar has not."""
    tokens: list[tuple[str, str]] = []
    powers: list[tuple[str, int]] = []
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            return []
        kind = found.lastgroup or ""
        tokens.append((kind, found[kind]))
        place = found.end()
    sign, i = 1, 0
    if tokens[:2] == [("number", "1"), ("sign", "/")]:
        sign, i = -1, 2
    while i < len(tokens):
        kind, name = tokens[i]
        if kind != "name" or len(powers) == _MOST_FACTORS:
            return []
        power, i = _power(tokens, i + 1)
        if power is None:
            return []
        powers.append((name, sign * power))
        if i == len(tokens):
            return powers
        if tokens[i] not in (("sign", "*"), ("sign", "/")):
            return []
        sign, i = 1 if tokens[i][1] == "*" else -1, i + 1
    return []


def _power(tokens: list[tuple[str, str]], i: int) -> tuple[int | None, int]:
    """The exponent that stands behind a name, 1 where none does, and where it ends; None for one that is no such."""
    marked = i < len(tokens) and tokens[i][1] in ("^", "**")
    i += marked
    closed = marked and tokens[i : i + 1] == [("sign", "(")]
    i += closed
    sign = tokens[i][1] if i < len(tokens) and tokens[i][1] in ("-", "+") else ""
    # "nm-1" is a way to write nm^-1; "nm1" is none
    if not marked and sign != "-":
        return 1, i
    i += bool(sign)
    if i >= len(tokens) or tokens[i][0] != "number" or len(tokens[i][1]) > 1:
        return None, i
    power, i = int(f"{sign}{tokens[i][1]}"), i + 1
    if closed and tokens[i : i + 1] != [("sign", ")")]:
        return None, i
    return (power, i + closed) if 0 < abs(power) <= _LARGEST_POWER else (None, i)


def _near(name: str) -> str:
    """A hint at the unit that was probably meant: prefixes differ by the case of a letter."""
    same = [known for known in _SYMBOLS if known.casefold() == name.casefold()]
    alike = [known for known in _NAMES if abs(len(known) - len(name)) <= 2 and known[:1] == name[:1].lower()]
    near = same or difflib.get_close_matches(name, alike, n=1, cutoff=0.85)
    return (
        f" (is {' or '.join(map(repr, sorted(same)))} meant?)" if same else f" (is {near[0]!r} meant?)" if near else ""
    )


# -- numbers -------------------------------------------------------------------------------------------


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
            f"{name}={shown(value)} is longer than any recording: less than 30 years is expected. Write for example "
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
        raise UnitError(f"{name}={shown(value)}: a time without an error is expected. Write for example {example!r}.")
    try:
        unit = parse_unit(found)
        if unit.dimension != _TIME:
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
            f"{name}={shown(value)}: {_WHAT.get(unit, unit)} is expected, {problem}. Write for example {example!r}."
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
