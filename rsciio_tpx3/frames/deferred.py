"""Frames of a recording that is read when somebody asks for them, not when it is loaded.

Shape and type are known from what the user stated; everything else waits for the first computation, whichever
scheduler runs it. Tasks in this process share what was read. A task that leaves for another process is made
small by `Rows`, which asks `for_rows`: so the recording is read here once, and workers get byte ranges as always.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import normalize_token

from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.frames.source import FrameSource

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames


__all__ = ["DeferredFrames"]


class DeferredFrames(FrameSource):
    """A `FrameSource` that is read on first use.

    Parameters
    ----------
    load : callable
        Takes nothing, gives the `FrameSource` and what was found out with it; called once, if it succeeds.
    nav_shape, sig_shape : tuple of int
    dtype : numpy.dtype
    identity : object
        All that the frames follow from, for dask's names of arrays.
    most_events : int
        Events that the recording can have by its size.

    Attributes
    ----------
    about : dict
        Notes of who loads: what the metadata were then, and which chunks were requested.
    """

    def __init__(
        self,
        load: Callable,
        nav_shape: tuple[int, ...],
        sig_shape: tuple[int, int],
        dtype: np.dtype,
        identity: object,
        most_events: int,
    ) -> None:
        self.nav_shape = nav_shape
        self.sig_shape = sig_shape
        self.dtype = dtype
        self.about: dict[str, Any] = {}
        self._load = load
        self._identity = identity
        self._most_events = most_events
        self._found: tuple[FrameSource, dict] | None = None
        self._failed: tuple[int, Exception | None] = 0, None
        self._lock = threading.Lock()

    def __dask_tokenize__(self) -> Any:
        return "rsciio_tpx3.DeferredFrames", normalize_token(self._identity)

    @property
    def is_read(self) -> bool:
        """Whether the recording has been read already."""
        return self._found is not None

    def read(self) -> tuple[FrameSource, dict]:
        """The frames and what was found out with them; reads the recording the first time.

        Raises
        ------
        ScanSyncError
            If the recording has another shape than was stated. Other errors are those of loading.
        """
        failures = self._failed[0]
        with self._lock:
            if self._found is None:
                failed, reason = self._failed
                if reason is not None and failed > failures:  # while this thread waited; once more would fail once more
                    raise reason
                try:
                    frames, about = self._load()
                    self._refuse_other(frames)
                except Exception as error:
                    self._failed = failures + 1, error
                    raise
                self._found = frames, about
            return self._found

    def __getstate__(self) -> dict:
        return {**vars(self), "_lock": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def row_events(self) -> np.ndarray | None:
        """Events of each position; before the recording has been read, as many as its size allows, spread evenly."""
        if self._found is not None:
            return self._found[0].row_events()
        n_positions = math.prod(self.nav_shape)
        return np.full(n_positions, -(-self._most_events // max(n_positions, 1)), np.int64)

    def frames(self, start: int, stop: int) -> CSRFrames:
        """CSR rows of the flat positions ``start`` to ``stop``; see `FrameSource.frames`."""
        return self.read()[0].frames(start, stop)

    def for_rows(self, start: int, stop: int) -> FrameSource:
        """The same for these rows alone, with the part of the index that they need; see `FrameSource`."""
        return self.read()[0].for_rows(start, stop)

    def _refuse_other(self, frames: FrameSource) -> None:
        expected, found = (*self.nav_shape, *self.sig_shape), (*frames.nav_shape, *frames.sig_shape)
        if found != expected or frames.dtype != self.dtype:
            raise ScanSyncError(
                f"The recording makes an array of shape {found} and type {frames.dtype} (NumPy order), but {expected} "
                f"and {self.dtype} were given when it was loaded. Load it again, without the options that do not match."
            )
