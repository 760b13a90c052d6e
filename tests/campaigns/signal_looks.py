"""Looks of the random walks: ``(signal, truth, rng)`` to an array found and the array that NumPy has."""

import hyperspy.api as hs
import numpy as np

from tests.campaigns.signal_truth import NotHere

LOOKS = {}


def look(function):
    LOOKS[function.__name__.lstrip("_")] = function
    return function


def _axes_drawn(t, rng):
    nav, sig = tuple(range(t.n_nav)), (t.n_nav, t.n_nav + 1)
    one = (int(rng.integers(t.array.ndim)),)
    return [nav, sig, nav + sig, one][int(rng.integers(4))]


@look
def reduction(s, t, rng):
    name = str(rng.choice("sum mean max min std var nansum nanmean nanmax".split()))
    axes = _axes_drawn(t, rng)
    if t.array.dtype == bool and name in ("std", "var"):
        raise NotHere
    made = getattr(s, name)(axis=tuple(t.axes[i].name for i in axes))
    expected = getattr(np, name)(t.array, axis=axes)
    return made.data, np.atleast_1d(expected)


@look
def place_of_maximum(s, t, rng):
    place = int(rng.integers(t.array.ndim))
    return s.indexmax(t.axes[place].name).data, np.atleast_1d(t.array.argmax(place))


@look
def frame(s, t, rng):
    at = tuple(int(rng.integers(n)) for n in t.array.shape[: t.n_nav])
    s.axes_manager.indices = at[::-1]
    current = s.get_current_signal().data
    return np.stack([np.asarray(current), np.asarray(s.inav[at[::-1]].data)]), np.stack([t.array[at]] * 2)


@look
def pixel(s, t, rng):
    y, x = (int(rng.integers(n)) for n in t.array.shape[-2:])
    return s.isig[x, y].data, np.atleast_1d(t.array[..., y, x])


@look
def virtual_image(s, t, rng):
    (ny, nx), (ya, xa) = t.array.shape[-2:], t.axes[-2:]
    if min(ya.scale, xa.scale) <= 0 or ya.units != xa.units:
        raise NotHere
    y0, x0 = int(rng.integers(ny - 1)), int(rng.integers(nx - 1))
    y1, x1 = int(rng.integers(y0 + 1, ny)), int(rng.integers(x0 + 1, nx))
    at = [xa.offset + x0 * xa.scale, ya.offset + y0 * ya.scale, xa.offset + x1 * xa.scale, ya.offset + y1 * ya.scale]
    roi = hs.roi.RectangularROI(*at)
    axes = s.axes_manager.signal_axes
    made = roi(s, axes=axes).sum(axis=(axes[0].name, axes[1].name))
    return made.data, np.atleast_1d(t.array[..., y0:y1, x0:x1].sum((-2, -1)))


@look
def centre_of_mass(s, t, rng):
    if not hasattr(s, "get_direct_beam_position") or t.array.dtype.kind not in "u" or not t.array.any((-2, -1)).all():
        raise NotHere
    found = s.get_direct_beam_position(method="center_of_mass", lazy_output=False)
    values = t.array.astype(float)
    y, x = np.mgrid[: t.array.shape[-2], : t.array.shape[-1]]
    total = values.sum((-2, -1))
    com = np.stack([(values * x).sum((-2, -1)) / total, (values * y).sum((-2, -1)) / total], -1)
    # a shift towards the middle, whose place is pyXem's matter: compared from the first position on
    first = (0,) * t.n_nav
    return found.data - found.data[first], com[first] - com


@look
def as_array(s, t, rng):
    return np.asarray(s), t.array
