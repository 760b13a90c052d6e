"""Metadata in the words of other programs, and on the command line."""

import json
from pathlib import Path

import h5py
import hyperspy.api as hs
import pytest
from metadata_cases import STATED, at, plain, spoken

from rsciio_tpx3.cli.main import main
from rsciio_tpx3.metadata.export import from_libertem, libertem_parameters, ro_crate, write_ro_crate
from rsciio_tpx3.metadata.mapping import LEAVES, build
from rsciio_tpx3.metadata.sources.nexus import nexus_fields
from rsciio_tpx3.metadata.sources.sidecars import read_sidecar
from rsciio_tpx3.metadata.template import sidecar_text, template_text
from rsciio_tpx3.metadata.user_input import read_mapping, read_tree
from rsciio_tpx3.nxevent.layout import ENTRY, PARAMETERS, PROCESS
from rsciio_tpx3.simulate.twin import abtem_setup, temgym_setup

SETUP = {
    "beam_energy": "200 keV",
    "camera_length": "100 +/- 2 mm",
    "convergence_angle": "20 mrad",
    "scan_step": "0.5 nm",
    "overfocus": "0.5 um",
    "scan_rotation": "90 deg",
    "flip_y": True,
    "center": [130.0, 120.0],
    "title": "gold",
}


def test_libertem_s_parameters_and_back(path):
    s = hs.load(path, lazy=True, metadata=SETUP)
    found = libertem_parameters(s, complete=True)
    numbers = {"overfocus": 5e-7, "scan_pixel_pitch": 5e-10, "camera_length": 0.1, "detector_pixel_pitch": 5.5e-5}
    assert {key: found[key] for key in numbers} == {key: (pytest.approx(v), "meter") for key, v in numbers.items()}
    assert found["semiconv"] == (pytest.approx(0.02), "radian")
    assert found["scan_rotation"] == (pytest.approx(1.5707963), "radian")
    assert (found["cx"], found["cy"], found["flip_y"]) == ((130.0, "pixel"), (120.0, "pixel"), True)
    source = read_mapping(from_libertem(json.loads(json.dumps(found))), "x").values
    own = read_tree(s.metadata.as_dictionary(), "x", "recording").values
    for name in ("overfocus", "scan_step_x", "scan_step_y", "camera_length", "pixel_pitch", "convergence_angle"):
        assert source[name] == pytest.approx(own[name]), name
    assert source["flip_y"] is True and source["scan_rotation"] == pytest.approx(90)


def test_libertem_schema_takes_them(path):
    schema = pytest.importorskip("libertem_schema")
    found = libertem_parameters(hs.load(path, lazy=True, metadata=SETUP), complete=True)
    model = schema.Simple4DSTEMParams(**found)
    assert model.camera_length.to("mm").magnitude == pytest.approx(100)
    assert read_mapping(from_libertem(model), "x").values["camera_length"] == pytest.approx(0.1)


def test_nexus_has_the_size_of_binned_pixels(path, tmp_path):
    s = hs.load(path, metadata={"camera_length": "100 mm"}).rebin(scale=(1, 1, 4, 2))
    s.save(tmp_path / "x.nxevent")
    with h5py.File(tmp_path / "x.nxevent", "r+") as file:
        detector = file["entry/instrument/detector"]
        assert detector["x_pixel_size"][()] == pytest.approx(220e-6)
        assert detector["y_pixel_size"][()] == pytest.approx(110e-6)


def test_what_libertem_lacks_is_named(path):
    s = hs.load(path, lazy=True)
    assert libertem_parameters(s) == {"detector_pixel_pitch": (5.5e-05, "meter")}
    with pytest.raises(ValueError, match="lack overfocus, scan_step_x.*flip_y. Set them"):
        libertem_parameters(s, complete=True)
    with pytest.raises(ValueError, match="one for both"):
        libertem_parameters(build({"scan_step_x": 1.0, "scan_step_y": 2.0}))


def test_nexus_fields_are_in_the_file_and_are_read_without_our_record(path, tmp_path):
    source = {**SETUP, "start_time": "2024-05-03T14:03:27+02:00"}
    s = hs.load(path, navigation_shape=(11, 7), metadata=source)
    s.save(tmp_path / "x.nxevent")
    with h5py.File(tmp_path / "x.nxevent", "r+") as file:
        instrument = file["entry/instrument"]
        assert instrument["microscope/ebeam_column/electron_source/voltage"][()] == 200.0
        assert instrument["microscope/ebeam_column/electron_source/voltage"].attrs["units"] == "kV"
        assert instrument["microscope/optics"].attrs["NX_class"] == "NXem_optical_system"
        assert instrument["microscope/optics/camera_length"][()] == 0.1
        assert instrument["detector/y_pixel_size"][()] == 55e-6
        assert file["entry/start_time"][()] == b"2024-05-03T14:03:27+02:00"
        del file[f"{ENTRY}/{PROCESS}/{PARAMETERS}/record"]
    t = hs.load(tmp_path / "x.nxevent", navigation_shape=(11, 7), metadata={"scan_step": "0.5 nm"})
    for name in (
        "beam_energy",
        "camera_length",
        "convergence_angle",
        "pixel_pitch",
        "date",
        "time",
        "time_zone",
        "title",
    ):
        assert at(t.metadata.as_dictionary(), LEAVES[name].leaf) == at(s.metadata.as_dictionary(), LEAVES[name].leaf)
    assert t.axes_manager.signal_axes[0].units == "mrad"


@pytest.mark.parametrize("name", [name for name, row in LEAVES.items() if row.nexus])
def test_every_nexus_field_has_its_unit(name):
    fields = nexus_fields(build({name: plain(name)}))
    value, unit = fields[LEAVES[name].nexus[0]]
    assert unit == LEAVES[name].nexus[1]
    assert read_mapping({name: (value, unit) if unit else value}, "x").values[name] == pytest.approx(plain(name))


def test_a_crate_next_to_a_converted_set_is_valid(path, tmp_path):
    rocrate = pytest.importorskip("rocrate.rocrate")
    s = hs.load(path, metadata=SETUP)
    s.save(tmp_path / "counted" / "scan.toml")
    target = write_ro_crate(s, tmp_path / "counted" / "scan.toml")
    with pytest.raises(FileExistsError):
        write_ro_crate(s, tmp_path / "counted" / "scan.toml")
    crate = rocrate.ROCrate(str(Path(target).parent))
    assert crate.name == "gold"
    assert {entity.id for entity in crate.data_entities} == {
        "scan.toml", "scan.indptr.raw", "scan.indices.raw", "scan.values.raw",
    }  # fmt: skip
    camera = crate.dereference("#camera_length")
    assert (camera["value"], camera["unitText"], camera.type) == (0.1, "m", "PropertyValue")
    # everything that is referred to exists
    graph = json.loads(Path(target).read_text(encoding="utf-8"))["@graph"]
    known = {entity["@id"] for entity in graph}
    assert len(known) == len(graph)
    for entity in graph:
        for value in entity.values():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict) and not item["@id"].startswith("https:"):
                    assert item["@id"] in known


def test_names_and_moments_in_a_crate_are_as_the_specification_has_them():
    values = {"date": "2024-05-03", "time": "14:03:27"}
    graph = {entity["@id"]: entity for entity in ro_crate(build(values), {"my scan.toml": 3})["@graph"]}
    assert graph["my%20scan.toml"]["name"] == "my scan.toml"
    assert graph["./"]["hasPart"] == [{"@id": "my%20scan.toml"}]
    assert graph["./"]["dateCreated"] == "2024-05-03T14:03:27" < graph["./"]["datePublished"]
    [root] = [e for e in ro_crate(build({"time": "14:03:27"}), {})["@graph"] if e["@id"] == "./"]
    assert "dateCreated" not in root and len(root["datePublished"]) == 10


# -- on the command line -----------------------------------------------------------------------------


def test_the_template_filled_in_is_read(tmp_path):
    text = template_text()
    for name in STATED:
        assert f"# {name} = " in text
    filled = "\n".join(line[2:] if line.startswith("# ") and " = " in line else line for line in text.splitlines())
    (tmp_path / "scan.metadata.toml").write_text(filled)
    [source] = read_sidecar(str(tmp_path / "scan.metadata.toml"))
    assert source.values == {name: plain(name) for name in STATED}
    (tmp_path / "empty.metadata.toml").write_text(text)
    assert read_sidecar(str(tmp_path / "empty.metadata.toml"))[0].values == {}


def test_a_signal_s_sidecar_gives_its_metadata_to_another(tmp_path):
    values = {name: plain(name) for name in STATED}
    (tmp_path / "x.toml").write_text(sidecar_text(values, errors={"camera_length": 0.002}))
    [source] = read_sidecar(str(tmp_path / "x.toml"))
    assert source.values == values
    assert source.errors == {"camera_length": pytest.approx(0.002)}
    assert all(spoken(name) is not None for name in source.values)


def test_the_command_prints_values_sources_and_conflicts(path, capsys):
    path.with_suffix(".metadata.toml").write_text('camera_length = "100 +/- 2 mm"\ndwell_time = "6 us"')
    assert main(["metadata", str(path), "--set", "beam_energy=200 keV"]) == 0
    printed = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert "camera_length 0.1 +- 0.002 m [scan.metadata.toml]" in lines
    assert "beam_energy 200 keV [metadata=]" in lines
    assert "! elsewhere: 6e-06 s (scan.metadata.toml)" in lines
    assert "axes y 1 position, x 1 position, ky 0.55 mrad, kx 0.55 mrad a step" in lines
    assert main(["metadata", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["Acquisition_instrument"]["TEM"]["camera_length"] == 0.1
    assert main(["metadata", "--template"]) == 0
    assert capsys.readouterr().out.strip() == template_text().strip()
    assert main(["metadata", str(path), "--toml"]) == 0
    assert 'camera_length = "0.1 +/- 0.002 m"' in capsys.readouterr().out


def test_the_command_says_what_is_wrong(path, capsys):
    assert main(["metadata"]) == 2
    assert main(["metadata", str(path), "--set", "camera_length=100"]) == 2
    assert "has no unit" in capsys.readouterr().err


def test_cropped_and_binned_data_are_described_as_they_are(path):
    s = hs.load(path, metadata=SETUP, navigation_shape=(11, 7))
    cropped, binned = s.isig[20:, 10:], s.inav[:10, :6].rebin(scale=(2, 2, 2, 2))
    for axes in ("calibrated", "plain"):
        found = libertem_parameters(cropped)
        assert (found["cx"][0], found["cy"][0]) == pytest.approx((110, 110)), axes
        found = libertem_parameters(binned)
        assert found["scan_pixel_pitch"] == (pytest.approx(1e-9), "meter"), axes
        assert found["detector_pixel_pitch"] == (pytest.approx(110e-6), "meter"), axes
        assert (found["cx"][0], found["cy"][0]) == pytest.approx((64.75, 59.75)), axes
        whole = abtem_setup(s.inav[:10, :6])
        assert abtem_setup(binned)["scan"]["end"] == pytest.approx(whole["scan"]["end"])
        assert abtem_setup(binned)["detector"]["max_angle"] == pytest.approx(whole["detector"]["max_angle"], rel=0.01)
        assert temgym_setup(binned)["detector"]["pixel_size"] == pytest.approx((110e-6, 110e-6))
        s = hs.load(path, metadata=SETUP, navigation_shape=(11, 7), calibrate=None)
        cropped, binned = s.isig[20:, 10:], s.inav[:10, :6].rebin(scale=(2, 2, 2, 2))
    with pytest.raises(ValueError, match="2 detector pixels wide and 1 high"):
        libertem_parameters(s.rebin(scale=(1, 1, 2, 1)))
