"""What the beam meets: a specimen whose diffraction patterns are drawn from, never stored.

The pattern of a position is a mixture of four parts (bright-field disk, Bragg disks, amorphous
rings, diffuse background), all moved together by a local field. An electron chooses a part and then
a place in it, so the cost is that of the electrons, and no 4D array exists at any size.

The numbers are chosen to look like a 4D STEM recording of a thin film with a heavy particle and to
be easy to tell apart in virtual images; they are not a fit to a material.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["PHASES", "Specimen", "specimen"]

PHASES = ("vacuum", "amorphous film", "grain A", "grain B", "heavy particle")
_CRYSTALS = 3  # the last three phases

# orientation in degrees and lattice spacing in units of the mean, one pair a crystalline phase
_ORIENTATION = (11.0, 41.0, 68.0)
_SPACING = (1.0, 1.0, 1.22)
_ATOMIC = np.array([0.0, 0.6, 1.0, 1.0, 2.0])  # scattering strength by mean atomic number, relative

# sizes in units of the shorter detector side
_DISK_RADIUS = 0.042
_LATTICE = 0.128
_RINGS = ((0.155, 0.016, 0.65), (0.275, 0.026, 0.35))  # radius, width, share of the halo
_DIFFUSE_RADIUS = 0.14
_PARTICLE = (0.30, 0.68, 0.15)  # centre down, right, and radius in units of the field of view


@dataclass(frozen=True)
class Specimen:
    """A 4D STEM specimen with two grains, a heavy particle, an amorphous film and vacuum.

    Make it with `specimen`. Positions are flat indices ``row * nav_shape[1] + column``.

    Attributes
    ----------
    nav_shape, sig_shape : tuple of int
        Scan and detector ``(y, x)``.
    deflection : float
        Largest part of the shift of the pattern by the local field, in detector pixels.
    beyond : float
        Share of the scattered electrons of the heaviest part that go past the detector; less for lighter ones.
    """

    nav_shape: tuple
    sig_shape: tuple
    deflection: float
    beyond: float = 0.0

    @property
    def _unit(self) -> float:
        return float(min(self.sig_shape))

    def coordinates(
        self, positions: np.ndarray, shift: tuple[float, float] = (0.0, 0.0)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Place in the field of view, 0..1 down and right, of flat positions moved by `shift`."""
        rows, columns = np.divmod(np.asarray(positions, np.int64), self.nav_shape[1])
        down = (rows + 0.5 + shift[0]) / self.nav_shape[0]
        return down, (columns + 0.5 + shift[1]) / self.nav_shape[1]

    def phase(self, positions: np.ndarray | None = None, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """Which of `PHASES` the beam is on.

        Parameters
        ----------
        positions : array of int, optional
            Flat positions; the whole scan when omitted.
        shift : tuple of float
            Drift ``(y, x)`` in scan positions.

        Returns
        -------
        numpy.ndarray of int64
            Shape `nav_shape`, or that of `positions`.
        """
        return self._shaped(positions, lambda p: _phase(*self.coordinates(p, shift)))

    def field(self, positions: np.ndarray | None = None, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """Shift of the pattern by the local field, ``(y, x)`` in detector pixels.

        Parameters are those of `phase`.

        Returns
        -------
        numpy.ndarray of float64, shape (..., 2)
        """
        return self._shaped(positions, lambda p: self.deflection * _field(*self.coordinates(p, shift)))

    def _shaped(self, positions: np.ndarray | None, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        if positions is not None:
            return function(positions)
        values = function(np.arange(self.nav_shape[0] * self.nav_shape[1]))
        return values.reshape(self.nav_shape + values.shape[1:])

    def brightness(self, positions: np.ndarray, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """Relative number of electrons towards the detector: none is absorbed, some are scattered past it."""
        down, right = self.coordinates(positions, shift)
        phase = _phase(down, right)
        scattered = _scattered(_thickness(down, right, phase) * _ATOMIC[phase])
        return 1.0 - self.beyond * scattered * _ATOMIC[phase] / _ATOMIC.max()

    def shares(self, positions: np.ndarray, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """Share of bright-field disk, Bragg disks, rings and background, shape (n, 4)."""
        down, right = self.coordinates(positions, shift)
        phase = _phase(down, right)
        strength = _thickness(down, right, phase) * _ATOMIC[phase]
        scattered = _scattered(strength)
        # Z contrast: heavy atoms scatter a larger share to high angles
        diffuse = np.clip(0.16 + 0.16 * _ATOMIC[phase], 0.0, 0.8)
        ordered = np.where(phase >= 2, scattered * (1 - diffuse), 0.0)
        halo = np.where(phase == 1, scattered * (1 - diffuse), 0.0)
        return np.stack([1.0 - scattered, ordered, halo, scattered * diffuse], axis=1)

    def draw(
        self,
        positions: np.ndarray,
        counts: np.ndarray,
        rng: np.random.Generator,
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where on the detector electrons arrive.

        Parameters
        ----------
        positions : numpy.ndarray of int64, shape (n,)
        counts : numpy.ndarray of int64, shape (n,)
            Electrons of each position.
        rng : numpy.random.Generator
        shift : tuple of float

        Returns
        -------
        y, x : numpy.ndarray of float64, shape (counts.sum(),)
            In pixels, pixel 0 reaching from 0 to 1; may lie outside the detector.
        """
        phase = self.phase(positions, shift)
        centre = np.array(self.sig_shape) / 2 + self.field(positions, shift)
        y, x = (np.repeat(place, counts) for place in centre.T)
        u, v, turn = rng.random((3, len(y)))
        # disk, Bragg disk, ring or background
        part = np.zeros(len(y), np.int8)
        for border in self.shares(positions, shift).cumsum(axis=1).T[:3]:
            part += u >= np.repeat(border, counts)
        radius = _DISK_RADIUS * np.sqrt(v)
        bragg, ring, diffuse = (np.flatnonzero(part == number) for number in (1, 2, 3))
        crystal = np.repeat(phase.astype(np.int8) - 2, counts)[bragg]
        for number, lattice in enumerate(_lattices()):
            own = bragg[crystal == number]
            spot = np.searchsorted(lattice[:-1, 2], rng.random(len(own)), side="right")
            y[own] += lattice[spot, 0] * self._unit
            x[own] += lattice[spot, 1] * self._unit
        middle, width, share = np.array(_RINGS).T
        which = (v[ring] >= share[0]).astype(np.int64)
        radius[ring] = middle[which] + width[which] * rng.standard_normal(len(ring))
        radius[diffuse] = _DIFFUSE_RADIUS * np.sqrt(v[diffuse] / (1 - v[diffuse]))
        radius *= self._unit
        angle = 2 * np.pi * turn
        return y + radius * np.sin(angle), x + radius * np.cos(angle)

    def pattern(self, position: int, oversample: int = 2) -> np.ndarray:
        """The expected pattern of one position, for one electron in all.

        Parameters
        ----------
        position : int
        oversample : int
            Points per pixel side over which the densities are averaged.

        Returns
        -------
        numpy.ndarray of float64, shape `sig_shape`
            The sum is the share of the electrons that meets the detector.
        """
        positions = np.array([position])
        centre = np.array(self.sig_shape) / 2 + self.field(positions)[0]
        share, crystal = self.shares(positions)[0], int(self.phase(positions)[0]) - 2
        axes = [(np.arange(n * oversample) + 0.5) / oversample - c for n, c in zip(self.sig_shape, centre, strict=True)]
        y, x = np.meshgrid(*axes, indexing="ij")
        radius, unit = np.hypot(y, x), self._unit
        dense = share[0] * _disk(radius, unit) + share[3] * _background(radius, unit)
        if crystal >= 0:
            below = 0.0
            for gy, gx, cumulated in _lattices()[crystal]:
                part = share[1] * (cumulated - below)
                dense += part * _disk(np.hypot(y - gy * unit, x - gx * unit), unit)
                below = cumulated
        for ring, width, part in _RINGS:
            distance = (radius - ring * unit) / (width * unit)
            gauss = np.exp(-0.5 * distance**2) / (np.sqrt(2 * np.pi) * width * unit)
            dense += share[2] * part * gauss / (2 * np.pi * radius)
        height, width = self.sig_shape
        return self.brightness(positions)[0] * dense.reshape(height, oversample, width, oversample).mean(axis=(1, 3))


def specimen(
    nav_shape: tuple[int, int], sig_shape: tuple[int, int], deflection: float | None = None, beyond: float = 0.0
) -> Specimen:
    """The built-in specimen.

    Vacuum at the left, an amorphous film at the bottom, two grains above it that differ by 30
    degrees, a heavy particle of a third orientation and larger lattice. The pattern is moved by the
    field of two domains with a wall between them, and by the field around the particle.

    Parameters
    ----------
    nav_shape, sig_shape : tuple of int
        Scan and detector ``(y, x)``.
    deflection : float, optional
        Shift by the field of a domain in detector pixels; 0.009 of the shorter detector side when
        omitted.
    beyond : float
        Share of the scattered electrons of the heaviest part that go past the detector, and are in no file; less for
        lighter parts. With 0 the counts of all positions are alike, and show nothing.

    Returns
    -------
    Specimen

    Raises
    ------
    ValueError
        If a shape does not consist of two positive numbers, or `beyond` is not from 0 to 1.

    Examples
    --------
    >>> from rsciio_tpx3.simulate import specimen
    >>> film = specimen((7, 11), (256, 256))
    >>> film.pattern(40).shape
    (256, 256)
    """
    for name, shape in (("nav_shape", nav_shape), ("sig_shape", sig_shape)):
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError(f"{name}={shape!r}: expected two positive numbers (y, x).")
    if deflection is None:
        deflection = 0.009 * min(sig_shape)
    if not 0 <= beyond <= 1:
        raise ValueError(f"beyond={beyond!r}: expected a share from 0 to 1.")
    shapes = (tuple(int(n) for n in shape) for shape in (nav_shape, sig_shape))
    return Specimen(*shapes, float(deflection), float(beyond))


def _scattered(strength: np.ndarray) -> np.ndarray:
    """Share of the electrons that a part of the specimen scatters."""
    return 1.0 - np.exp(-0.75 * strength)


def _from_particle(down: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, x = down - _PARTICLE[0], right - _PARTICLE[1]
    return y, x, np.hypot(y, x) / _PARTICLE[2]


def _phase(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    phase = np.where(right < 0.50 + 0.3 * (down - 0.3), 2, 3)
    phase[_from_particle(down, right)[2] < 1] = 4
    phase[(phase != 4) & (down > 0.63 + 0.05 * np.sin(7 * right))] = 1
    phase[right < 0.11 + 0.025 * np.sin(9 * down)] = 0
    return phase


def _thickness(down: np.ndarray, right: np.ndarray, phase: np.ndarray) -> np.ndarray:
    distance = _from_particle(down, right)[2]
    dome = 0.8 + 0.8 * np.sqrt(np.clip(1 - distance**2, 0, 1))
    wedge, waves = 0.5 + 0.9 * right, 0.75 + 0.15 * np.sin(25 * (down + 0.4 * right))
    return np.select([phase == 4, phase == 2, phase == 3, phase == 1], [dome, wedge, waves, 0.8])


def _field(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """In units of the deflection: the domains, and a radial field with its peak at the rim."""
    wall = np.tanh((right - 0.42 - 0.25 * np.sin(3 * down)) / 0.04)
    inside = _phase(down, right) > 0
    y, x, distance = _from_particle(down, right)
    strength = np.where(distance < 1, 1.0, 1.0 / np.maximum(distance, 1.0) ** 2) / _PARTICLE[2]
    domain = wall * inside
    return np.stack([0.45 * domain + 0.7 * strength * y, 0.9 * domain + 0.7 * strength * x], axis=1)


def _lattices() -> np.ndarray:
    """Bragg reflections of each crystal: (y, x, cumulated intensity), in units of the detector."""
    h, k = (m.ravel() for m in np.mgrid[-3:4, -3:4])
    h, k = h[(h != 0) | (k != 0)], k[(h != 0) | (k != 0)]
    out = np.empty((_CRYSTALS, len(h), 3))
    for i, (turn, spacing) in enumerate(zip(_ORIENTATION, _SPACING, strict=True)):
        a = _LATTICE / spacing * np.exp(1j * np.deg2rad(turn))
        b = a * np.exp(1j * np.deg2rad(78))  # oblique: no two grains share a symmetry by accident
        g = h * a + k * b
        intensity = np.exp(-((np.abs(g) / (1.5 * _LATTICE)) ** 2)) * (1 + 0.5 * np.cos(h + 2 * k))
        out[i] = np.stack([g.imag, g.real, np.cumsum(intensity) / intensity.sum()], axis=1)
    return out


def _disk(radius: np.ndarray, unit: float) -> np.ndarray:
    edge = _DISK_RADIUS * unit
    return (radius < edge) / (np.pi * edge**2)


def _background(radius: np.ndarray, unit: float) -> np.ndarray:
    # screened Rutherford form: falls with the fourth power of the angle
    a = _DIFFUSE_RADIUS * unit
    return a**2 / (np.pi * (a**2 + radius**2) ** 2)
