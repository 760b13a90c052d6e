"""Preferences in one place: how much may become dense, where the cache is, how much is said, progress bars."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import hyperspy.api as hs
import traits.api as t
from dask.utils import format_bytes

from hyperspy_sparse.gui.registry import add_gui
from hyperspy_sparse.gui.tool import Action, Field, Tool
from rsciio_tpx3.cache.store import cache_folder, clear_cache
from rsciio_tpx3.csr.memory_limit import get_limit, set_limit
from rsciio_tpx3.utils.logs import set_log_level
from rsciio_tpx3.utils.settings import VARIABLES, file_of_settings, save_settings, saved_settings, set_for_session

__all__ = ["Preferences"]

_LEVELS = ("", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@add_gui("Preferences")
class Preferences(Tool):
    """What holds for every recording: set for this session, and later ones when it is saved.

    A setting is taken from what was set in this session, else from its environment variable
    (``HYPERSPY_SPARSE_MEMORY_LIMIT``, ``RSCIIO_TPX3_CACHE``, ``RSCIIO_TPX3_LOG_LEVEL``), else from what was saved, else
    it is the usual one. `hyperspy_sparse.set_limit`, `hyperspy_sparse.save_limit` and `rsciio_tpx3.set_log_level` do
    the same for one of them.

    Attributes
    ----------
    memory_limit : str
        How much may become dense at once, such as "20 GiB"; empty for half of the free memory.
    cache_folder : str
        Folder in which the cache is; empty for the user's.
    log_level : {"", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
        How much is said; not set: WARNING, or HyperSpy's own.
    show_progressbar : bool
        HyperSpy's own preference, which readers follow; its `save` keeps it.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> preferences = hyperspy_sparse.gui.Preferences()
    >>> preferences.memory_limit = "2 GiB"
    >>> hyperspy_sparse.get_limit()
    2147483648
    >>> preferences.memory_limit = ""
    """

    title = "Preferences"
    fields = (
        Field("memory_limit", "Memory limit", "text", "How much may become dense at once; half of the free memory "
              "where it is empty.", placeholder="8 GiB"),
        Field("cache_folder", "Cache folder", "text", "Where what opening finds out is cached for the next time.",
              placeholder="the user's cache folder"),
        Field("log_level", "Log level", "choice", "How much is said; not set: WARNING, or HyperSpy's own.", _LEVELS),
        Field("show_progressbar", "Progress bars", "flag", "HyperSpy's preference, which all readers follow."),
    )  # fmt: skip
    actions = (
        Action("save", "Save", "Keep these for later sessions."),
        Action("forget", "Usual values", "Forget what was set and saved."),
        Action("clear_cache", "Clear cache", "Remove what is cached of recordings; it is made again when needed."),
    )

    memory_limit, cache_folder = t.Str(), t.Str()
    log_level = t.Enum(*_LEVELS)
    show_progressbar = t.Bool(True)

    def __init__(self) -> None:
        super().__init__()
        known = {**saved_settings(), **{name: text for name, text in _environment().items() if text}}
        self._quiet = True
        level = known.get("log_level", "").upper()
        self.trait_set(
            memory_limit=_readable(known.get("memory_limit", "")), cache_folder=known.get("cache_folder", ""),
            log_level=level if level in _LEVELS else "", show_progressbar=hs.preferences.General.show_progressbar,
        )  # fmt: skip
        self._quiet = False
        self._report()

    @t.observe("memory_limit, cache_folder, log_level, show_progressbar")
    def _set(self, event: Any) -> None:
        """What is chosen holds at once; what cannot be is said, and nothing changes."""
        if self._quiet:
            return
        try:
            self._APPLY[event.name](self, event.new)
        except ValueError as error:
            self.problem = str(error)
            return
        self.problem = ""
        self._report()

    def _set_limit(self, text: str) -> None:
        set_limit(text.strip() or None)

    def _set_folder(self, text: str) -> None:
        text = text.strip()
        if text and not Path(text).expanduser().is_absolute():
            raise ValueError(f"cache_folder={text!r} is not valid: expected a whole path, such as /scratch/me.")
        set_for_session("cache_folder", os.path.expanduser(text) or None)

    def _set_level(self, level: str) -> None:
        set_for_session("log_level", level or None)
        set_log_level(level or "WARNING")

    def _set_bars(self, shown: bool) -> None:
        hs.preferences.General.show_progressbar = shown

    _APPLY = {
        "memory_limit": _set_limit,
        "cache_folder": _set_folder,
        "log_level": _set_level,
        "show_progressbar": _set_bars,
    }

    def save(self) -> Path:
        """Keep the settings for later sessions, HyperSpy's in HyperSpy's file.

        Returns
        -------
        pathlib.Path
            The file of ours.

        Raises
        ------
        ValueError
            If one of them is not valid.
        """
        if self.problem:
            raise ValueError(f"{self.problem} Nothing is saved.")
        path = save_settings(**{name: getattr(self, name).strip() or None for name in VARIABLES})
        if hs.preferences.General.show_progressbar != self.show_progressbar:
            hs.preferences.General.show_progressbar = self.show_progressbar
        hs.preferences.save()
        self._report()
        self.report += f"\nsaved in {path}"
        return path

    def forget(self) -> None:
        """Return to what holds where nobody sets anything; also for later sessions."""
        self.trait_set(memory_limit="", cache_folder="", log_level="")
        if saved_settings():
            save_settings(**dict.fromkeys(VARIABLES))
        self._report()

    def clear_cache(self) -> int:
        """Remove what is cached of recordings.

        Returns
        -------
        int
            Bytes that were freed.
        """
        freed = clear_cache()
        self._report()
        self.report += f"\nfreed {format_bytes(freed)}"
        return freed

    def _report(self) -> None:
        lines = [f"at most {format_bytes(get_limit())} become dense at once", f"cache in {cache_folder()}"]
        in_environment = [name for name, text in _environment().items() if text]
        lines += [
            f"{VARIABLES[name]} is set in the environment, and wins over what is saved" for name in in_environment
        ]
        lines.append(f"file: {file_of_settings()}" + ("" if saved_settings() else " (not there yet)"))
        self.report = "\n".join(lines)


def _environment() -> dict[str, str]:
    return {name: os.environ.get(variable, "") for name, variable in VARIABLES.items()}


def _readable(limit: str) -> str:
    return format_bytes(int(limit)) if limit.isdigit() and int(limit) % 2**20 == 0 else limit
