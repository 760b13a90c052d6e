"""Found electrons compared with the simulated ones: how many, and how well their places are known."""

import numpy as np
import pytest

from rsciio_tpx3 import simulate
from rsciio_tpx3.reader.event_options import event_options, prepare_events
from rsciio_tpx3.simulate import HitModel, match_electrons
from rsciio_tpx3.tpx3 import Tpx3Source


def matched(path, truth, cluster, **options):
    source = Tpx3Source(str(path), layout="quad", show_progressbar=False)
    return match_electrons(truth, prepare_events(source, event_options(cluster=cluster, **options))[0])


@pytest.mark.parametrize("dose, efficiency", [(2, 0.998), (100, 0.985)])
def test_nearly_all_electrons_are_found(tmp_path, dose, efficiency):
    side = round((6_000 / dose) ** 0.5)
    truth = simulate.recording(
        tmp_path / "a.tpx3", (side, side + 1), electrons_per_position=dose, dwell_time="20 us", hits="realistic"
    )
    found = matched(tmp_path / "a.tpx3", truth, True)
    assert found.electrons > 5_000
    assert found.efficiency > efficiency and found.purity > efficiency
    # a shorter window parts more electrons that came close together
    assert matched(tmp_path / "a.tpx3", truth, {"window": "50 ns"}).purity >= found.purity


def test_separate_single_hits_are_found_exactly(tmp_path):
    truth = simulate.recording(tmp_path / "a.tpx3", (5, 4), electrons_per_position=3, dwell_time="1 ms")
    source = Tpx3Source(str(tmp_path / "a.tpx3"), layout="quad")
    electrons = prepare_events(source, event_options(cluster=True))[0].hits()
    inside = truth.electron_pixel >= 0
    np.testing.assert_array_equal(electrons.toa, truth.electron_time[inside])
    np.testing.assert_array_equal(electrons.pixel, truth.electron_pixel[inside])


def test_centroids_beat_the_pixel_grid_by_more_than_two(tmp_path):
    model = HitModel(wander=0.0)  # the way of the electron in the sensor would hide it
    truth = simulate.recording(
        tmp_path / "a.tpx3", (9, 8), electrons_per_position=60, dwell_time="50 us", hits=model, seed=1
    )
    error = {
        key: matched(tmp_path / "a.tpx3", truth, {"position": key[0], "upsample": key[1]}).error
        for key in (("largest", 1), ("centroid", 1), ("centroid", 4), ("centroid", 16))
    }
    assert error["largest", 1] == pytest.approx(12**-0.5, rel=0.03)
    assert error["centroid", 1] == pytest.approx(12**-0.5, rel=0.03)
    assert error["centroid", 4] < error["largest", 1] / 2.4
    assert error["centroid", 16] < error["largest", 1] / 2.8


def test_hits_of_another_file_are_refused(tmp_path):
    truth = simulate.recording(tmp_path / "a.tpx3", (3, 4), dwell_time="5 us", electrons_per_position=5)
    simulate.recording(tmp_path / "b.tpx3", (3, 4), dwell_time="5 us", electrons_per_position=5, seed=1)
    with pytest.raises(ValueError, match="not the hits of the truth"):
        matched(tmp_path / "b.tpx3", truth, True)
