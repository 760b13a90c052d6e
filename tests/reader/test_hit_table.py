"""The hit table: every hit once, in order of time, in bounded memory."""

from functools import partial

import numpy as np
import pytest

import rsciio_tpx3
from rsciio_tpx3 import hit_table, read_hits, simulate
from rsciio_tpx3.hit_table import HitBatch
from rsciio_tpx3.reader.event_options import event_options, prepare_events
from rsciio_tpx3.tpx3 import Tpx3Source, packets

NAV = (2, 5, 7)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path = tmp_path_factory.mktemp("hits") / "scan.tpx3"
    truth = simulate.recording(
        path, NAV[1:], n_frames=NAV[0], dwell_time="40 us", electrons_per_position=150, flyback_electrons=True,
        start_time="26.842 s", disorder="0.8 ms", chunk_counts=True, seed=4,
    )  # fmt: skip
    order = np.argsort(truth.hit_time, kind="stable")
    return truth, path, order


def _table(batches):
    return np.concatenate([batch.to_structured() for batch in batches])


@pytest.mark.parametrize("batch_size", [500, 7001, 10**6])
def test_every_hit_comes_once_in_order_of_time(recorded, batch_size):
    truth, path, order = recorded
    batches = list(read_hits(path, batch_size=batch_size))
    assert max(len(batch) for batch in batches) <= batch_size
    table = _table(batches)
    assert (np.diff(table["toa"]) >= 0).all()
    width = truth.sig_shape[1]
    expected = np.stack([truth.hit_time, truth.hit_pixel, truth.hit_tot], axis=1)
    found = np.stack([table["toa"], table["y"].astype(np.int64) * width + table["x"], table["tot"]], axis=1)
    # hits of one time are ordered by pixel, then by time over threshold
    np.testing.assert_array_equal(found, expected[np.lexsort(expected[:, ::-1].T)])
    np.testing.assert_array_equal(table, _table(read_hits(path)))
    np.testing.assert_array_equal(table["toa"], truth.hit_time[order])


def test_a_span_of_time_is_half_open(recorded):
    truth, path, _ = recorded
    low, high = np.sort(truth.hit_time)[[1000, 3000]]
    to_text = lambda ticks: f"{ticks} / 3840000000 s"  # noqa: E731
    toa = _table(read_hits(path, to_text(low), to_text(high), batch_size=300))["toa"]
    assert len(toa) == ((truth.hit_time >= low) & (truth.hit_time < high)).sum()
    assert (toa[0], toa[-1] < high) == (low, True)
    assert not list(read_hits(path, "1 s", "2 s")) and not list(read_hits(path, "26.844 s", "26.843 s"))


def test_scan_positions_are_those_of_the_truth(recorded):
    truth, path, _ = recorded
    scan = {"navigation_shape": NAV[::-1]}
    table = _table(read_hits(path, scan=scan, batch_size=900))
    assert table.dtype.names == ("x", "y", "toa", "tot", "frame", "scan_y", "scan_x")
    inside = table["scan_x"] >= 0
    assert (~inside).sum() == (truth.hit_position < 0).sum()
    assert (table["frame"][~inside] == -1).all() and (table["scan_y"][~inside] == -1).all()
    flat = np.ravel_multi_index([table[name][inside] for name in ("frame", "scan_y", "scan_x")], NAV)
    np.testing.assert_array_equal(np.bincount(flat, minlength=np.prod(NAV)).reshape(NAV), truth.counts())
    summed = _table(read_hits(path, scan={**scan, "frames": "sum", "time_bins": 4}))
    assert summed.dtype.names[4:] == ("scan_y", "scan_x", "time_bin")
    with_position = summed[summed["scan_x"] >= 0]
    np.testing.assert_array_equal(with_position["scan_y"], table["scan_y"][inside])
    assert set(np.unique(with_position["time_bin"])) == {0, 1, 2, 3}
    over = _table(read_hits(path, scan={**scan, "time_bins": {"over": "recording", "number": 3}}))
    assert over.dtype.names[4:] == ("time_bin", "scan_y", "scan_x")
    stack = _table(read_hits(path, scan={"signal": "frames", "frame_time": "1 ms"}))
    assert stack.dtype.names[4:] == ("frame",) and (np.diff(stack["frame"]) >= 0).all()


def test_line_gates_tell_the_scan_unasked(recorded):
    _, path, _ = recorded
    assert "scan_x" in next(read_hits(path, scan=True)).columns


def test_a_file_next_to_the_recording_counts_as_when_loading(tmp_path):
    path = tmp_path / "starts.tpx3"
    simulate.recording(path, (7, 11), n_frames=2, frame_flyback="1 ms", dwell_time="5 us", sync="line-start",
                       electrons_per_position=5, layout="single")  # fmt: skip
    sidecar = tmp_path / "starts.metadata.toml"
    sidecar.write_text('navigation_shape = [11, 7]\ndwell_time = "5 us"\n')
    table = _table(read_hits(path, scan=True))
    [signal] = rsciio_tpx3.file_reader(path, lazy=True)
    counts = np.zeros((2, 7, 11), np.int64)
    placed = table["scan_x"] >= 0
    np.add.at(counts, tuple(table[name][placed] for name in ("frame", "scan_y", "scan_x")), 1)
    assert placed.sum() > 500
    np.testing.assert_array_equal(signal["data"].sum(axis=(3, 4)).compute(), counts)
    gates = tmp_path / "gates.tpx3"
    simulate.recording(gates, (7, 11), n_frames=2, frame_flyback="1 ms", dwell_time="5 us", layout="single",
                       electrons_per_position=5)  # fmt: skip
    (tmp_path / "gates.metadata.toml").write_text("navigation_shape = [11, 8]")
    for call in (partial(read_hits, scan=True), rsciio_tpx3.find_scan_delay):
        with pytest.raises(rsciio_tpx3.MetadataConflictError, match="gives 8 rows.*2 frames of 7"):
            call(gates)


def test_memory_is_that_of_a_batch_whatever_the_recording(recorded, monkeypatch):
    truth, path, _ = recorded

    held = []
    collected = hit_table._collected
    monkeypatch.setattr(hit_table, "_collected", lambda *a: held.append(collected(*a)) or held[-1])
    list(read_hits(path, batch_size=400))
    assert max(len(hits) for hits in held if hits is not None) <= 2 * 400
    assert sum(len(hits) for hits in held if hits is not None) == truth.n_hits


def test_a_burst_within_one_tick_is_read_all_the_same(write_stream):
    toa = np.concatenate([np.full(5000, 9600), 96 * np.arange(20_000, 20_050)])
    path = write_stream([(0, packets.encode_hits(np.arange(len(toa)) % 65536, toa, 9))])
    table = _table(read_hits(path, batch_size=64))
    np.testing.assert_array_equal(table["toa"], toa)


def test_hit_lists_of_advacam_are_tables_too(tmp_path):
    path = tmp_path / "a.t3pa"
    rng = np.random.default_rng(0)
    toa, pixel = rng.integers(0, 10**6, 800), rng.integers(0, 65536, 800)
    rows = "".join(f"{i}\t{p}\t{t}\t5\t3\t0\n" for i, (p, t) in enumerate(zip(pixel, toa)))
    path.write_text("Index\tMatrix Index\tToA\tToT\tFToA\tOverflow\n" + rows)
    table = _table(read_hits(path, batch_size=90))
    np.testing.assert_array_equal(table["toa"], np.sort(96 * toa - 18))
    scan = {"navigation_shape": (5, 5), "dwell_time": "1 ms"}
    table = _table(read_hits(path, "1 ms", "3 ms", scan=scan))
    np.testing.assert_array_equal(table["scan_x"], table["toa"] // 3_840_000)


def test_electrons_are_a_table_too(tmp_path):
    path = tmp_path / "shared.tpx3"
    simulate.recording(path, (6, 7), hits="realistic", dwell_time="40 us", electrons_per_position=60, seed=4)
    scan = {"navigation_shape": (7, 6)}
    table = _table(read_hits(path, scan=scan, cluster=True, batch_size=700))
    assert {"size", "tot", "scan_x"} <= set(table.dtype.names) and table["size"].max() > 1
    assert (np.diff(table["toa"]) >= 0).all()
    np.testing.assert_array_equal(table, _table(read_hits(path, scan=scan, cluster=True)))
    found = rsciio_tpx3.file_reader(path, cluster=True, lazy=True, show_progressbar=False, **scan)[0]
    inside = table[table["scan_x"] >= 0]
    counts = np.zeros((6, 7), int)
    np.add.at(counts, (inside["scan_y"], inside["scan_x"]), 1)
    np.testing.assert_array_equal(found["post_process"][0].keywords["navigator"], counts)


@pytest.mark.slow
def test_corrected_hits_are_the_same_in_tables_and_frames(tmp_path):
    path = tmp_path / "walking.tpx3"
    model = simulate.HitModel(walk="60 ns", column_offset=np.where(np.arange(256) % 8 < 2, 96, 0))
    truth = simulate.recording(path, (6, 7), hits=model, gap=4, dwell_time="40 us", electrons_per_position=60, seed=4)
    mask = np.zeros((516, 516), bool)
    mask[:, 250:260] = True
    corrections = {
        "mask": mask, "columns": (np.where(np.arange(256) % 8 < 2, -25.0, 0), "ns"), "time_walk": True,
        "energy": [(0, 6), (60, 206)], "wide_pixels": "spread",
    }  # fmt: skip
    for cluster in (None, {"position": "centroid"}):
        options = {"layout": "quad", "gap": 4, "corrections": corrections, "cluster": cluster}
        source, _ = prepare_events(Tpx3Source(str(path), layout="quad", gap=4), event_options(cluster, corrections))
        hits = source.hits()
        order = np.lexsort([hits.pixel, hits.toa])
        for batch_size in (333, 10**6):
            table = _table(read_hits(path, scan={"navigation_shape": (7, 6)}, batch_size=batch_size, **options))
            for name in ("x", "y", "toa", "tot", "energy"):
                np.testing.assert_array_equal(table[name], getattr(hits, name)[order])
        [found] = rsciio_tpx3.file_reader(
            path, lazy=True, show_progressbar=False, navigation_shape=(7, 6), values="energy", **options
        )
        frames = np.zeros((6, 7, 516, 516), np.float32)
        inside = table[table["scan_x"] >= 0]
        np.add.at(frames, tuple(inside[name] for name in ("scan_y", "scan_x", "y", "x")), inside["energy"])
        np.testing.assert_allclose(found["data"].compute().todense(), frames, rtol=1e-5)
    assert len(table) < truth.n_hits


def test_arrow_batches_share_columns_and_tell_units(recorded):
    pyarrow = pytest.importorskip("pyarrow")
    _, path, _ = recorded
    batch = next(read_hits(path, scan=True))
    arrow = batch.to_arrow()
    assert isinstance(arrow, pyarrow.RecordBatch) and arrow.num_rows == len(batch)
    for name, column in batch.columns.items():
        np.testing.assert_array_equal(arrow.column(name).to_numpy(), column)
    assert arrow.schema.field("toa").metadata == {b"unit": b"1/3840000000 s"}


def test_arrow_without_pyarrow_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        HitBatch({"toa": np.zeros(1, np.int64)}).to_arrow()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [({"start": 5}, ValueError, "start=5 has no unit"), ({"batch_size": 0}, ValueError, "expected a positive integer"),
     ({"navigation_shape": (3, 4)}, TypeError, r"scan=\{'navigation_shape'"),
     ({"values": "tot"}, TypeError, "a table of hits has all"),
     ({"layuot": "quad"}, TypeError, "Did you mean layout"), ({"scan": {"tdc": "tdc2-rise"}}, ValueError, "no such")],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_before_reading(recorded, options, error, words):
    with pytest.raises(error, match=words):
        read_hits(recorded[1], **options)


def test_it_is_public():
    assert rsciio_tpx3.read_hits is read_hits and "read_hits" in dir(rsciio_tpx3)


@pytest.mark.parametrize(("upsample", "kind"), [(64, np.uint16), (88, np.uint32)])
def test_pixels_of_a_finely_divided_strip_do_not_wrap(tmp_path, upsample, kind):
    path = tmp_path / "strip.tpx3"
    simulate.recording(path, (5, 7), layout="strip", dwell_time="40 us", electrons_per_position=80, seed=6)
    cluster = {"position": "centroid", "upsample": upsample}
    source = rsciio_tpx3.hit_table.open_recording(path, {"layout": "strip", "cluster": cluster})[0]
    assert source.sig_shape == (256 * upsample, 1024 * upsample)
    hits = source.hits()
    y, x = np.divmod(hits.pixel.astype(np.int64), 1024 * upsample)
    table = _table(read_hits(path, layout="strip", cluster=cluster, batch_size=300))
    assert table["x"].dtype == table["y"].dtype == kind
    assert (x.max() >= 2**16) == (kind is np.uint32)
    found = np.stack([table["toa"], table["y"], table["x"]])
    expected = np.stack([hits.toa, y, x])
    np.testing.assert_array_equal(found[:, np.lexsort(found)], expected[:, np.lexsort(expected)])
