"""What is an integer, for every layer; `rsciio_tpx3.reader.options` has the table of what each option takes."""

import math
from numbers import Integral, Real
from typing import Any

import numpy as np

__all__ = ["MOST_LINES_REQUESTED", "is_integer", "is_whole"]

MOST_LINES_REQUESTED = 2**31
"""Bound of numbers of lines, frames and pixels that an option may tell."""


def is_integer(value: Any) -> bool:
    """An integer of Python or NumPy; no bool, and no difference of dates, which NumPy counts among them."""
    return isinstance(value, (Integral, np.integer)) and not isinstance(value, (bool, np.timedelta64))


def is_whole(value: Any, least: float = -MOST_LINES_REQUESTED, most: float = MOST_LINES_REQUESTED) -> bool:
    """An integer in these bounds, also where NumPy or a division has made a float of it; no bool and no text."""
    if not is_integer(value):
        if not isinstance(value, (Real, np.floating)) or isinstance(value, (bool, np.bool_, np.timedelta64)):
            return False
        number: Any = value
        if not math.isfinite(number) or number != int(number):
            return False
    return bool(least <= value <= most)
