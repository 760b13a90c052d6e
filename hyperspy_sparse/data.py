"""Small synthetic signals whose truth is known, for examples and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.dask_array import to_dask
from rsciio_tpx3.frames.memory_source import MemorySource

if TYPE_CHECKING:
    from hyperspy_sparse.signals import LazySparseElectronDiffraction2D


__all__ = ["disks"]


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
    from hyperspy.signals import LazySignal2D

    from hyperspy_sparse.signals import finish_loading

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
    y = np.rint(center_y.ravel()[row] + distance * np.sin(angle)).astype(np.int64)
    x = np.rint(center_x.ravel()[row] + distance * np.cos(angle)).astype(np.int64)
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
