"""The signal dictionary of a recording: an event source seen through a scan."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.cache.store import recalled_counts
from rsciio_tpx3.frames.event_frames import count_type
from rsciio_tpx3.frames.shared_reads import event_frames
from rsciio_tpx3.frames.weighted import value_type
from rsciio_tpx3.metadata.event_values import event_values
from rsciio_tpx3.metadata.mapping import PIXEL_PITCH, build
from rsciio_tpx3.metadata.provenance import reading_step
from rsciio_tpx3.metadata.requested import requested_options
from rsciio_tpx3.reader.event_options import EventOptions, prepare_events
from rsciio_tpx3.reader.report import report_losses
from rsciio_tpx3.reader.scan import known_scan
from rsciio_tpx3.reader.signal import axis, frames_signal, position_axes
from rsciio_tpx3.scan.options import EDGELESS
from rsciio_tpx3.utils.clock import ticks_to_seconds

if TYPE_CHECKING:
    from fractions import Fraction

    from numpy.typing import DTypeLike

    from rsciio_tpx3.events.source import EventSource
    from rsciio_tpx3.metadata.known import KnownMetadata
    from rsciio_tpx3.scan.options import ScanOptions
    from rsciio_tpx3.scan.scan import Scan


__all__ = [
    "described_files",
    "detector_axes",
    "event_signal",
    "value_dtype",
]

_logger = logging.getLogger(__name__)

_MOST_GROUPS = 10**6
_MANY_FOR_EACH = 20  # hits in each frame, by which none lacks them by chance


def event_signal(
    source: EventSource,
    options: ScanOptions,
    lazy: bool = False,
    chunks: int | str | tuple = "auto",
    dtype: DTypeLike | None = None,
    show_progressbar: bool | None = None,
    events: EventOptions | None = None,
    known: KnownMetadata | None = None,
) -> dict:
    """Signal dictionary of an event source seen through a scan.

    Parameters
    ----------
    source : EventSource
    options : ScanOptions
    lazy : bool
        False decodes now and keeps the sparse chunks in memory.
    chunks, dtype, show_progressbar
        As in `rsciio_tpx3.tpx3.file_reader`.
    events : rsciio_tpx3.reader.event_options.EventOptions, optional
        Clusters, corrections and values; plain hits by default.
    known : KnownMetadata, optional
        What the user and other files tell.

    Returns
    -------
    dict
    """
    events = events or EventOptions()
    source, corrections = prepare_events(source, events)
    scan = known_scan(source.index(), options, known)
    for message in scan.report["messages"]:
        _logger.warning(message)
    # The type follows from the longest dwell time: a pixel cannot count faster than its dead time allows.
    dtype = value_dtype(dtype, scan.longest_dwell, options.lines_per_row * scan.passes, events)
    frames = event_frames(source, scan, dtype, events.values)
    # The one pass over all events at opening: it gives the navigator, and the losses that are reported below.
    counts, outside = recalled_counts(frames, show_progressbar)
    _warn_of_far_hits(scan, counts)
    values = event_values(source, events, corrections, counts, outside)
    chosen = "frames_used" in scan.report
    of_scan = scan.report.get("frames", 1), scan.report.get("lines_found", 1)
    report_losses(events.cluster, source.tally(), counts, outside, chosen, *of_scan)
    return frames_signal(
        frames,
        _nav_axes(scan),
        _metadata(
            source,
            scan,
            requested_options(source.describe(), options, events, frames.dtype),
            options.delay,
            values,
            {} if known is None else known.loaded_by,
        ),
        _original_metadata(source),
        lazy=lazy,
        chunks=chunks,
        navigator=counts.reshape(frames.nav_shape),
        sig_axes=detector_axes(source.sig_shape, events),
        known=known,
    )


def _warn_of_far_hits(scan: Scan, counts: np.ndarray) -> None:
    """Say so where a few hits far from all others decide how many frames there are."""
    if scan.report["sync"] not in EDGELESS or len(scan.nav_shape) == 2:
        return
    n, total = scan.nav_shape[0], int(counts.sum())
    if total < 20:
        return
    each = -(-n // _MOST_GROUPS)  # frames looked at together: tables for millions of them would fill the memory
    in_groups = np.add.reduceat(
        counts.ravel(), np.arange(0, scan.n_positions, each * (scan.n_positions // n)), dtype=np.int64
    )
    for of_end, side in ((in_groups, "first"), (in_groups[::-1], "last")):
        n_full = _groups_of_most(of_end, total)
        beyond = total - int(of_end[:n_full].sum())
        if beyond:
            part = "tenth" if n_full <= len(in_groups) // 10 else f"{each * n_full:,}"
            _logger.warning(
                f"All but {beyond} of {total} hits lie in the {side} {part} of {n:,} frames: the others may have wrong "
                "times, and make the recording seem longer than it was. Check it, or give the number of frames."
            )
            return
    occupied = int(np.count_nonzero(in_groups))
    # as many frames as hits at random would find, but for a few: a scan is not like that, pulses of a source are
    if scan.report["sync"] == "shared-clock" and occupied < 0.1 * len(in_groups) * -math.expm1(-total / len(in_groups)):
        _logger.warning(
            f"Only {each * occupied:,} of {n:,} frames have hits ({total:,} in all): times may be wrong, of packets "
            "from before a reset for example, or the scan was short. Check it, or give the number of frames."
        )


def _groups_of_most(counts: np.ndarray, total: int) -> int:
    """Number of the first groups of frames that have all hits but a few far away; all groups where none are."""
    n = len(counts)
    few = max(1, min(total // 1000, 10))
    until = int(np.searchsorted(np.cumsum(counts), total - few)) + 1
    # where there are few hits for each frame, one without any is nothing unusual
    apart = until < n and counts[until] == 0 and total >= _MANY_FOR_EACH * until
    return until if apart or until <= n // 10 else n


def _nav_axes(scan: Scan) -> list[dict]:
    """Axes in NumPy order; a time axis comes first, so that HyperSpy shows x and y."""
    time: Any = scan.time_axis
    sizes, extra = list(scan.nav_shape), []
    if time is not None:
        del sizes[0 if time.over == "recording" else -1]
        extra = [axis(f"time in {time.over}", time.number, True, time.width, time.first, "s")]
    if scan.report["sync"] == "frames":
        first = ticks_to_seconds(scan.start[0])
        return [*extra, axis("time", sizes[0], True, scan.report["dwell_time"], first, "s")]
    return [*extra, *position_axes(sizes, _frame_scale(scan))]


def _frame_scale(scan: Scan) -> tuple:
    """Scale and offset of the frame axis: frame numbers, where those used are evenly spaced."""
    used = scan.report.get("frames_used") or [0]
    steps = np.unique(np.diff(used))
    if len(steps) > 1:
        return ()
    return (float(steps[0]) if len(steps) else 1.0, float(used[0]))


def detector_axes(sig_shape: tuple[int, ...], events: EventOptions) -> list[dict]:
    """Detector axes in pixels of the detector, also where it was divided more finely."""
    fine = 1 if events.cluster is None else events.cluster.upsample
    offset = (1 / fine - 1) / 2  # the first fine pixel lies left of the middle of the first pixel
    sizes = zip(("ky", "kx"), sig_shape)
    return [axis(name, size, False, scale=1 / fine, offset=offset, units="px") for name, size in sizes]


def value_dtype(dtype: DTypeLike | None, dwell: float, lines_per_row: int, events: EventOptions) -> np.dtype:
    """Type of the values: as given, else the smallest that cannot overflow in so many lines of `dwell` ticks each."""
    if dtype is None:
        if events.values != "counts":
            return value_type(events.values, dwell, lines_per_row, events.cluster is not None)
        # a centroid may lie in a pixel that was not hit: its neighbours, at most four pairs, can give it electrons
        centroids = events.cluster is not None and events.cluster.position == "centroid"
        return count_type(dwell, lines_per_row * (4 if centroids else 1))
    dtype = np.dtype(dtype)
    kind, example = ("f", "float32") if events.values == "energy" else ("u", "uint16")
    if dtype.kind != kind:
        raise ValueError(
            f"dtype={dtype} cannot hold {events.values}: expected "
            f"{'a floating-point' if kind == 'f' else 'an unsigned integer'} type such as {example!r}."
        )
    return dtype


def described_files(paths: Sequence) -> dict:
    """Values for `rsciio_tpx3.metadata.mapping.build` that are known of event files before they are read."""
    names = [os.path.basename(path) for path in paths]
    return {
        "title": os.path.splitext(names[0])[0],
        "original_filename": names[0],
        "original_files": names if len(names) > 1 else None,
        "signal_type": "electron_diffraction",
        "detector_type": "Timepix3",
        "pixel_pitch": PIXEL_PITCH,
    }


def _metadata(
    source: EventSource, scan: Scan, requested: dict, delay: Fraction, values: dict, loaded_by: dict[str, str]
) -> dict:
    about = source.describe()
    index = source.index()
    return build(
        {
            **about,
            **scan.report,
            **described_files(about["paths"]),
            "chips": list(index.chips),
            "losses": index.losses,
            "scan_delay": ticks_to_seconds(float(delay)) if delay else None,
            "processing": {"reading_0": reading_step(about["paths"], requested, loaded_by)},
            **values,
        }
    )


def _original_metadata(source: EventSource) -> dict[str, dict]:
    index = source.index()
    text = {
        key: {str(k): v for k, v in value.items()} if isinstance(value, dict) else value
        for key, value in index.statistics.items()
    }
    about = source.describe()
    found = {"size": about["size"], "statistics": text}
    if about.get("sidecar"):
        found["sidecar"] = about["sidecar"]
    return {about.get("format", "tpx3"): found}
