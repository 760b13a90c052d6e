"""Hits of an Advacam recording: blocks found by one pass, parsed again where they are asked for."""

import copy
import logging
from dataclasses import dataclass

import numpy as np

from rsciio_tpx3.events.clock import COARSE_TICKS, PIXEL_TICKS, nearest_period, ticks_to_seconds, unwrap_sequence
from rsciio_tpx3.events.geometry import CHIP_SIZE, make_layout
from rsciio_tpx3.events.source import Edges, EventIndex, Hits, check_inside
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.frames.files import FileStamp
from rsciio_tpx3.t3pa.records import open_records
from rsciio_tpx3.t3pa.sidecar import read_sidecars

__all__ = ["AdvacamSource", "TOA_BITS"]

_logger = logging.getLogger(__name__)

TOA_BITS = (28, 30, 64)
"""Bits to which a device extends the time of arrival: AdvaPIX quad, AdvaPIX, MiniPIX (Advacam's wiki)."""

_GAP_START, _GAP_END = 0x74, 0x75  # service rows around data that were lost
_MOST_COARSE = (1 << 62) // COARSE_TICKS


@dataclass(frozen=True)
class _Block:
    """A byte range, the measurement it lies in, and its times."""

    start: int
    stop: int
    skip: int  # rows of an earlier measurement at its beginning
    keep: int  # rows that belong to this measurement
    reference: int  # unwrapped coarse ticks of the hit before it
    low: int
    high: int
    n_hits: int


class AdvacamSource:
    """Hits of a `.t3pa` or `.t3p` file.

    Parameters
    ----------
    path : str or Path
    layout : {"single", "quad"}, optional
        256 or 512 pixels wide; from the `.dsc` beside the file, or else the pixels that occur.
    orientation : str
        Turn of the detector, one of `rsciio_tpx3.events.geometry.ORIENTATIONS`.
    toa_bits : {28, 30, 64}, optional
        Bits of the device's clock; by default the fewest that hold every time in the file. A clock of
        28 bits starts again every 6.7 s, one of 30 bits every 26.8 s.
    measurement : int, optional
        Which of several measurements that were appended to one file, from 0.

    Raises
    ------
    Tpx3FormatError
        If the file is no hit list, is damaged, or holds several measurements and none is chosen.
    """

    def __init__(self, path, layout=None, orientation="up", toa_bits=None, measurement=None):
        if toa_bits not in (None, *TOA_BITS):
            raise ValueError(f"toa_bits={toa_bits!r} is none of 28 (AdvaPIX quad), 30 (AdvaPIX), 64 (MiniPIX).")
        self.stamp = FileStamp.of(path)
        self._records = open_records(self.stamp.path)
        self.sidecar = read_sidecars(self.stamp.path)
        self._spans = None
        self._pass(toa_bits, measurement)
        self.layout, self._table = _matrix_layout(self._side(layout), orientation)
        self.sig_shape = self.layout.sig_shape

    def describe(self):
        """What the format tells about the instrument; see `EventSource.describe`."""
        return {
            "format": "advacam",
            "layout": "quad" if self.sig_shape[0] > CHIP_SIZE else "single",
            "gap": 0,
            "orientation": self.layout.orientation,
            "chips": self._index.chips,
            "toa_step": ticks_to_seconds(PIXEL_TICKS),
            "tot_step": ticks_to_seconds(COARSE_TICKS),
            "paths": (self.stamp.path,),
            "size": self.stamp.size,
            "sidecar": self.sidecar,
        }

    def index(self):
        """The `EventIndex`; hit lists have no trigger edges."""
        return self._index

    def windows(self, start, stop):
        """Iterate over `Hits` with ``start <= toa < stop``; see `EventSource.windows`."""
        check_inside(self._spans, start, stop)
        for block in self._blocks:
            if block.n_hits and block.high >= start and block.low < stop:
                hits = self._hits(block)
                inside = (hits.toa >= start) & (hits.toa < stop)
                yield hits if inside.all() else hits.take(inside)

    def hits(self, start=None, stop=None):
        """All `Hits` of a half-open span of time, in the order of the file; everything by default."""
        low, high = self._index.span
        found = self.windows(low if start is None else start, high + 1 if stop is None else stop)
        return Hits.joined(found, self.sig_shape[1])

    def work(self, n_parts):
        """Ranges of blocks for parallel passes over everything."""
        n = len(self._blocks)
        borders = np.linspace(0, n, min(max(n_parts, 1), max(n, 1)) + 1).astype(int)
        return [(int(a), int(b)) for a, b in zip(borders[:-1], borders[1:])]

    def part(self, piece):
        """Iterate over all `Hits` of one of the ranges of `work`."""
        for block in self._blocks[piece[0] : piece[1]]:
            if block.n_hits:
                yield self._hits(block)

    def narrowed(self, spans):
        """A source with the blocks of these spans of time alone; see `EventSource.narrowed`."""
        part = copy.copy(self)
        part._blocks = [
            block
            for block in self._blocks
            if block.n_hits and any(block.high >= start and block.low < stop for start, stop in spans)
        ]
        part._index, part._spans = self._index.without_edges(), tuple(spans)
        return part

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_table"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        # a table of all pixels would be the largest thing in a task, and is made in no time
        _, self._table = _matrix_layout(self.sig_shape[0], self.layout.orientation)

    def _hits(self, block):
        self.stamp.check()
        rows = self._records.read(block.start, block.stop)
        own = slice(block.skip, block.skip + block.keep)
        is_hit = rows.overflow[own] == 0
        pixel, toa, tot, ftoa = (getattr(rows, name)[own][is_hit] for name in ("pixel", "toa", "tot", "ftoa"))
        coarse = _unwrapped(toa, self._bits, block.reference)
        return Hits(self._table[pixel], coarse - PIXEL_TICKS * ftoa, tot.astype(np.uint16), self.sig_shape[1])

    # -- the pass ---------------------------------------------------------------------------

    def _pass(self, toa_bits, measurement):
        """Times of every block, for each clock that the device may have: the largest time chooses."""
        candidates = TOA_BITS if toa_bits is None else (toa_bits,)
        blocks = {bits: [] for bits in candidates}
        reference = dict.fromkeys(candidates)
        self._largest_pixel, largest_toa = 0, 0
        service = {"data_gaps": 0, "service_rows": 0}
        number = 0
        for start, stop, skip, keep, number, rows in _pieces(self._records):
            if number != (measurement or 0):
                continue
            own = slice(skip, skip + keep)
            is_hit = rows.overflow[own] == 0
            pixel, toa, ftoa = (getattr(rows, name)[own][is_hit] for name in ("pixel", "toa", "ftoa"))
            _count_service(rows, own, ~is_hit, service)
            if len(toa):
                self._check_limits(start, pixel, toa, rows.tot[own][is_hit], ftoa)
                self._largest_pixel = max(self._largest_pixel, int(pixel.max()))
                largest_toa = max(largest_toa, int(toa.max()))
            for bits in candidates:
                first = reference[bits]
                if len(toa) and first is None:
                    first = int(toa[0] % (1 << min(bits, 62))) * COARSE_TICKS
                low = high = 0
                if len(toa):
                    coarse = _unwrapped(toa, bits, first)
                    times = coarse - PIXEL_TICKS * ftoa
                    low, high, reference[bits] = int(times.min()), int(times.max()), int(coarse[-1])
                blocks[bits].append(_Block(start, stop, skip, keep, first or 0, low, high, len(toa)))
        self._check_measurement(measurement, number + 1)
        self._bits = toa_bits or next(bits for bits in TOA_BITS if largest_toa < 1 << min(bits, 62))
        if largest_toa >= 1 << min(self._bits, 62):
            raise ValueError(
                f"toa_bits={toa_bits}: a time of {largest_toa} steps in {self.stamp.name!r} needs more bits."
            )
        self._blocks = blocks[self._bits]
        self._index = self._summary(service)

    def _check_measurement(self, chosen, n):
        if chosen is None and n > 1:
            raise Tpx3FormatError(
                f"{self.stamp.name!r} holds {n} measurements, one after the other, each with a clock of its own. "
                f"Choose one: measurement=0 to measurement={n - 1}."
            )
        if chosen is not None and not 0 <= chosen < n:
            raise ValueError(f"measurement={chosen!r}: {self.stamp.name!r} holds {n}, numbered from 0.")

    def _check_limits(self, start, pixel, toa, tot, ftoa):
        for name, values, most in (
            ("Matrix Index", pixel, 4 * CHIP_SIZE**2 - 1),
            ("ToA", toa, _MOST_COARSE),
            ("ToT", tot, 1023),
            ("FToA", ftoa, 31),
        ):
            if int(values.max()) > most or int(values.min()) < 0:
                bad = int(values.max()) if int(values.max()) > most else int(values.min())
                raise Tpx3FormatError(
                    f"{name} {bad} in {self.stamp.name!r}, in the block from byte {start}: at most {most} is possible. "
                    "The file is damaged, or its columns are in another order."
                )

    def _summary(self, service):
        full = [block for block in self._blocks if block.n_hits]
        n_hits = sum(block.n_hits for block in full)
        if service["data_gaps"]:
            _logger.warning(
                f"{self.stamp.name!r}: the device lost data {service['data_gaps']} times while it recorded."
            )
        span = (min(b.low for b in full), max(b.high for b in full)) if full else (0, -1)
        return EventIndex(
            edges=Edges.empty(),
            n_hits=n_hits,
            span=span if full else (0, 0),
            hit_span=span,
            chips=(0,) if self._largest_pixel < CHIP_SIZE**2 else (0, 1, 2, 3),
            statistics={"records": {"hits": n_hits, **service}, "toa_bits": self._bits},
            losses={"data_gaps": service["data_gaps"]} if service["data_gaps"] else {},
        )

    def _side(self, layout):
        if layout not in (None, "single", "quad"):
            raise ValueError(f"layout={layout!r} is none of 'single' (256 x 256), 'quad' (512 x 512).")
        stated = self.sidecar.get("width")
        side = {"single": CHIP_SIZE, "quad": 2 * CHIP_SIZE}.get(layout) or (
            stated if stated in (CHIP_SIZE, 2 * CHIP_SIZE) else None
        )
        if side is None:
            side = CHIP_SIZE if self._largest_pixel < CHIP_SIZE**2 else 2 * CHIP_SIZE
        if self._largest_pixel >= side**2:
            raise ValueError(
                f"{self.stamp.name!r} holds pixel {self._largest_pixel}, but a detector of {side} x {side} has "
                f"pixels 0 to {side**2 - 1}. Pass layout='quad'."
            )
        return side


def _pieces(records):
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


def _unwrapped(toa, bits, reference):
    """Coarse ticks without rollovers."""
    coarse = toa * COARSE_TICKS
    if bits == 64 or len(coarse) == 0:
        return coarse
    period = (1 << bits) * COARSE_TICKS
    if int(coarse.max()) - int(coarse.min()) < period // 2:
        # no rollover within the block: what holds for its first hit holds for all
        return coarse + (nearest_period(coarse[0], reference, period) - coarse[0])
    return unwrap_sequence(coarse, period, reference)


def _count_service(rows, own, is_service, service):
    pixel = rows.pixel[own][is_service]
    gaps = max(int((pixel == _GAP_START).sum()), int((pixel == _GAP_END).sum()))
    service["data_gaps"] += gaps
    service["service_rows"] += len(pixel)


def _matrix_layout(side, orientation):
    """Layout of one chip, or of four in the order of the matrix, and the table from matrix index to flat pixel."""
    chips = [{"chip": y * 2 + x, "x": x * CHIP_SIZE, "y": y * CHIP_SIZE} for y in (0, 1) for x in (0, 1)]
    layout = make_layout("single" if side == CHIP_SIZE else chips, orientation=orientation)
    y, x = np.divmod(np.arange(side * side), side)
    rules = layout.rules[y // CHIP_SIZE * 2 + x // CHIP_SIZE]
    flat = rules[:, 0] + rules[:, 1] * (x % CHIP_SIZE) + rules[:, 2] * (y % CHIP_SIZE)
    return layout, flat.astype(np.int32)
