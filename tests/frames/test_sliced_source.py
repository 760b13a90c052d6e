"""A part of a source compared with the same part of the array."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3 import to_dask
from rsciio_tpx3.frames.memory_source import MemorySource
from rsciio_tpx3.frames.sliced_source import ChosenSource, SlicedSource

SHAPE = (2, 5, 7, 4, 6)
COUNTS = np.random.default_rng(3).poisson(0.3, SHAPE).astype(np.uint8)


@st.composite
def keys(draw):
    key = []
    for axis, n in enumerate(SHAPE):
        first = draw(st.integers(0, n - 1))
        if axis < 3 and draw(st.booleans()):
            key.append(first)
        else:
            key.append(slice(first, draw(st.integers(first + 1, n))))
    return tuple(key)


@settings(max_examples=60)
@given(keys())
def test_a_part_holds_what_slicing_gives(key):
    source, expected = SlicedSource(MemorySource.from_dense(COUNTS), key), COUNTS[key]
    assert source.nav_shape + source.sig_shape == expected.shape
    flat = expected.reshape((-1, *expected.shape[-2:]))
    np.testing.assert_array_equal(source.frames(0, len(flat)).todense(), flat)
    middle = len(flat) // 2
    np.testing.assert_array_equal(source.frames(middle, middle + 1).todense(), flat[middle : middle + 1])
    assert (source.row_events() >= (flat > 0).sum(axis=(1, 2))).all()
    np.testing.assert_array_equal(to_dask(source).compute(scheduler="sync"), expected)


def test_a_part_of_a_part_and_its_pickle():
    part = SlicedSource(MemorySource.from_dense(COUNTS), np.s_[1, 1:5, 2:7, :, 1:])
    part = pickle.loads(pickle.dumps(SlicedSource(part, np.s_[1:3, 4, 1:3, 0:2])))
    np.testing.assert_array_equal(part.frames(0, 2).todense(), COUNTS[1, 2:4, 6, 1:3, 1:3])


def test_positions_far_apart_are_read_one_run_at_a_time():
    class Noted(MemorySource):
        lengths = []

        def frames(self, start, stop):
            self.lengths.append(stop - start)
            return super().frames(start, stop)

    counts = np.random.default_rng(4).poisson(0.3, (5, 70, 3, 4)).astype(np.uint8)
    whole = Noted(MemorySource.from_dense(counts)._frames)
    narrow = SlicedSource(whole, np.s_[:, 10:12, :, :])
    np.testing.assert_array_equal(narrow.frames(0, 10).todense(), counts[:, 10:12].reshape(10, 3, 4))
    assert Noted.lengths == [2] * 5


@pytest.mark.parametrize("key", [np.s_[0, 0, 0, 0, :], np.s_[:, ::2, :, :, :], np.s_[:, :, :], np.s_[2, :, :, :, :]])
def test_what_is_no_cut_out_is_refused(key):
    with pytest.raises(ValueError, match="is not valid for shape"):
        SlicedSource(MemorySource.from_dense(COUNTS), key)


@settings(max_examples=40)
@given(st.sets(st.integers(0, 69)), st.integers(0, 70), st.integers(0, 70))
def test_chosen_rows_are_those_of_numpy(chosen, start, stop):
    rows = np.array(sorted(chosen), np.int64)
    source = ChosenSource(MemorySource.from_dense(COUNTS), rows)
    flat = COUNTS.reshape((-1, *COUNTS.shape[-2:]))[rows]
    start, stop = min(start, len(rows)), min(max(start, stop), len(rows))
    np.testing.assert_array_equal(source.frames(start, stop).todense(), flat[start:stop])
    part = pickle.loads(pickle.dumps(source.for_rows(start, stop)))
    np.testing.assert_array_equal(part.frames(start, stop).todense(), flat[start:stop])
    assert source.in_memory and (source.row_events() == (flat > 0).sum(axis=(1, 2))).all()
