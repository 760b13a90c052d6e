"""Rows of summed weights, against scipy."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from rsciio_tpx3.frames.weighted import csr_of_weights


@given(
    n_rows=st.integers(1, 30),
    n=st.integers(0, 300),
    shape=st.sampled_from([(1, 1), (3, 5), (512, 512)]),
    seed=st.integers(0, 10**6),
    exact=st.booleans(),
)
def test_any_weights_become_canonical_rows(n_rows, n, shape, seed, exact):
    rng = np.random.default_rng(seed)
    n_pixels = shape[0] * shape[1]
    rows, pixels = rng.integers(0, n_rows, n), rng.integers(0, n_pixels, n)
    pixels[: n // 3] = pixels[:1] if n else 0
    # halves add up exactly in any order
    weights = rng.integers(0, 1024, n).astype(np.uint16) if exact else rng.integers(0, 900, n) / 2
    data, indices, indptr = csr_of_weights(rows, pixels, weights, n_rows, n_pixels, np.uint32 if exact else np.float32)
    reference = scipy.sparse.coo_array((weights.astype(float), (rows, pixels)), shape=(n_rows, n_pixels)).tocsr()
    reference.sum_duplicates()
    reference.sort_indices()
    np.testing.assert_array_equal(indptr, reference.indptr)
    np.testing.assert_array_equal(indices, reference.indices)
    np.testing.assert_array_equal(data, reference.data)
    assert (data.dtype, indices.dtype) == (np.uint32 if exact else np.float32, np.int32)


def test_a_sum_that_does_not_fit_is_an_error():
    with pytest.raises(OverflowError, match='add up to 300 .*dtype="uint32"'):
        csr_of_weights(np.zeros(2, int), np.zeros(2, int), np.array([200, 100]), 1, 1, np.uint8)
