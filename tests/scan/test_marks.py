"""One doubtful mark decides over nothing but itself: edges lost, too many, too early, on another input, by themselves.

The kind: a reference is believed only where its neighbours agree, and no picture is wrong without a word.
"""

import logging
from dataclasses import replace

import numpy as np
import pytest
from campaigns import scan as campaign

from rsciio_tpx3 import file_info, read_hits, simulate
from rsciio_tpx3.events.source import Edges, EventIndex
from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.scan.steps import ends_in_step, keeps_step, out_of_step
from rsciio_tpx3.scan.sync import ScanOptions, build_scan

P = 10_000
LINES = ["line-start", "line-gate", "periodic-line"]


@pytest.mark.slow
def test_no_damaged_scan_is_wrong_without_a_word():
    counts, silent = campaign.campaign(100, seed=5_000_000)
    assert silent == []
    right = sum(n for (_, _, outcome), n in counts.items() if outcome.startswith("right"))
    assert right > 0.75 * counts.total()


def _clean(convention, accept, seed=0):
    """The first simulated recording of a convention that a test can use."""
    for one in range(seed, seed + 500):
        rng = np.random.default_rng(one)
        recording = campaign.simulated(convention, rng)
        if accept(recording):
            return recording, rng
    raise AssertionError("no such recording")


def _places(tmp_path, recording):
    path = tmp_path / "scan.tpx3"
    campaign.write(path, recording)
    place, shape, said = campaign.read(path, recording.options)
    return place[: len(recording.hits)], shape, said


@pytest.mark.parametrize("lost", [142, 141, 100, 30])
@pytest.mark.parametrize("frame", [0, 1, 2])
def test_a_burst_that_is_lost_shifts_no_row_of_other_frames(tmp_path, lost, frame):
    recording, _ = _clean("line-start with bursts", lambda r: r.shape[0] == 5)
    _, ny, _ = recording.shape
    first = frame * (ny + 142) + ny + 142 - lost
    found, shape, said = _places(tmp_path, campaign._without(recording, np.arange(first, first + lost)))
    assert shape[0] == 5
    np.testing.assert_array_equal(found, recording.position)
    assert lost < 141 or said


@pytest.mark.parametrize("convention", LINES)
@pytest.mark.parametrize("where", [-0.54, 0.41, 0.7])
def test_a_stray_edge_at_either_end_of_one_frame_is_a_glitch(tmp_path, convention, where):
    recording, _ = _clean(convention, lambda r: r.shape[0] == 1 and r.shape[1] > 6)
    rises = recording.times[recording.code == campaign.RISE]
    stray = (rises[0] if where < 0 else rises[-1]) + round(where * recording.period)
    broken = campaign._with(recording, np.array([stray]), campaign.RISE)
    found, shape, said = _places(tmp_path, broken)
    assert len(shape) == 2 or shape[0] == 1
    np.testing.assert_array_equal(found, recording.position)
    assert said


@pytest.mark.parametrize("convention", [*LINES, "pixel-trigger", "line-start with bursts"])
def test_a_leap_of_the_counter_alone_costs_no_hit_and_no_frame(tmp_path, convention):
    recording, rng = _clean(convention, lambda r: r.shape[0] > 2)
    for at in rng.choice(np.arange(1, len(recording.times)), 4, replace=False):
        counter = recording.counter.copy()
        counter[at:] += int(rng.integers(100, 4000))
        found, _, _ = _places(tmp_path, replace(recording, counter=counter))
        np.testing.assert_array_equal(found, recording.position)


@pytest.mark.parametrize("before", [1, 2, 3, 5])
def test_pixel_pulses_outside_the_scan_are_distinguished_from_those_of_its_lines(before):
    lines = np.arange(6)[:, None] * 9 * P + np.arange(8) * P
    early = (np.arange(before) - before) * P
    for extra in (early, lines[-1, -1] + 2 * P + np.array([0])):
        ticks = np.sort(np.concatenate([lines.ravel(), extra])) + 10 * P
        scan = build_scan(_index(ticks), ScanOptions(nav_shape=(6, 8), sync="pixel-trigger"))
        used = scan.base >= 0
        assert scan.nav_shape == (6, 8)
        assert dict(zip(scan.start[used], scan.base[used])) == dict(zip(lines.ravel() + 10 * P, range(48)))
        assert "first_line" in " ".join(scan.report["messages"])


def _index(ticks, code=0xF, counter=None):
    counter = np.arange(len(ticks)) if counter is None else counter
    codes = np.broadcast_to(np.asarray(code, np.uint8), len(ticks))
    edges = Edges(np.asarray(ticks, np.int64), codes, (counter % 4096).astype(np.uint16))
    span = int(edges.ticks[0]), int(edges.ticks[-1])
    return EventIndex(edges, 10, span, span, (0,))


def _both_inputs(lines, frames):
    ticks = np.concatenate([lines, frames])
    code = np.repeat([0xF, 0xE], [len(lines), len(frames)])
    order = np.argsort(ticks, kind="stable")
    counter = np.concatenate([np.arange(len(lines)), np.arange(len(frames))])[order]
    return _index(ticks[order], code[order], counter)


def test_frame_edges_on_the_other_input_tell_where_frames_begin():
    lines = np.arange(50) * P + 5 * P
    index = _both_inputs(lines, lines[[7, 19, 31, 43]] - P // 5)
    scan = build_scan(index, ScanOptions(nav_shape=(12, 4), dwell=P // 5))
    # the recording begins with the last seven lines of a frame, although the scan never pauses
    np.testing.assert_array_equal(scan.base // 4, np.arange(50) + 5)
    report = scan.report
    assert (report["tdc"], report["frame_edges"], report["frame_edges_used"]) == ("tdc1-rise", "tdc2-rise", 4)


def test_edges_on_the_other_input_that_fit_no_frame_are_compared_and_not_used():
    lines = np.arange(48) * P + 5 * P
    index = _both_inputs(lines, np.array([6.3, 11.9, 23.45, 40.7]) * P)
    scan = build_scan(index, ScanOptions(nav_shape=(12, 4), dwell=P // 5, tdc="tdc1-rise"))
    np.testing.assert_array_equal(scan.base // 4, np.arange(48))
    assert scan.report["frame_edges_used"] == 0
    assert "4 of 4 tdc2-rise edges" in " ".join(scan.report["messages"])
    with pytest.raises(ScanSyncError, match="Edges on both inputs"):
        build_scan(index, ScanOptions(nav_shape=(12, 4), dwell=P // 5))


@pytest.mark.parametrize("jitter", [0, 3])
def test_edges_out_of_step_are_excluded_from_any_train(jitter):
    """The edges that keep the step, found again whatever stands between them; the reference knows which they are."""
    for seed in range(200):
        rng = np.random.default_rng(seed)
        train = np.arange(60) * P + 100 + np.rint(rng.normal(0, jitter, 60)).astype(np.int64)
        extra = rng.integers(2, 57, 4) * P + rng.integers(P // 10, 9 * P // 10, 4)
        edges = np.sort(np.concatenate([train, np.unique(extra)]))
        number = np.arange(len(edges))
        glitch, renumbered = out_of_step(edges, number, P, keeps_step(edges, P), P / 4)
        np.testing.assert_array_equal(edges[~glitch], train)
        np.testing.assert_array_equal(np.diff(renumbered[~glitch]), 1)


def test_an_edge_too_early_or_too_late_keeps_its_number():
    for at in range(2, 18):
        for share in (-0.4, -0.1, 0.03, 0.45):
            edges = np.arange(20) * P
            edges[at] += round(share * P)
            glitch, number = out_of_step(edges, np.arange(20), P, 0.002 * P, P / 4)
            assert np.flatnonzero(glitch).tolist() == [at]
            np.testing.assert_array_equal(number[~glitch], np.delete(np.arange(20), at))


def test_first_lines_that_all_come_late_are_a_habit_and_no_fault():
    frame = np.concatenate([[P // 8], np.arange(1, 8) * P])
    ticks = (np.arange(4)[:, None] * 20 * P + frame).ravel()
    assert ends_in_step(ticks, np.repeat(np.arange(4), 8), P)[1] == 0
    one = np.arange(32) // 8 * 12 * P + np.arange(32) * P
    moved = one.copy()
    moved[8] += P // 8
    ticks, n = ends_in_step(moved, np.repeat(np.arange(4), 8), P)
    assert n == 1
    np.testing.assert_array_equal(ticks, one)


def test_what_came_before_a_reset_is_read_on_request(tmp_path, caplog):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(path, (5, 7), stale_start=True, global_time="0.2 ms", electrons_per_position=30, seed=11)
    n_old, n_all = truth.n_stale_hits, len(truth.hit_time)
    assert n_old == 1
    with caplog.at_level(logging.WARNING):
        left = file_info(path)
        with_old = file_info(path, before_reset="keep")
    assert (left["hits"], with_old["hits"]) == (n_all - n_old, n_all)
    assert "hits_before_reset" in left["losses"]
    assert "hits_before_reset" not in with_old["losses"]
    assert with_old["first"] < left["first"]
    assert sum(len(batch["x"]) for batch in read_hits(path, before_reset="keep")) == n_all
    with pytest.raises(ValueError, match="'exclude', 'keep'"):
        file_info(path, before_reset="drop")


def test_the_cache_tells_recordings_with_and_without_what_was_before_a_reset(tmp_path, folder):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(path, (5, 7), stale_start=True, global_time="0.2 ms", electrons_per_position=30, seed=11)
    hits = [file_info(path, cache=True, before_reset=what)["hits"] for what in ("exclude", "keep") * 2]
    n = len(truth.hit_time)
    assert hits == [n - 1, n] * 2


def test_a_short_train_with_several_edges_out_of_place_keeps_its_step():
    edges = np.arange(12) * P
    edges[[2, 4, 10]] += np.array([-22, -13, -12]) * P // 100
    assert keeps_step(edges, P) == 0.002 * P
    irregular = np.cumsum(np.random.default_rng(0).integers(85 * P // 100, 115 * P // 100, 40))
    assert keeps_step(irregular, P) is None
