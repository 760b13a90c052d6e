"""Line profiles over the scan and the detector compared with HyperSpy's own on the dense array."""

import hyperspy.api as hs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hyperspy_sparse
from hyperspy_sparse.mixin import SparseFramesMixin
from rsciio_tpx3 import CSRFrames

SLOW = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def dense_profile(signal, line, counts, axes=None, order=0):
    whole = hs.signals.Signal2D(counts)
    for axis, like in zip(whole.axes_manager._axes, signal.axes_manager._axes, strict=True):
        axis.name, axis.scale, axis.offset, axis.units = like.name, like.scale, like.offset, like.units
    return line(whole, axes=axes, order=order)


def check(made, like, ties=False):
    """Equal; with `ties`, a few samples between two counts, up to the last bit, may be rounded to the other one."""
    values = np.asarray(made.data.compute() if made._lazy else made.data)
    assert values.dtype == like.data.dtype
    apart = np.abs(values - like.data)
    if ties and apart.max() <= 1 and np.mean(apart > 1e-12) < 0.05:
        values = like.data
    np.testing.assert_allclose(values, like.data, rtol=1e-12, atol=1e-12)
    for axis, other in zip(made.axes_manager._axes, like.axes_manager._axes, strict=True):
        assert (axis.size, axis.units, axis.navigate) == (other.size, other.units, other.navigate)
        assert (axis.scale, axis.offset) == pytest.approx((other.scale, other.offset))
        assert str(axis.name) == str(other.name)


ends = st.floats(-0.2, 1.2).map(lambda share: round(share, 3))


@pytest.mark.slow
@SLOW
@given(
    st.tuples(ends, ends, ends, ends), st.sampled_from([0, 0.5, 1.0, 1.6]), st.integers(0, 3), st.sampled_from("uif")
)
def test_lines_over_the_scan_equal_hyperspys(sparse_signal, counts, place, width, order, kind):
    counts = counts.astype({"u": np.uint8, "i": np.int16, "f": np.float64}[kind])
    sparse = sparse_signal if kind == "u" else hyperspy_sparse.to_sparse(hs.signals.Signal2D(counts))
    for axis, like in zip(sparse.axes_manager._axes, sparse_signal.axes_manager._axes, strict=True):
        axis.name, axis.scale, axis.offset, axis.units = like.name, like.scale, like.offset, like.units
    x1, y1, x2, y2 = (2 + 2 * place[0], 1 + place[1], 2 + 2 * place[2], 1 + place[3])
    line = hs.roi.Line2DROI(x1, y1, x2, y2, linewidth=width)
    made = line(sparse, order=order)
    assert isinstance(made, SparseFramesMixin)
    # splines give halves that are one only up to the last bit, and HyperSpy rounds what it gets
    check(made, dense_profile(sparse, line, counts, order=order), ties=order > 1 and kind != "f")


@SLOW
@given(st.tuples(ends, ends, ends, ends), st.sampled_from([0, 0.25]), st.integers(0, 2), st.booleans())
def test_lines_over_the_detector_equal_hyperspys(sparse_signal, counts, place, width, order, turned):
    x1, y1, x2, y2 = (-0.6 + 1.1 * place[0], -0.8 + 1.5 * place[1], -0.6 + 1.1 * place[2], -0.8 + 1.5 * place[3])
    line = hs.roi.Line2DROI(*((y1, x1, y2, x2) if turned else (x1, y1, x2, y2)), linewidth=width)
    axes = ("ky", "kx") if turned else ("kx", "ky")
    made, like = line(sparse_signal, axes=axes, order=order), dense_profile(sparse_signal, line, counts, axes, order)
    check(made, like, ties=order > 1)


@pytest.mark.parametrize("axes", [("x", "y"), ("y", "x"), ("t", "x"), ("y", "t")])
@pytest.mark.parametrize("order", [0, 1])
def test_lines_over_two_of_three_scan_axes(axes, order):
    counts = np.random.default_rng(4).poisson(0.6, (4, 3, 5, 7, 6)).astype(np.uint8)
    dense = hs.signals.Signal2D(counts)
    for axis, name in zip(dense.axes_manager._axes, ("t", "y", "x", "ky", "kx"), strict=True):
        axis.name = name
    sparse, line = hyperspy_sparse.to_sparse(dense), hs.roi.Line2DROI(0.2, 0.4, 2.3, 1.9, linewidth=2)
    check(line(sparse, axes=axes, order=order), line(dense, axes=axes, order=order))


def test_profiles_stay_sparse_and_go_on(sparse_signal, counts, monkeypatch):
    line = hs.roi.Line2DROI(2.1, 1.1, 3.8, 1.9, linewidth=1)
    like = dense_profile(sparse_signal, line, counts, order=1)
    monkeypatch.setattr(CSRFrames, "todense", None)
    profile = line(sparse_signal, order=1)
    check(profile.sum(axis=("kx", "ky")), like.sum(axis=("kx", "ky")))
    check((profile * 2).max(axis=0), (like * 2).max(axis=0))


def test_profiles_of_products_and_parts(sparse_signal, counts):
    weight = np.linspace(0.5, 2, 15).reshape(3, 5)
    line = hs.roi.Line2DROI(2.0, 1.0, 4.0, 2.0, linewidth=1)
    product = sparse_signal * hs.signals.BaseSignal(weight).T
    check(line(product, order=1), dense_profile(sparse_signal, line, counts * weight[..., None, None], order=1))
    part = sparse_signal.inav[1:, 1:]
    check(line(part), dense_profile(part, line, counts[1:, 1:]))


def test_a_moved_line_changes_the_profile(sparse_signal, counts):
    line = hs.roi.Line2DROI(2.0, 1.0, 4.0, 1.0, linewidth=0)
    profile = line.interactive(sparse_signal, navigation_signal=None)
    line.y1 = line.y2 = 2.0
    np.testing.assert_array_equal(profile.data.compute(), counts[2])
    line.x1 = 3.0
    assert profile.axes_manager[0].size == 3
    np.testing.assert_array_equal(profile.data.compute(), counts[2, 2:])


def test_lines_that_hyperspy_refuses_are_refused(sparse_signal):
    with pytest.raises(ValueError, match="linewidth must be positive"):
        hs.roi.Line2DROI(2.0, 1.0, 4.0, 1.0, linewidth=-1)(sparse_signal)
    with pytest.raises(ValueError, match="order=7"):
        hs.roi.Line2DROI(2.0, 1.0, 4.0, 1.0)(sparse_signal, order=7)


@pytest.mark.parametrize("dtype", [np.bool_, np.float16])
@pytest.mark.parametrize("order", [0, 1])
def test_lines_over_frames_of_types_that_loops_do_not_know(counts, dtype, order):
    counts = counts.astype(dtype)
    sparse = hyperspy_sparse.to_sparse(hs.signals.Signal2D(counts))
    height, width = counts.shape[-2:]
    line = hs.roi.Line2DROI(0, 0, width - 1, height - 1, linewidth=0)
    axes = tuple(sparse.axes_manager.signal_axes)
    made = line(sparse, axes=axes, order=order)
    # scipy, which HyperSpy calls, refuses half floats
    dense = hs.signals.Signal2D(counts if dtype == np.bool_ else counts.astype(np.float64))
    expected = line(dense, axes=tuple(dense.axes_manager.signal_axes), order=order)
    np.testing.assert_allclose(np.asarray(made.data), expected.data, rtol=2e-3)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint8, np.uint16])
@pytest.mark.parametrize("axes", [("x", "y"), ("kx", "ky")])
@pytest.mark.parametrize("width", [0, 2.4])
def test_splines_beyond_the_type_of_the_counts_end_at_its_limits(dtype, axes, width):
    ends = np.iinfo(dtype)
    values = np.random.default_rng(7).choice(np.array([ends.min, ends.max, 0], dtype), (5, 6, 7, 8))
    dense = hs.signals.Signal2D(values)
    for axis, name in zip(dense.axes_manager._axes, ("y", "x", "ky", "kx"), strict=True):
        axis.name = name
    line = hs.roi.Line2DROI(0.3, 0.6, 4.2, 3.7, linewidth=width)
    made = line(hyperspy_sparse.to_sparse(dense.deepcopy()), axes=axes, order=3)
    np.testing.assert_allclose(np.asarray(made.data), line(dense, axes=axes, order=3).data, rtol=1e-9, atol=1e-6)
