"""Orders by a radix sort compared with NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsciio_tpx3.utils.sorting import order_of, time_order, time_sorted


@given(st.lists(st.integers(-(2**45), 2**45), max_size=300), st.integers(0, 44))
def test_radix_order_is_a_stable_sort(values, shift):
    keys = np.array(values, np.int64) >> shift
    np.testing.assert_array_equal(order_of(keys), np.argsort(keys, kind="stable"))


def test_radix_order_of_many_keys():
    rng = np.random.default_rng(1)
    for keys in (rng.integers(0, 2**33, 50_000), np.sort(rng.integers(0, 2**20, 70_001)), np.full(5000, 7)):
        np.testing.assert_array_equal(order_of(keys), np.argsort(keys, kind="stable"))


@pytest.mark.slow
@pytest.mark.parametrize("n", [0, 1, 2, 4001, 70_000])
# from hits of one time to times that leave no room for the pixel next to them
@pytest.mark.parametrize("time_bits", [0, 10, 33, 46, 47, 61])
@pytest.mark.parametrize("pixel_bits, tot_type", [(3, np.uint16), (19, np.uint32)])
def test_hits_are_sorted_by_time_pixel_and_tot(n, time_bits, pixel_bits, tot_type):
    rng = np.random.default_rng(n)
    n_times = 1 if time_bits == 0 else n // 5 + 2  # many hits of equal time
    toa = rng.choice(rng.integers(0, 2**time_bits, n_times) - 2**40, n)
    toa[-2:] = np.array([0, 2**time_bits - 1])[: len(toa)] - 2**40
    pixel, tot = rng.integers(0, 2**pixel_bits, n).astype(np.int32), rng.integers(0, 3, n).astype(tot_type)
    expected = np.lexsort((tot, pixel, toa))
    order = time_order(toa, pixel, tot)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    for column, found in zip((toa, pixel, tot), time_sorted(toa, pixel, tot)):
        assert found.dtype == column.dtype
        np.testing.assert_array_equal(column[order], column[expected])
        np.testing.assert_array_equal(found, column[expected])


def test_hits_that_are_equal_in_all_keep_their_order():
    toa, pixel, tot = np.repeat([5, 3], 4), np.tile([9, 9, 2, 2], 2), np.full(8, 6)
    assert time_order(toa, pixel, tot).tolist() == [6, 7, 4, 5, 2, 3, 0, 1]
