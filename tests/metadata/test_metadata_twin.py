"""From a real recording to simulations of the same set-up, and back to a recording that is like it."""

import hyperspy.api as hs
import numpy as np
import pytest
from metadata_cases import at

from hyperspy_sparse import data
from rsciio_tpx3 import simulate
from rsciio_tpx3.metadata.mapping import LEAVES
from rsciio_tpx3.simulate.twin import abtem_setup, on_detector, recording_like, temgym_setup

STATED = {
    "beam_energy": "200 keV",
    "camera_length": "150 mm",
    "convergence_angle": "12 mrad",
    "scan_step": "0.05 nm",
    "overfocus": "0 nm",
    "sample": "gold",
    "center": [120.0, 131.0],
}


@pytest.fixture
def real(tmp_path):
    path = tmp_path / "real.tpx3"
    simulate.recording(path, (5, 7), dwell_time="5 us", electrons_per_position=5, layout="single")
    return hs.load(path, navigation_shape=(7, 5), orientation="left", metadata=STATED)


def same(first, second):
    names = ("beam_energy", "camera_length", "convergence_angle", "scan_step_x", "scan_step_y", "sample", "center_x")
    names += ("orientation", "layout", "pixel_pitch", "wavelength", "dwell_time")
    for name in names:
        leaf = LEAVES[name].leaf
        assert at(first.metadata.as_dictionary(), leaf) == pytest.approx(at(second.metadata.as_dictionary(), leaf))
    for a, b in zip(first.axes_manager._axes, second.axes_manager._axes, strict=True):
        assert (a.name, a.size, a.units) == (b.name, b.size, b.units)
        assert (a.scale, a.offset) == (pytest.approx(b.scale), pytest.approx(b.offset))


def test_a_recording_like_another_has_its_metadata_and_axes(real, tmp_path):
    recording_like(tmp_path / "twin.tpx3", real, electrons_per_position=20)
    twin = hs.load(tmp_path / "twin.tpx3")
    same(real, twin)
    assert twin.metadata.General.notes == "Simulated."
    with pytest.raises(FileExistsError, match="overwrite=True"):
        recording_like(tmp_path / "twin.tpx3", real)


def test_a_detector_of_a_table_of_chips_comes_back(real, tmp_path):
    table = [{"chip": 0, "x": 0, "y": 0, "orientation": "TtBRtL"}]
    real = hs.load(tmp_path / "real.tpx3", navigation_shape=(7, 5), metadata=STATED, layout=table)
    recording_like(tmp_path / "twin.tpx3", real, electrons_per_position=20)
    twin = hs.load(tmp_path / "twin.tpx3")
    assert twin.metadata.Acquisition_instrument.TEM.Detector.layout_table == ["chip 0: x 0, y 0, TtBRtL"]
    same(real, twin)


def test_descriptions_are_in_the_units_of_the_others(real):
    found = abtem_setup(real)
    assert found["probe"] == {"energy": 200e3, "semiangle_cutoff": 12.0, "defocus": 0.0}
    assert found["scan"] == {"start": (0.0, 0.0), "end": (pytest.approx(3.5), pytest.approx(2.5)), "gpts": (7, 5)}
    scale = real.axes_manager.signal_axes[0].scale
    assert found["detector"]["max_angle"] == pytest.approx(np.hypot(135, 131) * scale)
    real.metadata.Acquisition_instrument.TEM.overfocus = 100.0  # nm
    assert abtem_setup(real)["probe"]["defocus"] == -1000.0  # angstrom of underfocus
    found = temgym_setup(real)
    assert found["source"]["semi_conv"] == 0.012
    assert found["scan_grid"]["z"] == pytest.approx(1e-7) and found["scan_grid"]["shape"] == (5, 7)
    assert found["detector"]["z"] == pytest.approx(0.15 + 1e-7)
    assert found["detector"]["centre"] == (pytest.approx(-3.5 * 55e-6), pytest.approx(7.5 * 55e-6))
    with pytest.raises(ValueError, match="lacks beam_energy, convergence_angle"):
        abtem_setup(data.disks())


def test_patterns_land_where_the_axes_say(real):
    y, x = np.mgrid[:61, :71]
    disk = (np.hypot((y - 30) * 0.8, (x - 35) * 0.7) < 12).astype(float)
    patterns = np.broadcast_to(disk / disk.sum(), (5, 7, 61, 71))
    made = on_detector(real, patterns, (0.8, 0.7))
    assert made.shape == (5, 7, 256, 256)
    assert made[2, 3].sum() == pytest.approx(1, rel=0.02)
    rows, columns = np.mgrid[:256, :256]
    middle = [float((made[0, 0] * place).sum() / made[0, 0].sum()) for place in (rows, columns)]
    assert middle == pytest.approx([131, 120], abs=0.1)
    scale = real.axes_manager.signal_axes[0].scale
    assert np.sqrt((made[0, 0] > made[0, 0].max() / 2).sum() / np.pi) * scale == pytest.approx(12, rel=0.03)


def test_the_way_through_abtem_and_back(real, tmp_path):
    abtem = pytest.importorskip("abtem")
    ase = pytest.importorskip("ase.build")
    setup = abtem_setup(real)
    atoms = ase.bulk("Au", cubic=True) * (4, 4, 1)
    potential = abtem.Potential(atoms, sampling=0.15, slice_thickness=2.1, parametrization="kirkland")
    probe = abtem.Probe(**setup["probe"])
    measurement = probe.scan(potential, abtem.GridScan(**setup["scan"]), abtem.PixelatedDetector(max_angle="valid"))
    measurement = measurement.compute(progress_bar=False) if measurement.is_lazy else measurement
    patterns = np.asarray(measurement.array).transpose(1, 0, 3, 2)  # abTEM has x before y
    sampling = measurement.angular_sampling[::-1]
    intensity = on_detector(real, patterns, sampling)
    recording_like(tmp_path / "twin.tpx3", real, intensity, electrons_per_position=2000)
    twin = hs.load(tmp_path / "twin.tpx3")
    same(real, twin)
    total = np.asarray(twin.sum(axis=(0, 1)).data, float)
    axis_x, axis_y = (axis.axis for axis in twin.axes_manager.signal_axes)
    radius = np.hypot(axis_y[:, None], axis_x[None])
    inside, around = total[radius < 10].mean(), total[(radius > 14) & (radius < 16)].mean()
    assert inside > 10 * around  # the bright-field disk of 12 mrad is where it was placed, and as large


def test_a_ray_of_temgym_hits_the_pixel_of_its_angle(real):
    core = pytest.importorskip("temgym_core")
    from temgym_core.components import Detector
    from temgym_core.ray import Ray
    from temgym_core.run import run_to_end

    setup = temgym_setup(real)["detector"]
    detector = Detector(
        z=setup["z"],
        pixel_size=core.ScaleYX(*setup["pixel_size"]),
        shape=core.ShapeYX(*setup["shape"]),
        centre=core.CoordsXY(*setup["centre"]),
    )
    for angle, pixel in ((0.0, 120.0), (10e-3, real.axes_manager.signal_axes[0].value2index(10.0))):
        ray = Ray(x=0.0, y=0.0, dx=float(np.tan(angle)), dy=0.0, z=0.0, pathlength=0.0)
        end = run_to_end(ray, [detector])
        row, column = detector.metres_to_pixels((end.x, end.y), cast=False)
        assert float(row) == pytest.approx(131, abs=1e-6) and float(column) == pytest.approx(pixel, abs=0.51)
