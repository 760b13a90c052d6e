"""What a user may say about a scan, and the conventions there are."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from rsciio_tpx3.events.edge_kinds import EDGE_CODES
from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.scan.repeats import FrameChoice
from rsciio_tpx3.scan.time_bins import TimeBins

__all__ = ["COMES_LATER", "EDGELESS", "PATTERNS", "SYNCS", "ScanOptions", "need"]

SYNCS = (
    "line-gate",
    "line-start",
    "periodic-line",
    "pixel-trigger",
    "frame-trigger",
    "shared-clock",
    "frames",
)
PATTERNS = ("raster", "serpentine")
EDGELESS = ("shared-clock", "frames")
COMES_LATER = "The recording is still being written (follow=True): load or refresh it again in a moment."


@dataclass(frozen=True)
class ScanOptions:
    """What the user says about the scan; None where it is to be found.

    Attributes
    ----------
    nav_shape : tuple of int or None
        ``(y, x)`` or ``(frames, y, x)``, NumPy order.
    dwell, line_flyback, frame_flyback, frame_time, delay : fractions.Fraction or None
        Ticks. `delay` is added to every edge: how long after the pulse the beam really moves.
    sync, tdc : str
        "auto", one of `SYNCS`; "auto", one of `EDGE_CODES`.
    active_fraction : float or None
        Share of the line period in which the beam scans, for syncs that do not tell.
    pattern : {"raster", "serpentine"}
    positions : numpy.ndarray of int64 or None
        Flat position of each pixel pulse.
    lines_per_row : int
        Trigger lines that make one row of the result.
    first_line : int
        Lines to pass over before the first one of the scan.
    skip_lines : tuple of int
        Lines to leave out at the beginning and at the end of each frame.
    frames : rsciio_tpx3.scan.repeats.FrameChoice
        Which passes over the scan field, one by one or added up.
    time_bins : rsciio_tpx3.scan.time_bins.TimeBins or None
    follow : bool
        The recording is still being written: edges that are absent may yet come.
    """

    nav_shape: tuple | None = None
    dwell: Fraction | None = None
    sync: str = "auto"
    tdc: str = "auto"
    active_fraction: float | None = None
    pattern: str = "raster"
    positions: np.ndarray | None = None
    lines_per_row: int = 1
    first_line: int = 0
    skip_lines: tuple = (0, 0)
    line_flyback: Fraction = Fraction(0)
    frame_flyback: Fraction = Fraction(0)
    frame_time: Fraction | None = None
    delay: Fraction = Fraction(0)
    frames: FrameChoice = FrameChoice()
    time_bins: TimeBins | None = None
    follow: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("sync", ("auto", *SYNCS)), ("tdc", ("auto", *EDGE_CODES)), ("pattern", PATTERNS)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is not valid: must be one of {', '.join(map(repr, allowed))}."
                )
        if self.active_fraction is not None and not 0 < self.active_fraction <= 1:
            raise ValueError(f"active_fraction={self.active_fraction!r} must lie above 0 and not above 1.")
        whole = (self.lines_per_row, self.first_line, *self.skip_lines)
        if len(self.skip_lines) != 2 or any(not isinstance(n, (int, np.integer)) for n in whole):
            raise ValueError(
                f"lines_per_row={self.lines_per_row!r}, first_line={self.first_line!r}, "
                f"skip_lines={self.skip_lines!r}: expected integers, and two for skip_lines, such as (0, 1)."
            )
        if self.lines_per_row < 1 or min(whole) < 0:
            raise ValueError("lines_per_row must be 1 or more, first_line and skip_lines 0 or more.")
        if min(self.line_flyback, self.frame_flyback) < 0:
            raise ValueError("line_flyback and frame_flyback cannot be negative; scan_delay can.")
        if self.positions is not None and self.sync not in ("auto", "pixel-trigger"):
            raise ValueError(f"positions lists pixel pulses; it means nothing for sync={self.sync!r}.")

    @property
    def known_nav_shape(self) -> tuple[int, ...]:
        """`nav_shape` where a scan cannot do without, which `need` has looked at before."""
        if self.nav_shape is None:
            raise ScanSyncError("navigation_shape is missing: no edge gives it.")
        return self.nav_shape

    @property
    def known_dwell(self) -> Fraction:
        """`dwell` where a scan cannot do without, which `need` has looked at before."""
        if self.dwell is None:
            raise ScanSyncError("dwell_time is missing: no edge gives it.")
        return self.dwell


def need(options: ScanOptions, sync: str, *names: str) -> None:
    """Refuse to go on without options that no edge can replace."""
    text = {"nav_shape": "navigation_shape", "dwell": "dwell_time"}
    missing = [text.get(name, name) for name in names if getattr(options, name) is None]
    if missing:
        raise ScanSyncError(f"sync={sync!r} needs {' and '.join(missing)}: no edge gives it.")
