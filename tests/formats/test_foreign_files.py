"""Kinds of fault: a container decides which files are opened; absent data read as zeros; one program's convention is
taken for the format's; metadata that cannot be understood keep the data from the user; HDF5 never ends."""

import os
import time

import numpy as np
import pytest
from counted_data import counted, lazy, signal_dict

from rsciio_tpx3 import nxevent, raw_csr, stempy
from rsciio_tpx3.convert import check, convert
from rsciio_tpx3.exceptions import FormatError, LimitError, LossError
from rsciio_tpx3.stempy.references import append_rows

h5py = pytest.importorskip("h5py")
EVENTS = "entry/instrument/detector/events"
_CHUNKS = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
_CHUNKS.set_chunk((64,))
_ANY_LENGTH = h5py.h5s.create_simple((0,), (h5py.h5s.UNLIMITED,))


def values(found):
    return np.asarray(found[0]["data"].compute(scheduler="sync"))


def events_of(dense):
    """Pixel of each event, and the first event of each position."""
    flat = dense.reshape(-1, dense.shape[-2] * dense.shape[-1])
    ids = np.concatenate([np.repeat(np.arange(flat.shape[1]), row) for row in flat])
    return ids, np.concatenate([[0], np.cumsum(flat.sum(axis=1))[:-1]])


def write_nexus(path, ids, index, numbers=None, **more):
    with h5py.File(path, "w") as file:
        nodes, kinds = EVENTS.split("/"), ("NXentry", "NXinstrument", "NXdetector", "NXevent_data")
        for i, kind in enumerate(kinds):
            file.create_group("/".join(nodes[: i + 1])).attrs["NX_class"] = kind
        group = file[EVENTS]
        for name, array in {"event_id": ids, "event_index": index, **more}.items():
            if array is not None:
                group[name] = array
        if numbers is not None:
            file[os.path.dirname(EVENTS)]["detector_number"] = numbers
    return path


def write_stempy(path, rows, scan=(2, 3), frame=(4, 5), number=int):
    with h5py.File(path, "w") as file:
        file.attrs["version"] = number(3)
        group = file.create_group("electron_events")
        positions = group.create_dataset("scan_positions", data=np.arange(len(rows)))
        positions.attrs["Nx"], positions.attrs["Ny"] = number(scan[1]), number(scan[0])
        frames = group.create_dataset("frames", (len(rows),), h5py.vlen_dtype(np.uint32))
        frames.attrs["Nx"], frames.attrs["Ny"] = map(number, frame)
        for i, row in enumerate(rows):
            frames[i] = np.array(row, np.uint32)
    return path


# -- files outside -----------------------------------------------------------------------------


@pytest.fixture
def other(tmp_path):
    (tmp_path / "apart").mkdir()
    with h5py.File(tmp_path / "apart" / "other.h5", "w") as file:
        file["list"] = np.arange(6, dtype="i4")
        file["more/events/event_id"], file["more/events/event_index"] = np.arange(6, dtype="i4"), np.arange(6)
        file["more/events"].attrs["NX_class"] = "NXevent_data"
    np.arange(6, dtype="<i4").tofile(tmp_path / "apart" / "list.bin")
    return tmp_path / "apart" / "other.h5"


@pytest.mark.parametrize("name", ["event_id", "event_index", "pulse_height", "detector_number"])
@pytest.mark.parametrize("way", ["link", "soft link to a link", "storage", "virtual"])
def test_no_array_is_followed_into_another_file_unless_allowed(tmp_path, other, name, way):
    arrays = {"event_id": np.arange(6), "event_index": np.arange(6), "pulse_height": np.arange(6.0)}
    path = write_nexus(tmp_path / "a.nxs", **{k: v for k, v in
                       zip(("ids", "index", "pulse_height"), arrays.values())}, numbers=np.arange(6))  # fmt: skip
    with h5py.File(path, "a") as file:
        group = file[os.path.dirname(EVENTS) if name == "detector_number" else EVENTS]
        del group[name]
        if way == "link":
            group[name] = h5py.ExternalLink(str(other), "list")
        elif way == "soft link to a link":
            file["elsewhere"] = h5py.ExternalLink(str(other), "list")
            group[name] = h5py.SoftLink("/elsewhere")
        elif way == "storage":
            group.create_dataset(name, (6,), "<i4", external=[(str(other.with_name("list.bin")), 0, 24)])
        else:
            layout = h5py.VirtualLayout((6,), "i4")
            layout[:] = h5py.VirtualSource(str(other), "list", (6,))
            group.create_virtual_dataset(name, layout)
    options = {"navigation_shape": (6, 1), "signal_shape": (3, 2), "lazy": True}
    if name == "pulse_height":
        options["values"] = "pulse_height"
    with pytest.raises(FormatError, match="other file|external"):
        nxevent.file_reader(path, **options)
    found = values(nxevent.file_reader(path, allow_external=True, **options)).reshape(6, 6)
    assert np.array_equal(found, np.diag(np.arange(6)) if name == "pulse_height" else np.eye(6))


@pytest.mark.parametrize("where", ["entry", "entry/instrument", EVENTS])
def test_no_group_is_followed_into_another_file_unless_allowed(tmp_path, other, where):
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file[where] = h5py.ExternalLink(str(other), "more" if where != EVENTS else "more/events")
    options = {"navigation_shape": (6, 1), "signal_shape": (3, 2)}
    with pytest.raises(FormatError, match="allow_external=True"):
        nxevent.file_reader(tmp_path / "a.nxs", **options)
    for more in ({}, {"dataset_path": where if where == EVENTS else f"{where}/events"}):
        found = nxevent.file_reader(tmp_path / "a.nxs", allow_external=True, **options, **more)
        assert values(found).sum() == 6


def test_metadata_in_another_file_are_excluded_and_the_events_read(tmp_path, other, caplog):
    path = write_nexus(tmp_path / "a.nxs", np.arange(6), np.arange(6))
    with h5py.File(path, "a") as file:
        file["entry/title"] = h5py.ExternalLink(str(other), "list")
        file["entry/instrument/microscope"] = h5py.ExternalLink(str(other), "more")
    assert values(nxevent.file_reader(path, navigation_shape=(6, 1), signal_shape=(3, 2))).sum() == 6
    assert "excluded" in caplog.text


def test_a_stempy_file_in_pieces_is_refused_unless_allowed(tmp_path, other):
    write_stempy(tmp_path / "real.h5", [[i] for i in range(6)])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["version"] = 3
        file["electron_events"] = h5py.ExternalLink(str(tmp_path / "real.h5"), "electron_events")
    with pytest.raises(FormatError, match="real.h5"):
        stempy.file_reader(tmp_path / "a.h5")
    assert values(stempy.file_reader(tmp_path / "a.h5", allow_external=True)).sum() == 6


@pytest.mark.parametrize("of", ["stempy", "NXevent"])
def test_a_file_behind_a_link_that_changes_later_is_noticed(tmp_path, of):
    path, real = tmp_path / "a.h5", tmp_path / "real.h5"
    for pixel in (1, 2):
        real.unlink(missing_ok=True)
        if of == "stempy":
            write_stempy(real, [[pixel]] * 6)
        else:
            write_nexus(real, np.full(6, pixel), np.arange(6))
        if pixel == 1:
            top = "electron_events" if of == "stempy" else "entry"
            with h5py.File(path, "w") as file:
                file.attrs["version"] = 3
                file[top] = h5py.ExternalLink("real.h5", top)
            shapes = {} if of == "stempy" else {"navigation_shape": (6, 1), "signal_shape": (3, 2)}
            reader = stempy.file_reader if of == "stempy" else nxevent.file_reader
            found = reader(path, lazy=True, chunks=1, allow_external=True, **shapes)
            assert values(found).sum() == 6
    with pytest.raises(FormatError, match="real.h5.*changed"):
        values(found)


@pytest.mark.parametrize("number", ["u1", "<u2", ">u2", ">u4", "<i8", ">u8"])
def test_pixel_numbers_of_any_size_and_byte_order_are_read(tmp_path, number):
    absent = [[0, 3], [5, 9], [2, 4], [1, 7], [6, 8], [10, 19]] * 40
    rows = np.array([np.delete(np.arange(252), pair) for pair in absent], np.uint32)
    path = write_stempy(tmp_path / "a.h5", [[]] * 240, scan=(16, 15), frame=(14, 18))
    with h5py.File(path, "a") as file:
        attributes = dict(file["electron_events/frames"].attrs)
        del file["electron_events/frames"]
        kind = h5py.h5t.vlen_create(h5py.h5t.py_create(np.dtype(number)))
        frames = h5py.h5d.create(file.id, b"electron_events/frames", kind, _ANY_LENGTH, _CHUNKS)
        # h5py itself would write numbers of the other byte order the wrong way round
        append_rows(h5py.Dataset(frames), rows.ravel(), np.arange(0, rows.size + 1, 250))
        file["electron_events/frames"].attrs.update(attributes)
    expected = np.zeros((240, 252), int)
    expected[np.arange(240)[:, None], rows] = 1
    assert np.array_equal(values(stempy.file_reader(path, lazy=True)), expected.reshape(16, 15, 14, 18))


def test_the_other_byte_order_where_h5py_alone_could_read_it_is_refused(tmp_path):
    # on 256 x 256 pixels the two bytes the wrong way round are a picture with x and y exchanged
    path = write_stempy(tmp_path / "a.h5", [[]] * 6, frame=(256, 256))
    with h5py.File(path, "a") as file:
        attributes = dict(file["electron_events/frames"].attrs)
        del file["electron_events/frames"]
        options = {"chunks": (3,), "compression": "gzip"}
        frames = file.create_dataset("electron_events/frames", (6,), h5py.vlen_dtype(np.dtype(">u2")), **options)
        for row in range(6):
            frames[row] = np.array([3, 700], ">u2")
        frames.attrs.update(attributes)
    with pytest.raises(FormatError, match="little-endian"):
        values(stempy.file_reader(path, lazy=True))


@pytest.mark.parametrize("way", ["absolute", "dots", "link", "folder link", "inside"])
def test_arrays_of_a_toml_lie_in_its_folder_unless_allowed(tmp_path, dense, way):
    (tmp_path / "in").mkdir(), (tmp_path / "out").mkdir()
    path = tmp_path / "in" / "s.toml"
    raw_csr.file_writer(path, signal_dict(lazy(dense)))
    (tmp_path / "in" / "s.values.raw").rename(tmp_path / "out" / "v.raw")
    name = {"absolute": str(tmp_path / "out" / "v.raw"), "dots": "../out/v.raw", "link": "v.raw",
            "folder link": "sub/v.raw", "inside": "sub/v.raw"}[way]  # fmt: skip
    if way == "link":
        (tmp_path / "in" / "v.raw").symlink_to(tmp_path / "out" / "v.raw")
    elif way == "folder link":
        (tmp_path / "in" / "sub").symlink_to(tmp_path / "out")
    elif way == "inside":
        (tmp_path / "out").rename(tmp_path / "in" / "sub")
    path.write_text(path.read_text().replace("s.values.raw", name))
    if way != "inside":
        with pytest.raises(FormatError, match="outside of its folder"):
            raw_csr.file_reader(path)
        with pytest.raises(FormatError, match="outside of its folder"):
            check(path)
        assert check(path, allow_external=True)["total"] == dense.sum()
    assert np.array_equal(values(raw_csr.file_reader(path, allow_external=way != "inside")), dense)


# -- absent data -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["event_id", "event_index"])
@pytest.mark.parametrize("options", [{}, {"chunks": (4,)}, {"chunks": (4,), "compression": "gzip"}])
def test_what_was_never_written_is_a_loss(tmp_path, name, options):
    path = write_nexus(tmp_path / "a.nxs", np.arange(12), np.arange(12))
    with h5py.File(path, "a") as file:
        del file[EVENTS][name]
        dataset = file[EVENTS].create_dataset(name, (12,), "i4", **options)
        if options:
            dataset[:8] = np.arange(8)
    with pytest.raises(LossError, match="never written"):
        nxevent.file_reader(path, navigation_shape=(12, 1), signal_shape=(4, 3))


@pytest.mark.parametrize("fault", ["gone", "no such list", "too short", "in part"])
def test_a_virtual_data_set_without_its_source_is_a_loss(tmp_path, other, fault):
    path = write_nexus(tmp_path / "a.nxs", None, np.arange(6))
    with h5py.File(path, "a") as file:
        layout = h5py.VirtualLayout((6,), "i4")
        source = h5py.VirtualSource(
            str(other.with_name("gone.h5") if fault == "gone" else other), "lst" if "such" in fault else "list", (6,)
        )
        layout[: 4 if fault == "in part" else 6] = source[: 4 if fault == "in part" else 6]
        file[EVENTS].create_virtual_dataset("event_id", layout)
    if fault == "too short":
        with h5py.File(other, "a") as file:
            del file["list"]
            file["list"] = np.arange(3, dtype="i4")
    with pytest.raises(LossError, match="read as\\s+zeros"):
        nxevent.file_reader(path, navigation_shape=(6, 1), signal_shape=(3, 2), allow_external=True)


# -- conventions of other programs ---------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("numbers", ["from 0", "from 1", "columns first", "second bank", "scattered", "one list"])
@pytest.mark.parametrize("dtype", ["<i4", ">i4", "<u8", "<f8", "<i2"])
def test_events_lie_where_the_detector_says(tmp_path, numbers, dtype):
    dense = counted((2, 3), (4, 5), most=3)
    grid = {
        "from 0": np.arange(20).reshape(4, 5),
        "from 1": np.arange(20).reshape(4, 5) + 1,
        "columns first": np.arange(20).reshape(5, 4).T,
        "second bank": np.arange(20).reshape(4, 5) + 1000,
        "scattered": np.random.default_rng(1).permutation(3000)[:20].reshape(4, 5),
        "one list": np.arange(20)[::-1] + 7,
    }[numbers]
    ids, index = events_of(dense)
    path = write_nexus(tmp_path / "a.nxs", grid.ravel()[ids].astype(dtype), index.astype(dtype), grid.astype(dtype))
    options = {} if grid.ndim == 2 else {"signal_shape": (5, 4)}
    found = nxevent.file_reader(path, lazy=True, navigation_shape=(3, 2), chunks=1, **options)
    assert np.array_equal(values(found), dense)


def test_numbers_that_no_pixel_has_are_refused(tmp_path):
    path = write_nexus(tmp_path / "a.nxs", np.array([3, 40]), np.arange(2), np.arange(6)[::-1].reshape(2, 3))
    with pytest.raises(FormatError, match="names 40, which is not in detector_number"):
        values(nxevent.file_reader(path, lazy=True, navigation_shape=(2, 1)))
    write_nexus(path, np.array([3, 4]), np.arange(2), np.array([[0, 3, 4], [3, 1, 2]]))
    with pytest.raises(FormatError, match="for several pixels"):
        values(nxevent.file_reader(path, lazy=True, navigation_shape=(2, 1)))


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("closing", [True, False])
@pytest.mark.parametrize("last_is_empty", [True, False])
def test_a_list_of_pulses_may_be_closed(tmp_path, times, closing, last_is_empty):
    dense = counted((2, 3), (4, 5), most=3)
    dense[-1, -1] = 0 if last_is_empty else 1
    ids, index = events_of(dense)
    index = np.append(index, len(ids)) if closing else index
    path = write_nexus(tmp_path / "a.nxs", ids, index, event_time_zero=np.arange(6.0) if times else None)
    for chunks in (1, "auto"):
        options = {"navigation_shape": (3, 2), "signal_shape": (5, 4), "chunks": chunks}
        assert np.array_equal(values(nxevent.file_reader(path, lazy=True, **options)), dense)


@pytest.mark.parametrize("wrong", [-1, -5, 1 << 40])
def test_an_index_that_leaves_the_list_never_reaches_compiled_code(tmp_path, wrong):
    for place in (0, 3):
        index = np.arange(6)
        index[place] = wrong
        path = write_nexus(tmp_path / "a.nxs", np.arange(6), index)
        with pytest.raises(FormatError, match="falls from|runs from"):
            nxevent.file_reader(path, navigation_shape=(6, 1), signal_shape=(3, 2))


# -- metadata ------------------------------------------------------------------------------------


DRESSES = [int, float, str, lambda n: [n], lambda n: np.array([[n]]), np.uint8, lambda n: np.bytes_(str(n))]


@pytest.mark.parametrize("number", DRESSES)
def test_numbers_in_attributes_are_read_in_any_dress(tmp_path, number):
    path = write_stempy(tmp_path / "a.h5", [[i] for i in range(6)], number=number)
    found = values(stempy.file_reader(path))
    assert found.shape == (2, 3, 4, 5) and found.sum() == 6


ODD = {
    "dangling": lambda g: g.__setitem__("x", h5py.SoftLink("/nowhere")),
    "circle": lambda g: g.__setitem__("x", h5py.SoftLink("/metadata/x")),
    "itself": lambda g: g.__setitem__("x", g),
    "empty": lambda g: g.create_dataset("x", data=h5py.Empty("f4")),
    "reference": lambda g: g.create_dataset("x", data=g.ref, dtype=h5py.ref_dtype),
    "compound": lambda g: g.create_dataset("x", data=np.zeros(3, [("a", "f4"), ("b", "S3")])),
    "unwritten bomb": lambda g: g.create_dataset("x", (1 << 40,), "f8", chunks=(1 << 20,)),
    "bytes": lambda g: g.attrs.__setitem__("x", np.void(b"\xff\x00")),
    "empty attribute": lambda g: g.attrs.__setitem__("x", h5py.Empty("f4")),
    "invalid text": lambda g: g.attrs.create("x", b"\xff\xfe", dtype=h5py.string_dtype("utf-8")),
    "type": lambda g: g.__setitem__("x", np.dtype("f8")),
}


@pytest.mark.parametrize("odd", ODD)
def test_metadata_that_cannot_be_understood_never_keep_the_counts_away(tmp_path, odd):
    path = write_stempy(tmp_path / "a.h5", [[i] for i in range(6)])
    with h5py.File(path, "a") as file:
        ODD[odd](file.create_group("metadata"))
        file["metadata/good"] = np.array(["one", "two"], h5py.string_dtype())
    found = stempy.file_reader(path)
    assert values(found).sum() == 6
    assert found[0]["original_metadata"]["stempy"]["good"] == ["one", "two"]


# -- memory and time -----------------------------------------------------------------------------


def test_small_files_that_declare_much_are_refused_before_the_work(tmp_path):
    path = write_nexus(tmp_path / "a.nxs", np.zeros(4, "i4"), None)
    with h5py.File(path, "a") as file:
        # everything is written: zeros pack to almost nothing
        big = file[EVENTS].create_dataset("event_index", (1 << 25,), "i4", chunks=(1 << 25,), compression="gzip")
        big[:1] = 0
    assert path.stat().st_size < 200_000
    with pytest.raises(LimitError, match="h5repack"):
        nxevent.file_reader(path, navigation_shape=(1 << 13, 1 << 12), signal_shape=(3, 2))
    path = write_stempy(tmp_path / "b.h5", [[1]] * 6, scan=(1 << 22, 1 << 22))
    with pytest.raises((LimitError, FormatError), match="Nx and Ny"):
        stempy.file_reader(path)


def test_a_key_of_many_parts_in_a_toml_is_refused(tmp_path):
    (tmp_path / "a.toml").write_text(".".join("a" * 20_000) + " = 1\n")
    begin = time.perf_counter()
    with pytest.raises(LimitError, match="more than 64 parts"):
        raw_csr.file_reader(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_text("a = " + "[" * 20_000)
    with pytest.raises(FormatError):
        raw_csr.file_reader(tmp_path / "b.toml")
    assert time.perf_counter() - begin < 5


def test_a_heap_in_which_hdf5_gets_stuck_is_refused(tmp_path):
    path = write_stempy(tmp_path / "a.h5", [[i] for i in range(6)])
    content = bytearray(path.read_bytes())
    at = content.find(b"GCOL") + 16
    while int.from_bytes(content[at : at + 2], "little"):
        at += 16 + -(-int.from_bytes(content[at + 8 : at + 16], "little") // 8) * 8
    content[at + 8 : at + 16] = bytes(8)  # free space of length 0
    path.write_bytes(content)
    with pytest.raises(FormatError, match="damaged"):
        stempy.file_reader(path)


def test_a_structure_that_takes_too_long_is_refused(tmp_path, dense):
    path = tmp_path / "a.nxevent"
    nxevent.file_writer(path, signal_dict(lazy(dense)), compression="gzip")
    assert np.array_equal(values(nxevent.file_reader(path, guard=True)), dense)
    with pytest.raises(FormatError, match="guard=300"):
        nxevent.file_reader(path, guard=1e-3)


@pytest.mark.parametrize("module, name", [(nxevent, "a.nxevent"), (stempy, "a.h5"), (raw_csr, "a.toml")])
def test_pipes_and_folders_are_no_files(tmp_path, module, name):
    (tmp_path / name).mkdir()
    with pytest.raises(FormatError, match="not a file but a folder"):
        module.file_reader(tmp_path / name)
    if hasattr(os, "mkfifo"):
        (tmp_path / name).rmdir()
        os.mkfifo(tmp_path / name)
        with pytest.raises(FormatError, match="a pipe"):
            module.file_reader(tmp_path / name)


# -- what convert may replace -------------------------------------------------------------------


@pytest.mark.parametrize("way", ["copy of the description", "hard link", "symbolic link", "sidecar"])
def test_convert_never_destroys_what_its_input_needs(tmp_path, dense, way):
    source = tmp_path / "scan.toml"
    raw_csr.file_writer(source, signal_dict(lazy(dense)))
    target = tmp_path / "other.toml"
    if way == "copy of the description":
        source, target = target, source
        source.write_bytes(target.read_bytes())
    elif way == "hard link":
        os.link(source, target)
    elif way == "symbolic link":
        target.symlink_to(source)
    else:
        target = tmp_path / "scan.metadata.toml"
        target.write_text('beam_energy = "200 keV"\n')
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="input"):
        convert(source, target, overwrite=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_arrays_that_another_description_names_are_left(tmp_path, dense):
    first, copy = tmp_path / "scan.toml", tmp_path / "copy.toml"
    raw_csr.file_writer(first, signal_dict(lazy(dense)))
    copy.write_bytes(first.read_bytes())
    raw_csr.file_writer(first, signal_dict(lazy(dense[::-1])))
    assert np.array_equal(values(raw_csr.file_reader(copy)), dense)
    assert np.array_equal(values(raw_csr.file_reader(first)), dense[::-1])
