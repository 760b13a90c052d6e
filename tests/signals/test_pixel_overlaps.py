"""The geometry of azimuthal integration, next to pyXem's polygons."""

import hyperspy.api as hs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyxem.utils.calibration import Calibration

from hyperspy_sparse import calibration_cache
from hyperspy_sparse.calibration_cache import CachingCalibration
from hyperspy_sparse.pixel_overlaps import are_convex
from rsciio_tpx3.utils.least_recent import LeastRecent

TURNED = np.array([[1.05, 0.07, 0], [-0.03, 0.98, 0], [0, 0, 1.0]])
ELLIPSE = np.array([[1.2, 0, 0], [0, 0.85, 0], [0, 0, 1.0]])


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(calibration_cache, "_CACHE", LeastRecent(8))


def _calibrations(shape, centre=None, affine=None, scale=0.013, curved=False):
    """pyXem's calibration and ours of the same signal."""
    made = []
    for cls in (Calibration, CachingCalibration):
        s = hs.signals.Signal2D(np.zeros(shape))
        s.set_signal_type("electron_diffraction")
        if curved:
            s.calibration.beam_energy = 200
            s.calibration.detector(pixel_size=55e-6 * 4, detector_distance=0.02, center=centre)
        else:
            s.calibration(scale=scale, center=centre)
        if affine is not None:
            s.calibration.affine = affine.copy()  # pyXem changes the one that it has
        s.calibration.__class__ = cls
        made.append(s.calibration)
    return made


def _rings(calibration, npt, radial_range=None):
    pixels, weights, begins, found = calibration.get_slices1d(npt, radial_range)
    rings = np.zeros((npt, *calibration.shape))
    for i in range(npt):
        at = pixels[begins[i] : begins[i + 1]]
        assert len(np.unique(at, axis=0)) == len(at)
        rings[i][at[:, 0], at[:, 1]] = weights[begins[i] : begins[i + 1]]
    return rings, found


GEOMETRIES = {
    "centred": {},
    "off centre": {"centre": (11.3, 20.2)},
    "centre outside": {"centre": (-7.5, 60.0)},
    "turned": {"centre": (11.3, 20.2), "affine": TURNED},
    "ellipse": {"affine": ELLIPSE},
    "curved": {"centre": (17.0, 21.0), "curved": True},
}


@pytest.mark.slow
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("radial_range", [None, (0.25, 0.8)])
def test_rings_are_those_of_pyxem(geometry, radial_range):
    # pyXem 0.21 fails for a curved detector that is not square
    host, ours = _calibrations((31, 31) if geometry == "curved" else (31, 43), **GEOMETRIES[geometry])
    if radial_range is not None:
        most = host._get_radial_range()[1]
        radial_range = radial_range[0] * most, radial_range[1] * most
    expected, found = _rings(host, 9, radial_range), _rings(ours, 9, radial_range)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-9, rtol=0)
    assert found[1] == expected[1]


@pytest.mark.slow
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("sectors", [(5, 7), (3, 4, None, (-0.4, 1.3)), (4, 1), (4, 2), (1, 3)])
def test_sectors_are_those_of_pyxem(geometry, sectors):
    host, ours = _calibrations((31, 43), **GEOMETRIES[geometry])
    expected, found = host.get_slices2d(*sectors), ours.get_slices2d(*sectors)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=1e-9, rtol=0)
    np.testing.assert_array_equal(found[2], expected[2])
    assert [part.dtype for part in found[:3]] == [part.dtype for part in expected[:3]]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 25), st.integers(2, 25)),
    centre=st.tuples(st.floats(-10, 35), st.floats(-10, 35)),
    matrix=st.tuples(*[st.floats(-0.4, 0.4)] * 4),
    scale=st.floats(1e-3, 1e3),
    bins=st.tuples(st.integers(1, 7), st.integers(1, 9)),
    radii=st.tuples(st.floats(0, 20), st.floats(0.1, 20)),
    angles=st.tuples(st.floats(-7, 7), st.floats(0.01, 6)),
)
def test_any_sectors_are_those_of_pyxem(shape, centre, matrix, scale, bins, radii, angles):
    affine = np.eye(3)
    affine[:2, :2] += np.reshape(matrix, (2, 2))
    host, ours = _calibrations(shape, centre, affine, scale)
    ranges = (radii[0] * scale, (radii[0] + radii[1]) * scale), (angles[0], angles[0] + angles[1])
    try:
        expected = host.get_slices2d(*bins, *ranges)
    except IndexError:
        return  # pyXem fails where no sector has a pixel: ours gives empty ones
    found = ours.get_slices2d(*bins, *ranges)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=1e-9, rtol=0)
    np.testing.assert_array_equal(found[2], expected[2])


def test_rings_that_cover_the_detector_share_each_pixel_out():
    _, ours = _calibrations((31, 43), (11.3, 20.2))
    rings, _ = _rings(ours, 13)
    inside = np.hypot(*np.indices((31, 43)) - np.array([20.2, 11.3]).reshape(2, 1, 1)) < 20
    np.testing.assert_allclose(rings.sum(axis=0)[inside], 1, atol=1e-9)


def test_crossed_sectors_are_left_to_pyxem(monkeypatch):
    host, ours = _calibrations((13, 17))
    calls = []
    monkeypatch.setattr(
        Calibration, "_get_slices_and_factors", lambda self, *arguments: calls.append(arguments) or ((), (), ())
    )
    ours.get_slices2d(4, 6, (-0.05, 0.08))
    assert len(calls) == 1


@pytest.mark.slow
def test_where_pyxem_has_the_axes_the_other_way_round_nothing_is_written_beyond_them():
    host, ours = _calibrations((31, 43), **GEOMETRIES["curved"])
    for calibration in (host, ours):
        with pytest.raises(ValueError, match="broadcast"):
            calibration.get_slices1d(9)


def test_a_crossed_quadrilateral_is_not_convex():
    square = np.array([[[0.0, 0], [0, 1], [1, 1], [1, 0]]])
    assert are_convex(square) and are_convex(square[:, ::-1]) and are_convex(square * 1e-12 + 5)
    assert not are_convex(square[:, [0, 2, 1, 3]])
    assert not are_convex(square * np.nan)
