"""Frames made of others in memory: held once, of the same values, and made anew by other processes."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3 import to_dask
from rsciio_tpx3.csr import memory_limit
from rsciio_tpx3.csr.binning import bin_frames
from rsciio_tpx3.frames import made_once
from rsciio_tpx3.frames.binned_source import BinnedSource
from rsciio_tpx3.frames.made_once import MadeOnce, as_narrow_as_can_be, can_be_held
from rsciio_tpx3.frames.memory_source import MemorySource
from rsciio_tpx3.frames.sliced_source import ChosenSource, SlicedSource
from rsciio_tpx3.testing import check_frame_source

SHAPE = (3, 5, 4, 6)
TYPES = ["u1", "u2", "u8", "i2", "f4", "f8", "?"]
MADE = {
    "cut-out": lambda s: SlicedSource(s, np.s_[:, 1:4, 1:4, 2:]),
    "chosen": lambda s: ChosenSource(s, np.array([0, 2, 3, 11, 14])),
    "binned": lambda s: BinnedSource(s, (1, 5, 2, 3), np.sum(np.zeros(1, s.dtype)).dtype),
    "cut-out of binned": lambda s: SlicedSource(BinnedSource(s, (1, 1, 2, 1), np.float64), np.s_[0, :, :, 1:3]),
}


def counts_of(dtype, seed=0, rate=0.4, largest=1):
    return (np.random.default_rng(seed).poisson(rate, SHAPE) * largest).astype(dtype)


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("dtype", TYPES)
def test_frames_are_those_of_the_source_and_made_once(made, dtype, monkeypatch):
    source = MADE[made](MemorySource.from_dense(counts_of(dtype)))
    expected = np.asarray(source.frames(0, np.prod(source.nav_shape)))
    held = MadeOnce(source)
    check_frame_source(held)
    monkeypatch.setattr(type(source), "frames", None)
    for start, stop in ((0, 5), (1, 3), (2, 2)):
        np.testing.assert_array_equal(np.asarray(held.frames(start, stop)), expected[start:stop])
    narrow = as_narrow_as_can_be(held).frames(0, 3)
    assert np.shares_memory(narrow.indices, held.frames(0, 3).indices)
    np.testing.assert_array_equal(np.asarray(narrow), expected[:3])
    assert narrow.dtype.itemsize <= held.dtype.itemsize == held.frames(0, 1).dtype.itemsize


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.05, 2.0]), st.sampled_from([1, 127, 4000]), st.integers(1, 40)
)
def test_spans_of_any_size_and_counts_of_any_width(seed, rate, largest, span):
    counts = counts_of("u2", seed, rate, largest)
    before = made_once._SPAN_ENTRIES
    made_once._SPAN_ENTRIES = span  # few entries: many parts, of several types
    try:
        held = as_narrow_as_can_be(MadeOnce(BinnedSource(MemorySource.from_dense(counts), (3, 1, 2, 2), np.uint64)))
        frames = held.frames(0, 5)
    finally:
        made_once._SPAN_ENTRIES = before
    expected = np.asarray(bin_frames(MemorySource.from_dense(counts).frames(0, 15).reshape(SHAPE), (3, 1, 2, 2)))
    frames.check()
    np.testing.assert_array_equal(np.asarray(frames), expected[0])
    assert frames.dtype == np.min_scalar_type(int(expected.max()))


def test_what_is_read_or_large_or_as_it_was_is_not_held(monkeypatch):
    whole = MemorySource.from_dense(counts_of("u1"))
    cut = MADE["cut-out"](whole)
    assert can_be_held(cut) and not can_be_held(whole)
    monkeypatch.setattr(cut, "in_memory", False)
    assert not can_be_held(cut)
    memory_limit.set_limit(made_once.SHARE * 9 * int(MADE["chosen"](whole).row_events().sum()))
    try:
        assert can_be_held(MADE["chosen"](whole))
        assert not can_be_held(ChosenSource(whole, np.arange(15)))
    finally:
        memory_limit.set_limit(None)


@pytest.mark.parametrize("made", MADE)
def test_other_processes_make_what_they_need(made):
    source = MADE[made](MemorySource.from_dense(counts_of("u1")))
    held = MadeOnce(source)
    array = to_dask(held, chunks=1)
    part = pickle.loads(pickle.dumps(array.blocks[1:]))
    expected = np.asarray(array.blocks[1:].compute(scheduler="sync"))
    np.testing.assert_array_equal(part.compute(scheduler="sync"), expected)
    assert type(pickle.loads(pickle.dumps(held))) is type(source)
