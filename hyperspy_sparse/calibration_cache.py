"""Geometries of azimuthal integration, worked out once.

pyXem intersects every pixel with every bin, which takes seconds to half a minute for 512 x 512
pixels and depends on nothing but the geometry; and it does so at every call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import tokenize
from pyxem.utils.calibration import Calibration

from rsciio_tpx3.utils.least_recent import LeastRecent

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal


__all__ = ["CachingCalibration", "remember_geometries"]

_MANY = 8  # geometries; one for 512 x 512 pixels takes some 20 MB
_KEPT = LeastRecent(_MANY)


class CachingCalibration(Calibration):
    """pyXem's calibration, which remembers the slices of the last geometries it was asked for.

    The memory is shared by all signals, since results and slices of a signal have the same one.
    """

    @property
    def affine(self) -> np.ndarray | None:
        """The affine transformation, a copy: pyXem 0.21 changes the sign of two of its elements in
        the place where it finds them, so that every second geometry would turn the other way."""
        kept = Calibration.affine.fget(self)
        return None if kept is None else np.array(kept)

    @affine.setter
    def affine(self, affine: np.ndarray | None) -> None:
        Calibration.affine.fset(self, affine)

    def _remembered(self, kind: str, make: Callable, *arguments: Any) -> tuple:
        key = tokenize(kind, arguments, self.shape, self.pixel_extent, self.affine)
        # Whoever gets them shares them; and kernels know unchangeable arrays by identity.
        return _KEPT.get(key, lambda: tuple(_unchangeable(part) for part in make()))

    def get_slices1d(self, npt: int, radial_range: tuple[float, float] | None = None) -> tuple:
        host = super().get_slices1d
        resolved = self._get_radial_range(radial_range)
        return self._remembered("1d", lambda: host(npt, radial_range), npt, resolved)

    def _get_slices_and_factors(
        self,
        npt: int,
        npt_azim: int,
        radial_range: tuple[float, float] | None,
        azimuthal_range: tuple[float, float] | None,
    ) -> tuple:
        arguments = npt, npt_azim, radial_range, azimuthal_range
        host = super()._get_slices_and_factors
        return self._remembered("2d", lambda: host(*arguments), *arguments)


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
