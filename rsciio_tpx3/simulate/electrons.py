"""Electrons: how many at each position, where on the detector, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.utils.clock import PIXEL_TICKS

if TYPE_CHECKING:
    from rsciio_tpx3.simulate.scan import Scan


__all__ = ["Electrons", "line_electrons", "line_generator"]


@dataclass(frozen=True)
class Electrons:
    """Electrons of one scan line with the flyback after it, in time order.

    Attributes
    ----------
    position : numpy.ndarray of int64, shape (n,)
        ``frame * n_positions + flat position`` in whose dwell it was drawn, -1 in flyback.
    time : numpy.ndarray of int64, shape (n,)
        Ticks, a multiple of the pixel clock's 6.
    y, x : numpy.ndarray of float64, shape (n,)
        Place on the detector in pixels; may lie outside.
    """

    position: np.ndarray
    time: np.ndarray
    y: np.ndarray
    x: np.ndarray


def line_generator(seed: int, frame: int, line: int) -> np.random.Generator:
    """Random numbers of one line, so that no result depends on how lines are grouped."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 3, frame, line])))


def line_electrons(
    scan: Scan,
    source: Any,
    dose: float,
    frame: int,
    line: int,
    rng: np.random.Generator,
    *,
    flyback: bool | str = False,
    drift: tuple[float, float] = (0.0, 0.0),
) -> Electrons:
    """Draw the electrons of one line.

    Parameters
    ----------
    scan : Scan
    source : Specimen, ArrayIntensity or the like
        With ``brightness(positions, shift)`` and ``draw(positions, counts, rng, shift)``.
    dose : float
        Mean number of electrons at a position of brightness 1.
    frame, line : int
    rng : numpy.random.Generator
    flyback : bool or "retrace"
        Whether the beam stays on after the line: at its last position, or going back over the line.
    drift : tuple of float
        Shift ``(y, x)`` of the specimen under the scan, in positions.

    Returns
    -------
    Electrons
    """
    positions = scan.line_positions(line)
    borders = scan.borders(frame, line)
    mean = dose * source.brightness(positions, drift)
    labels = frame * scan.n_positions + positions
    if flyback:
        # extra steps, at the last position or backwards, that fill the pause
        back = positions[::-1] if flyback == "retrace" else positions[-1:]
        pause = max(scan.next_line(frame, line) - int(borders[-1]), 0)
        steps = int(borders[-1]) + np.arange(1, len(back) + 1) * pause // len(back)
        length = np.diff(steps, prepend=borders[-1]) * PIXEL_TICKS / float(scan.dwell)
        mean = np.append(mean, (mean[::-1] if flyback == "retrace" else mean[-1:]) * length)
        positions, labels = np.append(positions, back), np.append(labels, np.full(len(back), -1))
        borders = np.append(borders, steps)
    counts = rng.poisson(mean)
    # sorting keeps the steps apart, since their time spans do not overlap
    step = np.repeat(np.arange(len(counts)), counts)
    span = borders[step + 1] - borders[step]
    time = np.sort(borders[step] + (rng.random(len(step)) * span).astype(np.int64))
    y, x = source.draw(positions, counts, rng, drift)
    return Electrons(labels[step], time * PIXEL_TICKS, y, x)
