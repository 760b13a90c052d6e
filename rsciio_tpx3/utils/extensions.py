"""What a package above this one adds: functions by name, which are there or are not.

Readers give arrays and metadata, and know no signals. Where a package of signals is installed, it takes over at a few
named points; here is where it says so, and nobody below needs to import it.
"""

import importlib
import logging
from collections.abc import Callable
from importlib.metadata import entry_points

__all__ = ["GROUP", "POINTS", "extend", "extension"]

GROUP = "rsciio_tpx3.extensions"
"""Entry points of installed packages: ``name = "module:function"``."""

POINTS = {
    "finish_loading": "(signal, navigator, holds): the signal that HyperSpy made of our dictionary, as it should be",
    "finish_later": "(signal, frames): the same for a recording that is read at the first computation",
    "remember_recording": "(signal, filename, file_format, options): for loading a growing recording again",
    "show_progressbar": "(): whether the user's preferences want progress bars",
    "plot_scan_delay": "(found, ax): draw a `ScanDelay`",
    "compile_signals": "(path): use the methods of signals on a recording, so that they are compiled",
    "demo": "(files, folder, options): the pictures of ``rsciio-tpx3 demo``",
}
"""The points there are, what each is called with, and what for."""

_logger = logging.getLogger(__name__)

_known: dict = {}


def extend(**functions: str) -> None:
    """Name functions for some of `POINTS`, as ``"module:function"``; they are imported when they are called for."""
    unknown = set(functions) - set(POINTS)
    if unknown:
        raise ValueError(f"{sorted(unknown)} cannot be extended: must be among {sorted(POINTS)}.")
    _known.update(functions)


def extension(name: str) -> Callable | None:
    """The function for a point; None where no package offers one, or a package that it needs is not installed."""
    if name not in POINTS:
        raise ValueError(f"{name!r} is not valid: must be one of {sorted(POINTS)}.")
    if name not in _known:
        _known.update({p.name: p.value for p in entry_points(group=GROUP) if p.name in POINTS and p.name not in _known})
        _known.setdefault(name, None)
    if _known[name] is None:
        return None
    module, _, function = _known[name].partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == __name__.split(".")[0]:
            raise
        _logger.debug(f"{_known[name]!r} is not there, since {error}")
        return None
