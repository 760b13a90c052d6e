"""Trigger edges to lines: what is missing, spurious or a mark."""

import numpy as np
import pytest

from rsciio_tpx3.scan.edges import regular_pulses

PERIOD = 1000


def _missing(n, at=None, count=1, step=1):
    """Counter of n edges with `count` missing before edge `at`."""
    counter = np.arange(n) * step
    if at is not None:
        counter[at:] += count * step
    return counter % 4096


def test_regular_edges_stay_as_they_are():
    edges = np.arange(20) * PERIOD
    pulses = regular_pulses(edges, _missing(20))
    np.testing.assert_array_equal(pulses.ticks, edges)
    assert (pulses.period, pulses.jitter, pulses.repaired, len(pulses.run_lengths)) == (PERIOD, 0, 0, 1)


def test_missing_edges_are_put_back_where_counter_and_time_agree():
    edges = np.delete(np.arange(20) * PERIOD, [5, 6, 7])
    pulses = regular_pulses(edges, _missing(17, at=5, count=3))
    np.testing.assert_array_equal(pulses.ticks, np.arange(20) * PERIOD)
    assert pulses.repaired == 3


def test_gap_without_missing_edges_is_a_frame_mark():
    edges = np.concatenate([np.arange(10), 25 + np.arange(10)]) * PERIOD
    pulses = regular_pulses(edges, _missing(20))
    assert pulses.run_lengths.tolist() == [10, 10]


def test_missing_edges_that_do_not_explain_the_gap_take_a_place_without_time():
    edges = np.concatenate([np.arange(8), 25 + np.arange(10)]) * PERIOD
    pulses = regular_pulses(edges, _missing(18, at=8, count=2))
    assert pulses.lost.sum() == 2
    assert pulses.run_lengths.tolist() == [10, 10]


def test_pause_of_thousands_of_lines_is_a_pause_and_no_loss():
    edges = np.concatenate([np.arange(100), 5000 + np.arange(100)]) * PERIOD
    pulses = regular_pulses(edges, _missing(200))
    assert (pulses.repaired, pulses.lost.sum(), pulses.run_lengths.tolist()) == (0, 0, [100, 100])


def test_two_short_groups_around_a_very_long_pause():
    edges = np.concatenate([np.arange(6), 50_000 + np.arange(6)]) * PERIOD
    pulses = regular_pulses(edges, _missing(12))
    assert (pulses.period, pulses.run_lengths.tolist()) == (PERIOD, [6, 6])


def test_counter_that_steps_by_two_counts_pulses_not_edges():
    edges = np.delete(np.arange(20) * PERIOD, [5])
    pulses = regular_pulses(edges, _missing(19, at=5, step=2))
    np.testing.assert_array_equal(pulses.ticks, np.arange(20) * PERIOD)
    # the other direction alone missing: 2 + 1 - 1 steps, no pulse
    counter = _missing(20, step=2)
    counter[7:] -= 1
    assert regular_pulses(np.arange(20) * PERIOD, counter).repaired == 0


def test_counter_without_a_step_is_not_used_and_said():
    counter = np.random.default_rng(1).integers(0, 4096, 20)
    pulses = regular_pulses(np.arange(20) * PERIOD, counter)
    assert not pulses.counter_usable
    assert pulses.lost.sum() == pulses.repaired == 0


def test_bounce_after_the_last_edge_does_not_cost_its_line():
    edges = np.append(np.arange(10) * PERIOD, 9 * PERIOD + 3)
    np.testing.assert_array_equal(regular_pulses(edges, _missing(11)).ticks, np.arange(10) * PERIOD)


def test_edge_inside_a_line_is_a_glitch():
    edges = np.sort(np.append(np.arange(20) * PERIOD, 7 * PERIOD + 300))
    pulses = regular_pulses(edges, _missing(21))
    np.testing.assert_array_equal(pulses.ticks, np.arange(20) * PERIOD)
    assert pulses.spurious == 1


def test_edge_just_after_another_is_a_glitch():
    edges = np.sort(np.append(np.arange(20) * PERIOD, 7 * PERIOD + 4))
    pulses = regular_pulses(edges, _missing(21))
    np.testing.assert_array_equal(pulses.ticks, np.arange(20) * PERIOD)
    assert pulses.spurious == 1


@pytest.mark.parametrize("n_pulses", [2, 5, 142])
def test_burst_ends_a_frame_and_its_last_edge_begins_the_next(n_pulses):
    # ten line intervals, then a burst of short ones, three times; the last frame has nine lines
    frame = np.concatenate([np.full(10, PERIOD), np.full(n_pulses, 4)])
    edges = np.concatenate([[0], np.cumsum(np.tile(frame, 3))])[: -n_pulses - 1]
    pulses = regular_pulses(edges, _missing(len(edges)))
    starts = np.arange(3)[:, None] * frame.sum() + np.arange(10) * PERIOD
    np.testing.assert_array_equal(pulses.ticks, starts.ravel())
    assert pulses.run_lengths.tolist() == [10, 10, 10]


def test_lines_triggered_by_the_mains_keep_their_own_times():
    edges = np.cumsum(np.random.default_rng(0).integers(900, 1300, 50))
    pulses = regular_pulses(edges, _missing(50))
    np.testing.assert_array_equal(pulses.ticks, edges)
    assert len(pulses.run_lengths) == 1


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_edges_are_paired_as_they_are(n):
    edges = np.arange(n) * PERIOD
    np.testing.assert_array_equal(regular_pulses(edges, _missing(n)).ticks, edges)
