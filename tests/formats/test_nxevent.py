"""NXevent_data: what is written is read, the file is what NeXus says, and small."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from counted_data import counted, lazy, signal_dict
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3 import CSRFrames, tpx3
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.metadata.mapping import LEAVES
from rsciio_tpx3.nxevent import NXEventSource, file_reader, file_writer
from rsciio_tpx3.nxevent import source as nxevent_source
from rsciio_tpx3.scan.scan import place_hits

h5py = pytest.importorskip("h5py")
pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed")


def values(path, **options):
    return np.asarray(file_reader(path, lazy=True, **options)[0]["data"].compute(scheduler="sync"))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7), st.integers(1, 8)),
    seed=st.integers(0, 1 << 30),
    dtype=st.sampled_from(["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8", "?"]),
    coding=st.sampled_from(["auto", "pulse_height"]),
    compression=st.sampled_from(["blosc2", "gzip"]),
)
def test_what_is_written_is_read_to_the_bit(tmp_path_factory, shape, seed, dtype, coding, compression):
    rng = np.random.default_rng(seed)
    dense = (rng.integers(0, 120, shape) * (rng.random(shape) < 0.3)).astype(dtype)
    if dtype in ("u2", "u4"):
        dense.flat[-1] = 70_000 if dtype == "u4" else 65_535
    if dtype[0] in "if":
        dense[0] *= -1
    path = tmp_path_factory.mktemp("nx") / "x.nxevent"
    file_writer(path, signal_dict(lazy(dense)), values=coding, compression=compression)
    found = file_reader(path, lazy=True)[0]
    assert found["data"].dtype == dense.dtype
    assert np.array_equal(found["data"].compute(scheduler="sync").todense(), dense)


def test_chunks_of_rows_that_cross_hdf5_chunks_come_out_right(tmp_path):
    rng = np.random.default_rng(3)
    dense = rng.poisson(0.6, (40, 40, 16, 18)).astype("u1")  # 280 000 events: three HDF5 chunks
    file_writer(tmp_path / "x.nxevent", signal_dict(lazy(dense, chunks=3)))
    assert np.array_equal(values(tmp_path / "x.nxevent", chunks=7), dense)
    source = NXEventSource(tmp_path / "x.nxevent", "/entry/instrument/events", (40, 40), (16, 18), "u1")
    assert np.array_equal(source.frames(777, 779).todense(), dense.reshape(-1, 16, 18)[777:779])


def test_reading_a_frame_asks_for_its_events_only(tmp_path, dense, monkeypatch):
    file_writer(tmp_path / "x.nxevent", signal_dict(lazy(dense)))
    found = file_reader(tmp_path / "x.nxevent", lazy=True, chunks=1)[0]
    spans = []
    honest = nxevent_source._read

    def read(dataset, begin=0, end=None):
        spans.append((dataset.name.rsplit("/")[-1], begin, end))
        return honest(dataset, begin, end)

    monkeypatch.setattr(nxevent_source, "_read", read)
    assert np.array_equal(found["data"][3].compute(scheduler="sync").todense(), dense[3])
    events = [(begin, end) for name, begin, end in spans if name == "event_id"]
    assert events == [(int(dense[:3].sum()), int(dense[:4].sum()))]


def test_axes_metadata_and_several_frames_come_back(tmp_path):
    dense = counted((3, 4, 5), (6, 7))
    signal = signal_dict(lazy(dense))
    file_writer(tmp_path / "x.nxevent", signal)
    found = file_reader(tmp_path / "x.nxevent", lazy=True)[0]
    assert found["axes"] == signal["axes"]
    assert found["metadata"] == signal["metadata"]
    assert found["original_metadata"] == signal["original_metadata"]
    assert np.array_equal(found["data"].compute(scheduler="sync").todense(), dense)


# NXevent_data of the NeXus definitions: field -> (kinds of NumPy type, rank)
DEFINITION = {
    "event_id": ("i", 1),
    "event_index": ("i", 1),
    "event_time_offset": ("iuf", 1),
    "event_time_zero": ("iuf", 1),
    "pulse_height": ("f", 2),
}


@pytest.mark.parametrize("coding", ["counts", "pulse_height"])
def test_the_file_follows_the_nexus_definition(tmp_path, dense, coding):
    file_writer(tmp_path / "x.nxevent", signal_dict(lazy(dense)), values=coding)
    with h5py.File(tmp_path / "x.nxevent") as file:
        assert file["entry"].attrs["NX_class"] == "NXentry"
        events = file["entry/instrument/events"]
        assert events.attrs["NX_class"] == "NXevent_data"
        for name, field in events.items():
            kinds, rank = DEFINITION[name]
            assert field.dtype.kind in kinds and field.ndim == rank
        assert len(events["event_index"]) == 35
        n = dense.sum() if coding == "counts" else np.count_nonzero(dense)
        assert len(events["event_id"]) == n
        number = file["entry/instrument/detector/detector_number"][()]
        # a reader that knows NeXus only: events of position 17 are the counts of its frame
        first, last = events["event_index"][17:19]
        image = np.zeros(number.shape)
        weights = 1 if coding == "counts" else events["pulse_height"][first:last, 0]
        np.add.at(image.ravel(), events["event_id"][first:last], weights)
        assert np.array_equal(image, dense[2, 3])


def nexus_complaints(path):
    """Warnings and errors of nexusformat's check against the NeXus base classes."""
    code = "from nexusformat.scripts.nxcheck import main; main()"
    found = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True).stdout
    assert "Total number of errors" in found
    return [line for line in found.splitlines() if "NX" in line or "entry" in line]


@pytest.mark.slow
def test_a_validator_of_nexus_finds_nothing_wrong(tmp_path, dense):
    if find_spec("nexusformat") is None:  # not imported here: it changes how NumPy prints arrays
        pytest.skip("nexusformat is not installed")
    simulate = pytest.importorskip("rsciio_tpx3.simulate")

    simulate.recording(tmp_path / "x.tpx3", (3, 4), dwell_time="5 us", electrons_per_position=9)
    quantities = {name: row.example for name, row in LEAVES.items() if row.nexus and not row.steers}
    (hits,) = tpx3.file_reader(tmp_path / "x.tpx3", lazy=True, navigation_shape=(4, 3), metadata=quantities)
    counts = signal_dict(lazy(dense))
    for name, signal, options in (
        ("counts", counts, {}),
        ("heights", counts, {"values": "pulse_height", "compression": "gzip"}),
        ("hits", hits, {"keep": ("time", "tot")}),
    ):
        path = tmp_path / f"{name}.nxevent"
        file_writer(path, signal, **options)
        assert nexus_complaints(path) == []
    with h5py.File(path, "a") as file:
        file["entry/instrument/events/event_name"] = 3
    assert "event_name" in "".join(nexus_complaints(path))


def test_events_of_another_program_in_any_order_are_counted(tmp_path):
    rng = np.random.default_rng(5)
    ids, index = rng.integers(0, 12, 50), np.array([3, 10, 10, 30, 44, 50])
    with h5py.File(tmp_path / "x.h5", "w") as file:
        group = file.create_group("raw/bank")
        group.attrs["NX_class"] = "NXevent_data"
        group["event_id"], group["event_index"] = ids.astype(">u4"), index.astype("u8")
        group["pulse_height"] = np.arange(50.0)[:, None]
    counts, heights = np.zeros((6, 12), int), np.zeros((6, 12))
    for row, (a, b) in enumerate(zip(index, [*index[1:], 50])):
        np.add.at(counts[row], ids[a:b], 1)
        np.add.at(heights[row], ids[a:b], np.arange(a, b))
    found = values(tmp_path / "x.h5", navigation_shape=(3, 2), signal_shape=(4, 3))
    assert np.array_equal(found, counts.reshape(2, 3, 3, 4))
    found = values(tmp_path / "x.h5", navigation_shape=(3, 2), signal_shape=(4, 3), values="pulse_height")
    assert np.array_equal(found, heights.reshape(2, 3, 3, 4))
    with pytest.raises(ValueError, match="Pass navigation_shape=.x, y. for its 6 positions"):
        values(tmp_path / "x.h5", signal_shape=(4, 3))
    with pytest.raises(ValueError, match="Pass signal_shape"):
        values(tmp_path / "x.h5", navigation_shape=(3, 2))
    with pytest.raises(Tpx3FormatError, match="6 positions, but"):
        values(tmp_path / "x.h5", navigation_shape=(3, 3), signal_shape=(4, 3))
    with pytest.raises(ValueError, match="pixels 0 to 8"):
        values(tmp_path / "x.h5", navigation_shape=(3, 2), signal_shape=(3, 3))


@pytest.mark.slow
def test_a_file_is_read_in_a_fresh_process(tmp_path, dense):
    file_writer(tmp_path / "x.nxevent", signal_dict(lazy(dense)))
    path = str(tmp_path / "x.nxevent")
    code = f"from rsciio_tpx3.nxevent import file_reader as r; print(r({path!r})[0]['data'].sum().compute())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) == dense.sum()


@pytest.mark.slow
@pytest.mark.parametrize("electrons", [20, 200, 2000])
def test_an_electron_takes_little_room(tmp_path, electrons):
    rng = np.random.default_rng(0)
    positions = 800_000 // electrons
    pixels = np.sort(rng.integers(0, 512 * 512, (positions, electrons)), axis=1)  # the worst case: no structure
    rows = [np.unique(row, return_counts=True) for row in pixels]
    indptr = np.cumsum([0, *(len(row[0]) for row in rows)])
    data = np.concatenate([row[1] for row in rows]).astype("u1"), np.concatenate([row[0] for row in rows]).astype("i4")
    frames = CSRFrames((*data, indptr), shape=(positions, 512, 512))
    file_writer(tmp_path / "x.nxevent", signal_dict(frames))
    assert (tmp_path / "x.nxevent").stat().st_size / 800_000 < {20: 2.3, 200: 1.6, 2000: 1.35}[electrons]


@pytest.mark.parametrize("what", ["no hdf5", "no group", "no index", "falling", "two groups"])
def test_what_is_wrong_is_named(tmp_path, dense, what):
    path = tmp_path / "x.nxevent"
    file_writer(path, signal_dict(lazy(dense)))
    words = {
        "no hdf5": "not an HDF5 file",
        "no group": "no group of class NXevent_data",
        "no index": "no event_index",
        "falling": "falls from",
        "two groups": "pass dataset_path",
    }[what]
    if what == "no hdf5":
        path.write_bytes(b"abc")
    else:
        with h5py.File(path, "a") as file:
            if what == "no group":
                del file["entry/instrument/events"]
            elif what == "no index":
                del file["entry/instrument/events/event_index"]
            elif what == "falling":
                file["entry/instrument/events/event_index"][4] = 1 << 40
            else:
                file.copy("entry/instrument/events", "entry/instrument/more")
    with pytest.raises(Tpx3FormatError, match=words):
        values(path)


def test_values_that_are_not_counts_are_refused_or_read(tmp_path, dense):
    with pytest.raises(ValueError, match="never negative"):
        file_writer(tmp_path / "x.nxevent", signal_dict(-dense.astype(int)), values="counts")
    with pytest.raises(ValueError, match="needs integers"):
        file_writer(tmp_path / "x.nxevent", signal_dict(dense * 0.5), values="counts")
    assert list(tmp_path.iterdir()) == []
    file_writer(tmp_path / "x.nxevent", signal_dict(dense * 0.5))
    assert np.array_equal(values(tmp_path / "x.nxevent"), dense * 0.5)


@pytest.mark.slow
def test_time_and_time_over_threshold_are_read_on_request(tmp_path):
    simulate = pytest.importorskip("rsciio_tpx3.simulate")

    simulate.recording(tmp_path / "x.tpx3", (7, 11), dwell_time="5 us", electrons_per_position=30)
    (signal,) = tpx3.file_reader(tmp_path / "x.tpx3", lazy=True, navigation_shape=(11, 7))
    path = tmp_path / "x.nxevent"
    file_writer(path, signal, keep=("time", "tot"))
    counts = np.asarray(signal["data"].compute(scheduler="sync"))
    assert np.array_equal(values(path), counts)
    frames = source_of(signal["data"])
    hits = frames.source.hits()
    position = np.empty(len(hits), np.int64)
    place_hits(hits.toa, *frames.scan.columns(), position)
    inside = position >= 0
    total = np.zeros((77, 512 * 512))
    np.add.at(total, (position[inside], hits.pixel[inside]), hits.tot[inside])
    found = values(path, values="pulse_height")
    assert found.dtype == np.float32
    assert np.array_equal(found.reshape(77, -1), total)
    with h5py.File(path) as file:
        events = file["entry/instrument/events"]
        offset = events["event_time_offset"][()]
        assert events["event_time_offset"].attrs["units"].endswith(" ns")
        assert 0 <= offset.min() and offset.max() < 5000 * 3.84
        # lines are 11 positions of 5 us: time since the line began is column * dwell + offset
        row = np.repeat(np.arange(77), np.diff(np.append(events["event_index"][()], len(offset))))
        since = np.sort((row % 11) * 19200 + offset + row // 11 * 10**9)
        line = np.searchsorted(frames.scan.start, hits.toa[inside], "right") - 1
        assert np.array_equal(since, np.sort(hits.toa[inside] - frames.scan.start[line] + line * 10**9))


def test_only_recordings_have_single_hits_to_keep(tmp_path, dense):
    with pytest.raises(ValueError, match="convert the recording itself"):
        file_writer(tmp_path / "x.nxevent", signal_dict(lazy(dense)), keep="tot")
    with pytest.raises(ValueError, match="must be one of 'time', 'tot'"):
        file_writer(tmp_path / "x.nxevent", signal_dict(lazy(dense)), keep="toa")


def test_an_old_file_is_untouched_until_the_new_one_is_whole(tmp_path, dense):
    path = tmp_path / "x.nxevent"
    file_writer(path, signal_dict(lazy(dense)))
    before = path.read_bytes()
    broken = lazy(dense, chunks=1).map_blocks(lambda chunk: 1 / 0, dtype=dense.dtype, meta=lazy(dense)._meta)
    with pytest.raises(ZeroDivisionError):
        file_writer(path, signal_dict(broken))
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_hyperspy_saves_and_loads(tmp_path, dense):
    hs = pytest.importorskip("hyperspy.api")
    file_writer(tmp_path / "x.nxevent", signal_dict(lazy(dense)))
    s = hs.load(tmp_path / "x.nxevent")
    s.inav[2:].save(tmp_path / "y.nxevent")
    again = hs.load(tmp_path / "y.nxevent", lazy=True)
    assert type(again) is type(s)
    assert np.array_equal(np.asarray(again.data), dense[:, 2:])
    assert again.axes_manager[0].offset == s.axes_manager[0].offset + 2 * s.axes_manager[0].scale


_WITHOUT_PLUGIN = """
import sys
from importlib.util import find_spec
sys.modules["hdf5plugin"] = None
from rsciio_tpx3.nxevent import file_reader, file_writer
import numpy as np
axis = {"name": "", "size": 3, "scale": 1, "offset": 0, "units": ""}
axes = [{**axis, "navigate": navigate} for navigate in (True, True, False, False)]
signal = {"data": np.ones((3, 3, 3, 3), "u1"), "axes": axes, "metadata": {}}
for call in (
    lambda: file_reader(sys.argv[1]),
    lambda: file_writer(sys.argv[2], signal),
    lambda: file_writer(sys.argv[2], signal, compression="gzip"),
):
    try:
        call()
        print("done")
    except ImportError as error:
        print(error)
print(int(file_reader(sys.argv[2])[0]["data"].sum().compute()))
"""


@pytest.mark.slow
def test_without_hdf5plugin_the_message_helps_and_gzip_works(tmp_path, dense):
    file_writer(tmp_path / "x.nxevent", signal_dict(lazy(dense)))
    arguments = [sys.executable, "-c", _WITHOUT_PLUGIN, tmp_path / "x.nxevent", tmp_path / "y.nxevent"]
    found = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "hdf5plugin is needed to unpack this file. Install it: pip install hdf5plugin" in found[0]
    assert "compression='gzip' needs no plugin" in found[1]
    assert found[2:] == ["done", "81"]


def test_own_shape_of_a_detector_that_is_not_of_two_axes_is_refused(tmp_path, dense):
    path = tmp_path / "x.nxevent"
    file_writer(path, signal_dict(lazy(dense)))
    with h5py.File(path, "r+") as file:
        own = file["entry/process/rsciio_tpx3"]
        shape = own["sig_shape"][:]
        del own["sig_shape"], own["record"]  # whoever takes the record away may change the rest
        own["sig_shape"] = np.tile(shape, 2)
    with pytest.raises(Tpx3FormatError, match=r"'x\.nxevent' tells the shape .* two numbers"):
        file_reader(path, lazy=True)
    assert file_reader(path, signal_shape=dense.shape[:-3:-1], lazy=True)[0]["data"].shape == dense.shape
