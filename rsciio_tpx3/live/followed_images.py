"""What can be seen of a recording that is followed: images, one frame of them, and what is known about their lines."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from rsciio_tpx3.exceptions import LimitError, ScanSyncError
from rsciio_tpx3.live.integrated import integrated
from rsciio_tpx3.live.sums import SINGLE_BYTES
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import EventIndex
    from rsciio_tpx3.live.sums import Sum, Sums
    from rsciio_tpx3.live.watermark import Watermark
    from rsciio_tpx3.scan.scan import Scan
    from rsciio_tpx3.tpx3.files import Part
    from rsciio_tpx3.tpx3.follow import FollowPass

__all__ = ["NEVER", "Drawn", "FollowedImages", "Mask", "running_frame"]

_logger = logging.getLogger(__name__)

Mask: TypeAlias = np.ndarray | Callable[[tuple[int, int]], np.ndarray]
"""Pixels of a virtual detector, or what tells them once the detector is known."""

NEVER = np.iinfo(np.int64).min // 2
"""A time before all hits; half of the range, so that a delay can be added."""


@dataclass
class Drawn:
    """What the sums hold: hits before a time, placed by a scan."""

    until: int = NEVER
    scan: Scan | None = None
    blocks: int = 0  # blocks whose late hits were looked for
    version: int = 0
    since_reread: int = 0  # words that came since hits were placed anew


def running_frame(scan: Scan, until: int) -> int:
    """Number of the frame that a scan is in at a time, or of its last one."""
    if len(scan.nav_shape) == 1:
        return 0
    begun = scan.base[(scan.base >= 0) & (scan.start < max(until, NEVER + 1))]
    return int(begun[-1]) // (scan.nav_shape[-2] * scan.nav_shape[-1]) if len(begun) else 0


class FollowedImages:
    """What a `Following` shows, by the sums it keeps, and the virtual detectors among them.

    One thread alone may call what changes the sums (`update`, `add_detector`, `move_detector`, `plug`) or copies them
    (`counts` and the other images): in a `rsciio_tpx3.live.Session` that is the thread which follows. What tells a
    state (`sig_shape`, `notes`, `losses`, `hits`, `lines_drawn` and `lines_final`) may be asked by any thread at any
    time: each reads an attribute once, and finds there an object which is replaced as a whole and never changed.
    """

    sums: Sums | None
    scan: Scan | None
    reason: str
    late_hits: int
    final_until: int
    _masks: list[Mask]
    _unfit: dict[int, str]
    _drawn: Drawn
    _index: EventIndex | None
    _parts: list[Part]
    _pass: FollowPass | None
    _watermark: Watermark

    @property
    def sig_shape(self) -> tuple[int, int] | None:
        """Of the detector, ``(height, width)``; None where it is not known yet."""
        raise NotImplementedError

    # -- virtual detectors -------------------------------------------------------------------------------

    def add_detector(self, mask: Mask) -> int:
        """Add a virtual detector, and find its image of what has been drawn; its number.

        Parameters
        ----------
        mask : numpy.ndarray of bool, shape (height, width), or callable
            That gives it for ``(height, width)``, which may not be known yet.

        Raises
        ------
        ValueError
            If the mask has another shape than the detector. Where that is not known yet, the virtual detector has no
            pixels, and `notes` says why.
        LimitError
            If there are too many.
        """
        number = len(self._masks)
        if self.sums is not None:
            self.sums.add_detector(self._fitting(mask))
        self._masks.append(mask)
        self._draw_detector(number)
        return number

    def move_detector(self, number: int, mask: Mask) -> None:
        """Give a virtual detector another mask, and draw its image anew, by reading the recording again."""
        if not 0 <= number < len(self._masks):
            raise ValueError(f"there is no virtual detector {number}: there are {len(self._masks)}, numbered from 0.")
        if self.sums is not None:
            self.sums.move_detector(number, self._fitting(mask))
        self._masks[number] = mask
        self._unfit = {other: why for other, why in self._unfit.items() if other != number}
        self._draw_detector(number)

    def _fit_detectors(self, sums: Sums) -> None:
        """Give new sums the detectors; one that does not fit has no pixels, and others keep their numbers."""
        unfit = {}
        for number, mask in enumerate(self._masks):
            try:
                fitting = self._fitting(mask)
            except ValueError as error:
                unfit[number], fitting = str(error), np.zeros(sums.sig_shape, bool)
                _logger.warning(str(error))
            sums.add_detector(fitting)
        self._unfit = unfit

    def _draw_detector(self, number: int) -> None:
        """Find the image of one detector of what has been drawn."""
        raise NotImplementedError

    def _fitting(self, mask: Mask) -> np.ndarray:
        shape = self.sig_shape
        assert shape is not None
        try:
            found = np.array(mask(shape) if callable(mask) else mask, bool)
        except Exception as error:  # of a region, or of somebody else's code
            raise ValueError(f"the mask of a virtual detector could not be made: {error!r}") from error
        if found.shape != shape:
            raise ValueError(
                f"a virtual detector has a mask of shape {found.shape}, the detector is {shape} (y, x)"
                f"{self._of_detector()}"
            )
        return found

    def _of_detector(self) -> str:
        """What tells the shape of the detector, as the end of a sentence."""
        return "."

    # -- images ------------------------------------------------------------------------------------------

    @property
    def drawn_until(self) -> int:
        return self._drawn.until

    @property
    def nav_shape(self) -> tuple[int, ...] | None:
        """``(frames, y, x)``, or ``(frames,)`` over time; None where nothing is known."""
        if self.scan is None or self.sums is None:
            return None
        shape = self.scan.nav_shape
        if len(shape) == 1:
            return (max(shape[0], self.sums.n_positions),)
        field = shape[-2] * shape[-1]
        return (-(-self.sums.n_positions // field), *shape[-2:])

    @property
    def frame(self) -> int:
        """Number of the running frame."""
        scan = self._drawn.scan
        return 0 if scan is None else running_frame(scan, self._drawn.until)

    def counts(self, frame: str | None = None) -> np.ndarray:
        """Hits at each position: int64, shape `nav_shape`; or of one `frame`, see `frame_of`, in much less time.

        Raises
        ------
        LimitError
            Without `frame`, where the oldest frames are held as their sum alone: see `sums.SINGLE_BYTES`.
        """
        return self._image(self._known.counts, frame)

    def virtual_image(self, number: int, frame: str | None = None) -> np.ndarray:
        """Hits in a virtual detector at each position: int64, shape `nav_shape`; or of one `frame`; as `counts`."""
        return self._image(self._known.detector(number), frame)

    def center_of_mass(self, frame: str | None = None) -> np.ndarray:
        """Mean place (x, y) of the hits at each position, in pixels: float64, shape ``nav_shape + (2,)``; or NaN.

        Of one `frame`, see `frame_of`; of "sum" it is that of the hits of all frames.
        """
        counts, moments = (self._look(one, frame) for one in (self._known.counts, self._known.moments))
        found = np.empty((*counts.shape, 2))
        with np.errstate(invalid="ignore"):  # nothing by nothing is NaN
            for column, moment in enumerate((1, 0)):  # x before y, each by itself: loops over two numbers take longer
                np.divide(moments[..., moment], counts, out=found[..., column])
        return found

    def integrated_center_of_mass(self, frame: str = "latest", rotation: float = 0.0, flip: bool = False) -> np.ndarray:
        """The surface whose slope is the centre of mass, of one frame: float64, shape (y, x), pixels times positions.

        Parameters
        ----------
        frame : str
            See `center_of_mass`.
        rotation, flip
            Of the scan against the detector, see `rsciio_tpx3.live.integrated`.
        """
        return integrated(self.center_of_mass(frame), rotation, flip)

    def sum_pattern(self) -> np.ndarray:
        """Hits of all positions in each pixel: int64, shape (height, width)."""
        return self._known.pattern.reshape(self._known.sig_shape)

    @property
    def _known(self) -> Sums:
        if self.sums is None or self.scan is None:
            raise ScanSyncError(f"There is nothing to show yet: {self.reason}.")
        return self.sums

    def _image(self, found: Sum, frame: str | None = None) -> np.ndarray:
        return self._look(found, frame).copy()

    def _look(self, found: Sum, frame: str | None) -> np.ndarray:
        """As `_image`, but may be a view of what changes with the next hits."""
        shape = self.nav_shape
        assert shape is not None
        more = found.held.shape[1:]
        if len(shape) == 1:
            return found.held.reshape(shape + more)
        frames = found.held.reshape(-1, *shape[1:], *more)
        older = found.first // (shape[1] * shape[2])
        if frame == "sum" and older:
            return frames.sum(axis=0) + found.older.reshape(frames.shape[1:])
        if frame is not None:
            return self.frame_of(frames, frame, older)
        if older:
            raise LimitError(
                f"Of {shape[0]} frames the first {older} are held as their sum alone, since single frames may take "
                f"{SINGLE_BYTES >> 20} MiB of memory. Pass frame='latest', 'running', 'complete' or 'sum', or load "
                "the recording for all of them."
            )
        return frames

    def frame_of(self, images: np.ndarray, which: str = "latest", first: int = 0) -> np.ndarray:
        """One frame of an image of all of them.

        Parameters
        ----------
        images : numpy.ndarray, shape `nav_shape` and more
            As `counts` and the others give them.
        which : {"latest", "running", "complete", "sum"}
            The running frame where it was drawn and the one before where it was not yet; the running one, or the last
            one that is complete, alone; or all added up.
        first : int
            Number of the frame that `images` begin with: as late as the one before the running one.
        """
        n = self.frame
        if which == "sum":
            return images.sum(axis=0)
        if which == "running":
            return images[n - first]
        if which not in ("latest", "complete"):
            raise ValueError(f"frame={which!r} is not valid: must be one of 'latest', 'running', 'complete', 'sum'.")
        drawn = self._drawn_positions(n)
        if which == "complete" and drawn.all():
            return images[n - first]
        if n == 0:
            return images[0] if which == "latest" else np.zeros_like(images[0])
        if which == "complete":
            return images[n - 1 - first]
        drawn = drawn.reshape(drawn.shape + (1,) * (images.ndim - 3))
        return np.where(drawn, images[n - first], images[n - 1 - first])

    def _drawn_positions(self, frame: int) -> np.ndarray:
        shape = self.nav_shape
        assert shape is not None
        n = int(np.prod(shape[1:]))
        return self._positions_until(self.drawn_until, frame * n, n).reshape(shape[1:])

    @property
    def cut(self) -> bool:
        """Whether the file ends inside a chunk, as far as it has come."""
        if self._pass is None or not self._parts:
            return False
        part = self._parts[0]
        return part.size % 8 != 0 or (not part.headerless and self._pass.stream.words_left > 0)

    @property
    def lines_drawn(self) -> int:
        """Lines that lie in the time that was drawn."""
        return self._lines(self._drawn.until)

    @property
    def lines_final(self) -> int:
        """Lines that can no longer change."""
        return self._lines(self.final_until)

    def _lines(self, until: int) -> int:
        scan = self._drawn.scan
        return 0 if scan is None else int(np.count_nonzero((scan.base >= 0) & (scan.stop <= until)))

    @property
    def final(self) -> np.ndarray:
        """Which positions can no longer change: bool, shape `nav_shape`."""
        return self._positions_until(self.final_until).reshape(self.nav_shape)

    def _positions_until(self, until: int, first: int = 0, n: int | None = None) -> np.ndarray:
        """Whether all lines of a position end before a time, of `n` positions from the first on."""
        found = np.zeros(self._known.n_positions - first if n is None else n, bool)
        scan = self._drawn.scan
        if scan is not None:
            # of lines that begin or end among them, or a scan of many frames would take long to look at
            last = first + len(found) + scan.n_columns
            near = (scan.base >= max(first - scan.n_columns, 0)) & (scan.base < last) & (scan.stop <= until)
            at = scan.base[near, None] + scan.step[near, None] * np.arange(scan.n_columns) - first
            found[at[(at >= 0) & (at < len(found))]] = True
        return found

    @property
    def losses(self) -> dict:
        """What was lost, by name, as in the metadata; and ``late_hits``, which are not lost."""
        index = self._index
        found = dict(index.losses) if index is not None else {}
        return found | ({"late_hits": self.late_hits} if self.late_hits else {})

    @property
    def hits(self) -> dict[int, int]:
        """Hits so far by chip."""
        return dict(self._index.statistics["hits_by_chip"]) if self._index is not None else {}

    @property
    def disorder(self) -> dict[int, float]:
        """How late hits came on each chip, in seconds."""
        return {chip: float(self._watermark.disorder[chip]) / TICKS_PER_SECOND for chip in self.hits}

    @property
    def notes(self) -> list[str]:
        """Chips that are not waited for, edges that are missing, a scan that is not known yet: as sentences."""
        notes = self._reasons()
        silent = self._watermark.silent
        if silent:
            chips = ", ".join(map(str, silent))
            notes.append(
                f"chip {chips} has sent nothing for more than a second: lines are drawn without waiting for it."
            )
        scan = self.scan
        return notes + (list(scan.report["messages"]) if scan is not None else [])

    def _reasons(self) -> list[str]:
        """Why nothing is drawn yet, and which virtual detectors have no pixels."""
        reason = self.reason
        return ([reason] if reason else []) + list(self._unfit.values())
