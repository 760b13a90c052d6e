"""Times as a user writes them ("0.5 us", a pint quantity, whole ticks) to exact ticks."""

from fractions import Fraction
from numbers import Integral
from typing import Any

from rsciio_tpx3.exceptions import UnitError
from rsciio_tpx3.utils.units import to_ticks

__all__ = ["exact_ticks", "whole_ticks"]


def exact_ticks(value: Any, name: str, allow_negative: bool = False) -> Fraction:
    """Ticks of 260.41666 ps in a time, not rounded.

    Parameters
    ----------
    value : str, pint.Quantity, int or fractions.Fraction
        With a unit, or a plain number of ticks. A float is refused: it could mean seconds.
    name : str
        The option, for the message.
    allow_negative : bool

    Returns
    -------
    fractions.Fraction

    Raises
    ------
    UnitError
        For a float without unit, or a negative time where that makes no sense.
    """
    if isinstance(value, (bool, float)):
        raise UnitError(f'{name}={value!r} has no unit. Write "0.5 us", or an integer number of ticks of 260.41666 ps.')
    if isinstance(value, (Integral, Fraction)):
        ticks = Fraction(int(value)) if isinstance(value, Integral) else value
    else:
        ticks = to_ticks(value, name, allow_negative=True)  # zero is fine here
    if ticks < 0 and not allow_negative:
        raise UnitError(f"{name}={value!r} is negative; expected a time of 0 or more.")
    return ticks


def whole_ticks(value: Any, name: str, allow_negative: bool = False) -> int:
    """`exact_ticks`, rounded to the nearest whole tick."""
    return round(exact_ticks(value, name, allow_negative))
