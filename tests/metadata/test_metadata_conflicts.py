"""Sources that disagree: who is believed, what is noted, and what is refused."""

import json
import logging

import hyperspy.api as hs
import numpy as np
import pytest
from metadata_cases import at, load

from rsciio_tpx3 import available_signals, simulate
from rsciio_tpx3.convert import convert
from rsciio_tpx3.exceptions import MetadataConflictError, ScanSyncError
from rsciio_tpx3.metadata.mapping import LEAVES
from rsciio_tpx3.metadata.merge import merge
from rsciio_tpx3.metadata.values import SourceValues
from rsciio_tpx3.raw_csr import file_reader as read_raw_csr


@pytest.mark.parametrize("name", [name for name, row in LEAVES.items() if len(row.sources) > 1])
def test_the_table_s_order_decides(name):
    sources = [SourceValues(kind, kind, values={name: f"of {kind}"}) for kind in reversed(LEAVES[name].sources)]
    merged = merge(sources)
    assert merged.sources[name] == LEAVES[name].sources[0] == "user"
    if name != "title":
        assert len(merged.conflicts[name]) == len(sources) - 1


def test_equals_and_what_lies_within_errors_are_no_conflict():
    def sources(kind, value, error=None):
        errors = {} if error is None else {"camera_length": error}
        return SourceValues(kind, kind, values={"camera_length": value}, errors=errors)

    assert not merge([sources("user", 0.1), sources("survey", 0.10005)]).conflicts
    assert not merge([sources("user", 0.1, 0.002), sources("survey", 0.105)]).conflicts
    assert merge([sources("user", 0.1, 0.001), sources("survey", 0.105)]).conflicts
    names = [
        SourceValues(kind, kind, values={"microscope": text})
        for kind, text in (("user", "Titan"), ("survey", "titan "))
    ]
    assert not merge(names).conflicts


def test_one_warning_names_both(caplog):
    sources = (("serval", "s.json", 100.0), ("user", "metadata=", 150.0))
    merge([SourceValues(kind, label, values={"bias_voltage": value}) for kind, label, value in sources])
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "bias_voltage: 150 V is taken from metadata=; 100 V (s.json) disagrees."


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.tpx3"
    frames = {"n_frames": 2, "frame_flyback": "300 us"}
    simulate.recording(path, (7, 11), dwell_time="5 us", electrons_per_position=5, layout="single", **frames)
    return path


def sidecar(scan, ending=".metadata.toml", **quantities):
    path = scan.with_suffix(ending)
    path.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in quantities.items()))
    return path


def serval(scan, **scan_keys):
    stem = {"Stem": {"Scan": scan_keys}, "BiasVoltage": 100, "GlobalTimestampInterval": 0}
    scan.with_suffix(".json").write_text(json.dumps(stem))


def test_what_is_measured_is_believed_before_a_file(scan, caplog):
    sidecar(scan, dwell_time="6 us")
    signal = load(scan, navigation_shape=(11, 7))
    assert at(signal["metadata"], "Acquisition_instrument.TEM.Scan.dwell_time") == pytest.approx(5e-6)
    assert at(signal["metadata"], "General.Metadata_conflicts")["dwell_time"] == "6e-06 s (scan.metadata.toml)"
    assert "dwell_time: 5e-06" in caplog.text


def test_two_files_that_would_move_pixels_are_refused_until_the_user_decides(scan):
    sidecar(scan, orientation="left")
    serval(scan, Width=11, Height=7)
    state = json.loads(scan.with_suffix(".json").read_text())
    scan.with_suffix(".json").write_text(json.dumps({**state, "DetectorOrientation": "RIGHT"}))
    with pytest.raises(MetadataConflictError, match="(?s)orientation decides.*left.*right.*Decide by orientation="):
        load(scan)
    by_option = load(scan, orientation="down")
    by_metadata = load(scan, metadata={"orientation": "down"})
    for signal in (by_option, by_metadata):
        assert at(signal["metadata"], "Acquisition_instrument.TEM.Detector.orientation") == "down"
        noted = at(signal["metadata"], "General.Metadata_conflicts")["orientation"]
        assert "left (scan.metadata.toml)" in noted and "right (scan.json (Serval))" in noted
    assert np.array_equal(by_option["data"].compute().todense(), by_metadata["data"].compute().todense())


def test_a_user_who_says_two_things_has_to_choose(scan):
    with pytest.raises(MetadataConflictError, match="Say it once"):
        load(scan, orientation="up", metadata={"orientation": "left"})


def test_rows_that_the_edges_contradict_are_refused(scan):
    serval(scan, Width=11, Height=8)
    with pytest.raises(MetadataConflictError, match=r"scan.json \(Serval\) gives 8 rows.*2 frames of 7"):
        load(scan)
    offer = next(offer for offer in available_signals(str(scan)) if offer["signal"] == "scan")
    assert not offer["ready"] and "gives 8 rows" in offer["needs"]
    assert load(scan, navigation_shape=(11, 7))["data"].shape == (2, 7, 11, 256, 256)


@pytest.mark.parametrize(
    "options", [{"frames": "sum"}, {"frames": 1}, {"time_bins": 3}, {"time_bins": {"over": "recording", "number": 3}}]
)
def test_rows_are_compared_whatever_becomes_of_frames_and_times(scan, options):
    serval(scan, Width=11, Height=8)
    with pytest.raises(MetadataConflictError, match=r"gives 8 rows.*2 frames of 7"):
        load(scan, **options)
    serval(scan, Width=11, Height=7)
    assert load(scan, **options)["data"].shape[-4:-2] == (7, 11)


@pytest.mark.parametrize("bins", [3, {"over": "recording", "number": 3}])
def test_time_bins_do_not_conflict_with_a_shape(scan, bins):
    serval(scan, Width=11, Height=7)
    signal = load(scan, frames=0, time_bins=bins)
    assert signal["data"].shape == (3, 7, 11, 256, 256)
    assert "Metadata_conflicts" not in signal["metadata"]["General"]


def test_a_file_tells_the_columns_that_no_edge_can_tell(scan):
    serval(scan, Width=5, Height=7, DwellTime=11e-6)
    assert load(scan)["data"].shape == (2, 7, 5, 256, 256)


def test_a_dwell_time_from_a_file_is_used_where_no_edge_measures_it(tmp_path):
    path = tmp_path / "starts.tpx3"
    simulate.recording(path, (7, 11), dwell_time="5 us", sync="line-start", electrons_per_position=5, layout="single")
    with pytest.raises(ScanSyncError):
        load(path, navigation_shape=(11, 7))
    sidecar(path, dwell_time="5 us", navigation_shape=[11, 7])
    signal = load(path)
    assert signal["data"].shape == (7, 11, 256, 256)
    assert at(signal["metadata"], "Acquisition_instrument.TEM.Scan.dwell_time") == pytest.approx(5e-6)
    sidecar(path, dwell_time="50 us", navigation_shape=[11, 7])
    with pytest.raises(ScanSyncError, match="navigation_shape from starts.metadata.toml"):
        load(path)


def test_a_stack_of_frames_needs_no_shape_of_a_scan(scan):
    serval(scan, Width=11, Height=8)
    assert load(scan, signal="frames", frame_time="100 us")["data"].ndim == 3


def test_counted_data_cannot_be_turned_by_a_word(scan, tmp_path, caplog):
    convert(scan, tmp_path / "counted.toml", reader_options={"navigation_shape": (11, 7)}, show_progressbar=False)
    with pytest.raises(MetadataConflictError, match="orientation is left, but .* holds up"):
        read_raw_csr(str(tmp_path / "counted.toml"), lazy=True, metadata={"orientation": "left"})
    [signal] = read_raw_csr(str(tmp_path / "counted.toml"), lazy=True, metadata={"camera_length": "100 mm"})
    assert [axis["units"] for axis in signal["axes"][-2:]] == ["mrad", "mrad"]


def test_a_conflict_is_warned_of_once(tmp_path, caplog):
    path = tmp_path / "starts.tpx3"
    simulate.recording(path, (7, 11), dwell_time="5 us", sync="line-start", electrons_per_position=5, layout="single")
    sidecar(path, dwell_time="5 us")
    serval(path, Width=11, Height=7, DwellTime=4e-6)
    signal = load(path)
    assert len([r for r in caplog.records if "dwell_time" in r.getMessage()]) == 1
    assert at(signal["metadata"], "Acquisition_instrument.TEM.Scan.dwell_time") == pytest.approx(5e-6)


@pytest.mark.parametrize("ending", ["toml", "nxevent"])
def test_a_shape_that_leaves_out_what_was_saved_says_so(tmp_path, caplog, ending):
    simulate.recording(tmp_path / "s.tpx3", (5, 7), dwell_time="5 us", electrons_per_position=5, layout="single")
    s = hs.load(tmp_path / "s.tpx3", navigation_shape=(7, 5), metadata={"camera_length": "100 mm"})
    s.save(tmp_path / f"x.{ending}")
    caplog.clear()
    hs.load(tmp_path / f"x.{ending}")
    assert not caplog.records
    t = hs.load(tmp_path / f"x.{ending}", navigation_shape=(5, 7))
    assert "are excluded" in caplog.text and t.axes_manager.signal_axes[0].units == "px"
