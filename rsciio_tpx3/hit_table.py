"""The hits themselves, in order of time: a table that is read a batch at a time.

For those who want events and not frames: coincidences, correlations in time, a clustering of their own,
other programs. Memory stays that of a batch, whatever the length of the recording.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.events.source import Hits
from rsciio_tpx3.reader.option_checks import check_by
from rsciio_tpx3.reader.options import names_of
from rsciio_tpx3.reader.scan import known_scan
from rsciio_tpx3.recording import open_recording
from rsciio_tpx3.scan.scan import place_hits
from rsciio_tpx3.utils.checks import check_table, time
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND
from rsciio_tpx3.utils.integers import is_whole
from rsciio_tpx3.utils.sorting import time_order
from rsciio_tpx3.utils.units import shown, to_ticks

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import EventSource
    from rsciio_tpx3.scan.scan import Scan


__all__ = ["HitBatch", "read_hits"]

_LEAST_PIXELS = 1 << 16  # one type for x and y of all detectors as they are


def read_hits(
    filename: str | os.PathLike | Sequence,
    start: Any = None,
    stop: Any = None,
    *,
    scan: bool | dict | None = None,
    batch_size: int = 1_000_000,
    **options: Any,
) -> Iterator[HitBatch]:
    """Iterate over the hits of a recording in order of time, as columns.

    Parameters
    ----------
    filename : str, Path or sequence of them
        A `.tpx3`, `.t3pa` or `.t3p` file, or the pieces of one acquisition.
    start, stop : str or quantity, optional
        Half-open span of time on the detector's clock, such as "1 ms"; `rsciio_tpx3.file_info` tells
        the first and the last time. Everything by default. Only that part of the file is decoded.
    scan : True or dict, optional
        Add the scan position of each hit: True where the trigger edges tell the scan, or a dictionary of
        the options of `hs.load`, such as ``{"navigation_shape": (32, 24)}``.
    batch_size : int
        Hits in a batch at the most.
    **options
        Of the detector, as in `rsciio_tpx3.tpx3.file_reader` and `rsciio_tpx3.t3pa.file_reader`:
        ``layout``, ``gap``, ``orientation``, ``all_parts``, ``on_loss``, ``before_reset``, ``toa_bits``,
        ``measurement``; and
        ``cluster`` and ``corrections``, which make the table one of electrons, or of corrected hits.

    Returns
    -------
    iterator of HitBatch
        In order of time, within a batch and from batch to batch; hits of one time in the order of their
        pixels. The same hits in the same order for every `batch_size`.

    Raises
    ------
    UnitError
        If `start` or `stop` has no unit.
    ScanSyncError
        If a scan was requested that the edges do not tell.
    MetadataConflictError
        If files next to the recording contradict each other, or the edges, about the scan.
    Tpx3FormatError
        If the file is not an event recording, or is damaged.

    Examples
    --------
    >>> import tempfile, pathlib, rsciio_tpx3
    >>> from rsciio_tpx3 import simulate
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "scan.tpx3"
    >>> truth = simulate.recording(file, (6, 8), dwell_time="5 us", electrons_per_position=20)
    >>> n = 0
    >>> for hits in rsciio_tpx3.read_hits(file):
    ...     n += len(hits)
    >>> n == truth.n_hits
    True
    >>> next(rsciio_tpx3.read_hits(file, "1.1 ms", "1.2 ms", scan=True)).columns.keys()
    dict_keys(['x', 'y', 'toa', 'tot', 'scan_y', 'scan_x'])
    """
    check_by(_CHECKS, {"start": start, "stop": stop, "scan": scan if isinstance(scan, dict) else None})
    if not is_whole(batch_size, 1, math.inf):
        raise ValueError(f"batch_size={shown(batch_size)}: expected a positive integer.")
    span = [
        None if value is None else math.ceil(to_ticks(value, name, "1 ms", allow_negative=True))
        for name, value in (("start", start), ("stop", stop))
    ]
    # Options of a scan next to those of the file would be ignored where no scan is wanted.
    misplaced = sorted(set(options) & set(names_of("scan")))
    if "values" in options:
        raise TypeError("values says what a pixel of a frame adds up; a table of hits has all of them.")
    if misplaced:
        raise TypeError(f"{misplaced[0]} describes the scan: pass it as scan={{{misplaced[0]!r}: ...}}.")
    wanted = scan is not None and scan is not False
    source, scan_options, known = open_recording(
        filename, {**(scan if isinstance(scan, dict) else {}), **options}, "read_hits"
    )
    placed = known_scan(source.index(), scan_options, known) if wanted else None
    return _batches(source, _clipped(source.index().hit_span, *span), placed, int(batch_size))


class HitBatch:
    """Hits as columns of equal length.

    Parameters
    ----------
    columns : dict of str to numpy.ndarray
        ``x`` and ``y``, the detector pixel (uint16, or uint32 on a detector that electrons divide into more
        than 65536 pixels along an axis); ``toa``, the time of arrival in ticks of
        1 / 3.84 GHz = 260.41666 ps on the detector's clock, without rollovers (int64); ``tot``, the time
        over threshold in steps of 25 ns (uint16). With a scan also ``scan_x`` and ``scan_y``, and
        where the scan has them ``frame`` and ``time_bin`` (int32), all -1 for a hit without a position.
        Electrons have their summed ``tot`` and the ``size`` of their cluster, calibrated ones ``energy``.

    Examples
    --------
    >>> import numpy as np
    >>> from rsciio_tpx3.hit_table import HitBatch
    >>> batch = HitBatch({"x": np.array([3], np.uint16), "toa": np.array([384])})
    >>> batch["x"], batch.seconds()
    (array([3], dtype=uint16), array([1.e-07]))
    >>> batch.to_structured()
    array([(3, 384)], dtype=[('x', '<u2'), ('toa', '<i8')])
    """

    def __init__(self, columns: dict[str, np.ndarray]) -> None:
        self.columns = dict(columns)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.columns["toa"])

    def __repr__(self) -> str:
        return f"<HitBatch: {len(self):,} hits, columns {', '.join(self.columns)}>"

    def seconds(self) -> np.ndarray:
        """Times of arrival in seconds, as float64."""
        return self.columns["toa"] / TICKS_PER_SECOND

    def to_structured(self) -> np.ndarray:
        """As one NumPy structured array with a field for each column."""
        out = np.empty(len(self), [(name, column.dtype) for name, column in self.columns.items()])
        for name, column in self.columns.items():
            out[name] = column
        return out

    def to_arrow(self) -> Any:
        """As `pyarrow.RecordBatch`, sharing the columns' memory; units are in the schema's metadata.

        Raises
        ------
        ImportError
            If pyarrow is not installed.
        """
        try:
            import pyarrow
        except ImportError:
            raise ImportError("to_arrow() needs pyarrow. Install it by: pip install pyarrow") from None
        units = {"toa": f"1/{TICKS_PER_SECOND} s", "tot": "25 ns", "x": "px", "y": "px"}
        fields = [
            pyarrow.field(name, pyarrow.from_numpy_dtype(column.dtype), metadata={"unit": units.get(name, "")})
            for name, column in self.columns.items()
        ]
        arrays = [pyarrow.array(column) for column in self.columns.values()]
        return pyarrow.RecordBatch.from_arrays(arrays, schema=pyarrow.schema(fields))


def _clipped(hit_span: tuple[int, int], start: int | None, stop: int | None) -> tuple[int, int]:
    first, end = hit_span[0], hit_span[1] + 1
    return max(first, first if start is None else start), min(end, end if stop is None else stop)


def _batches(source: EventSource, span: tuple[int, int], scan: Scan | None, batch_size: int) -> Iterator[HitBatch]:
    kind = np.min_scalar_type(max(*source.sig_shape, _LEAST_PIXELS) - 1)
    for hits in _in_order(source, *span, batch_size):
        order = time_order(hits.toa, hits.pixel, hits.tot)
        for begin in range(0, len(order), batch_size):
            yield _batch(hits, order[begin : begin + batch_size], scan, kind)


def _batch(hits: Hits, chosen: np.ndarray, scan: Scan | None, kind: np.dtype) -> HitBatch:
    y, x = np.divmod(hits.pixel[chosen], hits.width)
    toa = hits.toa[chosen]
    columns = {"x": x.astype(kind), "y": y.astype(kind), "toa": toa, "tot": hits.tot[chosen]}
    more = {"energy": hits.energy, "size": hits.size}
    columns.update({name: column[chosen] for name, column in more.items() if column is not None})
    if scan is not None:
        columns.update(_positions(scan, toa))
    return HitBatch(columns)


def _positions(scan: Scan, toa: np.ndarray) -> dict[str, np.ndarray]:
    position = np.full(len(toa), -1, np.int64)
    if len(scan.start):
        place_hits(toa, *scan.columns(), position)
    outside = position < 0
    numbers = np.unravel_index(np.where(outside, 0, position), scan.nav_shape)
    return {name: np.where(outside, -1, n).astype(np.int32) for name, n in zip(_position_names(scan), numbers)}


def _position_names(scan: Scan) -> tuple[str, ...]:
    """Columns for the axes of a scan, in their order."""
    n_axes = len(scan.nav_shape) - (scan.time_axis is not None)
    names = ("frame",) if n_axes == 1 else ("frame", "scan_y", "scan_x")[-n_axes:]
    if scan.time_axis is None:
        return names
    return ("time_bin", *names) if scan.time_axis.over == "recording" else (*names, "time_bin")


def _in_order(source: EventSource, start: int, stop: int, wanted: int) -> Iterator[Hits]:
    """Hits of consecutive spans of time with about `wanted` hits each, never far more.

    A span that turns out to hold too many is given up and halved: only a burst within one tick can
    make it longer.
    """
    first, last = source.index().hit_span
    length = max(1, (last + 1 - first) * wanted // max(source.index().n_hits, 1))
    while start < stop:
        end = min(start + length, stop)
        hits = _collected(source, start, end, 2 * wanted if end - start > 1 else math.inf)
        if hits is None:
            length = max((end - start) // 2, 1)
            continue
        yield hits
        length = max(1, int((end - start) * min(8.0, max(0.125, wanted / max(len(hits), 1)))))
        start = end


def _collected(source: EventSource, start: int, stop: int, most: float) -> Hits | None:
    found, n = [], 0
    for hits in source.windows(start, stop):
        found.append(hits)
        n += len(hits)
        if n > most:
            return None
    return Hits.joined(found, source.sig_shape[1])


_CHECKS = {**dict.fromkeys(("start", "stop"), time("1 ms", allow_negative=True)), "scan": check_table}
