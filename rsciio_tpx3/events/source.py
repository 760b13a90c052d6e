"""The contract between event formats and everything above them.

Nothing above an `EventSource` knows packets, rollovers or chips: it sees hits with one time and one
detector pixel, and trigger edges on the same clock. `rsciio_tpx3.testing.check_event_source` tries an implementation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.events.edge_kinds import EDGE_CODES
from rsciio_tpx3.events.tally import Tally
from rsciio_tpx3.utils.adoption import Adopted

__all__ = ["CompactHits", "Edges", "EventIndex", "EventSource", "Hits", "block_ranges", "check_inside"]

if TYPE_CHECKING:
    from rsciio_tpx3.events.geometry import Layout


@dataclass(frozen=True)
class Hits:
    """Columns of hits, or of electrons where clusters were found, in no promised order.

    Attributes
    ----------
    pixel : numpy.ndarray of int32, shape (n,)
        Flat detector index ``row * width + column``.
    toa : numpy.ndarray of int64, shape (n,)
        Arrival time in ticks (`rsciio_tpx3.utils.clock`), without rollovers.
    tot : numpy.ndarray of uint16 (hits) or uint32 (electrons), shape (n,)
        Time over threshold in steps of 25 ns; the sum over the hits of an electron.
    width : int
        Detector width, to split `pixel`.
    energy : numpy.ndarray of float32, shape (n,), or None
        keV, where a calibration was given.
    size : numpy.ndarray of int32, shape (n,), or None
        Hits of each electron.
    """

    pixel: np.ndarray
    toa: np.ndarray
    tot: np.ndarray
    width: int
    energy: np.ndarray | None = None
    size: np.ndarray | None = None

    @property
    def x(self) -> np.ndarray:
        """Detector column."""
        return self.pixel % self.width

    @property
    def y(self) -> np.ndarray:
        """Detector row."""
        return self.pixel // self.width

    def __len__(self) -> int:
        return len(self.pixel)

    def toa_and_pixel(self) -> tuple[np.ndarray, np.ndarray]:
        """Times in ticks, and pixels."""
        return self.toa, self.pixel

    def take(self, which: np.ndarray | slice) -> Hits:
        """The hits of an index array or mask."""
        columns = {name: getattr(self, name) for name in _COLUMNS}
        return replace(self, **{name: column[which] for name, column in columns.items() if column is not None})

    @classmethod
    def joined(cls, parts: Iterable[Hits], width: int) -> Hits:
        """All parts, one after the other; `width` is for when there are none."""
        parts = list(parts)
        if not parts:
            return cls(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.uint16), width)
        if len(parts) == 1:
            return parts[0]
        columns = {name: [getattr(part, name) for part in parts] for name in _COLUMNS}
        known = {name: np.concatenate(found) for name, found in columns.items() if found[0] is not None}
        return cls(**known, width=width)


_COLUMNS = ("pixel", "toa", "tot", "energy", "size")


@dataclass(frozen=True)
class CompactHits:
    """Hits of a short stretch of time, 32 bits each, for compiled code; good until the next ones are requested.

    Attributes
    ----------
    origin, step, span : int
        The stretch: times ``origin + step * when`` ticks, `when` from 0 to below `span`.
    when : numpy.ndarray of int32, shape (n,)
        Time of each entry. Those at `span` are not hits of the stretch: other packets, or outside of it.
    pixel : numpy.ndarray of int32, shape (n,)
        Flat detector index ``row * width + column``.
    width : int
        Detector width, to split `pixel`.
    """

    origin: int
    step: int
    span: int
    when: np.ndarray
    pixel: np.ndarray
    width: int

    def __len__(self) -> int:
        return len(self.when)

    def toa_and_pixel(self) -> tuple[np.ndarray, np.ndarray]:
        """Times in ticks and pixels of the hits, without the other entries."""
        inside = self.when < self.span
        return self.origin + self.step * self.when[inside].astype(np.int64), self.pixel[inside]


@dataclass(frozen=True)
class Edges:
    """Trigger edges of all inputs, merged over chips, without copies, in order of time.

    Attributes
    ----------
    ticks : numpy.ndarray of int64, shape (n,)
    code : numpy.ndarray of uint8, shape (n,)
        Input and direction, one of `rsciio_tpx3.events.edge_kinds.EDGE_CODES`.
    counter : numpy.ndarray of uint16, shape (n,)
        The detector's 12-bit number of the edge on its input, which counts every recorded edge.
    """

    ticks: np.ndarray
    code: np.ndarray
    counter: np.ndarray

    def __len__(self) -> int:
        return len(self.ticks)

    def select(self, name: str) -> Edges:
        """The edges of one kind, such as "tdc1-rise"."""
        keep = self.code == EDGE_CODES[name]
        return Edges(self.ticks[keep], self.code[keep], self.counter[keep])

    @property
    def kinds(self) -> dict:
        """Number of edges of each kind that occurs."""
        counts = {name: int((self.code == code).sum()) for name, code in EDGE_CODES.items()}
        return {name: n for name, n in counts.items() if n}

    def without(self, names: Iterable[str]) -> Edges:
        """The edges of all other kinds."""
        keep = ~np.isin(self.code, [EDGE_CODES[name] for name in names])
        return Edges(self.ticks[keep], self.code[keep], self.counter[keep])

    @classmethod
    def empty(cls) -> Edges:
        return cls(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.uint16))


@dataclass(frozen=True)
class EventIndex:
    """What one pass over a recording tells.

    Attributes
    ----------
    edges : Edges
    n_hits : int
        Hits that can be placed in time.
    span : tuple of int
        First and last time of anything in the recording, ticks.
    hit_span : tuple of int
        First and last hit; (0, -1) where there is none.
    chips : tuple of int
        Chips with data.
    statistics : dict
        Plain numbers for people and for ``rsciio-tpx3 info``.
    losses : dict
        Name to number of what was lost; empty when nothing was.
    """

    edges: Edges
    n_hits: int
    span: tuple
    hit_span: tuple
    chips: tuple
    statistics: dict = field(default_factory=dict)
    losses: dict = field(default_factory=dict)

    def without_edges(self) -> EventIndex:
        """What a narrowed source keeps of it."""
        return replace(self, edges=Edges.empty(), statistics={}, losses={})


class EventSource(ABC):
    """Where hits come from. Small and picklable; opens files only while it reads.

    A format has to give `sig_shape`, `layout`, `describe`, `index` and `windows`. Everything else has a default that is
    right, and may be given where the format knows a faster way.

    Attributes
    ----------
    sig_shape : tuple of int
        Detector ``(height, width)``.
    layout : rsciio_tpx3.events.geometry.Layout
        Which pixels exist, and of which chip.
    cache : rsciio_tpx3.cache.store.RecordingCache or None
        Where passes over the recording may keep what they find.
    """

    sig_shape: tuple[int, int]
    layout: Layout
    cache: Any = None

    # -- required ------------------------------------------------------------------------------------

    @abstractmethod
    def describe(self) -> dict:
        """What the format tells about the instrument.

        Returns
        -------
        dict
            ``layout``, ``gap``, ``orientation``, ``chips``, ``toa_step`` and ``tot_step`` in
            seconds, ``paths``, and ``size`` in bytes; ``format`` is the key of what it tells in the original metadata.
        """

    @abstractmethod
    def index(self) -> EventIndex:
        """The `EventIndex`, made by one pass over the data."""

    @abstractmethod
    def windows(self, start: int, stop: int) -> Iterator[Hits]:
        """Iterate over `Hits` of the half-open span of time, some ten thousand at a time.

        Reads only the byte ranges that can hold such hits.
        """

    # -- with a default ------------------------------------------------------------------------------

    def hits(self, start: int | None = None, stop: int | None = None) -> Hits:
        """All `Hits` of the half-open span of time, in stream order; the whole recording by default."""
        span = self.index().span
        start = span[0] if start is None else start
        stop = span[1] + 1 if stop is None else stop
        return Hits.joined(self.windows(start, stop), self.sig_shape[1])

    def work(self, n_parts: int) -> list[tuple[int, int]]:
        """Divide the recording into parts of about equal size for parallel passes.

        Returns
        -------
        list of tuple of int
            Opaque ranges for `part`; each hit is in one of them.
        """
        first, last = self.index().hit_span
        if last < first:
            return []
        length = max(1, -(-(last + 1 - first) // max(n_parts, 1)))
        return [(start, min(start + length, last + 1)) for start in range(first, last + 1, length)]

    def part(self, piece: tuple[int, int]) -> Iterator[Hits]:
        """Iterate over `Hits` of one of the ranges of `work`."""
        yield from self.windows(*piece)

    def compact_windows(self, start: int, stop: int) -> Iterator[Hits | CompactHits]:
        """The hits of `windows` for compiled code: `CompactHits` where the format makes them faster."""
        yield from self.windows(start, stop)

    def compact_part(self, piece: tuple[int, int]) -> Iterator[Hits | CompactHits]:
        """The hits of `part` for compiled code; see `compact_windows`."""
        yield from self.part(piece)

    def grown(self, until: int) -> tuple[Hashable, list[tuple[int, int]], list[tuple[int, int]]] | None:
        """What has been there before of a recording that grows; None where nobody knows.

        Parameters
        ----------
        until : int
            A time that all hits of the first part must precede.

        Returns
        -------
        key : hashable
            The same as long as the recording goes on, and times are the same as before.
        first, rest : list of tuple of int
            Ranges for `part`. The first ones begin with those of earlier calls with an earlier time.
        """
        return None

    def narrowed(self, spans: Iterable[tuple[int, int]]) -> EventSource:
        """A source for `windows` and `hits` inside these half-open spans of time alone.

        It holds no more of the index than they need, so that a task that travels to another process is
        small: its `index` knows no edges. Asked for other times it raises, rather than leave out hits.
        """
        return self

    def shared_parts(self) -> tuple:
        """Large objects that the source needs for any span of time: they travel once, not with every task."""
        return ()

    def tally(self) -> Tally:
        """What the source, and those below it, excluded in their last pass (`work` and `part`); see `Tally`."""
        return Tally()

    def tallied_windows(self, start: int, stop: int, span: tuple[int, int]) -> Iterator[tuple[Hits, Tally]]:
        """`windows`, with a `Tally` of what was excluded from times in `span` for each."""
        return ((hits, Tally()) for hits in self.windows(start, stop))

    def noted(self) -> dict:
        """What `tally` counted, in plain values that a cache can keep."""
        return {}

    def recall_noted(self, values: dict) -> None:  # noqa: B027 (most sources note nothing)
        """Take what `noted` gave of an earlier pass over the same events."""

    # -- sources that know nothing of this class -----------------------------------------------------

    @classmethod
    def adopt(cls, source: Any) -> EventSource:
        """A source that has the required methods, but not this class, with all defaults; others as they are."""
        return source if isinstance(source, cls) else _Adopted(source)


_REQUIRED = ("sig_shape", "layout", "describe", "index", "windows")


class _Adopted(Adopted, EventSource):
    """A source of another make: its own methods where it has them."""

    contract, what = "EventSource", "a source of events"
    required = _REQUIRED
    optional = tuple(
        name for name in vars(EventSource) if not name.startswith("_") and name not in (*_REQUIRED, "cache", "adopt")
    )
    together = ("work", "part")

    def __init__(self, source: Any) -> None:
        super().__init__(source)
        self.sig_shape, self.layout = source.sig_shape, source.layout
        self.cache = getattr(source, "cache", None)

    def describe(self) -> dict:
        return self.source.describe()

    def index(self) -> EventIndex:
        return self.source.index()

    def windows(self, start: int, stop: int) -> Iterator[Hits]:
        yield from self.source.windows(start, stop)


def check_inside(spans: Iterable[tuple[int, int]] | None, start: int, stop: int) -> None:
    """Raise unless a span of time lies in one of those that a source was narrowed to; None is all time."""
    if spans is not None and not any(low <= start and stop <= high for low, high in spans):
        raise ValueError(f"Hits from {start} to {stop} were requested from a source that was narrowed to {spans}.")


def block_ranges(n_blocks: int, n_parts: int) -> list[tuple[int, int]]:
    """Blocks in so many ranges of about equal length, at least one; for `EventSource.work` of indexed recordings."""
    borders = np.linspace(0, n_blocks, min(max(n_parts, 1), max(n_blocks, 1)) + 1).astype(int)
    return [(int(first), int(last)) for first, last in zip(borders[:-1], borders[1:])]
