"""How much may become dense at once, and what to say when it is too much.

Asked by signals before they compute, and by chunks before an operation makes them dense unasked:
whoever computes the dask array itself holds all frames in one chunk.

The limit is, in this order: the argument of the call, `set_limit`, the environment variable
``HYPERSPY_SPARSE_MEMORY_LIMIT``, the preference saved with `save_limit`, half of the memory that
is free.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dask.utils import format_bytes, parse_bytes

from rsciio_tpx3.exceptions import LimitError
from rsciio_tpx3.utils.settings import VARIABLES, file_of_settings, save_settings, setting

__all__ = ["DenseMemoryError", "check", "get_limit", "save_limit", "set_limit"]

VARIABLE = VARIABLES["memory_limit"]

ALWAYS_ALLOWED = 2**28
"""Bytes below which a chunk becomes dense without asking: twice the size that chunks aim at."""

_limit = None


class DenseMemoryError(LimitError, MemoryError):
    """A step would make more of the data dense than the limit allows."""


def set_limit(limit: int | str | None) -> None:
    """Set the size that a signal may have to become dense, for this session.

    Parameters
    ----------
    limit : int, str or None
        Bytes, or text as "8 GiB"; None returns to the default.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> hyperspy_sparse.set_limit("2 GiB")
    >>> hyperspy_sparse.get_limit()
    2147483648
    >>> hyperspy_sparse.set_limit(None)
    """
    global _limit
    _limit = None if limit is None else _in_bytes(limit, "set_limit")


def save_limit(limit: int | str | None) -> None:
    """Keep the limit for later sessions, in a file next to HyperSpy's own preferences.

    Parameters
    ----------
    limit : int, str or None
        As in `set_limit`; None forgets the saved value.
    """
    save_settings(memory_limit=None if limit is None else str(_in_bytes(limit, "save_limit")))
    _file().unlink(missing_ok=True)  # where earlier versions kept it


def get_limit(limit: int | str | None = None) -> int:
    """The limit in bytes that holds now; `limit`, where given, wins."""
    if limit is not None:
        return _in_bytes(limit, "memory_limit")
    if _limit is not None:
        return _limit
    if (text := setting("memory_limit")) is not None:
        return _in_bytes(text, VARIABLE if os.environ.get(VARIABLE) else str(file_of_settings()))
    if _file().exists():
        return _in_bytes(_file().read_text().strip(), str(_file()))
    return _free() // 2


def check(shape: Sequence[int], dtype: np.dtype, what: str, limit: int | str | None = None) -> None:
    """Raise `DenseMemoryError` if an array of this shape and type is above the limit."""
    needed = dtype.itemsize
    for n in shape:  # Python's integers: NumPy's product would wrap
        needed *= int(n)
    allowed = get_limit(limit)
    if needed <= allowed:
        return
    sizes = " x ".join(str(n) for n in shape)
    raise DenseMemoryError(
        f"{what} would expand {sizes} {dtype} to {format_bytes(needed)} "
        f"(limit {format_bytes(allowed)}). Use sum, virtual detectors or centre of mass, which "
        "need no dense copy; crop or rebin first; save to .zspy, which goes chunk by chunk; keep "
        "the events in memory with persist(); or allow it with "
        f"to_dense(memory_limit={format_bytes(needed)!r}), hyperspy_sparse.set_limit(...) or the "
        f"variable {VARIABLE}."
    )


def _in_bytes(limit: Any, source: str) -> int:
    is_flag = isinstance(limit, (bool, np.bool_))
    try:
        # a masked or an infinite number, an array and an object raise errors of all kinds
        value = parse_bytes(limit) if isinstance(limit, str) else None if is_flag else int(limit)
    except Exception:
        value = None
    if value is None:
        raise ValueError(
            f'{source}: limit={_shown(limit)} is not a size; write bytes as an integer, or "8 GiB".'
        ) from None
    if value < 0:
        raise ValueError(f"{source}: limit={_shown(limit)} is negative.")
    return value


def _shown(limit: Any) -> str:
    try:
        return f"{limit!r:.80}"
    except Exception:
        return f"<{type(limit).__name__}>"


def _file() -> Path:
    return Path("~/.hyperspy").expanduser() / "hyperspy_sparse_memory_limit"


def _free() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30  # systems that do not tell: a laptop's half
