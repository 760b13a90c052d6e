"""Physics: where electrons go, and what the sensor makes of them."""

import numpy as np
import pytest
from scipy.stats import poisson

from rsciio_tpx3 import simulate
from rsciio_tpx3.simulate import ArrayIntensity, HitModel, specimen


def simulated(folder, **options):
    base = {"dwell_time": "50 us", "electrons_per_position": 200, "layout": "single", "seed": 2}
    return simulate.recording(folder / "a.tpx3", (6, 7), **{**base, **options})


def pictures(truth):
    indptr, indices, data = truth.csr("electrons")
    frames = np.zeros((truth.n_positions, truth.sig_shape[0] * truth.sig_shape[1]))
    np.add.at(frames, (np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)), indices), data)
    return frames.reshape(truth.nav_shape[1:] + truth.sig_shape)


def test_specimen_has_all_phases_and_two_grains():
    film = specimen((40, 50), (256, 128))
    assert set(np.unique(film.phase())) == set(range(len(simulate.PHASES)))
    assert film.field().shape == (40, 50, 2)
    assert np.abs(film.field()).max() < 3 * film.deflection


@pytest.mark.parametrize("phase", range(len(simulate.PHASES)))
def test_drawn_electrons_follow_the_expected_pattern(phase):
    film = specimen((40, 50), (96, 128))
    position = np.flatnonzero(film.phase().ravel() == phase)[[3]]
    n = 400_000
    y, x = film.draw(position, np.array([n]), np.random.default_rng(1))
    counts, _, _ = np.histogram2d(y, x, bins=[np.arange(97), np.arange(129)])
    expected = film.pattern(int(position[0]), oversample=4) * n
    # in blocks, so that the rough edges of disks on the oversampled grid average out
    counts, expected = (a.reshape(12, 8, 16, 8).sum(axis=(1, 3)) for a in (counts, expected))
    far = np.abs(counts - expected) > 6 * np.sqrt(expected + 1) + 0.05 * expected
    assert not far.any()


def test_field_moves_the_centre_of_mass(tmp_path):
    film = specimen((6, 7), (256, 256), deflection=20.0)
    truth = simulated(tmp_path, intensity=film, electrons_per_position=2000)
    frames, field = pictures(truth)[:, 0], film.field()[:, 0]  # first column: vacuum, disk only
    y = np.arange(256) + 0.5 - 128
    shift = (frames.sum(axis=2) @ y) / frames.sum(axis=(1, 2))
    assert np.allclose(shift, field[:, 0], atol=1.0)


def test_counts_are_poisson_with_the_requested_dose(tmp_path):
    counts = simulated(tmp_path, electrons_per_position=80).counts("electrons")
    assert abs(counts.mean() - 80) < 5 and poisson.cdf(counts, 80).min() > 1e-6


def test_own_array_is_drawn_with_its_own_intensities(tmp_path):
    rng = np.random.default_rng(0)
    array = rng.random((6, 7, 9, 13)) * rng.integers(0, 2, (6, 7, 9, 13)) * 20
    truth = simulated(tmp_path, intensity=array, electrons_per_position=None)
    frames = pictures(truth)
    top, left = (256 - 9) // 2, (256 - 13) // 2
    inner = frames[:, :, top : top + 9, left : left + 13]
    assert inner.sum() == frames.sum() == truth.n_electrons
    assert np.all(inner[array == 0] == 0)
    assert np.all(np.abs(inner - array) <= 6 * np.sqrt(array))


def test_own_lines_are_read_one_at_a_time_and_scaled(tmp_path):
    class Lines:
        shape = (6, 7, 5, 8)
        rows = []

        def __getitem__(self, row):
            self.rows.append(row)
            return np.full(self.shape[1:], row + 1.0)

    lines = Lines()
    truth = simulated(tmp_path, intensity=lines, electrons_per_position=70)
    assert set(lines.rows) == set(range(6))
    assert np.allclose(truth.counts().mean(axis=(0, 2)), np.arange(1, 7) * 20, rtol=0.4)


def test_drift_shifts_the_specimen(tmp_path):
    array = np.zeros((6, 7, 4, 4))
    array[2, 3] = 30.0
    truth = simulated(tmp_path, intensity=array, electrons_per_position=None, n_frames=2, drift=[(0, 0), (1, -2)])
    assert [tuple(map(int, p)) for p in np.argwhere(truth.counts() > 0)] == [(0, 2, 3), (1, 1, 5)]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones((3, 4)), "detector x"),
        (np.ones((2, 2, 300, 3)), "larger than the detector"),
        (-np.ones((2, 2, 3, 3)), "negative"),
    ],
)
def test_impossible_arrays_are_refused(tmp_path, array, words):
    with pytest.raises(ValueError, match=words):
        simulate.recording(tmp_path / "a.tpx3", intensity=array, layout="single")


def test_array_smaller_than_the_detector_lies_in_the_middle():
    assert ArrayIntensity(np.ones((1, 1, 7, 9)), (256, 512)).origin == (124, 251)


def test_exact_hits_are_the_electrons(tmp_path):
    truth = simulated(tmp_path)
    assert len(np.unique(truth.hit_electron)) == truth.n_hits
    for name in ("position", "pixel", "time"):
        of_hits = getattr(truth, f"hit_{name}")
        assert np.array_equal(of_hits, getattr(truth, f"electron_{name}")[truth.hit_electron])
    assert truth.n_hits == np.sum(truth.electron_pixel >= 0)


def test_charge_sharing_makes_small_connected_clusters(tmp_path):
    truth = simulated(tmp_path, hits=HitModel(jitter=0, walk=0, dead_time=None))
    sizes = np.bincount(truth.hit_electron, minlength=truth.n_electrons)
    lit = sizes[sizes > 0]
    assert 2 < lit.mean() < 4 and lit.max() <= 9 and (lit == 1).any()
    order = np.argsort(truth.hit_electron, kind="stable")
    y, x = np.divmod(truth.hit_pixel[order], 256)
    ends = np.cumsum(sizes)
    for electron in np.flatnonzero(sizes > 1)[:500]:
        part = slice(ends[electron] - sizes[electron], ends[electron])
        assert np.ptp(y[part]) <= 2 and np.ptp(x[part]) <= 2
    assert np.array_equal(truth.hit_time, truth.electron_time[truth.hit_electron])


@pytest.mark.slow
def test_charge_is_conserved_when_it_is_shared(tmp_path):
    model = HitModel(jitter=0, walk=0, dead_time=None, tot_noise=0, energy_spread=0, threshold=0.01)
    truth = simulated(tmp_path, hits=model)
    total = np.bincount(truth.hit_electron, truth.hit_tot)
    inner = (truth.electron_pixel >= 0) & (np.arange(truth.n_electrons) < len(total))
    edge = np.minimum(truth.electron_y, truth.electron_x) < 6
    edge |= np.maximum(truth.electron_y, truth.electron_x) > 250
    total = total[np.flatnonzero(inner & ~edge)]
    assert np.all(np.abs(total - 200 * model.tot_per_kev) <= 9)


def test_time_walk_delays_small_charges(tmp_path):
    model = HitModel(jitter=0, walk="40 ns", dead_time=None, tot_noise=0)
    truth = simulated(tmp_path, hits=model)
    late = truth.hit_time - truth.electron_time[truth.hit_electron]
    assert late.min() >= 0 and late.max() <= 40 * 3.84 + 3  # half a count
    assert late[truth.hit_tot < 3].mean() > 3 * late[truth.hit_tot > 30].mean()
    charge = truth.hit_tot / model.tot_per_kev + model.threshold
    assert np.all(np.abs(late - 40 * 3.84 * model.threshold / charge) < 60)


def test_jitter_has_the_requested_width_and_keeps_the_position(tmp_path):
    truth = simulated(tmp_path, hits=HitModel.exact(jitter="5 ns"), electrons_per_position=500)
    late = (truth.hit_time - truth.electron_time[truth.hit_electron]) / 3.84
    assert abs(late.std() - 5) < 0.3 and abs(late.mean()) < 0.3
    assert np.array_equal(truth.hit_position, truth.electron_position[truth.hit_electron])


def test_dead_time_parts_the_hits_of_a_pixel(tmp_path):
    array = np.full((6, 7, 1, 1), 300.0)
    options = {"intensity": array, "electrons_per_position": None, "disorder": 0}
    alive = simulated(tmp_path, hits=HitModel.exact(), **options)
    dead = simulated(tmp_path, hits=HitModel.exact(dead_time="475 ns"), **options)
    assert dead.n_electrons == alive.n_electrons == alive.n_hits > 1.5 * dead.n_hits
    gaps = np.diff(dead.hit_time) - dead.hit_tot[:-1].astype(np.int64) * 96
    assert gaps.min() >= 475 * 3.84 - 6


def test_column_offsets_move_the_hits_of_their_columns(tmp_path):
    offset = np.zeros(256, np.int64)
    offset[194:204] = -96
    truth = simulated(tmp_path, hits=HitModel.exact(column_offset=offset))
    late = truth.hit_time - truth.electron_time[truth.hit_electron]
    assert np.array_equal(late, offset[truth.hit_pixel % 256])


def test_dead_pixels_are_silent_and_hot_ones_fire_without_electrons(tmp_path):
    centre = 128 * 256 + 128
    plain = simulated(tmp_path)
    defects = simulate.Defects(dead=[centre], hot=[3, 70], hot_rate=50_000.0)
    faulty = simulated(tmp_path, defects=defects, sync="pixel-trigger")
    assert centre in plain.hit_pixel and centre not in faulty.hit_pixel
    noise = faulty.hit_electron < 0
    assert set(faulty.hit_pixel[noise]) == {3, 70}
    expected = 2 * 50_000 * 6 * 7 * 50e-6
    assert abs(noise.sum() - expected) < 6 * np.sqrt(expected)
    step = np.searchsorted(faulty.edges.time, faulty.hit_time[noise], side="right") - 1
    assert np.array_equal(step, faulty.hit_position[noise])


def test_faulty_pixel_outside_the_detector_is_refused(tmp_path):
    with pytest.raises(ValueError, match="hot pixel 65536 is not a pixel"):
        simulated(tmp_path, defects=simulate.Defects(hot=[1, 65536]))


def test_gap_pixels_stay_empty_and_their_charge_goes_to_the_border(tmp_path):
    flat = np.full((6, 7, 516, 516), 2e-3, np.float32)
    truth = simulated(tmp_path, intensity=flat, electrons_per_position=None, layout="quad", gap=4, hits="exact")
    image = np.bincount(truth.hit_pixel, minlength=516**2).reshape(516, 516)
    assert image[256:260].sum() == image[:, 256:260].sum() == 0
    assert 2 < image[255].sum() / image[100:150].sum(axis=1).mean() < 4
    assert truth.n_hits == truth.n_electrons


def test_flyback_electrons_are_outside_the_scan(tmp_path):
    dark = simulated(tmp_path, line_flyback="350 us")
    bright = simulated(tmp_path, line_flyback="350 us", flyback_electrons=True)
    assert np.all(dark.hit_position >= 0)
    outside = np.sum(bright.electron_position < 0)
    assert abs(outside - 6 * 7 * 200) < 6 * np.sqrt(6 * 7 * 200)  # as long as the line


@pytest.mark.parametrize("sharing", ["exact", "realistic"])
def test_recording_without_electrons_still_has_its_edges(tmp_path, sharing):
    truth = simulated(tmp_path, electrons_per_position=0, hits=sharing, defects=simulate.Defects(hot=[9]))
    assert truth.n_electrons == 0 and np.all(truth.edge_copies == 1)
    assert np.all(truth.hit_electron == -1)
    assert simulated(tmp_path, electrons_per_position=0, hits=sharing).counts().sum() == 0


def test_demo_shows_several_phases(tmp_path):
    truth = simulate.demo(tmp_path / "demo.tpx3", nav_shape=(9, 12), electrons_per_position=40)
    assert truth.sig_shape == (512, 512) and truth.nav_shape == (1, 9, 12)
    assert np.all(truth.counts() > 0) and np.all(truth.edge_copies == 4)
    assert np.any(truth.hit_position < 0)


def test_counts_of_the_demo_show_the_specimen(tmp_path):
    truth = simulate.demo(tmp_path / "demo.tpx3", nav_shape=(24, 30), electrons_per_position=60)
    phases = simulate.specimen((24, 30), (512, 512)).phase()
    mean = {name: truth.counts()[0][phases == number].mean() for number, name in enumerate(simulate.PHASES)}
    assert mean["heavy particle"] < 0.8 * mean["vacuum"]
    assert mean["heavy particle"] < 0.9 * mean["grain A"] and mean["grain A"] < 0.97 * mean["vacuum"]


def test_electrons_past_the_detector_are_missing_from_pattern_and_brightness():
    plain, film = (simulate.specimen((7, 11), (96, 128), beyond=beyond) for beyond in (0.0, 0.5))
    positions = np.arange(77)
    shares = film.brightness(positions)
    assert (
        np.all(plain.brightness(positions) == 1)
        and shares.min() < 0.7
        and np.all(shares[film.phase().ravel() == 0] == 1)
    )
    heavy = int(np.argmin(shares))
    np.testing.assert_allclose(film.pattern(heavy), shares[heavy] * plain.pattern(heavy))
    with pytest.raises(ValueError, match="a share from 0 to 1"):
        simulate.specimen((7, 11), (96, 128), beyond=2)
