"""A binned source compared with the same array binned by NumPy."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3 import to_dask
from rsciio_tpx3.frames.binned_source import BinnedSource
from rsciio_tpx3.frames.memory_source import MemorySource
from rsciio_tpx3.frames.sliced_source import SlicedSource
from rsciio_tpx3.frames.unmerged import merged, unmerged

SHAPE = (2, 6, 9, 4, 10)
COUNTS = np.random.default_rng(3).poisson(0.7, SHAPE).astype(np.uint8)


def divisors(n):
    return st.sampled_from([f for f in range(1, n + 1) if n % f == 0])


def binned_by_numpy(counts, factors, dtype):
    split = [part for n, f in zip(counts.shape, factors, strict=True) for part in (n // f, f)]
    return counts.reshape(split).sum(axis=tuple(range(1, 2 * counts.ndim, 2)), dtype=dtype)


@settings(max_examples=60)
@given(st.tuples(*(divisors(n) for n in SHAPE)), st.sampled_from(["u8", "u2", "u1", "i8", "f8", "f4"]), st.data())
def test_binned_rows_are_those_of_numpy(factors, dtype, data):
    source = BinnedSource(MemorySource.from_dense(COUNTS), factors, dtype)
    expected = binned_by_numpy(COUNTS, factors, dtype)
    assert source.nav_shape + source.sig_shape == expected.shape and source.dtype == dtype
    flat = expected.reshape((-1, *expected.shape[-2:]))
    start = data.draw(st.integers(0, len(flat)))
    stop = data.draw(st.integers(start, len(flat)))
    rows = source.frames(start, stop)
    rows.check()
    assert rows.dtype == dtype
    np.testing.assert_array_equal(rows.todense(), flat[start:stop])
    assert (source.row_events() >= (flat > 0).sum(axis=(1, 2))).all()
    np.testing.assert_array_equal(to_dask(source).compute(scheduler="sync"), expected)
    part = pickle.loads(pickle.dumps(source.for_rows(start, stop)))
    np.testing.assert_array_equal(part.frames(start, stop).todense(), flat[start:stop])


@settings(max_examples=40)
@given(st.tuples(*(divisors(n) for n in SHAPE)))
def test_rows_for_sums_have_the_same_sums_and_merge_to_the_same_rows(factors):
    source = BinnedSource(MemorySource.from_dense(COUNTS), factors, "u8")
    n_rows = int(np.prod(source.nav_shape))
    loose, rows = unmerged(source).frames(0, n_rows), source.frames(0, n_rows)
    np.testing.assert_array_equal(loose.sum(axis=0), rows.sum(axis=0))
    np.testing.assert_array_equal(loose.sum(axis=(1, 2)), rows.sum(axis=(1, 2)))
    again = merged(loose, source.dtype)
    assert again.dtype == rows.dtype
    np.testing.assert_array_equal(again.todense(), rows.todense())


@pytest.mark.parametrize("dtype", ["u1", "u2", "f8", "i8"])
def test_types_that_may_overflow_or_round_take_merged_rows(dtype):
    source = BinnedSource(MemorySource.from_dense(COUNTS), (1, 1, 1, 2, 2), dtype)
    assert unmerged(source) is source


def test_parts_and_bins_of_each_other():
    part = SlicedSource(MemorySource.from_dense(COUNTS), np.s_[1, 0:4, 1:9, :, 1:7])
    binned = BinnedSource(part, (2, 4, 2, 3), "u8")
    last = SlicedSource(binned, np.s_[:, 1, 1:2, 0:2])
    expected = binned_by_numpy(COUNTS[1, 0:4, 1:9, :, 1:7], (2, 4, 2, 3), "u8")[:, 1, 1:2, 0:2]
    np.testing.assert_array_equal(last.frames(0, 2).todense(), expected)
    np.testing.assert_array_equal(unmerged(last).frames(0, 2).sum(axis=0), expected.sum(axis=0))
    assert last.in_memory


def test_factors_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="do not divide the shape"):
        BinnedSource(MemorySource.from_dense(COUNTS), (1, 4, 1, 1, 1), "u8")
