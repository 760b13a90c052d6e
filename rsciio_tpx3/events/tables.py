"""Numbers that a user gives for a correction: an array, rows, a `.npy` or a text file."""

import os

import numpy as np

__all__ = ["is_path", "need_file", "read_numbers", "tot_rows"]


def is_path(given):
    return isinstance(given, (str, os.PathLike))


def need_file(given, name, others):
    """Refuse a path at which there is nothing, naming what else the correction takes."""
    if not os.path.exists(given):
        raise FileNotFoundError(f"corrections: {name}={str(given)!r}: there is no such file. {others}")


def read_numbers(given, name):
    """An array of float64 of what was given; columns of a text file end at spaces, tabs, commas or semicolons.

    Raises
    ------
    ValueError
        If these are no numbers.
    FileNotFoundError
        If there is no such file.
    """
    what = repr(os.fspath(given)) if is_path(given) else "what was given"
    try:
        numbers = _loaded(given) if is_path(given) else np.asarray(given, float)
        if numbers.size == 0:
            raise ValueError("it is empty")
        return numbers
    except (ValueError, TypeError, EOFError) as error:
        raise ValueError(
            f"corrections: {name}: {what} holds no table of numbers ({error}). An array, or a text or .npy file of "
            "numbers alone, is needed."
        ) from None


def _loaded(path):
    if os.fspath(path).endswith(".npy"):
        return np.load(path).astype(float)
    with open(path, encoding="utf-8") as file:
        lines = [line.replace(",", " ").replace(";", " ") for line in file]
    return np.loadtxt(lines, ndmin=2) if any(map(str.strip, lines)) else np.empty((0, 0))


def tot_rows(given, name, quantity, others=""):
    """Rows of ToT and one more number, of shape (n, 2), as a user gives them.

    Parameters
    ----------
    given : array-like, str or Path
    name : str
        Of the correction.
    quantity : str
        What stands beside the ToT, with its unit.
    others : str
        What else the correction takes, to end the sentence with.

    Raises
    ------
    ValueError
        If there are fewer than two rows of two numbers, or their ToT does not increase.
    """
    rows = read_numbers(given, name)
    if rows.ndim != 2 or rows.shape[1] != 2 or len(rows) < 2:
        raise ValueError(
            f"corrections: {name} has shape {rows.shape}; rows of ToT (steps of 25 ns) and {quantity} are needed, at "
            f"least two{others}."
        )
    wrong = np.flatnonzero(~(np.diff(rows[:, 0]) > 0))
    if len(wrong):
        low, high = rows[wrong[0] : wrong[0] + 2, 0]
        raise ValueError(
            f"corrections: {name}: a ToT of {high:g} follows one of {low:g}; rows with increasing ToT (steps of 25 ns, "
            f"in front of {quantity}) are needed. Sort them."
        )
    return rows
