"""How many threads a pass over a recording has, and memory that a thread uses again.

Here is the one place that asks for the number of cores. Fresh memory is not free: the system clears each page when it
is first touched, and the threads of a process get in each other's way there. What only one step needs while it works
is therefore kept for the next one (`Scratch`).
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from dask.system import CPU_COUNT
from numpy.typing import DTypeLike

__all__ = ["Scratch", "add_up", "cluster_is_elsewhere", "cluster_threads", "give_way", "spread", "thread_count"]

_MOST = 8  # each holds some decoded hits, and one disk feeds all
_TABLE_BYTES = 512 * 2**20  # of all threads' sums together
_MOST_SCRATCH = 1 << 25  # larger ones go back to the system after use
_MOST_CACHED = 2  # as many are in use at a time: keys, and the words that they are made of

_of_thread = threading.local()


def thread_count(table_bytes: int = 0) -> int:
    """Threads for work whose kernels release the interpreter.

    As many as there are cores that this process may use (dask asks for affinity and the limits of a container), eight
    at the most, and fewer where the tables that each of them fills would together take more than 512 MiB.

    Parameters
    ----------
    table_bytes : int
        Size of what each thread holds all the while.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> thread_count(table_bytes=2**30)
    1
    """
    return max(1, min(CPU_COUNT, _MOST, _TABLE_BYTES // max(table_bytes, 1)))


def give_way(steps: int = 5) -> None:
    """Let this thread, and those that it starts, wait where another one needs the core.

    On Linux. Elsewhere priority belongs to the whole process, and stays as it is.

    Parameters
    ----------
    steps : int
        Of niceness: with five, a thread gets a third of the time of one that does not give way.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):  # where a container forbids it, nothing gives way
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + steps)


def cluster_threads() -> int:
    """Threads of all workers of the `dask.distributed` cluster that is connected; 0 where none is."""
    distributed = sys.modules.get("distributed")  # a program that is connected has imported it
    if distributed is None:
        return 0
    try:
        return sum(distributed.get_client().nthreads().values())
    except ValueError:  # no cluster
        return 0


def cluster_is_elsewhere() -> bool:
    """Whether a cluster is connected whose workers are other processes than this one.

    False inside of a worker too: a task that waited for others of its own cluster could keep the thread they need.
    """
    if not cluster_threads():
        return False
    try:
        sys.modules["distributed"].get_worker()
    except ValueError:  # none here
        return True
    return False


def add_up(count: Callable, pieces: list, table_bytes: int) -> np.ndarray:
    """Sum of the tables that groups of pieces give, one group a thread.

    Parameters
    ----------
    count : callable
        Takes a list of pieces, gives a `numpy.ndarray` of integers, always of the same shape.
    pieces : list
    table_bytes : int
        Size of one table.

    Returns
    -------
    numpy.ndarray
    """
    threads = max(min(thread_count(table_bytes), len(pieces)), 1)
    # a table for each thread and not for each piece
    tables = spread(count, [pieces[i::threads] for i in range(threads)], threads)
    total = next(tables)
    for table in tables:
        total += table
    return total


def spread(work: Callable, items: list, threads: int) -> Iterator:
    """What `work` gives for each item, in order, by so many threads; a single item needs none to be started.

    To start and end a thread takes some milliseconds on a busy machine, as much as the rest of opening a small file.

    Parameters
    ----------
    work : callable
    items : list
    threads : int

    Yields
    ------
    object
    """
    if len(items) < 2 or threads < 2:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, items)


class Scratch:
    """Room for an array whose contents nobody needs afterwards; use it as a context.

    The thread keeps what it takes for the next one. Arrays are good until the context ends.

    Examples
    --------
    >>> import numpy as np
    >>> from rsciio_tpx3.utils.threads import Scratch
    >>> with Scratch() as scratch:
    ...     room = scratch.array(3, np.uint32)
    >>> room.shape
    (3,)
    """

    def __enter__(self) -> Scratch:
        cached = _cached()
        self._bytes = cached.pop() if cached else np.empty(0, np.uint8)
        return self

    def __exit__(self, *error: Any) -> None:
        cached = _cached()
        # the last one in is the first one out, so that who took turns finds what had grown for it
        if len(self._bytes) <= _MOST_SCRATCH and len(cached) < _MOST_CACHED:
            cached.append(self._bytes)
        del self._bytes

    def array(self, n: int, dtype: DTypeLike) -> np.ndarray:
        """An array of `n` items. A larger one of the same context begins with what stood in the one before."""
        n_bytes = n * np.dtype(dtype).itemsize
        if n_bytes > len(self._bytes):
            larger = np.empty(max(n_bytes, 2 * len(self._bytes)), np.uint8)
            larger[: len(self._bytes)] = self._bytes
            self._bytes = larger
        return self._bytes[:n_bytes].view(dtype)


def _cached() -> list[np.ndarray]:
    if not hasattr(_of_thread, "cached"):
        _of_thread.cached = []
    return _of_thread.cached
