"""Bounds of the tree of parts that contradict each other hide parts, which HDF5 reads as zeros without a word."""

import struct

import h5py
import numpy as np
import pytest

from rsciio_tpx3.exceptions import LimitError, Tpx3FormatError
from rsciio_tpx3.utils.hdf5.chunk_index import has_hidden_chunks
from rsciio_tpx3.utils.hdf5.storage import check_stored
from rsciio_tpx3.utils.hdf5.values import value


def _written(path, shape=(300,), chunks=(7,), **options):
    data = 1 + np.arange(np.prod(shape), dtype="i4").reshape(shape)
    with h5py.File(path, "w", **options) as file:
        dataset = file.create_dataset("a", data=data, chunks=chunks, maxshape=(None,) * len(shape))
        dataset.attrs["unit"] = "1"
    return data


def _bounds(content, rank):
    """Places of the bounds of all nodes: of each the offsets, without the bytes of a value."""
    at = content.find(b"TREE\x01")
    while at >= 0:
        n = int.from_bytes(content[at + 6 : at + 8], "little")
        yield from (at + 24 + 8 * (rank + 3) * i + 8 for i in range(n + 1))
        at = content.find(b"TREE\x01", at + 1)


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
@pytest.mark.parametrize("shape, chunks", [((300,), (7,)), ((5,), (2,)), ((90, 40, 3), (4, 5, 3))])
@pytest.mark.parametrize("block", [0, 512])
def test_a_whole_index_hides_nothing(tmp_path, libver, shape, chunks, block):
    data = _written(tmp_path / "a.h5", shape, chunks, libver=libver, userblock_size=block)
    with h5py.File(tmp_path / "a.h5") as file:
        assert not has_hidden_chunks(file["a"])
        check_stored(file["a"])
        assert np.array_equal(file["a"], data)


@pytest.mark.parametrize("changed", [0, 3, 10_000, 1 << 40])
def test_every_bound_that_hides_a_part_is_found(tmp_path, changed):
    data = _written(tmp_path / "a.h5", (500,), (7,))
    content = (tmp_path / "a.h5").read_bytes()
    hidden = found = 0
    for at in _bounds(content, 1):
        (tmp_path / "b.h5").write_bytes(content[:at] + struct.pack("<Q", changed) + content[at + 8 :])
        with h5py.File(tmp_path / "b.h5") as file:
            try:
                differs = not np.array_equal(file["a"], data)
            except OSError:
                continue
            hidden += differs
            try:
                check_stored(file["a"])
                assert not differs, at
            except (Tpx3FormatError, RuntimeError):  # readers give errors of the library their own words
                found += differs
    assert hidden == found > 0


def test_a_small_value_of_which_a_part_is_hidden_is_refused(tmp_path):
    _written(tmp_path / "a.h5", (4,), (4,))
    content = (tmp_path / "a.h5").read_bytes()
    first, _ = _bounds(content, 1)
    (tmp_path / "a.h5").write_bytes(content[:first] + struct.pack("<Q", 4096) + content[first + 8 :])
    with h5py.File(tmp_path / "a.h5") as file, pytest.raises(Tpx3FormatError, match="damaged"):
        value(file["a"])


def test_a_million_empty_texts_are_refused_before_they_are_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (1 << 20,), h5py.string_dtype(), chunks=(1 << 16,))
        with pytest.raises(LimitError, match="1048576 texts"):
            value(file["a"])
