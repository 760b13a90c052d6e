"""Kind: a number that an earlier version wrote is read with the meaning that its name has today."""

import json
import logging

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
from rsciio_tpx3 import simulate
from rsciio_tpx3.metadata.earlier import renewed

# as they stood in files before their meaning changed
HITS = {
    "gain_factor": 1.0, "gain_offset": 0.0, "correlation_factor": 2.75,
    "model": "Poisson electrons of several hits each: variance over mean of the hits of an area larger than a cluster, "
    "from the sizes of clusters in a sample of the recording",
}  # fmt: skip
ELECTRONS = {**HITS, "correlation_factor": 1.0, "model": "Poisson: one count an electron"}
DRIFT = {
    "shift_x": [0.0, -1.5, 2.25], "shift_x_units": "positions", "shift_x_errors": [0.1, 0.2, 0.3],
    "shift_y": [0.0, 0.5, -0.25], "reference": "first",
}  # fmt: skip


def tree(model=HITS, drift=DRIFT):
    scan = {"dwell_time": 1e-6, **({"Drift": drift} if drift else {})}
    signal = {"quantity": "Hits", **({"Noise_properties": {"Variance_linear_model": model}} if model else {})}
    return {"Signal": signal, "Acquisition_instrument": {"TEM": {"Scan": scan, "Detector": {"gap": 4}}}}


def check(found, factor=2.75):
    model = found["Signal"]["Noise_properties"]["Variance_linear_model"]
    assert (model["gain_factor"], model["gain_offset"], model["correlation_factor"]) == (1, 0, 1)
    tem = found["Acquisition_instrument"]["TEM"]
    assert tem["Detector"]["area_variance_factor"] == factor and tem["Detector"]["gap"] == 4
    drift = tem["Scan"]["Drift"]
    np.testing.assert_array_equal(drift["displacement_x"], [0, 1.5, -2.25])
    np.testing.assert_array_equal(drift["displacement_y"], [0, -0.5, 0.25])
    assert not any(key.startswith("shift") for key in drift) and drift["displacement_x_units"] == "positions"
    np.testing.assert_array_equal(drift["displacement_x_errors"], [0.1, 0.2, 0.3])


def test_old_noise_and_drift_are_renewed_and_said(caplog):
    old = tree()
    before = json.dumps(old)
    check(renewed(old, "a.toml"))
    assert json.dumps(old) == before
    assert "a.toml was written by an earlier version: the factor 2.75 of its noise model holds for areas" in caplog.text
    assert "displacement_y now, with the other sign" in caplog.text
    check(renewed(tree(ELECTRONS), "b"), factor=1.0)


@pytest.mark.parametrize("model", [None, {"gain_factor": 1.0, "correlation_factor": 3.0}, {**HITS, "model": 3}, "text"])
def test_models_of_others_and_of_today_stay_as_they_are(caplog, model):
    today = tree(model, None)
    assert renewed(today, "a.toml") is today
    again = renewed(renewed(tree(), "a"), "a")
    caplog.clear()
    assert renewed(again, "a") is again and not caplog.text


@pytest.mark.parametrize("ending", [".toml", ".nxevent"])
def test_a_counted_file_of_an_earlier_version_is_read_with_the_meanings_of_today(tmp_path, caplog, ending):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (3, 4), electrons_per_position=20, layout="single", dwell_time="20 us", keep_truth=False)
    s = hs.load(path, navigation_shape=(4, 3))
    for key, value in tree().items():
        s.metadata.add_dictionary({key: value})
    detector = s.metadata.Acquisition_instrument.TEM.Detector
    if detector.has_item("area_variance_factor"):  # which earlier versions did not write
        del detector.area_variance_factor
    detector.gap = 4
    s.save(tmp_path / f"old{ending}")
    s.save(tmp_path / "old.hspy")
    with caplog.at_level(logging.WARNING):
        loaded = hs.load(tmp_path / f"old{ending}")
    assert "earlier version" in caplog.text
    check(loaded.metadata.as_dictionary())
    check(hyperspy_sparse.to_sparse(hs.load(tmp_path / "old.hspy")).metadata.as_dictionary())
