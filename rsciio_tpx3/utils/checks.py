"""Kinds of values that arguments take, each a function ``(name, value)`` that refuses what is of another kind.

Ranges and combinations are checked where they mean something; here it is made sure that a value is of its kind at all,
so that NaN, a bool, a word or an array of another shape never meets arithmetic, at the call or during a computation.
"""

import errno
import os
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.utils.integers import is_integer, is_whole
from rsciio_tpx3.utils.paths import need_file
from rsciio_tpx3.utils.units import shown, to_ticks

__all__ = [
    "MOST",
    "check_flag",
    "check_one_file",
    "check_table",
    "check_target",
    "check_word",
    "check_word_of",
    "dtype",
    "files",
    "fraction",
    "is_real",
    "is_text",
    "pair_of_lines",
    "parts",
    "path_in_file",
    "readable",
    "refused",
    "seconds_or_flag",
    "shape",
    "time",
    "whole",
]

MOST = 1 << 31  # of any count that an option gives: products of two stay in 64 bits


def check_one_file(name: str, value: Any) -> None:
    """Refuse what is not the name of one file, as the formats of counts need it.

    Raises
    ------
    ValueError
        With the option's name.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise refused(name, value, "expected the name of one file, as text or a Path")
    path = os.fspath(value)
    if not isinstance(path, str) or not path or not is_text(path):
        raise refused(name, value, "expected the name of a file, as text")
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # whoever reads or writes it says so
    except OSError as error:  # a name that is too long, links in a circle
        raise type(error)(error.errno, f"{name}: {error.strerror}; there can be no such file", path) from None


def check_target(name: str, value: Any) -> None:
    """Refuse what cannot be written as a file: a folder, a pipe, a device, a link that leads to itself.

    A file is written under a provisional name that replaces the old one at the end: for whoever has the rights, that
    would put a file in the place of a device such as ``/dev/null``.

    Raises
    ------
    ValueError, OSError
        With the option's name.
    """
    check_one_file(name, value)
    path = os.fspath(value)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if path.endswith(("/", os.sep)):
            raise refused(name, value, "this is a folder; expected the name of a file in it") from None
        return
    except OSError as error:
        raise type(error)(
            error.errno, f"{name}: {error.strerror}; nothing can be written there, choose another name", path
        ) from None
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device"
        raise refused(name, value, f"this is {what}, which is not replaced by a file. Choose another name")


def check_word_of(*words: str) -> Callable[[str, Any], None]:
    """A check of an option that is one of some words."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or value not in words:
            expected = ", ".join(map(repr, words))
            raise ValueError(f"{name}={shown(value)} is not valid: must be one of {expected}.")

    return check


def check_flag(name: str, value: Any) -> None:
    """Refuse what is neither true nor false; None stands for the default."""
    if value is not None and not isinstance(value, (bool, np.bool_)):
        raise refused(name, value, "expected True or False")


def check_word(name: str, value: Any) -> None:
    """Refuse what is not text; None stands for the default."""
    if value is not None and not isinstance(value, str):
        raise refused(name, value, "expected a word, in quotes; the documentation lists them")


def check_table(name: str, value: Any) -> None:
    """Refuse what is not a dictionary of options by name; None stands for none."""
    if value is None:
        return
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise refused(name, value, "expected a dictionary of options by their names")


def refused(name: str, value: Any, expected: str) -> ValueError:
    return ValueError(f"{name}={shown(value)}: {expected}.")


def is_real(value: Any) -> bool:
    return isinstance(value, (Real, np.integer, np.floating)) and not isinstance(value, np.timedelta64)


def is_text(path: str) -> bool:
    try:
        return "\0" not in path and bool(path.encode("utf-8", "surrogateescape") or True)
    except UnicodeEncodeError:
        return False


def shape(expected: str, lengths: Collection[int]) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if value is None:
            return
        plain = value.tolist() if isinstance(value, np.ndarray) else value
        parts = plain if isinstance(plain, (tuple, list)) else [plain]
        if len(parts) not in lengths or not all(is_whole(n, 1, MOST - 1) for n in parts):
            raise refused(name, value, expected)

    return check


@dataclass(frozen=True)
class time:
    """A time with its unit, such as `example`; `rsciio_tpx3.reader.scan.scan_options` makes ticks of it."""

    example: str
    allow_negative: bool = False

    def __call__(self, name: str, value: Any) -> None:
        if value is not None:
            to_ticks(value, name, self.example, self.allow_negative)


def whole(low: int, high: int, none: bool = False) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if value is None and none:
            return
        if not is_integer(value) or not low <= value <= high:
            raise refused(name, value, f"expected an integer from {low} to {high}")

    return check


def pair_of_lines(name: str, value: Any) -> None:
    parts = value if isinstance(value, (tuple, list)) or np.ndim(value) == 1 else [value]
    if any(not is_integer(n) or abs(n) >= MOST for n in parts):
        raise refused(name, value, "expected integers, and two for skip_lines, such as (0, 1)")


def fraction(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, (bool, np.bool_)) or not is_real(value) or not 0 < value <= 1:
        raise ValueError(f"{name}={shown(value)} must lie above 0 and not above 1.")


def seconds_or_flag(name: str, value: Any) -> None:
    if value is None or isinstance(value, (bool, np.bool_)):
        return
    if not is_real(value) or not 0 < value < 1e6:
        raise refused(name, value, "expected True, False or a number of seconds up to a million")


def dtype(name: str, value: Any) -> None:
    if value is None:
        return
    try:
        found = np.dtype(value)
    except (TypeError, ValueError, SyntaxError):
        raise refused(name, value, "expected the name of a number type, such as 'uint16'") from None
    except Exception as error:  # of an object that NumPy asks for its type
        raise refused(name, value, f"expected the name of a number type, such as 'uint16' ({error})") from None
    # NumPy takes a True, an array or a text of nothing for the type of itself
    if not isinstance(value, (str, type, np.dtype)) or (isinstance(value, str) and not value.strip(" \0")):
        raise refused(name, value, "expected the name of a number type, such as 'uint16'")
    if found.kind not in "biufc" or found.subdtype is not None:
        raise refused(name, value, "expected a type of numbers, such as 'uint16'")


def files(name: str, value: Any) -> None:
    """One file, or several that are one acquisition; whether there is any, the readers say."""
    if isinstance(value, (str, os.PathLike)):
        return check_one_file(name, value)
    if not isinstance(value, (list, tuple)):
        raise refused(name, value, "expected the name of a file, or a list of these")
    if not value:
        raise ValueError(f"{name}: No file given: the list of files is empty.")
    for part in value:
        check_one_file(name, part)


def parts(name: str, value: Any) -> None:
    if isinstance(value, (bool, np.bool_)):
        return
    named = isinstance(value, (list, tuple)) and len(value) > 0
    if not named or not all(isinstance(part, (str, os.PathLike)) for part in value):
        raise refused(name, value, "expected True, False, or a list of files")


def readable(name: str, path: str | os.PathLike) -> None:
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


def path_in_file(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not value.strip("/ ") or not is_text(value):
        raise refused(name, value, "expected the path of a group in the file, such as '/entry/events'")
