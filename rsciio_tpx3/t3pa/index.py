"""What one pass over an Advacam hit list tells: its measurements, its clock, and the times of its blocks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.cache.recall import indexing_bar
from rsciio_tpx3.events.geometry import CHIP_SIZE
from rsciio_tpx3.events.source import Edges, EventIndex
from rsciio_tpx3.exceptions import ConflictError, Tpx3FormatError
from rsciio_tpx3.t3pa.plain import steady_shift, survey
from rsciio_tpx3.t3pa.rows import COUNTS, FIRST_ODD, HIT, MOST_BY_CHIP, MOST_MATRIX, ODD, UNKNOWN, judged
from rsciio_tpx3.t3pa.series import SeriesFinder
from rsciio_tpx3.utils.clock import COARSE_TICKS, PIXEL_TICKS, nearest_period, unwrap_sequence
from rsciio_tpx3.utils.text import counted

if TYPE_CHECKING:
    from rsciio_tpx3.events.losses import Losses
    from rsciio_tpx3.t3pa.plain import Survey
    from rsciio_tpx3.t3pa.records import BinaryRecords, Columns, TextRecords


__all__ = ["BLOCK", "PLACE_OF_CHIPS", "TOA_BITS", "build_index", "unwrapped", "warn_of_losses"]

_logger = logging.getLogger(__name__)

TOA_BITS = (28, 30, 64)
"""Bits to which a device extends the time of arrival: AdvaPIX quad, AdvaPIX, MiniPIX (Advacam's wiki)."""

BLOCK = np.dtype([(name, np.int64) for name in ("start", "stop", "skip", "keep", "reference", "low", "high", "n_hits")])
"""A block of rows: its bytes from `start` to `stop`; the rows before its own, and its own, which are those of one
measurement; unwrapped coarse ticks of the hit before it; first and last time, and number, of its hits."""

PLACE_OF_CHIPS = (
    "Where each chip lies is not in the file: pass layout=[{'chip': 0, 'x': 0, 'y': 0}, {'chip': 1, 'x': 256, 'y': 0}, "
    "...] with the column and row of each chip's corner (and 'orientation', such as 'RtLBtT', for a turned chip)."
)

_MOST_BITS = 62  # of a time: a bit to spare for differences
_MOST_STEPS = 1000
_AFTER = 4  # rows after a step back that all have to be earlier
_SECOND = 40_000_000  # steps of 25 ns: rows are out of order by up to a third of it


def build_index(
    records: TextRecords | BinaryRecords,
    losses: Losses,
    toa_bits: int | None = None,
    measurement: int | None = None,
    by_chip: bool = False,
    show_progressbar: bool | None = None,
) -> tuple[EventIndex, np.ndarray, dict]:
    """Pass over the file once, for each clock that the device may have: the largest time chooses.

    Parameters
    ----------
    records : TextRecords or BinaryRecords
    losses : rsciio_tpx3.events.losses.Losses
        What to do about damage.
    toa_bits, measurement
        As in `rsciio_tpx3.t3pa.AdvacamSource`.
    by_chip : bool
        The matrix index is that of a chip and a pixel on it.
    show_progressbar : bool or None
        None shows a bar when the pass takes longer than two seconds.

    Returns
    -------
    index : EventIndex
    blocks : numpy.ndarray of `BLOCK`
    found : dict
        ``largest_pixel``, and numbers that tell how wide the matrix is; see `rsciio_tpx3.t3pa.rows.COUNTS`.

    Raises
    ------
    Tpx3FormatError
        If the file is damaged, or holds several measurements and none is chosen.
    ConflictError
        If the column Overflow holds the number of a chip, and no place of the chips is stated.
    """
    run = _Pass(records, toa_bits, by_chip)
    with indexing_bar(records.stamp.size, show_progressbar) as bar:
        number = run.over(measurement or 0, bar)
    name = records.stamp.name
    run.refuse_other_kinds(name)
    _check_measurement(name, measurement, number + 1)
    run.report(losses, records)
    bits = toa_bits or next(bits for bits in TOA_BITS if run.largest_toa < 1 << min(bits, _MOST_BITS))
    if run.largest_toa >= 1 << min(bits, _MOST_BITS):
        raise ValueError(f"toa_bits={toa_bits}: a time of {run.largest_toa} steps in {name!r} needs more bits.")
    run.report_steps_back(losses, bits, name)
    found = np.array(run.blocks[bits], BLOCK)
    index = _summary(found, run, bits, losses.amounts)
    warn_of_losses(index, name)
    numbers = {key: run.counts[key] for key in ("above_one_chip", "neighbours_256", "neighbours_512")}
    return index, found, {"largest_pixel": run.largest_pixel, **numbers}


class _Pass:
    """What is added up while a file is gone through."""

    def __init__(self, records: BinaryRecords | TextRecords, toa_bits: int | None, by_chip: bool) -> None:
        self.records, self.by_chip = records, by_chip
        self.most_pixel = MOST_BY_CHIP if by_chip else MOST_MATRIX
        self.candidates = TOA_BITS if toa_bits is None else (toa_bits,)
        self.blocks = {bits: [] for bits in self.candidates}
        self.reference = dict.fromkeys(self.candidates)
        self.counts = dict.fromkeys(COUNTS, 0)
        self.damaged, self.first_damaged, self.first_odd, self.odd_overflows = 0, "", "", set()
        self.largest_pixel, self.largest_toa, self.last_toa = 0, 0, None
        self.steps_back, self.first_back = [], ""

    def over(self, measurement: int, bar: Any) -> int:
        """Go through all rows; the number of the last measurement."""
        number = 0
        for start, stop, skip, keep, number, rows in self._pieces(bar):
            if number == measurement:
                self._add(start, stop, skip, keep, rows)
        return number

    def _pieces(self, bar: Any) -> Iterator[tuple[int, int, int, int, int, Columns]]:
        """Blocks cut where another measurement begins: (start, stop, skip, keep, measurement, rows)."""
        number, series = 0, SeriesFinder()
        for start, stop in self.records.blocks():
            rows = self.records.read(start, stop)
            self.damaged += rows.damaged
            self.first_damaged = self.first_damaged or rows.first_damaged
            n = len(rows.toa)
            firsts = series.first_rows(rows.index, rows.toa) if rows.index is not None else []
            cuts = [0, *firsts, n]
            for i, (a, b) in enumerate(zip(cuts[:-1], cuts[1:])):
                number += i > 0
                if b > a:
                    yield start, stop, a, b - a, number, rows
            bar.update(stop - start)

    def _add(self, start: int, stop: int, skip: int, keep: int, rows: Columns) -> None:
        own = slice(skip, skip + keep)
        found = survey(rows, own, self.most_pixel, self.by_chip, self.records.packed, self.last_toa)
        spans = None if found is None else self._steady_spans(found)
        if spans is None:
            spans = self._add_odd(rows, own)
        else:
            self._count(found.counts)
            self.largest_pixel = max(self.largest_pixel, found.largest_pixel)
            self.largest_toa = max(self.largest_toa, found.largest_toa)
            self.last_toa = found.last_toa
        for bits, (first, low, high, last, n_hits) in spans.items():
            if n_hits:
                self.reference[bits] = last
            self.blocks[bits].append((start, stop, skip, keep, first or 0, low, high, n_hits))

    def _count(self, counts: np.ndarray) -> None:
        for key, n in zip(COUNTS, counts.tolist()):
            self.counts[key] += n

    def _first_reference(self, bits: int, toa: int) -> int:
        """Where the first hit of a block is looked for by a clock: next to the hit before it, or in the first turn."""
        first = self.reference[bits]
        return int(toa % (1 << min(bits, _MOST_BITS))) * COARSE_TICKS if first is None else first

    def _steady_spans(self, found: Survey) -> dict[int, tuple[int, int, int, int, int]] | None:
        """Reference, earliest and latest time, last coarse time and number of hits of a good block, for each clock.

        None where a clock may have started again within it.
        """
        spans, n_hits = {}, int(found.counts[HIT])
        for bits in self.candidates:
            first = self._first_reference(bits, found.first // COARSE_TICKS)
            shift = steady_shift(found.first, found.least, found.most, bits, first)
            if shift is None:
                return None
            spans[bits] = first, found.low + shift, found.high + shift, found.last + shift, n_hits
        return spans

    def _add_odd(self, rows: Columns, own: slice) -> dict:
        """The same for any block, and what is odd in it."""
        kind, counts = judged(rows, own, self.most_pixel, self.by_chip, self.records.packed)
        self._count(counts)
        hit = kind == HIT
        if not self.first_odd and counts[list(ODD)].any():
            self.first_odd = _described(rows, own.start + int(np.flatnonzero(kind >= FIRST_ODD)[0]))
        if counts[UNKNOWN]:
            self.odd_overflows |= set(np.unique(rows.overflow[own][kind == UNKNOWN])[:20].tolist())
        pixel, toa, ftoa = (getattr(rows, name)[own][hit].astype(np.int64) for name in ("pixel", "toa", "ftoa"))
        if len(toa):
            self.largest_pixel = max(self.largest_pixel, int(pixel.max()))
            self.largest_toa = max(self.largest_toa, int(toa.max()))
            self._note_steps_back(toa, rows, own, hit)
        spans = {}
        for bits in self.candidates:
            if len(toa) == 0:
                spans[bits] = self.reference[bits], 0, 0, None, 0
                continue
            first = self._first_reference(bits, toa[0])
            coarse = unwrapped(toa, bits, first)
            times = coarse - PIXEL_TICKS * ftoa
            spans[bits] = first, int(times.min()), int(times.max()), int(coarse[-1]), len(toa)
        return spans

    def _note_steps_back(self, toa: np.ndarray, rows: Columns, own: slice, hit: np.ndarray) -> None:
        """Steps back in time that last, and are longer than rows are ever out of order."""
        before = np.concatenate([[toa[0] if self.last_toa is None else self.last_toa], toa[:-1]])
        self.last_toa = int(toa[-1])
        back = np.flatnonzero(toa < before - _SECOND)
        back = back[back < len(toa) - _AFTER]
        if len(back):
            # rows that changed places are soon followed by one that is later than all of them
            after = toa[back[:, None] + np.arange(1, _AFTER + 1)].max(axis=1)
            back = back[after < before[back] - _SECOND]
        if len(back):
            row = own.start + int(np.flatnonzero(hit)[back[0]])
            self.first_back = self.first_back or f"at byte {rows.place[row]}"
            self.steps_back = (self.steps_back + (before[back] - toa[back]).tolist())[-_MOST_STEPS:]

    def refuse_other_kinds(self, name: str) -> None:
        """Raise where most rows are not hits, or where a column means something else."""
        counts = self.counts
        unknown, in_overflow = counts["rows_unknown"], counts["chip_in_overflow"]
        if in_overflow > 0.9 * unknown and not self.by_chip:
            raise ConflictError(
                f"{name!r}: the column Overflow holds the number of the chip (0 to {max(self.odd_overflows)}), as bits "
                f"16 and up of Matrix Index do: this device numbers pixels by chip. {PLACE_OF_CHIPS}"
            )
        bad = self.damaged + sum(counts[COUNTS[i]] for i in ODD)
        good = counts["hits"] + counts["service_rows"]
        if bad > good:
            raise Tpx3FormatError(
                f"{name!r} is not a hit list of a known form: {bad} of its {bad + good} rows or records are neither "
                f"hits nor known service rows. The first is this one: {self.first_damaged or self.first_odd} Its "
                "columns may be in another order, or its records of another size."
            )

    def report(self, losses: Losses, records: BinaryRecords | TextRecords) -> None:
        """Count what is damaged, or raise as the user decides."""
        name, counts = records.stamp.name, self.counts
        n_bytes, text = records.cut
        if n_bytes:
            losses.add("bytes_cut", n_bytes, text)
        if self.damaged:
            text = f"{counted(self.damaged, 'line')} cannot be read: {self.first_damaged}"
            losses.add("rows_damaged", self.damaged, text)
        n = counts["rows_impossible"]
        if n:
            losses.add(
                "rows_impossible", n,
                f"{counted(n, 'row')} of {name!r} cannot be hits: {self.first_odd} The file is damaged, or its columns "
                "are in another order.",
            )  # fmt: skip
        n = counts["rows_unknown"]
        if n:
            values = ", ".join(map(str, sorted(self.odd_overflows)[:5]))
            losses.add(
                "rows_unknown", n,
                f"{counted(n, 'row')} of {name!r} with Overflow {values} are neither hits nor service rows that are "
                f"known: {self.first_odd} Where the device puts the number of a chip there, each row may be a hit.",
            )  # fmt: skip
        n = counts["rows_of_wrong_time"]
        if n:
            losses.add(
                "rows_of_wrong_time", n,
                f"{counted(n, 'hit')} of {name!r} have a time that is more than a second from those next to them, "
                f"which agree: {self.first_odd} Such a time is damaged.",
            )  # fmt: skip

    def report_steps_back(self, losses: Losses, bits: int, name: str) -> None:
        """Steps back in time that no rollover explains."""
        rollover = (1 << (bits - 1)) if bits < _MOST_BITS else 1 << _MOST_BITS
        odd = [step for step in self.steps_back if step < rollover]
        if odd:
            losses.add(
                "clock_steps_back", len(odd),
                f"{name!r}: time goes back by {max(odd) * 25e-9:.3g} s ({self.first_back} or later), which is no "
                f"rollover of a clock of {bits} bits. Two measurements may have been joined, each with its own clock; "
                "split the file there, or pass toa_bits if the clock has fewer bits.",
            )  # fmt: skip


def _described(rows: Columns, i: int) -> str:
    """A row that is not a hit: where it is, what it holds, and what is possible."""
    values = (("Matrix Index", rows.pixel), ("ToA", rows.toa), ("ToT", rows.tot), ("FToA", rows.ftoa))
    text = ", ".join(f"{name} {column[i]}" for name, column in values)
    return (
        f"byte {rows.place[i]}: {text}, Overflow {rows.overflow[i]}; Matrix Index below {MOST_MATRIX}, ToT at most "
        "1023, FToA at most 31 and Overflow 0 are those of a hit."
    )


def warn_of_losses(index: EventIndex, name: str) -> None:
    """Say once what the device lost while it recorded."""
    if "data_gaps" in index.losses:
        _logger.warning(f"{name!r}: the device lost data {index.losses['data_gaps']} times while it recorded.")


def _check_measurement(name: str, chosen: int | None, n: int) -> None:
    if chosen is None and n > 1:
        raise Tpx3FormatError(
            f"{name!r} holds {n} measurements, one after the other, each with a clock of its own. "
            f"Choose one: measurement=0 to measurement={n - 1}."
        )
    if chosen is not None and not 0 <= chosen < n:
        raise ValueError(f"measurement={chosen!r}: {name!r} holds {n}, numbered from 0.")


def _summary(blocks: np.ndarray, run: _Pass, bits: int, damage: dict) -> EventIndex:
    full = blocks[blocks["n_hits"] > 0]
    n_hits = int(full["n_hits"].sum())
    span = (int(full["low"].min()), int(full["high"].max())) if len(full) else (0, -1)
    gaps = max(run.counts["gap_starts"], run.counts["gap_ends"])
    chips = range((run.largest_pixel >> 16) + 1) if run.by_chip else range(1 if run.largest_pixel < CHIP_SIZE**2 else 4)
    service = {"data_gaps": gaps, "service_rows": run.counts["service_rows"]}
    return EventIndex(
        edges=Edges.empty(),
        n_hits=n_hits,
        span=span if len(full) else (0, 0),
        hit_span=span,
        chips=tuple(chips),
        statistics={"records": {"hits": n_hits, **service}, "toa_bits": bits},
        losses={**({"data_gaps": gaps} if gaps else {}), **damage},
    )


def unwrapped(toa: np.ndarray, bits: int, reference: int) -> np.ndarray:
    """Coarse ticks without rollovers."""
    coarse = toa * COARSE_TICKS
    if bits == 64 or len(coarse) == 0:
        return coarse
    period = (1 << bits) * COARSE_TICKS
    if int(coarse.max()) - int(coarse.min()) < period // 2:
        # no rollover within the block: what holds for its first hit holds for all, and none is from before zero
        return coarse + max(nearest_period(coarse[0], reference, period) - coarse[0], 0)
    return unwrap_sequence(coarse, period, reference)
