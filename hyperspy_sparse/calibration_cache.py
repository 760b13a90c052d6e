"""Geometries of azimuthal integration, worked out once and fast.

pyXem 0.21 intersects every pixel with every bin, polygon by polygon, which takes seconds to half a minute for
512 x 512 pixels and depends on nothing but the geometry; and it does so at every call. The same overlaps come from a
compiled loop here, and the last ones are cached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import tokenize
from pyxem.utils.calibration import Calibration

from hyperspy_sparse.hosts import sector_corners
from hyperspy_sparse.pixel_overlaps import are_convex, overlaps, ring_weights, sector_slices
from rsciio_tpx3.utils.least_recent import LeastRecent

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal


__all__ = ["CachingCalibration", "remember_geometries"]

_MANY = 8  # geometries; one for 512 x 512 pixels takes some 20 MB
_CACHE = LeastRecent(_MANY)

_SECTORS = 360  # of a ring in pyXem's get_slices1d: chords stand for the circle


class CachingCalibration(Calibration):
    """pyXem's calibration, which makes the slices of geometries fast and remembers the last ones.

    The memory is shared by all signals, since results and slices of a signal have the same one.
    """

    @property
    def affine(self) -> np.ndarray | None:
        """The affine transformation, a copy: pyXem 0.21 changes the sign of two of its elements in
        the place where it finds them, so that every second geometry would turn the other way."""
        affine = Calibration.affine.fget(self)
        return None if affine is None else np.array(affine)

    @affine.setter
    def affine(self, affine: np.ndarray | None) -> None:
        Calibration.affine.fset(self, affine)

    def _remembered(self, kind: str, make: Callable, *arguments: Any) -> tuple:
        key = tokenize(kind, arguments, self.shape, self.pixel_extent, self.affine)
        # Whoever gets them shares them; and kernels know unchangeable arrays by identity.
        return _CACHE.get(key, lambda: tuple(_unchangeable(part) for part in make()))

    def get_slices1d(self, npt: int, radial_range: tuple[float, float] | None = None) -> tuple:
        resolved = self._get_radial_range(radial_range)
        return self._remembered("1d", lambda: self._rings(npt, resolved), npt, resolved)

    def _rings(self, npt: int, radial_range: tuple[float, float]) -> tuple:
        """Weights of pixels in rings, each of the same 360 sectors that pyXem has."""
        sectors = npt, _SECTORS, radial_range, (-np.pi, np.pi)
        slices, shares, places = self._sectors(*sectors)
        if len(slices) and (slices[:, 2:].max(axis=0) > self.shape).any():
            # pyXem 0.21 has the axes of a curved, not square detector the other way round, and says so by an error
            return super().get_slices1d(npt, radial_range)
        pixels, weights, begins = ring_weights(slices, shares, places, npt, self.shape)
        return pixels, weights, begins, radial_range

    def _get_slices_and_factors(
        self,
        npt: int,
        npt_azim: int,
        radial_range: tuple[float, float],
        azimuthal_range: tuple[float, float],
    ) -> tuple:
        arguments = npt, npt_azim, radial_range, azimuthal_range
        return self._remembered("2d", lambda: self._sectors(*arguments), *arguments)

    def _sectors(
        self, npt: int, npt_azim: int, radial_range: tuple[float, float], azimuthal_range: tuple[float, float]
    ) -> tuple:
        """Blocks of pixels and the share of each in its sector; pyXem's own where sectors are not convex."""
        # pyXem's angle 0 is along x, a quarter of a turn from the one of its corners
        turned = azimuthal_range[0] + np.pi / 2, azimuthal_range[1] + np.pi / 2
        corners = sector_corners(npt, npt_azim, radial_range, turned, self.affine)
        extents = [np.asarray(extent) for extent in self.pixel_extent]
        if not (are_convex(corners) and all((extent[1] > extent[0]).all() for extent in extents)):
            return super()._get_slices_and_factors(npt, npt_azim, radial_range, azimuthal_range)
        slices = sector_slices(corners, extents)
        return slices, *overlaps(corners, slices, extents)


def _unchangeable(part: Any) -> Any:
    """An array as one that nobody can write into, also not through another that shows the same memory."""
    if not isinstance(part, np.ndarray):
        return part
    part = part if part.base is None else part.copy()
    part.flags.writeable = False
    return part


def remember_geometries(signal: BaseSignal) -> None:
    """Give a signal with pyXem's calibration one that remembers, with all that was set in it."""
    if type(getattr(signal, "calibration", None)) is Calibration:
        signal.calibration.__class__ = CachingCalibration
