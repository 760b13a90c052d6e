"""Memory that a thread uses again.

Fresh memory is not free: the system clears each page when it is first touched, and the threads of a process get in
each other's way there. What only one step needs while it works is therefore kept for the next one.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

__all__ = ["Scratch"]

_MOST_BYTES = 1 << 25  # larger ones go back to the system after use
_MOST_KEPT = 2  # as many are in use at a time: keys, and the words that they are made of

_of_thread = threading.local()


class Scratch:
    """Room for an array whose contents nobody needs afterwards; use it as a context.

    The thread keeps what it takes for the next one. Arrays are good until the context ends.

    Examples
    --------
    >>> import numpy as np
    >>> from rsciio_tpx3.utils.scratch import Scratch
    >>> with Scratch() as scratch:
    ...     room = scratch.array(3, np.uint32)
    >>> room.shape
    (3,)
    """

    def __enter__(self) -> Scratch:
        kept = _kept()
        self._bytes = kept.pop() if kept else np.empty(0, np.uint8)
        return self

    def __exit__(self, *error: Any) -> None:
        kept = _kept()
        # the last one in is the first one out, so that who took turns finds what had grown for it
        if len(self._bytes) <= _MOST_BYTES and len(kept) < _MOST_KEPT:
            kept.append(self._bytes)
        del self._bytes

    def array(self, n: int, dtype: DTypeLike) -> np.ndarray:
        """An array of `n` items. A larger one of the same context begins with what stood in the one before."""
        n_bytes = n * np.dtype(dtype).itemsize
        if n_bytes > len(self._bytes):
            larger = np.empty(max(n_bytes, 2 * len(self._bytes)), np.uint8)
            larger[: len(self._bytes)] = self._bytes
            self._bytes = larger
        return self._bytes[:n_bytes].view(dtype)


def _kept() -> list[np.ndarray]:
    if not hasattr(_of_thread, "kept"):
        _of_thread.kept = []
    return _of_thread.kept
