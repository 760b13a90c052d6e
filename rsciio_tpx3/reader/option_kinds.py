"""Kinds of values that options take, each a function ``(name, value)`` that refuses what is of another kind.

Ranges and combinations are checked where they mean something; here it is made sure that a value is of its kind at all,
so that NaN, a bool, a word or an array of another shape never meets arithmetic, at the call or during a computation.
"""

import errno
import math
import os
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.metadata.calibration import check_choice
from rsciio_tpx3.metadata.validation import check as check_quantity
from rsciio_tpx3.scan.repeats import frame_choice
from rsciio_tpx3.utils.paths import need_file
from rsciio_tpx3.utils.units import shown, to_ticks

__all__ = [
    "MOST",
    "anything",
    "automatic_flag",
    "bins",
    "calibration",
    "chunks",
    "dtype",
    "flag",
    "fraction",
    "frames",
    "layout",
    "pair_of_lines",
    "parts",
    "positions",
    "seconds_or_flag",
    "shape",
    "source",
    "sources",
    "time",
    "whole",
    "word",
]

MOST = 1 << 31


def _refused(name, value, expected):
    return ValueError(f"{name}={shown(value)}: {expected}.")


def _is_integer(value):
    """An integer of Python or NumPy; no bool, and no difference of dates, which NumPy counts among them."""
    return isinstance(value, (Integral, np.integer)) and not isinstance(value, (bool, np.timedelta64))


def _is_whole(value):
    """An integer, also where NumPy or a division has made a float of it; no bool and no text."""
    if isinstance(value, (bool, np.bool_, np.timedelta64)):
        return False
    if isinstance(value, (Integral, np.integer)):
        return True
    return isinstance(value, (Real, np.floating)) and math.isfinite(value) and value == int(value)


def shape(expected, lengths):
    def check(name, value):
        if value is None:
            return
        plain = value.tolist() if isinstance(value, np.ndarray) else value
        parts = plain if isinstance(plain, (tuple, list)) else [plain]
        if len(parts) not in lengths or not all(_is_whole(n) and 1 <= n < MOST for n in parts):
            raise _refused(name, value, expected)

    return check


@dataclass(frozen=True)
class time:
    """A time with its unit, such as `example`; `rsciio_tpx3.reader.scan.scan_options` makes ticks of it."""

    example: str
    allow_negative: bool = False

    def __call__(self, name, value):
        if value is not None:
            to_ticks(value, name, self.example, self.allow_negative)


def word(name, value):
    if value is not None and not isinstance(value, str):
        raise _refused(name, value, "a word is expected, in quotes; the documentation of the reader lists them")


def whole(low, high, none=False):
    def check(name, value):
        if value is None and none:
            return
        if not _is_integer(value) or not low <= value <= high:
            raise _refused(name, value, f"whole numbers are needed, here one from {low} to {high}")

    return check


def pair_of_lines(name, value):
    parts = value if isinstance(value, (tuple, list)) or np.ndim(value) == 1 else [value]
    if any(not _is_integer(n) or abs(n) >= MOST for n in parts):
        raise _refused(name, value, "whole numbers are needed, and two for skip_lines, such as (0, 1)")


def fraction(name, value):
    if value is None:
        return
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (Real, np.number)) or not 0 < value <= 1:
        raise ValueError(f"{name}={shown(value)} must lie above 0 and not above 1.")


def flag(name, value):
    if value is not None and not isinstance(value, (bool, np.bool_)):
        raise _refused(name, value, "True or False is expected")


def seconds_or_flag(name, value):
    if value is None or isinstance(value, (bool, np.bool_)):
        return
    if not isinstance(value, (Real, np.number)) or not 0 < value < 1e6:
        raise _refused(name, value, "True, False or a number of seconds up to a million is expected")


def frames(name, value):
    if isinstance(value, np.ndarray) and value.ndim > 1:
        raise _refused(name, value, "a frame number, a slice or a flat list of numbers is expected")
    chosen = frame_choice(value).chosen
    numbers = (
        (chosen.start, chosen.stop, chosen.step)
        if isinstance(chosen, slice)
        else np.atleast_1d(np.array(chosen, object))
    )
    if any(n is not None and (not _is_integer(n) or abs(n) >= MOST) for n in numbers):
        raise _refused(name, value, "numbers of frames are expected")


def layout(name, value):
    if value is None or isinstance(value, str):
        return
    check_quantity("layout", list(value) if isinstance(value, tuple) else value, key=name)


def bins(name, value):
    """The number; what else stands in a dictionary is checked by `rsciio_tpx3.reader.scan.scan_options`."""
    number = value.get("number") if isinstance(value, dict) else value
    if _is_integer(number) and not 1 <= number < MOST:
        raise _refused(name, value, "a number of bins from 1 on is expected")


def chunks(name, value):
    """What `to_dask` takes: "auto", a number of lines, or sizes for each axis."""
    if isinstance(value, str) and value == "auto":
        return
    parts = value if isinstance(value, (tuple, list)) else [value]
    flat = [n for part in parts for n in (part if isinstance(part, (tuple, list)) else [part])]
    if not flat or not all(map(_is_size, flat)):
        raise _refused(name, value, 'a number of scan lines, one size for each axis, or "auto" is expected')


def _is_size(n):
    return _is_integer(n) and (n == -1 or 1 <= n < MOST)


def dtype(name, value):
    if value is None:
        return
    try:
        found = np.dtype(value)
    except (TypeError, ValueError, SyntaxError):
        raise _refused(name, value, "the name of a number type is expected, such as 'uint16'") from None
    if found.kind not in "biufc" or found.subdtype is not None:
        raise _refused(name, value, "a type of numbers is expected, such as 'uint16'")


def positions(name, value):
    if value is None:
        return
    if isinstance(value, (str, os.PathLike)):
        return _readable(name, value)
    try:
        numbers = np.asarray(value)
    except ValueError:
        numbers = np.zeros((0, 0))
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise _refused(name, value, "a flat list of whole numbers, or the name of a file of them, is expected")


def automatic_flag(name, value):
    if value is not None and not isinstance(value, (bool, np.bool_, str, os.PathLike)):
        raise _refused(name, value, 'True, False or "auto" is expected')


def parts(name, value):
    if isinstance(value, (bool, np.bool_)):
        return
    named = isinstance(value, (list, tuple)) and len(value) > 0
    if not named or not all(isinstance(part, (str, os.PathLike)) for part in value):
        raise _refused(name, value, "True, False, or a list of files is needed")


def sources(name, value):
    """Paths; what stands in dictionaries is checked by `rsciio_tpx3.metadata.known.gather`."""
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(item, (str, os.PathLike)):
            _readable(name, item)


def source(name, value):
    if value is None or (hasattr(value, "metadata") and hasattr(value, "axes_manager")):
        return
    if not isinstance(value, (str, os.PathLike)):
        raise _refused(name, value, "a file that tells about the microscope, or a signal, is expected")
    _readable(name, value)


def _readable(name, path):
    """Refuse names of nothing, of folders and of pipes before something waits for them."""
    try:
        need_file(path)
    except Tpx3FormatError as error:
        raise Tpx3FormatError(f"{name}: {error}") from None
    except OSError as error:
        words = str(error) if error.errno is None else f"{shown(os.fspath(path))}: {error.strerror}"
        # no file has a name that is too long for the disk
        kind = FileNotFoundError if error.errno == errno.ENAMETOOLONG else type(error)
        raise kind(f"{name}: {words}") from None


def calibration(name, value):
    check_choice(value)


def anything(name, value):
    """Values that are checked where they mean something."""
