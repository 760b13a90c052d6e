"""The contract between event formats and everything above them.

Nothing above an `EventSource` knows packets, rollovers or chips: it sees hits with one time and one
detector pixel, and trigger edges on the same clock.
"""

from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np

from rsciio_tpx3.events.edge_kinds import EDGE_CODES

__all__ = [
    "CompactHits",
    "Edges",
    "EventIndex",
    "EventSource",
    "Hits",
    "check_inside",
    "compact_part",
    "compact_windows",
    "narrowed",
    "noted",
    "recall_noted",
    "shared_parts",
]


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
    def x(self):
        """Detector column."""
        return self.pixel % self.width

    @property
    def y(self):
        """Detector row."""
        return self.pixel // self.width

    def __len__(self):
        return len(self.pixel)

    def toa_and_pixel(self):
        """Times in ticks, and pixels."""
        return self.toa, self.pixel

    def take(self, which):
        """The hits of an index array or mask."""
        columns = {name: getattr(self, name) for name in _COLUMNS}
        return replace(self, **{name: column[which] for name, column in columns.items() if column is not None})

    @classmethod
    def joined(cls, parts, width):
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
    """Hits of a short stretch of time, 32 bits each, for compiled code; good until the next ones are asked for.

    Attributes
    ----------
    origin, step, span : int
        The stretch: times ``origin + step * when`` ticks, `when` from 0 to below `span`.
    when : numpy.ndarray of int32, shape (n,)
        Time of each entry. Those at `span` are no hits of the stretch: other packets, or outside of it.
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

    def toa_and_pixel(self):
        """Times in ticks and pixels of the hits, without the other entries."""
        kept = self.when < self.span
        return self.origin + self.step * self.when[kept].astype(np.int64), self.pixel[kept]


@dataclass(frozen=True)
class Edges:
    """Trigger edges of all inputs, merged over chips, without copies, in order of time.

    Attributes
    ----------
    ticks : numpy.ndarray of int64, shape (n,)
    code : numpy.ndarray of uint8, shape (n,)
        Input and direction, one of `rsciio_tpx3.tpx3.packets.EDGE_CODES`.
    counter : numpy.ndarray of uint16, shape (n,)
        The detector's 12-bit number of the edge on its input, which counts every recorded edge.
    """

    ticks: np.ndarray
    code: np.ndarray
    counter: np.ndarray

    def __len__(self):
        return len(self.ticks)

    def select(self, name):
        """The edges of one kind, such as "tdc1-rise"."""
        keep = self.code == EDGE_CODES[name]
        return Edges(self.ticks[keep], self.code[keep], self.counter[keep])

    @property
    def kinds(self):
        """Number of edges of each kind that occurs."""
        counts = {name: int((self.code == code).sum()) for name, code in EDGE_CODES.items()}
        return {name: n for name, n in counts.items() if n}

    def without(self, names):
        """The edges of all other kinds."""
        keep = ~np.isin(self.code, [EDGE_CODES[name] for name in names])
        return Edges(self.ticks[keep], self.code[keep], self.counter[keep])

    @classmethod
    def empty(cls):
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

    def without_edges(self):
        """What a narrowed source keeps of it."""
        return replace(self, edges=Edges.empty(), statistics={}, losses={})


@runtime_checkable
class EventSource(Protocol):
    """Where hits come from. Small and picklable; opens files only while it reads.

    Attributes
    ----------
    sig_shape : tuple of int
        Detector ``(height, width)``.
    layout : rsciio_tpx3.events.geometry.Layout
        Which pixels exist, and of which chip.
    """

    sig_shape: tuple
    layout: object

    def describe(self):
        """What the format tells about the instrument.

        Returns
        -------
        dict
            ``layout``, ``gap``, ``orientation``, ``chips``, ``toa_step`` and ``tot_step`` in
            seconds, and ``paths``.
        """

    def index(self):
        """The `EventIndex`, made on first use by one pass over the data."""

    def windows(self, start, stop):
        """Iterate over `Hits` of the half-open span of time, some ten thousand at a time.

        Reads only the byte ranges that can hold such hits.
        """

    def hits(self, start, stop):
        """All `Hits` of the half-open span of time, in stream order."""

    def work(self, n_parts):
        """Divide the recording into parts of equal size for parallel passes.

        Returns
        -------
        list of tuple of int
            Opaque ranges for `part`.
        """

    def part(self, piece):
        """Iterate over `Hits` of one of the ranges of `work`."""

    def narrowed(self, spans):
        """A source for `windows` and `hits` inside these half-open spans of time alone.

        It holds no more of the index than they need, so that a task that travels to another process is
        small: its `index` knows no edges. Asked for other times it raises, rather than leave out hits. A source
        with large parts that it needs for all times also has ``shared_parts()``, a tuple of them: they travel once.
        One that counts something while its parts are gone through has ``noted()`` and ``recall_noted(values)``.
        """


def narrowed(source, spans):
    """`source.narrowed`, or the source itself where it has no smaller form."""
    return source.narrowed(spans) if hasattr(source, "narrowed") else source


def shared_parts(source):
    """Large objects that a source needs for any span or row: those its method `shared_parts` names, else none."""
    return source.shared_parts() if hasattr(source, "shared_parts") else ()


def noted(source):
    """What a source noted about the events of its last pass (`work` and `part`), in plain values."""
    return source.noted() if hasattr(source, "noted") else {}


def recall_noted(source, values):
    """Give a source what `noted` told of an earlier pass over the same events."""
    if hasattr(source, "recall_noted"):
        source.recall_noted(values)


def check_inside(spans, start, stop):
    """Raise unless a span of time lies in one of those that a source was narrowed to; None is all time."""
    if spans is not None and not any(low <= start and stop <= high for low, high in spans):
        raise ValueError(f"Hits from {start} to {stop} were asked of a source that was narrowed to {spans}.")


def compact_windows(source, start, stop):
    """`EventSource.windows` for kernels: `CompactHits` where the source's class makes them itself, else `Hits`.

    A source may offer ``compact_windows(start, stop)`` and ``compact_part(piece)`` as fast ways to the same hits. They
    are looked up at the class, so that a source wrapped around another one is never passed by.
    """
    own = getattr(type(source), "compact_windows", None)
    return source.windows(start, stop) if own is None else own(source, start, stop)


def compact_part(source, piece):
    """`EventSource.part` for kernels; see `compact_windows`."""
    own = getattr(type(source), "compact_part", None)
    return source.part(piece) if own is None else own(source, piece)
