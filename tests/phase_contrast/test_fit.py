"""Aberrations and orientation that a simulation was made with are found again, at few electrons."""

import numpy as np
import phase_object as po
import pytest

import hyperspy_sparse
from hyperspy_sparse.phase_contrast import fit, fit_aberrations, phase, tilted_images
from hyperspy_sparse.phase_contrast.image import computed_images, stack_and_optics
from hyperspy_sparse.phase_contrast.optics import cartesian

pytestmark = pytest.mark.slow

NAV, FINE = (96, 90), (0.3, 0.32)


def atoms(y, x):
    rng = np.random.default_rng(5)
    places = zip(rng.uniform(-12, 12, 90), rng.uniform(-12, 12, 90), rng.uniform(0.1, 0.3, 90))
    return sum(h * np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * 0.35**2)) for a, b, h in places)


def _number(text):
    return float(text.split()[0])


def _scan(aberrations, rotation, flip, electrons=200, **metadata):
    patterns, _ = po.patterns(NAV, phase=atoms, rotation=rotation, flip=flip, aberrations=aberrations, dx=0.5,
                              step=FINE)  # fmt: skip
    counts = np.random.default_rng(2).poisson(electrons * patterns).astype(np.uint8)
    signal = po.as_signal(counts, **metadata)
    for axis, step in zip(signal.axes_manager.navigation_axes, (0.032, 0.03)):
        axis.scale, axis.units = step, "nm"
    return signal


@pytest.mark.parametrize(
    ("aberrations", "rotation", "flip"),
    [
        ({"C10": -200.0}, 0, False),
        ({"C10": 150.0, "C12": 60.0, "phi12": 25.0}, 37, True),
        ({"C10": -90.0, "C12": 20.0, "phi12": -30.0}, -110, False),
    ],
)
def test_defocus_and_orientation_are_found_at_200_electrons_per_position(aberrations, rotation, flip):
    signal = _scan(aberrations, rotation, flip)
    found = fit_aberrations(signal)
    measured = {name: _number(text) for name, text in found["aberrations"].items()}
    assert found["flip"] is flip and found.decided_by == "peaks"
    assert measured["C10"] == pytest.approx(aberrations["C10"] / 10, rel=0.05)
    assert _number(found["rotation"]) == pytest.approx(rotation, abs=1.0)
    if "C12" in aberrations:
        assert measured["C12"] == pytest.approx(aberrations["C12"] / 10, abs=0.6)
        assert measured["phi12"] == pytest.approx(aberrations["phi12"], abs=6)
    # errors are those of the noise: the truth lies within a few of them
    assert abs(measured["C10"] - aberrations["C10"] / 10) < 5 * found.errors["C10"] + 0.1
    assert abs(_number(found["rotation"]) - rotation) < 5 * found.errors["rotation"]
    # another way to the same
    assert found.witnesses["shift_C10"] == pytest.approx(measured["C10"], abs=0.3)
    assert found.witnesses["shift_rotation"] == pytest.approx(_number(found["rotation"]), abs=2)
    # it is what phase wants
    true = po.truth(NAV, rotation, atoms, FINE, limit=30)
    right = po.correlation(phase(signal, "obf", **found).data, true)
    assert right > 0.3 and right > po.correlation(phase(signal, "obf").data, true) + 0.1


def test_what_is_known_chooses_between_the_twins():
    defocus = {"C10": -150.0}
    for known, sign in (({"overfocus": "10 nm"}, 1), ({"overfocus": "-10 nm"}, -1), ({"scan_rotation": "170 deg"}, 1)):
        signal = _scan(defocus, 0, False, 1000, **known)
        found = fit_aberrations(tilted_images(signal, 8), flip=False)
        assert _number(found["aberrations"]["C10"]) == pytest.approx(sign * 15, rel=0.05)
        turn = _number(found["rotation"])
        assert min(abs(turn - a) for a in ((0,) if sign < 0 else (180, -180))) < 1.5
        assert found.decided_by == next(iter(known)).removeprefix("scan_")
    fitted = fit_aberrations(signal, rotation="0 deg", flip=False, across=8)
    assert fitted["rotation"] == "0 deg" and _number(fitted["aberrations"]["C10"]) == pytest.approx(-15, rel=0.05)


def test_curl_finds_the_turn_of_a_probe_in_focus():
    for rotation, flip in ((30, True), (-50, False)):
        signal = _scan({}, rotation, flip, 1000)
        stack, groups, optics = stack_and_optics(signal, "test", 8, None, None, {}, None, None)
        images = computed_images(stack)
        found, other = (fit._curl_witness(images, groups, optics, f) for f in (flip, not flip))
        away = (found["curl_rotation"] - rotation + 90) % 180 - 90
        assert abs(away) < 8 and found["curl"] < 0.3 < other["curl"]


def test_polar_and_cartesian_aberrations_are_the_same():
    values = {"C10": -3.0, "a12": 1.0, "b12": -2.0, "a21": -5.0, "b21": 4.0, "a23": 7.0, "b23": 6.0, "C30": 9.0}
    np.testing.assert_allclose(cartesian(fit._polar(values), 0.002), fit._coefficients(values, 0.002), atol=1e-9)


def test_what_makes_no_sense_is_refused():
    scan = hyperspy_sparse.data.phase_object((8, 9), electrons=50)
    with pytest.raises(ValueError, match="orders='C99'"):
        fit_aberrations(scan, "C99")
    with pytest.raises(ValueError, match="rotation=3 has no unit"):
        fit_aberrations(scan, rotation=3)
    with pytest.raises(ValueError, match="needs beam_energy"):
        fit_aberrations(hyperspy_sparse.set_microscope(scan, beam_energy=None, calibrate=None))
    tiny = hyperspy_sparse.data.phase_object((3, 3), electrons=500)
    with pytest.raises(ValueError, match="too small"):
        fit_aberrations(tiny)
