"""The frames of a repeated scan added up where they belong, event by event."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperspy_sparse.arguments import require_uniform
from hyperspy_sparse.drift import Drift, check_frames, find_drift
from hyperspy_sparse.navigator import COUNTS, counts_of
from hyperspy_sparse.signals import finish_loading
from hyperspy_sparse.virtual_detectors import masked_sums
from rsciio_tpx3.frames.dask_array import source_of, to_dask
from rsciio_tpx3.frames.event_frames import EventFrames
from rsciio_tpx3.frames.moved_rows import moved_rows, sum_dtype
from rsciio_tpx3.frames.shared_reads import event_frames
from rsciio_tpx3.metadata.mapping import build
from rsciio_tpx3.scan.regrid import common_grid, scan_grid, shifted_scan
from rsciio_tpx3.utils.integers import is_whole
from rsciio_tpx3.utils.units import shown

if TYPE_CHECKING:
    import dask.array as da
    from hyperspy.signal import BaseSignal

    from rsciio_tpx3.frames.source import FrameSource
    from rsciio_tpx3.scan.regrid import Grid


__all__ = ["align_frames"]

_logger = logging.getLogger(__name__)

_FIELDS = {"common": common_grid, "scan": scan_grid}


def align_frames(
    signal: BaseSignal,
    drift: np.ndarray | None = None,
    *,
    upsampling: int = 1,
    field: str = "common",
    show_progressbar: bool | None = None,
    **options: Any,
) -> BaseSignal:
    """Add up the frames of a repeated scan, each event at the place where its frame belongs.

    Nothing is interpolated: every event stays one event, and those that fall outside the field are
    counted. A signal that was loaded with ``lazy=True`` is placed again from its events: a shift along
    the lines is then exact to the clock, and on a finer grid each event goes to its own cell. Other
    signals are placed by whole positions: the middle of a position decides on its cell.

    Parameters
    ----------
    signal : one of the sparse signal classes
        With navigation axes ``(x, y, frame)``.
    drift : Drift or array, shape (frames, 2), optional
        Shifts ``(y, x)`` in scan positions, with the sign of `find_drift` and of HyperSpy's
        `estimate_shift2D`: how far the picture of a frame lies from where it belongs. They are taken
        from the positions of its events. Found by `find_drift` when omitted.
    upsampling : int
        Cells of the result in a position, along x and y. Frames between whole positions then fill
        cells that others leave empty.
    field : {"common", "scan"}
        What every frame has seen, or all of the scan's field; its borders have fewer frames.
    show_progressbar : bool, optional
        Of the pass that counts events.
    **options
        For `find_drift`: ``detector``, ``reference``, ``upsample_factor``.

    Returns
    -------
    The same class of signal, with navigation axes (x, y)
        Lazy. ``metadata.Acquisition_instrument.TEM.Scan.Drift`` has the shifts with their errors and the
        number of events inside and lost, where the signal knows events: not where it was saved with values that are
        not counts. Its axes are calibrated as those of `signal`.

    Raises
    ------
    ValueError
        If the signal has no frame axis, its axes are in another order, the shifts do not fit it, frames have nothing
        in common, or the grid would have more than 200 million positions.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np, hyperspy.api as hs, hyperspy_sparse
    >>> from rsciio_tpx3 import simulate
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "scan.tpx3"
    >>> truth = simulate.recording(file, (24, 32), n_frames=3, drift=[(0, 0), (1, -2), (2, -3)], layout="single",
    ...                            frame_flyback="1 ms", dwell_time="5 us", electrons_per_position=50)
    >>> s = hs.load(file, navigation_shape=(32, 24, 3), lazy=True)
    >>> aligned = hyperspy_sparse.align_frames(s, np.array([(0, 0), (-1, 2), (-2, 3)]))
    >>> aligned.axes_manager.navigation_shape
    (29, 22)
    """
    check_frames(signal)
    if not isinstance(field, str) or field not in _FIELDS:
        raise ValueError(f"field={shown(field)} is not valid: must be one of {', '.join(map(repr, _FIELDS))}.")
    if not is_whole(upsampling, 1):
        raise ValueError(f"upsampling={shown(upsampling)}: expected a positive integer.")
    drift = _drift(signal, drift, options)
    added = 0.0 - drift.shifts  # to the positions of each frame
    grid = _FIELDS[field](added, signal.data.shape[1:3], int(upsampling))
    counts, holds = _counts(signal)
    source = source_of(signal.data)
    if _from_events(source):
        data, placed = _placed_again(source, grid, show_progressbar)
    else:
        data, placed = moved_rows(signal.data, grid, counts)
    result = _like(signal, data, grid)
    _note(result, drift, grid, placed.sum(), counts.sum(), holds)
    return finish_loading(result, placed, holds)


def _drift(signal: BaseSignal, drift: Any, options: dict) -> Any:
    if drift is None:
        return find_drift(signal, **options)
    if options:
        raise TypeError(f"{next(iter(options))} is for finding the drift, which was passed.")
    if not isinstance(drift, Drift):
        try:
            shifts = np.asarray(drift, float)
        except (TypeError, ValueError):
            raise ValueError(f"drift={shown(drift)}: expected shifts (y, x) for each frame.") from None
        drift = Drift(shifts, np.zeros_like(shifts))
    wanted = (signal.data.shape[0], 2)
    if drift.shifts.shape != wanted or not np.isfinite(drift.shifts).all():
        raise ValueError(
            f"drift: the shifts have shape {drift.shifts.shape}; expected {wanted} finite ones, (y, x) for each frame."
        )
    return drift


def _counts(signal: BaseSignal) -> tuple[np.ndarray, str]:
    """Counts of each position of each frame, and what they are: from the navigator where it has them.

    Values that are not counts, such as times over threshold, are added up where nobody knows the events any more.
    """
    counts = counts_of(signal)
    if counts is not None:
        return counts, COUNTS
    everything = np.ones((1, *signal.data.shape[-2:]), bool)
    sums = masked_sums(signal.data, everything, np.sum(np.zeros(1, signal.data.dtype)).dtype)[..., 0].compute()
    quantity = str(signal.metadata.get_item("Signal.quantity") or COUNTS)
    return sums, COUNTS if quantity.startswith(COUNTS) else quantity


def _from_events(source: FrameSource | None) -> bool:
    return isinstance(source, EventFrames) and len(source.nav_shape) == 3 and source.scan.time_axis is None


def _placed_again(source: FrameSource, grid: Grid, show_progressbar: bool | None) -> tuple[da.Array, np.ndarray]:
    scan = shifted_scan(source.scan, grid)
    # a cell may take parts of two positions of a frame
    frames = event_frames(source.source, scan, sum_dtype(source.dtype, 2 * len(grid.shifts)), source.values)
    counts, _ = frames.count(show_progressbar)
    return to_dask(frames), counts.reshape(grid.shape)


def _like(signal: BaseSignal, data: da.Array, grid: Grid) -> BaseSignal:
    """The class, metadata and axes of the signal without its frame axis."""
    template = signal.inav[..., 0]
    require_uniform(template.axes_manager.navigation_axes, "align_frames")
    template.navigator = None
    scales = [(axis.scale, axis.offset) for axis in template.axes_manager.navigation_axes[::-1]]
    template._data = data
    template.get_dimensions_from_data()
    for axis, (scale, offset), first in zip(template.axes_manager.navigation_axes[::-1], scales, grid.first):
        # the middle of the first cell, in positions of the scan
        axis.scale = scale / grid.upsampling
        axis.offset = offset + scale * ((first + 0.5) / grid.upsampling - 0.5)
    return template


def _note(signal: BaseSignal, drift: Any, grid: Grid, inside: int, total: int, holds: str) -> None:
    visits = grid.visits()
    lost = total - inside
    known = drift.reference != "given"
    about = {
        "drift_y": drift.shifts[:, 0].tolist(),
        "drift_x": drift.shifts[:, 1].tolist(),
        "drift_y_error": drift.errors[:, 0].tolist() if known else None,
        "drift_x_error": drift.errors[:, 1].tolist() if known else None,
        "drift_reference": drift.reference,
        "drift_upsampling": grid.upsampling,
        "drift_visits": [int(visits.min()), int(visits.max())],
        "drift_events_kept": inside.item() if holds == COUNTS else None,
        "drift_events_lost": lost.item() if holds == COUNTS else None,
        "frames_summed": len(drift.shifts),
    }
    signal.metadata.add_dictionary(build(about))
    share = lost / total if total else 0.0
    log = _logger.warning if share > 0.25 else _logger.info
    what = "events" if holds == COUNTS else f"in {holds}"
    log(f"{inside} of {total} {what} are in the field of the aligned frames; {lost} ({share:.1%}) lie outside of it.")
