"""Steps of the random walks, from one signal with images to another: ``(signal, truth, rng, folder)`` to the first two.

Each is a function of `STEPS`, done by HyperSpy on the signal and by NumPy on the truth.
"""

import operator
from dataclasses import replace

import hyperspy.api as hs
import numpy as np

import hyperspy_sparse
from hyperspy_sparse.twins import has_sparse_chunks
from tests.campaigns.signal_truth import LARGEST, TYPES, Axis, NotHere, Truth

STEPS = {}


def step(function):
    STEPS[function.__name__.lstrip("_")] = function
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


_REQUESTED_SHARE = 16  # larger operands are not asked as a whole what becomes of zeros


def _stays(function, t, values, turned):
    """Whether zeros stay zeros for an operand that is smaller than the frames, so that frames have to come out."""
    if np.ndim(values) == t.array.ndim or _REQUESTED_SHARE * np.size(values) > t.array.size:
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
