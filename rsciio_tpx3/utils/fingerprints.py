"""What tells a file, or what a user gave, from anything else: checksums, in plain text and numbers."""

import hashlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["fingerprint", "sha256"]

_BLOCK = 1 << 22  # bytes read at once
_MOST_NUMBERS = 1024  # of a table that is written down as it is


def fingerprint(user_input: Any) -> Any:
    """What a user gave to an option, as plain text and numbers that tell it from anything else.

    Parameters
    ----------
    user_input : object
        Text, a number, a `pathlib.Path` of a file, an array or rows of numbers, or a dictionary or list of these.

    Returns
    -------
    object
        Text and numbers, and tables of no more than 1024 of these, as they are. A file is a dictionary of ``file``, its
        name, and ``sha256``; a larger array one of ``shape``, ``dtype`` and ``sha256``.
    """
    if isinstance(user_input, os.PathLike):
        return {"file": os.path.basename(user_input), "sha256": sha256(user_input)}
    if isinstance(user_input, dict):
        return {str(name): fingerprint(value) for name, value in user_input.items()}
    if isinstance(user_input, (list, tuple)) and any(isinstance(item, (str, os.PathLike)) for item in user_input):
        return [fingerprint(item) for item in user_input]
    if user_input is None or isinstance(user_input, (str, bool, int, float)):
        return user_input
    numbers = np.asarray(user_input)
    if numbers.size <= _MOST_NUMBERS:
        return numbers.tolist()
    digest = hashlib.sha256(np.ascontiguousarray(numbers).tobytes()).hexdigest()
    return {"shape": list(numbers.shape), "dtype": numbers.dtype.name, "sha256": digest}


def sha256(path: str | os.PathLike, is_over: Callable[[], bool] = bool) -> str | None:
    """SHA-256 of a file in hexadecimal digits; None for a folder, and when nobody waits for it any more."""
    if not os.path.isfile(path):  # a zspy is a folder
        return None
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            if is_over():
                return None
            digest.update(block)
    return digest.hexdigest()
