"""Rows read as they lie in a file, against what h5py makes of them."""

import tracemalloc

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3.stempy.references import REFERENCE
from rsciio_tpx3.stempy.stored_rows import StoredRows, _neighbours

LENGTHS = st.integers(0, 6) | st.integers(1000, 1030) | st.integers(5000, 40000)


def write(path, rng, lengths, dtype="<u4", order=None, again=(), chunks=(4,), libver="earliest"):
    """Rows of these lengths, written one by one in an order, some of them twice."""
    rows = [rng.integers(0, 2**31, n).astype(dtype) for n in lengths]
    with h5py.File(path, "w", libver=(libver, "latest")) as file:
        made = file.create_dataset("rows", (len(rows),), h5py.vlen_dtype(np.dtype(dtype)), chunks=chunks)
        for row in order if order is not None else range(len(rows)):
            made[row] = rows[row]
        for row in again:
            rows[row] = rng.integers(0, 2**31, len(rows[row]) // 2 + 1).astype(dtype)
            made[row] = rows[row]
    return rows


def both(path, start, stop):
    """What is read as it lies (or None), and by the library (or None)."""
    with h5py.File(path, "r") as file:
        found = StoredRows(file["rows"]).read(start, stop)
        try:
            expected = list(file["rows"][start:stop])
        except Exception:
            expected = None
    if found is not None:
        flat, ends = found
        found = [flat[i:j] for i, j in zip(ends[:-1], ends[1:])]
    return found, expected


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(LENGTHS, min_size=1, max_size=40),
    seed=st.integers(0, 1 << 30),
    dtype=st.sampled_from(["<u4", "<i4"]),
    shuffled=st.booleans(),
    n_again=st.integers(0, 6),
    chunks=st.sampled_from([(4,), (64,), None]),
    libver=st.sampled_from(["earliest", "latest"]),
)
def test_rows_are_those_of_the_library(tmp_path_factory, lengths, seed, dtype, shuffled, n_again, chunks, libver):
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("rows") / "x.h5"
    order = rng.permutation(len(lengths)) if shuffled else None
    again = rng.integers(0, len(lengths), n_again)
    if chunks is not None:
        chunks = (min(chunks[0], len(lengths)),)
    rows = write(path, rng, lengths, dtype, order, again, chunks, libver)
    start, stop = sorted(rng.integers(0, len(rows) + 1, 2).tolist())
    found, expected = both(path, start, stop)
    assert found is not None
    assert len(found) == len(expected) == stop - start
    assert all(np.array_equal(a, b) and a.dtype == dtype for a, b in zip(found, expected))


@pytest.mark.parametrize("dtype", ["<f4", "?"])
def test_other_kinds_of_values_are_left_to_the_library(tmp_path, dtype):
    write(tmp_path / "x.h5", np.random.default_rng(0), [3, 0, 2], dtype, chunks=(2,))
    assert both(tmp_path / "x.h5", 0, 3)[0] is None


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">u2", ">u4", ">i4", "<u8", ">i8"])
def test_integers_of_any_size_and_byte_order_are_those_that_were_written(tmp_path, dtype):
    # not held against h5py, which writes the other byte order as it should and reads it the wrong way round
    rows = write(tmp_path / "x.h5", np.random.default_rng(0), [3, 0, 2000, 1], dtype, chunks=(2,))
    found = both(tmp_path / "x.h5", 0, 4)[0]
    assert [row.tolist() for row in found] == [row.tolist() for row in rows]


def test_rows_behind_a_user_block_are_left_to_the_library(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=512) as file:
        file.create_dataset("rows", (1,), h5py.vlen_dtype(np.uint32))[0] = np.arange(3)
    found, expected = both(tmp_path / "x.h5", 0, 1)
    assert found is None and expected[0].tolist() == [0, 1, 2]


@pytest.mark.slow
def test_a_damaged_file_is_left_to_the_library_or_read_alike(tmp_path):
    rng = np.random.default_rng(5)
    path = tmp_path / "x.h5"
    write(path, rng, [*rng.integers(0, 300, 60), 3000], chunks=(16,))
    whole = path.read_bytes()
    heaps = [i for i in range(len(whole)) if whole[i : i + 4] == b"GCOL"]
    with h5py.File(path) as file:
        chunks = [file["rows"].id.get_chunk_info(i).byte_offset for i in range(4)]
    spots = [*(h + i for h in heaps for i in range(48)), *(c + i for c in chunks for i in range(16 * 16))]
    left = 0
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[spots[rng.integers(len(spots))]] = rng.integers(256)
        path.write_bytes(damaged)
        with h5py.File(path, "r") as file:  # the library may get stuck in such a file, so it is not asked
            found = StoredRows(file["rows"]).read(0, 61)
        left += found is None
        assert found is None or found[1][-1] * 4 <= len(whole)
    assert left > 100


@pytest.mark.parametrize("part", ["references", "heaps"])
def test_a_file_that_was_cut_is_left_to_the_library(tmp_path, part):
    path = tmp_path / "x.h5"
    write(path, np.random.default_rng(0), [2000] * 40)
    with h5py.File(path) as file:
        stored = StoredRows(file["rows"])
        end = file["rows"].id.get_chunk_info(9).byte_offset if part == "references" else 0
    with open(path, "r+b") as file:
        file.truncate(end + 8 if end else path.stat().st_size - 5000)
    assert stored.read(0, 40) is None


def test_a_heap_of_damaged_length_does_not_bring_the_rest_of_the_file_into_memory(tmp_path):
    path = tmp_path / "x.h5"
    write(path, np.random.default_rng(0), [5, 3], chunks=(2,))
    content = bytearray(path.read_bytes())
    content[content.index(b"GCOL") + 12] = 1  # 4 GiB longer
    path.write_bytes(content)
    with h5py.File(path) as file:
        stored = StoredRows(file["rows"])
    with open(path, "r+b") as file:
        file.truncate(1 << 30)  # takes no room on the disk
    tracemalloc.start()
    try:
        assert stored.read(0, 2) is None
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_rows_that_lie_all_over_a_large_file_are_read_in_parts():
    references = np.zeros(4000, REFERENCE)
    references["length"] = 9
    references["address"] = np.random.default_rng(0).permutation(4000) * 100_000 + 2048
    groups = _neighbours(references)
    assert sorted(np.concatenate(groups)) == list(range(4000))
    for rows in groups:
        assert np.ptp(references["address"][rows].astype(np.int64)) < 1 << 24


def test_a_file_of_a_relative_path_is_the_same_in_another_folder(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    rows = write(tmp_path / "x.h5", np.random.default_rng(0), [3, 4], chunks=(2,))
    write(tmp_path / "other" / "x.h5", np.random.default_rng(1), [3, 4], chunks=(2,))
    monkeypatch.chdir(tmp_path)
    with h5py.File("x.h5") as file:
        stored = StoredRows(file["rows"])
    monkeypatch.chdir(tmp_path / "other")
    assert np.array_equal(stored.read(0, 2)[0], np.concatenate(rows))
