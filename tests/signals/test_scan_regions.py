"""Regions, masks and weights over the scan: whatever they are of, the results are those of the dense signal."""

import warnings

import hyperspy.api as hs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hyperspy_sparse
from hyperspy_sparse.mixin import SparseFramesMixin
from tests.signals.scan_images import scan_image

MANY = settings(max_examples=40, deadline=None)
NAMES = ["sum", "mean", "var", "std", "max", "min"]
NAV, SIG = (0, 1), (2, 3)


def rectangle(share, n_x, n_y):
    left, top = int(share[0] * (n_x - 1)), int(share[1] * (n_y - 1))
    right, bottom = left + 1 + int(share[2] * (n_x - 1 - left)), top + 1 + int(share[3] * (n_y - 1 - top))
    return hs.roi.RectangularROI(left, top, right, bottom)


def circle(share, n_x, n_y):
    return hs.roi.CircleROI(round(share[0] * n_x, 1), round(share[1] * n_y, 1), 0.6 + round(share[2] * n_x, 1))


def ring(share, n_x, n_y):
    outer = 1.1 + round(share[2] * n_x, 1)
    return hs.roi.CircleROI(round(share[0] * n_x, 1), round(share[1] * n_y, 1), outer, round(share[3] * outer * 0.8, 1))


def polygon(share, n_x, n_y):
    x, y = share[0] * n_x / 2, share[1] * n_y / 2
    right, bottom = x + 1 + share[2] * n_x / 2, y + 1 + share[3] * n_y / 2
    return hs.roi.PolygonROI([(x, y), (right, y), (right, bottom), (x + share[3], (y + bottom) / 2)])


REGIONS = {function.__name__: function for function in (rectangle, circle, ring, polygon)}

# Each the same step for the sparse and for the dense signal.
ORIGINS = {
    "whole": lambda s: s,
    "isig": lambda s: s.isig[1:, :-2],
    "inav": lambda s: s.inav[:-1, 1:],
    "rebin": lambda s: s.rebin(scale=(1, 1, 2, 1)),
    "persisted": lambda s: _persisted(s),
}


def _persisted(signal):
    if signal._lazy:
        signal.data = signal.data.persist(scheduler="sync")
    return signal


@st.composite
def pairs(draw):
    """A sparse and a dense signal of the same counts."""
    n_y, n_x, height = draw(st.permutations([3, 4, 6]))
    shape = (n_y, n_x, height, 8)
    dtype = draw(st.sampled_from(["u1", "u2", "i4", "f8"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    counts = rng.poisson(draw(st.sampled_from([0.05, 0.6])), shape).astype(dtype)
    counts *= rng.integers(1, 120, shape).astype(dtype)
    counts[0, 1] = 0
    dense = hs.signals.Signal2D(counts)
    sparse = hyperspy_sparse.to_sparse(hs.signals.Signal2D(counts))
    if draw(st.booleans()):
        sparse.rechunk((1, n_x))
    origin = ORIGINS[draw(st.sampled_from(sorted(ORIGINS)))]
    return origin(sparse), origin(dense)


shares = st.tuples(*4 * [st.floats(0, 1).map(lambda share: round(share, 2))])


def values_of(result):
    return np.asarray(result.data.compute(scheduler="sync") if result._lazy else result.data)


def check(ours, theirs):
    ours, theirs = values_of(ours), values_of(theirs) if hasattr(theirs, "_lazy") else np.asarray(theirs)
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    exact = theirs.dtype.kind in "ui"
    np.testing.assert_allclose(ours, theirs, rtol=0 if exact else 1e-11, atol=0 if exact else 1e-11)


@pytest.mark.slow
@MANY
@given(pairs(), shares, st.sampled_from(sorted(REGIONS)), st.sampled_from(NAMES), st.booleans(), st.booleans())
def test_regions_equal_dense_ones(pair, share, region, name, over_scan, skips_nan):
    sparse, dense = pair
    n_x, n_y = dense.axes_manager.navigation_shape
    roi = REGIONS[region](share, n_x, n_y)
    name = f"nan{name}" if skips_nan else name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # frames of NaN alone
        try:
            part = roi(dense, axes=(0, 1))
        except ValueError:  # no position is in it
            with pytest.raises(ValueError):
                roi(sparse, axes=(0, 1))
            return
        if not part.data.size:  # HyperSpy's lazy signals can have no empty axis
            return
        for _ in range(2):
            check(*(getattr(s, name)(axis=NAV if over_scan else SIG) for s in (roi(sparse, axes=(0, 1)), part)))


@MANY
@given(pairs(), shares, st.booleans())
def test_lines_and_points_equal_dense_ones(pair, share, is_line):
    sparse, dense = pair
    n_x, n_y = dense.axes_manager.navigation_shape
    x1, x2, y1, y2 = share[0] * (n_x - 1), share[2] * (n_x - 1), share[1] * (n_y - 1), share[3] * (n_y - 1)
    if not is_line:
        point = hs.roi.Point2DROI(round(x1), round(y1))
        check(point(sparse, axes=(0, 1)), point(dense, axes=(0, 1)))
        return
    line = hs.roi.Line2DROI(x1, y1, x2 + 1, y2, linewidth=1 + share[0])
    made, theirs = line(sparse, axes=(0, 1)), line(dense, axes=(0, 1))
    check(made, theirs)
    for name in NAMES:
        check(*(getattr(s, name)(axis=0) for s in (made, theirs)))


@MANY
@given(pairs(), st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.5, 1.0]), st.booleans())
def test_masks_equal_numpys(pair, seed, share, over_scan):
    sparse, dense = pair
    mask = np.random.default_rng(seed).random(dense.data.shape[:2]) < share
    mask[1, 0] = True
    part, chosen = sparse.inav[mask], dense.data[mask]
    assert isinstance(part, SparseFramesMixin)
    for name in NAMES:
        result = getattr(part, name)(axis="position" if over_scan else part.axes_manager.signal_axes)
        check(result, getattr(np, name)(chosen, axis=0 if over_scan else (1, 2)))


@MANY
@given(pairs(), st.integers(0, 2**32 - 1), st.sampled_from(["f8", "f4", "i8", "?"]), st.booleans())
def test_weights_of_positions_equal_numpys(pair, seed, dtype, over_scan):
    sparse, dense = pair
    rng = np.random.default_rng(seed)
    weights = (rng.random(dense.data.shape[:2]) * 3 * (rng.random(dense.data.shape[:2]) < 0.6)).astype(dtype)
    product = dense.data * weights[..., None, None]
    for name in NAMES:
        result = getattr(sparse * scan_image(weights), name)(axis=NAV if over_scan else SIG)
        ours, theirs = values_of(result), getattr(np, name)(product, axis=(0, 1) if over_scan else (2, 3))
        if not over_scan and ours.shape != theirs.shape:  # a signal of one axis
            ours = ours.reshape(theirs.shape)
        assert ours.dtype == theirs.dtype
        rtol = {"f4": 1e-5}.get(product.dtype.str[1:], 1e-11)
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol)
