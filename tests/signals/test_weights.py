"""Frames times images of the scan and the detector: sums without the product, parts, and what users write."""

import operator

import hyperspy.api as hs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scan_images import scan_image

import hyperspy_sparse
from hyperspy_sparse import recipes, reductions
from hyperspy_sparse.kernels.weights import Masks
from hyperspy_sparse.mixin import SparseFramesMixin
from rsciio_tpx3 import CSRFrames

NAV_AXES, SIG_AXES = ("x", "y"), ("kx", "ky")
ANY = settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)


def weights(shape):
    floats = hnp.arrays(np.float64, shape, elements=st.floats(-4, 4, width=16))
    integers = hnp.arrays(np.int64, shape, elements=st.integers(-5, 5))
    return st.one_of(floats, integers, hnp.arrays(np.bool_, shape), hnp.arrays(np.uint8, shape))


def check(sparse, dense):
    values = sparse.data.compute() if sparse._lazy else sparse.data
    assert values.dtype == dense.dtype
    if dense.dtype.kind in "ui":
        np.testing.assert_array_equal(values, dense)
    else:
        np.testing.assert_allclose(values, dense, rtol=1e-12, atol=1e-12)


@ANY
@given(weights((3, 5)), st.sampled_from("sum mean var std max min nansum nanmean nanmax".split()), st.booleans())
def test_weights_of_positions_equal_numpy(sparse_signal, counts, weight, name, over_scan):
    product, dense = sparse_signal * scan_image(weight), counts * weight[..., None, None]
    assert isinstance(product, SparseFramesMixin)
    axes = NAV_AXES if over_scan else SIG_AXES
    check(getattr(product, name)(axis=axes), getattr(np, name)(dense, axis=(0, 1) if over_scan else (2, 3)))


@ANY
@given(weights((16, 12)), st.sampled_from("sum mean var max".split()), st.booleans())
def test_weights_of_pixels_equal_numpy(sparse_signal, counts, weight, name, over_scan):
    product, dense = sparse_signal * hs.signals.Signal2D(weight), counts * weight
    axes = NAV_AXES if over_scan else SIG_AXES
    check(getattr(product, name)(axis=axes), getattr(np, name)(dense, axis=(0, 1) if over_scan else (2, 3)))


@pytest.mark.slow
@ANY
@given(weights((3, 5)), weights((3, 5)), weights((16, 12)))
def test_products_of_products_are_sums_without_them_too(sparse_signal, counts, one, two, three):
    signal = sparse_signal * scan_image(one) * scan_image(two) * hs.signals.Signal2D(three)
    dense = counts * one[..., None, None] * two[..., None, None] * three
    check(signal.sum(axis=NAV_AXES), dense.sum(axis=(0, 1)))
    check(signal.sum(axis=SIG_AXES), dense.sum(axis=(2, 3)))


FORMS = {
    "array": lambda s, w: s * w[..., None, None],
    "array on the left": lambda s, w: w[..., None, None] * s,
    "signal": lambda s, w: s * scan_image(w),
    "lazy signal": lambda s, w: s * scan_image(w).as_lazy(),
    "signal on the left": lambda s, w: scan_image(w) * s,
    "numpy function": lambda s, w: np.multiply(s, w[..., None, None]),
    "divided": lambda s, w: s / scan_image(1 / w),
    "divided by an array": lambda s, w: s / (1 / w)[..., None, None],
    "normalised": lambda s, w: s * scan_image(w) / scan_image(np.ones((3, 5))),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_weights_in_every_form(sparse_signal, counts, form, monkeypatch):
    weight = np.random.default_rng(3).random((3, 5)) + 0.1
    dense = counts * weight[..., None, None]
    made = FORMS[form](sparse_signal, weight)
    part = made.inav[1:4, 1:].isig[2:9, 3:]
    frame = made.inav[3, 2]
    image = made.get_integrated_intensity(hs.roi.CircleROI(0, 0, 0.4)) if hasattr(made, "calibration") else None
    with monkeypatch.context() as patch:
        patch.setattr(CSRFrames, "todense", None)
        nav = made.axes_manager.navigation_axes  # named as those of the left operand
        total, brightest = made.sum(axis=nav), made.max(axis=nav)
        check(total, dense.sum(axis=(0, 1)))
        check(brightest, dense.max(axis=(0, 1)))
        check(part.sum(axis=(0, 1)), dense[1:, 1:4, 3:, 2:9].sum(axis=(0, 1)))
    check(frame, dense[2, 3])
    check(made, dense)
    if image is not None:
        plain = hyperspy_sparse.to_sparse(hs.signals.Signal2D(dense))
        for axis, like in zip(plain.axes_manager._axes, sparse_signal.axes_manager._axes, strict=True):
            axis.scale, axis.offset = like.scale, like.offset
        circle = hs.roi.CircleROI(0, 0, 0.4)(plain, axes=plain.axes_manager.signal_axes)
        np.testing.assert_allclose(image.data.compute(), np.nansum(circle.data.compute(), axis=(2, 3)), rtol=1e-12)


def test_normalising_by_the_counts_of_a_position_takes_no_dense_chunk(sparse_signal, counts, monkeypatch):
    monkeypatch.setattr(CSRFrames, "todense", None)
    made = sparse_signal / (sparse_signal.sum(axis=SIG_AXES) + 1)
    dense = counts / (counts.sum(axis=(2, 3), keepdims=True) + 1)
    check(made.sum(axis=NAV_AXES), dense.sum(axis=(0, 1)))
    check(made.mean(axis=SIG_AXES), dense.mean(axis=(2, 3)))


def test_frames_without_counts_become_nan_when_divided_by_them(sparse_signal, counts):
    with np.errstate(invalid="ignore"):
        dense = counts / counts.sum(axis=(2, 3), keepdims=True)
    made = sparse_signal / sparse_signal.sum(axis=SIG_AXES)
    check(made, dense)
    check(made.sum(axis=NAV_AXES), dense.sum(axis=(0, 1)))


def test_weights_that_are_not_finite_reach_pixels_without_entries(sparse_signal, counts):
    weight = np.ones((3, 5))
    weight[2, 1], weight[0, 0] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        dense = (counts * weight[..., None, None]).sum(axis=(0, 1))
    check((sparse_signal * scan_image(weight)).sum(axis=NAV_AXES), dense)


def test_small_integers_run_over_as_numpys_do(sparse_signal, counts):
    weight = np.full((3, 5), 200, np.uint8)
    check((sparse_signal * scan_image(weight)).sum(axis=NAV_AXES), (counts * weight[..., None, None]).sum(axis=(0, 1)))


def test_the_sum_of_a_product_reads_the_frames_and_not_the_product(sparse_signal):
    product = sparse_signal * scan_image(np.linspace(0, 1, 15).reshape(3, 5))
    answer = reductions.reduced("sum", product.data, (0, 1))
    assert product.data.name not in answer.dask.layers
    assert recipes.recipe_of(product.data).function is operator.mul
    assert recipes.recipe_of(product.deepcopy().data) is not None


def test_blocks_of_what_was_made_are_those_of_the_frames(sparse_signal, counts):
    made = sparse_signal / scan_image(np.full((3, 5), 2.0))
    check(made.max(axis=NAV_AXES), counts.max(axis=(0, 1)) / 2)
    [blocks] = vars(made.data)["_blocks"].values()
    assert blocks.npartitions < made.data.npartitions


MASKS = {
    "inav": lambda s, m: s.inav[m],
    "inav of a signal": lambda s, m: s.inav[scan_image(m)],
    "inav of a lazy signal": lambda s, m: s.inav[scan_image(m).as_lazy()],
    "inav of lists": lambda s, m: s.inav[m.tolist()],
    "select": hyperspy_sparse.select,
    "select from a product": lambda s, m: hyperspy_sparse.select(s * 1, m),
}


@pytest.mark.parametrize("form", MASKS)
def test_boolean_selection_in_every_form(sparse_signal, counts, form):
    mask = counts.sum(axis=(2, 3)) % 3 == 0
    part = MASKS[form](sparse_signal, mask)
    assert isinstance(part, SparseFramesMixin)
    np.testing.assert_array_equal(np.asarray(part), counts[mask])
    np.testing.assert_array_equal(part.sum(axis=0).data.compute(), counts[mask].sum(axis=0))


def test_chosen_positions_of_a_product_are_the_product_of_the_chosen(sparse_signal, counts):
    weight, mask = np.arange(15).reshape(3, 5) * 0.5, counts.sum(axis=(2, 3)) % 2 == 0
    part = (sparse_signal * scan_image(weight)).inav[mask]
    check(part, (counts * weight[..., None, None])[mask])
    assert recipes.recipe_of(part.data) is not None


def test_masks_of_another_shape_are_refused_by_inav(sparse_signal):
    with pytest.raises(ValueError, match="array of bool of the shape of the scan"):
        sparse_signal.inav[np.ones((5, 3), bool)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("many", [False, True])
def test_a_pixel_outside_of_a_mask_may_be_infinite(value, many):
    """Kind: what lies outside of a mask is excluded; zero times infinity would be NaN."""
    rng = np.random.default_rng(3)
    dense = rng.poisson(0.5, (9, 7, 5)).astype(np.float32)
    dense[2, 1, 1], dense[4, 5, 2] = value, value
    masks = rng.random((6 if many else 1, 7, 5)) < 0.5
    masks[0, 1, 1], masks[0, 5, 2] = False, True
    expected = np.stack([dense[:, mask].sum(axis=1, dtype=np.float64) for mask in masks], axis=1)
    frames = CSRFrames.from_dense(dense)
    np.testing.assert_allclose(Masks(masks).sums(frames, np.float64), expected, rtol=1e-12)
