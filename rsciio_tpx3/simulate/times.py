"""Times as a user writes them ("0.5 us", a pint quantity, whole ticks) to exact ticks."""

from fractions import Fraction
from numbers import Integral

from rsciio_tpx3.exceptions import UnitError

__all__ = ["exact_ticks", "whole_ticks"]


def exact_ticks(value, name):
    """Ticks of 260.41666 ps in a time, not rounded.

    Parameters
    ----------
    value : str, pint.Quantity, int or fractions.Fraction
        With a unit, or a plain number of ticks. A float is refused: it could mean seconds.
    name : str
        The option, for the message.

    Returns
    -------
    fractions.Fraction

    Raises
    ------
    UnitError
        For a float without unit, or a negative time.
    """
    if isinstance(value, (bool, float)):
        raise UnitError(
            f'{name}={value!r} has no unit. Write "0.5 us", or a whole number of ticks of 260.41666 ps.'
        )
    if isinstance(value, (Integral, Fraction)):
        ticks = Fraction(int(value)) if isinstance(value, Integral) else value
    else:
        from rsciio_tpx3.metadata.units import to_ticks

        ticks = Fraction(to_ticks(value))
    if ticks < 0:
        raise UnitError(f"{name}={value!r} is negative; a time of 0 or more is needed.")
    return ticks


def whole_ticks(value, name):
    """`exact_ticks`, rounded to the nearest whole tick."""
    return round(exact_ticks(value, name))
