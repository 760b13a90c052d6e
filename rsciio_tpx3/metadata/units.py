"""Quantities with a unit, as text or pint objects; the only module that touches pint.

Inside the package times are exact: ticks as integers or fractions. So text is parsed with
fractions, and a decimal such as "40.0203 us" loses nothing on its way.
"""

from fractions import Fraction
from functools import cache

from rsciio_tpx3.events.clock import TICKS_PER_SECOND
from rsciio_tpx3.exceptions import UnitError

__all__ = ["to_ticks"]


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
    except (pint.UndefinedUnitError, ValueError, AttributeError, AssertionError, TypeError, OverflowError):
        raise UnitError(
            f"{name}={value!r} cannot be read as a time. Write a number and a unit, for example {example!r}."
        ) from None
