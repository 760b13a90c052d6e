"""Random walks of methods on sparse signals, compared with NumPy: ``python -m tests.campaigns.signals``.

A walk begins with counts in memory, of random shape, type and chunks, and takes steps that lead from one signal with
images to another: slices, crops, bins, operators, functions of NumPy, transposes, `map`, types, saving and loading.
The same steps are taken by the dense array and a list of axes, in NumPy and without HyperSpy. After each step shape,
type, values, axes, and the rule of the classes are compared; at the end so are the signals that the walk left behind,
which nothing may have changed. Some steps only look: sums, centres of mass, virtual images, single frames.

right             equal to NumPy
fails with both   an error that HyperSpy raises for the dense lazy signal too
refused           an error of ours, with its reason
ERROR             any other error
WRONG             other values, axes, type or class: of these two there must be none
"""

import argparse
import logging
import operator
import pathlib
import sys
import tempfile
import warnings
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field, replace

import dask
import dask.array as da
import hyperspy.api as hs
import numpy as np

import hyperspy_sparse
from hyperspy_sparse.twins import has_sparse_chunks
from rsciio_tpx3.exceptions import ConflictError, FormatError, LimitError, UnitError
from tests.integration.same_results import check_class_and_chunks

OUTCOMES = ("right", "fails with both", "refused", "ERROR", "WRONG")
OURS = (ConflictError, FormatError, LimitError, UnitError)
TYPES = ("uint8", "uint16", "uint32", "int32", "int64", "float32", "float64", "bool")
NAMES = ("t", "y", "x", "ky", "kx")
LARGEST = 60_000
"""Elements above which a step that makes the signal larger is excluded."""


class Mismatch(Exception):
    """What the signal has and NumPy has not."""


class NotHere(Exception):
    """A step that does not apply to this signal; another is drawn."""


@dataclass(frozen=True)
class Axis:
    """An axis as the user set it."""

    name: str
    scale: float
    offset: float
    units: str


@dataclass(frozen=True)
class Truth:
    """The dense array, whose last two axes are the image, and its axes in the same order."""

    array: np.ndarray
    axes: tuple
    sparse: bool = True  # whether the last step must have left sparse frames; None where either is fine

    @property
    def n_nav(self):
        return self.array.ndim - 2

    def cut(self, key):
        """The part that a key of slices and integers leaves, with its axes."""
        axes = []
        for axis, n, part in zip(self.axes, self.array.shape, key, strict=True):
            if isinstance(part, slice):
                start, _, step = part.indices(n)
                axes.append(replace(axis, offset=axis.offset + start * axis.scale, scale=axis.scale * step))
        return replace(self, array=self.array[key], axes=tuple(axes))

    def moved(self, order):
        """The axes in another order."""
        return replace(self, array=self.array.transpose(order), axes=tuple(self.axes[i] for i in order))

    def binned(self, factors):
        """Neighbours added up; the type is that of a sum."""
        shape = [n for size, f in zip(self.array.shape, factors, strict=True) for n in (size // f, f)]
        array = self.array.reshape(shape).sum(axis=tuple(range(1, len(shape), 2)))
        axes = tuple(
            replace(a, scale=a.scale * f, offset=a.offset + (f - 1) / 2 * a.scale)
            for a, f in zip(self.axes, factors, strict=True)
        )
        return replace(self, array=array, axes=axes)


def beginning(rng):
    """A sparse signal and its truth."""
    n_nav = int(rng.choice([1, 2, 2, 2, 3]))
    shape = tuple(int(n) for n in (*rng.integers(2, 8, n_nav), *rng.integers(3, 13, 2)))
    dtype = str(rng.choice(TYPES))
    counts = rng.poisson(float(rng.choice([0.02, 0.3, 2])), shape)
    if dtype[0] in "if" and rng.random() < 0.3:
        counts = counts * rng.integers(-2, 3, shape)
    array = counts.astype(dtype)
    if dtype[0] == "f" and rng.random() < 0.3:
        array = (array * rng.random(shape)).astype(dtype)
    axes = tuple(
        Axis(name, float(rng.choice([1, 0.5, 0.25])), float(rng.choice([0, 2, -1.5])), str(rng.choice(["nm", "1/nm"])))
        for name in NAMES[3 - n_nav :]
    )
    turned = array.astype(array.dtype.newbyteorder(">")) if rng.random() < 0.2 else array
    signal = hyperspy_sparse.to_sparse(stock(Truth(turned, axes)))
    signal.rechunk(tuple(int(rng.integers(1, n + 1)) for n in shape[:n_nav]) + shape[n_nav:])
    return signal, Truth(array, axes)


def stock(truth):
    """HyperSpy's own signal in memory of the truth."""
    signal = hs.signals.Signal2D(truth.array.copy())
    for axis, a in zip(signal.axes_manager._axes, truth.axes, strict=True):
        axis.name, axis.scale, axis.offset, axis.units = a.name, a.scale, a.offset, a.units
    signal.set_signal_type("electron_diffraction")
    return signal


# -- steps: (signal, truth, rng, folder) -> (signal, truth) --------------------------------------

STEPS, LOOKS = {}, {}


def step(function):
    STEPS[function.__name__.lstrip("_")] = function
    return function


def look(function):
    LOOKS[function.__name__.lstrip("_")] = function
    return function


def _range(rng, n, least=2):
    """A slice that leaves at least `least` of n, written in one of the ways of a user."""
    if n <= least:
        return slice(None)
    start = int(rng.integers(0, n - least))
    stop = int(rng.integers(start + least, n + 1))
    way = rng.integers(0, 5)
    if way == 0:
        return slice(None, stop)
    if way == 1:
        return slice(start, None)
    if way == 2 and stop < n:
        return slice(start - n, stop - n)
    if way == 3:
        return slice(start, stop, 2 if (stop - start + 1) // 2 >= least else 1)
    return slice(start, stop)


def _as_written(rng, part, axis, n):
    """The same slice, sometimes in the units of the axis."""
    if part.step not in (None, 1) or rng.random() < 0.6 or n < 2:
        return part
    start, stop, _ = part.indices(n)
    if stop == n:
        return slice(axis.offset + start * axis.scale, None)
    return slice(axis.offset + start * axis.scale, axis.offset + stop * axis.scale)


@step
def inav(s, t, rng, folder):
    key = [_range(rng, n, 1) for n in t.array.shape[: t.n_nav]]
    written = [_as_written(rng, k, a, n) for k, a, n in zip(key, t.axes, t.array.shape)]
    if t.n_nav > 1 and rng.random() < 0.15:
        place = int(rng.integers(t.n_nav))
        key[place] = written[place] = int(rng.integers(-t.array.shape[place], t.array.shape[place]))
    return s.inav[tuple(written[::-1])], t.cut((*key, slice(None), slice(None)))


@step
def isig(s, t, rng, folder):
    key = [_range(rng, n) for n in t.array.shape[-2:]]
    written = [_as_written(rng, k, a, n) for k, a, n in zip(key, t.axes[-2:], t.array.shape[-2:])]
    return s.isig[tuple(written[::-1])], t.cut((*([slice(None)] * t.n_nav), *key))


@step
def crop(s, t, rng, folder):
    place = int(rng.integers(t.array.ndim))
    part = _range(rng, t.array.shape[place], 1 if place < t.n_nav else 2)
    part = slice(part.start, part.stop)
    written = _as_written(rng, part, t.axes[place], t.array.shape[place])
    s.crop(t.axes[place].name, written.start, written.stop)
    return s, t.cut(tuple(part if i == place else slice(None) for i in range(t.array.ndim)))


@step
def rebin(s, t, rng, folder):
    factors = [int(rng.choice([f for f in (1, 1, 2, 3) if n % f == 0])) for n in t.array.shape]
    if all(n // f < 2 for n, f in zip(t.array.shape[-2:], factors[-2:])) or max(factors) == 1:
        raise NotHere
    order = [*range(t.n_nav)][::-1] + [*range(t.n_nav, t.array.ndim)][::-1]
    if rng.random() < 0.5:
        made = s.rebin(scale=[factors[i] for i in order])
    else:
        made = s.rebin(new_shape=[t.array.shape[i] // factors[i] for i in order])
    return made, t.binned(factors)


NUMBERS = (2, 3, 0, 1, -1, 0.5, 2.5, np.uint8(3), np.float32(1.5), np.int64(-2), True)
OPERATORS = "add sub mul truediv floordiv mod pow eq ne lt le gt ge".split()


def _others(s, t, rng):
    """Another operand: as the signal gets it, and as NumPy does."""
    kind = rng.choice(["number", "detector array", "detector signal", "scan signal", "whole", "itself", "lazy scan"])
    if kind == "number":
        value = NUMBERS[int(rng.integers(len(NUMBERS)))]
        return value, value
    shape = {"d": t.array.shape[-2:], "s": t.array.shape[:-2], "l": t.array.shape[:-2]}.get(kind[0], t.array.shape)
    values = rng.integers(0, 4, shape).astype(str(rng.choice(TYPES)))
    if kind == "detector array":
        return values, values
    if kind == "detector signal":
        return hs.signals.Signal2D(values), values
    if kind == "whole":
        return (values if rng.random() < 0.5 else hs.signals.Signal2D(values)), values
    if kind == "itself":
        return s, t.array
    scan = hs.signals.BaseSignal(values).transpose(navigation_axes=t.n_nav)
    return (scan.as_lazy() if kind[0] == "l" else scan), values[..., None, None]


@step
def operators(s, t, rng, folder):
    function = getattr(operator, str(rng.choice(OPERATORS)))
    other, values = _others(s, t, rng)
    turned = rng.random() < 0.3
    array = function(values, t.array) if turned else function(t.array, values)
    made = function(other, s) if turned else function(s, other)
    # the left operand gives the axes, and that of another signal has none
    keeps = not (turned and isinstance(other, hs.signals.BaseSignal) and other is not s)
    axes = t.axes if keeps else _axes_of(made, t)
    known = not getattr(other, "_lazy", False)  # values that nobody has seen may make something of zeros
    stays = known and has_sparse_chunks(s) and _stays(function, t, values, turned)
    return made, Truth(np.asarray(array), axes, stays or None)


_ASKED_SHARE = 16  # larger operands are not asked as a whole what becomes of zeros


def _stays(function, t, values, turned):
    """Whether zeros stay zeros for an operand that is smaller than the frames, so that frames have to come out."""
    if np.ndim(values) == t.array.ndim or _ASKED_SHARE * np.size(values) > t.array.size:
        return False
    zero = np.zeros((), t.array.dtype)
    return not np.any(function(values, zero) if turned else function(zero, values))


def _axes_of(made, t):
    """Axes that come from the other operand are taken as they are, but get names, which other steps ask for."""
    for axis, known in zip(made.axes_manager._axes, t.axes):
        axis.name = known.name
    return tuple(Axis(a.name, a.scale, a.offset, str(a.units)) for a in made.axes_manager._axes)


FUNCTIONS = (np.sqrt, np.log1p, np.abs, np.negative, np.square, np.sign, np.exp, np.isnan, np.cbrt, np.rint, np.ceil)


@step
def ufunc(s, t, rng, folder):
    function = FUNCTIONS[int(rng.integers(len(FUNCTIONS)))]
    array = function(t.array)
    return function(s), replace(t, array=array, sparse=None)


@step
def ufunc_of_two(s, t, rng, folder):
    function = [np.add, np.multiply, np.maximum, np.minimum, np.subtract, np.true_divide][int(rng.integers(6))]
    kind = rng.integers(0, 4)
    shape = (t.array.shape[-2:], t.array.shape, (*t.array.shape[:-2], 1, 1), ())[kind]
    values = rng.integers(0, 3, shape).astype(str(rng.choice(TYPES)))
    turned = rng.random() < 0.5
    array = function(values, t.array) if turned else function(t.array, values)
    made = function(values, s) if turned else function(s, values)
    known = True if function is np.multiply and has_sparse_chunks(s) else None
    return made, replace(t, array=array, sparse=known)


@step
def change_dtype(s, t, rng, folder):
    dtype = str(rng.choice(TYPES))
    s.change_dtype(dtype)
    return s, replace(t, array=t.array.astype(dtype))


@step
def turned_twice(s, t, rng, folder):
    return s.T.T, replace(t, sparse=None)


@step
def transpose(s, t, rng, folder):
    order = [int(i) for i in rng.permutation(t.n_nav)] + [t.n_nav + int(i) for i in rng.permutation(2)]
    names = [t.axes[i].name for i in order]
    made = s.transpose(navigation_axes=names[: t.n_nav][::-1], signal_axes=names[t.n_nav :][::-1])
    return made, replace(t.moved(order), sparse=None)


@step
def transpose_mixed(s, t, rng, folder):
    """Other axes become the image, and nothing is an image of the detector any more."""
    order = [int(i) for i in rng.permutation(t.array.ndim)]
    if min(t.array.shape[i] for i in order[-2:]) < 2:
        raise NotHere
    names = [t.axes[i].name for i in order]
    made = s.transpose(navigation_axes=names[:-2][::-1], signal_axes=names[-2:][::-1])
    return made, replace(t.moved(order), sparse=None)


@step
def swap_axes(s, t, rng, folder):
    a, b = (int(i) for i in rng.choice(t.array.ndim, 2, replace=False))
    if (a < t.n_nav) != (b < t.n_nav):
        raise NotHere
    order = list(range(t.array.ndim))
    order[a], order[b] = order[b], order[a]
    return s.swap_axes(t.axes[a].name, t.axes[b].name), replace(t.moved(order), sparse=None)


def _flipped(frame):
    return frame[::-1]


def _scaled(frame, factor):
    return frame * factor


def _padded(frame):
    return np.pad(frame, 1)


def _per_frame(function, t):
    flat = t.array.reshape(-1, *t.array.shape[-2:])
    made = np.stack([function(f) for f in flat])
    return made.reshape(*t.array.shape[:-2], *made.shape[1:])


@step
def map(s, t, rng, folder):
    if t.array.size > LARGEST:
        raise NotHere
    function = [_flipped, np.sqrt, _padded, np.cumsum][int(rng.integers(3))]
    array = _per_frame(function, t)
    options = {"inplace": bool(rng.random() < 0.4), "lazy_output": bool(rng.random() < 0.7)}
    made = s.map(function, **options, show_progressbar=False)
    return (s if made is None else made), replace(t, array=array, sparse=None)


@step
def map_with_values(s, t, rng, folder):
    values = rng.integers(1, 4, t.array.shape[:-2]).astype(float)
    factor = hs.signals.BaseSignal(values).transpose(navigation_axes=t.n_nav)
    made = s.map(_scaled, factor=factor, inplace=False, lazy_output=bool(rng.random() < 0.7), show_progressbar=False)
    return made, replace(t, array=t.array * values[..., None, None], sparse=None)


@step
def compute(s, t, rng, folder):
    if s._lazy:
        s.compute(show_progressbar=False)
    return s, replace(t, sparse=False)


@step
def persist(s, t, rng, folder):
    if not has_sparse_chunks(s):
        raise NotHere
    s.persist()
    return s, t


@step
def to_dense(s, t, rng, folder):
    if not has_sparse_chunks(s):
        raise NotHere
    return s.to_dense(), replace(t, sparse=False)


@step
def rechunk(s, t, rng, folder):
    if not s._lazy:
        raise NotHere
    s.rechunk(tuple(int(rng.integers(1, n + 1)) for n in t.array.shape[:-2]))
    return s, t


@step
def copy(s, t, rng, folder):
    return (s.deepcopy() if rng.random() < 0.7 else s.copy()), t


@step
def set_data(s, t, rng, folder):
    s.data = s.data * 2
    return s, replace(t, array=t.array * 2)


@step
def set_part(s, t, rng, folder):
    if t.array.dtype == bool:
        raise NotHere
    key = [slice(None)] * t.array.ndim
    place = int(rng.integers(t.array.ndim))
    start = int(rng.integers(t.array.shape[place]))
    key[place] = slice(start, start + 1)
    array = t.array.copy()
    array[tuple(key)] = 3
    parts, slicer = (key[: t.n_nav], s.inav) if place < t.n_nav else (key[t.n_nav :], s.isig)
    slicer[tuple(parts[::-1])] = 3
    return s, replace(t, array=array, sparse=None)


@step
def unfold_and_fold(s, t, rng, folder):
    if rng.random() < 0.5:
        s.unfold_navigation_space()
    else:
        s.unfold()
    s.fold()
    return s, replace(t, sparse=None)


@step
def as_signal1D(s, t, rng, folder):
    return s.as_signal1D(-1).transpose(signal_axes=[t.axes[-1].name, t.axes[-2].name]), replace(t, sparse=None)


@step
def stack(s, t, rng, folder):
    if 2 * t.array.size > LARGEST:
        raise NotHere
    place = int(rng.integers(t.array.ndim))
    made = hs.stack([s, s], axis=t.axes[place].name, show_progressbar=False)
    return made, replace(t, array=np.concatenate([t.array, t.array], place), sparse=None)


@step
def split(s, t, rng, folder):
    place = int(rng.integers(t.n_nav))
    n = t.array.shape[place]
    if n < 3:
        raise NotHere
    first = int(rng.integers(1, n - 1))
    parts = s.split(t.axes[place].name, step_sizes=[first, n - first])
    number = int(rng.integers(2))
    key = slice(0, first) if number == 0 else slice(first, n)
    return parts[number], t.cut(tuple(key if i == place else slice(None) for i in range(t.array.ndim)))


@step
def calibrate(s, t, rng, folder):
    place = int(rng.integers(t.array.ndim))
    new = replace(t.axes[place], scale=float(rng.choice([0.1, 2, 0.5])), offset=float(rng.choice([-1, 0, 7.5])))
    axis = s.axes_manager[new.name]
    axis.scale, axis.offset = new.scale, new.offset
    return s, replace(t, axes=tuple(new if i == place else a for i, a in enumerate(t.axes)))


@step
def signal_type(s, t, rng, folder):
    s.set_signal_type(str(rng.choice(["", "diffraction", "electron_diffraction", "insitu_diffraction"])))
    return s, t


@step
def shifted(s, t, rng, folder):
    """Whole pixels, for which no interpolation is needed."""
    shift = int(rng.integers(-2, 3))
    if not hasattr(s, "center_direct_beam") or t.array.dtype == bool:
        raise NotHere
    made = s.map(np.roll, shift=shift, axis=0, inplace=False, lazy_output=True, show_progressbar=False)
    return made, replace(t, array=np.roll(t.array, shift, -2), sparse=None)


@step
def save_and_load(s, t, rng, folder):
    name, options = [("a.hspy", {}), ("a.zspy", {}), ("b.hspy", {"compression": None})][int(rng.integers(3))]
    path = folder / f"{rng.integers(2**30)}{name}"
    s.save(path, show_progressbar=False, overwrite=True, **options)
    return hs.load(path, lazy=bool(rng.random() < 0.7)), replace(t, sparse=None)


COUNTED = {"raw_csr": "toml", "nxevent": "nxevent", "stempy": "h5"}


@step
def save_and_load_counted(s, t, rng, folder):
    if not has_sparse_chunks(s):
        raise NotHere
    name = str(rng.choice(list(COUNTED)))
    path = folder / f"{rng.integers(2**30)}.{COUNTED[name]}"
    s.save(path, file_format=name, overwrite=True, show_progressbar=False)
    made = hs.load(path, file_format=name, lazy=bool(rng.random() < 0.7))
    return made, replace(t, sparse=True)


@step
def to_sparse(s, t, rng, folder):
    if has_sparse_chunks(s):
        raise NotHere
    return hyperspy_sparse.to_sparse(s), replace(t, sparse=True)


@step
def as_lazy(s, t, rng, folder):
    return s.as_lazy(), replace(t, sparse=None)


# -- looks: (signal, truth, rng) -> (array found, array expected) ---------------------------------


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


# -- a walk ----------------------------------------------------------------------------------------


def compare(signal, truth):
    """Raise `Mismatch` where the signal is not what NumPy says."""
    data = signal.data
    if data.shape != truth.array.shape:
        raise Mismatch(f"shape {data.shape}, NumPy {truth.array.shape}")
    if truth.axes is not None:
        _compare_axes(signal, truth)
    if signal.axes_manager.signal_dimension != 2:
        raise Mismatch(f"{signal.axes_manager.signal_dimension} signal axes")
    try:
        check_class_and_chunks(signal)
    except AssertionError as error:
        raise Mismatch(str(error)) from error
    if truth.sparse is True and not has_sparse_chunks(signal) and truth.n_nav:
        raise Mismatch(f"dense, where zeros stay zeros: {type(signal).__name__}, {data!r}")
    compare_values(data, truth.array)


def _compare_axes(signal, truth):
    found = signal.axes_manager._axes
    navigates = [axis.navigate for axis in found]
    if navigates != [True] * truth.n_nav + [False] * 2:
        raise Mismatch(f"navigation {navigates}")
    for axis, a in zip(found, truth.axes, strict=True):
        # pyXem's diffraction classes call pixels what has no unit
        pixels = _text(a.units) == "" and axis.units == "px"
        if _text(axis.name) != _text(a.name) or (_text(axis.units) != _text(a.units) and not pixels):
            raise Mismatch(f"axis {axis.name!r} in {axis.units!r}, NumPy {a}")
        if not np.allclose((axis.scale, axis.offset), (a.scale, a.offset), rtol=1e-6, atol=1e-9):
            raise Mismatch(f"axis {axis.name!r}: scale {axis.scale}, offset {axis.offset}, NumPy {a}")


def _text(value):
    """A name or unit; files have no other word than none for one that is not defined."""
    return "" if str(value) == "<undefined>" else str(value)


def compare_values(found, expected):
    """Integers exactly, floats to the digits that another order of sums leaves."""
    if isinstance(found, da.Array):
        told = found.dtype
        found = found.compute(scheduler="sync")
        if found.dtype != told:
            raise Mismatch(f"type {found.dtype}, dask was told {told}")
    found = np.asarray(found)
    if found.dtype != expected.dtype:
        raise Mismatch(f"type {found.dtype}, NumPy {expected.dtype}")
    if found.shape != expected.shape:
        raise Mismatch(f"shape {found.shape}, NumPy {expected.shape}")
    if expected.dtype.kind in "fc":
        loose = expected.dtype.itemsize < 8
        finite = np.abs(expected[np.isfinite(expected)])
        tolerance = 1e-2 if expected.dtype.itemsize < 4 else 1e-4 if loose else 1e-9
        same = np.allclose(found, expected, tolerance, tolerance * finite.max(initial=0) * 0.01, equal_nan=True)
    else:
        same = np.array_equal(found, expected)
    if not same:
        n = int((found != expected).sum())
        raise Mismatch(f"{n} of {found.size} values: {found.ravel()[:6]}..., NumPy {expected.ravel()[:6]}...")


@dataclass
class Report:
    """One step: its name, what it came to, and more words where they are needed."""

    name: str
    outcome: str
    text: str = ""
    path: list = field(default_factory=list)


def _on_dense(take, truth, lazy, state, folder):
    """What HyperSpy says for its own signal of the same truth: an error, a mismatch or None."""
    rng = np.random.default_rng()
    rng.bit_generator.state = state
    signal = stock(truth)
    try:
        take(signal.as_lazy() if lazy else signal, truth, rng, folder)
    except Exception as error:
        return error
    return None


def _taken(name, signal, truth, rng, folder):
    """The step on the signal and on the truth, judged: signal, truth, report; a signal of None where it failed."""
    looks = name in LOOKS
    state, lazy = deepcopy(rng.bit_generator.state), signal._lazy

    def take(s, t, rng, folder):
        if not looks:
            s, t = STEPS[name](s, t, rng, folder)
            if s._lazy and isinstance(s.data, np.ndarray):  # as NumPy's functions leave it in HyperSpy's lazy signals
                s.data = da.from_array(s.data)
            compare(s, t)
            return s, t
        compare_values(*LOOKS[name](s, t, rng))
        return s, t

    try:
        return *take(signal, truth, rng, folder), Report(name, "right")
    except NotHere:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}"[:400]
        if isinstance(error, OURS):
            return None, truth, Report(name, "refused", text)
        dense = _on_dense(take, replace(truth, sparse=None), lazy, state, folder)
        if isinstance(dense, Mismatch) and isinstance(error, Mismatch) and str(dense)[:40] == str(error)[:40]:
            return None, truth, Report(name, "fails with both", f"{text} // {dense}")
        if dense is not None and not isinstance(error, Mismatch):
            return None, truth, Report(name, "fails with both", f"{text} // {type(dense).__name__}: {dense}"[:700])
        return None, truth, Report(name, "WRONG" if isinstance(error, Mismatch) else "ERROR", text)


def _branch(signal):
    """A deep copy to go on with, so that steps in place leave the signal itself as it is."""
    other = signal.deepcopy()
    if signal._lazy and not has_sparse_chunks(signal):
        # HyperSpy 2.5 leaves both the same dask array, which an element that is set changes for both
        other.data = other.data.copy()
    return other


def walk(seed, folder, length=8):
    """The reports of the steps of one walk; it ends where a step fails."""
    rng = np.random.default_rng(seed)
    signal, truth = beginning(rng)
    reports, behind, path = [], [], []
    while len(reports) < length:
        names = list(LOOKS) if rng.random() < 0.25 else list(STEPS)
        if not has_sparse_chunks(signal) and truth.n_nav and rng.random() < 0.6:
            names = ["to_sparse"]
        name = str(rng.choice(names))
        if rng.random() < 0.3 and truth.n_nav:
            behind.append((signal, truth, len(path)))
            signal = _branch(signal)
        if truth.n_nav == 0 or truth.array.size == 0:
            break
        before = signal
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                signal, truth, report = _taken(name, signal, replace(truth), rng, folder)
        except NotHere:
            signal = before
            continue
        path.append(name)
        report.path = list(path)
        reports.append(report)
        if signal is None:
            return reports
    for kept, known, at in behind:
        try:
            compare(kept, replace(known, sparse=None))
        except Exception as error:
            reports.append(Report("left behind", "WRONG", f"after {at} steps: {error}", path))
    return reports


def campaign(runs, seed, length=8, report=None):
    """Many walks: how often each (step, outcome) came, and the seeds of the bad ones."""
    counts, bad = Counter(), []
    logging.getLogger("hyperspy").setLevel(logging.ERROR)
    before, hs.preferences.General.show_progressbar = hs.preferences.General.show_progressbar, False
    try:
        with dask.config.set(scheduler="sync"):
            for number in range(seed, seed + runs):
                with tempfile.TemporaryDirectory() as folder:
                    for r in walk(number, pathlib.Path(folder), length):
                        counts[r.name, r.outcome] += 1
                        if r.outcome in ("ERROR", "WRONG"):
                            bad.append((number, r))
                        if report:
                            report(number, r)
    finally:
        hs.preferences.General.show_progressbar = before
    return counts, bad


def table(counts):
    """A markdown table of the outcomes, a row for each step."""
    lines = ["| step | steps | " + " | ".join(OUTCOMES) + " |", "|---|" + "---:|" * (len(OUTCOMES) + 1)]
    for name in [*sorted({name for name, _ in counts}), None]:
        numbers = [sum(n for key, n in counts.items() if key[1] == o and name in (None, key[0])) for o in OUTCOMES]
        label = "**all**" if name is None else name.replace("_", " ")
        lines.append(f"| {label} | {sum(numbers):,} | " + " | ".join(f"{n:,}" for n in numbers) + " |")
    return "\n".join(lines)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--length", type=int, default=8)
    parser.add_argument("--show", nargs="*", default=("ERROR", "WRONG"), help="outcomes whose steps are printed")
    arguments = parser.parse_args(argv)

    def report(number, r):
        if r.outcome in arguments.show:
            print(f"{number} {r.outcome}: {' > '.join(r.path)}: {r.text}", flush=True)

    counts, bad = campaign(arguments.runs, arguments.seed, arguments.length, report)
    print(table(counts))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
