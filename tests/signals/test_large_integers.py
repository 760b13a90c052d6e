"""Integers of 64 bits at the limits of their type, compared with the same calls of dense signals.

Where the result is an integer a sum runs over, as NumPy's does; where it is a float, NumPy adds floats.
"""

import hyperspy.api as hs
import numpy as np
import pytest
from pyxem.signals import ElectronDiffraction2D

import hyperspy_sparse

NAV, SIG = (3, 4), (5, 6)
DISK, SMALLER = hs.roi.CircleROI(3, 2.5, 2.1), hs.roi.CircleROI(2, 2, 1.2)
RECTANGLE = hs.roi.RectangularROI(1, 1, 4, 4)
OF_SCAN = hs.roi.CircleROI(1.5, 1.5, 1.3)
FRAME = np.arange(30).reshape(SIG) % 3
POSITIONS = np.arange(12).reshape(NAV) % 4


def dense(dtype):
    rng = np.random.default_rng(3)
    limits = np.iinfo(dtype)
    some = np.array([limits.max, limits.max - 1, limits.min, limits.min + 1, 1, 7], dtype=dtype)
    return ElectronDiffraction2D(np.where(rng.random(NAV + SIG) < 0.4, rng.choice(some, NAV + SIG), 0).astype(dtype))


def image(dtype):
    return hs.signals.Signal2D(FRAME.astype(dtype))


def scan(dtype):
    return hs.signals.BaseSignal(POSITIONS.astype(dtype)).T


def on_scan(s):
    return OF_SCAN(s, axes=s.axes_manager.navigation_axes)


def on_detector(s):
    return DISK(s, axes=s.axes_manager.signal_axes)


CALLS = {
    "sum": lambda s: s.sum(),
    "mean": lambda s: s.mean(),
    "mean of frames": lambda s: s.mean(axis=(2, 3)),
    "mean of all": lambda s: s.mean(axis=(0, 1, 2, 3)),
    "nanmean": lambda s: s.nanmean(axis=(0, 1)),
    "std": lambda s: s.std(axis=(2, 3)),
    "region": lambda s: s.get_integrated_intensity(DISK),
    "rectangle": lambda s: s.get_integrated_intensity(RECTANGLE),
    "two regions": lambda s: s.get_virtual_image([DISK, RECTANGLE]),
    "three regions": lambda s: s.get_virtual_image([DISK, SMALLER, RECTANGLE]),
    "sum on the scan": lambda s: on_scan(s).nansum(axis=(0, 1)),
    "mean on the scan": lambda s: on_scan(s).nanmean(axis=(0, 1)),
    "frames on the scan": lambda s: on_scan(s).nansum(axis=(2, 3)),
    "sum on the detector": lambda s: on_detector(s).nansum(axis=(2, 3)),
    "frames on the detector": lambda s: on_detector(s).sum(axis=(0, 1)),
    "less an image": lambda s: (s - image("f8")).sum(),
    "frames less an image": lambda s: (s - image("f4")).sum(axis=(2, 3)),
    "mean less an image": lambda s: (s - image("f8")).mean(axis=(0, 1, 2, 3)),
    "mean less a scan": lambda s: (s - scan("f8")).mean(),
    "region less an image": lambda s: (s - image("f8")).get_integrated_intensity(DISK),
    "region less a scan": lambda s: (s - scan("f8")).get_integrated_intensity(DISK),
    "times an image": lambda s: (s * image("f8")).sum(),
    "times a scan": lambda s: (s * scan("f8")).sum(axis=(2, 3)),
    "integers times an image": lambda s: (s * image(s.data.dtype)).sum(),
    "mean of integers times an image": lambda s: (s * image(s.data.dtype)).mean(),
    "mean of integers times a scan": lambda s: (s * scan(s.data.dtype)).mean(),
}


@pytest.mark.parametrize("lazy", [False, True], ids=["in memory", "lazy"])
@pytest.mark.parametrize("dtype", ["uint64", "int64"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_as_dense(call, dtype, lazy):
    s = dense(dtype)
    expected = call(s).data
    sparse = hyperspy_sparse.to_sparse(s.as_lazy() if lazy else s)
    if lazy:
        sparse.data = sparse.data.rechunk((2, 3, *SIG))
    found = np.asarray(call(sparse).data)
    assert found.dtype == expected.dtype
    if found.dtype.kind == "f":
        largest = 2.0**53 if dtype == "int64" else 0  # what is left of numbers with both signs
        np.testing.assert_allclose(found, expected, rtol=1e-6 if found.dtype == "f4" else 1e-12, atol=largest)
    else:
        np.testing.assert_array_equal(found, expected)
