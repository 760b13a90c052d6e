"""From any source of frames to the dictionary that RosettaSciIO promises."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.frames.dask_array import to_dask
from rsciio_tpx3.frames.in_memory import held_in_memory
from rsciio_tpx3.utils.extensions import extension

if TYPE_CHECKING:
    from rsciio_tpx3.frames.source import FrameSource
    from rsciio_tpx3.metadata.known import KnownMetadata


__all__ = [
    "axis",
    "followed",
    "frames_signal",
    "position_axes",
]


def frames_signal(
    frames: FrameSource,
    nav_axes: list[dict],
    metadata: dict,
    original_metadata: dict,
    lazy: bool = False,
    chunks: int | str | tuple = "auto",
    navigator: np.ndarray | None = None,
    navigator_holds: str = "Counts",
    sig_axes: list[dict] | None = None,
    known: KnownMetadata | None = None,
) -> dict:
    """Signal dictionary of any `FrameSource`.

    Parameters
    ----------
    frames : FrameSource
    nav_axes, sig_axes : list of dict
        RosettaSciIO axes in NumPy order; detector axes in pixels by default.
    metadata, original_metadata : dict
    lazy, chunks
        As in `event_signal`.
    navigator : numpy.ndarray of shape nav_shape, optional
        Counts of each position, where they are known already.
    navigator_holds : {"Counts", "Entries"}
        "Entries" where only the number of pixels that counted is known.
    known : KnownMetadata, optional
        What the user and other files tell.

    Returns
    -------
    dict
    """
    data = to_dask(frames, chunks=chunks)
    if sig_axes is None:
        sig_axes = [axis(name, size, navigate=False, units="px") for name, size in zip(("ky", "kx"), frames.sig_shape)]
    signal = {
        "data": data if lazy else held_in_memory(data),
        "axes": [*nav_axes, *sig_axes],
        "metadata": metadata,
        "original_metadata": original_metadata,
        # a 4D array of events is lazy even when its chunks are in memory
        "attributes": {"_lazy": True},
        "post_process": [partial(_finish, navigator=navigator, holds=navigator_holds)],
    }
    return signal if known is None else known.complete(signal)


def _finish(signal: Any, navigator: np.ndarray | None, holds: str) -> Any:
    """Runs inside HyperSpy only: the sparse class, and the navigator that is known already."""
    finish_loading = extension("finish_loading")
    return signal if finish_loading is None else finish_loading(signal, navigator, holds)


def followed(signal: dict, filename: str | os.PathLike | Sequence, file_format: str, options: dict) -> dict:
    """The dictionary of a recording that is still being written, which remembers how to load it again.

    Parameters
    ----------
    signal : dict
        As `event_signal` gives it.
    filename : str, Path or sequence of them
    file_format : str
        Name of the format, for `hyperspy.api.load`.
    options : dict
        All that the reader was called with.
    """
    step = partial(_remember, filename=filename, file_format=file_format, options=options)
    return {**signal, "post_process": [*signal["post_process"], step]}


def _remember(signal: Any, filename: str | os.PathLike | Sequence, file_format: str, options: dict) -> Any:
    """Runs inside HyperSpy only: how to load it again, for `hyperspy_sparse.refresh`."""
    remember = extension("remember_recording")
    return signal if remember is None else remember(signal, filename, file_format, options)


def axis(name: str, size: int, navigate: bool, scale: float = 1.0, offset: float = 0.0, units: Any = "") -> dict:
    """One RosettaSciIO axis."""
    return {
        "name": name,
        "size": int(size),
        "navigate": navigate,
        "scale": float(scale),
        "offset": float(offset),
        "units": units,
    }


def position_axes(sizes: Sequence[int], frame_scale: tuple = ()) -> list[dict]:
    """Axes of scan positions, ``([frames,] y, x)``; the scale and offset are those of the frame axis."""
    names = ("frame", "y", "x")[-len(sizes) :]
    return [axis(name, size, True, *(frame_scale if name == "frame" else ())) for name, size in zip(names, sizes)]
