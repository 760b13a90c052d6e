"""Every kernel compared with the image function that it stands for."""

import hyperspy.api as hs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyxem.utils._azimuthal_integrations import (
    _slice_radial_integrate,
    _slice_radial_integrate1d,
)
from pyxem.utils.diffraction import center_of_mass_from_image

import hyperspy_sparse
from hyperspy_sparse import calibration_cache
from hyperspy_sparse.kernels import find_kernel, known_kernels
from hyperspy_sparse.kernels.center_of_mass import center_of_mass
from hyperspy_sparse.kernels.weights import Masks, PixelWeights
from rsciio_tpx3 import CSRFrames

quick = settings(max_examples=40, deadline=None)
SIG = (7, 9)
SIGNAL = (16, 12)  # of the signal that the fixtures make


@st.composite
def stacks(draw, dtypes=(np.uint8, np.uint16, np.float64)):
    n = draw(st.integers(1, 4))
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    top = 255 if dtype.itemsize == 1 else 999
    elements = st.integers(0, top).map(dtype.type)
    return draw(hnp.arrays(dtype, (n, *SIG), elements=elements, fill=st.just(dtype.type(0))))


masks = hnp.arrays(np.bool_, SIG)


def both(function, dense, **options):
    """Answers of the kernel and of the image function."""
    kernel = find_kernel(function, dense.shape[1:], dense.dtype, options)
    assert kernel is not None
    shape, dtype = kernel.output_of(dense.shape[1:], dense.dtype)
    ours = kernel(CSRFrames.from_dense(dense))
    assert ours.shape == (len(dense), *shape) and ours.dtype == dtype
    with np.errstate(all="ignore"):
        return ours, np.stack([function(frame.copy(), **options) for frame in dense])


@pytest.mark.slow
@quick
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(stacks(), st.none() | masks)
def test_center_of_mass(dense, mask):
    ours, theirs = both(center_of_mass_from_image, dense, mask=mask)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("shape", [(4096, 256), (256, 4096), (1013, 1031), (1024, 1024), (331, 3167)])
def test_center_of_mass_in_single_precision_finds_every_pixel(shape):
    n = shape[0] * shape[1]
    y, x = np.divmod(np.arange(n), shape[1])
    pixels = np.arange(n, dtype=np.int32)
    one_each = CSRFrames((np.full(n, 255, np.uint8), pixels, np.arange(n + 1)), shape=(n, *shape))
    np.testing.assert_array_equal(center_of_mass(one_each), np.column_stack([x, y]))
    full = CSRFrames((np.full(n, 255, np.uint8), pixels, np.array([0, n])), shape=(1, *shape))
    expected = [((shape[1] - 1) / 2, (shape[0] - 1) / 2)]
    np.testing.assert_array_equal(center_of_mass(full), expected)


@quick
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(stacks((np.uint8, np.uint16)), st.none() | masks, st.floats(0, 20))
def test_center_of_mass_with_threshold(dense, mask, threshold):
    ours, theirs = both(center_of_mass_from_image, dense, mask=mask, threshold=threshold)
    np.testing.assert_array_equal(ours, theirs)


def test_center_of_mass_declines_what_it_cannot_repeat_exactly():
    options = {"mask": None, "threshold": 1.0}
    assert find_kernel(center_of_mass_from_image, SIG, np.dtype(float), options) is None
    options = {"mask": np.ones((3, 3)), "threshold": None}
    assert find_kernel(center_of_mass_from_image, SIG, np.dtype("u1"), options) is None


@st.composite
def rings(draw):
    """Pixels with fractions for some bins, as pyXem lists them."""
    n_bins = draw(st.integers(1, 4))
    sizes = draw(st.lists(st.integers(0, 5), min_size=n_bins, max_size=n_bins))
    n = sum(sizes)
    place = st.tuples(st.integers(0, SIG[0] - 1), st.integers(0, SIG[1] - 1))
    indexes = np.array(draw(st.lists(place, min_size=n, max_size=n)), dtype=int).reshape(n, 2)
    factors = np.array(draw(st.lists(st.floats(0, 1), min_size=n, max_size=n)), dtype=float)
    return {"indexes": indexes, "factors": factors, "factor_slices": np.cumsum([0, *sizes])}


@pytest.mark.slow
@quick
@given(stacks((np.uint8, np.float64)), rings(), st.none() | masks, st.booleans())
def test_radial_integration_is_that_of_pyxem(dense, options, mask, mean):
    # The compiled original would be compiled again for each kind of mask.
    original = _slice_radial_integrate1d.py_func
    options = {**options, "mask": mask, "mean": mean}
    kernel = find_kernel(_slice_radial_integrate1d, SIG, dense.dtype, options)
    ours = kernel(CSRFrames.from_dense(dense))
    theirs = np.stack([original(frame, **options) for frame in dense])
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@st.composite
def boxes(draw):
    n_rad, n_azim = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    slices, factors, spans = [], [], [0]
    for _ in range(n_rad * n_azim):
        y, x = draw(st.integers(0, SIG[0] - 1)), draw(st.integers(0, SIG[1] - 1))
        h, w = draw(st.integers(0, SIG[0] - y)), draw(st.integers(0, SIG[1] - x))
        slices.append((y, x, y + h, x + w))
        values = st.sampled_from([0.0, 0.25, 1.0])
        factors += draw(st.lists(values, min_size=h * w, max_size=h * w))
        spans.append(len(factors))
    return {
        "factors": np.array(factors, dtype=float),
        "factors_slice": np.column_stack([spans[:-1], spans[1:]]),
        "slices": np.array(slices),
        "npt_rad": n_rad,
        "npt_azim": n_azim,
    }


@pytest.mark.slow
@quick
@given(stacks((np.uint8, np.float64)), boxes(), st.none() | masks, st.booleans())
def test_azimuthal_integration_is_that_of_pyxem(dense, options, mask, mean):
    original = getattr(_slice_radial_integrate, "py_func", _slice_radial_integrate)
    options = {**options, "mask": mask, "mean": mean}
    kernel = find_kernel(_slice_radial_integrate, SIG, dense.dtype, options)
    ours = kernel(CSRFrames.from_dense(dense))
    theirs = np.stack([original(frame, **options) for frame in dense])
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@quick
@given(stacks((np.uint8, np.uint16)), st.lists(masks, min_size=1, max_size=12))
def test_many_masks_in_one_pass(dense, several):
    ours = Masks(several).sums(CSRFrames.from_dense(dense), np.uint64)
    theirs = np.stack([(dense * m).sum(axis=(1, 2), dtype=np.uint64) for m in several], axis=1)
    np.testing.assert_array_equal(ours, theirs)


def brightest(image):
    return image.max()


def test_a_registered_kernel_runs_and_may_decline(sparse_signal, counts):
    shapes = []

    @hyperspy_sparse.register_kernel(brightest)
    def of_frames(frames, offset=None):
        shapes.append(frames.shape)
        return NotImplemented if offset else frames.max(axis=(1, 2))

    assert brightest in known_kernels()
    result = sparse_signal.map(brightest, inplace=False)
    np.testing.assert_array_equal(result.data.compute(), counts.max(axis=(2, 3)))
    assert shapes[0] == (1, 16, 12) and len(shapes) > 1
    assert result.axes_manager.navigation_shape == (5, 3)


def test_a_kernel_that_declines_a_chunk_leaves_it_to_the_function(sparse_signal, counts):
    def total(image):
        return image.sum()

    def only_empty(frames):
        return NotImplemented if frames.nnz else np.zeros(frames.n_frames, np.uint64)

    hyperspy_sparse.register_kernel(total, only_empty)
    result = sparse_signal.map(total, inplace=False)
    np.testing.assert_array_equal(result.data.compute(), counts.sum(axis=(2, 3)))


def test_what_cannot_be_called_is_no_kernel():
    with pytest.raises(TypeError, match="cannot be called"):
        hyperspy_sparse.register_kernel(brightest, 3)


def test_map_runs_the_function_itself_where_signals_iterate(sparse_signal, counts):
    factor = hs.signals.BaseSignal(np.arange(15).reshape(3, 5)).T
    result = sparse_signal.map(lambda image, factor: image.sum() * factor, factor=factor, inplace=False)
    np.testing.assert_array_equal(result.data.compute(), counts.sum(axis=(2, 3)) * np.arange(15).reshape(3, 5))


def test_kernels_are_used_where_pyxem_maps_its_functions(sparse_signal, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("a frame was made dense")

    s = sparse_signal
    s.calibration.center, s.calibration.units = (6, 8), "k_A^-1"

    results = [
        s.get_direct_beam_position(method="center_of_mass"),
        s.get_azimuthal_integral1d(npt=5),
        s.get_azimuthal_integral2d(npt=5, npt_azim=8),
        s.get_integrated_intensity(hs.roi.RectangularROI(-0.3, -0.3, 0.2, 0.4)),
        s.sum(),
        s.max(),
        s.std(),
        s.var(axis=("kx", "ky")),
        s.rebin(scale=(1, 1, 2, 2)),
        s.isig[2:5] * 2 > 1,
    ]
    monkeypatch.setattr(CSRFrames, "todense", never)
    monkeypatch.setattr(CSRFrames, "frame", never)
    for result in results:
        result.data.compute()


def test_one_geometry_is_worked_out_once(sparse_signal):
    calibration_cache._CACHE.clear()
    s = sparse_signal
    s.calibration.center, s.calibration.units = (6, 8), "k_A^-1"
    s.get_azimuthal_integral1d(npt=5)
    before = list(calibration_cache._CACHE)
    s.inav[1:].get_azimuthal_integral1d(npt=5, mean=True)
    assert list(calibration_cache._CACHE) == before
    s.calibration.center = (5, 8)
    s.get_azimuthal_integral1d(npt=5)
    assert len(calibration_cache._CACHE) > len(before)


def test_a_mask_that_was_changed_in_place_is_not_mistaken_for_the_old_one(sparse_signal, counts):
    s = sparse_signal
    s.calibration.center, s.calibration.units = (6, 8), "k_A^-1"
    mask = np.zeros(SIGNAL, dtype=bool)
    whole = s.get_azimuthal_integral1d(npt=3, mask=mask).data.compute()
    mask[:8] = True
    part = s.get_azimuthal_integral1d(npt=3, mask=mask).data.compute()
    again = s.get_azimuthal_integral1d(npt=3, mask=mask.copy()).data.compute()
    assert part.sum() < whole.sum()
    np.testing.assert_array_equal(part, again)
    s.calibration.center = (3, 8)
    assert (s.get_azimuthal_integral1d(npt=3, mask=mask).data.compute() != part).any()


def test_a_kernel_is_prepared_once_for_one_geometry(sparse_signal, monkeypatch):
    s = sparse_signal
    s.calibration.center, s.calibration.units = (6, 8), "k_A^-1"
    s.get_azimuthal_integral2d(npt=4, npt_azim=5)

    def never(*args):
        raise AssertionError("prepared again")

    monkeypatch.setattr(PixelWeights, "build", never)
    s.inav[1:].get_azimuthal_integral2d(npt=4, npt_azim=5)


@quick
@given(stacks(), st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 16]))
def test_quotients_are_products_divided_also_where_sums_cancel(dense, seed, n_columns):
    rng = np.random.default_rng(seed)
    n_weights = int(rng.integers(0, 3 * dense[0].size))
    weight = rng.integers(-1, 2, n_weights).astype(float)
    parts = rng.integers(0, dense[0].size, n_weights), rng.integers(0, n_columns, n_weights), weight
    weights = PixelWeights.build(*parts, SIG, n_columns)
    frames, out = CSRFrames.from_dense(dense), np.full((len(dense), n_columns), np.nan)
    weights.write_quotient(frames, 3, out)
    matrix = np.zeros((dense[0].size, n_columns))
    np.add.at(matrix, parts[:2], weight)
    product = dense.reshape(len(dense), -1).astype(float) @ matrix
    np.testing.assert_array_equal(weights.product(frames), product)
    np.testing.assert_array_equal(out, product / 3)
