"""Sidecars as programs and people write them, found next to a recording and read into its metadata."""

import hashlib
import json
import logging
import shutil
import zipfile

import hyperspy.api as hs
import numpy as np
import pytest
from metadata_cases import SIDECARS, at, load

from rsciio_tpx3 import simulate
from rsciio_tpx3.exceptions import UnitError
from rsciio_tpx3.metadata.mapping import LEAVES, build
from rsciio_tpx3.metadata.sources import signal_file
from rsciio_tpx3.metadata.sources.emat import read_notes
from rsciio_tpx3.metadata.sources.pixet import read_items
from rsciio_tpx3.metadata.sources.serval import read_serval
from rsciio_tpx3.metadata.sources.sidecars import find_sidecars, read_sidecar
from rsciio_tpx3.metadata.sources.signal_file import read_survey
from rsciio_tpx3.metadata.user_input import read_mapping
from rsciio_tpx3.t3pa import file_reader as read
from rsciio_tpx3.t3pa.sidecar import read_sidecars
from rsciio_tpx3.tpx3 import file_reader

SERVAL_QUAD = [
    {"chip": 0, "x": 256, "y": 0, "orientation": "RtLBtT"},
    {"chip": 1, "x": 0, "y": 0, "orientation": "RtLBtT"},
    {"chip": 2, "x": 0, "y": 256, "orientation": "LtRTtB"},
    {"chip": 3, "x": 256, "y": 256, "orientation": "LtRTtB"},
]


def test_serval_3_tells_everything_it_has():
    measured, source = read_sidecar(str(SIDECARS / "serval3.json"))
    assert measured.values == {"bias_voltage": 99.4}
    assert source.values == {
        "bias_voltage": 100.0,
        "bias_enabled": True,
        "polarity": "Positive",
        "exposure_time": 1.5,
        "trigger_mode": "AUTOTRIGSTART_TIMERSTOP",
        "tdc_setting": ["PN0123", ""],
        "global_time_interval": 1.0,
        "readout": "SPIDR",
        "board_id": "1a00004",
        "detector_firmware": "22111400",
        "chip_temperatures": [41.0, 40.0, 42.0, 43.0],
        "board_temperature": 38.5,
        "detector_software": "Serval 3.3.2",
        "detector_type": "Timepix3",
        "chip_ids": ["W0012_H01", "W0012_H02", "W0012_H03", "W0012_H04"],
        "threshold_coarse": [7, 7, 6, 7],
        "threshold_fine": [238, 241, 240, 236],
        "date": "2024-05-03",
        "time": "13:53:27.123000",
        "time_zone": "UTC",
        "layout": SERVAL_QUAD,
        "orientation": "up",
    }


def test_serval_4_tells_the_scan_whatever_the_case_of_its_keys():
    measured, source = read_sidecar(str(SIDECARS / "serval4.json"))
    assert measured.values == {"bias_voltage": 101.0}
    expected = {"navigation_shape": [11, 7], "dwell_time": 5e-6, "orientation": "right", "date": "2025-01-01"}
    expected |= {
        "detector_software": "Serval 4.1.1",
        "chip_temperatures": [39.0, 38.0, 40.0, 41.0],
        "bias_voltage": 101.0,
    }
    assert expected.items() <= source.values.items()


def test_every_row_that_a_program_should_report_is_in_its_file(tmp_path):
    serval = [source for name in ("serval3", "serval4") for source in read_sidecar(str(SIDECARS / f"{name}.json"))]
    pixet = read_items(read_sidecars(str(SIDECARS / "adv.t3pa")), "x")
    found = {
        "serval": set().union(*(source.values for source in serval)),
        "tp3_tools": set(read_sidecar(str(SIDECARS / "tp3_tools.json"))[0].values),
        "pixet": set(pixet.values),
    }
    for kind, names in found.items():
        assert names == {name for name, row in LEAVES.items() if kind in row.sources}, kind


def test_serval_s_rotated_layout_is_taken_where_its_turn_is_another_than_ours(caplog):
    mapping = json.loads((SIDECARS / "serval3.json").read_text())
    mapping["Detector"]["Layout"]["DetectorOrientation"] = "LEFT"  # Rotated is left as it is

    source = read_serval(mapping, "x")[-1]
    assert source.values["layout"] == SERVAL_QUAD and source.values["orientation"] == "up"
    assert "rotated one is taken" in caplog.text


def test_tp3_tools_tells_only_what_has_a_unit():
    [source] = read_sidecar(str(SIDECARS / "tp3_tools.json"))
    assert source.kind == "tp3_tools"
    assert source.values == {"navigation_shape": [11, 7], "bias_voltage": 100.0, "exposure_time": 0.05}
    assert source.original["pixel_time"] == 2560


def test_a_returned_size_that_is_not_the_scan_s_tells_no_shape():
    [source] = read_sidecar(str(SIDECARS / "tp3_tools_old.json"))
    assert source.values == {}


def test_notes_tell_shape_dwell_time_and_what_has_a_known_name():
    source = read_notes(str(SIDECARS / "comment.txt"))
    assert source.values == {
        "navigation_shape": [11, 7],
        "dwell_time": 5e-6,
        "magnification": 450000.0,
        "pattern": "raster",
        "sample": "gold particles",
        "authors": "someone",
        "camera_length": 0.08,
        "beam_energy": 300.0,
    }
    assert source.original["Gun lens"] == "3"


def test_pixet_items_have_their_units():
    source = read_items(read_sidecars(str(SIDECARS / "adv.t3pa")), "x")
    expected = {
        "bias_voltage": -49.8,
        "threshold": 3.01,
        "exposure_time": 2.5,
        "layout": "single",
        "board_id": "G02-W0051",
    }
    expected |= {"detector_type": "Timepix3", "date": "2020-01-01", "time": "00:00:00.250000", "time_zone": "UTC"}
    assert expected.items() <= source.values.items()


def test_a_file_written_by_hand_may_mix_all_ways():
    [source] = read_sidecar(str(SIDECARS / "hand.metadata.toml"))
    assert source.values == {
        "title": "Au on carbon",
        "date": "2024-05-03",
        "time": "14:03:27",
        "time_zone": "+02:00",
        "beam_energy": 200.0,
        "camera_length": 0.1,
        "convergence_angle": 20.0,
        "scan_step_x": 0.5,
        "scan_step_y": 0.25,
        "center_x": 250.5,
        "center_y": 260.0,
        "sensor_thickness": 300.0,
    }
    assert source.errors == {"camera_length": 0.002}
    assert source.original["grid"] == "copper"


# -- other files ------------------------------------------------------------------------------------


def test_a_survey_saved_by_hyperspy_needs_its_units(tmp_path, caplog):
    image = hs.signals.Signal2D(np.zeros((3, 4)))
    image.metadata.set_item("Acquisition_instrument.TEM.camera_length", 100.0)
    image.metadata.set_item("Acquisition_instrument.TEM.beam_energy", 200.0)
    image.metadata.set_item("Acquisition_instrument.TEM.Detector.exposure_time", 3.0)
    image.save(tmp_path / "survey.hspy")
    source = read_survey(tmp_path / "survey.hspy")
    assert source.values == {"beam_energy": 200.0}  # mm by HyperSpy's guide, m by pyXem: not guessed
    assert "camera_length=100.0 has no unit" in caplog.text
    image.metadata.set_item("Acquisition_instrument.TEM.camera_length_units", "mm")
    image.save(tmp_path / "survey.hspy", overwrite=True)
    assert read_survey(tmp_path / "survey.hspy").values == {"beam_energy": 200.0, "camera_length": 0.1}


@pytest.mark.parametrize(
    ("reader", "number"), [("DigitalMicrograph", 100.0), ("EMD", 100.0), ("TIA", 100.0), ("Blockfile", 0.1)]
)
def test_each_reader_s_camera_length_has_its_own_unit(reader, number):
    tree = {"Acquisition_instrument": {"TEM": {"camera_length": number, "beam_energy": 80}}}
    source = signal_file._source_values(tree, "x", signal_file._BY_READER[reader], True)
    assert source.values == {"camera_length": 0.1, "beam_energy": 80.0}


def test_a_survey_that_knows_no_microscope_says_so(tmp_path):
    hs.signals.Signal2D(np.zeros((3, 4))).save(tmp_path / "empty.hspy")
    with pytest.raises(ValueError, match="says nothing about a microscope"):
        read_survey(tmp_path / "empty.hspy")
    with pytest.raises(FileNotFoundError, match="none.dm4"):
        read_survey(tmp_path / "none.dm4")
    with pytest.raises(ValueError, match="several readers take.*takes a signal too"):
        (tmp_path / "x.h5").write_bytes(b"")
        read_survey(tmp_path / "x.h5")


def test_a_data_item_of_swift(tmp_path):
    about = {"metadata": {"instrument": {"high_tension": 60000.0}, "scan": {"rotation_deg": 12.5, "fov_nm": 32.0}}}
    with zipfile.ZipFile(tmp_path / "survey.ndata1", "w") as archive:
        archive.writestr("metadata.json", json.dumps(about))
    assert read_survey(tmp_path / "survey.ndata1").values == {"beam_energy": 60.0, "scan_generator_rotation": 12.5}


# -- next to a recording ---------------------------------------------------------------------------


def value(signal, name):
    return at(signal["metadata"], LEAVES[name].leaf)


def test_sidecars_are_found_by_name(tmp_path):
    for name in (
        "scan.tpx3",
        "scan.metadata.toml",
        "scan.json",
        "scan.tpx3.json",
        "metadata.yaml",
        "notes.txt",
        "scan.toml",
    ):
        (tmp_path / name).write_text("{}")
    shutil.copy(SIDECARS / "comment.txt", tmp_path)
    found = [path.rsplit("/", 1)[-1] for path in find_sidecars(str(tmp_path / "scan.tpx3"))]
    assert found == ["scan.metadata.toml", "scan.json", "scan.tpx3.json", "comment.txt", "metadata.yaml"]


def test_pieces_share_a_sidecar_and_strangers_do_not(tmp_path, caplog):
    for name in ("scan_000000.tpx3", "scan_000001.tpx3", "scan.json", "metadata.toml"):
        (tmp_path / name).write_text("")
    found = [path.rsplit("/", 1)[-1] for path in find_sidecars(str(tmp_path / "scan_000000.tpx3"))]
    assert found == ["scan.json", "metadata.toml"]
    (tmp_path / "other.tpx3").write_text("")
    found = [path.rsplit("/", 1)[-1] for path in find_sidecars(str(tmp_path / "scan_000000.tpx3"))]
    assert found == ["scan.json"]
    assert "metadata.toml next to 'scan_000000.tpx3' is ignored" in caplog.text


def test_what_lies_next_to_a_recording_is_used_and_named(scan, caplog):
    shutil.copy(SIDECARS / "serval4.json", scan.with_suffix(".json"))
    shutil.copy(SIDECARS / "hand.metadata.toml", scan.with_suffix(".metadata.toml"))
    with caplog.at_level(logging.INFO):
        signal = load(scan)
    assert signal["data"].shape == (7, 11, 256, 256)
    assert value(signal, "orientation") == "right" and value(signal, "camera_length") == 0.1
    assert at(signal["metadata"], "Acquisition_instrument.TEM.camera_length_errors") == 0.002
    sources = at(signal["metadata"], "General.Metadata_sources")
    assert sources["camera_length"] == "scan.metadata.toml" and sources["orientation"] == "scan.json (Serval)"
    assert "navigation_shape: 11, 7, as scan.json (Serval) says." in caplog.text
    assert signal["original_metadata"]["metadata_sources"]["scan.metadata.toml"]["grid"] == "copper"
    turned, upright = load(scan)["data"], load(scan, orientation="up")["data"]
    assert np.array_equal(np.rot90(upright[3, 4].compute(), -1), turned[3, 4].compute())


def test_absent_stays_absent(scan):
    signal = load(scan)
    tem = at(signal["metadata"], "Acquisition_instrument.TEM")
    assert set(tem) == {"Detector", "Scan", "physical_pixel_size", "physical_pixel_size_units"}
    assert "Metadata_sources" not in signal["metadata"]["General"]
    assert [axis["units"] for axis in signal["axes"]] == ["", "", "px", "px"]


def test_a_named_survey_and_a_dictionary(scan, tmp_path):
    image = hs.signals.Signal2D(np.zeros((3, 4)))
    image.metadata.add_dictionary(build({"beam_energy": 80.0, "camera_length": 0.2, "tilt_alpha": 3.0}))
    signal = load(scan, metadata={"camera_length": "0.25 m", "fluffiness": 3}, metadata_from=image)
    assert [value(signal, n) for n in ("beam_energy", "camera_length", "tilt_alpha")] == [80.0, 0.25, 3.0]
    assert signal["original_metadata"]["metadata_sources"]["metadata="] == {"fluffiness": 3}


def test_a_user_s_slip_is_refused_and_a_found_file_s_excluded(scan, caplog):
    with pytest.raises(UnitError, match="metadata=: camera_length=100 has no unit"):
        load(scan, metadata={"camera_length": 100})
    scan.with_suffix(".metadata.toml").write_text('camera_length = 100\nbeam_energy = "200 keV"')
    signal = load(scan)
    assert (
        value(signal, "beam_energy") == 200.0
        and "camera_length" not in signal["metadata"]["Acquisition_instrument"]["TEM"]
    )
    assert "scan.metadata.toml: camera_length=100 has no unit" in caplog.text and "excluded" in caplog.text
    with pytest.raises(UnitError, match="has no unit"):
        load(scan, metadata=str(scan.with_suffix(".metadata.toml")))


def test_a_broken_file_next_to_a_recording_keeps_nobody_from_it(scan, caplog):
    scan.with_suffix(".json").write_text("{ broken")
    assert load(scan)["data"].shape[2:] == (256, 256)
    assert "'scan.json' cannot be read" in caplog.text and "read without it" in caplog.text


def test_a_misspelt_key_gets_a_hint(scan, caplog):
    load(scan, metadata={"camera_lenght": "100 mm"})
    assert "Did you mean 'camera_length'?" in caplog.text


def test_advacam_recordings_have_theirs(tmp_path):
    rows = "\n".join(f"{i}\t{i * 7}\t{i * 40}\t20\t3\t0" for i in range(200))
    (tmp_path / "adv.t3pa").write_text("Index\tMatrix Index\tToA\tToT\tFToA\tOverflow\n" + rows)
    for ending in ("info", "dsc"):
        shutil.copy(SIDECARS / f"adv.t3pa.{ending}", tmp_path)
    [signal] = read(str(tmp_path / "adv.t3pa"), lazy=True, navigation_shape=(4, 3), dwell_time="10 us")
    assert value(signal, "threshold") == 3.01 and value(signal, "bias_voltage") == -49.8
    assert at(signal["metadata"], "General.date") == "2020-01-01"


def test_the_log_of_processing_tells_what_was_done_with_what(scan):
    signal = load(scan, navigation_shape=(11, 7), orientation="left")
    step = at(signal["metadata"], "General.Processing.reading_0")
    assert (step["operation"], step["software"]) == ("events to frames", "rsciio_tpx3") and step["version"]
    assert json.loads(step["parameters"])["navigation_shape"] == [11, 7]
    assert json.loads(step["parameters"])["orientation"] == "left"
    content = scan.read_bytes()
    ends = hashlib.blake2b(content[: 1 << 16] + content[-(1 << 16) :], digest_size=16).hexdigest()
    assert step["inputs"] == [{"name": "scan.tpx3", "size": len(content), "blake2b_of_ends": ends}]


def test_numbered_recordings_have_each_its_own_file(tmp_path):
    for name in ("s_1.tpx3", "s_2.tpx3", "s_1.metadata.toml", "s_2.metadata.toml", "s.metadata.toml"):
        (tmp_path / name).touch()
    found = [p.rsplit("/", 1)[-1] for p in find_sidecars(str(tmp_path / "s_2.tpx3"))]
    assert found == ["s_2.metadata.toml", "s.metadata.toml"]


SERVAL_SIGNS = {"Measurement": {}, "BiasVoltage": 7}
TP3_SIGNS = {"bytedepth": 1, "cumul": 0, "bias_voltage": 7}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("[" * 5000 + "]" * 5000, {}),
        (json.dumps({**SERVAL_SIGNS, "StartDateTime": 1e15}), {"bias_voltage": 7.0}),
        (json.dumps({**SERVAL_SIGNS, "StartDateTime": float("nan")}), {"bias_voltage": 7.0}),
        (json.dumps({**TP3_SIGNS, "xspim_size": "a", "yspim_size": 3}), {"bias_voltage": 7.0}),
        (json.dumps({**TP3_SIGNS, "xspim_size": [2], "yspim_size": [2]}), {"bias_voltage": 7.0}),
        ('{"camera_length": "1e400 m", "beam_energy": "200 keV"}', {"beam_energy": 200.0}),
        ('{"camera_length": "1e999999999 m", "beam_energy": "200 keV"}', {"beam_energy": 200.0}),
        ('{"board_temperature": "25 delta_degC", "beam_energy": "200 keV"}', {"beam_energy": 200.0}),
        ('{"layout": [1, 2], "beam_energy": "200 keV"}', {"beam_energy": 200.0}),
        ('{"layout": [{"chip": 0, "x": 1e400, "y": 0}], "beam_energy": "200 keV"}', {"beam_energy": 200.0}),
        ('{"layout": 5, "navigation_shape": [1e400, 3], "beam_energy": "200 keV"}', {"beam_energy": 200.0}),
    ],
)
def test_whatever_a_found_file_holds_it_only_warns(tmp_path, caplog, text, left):
    path = tmp_path / "scan.json"
    path.write_text(text)
    [source] = [source for source in read_sidecar(str(path), strict=False)][:1]
    assert source.values == left and caplog.records
    with pytest.raises(ValueError, match=r"scan\.json"):
        read_sidecar(str(path))


def test_yaml_that_contains_itself_only_warns(tmp_path, caplog):
    (tmp_path / "x.yaml").write_text("a: &x {b: *x}\n")
    assert read_sidecar(str(tmp_path / "x.yaml"), strict=False)[0].values == {}
    assert "cannot be understood" in caplog.text


def test_a_time_in_yaml_is_a_time(tmp_path):
    (tmp_path / "x.yaml").write_text("date: 2024-05-03\ntime: 14:03:27\ntime_zone: +10:00\ngap: 4\nnotes: 1:20\n")
    assert read_sidecar(str(tmp_path / "x.yaml"))[0].values == {
        "date": "2024-05-03",
        "time": "14:03:27",
        "time_zone": "+10:00",
        "gap": 4,
        "notes": "1:20",
    }


@pytest.mark.parametrize("source", [{"time": 12}, {"time": 1714}, {"date": 20240503}])
def test_a_number_is_no_date_and_no_time_of_day(scan, source):
    with pytest.raises(ValueError, match="expected an ISO (date|time)"):
        file_reader(scan, lazy=True, metadata=source)


def test_the_voltage_of_a_sensor_is_not_that_of_the_electrons():
    source = read_mapping({"detector": {"voltage": "150 V"}, "microscope": {"voltage": "200 kV"}}, "x").values
    assert source == {"bias_voltage": 150.0, "beam_energy": 200.0}


@pytest.mark.parametrize(
    ("source", "steps"),
    [
        ("1 nm", (1, 1)),
        ((0.5, "nm"), (0.5, 0.5)),
        (("0.5", "nm"), (0.5, 0.5)),
        ((2, 0.5, "nm"), (2, 2)),
        (("1 nm", "2 nm"), (1, 2)),
        (["1 nm", "2 nm"], (1, 2)),
        ([(1, "nm"), (2, "nm")], (1, 2)),
        (((0.5, 0.7), "nm"), (0.5, 0.7)),
    ],
)
def test_one_value_or_two(source, steps):
    values = read_mapping({"scan_step": source}, "x").values
    assert (values["scan_step_x"], values["scan_step_y"]) == steps


def test_times_of_the_scan_are_measured_with_their_errors(tmp_path):
    simulate.recording(
        tmp_path / "x.tpx3", (40, 11), dwell_time="3 us", line_flyback="7 us", edge_jitter="30 ns", seed=4
    )
    scan = load(tmp_path / "x.tpx3", navigation_shape=(11, 40))["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]
    for name, true in (("dwell_time", 3e-6), ("line_period", 40e-6), ("flyback_time", 7e-6)):
        assert scan[f"{name}_units"] == "s" and 0 < scan[f"{name}_errors"] < 1e-7
        assert scan[name] == pytest.approx(true, abs=3 * scan[f"{name}_errors"])
