"""Rows of electrons against plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsciio_tpx3 import CSRFrames
from rsciio_tpx3.csr import memory_limit
from rsciio_tpx3.csr.electron_rows import layers, repeated
from rsciio_tpx3.exceptions import LimitError

frames = st.lists(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), max_size=5, unique_by=lambda entry: entry[1]), max_size=6
)
types = st.tuples(st.sampled_from(["u1", "u2", "i4", "i8", "u8"]), st.sampled_from(["i2", "i4", "u4", "i8"]))


def arrays(frames, types):
    entries = [entry for frame in frames for entry in sorted(frame, key=lambda e: e[1])]
    counts, indices = (np.array([e[i] for e in entries], t) for i, t in enumerate(types))
    return counts, indices, np.cumsum([0, *map(len, frames)])


@given(frames, types)
def test_a_pixel_is_repeated_as_often_as_it_counts(frames, types):
    counts, indices, indptr = arrays(frames, types)
    found, ends = repeated(counts, indices, indptr)
    assert found.dtype == indices.dtype
    for row, (i, j) in enumerate(zip(indptr[:-1], indptr[1:])):
        expected = [pixel for pixel, n in zip(indices[i:j], counts[i:j]) for _ in range(n)]
        assert found[ends[row] : ends[row + 1]].tolist() == expected
    assert ends[-1] == len(found)


@given(frames, types)
def test_the_nth_layer_has_the_pixels_that_count_n_or_more(frames, types):
    counts, indices, indptr = arrays(frames, types)
    found, ends, n_layers = layers(counts, indices, indptr)
    rows = [found[i:j].tolist() for i, j in zip(ends[:-1], ends[1:])]
    expected = [
        [indices[i:j][counts[i:j] > layer].tolist() for layer in range(int(counts[i:j].max(initial=0)))]
        for i, j in zip(indptr[:-1], indptr[1:])
    ]
    assert n_layers.tolist() == [len(of_frame) for of_frame in expected]
    assert rows == [row for of_frame in expected for row in of_frame]
    assert found.dtype == indices.dtype


@pytest.mark.parametrize("make", [repeated, layers])
@pytest.mark.parametrize("count", [2**40, 2**62])
def test_more_electrons_than_fit_are_refused_with_their_size(make, count):
    one = CSRFrames.from_dense(np.array([[[count, count]]], np.int64))
    with pytest.raises(LimitError, match=f"count up to {count} .*Save as raw_csr"):
        make(one.data, one.indices, one.indptr)


def test_the_limit_of_the_session_holds():
    counts, indices, indptr = np.array([2**27]), np.array([0]), np.array([0, 1])
    memory_limit.set_limit("300 MiB")
    try:
        with pytest.raises(LimitError, match="1.00 GiB.*300.00 MiB"):
            repeated(counts, indices, indptr)
    finally:
        memory_limit.set_limit(None)
