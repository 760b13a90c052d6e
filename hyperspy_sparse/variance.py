"""pyXem's `get_variance` without shot noise, by factorial moments.

Fluctuation electron microscopy compares the mean square of an intensity with the square of its mean. Counts of few
electrons scatter by themselves: at n electrons per pixel the square of a count is larger than that of its mean by n,
and the variance by 1 / n, far above that of the specimen. Pairs of different electrons are free of it, so each of
pyXem's four definitions is taken over pairs. What is estimated is what pyXem gives for very many electrons.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from hyperspy_sparse.kernels.ring_moments import MOMENTS, ring_moments, ring_pairs
from rsciio_tpx3.utils.checks import check_flag
from rsciio_tpx3.utils.integers import is_whole
from rsciio_tpx3.utils.units import shown

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal


__all__ = ["check_options", "without_shot_noise"]

METHODS = ("Omega", "r", "re", "VImage")


def check_options(npt: Any, method: Any, gain: Any, spatial: Any, shot_noise: Any, kwargs: dict) -> None:
    """Refuse what has no meaning, before work starts."""
    if shot_noise not in (None, "remove"):
        raise ValueError(
            f'shot_noise={shown(shot_noise)} is not valid: must be "remove", or None for the variance as pyXem has it.'
        )
    if shot_noise is None:
        return
    if not is_whole(npt, 1, 10**6):
        raise ValueError(f"npt={shown(npt)}: expected a positive integer, the number of rings.")
    if method not in METHODS:
        raise ValueError(f"method={shown(method)} is not valid: must be one of {', '.join(map(repr, METHODS))}.")
    real = isinstance(gain, (int, float, np.integer, np.floating)) and not isinstance(gain, bool)
    if gain is not None and not (real and 0 < gain < math.inf):
        raise ValueError(f"gain={shown(gain)}: expected a positive number, the value of one electron.")
    check_flag("spatial", spatial)
    refused = sorted(kwargs.keys() & {"mean", "inplace", "out"})
    if refused:
        raise ValueError(f"get_variance does not take {', '.join(refused)}: its result is a new signal of means.")


def without_shot_noise(
    signal: BaseSignal,
    npt: int,
    method: str,
    gain: float | None,
    spatial: bool,
    navigation_axes: Any,
    kwargs: dict,
) -> BaseSignal | tuple[BaseSignal, BaseSignal]:
    """The variance of a signal; see `mixin.SparseFramesMixin.get_variance`."""
    gain = 1.0 if gain is None else float(gain)
    axes = signal.axes_manager.navigation_axes if navigation_axes is None else signal.axes_manager[navigation_axes]
    axes = tuple(axes) if np.iterable(axes) else (axes,)
    if not axes or any(axis in signal.axes_manager.signal_axes for axis in axes):
        raise ValueError(
            f"navigation_axes={shown(navigation_axes)}: expected one or more navigation axes of {signal}, over which "
            "the variance is taken."
        )
    # These decide how results are computed, and there are no results before the end.
    computing = {k: kwargs.pop(k) for k in ("lazy_output", "num_workers", "show_progressbar") if k in kwargs}
    if method == "VImage":
        results = (_of_image(signal, npt, axes, gain, kwargs),)
    else:
        results = _of_rings(signal, npt, method, axes, gain, kwargs)
    if computing.pop("lazy_output", None) is False:
        for result in results:
            result.compute(**{k: v for k, v in computing.items() if v is not None})
    return results if spatial and method == "r" else results[0]


def _of_rings(
    signal: BaseSignal, npt: int, method: str, axes: tuple, gain: float, kwargs: dict
) -> tuple[BaseSignal, ...]:
    """The three methods that integrate frames."""
    places = tuple(axis.index_in_array for axis in axes)
    named = tuple(axis.index_in_axes_manager for axis in axes)
    # axes, units and class are those of pyXem's own integral, which is not computed
    each = signal.get_azimuthal_integral1d(npt=npt, mean=True, lazy_output=True, **kwargs)
    if method == "r":
        pairs, chance = _mapped(signal, ring_pairs, 2, npt, gain, kwargs)
        mean = _ratio(pairs.sum(axis=places), chance.sum(axis=places)) - 1
        return _like(each.mean(axis=named), mean), _like(each, _ratio(pairs, chance) - 1)
    # `own` is what each electron adds to a product with itself: the shot noise of the square of the mean.
    area, total, own, square = _mapped(signal, ring_moments, len(MOMENTS), npt, gain, kwargs)
    mean, own = _ratio(total, area), _ratio(own, area**2)
    n = (area > 0).sum(axis=places)
    # the mean over positions has shot noise too, of its own electrons
    product = _mean(mean, places) ** 2 - _mean(own, places) / n
    power = _mean(mean**2 - own, places) if method == "Omega" else _mean(_ratio(square, area), places)
    return (_like(each.mean(axis=named), _ratio(power, product) - 1),)


def _mapped(signal: BaseSignal, function: Any, n: int, npt: int, gain: float, kwargs: dict) -> tuple[da.Array, ...]:
    """Arrays of shape nav_shape + (npt,) that a function of one frame and its rings gives."""
    options = dict(kwargs)
    indexes, factors, slices, _ = signal.calibration.get_slices1d(npt, radial_range=options.pop("radial_range", None))
    mask = options.pop("mask", None)
    found = signal.map(
        function,
        indexes=indexes,
        factors=factors,
        factor_slices=slices,
        mask=signal.calibration.mask if mask is None else mask,
        gain=gain,
        inplace=False,
        lazy_output=True,
        output_dtype=float,
        output_signal_size=(n, npt),
        silence_warnings=True,
        **options,
    ).data
    return tuple(found[..., i, :] for i in range(n))


def _mean(array: da.Array, places: tuple[int, ...]) -> da.Array:
    """Over positions that have the ring; a mask may differ from one position to the next."""
    return da.nanmean(array, axis=places)


def _ratio(one: da.Array, other: da.Array) -> da.Array:
    """NaN where there is nothing to divide by."""
    return one / da.where(other > 0, other, np.nan)


def _like(signal: BaseSignal, data: da.Array) -> BaseSignal:
    signal.data = data.reshape(signal.data.shape)
    return signal


def _of_image(signal: BaseSignal, npt: int, axes: tuple, gain: float, kwargs: dict) -> BaseSignal:
    """The variance of each pixel, and its mean over rings; pixels of fewer than two electrons are excluded."""
    # float64: squares of counts leave the type of the counts.
    counts = signal._deepcopy_with_new_data(signal.data.astype(np.float64))
    named = tuple(axis.index_in_axes_manager for axis in axes)
    total, squares = counts.sum(axis=named), (counts**2).sum(axis=named)
    n = math.prod(axis.size for axis in axes)
    # Pixels with fewer than two electrons weigh nothing, in the values and in the area that divides them.
    usable = da.map_blocks(_usable, total.data, gain, dtype=float, meta=np.empty((0,) * total.data.ndim))
    value = da.map_blocks(
        _pixel_variance, total.data, squares.data, gain, n, dtype=float, meta=np.empty((0,) * total.data.ndim)
    )
    weights, values = (total._deepcopy_with_new_data(array) for array in (usable, value))
    sums = [image.get_azimuthal_integral1d(npt=npt, lazy_output=True, **kwargs) for image in (values, weights)]
    return _like(sums[0], _ratio(*(da.asarray(one.data) for one in sums)))


def _usable(total: Any, gain: float) -> np.ndarray:
    return (np.asarray(total) / gain >= 2).astype(np.float64)


def _pixel_variance(total: Any, squares: Any, gain: float, n: int) -> np.ndarray:
    """Given their number, electrons are spread over the positions as the intensity is: no bias from two on."""
    electrons = np.asarray(total) / gain
    pairs = np.asarray(squares) / gain**2 - electrons
    enough = electrons >= 2
    out = np.zeros(electrons.shape)
    out[enough] = n * pairs[enough] / (electrons[enough] * (electrons[enough] - 1)) - 1
    return out
