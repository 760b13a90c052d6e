"""Small synthetic signals whose truth is known, for examples and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hyperspy.signals import LazySignal2D

from hyperspy_sparse.microscope import set_microscope
from hyperspy_sparse.signals import finish_loading
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.dask_array import to_dask
from rsciio_tpx3.frames.memory_source import MemorySource
from rsciio_tpx3.metadata.calibration import wavelength

if TYPE_CHECKING:
    from hyperspy_sparse.signals import LazySparseElectronDiffraction2D


__all__ = ["disks", "phase_object", "strained_crystal"]


def disks(
    nav_shape: tuple[int, ...] = (6, 8),
    sig_shape: tuple[int, ...] = (32, 32),
    electrons: int = 200,
    shift: float = 3.0,
    seed: int = 0,
) -> LazySparseElectronDiffraction2D:
    """A bright disk that wanders over the detector, counted electron by electron.

    The centre of the disk moves with the scan, by `shift` pixels from end to end in y along the
    first scan axis and in x along the second; a fifth of the electrons lie on a ring around it.

    Parameters
    ----------
    nav_shape, sig_shape : tuple of int
        Scan and detector in NumPy order; two scan axes.
    electrons : int
        Mean number of electrons in each frame.
    shift : float
        Way of the disk, in pixels.
    seed : int
        For the random numbers.

    Returns
    -------
    LazySparseElectronDiffraction2D
        With ``metadata.Simulation.center_y`` and ``center_x`` (nav_shape), in pixels.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.disks()
    >>> s.metadata.Simulation.center_y.shape
    (6, 8)
    """
    rng = np.random.default_rng(seed)
    along_y, along_x = (np.linspace(-0.5, 0.5, n) * shift if n > 1 else np.zeros(1) for n in nav_shape)
    center_y = np.broadcast_to((sig_shape[0] - 1) / 2 + along_y[:, None], nav_shape)
    center_x = np.broadcast_to((sig_shape[1] - 1) / 2 + along_x[None, :], nav_shape)
    counts = rng.poisson(electrons, nav_shape)
    frames = _drawn(rng, counts, center_y, center_x, sig_shape)
    signal = LazySignal2D(to_dask(MemorySource(frames)), axes=_axes(nav_shape, sig_shape))
    signal.metadata.General.title = "Simulated disks"
    signal.metadata.set_item("Simulation", {"center_y": center_y.copy(), "center_x": center_x.copy()})
    signal.set_signal_type("electron_diffraction")
    return finish_loading(signal, navigator=frames.sum(axis=(2, 3)))


_BLOBS = ((-0.18, -0.22, 0.35), (0.14, 0.06, 0.5), (0.22, -0.2, 0.25), (-0.12, 0.26, 0.4))
"""Places of the peaks of `phase_object` (y, x) in parts of the field, and their heights in rad."""


def phase_object(
    nav_shape: tuple[int, int] = (36, 44),
    electrons: float = 200.0,
    defocus: float = 0.0,
    seed: int = 0,
) -> LazySparseElectronDiffraction2D:
    """A scan of four peaks of phase with a convergent probe, counted electron by electron.

    200 keV, 20 mrad, steps of 0.04 nm, 64 x 64 pixels. Each position is a wave that passes the object; the scan and
    the detector are not turned against each other.

    Parameters
    ----------
    nav_shape : (int, int)
        Scan in NumPy order; up to 48 positions along an axis.
    electrons : float
        Mean number of each position.
    defocus : float
        Height of the crossover above the object in nm: overfocus is positive. It is not noted in the metadata.
    seed : int
        For the random numbers.

    Returns
    -------
    LazySparseElectronDiffraction2D
        With all that `hyperspy_sparse.phase` needs, and the true phase in ``metadata.Simulation.phase`` (nav_shape).

    Examples
    --------
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.phase_object((20, 24))
    >>> s.metadata.Simulation.phase.shape
    (20, 24)
    """
    if len(nav_shape) != 2 or not all(1 < n <= 48 for n in nav_shape):
        raise ValueError(f"nav_shape={nav_shape!r}: expected two numbers (y, x) from 2 to 48.")
    n, pixel, step, semi_angle = 64, 0.03, 0.04, 20e-3  # nm, rad
    length = wavelength(200.0) * 1e9
    rng = np.random.default_rng(seed)
    k = np.fft.fftfreq(n, pixel)
    square = length**2 * (k[:, None] ** 2 + k**2)
    probe = (square <= semi_angle**2) * np.exp(-1j * np.pi / length * defocus * square)
    probe /= np.sqrt((np.abs(probe) ** 2).sum())
    place = (np.arange(n) - n // 2) * pixel
    y, x = ((np.arange(m) - (m - 1) / 2) * step for m in nav_shape)
    field = nav_shape[0] * step, nav_shape[1] * step
    wave_at = np.exp(1j * _peaks(place, place, field))
    counts = np.empty((*nav_shape, n, n), np.uint8)
    for row, column in np.ndindex(*nav_shape):
        there = y[row] + n // 2 * pixel, x[column] + n // 2 * pixel
        moved = probe * np.exp(-2j * np.pi * (k[:, None] * there[0] + k * there[1]))
        far = np.fft.fftshift(np.abs(np.fft.fft2(np.fft.ifft2(moved) * wave_at)) ** 2)
        counts[row, column] = np.minimum(rng.poisson(electrons * far), 255)
    axes = _axes(nav_shape, (n, n))
    for axis in axes[:2]:
        axis["scale"] = step
    for axis in axes[2:]:
        axis.update(scale=1.0, offset=0.0, units="px")
    signal = LazySignal2D(to_dask(MemorySource.from_dense(counts)), axes=axes)
    signal.metadata.General.title = "Simulated phase object"
    signal.metadata.set_item("Simulation", {"phase": _peaks(y, x, field)})
    signal.set_signal_type("electron_diffraction")
    signal = finish_loading(signal, navigator=counts.sum(axis=(2, 3)))
    return set_microscope(signal, beam_energy="200 keV", convergence_angle="20 mrad")


def strained_crystal(
    nav_shape: tuple[int, int] = (7, 9),
    sig_shape: tuple[int, int] = (104, 96),
    electrons: float = 400.0,
    strain: float = 0.04,
    radius: float = 6.0,
    seed: int = 0,
) -> LazySparseElectronDiffraction2D:
    """Disks of a square lattice that is stretched more and more along the scan, counted electron by electron.

    Parameters
    ----------
    nav_shape, sig_shape : (int, int)
        Scan and detector in NumPy order.
    electrons : float
        Mean number of each pattern; a tenth of them are a background.
    strain : float
        Of the specimen along x, from minus to plus half of this along the second scan axis.
    radius : float
        Of the disks in pixels; the lattice is three and a half times as wide, and turned by 8 degrees.
    seed : int
        For the random numbers.

    Returns
    -------
    LazySparseElectronDiffraction2D
        With ``metadata.Simulation.strain`` (columns of the scan), and ``center_y`` and ``center_x`` of all disks in
        pixels, shape (columns, disks).

    Examples
    --------
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.strained_crystal()
    >>> s.metadata.Simulation.strain.shape
    (9,)
    """
    from hyperspy.signals import LazySignal2D

    from hyperspy_sparse.signals import finish_loading

    rng = np.random.default_rng(seed)
    strains = np.linspace(-0.5, 0.5, nav_shape[1]) * strain if nav_shape[1] > 1 else np.zeros(1)
    middle = (sig_shape[0] - 1) / 2, (sig_shape[1] - 1) / 2
    steps = np.stack(np.mgrid[-9:10, -9:10], axis=-1).reshape(-1, 2) * 3.5 * radius
    cosine, sine = np.cos(np.radians(8)), np.sin(np.radians(8))
    y, x = cosine * steps[:, 0] + sine * steps[:, 1], cosine * steps[:, 1] - sine * steps[:, 0]
    inside = np.hypot(y, x) < min(middle) - radius - 2
    y, x = y[inside], x[inside]
    # distances in the pattern are reciprocal to those in the specimen
    center_y = np.broadcast_to(middle[0] + y, (len(strains), len(y)))
    center_x = middle[1] + x / (1 + strains[:, None])
    weight = np.exp(-np.hypot(y, x) / (0.6 * min(middle)))
    counts = rng.poisson(electrons, nav_shape)
    column = np.repeat(np.tile(np.arange(nav_shape[1]), nav_shape[0]), counts.ravel())
    disk = rng.choice(len(y), len(column), p=weight / weight.sum())
    distance, angle = radius * np.sqrt(rng.random(len(column))), rng.random(len(column)) * 2 * np.pi
    hit_y = center_y[column, disk] + distance * np.sin(angle)
    hit_x = center_x[column, disk] + distance * np.cos(angle)
    astray = rng.random(len(column)) < 0.1
    hit_y[astray], hit_x[astray] = (rng.random(astray.sum()) * n - 0.5 for n in sig_shape)
    frames = _counted(counts, hit_y, hit_x, sig_shape)
    signal = LazySignal2D(to_dask(MemorySource(frames)), axes=_axes(nav_shape, sig_shape))
    signal.metadata.General.title = "Simulated crystal"
    truth = {"strain": strains, "center_y": center_y.copy(), "center_x": center_x}
    signal.metadata.set_item("Simulation", truth)
    signal.set_signal_type("electron_diffraction")
    return finish_loading(signal, navigator=frames.sum(axis=(2, 3)))


def _peaks(y: np.ndarray, x: np.ndarray, field: tuple[float, float]) -> np.ndarray:
    """The phase of `phase_object` in rad on a grid."""
    total = np.zeros((len(y), len(x)))
    for down, right, height in _BLOBS:
        distance = (y[:, None] - down * field[0]) ** 2 + (x - right * field[1]) ** 2
        total += height * np.exp(-distance / (2 * 0.055**2))
    return total


def _drawn(
    rng: np.random.Generator, counts: np.ndarray, center_y: np.ndarray, center_x: np.ndarray, sig_shape: tuple[int, ...]
) -> CSRFrames:
    n = int(counts.sum())
    row = np.repeat(np.arange(counts.size), counts.ravel())
    radius = min(sig_shape) / 8
    # Evenly over the disk, and a fifth on a thin ring at twice its radius.
    distance = radius * np.sqrt(rng.random(n))
    on_ring = rng.random(n) < 0.2
    distance[on_ring] = 2 * radius + rng.normal(0, radius / 10, on_ring.sum())
    angle = rng.random(n) * 2 * np.pi
    y, x = center_y.ravel()[row] + distance * np.sin(angle), center_x.ravel()[row] + distance * np.cos(angle)
    return _counted(counts, y, x, sig_shape)


def _counted(counts: np.ndarray, y: np.ndarray, x: np.ndarray, sig_shape: tuple[int, ...]) -> CSRFrames:
    """Frames of electrons at these places, `counts` of which belong to each position."""
    row = np.repeat(np.arange(counts.size), counts.ravel())
    y, x = np.rint(y).astype(np.int64), np.rint(x).astype(np.int64)
    inside = (y >= 0) & (y < sig_shape[0]) & (x >= 0) & (x < sig_shape[1])
    n_pixels = sig_shape[0] * sig_shape[1]
    place = (row * n_pixels + y * sig_shape[1] + x)[inside]
    place, times = np.unique(place, return_counts=True)
    indptr = np.searchsorted(place, np.arange(counts.size + 1) * n_pixels)
    data = times.astype(np.min_scalar_type(int(times.max(initial=1))))
    parts = data, (place % n_pixels).astype(np.int32), indptr
    return CSRFrames(parts, shape=(*counts.shape, *sig_shape))


def _axes(nav_shape: tuple[int, ...], sig_shape: tuple[int, ...]) -> list[dict]:
    names = ("y", "x", "ky", "kx")
    sizes = (*nav_shape, *sig_shape)
    scales = (2.0, 2.0, 0.05, 0.05)
    units = ("nm", "nm", "$A^{-1}$", "$A^{-1}$")
    axes = []
    for i, (name, size, scale, unit) in enumerate(zip(names, sizes, scales, units, strict=True)):
        offset = 0.0 if i < 2 else -scale * (size - 1) / 2
        axis = {"name": name, "size": size, "scale": scale, "offset": offset, "units": unit}
        axes.append({**axis, "navigate": i < 2})
    return axes
