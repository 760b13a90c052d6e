"""Building CSR rows, against scipy."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from rsciio_tpx3.csr.build import csr_from_hits


@given(
    n_rows=st.integers(1, 40),
    n_hits=st.integers(0, 400),
    shape=st.sampled_from([(1, 1), (3, 5), (512, 512), (700, 901)]),
    seed=st.integers(0, 10**6),
)
def test_any_hits_become_canonical_rows(n_rows, n_hits, shape, seed):
    rng = np.random.default_rng(seed)
    n_pixels = shape[0] * shape[1]
    rows = rng.integers(0, n_rows, n_hits)
    pixels = rng.integers(0, n_pixels, n_hits).astype(np.int32)
    pixels[: n_hits // 3] = pixels[:1] if n_hits else 0
    data, indices, indptr = csr_from_hits(rows, pixels, n_rows, n_pixels, np.uint16)
    reference = scipy.sparse.coo_array((np.ones(n_hits, np.int64), (rows, pixels)), shape=(n_rows, n_pixels)).tocsr()
    reference.sum_duplicates()
    reference.sort_indices()
    np.testing.assert_array_equal(indptr, reference.indptr)
    np.testing.assert_array_equal(indices, reference.indices)
    np.testing.assert_array_equal(data, reference.data)
    assert (data.dtype, indices.dtype) == (np.uint16, np.int32)


def test_row_larger_than_a_sorting_batch():
    pixels = np.random.default_rng(0).integers(0, 512 * 512, 50_000).astype(np.int32)
    data, indices, indptr = csr_from_hits(np.zeros(50_000, np.int64), pixels, 1, 512 * 512, np.uint8)
    expected, counts = np.unique(pixels, return_counts=True)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(data, counts)


def test_overflow_is_an_error():
    with pytest.raises(OverflowError, match="counts 256 hits"):
        csr_from_hits(np.zeros(256, np.int64), np.zeros(256, np.int32), 1, 1, np.uint8)
