"""Loading a recording without reading it: where the user tells what the index would tell, it waits.

The shape of the array and its type have to be stated. Everything else that the two passes at opening find
out (trigger edges, losses, counts of each position) is not needed before the first frame is.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rsciio_tpx3.frames.dask_array import source_of, to_dask
from rsciio_tpx3.frames.deferred import DeferredFrames
from rsciio_tpx3.metadata.event_values import what_is_counted
from rsciio_tpx3.metadata.mapping import build
from rsciio_tpx3.reader.recording import described_files, detector_axes, event_signal, value_dtype
from rsciio_tpx3.reader.signal import frames_signal, position_axes
from rsciio_tpx3.scan.scan import refuse_many_positions
from rsciio_tpx3.utils.extensions import extension

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from rsciio_tpx3.events.geometry import Layout
    from rsciio_tpx3.frames.source import FrameSource
    from rsciio_tpx3.metadata.known import KnownMetadata
    from rsciio_tpx3.reader.event_options import EventOptions
    from rsciio_tpx3.scan.options import ScanOptions


__all__ = ["completed", "event_signal_when_needed", "known_array"]


def event_signal_when_needed(
    open_source: partial,
    unread: Callable,
    layout: Layout | None,
    options: ScanOptions,
    lazy: bool = False,
    **about: Any,
) -> dict:
    """As `rsciio_tpx3.reader.recording.event_signal`, but reads at the first computation where that is possible.

    Parameters
    ----------
    open_source : functools.partial
        Takes nothing, gives the `EventSource`: the pass over the recording.
    unread : callable
        Takes nothing, gives the recording's files (`rsciio_tpx3.utils.files.FileStamp`) as they are now, or None
        where its index is in the cache: that costs nothing, and tells everything at once.
    layout : rsciio_tpx3.events.geometry.Layout or None
        The detector, where it was stated.
    options : ScanOptions
    lazy : bool
    **about
        Other parameters of `event_signal`.

    Returns
    -------
    dict
    """
    if lazy and layout is not None:
        expected = known_array(options, about["events"], layout, about["dtype"])
        files = unread() if expected else None
        if expected and files:
            return _deferred_signal(open_source, files, expected, layout, options, **about)
    return event_signal(open_source(), options, lazy, **about)


def known_array(
    options: ScanOptions, events: EventOptions, layout: Layout, dtype: DTypeLike | None = None
) -> tuple[tuple[int, ...], tuple[int, int], np.dtype] | None:
    """Shape and type of the array of a scan, where the options tell them without a look at the recording.

    Parameters
    ----------
    options : rsciio_tpx3.scan.sync.ScanOptions
    events : rsciio_tpx3.reader.event_options.EventOptions
    layout : rsciio_tpx3.events.geometry.Layout
    dtype : numpy.dtype, optional
        As the user gave it; otherwise the dwell time has to be known.

    Returns
    -------
    tuple of (nav_shape, sig_shape, dtype), or None
        None where something is left to be found: how many frames were recorded, the dwell time, or corrections.
    """
    frames = options.frames
    one = isinstance(frames.chosen, int)
    nav_shape = options.nav_shape
    # frames that are added up, cut or chosen by a list need to know which there are, and so do axes of time
    if nav_shape is None or not (one or (frames.chosen is None and len(nav_shape) == 3)):
        return None
    if frames.summed or options.time_bins is not None or options.sync == "frames" or events.corrections:
        return None
    if dtype is None and options.dwell is None:
        return None
    held = value_dtype(dtype, float(options.dwell or math.inf), options.lines_per_row, events)
    fine = 1 if events.cluster is None else events.cluster.upsample
    nav_shape = nav_shape[-2:] if one else nav_shape
    refuse_many_positions(
        math.prod(nav_shape),
        f"navigation_shape={nav_shape[::-1]}",
        'Take some of the frames (frames=slice(0, 10)), add them up (frames="sum"), or take a coarser shape.',
    )
    height, width = layout.sig_shape
    return nav_shape, (height * fine, width * fine), held


def _deferred_signal(
    open_source: partial,
    files: Iterable,
    expected: tuple[tuple[int, ...], tuple[int, int], np.dtype],
    layout: Layout,
    options: ScanOptions,
    events: EventOptions,
    known: KnownMetadata,
    dtype: DTypeLike | None,
    chunks: int | str | tuple,
    show_progressbar: bool | None,
) -> dict:
    nav_shape, sig_shape, held = expected
    load = partial(_load, open_source, files, options, held, show_progressbar, events, known)
    # whatever may change a frame: how files are opened and read, the detector, and what sidecars tell of the scan
    opened = open_source.args, sorted(open_source.keywords.items())
    identity = [files, opened, layout.__reduce__()[1], options, events, held.str, known.dwell_time]
    frames = DeferredFrames(load, nav_shape, sig_shape, held, identity, sum(file.size for file in files) // 8)
    about = described_files([file.path for file in files])
    signal = frames_signal(
        frames,
        position_axes(nav_shape),
        build({**about, **what_is_counted(events), "not_read_yet": True}),
        {},
        lazy=True,
        chunks=chunks,
        sig_axes=detector_axes(sig_shape, events),
        known=known,
    )
    frames.about = {"metadata": copy.deepcopy(signal["metadata"]), "chunks": chunks}
    signal["post_process"] = [partial(_finish, frames=frames)]
    return signal


def completed(signal: Any) -> dict:
    """The signal dictionary with all that reading tells; the same where nothing waited.

    For programs that need the metadata at once. In HyperSpy the signals complete themselves.
    """
    frames = source_of(signal["data"])
    if not isinstance(frames, DeferredFrames):
        return signal
    source, about = frames.read()
    return {**signal, **about, "data": to_dask(source, chunks=frames.about["chunks"])}


def _load(
    open_source: Callable,
    files: Iterable,
    options: ScanOptions,
    dtype: DTypeLike | None,
    show_progressbar: bool | None,
    events: EventOptions,
    known: KnownMetadata | None,
) -> tuple[FrameSource, dict]:
    """The frames, and the signal dictionary of an ordinary loading."""
    for file in files:
        file.check()
    signal = event_signal(
        open_source(), options, lazy=True, dtype=dtype, show_progressbar=show_progressbar, events=events,
        known=known,
    )  # fmt: skip
    frames = cast("FrameSource", source_of(signal["data"]))
    return frames, {name: signal[name] for name in ("metadata", "original_metadata")}


def _finish(signal: Any, frames: Any) -> Any:
    """Runs inside HyperSpy only: the sparse class, which knows what to ask before its first analysis."""
    finish_later = extension("finish_later")
    return signal if finish_later is None else finish_later(signal, frames)
