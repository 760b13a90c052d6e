"""The recipe of a scan: when the beam is where, and which trigger edges tell it.

Sync kinds are those of ``docs/guide/scan_synchronisation.md``. Borders between
positions are exact rationals; position k of a line owns the half-open span
``start + k * dwell <= t < start + (k + 1) * dwell``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.simulate.times import exact_ticks, whole_ticks
from rsciio_tpx3.utils.clock import PIXEL_TICKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike


__all__ = ["PATTERNS", "SYNC_KINDS", "Scan", "make_scan"]

SYNC_KINDS = (
    "line-gate", "line-start", "periodic-line", "pixel-trigger", "shared-clock", "frame-trigger",
)  # fmt: skip
PATTERNS = ("raster", "serpentine")


@dataclass(frozen=True)
class Scan:
    """When each line starts, and how long a position lasts. Made by `make_scan`.

    A line is a run of `n_columns` steps without a pause. All times are in ticks.

    Attributes
    ----------
    nav_shape : tuple of int
        ``(y, x)``.
    n_frames : int
    sync, pattern : str
        One of `SYNC_KINDS` and of `PATTERNS`.
    dwell : fractions.Fraction
        Time on one position, after rounding to what the sync kind can express.
    active : fractions.Fraction
        Time of a full line.
    line_pitch, frame_pitch : fractions.Fraction
        From one line start, or frame start, to the next.
    line_starts : numpy.ndarray of int64, shape (n_frames, lines per frame)
        Rounded up to whole ticks where the exact start is none (`line_remainders`).
    line_remainders : numpy.ndarray of int64, same shape
        Exact start = ``line_starts - line_remainders / dwell denominator``.
    order : numpy.ndarray of int64, shape (n_steps,)
        Flat position of each step of a frame.
    tdc : str
        Kind of the edge at a line, position or frame start.
    both_edges : bool
    delay : int
        The beam is at a position this much later than its edge says.
    edge_jitter : float
        Standard deviation of the recorded edges about the true times.
    burst : tuple of int
        Number and interval of the extra edges after the last line of a frame.
    """

    nav_shape: tuple
    n_frames: int
    sync: str
    pattern: str
    dwell: Fraction
    active: Fraction
    line_pitch: Fraction
    frame_pitch: Fraction
    line_starts: np.ndarray = field(repr=False)
    line_remainders: np.ndarray = field(repr=False)
    order: np.ndarray = field(repr=False)
    tdc: str
    both_edges: bool
    delay: int
    edge_jitter: float
    burst: tuple

    @property
    def n_positions(self) -> int:
        """Positions of one frame."""
        return self.nav_shape[0] * self.nav_shape[1]

    @property
    def n_lines(self) -> int:
        """Lines of one frame; for a list of positions, groups of a line's length."""
        return self.line_starts.shape[1]

    @property
    def start(self) -> int:
        """Start of the first position."""
        return int(self.line_starts[0, 0])

    @property
    def end(self) -> int:
        """First tick after the last frame with its flyback."""
        return int(ceil(self.line_starts[-1, 0] + self.frame_pitch))

    def line_positions(self, line: int) -> np.ndarray:
        """Flat positions in the order in which the beam visits them in one line of a frame."""
        columns = self.nav_shape[1]
        return self.order[line * columns : (line + 1) * columns]

    def borders(self, frame: int, line: int) -> np.ndarray:
        """Borders of the steps of a line, first pixel-clock count at or after each.

        Parameters
        ----------
        frame, line : int

        Returns
        -------
        numpy.ndarray of int64, shape (steps + 1,)
            In counts of 1.5625 ns: step k owns ``borders[k] <= t < borders[k + 1]``.
        """
        steps = np.arange(len(self.line_positions(line)) + 1)
        den = self.dwell.denominator
        exact = steps * self.dwell.numerator - int(self.line_remainders[frame, line])
        base, rest = divmod(int(self.line_starts[frame, line]), PIXEL_TICKS)
        return base - (-(exact + rest * den) // (den * PIXEL_TICKS))

    def next_line(self, frame: int, line: int) -> int:
        """First pixel-clock count of the next line; after the last one, of the frame to come."""
        if line + 1 < self.n_lines:
            ticks = int(self.line_starts[frame, line + 1])
        elif frame + 1 < self.n_frames:
            ticks = int(self.line_starts[frame + 1, 0])
        else:
            ticks = self.end
        return -(-ticks // PIXEL_TICKS)


def make_scan(
    nav_shape: Sequence[int],
    *,
    dwell_time: Any = "10 us",
    sync: str = "line-gate",
    tdc: str = "tdc1-rise",
    both_edges: bool | None = None,
    line_flyback: Any = None,
    frame_flyback: Any = None,
    n_frames: int = 1,
    pattern: str = "raster",
    start_time: Any = None,
    line_jitter: Any = 0,
    edge_jitter: Any = 0,
    scan_delay: Any = 0,
    positions: ArrayLike | None = None,
    frame_burst: tuple[int, Any] | None = None,
    seed: int = 0,
) -> Scan:
    """Plan a scan.

    Parameters
    ----------
    nav_shape : tuple of int
        ``(y, x)``.
    dwell_time : time
        Time on one position. Times are strings with a unit, or ticks. A line gate and a periodic
        line round the *line* to whole ticks, a pixel trigger the dwell time; the others keep it.
    sync : str
        "line-gate": edges at line start and line end. "line-start": one edge a line.
        "periodic-line": as line-start, the lines being strictly periodic. "pixel-trigger": one edge
        a position. "shared-clock": no edges; flyback is rounded up to whole dwell times.
        "frame-trigger": one edge a frame.
    tdc : {"tdc1-rise", "tdc1-fall", "tdc2-rise", "tdc2-fall"}
        Kind of the edge that starts a line, position or frame.
    both_edges : bool, optional
        Record the opposite edge as well: at the line end, or in the middle of a position or of a
        frame trigger's first position. When omitted, true for the line gate only.
    line_flyback : time, optional
        From the end of a line to the next start; a fifth of the line when omitted, none for pixel
        trigger and shared clock.
    frame_flyback : time, optional
        Extra time after the last line of a frame; when omitted, as long as the burst.
    n_frames : int
        Passes over the same scan.
    pattern : {"raster", "serpentine"}
        Serpentine: every second line runs backwards.
    start_time : time, optional
        Start of the first position on the detector's clock; 1 ms when omitted, 0 for a shared
        clock. "26.84 s" puts the rollover of the pixel clock into the recording.
    line_jitter : time
        Standard deviation of the line starts, which the edges follow.
    edge_jitter : time
        Standard deviation of the recorded edges about the true times.
    scan_delay : time
        Time by which the beam lags behind the edges; may be negative.
    positions : array of int, optional
        Flat position of each step of a frame, for a pixel trigger only.
    frame_burst : (int, time), optional
        Number and interval of quick edges after the last line: ``(142, "160 ns")`` as in a real
        raster recording.
    seed : int
        Of the line jitter.

    Returns
    -------
    Scan

    Raises
    ------
    ValueError
        For an unknown kind, or options that contradict each other.
    """
    nav_shape = tuple(int(n) for n in nav_shape)
    burst = _burst(frame_burst)
    jitter = whole_ticks(line_jitter, "line_jitter")
    _check(nav_shape, sync, pattern, n_frames, positions, jitter, burst)
    dwell = exact_ticks(dwell_time, "dwell_time")
    if dwell < PIXEL_TICKS:
        raise ValueError(f"dwell_time={dwell_time!r} is shorter than the pixel clock's 1.5625 ns.")
    dwell, active, pitch = _line_times(nav_shape[1], dwell, sync, line_flyback)
    order = _order(nav_shape, pattern, positions)
    lines = -(-len(order) // nav_shape[1])
    if sync == "pixel-trigger" and len(order) % nav_shape[1]:
        lines_time = (lines - 1) * pitch + dwell * (len(order) % nav_shape[1]) + pitch - active
    else:
        lines_time = lines * pitch
    rest = exact_ticks(burst[0] * burst[1] if frame_flyback is None else frame_flyback, "frame_flyback")
    if rest < burst[0] * burst[1]:
        raise ValueError("frame_flyback is shorter than the burst of edges in it.")
    frame_pitch = _rounded(lines_time + rest, sync, dwell)
    delay = whole_ticks(scan_delay, "scan_delay", allow_negative=True)
    start = _start(start_time, sync, delay + 8 * jitter)
    starts, remainders = _line_starts(start, n_frames, lines, pitch, frame_pitch, dwell)
    if jitter:
        if 8 * jitter > pitch - active:
            raise ValueError("line_jitter is too large for the line flyback; give it 8 times as much.")
        shifts = np.random.default_rng([seed, 1]).normal(0, jitter, starts.shape)
        starts = starts + np.clip(np.rint(shifts), -4 * jitter, 4 * jitter).astype(np.int64)
    return Scan(
        nav_shape, int(n_frames), sync, pattern, dwell, active, pitch, frame_pitch, starts, remainders,
        order, tdc, sync == "line-gate" if both_edges is None else bool(both_edges), delay,
        float(exact_ticks(edge_jitter, "edge_jitter")), burst,
    )  # fmt: skip


def _check(
    nav_shape: Sequence[int],
    sync: str,
    pattern: str,
    n_frames: int,
    positions: ArrayLike | None,
    jitter: int,
    burst: tuple[int, int],
) -> None:
    if len(nav_shape) != 2 or min(nav_shape) < 1:
        raise ValueError(f"nav_shape={nav_shape!r}: expected two positive numbers (y, x).")
    if sync not in SYNC_KINDS:
        raise ValueError(f"sync={sync!r} is not valid: must be one of {', '.join(SYNC_KINDS)}.")
    if pattern not in PATTERNS:
        raise ValueError(f"pattern={pattern!r} is not valid: must be one of {', '.join(PATTERNS)}.")
    if n_frames < 1:
        raise ValueError(f"n_frames={n_frames!r}: expected at least one frame.")
    if positions is not None and sync != "pixel-trigger":
        raise ValueError(f"positions needs sync='pixel-trigger'; sync is {sync!r}.")
    if jitter and sync in ("shared-clock", "frame-trigger", "periodic-line"):
        raise ValueError(f"line_jitter: with sync={sync!r} the lines have no edge of their own to follow.")
    if burst[0] and sync in ("shared-clock", "pixel-trigger", "frame-trigger"):
        raise ValueError(f"frame_burst: sync={sync!r} has no line edges for it to interrupt.")


def _burst(frame_burst: tuple[int, Any] | None) -> tuple[int, int]:
    if frame_burst is None:
        return 0, 0
    number, interval = frame_burst
    interval = whole_ticks(interval, "frame_burst")
    if number < 1 or interval < 2:
        raise ValueError(f"frame_burst={frame_burst!r}: expected a number and an interval above 0.")
    return int(number), interval


def _line_times(columns: int, dwell: Fraction, sync: str, flyback: Any) -> tuple[Fraction, Fraction, Fraction]:
    """Dwell time, active time and pitch of a line, as exactly as the edges can tell them."""
    if sync in ("line-gate", "periodic-line"):
        dwell = Fraction(round(dwell * columns), columns)
    elif sync == "pixel-trigger":
        dwell = Fraction(round(dwell))
    active = dwell * columns
    if flyback is None:
        flyback = 0 if sync in ("pixel-trigger", "shared-clock") else round(active / 5)
    pitch = active + round(exact_ticks(flyback, "line_flyback"))
    return dwell, active, pitch if sync == "frame-trigger" else _rounded(pitch, sync, dwell)


def _rounded(duration: Fraction, sync: str, dwell: Fraction) -> Fraction:
    """A pause ends with an edge, thus on a whole tick, or on a step of the shared clock."""
    return ceil(duration / dwell) * dwell if sync == "shared-clock" else Fraction(ceil(duration))


def _order(nav_shape: Sequence[int], pattern: str, positions: ArrayLike | None) -> np.ndarray:
    n_positions = nav_shape[0] * nav_shape[1]
    if positions is None:
        order = np.arange(n_positions).reshape(nav_shape)
        if pattern == "serpentine":
            order[1::2] = order[1::2, ::-1]
        return order.ravel()
    order = np.asarray(positions, np.int64)
    if pattern != "raster":
        raise ValueError("positions already gives the order; leave pattern='raster'.")
    if order.ndim != 1 or not len(order) or order.min() < 0 or order.max() >= n_positions:
        raise ValueError(f"positions: expected flat indices from 0 to {n_positions - 1} for nav_shape {nav_shape}.")
    return order


def _start(start_time: Any, sync: str, least: int) -> int:
    if start_time is None:
        return 0 if sync == "shared-clock" else max(whole_ticks(3_840_000, "start_time"), least)
    start = whole_ticks(start_time, "start_time")
    if start < least and sync != "shared-clock":
        raise ValueError(f"start_time={start_time!r}: the first edge would lie before time zero.")
    return start


def _line_starts(
    start: int, n_frames: int, lines: int, pitch: Fraction, frame_pitch: Fraction, dwell: Fraction
) -> tuple[np.ndarray, np.ndarray]:
    frames, line = np.arange(n_frames)[:, None], np.arange(lines)
    if pitch.denominator == frame_pitch.denominator == 1:
        starts = start + frames * int(frame_pitch) + line * int(pitch)
        return starts, np.zeros_like(starts)
    # in steps of 1/denominator tick; Python integers, which cannot overflow
    den = dwell.denominator
    exact = frames.astype(object) * int(frame_pitch * den) + line.astype(object) * int(pitch * den)
    whole = -(-exact // den)
    return (start + whole).astype(np.int64), (whole * den - exact).astype(np.int64)
