"""What a person set once and for all: one file next to HyperSpy's preferences, behind what is set today.

A setting is looked up in this order: what was set in this session, its environment variable, the file. Who has none of
these takes a default of its own. The file is JSON, and small; it is read when a setting is needed, never at import.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from rsciio_tpx3.utils.files import write_text

__all__ = ["VARIABLES", "file_of_settings", "save_settings", "saved_settings", "set_for_session", "setting"]

_logger = logging.getLogger(__name__)

VARIABLES = {
    "memory_limit": "HYPERSPY_SPARSE_MEMORY_LIMIT",
    "cache_folder": "RSCIIO_TPX3_CACHE",
    "log_level": "RSCIIO_TPX3_LOG_LEVEL",
}
"""Settings, and the environment variables that have the same meaning."""

_session: dict[str, str] = {}
_complained: set[str] = set()


def setting(name: str) -> str | None:
    """A setting as text; None where nobody has set it.

    Parameters
    ----------
    name : str
        One of `VARIABLES`.

    Returns
    -------
    str or None
    """
    return _session.get(name) or os.environ.get(VARIABLES[name]) or saved_settings().get(name)


def set_for_session(name: str, value: str | None) -> None:
    """Set for this process; None returns to what holds without."""
    _need_known(name)
    if value is None:
        _session.pop(name, None)
    else:
        _session[name] = str(value)


def file_of_settings() -> Path:
    """Where settings are kept; it need not exist."""
    return Path("~/.hyperspy").expanduser() / "rsciio_tpx3.json"


def saved_settings() -> dict[str, str]:
    """What the file has; nothing where there is none, or none that can be read."""
    try:
        path = file_of_settings()
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"a table was expected, not {type(found).__name__}")
    except (FileNotFoundError, RuntimeError):  # RuntimeError: a person without a home folder
        return {}
    except (OSError, ValueError) as error:
        if str(path) not in _complained:  # said once: settings are looked up all the time
            _complained.add(str(path))
            _logger.warning(
                f"{path} cannot be read ({error}); preferences are the usual ones. Remove it, or save again."
            )
        return {}
    return {name: str(value) for name, value in found.items() if name in VARIABLES and value is not None}


def save_settings(**values: str | None) -> Path:
    """Keep settings for later sessions; those that are not named stay as they are.

    Parameters
    ----------
    **values
        Name to text; None forgets what was kept.

    Returns
    -------
    pathlib.Path
        The file.
    """
    for name in values:
        _need_known(name)
    merged = {name: value for name, value in {**saved_settings(), **values}.items() if value is not None}
    path = file_of_settings()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(merged, indent=2) + "\n")
    return path


def _need_known(name: Any) -> None:
    if name not in VARIABLES:
        raise ValueError(f"{name!r} is not a setting: must be one of {', '.join(VARIABLES)}.")
