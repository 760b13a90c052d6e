"""Hits to electrons: an event source that looks like any other, but yields one entry a cluster.

What a cluster is stands in `rsciio_tpx3.electrons.joining`. A query for the electrons of a span of time reads the hits
of that span and of a margin on both sides. Clusters that last longer than `max_duration` are not electrons but chains
of many, and are excluded. With a margin of that duration and one window, every other cluster with a hit in the span is
complete, and a chain is seen to be one: so the answer is exact, and the same for every way to cut a recording.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import normalize_token

from rsciio_tpx3.electrons.joining import join_hits
from rsciio_tpx3.electrons.options import ClusterOptions
from rsciio_tpx3.electrons.summaries import CHOICES, choose, summarise
from rsciio_tpx3.events.grid import pixel_grid
from rsciio_tpx3.events.source import EventSource, Hits
from rsciio_tpx3.events.tally import Tally
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND, ticks_to_seconds
from rsciio_tpx3.utils.sorting import time_order, time_sorted

if TYPE_CHECKING:
    from rsciio_tpx3.electrons.summaries import Summaries
    from rsciio_tpx3.events.grid import PixelGrid
    from rsciio_tpx3.events.source import EventIndex

__all__ = [
    "ClusterOptions",
    "ClusteredSource",
    "find_electrons",
    "label_hits",
    "place_electrons",
    "sample_spans",
    "sampled_tally",
]

# hits clustered together: some 10 MB with all tables; blocks of the file at the borders of a slice are decoded twice
SLICE_HITS = 1 << 17
_MOST_HITS = 4 * SLICE_HITS  # a slice with more is cut in two
_LONGEST_SLICE = 100 * TICKS_PER_SECOND  # 100 s: an almost empty recording is still read in steps
_SIZES = 16  # sizes that are counted one by one


def find_electrons(hits: Hits, start: int, stop: int, grid: PixelGrid, options: ClusterOptions) -> tuple[Hits, Tally]:
    """Electrons of a half-open span of time among hits of the span and its margins.

    Parameters
    ----------
    hits : Hits
        All hits from ``start - options.margin`` to ``stop + options.margin``, in any order.
    start, stop : int
        Ticks.
    grid : rsciio_tpx3.events.grid.PixelGrid
    options : ClusterOptions

    Returns
    -------
    electrons : Hits
        In order of their earliest hits; `pixel` and `width` belong to the finer detector for ``upsample > 1``.
    tally : Tally
    """
    hits, label, found = label_hits(hits, grid, options)
    hit = getattr(found, options.time)
    counts, sizes = np.zeros(len(CHOICES), np.int64), np.zeros(_SIZES, np.int64)
    chosen = choose(found, hit, hits.toa, start, stop, options.limits, counts, sizes)
    # Hits of the margins belong to the spans next to this one, and are counted there.
    first, last = np.searchsorted(hits.toa, [start, stop])
    chain = found.duration > options.max_duration
    chained = int(chain[label[first:last]].sum()) if chain.any() else 0
    tally = Tally(int(last - first), chained, **dict(zip(CHOICES, counts.tolist())), sizes=sizes)
    pixel, width = place_electrons(found, chosen, hits, options)
    energy = None if hits.energy is None else found.energy[chosen].astype(np.float32)
    total = found.tot[chosen].astype(np.uint32)
    return Hits(pixel, hits.toa[hit[chosen]], total, width, energy, found.size[chosen]), tally


def label_hits(hits: Hits, grid: PixelGrid, options: ClusterOptions) -> tuple[Hits, np.ndarray, Summaries]:
    """Hits in order of time, the cluster of each, and the clusters' `rsciio_tpx3.electrons.summaries.Summaries`."""
    if hits.energy is None:
        toa, pixel, tot = time_sorted(hits.toa, hits.pixel, hits.tot)
        hits = Hits(pixel, toa, tot, hits.width)
    else:
        hits = hits.take(time_order(hits.toa, hits.pixel, hits.tot))
    label, n = join_hits(hits.toa, hits.pixel, grid, options.neighbours == 8, options.window)
    return hits, label, summarise(label, n, hits, options.position)


def place_electrons(
    found: Summaries, chosen: np.ndarray, hits: Hits, options: ClusterOptions
) -> tuple[np.ndarray, int]:
    """Pixel of some clusters, and the width of the detector it counts on.

    Parameters
    ----------
    found : rsciio_tpx3.electrons.summaries.Summaries
    chosen : numpy.ndarray of int
        Numbers of clusters.
    hits : Hits
        In order of time, as `label_hits` makes them.
    options : ClusterOptions
    """
    if options.position != "centroid":
        return hits.pixel[getattr(found, options.position)[chosen]], hits.width
    finer = options.upsample
    total, sum_y, sum_x = found.tot[chosen], found.sum_y[chosen], found.sum_x[chosen]
    # pixel k reaches from k - 1/2 to k + 1/2; integers throughout, so that nothing is left to rounding
    weight = np.maximum(2 * total, 1)
    row, column = (2 * sum_y + total) * finer // weight, (2 * sum_x + total) * finer // weight
    weightless = total == 0
    if weightless.any():
        place = hits.pixel[found.earliest[chosen[weightless]]].astype(np.int64)
        row[weightless] = place // hits.width * finer + finer // 2
        column[weightless] = place % hits.width * finer + finer // 2
    return (row * (hits.width * finer) + column).astype(np.int32), hits.width * finer


class ClusteredSource(EventSource):
    """Electrons of an `EventSource`, as an `EventSource`.

    Parameters
    ----------
    source : EventSource
        Hits, with a `layout`.
    options : ClusterOptions

    Raises
    ------
    ValueError
        If the finer detector has more pixels than can be numbered.

    Examples
    --------
    >>> from rsciio_tpx3.electrons.clusters import ClusteredSource, ClusterOptions
    >>> from rsciio_tpx3.tpx3 import Tpx3Source
    >>> electrons = ClusteredSource(Tpx3Source("scan.tpx3"), ClusterOptions(window=768))  # doctest: +SKIP
    >>> len(electrons.hits())  # doctest: +SKIP
    """

    def __init__(self, source: EventSource, options: ClusterOptions) -> None:
        self.source = source = EventSource.adopt(source)
        self.options = options
        self.layout = source.layout
        height, width = source.sig_shape
        self.sig_shape = height * options.upsample, width * options.upsample
        if self.sig_shape[0] * self.sig_shape[1] >= 2**31:
            raise ValueError(
                f"cluster: upsample={options.upsample} makes a detector of {self.sig_shape[1]} x {self.sig_shape[0]} "
                "pixels, more than can be numbered. Choose a smaller one."
            )
        self.grid = pixel_grid(source.layout)
        # of each part; all together, where they come from the cache, have no part
        self._tallies: dict[tuple[int, int] | None, Tally] = {}

    def describe(self) -> dict:
        """As the hits'; see `EventSource.describe`."""
        return self.source.describe()

    def index(self) -> EventIndex:
        """The index of the recording: its `n_hits` are hits, since electrons are known after a pass only."""
        return self.source.index()

    def windows(self, start: int, stop: int) -> Iterator[Hits]:
        """Iterate over electrons of the half-open span of time; see `EventSource.windows`."""
        for electrons, _ in self._found(start, stop):
            yield electrons

    def hits(self, start: int | None = None, stop: int | None = None) -> Hits:
        """All electrons of a half-open span of time; all by default.

        In order of their earliest hits; with ``time="largest"`` a few change places, since they go by that time where
        the recording was cut.
        """
        low, high = self._whole()
        found = self.windows(low if start is None else start, high if stop is None else stop)
        return Hits.joined(found, self.sig_shape[1])

    def work(self, n_parts: int) -> list[tuple[int, int]]:
        """Spans of time of equal length: unlike ranges of bytes, they own whole electrons."""
        self._tallies = {}
        low, high = self._whole()
        n_parts = max(1, min(n_parts, high - low))
        borders = [low + (high - low) * i // n_parts for i in range(n_parts + 1)]
        return list(zip(borders[:-1], borders[1:]))

    def part(self, piece: tuple[int, int]) -> Iterator[Hits]:
        """Iterate over the electrons of one of the spans of `work`, and note its tally."""
        total = Tally()
        for electrons, tally in self._found(*piece):
            total += tally
            yield electrons
        self._tallies[piece] = total

    def narrowed(self, spans: Iterable[tuple[int, int]]) -> EventSource:
        """A source for these spans of time alone; see `EventSource.narrowed`."""
        part = copy.copy(self)
        margin = self.options.margin
        part.source = self.source.narrowed([(start - margin, stop + margin) for start, stop in spans])
        part._tallies = {}
        return part

    def shared_parts(self) -> tuple:
        """The table of neighbours, and what corrections of the hits below hold."""
        return *self.source.shared_parts(), self.grid

    def __dask_tokenize__(self) -> tuple:
        return "rsciio_tpx3.ClusteredSource", normalize_token([self.source, self.options])

    @property
    def cache(self) -> Any:
        """The cache of the recording, see `rsciio_tpx3.cache.store`; None where none is wanted."""
        return self.source.cache

    def noted(self) -> dict:
        """See `EventSource.noted`."""
        return self.tally().plain()

    def recall_noted(self, values: dict) -> None:
        """See `EventSource.recall_noted`."""
        self._tallies = {None: Tally.of(values)}

    def tally(self) -> Tally:
        """Sum of the tallies of all parts that were gone through since `work`.

        Returns
        -------
        Tally
        """
        return sum(self._tallies.values(), Tally())

    def _whole(self) -> tuple[int, int]:
        low, high = self.source.index().hit_span
        return low, max(high + 1, low)

    def labelled(self, start: int, stop: int) -> Iterator[tuple[Hits, np.ndarray, Summaries]]:
        """Iterate over hits of a span in order of time, the cluster of each, and `summaries.Summaries`.

        For statistics: clusters at the borders of what is handed out at once may be cut.
        """
        for _, _, hits, _ in self._read_slices(start, stop):
            yield label_hits(hits, self.grid, self.options)

    def _found(self, start: int, stop: int) -> Iterator[tuple[Hits, Tally]]:
        for begin, end, hits, excluded in self._read_slices(start, stop):
            electrons, tally = find_electrons(hits, begin, end, self.grid, self.options)
            yield electrons, tally + excluded

    def _read_slices(self, start: int, stop: int) -> Iterator[tuple[int, int, Hits, Tally]]:
        low, high = self._whole()
        spans = self._slices(max(start, low), min(stop, high))
        while spans:
            begin, end = spans.pop()
            found = self._read(begin, end)
            if found is None:
                middle = (begin + end) // 2  # a burst: halve the span, the earlier half first
                spans += [(middle, end), (begin, middle)]
            elif len(found[0]) or found[1].left_out:
                yield begin, end, *found

    def _slices(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Spans with about as many hits as are clustered together, the first one last."""
        low, high = self._whole()
        length = (high - low) * SLICE_HITS // max(self.source.index().n_hits, 1)
        length = min(max(length, 4 * self.options.margin), _LONGEST_SLICE)
        return [(begin, min(begin + length, stop)) for begin in range(start, stop, length)][::-1]

    def _read(self, start: int, stop: int) -> tuple[Hits, Tally] | None:
        """Hits of a span and its margins, and what corrections excluded from the span; None where they are too many."""
        margin = self.options.margin
        parts, n, excluded = [], 0, Tally()
        for hits, tally in self.source.tallied_windows(start - margin, stop + margin, (start, stop)):
            parts.append(hits)
            n += len(hits)
            excluded += tally
            if n > _MOST_HITS and stop - start > 4 * margin:
                return None
        return Hits.joined(parts, self.source.sig_shape[1]), excluded

    def summary(self) -> dict:
        """What was done and found, in plain numbers for the metadata."""
        options, tally = self.options, self.tally()
        found = {
            "window": ticks_to_seconds(options.window),
            "window_units": "s",
            "neighbours": options.neighbours,
            "position": options.position,
            "time": options.time,
            "upsample": options.upsample,
            "min_size": options.min_size,
            "max_size": options.max_size,
            "min_tot": options.min_tot,
            "max_tot": options.max_tot,
            "max_duration": ticks_to_seconds(options.max_duration),
            "max_duration_units": "s",
        }
        # Counts exist after a pass only; a lazy signal has what was requested so far.
        if self._tallies:
            found.update(_numbers(tally))
        return {name: value for name, value in found.items() if value is not None}


def _numbers(tally: Tally) -> dict:
    names = ("too_small", "too_large", "tot_too_low", "tot_too_high")
    excluded = {name: getattr(tally, name) for name in names if getattr(tally, name)}
    sizes = {} if tally.sizes is None else {str(i + 1): int(n) for i, n in enumerate(tally.sizes) if n}
    return {
        "electrons": tally.electrons,
        "hits_of_electrons": tally.hits_of_electrons,
        "hits_per_electron": tally.hits_of_electrons / tally.electrons if tally.electrons else None,
        "hits_in_chains": tally.hits_chained or None,
        "hits_left_out": tally.hits_left_out or None,
        "Left_out": excluded or None,
        "Sizes": sizes or None,
    }


def sampled_tally(source: EventSource, options: ClusterOptions, n_hits: int = 1 << 16, n_spans: int = 8) -> Tally:
    """Tally of clusters in short spans that are spread evenly over a recording; all of it where that is short.

    Parameters
    ----------
    source : EventSource
        Hits.
    options : ClusterOptions
    n_hits : int
        About how many hits to look at.
    n_spans : int

    Returns
    -------
    Tally
    """
    clustered = ClusteredSource(source, options)
    pieces = sample_spans(source.index(), n_hits, n_spans)
    return sum((tally for piece in pieces for _, tally in clustered._found(*piece)), Tally())


def sample_spans(index: EventIndex, n_hits: int, n_spans: int = 8) -> list:
    """Spans of time, evenly spread, that hold about so many hits together if the rate is even."""
    low, high = index.hit_span[0], index.hit_span[1] + 1
    if index.n_hits <= n_hits:
        return [(low, high)]
    step = (high - low) // n_spans
    length = max(1, step * n_hits // index.n_hits)
    return [(low + i * step + (step - length) // 2, low + i * step + (step + length) // 2) for i in range(n_spans)]
