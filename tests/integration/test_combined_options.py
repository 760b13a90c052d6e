"""Corrections, clusters, added frames and time bins together, against plain loops over the hits of the truth."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from electrons.reference import reference_electrons

from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.electrons.clusters import ClusterOptions
from rsciio_tpx3.simulate import Defects, HitModel

pytestmark = pytest.mark.slow

FRAMES, NY, NX, BINS = 3, 5, 7, 3
HOT = [70 * 256 + 41, 128 * 256 + 130, 201 * 256 + 9]


@pytest.fixture(scope="module", params=["raster", "serpentine"])
def recorded(request, tmp_path_factory):
    """Walking hits of scattered electrons and three hot pixels, one of them in the beam."""
    path = tmp_path_factory.mktemp(request.param) / "scan.tpx3"
    truth = simulate.recording(
        path, (NY, NX), n_frames=FRAMES, pattern=request.param, dwell_time="20 us", frame_flyback="50 us",
        hits=HitModel(walk="60 ns"), defects=Defects(hot=HOT, hot_rate=60_000.0), electrons_per_position=9,
        flyback_electrons=True, layout="single", seed=7,
    )  # fmt: skip
    return truth, path, {"navigation_shape": (NX, NY, FRAMES), "pattern": request.param}


def _loaded(path, options, **more):
    return file_reader(path, lazy=True, layout="single", show_progressbar=False, **options, **more)[0]


def _corrections(signal):
    return signal["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]["Corrections"]


def _times(truth, walk):
    """Times of the hits without the walk that the metadata tell, to the nearest tick."""
    if walk is None:
        return truth.hit_time
    delay = [walk["a"] / max(tot + walk["b"], 0.5) for tot in range(1024)]
    ticks = [round((d - delay[walk["tot_without_delay"]]) * 3.84) for d in delay]
    return truth.hit_time - np.array(ticks)[truth.hit_tot]


def _bin_and_position(truth, time):
    """Time bin, row and column of a moment, by exact division; None in flyback."""
    scan = truth.scan
    for starts, rests in zip(scan.line_starts, scan.line_remainders):
        for row, (start, rest) in enumerate(zip(starts, rests)):
            since = time - int(start) + Fraction(int(rest), scan.dwell.denominator)
            if 0 <= since < NX * scan.dwell:
                step, left = divmod(since, scan.dwell)
                column = NX - 1 - step if scan.pattern == "serpentine" and row % 2 else step
                return int(left * BINS // scan.dwell), row, int(column)
    return None


def _expected(truth, times, used, values):
    """Value of each (bin, row, column, pixel), clusters by the graph of all pairs of hits."""
    found = Counter()
    hits = truth.hit_pixel[used], times[used], truth.hit_tot[used]
    for time, pixel, tot, _ in reference_electrons(*hits, 256, ClusterOptions()):
        place = _bin_and_position(truth, time)
        if place is not None:
            found[(*place, pixel)] += tot if values == "tot" else 1
    return found


def _values(signal):
    frames = signal["data"].compute(scheduler="sync")
    frames.check()
    places = zip(*np.unravel_index(frames.rows(), frames.nav_shape))
    return {
        (*map(int, place), int(pixel)): int(value) for place, pixel, value in zip(places, frames.indices, frames.data)
    }


@pytest.mark.parametrize("values", ["counts", "tot"])
@pytest.mark.parametrize("chunks", [2, "auto"])
@pytest.mark.parametrize("corrections", [{"mask": "find"}, {"time_walk": True}, {"mask": "find", "time_walk": True}])
def test_all_together_are_what_each_is_alone(recorded, corrections, chunks, values):
    truth, path, options = recorded
    more = {"cluster": True, "frames": "sum", "time_bins": BINS, "chunks": chunks, "values": values}
    signal = _loaded(path, options, corrections=corrections, **more)
    assert signal["data"].shape == (BINS, NY, NX, 256, 256)
    report = _corrections(signal)
    used = np.ones(len(truth.hit_pixel), bool)
    if "mask" in corrections:
        hot = [y * 256 + x for x, y in report["Mask"]["hot_x_y"]]
        assert sorted(hot) == HOT
        used = ~np.isin(truth.hit_pixel, hot)
    assert used.all() == ("mask" not in corrections)
    times = _times(truth, report.get("Time_walk"))
    assert (times != truth.hit_time).any() == ("time_walk" in corrections)
    expected = _expected(truth, times, used, values)
    found = _values(signal)
    assert found == expected
    navigator = signal["post_process"][0].keywords["navigator"]
    assert navigator.shape == (BINS, NY, NX)
    if values == "counts":
        assert navigator.sum() == sum(expected.values())
    plain = _values(_loaded(path, options, **more))
    assert found != plain  # the corrections change something here


def test_corrections_see_hits_of_all_frames_and_bins(recorded):
    """What is fitted and found belongs to the recording and not to the part of it that is wanted."""
    _, path, options = recorded
    corrections = {"mask": "find", "time_walk": True}
    whole = _corrections(_loaded(path, options, corrections=corrections, cluster=True))
    for part in ({"frames": 1}, {"frames": "sum", "time_bins": BINS}, {"frames": ("sum", slice(1, 3))}):
        assert _corrections(_loaded(path, options, corrections=corrections, cluster=True, **part)) == whole
