"""Of which kind each option's value must be, asked before anything else looks at it.

What a value means is read where it is used. That it is text, a number or a list of the right length is asked here,
once for all readers: a comparison with a list, or arithmetic with text, would raise an error that names neither the
option nor what was expected.
"""

import math
import os
from collections.abc import Mapping

import numpy as np

__all__ = ["MOST_LINES_TOLD", "check_kinds", "is_whole", "shown"]

MOST_LINES_TOLD = 2**31
"""Bound of numbers of lines, frames and pixels that an option may tell."""


def check_kinds(options):
    """Raise for an option whose value is not of a kind that can be meant.

    Parameters
    ----------
    options : dict
        Name to value; names that are not known here are passed over.

    Raises
    ------
    ValueError
        With the option's name, what was found and what was expected.

    Examples
    --------
    >>> from rsciio_tpx3.option_kinds import check_kinds
    >>> check_kinds({"lines_per_row": 1.5})
    Traceback (most recent call last):
    ...
    ValueError: lines_per_row=1.5: whole numbers are needed, from 1 to 2147483648.
    """
    for name, value in options.items():
        fits, expected = _KINDS.get(name, (None, None))
        if fits is not None and not fits(value):
            raise ValueError(f"{name}={shown(value)}: {expected}.")


def shown(value):
    """A value in the words of Python, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:80]}… ({len(text)} characters)"


def is_whole(value, least=-MOST_LINES_TOLD, most=MOST_LINES_TOLD):
    """Whether a value is an integer of Python or NumPy, or a float without a fraction, in these bounds."""
    if isinstance(value, (bool, np.bool_, np.timedelta64)):
        return False  # NumPy counts differences of dates among its integers
    if isinstance(value, (float, np.floating)):
        return math.isfinite(value) and value == int(value) and least <= value <= most
    return isinstance(value, (int, np.integer)) and least <= value <= most


def _is_switch(value):
    return value is None or isinstance(value, (bool, np.bool_)) or is_whole(value, 0, 1)


def _is_text(value):
    return isinstance(value, str)


def _is_text_or_none(value):
    return value is None or isinstance(value, str)


def _is_list(value):
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _is_shape(value):
    return value is None or (_is_list(value) and len(value) in (2, 3) and all(is_whole(n, 1) for n in value))


def _are_skipped(value):
    return is_whole(value, 0) or (_is_list(value) and all(is_whole(n, 0) for n in value))


def _is_layout(value):
    is_table = isinstance(value, (list, tuple)) and all(isinstance(chip, Mapping) for chip in value)
    return _is_text_or_none(value) or is_table


def _are_parts(value):
    if isinstance(value, (bool, np.bool_)):
        return True
    return _is_list(value) and len(value) > 0 and all(isinstance(part, (str, os.PathLike)) for part in value)


def _are_chunks(value):
    if isinstance(value, str):
        return value == "auto"
    sizes = value if _is_list(value) else (value,)
    return all(_is_chunk(size) or (_is_list(size) and all(is_whole(n, 0) for n in size)) for size in sizes)


def _is_chunk(size):
    return is_whole(size, -1) and not isinstance(size, (float, np.floating)) and size != 0


def _is_type(value):
    try:
        np.dtype(value)
    except (TypeError, ValueError, OverflowError, KeyError, SyntaxError):
        return False
    return True


def _is_share(value):
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, (bool, np.timedelta64))
    return value is None or (number and math.isfinite(value))


def _is_word_or_switch(value):
    return _is_text(value) or (_is_switch(value) and value is not None)


_SWITCH = _is_switch, "True or False is needed"
_TEXT = _is_text, "one of the option's words is needed, as text"
_TEXT_OR_NONE = _is_text_or_none, _TEXT[1]
_COUNT = "whole numbers are needed, from {} to " + str(MOST_LINES_TOLD)

_KINDS = {
    "lazy": _SWITCH,
    "follow": _SWITCH,
    "show_progressbar": _SWITCH,
    "signal": _TEXT,
    "sync": _TEXT,
    "tdc": _TEXT,
    "pattern": _TEXT_OR_NONE,
    "values": _TEXT,
    "on_loss": _TEXT,
    "before_reset": _TEXT,
    "orientation": _TEXT_OR_NONE,
    "navigation_shape": (
        _is_shape,
        "two or three whole numbers above 0 are needed, (x, y) or (x, y, frames)",
    ),
    "active_fraction": (_is_share, "a number above 0 and not above 1 is needed"),
    "lines_per_row": (lambda value: is_whole(value, 1), _COUNT.format(1)),
    "first_line": (lambda value: is_whole(value, 0), _COUNT.format(0)),
    "skip_lines": (_are_skipped, _COUNT.format(0) + ", and two for skip_lines, such as (0, 1)"),
    "layout": (_is_layout, "the name of a layout, or a table of chips (a list of dictionaries) is needed"),
    "gap": (lambda value: value is None or is_whole(value, 0), "a whole number of pixels, 0 or more, is needed"),
    "all_parts": (_are_parts, "True, False, or a list of files is needed"),
    "chunks": (_are_chunks, '"auto", a number of scan lines above 0, or a size for each navigation axis is needed'),
    "dtype": (_is_type, 'a type of NumPy such as "uint16" is needed'),
    "cache": (_is_word_or_switch, 'none of True, False, "auto"'),
    "toa_bits": (lambda value: value is None or is_whole(value, 0), "a whole number of bits is needed"),
    "measurement": (lambda value: value is None or is_whole(value), "the number of a measurement, from 0, is needed"),
}
