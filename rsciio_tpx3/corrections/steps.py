"""Corrections of hits or electrons: an event source whose columns went through a chain of small steps.

Each step is a plain object with a `name`, `shift` (how far it moves times, in ticks, as a pair of the lowest and the
highest), `report()` for the metadata, and `apply(hits)`, or `kept(hits)` where it `leaves_out` some: those are counted
(`rsciio_tpx3.events.tally`). A query of a span of time reads as much more around it as
times may move, and cuts the span after the correction: the answer does not depend on how a recording is cut.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import normalize_token

from rsciio_tpx3.events.source import EventSource, Hits
from rsciio_tpx3.events.tally import Tally
from rsciio_tpx3.utils.compiled import njit
from rsciio_tpx3.utils.mixing import mixed
from rsciio_tpx3.utils.packing import Packed

if TYPE_CHECKING:
    from rsciio_tpx3.corrections.energy import PixelCalibration, TableCalibration
    from rsciio_tpx3.events.source import EventIndex

__all__ = ["CorrectedSource", "EnergyStep", "MaskStep", "PixelDelayStep", "TimeWalkStep", "WidePixelStep"]


class CorrectedSource(EventSource):
    """Events of a source after corrections, as an `EventSource`.

    Parameters
    ----------
    source : EventSource
    steps : sequence
        In the order they are applied.
    """

    def __init__(self, source: EventSource, steps: Iterable) -> None:
        self.source = source = EventSource.adopt(source)
        self.steps = tuple(steps)
        self.layout = source.layout
        self.sig_shape = source.sig_shape
        self._low = sum(step.shift[0] for step in self.steps)
        self._high = sum(step.shift[1] for step in self.steps)
        # of each part; all together, where they come from the cache, have no part
        self._tallies: dict[tuple[int, int] | None, Tally] = {}

    def describe(self) -> dict:
        """As the source's; see `EventSource.describe`."""
        return self.source.describe()

    def index(self) -> EventIndex:
        """The index of the recording, with a span of hits that holds all corrected times."""
        index = self.source.index()
        low, high = index.hit_span
        return index if high < low else replace(index, hit_span=(low + self._low, high + self._high))

    def windows(self, start: int, stop: int) -> Iterator[Hits]:
        """Iterate over corrected `Hits` of the half-open span of time; see `EventSource.windows`."""
        for hits, _ in self.tallied_windows(start, stop, (start, stop)):
            yield hits

    def tallied_windows(self, start: int, stop: int, span: tuple[int, int]) -> Iterator[tuple[Hits, Tally]]:
        """The same with a `Tally` of what was excluded; see `EventSource.tallied_windows`.

        A hit that is excluded belongs to the time at which it reached that step: windows that overlap count it once,
        if their spans do not.
        """
        for hits in self.source.windows(start - self._high, stop - self._low):
            hits, tally = self._applied(hits, span)
            if self._low or self._high:
                hits = hits.take((hits.toa >= start) & (hits.toa < stop))
            yield hits, tally

    def hits(self, start: int | None = None, stop: int | None = None) -> Hits:
        """All corrected `Hits` of a half-open span of time; everything by default."""
        low, high = self.index().hit_span
        found = self.windows(low if start is None else start, high + 1 if stop is None else stop)
        return Hits.joined(found, self.sig_shape[1])

    def work(self, n_parts: int) -> list[tuple[int, int]]:
        """See `EventSource.work`."""
        self._tallies = {}
        return self.source.work(n_parts)

    def part(self, piece: tuple[int, int]) -> Iterator[Hits]:
        """Iterate over all corrected `Hits` of one of the ranges of `work`, and note what was excluded."""
        total = Tally()
        for hits in self.source.part(piece):
            hits, tally = self._applied(hits)
            total += tally
            yield hits
        self._tallies[piece] = total

    def narrowed(self, spans: Iterable[tuple[int, int]]) -> EventSource:
        """A source for these spans of time alone; see `EventSource.narrowed`."""
        part = copy.copy(self)
        part.source = self.source.narrowed([(start - self._high, stop - self._low) for start, stop in spans])
        part._tallies = {}
        return part

    def shared_parts(self) -> tuple:
        """The steps of this source and of those below: their tables have an entry for each pixel."""
        return *self.source.shared_parts(), *self.steps

    @property
    def cache(self) -> Any:
        """The cache of the recording, see `rsciio_tpx3.cache.store`; None where none is wanted."""
        return self.source.cache

    def noted(self) -> dict:
        """See `EventSource.noted`."""
        return {"own": self._own_tally().plain(), "below": self.source.noted()}

    def recall_noted(self, values: dict) -> None:
        """See `EventSource.recall_noted`."""
        self._tallies = {None: Tally.of(values["own"])}
        self.source.recall_noted(values["below"])

    def tally(self) -> Tally:
        """Sum of what all parts excluded since `work`, with what the sources below noted.

        Returns
        -------
        rsciio_tpx3.events.tally.Tally
        """
        return self._own_tally() + self.source.tally()

    def _own_tally(self) -> Tally:
        return sum(self._tallies.values(), Tally())

    def __dask_tokenize__(self) -> tuple:
        return "rsciio_tpx3.CorrectedSource", normalize_token([self.source, self.steps])

    def summary(self) -> dict:
        """What a clustered source below tells about itself."""
        clustered: Any = self.source
        return clustered.summary()

    def _applied(self, hits: Hits, span: tuple[int, int] | None = None) -> tuple[Hits, Tally]:
        """Hits after all steps, and a tally of what these excluded; of times in a half-open span alone, where given."""
        excluded = {}
        for step in self.steps:
            if not step.leaves_out:
                hits = step.apply(hits)
                continue
            keep = step.kept(hits)
            lost, hits = hits.take(~keep), hits.take(keep)
            inside = slice(None) if span is None else (lost.toa >= span[0]) & (lost.toa < span[1])
            # After clusters were found, what is excluded are electrons, each of several hits: both are counted.
            if lost.size is not None:
                excluded[step.name, "electrons_left_out"] = len(lost.toa[inside])
            n_hits = len(lost.toa[inside]) if lost.size is None else int(lost.size[inside].sum())
            excluded[step.name, "hits_left_out"] = n_hits
        return hits, Tally(left_out=excluded)


@dataclass(frozen=True)
class MaskStep(Packed):
    """Leave out the hits of some pixels.

    Attributes
    ----------
    masked : numpy.ndarray of bool, shape (n_pixels,)
    found : dict
        Where the mask comes from, for the metadata.
    """

    masked: np.ndarray
    found: dict
    name = "Mask"
    shift = (0, 0)
    leaves_out = True

    def kept(self, hits: Hits) -> np.ndarray:
        return ~self.masked[hits.pixel]

    def report(self) -> dict:
        return {"pixels_left_out": int(self.masked.sum()), **self.found}


@dataclass(frozen=True)
class PixelDelayStep(Packed):
    """Add a constant time to the hits of each pixel.

    Attributes
    ----------
    ticks : numpy.ndarray of int16, shape (n_pixels,)
    found : dict
    """

    ticks: np.ndarray
    found: dict
    name = "Columns"
    leaves_out = False

    @property
    def shift(self) -> tuple[int, int]:
        return min(int(self.ticks.min()), 0), max(int(self.ticks.max()), 0)

    def apply(self, hits: Hits) -> Hits:
        return replace(hits, toa=hits.toa + self.ticks[hits.pixel])

    def report(self) -> dict:
        return {"pixels_shifted": int(np.count_nonzero(self.ticks)), **self.found}


@dataclass(frozen=True)
class TimeWalkStep(Packed):
    """Take off the delay with which small charges fire.

    Attributes
    ----------
    ticks : numpy.ndarray of int32, shape (1024,)
        Delay at each ToT.
    found : dict
    """

    ticks: np.ndarray
    found: dict
    name = "Time_walk"
    leaves_out = False

    @property
    def shift(self) -> tuple[int, int]:
        return min(-int(self.ticks.max()), 0), max(-int(self.ticks.min()), 0)

    def apply(self, hits: Hits) -> Hits:
        return replace(hits, toa=hits.toa - self.ticks[np.minimum(hits.tot, len(self.ticks) - 1)])

    def report(self) -> dict:
        return self.found


@dataclass(frozen=True)
class EnergyStep:
    """Give each hit its energy.

    Attributes
    ----------
    calibration : rsciio_tpx3.corrections.energy.PixelCalibration or TableCalibration
    found : dict
    """

    calibration: PixelCalibration | TableCalibration
    found: dict
    name = "Energy"
    shift = (0, 0)
    leaves_out = False

    def apply(self, hits: Hits) -> Hits:
        return replace(hits, energy=self.calibration.energy(hits.pixel, hits.tot))

    def report(self) -> dict:
        return self.found


@dataclass(frozen=True)
class WidePixelStep(Packed):
    """Delete the events of the wide pixels at chip borders, or spread them over the area that these stand for.

    A pixel of the border collects for the gap next to it. Spreading moves an event to one of the pixels of that area;
    which one follows from a hash of its time and pixel, so that it is the same in every run and for every chunk.

    Attributes
    ----------
    first, area : numpy.ndarray of int32, shapes (n_pixels + 1,) and (n,)
        Pixels that wide pixel k stands for, itself among them, are ``area[first[k]:first[k + 1]]``; none for others.
    upsample : int
        Finer pixels along each axis of the events' detector.
    spread : bool
        False deletes.
    """

    first: np.ndarray
    area: np.ndarray
    width: int
    upsample: int
    spread: bool
    name = "Wide_pixels"
    shift = (0, 0)

    @property
    def leaves_out(self) -> bool:
        return not self.spread

    def kept(self, hits: Hits) -> np.ndarray:
        # of their area none too: a centroid may lie in the gap
        wide = np.zeros(len(self.first) - 1, bool)
        wide[self.area] = True
        return ~wide[self._detector_pixel(hits)]

    def apply(self, hits: Hits) -> Hits:
        moved = hits.pixel.copy()
        _spread(moved, self._detector_pixel(hits), hits.toa, self.first, self.area, self.width, self.upsample)
        return replace(hits, pixel=moved)

    def _detector_pixel(self, hits: Hits) -> np.ndarray:
        if self.upsample == 1:
            return hits.pixel
        row, column = np.divmod(hits.pixel, hits.width)
        return (row // self.upsample * self.width + column // self.upsample).astype(np.int32)

    def report(self) -> dict:
        n_wide = int(np.count_nonzero(np.diff(self.first) > 1))
        return {"method": "spread" if self.spread else "delete", "pixels": n_wide}


@njit(nogil=True, cache=True)
def _spread(
    moved: np.ndarray, pixel: np.ndarray, toa: np.ndarray, first: np.ndarray, area: np.ndarray, width: int, fine: int
) -> None:
    for i in range(len(pixel)):
        p = pixel[i]
        n = first[p + 1] - first[p]
        if n < 2:
            continue
        # Drawn from the hit's own time and pixel: the same hit goes to the same place, in whatever part it is read.
        drawn = mixed(np.uint64(toa[i]) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(moved[i]))
        chosen = np.int64(area[first[p] + np.int64((drawn >> np.uint64(33)) % np.uint64(n))])
        within = mixed(drawn + np.uint64(1)) >> np.uint64(33)
        dy = np.int64(within % np.uint64(fine))
        dx = np.int64(within // np.uint64(fine) % np.uint64(fine))
        row = chosen // width
        moved[i] = (row * fine + dy) * (width * fine) + (chosen - row * width) * fine + dx
