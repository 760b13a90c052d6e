"""Names of units: a table of them with their prefixes, and a small grammar of products, quotients and whole powers.

Text never reaches a parser of expressions: pint computes ``m**9**9**9``, and does not come back. Exponents are
bounded, and so is the length of the text, before anything is computed. Angles and pixels are dimensions of their own:
an angle is never a plain number, and a pixel never a length of style sheets (1/96 inch, as pint has it).
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from rsciio_tpx3.exceptions import UnitError
from rsciio_tpx3.utils.text import shown

__all__ = ["Unit", "parse_unit"]

_LONGEST_UNIT = 64  # letters


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
_MOST_FACTORS = 8  # as many as there are base units, and one more
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
    """The exponent that stands behind a name, 1 where none does, and where it ends; None where it is malformed."""
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
