"""HyperSpy finds the readers and the classes, and results of sparse data are those of dense data."""

from pathlib import Path
from typing import Any

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
from rsciio_tpx3 import simulate

NAV = (5, 7)
ROI = (16, 15, 9)
"""Off the centre and of the size of the disk, so that a swapped axis gives other counts."""


@pytest.fixture
def signal() -> Any:
    return hyperspy_sparse.data.disks(nav_shape=NAV, sig_shape=(32, 30))


@pytest.fixture
def dense(signal: Any) -> np.ndarray:
    return np.asarray(signal.data.compute(scheduler="sync").todense())


def test_hyperspy_loads_a_recording_as_a_sparse_signal(tmp_path: Path) -> None:
    truth = simulate.recording(tmp_path / "scan.tpx3", NAV, dwell_time="5 us", electrons_per_position=40, seed=3)
    s = hs.load(str(truth.paths[0]), navigation_shape=NAV[::-1], lazy=True)
    assert type(s) is hyperspy_sparse.LazySparseElectronDiffraction2D
    assert s.axes_manager.navigation_shape == NAV[::-1]
    total = s.sum(axis=s.axes_manager.signal_axes)
    total.compute(show_progressbar=False)
    np.testing.assert_array_equal(total.data.ravel(), truth.counts().ravel())


def test_sums_are_those_of_dense_data(signal: Any, dense: np.ndarray) -> None:
    pattern = signal.sum(axis=signal.axes_manager.navigation_axes)
    pattern.compute(show_progressbar=False)
    np.testing.assert_array_equal(pattern.data, dense.sum(axis=(0, 1)))


def test_a_virtual_image_and_the_centre_of_mass_are_those_of_dense_data(signal: Any, dense: np.ndarray) -> None:
    stock = hs.signals.Signal2D(dense)
    stock.set_signal_type("electron_diffraction")
    for ours, theirs in zip(signal.axes_manager.signal_axes, stock.axes_manager.signal_axes, strict=True):
        theirs.scale, theirs.offset, theirs.units = ours.scale, ours.offset, ours.units
    middle = [axis.index2value(i) for axis, i in zip(signal.axes_manager.signal_axes, ROI, strict=False)]
    roi = hs.roi.CircleROI(*middle, ROI[2] * signal.axes_manager.signal_axes[0].scale)
    image = signal.get_integrated_intensity(roi)
    image.compute(show_progressbar=False)
    np.testing.assert_array_equal(image.data, stock.get_integrated_intensity(roi).data)
    found = signal.get_direct_beam_position(method="center_of_mass")
    found.compute(show_progressbar=False)
    np.testing.assert_allclose(found.data, stock.get_direct_beam_position(method="center_of_mass").data, rtol=1e-6)


@pytest.mark.parametrize("ending", ["nxevent", "toml"])
def test_a_saved_signal_comes_back(signal: Any, dense: np.ndarray, tmp_path: Path, ending: str) -> None:
    path = str(tmp_path / f"scan.{ending}")
    signal.save(path)
    again = hs.load(path, lazy=True)
    assert type(again) is type(signal)
    np.testing.assert_array_equal(again.data.compute(scheduler="sync").todense(), dense)
