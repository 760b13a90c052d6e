"""Kind of fault: memory from small files. Attributes in a heap of their own are bounded before they are read."""

import logging
import struct

import numpy as np
import pytest

from rsciio_tpx3.exceptions import FormatError, LimitError
from rsciio_tpx3.utils.files import FileStamp
from rsciio_tpx3.utils.hdf5.dense import lookup3
from rsciio_tpx3.utils.hdf5.guard import guard_hdf5
from rsciio_tpx3.utils.hdf5.heaps import check_heaps
from rsciio_tpx3.utils.hdf5.references import limit_attribute
from rsciio_tpx3.utils.hdf5.values import attribute, attributes

h5py = pytest.importorskip("h5py")

MANY = {f"name {i}": "x" * i for i in range(300)}
TREE, BLOCK_HEAD = 38, 22


@pytest.fixture(params=[("latest", False), ("v110", True), ("earliest", True)], ids=str)
def path(request, tmp_path):
    """300 texts, several blocks of them; one of 2000 texts; names that are not ASCII."""
    libver, ordered = request.param
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        group = file.create_group("many", track_order=ordered)
        group.attrs.update(MANY)
        group.attrs["\u00b5-Winkel"] = "12 mrad"
        group.attrs["number"] = 7
        group.attrs["large"] = ["abc"] * 2000
        few = file.create_group("few", track_order=ordered)
        few.attrs.update({f"a{i}": "y" * 10 for i in range(12)})
    return tmp_path / "a.h5"


def test_many_attributes_are_read_as_they_are(path):
    with h5py.File(path) as file:
        found = attributes(file["many"])
        assert {name: found[name] for name in MANY} == MANY
        assert found["\u00b5-Winkel"] == "12 mrad"
        assert found["number"] == 7
        assert found["large"] in (["abc"] * 2000, None)
        assert attribute(file["few"], "a3") == "y" * 10


def test_length_of_an_attribute_in_a_heap_is_known_without_reading(path):
    with h5py.File(path) as file:
        limit_attribute(file["many"], "name 250", 250)
        with pytest.raises(LimitError, match="claims to have 250 bytes"):
            limit_attribute(file["many"], "name 250", 249)


def _sealed(content, at, n):
    """The bytes with the checksum at the end of a structure made right."""
    content[at + n - 4 : at + n] = struct.pack("<I", lookup3(bytes(content[at : at + n - 4])))
    return content


@pytest.mark.parametrize(("place", "form", "value"), [(6, "<I", 2**31), (26, "<Q", 2**33)], ids=["node", "entries"])
def test_tables_of_gigabytes_are_refused_before_they_are_made(path, place, form, value):
    content = bytearray(path.read_bytes())
    at = content.find(b"BTHD")
    struct.pack_into(form, content, at + place, value)
    # without its checksum it is left to the library, which refuses it
    path.write_bytes(content)
    check_heaps(FileStamp.of(path))
    path.write_bytes(_sealed(content, at, TREE))
    with pytest.raises(FormatError, match=r"a\.h5.*table .* of"):
        check_heaps(FileStamp.of(path))


def test_texts_of_gigabytes_in_a_heap_are_excluded(path, caplog):
    content = bytearray(path.read_bytes())
    at, n_changed = content.find(b"FHDB"), 0
    while at >= 0:
        block = bytes(content[at : at + 1024])
        name = block.find(b"a7\0")
        if name > 0:
            reference = block.find(struct.pack("<I", 10), name)
            content[at + reference + 3] = 0xF0
            sums = content[at + 18 : at + 22]
            content[at + 18 : at + 22] = bytes(4)
            for size in (1024, 2048, 4096):  # which one it has stands elsewhere
                if (
                    lookup3(block[:18] + bytes(4) + bytes(path.read_bytes()[at + 22 : at + size]))
                    == struct.unpack("<I", sums)[0]
                ):
                    content[at + 18 : at + 22] = struct.pack("<I", lookup3(bytes(content[at : at + size])))
                    n_changed += 1
        at = content.find(b"FHDB", at + 4)
    assert n_changed == 1
    path.write_bytes(content)
    with h5py.File(path) as file, caplog.at_level(logging.WARNING):
        assert attribute(file["few"], "a7") is None
        assert "claims to have 4026531850 bytes" in caplog.text
        assert attribute(file["few"], "a8") == "y" * 10


def test_checksum_is_the_one_of_the_library(path):
    content = path.read_bytes()
    at = content.find(b"FRHP")
    assert lookup3(content[at : at + 142]) == struct.unpack_from("<I", content, at + 142)[0]
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551  # of its author's own test


@pytest.mark.slow
def test_values_that_are_read_for_ever_are_refused(tmp_path):
    """The structure is good: only who reads the rows gets stuck."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        rows = file.create_dataset("rows", (5,), h5py.vlen_dtype(np.uint32))
        rows[0] = np.arange(7, dtype=np.uint32)
    guard_hdf5(True, path)
    content = bytearray(path.read_bytes())
    place = content.find(b"GCOL") + 16
    while struct.unpack_from("<H", content, place)[0]:
        place += 16 + -(-struct.unpack_from("<Q", content, place + 8)[0] // 8) * 8
    struct.pack_into("<Q", content, place + 8, 0)  # free space of length 0
    path.write_bytes(content)
    with pytest.raises(FormatError, match="more than 8 s only to read /rows from 0"):
        guard_hdf5(8, path)
