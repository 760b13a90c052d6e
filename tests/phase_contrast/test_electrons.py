"""Halves of the electrons are the whole, whatever the chunks; and pictures that grow line by line end as the whole."""

import dask
import hyperspy.api as hs
import numpy as np
import phase_object as po
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from sparse_scans import sparse_scan

import hyperspy_sparse
from hyperspy_sparse.interop.exchange import direct_arguments
from hyperspy_sparse.phase_contrast import LineAccumulator
from hyperspy_sparse.phase_contrast.groups import Disk, make_groups
from hyperspy_sparse.phase_contrast.optics import Known, find_optics
from rsciio_tpx3 import CSRFrames, simulate

NAV, SIG = (5, 7), (13, 9)


def _dense(signal):
    return np.asarray(signal.data.compute().todense()).astype(np.int64)


@pytest.mark.slow
@given(mean=st.sampled_from([0.02, 0.5, 3, 40, 900]), seed=st.integers(0, 2**63 - 1), chunk=st.integers(1, 5))
def test_halves_add_up_to_the_whole_and_do_not_depend_on_chunks(mean, seed, chunk):
    counts = np.random.default_rng(seed).poisson(mean, (*NAV, *SIG)).astype(np.uint16)
    one, other = hyperspy_sparse.split_electrons(sparse_scan(counts, chunk), seed)
    np.testing.assert_array_equal(_dense(one) + _dense(other), counts)
    again = hyperspy_sparse.split_electrons(sparse_scan(counts), seed)[0]
    np.testing.assert_array_equal(_dense(again), _dense(one))
    # behind other steps there is no source any more
    moved = sparse_scan(counts, chunk) + np.uint16(0)
    np.testing.assert_array_equal(_dense(hyperspy_sparse.split_electrons(moved, seed)[0]), _dense(one))


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 200])
def test_counts_are_binomial_and_independent(n):
    counts = np.full((20, 25, 16, 17), n, np.uint8)
    one = _dense(hyperspy_sparse.split_electrons(sparse_scan(counts), 3)[0])
    many = one.size
    assert abs(one.mean() - n / 2) < 5 * np.sqrt(n / 4 / many)
    assert one.var() == pytest.approx(n / 4, rel=5 * np.sqrt(2 / many) + 0.001)
    for shifted in (np.roll(one, 1, 0), np.roll(one, 1, 1), np.roll(one, 1, 2), np.roll(one, 1, 3)):
        assert abs(po.correlation(one, shifted)) < 5 / np.sqrt(many)
    others = _dense(hyperspy_sparse.split_electrons(sparse_scan(counts), 4)[0])
    assert abs(po.correlation(one, others)) < 5 / np.sqrt(many)


@pytest.mark.slow
def test_a_recording_is_split_alike_by_threads_and_processes(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (9, 14), dwell_time="5 us", electrons_per_position=40, layout="single")
    s = hs.load(path, navigation_shape=(14, 9), lazy=True)
    one, other = hyperspy_sparse.split_electrons(s)
    assert type(one) is type(s) and one.metadata.General.title == "scan (half 1)"
    np.testing.assert_array_equal(_dense(one) + _dense(other), _dense(s))
    with dask.config.set(scheduler="processes"):
        np.testing.assert_array_equal(_dense(hyperspy_sparse.split_electrons(s)[0]), _dense(one))
    kernel = one.get_direct_beam_position(method="center_of_mass")
    assert kernel.axes_manager.navigation_shape == (14, 9)


def test_what_has_no_electrons_is_refused():
    with pytest.raises(ValueError, match="not counts of electrons"):
        hyperspy_sparse.split_electrons(sparse_scan(np.ones((2, 3, 4, 5), np.float32)))
    with pytest.raises(ValueError, match="seed=-1"):
        hyperspy_sparse.split_electrons(sparse_scan(np.ones((2, 3, 4, 5), np.uint8)), -1)


def _picture(values, step=0.1):
    picture = hs.signals.Signal2D(values)
    for axis in picture.axes_manager.signal_axes:
        axis.scale, axis.units = step, "nm"
    return picture


def test_ring_correlation_is_one_for_signal_and_none_for_noise():
    rng = np.random.default_rng(0)

    signal = gaussian_filter(rng.normal(size=(96, 80)), 3) * 20
    one, other = (_picture(signal + rng.normal(size=signal.shape)) for _ in range(2))
    curve = hyperspy_sparse.fourier_ring_correlation(one, other)
    axis = curve.axes_manager.signal_axes[0]
    assert axis.units == "1/nm" and axis.scale == pytest.approx(1 / 8)
    assert (curve.data[1:4] > 0.9).all() and abs(curve.data[20:].mean()) < 0.1
    np.testing.assert_allclose(hyperspy_sparse.fourier_ring_correlation(one, one).data, 1, atol=1e-12)
    error = hyperspy_sparse.error_map(one, other, 8)
    # half of the difference of two pictures with a deviation of 1
    assert error.data.mean() == pytest.approx(np.sqrt(0.5), rel=0.05)
    with pytest.raises(ValueError, match="same shape"):
        hyperspy_sparse.error_map(one, _picture(signal[1:]))
    with pytest.raises(ValueError, match="width=0"):
        hyperspy_sparse.error_map(one, other, 0)
    with pytest.raises(TypeError, match="(?s)other=.*expected a signal"):
        hyperspy_sparse.error_map(one, other.data)


@pytest.mark.slow
def test_error_map_of_a_phase_is_the_scatter_of_the_phase():
    scans = [hyperspy_sparse.data.phase_object((24, 28), electrons=100, seed=seed) for seed in range(12)]
    phases = np.array([hyperspy_sparse.phase(s).data for s in scans])
    halves = hyperspy_sparse.split_electrons(scans[0])
    error = hyperspy_sparse.error_map(*(hyperspy_sparse.phase(half) for half in halves), 6)
    assert error.data.mean() == pytest.approx(phases.std(axis=0, ddof=1).mean(), rel=0.2)


# -- line by line --------------------------------------------------------------------------------------


@pytest.mark.slow
@given(seed=st.integers(0, 999), cuts=st.lists(st.integers(0, 35), max_size=6))
def test_lines_add_up_to_the_whole_in_any_order(seed, cuts):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.4, (*NAV, *SIG)).astype(np.uint8)
    frames = CSRFrames.from_dense(counts.reshape(-1, *SIG))
    groups = make_groups(Disk(6.2, 4.1, 3.6), SIG, 4)
    accumulator = LineAccumulator(groups, NAV)
    ends = sorted({0, 35, *cuts})
    for i in rng.permutation(len(ends) - 1):
        accumulator.add(frames[ends[i] : ends[i + 1]], ends[i])
    stack = hyperspy_sparse.tilted_images(sparse_scan(counts), 4, center=(4.1, 6.2), radius=3.6)
    np.testing.assert_array_equal(accumulator.images, np.asarray(stack.data))
    np.testing.assert_array_equal(accumulator.counts, counts.sum(axis=(2, 3)))
    y, x = np.mgrid[: SIG[0], : SIG[1]]
    with np.errstate(invalid="ignore"):
        expected = np.stack([(counts * a).sum(axis=(2, 3)) / counts.sum(axis=(2, 3)) for a in (x, y)], axis=-1)
    np.testing.assert_array_equal(accumulator.center_of_mass(), expected)
    assert accumulator.seen.all()


def test_picture_so_far_and_picture_at_the_end():
    s = hyperspy_sparse.data.phase_object((24, 28), electrons=300)
    stack = hyperspy_sparse.tilted_images(s, 10)
    node = stack.metadata.Tilted_images
    groups = make_groups(Disk(node.center[1], node.center[0], node.radius), (64, 64), 10)
    optics = find_optics(Known.of(s), node.radius)
    accumulator = LineAccumulator(groups, (24, 28))
    assert not accumulator.phase(optics).any()
    for line in range(24):
        accumulator.add(s.data[line].compute(), 28 * line)
        if line == 11:
            half = accumulator.phase(optics, "icom")
    whole = hyperspy_sparse.phase(stack, "icom").data
    np.testing.assert_allclose(accumulator.phase(optics, "icom"), whole, atol=1e-9)
    assert po.correlation(half[2:10], whole[2:10]) > 0.6 and half[16:].std() < half[2:10].std()
    with pytest.raises(ValueError, match="method='x'"):
        accumulator.phase(optics, "x")


def test_rows_of_something_else_are_refused():
    groups = make_groups(Disk(6.2, 4.1, 3.6), SIG, 4)
    accumulator = LineAccumulator(groups, NAV)
    with pytest.raises(ValueError, match="not inside 35"):
        accumulator.add(CSRFrames.from_dense(np.ones((3, *SIG), np.uint8)), 33)
    with pytest.raises(ValueError, match="of the detector"):
        accumulator.add(CSRFrames.from_dense(np.ones((3, 4, 5), np.uint8)), 0)
    with pytest.raises(ValueError, match="unsigned"):
        accumulator.add(CSRFrames.from_dense(np.ones((3, *SIG))), 0)
    with pytest.raises(ValueError, match="nav_shape"):
        LineAccumulator(groups, (3, 4, 5))
    assert not accumulator.seen.any()


# -- for another program -------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
def test_tilted_images_for_quantem_lie_where_its_mask_says(flip):
    s = hyperspy_sparse.data.phase_object((12, 14))
    about = direct_arguments(s, 9, {"C10": "-3 nm"}, None, flip, False)
    stack = hyperspy_sparse.tilted_images(s, 9)
    node, side = stack.metadata.Tilted_images, len(about["mask"])
    rows, columns = np.nonzero(about["mask"])
    assert about["mask"].sum() == len(about["images"]) == len(node.y)
    total = np.asarray(stack.data).sum() / (12 * 14)
    for image, row, column in zip(about["images"], rows, columns):
        down, right = ((n + side // 2) % side - side // 2 for n in (row, column))
        [group] = np.flatnonzero((node.row == (-down if flip else down)) & (node.column == right))
        np.testing.assert_allclose(image, np.asarray(stack.data[group]) / total, rtol=1e-5)
    assert about["aberrations"]["C10"] == pytest.approx(-30) and about["step"] == pytest.approx((0.4, 0.4))
    assert about["pixel"] * 9 == pytest.approx(2 * 20)
    with pytest.raises(ValueError, match="odd number"):
        direct_arguments(s, 8, None, None, None, False)
    with pytest.raises(ValueError, match="turned by 3 deg"):
        direct_arguments(s, 9, None, "3 deg", None, False)
