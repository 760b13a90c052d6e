"""A source of hits in memory, whose order and cutting a test can choose."""

import numpy as np

from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.events.source import Edges, EventIndex, EventSource, Hits


class MemoryHits(EventSource):
    """An event source of arrays that hands hits out in pieces, in an order of its own."""

    def __init__(self, pixel, toa, tot, layout=None, piece=7, seed=0):
        self.layout = layout or make_layout("single")
        self.sig_shape = self.layout.sig_shape
        order = np.random.default_rng(seed).permutation(len(toa))
        self.columns = [np.asarray(c)[order] for c in (pixel, toa, tot)]
        self.piece = piece

    def describe(self):
        about = {"layout": self.layout.name, "gap": self.layout.gap, "orientation": self.layout.orientation}
        return {**about, "chips": (0,), "toa_step": 1.5625e-9, "tot_step": 25e-9, "paths": ("memory",), "size": 0}

    def index(self):
        toa = self.columns[1]
        span = (int(toa.min()), int(toa.max())) if len(toa) else (0, -1)
        return EventIndex(Edges.empty(), len(toa), span, span, (0,))

    def windows(self, start, stop):
        pixel, toa, tot = self.columns
        inside = np.flatnonzero((toa >= start) & (toa < stop))
        for i in range(0, len(inside), self.piece):
            own = inside[i : i + self.piece]
            yield Hits(pixel[own].astype(np.int32), toa[own], tot[own].astype(np.uint16), self.sig_shape[1])

    def hits(self, start=None, stop=None):
        low, high = self.index().hit_span
        return Hits.joined(
            self.windows(low if start is None else start, high + 1 if stop is None else stop), self.sig_shape[1]
        )

    def work(self, n_parts):
        borders = np.linspace(0, len(self.columns[0]), n_parts + 1).astype(int)
        return list(zip(borders[:-1].tolist(), borders[1:].tolist()))

    def part(self, piece):
        pixel, toa, tot = (column[slice(*piece)] for column in self.columns)
        yield Hits(pixel.astype(np.int32), toa, tot.astype(np.uint16), self.sig_shape[1])
