"""Sums of blocks: each part of a raw_csr set is verified when it is read, whatever the size of the set."""

import numpy as np
import pytest
from counted_data import counted, lazy, signal_dict

from rsciio_tpx3 import raw_csr
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.raw_csr import block_sums
from rsciio_tpx3.raw_csr.block_sums import BlockSums, SummedBlocks

BLOCK = 1 << 16


def mixed(number, word):
    """SplitMix64, in numbers of any length."""
    x = (word + number * 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def plain_sums(content, size):
    words = np.frombuffer(content + bytes(-len(content) % 8), "<u8").tolist()
    each = [mixed(number, word) for number, word in enumerate(words)]
    return [sum(each[at : at + size // 8]) % 2**64 for at in range(0, len(each), size // 8)]


@pytest.mark.parametrize(("n_bytes", "most", "size"), [
    (0, 9, BLOCK), (5, 9, BLOCK), (BLOCK, 9, BLOCK), (9 * BLOCK - 3, 9, BLOCK), (9 * BLOCK + 3, 9, 2 * BLOCK),
    (13 * BLOCK + 1, 4, 4 * BLOCK),
])  # fmt: skip
def test_sums_do_not_depend_on_how_a_file_was_written(monkeypatch, n_bytes, most, size):
    monkeypatch.setattr(block_sums, "_MOST_BLOCKS", most)
    rng = np.random.default_rng(n_bytes)
    content = rng.bytes(n_bytes)
    made, at = SummedBlocks(), 0
    while at < n_bytes:
        n = int(rng.integers(1, 3 * BLOCK))
        made.update(content[at : at + n])
        at += n
    found = made.finish()
    assert (found.size, found.sums.tolist()) == (size, plain_sums(content, size))
    again = BlockSums.from_text(found.text(), n_bytes)
    assert (again.size, again.sums.tolist()) == (found.size, found.sums.tolist())
    assert BlockSums.from_text(found.text(), n_bytes + size) is None


def test_changes_do_not_cancel():
    """Upper bits of two words, two words that change places, and what comes into one word and leaves another."""
    words = np.random.default_rng(1).integers(0, 2**8, 1000).astype(np.uint64)
    found = plain_sums(words.tobytes(), BLOCK)[0]
    made = SummedBlocks()
    made.update(words.tobytes())
    sums = made.finish()
    assert sums.sums.tolist() == [found] and sums.first_changed(words, 0) is None
    rng, bit = np.random.default_rng(2), np.uint64(1)
    for _ in range(3000):
        (i, j), shift = rng.choice(1000, 2, replace=False), np.uint64(rng.integers(64))
        top, swapped, moved = words.copy(), words.copy(), words.copy()
        top[[i, j]] ^= bit << shift
        swapped[[i, j]] = swapped[[j, i]]
        moved[[i]], moved[[j]] = moved[[i]] + (bit << shift), moved[[j]] - (bit << shift)
        for changed in (top, swapped, moved):
            assert sums.first_changed(changed, 0) == 0 or np.array_equal(changed, words)


@pytest.fixture
def saved(tmp_path):
    """A set whose arrays have some blocks."""
    dense = counted((40, 32), (16, 32), most=9)
    raw_csr.file_writer(tmp_path / "a.toml", signal_dict(lazy(dense)))
    assert (tmp_path / "a.values.raw").stat().st_size > 4 * BLOCK
    return tmp_path / "a.toml", dense.reshape(-1, *dense.shape[2:])


def changed(path, part):
    file = path.with_name(f"a.{part}.raw")
    content = bytearray(file.read_bytes())
    content[3 * BLOCK + 8] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("part", ["indices", "values"])
def test_a_changed_byte_is_reported_by_whoever_reads_its_part(saved, part, monkeypatch):
    monkeypatch.setattr("rsciio_tpx3.raw_csr.source._QUICK_BYTES", 0)  # opening adds up all values of a small set
    path, dense = saved
    changed(path, part)
    source = source_of(raw_csr.file_reader(path, lazy=True)[0]["data"])
    ends = np.cumsum(source.row_events()) * source._dtypes["data" if part == "values" else part].itemsize
    before, at = (int(np.searchsorted(ends, place)) for place in (3 * BLOCK, 3 * BLOCK + 8))
    assert np.array_equal(source.frames(0, before).todense(), dense[:before])
    with pytest.raises(Tpx3FormatError, match=rf"a\.{part}\.raw.*block from byte {3 * BLOCK} on differs"):
        source.frames(at, at + 1)
    with pytest.raises(Tpx3FormatError, match=f"a.{part}.raw"):
        raw_csr.file_reader(path, lazy=False)


def test_row_pointers_are_verified_on_opening(saved):
    path, _ = saved
    file = path.with_name("a.indptr.raw")
    content = bytearray(file.read_bytes())
    content[800] ^= 1  # one entry moves to the position before, or the one after
    file.write_bytes(content)
    with pytest.raises(Tpx3FormatError, match="indptr_sums"):
        raw_csr.file_reader(path, lazy=True)


def test_without_its_sha256_an_array_is_not_verified(saved):
    path, dense = saved
    changed(path, "values")
    text = path.read_text()
    path.write_text("\n".join(line for line in text.splitlines() if not line.startswith("data_sha256")))
    found = raw_csr.file_reader(path, lazy=True)[0]["data"].compute(scheduler="sync").todense()
    assert np.count_nonzero(found.reshape(dense.shape) != dense) == 1


def test_few_frames_do_not_keep_their_blocks(saved):
    source = source_of(raw_csr.file_reader(saved[0], lazy=True)[0]["data"])
    found = source._read("data", 100, 200)
    assert (found if found.base is None else found.base).nbytes <= 8 * 100
