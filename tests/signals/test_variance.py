"""Variance without shot noise: unbiased, and pyXem's own where there is no noise."""

import itertools
import math

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse as hss
from hyperspy_sparse.kernels.ring_moments import ring_moments, ring_pairs

METHODS = ("Omega", "r", "re", "VImage")
NAV, SIG = (9, 13), (17, 21)


def electron_signal(frames):
    signal = hs.signals.Signal2D(frames)
    signal.set_signal_type("electron_diffraction")
    for axis, middle in zip(signal.axes_manager.signal_axes, (10, 8)):
        axis.scale, axis.offset, axis.units = 0.1, -0.1 * middle, "nm^-1"
    return signal


def speckle(seed=0, nav=NAV):
    """Intensities that scatter by 1/4, of mean 1 and brighter towards the middle."""
    y, x = np.mgrid[: SIG[0], : SIG[1]]
    profile = np.exp(-np.hypot(y - 8, x - 10) / 9)
    return profile / profile.mean() * np.random.default_rng(seed).gamma(4, 0.25, (*nav, *SIG))


def removed(counts, method, npt=4, **options):
    signal = hss.to_sparse(electron_signal(counts))
    found = signal.get_variance(npt, method, shot_noise="remove", **options)
    found.compute(show_progressbar=False)
    return found.data


def rings_of(weights):
    """As pyXem describes rings: each pixel of a frame of one line in one ring, with its weight."""
    weights = np.asarray(weights, float)
    pixels = np.column_stack([np.zeros(len(weights), int), np.arange(len(weights))])
    return {"indexes": pixels, "factors": weights, "factor_slices": np.array([0, len(weights)])}


@pytest.mark.parametrize("electrons", [2, 3, 5])
@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 0.6, 0.05), (0.5, 0.3, 0.2)])
def test_pairs_in_a_ring_have_no_bias_however_few_electrons_there_are(weights, electrons):
    intensity, weights = np.array([0.2, 0.5, 0.3]), np.array(weights)
    sums = np.zeros(2)
    # every way in which the electrons may fall, with its chance
    for places in itertools.product(range(3), repeat=electrons):
        counts = np.bincount(places, minlength=3)
        sums += intensity[list(places)].prod() * ring_pairs(counts[None, :], **rings_of(weights))[:, 0]
    true = weights.sum() * (weights * intensity**2).sum() / (weights @ intensity) ** 2
    assert math.isclose(sums[0] / sums[1], true, rel_tol=1e-9)


def test_pairs_of_many_electrons_are_those_of_their_means():
    counts, weights = np.array([[40_000, 90_000, 20_000]]), np.array([1, 0.4, 0.7])
    pairs, chance = ring_pairs(counts, **rings_of(weights))[:, 0]
    expected = weights.sum() * (weights * counts[0] ** 2.0).sum() / (weights @ counts[0]) ** 2
    assert chance == 1
    assert math.isclose(pairs, expected, rel_tol=1e-4)


def test_moments_are_those_of_three_lines_of_numpy():
    counts, weights, gain = np.array([[6, 0, 15, 3]]), np.array([1, 1, 0.25, 0.5]), 3.0
    mask = np.array([[True, False, False, False]])
    n, w = counts[0] / gain, weights * ~mask[0]
    expected = [w.sum(), (w * n).sum(), (w**2 * n).sum(), (w * n * (n - 1)).sum()]
    np.testing.assert_allclose(ring_moments(counts, mask=mask, gain=gain, **rings_of(weights))[:, 0], expected)


@pytest.mark.slow
@pytest.mark.parametrize("function", [ring_moments, ring_pairs])
def test_kernels_give_what_the_functions_of_one_frame_give(function):
    counts = np.random.default_rng(1).poisson(speckle()).astype(np.uint8)
    signal = electron_signal(counts)
    indexes, factors, slices, _ = signal.calibration.get_slices1d(5)
    options = {"indexes": indexes, "factors": factors, "factor_slices": slices, "mask": np.eye(*SIG, dtype=bool)}
    sparse = hss.to_sparse(signal).map(function, inplace=False, output_dtype=float, lazy_output=False, **options)
    one_by_one = np.array([[function(frame, **options) for frame in line] for line in counts])
    np.testing.assert_allclose(sparse.data, one_by_one, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_many_electrons_give_the_variance_of_pyxem(method):
    counts = np.rint(1e6 * speckle()).astype(np.uint32)
    options = {"npt": 4, "method": method, "radial_range": (0.1, 0.7), "mask": np.eye(*SIG, dtype=bool)}
    options["mask"][:5] = False
    expected = electron_signal(counts.astype(float)).get_variance(**options)
    signal = hss.to_sparse(electron_signal(counts))
    found = signal.get_variance(shot_noise="remove", lazy_output=False, **options)
    np.testing.assert_allclose(found.data, expected.data, rtol=1e-4, atol=2e-6)
    assert type(found) is type(expected)
    axes = (signal.axes_manager.signal_axes[0] for signal in (found, expected))
    assert len({(a.scale, a.offset, a.size, a.units, a.name) for a in axes}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dose", [0.05, 0.6])
def test_no_bias_at_few_electrons_per_pixel(method, dose):
    intensity, exposures = speckle(), 40
    true = electron_signal(intensity).get_variance(3, method, radial_range=(0, 0.9)).data
    counts = np.random.default_rng(2).poisson(dose * intensity, (exposures, *intensity.shape)).astype(np.uint8)
    found = removed(counts, method, 3, radial_range=(0, 0.9), navigation_axes=(0, 1))
    assert found.shape == (exposures, 3)
    error = found.std(axis=0, ddof=1) / np.sqrt(exposures)
    assert (np.abs(found.mean(axis=0) - true) < 3.5 * error + 1e-4).all()


def test_plain_variance_is_mostly_noise_where_this_one_is_needed():
    counts = np.random.default_rng(2).poisson(0.05 * speckle()).astype(np.uint8)
    plain = hss.to_sparse(electron_signal(counts)).get_variance(3, "re")
    plain.compute(show_progressbar=False)
    assert (plain.data > 2).all()  # and the truth is 1/4


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_gain_is_the_value_of_an_electron(method):
    counts = np.random.default_rng(3).poisson(speckle()).astype(np.uint16)
    np.testing.assert_allclose(removed(7 * counts, method, gain=7), removed(counts, method), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_one_scan_axis_of_two(method):
    counts = np.random.default_rng(4).poisson(3 * speckle()).astype(np.uint8)
    found = removed(counts, method, navigation_axes=(1,))
    assert found.shape == (NAV[1], 4)
    alone = removed(np.ascontiguousarray(counts[:, 7:8]), method)
    np.testing.assert_allclose(found[7], alone, rtol=1e-9)


def test_spatial_gives_the_variance_at_each_position_too():
    counts = np.random.default_rng(5).poisson(2 * speckle()).astype(np.uint8)
    signal = hss.to_sparse(electron_signal(counts))
    mean, each = signal.get_variance(4, "r", shot_noise="remove", spatial=True)
    each.compute(show_progressbar=False)
    assert each.data.shape == (*NAV, 4)
    np.testing.assert_allclose(each.data.mean(axis=(0, 1)), removed(counts, "r"), atol=0.02)
    assert mean.axes_manager.navigation_dimension == 0


@pytest.mark.slow
def test_rings_of_fewer_than_two_electrons_tell_nothing():
    counts = np.zeros((*NAV, *SIG), np.uint8)
    counts[3, 4, 8, 10] = 1
    for method in METHODS:
        assert np.isnan(removed(counts, method)).all()
    counts[5, 6, 8, 10] = 1
    assert removed(counts, "VImage")[0] == -1  # two electrons, never together


def test_a_mask_for_each_position():
    counts = np.random.default_rng(6).poisson(4 * speckle()).astype(np.uint8)
    mask = np.zeros((*NAV, *SIG), bool)
    mask[:, ::2, :4] = True
    masks = hs.signals.Signal2D(mask)
    signal = hss.to_sparse(electron_signal(counts))
    found = signal.get_variance(3, "re", shot_noise="remove", mask=masks, lazy_output=False)
    assert np.isfinite(found.data).all()
    same = hss.to_sparse(electron_signal(counts)).get_variance(
        3, "re", shot_noise="remove", mask=hs.signals.Signal2D(np.broadcast_to(mask[0, 0], mask.shape).copy()),
        lazy_output=False,
    )  # fmt: skip
    np.testing.assert_allclose(same.data, removed(counts, "re", 3, mask=mask[0, 0]), rtol=1e-9)


@pytest.mark.slow
def test_without_the_option_it_is_pyxem():
    counts = np.random.default_rng(7).poisson(speckle()).astype(np.uint8)
    found = hss.to_sparse(electron_signal(counts)).get_variance(4, "Omega", gain=1)
    found.compute(show_progressbar=False)
    np.testing.assert_allclose(found.data, electron_signal(counts).get_variance(4, "Omega", gain=1).data)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shot_noise": "subtract"}, 'must be "remove"'),
        ({"shot_noise": "remove", "method": "omega"}, "must be one of 'Omega'"),
        ({"shot_noise": "remove", "gain": 0}, "value of one electron"),
        ({"shot_noise": "remove", "npt": 0}, "number of rings"),
        ({"shot_noise": "remove", "spatial": "yes"}, "spatial"),
        ({"shot_noise": "remove", "inplace": True}, "does not take inplace"),
        ({"shot_noise": "remove", "navigation_axes": (2,)}, "one or more navigation axes"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words):
    signal = hss.to_sparse(electron_signal(np.ones((*NAV, *SIG), np.uint8)))
    with pytest.raises(ValueError, match=words):
        signal.get_variance(**{"npt": 3, **options})
