"""What one pass over an Advacam hit list tells: its measurements, its clock, and the times of its blocks."""

import logging

import numpy as np

from rsciio_tpx3.events.clock import COARSE_TICKS, PIXEL_TICKS, nearest_period, unwrap_sequence
from rsciio_tpx3.events.geometry import CHIP_SIZE
from rsciio_tpx3.events.source import Edges, EventIndex
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.kept_index import indexing_bar

__all__ = ["BLOCK", "TOA_BITS", "build_index", "unwrapped", "warn_of_losses"]

_logger = logging.getLogger(__name__)

TOA_BITS = (28, 30, 64)
"""Bits to which a device extends the time of arrival: AdvaPIX quad, AdvaPIX, MiniPIX (Advacam's wiki)."""

BLOCK = np.dtype([(name, np.int64) for name in ("start", "stop", "skip", "keep", "reference", "low", "high", "n_hits")])
"""A block of rows: its bytes from `start` to `stop`; the rows before its own, and its own, which are those of one
measurement; unwrapped coarse ticks of the hit before it; first and last time, and number, of its hits."""

_GAP_START, _GAP_END = 0x74, 0x75  # service rows around data that were lost
_MOST_COARSE = (1 << 62) // COARSE_TICKS


def build_index(records, toa_bits=None, measurement=None, show_progressbar=None):
    """Pass over the file once, for each clock that the device may have: the largest time chooses.

    Parameters
    ----------
    records : TextRecords or BinaryRecords
    toa_bits, measurement
        As in `rsciio_tpx3.t3pa.AdvacamSource`.
    show_progressbar : bool or None
        None shows a bar when the pass takes longer than two seconds.

    Returns
    -------
    index : EventIndex
    blocks : numpy.ndarray of `BLOCK`
    largest_pixel : int

    Raises
    ------
    Tpx3FormatError
        If the file is damaged, or holds several measurements and none is chosen.
    """
    name = records.stamp.name
    candidates = TOA_BITS if toa_bits is None else (toa_bits,)
    blocks = {bits: [] for bits in candidates}
    reference = dict.fromkeys(candidates)
    largest_pixel, largest_toa, number = 0, 0, 0
    service = {"data_gaps": 0, "service_rows": 0}
    with indexing_bar(records.stamp.size, show_progressbar) as bar:
        for start, stop, skip, keep, number, rows in _pieces(records, bar):
            if number != (measurement or 0):
                continue
            own = slice(skip, skip + keep)
            is_hit = rows.overflow[own] == 0
            pixel, toa, ftoa = (getattr(rows, column)[own][is_hit] for column in ("pixel", "toa", "ftoa"))
            _count_service(rows, own, ~is_hit, service)
            if len(toa):
                _check_limits(name, start, pixel, toa, rows.tot[own][is_hit], ftoa)
                largest_pixel = max(largest_pixel, int(pixel.max()))
                largest_toa = max(largest_toa, int(toa.max()))
            for bits in candidates:
                first = reference[bits]
                if len(toa) and first is None:
                    first = int(toa[0] % (1 << min(bits, 62))) * COARSE_TICKS
                low = high = 0
                if len(toa):
                    coarse = unwrapped(toa, bits, first)
                    times = coarse - PIXEL_TICKS * ftoa
                    low, high, reference[bits] = int(times.min()), int(times.max()), int(coarse[-1])
                blocks[bits].append((start, stop, skip, keep, first or 0, low, high, len(toa)))
    _check_measurement(name, measurement, number + 1)
    bits = toa_bits or next(bits for bits in TOA_BITS if largest_toa < 1 << min(bits, 62))
    if largest_toa >= 1 << min(bits, 62):
        raise ValueError(f"toa_bits={toa_bits}: a time of {largest_toa} steps in {name!r} needs more bits.")
    found = np.array(blocks[bits], BLOCK)
    index = _summary(found, service, bits, largest_pixel)
    warn_of_losses(index, name)
    return index, found, largest_pixel


def warn_of_losses(index, name):
    """Say once what the device lost while it recorded."""
    if "data_gaps" in index.losses:
        _logger.warning(f"{name!r}: the device lost data {index.losses['data_gaps']} times while it recorded.")


def _check_measurement(name, chosen, n):
    if chosen is None and n > 1:
        raise Tpx3FormatError(
            f"{name!r} holds {n} measurements, one after the other, each with a clock of its own. "
            f"Choose one: measurement=0 to measurement={n - 1}."
        )
    if chosen is not None and not 0 <= chosen < n:
        raise ValueError(f"measurement={chosen!r}: {name!r} holds {n}, numbered from 0.")


def _check_limits(name, start, pixel, toa, tot, ftoa):
    for column, values, most in (
        ("Matrix Index", pixel, 4 * CHIP_SIZE**2 - 1),
        ("ToA", toa, _MOST_COARSE),
        ("ToT", tot, 1023),
        ("FToA", ftoa, 31),
    ):
        if int(values.max()) > most or int(values.min()) < 0:
            bad = int(values.max()) if int(values.max()) > most else int(values.min())
            raise Tpx3FormatError(
                f"{column} {bad} in {name!r}, in the block from byte {start}: at most {most} is possible. "
                "The file is damaged, or its columns are in another order."
            )


def _summary(blocks, service, bits, largest_pixel):
    full = blocks[blocks["n_hits"] > 0]
    n_hits = int(full["n_hits"].sum())
    span = (int(full["low"].min()), int(full["high"].max())) if len(full) else (0, -1)
    return EventIndex(
        edges=Edges.empty(),
        n_hits=n_hits,
        span=span if len(full) else (0, 0),
        hit_span=span,
        chips=(0,) if largest_pixel < CHIP_SIZE**2 else (0, 1, 2, 3),
        statistics={"records": {"hits": n_hits, **service}, "toa_bits": bits},
        losses={"data_gaps": service["data_gaps"]} if service["data_gaps"] else {},
    )


def _pieces(records, bar):
    """Blocks cut where the row number starts again: (start, stop, skip, keep, measurement, rows)."""
    number, last = 0, -1
    for start, stop in records.blocks():
        rows = records.read(start, stop)
        n = len(rows.toa)
        cuts = [0, n]
        if rows.index is not None and n:
            before = np.concatenate([[last], rows.index[:-1]])
            # a step back to another number is disorder; 24 bits are what the device counts
            restarts = (rows.index == 0) & (before > 0) & (before != (1 << 24) - 1)
            cuts = [0, *np.flatnonzero(restarts), n]
            last = int(rows.index[-1])
        for i, (a, b) in enumerate(zip(cuts[:-1], cuts[1:])):
            number += i > 0
            if b > a:
                yield start, stop, int(a), int(b - a), number, rows
        bar.update(stop - start)


def unwrapped(toa, bits, reference):
    """Coarse ticks without rollovers."""
    coarse = toa * COARSE_TICKS
    if bits == 64 or len(coarse) == 0:
        return coarse
    period = (1 << bits) * COARSE_TICKS
    if int(coarse.max()) - int(coarse.min()) < period // 2:
        # no rollover within the block: what holds for its first hit holds for all, and none is from before zero
        return coarse + max(nearest_period(coarse[0], reference, period) - coarse[0], 0)
    return unwrap_sequence(coarse, period, reference)


def _count_service(rows, own, is_service, service):
    pixel = rows.pixel[own][is_service]
    gaps = max(int((pixel == _GAP_START).sum()), int((pixel == _GAP_END).sum()))
    service["data_gaps"] += gaps
    service["service_rows"] += len(pixel)
