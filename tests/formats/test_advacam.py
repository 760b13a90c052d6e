"""Advacam hit lists: the records as they are in real files, times without rollovers, and the scan."""

import pickle

import numpy as np
import pytest
from advacam_files import HEADER, OLD_RECORD, RECORD, expected_ticks, hits, write_binary, write_text
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3.events.source import EventSource
from rsciio_tpx3.exceptions import ScanSyncError, Tpx3FormatError
from rsciio_tpx3.hit_table import read_hits
from rsciio_tpx3.t3pa import AdvacamSource, available_signals, file_reader, records


def same(source, c, ftoa=True):
    found = source.hits()
    assert np.array_equal(found.pixel, c["pixel"])
    assert np.array_equal(found.toa, expected_ticks(c, ftoa))
    assert np.array_equal(found.tot, c["tot"])


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1 << 20),
    n=st.integers(2, 60),
    parted=st.sampled_from(["\t", " ", "   ", " \t"]),
    ending=st.sampled_from(["\n", "\r\n"]),
    header=st.sampled_from([HEADER, HEADER.replace("\t", "  "), ""]),
    last=st.booleans(),
)
def test_text_is_read_with_all_its_habits(tmp_path_factory, seed, n, parted, ending, header, last):
    c = hits(n, seed)
    path = write_text(tmp_path_factory.mktemp("t") / "a.t3pa", c, header, parted, ending)
    if last:
        path.write_bytes(path.read_bytes().rstrip())
    same(AdvacamSource(path), c)


def test_rows_of_three_values_under_six_names_are_read(tmp_path):
    c = hits()
    same(AdvacamSource(write_text(tmp_path / "a.t3pa", c, columns=3)), c, ftoa=False)


@pytest.mark.parametrize("dtype", [RECORD, OLD_RECORD])
def test_binary_records_of_16_and_12_bytes_are_distinguished(tmp_path, dtype):
    c = hits(480)  # both 16 and 12 divide the size
    same(AdvacamSource(write_binary(tmp_path / "a.t3p", c, dtype)), c)


@pytest.mark.slow
def test_blocks_cut_anywhere_give_the_same_hits(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_TEXT_BLOCK", 997)
    monkeypatch.setattr(records, "_BINARY_BLOCK", 23)
    c = hits(2000, last=1 << 30, wrap=28)
    for path in (write_text(tmp_path / "a.t3pa", c), write_binary(tmp_path / "a.t3p", c)):
        source = AdvacamSource(path)
        same(source, c)
        ticks = expected_ticks(c)
        a, b = np.quantile(ticks, [0.3, 0.6]).astype(int)
        found = np.sort(source.hits(a, b).toa)
        assert np.array_equal(found, np.sort(ticks[(ticks >= a) & (ticks < b)]))
        parts = [h for piece in source.work(5) for h in source.part(piece)]
        assert np.array_equal(np.concatenate([h.toa for h in parts]), ticks)


@pytest.mark.parametrize("bits", [28, 30])
def test_a_clock_that_starts_again_is_unwrapped(tmp_path, bits):
    c = hits(5000, last=5 << bits, wrap=bits)
    source = AdvacamSource(write_text(tmp_path / "a.t3pa", c))
    same(source, c)
    assert source.index().statistics["toa_bits"] == bits
    assert source.index().span == (expected_ticks(c).min(), expected_ticks(c).max())


@pytest.mark.parametrize("block", [997, 1 << 20])
@pytest.mark.parametrize("last", [0.7, 1.2])
def test_a_pause_of_more_than_half_a_period_before_the_first_rollover_is_a_pause(tmp_path, monkeypatch, block, last):
    monkeypatch.setattr(records, "_TEXT_BLOCK", block)
    c = hits(3000, last=1 << 28)
    toa = np.sort(c["toa"] * last).astype(int)
    c["toa"] = np.where(toa < (1 << 28) // 10, toa, np.maximum(toa, int(0.68 * (1 << 28))))
    c["written"] = c["toa"] % (1 << 28)
    assert np.diff(c["toa"]).max() > 1 << 27
    source = AdvacamSource(write_text(tmp_path / "a.t3pa", c))
    same(source, c)
    assert source.index().statistics["toa_bits"] == 28


def test_a_long_clock_is_taken_as_it_is(tmp_path):
    c = hits(last=1 << 40)
    source = AdvacamSource(write_text(tmp_path / "a.t3pa", c))
    same(source, c)
    assert source.index().statistics["toa_bits"] == 64


def test_a_quad_is_512_wide_and_can_be_turned(tmp_path):
    c = hits(width=512)
    path = write_text(tmp_path / "a.t3pa", c)
    assert AdvacamSource(path).sig_shape == (512, 512)
    found = AdvacamSource(path, orientation="left").hits()
    assert np.array_equal(found.x, c["pixel"] // 512)
    assert np.array_equal(found.y, 511 - c["pixel"] % 512)
    with pytest.raises(ValueError, match="Pass layout='quad'"):
        AdvacamSource(path, layout="single")


def test_service_rows_are_no_hits_and_gaps_are_counted(tmp_path, caplog):
    c = hits(50)
    extra = [(10, (10, 0x74, 5, 0, 0, 1)), (11, (11, 0x75, 900, 0, 0, 1)), (30, (30, 0, 0, 0, 0, 1))]
    source = AdvacamSource(write_text(tmp_path / "a.t3pa", c, extra=extra))
    same(source, c)
    assert source.index().losses == {"data_gaps": 1}
    assert source.index().statistics["records"] == {"hits": 50, "data_gaps": 1, "service_rows": 3}
    assert "lost data 1 times" in caplog.text


def test_measurements_appended_to_one_file_are_chosen(tmp_path):
    first, second = hits(40, 1), hits(30, 2)
    path = write_text(tmp_path / "a.t3pa", first)
    more = write_text(tmp_path / "b.t3pa", second, header="").read_bytes()
    path.write_bytes(path.read_bytes() + more)
    with pytest.raises(Tpx3FormatError, match="holds 2 measurements.*measurement=0 to measurement=1"):
        AdvacamSource(path)
    same(AdvacamSource(path, measurement=0), first)
    same(AdvacamSource(path, measurement=1), second)
    with pytest.raises(ValueError, match="numbered from 0"):
        AdvacamSource(path, measurement=2)


def test_the_shared_clock_makes_a_scan(tmp_path):
    ny, nx, dwell = 5, 7, 240  # 6 us in steps of 25 ns
    c = hits(4000, last=ny * nx * dwell)
    position = (expected_ticks(c)) // (96 * dwell)
    inside = position >= 0
    expected = np.zeros((ny * nx, 256 * 256), int)
    np.add.at(expected, (position[inside], c["pixel"][inside]), 1)
    for path in (write_text(tmp_path / "a.t3pa", c), write_binary(tmp_path / "a.t3p", c)):
        (found,) = file_reader(path, lazy=True, navigation_shape=(nx, ny), dwell_time="6 us")
        assert found["data"].shape == (ny, nx, 256, 256)
        assert np.array_equal(found["data"].compute(scheduler="sync").todense().reshape(ny * nx, -1), expected)
        assert found["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]["dwell_time"] == pytest.approx(6e-6)
        assert "advacam" in found["original_metadata"]


def test_flyback_delay_and_frames_over_time_come_from_the_common_layer(tmp_path):
    path = write_text(tmp_path / "a.t3pa", hits(2000))
    (scan,) = file_reader(path, navigation_shape=(4, 3), dwell_time="100 us", line_flyback="50 us", scan_delay="10 us")
    assert scan["data"].shape[:3] == (4, 3, 4)  # 5 ms hold three frames and a part
    (frames,) = file_reader(path, signal="frames", frame_time="1 ms")
    assert frames["data"].sum().compute() == 2000
    offers = available_signals(path)
    assert [offer["signal"] for offer in offers] == ["frames"]
    with pytest.raises(ScanSyncError, match="navigation_shape and dwell_time"):
        file_reader(path)


def test_sidecars_are_read(tmp_path):
    path = write_text(tmp_path / "a.t3pa", hits())
    (tmp_path / "a.t3pa.info").write_text(
        '[FileInfo]\n"Acq time" ("Acquisition time [s]"):\ndouble[1]\n1,5\n\n'
        '"ChipboardID" ("Chipboard ID"):\nchar[9]\nX00-W0000\n\n'
        '"DACs" ("DACs values"):\nu16[3]\n1 2 3\n\n'
    )
    (tmp_path / "a.t3pa.dsc").write_text("A000000001\n[F0]\nType=i16 matrix width=512 height=512\n")
    source = AdvacamSource(path)
    assert source.sig_shape == (512, 512)
    assert source.sidecar["Acq time"] == 1.5
    assert source.sidecar["DACs"] == [1, 2, 3]
    (found,) = file_reader(path, signal="frames", frame_time="1 ms", lazy=True)
    assert found["original_metadata"]["advacam"]["sidecar"]["ChipboardID"] == "X00-W0000"


def test_the_source_is_an_event_source_small_and_picklable(tmp_path):
    source = AdvacamSource(write_text(tmp_path / "a.t3pa", hits()))
    assert isinstance(source, EventSource)
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(again.hits().toa, source.hits().toa)


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("a.t3r", b"\xb0" * 64, "Export it from Pixet"),
        ("a.t3p", b"\xff" * 160, "not records of 16 or 12 bytes"),
        ("a.t3p", b"", "not records"),
        ("a.t3pa", b"", "no rows"),
        ("a.t3pa", b"\0\1\2" * 50, "is not text"),
        ("a.t3pa", HEADER.encode() + b"0\t1\t2\t3\n", "rows of 4 values"),
        ("a.t3pa", HEADER.encode() + b"0\t1\t2\t3\t4\t0\n1\t2\t3\n", "byte .*a row of 6 integers"),
        ("a.t3pa", HEADER.encode() + b"0\t1\t2\t3\t4\t0\n1\t2\t3\tx\t4\t0\n", "a row of 6 integers"),
        ("a.t3pa", HEADER.encode() + b"0\t1\t2\t3\t4\t0\n1\t2\t3", "damaged or cut"),
        ("a.t3pa", HEADER.encode() + b"0\t1\t2\t3000\t4\t0\n", "ToT 3000"),
        ("a.t3pa", HEADER.encode() + b"0\t1000000\t2\t3\t4\t0\n", "Matrix Index 1000000"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Tpx3FormatError, match=words):
        AdvacamSource(tmp_path / name)


def test_hyperspy_loads_it(tmp_path):
    hs = pytest.importorskip("hyperspy.api")
    path = write_text(tmp_path / "a.t3pa", hits(2000))
    s = hs.load(path, navigation_shape=(4, 3, 1), dwell_time="100 us")
    assert s.axes_manager.navigation_shape == (4, 3, 1)
    with pytest.raises(TypeError, match="dwell_time"):
        hs.load(path, navigation_shape=(4, 3), dwel_time="100 us")


def tracks(late, n=3000, seed=3):
    """Electrons of one to four pixels, small charges and some columns later; columns as `hits` makes them."""
    rng = np.random.default_rng(seed)
    y, x, start = rng.integers(0, 254, n), rng.integers(0, 254, n), np.sort(rng.integers(100, 10**6, n)) * 16
    tot = rng.integers(2, 60, (4, n))
    steps = start + np.rint(60 / (tot + 2)).astype(int) + rng.integers(0, 2, (4, n))
    fires = np.array([np.ones(n, bool), *(rng.random((3, n)) < 0.5)])
    pixel = np.stack([(y + dy) * 256 + x + dx for dy in (0, 1) for dx in (0, 1)])
    steps += np.rint(late[pixel % 256] / 1.5625).astype(int)
    toa = -(-steps // 16)
    columns = {"pixel": pixel, "toa": toa, "tot": tot, "ftoa": 16 * toa - steps}
    found = {name: values[fires] for name, values in columns.items()}
    order = np.argsort(found["toa"], kind="stable")
    found = {name: values[order] for name, values in found.items()}
    return found | {"written": found["toa"]}


def test_corrections_work_as_for_other_recordings(tmp_path):
    late = np.where(np.arange(256) % 8 < 2, 25.0, 0)  # ns
    c = tracks(late)
    path = write_text(tmp_path / "tracks.t3pa", c)
    mask = np.zeros((256, 256), bool)
    mask[:, 100:140] = True
    matrices = {"a": 0.3, "b": -1.8, "c": 0, "t": 0}
    corrections = {"mask": mask, "columns": (-late, "ns"), "time_walk": True, "energy": matrices}
    options = {"navigation_shape": (7, 5), "dwell_time": "715 us", "show_progressbar": False, "lazy": True}
    [found] = file_reader(str(path), corrections=corrections, values="energy", **options)
    report = found["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]["Corrections"]
    assert list(report) == ["Mask", "Columns", "Time_walk", "Energy"]
    assert report["Time_walk"]["a"] == pytest.approx(60 * 1.5625, rel=0.1)
    used = ~mask.ravel()[c["pixel"]]
    total = float(found["data"].sum().compute())
    assert total == pytest.approx(((c["tot"][used] + 1.8) / 0.3).sum(), rel=1e-3)
    table = np.concatenate([batch["tot"] for batch in read_hits(str(path), corrections=corrections)])
    assert len(table) == used.sum()


def test_a_mask_of_serval_belongs_to_no_advacam_detector(tmp_path):
    path = write_text(tmp_path / "some.t3pa", hits())
    np.zeros(65536, np.uint8).tofile(tmp_path / "some.bpc")
    with pytest.raises(ValueError, match="what the bits of Pixet's .bpc files mean is not documented"):
        file_reader(
            str(path), navigation_shape=(7, 5), dwell_time="90 us", corrections={"mask": str(tmp_path / "some.bpc")}
        )
