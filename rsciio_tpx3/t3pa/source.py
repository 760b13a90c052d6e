"""Hits of an Advacam recording: blocks found by one pass, parsed again where they are asked for."""

import copy

import numpy as np

from rsciio_tpx3.cache import are_whole, require
from rsciio_tpx3.events.clock import COARSE_TICKS, PIXEL_TICKS, ticks_to_seconds
from rsciio_tpx3.events.geometry import CHIP_SIZE, make_layout
from rsciio_tpx3.events.source import Hits, check_inside
from rsciio_tpx3.frames.growing import stamp_of
from rsciio_tpx3.kept_index import cache_for, recalled_index
from rsciio_tpx3.t3pa.index import BLOCK, TOA_BITS, build_index, unwrapped, warn_of_losses
from rsciio_tpx3.t3pa.records import open_records
from rsciio_tpx3.t3pa.sidecar import read_sidecars

__all__ = ["SIDES", "AdvacamSource", "cache_of", "matrix_layout"]

SIDES = {"single": CHIP_SIZE, "quad": 2 * CHIP_SIZE}


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
    cache : bool or "auto"
        Keep the index in the user's cache folder, see `rsciio_tpx3.cache`; "auto" from 256 MB on.
    follow : bool
        The file is still being written: whole records are read, an incomplete one at the end is no damage, and
        the file may grow after it was opened.
    show_progressbar : bool or None
        None shows a bar when the pass takes longer than two seconds.

    Raises
    ------
    Tpx3FormatError
        If the file is no hit list, is damaged, or holds several measurements and none is chosen.
    """

    def __init__(
        self,
        path,
        layout=None,
        orientation="up",
        toa_bits=None,
        measurement=None,
        cache=False,
        follow=False,
        show_progressbar=None,
    ):
        if toa_bits not in (None, *TOA_BITS):
            raise ValueError(f"toa_bits={toa_bits!r} is none of 28 (AdvaPIX quad), 30 (AdvaPIX), 64 (MiniPIX).")
        self.stamp = stamp_of(path, follow)
        self._records = open_records(self.stamp)
        self.sidecar = read_sidecars(self.stamp.path)
        self._spans = None
        self._about = {"toa_bits": toa_bits, "measurement": measurement}
        self.cache = cache_of(self.stamp, toa_bits, measurement, cache)
        self._index, self._blocks, largest_pixel = self._recalled(show_progressbar)
        self._bits = self._index.statistics["toa_bits"]
        self.layout, self._table = matrix_layout(self._name(layout, largest_pixel), orientation)
        self.sig_shape = self.layout.sig_shape

    def _recalled(self, show_progressbar):
        def make():
            index, blocks, largest_pixel = build_index(self._records, **self._about, show_progressbar=show_progressbar)
            return index, {"blocks": blocks}, {"largest_pixel": largest_pixel}

        index, arrays, values, recalled = recalled_index(self.cache, make, check=self._check)
        if recalled:
            warn_of_losses(index, self.stamp.name)
        return index, arrays["blocks"], values["largest_pixel"]

    def _check(self, arrays, values, index):
        """Raise ValueError unless what was kept can be of this file; see `rsciio_tpx3.kept_index.recalled_index`."""
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
        require(are_whole([values["largest_pixel"]]) and values["largest_pixel"] < SIDES["quad"] ** 2, "odd pixels")

    def __dask_tokenize__(self):
        from dask.base import normalize_token

        # what was found follows from the file and how it is read
        about = [self.stamp, self.layout.__reduce__()[1], sorted(self._about.items()), self._spans]
        return "rsciio_tpx3.AdvacamSource", normalize_token(about)

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
            "read_with": {name: value for name, value in self._about.items() if value is not None},
        }

    def index(self):
        """The `EventIndex`; hit lists have no trigger edges."""
        return self._index

    def windows(self, start, stop):
        """Iterate over `Hits` with ``start <= toa < stop``; see `EventSource.windows`."""
        check_inside(self._spans, start, stop)
        blocks = self._blocks
        for block in blocks[_between(blocks, start, stop)]:
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
        blocks = self._blocks[piece[0] : piece[1]]
        for block in blocks[blocks["n_hits"] > 0]:
            yield self._hits(block)

    def narrowed(self, spans):
        """A source with the blocks of these spans of time alone; see `EventSource.narrowed`."""
        part = copy.copy(self)
        wanted = np.zeros(len(self._blocks), bool)
        for start, stop in spans:
            wanted |= _between(self._blocks, start, stop)
        part._blocks = self._blocks[wanted]
        part._index, part.cache, part._spans = self._index.without_edges(), None, tuple(spans)
        return part

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_table"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        # a table of all pixels would be the largest thing in a task, and is made in no time
        _, self._table = matrix_layout(self.describe()["layout"], self.layout.orientation)

    def _hits(self, block):
        rows = self._records.read(int(block["start"]), int(block["stop"]))
        own = slice(int(block["skip"]), int(block["skip"] + block["keep"]))
        is_hit = rows.overflow[own] == 0
        pixel, toa, tot, ftoa = (getattr(rows, name)[own][is_hit] for name in ("pixel", "toa", "tot", "ftoa"))
        coarse = unwrapped(toa, self._bits, int(block["reference"]))
        return Hits(self._table[pixel], coarse - PIXEL_TICKS * ftoa, tot.astype(np.uint16), self.sig_shape[1])

    def _name(self, layout, largest_pixel):
        if layout not in (None, *SIDES):
            raise ValueError(f"layout={layout!r} is none of 'single' (256 x 256), 'quad' (512 x 512).")
        stated = {side: name for name, side in SIDES.items()}.get(self.sidecar.get("width"))
        name = layout or stated or ("single" if largest_pixel < CHIP_SIZE**2 else "quad")
        side = SIDES[name]
        if largest_pixel >= side**2:
            raise ValueError(
                f"{self.stamp.name!r} holds pixel {largest_pixel}, but a detector of {side} x {side} has "
                f"pixels 0 to {side**2 - 1}. Pass layout='quad'."
            )
        return name


def _between(blocks, start, stop):
    """Which blocks can hold hits of a half-open span of time."""
    return (blocks["n_hits"] > 0) & (blocks["high"] >= start) & (blocks["low"] < stop)


def matrix_layout(name, orientation):
    """Layout of one chip, or of four in the order of the matrix, and the table from matrix index to flat pixel."""
    side = SIDES[name]
    chips = [{"chip": y * 2 + x, "x": x * CHIP_SIZE, "y": y * CHIP_SIZE} for y in (0, 1) for x in (0, 1)]
    layout = make_layout("single" if name == "single" else chips, orientation=orientation)
    y, x = np.divmod(np.arange(side * side), side)
    rules = layout.rules[y // CHIP_SIZE * 2 + x // CHIP_SIZE]
    flat = rules[:, 0] + rules[:, 1] * (x % CHIP_SIZE) + rules[:, 2] * (y % CHIP_SIZE)
    return layout, flat.astype(np.int32)


def cache_of(stamp, toa_bits, measurement, wanted):
    """The cache of a file, see `rsciio_tpx3.kept_index.cache_for`: its index depends on how times are read."""
    return cache_for([stamp], wanted, {"toa_bits": toa_bits, "measurement": measurement})
