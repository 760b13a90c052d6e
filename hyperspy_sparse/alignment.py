"""The frames of a repeated scan added up where they belong, event by event."""

import logging
import math

import dask.array as da
import numpy as np
from dask._task_spec import List, Task, TaskRef
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from hyperspy_sparse.detectors import masked_sums
from hyperspy_sparse.drift import Drift, check_frames, find_drift
from hyperspy_sparse.signals import finish_loading
from rsciio_tpx3.events.drift import common_grid, scan_grid, shifted_scan
from rsciio_tpx3.frames.csr_frames import CSRFrames
from rsciio_tpx3.frames.dask_array import DENSE_CHUNK_BYTES, empty_meta, source_of, to_dask
from rsciio_tpx3.frames.event_frames import EventFrames
from rsciio_tpx3.frames.regroup import add_rows
from rsciio_tpx3.frames.shared_reads import READ_ENTRIES, event_frames
from rsciio_tpx3.metadata.mapping import build

__all__ = ["align_frames"]

_logger = logging.getLogger(__name__)

_FIELDS = {"common": common_grid, "scan": scan_grid}
_TOGETHER = 8  # chunks added up by one task


def align_frames(signal, drift=None, *, upsampling=1, field="common", show_progressbar=None, **options):
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
        Shifts ``(y, x)`` in scan positions; found by `find_drift` when left out.
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
        number of events kept and lost; its axes are calibrated as those of `signal`.

    Raises
    ------
    ValueError
        If the signal has no frame axis, the shifts do not fit it, or frames have nothing in common.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np, hyperspy.api as hs, hyperspy_sparse
    >>> from rsciio_tpx3 import simulate
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "scan.tpx3"
    >>> truth = simulate.recording(file, (24, 32), n_frames=3, drift=[(0, 0), (1, -2), (2, -3)], layout="single",
    ...                            frame_flyback="1 ms", dwell_time="5 us", electrons_per_position=50)
    >>> s = hs.load(file, navigation_shape=(32, 24, 3), lazy=True)
    >>> aligned = hyperspy_sparse.align_frames(s, np.array([(0, 0), (1, -2), (2, -3)]))
    >>> aligned
    <LazySparseElectronDiffraction2D, title: scan, dimensions: (29, 22|256, 256)>
    """
    check_frames(signal)
    if field not in _FIELDS:
        raise ValueError(f"field={field!r} is none of {', '.join(map(repr, _FIELDS))}.")
    if isinstance(upsampling, bool) or upsampling != int(upsampling) or upsampling < 1:
        raise ValueError(f"upsampling={upsampling!r}: a whole number above 0 is needed.")
    drift = _drift(signal, drift, options)
    grid = _FIELDS[field](drift.shifts, signal.data.shape[1:3], int(upsampling))
    counts = _counts(signal)
    source = source_of(signal.data)
    if _from_events(source):
        data, placed = _placed_again(source, grid, show_progressbar)
    else:
        data, placed = _rows_moved(signal.data, grid, counts)
    result = _like(signal, data, grid)
    _note(result, drift, grid, kept=placed.sum(), total=counts.sum())
    return finish_loading(result, navigator=placed)


def _drift(signal, drift, options):
    if drift is None:
        return find_drift(signal, **options)
    if options:
        raise TypeError(f"{next(iter(options))} is for finding the drift, which was given.")
    if not isinstance(drift, Drift):
        shifts = np.asarray(drift, float)
        drift = Drift(shifts, np.zeros_like(shifts))
    wanted = (signal.data.shape[0], 2)
    if drift.shifts.shape != wanted or not np.isfinite(drift.shifts).all():
        raise ValueError(f"The shifts have shape {drift.shifts.shape}; {wanted} is needed, (y, x) for each frame.")
    return drift


def _counts(signal):
    """Counts of each position of each frame, from the navigator where it is up to date."""
    stored = signal.navigator
    if stored is not None and getattr(signal, "_navigator_of", None) == signal.data.name:
        if np.shape(stored.data) == signal.data.shape[:3]:
            return np.asarray(stored.data)
    everything = np.ones((1, *signal.data.shape[-2:]), bool)
    return masked_sums(signal.data, everything, np.sum(np.zeros(1, signal.data.dtype)).dtype)[..., 0].compute()


def _sum_dtype(dtype, n):
    """Smallest type that holds the sum of `n` values of a type."""
    if dtype.kind != "u":
        return np.sum(np.zeros(1, dtype)).dtype
    most = int(np.iinfo(dtype).max) * n
    return np.dtype(next(t for t in ("u1", "u2", "u4", "u8") if most <= np.iinfo(t).max))


def _from_events(source):
    return isinstance(source, EventFrames) and len(source.nav_shape) == 3 and source.scan.time_axis is None


def _placed_again(source, grid, show_progressbar):
    scan = shifted_scan(source.scan, grid)
    # a cell may take parts of two positions of a frame
    frames = event_frames(source.source, scan, _sum_dtype(source.dtype, 2 * len(grid.shifts)), source.values)
    counts, _ = frames.count(show_progressbar)
    return to_dask(frames), counts.reshape(grid.shape)


# -- whole positions -----------------------------------------------------------------------------


def _rows_moved(data, grid, counts):
    """The result from frames whose events are not at hand, and the counts of its cells."""
    whole = {axis: -1 for axis in (2, 3, 4) if len(data.chunks[axis]) > 1}
    data = data.rechunk(whole) if whole else data
    rows, columns = grid.cells(0), grid.cells(1)
    placed = np.zeros((grid.shape[0], grid.shape[1] + 1), counts.dtype)
    for frame, (y, x) in enumerate(zip(rows, columns)):
        inside = y >= 0
        np.add.at(placed, (y[inside][:, None], x[None, :]), counts[frame][inside])
    placed = np.ascontiguousarray(placed[:, :-1])
    dtype = _sum_dtype(data.dtype, int(grid.visits().max(initial=1)))
    lines = _lines(placed, data.shape[-2:], dtype)
    name = f"aligned-{tokenize(data, rows, columns, grid.shape, lines)}"
    graph = _graph(name, data, rows, columns, grid.shape, lines, dtype)
    layers = HighLevelGraph.from_collections(name, graph, dependencies=[data])
    chunks = (lines, (grid.shape[1],), *data.chunks[-2:])
    return da.Array(layers, name, chunks, meta=empty_meta(dtype, 2), dtype=dtype), placed


def _lines(placed, sig_shape, dtype):
    """Lines of each chunk of the result: bounded as `to_dask` bounds them."""
    room = max(int(DENSE_CHUNK_BYTES // max(math.prod(sig_shape) * dtype.itemsize * placed.shape[1], 1)), 1)
    pieces, lines, filled = [], 0, 0.0
    for n in placed.sum(axis=1).tolist():
        if lines and (lines == room or filled + n > READ_ENTRIES):
            pieces.append(lines)
            lines, filled = 0, 0.0
        lines, filled = lines + 1, filled + n
    return (*pieces, lines)


def _graph(name, data, rows, columns, shape, lines, dtype):
    """One sum for each chunk of the result, a few chunks of the data at a time."""
    frame_ends, line_ends = (np.cumsum((0, *sizes)) for sizes in data.chunks[:2])
    graph, first = {}, 0
    for number, n in enumerate(lines):
        out = np.where((rows >= first) & (rows < first + n), rows - first, -1)
        parts = []
        for i in range(len(frame_ends) - 1):
            for j in range(len(line_ends) - 1):
                own = slice(frame_ends[i], frame_ends[i + 1])
                y = out[own, line_ends[j] : line_ends[j + 1]]
                if (y >= 0).any():
                    parts.append(((data.name, i, j, 0, 0, 0), (y, columns[own])))
        key = (name, number, 0, 0, 0)
        _add_tree(graph, key, parts, (n, shape[1], *data.shape[-2:]), dtype)
        first += n
    return graph


def _add_tree(graph, key, parts, shape, dtype):
    """Sums of sums: no task holds more than a few chunks."""
    level = 0
    while len(parts) > _TOGETHER:
        sums = []
        for k in range(0, len(parts), _TOGETHER):
            inner = (f"{key[0]}-part", *key[1:], level, k)
            graph[inner] = _sum_task(inner, parts[k : k + _TOGETHER], shape, dtype)
            sums.append((inner, None))
        parts, level = sums, level + 1
    graph[key] = _sum_task(key, parts, shape, dtype)


def _sum_task(key, parts, shape, dtype):
    chunks = List(*(TaskRef(part) for part, _ in parts))
    return Task(key, _sum_placed, chunks, [cells for _, cells in parts], shape, dtype)


def _sum_placed(chunks, cells, shape, dtype):
    """Chunks added up in the cells of a chunk of the result; a sum has its places already."""
    if not chunks:
        empty = np.zeros(0, dtype), np.zeros(0, np.int32), np.zeros(shape[0] * shape[1] + 1, np.int64)
        return CSRFrames._make(*empty, shape)
    width, places = shape[1], []
    for chunk, place in zip(chunks, cells):
        if place is None:
            places.append(np.arange(chunk.n_frames))
            continue
        y, x = place[0][:, :, None], place[1][:, None, :]
        places.append(np.where((y >= 0) & (x >= 0), y * width + x, -1).ravel())
    return add_rows(chunks, places, shape[0] * width, dtype).reshape(shape)


# -- the signal ----------------------------------------------------------------------------------


def _like(signal, data, grid):
    """The class, metadata and axes of the signal without its frame axis."""
    template = signal.inav[..., 0]
    template.navigator = None
    scales = [(axis.scale, axis.offset) for axis in template.axes_manager.navigation_axes[::-1]]
    template._data = data
    template.get_dimensions_from_data()
    for axis, (scale, offset), first in zip(template.axes_manager.navigation_axes[::-1], scales, grid.first):
        # the middle of the first cell, in positions of the scan
        axis.scale = scale / grid.upsampling
        axis.offset = offset + scale * ((first + 0.5) / grid.upsampling - 0.5)
    return template


def _note(signal, drift, grid, kept, total):
    visits = grid.visits()
    lost = total - kept
    known = drift.reference != "given"
    about = {
        "drift_y": drift.shifts[:, 0].tolist(),
        "drift_x": drift.shifts[:, 1].tolist(),
        "drift_y_error": drift.errors[:, 0].tolist() if known else None,
        "drift_x_error": drift.errors[:, 1].tolist() if known else None,
        "drift_reference": drift.reference,
        "drift_upsampling": grid.upsampling,
        "drift_visits": [int(visits.min()), int(visits.max())],
        "drift_events_kept": kept.item(),
        "drift_events_lost": lost.item(),
        "frames_summed": len(drift.shifts),
    }
    signal.metadata.add_dictionary(build(about))
    share = lost / total if total else 0.0
    log = _logger.warning if share > 0.25 else _logger.info
    log(f"{kept} of {total} events are in the field of the aligned frames; {lost} ({share:.1%}) lie outside of it.")
