"""Frames less an image: reductions, virtual images and parts compared with NumPy's on the dense difference."""

import contextlib

import hyperspy.api as hs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scan_images import scan_image

import hyperspy_sparse
from hyperspy_sparse import blocks, shifted
from hyperspy_sparse.mixin import SparseFramesMixin
from rsciio_tpx3 import CSRFrames

AXES = {
    "scan": (("x", "y"), (0, 1)),
    "detector": (("kx", "ky"), (2, 3)),
    "both": (("x", "y", "kx", "ky"), (0, 1, 2, 3)),
}
NAMES = "sum mean max min var std nansum nanmean nanmax nanvar".split()


def check(made, dense):
    values = made.data.compute() if made._lazy else made.data
    assert values.dtype == dense.dtype
    np.testing.assert_allclose(values, np.atleast_1d(dense), rtol=1e-11, atol=1e-11)


DIFFERENCES = {
    "mean pattern": lambda s: s - s.mean(axis=("x", "y")),
    "mean of each frame": lambda s: s - s.mean(axis=("kx", "ky")),
    "computed mean": lambda s: s - computed(s.mean(axis=("x", "y"))),
    "turned": lambda s: computed(s.mean(axis=("x", "y"))).data - s.data,
    "number": lambda s: s - 0.5,
    "plus an image": lambda s: s + hs.signals.Signal2D(np.arange(192).reshape(16, 12) * 0.1),
    "of a product": lambda s: s * 0.5 - computed(s.mean(axis=("x", "y"))),
    "normalised": lambda s: s / (s.sum(axis=("kx", "ky")) + 1) - 0.01,
}
DENSE = {
    "mean pattern": lambda c: c - c.mean(axis=(0, 1)),
    "mean of each frame": lambda c: c - c.mean(axis=(2, 3), keepdims=True),
    "computed mean": lambda c: c - c.mean(axis=(0, 1)),
    "turned": lambda c: c.mean(axis=(0, 1)) - c,
    "number": lambda c: c - 0.5,
    "plus an image": lambda c: c + np.arange(192).reshape(16, 12) * 0.1,
    "of a product": lambda c: c * 0.5 - c.mean(axis=(0, 1)),
    "normalised": lambda c: c / (c.sum(axis=(2, 3), keepdims=True) + 1) - 0.01,
}


def computed(signal):
    signal.compute(show_progressbar=False)
    return signal


@pytest.mark.slow
@pytest.mark.parametrize("which", [key for key in DIFFERENCES if key != "turned"])
def test_reductions_of_differences_equal_numpys(sparse_signal, counts, which):
    made, dense = DIFFERENCES[which](sparse_signal), DENSE[which](counts)
    assert isinstance(made, SparseFramesMixin)
    for name in NAMES:
        for axes, places in AXES.values():
            check(getattr(made, name)(axis=axes), getattr(np, name)(dense, axis=places))
    check(made, dense)


@pytest.mark.parametrize("which", ["mean pattern", "mean of each frame", "computed mean", "plus an image"])
@pytest.mark.parametrize("over", AXES)
@pytest.mark.parametrize("name", ["sum", "mean", "var", "std"])
def test_images_that_are_not_computed_yet_make_nothing_dense(sparse_signal, counts, which, over, name, monkeypatch):
    made, dense = DIFFERENCES[which](sparse_signal), DENSE[which](counts)

    def never(*args, **kwargs):
        raise AssertionError("frames were made dense")

    monkeypatch.setattr(CSRFrames, "todense", never)
    axes, places = AXES[over]
    check(getattr(made, name)(axis=axes), getattr(np, name)(dense, axis=places))


@pytest.mark.slow
@pytest.mark.parametrize("which", ["mean pattern", "mean of each frame", "computed mean", "number", "of a product"])
def test_sums_and_virtual_images_of_differences_make_nothing_dense(sparse_signal, counts, which, monkeypatch):
    made, dense = DIFFERENCES[which](sparse_signal), DENSE[which](counts)
    circle, box = hs.roi.CircleROI(0, 0, 0.4, 0.1), hs.roi.RectangularROI(-0.3, -0.4, 0.3, 0.5)
    whole = hs.signals.Signal2D(dense)
    for axis, like in zip(whole.axes_manager._axes, made.axes_manager._axes, strict=True):
        axis.scale, axis.offset = like.scale, like.offset
    images = [np.nansum(roi(whole, axes=whole.axes_manager.signal_axes).data, axis=(2, 3)) for roi in (circle, box)]
    part = made.inav[1:4, 1:].isig[2:9, 3:]
    assert isinstance(part, SparseFramesMixin)
    assert shifted.is_shifted(part.data)
    with monkeypatch.context() as patch:
        patch.setattr(CSRFrames, "todense", None)
        patch.setattr(CSRFrames, "__array__", None)
        check(made.sum(axis=("x", "y")), dense.sum(axis=(0, 1)))
        check(made.mean(axis=("kx", "ky")), dense.mean(axis=(2, 3)))
        check(made.get_integrated_intensity(circle), images[0])
        check(made.get_integrated_intensity(box), images[1])
        check(part.sum(axis=("x", "y")), dense[1:, 1:4, 3:, 2:9].sum(axis=(0, 1)))
        several = made.get_virtual_image([circle, box, circle])
        np.testing.assert_allclose(several.data.compute()[1], images[1], rtol=1e-11, atol=1e-11)
    check(part, dense[1:, 1:4, 3:, 2:9])
    check(made.inav[3, 2], dense[2, 3])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from([(3, 5, 1, 1), (16, 12), (1, 12), (3, 1, 1, 1), (1,)]).flatmap(
        lambda shape: hnp.arrays(np.float64, shape, elements=st.floats(-9, 9, width=32))
    ),
    st.sampled_from(NAMES), st.sampled_from(sorted(AXES)), st.booleans(),
)  # fmt: skip
def test_any_image_on_any_side(sparse_signal, counts, image, name, over, is_left):
    made = image - sparse_signal if is_left else sparse_signal + image
    dense = image - counts if is_left else counts + image
    axes, places = AXES[over]
    check(getattr(made, name)(axis=axes), getattr(np, name)(dense, axis=places))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("gap", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["scan", "detector"])
@pytest.mark.parametrize("lazy", [False, True])
def test_an_image_with_a_value_that_is_none(sparse_signal, counts, gap, which, lazy, monkeypatch):
    """Kind: a number that is added to all does not spread them; infinity does."""
    (nav, sig), other = (counts.shape[:2], counts.shape[2:]), "detector" if which == "scan" else "scan"
    values = np.random.default_rng(6).normal(size=nav if which == "scan" else sig)
    values[1, 2] = gap
    image = scan_image(values) if which == "scan" else hs.signals.Signal2D(values)
    made = sparse_signal - (image.as_lazy() if lazy else image)
    dense = counts - (values[..., None, None] if which == "scan" else values)
    for name in (*NAMES, "nanmin", "nanstd"):
        for over, (axes, places) in AXES.items():
            with monkeypatch.context() as patch:
                if over == other:  # the image is one number for all that are reduced
                    patch.setattr(CSRFrames, "todense", None)
                check(getattr(made, name)(axis=axes), getattr(np, name)(dense, axis=places))


def test_small_integers_run_over_as_numpys_do(sparse_signal, counts):
    made = sparse_signal - np.uint8(1)
    check(made.sum(axis=("x", "y")), (counts - np.uint8(1)).sum(axis=(0, 1)))


def test_persisted_differences_keep_frames_and_image(sparse_signal, counts):
    made = sparse_signal - sparse_signal.mean(axis=("x", "y"))
    made.persist()
    parts = shifted.behind(made.data)
    assert isinstance(made, SparseFramesMixin)
    check(made.std(axis=("x", "y")), (counts - counts.mean(axis=(0, 1))).std(axis=(0, 1)))
    assert parts.frames.dtype == counts.dtype


def test_copies_and_dense_forms(sparse_signal, counts):
    made, dense = sparse_signal - sparse_signal.mean(axis=("x", "y")), counts - counts.mean(axis=(0, 1))
    assert shifted.is_shifted(made.deepcopy().data)
    check(made.to_dense(), dense)
    check(made.rebin(scale=(1, 1, 2, 2)), dense.reshape(3, 5, 8, 2, 6, 2).sum(axis=(3, 5)))
    check(made.get_direct_beam_position(method="blur", sigma=2).inav[2, 1], check_blur(made, dense))
    made.compute(show_progressbar=False)
    check(made, dense)


def check_blur(made, dense):
    plain = made.to_dense()
    found = plain.get_direct_beam_position(method="blur", sigma=2)
    return found.inav[2, 1].data


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "float16", "bool"])
def test_an_image_of_a_small_type_is_converted_as_numpy_converts_it(dtype):
    """Added up over all frames in its own type it would wrap around, and unsigned numbers cannot be made negative."""
    rng = np.random.default_rng(3)
    counts = rng.poisson(1, (5, 6, 7, 11)).astype("float32")
    of_detector, of_scan = (rng.integers(90, 120, shape).astype(dtype) for shape in ((7, 11), (5, 6)))
    s = hyperspy_sparse.to_sparse(hs.signals.Signal2D(counts))
    images = ((hs.signals.Signal2D(of_detector), of_detector), (scan_image(of_scan), of_scan[..., None, None]))
    for image, values in images:
        for made, dense in (
            (s - image, counts - values),
            (image - s, values - counts),
            (s + image, counts + values),
            (s - image.as_lazy(), counts - values),
        ):
            for name in ("sum", "mean", "max", "min", "var"):
                for axes, places in ((s.axes_manager.navigation_axes, (0, 1)), (s.axes_manager.signal_axes, (2, 3))):
                    got = getattr(made, name)(axis=[a.index_in_axes_manager for a in axes]).data.compute()
                    np.testing.assert_allclose(got, getattr(dense, name)(axis=places), rtol=1e-4, atol=1e-4)


# -- extremes, to the last digit --------------------------------------------------------------------

SCANS = {"line": (7,), "image": (3, 5), "volume": (2, 3, 4)}
SIG = (6, 5)
OPERATIONS = {
    "less": lambda s, image: s - image,
    "turned": lambda s, image: image - s,
    "plus": lambda s, image: s + image,
}
GAPS = (np.nan, np.inf, -np.inf)


def _image_signal(values, kind, lazy):
    signal = hs.signals.Signal2D(values) if kind == "detector" else hs.signals.BaseSignal(values).T
    return signal.as_lazy() if lazy else signal


def _numbers(dtype, gaps):
    if np.dtype(dtype).kind != "f":
        limits = np.iinfo(dtype)
        return st.one_of(st.integers(0, 3), st.integers(int(limits.min), int(limits.max)))
    few = st.one_of(st.sampled_from([0.0, 0.1, -2.5, 1 / 3]), st.floats(-9, 9, width=32))
    return st.one_of(few, st.sampled_from(GAPS)) if gaps else few


@st.composite
def _differences(draw):
    scan, kind = draw(st.sampled_from(sorted(SCANS))), draw(st.sampled_from(["scan", "detector"]))
    nav = SCANS[scan]
    counted = draw(st.sampled_from(["uint8", "uint16", "int16", "float32", "float64"]))
    counts = draw(hnp.arrays(counted, nav + SIG, elements=_numbers(counted, True), fill=st.just(0)))
    # a pixel that is in each row, and one that is in all but one: those take the walk to its end
    counts[..., 1, 2], counts[..., 4, 3] = 1, 2
    counts[(-1,) * len(nav) + (4, 3)] = 0
    dtype = draw(st.sampled_from(["float64", "float32", "int64", "uint8", "int8"]))
    image = draw(hnp.arrays(dtype, nav if kind == "scan" else SIG, elements=_numbers(dtype, True)))
    return counts, image, kind, draw(st.sampled_from(sorted(OPERATIONS))), draw(st.booleans())


def _axes(signal, over):
    manager = signal.axes_manager
    axes = {"scan": manager.navigation_axes, "detector": manager.signal_axes, "both": manager._axes}[over]
    return [axis.index_in_axes_manager for axis in axes], tuple(sorted(axis.index_in_array for axis in axes))


@pytest.fixture
def several_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "SMALL_BLOCK", 1)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(_differences(), st.sampled_from(["max", "min", "nanmax", "nanmin"]), st.sampled_from(sorted(AXES)))
def test_extremes_equal_numpys_exactly(several_blocks, difference, name, over):
    counts, image, kind, operation, lazy = difference
    s = hyperspy_sparse.to_sparse(hs.signals.Signal2D(counts))
    dense = OPERATIONS[operation](counts, image[..., None, None] if kind == "scan" else image)
    made = OPERATIONS[operation](s, _image_signal(image, kind, lazy))
    axes, places = _axes(made, over)
    with pytest.MonkeyPatch.context() as patch:
        if shifted.is_shifted(made.data):
            patch.setattr(CSRFrames, "todense", None)
            patch.setattr(CSRFrames, "__array__", None)
        found = getattr(made, name)(axis=axes).data.compute()
    expected = np.atleast_1d(getattr(np, name)(dense, axis=places))
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    _differences(),
    st.sampled_from(["nansum", "nanmean", "nanmax", "nanmin", "nanvar", "nanstd"]),
    st.sampled_from(sorted(AXES)),
    st.sampled_from(["quotient", "product", "frames"]),
)
def test_floats_without_those_that_are_nan(several_blocks, difference, name, over, how):
    counts, image, kind, _, lazy = difference
    counts = counts.astype("float64" if how == "frames" else counts.dtype)
    s, own = hyperspy_sparse.to_sparse(hs.signals.Signal2D(counts)), image[..., None, None] if kind == "scan" else image
    other = _image_signal(image, kind, lazy)
    made, dense = {
        "quotient": lambda: (s / other, counts / own),
        "product": lambda: (s * 0.5, counts * 0.5),
        "frames": lambda: (s, counts),
    }[how]()
    axes, places = _axes(made, over)
    with pytest.MonkeyPatch.context() as patch:
        if isinstance(made.data._meta, CSRFrames) and how == "frames":
            patch.setattr(CSRFrames, "todense", None)
            patch.setattr(CSRFrames, "__array__", None)
        found = getattr(made, name)(axis=axes).data.compute()
    with np.errstate(all="ignore"):
        expected = np.atleast_1d(getattr(np, name)(dense, axis=places))
    assert found.dtype == expected.dtype
    if name in ("nanmax", "nanmin"):
        np.testing.assert_array_equal(found, expected)
    else:
        whole = dense[np.isfinite(dense)]
        size = max(np.abs(whole).max(initial=0), 1) ** (2 if name == "nanvar" else 1)
        digits = 1e-4 if dense.dtype == np.float32 else 1e-9
        np.testing.assert_allclose(found, expected, rtol=digits, atol=digits * size * dense.size**0.5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["max", "min", "nanmax", "nanmin", "nansum", "nanmean"])
@pytest.mark.parametrize("over", AXES)
@pytest.mark.parametrize("kind", ["scan", "detector"])
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("from_file", [False, True])
def test_nothing_is_made_dense_where_the_image_varies(
    sparse_signal, counts, name, over, kind, lazy, from_file, tmp_path, several_blocks, monkeypatch
):
    """Before, each chunk was."""
    s = sparse_signal
    if from_file:
        s.save(tmp_path / "scan.toml")
        s = hs.load(tmp_path / "scan.toml", lazy=True)
    values = np.random.default_rng(2).normal(size=counts.shape[:2] if kind == "scan" else counts.shape[2:])
    values[1, 2] = np.nan
    made = s - _image_signal(values, kind, lazy)
    dense = counts - (values[..., None, None] if kind == "scan" else values)
    axes, places = _axes(made, over)
    monkeypatch.setattr(CSRFrames, "todense", None)
    monkeypatch.setattr(CSRFrames, "__array__", None)
    found = getattr(made, name)(axis=axes).data.compute()
    expected = np.atleast_1d(getattr(np, name)(dense, axis=places))
    if name in ("nansum", "nanmean"):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
    else:
        np.testing.assert_array_equal(found, expected)


ROIS = [hs.roi.CircleROI(0, 0, 0.45), hs.roi.CircleROI(0.1, 0, 0.6, 0.3), hs.roi.RectangularROI(-0.3, -0.3, 0.2, 0.1)]


def under_regions(values, signal):
    """Sums that skip NaN, of dense values under `ROIS`."""
    images = []
    for roi in ROIS:
        numbers = hs.signals.Signal2D(np.arange(values[0, 0].size).reshape(values.shape[2:]).astype(float))
        for axis, of in zip(numbers.axes_manager.signal_axes, signal.axes_manager.signal_axes, strict=True):
            axis.scale, axis.offset = of.scale, of.offset
        cut = roi(numbers, axes=numbers.axes_manager.signal_axes).data
        mask = np.isin(np.arange(values[0, 0].size), cut[~np.isnan(cut)]).reshape(values.shape[2:])
        images.append(np.nansum(values[..., mask], axis=-1))
    return images


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("gap", [np.nan, -np.inf])
@pytest.mark.parametrize("which", ["scan", "detector"])
@pytest.mark.parametrize(
    ("lazy", "in_frames"),
    [(False, None), (True, None), (True, np.nan), pytest.param(False, np.inf, marks=pytest.mark.slow)],
)
def test_one_value_that_is_none_spoils_no_other_pixel(load, counts, gap, which, lazy, in_frames):
    """Kind: a value that is not a number belongs to its pixel alone, within a virtual detector and outside."""
    held = counts if in_frames is None else counts.astype(np.float64)
    if in_frames is not None:
        held[1, 1, 8, 7] = held[0, 1, 3, 2] = in_frames
    signal = load(held)
    values = np.random.default_rng(7).normal(size=held.shape[:2] if which == "scan" else held.shape[2:])
    values[1, 2] = gap
    for x, y in ((6, 8), (0, 15)) if which == "detector" else ((2, 1),):
        values[y, x] = gap
        image = scan_image(values) if which == "scan" else hs.signals.Signal2D(values)
        image = image.as_lazy() if lazy else image
        full = values[..., None, None] if which == "scan" else values
        for made, dense in ((signal - image, held - full), (full - signal, full - held), (signal + image, held + full)):
            expected = under_regions(dense, signal)
            if which == "detector" and lazy:  # which pixels to skip is not known before
                with contextlib.suppress(ValueError):
                    check(made.get_integrated_intensity(ROIS[1]), expected[1])
                continue
            check(made.get_integrated_intensity(ROIS[1]), expected[1])
            np.testing.assert_allclose(made.get_virtual_image(ROIS).data, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("place", ["image", "frames", "outside"])
def test_a_lazy_image_with_nan_under_a_detector_is_refused_with_the_way_out(load, counts, place):
    frames, values = counts.astype(np.float64), np.ones(counts.shape[2:])
    (frames[1, 1] if place == "frames" else values)[(0, 0) if place == "outside" else (8, 7)] = np.nan
    signal = load(frames)
    box = hs.roi.RectangularROI(*(axis.index2value(i) for i in (4, 9) for axis in signal.axes_manager.signal_axes))
    made = signal - hs.signals.Signal2D(values).as_lazy()
    expected = np.nansum((frames - values)[:, :, 4:9, 4:9], axis=(2, 3))
    if place == "outside":
        check(made.get_integrated_intensity(box), expected)
    else:
        with pytest.raises(ValueError, match=rf"NaN in the {place} .*image\.compute\(\)"):
            made.get_integrated_intensity(box).compute(show_progressbar=False)
    check((signal - hs.signals.Signal2D(values)).get_integrated_intensity(box), expected)
