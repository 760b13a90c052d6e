"""Kind of fault: memory from small files. A text that claims gigabytes is seen before the library believes it."""

import logging
import struct

import numpy as np
import pytest

from rsciio_tpx3.exceptions import LimitError
from rsciio_tpx3.utils.hdf5.references import check_references, limit_attribute, limit_values
from rsciio_tpx3.utils.hdf5.storage import check_stored
from rsciio_tpx3.utils.hdf5.values import attribute, value

h5py = pytest.importorskip("h5py")

TEXTS, ROWS = h5py.string_dtype(), h5py.vlen_dtype(np.uint32)
KNOWN = {"text": 11, "texts": 5, "rows": 28}  # bytes that each claims


def _attributes(item):
    rows = np.empty(1, object)
    rows[0] = np.arange(7, dtype=np.uint32)
    item.attrs["text"] = "NXexcellent"
    item.attrs.create("texts", ["ab", "cde"], dtype=TEXTS)
    item.attrs.create("rows", rows, dtype=ROWS)


def _compact(file, name):
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    create.set_layout(h5py.h5d.COMPACT)
    kind = h5py.h5t.py_create(TEXTS, logical=1)
    made = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple((2,)), create)
    h5py.Dataset(made)[:] = ["abc", "de"]


@pytest.fixture(params=["earliest", "v108", "v110"])
def path(tmp_path, request):
    with h5py.File(tmp_path / "a.h5", "w", libver=request.param, userblock_size=512) as file:
        for item in (file, file.create_group("group", track_order=True)):
            _attributes(item)
        file["scalar"] = "hello"
        _compact(file, "compact")
        texts = ["q" * i for i in range(50)]
        file.create_dataset("parts", (50,), TEXTS, chunks=(30,))[:] = texts
        file.create_dataset("packed", (50,), TEXTS, chunks=(30,), compression="gzip", shuffle=True)[:] = texts
    return tmp_path / "a.h5"


@pytest.mark.parametrize("group", ["/", "group"])
@pytest.mark.parametrize("name", KNOWN)
def test_length_of_attributes_is_known_without_reading(path, group, name):
    with h5py.File(path) as file:
        limit_attribute(file[group], name, KNOWN[name])
        with pytest.raises(LimitError, match=f"claims to have {KNOWN[name]} bytes"):
            limit_attribute(file[group], name, KNOWN[name] - 1)


@pytest.mark.parametrize(("name", "known"), [("scalar", 5), ("compact", 5), ("parts", 1225), ("packed", 1225)])
def test_length_of_texts_is_known_without_reading(path, name, known):
    with h5py.File(path) as file:
        limit_values(file[name], known)
        with pytest.raises(LimitError, match="claims to have"):
            limit_values(file[name], known - 1)


@pytest.mark.parametrize("path", ["earliest"], indirect=True)  # later headers have a checksum
@pytest.mark.parametrize("lost_address", [False, True])
def test_texts_of_gigabytes_in_small_files_are_excluded(path, lost_address, caplog):
    content = bytearray(path.read_bytes())
    n_changed = 0
    for length in (11, 5):  # the attributes "text", and the data set "scalar"
        at = content.find(struct.pack("<I", length))
        while at >= 0:
            address, number = struct.unpack_from("<QI", content, at + 4)
            if content[512 + address :][:4] == b"GCOL" and number < 300:
                content[at : at + 4] = b"\xff\xff\xff\xf0"
                content[at + 5] ^= 0xFF if lost_address else 0
                n_changed += 1
            at = content.find(struct.pack("<I", length), at + 4)
    assert n_changed >= 3
    path.write_bytes(content)
    with h5py.File(path) as file, caplog.at_level(logging.WARNING):
        assert attribute(file, "text") is None
        assert "claims to have 4043309055 bytes" in caplog.text
        with pytest.raises(LimitError, match="claims to have 4043309055 bytes"):
            value(file["scalar"])


def test_texts_in_records_are_counted_and_rows_in_rows_refused(tmp_path):
    kind = np.dtype([("b", "f8"), ("a", TEXTS), ("c", TEXTS, (2,))])
    record = np.array([(1.0, "xyz", ["a", "bc"])], kind)
    nested = np.empty(1, object)
    nested[0] = np.empty(1, object)
    nested[0][0] = np.arange(3, dtype=np.uint32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs.create("record", record, dtype=kind)
        file.create_dataset("record", data=record)
        file.create_dataset("nested", (1,), h5py.vlen_dtype(ROWS))
    with h5py.File(tmp_path / "a.h5") as file:
        for ask, *what in ((limit_attribute, file, "record"), (limit_values, file["record"])):
            ask(*what, 6)
            with pytest.raises(LimitError, match="claims to have 6 bytes"):
                ask(*what, 5)
        assert value(file["record"])[0]["a"] == "xyz"
        with pytest.raises(LimitError, match="cannot be determined"):
            limit_values(file["nested"], 1000)


def _of_unknown_kind(path, size):
    """The bytes of a file in which the type of all values of `size` bytes of any length is neither row nor text."""
    content = bytearray(path.read_bytes())
    # class 9 of version 1, then what it is: 0 for rows, 1 for texts
    for known in (b"\x19\0\0\0", b"\x19\x01\0\0", b"\x19\x01\x01\0"):
        at = content.find(known + struct.pack("<I", size))
        while at >= 0:
            content[at + 1] |= 3
            at = content.find(known + struct.pack("<I", size), at + 1)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("wrap", ["plain", "record", "array"])
def test_values_of_any_length_of_an_unknown_kind_are_never_read(tmp_path, wrap, caplog):
    """HDF5 does not look at the kind, and ends the process at the first value."""
    kind = {"plain": ROWS, "record": np.dtype([("a", "i4"), ("b", ROWS)]), "array": np.dtype((ROWS, (2,)))}[wrap]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("rows", (3,), kind)
        _attributes(file)
    with h5py.File(tmp_path / "a.h5") as file:
        check_references(file["rows"])
    with h5py.File(_of_unknown_kind(tmp_path / "a.h5", 16)) as file, caplog.at_level(logging.WARNING):
        for check in (check_references, check_stored, value):
            with pytest.raises(LimitError, match="/rows of .*neither rows nor texts"):
                check(file["rows"])
        assert attribute(file, "rows") is None
        assert "neither rows nor texts" in caplog.text
