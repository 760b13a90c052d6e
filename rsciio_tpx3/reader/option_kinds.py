"""Kinds of values that options of readers and writers take, besides those of `rsciio_tpx3.utils.checks`."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from rsciio_tpx3.corrections.options import with_paths as changed_corrections
from rsciio_tpx3.metadata.scales import check_choice
from rsciio_tpx3.metadata.validation import check as check_quantity
from rsciio_tpx3.scan.repeats import frame_choice
from rsciio_tpx3.utils.checks import MOST, readable, refused
from rsciio_tpx3.utils.integers import is_integer
from rsciio_tpx3.utils.units import shown

__all__ = [
    "anything",
    "automatic_flag",
    "bins",
    "calibration",
    "changed_corrections",
    "changed_paths",
    "chunks",
    "frames",
    "columns_to_keep",
    "layout",
    "positions",
    "signal_dictionary",
    "source",
    "sources",
    "stempy_version",
]


def frames(name: str, value: Any) -> None:
    if isinstance(value, np.ndarray) and value.ndim > 1:
        raise refused(name, value, "expected a frame number, a slice or a flat list of numbers")
    chosen = frame_choice(value).chosen
    numbers = (
        (chosen.start, chosen.stop, chosen.step)
        if isinstance(chosen, slice)
        else np.atleast_1d(np.array(chosen, object))
    )
    if any(n is not None and (not is_integer(n) or abs(n) >= MOST) for n in numbers):
        raise refused(name, value, "expected numbers of frames")


def layout(name: str, value: Any) -> None:
    if value is None or isinstance(value, str):
        return
    check_quantity("layout", list(value) if isinstance(value, tuple) else value, key=name)


def bins(name: str, value: Any) -> None:
    """The number; what else stands in a dictionary is checked by `rsciio_tpx3.reader.scan.scan_options`."""
    number: Any = value.get("number") if isinstance(value, dict) else value
    if is_integer(number) and not 1 <= number < MOST:
        raise refused(name, value, "expected a number of bins from 1 on")


def chunks(name: str, value: Any) -> None:
    """What `to_dask` takes: "auto", a number of lines, or sizes for each axis."""
    if isinstance(value, str) and value == "auto":
        return
    parts = value if isinstance(value, (tuple, list)) else [value]
    flat = [n for part in parts for n in (part if isinstance(part, (tuple, list)) else [part])]
    if not flat or not all(map(_is_size, flat)):
        raise refused(name, value, 'expected a number of scan lines, one size for each axis, or "auto"')


def _is_size(n: Any) -> bool:
    return is_integer(n) and (n == -1 or 1 <= n < MOST)


def positions(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, (str, os.PathLike)):
        return readable(name, value)
    try:
        numbers = np.asarray(value)
    except ValueError:
        numbers = np.zeros((0, 0))
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise refused(name, value, "expected a flat list of integers, or the name of a file of them")


def automatic_flag(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, (bool, np.bool_, str, os.PathLike)):
        raise refused(name, value, 'expected True, False or "auto"')


def sources(name: str, value: Any) -> None:
    """Paths; what stands in dictionaries is checked by `rsciio_tpx3.metadata.known.gather`."""
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(item, (str, os.PathLike)):
            readable(name, item)


def source(name: str, value: Any) -> None:
    if value is None or _is_signal(value):
        return
    if not isinstance(value, (str, os.PathLike)):
        raise refused(name, value, "expected a file that describes the microscope, or a signal")
    readable(name, value)


def _is_signal(value: Any) -> bool:
    try:
        return hasattr(value, "metadata") and hasattr(value, "axes_manager")
    except Exception:  # of an object that answers nothing
        return False


def calibration(name: str, value: Any) -> None:
    check_choice(value)


def signal_dictionary(name: str, value: Any) -> None:
    needed = ("data", "axes")
    if not isinstance(value, dict) or not all(key in value for key in needed) or not hasattr(value["data"], "shape"):
        raise refused(name, value, "expected a dictionary with data and axes, as s.save makes it of a signal")


def columns_to_keep(name: str, value: Any) -> None:
    parts = (value,) if isinstance(value, str) else value
    if not isinstance(parts, (tuple, list, set, frozenset)) or not all(
        isinstance(part, str) and part in ("time", "tot") for part in parts
    ):
        raise ValueError(f"{name}={shown(value)} is not valid: must be one of 'time', 'tot', or a list of these.")


def stempy_version(name: str, value: Any) -> None:
    word = isinstance(value, str) and value == "auto"
    if not word and not (is_integer(value) and value in (1, 2, 3)):
        raise ValueError(f"{name}={shown(value)} is not valid: must be one of 'auto', 1, 2, 3.")


def changed_paths(value: Any, change: Callable[[Any], Any]) -> Any:
    """An option that is a path, or a list of these, with another path for each."""
    if isinstance(value, (str, os.PathLike)):
        return change(value)
    return [changed_paths(item, change) for item in value] if isinstance(value, (list, tuple)) else value


def anything(name: str, value: Any) -> None:
    """Values that are checked where they mean something."""
