"""How long the beam lags behind the edges of its scan: found from the image itself.

A scan that starts later than its edge shows what came before: the end of the flyback at one side. The delay
is the shift in time for which the image agrees with itself best; what that means depends on the scan.

forward-backward  serpentine: lines in both directions show the same specimen. A wrong delay moves them
                  apart by twice its amount.
retrace           raster with the beam on in the flyback, at constant speed: the flyback is a line in
                  the other direction, only quicker.
borders           raster whose beam is blanked, parked or jumps between lines: at the start or the end of
                  the scan the columns change at once, in every row at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.scan.line_profiles import line_profiles
from rsciio_tpx3.scan.repeats import FrameChoice
from rsciio_tpx3.scan.sync import build_scan
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND
from rsciio_tpx3.utils.extensions import extension
from rsciio_tpx3.utils.text import format_seconds, format_spread

if TYPE_CHECKING:
    from fractions import Fraction

    from rsciio_tpx3.events.source import EventSource
    from rsciio_tpx3.scan.line_profiles import LineProfiles
    from rsciio_tpx3.scan.options import ScanOptions
    from rsciio_tpx3.scan.scan import Scan

__all__ = ["METHODS", "DelayProfiles", "ScanDelay", "best_delay", "delay_of_scan", "delay_profiles"]

METHODS = ("auto", "forward-backward", "retrace", "borders")
_GROUPS = 8  # of rows, whose agreement with each other gives the errors
_PER_POSITION = 4  # columns in a dwell time
_NEAR = 2  # positions around a maximum that belong to it
_SIGNIFICANT = 4.0  # standard errors between the maximum and its best rival


@dataclass(frozen=True)
class ScanDelay:
    """A delay between scan and detector, with the curve it was found from.

    Attributes
    ----------
    delay, error : float
        Seconds, with one standard deviation: from the scatter among eight groups of rows.
    method : str
        One of `METHODS`.
    delays : numpy.ndarray, shape (n,)
        Delays that were tried, in seconds.
    agreement : numpy.ndarray, shape (n,)
        How well the image agrees with itself; each method has its own scale.
    clearness : float
        Height of the maximum above the best other one, in standard errors.
    """

    delay: float
    error: float
    method: str
    delays: np.ndarray
    agreement: np.ndarray
    clearness: float

    @property
    def scan_delay(self) -> str:
        """Text for the option of the same name, such as "1203.5 ns"."""
        return f"{self.delay * 1e9:.1f} ns"

    def __repr__(self) -> str:
        return f"<ScanDelay: {format_spread(self.delay, self.error)}, {self.method}>"

    def plot(self, ax: Any = None) -> Any:
        """Draw the curve with the delay that was found.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional

        Returns
        -------
        matplotlib.axes.Axes
        """
        plot = extension("plot_scan_delay")
        if plot is None:
            raise ImportError("plotting needs matplotlib and HyperSpy. Install them by: pip install hyperspy")
        return plot(self, ax)


def delay_of_scan(
    source: EventSource,
    options: ScanOptions,
    span: Fraction | None = None,
    method: str = "auto",
    mask: np.ndarray | None = None,
) -> ScanDelay:
    """The delay of the scan of an event source.

    Parameters
    ----------
    source : EventSource
    options : ScanOptions
        Its own delay is where the search begins.
    span : fractions.Fraction, optional
        Ticks to either side in which to look; a tenth of a line by default.
    method : str
        One of `METHODS`.
    mask : numpy.ndarray of bool, optional
        See `line_profiles`.

    Returns
    -------
    ScanDelay

    Raises
    ------
    ScanSyncError
        If the curve has no clear maximum, or the scan has no lines.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r} is not valid: must be one of {', '.join(map(repr, METHODS))}.")
    return best_delay(delay_profiles(source, options, span, method, mask), method)


def best_delay(found: DelayProfiles, method: str = "auto") -> ScanDelay:
    """The delay for which the picture agrees with itself best; raises as `delay_of_scan`."""
    reasons = []
    for name in _methods(method, found.serpentine, found.flyback):
        try:
            return _maximum(name, found.profiles, found.positions, found.flyback, found.offset)
        except ScanSyncError as error:
            reasons.append(f"{name}: {error}")
    raise ScanSyncError(
        "The delay cannot be found: the agreement has no clear maximum (" + "; ".join(reasons) + ").\n    It takes "
        "contrast along the lines. Give a larger span, a mask of the detector with more contrast, or the delay itself."
    )


@dataclass(frozen=True)
class DelayProfiles:
    """A scan in fine steps of time, from which its picture follows for every delay that is looked at.

    Attributes
    ----------
    profiles : LineProfiles
    positions : int
        Dwell times to either side that are looked at.
    flyback : float
        Dwell times between two lines.
    serpentine : bool
    offset : float
        Ticks: the delay that the options have, where the search begins.
    """

    profiles: LineProfiles
    positions: int
    flyback: float
    serpentine: bool
    offset: float

    @property
    def span(self) -> tuple[float, float]:
        """First and last delay that is looked at, in seconds."""
        return self._seconds(-self._steps), self._seconds(self._steps)

    @property
    def _steps(self) -> int:
        return self.positions * self.profiles.per_position

    def _seconds(self, steps: float) -> float:
        return (self.offset + steps * self.profiles.step) / TICKS_PER_SECOND

    def image(self, delay: float) -> np.ndarray:
        """Counts per position for a delay, to the nearest quarter of a dwell time.

        Parameters
        ----------
        delay : float
            Seconds, within `span`.

        Returns
        -------
        numpy.ndarray of int64, shape (rows, columns)
            Rows of all frames are added up.
        """
        profiles = self.profiles
        shift = round((delay * TICKS_PER_SECOND - self.offset) / profiles.step)
        if abs(shift) > self._steps:
            low, high = map(format_seconds, self.span)
            raise ValueError(f"delay={format_seconds(delay)} was not looked at: it must lie between {low} and {high}.")
        begin = profiles.before + shift
        fine = profiles.counts.sum(axis=0)[:, begin : begin + profiles.n_positions * profiles.per_position]
        image = fine.reshape(len(fine), profiles.n_positions, profiles.per_position).sum(axis=-1)
        image[profiles.backwards] = image[profiles.backwards, ::-1]
        return image


def delay_profiles(
    source: EventSource,
    options: ScanOptions,
    span: Fraction | None = None,
    method: str = "auto",
    mask: np.ndarray | None = None,
) -> DelayProfiles:
    """One pass over a recording, for its delay and its pictures; parameters as in `delay_of_scan`.

    Returns
    -------
    DelayProfiles

    Raises
    ------
    ScanSyncError
        If the scan has no lines, or lines too short for the span.
    """
    options = _every_line(options)
    scan = build_scan(source.index(), options)
    serpentine = bool((scan.step < 0).any())
    _check(scan, method, serpentine)
    nx = scan.nav_shape[-1]
    period = float(np.median(np.diff(scan.start)))
    dwell = float(np.median(scan.num)) / scan.den
    positions = max(8, -(-nx // 10)) if span is None else max(8, int(np.ceil(float(span) / dwell)))
    flyback = max(period / dwell - nx, 0.0)
    if positions > nx // 2 or positions * dwell > 0.5 * period:
        raise ScanSyncError(
            f"Lines of {nx} positions are too short to look for a delay of up to {positions}. Give a smaller span, "
            "or sample the line with more columns (navigation_shape)."
        )
    margin = positions + 2 * _NEAR
    # the flyback belongs to the end of the line before it
    profiles = line_profiles(source, scan, margin, margin + int(np.ceil(flyback)), _PER_POSITION, mask)
    return DelayProfiles(profiles, positions, flyback, serpentine, float(options.delay))


def _every_line(options: ScanOptions) -> ScanOptions:
    """The scan with each line in a row of its own and all frames, in which directions are not mixed."""
    shape = options.nav_shape
    if shape is not None and options.lines_per_row > 1:
        shape = (*shape[:-2], shape[-2] * options.lines_per_row, shape[-1])
    return replace(options, nav_shape=shape, lines_per_row=1, time_bins=None, frames=FrameChoice())


def _check(scan: Scan, method: str, serpentine: bool) -> None:
    if len(scan.nav_shape) == 1 or scan.n_columns == 1:
        raise ScanSyncError(
            "A delay shows in lines: positions with an edge of their own, and frames over time, have none."
        )
    if scan.nav_shape[-2] < 2 * _GROUPS:
        raise ScanSyncError(
            f"{scan.nav_shape[-2]} lines are too few to find a delay with an error: {2 * _GROUPS} or more."
        )
    if (method == "forward-backward") != serpentine and method != "auto":
        pattern = "serpentine" if serpentine else "raster"
        raise ScanSyncError(f"method={method!r} does not fit a {pattern} scan; leave it out, or correct pattern=.")


def _methods(method: str, serpentine: bool, flyback: float) -> list:
    if method != "auto":
        return [method]
    if serpentine:
        return ["forward-backward"]
    return ["retrace", "borders"] if flyback >= 2 * _NEAR else ["borders"]


def _maximum(method: str, profiles: LineProfiles, positions: int, flyback: float, offset: float) -> ScanDelay:
    """The best delay by one method; refuses a curve without a clear maximum."""
    m = profiles.per_position
    shifts = np.arange(-positions * m, positions * m + 1)
    curves, votes = _CURVES[method](profiles, shifts, flyback)  # (groups, shifts)
    curve = curves.mean(axis=0)
    best = int(np.argmax(curve))
    near = _NEAR * m
    if best < near or best >= len(shifts) - near:
        raise ScanSyncError("the agreement still rises at the border of the range")
    rivals = np.flatnonzero(np.abs(shifts - shifts[best]) > near)
    rival = rivals[np.argmax(curve[rivals])]
    clearness = _t(votes[:, best] - votes[:, rival])
    if clearness < _SIGNIFICANT:
        raise ScanSyncError(
            f"the maximum is {clearness:.1f} standard errors above the next one, {_SIGNIFICANT:.0f} are needed"
        )
    if method in _CHECKS:
        _CHECKS[method](profiles, int(shifts[best]), flyback)
    width = max(m, 2)
    whole = _apex(shifts, curve, best, width)
    n = len(curves)
    # leaving out one group after the other (jackknife): single groups are noisy
    jackknifed = np.array([_apex(shifts, (curve * n - one) / (n - 1), best, width) for one in curves])
    scatter = np.sqrt((n - 1) / n * ((jackknifed - jackknifed.mean()) ** 2).sum())
    error = float(np.hypot(scatter, 1 / np.sqrt(12)))  # and that of a column
    if error > near / 2:
        raise ScanSyncError(f"rows differ by {error / m:.1f} positions on where it is")
    to_seconds = profiles.step / TICKS_PER_SECOND
    start = offset / TICKS_PER_SECOND
    return ScanDelay(
        float(start + whole * to_seconds), error * to_seconds, method, start + shifts * to_seconds, curve, clearness
    )


def _t(values: np.ndarray) -> float:
    """Mean in standard errors."""
    return float(values.mean() / max(values.std(ddof=1) / np.sqrt(len(values)), 1e-12))


def _apex(x: np.ndarray, y: np.ndarray, best: int, width: int) -> float:
    """Top of the parabola through the points around a maximum."""
    near = slice(best - width, best + width + 1)
    a, b, _ = np.polyfit(x[near] - x[best], y[near], 2)
    return x[best] + (np.clip(-b / (2 * a), -width, width) if a < 0 else 0.0)


def _forward_backward(profiles: LineProfiles, shifts: np.ndarray, flyback: float) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of neighbouring lines, the one in reverse, by groups of rows."""
    n, pairs = profiles.n_positions * profiles.per_position, []
    rows = np.arange(len(profiles.backwards) - 1)
    rows = rows[profiles.backwards[:-1] != profiles.backwards[1:]]
    ahead = np.where(profiles.backwards[rows], rows + 1, rows)
    back = np.where(profiles.backwards[rows], rows, rows + 1)
    for shift in shifts:
        line = profiles.counts[..., profiles.before + shift :][..., :n]
        pairs.append(_products(line[:, ahead], line[:, back, ::-1]))
    return _grouped_correlation(np.stack(pairs, axis=-1))


def _retrace(profiles: LineProfiles, shifts: np.ndarray, flyback: float) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of each line with the flyback after it, in reverse and stretched to the line."""
    return _retrace_in(profiles, shifts, flyback, 0.0, 1.0)


def _retrace_in(
    profiles: LineProfiles, shifts: Iterable[int], flyback: float, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """The same in a part of the flyback: 0 is its beginning, 1 its end."""
    n, m = profiles.n_positions * profiles.per_position, profiles.per_position
    bins = np.linspace(low, high, max(int(flyback * (high - low)), 4) + 1)
    cumulated = _cumulated(profiles)
    pairs = []
    for shift in shifts:
        begin = profiles.before + shift
        back = np.diff(_at(cumulated, begin + n + bins * flyback * m), axis=-1)
        line = -np.diff(_at(cumulated, begin + (1 - bins) * n), axis=-1)
        pairs.append(_products(line, back))
    return _grouped_correlation(np.stack(pairs, axis=-1))


def _check_retrace(profiles: LineProfiles, best: int, flyback: float) -> None:
    """Refuse an agreement that comes from the ends of the flyback alone, as where the beam rests."""
    _, inner = _retrace_in(profiles, [best], flyback, 0.1, 0.9)
    if _t(inner[:, 0]) < 3 or _motion(profiles, best, flyback) < 5:
        raise ScanSyncError("the flyback does not look like the line in reverse")


def _borders(profiles: LineProfiles, shifts: np.ndarray, flyback: float) -> tuple[np.ndarray, np.ndarray]:
    """Change of the columns at the start and the end of the scan, above what noise makes."""
    n = profiles.n_positions * profiles.per_position
    change = _change(profiles)
    jump = change(profiles.before + shifts)
    if flyback >= 2 * _NEAR:
        jump = jump + change(profiles.before + n + shifts)
    curves = np.stack([jump[rows].mean(axis=0) for rows in _groups(len(jump))])
    return curves, curves


def _check_borders(profiles: LineProfiles, best: int, flyback: float) -> None:
    """Refuse a change that is broad, or no larger than those the specimen makes, or a beam that moves."""
    w, n = _NEAR * profiles.per_position, profiles.n_positions * profiles.per_position
    ends = [0, n] if flyback >= 2 * _NEAR else [0]
    change = _change(profiles)
    peak, sides = (
        sum(change(profiles.before + best + end + np.array(at)).mean() for end in ends)
        for at in ([0], [-2 * w + 2, 2 * w - 2])
    )
    inside = change(profiles.before + best + np.arange(2 * w, n - 2 * w)).mean(axis=0)
    if sides > 0.5 * peak or inside.max(initial=0) > 0.5 * peak:
        raise ScanSyncError("the change at the border of the scan does not stand out from those inside it")
    if flyback >= 2 * _NEAR and _motion(profiles, best, flyback) > 3:
        raise ScanSyncError("the beam moves in the flyback, so nothing need change where the scan begins")


def _motion(profiles: LineProfiles, best: int, flyback: float) -> float:
    """Contrast within the middle of the flyback, in standard deviations of a resting or blanked beam."""
    n, m = profiles.n_positions * profiles.per_position, profiles.per_position
    places = np.linspace(0.2, 0.8, max(int(0.6 * flyback), 2) + 1) * flyback * m
    counts = np.diff(_at(_cumulated(profiles), profiles.before + best + n + places), axis=-1)
    structure = _products(counts, counts)[1].sum()
    # the variance of (x - mean)**2 - x for Poisson counts is twice the mean squared
    scatter = np.sqrt(2 * counts.shape[-1] * (counts.mean(axis=-1) ** 2).sum())
    return structure / max(scatter, 1.0)


def _change(profiles: LineProfiles) -> Callable:
    """How much the columns on both sides of a border differ, in each row, in units of the counts."""
    w = _NEAR * profiles.per_position
    cumulated = _cumulated(profiles)

    def change(at: np.ndarray) -> np.ndarray:
        left = cumulated[..., at] - cumulated[..., at - w]
        right = cumulated[..., at + w] - cumulated[..., at]
        return ((left - right) ** 2 - (left + right)).sum(axis=0) / np.maximum((left + right).sum(axis=0), 1)

    return change


_CURVES = {"forward-backward": _forward_backward, "retrace": _retrace, "borders": _borders}
_CHECKS = {"retrace": _check_retrace, "borders": _check_borders}


def _at(cumulated: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A cumulated profile between its columns."""
    x = np.clip(x, 0, cumulated.shape[-1] - 1)
    low = np.minimum(x.astype(np.int64), cumulated.shape[-1] - 2)
    part = x - low
    return cumulated[..., low] * (1 - part) + cumulated[..., low + 1] * part


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sums over columns and channels that a correlation is made of, for each row: (5, rows).

    Counts scatter by their own number: taken from the squares, else a window with more noise in it
    would agree less, and the maximum would move.
    """
    noise = [x.sum(axis=(0, -1)) * (1 - 1 / x.shape[-1]) for x in (a, b)]
    a = a - a.mean(axis=-1, keepdims=True)
    b = b - b.mean(axis=-1, keepdims=True)
    ab, aa, bb = ((x * y).sum(axis=(0, -1)) for x, y in ((a, b), (a, a), (b, b)))
    return np.stack([ab, aa - noise[0], bb - noise[1], aa, bb])


def _grouped_correlation(products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlation by groups of rows, from products of shape (5, rows, shifts).

    Returns
    -------
    curves : numpy.ndarray, shape (groups, shifts)
        On one scale for all groups, so that their mean is the correlation without noise.
    votes : numpy.ndarray, shape (groups, shifts)
        Each on its own scale: a group with much contrast counts as much as one with little.
    """
    sums = (np.stack([part[rows].sum(axis=0) for rows in _groups(products.shape[1])]) for part in products)
    ab, aa, bb, noisy_aa, noisy_bb = sums
    scale = np.sqrt(np.maximum(aa.mean(axis=0), 0) * np.maximum(bb.mean(axis=0), 0))
    own = np.sqrt(np.maximum(noisy_aa, 1) * np.maximum(noisy_bb, 1)).max(axis=1, keepdims=True)
    return np.divide(ab, scale, out=np.zeros_like(ab), where=scale > 0), ab / own


def _groups(n: int) -> list[np.ndarray]:
    """Rows in groups of neighbours."""
    return np.array_split(np.arange(n), _GROUPS)


def _cumulated(profiles: LineProfiles) -> np.ndarray:
    return np.cumsum(np.pad(profiles.counts, ((0, 0), (0, 0), (1, 0))), axis=-1)
