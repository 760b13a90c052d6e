"""Progress bars that cannot stand in the way of the work."""

from __future__ import annotations

import os
import sys
import threading
from functools import cache
from typing import Any

from rsciio_tpx3.utils.extensions import extension

__all__ = ["progress_bar"]

_PATIENCE = 2  # seconds without a bar, where nobody has requested one


class _NoBar:
    """What work tells its progress to where nobody wants to see it."""

    def update(self, n: int = 1) -> None:
        pass

    def reset(self, total: float | None = None) -> None:
        pass

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *error: Any) -> None:
        pass


def progress_bar(show_progressbar: bool | None = None, **about: Any) -> Any:
    """A bar to `update`, as a context.

    Parameters
    ----------
    show_progressbar : bool or None
        None shows it when the work takes longer than two seconds, unless the preferences of HyperSpy, where it is in
        use, are without bars; False makes no bar of tqdm at all.
    **about
        Parameters of `tqdm.tqdm`: ``total``, ``desc``, ``unit``, ``unit_scale``.

    Examples
    --------
    >>> from rsciio_tpx3.utils.progress import progress_bar
    >>> with progress_bar(False, total=3, desc="Counting") as bar:
    ...     bar.update()
    """
    if show_progressbar is False or (show_progressbar is None and not _wanted()):
        return _NoBar()
    # tqdm shows nothing before `delay`: short work leaves no trace on the screen
    return _bar_class()(delay=_PATIENCE if show_progressbar is None else 0, **about)


def _wanted() -> bool:
    # a program that has not imported HyperSpy has not set its preferences; importing it takes seconds
    preference = extension("show_progressbar") if "hyperspy.api" in sys.modules else None
    return preference is None or preference()


@cache
def _bar_class() -> type:
    """The bar of tqdm that suits the terminal or the notebook, with a lock of this process alone.

    tqdm's own lock is shared with forked processes: one that is killed while it holds the lock leaves it held for ever
    in all others, and the semaphore that it needs is not to be had in every container.
    """
    from tqdm.auto import tqdm  # looks for a notebook, which takes time: only where a bar is shown

    class Bar(tqdm):
        _lock = threading.RLock()
        monitor_interval = 0  # no watching thread: bars are updated often, and a thread does not survive a fork

    # a thread of the parent may have held it at the moment of the fork; nobody is there to release it
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: setattr(Bar, "_lock", threading.RLock()))
    return Bar
