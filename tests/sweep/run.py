"""One odd value for one option, within limits, and whether what came of it is allowed."""

import os
import traceback

from rsciio_tpx3 import exceptions
from tests.fuzz import judge

__all__ = ["fault_of"]

ENOUGH = 20.0
"""Seconds of processor time of a call; a good one takes some hundredths."""


def fault_of(call, name, value):
    """What is wrong with how a call takes a value: None, or words.

    Allowed are an answer, and an error of ours, or of the system about a file, that names the option.

    Parameters
    ----------
    call : tests.sweep.functions.Call or tests.sweep.functions.Command
    name : str
        Of the option.
    value : object
    """
    seconds, judge.SECONDS = judge.SECONDS, ENOUGH
    compiled = judge.COMPILATIONS.number
    try:
        with judge._limits() as used:
            fault = call.run(name, value)
    except judge.TooLong:
        return f"more than {ENOUGH:g} s"
    except MemoryError as error:
        return _of_error(error, name, value) if "memory" in str(error).lower() and str(error) else "MemoryError"
    except Exception as error:
        fault = _of_error(error, name, value)
    finally:
        judge.SECONDS = seconds
    if used["bytes"] > 4 * judge.MEMORY_BYTES and judge.COMPILATIONS.number == compiled:
        return f"{used['bytes'] / 2**20:.0f} MiB"
    return fault


def _of_error(error, name, value):
    words = " ".join(str(error).split())
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__}: {words[:160]} at {os.path.basename(frame.filename)}:{frame.lineno}"
    stated = isinstance(error, exceptions._OURS) or (
        isinstance(error, (ValueError, TypeError, OSError, ImportError, NotImplementedError))
        and any(part in frame.filename for part in ("rsciio_tpx3", "hyperspy_sparse"))
        and "raise" in (frame.line or "")
    )
    if not stated:
        return f"raw: {where}"
    if isinstance(error, (OSError, ImportError)):
        return None  # these name the file, or the package
    if not _is_named(name, value, words):
        return f"{name!r} is not named: {where}"
    return None


_SAME = {
    # options that are files, or signals, are recognised by what they are
    "filename": ("file", "path", "folder"),
    "path": ("file", "path", "folder"),
    "paths": ("file", "path", "folder"),
    "source": ("file", "path", "folder", "ending"),
    "frame_source": ("source",),
    "target": ("file", "path", "folder", "ending"),
    "self": ("signal",),
}


def _is_named(name, value, words):
    known = (name, *_SAME.get(name, ()))
    return any(word in words for word in known) or any(part in words for part in _texts_in(value))


def _texts_in(value):
    """Names and words in a value: a message that repeats one of these says what is meant."""
    if isinstance(value, (str, os.PathLike)):
        return [repr(str(value))] if isinstance(value, str) else [str(value)]
    parts = value if isinstance(value, (list, tuple, dict)) else ()
    return [repr(str(part)) for part in parts if isinstance(part, str)]
