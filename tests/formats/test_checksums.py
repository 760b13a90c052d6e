"""Kind of fault: silent loss. A changed byte reads as other counts; two writers make one file that lies."""

import multiprocessing
import os
import time

import numpy as np
import pytest
from counted_data import counted, lazy, signal_dict

from rsciio_tpx3 import nxevent, raw_csr, stempy
from rsciio_tpx3.convert import check
from rsciio_tpx3.exceptions import FormatError
from rsciio_tpx3.raw_csr import _api
from rsciio_tpx3.utils.files import PartialFiles

h5py = pytest.importorskip("h5py")

WAYS = {
    "nxevent": (nxevent, "a.nxevent", {}),
    "nxevent gzip": (nxevent, "a.nxevent", {"compression": "gzip"}),
    "nxevent heights": (nxevent, "a.nxevent", {"values": "pulse_height"}),
    "stempy 3": (stempy, "a.h5", {}),
    "stempy 2": (stempy, "a.h5", {"version": 2}),
    "raw_csr": (raw_csr, "a.toml", {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_no_changed_byte_reads_as_other_counts(tmp_path, way):
    module, name, options = WAYS[way]
    dense = counted((7, 11), (13, 17), most=4)
    module.file_writer(tmp_path / name, signal_dict(lazy(dense)), **options)
    files = sorted(tmp_path.iterdir())
    rng = np.random.default_rng(3)
    outcomes = {"equal": 0, "reported": 0}
    for _ in range(90):
        path = files[rng.integers(len(files))]
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            found = np.asarray(module.file_reader(tmp_path / name, lazy=True)[0]["data"].compute(scheduler="sync"))
        except (ValueError, FileNotFoundError):
            outcomes["reported"] += 1
        else:
            assert np.array_equal(found, dense), path.name
            outcomes["equal"] += 1
        path.write_bytes(whole)
    assert outcomes["reported"] > 20


def test_no_changed_byte_in_the_lists_of_parts_reads_as_other_counts(tmp_path):
    """A part that is said to lie beyond the array was passed over, and zeros read in its place."""
    dense = counted((7, 11), (13, 17), most=4)
    path = tmp_path / "a.nxevent"
    nxevent.file_writer(path, signal_dict(lazy(dense)), compression="gzip")
    whole, places = path.read_bytes(), []
    at = whole.find(b"TREE\x01")
    while at >= 0:
        places += range(at + 4, at + 24 + 32 + 24)  # head, first part with its address, end
        at = whole.find(b"TREE\x01", at + 1)
    rng = np.random.default_rng(5)
    reported = 0
    for place in rng.choice(places, 60, replace=False):
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            found = np.asarray(nxevent.file_reader(path, lazy=True)[0]["data"].compute(scheduler="sync"))
        except ValueError:
            reported += 1
        else:
            assert np.array_equal(found, dense), place
    assert reported > 20


@pytest.mark.parametrize(("way", "path"), [
    ("nxevent", "entry/process/rsciio_tpx3"), ("nxevent", "entry/process/rsciio_tpx3/sha256"),
    ("nxevent", "entry/process"), ("nxevent gzip", "entry/process/rsciio_tpx3/events"),
    ("stempy 3", "rsciio_tpx3"), ("stempy 3", "rsciio_tpx3/row_crc32"), ("stempy 2", "rsciio_tpx3/record"),
])  # fmt: skip
def test_what_is_damaged_is_not_absent(tmp_path, way, path):
    """h5py says None for an object whose head is damaged, so that checksum, axes and coding seemed never written."""
    module, name, options = WAYS[way]
    module.file_writer(tmp_path / name, signal_dict(lazy(counted((7, 11), (13, 17), most=4))), **options)
    with h5py.File(tmp_path / name) as file:
        place = h5py.h5o.get_info(file[path].id).addr + 6
    content = bytearray((tmp_path / name).read_bytes())
    content[place] ^= 64
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match="cannot be (opened|read)"):
        module.file_reader(tmp_path / name, lazy=True)[0]["data"].compute(scheduler="sync")


@pytest.mark.parametrize("part", ["indptr", "indices", "values"])
def test_large_arrays_are_compared_by_check(tmp_path, dense, part, monkeypatch):
    path = tmp_path / "a.toml"
    raw_csr.file_writer(path, signal_dict(lazy(dense)))
    content = bytearray((tmp_path / f"a.{part}.raw").read_bytes())
    # an entry moves to the next position; a pixel to its neighbour; a value by one
    content[8 * 3 if part == "indptr" else 0] ^= 1
    (tmp_path / f"a.{part}.raw").write_bytes(content)
    monkeypatch.setattr(_api, "_QUICK_BYTES", 0)
    with pytest.raises(ValueError):
        check(path)
    with pytest.raises(ValueError):
        raw_csr.file_reader(path, lazy=False)


def test_files_without_checksums_are_read_as_before(tmp_path, dense):
    raw_csr.file_writer(tmp_path / "a.toml", signal_dict(lazy(dense)))
    text = (tmp_path / "a.toml").read_text()
    (tmp_path / "a.toml").write_text("\n".join(line for line in text.splitlines() if "sha256" not in line))
    stempy.file_writer(tmp_path / "b.h5", signal_dict(lazy(dense)), version=2)
    with h5py.File(tmp_path / "b.h5", "a") as file:
        del file["rsciio_tpx3/row_crc32"], file["rsciio_tpx3/sha256"]
    nxevent.file_writer(tmp_path / "c.nxevent", signal_dict(lazy(dense)))
    with h5py.File(tmp_path / "c.nxevent", "a") as file:
        del file["entry/process/rsciio_tpx3/sha256"]
    for module, name in ((raw_csr, "a.toml"), (stempy, "b.h5"), (nxevent, "c.nxevent")):
        found = module.file_reader(tmp_path / name)
        assert np.array_equal(np.asarray(found[0]["data"].compute()), dense)
        assert found[0]["axes"][0]["units"] == "nm"


def test_every_hdf5_array_has_a_checksum(tmp_path, dense):
    nxevent.file_writer(tmp_path / "a.nxevent", signal_dict(lazy(dense)))
    without = []
    with h5py.File(tmp_path / "a.nxevent") as file:
        file.visititems(lambda name, item: without.append(name) if getattr(item, "size", 0) > 4 and not item.fletcher32
                        else None)  # fmt: skip
    assert without == []


ODD_NAMES = ["a\nb.toml", 'a"b.toml', "a\\b.toml", "a\tb\x7f.toml", "a'''b.toml", "\u202eab\u2028.toml"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_make_a_toml_that_can_be_read(tmp_path, dense, name):
    raw_csr.file_writer(tmp_path / name, signal_dict(lazy(dense)))
    assert np.array_equal(np.asarray(raw_csr.file_reader(tmp_path / name)[0]["data"].compute()), dense)


def test_a_name_that_is_no_text_is_refused_before_writing(tmp_path, dense):
    with pytest.raises(ValueError, match="not UTF-8 text"):
        raw_csr.file_writer(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.toml"), signal_dict(lazy(dense)))
    assert list(tmp_path.iterdir()) == []


def _write_slowly(path, level, is_seen):
    rename = os.replace

    def slow(old, new):
        time.sleep(0.002 * (1 + level % 3))
        rename(old, new)

    os.replace = slow
    dense = np.full((3, 4, 5, 6), level, "u2")
    # at least so often, and until the reader has had its turn on a busy machine
    for n in range(300):
        raw_csr.file_writer(path, signal_dict(dense), show_progressbar=False)
        if n >= 5 and is_seen.is_set():
            break


@pytest.mark.slow
def test_two_writers_of_one_target_never_mix(tmp_path):
    path = tmp_path / "a.toml"
    raw_csr.file_writer(path, signal_dict(np.full((3, 4, 5, 6), 1, "u2")))
    raw_csr.file_reader(path)[0]["data"].compute(scheduler="sync")  # else the writers are done before all is imported
    context = multiprocessing.get_context("fork")
    is_seen = context.Event()
    writers = [context.Process(target=_write_slowly, args=(path, level, is_seen)) for level in (2, 3)]
    for writer in writers:
        writer.start()
    seen = 0
    while any(writer.is_alive() for writer in writers):
        try:
            found = np.asarray(raw_csr.file_reader(path)[0]["data"].compute(scheduler="sync"))
        except (FileNotFoundError, FormatError):
            continue  # replaced meanwhile, and said
        assert len(np.unique(found)) == 1
        seen += 1
        is_seen.set()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len(np.unique(np.asarray(raw_csr.file_reader(path)[0]["data"].compute()))) == 1
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".partial")] and seen > 0


def test_a_writer_does_not_remove_an_array_that_took_an_old_name(tmp_path, monkeypatch):
    """Old arrays are removed after the new TOML is there; a third writer may have taken their names by then."""
    path, commit = tmp_path / "a.toml", PartialFiles.commit
    raw_csr.file_writer(path, signal_dict(np.full((3, 4, 5, 6), 1, "u2")))

    def commit_then_others(self):
        commit(self)
        (tmp_path / "a.values.raw").unlink()
        (tmp_path / "a.values.raw").write_bytes(b"of another writer")

    monkeypatch.setattr(PartialFiles, "commit", commit_then_others)
    raw_csr.file_writer(path, signal_dict(np.full((3, 4, 5, 6), 2, "u2")))
    assert (tmp_path / "a.values.raw").read_bytes() == b"of another writer"
    assert not (tmp_path / "a.indices.raw").exists()


@pytest.mark.parametrize("part", ["indptr", "indices", "values"])
def test_a_file_that_is_cut_or_replaced_is_reported_and_kills_nobody(tmp_path, dense, part):
    path = tmp_path / "a.toml"
    raw_csr.file_writer(path, signal_dict(lazy(dense)))
    array = tmp_path / f"a.{part}.raw"
    data = raw_csr.file_reader(path, lazy=True, chunks=1)[0]["data"]
    state, content = array.stat(), array.read_bytes()
    # a copy with the size and the time of the original
    (tmp_path / "copy").write_bytes(content[::-1])
    os.utime(tmp_path / "copy", ns=(state.st_atime_ns, state.st_mtime_ns))
    os.replace(tmp_path / "copy", array)
    with pytest.raises(FormatError, match="changed after it was opened"):
        data.compute(scheduler="sync")
    array.write_bytes(content)
    data = raw_csr.file_reader(path, lazy=True, chunks=1)[0]["data"]
    os.truncate(array, 16)
    with pytest.raises(FormatError, match="changed"):
        data.compute(scheduler="sync")


@pytest.mark.parametrize("key", ["data_dtype", "indptr_dtype", "indices_file"])
def test_a_key_that_was_lost_or_misspelled_is_not_guessed(tmp_path, key):
    dense = (np.arange(3 * 4 * 5 * 6).reshape(3, 4, 5, 6) % 7 == 0) * np.float32(0.5)
    raw_csr.file_writer(tmp_path / "a.toml", signal_dict(lazy(dense)), compact=True)
    text = (tmp_path / "a.toml").read_text()
    for damaged in (text.replace(key, f"{key[:-1]}f"), text.replace(key, f"# {key}")):
        (tmp_path / "a.toml").write_text(damaged)
        with pytest.raises(FormatError, match=rf"a\.toml.*no {key}"):
            raw_csr.file_reader(tmp_path / "a.toml", lazy=True)
    # where nobody has noted checksums, LiberTEM's defaults hold, but not for a key that was meant
    plain = text.partition("[rsciio_tpx3]")[0]
    (tmp_path / "a.toml").write_text(plain.replace(key, f"{key[:-1]}f"))
    with pytest.raises(FormatError, match=rf"a\.toml.*no {key}"):
        raw_csr.file_reader(tmp_path / "a.toml", lazy=True)
