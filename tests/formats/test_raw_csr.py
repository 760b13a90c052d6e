"""raw_csr: what we write is what we read, what LiberTEM reads, and what is wrong is refused."""

import os
import pickle
import textwrap

import dask
import numpy as np
import pytest
from counted_data import counted, lazy, signal_dict
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3 import CSRFrames
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.raw_csr import check_file, file_reader, file_writer

TYPES = ("int32", "uint32", "int64", "uint64", "uint8", "uint16", "float32", "<i4", ">u8", ">u2")


def write_by_hand(folder, dense, indptr="int64", indices="int32", data="uint32", name="scan", extra="", csr=None):
    """A data set as another program writes it."""
    frames = CSRFrames.from_dense(dense) if csr is None else csr
    folder.mkdir(exist_ok=True)
    for part, values, dtype in (
        ("indptr", frames.indptr, indptr),
        ("indices", frames.indices, indices),
        ("values", frames.data, data),
    ):
        np.asarray(values).astype(dtype).tofile(folder / f"{part}.raw")
    path = folder / f"{name}.toml"
    path.write_text(
        textwrap.dedent(f"""
        [params]
        filetype = "raw_csr"
        nav_shape = {list(dense.shape[:-2])}
        sig_shape = {list(dense.shape[-2:])}
        {extra}
        [raw_csr]
        indptr_file = "indptr.raw"
        indptr_dtype = "{indptr}"
        indices_file = "indices.raw"
        indices_dtype = "{indices}"
        data_file = "values.raw"
        data_dtype = "{data}"
        """)
    )
    return path


def loaded(path, **options):
    return file_reader(path, lazy=True, **options)[0]


def values(path, **options):
    return np.asarray(loaded(path, **options)["data"].compute(scheduler="sync"))


shapes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7), st.integers(1, 8))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    shape=shapes,
    seed=st.integers(0, 1 << 30),
    dtype=st.sampled_from(["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8", "?"]),
    compact=st.booleans(),
)
def test_what_is_written_is_read_to_the_bit(tmp_path_factory, shape, seed, dtype, compact):
    rng = np.random.default_rng(seed)
    dense = rng.integers(0, 120, shape) * (rng.random(shape) < 0.3)
    dense = dense.astype(dtype)
    if dtype in ("u2", "u4", "u8"):
        dense.flat[0] = np.iinfo(dtype).max
    path = tmp_path_factory.mktemp("raw") / "x.toml"
    file_writer(path, signal_dict(lazy(dense)), compact=compact)
    found = loaded(path)
    assert found["data"].dtype == dense.dtype
    assert np.array_equal(found["data"].compute(scheduler="sync").todense(), dense)


@settings(max_examples=25, deadline=None)
@given(
    shape=shapes,
    seed=st.integers(0, 1 << 30),
    indptr=st.sampled_from(["int32", "uint32", "int64", "uint64", "<i8", ">u8", ">i4", "uint16"]),
    indices=st.sampled_from(["int32", "uint32", "int64", "uint64", "<i4", ">u8", "uint8", ">u2"]),
    data=st.sampled_from(["int32", "uint32", "uint8", "uint16", ">u2", "<i4", "float32", ">f8", "uint64"]),
)
def test_every_type_and_byte_order_is_read(tmp_path_factory, shape, seed, indptr, indices, data):
    dense = np.random.default_rng(seed).poisson(0.3, shape)
    path = write_by_hand(tmp_path_factory.mktemp("raw"), dense, indptr, indices, data)
    found = values(path)
    assert found.dtype == np.dtype(data).newbyteorder("=")
    assert np.array_equal(found, dense)


def test_unsorted_and_repeated_pixels_are_sorted_and_added(tmp_path):
    arrays = np.array([1, 2, 250, 250, 7]), np.array([5, 3, 5, 5, 0]), np.array([0, 4, 4, 5])
    csr = type("Csr", (), dict(zip(("data", "indices", "indptr"), arrays)))
    path = write_by_hand(tmp_path, np.zeros((1, 3, 2, 3)), data="uint16", csr=csr)
    chunk = loaded(path)["data"].compute(scheduler="sync")
    chunk.check()
    assert chunk.todense()[0, 0].tolist() == [[0, 0, 0], [2, 0, 501]]
    assert chunk.todense()[0, 2].tolist() == [[7, 0, 0], [0, 0, 0]]
    assert check_file(path) == {"frames": 3, "entries": 3, "total": 510, "canonical": False}


def test_a_repeated_pixel_that_overflows_is_an_error_with_the_way_out(tmp_path):
    arrays = np.array([200, 200]), np.array([1, 1]), np.array([0, 2])
    csr = type("Csr", (), dict(zip(("data", "indices", "indptr"), arrays)))
    path = write_by_hand(tmp_path, np.zeros((1, 1, 2, 3)), data="uint8", csr=csr)
    with pytest.raises(OverflowError, match="at position 0. Load with dtype='uint16'"):
        values(path)
    assert values(path, dtype="uint16").max() == 400


def test_several_frames_a_position_keep_their_shape(tmp_path):
    dense = counted((3, 4, 5), (6, 7))
    file_writer(tmp_path / "x.toml", signal_dict(lazy(dense)))
    assert np.array_equal(values(tmp_path / "x.toml"), dense)
    assert "nav_shape = [12, 5]" in (tmp_path / "x.toml").read_text()  # Reader4D wants two numbers


@pytest.mark.parametrize("nav_shape", [(), (9,)])
def test_one_frame_and_a_line_of_frames_keep_their_shape(tmp_path, nav_shape):
    dense = np.random.default_rng(1).poisson(0.5, (*nav_shape, 6, 7)).astype("u1")
    file_writer(tmp_path / "x.toml", signal_dict(lazy(dense)))
    assert np.array_equal(values(tmp_path / "x.toml"), dense)


def test_any_chunks_sparse_or_dense_are_written_in_order(tmp_path, dense):
    da = pytest.importorskip("dask.array")
    whole = lazy(dense, chunks=(2, 7))
    for i, data in enumerate(
        (
            whole[1:, 2:],
            whole[::-1].astype("u4"),
            whole.transpose(1, 0, 2, 3),
            da.from_array(dense, chunks=(2, 3, 5, 4)),
            dense,
            CSRFrames.from_dense(dense),
            whole[:, :, 2:9, 3:],
        )
    ):
        path = tmp_path / f"{i}.toml"
        file_writer(path, signal_dict(data))
        assert np.array_equal(values(path), np.asarray(data))


def test_axes_and_metadata_come_back(tmp_path, dense):
    signal = signal_dict(lazy(dense))
    signal["metadata"]["General"]["notes"] = 'quotes " and \\ and \n and ü and \x7f'
    signal["metadata"]["Acquisition_instrument"] = {"TEM": {"beam_energy": np.float32(200), "ids": (1, 2)}}
    file_writer(tmp_path / "x.toml", signal)
    found = loaded(tmp_path / "x.toml")
    assert found["axes"] == signal["axes"]
    assert found["metadata"]["General"] == signal["metadata"]["General"]
    assert found["metadata"]["Acquisition_instrument"]["TEM"] == {"beam_energy": 200.0, "ids": [1, 2]}
    assert found["original_metadata"] == {"a": {"b": [1, 2.5]}}


@pytest.mark.slow
def test_reading_is_lazy_and_the_graph_is_small(tmp_path, dense):
    path = write_by_hand(tmp_path, dense)
    found = loaded(path, chunks=1)
    assert len(pickle.dumps(found["data"].dask)) < 20_000
    (tmp_path / "indices.raw").rename(tmp_path / "gone.raw")
    with pytest.raises(Tpx3FormatError, match="removed or replaced after it was opened"):
        found["data"].compute(scheduler="sync")
    (tmp_path / "gone.raw").rename(tmp_path / "indices.raw")
    with dask.config.set(scheduler="processes", num_workers=2):
        assert np.array_equal(found["data"].compute().todense(), dense)


def test_a_file_replaced_under_a_lazy_signal_is_noticed(tmp_path, dense):
    path = write_by_hand(tmp_path, dense)
    found = loaded(path)
    os.utime(tmp_path / "values.raw", ns=(1, 1))
    with pytest.raises(Tpx3FormatError, match="changed after it was opened"):
        found["data"].compute(scheduler="sync")


def test_what_is_loaded_into_memory_does_not_change_with_the_file(tmp_path, dense):
    path = write_by_hand(tmp_path, dense, data="uint16")
    (found,) = file_reader(path, lazy=False)
    with open(tmp_path / "values.raw", "r+b") as file:
        file.write(b"\xff" * 200)
    assert np.array_equal(found["data"].compute(scheduler="sync").todense(), dense)


@pytest.mark.parametrize("offset", [0, 1, 9, 34, -1, -9, -34])
@pytest.mark.parametrize("navigation_shape", [None, (6, 4), (4, 11)])
def test_sync_offset_shifts_frames(tmp_path, dense, offset, navigation_shape):
    path = write_by_hand(tmp_path, dense)
    shape = (5, 7) if navigation_shape is None else navigation_shape[::-1]
    expected = np.zeros((shape[0] * shape[1], 11, 13), dense.dtype)
    for position in range(len(expected)):
        if 0 <= position + offset < 35:
            expected[position] = dense.reshape(35, 11, 13)[position + offset]
    found = values(path, navigation_shape=navigation_shape, sync_offset=offset, chunks=2)
    assert np.array_equal(found.reshape(expected.shape), expected)
    signal = loaded(path, navigation_shape=navigation_shape, sync_offset=offset)
    picture = signal["post_process"][0].keywords["navigator"]
    assert np.array_equal(picture.ravel(), expected.sum(axis=(1, 2)))
    assert np.array_equal(source_of(signal["data"]).row_events(), (expected > 0).sum(axis=(1, 2)))


def test_signal_shape_may_be_reshaped_but_not_resized(tmp_path, dense):
    path = write_by_hand(tmp_path, dense)
    assert np.array_equal(values(path, signal_shape=(11, 13)), dense.reshape(5, 7, 13, 11))
    with pytest.raises(ValueError, match="number of pixels cannot change"):
        values(path, signal_shape=(11, 12))


def test_reader4d_habits_missing_keys_have_its_defaults(tmp_path, dense):
    path = write_by_hand(
        tmp_path,
        dense,
        "int64",
        "int32",
        "int32",
        extra="dwell_time_ns = 1500\nvalues_role = 'itot'\nthreshold = 120\nbias = -90.5",
    )
    text = path.read_text()
    path.write_text(text[: text.index("indptr_file")])
    found = loaded(path)
    assert np.array_equal(found["data"].compute(scheduler="sync").todense(), dense)
    assert found["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]["dwell_time"] == pytest.approx(1.5e-6)
    assert found["metadata"]["Signal"]["quantity"] == "Time over threshold (25 ns)"
    assert found["original_metadata"]["raw_csr"]["params"]["bias"] == -90.5
    assert found["original_metadata"]["raw_csr"]["params"]["threshold"] == 120


def test_file_type_is_compared_without_case(tmp_path, dense):
    path = write_by_hand(tmp_path, dense)
    path.write_text(path.read_text().replace('"raw_csr"', '"RAW_CSR"').replace("[raw_csr]", "[RAW_CSR]"))
    assert np.array_equal(values(path), dense)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ('filetype = "raw_csr"', 'filetype = "raw"', "params.filetype = 'raw'"),
        ('filetype = "raw_csr"', "", "no key 'filetype'"),
        ("[raw_csr]", "[other]", r"no table \[raw_csr\]"),
        ("nav_shape = [5, 7]", "nav_shape = [5, 8]", "describes 35 frames but nav_shape .5, 8. needs 40"),
        ("nav_shape = [5, 7]", "nav_shape = [5, -7]", "positive integers"),
        ("nav_shape = [5, 7]", "", r"no nav_shape. Pass navigation_shape"),
        ("sig_shape = [11, 13]", "", r"no sig_shape. Pass signal_shape"),
        ("sig_shape = [11, 13]", "sig_shape = [11, 12]", "pixels 0 to 131"),
        ('indices_dtype = "int32"', 'indices_dtype = "int33"', "not a type for indices"),
        ('indices_dtype = "int32"', 'indices_dtype = "float32"', "not a type for indices"),
        ('indices_dtype = "int32"', 'indices_dtype = "int16"', "One of the types"),
        ('indices_dtype = "int32"', 'indices_dtype = ">i4"', "byte order"),
        ('indptr_dtype = "int64"', 'indptr_dtype = "int32"', "number of entries"),
        ('"values.raw"', '"value.raw"', "does not exist"),
        ("[params]", "[params", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, dense, old, new, words):
    path = write_by_hand(tmp_path, dense)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises((Tpx3FormatError, ValueError, FileNotFoundError), match=words):
        values(path)


def test_damage_in_the_arrays_is_found(tmp_path, dense):
    path = write_by_hand(tmp_path, dense)
    indptr = np.fromfile(tmp_path / "indptr.raw", np.int64)
    indptr[4], indptr[5] = indptr[5] + 1, indptr[4]
    indptr.tofile(tmp_path / "indptr.raw")
    with pytest.raises(Tpx3FormatError, match="falls from .* at frame 4"):
        loaded(path)
    write_by_hand(tmp_path, dense)
    with open(tmp_path / "values.raw", "ab") as file:
        file.write(b"x")
    with pytest.raises(Tpx3FormatError, match="not a multiple of the 4"):
        loaded(path)


def test_indices_beyond_32_bits_do_not_wrap_into_the_detector(tmp_path):
    arrays = np.array([1]), np.array([(1 << 32) + 2]), np.array([0, 1])
    csr = type("Csr", (), dict(zip(("data", "indices", "indptr"), arrays)))
    path = write_by_hand(tmp_path, np.zeros((1, 1, 2, 3)), indices="uint64", csr=csr)
    with pytest.raises(ValueError, match="4294967298"):
        values(path)


def test_an_old_data_set_is_untouched_until_the_new_one_is_whole(tmp_path, dense):
    path = tmp_path / "x.toml"
    file_writer(path, signal_dict(lazy(dense)))
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}

    broken = lazy(dense, chunks=1).map_blocks(lambda chunk: 1 / 0, dtype=dense.dtype, meta=lazy(dense)._meta)
    with pytest.raises(ZeroDivisionError):
        file_writer(path, signal_dict(broken))
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == before


def test_a_data_set_can_be_saved_over_itself(tmp_path, dense):
    path = tmp_path / "x.toml"
    file_writer(path, signal_dict(lazy(dense)))
    file_writer(path, signal_dict(loaded(path)["data"][::-1]))
    assert np.array_equal(values(path), dense[::-1])
    assert len(list(tmp_path.iterdir())) == 4


def test_leftovers_of_an_interrupted_run_are_named(tmp_path, dense, caplog):
    (tmp_path / "x.values.raw.0123abcd.partial").write_bytes(b"1")
    file_writer(tmp_path / "x.toml", signal_dict(lazy(dense)))
    assert "interrupted" in caplog.text and "x.values.raw.0123abcd.partial" in caplog.text


def test_too_little_room_is_said_before_anything_is_written(tmp_path, dense, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 100}))
    with pytest.raises(OSError, match="free there"):
        file_writer(tmp_path / "x.toml", signal_dict(lazy(dense)))
    assert list(tmp_path.iterdir()) == []


def test_unknown_options_are_refused(tmp_path, dense):
    path = write_by_hand(tmp_path, dense)
    with pytest.raises(TypeError, match="sync_offset"):
        file_reader(path, sync_ofset=1)
    with pytest.raises(TypeError, match="compact"):
        file_writer(path, signal_dict(dense), compct=True)


def test_a_signal_without_detector_axes_is_refused(tmp_path, dense):
    signal = signal_dict(dense)
    signal["axes"] = signal["axes"][::-1]
    with pytest.raises(ValueError, match="transpose"):
        file_writer(tmp_path / "x.toml", signal)


# -- HyperSpy ------------------------------------------------------------------------------------


def test_hyperspy_saves_and_loads(tmp_path, dense):
    hs = pytest.importorskip("hyperspy.api")
    path = write_by_hand(tmp_path / "in", dense)
    s = hs.load(path, lazy=True)
    assert s.metadata.Signal.signal_type == "electron_diffraction"
    s.axes_manager[0].scale = 0.25
    s.save(tmp_path / "x.toml")
    again = hs.load(tmp_path / "x.toml")
    assert type(again) is type(s)
    assert again._lazy and isinstance(again.data._meta, CSRFrames)
    assert again.axes_manager[0].scale == 0.25
    assert np.array_equal(np.asarray(again.data), dense)
    cropped = again.inav[1:4, 2:]
    cropped.save(tmp_path / "y.toml")
    assert np.array_equal(np.asarray(hs.load(tmp_path / "y.toml").data), dense[2:, 1:4])


def test_a_toml_that_is_something_else_gets_a_clear_error(tmp_path):
    hs = pytest.importorskip("hyperspy.api")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    with pytest.raises(Tpx3FormatError, match="does not describe counted data"):
        hs.load(tmp_path / "pyproject.toml")


# -- LiberTEM ------------------------------------------------------------------------------------


def libertem_results(context, path, **options):
    from libertem.udf.com import CoMUDF
    from libertem.udf.masks import ApplyMasksUDF
    from libertem.udf.sum import SumUDF
    from libertem.udf.sumsigudf import SumSigUDF

    data = context.load("raw_csr", path=str(path), **options)
    mask = np.add.outer(np.arange(data.shape[-2]), 3 * np.arange(data.shape[-1]))
    com = CoMUDF.with_params(cy=0, cx=0)
    udfs = [SumUDF(), SumSigUDF(), ApplyMasksUDF(mask_factories=[lambda: mask], mask_dtype="float64"), com]
    found = context.run_udf(data, udfs)
    return (
        found[0]["intensity"].data,
        found[1]["intensity"].data,
        found[2]["intensity"].data[..., 0],
        found[3]["raw_com"].data,
    )


def dense_results(dense):
    dense = dense.astype(np.float64)
    y, x = np.indices(dense.shape[-2:])
    total = dense.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore"):
        com = np.stack([(dense * y).sum(axis=(-2, -1)) / total, (dense * x).sum(axis=(-2, -1)) / total], axis=-1)
    return dense.sum(axis=(0, 1)), total, (dense * (y + 3 * x)).sum(axis=(-2, -1)), com


@pytest.mark.parametrize("compact", [False, True])
def test_libertem_reads_what_we_write(tmp_path, dense, libertem, compact):
    path = tmp_path / "x.toml"
    file_writer(path, signal_dict(lazy(dense)), compact=compact)
    total, per_position, masked, com = libertem_results(libertem, path)
    expected = dense_results(dense)
    assert np.array_equal(total, expected[0])
    assert np.array_equal(per_position, expected[1])
    assert np.array_equal(masked, expected[2])
    full = expected[1] > 0
    assert np.allclose(com[full], expected[3][full], rtol=1e-6)  # LiberTEM divides in single precision


@pytest.mark.parametrize("offset", [0, 6, -6])
@pytest.mark.parametrize("shape", [(5, 7), (4, 6), (6, 8)])
def test_libertem_and_we_agree_on_shape_and_offset(tmp_path, dense, libertem, offset, shape):
    path = write_by_hand(tmp_path, dense)
    total, per_position, *_ = libertem_results(libertem, path, nav_shape=shape, sync_offset=offset)
    ours = values(path, navigation_shape=shape[::-1], sync_offset=offset)
    assert np.array_equal(ours.sum(axis=(0, 1)), total)
    assert np.array_equal(ours.sum(axis=(2, 3)), np.nan_to_num(per_position))


# -- Reader4D ------------------------------------------------------------------------------------

# the types that Reader4D knows; it takes any other text for int64 (indptr) or int32, without a word
READER4D_TYPES = {name: np.dtype(name) for name in ("int32", "uint32", "int64", "uint64", "float32", "float64")}


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i4", "f4", "f8", "?"])
@pytest.mark.parametrize("nav_shape", [(5, 7), (3, 4, 5), (9,), ()])
def test_what_we_write_obeys_the_rules_of_reader4d(tmp_path, nav_shape, dtype):
    tomllib = pytest.importorskip("tomllib")
    dense = np.random.default_rng(4).poisson(0.5, (*nav_shape, 6, 7)).astype(dtype)
    file_writer(tmp_path / "x.toml", signal_dict(lazy(dense)))
    found = tomllib.loads((tmp_path / "x.toml").read_text())
    arrays = {}
    for part, default in (("indptr", np.int64), ("indices", np.int32), ("data", np.int32)):
        kind = READER4D_TYPES.get(found["raw_csr"][f"{part}_dtype"], default)
        arrays[part] = np.memmap(tmp_path / found["raw_csr"][f"{part}_file"], kind, "r")
    height, width = found["params"]["nav_shape"]  # exactly two
    assert height * width == len(arrays["indptr"]) - 1
    assert arrays["indptr"][-1] == len(arrays["indices"]) == len(arrays["data"])
    rows, columns = found["params"]["sig_shape"]
    assert (rows, columns) == (6, 7)
    read = np.zeros((height * width, rows * columns))
    row = np.repeat(np.arange(height * width), np.diff(arrays["indptr"]))
    read[row, arrays["indices"]] = arrays["data"].astype(np.uint32 if dtype[0] != "f" else float)
    assert np.array_equal(read.reshape(dense.shape), dense)
