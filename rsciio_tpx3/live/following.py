"""Follow a recording while it is written: sums of all positions, in time that grows with what is new.

Time is the measure of progress. Before `drawn_until` every hit that has come was added up once, by the scan as the
edges tell it now; what comes late is added when it comes, and where later edges tell another scan, the hits in question
are taken back and placed anew. So the sums are always those of the hits that have come.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.events.geometry import layout_for, make_layout
from rsciio_tpx3.exceptions import ConflictError, ScanSyncError
from rsciio_tpx3.live.followed_images import NEVER, Drawn, FollowedImages, running_frame
from rsciio_tpx3.live.followed_scan import FollowedScan
from rsciio_tpx3.live.line_rows import Handing, LineRows, RowAccumulator, complete_segments
from rsciio_tpx3.live.lines import final_until, spliced, whole_lines_until
from rsciio_tpx3.live.sums import SINGLE_BYTES, Sums
from rsciio_tpx3.live.watermark import Watermark
from rsciio_tpx3.reader.option_checks import check_options
from rsciio_tpx3.reader.options import names_of
from rsciio_tpx3.reader.scan import scan_options
from rsciio_tpx3.scan.changes import difference
from rsciio_tpx3.scan.options import EDGELESS
from rsciio_tpx3.tpx3.files import open_parts
from rsciio_tpx3.tpx3.follow import FollowPass
from rsciio_tpx3.tpx3.source import Tpx3Source
from rsciio_tpx3.utils.checks import check_flag
from rsciio_tpx3.utils.threads import thread_count
from rsciio_tpx3.utils.units import to_ticks

if TYPE_CHECKING:
    from rsciio_tpx3.events.geometry import Layout
    from rsciio_tpx3.events.source import EventIndex
    from rsciio_tpx3.live.followed_images import Mask
    from rsciio_tpx3.scan.scan import Scan
    from rsciio_tpx3.tpx3.files import Part

__all__ = ["Following", "LineRows", "RowAccumulator"]

_logger = logging.getLogger(__name__)

_REREAD_WORDS = 1 << 22  # 32 MiB of the file: as much may be placed anew at any time
_WORDS_PER_THREAD = 1 << 19  # 4 MiB: of less, starting a thread takes longer than the work
_MOST_THREADS = 4
_FAR = np.iinfo(np.int64).max // 2
_DETECTOR: dict[str, Any] = {"layout": None, "gap": 0, "orientation": "up"}
_TAKEN = (*names_of("scan"), *_DETECTOR)


class Following(FollowedImages):
    """Sums of a ``.tpx3`` file that is still being written; `update` takes what has come since.

    Parameters
    ----------
    path : str or Path
        May not be there yet, or be empty.
    disorder : str
        Time that hits are allowed to be late on their chip, at least. Later ones are counted (`late_hits`), and added.
    only_counts : bool
        Add up counts per position and nothing else: for streams that are too fast for all sums.
    **options
        Of the reader of ``.tpx3`` files, those about scan and detector: `navigation_shape` (x, y), `dwell_time`,
        `sync`, `tdc`, `layout`, `gap` and others.

    Attributes
    ----------
    sums : Sums or None
        None until the detector's chips are known.
    scan : Scan or None
        None until the edges tell one; `reason` says what is missing.
    reason : str
    drawn_until, final_until : int
        Ticks: hits before are in the sums; lines that end before can no longer change.
    late_hits : int
        Hits that came after their time was drawn.
    withdrawn : int
        How often something that was called final was read differently afterwards.
    finished : bool

    Raises
    ------
    ValueError
        For options that a view of hits does not have, or a scan whose shape is not given.

    Examples
    --------
    >>> from rsciio_tpx3.live import Following
    >>> following = Following("scan.tpx3", navigation_shape=(256, 256))  # doctest: +SKIP
    >>> following.update()  # doctest: +SKIP
    True
    >>> following.counts()  # doctest: +SKIP
    """

    def __init__(
        self, path: str | os.PathLike, *, disorder: Any = "1 ms", only_counts: bool = False, **options: Any
    ) -> None:
        self.path = os.path.abspath(path)
        check_flag("only_counts", only_counts)
        self._only_counts = only_counts
        unknown = sorted(set(options) - set(_TAKEN))
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is not an option of a live view, which shows hits at scan positions: it takes "
                f"{', '.join(_TAKEN)}. Electrons, corrections and energies come with loading the file."
            )
        check_options(options)
        if options.get("signal") != "frames" and options.get("navigation_shape") is None:
            raise ValueError(
                "navigation_shape=(x, y) is missing: while a scan runs, its edges cannot tell how many lines it has."
            )
        self._options = replace(scan_options(**{k: v for k, v in options.items() if k not in _DETECTOR}), follow=True)
        if len(self._options.nav_shape or ()) == 3 or self._options.time_bins is not None:
            raise ValueError(
                "a live view has one scan field of (x, y) positions and all its frames: leave the number of frames, "
                "and time_bins, to loading the file."
            )
        self._detector = {name: options.get(name) or default for name, default in _DETECTOR.items()}
        # a word that is not known is refused here, and not when the first hits have come
        make_layout(**{**self._detector, "layout": self._detector["layout"] or "quad"})
        self._least_late = round(to_ticks(disorder, "disorder", "1 ms"))
        self._plugged: list[Handing] = []
        self._masks: list[Mask] = []
        self._unfit: dict[int, str] = {}
        self._begin()

    def _begin(self) -> None:
        self.sums: Sums | None = None
        self.scan: Scan | None = None
        self.layout: Layout | None = None
        self.reason = "nothing has come yet"
        self.finished = False
        self.late_hits = self.withdrawn = 0
        self.final_until = NEVER
        self._pass: FollowPass | None = None
        self._watermark = Watermark(least=self._least_late)
        self._seen = 0, 0  # blocks and marks that the watermark knows
        self._drawn = Drawn()
        self._parts: list[Part] = []
        self._index: EventIndex | None = None
        self._edges = -1
        self._followed_scan, self._postponed = FollowedScan(self._options), False

    # -- going on --------------------------------------------------------------------------------------

    def update(self, ended: bool = False) -> bool:
        """Take what has come since.

        Parameters
        ----------
        ended : bool
            Nothing more will come: what is there is all.

        Returns
        -------
        bool
            Whether anything changed, accumulators included.

        Raises
        ------
        Tpx3FormatError
            If the file is damaged, or not a Timepix3 stream.
        ScanSyncError
            Only where it has `ended`: if the edges do not tell the scan.
        """
        if self.finished:
            return False
        if not self._read(ended) and not (self._postponed and not self._followed_scan.waits):
            behind = any(handing.behind for handing in self._plugged)
            if behind:
                self._hand_out(self._drawn, False)
            return behind
        self._find_scan(ended)
        if self.scan is not None and (ended or self._begun):
            self._find_layout()
            if self.sums is not None:
                self._draw(ended)
        self.finished = ended
        return True

    def _read(self, ended: bool) -> bool:
        """Pass over the new words; whether there are any."""
        if not os.path.exists(self.path) or os.path.getsize(self.path) < 8:
            return False
        self._parts = open_parts([self.path], follow=True)
        part = self._parts[0]
        if self._pass is None:
            self._pass = FollowPass(part.headerless)
            self._watermark = Watermark(part.headerless, self._least_late)
        if self._pass.words >= part.n_words and not ended:
            return False
        version = self._pass.version
        self._pass.go_on(part, self._watermark.look)
        if self._pass.version != version:
            self._watermark.forget()
            self._followed_scan = FollowedScan(self._options)
        blocks, marks = self._pass.blocks, self._pass.marks
        # what care had to leave out is not new
        b, m = (min(known, len(rows)) for known, rows in zip(self._seen, (blocks, marks)))
        self._watermark.settle(blocks[b:], marks[m:])
        self._seen = len(blocks), len(marks)
        self._index = self._pass.index()
        return True

    @property
    def _begun(self) -> bool:
        """Whether hits can be drawn: then each chip has sent something, and the detector is known."""
        complete, index = self._watermark.complete, self._index
        return complete is not None and index is not None and index.n_hits > 0 and complete > index.hit_span[0]

    def _find_layout(self) -> None:
        index = self._index
        if index is None or not index.chips:
            return
        if self.layout is None or not set(index.chips) <= set(self.layout.chips):
            self.layout = layout_for(index.chips, **self._detector)
            self.sums = Sums(self.layout.sig_shape, only_counts=self._only_counts)
            self._begin_drawing(Drawn())
            self.final_until = NEVER
            self._fit_detectors(self.sums)

    def _find_scan(self, ended: bool) -> None:
        """The scan by the edges that have come; one that is not known yet leaves the last one."""
        index = self._index
        if index is None:
            return
        # the clock alone tells a scan without edges, and how many frames it has the last hit
        if len(index.edges) == self._edges and not ended and self._options.sync not in EDGELESS:
            return
        self._postponed = self._followed_scan.waits and not ended
        if self._postponed:
            return
        try:
            self.scan = self._followed_scan.find(index, ended)
            self.reason = ""
        except (ScanSyncError, ConflictError) as error:
            if ended:
                raise
            self.reason = str(error)
        self._edges = len(index.edges)

    def _draw(self, ended: bool) -> None:
        """Bring the sums up to the time before which everything has come."""
        drawn, scan, sums, resumed = self._drawn, self.scan, self.sums, self._pass
        assert scan is not None and sums is not None and resumed is not None
        if drawn.version != resumed.version:
            # times that were reported before have changed: the clock was reset
            sums.clear()
            self._retract(NEVER)
            drawn = self._begin_drawing(Drawn(version=resumed.version))
        complete = self._watermark.complete
        until = _FAR if ended else (NEVER if complete is None else complete + min(round(self._options.delay), 0))
        if not ended:
            until = whole_lines_until(scan, until, scan.report["sync"])
        until = max(until, drawn.until)
        # late ones first: where frames that were added up are read again, all blocks are
        self._add_late(drawn)
        self._make_room(sums, drawn, scan, until)
        self._place_anew(drawn, scan, ended)
        placed = scan if drawn.scan is None else spliced(drawn.scan, scan, drawn.until)
        self._add(drawn.until, until, placed)
        drawn.scan, drawn.until = placed, until
        if ended:
            sums.resize(scan.n_positions)
        final = _FAR if ended else final_until(scan, self._options, until, until if complete is None else complete)
        changes = None if ended else difference(placed, scan, until)
        if final is not None and not ended:
            final = min(final, self._followed_scan.read_until, final if changes is None else changes)
        self.final_until = max(self.final_until, NEVER if final is None else final)
        self._hand_out(drawn, ended)

    def _make_room(self, sums: Sums, drawn: Drawn, scan: Scan, until: int) -> None:
        """Have room for all positions; where they would take much, the frames before the last two are added up."""
        known = [scan] if drawn.scan is None else [scan, drawn.scan]
        n = max(sums.n_positions, *(one.n_positions for one in known))
        shown = max(min(running_frame(one, until) for one in known) - 1, 0)  # it, and those after it
        field = int(np.prod(scan.nav_shape[-2:]))
        # by edges that came later, a frame that is among those added up may be one of the last two
        again = shown * field < sums.first
        if again:
            sums.clear()
        if shown and sums.single_bytes(n) > SINGLE_BYTES:
            sums.add_up_frames(field, shown * field)
        sums.resize(n)
        if again and drawn.scan is not None:
            self._add(NEVER, drawn.until, drawn.scan)

    def _begin_drawing(self, drawn: Drawn) -> Drawn:
        """Nothing is drawn, and no line was handed out."""
        self._drawn = drawn
        for handing in self._plugged:
            handing.begin_again()
        return drawn

    def _blocks_from(self, start: int) -> np.ndarray:
        """Blocks that may have hits from this time on."""
        assert self._pass is not None
        return self._pass.blocks[self._pass.first_block(start) :]

    def _add_late(self, drawn: Drawn) -> None:
        """Add hits of new blocks that belong to a time that was drawn already."""
        assert self._pass is not None
        new = self._pass.blocks[drawn.blocks :]
        drawn.since_reread += _words_of(new)
        drawn.blocks += len(new)
        if drawn.scan is None or len(new) == 0:
            return
        late = new[(new["n_hits"] > 0) & (new["first"] + new["low"] < drawn.until)]
        if len(late):
            before = self._total
            self._go_through(late, NEVER, drawn.until, drawn.scan)
            self.late_hits += self._total - before

    @property
    def _total(self) -> int:
        assert self.sums is not None
        return self.sums.placed + self.sums.outside

    def _place_anew(self, drawn: Drawn, scan: Scan, ended: bool) -> None:
        """Take hits back whose positions later edges tell differently, and add them where they belong.

        All that was drawn may have to be read for that: not more often than as much has come.
        """
        if drawn.scan is None:
            return
        since = difference(drawn.scan, scan, drawn.until)
        if since is None:
            return
        if since < self.final_until:
            self._retract(since)
        if not ended and _words_of(self._blocks_from(since)) > max(_REREAD_WORDS, drawn.since_reread):
            return
        self._add(since, drawn.until, drawn.scan, -1)
        self._add(since, drawn.until, scan)
        drawn.scan, drawn.since_reread = scan, 0

    def _retract(self, since: int) -> None:
        if self.final_until > since:
            self.withdrawn += 1
            self.final_until = since
            _logger.warning(
                "what came later tells that lines which had been taken as final were read wrongly: they are drawn anew."
            )

    def _add(self, start: int, stop: int, scan: Scan, sign: int = 1, only: int | None = None) -> None:
        """Add the hits of a half-open span of time, or take them back; of the blocks that `_add_late` has looked at."""
        if stop > start:
            assert self._pass is not None
            blocks = self._pass.blocks[: self._drawn.blocks]
            self._go_through(blocks[self._pass.first_block(start) :], start, stop, scan, sign, only)

    def _go_through(
        self, blocks: np.ndarray, start: int, stop: int, scan: Scan, sign: int = 1, only: int | None = None
    ) -> None:
        assert self._index is not None and self.layout is not None and self.sums is not None
        source = Tpx3Source.of_blocks(self._parts, self._index, blocks, self.layout)
        first, last = self._index.hit_span
        cuts = _cuts(blocks, max(start, first), min(stop, last + 1))
        parts = [source.packed_windows(begin, end) for begin, end in zip(cuts[:-1], cuts[1:])]
        self.sums.add_all(parts, scan, sign, only)

    # -- virtual detectors -------------------------------------------------------------------------------

    def _draw_detector(self, number: int) -> None:
        if self.sums is not None and self._drawn.scan is not None:
            self._add(NEVER, self._drawn.until, self._drawn.scan, only=number)

    def _of_detector(self) -> str:
        return f", by the chips {self._index.chips if self._index else ()}. Pass layout and gap if these are not right."

    @property
    def sig_shape(self) -> tuple[int, int] | None:
        """Of the detector, ``(height, width)``; None where its chips are not known yet."""
        layout = self.layout
        return None if layout is None else layout.sig_shape

    @property
    def notes(self) -> list[str]:
        """As of `FollowedImages`, and what there is to say of accumulators."""
        return super().notes + [handing.note for handing in self._plugged if handing.note]

    # -- accumulators of others --------------------------------------------------------------------------

    def plug(self, accumulator: RowAccumulator) -> None:
        """Hand the rows of every line to an accumulator, once the line is complete and some more have followed.

        Parameters
        ----------
        accumulator : object
            Its method ``add(rows)`` is called with `LineRows`, each line once, in the order of time, from the first
            line on whenever it is plugged in. See `RowAccumulator` for what else it may have.
        """
        self._plugged.append(Handing(accumulator))
        if self.finished:
            self._hand_out(self._drawn, True)

    def unplug(self, accumulator: RowAccumulator) -> None:
        """Hand no more lines to it."""
        self._plugged = [handing for handing in self._plugged if handing.accumulator is not accumulator]

    def _hand_out(self, drawn: Drawn, ended: bool) -> None:
        scan, index = drawn.scan, self._index
        if not self._plugged or scan is None or index is None or self.layout is None:
            return
        parts, layout, bare = self._parts, self.layout, index.without_edges()
        stop = complete_segments(scan, drawn.until, ended)
        for handing in self._plugged:
            handing.go_on(
                scan, stop, ended, lambda start: Tpx3Source.of_blocks(parts, bare, self._blocks_from(start), layout)
            )


def _words_of(blocks: np.ndarray) -> int:
    return int(blocks["n_words"].sum())


def _cuts(blocks: np.ndarray, start: int, stop: int) -> list[int]:
    """Times that cut a span into parts of about as many hits, one for each thread."""
    n = min(thread_count(), _MOST_THREADS, max(_words_of(blocks) // _WORDS_PER_THREAD, 1))
    inner = np.sort(blocks["first"][np.arange(1, n) * len(blocks) // n])
    return [start, *np.clip(inner, start, max(start, stop)).tolist(), max(start, stop)]
