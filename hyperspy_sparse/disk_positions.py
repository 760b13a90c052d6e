"""Positions of diffraction disks from the electrons of each pattern, as pyXem's diffraction vectors."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
from dask.base import tokenize
from pyxem.signals import DiffractionVectors
from tqdm.dask import TqdmCallback

from hyperspy_sparse import blocks
from hyperspy_sparse.arguments import described, need_signal, require_uniform, shows_progress
from hyperspy_sparse.deferred import read_recording
from hyperspy_sparse.kernels import disk_loops
from hyperspy_sparse.phase_contrast.groups import find_disk
from hyperspy_sparse.twins import as_frames, has_sparse_chunks
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.dtypes import countable
from rsciio_tpx3.metadata.provenance import note_analysis
from rsciio_tpx3.utils.checks import check_flag
from rsciio_tpx3.utils.integers import is_whole
from rsciio_tpx3.utils.units import shown

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal


__all__ = ["DiskFinder", "find_disks"]

_WAYS = {None: 0, "edge": 1, "center_of_mass": 2}

_SHARE_OF_DENSE = 0.04
"""Part of the pixels of a detector from which sums of columns take less time than electrons one by one: measured with
`benchmarks/diffraction.py` for disks of 4 to 20 pixels on 256 x 256 and 512 x 512."""


def find_disks(
    signal: BaseSignal,
    radius: float | None = None,
    *,
    edge: float = 2.0,
    min_electrons: int = 8,
    significance: float = 5.0,
    min_distance: float | None = None,
    refine: str | None = "edge",
    show_progressbar: bool | None = None,
) -> BaseSignal:
    """Positions of the diffraction disks of each pattern, from its electrons.

    A disk of the known radius is tried at every pixel: where more electrons lie in it than around any neighbour, and
    clearly more than the ring around it lets expect, there is a disk. Its centre is then fitted to the electrons.

    Parameters
    ----------
    signal : one of the sparse signal classes
        Of counts, with at least one navigation axis. Load recordings with ``cluster=True``: hits of one electron are
        not independent.
    radius : float, optional
        Of the disks in pixels. That of the brightest disk of the sum pattern where omitted.
    edge : float
        Pixels over which a disk falls from one to nothing, for ``refine="edge"``.
    min_electrons : int
        In a disk.
    significance : float
        Excess over the background in standard deviations.
    min_distance : float, optional
        Between centres in pixels; the radius by default.
    refine : {"edge", "center_of_mass", None}
        The centre that makes the electrons most likely for a uniform disk: with N electrons its error is about the
        radius over N. Or their centre of mass in a window that follows it, whose error is half the radius over the
        square root of N; or the whole pixel.
    show_progressbar : bool, optional
        HyperSpy's preference by default.

    Returns
    -------
    pyxem.signals.DiffractionVectors
        In memory, ragged: for each position an array (disks, 3) with y and x in the units of the detector axes and
        the electrons above the background, brightest first. As `get_diffraction_vectors` of pyXem has them, so they
        go into `get_strain_maps`, `filter_basis`, `cluster` and so on.

    Raises
    ------
    ValueError
        If the signal has no sparse counts, no radius is found, or an argument makes no sense.

    Notes
    -----
    Disks that the border of the detector cuts are excluded.

    References
    ----------
    .. [1] T. C. Pekin et al., Ultramicroscopy 176, 170 (2017).
    .. [2] A. Clausen et al., JOSS 5, 2006 (2020).

    Examples
    --------
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.strained_crystal(electrons=400)
    >>> vectors = hyperspy_sparse.find_disks(s, radius=6)
    >>> vectors
    <DiffractionVectors, title: Disks of Simulated crystal, dimensions: (9, 7|ragged)>
    >>> vectors.data[0, 0].shape[1], vectors.column_names, vectors.units
    (3, ['ky', 'kx', 'intensity'], ['$A^{-1}$', '$A^{-1}$', 'electrons'])
    """
    need_signal(signal)
    if not has_sparse_chunks(signal):
        raise ValueError(f"find_disks: {signal} has no sparse frames; hyperspy_sparse.to_sparse(signal) makes them.")
    read_recording(signal)
    if signal.data.dtype.kind not in "bu":
        raise ValueError(
            f"find_disks: values of type {signal.data.dtype} are not counts of electrons; expected unsigned integers."
        )
    require_uniform(signal.axes_manager._axes, "find_disks")
    check_flag("show_progressbar", show_progressbar)
    shape = signal.data.shape[-2:]
    if radius is None:
        total = signal.sum(axis=signal.axes_manager.navigation_axes)
        radius = find_disk(np.asarray(total.data.compute())).radius
    finder = _finder(shape, radius, edge, min_electrons, significance, min_distance, refine)
    data = blocks.in_blocks(signal.data)
    n_nav = data.ndim - 2
    # A disk may lie across the border of two pieces of a frame.
    if any(len(c) > 1 for c in data.chunks[-2:]):
        data = data.rechunk({n_nav: -1, n_nav + 1: -1})
    found = data.map_blocks(
        _block,
        # One object in the graph, for all blocks.
        finder=dask.delayed(finder, pure=True, traverse=False),
        drop_axis=[n_nav, n_nav + 1],
        dtype=object,
        meta=np.empty((0,) * n_nav, object),
    )
    show = shows_progress(show_progressbar)
    with TqdmCallback() if show else nullcontext():
        return _as_vectors(signal, found.compute(), finder)


def _finder(
    shape: tuple[int, int],
    radius: Any,
    edge: Any,
    min_electrons: Any,
    significance: Any,
    min_distance: Any,
    refine: Any,
) -> DiskFinder:
    """A finder with these settings, or an error that says which one is wrong."""
    if not isinstance(refine, (str, type(None))) or refine not in _WAYS:
        raise ValueError(f'refine={shown(refine)} is not valid: must be "edge", "center_of_mass" or None.')
    if not is_whole(min_electrons, 1, 2**31 - 1):
        raise ValueError(f"min_electrons={shown(min_electrons)}: expected a positive integer.")
    radius = _number(radius, "radius", "1 or more pixels", 1.0)
    if 2 * radius + 1 > min(shape):
        raise ValueError(
            f"radius={radius:.4g}: a disk of that size does not fit a detector of {shape[1]} x {shape[0]}."
        )
    edge = _number(edge, "edge", "0.1 or more pixels", 0.1)
    significance = _number(significance, "significance", "a number that is not negative", 0.0)
    distance = radius if min_distance is None else _number(min_distance, "min_distance", "1 or more pixels", 1.0)
    return DiskFinder(tuple(shape), radius, edge, int(min_electrons), significance, distance, refine)


def _number(value: Any, name: str, expected: str, least: float) -> float:
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not real or not least <= value < math.inf:
        raise ValueError(f"{name}={shown(value)}: expected {expected}.")
    return float(value)


class DiskFinder:
    """Finds disks of one radius in frames of one shape; picklable.

    Parameters
    ----------
    shape : (int, int)
        Of the detector.
    radius, edge, min_electrons, significance, min_distance, refine
        See `find_disks`.
    dense_from : int, optional
        Entries of a frame from which sums of columns are used instead of electrons one by one; a measured part of
        the pixels by default. The results are the same.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        radius: float,
        edge: float = 2.0,
        min_electrons: int = 8,
        significance: float = 5.0,
        min_distance: float | None = None,
        refine: str | None = "edge",
        dense_from: int | None = None,
    ) -> None:
        self.shape, self.radius, self.edge = shape, radius, edge
        self.min_electrons, self.significance, self.refine = min_electrons, significance, refine
        self.min_distance = radius if min_distance is None else min_distance
        self.dense_from = int(_SHARE_OF_DENSE * math.prod(shape)) if dense_from is None else dense_from

    def __dask_tokenize__(self) -> tuple:
        return "hyperspy_sparse.DiskFinder", tokenize(vars(self))

    def __call__(self, frames: CSRFrames) -> tuple[np.ndarray, np.ndarray]:
        """Disks of frames of shape (n, height, width): ``(y, x, electrons)`` of all, and how many each frame has."""
        return disk_loops.find_in_frames(
            countable(frames.data), frames.indices, frames.indptr, self.shape, half_heights(self.radius),
            ring_sectors(self.radius), self.radius, self.edge / 4, self.min_electrons, self.significance,
            self.min_distance, _WAYS[self.refine], self.dense_from,
        )  # fmt: skip


def half_heights(radius: float) -> np.ndarray:
    """Half the height of a disk in each of its columns, in pixels: those whose middle it covers."""
    across = np.arange(-int(radius), int(radius) + 1)
    return np.sqrt(radius**2 - across**2).astype(np.int64)


def ring_sectors(radius: float) -> np.ndarray:
    """Part of the ring from 2 px beyond a disk to 3 px beyond one and a half radii, for each pixel of a square."""
    inner, outer = radius + 2, 1.5 * radius + 3
    reach = int(outer)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.hypot(y, x)
    sector = np.floor((np.arctan2(y, x) / (2 * np.pi) % 1) * disk_loops.SECTORS).astype(np.int64)
    sector = np.minimum(sector, disk_loops.SECTORS - 1)
    return np.where((distance > inner) & (distance <= outer), sector, -1).astype(np.int8)


def _block(chunk: Any, finder: DiskFinder) -> np.ndarray:
    frames = as_frames(chunk)
    nav = frames.shape[:-2]
    disks, counts = finder(frames.reshape((math.prod(nav), *frames.shape[-2:])))
    out = np.empty(len(counts), object)
    # The kernel gives the disks of all frames in one table; pyXem has an array for each position.
    ends = np.cumsum(counts)
    for i, (stop, n) in enumerate(zip(ends, counts)):
        out[i] = disks[stop - n : stop]
    return out.reshape(nav)


def _as_vectors(signal: BaseSignal, found: np.ndarray, finder: DiskFinder) -> BaseSignal:
    """pyXem's vectors of positions in pixels, as its own `from_peaks` makes them one by one."""
    axes = signal.axes_manager.signal_axes[::-1]
    scales = np.array([*(axis.scale for axis in axes), 1.0])
    offsets = np.array([*(axis.offset for axis in axes), 0.0])
    for place in np.ndindex(found.shape):
        found[place] = found[place] * scales + offsets
    navigation = [described(axis, navigate=True) for axis in signal.axes_manager.navigation_axes[::-1]]
    vectors = DiffractionVectors(
        found,
        axes=navigation,
        ragged=True,
        scales=list(scales),
        offsets=list(offsets),
        detector_shape=finder.shape,
        column_names=[*(str(axis.name) for axis in axes), "intensity"],
        units=[*(str(axis.units) for axis in axes), "electrons"],
    )
    vectors.has_intensity = True
    # What changes results: the metadata say how the disks were found.
    settings = {k: v for k, v in vars(finder).items() if k not in ("shape", "dense_from")}
    tree = note_analysis(signal.metadata.as_dictionary(), "disks", "hyperspy_sparse", settings)
    vectors.metadata.add_dictionary(
        {key: tree[key] for key in ("Acquisition_instrument", "Sample", "General") if key in tree}
    )
    vectors.metadata.General.title = f"Disks of {signal.metadata.General.title}".rstrip()
    vectors.metadata.set_item("Disks", settings)
    return vectors
