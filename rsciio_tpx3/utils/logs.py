"""How much is said, and how it looks: one level for both packages, and a handler that names it.

Python's handler of last resort prints a message without its level and its name. Ours prints both, to standard error, as
long as nobody has set up logging: where the root logger has handlers, those decide alone.
"""

from __future__ import annotations

import logging

__all__ = ["follow_host", "set_log_level", "set_up"]

_PACKAGES = ("rsciio_tpx3", "hyperspy_sparse")
_HOST = "hyperspy"

_chosen = False
_followed = logging.NOTSET  # the level that was taken from the host: another one is the user's, who set it by logging


class _WithLevelAndName(logging.StreamHandler):
    """Prints records where no handler of the user would."""

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.getLogger().handlers:
            super().emit(record)


def set_up() -> None:
    """Give both packages the handler; done once, when they are imported."""
    for name in _PACKAGES:
        logger = logging.getLogger(name)
        if not any(isinstance(handler, _WithLevelAndName) for handler in logger.handlers):
            handler = _WithLevelAndName()
            handler.setFormatter(logging.Formatter("%(levelname)s | %(name)s | %(message)s"))
            logger.addHandler(handler)


def set_log_level(level: int | str) -> None:
    """Say how much is logged by `rsciio_tpx3` and `hyperspy_sparse`.

    Until this is called they follow HyperSpy's own level (``hs.set_log_level``, or its preferences) where that shows
    more than warnings. Warnings of losses stay, whatever HyperSpy's level is: only this function hides them.

    Parameters
    ----------
    level : int or str
        "DEBUG", "INFO" (choices that were made, as which edges were taken for lines), "WARNING" (a result may differ
        from what was requested; the usual one), "ERROR" or "CRITICAL"; or a number as `logging` has it.

    Raises
    ------
    ValueError, TypeError
        If it is not a level.

    Examples
    --------
    >>> import rsciio_tpx3
    >>> rsciio_tpx3.set_log_level("INFO")
    >>> rsciio_tpx3.set_log_level("WARNING")
    """
    global _chosen
    if isinstance(level, bool) or not isinstance(level, (int, str)):
        raise TypeError(f"level={level!r} is not valid: expected a name such as 'INFO', or a number.")
    try:
        for name in _PACKAGES:
            logging.getLogger(name).setLevel(level.upper() if isinstance(level, str) else level)
    except ValueError:
        raise ValueError(
            f"level={level!r} is not valid: must be one of 'DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL', or a "
            "number."
        ) from None
    _chosen = True


def follow_host() -> None:
    """Take the level of the preferences, else HyperSpy's where it shows more than warnings; one that was set stays."""
    global _followed
    if _chosen:
        return
    from rsciio_tpx3.utils.settings import setting  # this module is loaded with the package, and that costs nothing

    if saved := setting("log_level"):
        try:
            for name in _PACKAGES:
                logging.getLogger(name).setLevel(saved.upper())
        except ValueError:
            logging.getLogger(__name__).warning(
                f"log_level={saved!r} of your preferences is not a level; see the guide."
            )
        return
    if _HOST not in logging.root.manager.loggerDict:
        return
    host = logging.getLogger(_HOST).level
    level = host if 0 < host < logging.WARNING else logging.NOTSET
    for name in _PACKAGES:
        logger = logging.getLogger(name)
        if logger.level in (logging.NOTSET, _followed) and logger.level != level:
            logger.setLevel(level)
    _followed = level
