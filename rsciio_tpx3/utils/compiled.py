"""Compiled functions that also run where nothing can be kept on a disk.

numba keeps compiled code next to the source, or in the user's home. It refuses to define a function where it finds
neither (a container without a user, a read-only installation), and a disk that fills up while it writes stops the
computation that needed the function. What cannot be kept is compiled anew by each process: slower to start, the same
result.
"""

import contextlib
import logging
import os
import pickle
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numba

from rsciio_tpx3.utils.compiling import announce

__all__ = ["njit", "njit_inner"]

_logger = logging.getLogger(__name__)

announce()  # who waits for the first use of an installation reads what for


def njit(function: Callable | None = None, *, cache: bool = False, **options: Any) -> Callable:
    """`numba.njit`; compiled code is kept (``cache=True``) where there is a place for it.

    Parameters
    ----------
    function : callable, optional
        As a decorator with or without options.
    cache : bool
    **options
        Of `numba.njit`.
    """
    if function is None:
        return lambda function: njit(function, cache=cache, **options)
    # For callers written in C, of which there are none: a third of what a function takes to compile.
    options = {"no_cfunc_wrapper": True, **options}
    if not cache:
        return numba.njit(**options)(function)
    if not _has_place(os.path.dirname(function.__code__.co_filename)):
        return numba.njit(**options)(function)
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError as error:
        # numba 0.5x to 0.6x: "cannot cache function ...: no locator available for file ..."
        if "locator" not in str(error):
            raise
        _say_once(str(error))
        return numba.njit(**options)(function)
    _forgive(compiled)
    return compiled


def njit_inner(**options: Any) -> Callable:
    """`njit` for a function that compiled functions alone call: without the entrance from Python, half of the rest.

    Called from Python it raises an error of numba's; ``function.py_func`` is the plain function.
    """
    return njit(no_cpython_wrapper=True, **options)


@cache
def _has_place(folder: str) -> bool:
    """Whether numba may look for a place: without a home it would make a folder named "~" in the working folder."""
    if (
        os.environ.get("NUMBA_CACHE_DIR")
        or getattr(numba.config, "CACHE_DIR", "")
        or os.path.isabs(os.path.expanduser("~"))
    ):
        return True
    cache_folder = os.path.join(folder, "__pycache__")
    if os.access(cache_folder if os.path.isdir(cache_folder) else folder, os.W_OK):
        return True
    _say_once("there is no home folder, and the one of the installation cannot be written to")
    return False


@cache
def _say_once(reason: str) -> None:
    _logger.warning(
        f"Compiled code is not kept, so each process compiles it anew (up to a minute): {reason}. Set "
        "NUMBA_CACHE_DIR to a folder that can be written to."
    )


def _forgive(compiled: Any) -> None:
    """Let a cache that cannot be read or written (full disk, cut file) cost time, and not the result."""
    cache: Any = getattr(compiled, "_cache", None)
    # private in numba: its own guard forgives one error of Windows alone; both loading and saving pass through it
    if hasattr(cache, "_guard_against_spurious_io_errors"):
        cache._guard_against_spurious_io_errors = _guard


@contextlib.contextmanager
def _guard() -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        _logger.info(f"Compiled code could not be kept or read: {error}")
