"""Integers among options, for every layer; `rsciio_tpx3.reader.options` has the table of what each option takes."""

import math
from typing import Any

import numpy as np

__all__ = ["MOST_LINES_REQUESTED", "is_whole"]

MOST_LINES_REQUESTED = 2**31
"""Bound of numbers of lines, frames and pixels that an option may tell."""


def is_whole(value: Any, least: float = -MOST_LINES_REQUESTED, most: float = MOST_LINES_REQUESTED) -> bool:
    """Whether a value is an integer of Python or NumPy, or a float without a fraction, in these bounds."""
    if isinstance(value, (bool, np.bool_, np.timedelta64)):
        return False  # NumPy counts differences of dates among its integers
    if isinstance(value, (float, np.floating)):
        return math.isfinite(value) and value == int(value) and bool(least <= value <= most)
    return isinstance(value, (int, np.integer)) and bool(least <= value <= most)
