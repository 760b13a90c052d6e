"""The longest chains of pyXem: orientations and strain from sparse counts are those from lazy dense ones."""

import dask.array as da
import numpy as np
import pytest
from diffsims.generators.simulation_generator import SimulationGenerator
from orix.quaternion import Rotation
from pyxem.data import si_phase, si_tilt

import hyperspy_sparse

pytestmark = pytest.mark.slow  # matches templates


@pytest.fixture(scope="module")
def counts():
    """Silicon at two tilts as whole counts: sparse, and lazy dense."""
    s = si_tilt().inav[0:3, 1:3]
    s.change_dtype("float64")
    s.data = np.random.default_rng(3).poisson(s.data / s.data.max() * 40).astype(np.uint16)
    s.calibration.center = None
    dense = s.as_lazy()
    dense.data = da.from_array(s.data, chunks=(1, 3, *s.data.shape[2:]))
    sparse = hyperspy_sparse.to_sparse(s)
    assert sparse.data.chunks[0] and sparse.data.shape == (2, 3, *s.data.shape[2:])
    return sparse, dense


def test_orientation_matching_gives_the_dense_result(counts):
    phase = si_phase()
    # no symmetric direction, which would fit in many ways
    simulation = SimulationGenerator(200).calculate_diffraction2d(
        phase,
        rotation=Rotation.from_euler([[0, 12, 0], [20, 12, 5], [10, 25, 40]], degrees=True),
        max_excitation_error=0.1,
        reciprocal_radius=1.5,
        with_direct_beam=False,
    )
    found = []
    for s in counts:
        polar = s.get_azimuthal_integral2d(npt=60, npt_azim=120, inplace=False, mean=True)
        orientations = polar.get_orientation(simulation, n_best=2)
        found.append((type(orientations), np.asarray(orientations.data)))
    (ours, values), (theirs, expected) = found
    assert values.shape == (2, 3, 2, 4) and len(np.unique(expected[..., 0])) > 1
    np.testing.assert_allclose(values[..., 0, :], expected[..., 0, :], rtol=1e-5)
    np.testing.assert_allclose(values[..., :2], expected[..., :2], rtol=1e-5)  # template and how well it fits
    # the second best fits as well mirrored and turned by half a circle: the last digit decides between both
    (turn, mirror), (turn_of, mirror_of) = (np.moveaxis(found[..., 2:], -1, 0) for found in (values, expected))
    np.testing.assert_allclose((turn - turn_of) % 360, np.where(mirror == mirror_of, 0, 180), atol=1e-5)
    assert ours.__name__.removeprefix("Lazy") == theirs.__name__.removeprefix("Lazy")


def test_strain_from_found_peaks_gives_the_dense_result(counts):
    found = []
    for s in counts:
        vectors = s.get_diffraction_vectors(method="local_max", min_distance=8, threshold_abs=2)
        if vectors._lazy:
            vectors.compute()
        basis = vectors.data[0, 0][:4, :2] * 1.02
        strain = vectors.get_strain_maps(basis, distance=2.0)
        found.append((type(strain), np.asarray(strain.data)))
    (ours, values), (theirs, expected) = found
    assert ours is theirs and np.isfinite(expected).all()
    np.testing.assert_allclose(values, expected, rtol=1e-6)
