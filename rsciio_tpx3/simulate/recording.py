"""From a recipe to files on disk: the public functions of the simulator."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.simulate.defects import with_defects
from rsciio_tpx3.simulate.edges import make_edges
from rsciio_tpx3.simulate.electrons import line_electrons, line_generator
from rsciio_tpx3.simulate.hits import HitModel, PixelTable, make_hits, pixels_under
from rsciio_tpx3.simulate.intensity import ArrayIntensity
from rsciio_tpx3.simulate.scan import make_scan
from rsciio_tpx3.simulate.service import service_words, stale_words
from rsciio_tpx3.simulate.specimen import specimen
from rsciio_tpx3.simulate.stream import PART_NAME, StreamLayout, StreamWriter
from rsciio_tpx3.simulate.times import whole_ticks
from rsciio_tpx3.simulate.truth import Collector, Truth
from rsciio_tpx3.utils.clock import PIXEL_TICKS, TDC_PERIOD
from rsciio_tpx3.utils.files import PartialFiles

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Sequence
    from typing import Any

    from numpy.typing import ArrayLike

    from rsciio_tpx3.events.geometry import Layout
    from rsciio_tpx3.simulate.defects import Defects
    from rsciio_tpx3.simulate.scan import Scan


__all__ = ["demo", "recording"]

_OLD_CLOCK = 568 * TDC_PERIOD + 12 * 12345  # high word 568, as in the real file
_COUNTER_STEP = 615
_BEFORE = 3_840_000  # the shutter opens 1 ms before the scan, or at time zero


def recording(
    path: str | os.PathLike,
    nav_shape: tuple[int, int] | None = None,
    *,
    intensity: Any = None,
    electrons_per_position: float | None = None,
    layout: str | Sequence[dict] = "quad",
    gap: int = 0,
    orientation: str = "up",
    hits: str | HitModel = "exact",
    defects: Defects | None = None,
    drift: ArrayLike | None = None,
    flyback_electrons: bool | str = False,
    missing_edges: Sequence[int] | float = (),
    invalid_edges: Sequence[int] | float = (),
    edge_chips: Sequence[int] = (0,),
    disorder: Any = "0.4 ms",
    chunk_time: Any = "0.1 ms",
    max_words: int = 1119,
    global_time: Any = None,
    control_words: bool = True,
    chunk_counts: bool = False,
    lost_chunks: float | Sequence[tuple[int, int]] = 0.0,
    swapped_chunks: float = 0.0,
    stale_start: bool = False,
    headerless: bool = False,
    start_stamp: int | None = None,
    n_files: int = 1,
    empty_files: Sequence[int] = (),
    keep_truth: bool | str | os.PathLike = True,
    piece_hits: int = 200_000,
    progress: Callable[[float], object] | None = None,
    seed: int = 0,
    **scan_options: Any,
) -> Truth:
    """Simulate a recording, write it, and return what really happened.

    Times are strings with a unit ("0.5 us") or integer numbers of ticks of 260.41666 ps.

    Parameters
    ----------
    path : path-like
        The file; with several files, numbers are put before its suffix.
    nav_shape : tuple of int, optional
        Scan ``(y, x)``; needed unless `intensity` tells it.
    intensity : array-like or Specimen, optional
        A 4D intensity ``[y, x, detector y, detector x]`` (numpy, or any object with `shape` that
        gives one line at a time by ``intensity[y]``; smaller patterns lie in the middle of the
        detector), or an object with the methods of `Specimen`. The built-in specimen if omitted.
    electrons_per_position : float, optional
        Mean dose. With an array, its intensities are scaled to it on average, and are the
        expected electrons themselves when it is omitted; with the specimen 100 when omitted.
    layout, gap, orientation
        Detector, see `rsciio_tpx3.events.geometry.make_layout`.
    hits : {"exact", "realistic"} or HitModel
        "exact": one electron makes one hit at its own time. "realistic": charge sharing, time walk,
        jitter, dead time.
    defects : Defects, optional
        Dead and hot pixels.
    drift : array-like, shape (n_frames, 2), optional
        Where each frame looks, ``(y, x)`` in scan positions from the first place: the field of view moves
        over the specimen, and its picture the other way, by `hyperspy_sparse.find_drift` as well.
    flyback_electrons : bool or "retrace"
        Whether the beam stays on during flyback: True at the last position of the line, "retrace"
        going back over the line at constant speed.
    missing_edges, invalid_edges : sequence of int, or float
        Edges without a packet, and with fine time 0; numbers in time order, or a share.
    edge_chips : sequence of int
        Chips that send a copy of each edge.
    disorder : time
        Longest delay of a packet within its chip's stream; 0 for none.
    chunk_time : time
        How often each chip sends its chunks: the disorder between chips.
    max_words : int
        Longest chunk.
    global_time : time, optional
        Interval of global-time pairs; none when omitted.
    control_words : bool
        Shutter, heartbeat and end-of-readout words.
    chunk_counts : bool
        A 0x50 word at the start of each chunk.
    lost_chunks : float or sequence of (int, int)
        Share of chunks lost, or chip and number of each.
    swapped_chunks : float
        Share of a chip's neighbouring chunks in the wrong order.
    stale_start : bool
        Begin with packets of a clock before a reset.
    headerless : bool
        Plain words of a single chip, without chunk headers.
    start_stamp : int, optional
        First word of a headerless file: start time in ns since 1970.
    n_files : int
        Number of files of equal duration.
    empty_files : sequence of int
        Numbers of files (of `n_files`) that hold no hit and no edge, but are closed properly.
    keep_truth : bool or path-like
        Keep the columns of the truth in memory, in a folder (mapped), or not.
    piece_hits : int
        Hits handled at once; changes memory and speed, not the result.
    progress : callable, optional
        Called with the share done, 0..1.
    seed : int
        Equal seeds give equal files.
    **scan_options
        `sync`, `dwell_time`, `n_frames` and others of `make_scan`.

    Returns
    -------
    Truth

    Raises
    ------
    ValueError
        If options are unknown or contradict each other.
    UnitError
        For a bare number where the unit could be mistaken.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from rsciio_tpx3 import simulate
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "scan.tpx3"
    >>> truth = simulate.recording(file, (7, 11), dwell_time="5 us", electrons_per_position=20)
    >>> truth.counts().shape
    (1, 7, 11)
    """
    detector = make_layout("single" if headerless else layout, 0 if headerless else gap, orientation)
    source, dose = _source(intensity, nav_shape, detector.sig_shape, electrons_per_position)
    scan = make_scan(source.nav_shape, seed=seed, **scan_options)
    model = _hit_model(hits)
    chips = detector.chips
    _check(
        scan, chips, edge_chips, n_files, empty_files, max_words, headerless, drift, flyback_electrons, stale_start,
        lost_chunks, swapped_chunks,
    )  # fmt: skip
    first_counter = 1 + (60 + _COUNTER_STEP) * bool(stale_start)
    edges = make_edges(scan, missing=missing_edges, invalid=invalid_edges, first_counter=first_counter, seed=seed)
    slot = max(whole_ticks(chunk_time, "chunk_time"), 1)
    late = whole_ticks(disorder, "disorder")
    part_slots, paths, used = _parts(Path(path), scan, late, slot, n_files, empty_files)
    service = service_words(
        edges, chips, max(scan.start - _BEFORE, 0), scan.end, edge_chips=tuple(edge_chips), disorder=late,
        global_time=None if global_time is None else whole_ticks(global_time, "global_time"),
        control_words=control_words, part_ends=[s * slot for s in part_slots],
        rng=np.random.default_rng([seed, 4]),
    )  # fmt: skip
    stream = StreamLayout(
        chips, slot, max_words, headerless, start_stamp, chunk_counts, control_words,
        lost_chunks, swapped_chunks, part_slots, seed,
    )  # fmt: skip
    table = PixelTable(detector, model.response)
    if defects is not None:
        defects.check(table)
    plan = _Plan(scan, source, dose, model, table, defects, late, flyback_electrons, drift, seed)

    def fill(writer: StreamWriter) -> tuple[Collector, int]:
        collector = Collector(keep_truth)
        n_stale = _write_stale(writer, collector, detector, scan.tdc) if stale_start else 0
        plan.run(writer, collector, piece_hits, progress)
        return collector, n_stale

    writer, empty, collector, n_stale = _write_files(paths, used, empty_files, stream, service, fill)
    copies = np.bincount(np.concatenate([np.empty(0, np.int64), *writer.edge_copies_of]),
                         minlength=len(edges))  # fmt: skip
    return Truth(
        tuple(paths), (scan.n_frames, *scan.nav_shape), detector.sig_shape, detector, scan, edges,
        copies, **collector.finish(), n_hits=collector.n_hits, n_electrons=collector.n_electrons,
        n_stale_hits=n_stale, n_lost_hits=writer.n_lost_hits,
        n_packets=sum(file.n_packets for file in (writer, *empty)),
        lost_chunks=tuple(writer.lost_chunks),
    )  # fmt: skip


def _write_files(
    paths: Sequence[Path],
    used: Sequence[int],
    empty_files: Sequence[int],
    stream: StreamLayout,
    service: Any,
    fill: Callable[[StreamWriter], tuple[Collector, int]],
) -> tuple[StreamWriter, list[StreamWriter], Collector, int]:
    """Write all files of a recording, those without hits too, under provisional names until they are whole."""
    # whatever ends early looks like a whole recording that is shorter
    with PartialFiles(paths[-1]) as files:
        partial = [files.path(name) for name in paths]
        with closing(StreamWriter([partial[i] for i in used], stream, service)) as writer:
            collector, n_stale = fill(writer)
            writer.finish()
        empty = [StreamWriter([partial[i]], replace(stream, part_slots=()), None) for i in set(empty_files)]
        for file in empty:
            file.finish()
        files.commit()
    return writer, empty, collector, n_stale


def demo(
    path: str | os.PathLike,
    *,
    nav_shape: tuple[int, int] = (128, 128),
    electrons_per_position: float = 150,
    progress: Callable[[float], object] | None = None,
    seed: int = 7,
) -> Truth:
    """The recording that ``rsciio-tpx3 demo`` shows: the specimen on a quad detector.

    Line gate, 512 x 512 pixels, realistic hits, edges copied on all chips, global time, flyback
    with the beam on. Heavy parts scatter past the detector, so that the counts of the positions show the specimen.

    Parameters
    ----------
    path : path-like
    nav_shape : tuple of int
    electrons_per_position : float
    progress : callable, optional
    seed : int

    Returns
    -------
    Truth
    """
    film = specimen(nav_shape, (512, 512), beyond=0.3)
    return recording(
        path, intensity=film, electrons_per_position=electrons_per_position, dwell_time="20 us",
        hits="realistic", edge_chips=(0, 1, 2, 3), global_time="10 ms", chunk_counts=True,
        flyback_electrons=True, progress=progress, seed=seed,
    )  # fmt: skip


@dataclass(frozen=True)
class _Plan:
    """Everything needed to make the lines one after the other."""

    scan: Scan
    source: Any
    dose: float
    model: HitModel
    table: PixelTable
    defects: Defects | None
    late: int
    flyback: bool | str
    drift: ArrayLike | None
    seed: int

    def run(
        self, writer: StreamWriter, collector: Collector, piece_hits: int, progress: Callable[[float], object] | None
    ) -> None:
        """Make the lines, and hand them to the writer in pieces."""
        scan = self.scan
        busy = np.zeros(self.table.collector.size if self.model.dead_time is not None else 0, np.int64)
        pending, n_pending, n_electrons = [], 0, 0
        for number in range(scan.n_frames * scan.n_lines):
            hits, electrons = self._line(*divmod(number, scan.n_lines), busy, n_electrons)
            n_electrons += len(electrons["electron_time"])
            collector.add(**electrons)
            pending.append(hits)
            n_pending += len(hits["leaves"])
            last = number + 1 == scan.n_frames * scan.n_lines
            if n_pending >= piece_hits or last:
                self._hand_over(writer, collector, pending, None if last else number + 1)
                pending, n_pending = [], 0
                if progress is not None:
                    progress((number + 1) / (scan.n_frames * scan.n_lines))

    def _hand_over(
        self, writer: StreamWriter, collector: Collector, pending: list[dict[str, np.ndarray]], next_line: int | None
    ) -> None:
        until = None
        if next_line is not None:
            frame, line = divmod(next_line, self.scan.n_lines)
            until = max(int(self.scan.line_starts[frame, line]) - self.model.margin, 0)
        columns = {name: np.concatenate([part[name] for part in pending]) for name in pending[0]}
        own = [columns.pop(name) for name in ("leaves", "chip", "address")]
        time, tot = columns["hit_time"], columns["hit_tot"]
        written = writer.feed(*own, time, tot, columns, until)
        collector.add(**written)

    def _drawn_in(self, frame: int, line: int, time: np.ndarray) -> np.ndarray:
        """Positions in whose dwell times of this line were drawn, -1 in flyback."""
        step = np.searchsorted(self.scan.borders(frame, line) * PIXEL_TICKS, time, side="right") - 1
        positions = np.append(frame * self.scan.n_positions + self.scan.line_positions(line), -1)
        return positions[step]

    def _line(
        self, frame: int, line: int, busy: np.ndarray, first_electron: int
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        rng = line_generator(self.seed, frame, line)
        drift = (0.0, 0.0) if self.drift is None else tuple(np.asarray(self.drift, float)[frame])
        electrons = line_electrons(
            self.scan, self.source, self.dose, frame, line, rng, flyback=self.flyback, drift=drift
        )
        under = pixels_under(self.table.collector, *self.table.sig_shape, electrons.y, electrons.x)
        hits = make_hits(self.model, self.table, electrons, under, rng, busy)
        if self.defects is not None:
            span = int(self.scan.borders(frame, line)[0]), self.scan.next_line(frame, line)
            hits = with_defects(hits, self.defects, *span, rng)
        noise = hits.electron < 0
        electron = np.where(noise, -1, hits.electron + first_electron)
        position = np.empty(len(noise), np.int64)
        position[~noise] = electrons.position[hits.electron[~noise]]
        position[noise] = self._drawn_in(frame, line, hits.time[noise])
        # most words leave at once, a few only at the end of the window
        leaves = hits.time + (self.late * rng.random(len(hits.time)) ** 3).astype(np.int64)
        return {
            "leaves": leaves,
            "chip": self.table.chip[hits.pixel],
            "address": self.table.address[hits.pixel],
            "hit_position": position,
            "hit_pixel": hits.pixel.astype(np.int32),
            "hit_time": hits.time,
            "hit_tot": hits.tot.astype(np.uint16),
            "hit_electron": electron,
        }, {
            "electron_position": electrons.position,
            "electron_pixel": under,
            "electron_time": electrons.time,
            "electron_y": electrons.y,
            "electron_x": electrons.x,
        }


def _source(
    intensity: Any, nav_shape: tuple[int, int] | None, sig_shape: tuple[int, int], dose: float | None
) -> tuple[Any, float]:
    """Where electrons come from, and how many for brightness 1."""
    if intensity is None:
        if nav_shape is None:
            raise ValueError("nav_shape is missing: give the scan (y, x), such as (64, 64).")
        return specimen(nav_shape, sig_shape), 100.0 if dose is None else float(dose)
    if hasattr(intensity, "draw"):
        source, dose = intensity, 100.0 if dose is None else float(dose)
    else:
        source = ArrayIntensity(intensity, sig_shape)
        dose = 1.0 if dose is None else dose / source.mean_brightness()
    if nav_shape is not None and tuple(nav_shape) != tuple(source.nav_shape):
        raise ValueError(f"nav_shape={nav_shape!r}, but intensity has {source.nav_shape}.")
    if tuple(source.sig_shape) != tuple(sig_shape):
        raise ValueError(
            f"intensity is made for a detector {source.sig_shape}; the layout has {sig_shape}. "
            "Make the specimen with the layout's sig_shape."
        )
    return source, dose


def _hit_model(hits: str | HitModel) -> HitModel:
    if isinstance(hits, HitModel):
        return hits
    models = {"exact": HitModel.exact, "realistic": HitModel}
    if hits not in models:
        raise ValueError(f"hits={hits!r} is not valid: must be 'exact', 'realistic' or a HitModel.")
    return models[hits]()


def _check(
    scan: Scan,
    chips: Sequence[int],
    edge_chips: Sequence[int],
    n_files: int,
    empty_files: Sequence[int],
    max_words: int,
    headerless: bool,
    drift: ArrayLike | None,
    flyback: bool | str,
    stale: bool,
    lost: float | Sequence[tuple[int, int]],
    swapped: float,
) -> None:
    unknown = sorted(set(edge_chips) - set(chips))
    if unknown or not len(edge_chips):
        raise ValueError(f"edge_chips={edge_chips!r}: expected one or more of the chips {chips}.")
    if n_files < 1 or not set(empty_files) < set(range(n_files)):
        raise ValueError(
            f"n_files={n_files!r}, empty_files={empty_files!r}: expected file numbers below n_files, and "
            "one file that is not empty."
        )
    for name, share in (("lost_chunks", lost), ("swapped_chunks", swapped)):
        if isinstance(share, Real) and not 0 <= share <= 1:
            raise ValueError(f"{name}={share!r}: expected a share from 0 to 1.")
    if not 2 <= max_words <= 8191:
        raise ValueError(f"max_words={max_words!r}: 2 to 8191 words fit a chunk.")
    if headerless and (n_files > 1 or stale):
        raise ValueError("headerless: one file without a stale start is what such readouts write.")
    if flyback not in (True, False, "retrace"):
        raise ValueError(f"flyback_electrons={flyback!r} is not valid: must be one of True, False, 'retrace'.")
    if drift is not None and np.shape(drift) != (scan.n_frames, 2):
        raise ValueError(f"drift has shape {np.shape(drift)}; expected ({scan.n_frames}, 2).")


def _parts(
    path: Path, scan: Scan, late: int, slot: int, n_files: int, empty: Collection[int]
) -> tuple[tuple[int, ...], list[Path], list[int]]:
    """First slot of each file with data, names of all files, and which of them have data."""
    used = [i for i in range(n_files) if i not in empty]
    # slots may swap in pairs, so files end between pairs
    begin, end = (time // (2 * slot) for time in (scan.start, scan.end + late))
    first = tuple(2 * (begin + (end + 1 - begin) * i // len(used)) for i in range(1, len(used)))
    if n_files == 1:
        return first, [path], used
    names = [PART_NAME.format(stem=path.stem, number=i, suffix=path.suffix) for i in range(n_files)]
    return first, [path.with_name(name) for name in names], used


def _write_stale(writer: StreamWriter, collector: Collector, detector: Layout, edge: str) -> int:
    for chip, words in stale_words(detector.chips, edge, 1, _OLD_CLOCK):
        writer.write_chunk(chip, words)
    pixel = detector.rules[detector.chips[0], 0]
    collector.add(hit_position=[-1], hit_pixel=[pixel], hit_time=[_OLD_CLOCK], hit_tot=[25], hit_electron=[-1])
    return 1
