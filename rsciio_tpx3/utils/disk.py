"""Files whose bytes are on the disk, and not only on their way.

Who writes a large file and asks for that at the end waits for all of its bytes at once, while the disk has had nothing
to do before. Here it is asked while more are made.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["synced_early", "to_disk"]

_EVERY = 0.05  # s
_LEAST = 1 << 24  # bytes: for fewer, asking costs more than it saves


def to_disk(path: str | os.PathLike) -> None:
    """Wait until what was written to a file is on the disk.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    OSError
        If some of it could not be stored.
    """
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def synced_early(paths: Callable[[], list[str]]) -> Iterator[None]:
    """Have what is written to files go to the disk meanwhile, so that little is left for `to_disk` at the end.

    Parameters
    ----------
    paths : callable
        Without arguments; gives the files, which need not be there yet.

    Raises
    ------
    OSError
        At the end, if something could not be stored. The system tells of that once: it would not say so again at the
        last `to_disk`.

    Examples
    --------
    >>> with synced_early(lambda: ["counts.raw"]):
    ...     with open("counts.raw", "wb") as file:
    ...         _ = file.write(bytes(1000))
    """
    if not sys.platform.startswith(("linux", "darwin")):
        yield  # elsewhere a file that is open cannot be renamed or removed
        return
    ended = threading.Event()
    errors: list[OSError] = []
    thread = threading.Thread(target=_sync_all, args=(paths, ended, errors), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if errors:
        raise errors[0]


def _sync_all(paths: Callable[[], list[str]], ended: threading.Event, errors: list[OSError]) -> None:
    done: dict[str, int] = {}
    while not ended.wait(_EVERY):
        for path in paths():
            try:
                size = os.stat(path).st_size
                if size - done.get(path, 0) >= _LEAST:
                    to_disk(path)
                    done[path] = size
            except FileNotFoundError:
                continue
            except OSError as error:
                errors.append(error)
                return
