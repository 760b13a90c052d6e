"""Both ways to join hits, compared with the explicit graph and with each other."""

import numpy as np
import pytest
from electrons.reference import reference_labels

from rsciio_tpx3.electrons import joining
from rsciio_tpx3.electrons.joining import join_by_table, join_hits
from rsciio_tpx3.electrons.near_hits import join_near_hits
from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.events.grid import pixel_grid

WINDOW = 100


def moments(n, alive, rng):
    """Times in order, so that about so many hits lie within the window."""
    return np.sort(rng.integers(0, max(n * WINDOW // alive, 1), n))


def patch_of(n, height, width, rng):
    """Pixels of an area around the crossing of the chips of a quad without a gap."""
    return (256 - height // 2 + rng.integers(0, height, n)) * 512 + 256 - width // 2 + rng.integers(0, width, n)


def apart(n):
    """Pixels of which none are neighbours."""
    return 3 * (np.arange(n) % 170) + 512 * 3 * (np.arange(n) // 170)


def labels(way, toa, pixel, corners, window=WINDOW):
    grid = pixel_grid(make_layout("quad"))
    pixel = pixel.astype(np.int32)
    return joining._numbered(way(toa, pixel, grid.row_start, grid.column, grid.stride, corners, np.int64(window)))


def check(toa, pixel, corners, window=WINDOW):
    n, expected = reference_labels(pixel, toa, 512, corners, window)
    for way in (join_near_hits, join_by_table):
        label, n_found = labels(way, toa, pixel, corners, window)
        assert n_found == n
        # the reference numbers clusters by their first hits too
        np.testing.assert_array_equal(label, expected)


@pytest.mark.slow
@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("alive", [1, 7, 31, 33, 90, 400])
@pytest.mark.parametrize("height, width", [(3, 7), (40, 61)])
def test_hits_are_joined_as_in_the_graph(alive, height, width, corners):
    rng = np.random.default_rng(alive)
    # more than a block
    check(moments(2500, alive, rng), patch_of(2500, height, width, rng), corners)


@pytest.mark.parametrize("step", [0, 1, WINDOW, WINDOW + 1])
def test_a_chain_in_one_pixel_is_one_cluster_while_each_hit_follows_within_the_window(step):
    toa = step * np.arange(4500)
    for way in (join_near_hits, join_by_table):
        label, n = labels(way, toa, np.full(4500, 77), True)
        assert n == (4500 if step > WINDOW else 1)
        np.testing.assert_array_equal(label, np.arange(4500) if step > WINDOW else 0)


@pytest.mark.parametrize("distance", [1, 31, 32, 33, 64, 65, 2047, 2048, 2100])
def test_a_neighbour_is_found_at_any_distance_within_the_window(distance):
    pixel = apart(5000)
    for at in (distance, 4000):
        one = pixel.copy()
        one[at] = one[at - distance] + 1
        for window, n_expected in ((10 * distance, 4999), (10 * distance - 1, 5000)):
            for way in (join_near_hits, join_by_table):
                label, n = labels(way, 10 * np.arange(5000), one, True, window)
                assert n == n_expected
                assert (label[at] == label[at - distance]) == (n == 4999)


def test_a_neighbour_many_hits_before_hides_none_across_blocks():
    pixel = apart(2100)
    # the last of a block has a neighbour beyond a word of bits, the next hit one that is not the last one's
    pixel[[2010, 2047, 2048, 2042]] = 300 * 512 + 200 + np.array([-1, 0, 1, 2])
    for way in (join_near_hits, join_by_table):
        label, n = labels(way, 10 * np.arange(2100), pixel, True, 500)
        assert n == 2097 and (label[[2042, 2047, 2048]] == label[2010]).all()


def test_a_late_hit_joins_what_was_apart():
    # a row of single hits, then those between them, from the far end on
    pixel = np.concatenate([2 * np.arange(40), 2 * np.arange(39)[::-1] + 1])
    for way in (join_near_hits, join_by_table):
        for first in (0, 2040):  # also across the border of two blocks
            toa = np.concatenate([1000 * np.arange(first), 1000 * first + np.arange(79)])
            label, n = labels(way, toa, np.concatenate([np.zeros(first, int), pixel]), False)
            assert n == first + 1 and (label[first:] == first).all()


def test_ends_of_rows_are_no_neighbours():
    pixel = np.array([511, 512, 2 * 512 + 511, 4 * 512])  # the end of a row and the beginning of the next one or two
    check(np.zeros(4, np.int64), pixel, True)
    assert labels(join_near_hits, np.zeros(4, np.int64), pixel, True)[1] == 4


@pytest.mark.parametrize("start", [-(2**31) - 30, -40, 2**32 - 50, 2**45 - 60])
def test_times_compare_across_the_border_of_32_bits(start):
    rng = np.random.default_rng(3)
    check(start + moments(300, 9, rng), patch_of(300, 5, 6, rng), True)


def test_hits_that_differ_by_whole_turns_of_32_bits_are_apart():
    grid = pixel_grid(make_layout("quad"))
    for turns in (1, 2, 5):
        toa, pixel = np.array([0, turns * 2**32, turns * 2**32 + 10]), np.array([5, 5, 5], np.int32)
        label, n = join_hits(toa, pixel, grid, True, WINDOW)
        assert (label.tolist(), n) == ([0, 1, 1], 2)
        label, n = join_hits(toa, pixel, grid, True, turns * 2**32)
        assert (label.tolist(), n) == ([0, 0, 0], 1)


def test_the_way_is_chosen_by_the_hits_within_the_window():
    rng = np.random.default_rng(0)
    for n, alive, few in ((60_000, 4, True), (60_000, 30, True), (60_000, 300, False), (3, 1, True), (0, 1, False)):
        assert joining._few_alive(moments(n, alive, rng), WINDOW) == few
    assert not joining._few_alive(np.array([0, 2**32]), WINDOW)
    assert joining._few_alive(np.array([0, 2**32 - 1]), WINDOW)
