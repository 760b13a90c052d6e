"""Disks from electrons, compared with dense maps of scores, likelihoods maximised by SciPy, pyXem and the truth."""

import hyperspy.api as hs
import numpy as np
import pytest
from pyxem.signals import DiffractionVectors
from scipy import ndimage, optimize

import hyperspy_sparse as hss
from hyperspy_sparse.disk_positions import DiskFinder, half_heights, ring_sectors
from hyperspy_sparse.kernels import disk_loops
from rsciio_tpx3.csr.csr_frames import CSRFrames

SHAPE = (37, 45)


def as_entries(image):
    pixels = np.flatnonzero(image)
    return image.ravel()[pixels], pixels.astype(np.int32)


def scored(function, image, radius):
    half = half_heights(radius)
    work = np.full((image.shape[0] + 1, image.shape[1] + 2 * (len(half) // 2)), 7, np.int32)
    out = np.full(image.shape, -3, np.int32)
    function(*as_entries(image), image.shape[1], half, work, out)
    return out


def disk_of(radius):
    y, x = np.mgrid[-int(radius) : int(radius) + 1, -int(radius) : int(radius) + 1]
    return (y**2 + x**2 <= radius**2).astype(int)


@pytest.mark.parametrize("function", [disk_loops.sparse_scores, disk_loops.dense_scores])
@pytest.mark.parametrize("radius", [1, 3, 4.6, 7.99])
def test_scores_are_counts_in_the_disk_around_each_pixel(function, radius):
    image = np.random.default_rng(0).poisson(0.2, SHAPE).astype(np.uint8)
    image[0, 0], image[-1, 4], image[20, -1] = 200, 255, 3
    expected = ndimage.correlate(image.astype(int), disk_of(radius), mode="constant")
    np.testing.assert_array_equal(scored(function, image, radius), expected)


def drawn(rng, centers, electrons, radius, shape=SHAPE, background=0):
    """Electrons of disks at these places (y, x), counted."""
    image = np.zeros(shape, np.int64)
    for (y, x), n in zip(centers, electrons):
        r, angle = radius * np.sqrt(rng.random(n)), 2 * np.pi * rng.random(n)
        np.add.at(image, (np.rint(y + r * np.sin(angle)).astype(int), np.rint(x + r * np.cos(angle)).astype(int)), 1)
    np.add.at(image, tuple(rng.integers(0, n, background) for n in shape), 1)
    return image.astype(np.uint16)


def found_in(*images, **options):
    images = np.array(images)
    disks, counts = DiskFinder(images.shape[1:], **options)(CSRFrames.from_dense(images))
    return np.split(disks, np.cumsum(counts)[:-1])


def test_both_ways_to_the_scores_find_the_same():
    rng = np.random.default_rng(1)
    images = [drawn(rng, [(10.3, 12.7), (25.1, 31.4)], (60, 40), 5, background=30) for _ in range(5)]
    few, many = (found_in(*images, radius=5, dense_from=n) for n in (10**9, 0))
    assert sum(map(len, few)) == 10
    np.testing.assert_array_equal(np.concatenate(few), np.concatenate(many))


def test_whole_pixels_are_the_maxima_of_the_dense_map():
    rng = np.random.default_rng(2)
    image = drawn(rng, [(11.0, 13.0), (25.0, 30.0)], (900, 500), 5)
    [found] = found_in(image, radius=5, refine=None)
    scores = ndimage.correlate(image.astype(int), disk_of(5), mode="constant")
    for y, x, electrons in found:
        near = scores[int(y) - 4 : int(y) + 5, int(x) - 4 : int(x) + 5]
        assert scores[int(np.rint(y)), int(np.rint(x))] == near.max()
        assert electrons == pytest.approx(near.max(), rel=0.02)
    assert np.abs(found[:, :2] - [(11, 13), (25, 30)]).max() <= 0.5


@pytest.mark.parametrize("background", [0, 120])
def test_the_edge_fit_is_the_maximum_of_the_likelihood(background):
    rng = np.random.default_rng(3)
    radius, place = 6, (17.3, 21.8)
    image = drawn(rng, [place], [150], radius, background=background)
    [[[y, x, electrons]]] = found_in(image, radius=radius)
    ys, xs = np.nonzero(image)
    # the ring that tells the background, as the finder has it
    sectors = ring_sectors(radius)
    around = np.pad(image, 40)[17 + 40 - len(sectors) // 2 :, 22 + 40 - len(sectors) // 2 :][
        : len(sectors), : len(sectors)
    ]
    relative = max(around[sectors >= 0].mean() / (electrons / disk_of(radius).sum()), 0.02)

    def unlikely(center):
        distance = np.hypot(ys - center[0], xs - center[1])
        t = 1 / (1 + np.exp(np.clip((distance - radius) / 0.5, -50, 50)))
        return -(image[ys, xs] * np.log(t + relative)).sum()

    around_it = {"xatol": 1e-4, "initial_simplex": [(y, x), (y + 0.3, x), (y, x + 0.3)]}
    best = optimize.minimize(unlikely, (y, x), method="Nelder-Mead", options=around_it).x
    assert np.hypot(*(best - (y, x))) < 0.05
    assert np.hypot(y - place[0], x - place[1]) < 0.45


def mean_place(image, start, radius, background):
    """Mean of the places around a start, each weighed with its likelihood: no estimate has a smaller mean error."""
    ys, xs = np.nonzero(image)
    near = np.hypot(ys - start[0], xs - start[1]) < 1.5 * radius
    ys, xs = ys[near], xs[near]
    y, x = (c + np.linspace(-1.5, 1.5, 21) for c in start)
    distance = np.hypot(ys - y[:, None, None], xs - x[:, None])
    share = np.clip(radius - distance + 0.5, 0, 1) + background  # of a pixel that the disk covers
    weight = (image[ys, xs] * np.log(share)).sum(axis=-1)
    weight = np.exp(weight - weight.max())
    return np.array([(weight.sum(axis=1) * y).sum(), (weight.sum(axis=0) * x).sum()]) / weight.sum()


def test_no_estimate_is_much_better_than_the_edge_fit():
    rng = np.random.default_rng(7)
    radius, electrons, background = 6, 70, 0.1
    places = rng.uniform((18, 22), (19, 23), (150, 2))
    astray = round(background * electrons / (np.pi * radius**2) * np.prod(SHAPE))
    images = [drawn(rng, [place], [electrons], radius, background=astray) for place in places]
    fitted = np.array([found[0, :2] for found in found_in(*images, radius=radius, edge=1.0)])
    best = np.array([mean_place(i, np.rint(c), radius, background) for i, c in zip(images, fitted)])
    error, least = (np.sqrt(((c - places) ** 2).mean()) for c in (fitted, best))
    assert error < 1.1 * least
    assert error < 0.75 * radius / (2 * np.sqrt(electrons))  # of the centre of mass, without any background


def test_the_center_of_mass_is_that_of_the_electrons_around_it():
    image = drawn(np.random.default_rng(4), [(17.3, 21.8)], [300], 6)
    [[[y, x, _]]] = found_in(image, radius=6, refine="center_of_mass")
    assert np.abs(np.array([y, x]) - ndimage.center_of_mass(image)).max() < 0.05


def test_neighbours_that_touch_are_found_and_shoulders_are_not():
    rng = np.random.default_rng(5)
    centers = [(18.0, 12.0), (18.0, 26.0)]
    for image in (drawn(rng, centers, (400, 80), 6) for _ in range(10)):
        [found] = found_in(image, radius=6)
        assert len(found) == 2
        np.testing.assert_allclose(found[:, :2], centers, atol=0.45)


def test_a_background_alone_has_no_disks():
    rng = np.random.default_rng(6)
    images = [drawn(rng, [], [], 5, (80, 90), background=n) for n in (30, 300, 3000, 30_000) for _ in range(3)]
    assert sum(map(len, found_in(*images, radius=5))) <= 1


def truth_of(signal):
    """Differences (y, x) in pixels of found disks from the nearest true one, how many are missing and false."""
    simulated = signal.metadata.Simulation
    rows, columns = signal.data.shape[:2]
    middle = (np.array(signal.data.shape[-2:]) - 1) / 2

    def compared(vectors):
        differences, found, false = [], 0, 0
        for row, column in np.ndindex(rows, columns):
            pixels = vectors.data[row, column][:, :2] / 0.05 + middle
            true = np.column_stack([simulated.center_y[column], simulated.center_x[column]])
            apart = np.linalg.norm(pixels[:, None] - true, axis=-1)
            near = apart.min(axis=1) < 3
            differences.append(pixels[near] - true[apart.argmin(axis=1)[near]])
            found, false = found + near.sum(), false + (~near).sum()
        return np.concatenate(differences), rows * columns * simulated.center_y.shape[1] - found, false

    return compared


@pytest.fixture(scope="module")
def crystal():
    return hss.data.strained_crystal((7, 9), electrons=800)


def test_disks_of_a_crystal_are_where_they_should_be(crystal):
    compared = truth_of(crystal)
    by_edge, missing, false = compared(hss.find_disks(crystal, 6, edge=1, show_progressbar=False))
    assert missing <= 2 and false <= 2
    by_mean, *_ = compared(hss.find_disks(crystal, 6, refine="center_of_mass", show_progressbar=False))
    assert np.abs(by_edge.mean(axis=0)).max() < 0.03
    assert np.sqrt((by_edge**2).mean()) < 0.22  # 69 electrons in a disk
    assert (by_edge**2).mean() < 0.4 * (by_mean**2).mean()


def test_vectors_are_those_of_pyxem_and_measure_strain(crystal):
    vectors = hss.find_disks(crystal, radius=6, edge=1, show_progressbar=False)
    dense = crystal.inav[:2, :2].to_dense()
    theirs = dense.template_match_disk(6, show_progressbar=False).get_diffraction_vectors(
        method="local_max", min_distance=8, threshold_rel=0.5, show_progressbar=False
    )
    assert type(vectors) is type(theirs) is DiffractionVectors
    assert list(vectors.column_names) == list(theirs.column_names)
    assert list(vectors.units[:2]) == list(theirs.units[:2]) and list(vectors.scales) == list(theirs.scales)
    np.testing.assert_allclose(vectors.offsets, theirs.offsets)
    brightest = theirs.data[0, 0][theirs.data[0, 0][:, 2].argmax(), :2]
    np.testing.assert_allclose(brightest, vectors.data[0, 0][0, :2], atol=0.05)
    turn = np.radians(8)
    unit = 3.5 * 6 * 0.05
    basis = unit * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])  # (y, x)
    strain = vectors.get_strain_maps(basis, distance=0.5 * unit / 2)
    measured = strain.inav[0].data.mean(axis=0), strain.inav[1].data.mean(axis=0)
    errors = [np.abs(one - crystal.metadata.Simulation.strain).max() for one in measured]
    # 0.2 px of each of eight disks 21 px from the middle, in seven patterns, are 0.002; this is the worst of nine
    assert min(errors) < 0.006


def test_the_radius_is_that_of_the_brightest_disk_by_default():
    single = hss.data.disks(shift=0, electrons=400)
    vectors = hss.find_disks(single, show_progressbar=False)
    assert vectors.metadata.Disks.radius == pytest.approx(4, abs=0.5)


def test_chunks_make_no_difference(crystal):
    once = hss.find_disks(crystal, 6, show_progressbar=False)
    other = crystal.deepcopy()
    other.data = other.data.rechunk((2, 4, -1, -1)) * 1
    again = hss.find_disks(other, 6, show_progressbar=False)
    for place in np.ndindex(once.data.shape):
        np.testing.assert_array_equal(once.data[place], again.data[place])


def test_positions_without_disks_have_empty_arrays():
    counts = np.zeros((3, 4, *SHAPE), np.uint8)
    counts[1, 2] = drawn(np.random.default_rng(7), [(17.0, 21.0)], [80], 5)
    signal = hs.signals.Signal2D(counts)
    signal.set_signal_type("electron_diffraction")
    vectors = hss.find_disks(hss.to_sparse(signal), 5, show_progressbar=False)
    lengths = np.array([[len(v) for v in line] for line in vectors.data])
    assert lengths.sum() == lengths[1, 2] == 1
    assert vectors.data[0, 0].shape == (0, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"radius": 0}, "1 or more pixels"),
        ({"radius": 60}, "does not fit a detector of 96 x 104"),
        ({"radius": "6 px"}, "radius='6 px'"),
        ({"edge": 0}, "edge=0"),
        ({"min_electrons": 2.5}, "positive integer"),
        ({"significance": -1}, "not negative"),
        ({"min_distance": np.nan}, "min_distance=nan"),
        ({"refine": "gauss"}, 'must be "edge"'),
    ],
)
def test_arguments_that_make_no_sense_are_refused(crystal, options, words):
    with pytest.raises(ValueError, match=words):
        hss.find_disks(crystal, **{"radius": 6, **options})


def test_values_that_are_not_counts_are_refused(crystal):
    with pytest.raises(ValueError, match="not counts of electrons"):
        hss.find_disks(crystal * 1.5, 6)
    with pytest.raises(ValueError, match="no sparse frames"):
        hss.find_disks(hs.signals.Signal2D(np.ones((3, 4, 5, 6))), 2)
