"""Scales of axes: against published wavelengths, and against what pyXem makes of the same numbers."""

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
from hyperspy_sparse import set_microscope
from rsciio_tpx3.exceptions import UnitError
from rsciio_tpx3.metadata.calibration import calibrated_axes, detector_scale, wavelength

KNOWN = {"beam_energy": "200 keV", "camera_length": "100 mm"}


@pytest.mark.parametrize(
    # Williams and Carter, table 1.2; Kirkland, Advanced Computing in Electron Microscopy, table C.1
    ("energy", "picometres"), [(60, 4.866), (80, 4.176), (100, 3.701), (120, 3.349), (200, 2.508), (300, 1.969)],
)  # fmt: skip
def test_wavelengths_are_the_published_ones(energy, picometres):
    assert wavelength(energy) * 1e12 == pytest.approx(picometres, abs=5e-4)


def test_scales_follow_from_the_geometry():
    values = {"camera_length": 0.1, "pixel_pitch": 55e-6, "beam_energy": 200.0}
    assert detector_scale(values) == (pytest.approx(0.55, rel=1e-6), "mrad")
    scale, unit = detector_scale(values, "k")
    assert unit == "nm^-1" and scale == pytest.approx(55e-6 / (0.1 * 2.50793e-12) * 1e-9, rel=1e-5)
    assert detector_scale(values, None) is None and detector_scale({"camera_length": 0.1}) is None
    with pytest.raises(ValueError, match="'k' needs beam_energy"):
        detector_scale({"camera_length": 0.1, "pixel_pitch": 55e-6}, "k")
    with pytest.raises(ValueError, match="must be one of 'auto', 'angle'"):
        detector_scale(values, "mrad")


def test_axes_that_have_a_scale_are_left_alone_unless_set_anew():
    axes = [
        {"name": "y", "size": 7, "scale": 2.0, "offset": 0.0, "units": "nm"},
        {"name": "x", "size": 11, "scale": 1.0, "offset": 0.0, "units": ""},
        {"name": "ky", "size": 13, "scale": 0.1, "offset": -0.6, "units": "A^-1"},
        {"name": "kx", "size": 17, "scale": 1.0, "offset": 0.0, "units": "px"},
    ]
    values = {"camera_length": 0.1, "pixel_pitch": 55e-6, "scan_step_x": 0.5, "scan_step_y": 0.25}
    made = calibrated_axes(axes, values)
    assert [axis["units"] for axis in made] == ["nm", "nm", "A^-1", "mrad"]
    assert (made[0]["scale"], made[1]["scale"]) == (2.0, 0.5)
    assert made[3]["offset"] == pytest.approx(-8 * made[3]["scale"])
    anew = ("camera_length", "scan_step_y", "center_y")
    again = calibrated_axes(axes, {**values, "center_y": 5.0}, renew=anew, before={})
    assert again[0]["scale"] == 0.25 and again[2]["offset"] == pytest.approx(-5 * again[2]["scale"])


@pytest.mark.slow
@pytest.mark.parametrize("calibrate", ["angle", "k"])
def test_pyxem_finds_the_same_camera_length(path, calibrate):
    s = hs.load(path, lazy=True, metadata=KNOWN, calibrate=calibrate)
    assert s.calibration.camera_length == 0.1 and s.calibration.physical_pixel_size == 55e-6
    assert s.calibration.beam_energy == 200 and s.calibration.wavelength == pytest.approx(0.0250793, rel=1e-5)
    assert s.calibration.center == pytest.approx([127.5, 127.5])
    s.calibration.set_camera_length_from_calibration()
    assert s.calibration.camera_length == pytest.approx(0.1, rel=1e-9)


def test_pyxem_converts_one_into_the_other(path):
    angle, k = (hs.load(path, lazy=True, metadata=KNOWN, calibrate=kind) for kind in ("angle", "k"))
    angle.calibration.convert_signal_units("nm^-1")
    assert angle.calibration.scale == pytest.approx(k.calibration.scale, rel=1e-6)


@pytest.mark.slow
def test_azimuthal_integration_needs_no_further_call(path):
    s = hs.load(path, metadata={**KNOWN, "scan_step": "0.5 nm", "center": [120.0, 131.0]})
    profile = s.get_azimuthal_integral1d(npt=16, radial_range=(0, 60))
    assert profile.axes_manager.signal_axes[0].units == "mrad"
    assert [axis.units for axis in profile.axes_manager.navigation_axes] == ["nm", "nm"]
    y, x = np.mgrid[:256, :256]
    radius = np.hypot(x - 120, y - 131) * s.axes_manager.signal_axes[0].scale
    inside = np.asarray(s.sum(axis=(0, 1)).data)[radius < 60].sum()
    assert np.asarray(profile.sum(axis=(0, 1)).data).sum() == pytest.approx(inside, rel=0.02)


# -- afterwards -------------------------------------------------------------------------------------


def test_set_microscope_checks_and_calibrates():
    s = hyperspy_sparse.data.disks((3, 4), (16, 20), shift=0)
    set_microscope(s, **KNOWN, pixel_pitch="55 um", scan_step=["1 nm", "2 nm"], center="detector")
    x, y, kx, ky = s.axes_manager._get_axes_in_natural_order()
    assert (x.scale, y.scale, kx.units) == (1.0, 2.0, "mrad")
    assert (kx.offset, ky.offset) == (pytest.approx(-9.5 * kx.scale), pytest.approx(-7.5 * ky.scale))
    set_microscope(s, calibrate="k")
    assert kx.units == "nm^-1"
    before = kx.scale
    set_microscope(s, camera_length="200 mm")
    assert kx.units == "nm^-1" and kx.scale == pytest.approx(before / 2)
    set_microscope(s, beam_energy=None)
    assert not s.metadata.has_item("Acquisition_instrument.TEM.wavelength")
    assert not s.metadata.has_item("Acquisition_instrument.TEM.beam_energy_units")


def test_set_microscope_finds_the_beam():
    s = hyperspy_sparse.data.disks((3, 4), (32, 40), shift=0, electrons=2000)
    set_microscope(s, camera_length="100 mm", pixel_pitch="55 um", center="beam")
    assert s.calibration.center == pytest.approx([19.5, 15.5], abs=0.3)
    plain = hs.signals.Signal2D(np.zeros((5, 7)))
    set_microscope(plain, center=(3, 2))  # a dense signal, without a scan or a camera length
    assert [axis.offset for axis in plain.axes_manager.signal_axes] == [-3, -2]


@pytest.mark.parametrize(
    ("quantities", "message"),
    [
        ({"camera_length": 100}, "has no unit"),
        ({"camera_length": "100 keV"}, "expected a length"),
        ({"convergence_angle": "5 rad"}, "physically impossible"),
    ],
)
def test_set_microscope_refuses_what_the_table_refuses(quantities, message):
    s = hyperspy_sparse.data.disks((3, 4), (16, 20))
    before = s.metadata.as_dictionary()
    with pytest.raises(UnitError, match=message):
        set_microscope(s, beam_energy="200 keV", **quantities)
    assert str(s.metadata.as_dictionary()) == str(before)


@pytest.mark.parametrize(
    ("quantities", "message"),
    [
        ({"camera_lenght": "1 m"}, "not a quantity that can be set"),
        ({"fluffiness": None}, "not a quantity that can be set"),
        ({"hits_total": 3}, "found by the reader"),
        ({"orientation": "left"}, "Load again"),
        ({"center": "middle"}, "must be one of 'detector', 'beam'"),
        ({"calibrate": "k"}, "needs camera_length and pixel_pitch and beam_energy"),
    ],
)
def test_set_microscope_says_what_it_cannot_do(quantities, message):
    with pytest.raises(ValueError, match=message):
        set_microscope(hyperspy_sparse.data.disks((3, 4), (16, 20)), **quantities)


def test_what_pyxem_wrote_is_understood_and_written_back_to_the_letter(path, tmp_path, caplog):
    s = hs.load(path, metadata={"camera_length": "100 mm"})
    s.calibration.beam_energy = 200
    s.calibration.convergence_angle = 20
    s.save(tmp_path / "x.toml")
    caplog.clear()
    t = hs.load(tmp_path / "x.toml", calibrate="k")
    assert not caplog.records
    for node in ("General.Metadata_sources", "Signal", "Acquisition_instrument"):
        assert t.metadata.get_item(node).as_dictionary() == s.metadata.get_item(node).as_dictionary()
    assert t.axes_manager.signal_axes[0].units == "nm^-1"
    assert t.metadata.Acquisition_instrument.TEM.beam_energy_units == "kilovolt"


def test_binned_and_divided_data_keep_their_scale():
    values = {"camera_length": 0.1, "pixel_pitch": 55e-6, "scan_step_x": 0.5}
    [x, _, fine] = calibrated_axes(
        [
            {"name": "x", "size": 11, "scale": 2.0, "offset": 0.5, "units": ""},
            {"name": "ky", "size": 20, "scale": 2.0, "offset": 0.5, "units": "px"},
            {"name": "kx", "size": 80, "scale": 0.5, "offset": -0.25, "units": "px"},
        ],
        values,
    )
    assert (x["scale"], x["offset"], x["units"]) == (1.0, 0.25, "nm")
    assert fine["scale"] == pytest.approx(detector_scale(values)[0] / 2)
    assert fine["offset"] == pytest.approx(-19.75 * detector_scale(values)[0])

    s = hyperspy_sparse.data.disks((4, 6), (16, 24), shift=0)
    for axis in s.axes_manager.signal_axes:
        axis.scale, axis.offset, axis.units = 1.0, 0.0, "px"
    for axis in s.axes_manager.navigation_axes:
        axis.scale, axis.units = 1.0, ""
    quantities = {"camera_length": "100 mm", "pixel_pitch": "55 um", "scan_step": "1 nm", "center": (10.0, 7.0)}
    first = set_microscope(s.deepcopy(), **quantities).rebin(scale=(2, 2, 2, 2))
    second = set_microscope(s.rebin(scale=(2, 2, 2, 2)), **quantities)
    for change in ({}, {"camera_length": "200 mm", "scan_step": "3 nm"}, {"center": (9.0, 8.0)}):
        set_microscope(first, **change)
        set_microscope(second, **change)
        for a, b in zip(first.axes_manager._axes, second.axes_manager._axes):
            assert (a.scale, a.offset, a.units) == (pytest.approx(b.scale), pytest.approx(b.offset), b.units), change


def _uncalibrated(nav=(3, 4), sig=(16, 24)):
    s = hyperspy_sparse.data.disks(nav, sig, shift=0)
    for axis in s.axes_manager._axes:
        axis.scale, axis.offset, axis.units = 1.0, 0.0, "px" if not axis.navigate else ""
    return s


def test_a_centre_is_applied_once_and_in_any_order():
    scale = {"camera_length": "100 mm", "pixel_pitch": "55 um"}
    s = set_microscope(_uncalibrated(), center=(10, 7))
    set_microscope(s, center=(10, 7))
    assert [axis.offset for axis in s.axes_manager.signal_axes] == [-10, -7]
    set_microscope(s, **scale)
    assert s.calibration.center == pytest.approx([10, 7])
    # axes of another program's scale, moved when the centre is stated and unchanged when the scale is
    s = set_microscope(hyperspy_sparse.data.disks((3, 4), (16, 24)), center=(10, 7))
    assert s.calibration.center == pytest.approx([10, 7]) and s.axes_manager.signal_axes[0].units == "$A^{-1}$"
    assert set_microscope(s, **scale).calibration.center == pytest.approx([10, 7])


def test_a_centre_of_counted_pixels_is_applied_once(path, tmp_path):
    hs.load(path, metadata={"center": [120.0, 131.0]}).save(tmp_path / "x.toml")
    for quantities in (None, {"center": [120.0, 131.0]}, {"center": [120.0, 131.0], "camera_length": "100 mm"}):
        s = hs.load(tmp_path / "x.toml", metadata=quantities)
        assert s.calibration.center == pytest.approx([120, 131]), quantities


@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize("center", ["detector", "beam"])
def test_a_centre_that_is_looked_for_is_that_of_binned_data_too(calibrated, center):
    s = _uncalibrated()
    if calibrated:
        set_microscope(s, camera_length="100 mm", pixel_pitch="55 um")
    s = set_microscope(s.rebin(scale=(1, 1, 2, 2)), center=center)
    assert s.calibration.center == pytest.approx([5.5, 3.5], abs=0 if center == "detector" else 0.3)
    detector = s.metadata.Acquisition_instrument.TEM.Detector
    assert (detector.center_x, detector.center_y) == pytest.approx((11.5, 7.5), abs=0 if center == "detector" else 0.5)


def test_axes_calibrated_by_hand_take_a_camera_length():
    s = _uncalibrated()
    for axis in s.axes_manager.signal_axes:
        axis.scale, axis.units = 0.1, "nm^-1"
    set_microscope(s, camera_length="100 mm", pixel_pitch="55 um")
    assert s.axes_manager.signal_axes[0].units == "mrad"
    assert s.axes_manager.signal_axes[0].scale == pytest.approx(0.55, rel=1e-6)
