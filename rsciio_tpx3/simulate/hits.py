"""From electrons to hits: shared charge, ToT, time walk, jitter, dead time.

Each effect can be switched off; with all of them off one electron makes one hit in its own pixel at
its own time. The numbers are typical in size and chosen, not fitted: 55 um pixels, 200 keV
electrons stopped in a few hundred um of silicon light up about three pixels each, and the
discriminator fires later the smaller the charge. The dead time is the time over threshold plus
475 ns, the packet transfer of the chip [1]_.

References
----------
.. [1] Poikela et al., Timepix3: a 65K channel hybrid pixel readout chip with simultaneous ToA/ToT
   and sparse readout, JINST 9 (2014) C05013.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy  # its parts are loaded when they are used first: they cost more than most recordings do

from rsciio_tpx3.corrections.energy import read_calibration
from rsciio_tpx3.events.geometry import CHIP_SIZE
from rsciio_tpx3.events.grid import collecting_pixels, pixel_addresses
from rsciio_tpx3.simulate.times import exact_ticks
from rsciio_tpx3.utils.clock import COARSE_TICKS, PIXEL_TICKS
from rsciio_tpx3.utils.compiled import njit

if TYPE_CHECKING:
    from rsciio_tpx3.events.geometry import Layout
    from rsciio_tpx3.simulate.electrons import Electrons


__all__ = ["HitModel", "Hits", "PixelTable", "make_hits"]

_MAX_TOT = 1023  # ten bits
_JITTER_LIMIT = 6.0  # standard deviations: bounds how far a hit can precede its electron


@dataclass(frozen=True)
class HitModel:
    """How the sensor and the pixel electronics answer to one electron.

    Attributes
    ----------
    charge_sharing : bool
        Whether one electron may light up several pixels.
    cloud : float
        Standard deviation of the charge cloud in pixels; at most 0.6, since three by three pixels
        are looked at.
    wander : float
        Standard deviation, in pixels, of the way of the electron sideways before it leaves its
        charge.
    energy, energy_spread : float
        Charge of one electron in keV, and its standard deviation.
    threshold : float
        Smallest charge that fires, in keV.
    tot_per_kev : float
        ToT counts of 25 ns for 1 keV above threshold.
    response : dict, optional
        The same for each pixel, in its place: matrices ``a``, ``b``, ``c`` and ``t`` of a ToT of
        ``a E + b - c / (E - t)``, as ``corrections={"energy": ...}`` takes them.
    tot_noise : float
        Standard deviation of ToT in counts.
    walk : time
        Delay of a charge at threshold; ``walk * threshold / charge`` for others (a linear rise of
        the amplifier).
    jitter : time
        Standard deviation of each hit's time.
    dead_time : time or None
        A pixel is blind for ToT plus this time after a hit.
    column_offset : array-like of int, shape (256,) or (256 chips, 256), optional
        Constant delay in ticks (a multiple of 6, may be negative) of each chip column.
    """

    charge_sharing: bool = True
    cloud: float = 0.25
    wander: float = 0.4
    energy: float = 200.0
    energy_spread: float = 12.0
    threshold: float = 6.0
    tot_per_kev: float = 0.3
    response: object = field(default=None, repr=False)
    tot_noise: float = 1.0
    walk: object = "20 ns"
    jitter: object = "1 ns"
    dead_time: object = "475 ns"
    column_offset: object = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.cloud <= 0.6:
            raise ValueError(f"cloud={self.cloud!r}: expected more than 0 and at most 0.6 pixels.")
        if self.response is not None and not isinstance(self.response, dict):
            raise TypeError(f"response={type(self.response).__name__}: expected a dictionary of a, b, c and t.")
        if not 0 < self.threshold < self.energy:
            raise ValueError(
                f"threshold={self.threshold!r} keV must lie between 0 and the energy of an electron, "
                f"{self.energy!r} keV."
            )
        _ = self._ticks  # refuses what has no unit before any work

    @classmethod
    def exact(cls, **options: Any) -> HitModel:
        """One electron, one hit, at its own time: every effect off but those in `options`."""
        off = {"charge_sharing": False, "wander": 0.0, "walk": 0, "jitter": 0, "dead_time": None}
        return cls(**(off | options))

    # read once and not for each line: parsing a unit costs more than many hits
    @cached_property
    def _ticks(self) -> tuple[float, float, float | None, np.ndarray]:
        """Walk, jitter and dead time in ticks, and the offsets of chips and columns."""
        offsets = np.zeros((256, CHIP_SIZE), np.int64)
        if self.column_offset is not None:
            offsets[:] = np.asarray(self.column_offset, np.int64)
        if np.any(offsets % PIXEL_TICKS):
            raise ValueError("column_offset: expected whole counts of 6 ticks (1.5625 ns).")
        dead = None if self.dead_time is None else float(exact_ticks(self.dead_time, "dead_time"))
        walk, jitter = (float(exact_ticks(getattr(self, name), name)) for name in ("walk", "jitter"))
        return walk, jitter, dead, offsets

    @property
    def margin(self) -> int:
        """How much earlier than its electron a hit can be, in ticks."""
        _, jitter, _, offsets = self._ticks
        return int(np.ceil(_JITTER_LIMIT * jitter)) + max(0, -int(offsets.min())) + PIXEL_TICKS


@dataclass(frozen=True)
class Hits:
    """Columns of equal length: detector pixel, ticks, ToT, and the number of the electron."""

    pixel: np.ndarray
    time: np.ndarray
    tot: np.ndarray
    electron: np.ndarray


class PixelTable:
    """Which pixel of which chip collects the charge at a detector pixel.

    The pixels at the inner chip borders are wider than the others, so that a layout with a gap
    shows empty pixels there; the charge goes to the nearest real pixel up to two pixels away.

    Parameters
    ----------
    layout : rsciio_tpx3.events.geometry.Layout
    response : dict, optional
        See `HitModel`.

    Attributes
    ----------
    response : rsciio_tpx3.corrections.energy.PixelCalibration or None
    collector : numpy.ndarray of int64, shape (height * width,)
        Flat index of the collecting pixel, -1 where there is none.
    chip, address : numpy.ndarray of uint8 and uint16, same shape
        Chip and ``y * 256 + x`` on it of a real pixel, 0 elsewhere.
    """

    def __init__(self, layout: Layout, response: dict | None = None) -> None:
        self.response = None if response is None else read_calibration(response, layout)[0]
        self.sig_shape = layout.sig_shape
        self.collector = collecting_pixels(layout)
        chip, self.address = pixel_addresses(layout)
        self.chip = np.maximum(chip, 0).astype(np.uint8)


def pixels_under(collector: np.ndarray, height: int, width: int, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Flat index of the pixel that collects at each point, -1 outside the detector."""
    row, column = np.floor(y), np.floor(x)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    pixel = np.full(len(y), -1, np.int64)
    pixel[inside] = collector[(row[inside] * width + column[inside]).astype(np.int64)]
    return pixel


def make_hits(
    model: HitModel,
    table: PixelTable,
    electrons: Electrons,
    under: np.ndarray,
    rng: np.random.Generator,
    busy: np.ndarray,
) -> Hits:
    """Hits of the electrons of one line.

    Parameters
    ----------
    model : HitModel
    table : PixelTable
    electrons : Electrons
    under : numpy.ndarray of int64, shape (n_electrons,)
        Pixel under each electron, -1 outside the detector.
    rng : numpy.random.Generator
    busy : numpy.ndarray of int64, shape (height * width,)
        Time until which each pixel is blind; changed in place.

    Returns
    -------
    Hits
        In time order; `electron` counts from 0 within `electrons`.
    """
    if model.charge_sharing:
        pixel, charge, owner = _shared(model, table, electrons, rng)
    else:
        owner = np.flatnonzero(under >= 0)
        pixel = under[owner]
        charge = np.maximum(rng.normal(model.energy, model.energy_spread, len(owner)), model.threshold)
    if table.response is None:
        tot = (charge - model.threshold) * model.tot_per_kev
    else:
        tot = table.response.tot(pixel, charge)
    tot += rng.normal(0, model.tot_noise, len(charge))
    tot = np.clip(np.rint(tot), 1, _MAX_TOT).astype(np.int64)
    time = _times(model, table, electrons.time[owner], pixel, charge, rng)
    hits = Hits(pixel, time, tot, owner)
    if np.any(time[1:] < time[:-1]):  # walk and jitter swap neighbours
        hits = _taken(hits, np.argsort(time, kind="stable"))
    if model.dead_time is not None:
        dead, keep = model._ticks[2], np.zeros(len(hits.time), np.bool_)
        hits = _taken(hits, _alive(hits.time, hits.pixel, hits.tot, dead, busy, keep))
    return hits


def _taken(hits: Hits, which: np.ndarray) -> Hits:
    return Hits(hits.pixel[which], hits.time[which], hits.tot[which], hits.electron[which])


def _times(
    model: HitModel,
    table: PixelTable,
    time: np.ndarray,
    pixel: np.ndarray,
    charge: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Times on the pixel clock; exact where there is neither walk nor jitter."""
    walk, jitter, _, offsets = model._ticks
    late = walk * model.threshold / charge
    if jitter:
        late += jitter * np.clip(rng.standard_normal(len(time)), -_JITTER_LIMIT, _JITTER_LIMIT)
    counts = np.rint(late / PIXEL_TICKS).astype(np.int64)
    time = time + counts * PIXEL_TICKS
    if model.column_offset is not None:
        time = time + offsets[table.chip[pixel], table.address[pixel] & 0xFF]
    return np.maximum(time, 0)


def _shared(
    model: HitModel, table: PixelTable, electrons: Electrons, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    normal = rng.standard_normal((len(electrons.time), 3)).T
    place = np.stack([electrons.y, electrons.x]) + model.wander * normal[:2]
    charge = model.energy + model.energy_spread * normal[2]
    corner = np.floor(place)
    near = ((corner >= -1) & (corner <= np.array(table.sig_shape)[:, None])).all(axis=0)
    owner, place, corner = np.flatnonzero(near), place[:, near], corner[:, near].astype(np.int64)
    part_y, part_x = _shares(place - corner, model.cloud)
    pixel = _collectors(table, *corner)
    charges = (charge[owner, None, None] * part_y[:, :, None] * part_x[:, None, :]).reshape(pixel.shape)
    _join_shares(pixel, charges)
    which, k = np.nonzero((pixel >= 0) & (charges >= model.threshold))
    return pixel[which, k], charges[which, k], owner[which]


def _shares(fraction: np.ndarray, cloud: float) -> tuple[np.ndarray, np.ndarray]:
    """Shares of charge clouds in the pixels before, at and after their own, along y and x: shape (n, 3) each."""
    before, after = (scipy.special.ndtr(distance / cloud) for distance in (-fraction, fraction - 1.0))
    of_y, of_x = np.stack([before, 1.0 - before - after, after], axis=-1)
    return of_y, of_x


def _collectors(table: PixelTable, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Pixels that collect the charge at 3 x 3 pixels around some: shape (n, 9), -1 for none."""
    height, width = table.sig_shape
    rows, columns = (place[:, None] + np.arange(-1, 2) for place in (row, column))
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    flat = np.clip(rows, 0, height - 1)[:, :, None] * width + np.clip(columns, 0, width - 1)[:, None, :]
    return np.where(inside, table.collector[flat], -1).reshape(-1, 9)


def _join_shares(pixel: np.ndarray, charges: np.ndarray) -> None:
    """Add shares of one pixel up, in place: a wide border pixel collects what falls into the gap next to it."""
    for k in range(1, 9):
        same = (pixel[:, :k] == pixel[:, k : k + 1]) & (pixel[:, k : k + 1] >= 0)
        again = np.flatnonzero(same.any(axis=1))
        charges[again, same[again].argmax(axis=1)] += charges[again, k]
        pixel[again, k] = -1


@njit(nogil=True, cache=True, error_model="numpy")
def _alive(
    time: np.ndarray, pixel: np.ndarray, tot: np.ndarray, dead: float, busy: np.ndarray, keep: np.ndarray
) -> np.ndarray:
    """Which hits, in time order, find their pixel ready: set in `keep`, which is all false."""
    for i in range(len(time)):
        if time[i] >= busy[pixel[i]]:
            keep[i] = True
            busy[pixel[i]] = time[i] + tot[i] * COARSE_TICKS + np.int64(dead)
    return keep
