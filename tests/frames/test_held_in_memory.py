"""Frames held in memory: one piece, the same chunks, the same values."""

import pickle

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3 import CSRFrames, to_dask
from rsciio_tpx3.frames.dask_array import chunks_in_memory, source_of
from rsciio_tpx3.frames.in_memory import held_in_memory
from rsciio_tpx3.frames.memory_source import HeldChunks, MemorySource
from rsciio_tpx3.frames.source import FrameSource
from rsciio_tpx3.testing import check_frame_source

SHAPE = (3, 5, 7, 4, 6)
COUNTS = np.random.default_rng(3).poisson(0.3, SHAPE).astype(np.uint8)


class Read(FrameSource):
    """A source that is not one in memory, as far as anybody can tell."""

    def __init__(self, counts):
        self.within = MemorySource.from_dense(counts)
        self.nav_shape, self.sig_shape, self.dtype = self.within.nav_shape, self.within.sig_shape, self.within.dtype

    def __dask_tokenize__(self):
        return "Read", self.within.__dask_tokenize__()

    def frames(self, start, stop):
        return self.within.frames(start, stop)


def of_files(counts=COUNTS, chunks="auto"):
    return to_dask(Read(counts), chunks)


@pytest.mark.parametrize("chunks", ["auto", 1, 2, (1, 2, 7), ((1, 1, 1), (1, 3, 1), (7,))])
def test_frames_are_in_one_piece_and_chunks_stay_as_they_were(chunks):
    array = of_files(chunks=chunks)
    held = held_in_memory(array)
    source = source_of(held)
    assert type(source) is MemorySource and source._frames.n_frames == 3 * 5 * 7
    assert held.chunks == array.chunks and held.dtype == array.dtype
    source._frames.check()
    np.testing.assert_array_equal(held.compute(scheduler="sync"), COUNTS)
    chunk = dask.get(held.dask, (held.name, 0, 0, 0, 0, 0))
    assert isinstance(chunk, CSRFrames) and np.shares_memory(chunk.data, source._frames.data)


@settings(max_examples=30)
@given(
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["u1", "u2", "i4", "f4", "f8", "?"]),
)
def test_results_of_other_steps_are_held_too(n_lines, lines, seed, dtype):
    counts = np.random.default_rng(seed).poisson(0.2, (n_lines, 3, 2, 5)).astype(dtype)
    array = of_files(counts, min(lines, n_lines))[:, 1:, :, ::-1].astype("f8") * 2
    held = held_in_memory(array, scheduler="sync")
    assert type(source_of(held)) is MemorySource and held.chunks == array.chunks
    np.testing.assert_array_equal(held.compute(scheduler="sync"), counts[:, 1:, :, ::-1] * 2.0)


def test_what_is_in_memory_already_is_not_read_again():
    array = to_dask(MemorySource.from_dense(COUNTS))
    assert held_in_memory(array) is array


@pytest.mark.parametrize("chunks", [1, 2])
@pytest.mark.parametrize("dtype", ["u1", "f8"])
def test_chunks_that_dask_keeps_are_a_source_too(chunks, dtype):
    array = of_files(COUNTS.astype(dtype)).rechunk({0: chunks}) * 2
    kept = array.persist(scheduler="sync")
    assert source_of(array) is None
    source = source_of(kept)
    assert type(source) is HeldChunks and source is source_of(kept) and source.in_memory
    check_frame_source(source)
    whole = to_dask(source, chunks=kept.chunks[:-2])
    np.testing.assert_array_equal(whole.compute(scheduler="sync"), COUNTS * 2)
    part = pickle.loads(pickle.dumps(whole.blocks[1:]))
    np.testing.assert_array_equal(part.compute(scheduler="sync"), COUNTS[-part.shape[0] :] * 2)
    kept[0, 0] = 0  # dask changes the array object itself, and its name
    assert source_of(kept) is None


def test_chunks_that_are_no_runs_of_lines_stay_apart():
    array = of_files().rechunk({1: 2, 2: 3})
    held = held_in_memory(array, scheduler="sync")
    assert source_of(held) is None and held.chunks == array.chunks
    assert len(chunks_in_memory(held)) == held.npartitions
    np.testing.assert_array_equal(held.compute(scheduler="sync"), COUNTS)


def test_arrays_that_are_not_frames_are_as_dask_keeps_them():
    dense = held_in_memory(da.from_array(COUNTS, chunks=(1, 5, 7, 4, 6)))
    np.testing.assert_array_equal(dense.compute(scheduler="sync"), COUNTS)
    one = of_files()[0, 0, 0]
    np.testing.assert_array_equal(held_in_memory(one, scheduler="sync").compute(scheduler="sync"), COUNTS[0, 0, 0])
    assert chunks_in_memory(one) is None


def test_names_tell_contents_apart_and_graphs_travel():
    one, two = (held_in_memory(of_files(counts)) for counts in (COUNTS, COUNTS + COUNTS))
    assert one.name != two.name and one.name == held_in_memory(of_files()).name
    with dask.config.set(scheduler="sync"):
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(one)).sum(axis=(0, 1, 2)), COUNTS.sum(axis=(0, 1, 2)))


@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_chunks_that_dask_keeps_are_put_together_once_and_held_once(dtype):
    kept = of_files(COUNTS.astype(dtype), chunks=1).persist(scheduler="sync")
    copy, source = kept.copy(), source_of(kept)
    whole = source.frames(0, 105)
    for chunk in chunks_in_memory(kept):  # those in the graph are views of it
        assert chunk.data.base is whole.data.base and chunk.indices.base is whole.indices.base
    again = source_of(copy)
    assert again is not source and again.frames(0, 105).data.base is whole.data.base
    assert source.frames(3, 50).data.base is whole.data.base
    check_frame_source(again)
    for array in (kept, copy):
        np.testing.assert_array_equal(array.compute(scheduler="sync"), COUNTS)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(array)).compute(scheduler="sync"), COUNTS)
    np.testing.assert_array_equal(source.row_events(), np.count_nonzero(COUNTS, axis=(3, 4)).ravel())
    assert source.frames(105, 105).shape == (0, 4, 6)


def test_chunks_without_entries_are_put_together():
    counts = COUNTS.copy()
    counts[0], counts[1, 4] = 0, 0
    kept = of_files(counts, chunks=1).persist(scheduler="sync")
    for array in (kept, kept.copy()):
        source = source_of(array)
        source.frames(0, 1)
        np.testing.assert_array_equal(np.asarray(to_dask(source)), counts)
