"""Whether a value that somebody stated can be what the table says, and the plain form in which it is stored."""

from __future__ import annotations

import datetime
import re
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.exceptions import UnitError
from rsciio_tpx3.metadata.mapping import LEAVES
from rsciio_tpx3.utils.units import shown, to_number, to_plain

if TYPE_CHECKING:
    from rsciio_tpx3.metadata.mapping import Leaf


__all__ = ["check"]

_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def check(name: str, value: Any, bare: str | None = None, key: str | None = None) -> tuple:
    """A value as it is stored, and its error.

    Parameters
    ----------
    name : str
        Of a row of `rsciio_tpx3.metadata.mapping.LEAVES`.
    value : object
        As the source has it; see `rsciio_tpx3.utils.units.to_plain` for what has a unit.
    bare : str, optional
        Unit of a bare number, where the source format defines it.
    key : str, optional
        What the source calls it, for errors.

    Returns
    -------
    value, error
        Plain number, text, bool or list; the error is a number or None.

    Raises
    ------
    UnitError
        For a quantity without a unit, with a wrong one, or outside physical sense.
    ValueError
        For anything else that the row does not allow.

    Examples
    --------
    >>> from rsciio_tpx3.metadata.validation import check
    >>> check("camera_length", "100 mm")
    (0.1, None)
    """
    row = LEAVES[name]
    key = key or name
    try:
        return _checked(row, value, bare, key)
    except (TypeError, AttributeError, ArithmeticError):
        raise _refused(row, value, key, "expected a value of another kind") from None


def _checked(row: Leaf, value: Any, bare: str | None, key: str | None) -> tuple:
    if row.many and row.kind != "shape":
        items = value if isinstance(value, (list, tuple, np.ndarray)) else [value]
        if row.unit is not None and len(items) == 2 and isinstance(items[1], str) and not isinstance(items[0], str):
            # one unit for one number, or for a list of them
            numbers = items[0] if isinstance(items[0], (list, tuple, np.ndarray)) else [items[0]]
            items = [(number, items[1]) for number in numbers]
        return [_CHECKS[row.kind](row, item, bare, key)[0] for item in items], None
    return _CHECKS[row.kind](row, value, bare, key)


def _refused(row: Leaf, value: Any, key: str | None, why: object) -> ValueError:
    hint = f" Write for example {row.example!r}." if row.example else ""
    return ValueError(f"{key}={shown(value)}: {why}.{hint}")


def _number(row: Leaf, value: Any, bare: str | None, key: str | None) -> tuple:
    if row.unit is None:
        number, error = _plain_number(row, value, key), None
    else:
        number, error = to_plain(value, row.unit, key, row.example, row.also, bare)
    if not row.low <= number <= row.high:
        unit = f" {row.unit}" if row.unit else ""
        raise UnitError(
            f"{key}={shown(value)} is {number:g}{unit}, which is physically impossible: expected {row.low:g} to "
            f"{row.high:g}{unit}. Check the unit; write for example {row.example!r}."
        )
    return number, error


def _plain_number(row: Leaf, value: Any, key: str | None) -> float:
    try:
        # the one quantity without a unit is a magnification: "200 kx"
        return float(to_number(value, key, row.example, magnified=True))
    except (UnitError, OverflowError) as error:
        words = f" ({error})" if "comma" in str(error) or "between digits" in str(error) else ""
        raise _refused(row, value, key, f"expected a plain number without a unit{words}") from None


def _whole(row: Leaf, value: Any, bare: str | None, key: str | None) -> tuple:
    if row.unit is None and isinstance(value, (Integral, np.integer)) and not isinstance(value, bool):
        number = int(value)  # exact, where a float might not be
    else:
        number, _ = _number(row, value, bare, key)
    if number != int(number) or not row.low <= number <= row.high:
        raise _refused(row, value, key, f"expected an integer from {row.low:g} to {row.high:g}")
    return int(number), None


def _text(row: Leaf, value: Any, bare: str | None, key: str | None) -> tuple:
    if isinstance(value, (str, Real)) and not isinstance(value, bool):
        return str(value).strip(), None
    raise _refused(row, value, key, "expected text")


def _flag(row: Leaf, value: Any, bare: str | None, key: str | None) -> tuple:
    if isinstance(value, (bool, np.bool_)):
        return bool(value), None
    if isinstance(value, str) and value[:100].strip().lower() in _FLAGS:
        return _FLAGS[value.strip().lower()], None
    raise _refused(row, value, key, "expected true or false")


def _date(row: Leaf, value: Any, bare: str | None, key: str | None) -> tuple:
    try:
        # TOML and YAML have dates of their own; a number is another kind of time, such as an exposure
        text = value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else value
        return getattr(datetime, row.kind).fromisoformat(text).isoformat(), None
    except (ValueError, TypeError):
        raise _refused(row, value, key, f"expected an ISO {row.kind}") from None


def _shape(row: Leaf, value: Any, bare: str | None, key: str | None) -> tuple:
    parts = value
    if isinstance(value, str):
        # one sign between all numbers: "1,024 x 768" is two numbers, with a comma that means nothing to us
        inside = value[:100].strip().strip("()[]").lower().replace("\u00d7", "x")
        parts = re.split("x" if "x" in inside else ",", inside)
    try:
        if isinstance(parts, dict) or not 2 <= len(parts) <= 3:
            raise ValueError
        shape = [_size(part) for part in parts]
    except (TypeError, ValueError):
        raise _refused(row, value, key, "expected two or three positive integers, (x, y) or (x, y, frames)") from None
    return shape, None


def _size(part: Any) -> int:
    """A number of positions, from a number or its text; "024" is the rest of a number with a comma in it."""
    if isinstance(part, str) and part.strip().startswith("0"):
        raise ValueError
    size = to_number(part)
    if size != int(size) or not 1 <= size < 1 << 31:
        raise ValueError
    return int(size)


def _choice(row: Leaf, value: Any, bare: str | None, key: str | None) -> tuple:
    word = str(value)[:100].strip().lower().replace("-", "_").replace(" ", "_")
    if word not in row.choices:
        raise _refused(row, value, key, f"must be one of {', '.join(row.choices)}")
    return word, None


def _layout(row: Leaf, value: Any, bare: str | None, key: str | None) -> tuple:
    try:
        make_layout(value)
    except ValueError as error:
        raise _refused(row, value, key, str(error).rstrip(".")) from None
    return value if isinstance(value, str) else [dict(chip) for chip in value], None


def _any(row: Leaf, value: Any, bare: str | None, key: str | None) -> tuple:
    return value, None


_CHECKS = {
    "number": _number,
    "whole": _whole,
    "text": _text,
    "flag": _flag,
    "date": _date,
    "time": _date,
    "shape": _shape,
    "choice": _choice,
    "layout": _layout,
    "any": _any,
}
