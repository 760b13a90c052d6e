"""Hits of an Advacam recording: blocks found by one pass, parsed again where they are requested."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import normalize_token

from rsciio_tpx3.cache.recall import cache_for, recalled_index
from rsciio_tpx3.cache.store import are_whole, require
from rsciio_tpx3.events.geometry import CHIP_SIZE
from rsciio_tpx3.events.losses import Losses
from rsciio_tpx3.events.source import EventSource, Hits, block_ranges, check_inside
from rsciio_tpx3.t3pa.index import BLOCK, TOA_BITS, build_index, unwrapped, warn_of_losses
from rsciio_tpx3.t3pa.matrix import is_by_chip, matrix_layout, matrix_name, matrix_table
from rsciio_tpx3.t3pa.plain import plain_hits, steady_shift
from rsciio_tpx3.t3pa.records import open_records
from rsciio_tpx3.t3pa.rows import HIT, MOST_BY_CHIP, MOST_MATRIX, judged
from rsciio_tpx3.t3pa.sidecar import read_sidecars
from rsciio_tpx3.utils.clock import COARSE_TICKS, PIXEL_TICKS, ticks_to_seconds
from rsciio_tpx3.utils.follow import stamp_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rsciio_tpx3.cache.store import RecordingCache
    from rsciio_tpx3.events.source import EventIndex
    from rsciio_tpx3.t3pa.records import Columns
    from rsciio_tpx3.utils.files import FileStamp


__all__ = ["AdvacamSource", "cache_of"]


class AdvacamSource(EventSource):
    """Hits of a `.t3pa` or `.t3p` file.

    Parameters
    ----------
    path : str or Path
    layout : {"single", "quad", "strip", "strip-reversed"} or sequence of dict, optional
        "single" and "quad" are one matrix, 256 or 512 pixels wide; from the `.dsc` next to the file, or else the
        pixels that occur. The others place the chips of a device that numbers pixels chip by chip; a table is that of
        `rsciio_tpx3.events.geometry.make_layout`.
    orientation : str
        Turn of the detector, one of `rsciio_tpx3.events.geometry.ORIENTATIONS`.
    toa_bits : {28, 30, 64}, optional
        Bits of the device's clock; by default the fewest that hold every time in the file. A clock of
        28 bits starts again every 6.7 s, one of 30 bits every 26.8 s.
    measurement : int, optional
        Which of several measurements that were appended to one file, from 0.
    cache : bool or "auto"
        Keep the index in the user's cache folder, see `rsciio_tpx3.cache.store`; "auto" from 256 MB on.
    follow : bool
        The file is still being written: whole records are read, an incomplete one at the end is not damage, and
        the file may grow after it was opened.
    show_progressbar : bool or None
        None shows a bar when the pass takes longer than two seconds.
    on_loss : {"raise", "warn"}
        What to do about damage: a last row or record that is cut, rows that cannot be read or cannot be hits.
        "warn" reads the rest and counts them.

    Raises
    ------
    Tpx3FormatError
        If the file is not a hit list, is damaged, or holds several measurements and none is chosen.
    ConflictError
        If the file does not tell how its pixels are numbered, or contradicts what was stated.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        layout: Any = None,
        orientation: str = "up",
        toa_bits: int | None = None,
        measurement: int | None = None,
        cache: bool | str = False,
        follow: bool = False,
        show_progressbar: bool | None = None,
        on_loss: str = "raise",
    ) -> None:
        if toa_bits not in (None, *TOA_BITS):
            raise ValueError(
                f"toa_bits={toa_bits!r} is not valid: must be one of 28 (AdvaPIX quad), 30 (AdvaPIX), 64 (MiniPIX)."
            )
        self.stamp = stamp_of(path, follow)
        self._records = open_records(self.stamp)
        self.sidecar = read_sidecars(self.stamp.path)
        self._spans = None
        self._about = {"toa_bits": toa_bits, "measurement": measurement}
        self._by_chip = is_by_chip(layout)
        self.cache = cache_of(self.stamp, toa_bits, measurement, cache, layout)
        # The layout follows the pass over the rows: pixels and chips that occur decide what the matrix is.
        self._index, self._blocks, found = self._recalled(Losses(on_loss), show_progressbar)
        self._bits = self._index.statistics["toa_bits"]
        losses = Losses(on_loss)
        name = matrix_name(layout, self.sidecar, found, self._index.n_hits, losses, self.stamp.name)
        self.layout = matrix_layout(name, orientation)
        self._set_table()
        self._leave_out(losses)
        self.sig_shape = self.layout.sig_shape

    def _recalled(self, losses: Losses, show_progressbar: bool | None) -> tuple[EventIndex, np.ndarray, dict[str, int]]:
        def make() -> tuple[EventIndex, dict[str, np.ndarray], dict]:
            about = {**self._about, "by_chip": self._by_chip}
            index, blocks, found = build_index(self._records, losses, **about, show_progressbar=show_progressbar)
            return index, {"blocks": blocks}, {"found": found, "damage": losses.found}

        def usable(values: dict) -> bool:
            # where losses are refused, the pass itself says what is wrong and where
            return not (values["damage"] and losses.on_loss == "raise")

        index, arrays, values, recalled = recalled_index(self.cache, make, usable, self._check)
        if recalled:
            for loss in values["damage"]:
                losses.add(*loss)
            warn_of_losses(index, self.stamp.name)
        return index, arrays["blocks"], values["found"]

    def _set_table(self) -> None:
        """The place of each pixel number; how many there are is the limit of a hit."""
        self._table = matrix_table(self.layout, self._by_chip)

    def _leave_out(self, losses: Losses) -> None:
        """Take pixels beyond the matrix out of the number of hits, where the user lets them go."""
        lost = losses.amounts.get("hits_outside", 0)
        if lost:
            index = self._index
            records = {**index.statistics["records"], "hits": index.n_hits - lost}
            self._index = replace(
                index,
                n_hits=index.n_hits - lost,
                chips=(0,),
                statistics={**index.statistics, "records": records},
                losses={**index.losses, "hits_outside": lost},
            )

    def _check(self, arrays: dict[str, np.ndarray], values: dict, index: dict) -> None:
        """Raise ValueError unless what was kept can be of this file; see `rsciio_tpx3.cache.recall.recalled_index`."""
        blocks = arrays["blocks"]
        require(blocks.dtype == BLOCK and blocks.ndim == 1, "blocks of another type")
        start, stop, skip, keep, n_hits = (blocks[name] for name in ("start", "stop", "skip", "keep", "n_hits"))
        inside = (start >= 0) & (start < stop) & (stop <= self.stamp.size)
        require(bool(inside.all() and (start[1:] >= start[:-1]).all()), "blocks outside of the file")
        # a row takes a byte at least
        whole = (skip >= 0) & (keep >= 0) & (skip <= stop - start) & (keep <= stop - start - skip)
        require(bool((whole & (n_hits >= 0) & (n_hits <= keep)).all()), "blocks of odd size")
        full = blocks[n_hits > 0]
        require(bool((full["low"] <= full["high"]).all()), "blocks of odd times")
        require(int(n_hits.sum()) == index["n_hits"], "blocks of another number of hits")
        span = (int(full["low"].min()), int(full["high"].max())) if len(full) else (0, -1)
        require(span == index["hit_span"], "blocks of other times")
        require(index["statistics"]["toa_bits"] in TOA_BITS, "a clock of another device")
        require(are_whole(values["found"].values()) and "largest_pixel" in values["found"], "odd pixels")
        most = MOST_BY_CHIP if self._by_chip else MOST_MATRIX
        require(values["found"]["largest_pixel"] < most, "pixels of another device")
        for what, amount, text in values["damage"]:
            require(isinstance(what, str) and isinstance(amount, int) and isinstance(text, str), "losses are odd")

    def __dask_tokenize__(self) -> Any:
        # what was found follows from the file and how it is read
        about = [self.stamp, self.layout.__reduce__()[1], sorted(self._about.items()), self._spans]
        return "rsciio_tpx3.AdvacamSource", normalize_token(about)

    def describe(self) -> dict:
        """What the format tells about the instrument; see `EventSource.describe`."""
        return {
            "format": "advacam",
            "layout": self._layout_name(),
            "gap": 0,
            "orientation": self.layout.orientation,
            "chips": self._index.chips,
            "toa_step": ticks_to_seconds(PIXEL_TICKS),
            "tot_step": ticks_to_seconds(COARSE_TICKS),
            "paths": (self.stamp.path,),
            "size": self.stamp.size,
            "sidecar": self.sidecar,
            "read_with": {name: value for name, value in self._about.items() if value is not None},
        }

    def index(self) -> EventIndex:
        """The `EventIndex`; hit lists have no trigger edges."""
        return self._index

    def windows(self, start: int, stop: int) -> Iterator[Hits]:
        """Iterate over `Hits` with ``start <= toa < stop``; see `EventSource.windows`."""
        check_inside(self._spans, start, stop)
        blocks = self._blocks
        for block in blocks[_between(blocks, start, stop)]:
            hits = self._hits(block)
            inside = (hits.toa >= start) & (hits.toa < stop)
            yield hits if inside.all() else hits.take(inside)

    def work(self, n_parts: int) -> list[tuple[int, int]]:
        """Ranges of blocks for parallel passes over everything."""
        return block_ranges(len(self._blocks), n_parts)

    def part(self, piece: tuple[int, ...]) -> Iterator[Hits]:
        """Iterate over all `Hits` of one of the ranges of `work`."""
        blocks = self._blocks[piece[0] : piece[1]]
        for block in blocks[blocks["n_hits"] > 0]:
            yield self._hits(block)

    def narrowed(self, spans: Iterable[tuple[int, int]]) -> AdvacamSource:
        """A source with the blocks of these spans of time alone; see `EventSource.narrowed`."""
        part = copy.copy(self)
        wanted = np.zeros(len(self._blocks), bool)
        for start, stop in spans:
            wanted |= _between(self._blocks, start, stop)
        part._blocks = self._blocks[wanted]
        part._index, part.cache, part._spans = self._index.without_edges(), None, tuple(spans)
        return part

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_table"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        # a table of all pixels would be the largest thing in a task, and is made in no time
        self._set_table()

    def _hits(self, block: np.void) -> Hits:
        rows = self._records.read(int(block["start"]), int(block["stop"]))
        own, reference = slice(int(block["skip"]), int(block["skip"] + block["keep"])), int(block["reference"])
        most = MOST_BY_CHIP if self._by_chip else MOST_MATRIX
        limits = most, self._by_chip, self._records.packed
        hits = self._plain_hits(rows, own, limits, reference)
        return self._odd_hits(rows, own, limits, reference) if hits is None else hits

    def _plain_hits(self, rows: Columns, own: slice, limits: tuple[int, bool, bool], reference: int) -> Hits | None:
        """Hits of rows in which time does not leap; None where it does."""
        found = plain_hits(rows, own, *limits, self._table)
        if found is None:
            return None
        pixel, toa, tot, first, least, most = found
        shift = steady_shift(first, least, most, self._bits, reference)
        if shift is None:
            return None
        if shift:
            toa += shift
        return Hits(pixel, toa, tot, self.sig_shape[1])

    def _odd_hits(self, rows: Columns, own: slice, limits: tuple[int, bool, bool], reference: int) -> Hits:
        """Hits of any rows."""
        kind, _ = judged(rows, own, *limits)
        is_hit = kind == HIT
        if not self._by_chip:
            is_hit &= rows.pixel[own] < len(self._table)
        pixel, toa, tot, ftoa = (
            getattr(rows, name)[own][is_hit].astype(np.int64) for name in ("pixel", "toa", "tot", "ftoa")
        )
        coarse = unwrapped(toa, self._bits, reference)
        return Hits(self._table[pixel], coarse - PIXEL_TICKS * ftoa, tot.astype(np.uint16), self.sig_shape[1])

    def _layout_name(self) -> str:
        if self._by_chip:
            return self.layout.name
        return "quad" if self.layout.sig_shape[0] > CHIP_SIZE else "single"


def _between(blocks: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Which blocks can hold hits of a half-open span of time."""
    return (blocks["n_hits"] > 0) & (blocks["high"] >= start) & (blocks["low"] < stop)


def cache_of(
    stamp: FileStamp, toa_bits: int | None, measurement: int | None, wanted: bool | str, layout: Any = None
) -> RecordingCache | None:
    """The cache of a file, see `rsciio_tpx3.cache.recall.cache_for`: its index depends on how rows are read."""
    about = {"toa_bits": toa_bits, "measurement": measurement, "by_chip": is_by_chip(layout)}
    return cache_for([stamp], wanted, about)
