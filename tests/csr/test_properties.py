"""Any frames, any chunks: CSRFrames answers as the dense array does."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rsciio_tpx3 import CSRFrames, to_dask
from rsciio_tpx3.csr.binning import bin_frames
from rsciio_tpx3.frames.memory_source import MemorySource

quick = settings(max_examples=40, deadline=None)
DTYPES = [np.uint8, np.uint16, np.int32, np.float64, np.bool_]


_SCAN_AXES = st.integers(1, 3)


@st.composite
def stacks(draw, n_nav=_SCAN_AXES):
    """Dense stacks, mostly zero: empty frames, one pixel, one position, no position, big counts."""
    nav = draw(st.lists(st.integers(0, 4), min_size=(n := draw(n_nav)), max_size=n))
    sig = draw(st.tuples(st.integers(1, 5), st.integers(1, 6)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    top = 1 if dtype.kind == "b" else min(300, int(np.iinfo(dtype).max)) if dtype.kind in "ui" else 300
    low = -top if dtype.kind in "if" else 0
    values = st.integers(low, top).map(dtype.type)
    return draw(hnp.arrays(dtype, (*nav, *sig), elements=values, fill=st.just(dtype.type(0))))


def same(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    if theirs.dtype.kind == "f":
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)
    else:
        np.testing.assert_array_equal(ours, theirs)


@quick
@given(stacks())
def test_there_and_back(dense):
    frames = CSRFrames.from_dense(dense)
    frames.check()
    same(frames, dense)
    same(CSRFrames.from_scipy(frames.to_scipy(), frames.nav_shape, frames.sig_shape), dense)
    same(CSRFrames(frames.tocoo()), dense)


@quick
@given(stacks(), st.data())
def test_reductions_are_those_of_numpy(dense, data):
    frames = CSRFrames.from_dense(dense)
    axes = data.draw(st.lists(st.integers(0, dense.ndim - 1), unique=True).map(tuple))
    for name in ("sum", "any", "all", "count_nonzero", "mean", "var", "max", "min"):
        function = getattr(np, name)
        reduced = [dense.shape[a] for a in axes]
        if 0 in reduced and name in ("mean", "var", "max", "min"):
            continue
        same(function(frames, axis=axes), function(dense, axis=axes))


@quick
@given(stacks(), st.data())
def test_indexing_is_that_of_numpy(dense, data):
    frames = CSRFrames.from_dense(dense)
    key = data.draw(hnp.basic_indices(dense.shape, allow_newaxis=True, allow_ellipsis=True))
    result = frames[key]
    same(result, dense[key])
    if isinstance(result, CSRFrames):
        result.check()


@quick
@given(stacks(st.just(2)), st.data())
def test_two_stacks_are_combined_as_by_numpy(dense, data):
    other = data.draw(
        hnp.arrays(dense.dtype, dense.shape, elements=hnp.from_dtype(np.dtype(bool)).map(dense.dtype.type))
    )
    a, b = CSRFrames.from_dense(dense), CSRFrames.from_dense(other)
    for ufunc in (np.add, np.multiply, np.greater, np.not_equal, np.maximum, np.logical_and):
        result = ufunc(a, b)
        same(result, ufunc(dense, other))
        if isinstance(result, CSRFrames):
            result.check()
    same(np.concatenate([a, b], axis=1), np.concatenate([dense, other], axis=1))
    same(np.concatenate([a, b], axis=-1), np.concatenate([dense, other], axis=-1))


@quick
@given(stacks(st.just(2)), st.tuples(*[st.integers(1, 3)] * 4))
def test_binning_is_that_of_numpy(dense, factors):
    dense = dense[tuple(slice(0, n - n % f) for n, f in zip(dense.shape, factors, strict=True))]
    split = [p for n, f in zip(dense.shape, factors, strict=True) for p in (n // f, f)]
    binned = bin_frames(CSRFrames.from_dense(dense), factors)
    binned.check()
    same(binned, dense.reshape(split).sum(axis=(1, 3, 5, 7)))


@pytest.mark.slow
@quick
@given(stacks(st.just(2)), st.data())
def test_chunks_do_not_matter(dense, data):
    lines = data.draw(st.integers(1, 4))
    array = to_dask(MemorySource.from_dense(dense), chunks=(lines, max(dense.shape[1], 1)))
    reference = da.from_array(dense, chunks=array.chunks)
    for ask in (lambda a: a.sum(axis=(0, 1)), lambda a: a.sum(axis=(2, 3)), lambda a: a[::-1] * 2):
        same(ask(array).compute(scheduler="sync"), ask(reference).compute(scheduler="sync"))
