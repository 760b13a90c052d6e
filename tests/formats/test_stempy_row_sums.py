"""Checksums of rows are those of zlib."""

import zlib

import numpy as np

from rsciio_tpx3.stempy.row_sums import row_sums


def test_each_row_has_the_sum_that_zlib_gives():
    rng = np.random.default_rng(5)
    lengths = np.array([0, 1, 2, 3, 4, 0, 0, 7, 8, 1001, 0])
    for values in (
        rng.integers(0, 1 << 32, lengths.sum()), np.zeros(lengths.sum()), np.full(lengths.sum(), 0xFFFFFFFF),
        rng.integers(0, 1 << 18, lengths.sum()),
    ):  # fmt: skip
        flat, ends = values.astype(np.uint32), np.cumsum([0, *lengths])
        expected = [zlib.crc32(flat[i:j].astype("<u4").tobytes()) for i, j in zip(ends[:-1], ends[1:])]
        found = row_sums(flat, ends)
        assert found.dtype == np.uint32
        assert found.tolist() == expected


def test_other_layouts_of_memory_give_the_same():
    flat = np.arange(20, dtype=np.uint32)
    expected = row_sums(flat, np.array([0, 5, 20])).tolist()
    assert row_sums(np.repeat(flat, 2)[::2], np.array([0, 5, 20])).tolist() == expected
    assert row_sums(flat.astype(">u4"), np.array([0, 5, 20], np.int32)).tolist() == expected


def test_no_rows_have_no_sums():
    assert row_sums(np.empty(0, np.uint32), np.array([0])).tolist() == []
