"""Delays of chip columns, found from clusters, against the delays that were put in."""

import numpy as np
import pytest
from electrons.memory_hits import MemoryHits

import rsciio_tpx3
from rsciio_tpx3 import simulate
from rsciio_tpx3.corrections.cluster_pairs import ClusterPairs, cluster_pairs
from rsciio_tpx3.corrections.column_fit import find_columns, found_delays
from rsciio_tpx3.corrections.fit import hit_steps
from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.events.grid import pixel_addresses
from rsciio_tpx3.exceptions import ConflictError
from rsciio_tpx3.simulate import HitModel
from rsciio_tpx3.tpx3 import Tpx3Source

COLUMNS = np.arange(256)
PHASE = np.where(COLUMNS // 2 % 16 == 0, 16, COLUMNS // 2 % 16) * 6
NS = 1 / 3.84


def known_defects():
    """Ticks by which each chip column is late: the phase, and five double columns of chip 0 by 25 ns more."""
    late = np.tile(-PHASE, (256, 1))
    late[0, 194:204] += 96
    return late


def pairs_of(layout, late, n, *, tilt=0.0, accidental=0.0, dead=(), rows=None, seed=1):
    """Neighbouring hits with delays of columns and walk, jitter and the clock's step."""
    rng = np.random.default_rng(seed)
    height, width = layout.sig_shape
    chip, address = pixel_addresses(layout)
    rows = (0, height - 1) if rows is None else rows
    first = rng.integers(*rows, n) * width + rng.integers(0, width - 1, n)
    second = first + rng.integers(0, 2, n) * width + rng.integers(0, 2, n)
    own, of = np.where(rng.random(n) < 0.5, [first, second], [second, first])
    large = rng.integers(20, 60, n)
    small = np.maximum(large * rng.random(n), 1).astype(np.int64)

    def time(pixel, tot):
        column = late[chip[pixel], address[pixel] & 0xFF]
        return column + 160 / (tot + 2) + tilt * (pixel % width) + rng.normal(0, 4, n)

    delay = np.rint((time(own, small) - time(of, large)) / 6).astype(np.int64) * 6
    wrong = rng.random(n) < accidental
    delay[wrong] = rng.integers(-128, 129, wrong.sum()) * 6
    keep = (own != of) & ~np.isin(address[own] & 0xFF, dead) & ~np.isin(address[of] & 0xFF, dead)
    return ClusterPairs(*(column[keep] for column in (delay, small, large, own.astype(np.int32), of.astype(np.int32))))


def differences(found, late):
    """Found delays less true ones in ns, each set less its own median."""
    rest = found.delay - late[list(found.chips)]
    for k in range(found.set_number.max() + 1):
        rest[found.set_number == k] -= np.median(rest[found.set_number == k])
    return rest * NS


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A recording with phase, columns that are 25 ns late, and time walk; and its truth."""
    path = tmp_path_factory.mktemp("columns") / "columns.tpx3"
    model = HitModel(column_offset=known_defects(), walk="40 ns")
    truth = simulate.recording(
        path, intensity=np.ones((3, 5, 256, 256)), layout="single", electrons_per_position=12_000, dwell_time="12 ms",
        hits=model, seed=5,
    )  # fmt: skip
    return str(path), truth


@pytest.mark.slow
def test_phase_and_defects_of_the_simulator_are_found(recorded):
    path, truth = recorded
    source = Tpx3Source(path)
    corrected, [step] = hit_steps(source, {"columns": "find"})
    late, report = known_defects()[0], step.report()
    delay, error = (report[name][0] for name in ("delay", "delay_errors"))
    rest = delay - (late - np.median(late)) * NS
    assert np.abs(rest).max() < 5 * error.max() and np.sqrt(np.mean(rest**2)) < 2 * np.median(error)
    assert np.median(error) < 0.6  # ns: a third of the clock's step
    assert np.median(delay) == pytest.approx(0, abs=0.01)
    assert report["columns_found"] == 256 and report["columns_left"] == 0 and report["chips_compared"] == [[0]]
    assert report["rms_after"] < report["rms_before"] and "tilt" not in report
    # whole ticks; the report has them to 0.01 ns
    assert np.abs(step.ticks.reshape(256, 256) + delay / NS).max() < 0.52
    # the usual hit keeps its time, and the columns agree
    before, after = (
        np.bincount(hits.x, (hits.toa - truth.electron_time[truth.hit_electron]) * NS) / np.bincount(hits.x)
        for hits in (source.hits(), corrected.hits())
    )
    assert np.std(before) > 9 and np.std(after) < 0.8
    assert np.median(after) == pytest.approx(np.median(before), abs=1.6)


@pytest.mark.slow
def test_walk_is_fitted_to_the_times_that_the_columns_left(recorded):
    path, truth = recorded
    corrected, steps = hit_steps(Tpx3Source(path), {"time_walk": True, "columns": "find"})
    assert [step.name for step in steps] == ["Columns", "Time_walk"]
    walk = steps[1].report()
    assert walk["a"] == pytest.approx(40 * 6 * 0.3, rel=0.1)  # as for recordings without delays
    hits = corrected.hits()
    late = (hits.toa - truth.electron_time[truth.hit_electron]) * NS
    assert np.std(late[hits.tot > 8]) < 1.7
    again, _ = hit_steps(Tpx3Source(path), {"columns": "find", "time_walk": True})
    np.testing.assert_array_equal(again.hits().toa, hits.toa)


@pytest.mark.slow
def test_found_columns_do_not_depend_on_chunks_and_are_recorded(recorded):
    options = {"lazy": True, "navigation_shape": (5, 3), "corrections": {"columns": "find"}, "cluster": True}
    [whole] = rsciio_tpx3.file_reader(recorded[0], show_progressbar=False, **options)
    [cut] = rsciio_tpx3.file_reader(recorded[0], show_progressbar=False, chunks=1, **options)
    assert cut["data"].numblocks[0] == 3
    np.testing.assert_array_equal(cut["data"].compute().indices, whole["data"].compute().indices)
    reports = [d["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]["Corrections"] for d in (whole, cut)]
    for name in ("delay", "delay_errors", "delay_pairs", "delay_set"):
        np.testing.assert_array_equal(reports[0]["Columns"][name], reports[1]["Columns"][name])
    assert reports[0]["Columns"]["rule"] == "found" and reports[0]["Columns"]["pixels_shifted"] > 60_000


@pytest.mark.slow
def test_chips_that_clusters_bridge_are_compared():
    late = known_defects()
    late[1] += 48  # a chip that is 12.5 ns late
    found = find_columns(pairs_of(make_layout("quad"), late, 1_200_000), make_layout("quad"))
    assert found.chips == (0, 1, 2, 3) and set(found.set_number.ravel()) == {0}
    rest = differences(found, late)
    assert np.sqrt(np.mean(rest**2)) < 1
    assert (np.median(found.delay[1]) - np.median(found.delay[2])) * NS == pytest.approx(12.5, abs=1)


@pytest.mark.slow
def test_chips_that_no_cluster_bridges_keep_a_constant_each():
    layout, late = make_layout("quad"), known_defects()
    late[3] += 480
    # rows of chips 3 and 0 alone, with a dead column where they meet
    found = find_columns(pairs_of(layout, late, 600_000, rows=(7, 211), dead=[255]), layout)
    assert [len(set(row)) for row in found.set_number] == [2, 1, 1, 2]
    _, report = found_delays(found, layout)
    assert report["chips_compared"] == [[0], [3]] and report["columns_left"] == 2 * 256 + 2
    assert not report["delay"][1].any() and (report["delay_set"][1] == -1).all() and report["delay_set"][3, 255] == -1
    assert report["chips"] == [0, 1, 2, 3] and report["delay_pairs"].shape == (4, 256)
    assert np.nanmedian(found.delay[3]) == 0 and np.sqrt(np.nanmean(differences(found, late) ** 2)) < 1


def test_columns_without_pairs_keep_their_times():
    layout, late = make_layout("single", orientation="left"), known_defects()
    found = find_columns(pairs_of(layout, late, 400_000, dead=[100, *range(230, 256)]), layout)
    assert set(found.set_number[0, :100]) == {0} and set(found.set_number[0, 101:230]) == {1}
    left = found.set_number[0] < 0
    assert np.flatnonzero(left).tolist() == [100, *range(230, 256)]
    ticks, report = found_delays(found, layout)
    image = ticks.reshape(256, 256)  # turned to the left: chip columns are detector rows, from below
    assert not image[::-1][left].any() and image[::-1][~left].any(axis=1).mean() > 0.9
    np.testing.assert_array_equal(image, np.broadcast_to(image[:, :1], image.shape))
    assert report["columns_left"] == 27 and report["chips_compared"] == [[0], [0]]


@pytest.mark.slow
def test_accidental_neighbours_do_not_decide():
    layout, late = make_layout("single"), known_defects()
    found = find_columns(pairs_of(layout, late, 400_000, accidental=0.2), layout)
    assert np.sqrt(np.mean(differences(found, late) ** 2)) < 0.6
    assert found.scatter[1] < 0.5 * found.scatter[0]


@pytest.mark.slow
@pytest.mark.parametrize("layout", [make_layout("single"), make_layout("single", orientation="down")])
def test_a_beam_at_an_angle_is_no_delay(layout):
    late = known_defects()
    found = find_columns(pairs_of(layout, late, 400_000, tilt=0.4), layout)  # 100 ticks over the chip
    assert found.tilt == pytest.approx(0.4, abs=5 * found.tilt_error) and found.tilt_error < 0.05
    assert np.abs(differences(found, late)).max() < 2
    assert found_delays(found, layout)[1]["tilt"] == pytest.approx(0.4 * NS, rel=0.5)


def test_a_burst_does_not_make_the_sample_grow():
    rng = np.random.default_rng(2)
    start = np.concatenate(
        [rng.integers(0, 10**12, 1000), 5 * 10**11 + 62_500_000_000 + rng.integers(0, 10**8, 50_000)]
    )
    first = rng.integers(0, 65_000, len(start))
    source = MemoryHits(
        np.append(first, first + 1), np.append(start, start + 6), np.full(2 * len(start), 9), piece=4000
    )
    assert 0 < len(cluster_pairs(source, 20_000)) < 20_000
    assert len(cluster_pairs(source)) > 45_000


def test_columns_that_differ_one_by_one_are_no_tilt():
    layout = make_layout("single")
    late = np.random.default_rng(4).normal(0, 20, (256, 256))
    found = find_columns(pairs_of(layout, late, 400_000), layout)
    assert found.tilt == 0 and np.sqrt(np.mean(differences(found, late) ** 2)) < 0.6


@pytest.mark.parametrize(
    "n, words",
    [(0, "0 pairs of hits .* link 32 neighbouring columns"), (4_000, "pairs .* 10 in each two"),
     (16_000, r"to \d.\d+ ns; about \d+ are needed for the 1.562 ns")],
)  # fmt: skip
def test_there_is_no_answer_from_too_few_pairs(n, words):
    with pytest.raises(ConflictError, match=words):
        find_columns(pairs_of(make_layout("single"), known_defects(), n), make_layout("single"))
