"""stempy files: versions 1 to 3 against stempy's own reader and writer."""

import numpy as np
import pytest
from counted_data import counted, lazy, signal_dict
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.stempy import file_reader, file_writer
from rsciio_tpx3.stempy.row_lengths import row_lengths

h5py = pytest.importorskip("h5py")


def values(path, **options):
    return np.asarray(file_reader(path, lazy=True, **options)[0]["data"].compute(scheduler="sync"))


@pytest.fixture(scope="module")
def stempy():
    return pytest.importorskip("stempy.io", reason="stempy is not installed")


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7), st.integers(1, 8)),
    seed=st.integers(0, 1 << 30),
    version=st.sampled_from(["auto", 1, 2, 3]),
    most=st.sampled_from([1, 3, 40, 300]),
)
def test_what_is_written_is_read_to_the_bit(tmp_path_factory, shape, seed, version, most):
    rng = np.random.default_rng(seed)
    dense = (rng.integers(0, most + 1, shape) * (rng.random(shape) < 0.3)).astype("u2")
    path = tmp_path_factory.mktemp("st") / "x.h5"
    file_writer(path, signal_dict(lazy(dense)), version=version)
    found = file_reader(path, lazy=True, chunks=2)[0]
    assert found["data"].dtype == dense.dtype
    assert np.array_equal(found["data"].compute(scheduler="sync").todense(), dense)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_stempy_reads_what_we_write(tmp_path, stempy, version):
    dense = counted(most=5)
    path = tmp_path / "x.h5"
    file_writer(path, signal_dict(lazy(dense)), version=version)
    array = stempy.load_electron_counts(str(path))
    assert array.shape == dense.shape
    assert np.array_equal(array.to_dense(), dense)
    assert np.array_equal(array.sum(axis=(0, 1)), dense.sum(axis=(0, 1)))
    assert np.array_equal(array.sum(axis=(2, 3)), dense.sum(axis=(2, 3)))


def test_stempy_finds_the_same_mask_and_centre_of_mass_in_what_we_write(tmp_path, stempy):
    image = pytest.importorskip("stempy.image")
    dense = counted((3, 5), (8, 8), most=3)  # square, since stempy divides pixel numbers by the frame's first size
    dense[:, :, 0, 0] += 1  # no empty frame
    path = tmp_path / "x.h5"
    file_writer(path, signal_dict(lazy(dense)))
    array = stempy.load_electron_counts(str(path))
    y, x = np.mgrid[:8, :8]
    mask = (x - 3) ** 2 + (y - 5) ** 2 < 2.5**2
    assert np.array_equal(image.virtual_darkfield(array, 3, 5, 2.5), (dense * mask).sum((2, 3)))
    center = np.stack([(dense * axis).sum((2, 3)) / dense.sum((2, 3)) for axis in (x, y)])
    np.testing.assert_allclose(image.com_sparse(array), center)


def test_we_read_what_stempy_writes_with_and_without_flyback(tmp_path, stempy):
    rng = np.random.default_rng(2)
    rows = np.empty((6 * 5, 3), object)
    dense = np.zeros((30, 7 * 8), int)
    for position, k in np.ndindex(rows.shape):
        rows[position, k] = np.flatnonzero(rng.random(56) < 0.2).astype(np.uint32)
        dense[position, rows[position, k]] += 1
    dense = dense.reshape(6, 5, 7, 8)
    array = stempy.SparseArray(rows, (6, 5), (7, 8), metadata={"a": {"b": 3}})
    array.write_to_hdf5(str(tmp_path / "x.h5"))
    assert np.array_equal(values(tmp_path / "x.h5"), dense)
    for chunks in (1, 2, 4, "auto"):
        assert np.array_equal(values(tmp_path / "x.h5", keep_flyback=False, chunks=chunks), dense[:, :-1])
    found = file_reader(tmp_path / "x.h5", lazy=True)[0]
    assert found["original_metadata"]["stempy"] == {"a": {"b": 3}}
    assert found["data"].dtype == np.uint8


def write_by_hand(path, rows, positions, version=None, scan=(3, 2), frame=(4, 5)):
    with h5py.File(path, "w") as file:
        if version is not None:
            file.attrs["version"] = version
        group = file.create_group("electron_events")
        frames = group.create_dataset("frames", (len(rows),), h5py.vlen_dtype(np.uint32))
        for i, row in enumerate(rows):
            frames[i] = np.asarray(row, np.uint32)
        if frame:
            frames.attrs["Nx"], frames.attrs["Ny"] = frame
        listed = group.create_dataset("scan_positions", data=np.asarray(positions, np.int32))
        listed.attrs["Nx"], listed.attrs["Ny"] = scan
    return path


def test_a_file_without_a_version_is_version_1(tmp_path):
    path = write_by_hand(tmp_path / "x.h5", [[3, 3, 3], [], [19, 0], [], [], [7]], range(6))
    expected = np.zeros((6, 20), int)
    expected[0, 3], expected[2, 0], expected[2, 19], expected[5, 7] = 3, 1, 1, 1
    assert np.array_equal(values(path), expected.reshape(2, 3, 4, 5))


def test_version_2_rows_belong_to_listed_positions_in_any_order(tmp_path):
    path = write_by_hand(tmp_path / "x.h5", [[1], [2, 4], [2], [0], [2]], [5, 1, 1, 4, 1], version=2)
    expected = np.zeros((6, 20), int)
    expected[5, 1], expected[1, 2], expected[1, 4], expected[4, 0] = 1, 3, 1, 1
    for chunks in (1, "auto"):
        assert np.array_equal(values(path, chunks=chunks), expected.reshape(2, 3, 4, 5))


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(version=4), "versions 1, 2 and 3 are known"),
        (dict(version=3), "not a multiple of its 6 scan positions"),
        (dict(version=2, positions=[0, 1, 2, 3, 6]), "the scan has positions 0 to 5"),
        (dict(version=2, positions=[0, 1]), "2 scan positions .* for 5 rows"),
        (dict(version=2, frame=None), "Pass signal_shape"),
        (dict(version=2, frame=(3, 5)), "pixels 0 to 14"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, words):
    options = {"rows": [[1], [2, 4], [2], [19], [2]], "positions": [5, 1, 1, 4, 1], **change}
    path = write_by_hand(tmp_path / "x.h5", **options)
    with pytest.raises((Tpx3FormatError, ValueError), match=words):
        values(path)


def test_a_single_column_is_no_flyback(tmp_path):
    path = write_by_hand(tmp_path / "x.h5", [[1], [2]], [0, 1], scan=(1, 2))
    with pytest.raises(ValueError, match="would leave nothing"):
        values(path, keep_flyback=False)


def test_an_hdf5_file_of_another_kind_is_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["frames"] = np.zeros(3)
    with pytest.raises(Tpx3FormatError, match="no electron_events/frames"):
        file_reader(tmp_path / "x.h5")


def test_values_that_are_not_counts_are_refused(tmp_path, dense):
    for data in (dense * 0.5, -dense.astype(int)):
        with pytest.raises(ValueError, match="counted electrons"):
            file_writer(tmp_path / "x.h5", signal_dict(data), version=2)
    assert list(tmp_path.iterdir()) == []


def test_several_frames_and_metadata_come_back(tmp_path):
    dense = counted((3, 4, 5), (6, 7), most=4)
    signal = signal_dict(lazy(dense))
    file_writer(tmp_path / "x.h5", signal)
    found = file_reader(tmp_path / "x.h5", lazy=True)[0]
    assert found["axes"] == signal["axes"] and found["metadata"] == signal["metadata"]
    assert np.array_equal(found["data"].compute(scheduler="sync").todense(), dense)


def test_hyperspy_saves_and_loads_by_file_format(tmp_path):
    hs = pytest.importorskip("hyperspy.api")
    dense = counted(most=4)
    file_writer(tmp_path / "x.h5", signal_dict(lazy(dense)))
    s = hs.load(tmp_path / "x.h5", file_format="stempy")
    s.inav[1:].save(tmp_path / "y.h5", file_format="stempy")
    again = hs.load(tmp_path / "y.h5", file_format="stempy", lazy=True)
    assert np.array_equal(np.asarray(again.data), dense[:, 1:])


@pytest.mark.parametrize("version", [1, 2, 3])
def test_electrons_a_position_are_known_without_reading_them(tmp_path, version):
    dense = counted((40, 130), (11, 13), most=3)  # more rows than an HDF5 chunk has
    file_writer(tmp_path / "x.h5", signal_dict(lazy(dense)), version=version)
    for options, expected in (({}, dense), ({"keep_flyback": False}, dense[:, :-1])):
        found = file_reader(tmp_path / "x.h5", lazy=True, **options)[0]
        navigator = found["post_process"][0].keywords["navigator"]
        assert np.array_equal(navigator, expected.sum(axis=(2, 3)))


def test_electrons_a_position_in_a_file_of_stempy(tmp_path, stempy):
    dense = counted((6, 5), (7, 8), most=4)
    file_writer(tmp_path / "x.h5", signal_dict(lazy(dense)))
    stempy.load_electron_counts(str(tmp_path / "x.h5")).write_to_hdf5(str(tmp_path / "y.h5"))
    for chunks in (1, "auto"):
        found = file_reader(tmp_path / "y.h5", lazy=True, chunks=chunks)[0]
        assert np.array_equal(found["post_process"][0].keywords["navigator"], dense.sum(axis=(2, 3)))


@pytest.mark.parametrize("options", [{"compression": "gzip"}, {"chunks": (3,)}, {}])
def test_lengths_are_found_or_left_open_but_never_wrong(tmp_path, options):
    rows = [[1], [2, 4], [], [19], [2, 7, 11], [], [3]]
    kind = h5py.vlen_dtype(np.uint32)
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=512 if not options else 0) as file:
        frames = file.create_dataset("rows", (7,), kind, **options)
        for i, row in enumerate(rows):
            frames[i] = np.array(row, np.uint32)
    found = row_lengths(str(tmp_path / "x.h5"), "rows")
    assert found is None or found.tolist() == [len(row) for row in rows]
    assert (found is None) == ("chunks" not in options)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(("key", "n"), [("Nx", 2), ("Nx", 5), ("Ny", 1), ("Ny", 6)])
def test_scan_other_than_the_one_that_was_written_is_refused(tmp_path, version, key, n):
    path = tmp_path / "x.h5"
    file_writer(path, signal_dict(lazy(counted((3, 4), (5, 6), most=2))), version=version)
    with h5py.File(path, "r+") as file:
        file["electron_events/scan_positions"].attrs[key] = np.array([n], ">i4")
    with pytest.raises(Tpx3FormatError, match=r"x\.h5.*positions"):
        file_reader(path, lazy=True)


def test_several_rows_of_a_position_that_list_more_positions_than_there_are_are_refused(tmp_path):
    rows = [[i] for i in range(12)]
    listed = np.repeat(np.arange(6), 2)
    assert values(write_by_hand(tmp_path / "x.h5", rows, listed, version=3)).sum() == 12
    path = write_by_hand(tmp_path / "y.h5", rows, range(12), version=3)
    with pytest.raises(Tpx3FormatError, match=r"'y\.h5' run from 0 to 11, .* tell 6 positions"):
        file_reader(path, lazy=True)
