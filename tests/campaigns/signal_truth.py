"""Signals of the random walks in NumPy: a dense array and a list of axes, and whether a signal agrees with them."""

from dataclasses import dataclass, replace

import dask.array as da
import hyperspy.api as hs
import numpy as np

import hyperspy_sparse
from hyperspy_sparse.twins import has_sparse_chunks
from tests.integration.same_results import check_class_and_chunks

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
        declared = found.dtype
        found = found.compute(scheduler="sync")
        if found.dtype != declared:
            raise Mismatch(f"type {found.dtype}, declared to dask as {declared}")
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
