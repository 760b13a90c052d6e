"""Which interval is the line: by what is known, and by how the intervals follow each other."""

import numpy as np
import pytest

from rsciio_tpx3.scan.intervals import AROUND, IntervalKind, kinds_of_intervals, line_interval, typical_around

LINE, BURST = 40_000, 160


def _frames(rows, n_frames, pause):
    """Intervals of frames of `rows` lines with a pause between them."""
    frame = [LINE] * (rows - 1) + [pause]
    return np.array(frame * n_frames)[:-1]


def _bursts(rows, n_frames, n_pulses):
    """Intervals of frames of `rows` lines, each ended by a burst whose last pulse begins the next one."""
    return np.array(([LINE] * rows + [BURST] * n_pulses) * n_frames)[: -n_pulses - 1]


@pytest.mark.parametrize("pause", [2 * LINE, 30 * LINE, 10**4 * LINE, 10**7 * LINE])
@pytest.mark.parametrize("rows", [3, 4, 16, 64])
@pytest.mark.parametrize("n_frames", [2, 5, 40])
def test_a_pause_is_no_line_however_long_it_is(rows, n_frames, pause):
    intervals = _frames(rows, n_frames, pause)
    assert line_interval(kinds_of_intervals(intervals))[0] == LINE


@pytest.mark.parametrize("rows", [4, 17, 100])
@pytest.mark.parametrize("n_pulses", [3, 142])
def test_a_burst_is_no_line_although_it_has_more_pulses(rows, n_pulses):
    kinds = kinds_of_intervals(_bursts(rows, 6, n_pulses))
    assert [kind.length for kind in kinds] == [BURST, LINE]
    # the same two kinds of intervals; what is known decides where their number does not
    assert line_interval(kinds, least=0.8 * LINE) == (LINE, True)
    assert line_interval(kinds)[0] == (BURST if (rows, n_pulses) == (4, 142) else LINE)


def test_intervals_next_to_similar_ones_are_in_rows_and_pauses_are_not():
    line, pause = kinds_of_intervals(_frames(5, 7, 10**6))
    assert (line.length, line.number, line.in_rows) == (LINE, 28, True)
    assert (pause.length, pause.number, pause.in_rows) == (10**6, 6, False)


@pytest.mark.parametrize("n_frames", [2, 3, 9])
def test_frames_of_two_lines_have_one_pause_less_than_lines(n_frames):
    assert line_interval(kinds_of_intervals(_frames(2, n_frames, 10**9)))[0] == LINE


def test_a_dwell_time_that_is_too_long_does_not_make_the_pause_a_line():
    kinds = kinds_of_intervals(_frames(16, 5, 10**9))
    assert line_interval(kinds, least=10 * LINE) == (LINE, False)


def test_parts_of_a_split_line_and_single_pauses_make_no_kind():
    intervals = np.array([LINE] * 50 + [300, LINE - 300] + [LINE] * 50 + [10**8] + [LINE] * 7)
    assert [kind.length for kind in kinds_of_intervals(intervals)] == [LINE]


def test_twice_the_line_is_missing_edges_and_no_kind_of_its_own():
    rng = np.random.default_rng(2)
    lines = np.arange(400)[np.sort(rng.choice(400, 300, replace=False))] * LINE
    assert [kind.length for kind in kinds_of_intervals(np.diff(lines))] == [LINE]


def test_lines_that_jitter_are_one_kind():
    intervals = np.random.default_rng(1).integers(900, 1300, 200)
    (kind,) = kinds_of_intervals(intervals)
    assert kind == IntervalKind(float(np.median(intervals)), 200, True)


def test_no_interval_has_no_kind():
    assert kinds_of_intervals(np.zeros(0, np.int64)) == []


def test_what_is_typical_is_local_and_does_not_depend_on_what_stands_where_nothing_is_known():
    rng = np.random.default_rng(2)
    lengths = rng.integers(10**9, 10**9 + 1000, 100)
    known = rng.random(100) < 0.7
    at = np.flatnonzero(~known)
    expected = []
    for k in at:
        near = [lengths[i] for i in range(max(k - AROUND, 0), min(k + AROUND + 1, 100)) if known[i]]
        expected.append(int(np.floor(np.median(near) + 0.5)))
    for otherwise in (10**9, 10**9 + 1.5, 10**9 + 2, 5.0):
        np.testing.assert_array_equal(typical_around(lengths, known, at, otherwise), expected)
    np.testing.assert_array_equal(typical_around(lengths, np.zeros(100, bool), at[:2], 7.4), [7, 7])
    assert len(typical_around(lengths, known, at[:0], 7.0)) == 0
