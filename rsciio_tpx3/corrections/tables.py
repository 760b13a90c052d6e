"""Numbers that a user gives for a correction: an array, rows, a `.npy` or a text file."""

import functools
import os
import tokenize
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from rsciio_tpx3.exceptions import _OURS, LimitError, Tpx3FormatError
from rsciio_tpx3.utils import paths as plain_files
from rsciio_tpx3.utils.paths import has_ending, load_npy

__all__ = ["errors_of_files", "is_path", "need_file", "read_numbers", "tot_rows"]

_MOST_TEXT = 1 << 28  # bytes: ten times a table of all pixels of the largest detectors


_F = TypeVar("_F", bound=Callable)


def is_path(user_input: Any) -> bool:
    return isinstance(user_input, (str, os.PathLike))


def errors_of_files(function: _F) -> _F:
    """Let what is wrong with numbers be a `FormatError` that names the file, where the first argument is one.

    Of an array it stays a `ValueError`: whoever passed it has it at hand.
    """

    @functools.wraps(function)
    def reading(user_input: Any, *args: Any, **options: Any) -> Any:
        try:
            return function(user_input, *args, **options)
        except _OURS:
            raise
        except ValueError as error:
            if not is_path(user_input):
                raise
            words, name = str(error), os.fspath(user_input)
            raise Tpx3FormatError(words if str(name) in words else f"{words} This is about '{name}'.") from None

    return reading  # type: ignore[return-value]


def need_file(user_input: str | os.PathLike, name: str, others: str) -> None:
    """Refuse a path at which there is nothing, naming what else the correction takes."""
    if not os.path.exists(user_input):
        raise FileNotFoundError(f"corrections: {name}={str(user_input)!r}: there is no such file. {others}")
    if not os.path.isdir(user_input):
        plain_files.need_file(user_input)


@errors_of_files
def read_numbers(user_input: Any, name: str) -> np.ndarray:
    """An array of float64 of what was given; columns of a text file end at spaces, tabs, commas or semicolons.

    Raises
    ------
    ValueError
        If these are not numbers.
    FileNotFoundError
        If there is no such file.
    """
    what = repr(os.fspath(user_input)) if is_path(user_input) else "what was given"
    try:
        numbers = _loaded(user_input) if is_path(user_input) else np.asarray(user_input, float)
        if numbers.size == 0:
            raise ValueError("it is empty")
        return numbers
    except (ValueError, TypeError, EOFError, SyntaxError, OverflowError, tokenize.TokenError) as error:
        raise ValueError(
            f"corrections: {name}: {what} is not a table of numbers ({str(error)[:200]}). Give an array, or a "
            "text or .npy file of numbers alone."
        ) from None


def _loaded(path: str | os.PathLike) -> np.ndarray:
    if has_ending(path, ".npy"):
        return load_npy(path).astype(float)
    if os.path.getsize(path) > _MOST_TEXT:
        raise LimitError(
            f"'{path}' has {os.path.getsize(path)} bytes of text, where a table of pixels was expected: at most "
            f"{_MOST_TEXT} are read. Save it as .npy."
        )
    with open(path, encoding="utf-8-sig") as file:
        lines = [line.replace(",", " ").replace(";", " ") for line in file]
    return np.loadtxt(lines, ndmin=2) if any(map(str.strip, lines)) else np.empty((0, 0))


@errors_of_files
def tot_rows(user_input: Any, name: str, quantity: str, others: str = "") -> np.ndarray:
    """Rows of ToT and one more number, of shape (n, 2), as a user gives them.

    Parameters
    ----------
    user_input : array-like, str or Path
    name : str
        Of the correction.
    quantity : str
        What stands next to the ToT, with its unit.
    others : str
        What else the correction takes, to end the sentence with.

    Raises
    ------
    ValueError
        If there are fewer than two rows of two numbers, or their ToT does not increase.
    """
    rows = read_numbers(user_input, name)
    if rows.ndim != 2 or rows.shape[1] != 2 or len(rows) < 2:
        raise ValueError(
            f"corrections: {name} has shape {rows.shape}; expected rows of ToT (steps of 25 ns) and {quantity}, at "
            f"least two{others}."
        )
    wrong = np.flatnonzero(~(np.diff(rows[:, 0]) > 0))
    if len(wrong):
        low, high = rows[wrong[0] : wrong[0] + 2, 0]
        raise ValueError(
            f"corrections: {name}: a ToT of {high:g} follows one of {low:g}; expected rows with increasing ToT (steps "
            f"of 25 ns, in front of {quantity}). Sort them."
        )
    return rows
