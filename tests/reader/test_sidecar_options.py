"""Options in the table ``[load]`` of a sidecar: as arguments, unless the user gives one."""

import json
import logging
import os

import numpy as np
import pytest

import rsciio_tpx3
from rsciio_tpx3 import nxevent, simulate, t3pa
from rsciio_tpx3.cli.main import main
from rsciio_tpx3.exceptions import UnitError
from rsciio_tpx3.reader.options import OPTIONS

NY, NX = 6, 11


@pytest.fixture
def path(tmp_path):
    """One frame without any sidecar."""
    simulate.recording(tmp_path / "scan.tpx3", (NY, NX), electrons_per_position=20, dwell_time="12 us", seed=3)
    return tmp_path / "scan.tpx3"


def write(path, text, name="scan.metadata.toml"):
    sidecar = path.with_name(name)
    sidecar.write_text(text, encoding="utf-8")
    return sidecar


def load(path, **options):
    [signal] = rsciio_tpx3.file_reader(path, lazy=True, progress=False, **options)
    return signal


def step(signal):
    return signal["metadata"]["General"]["Processing"]["reading_0"]


def same(one, other):
    return np.array_equal(one["data"].compute().todense(), other["data"].compute().todense())


def test_options_of_the_sidecar_are_as_arguments(path):
    expected = load(
        path, navigation_shape=(NX // 2, NY), dtype="uint32", cluster={"window": "90 ns"}, scan_delay="3 us"
    )
    write(
        path,
        'beam_energy = "200 keV"\n[load]\nnavigation_shape = [5, 6]\ndtype = "uint32"\nscan_delay = "3 us"\n'
        'cluster = {window = "90 ns"}\n',
    )
    found = load(path)
    assert found["data"].shape == (NY, NX // 2, *found["data"].shape[-2:])
    assert same(found, expected)
    assert step(found)["parameters"] == step(expected)["parameters"]
    assert set(json.loads(step(found)["parameters_from"])) == {"navigation_shape", "dtype", "scan_delay", "cluster"}
    assert "parameters_from" not in step(expected)
    assert found["metadata"]["Acquisition_instrument"]["TEM"]["beam_energy"] == 200


def test_an_argument_wins(path, caplog):
    write(path, "[load]\nnavigation_shape = [5, 6]\nlines_per_row = 2\n")
    with caplog.at_level(logging.INFO, "rsciio_tpx3"):
        found = load(path, navigation_shape=(4, 3))
    assert found["data"].shape[:2] == (3, 4)
    assert json.loads(step(found)["parameters_from"]) == {"lines_per_row": "scan.metadata.toml"}
    assert "lines_per_row: 2, as [load] in scan.metadata.toml says" in caplog.text
    assert "gives way" in caplog.text


def test_metadata_of_the_user_win_too(path):
    write(path, "[load]\nnavigation_shape = [5, 6]\n")
    found = load(path, metadata={"navigation_shape": [NX, NY]})
    assert found["data"].shape[:2] == (NY, NX)


def test_none_as_an_argument_is_the_usual_value(path):
    write(path, "[load]\nnavigation_shape = [5, 6]\n")
    assert load(path, navigation_shape=None)["data"].shape == load(path, navigation_shape=(NY, NY))["data"].shape


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("scan.metadata.yaml", "load:\n  navigation_shape: [5, 6]\n"),
        ("metadata.json", '{"load": {"navigation_shape": [5, 6]}}'),
        ("scan.tpx3.toml", "[load]\nnavigation_shape = [5, 6]\n"),
    ],
)
def test_every_file_that_a_person_names_so(path, name, text):
    write(path, text, name)
    assert load(path)["data"].shape[:2] == (NY, 5)


def test_a_file_of_some_program_has_no_options(path):
    write(path, '{"load": {"average": 0.7, "lazy": 1}}', "scan.json")
    assert load(path, navigation_shape=(NX, NY))["data"].shape[:2] == (NY, NX)


def test_a_file_that_the_user_names_may_have_them(path):
    named = write(path, '{"load": {"navigation_shape": [5, 6]}}', "other.json")
    assert load(path, metadata=str(named))["data"].shape[:2] == (NY, 5)


def test_the_nearest_of_two_files_wins(path, caplog):
    write(path, "[load]\nnavigation_shape = [5, 6]\n")
    write(path, "[load]\nnavigation_shape = [4, 6]\nlines_per_row = 1\n", "metadata.toml")
    found = load(path)
    assert found["data"].shape[:2] == (NY, 5)
    assert "(metadata.toml) disagrees" in caplog.text
    assert json.loads(step(found)["parameters_from"])["lines_per_row"] == "metadata.toml"


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        ("navigaton_shape = [5, 6]", TypeError, r"scan.metadata.toml, table \[load\]: .*Did you mean navigation_shape"),
        ("toa_bits = 28", TypeError, "unknown option 'toa_bits' for .tpx3 files"),
        ("lazy = true", TypeError, "hs.load always says"),
        ('metadata = "x.toml"', TypeError, "into this file itself"),
        ("allow_external = true", TypeError, "unknown option"),
        ("dwell_time = 12", UnitError, r"scan.metadata.toml, table \[load\]: dwell_time"),
        ("navigation_shape = [0, 6]", ValueError, "navigation_shape"),
        ("navigation_shape = [4611686018427387904, 4611686018427387904]", ValueError, "navigation_shape"),
        ("lines_per_row = 1.5", ValueError, "lines_per_row"),
        ("dtype = 'O'", ValueError, "dtype"),
        ("chunks = 'many'", ValueError, "chunks"),
        ("cluster = {windw = '90 ns'}", TypeError, "windw"),
        ("corrections = {mask = 'absent.npy'}", FileNotFoundError, r"table \[load\].*absent.npy"),
    ],
)
def test_what_no_argument_could_be_is_refused_with_the_file(path, line, error, words):
    write(path, f"[load]\n{line}\n")
    with pytest.raises(error, match=words):
        load(path)


def test_a_value_that_is_no_table_is_refused(path):
    write(path, "load = 3\n")
    with pytest.raises(TypeError, match=r"scan.metadata.toml, table \[load\]: expected a table of options, got 3"):
        load(path)


@pytest.mark.parametrize(
    "line",
    [
        'positions = "{}"',
        'corrections = {{mask = "{}"}}',
        'corrections = {{energy = {{a = "{}"}}}}',
        'metadata_from = "{}"',
        'all_parts = ["{}"]',
    ],
)
@pytest.mark.parametrize("absolute", [True, False])
def test_a_path_must_not_lead_out_of_the_folder(path, tmp_path, line, absolute):
    inner = tmp_path / "inner"
    inner.mkdir()
    path = path.rename(inner / path.name)
    np.save(tmp_path / "secret.npy", np.zeros((256, 256), bool))
    write(path, f"[load]\n{line.format((tmp_path / 'secret.npy').as_posix() if absolute else '../secret.npy')}\n")
    with pytest.raises(ValueError, match=r"secret\.npy.* leads out of the folder"):
        load(path)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_a_link_does_not_lead_out_either(path, tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    path = path.rename(inner / path.name)
    np.save(tmp_path / "secret.npy", np.zeros((512, 512), bool))
    (inner / "mask.npy").symlink_to(tmp_path / "secret.npy")
    write(path, '[load]\ncorrections = {mask = "mask.npy"}\n')
    with pytest.raises(ValueError, match="leads out of the folder"):
        load(path)


def test_a_path_begins_at_the_file(path, monkeypatch):
    mask = np.zeros(load(path, navigation_shape=(NX, NY))["data"].shape[-2:], bool)
    mask[: len(mask) // 2] = True
    np.save(path.with_name("half.npy"), mask)
    expected = load(path, navigation_shape=(NX, NY), corrections={"mask": mask})
    write(path, '[load]\nnavigation_shape = [11, 6]\ncorrections = {mask = "half.npy"}\n')
    monkeypatch.chdir("/")
    assert same(load(path), expected)


@pytest.mark.parametrize("ending", ["t3pa", "t3p"])
def test_hit_lists_of_advacam(tmp_path, ending):
    path = tmp_path / f"list.{ending}"
    rows = [(pixel, 40 * n, 1 + n % 90, n % 30) for n, pixel in enumerate(range(7, 256 * 250, 601))]
    if ending == "t3pa":
        lines = [f"{n}\t{pixel}\t{toa}\t{tot}\t{ftoa}\t0\n" for n, (pixel, toa, tot, ftoa) in enumerate(rows)]
        path.write_text("Index\tMatrix Index\tToA\tToT\tFToA\tOverflow\n" + "".join(lines))
    else:
        record = [("pixel", "<u4"), ("toa", "<u8"), ("overflow", "u1"), ("ftoa", "u1"), ("tot", "<u2")]
        np.array([(pixel, toa, 0, ftoa, tot) for pixel, toa, tot, ftoa in rows], record).tofile(path)
    [expected] = t3pa.file_reader(path, signal="frames", frame_time="9 us", toa_bits=30)
    write(path, '[load]\nsignal = "frames"\nframe_time = "9 us"\ntoa_bits = 30\n', "list.metadata.toml")
    [found] = t3pa.file_reader(path)
    assert found["data"].shape == expected["data"].shape and same(found, expected)
    assert set(json.loads(step(found)["parameters_from"])) == {"signal", "frame_time", "toa_bits"}


def test_the_command_line_takes_them(path, capsys):
    write(path, "[load]\nnavigation_shape = [5, 6]\n")
    assert main(["info", str(path)]) == 0
    assert "5 x 6 positions (x, y)" in capsys.readouterr().out
    assert main(["info", str(path), "-o", "navigation_shape=4,6"]) == 0
    assert "4 x 6 positions (x, y)" in capsys.readouterr().out
    write(path, "[load]\nnavigaton_shape = [5, 6]\n")
    assert main(["info", str(path)]) == 2
    assert "Did you mean navigation_shape?" in capsys.readouterr().err


def test_hits_are_placed_by_them(path):
    write(path, "[load]\nnavigation_shape = [5, 6]\ncluster = true\n")
    columns = [batch.columns for batch in rsciio_tpx3.read_hits(path, scan=True)]
    assert max(part["scan_x"].max() for part in columns) == 4
    assert "tot" in columns[0] and "size" not in columns[0]


def test_hyperspy_loads_with_them(path):
    hs = pytest.importorskip("hyperspy.api")
    write(path, "[load]\nnavigation_shape = [5, 6]\n")
    assert hs.load(path, lazy=True).axes_manager.navigation_shape == (5, 6)
    assert hs.load(path, lazy=True, navigation_shape=(4, 6)).axes_manager.navigation_shape == (4, 6)


def test_a_counted_file_next_to_it_is_not_concerned(path):
    write(path, "[load]\nnavigation_shape = [5, 6]\n")
    target = path.with_name("scan.nxevent")
    nxevent.file_writer(target, load(path), show_progressbar=False)
    [found] = nxevent.file_reader(target)
    assert found["data"].shape[:2] == (NY, 5)


def test_every_option_that_takes_a_path_says_where_it_is():
    known = {name for name, option in OPTIONS.items() if option.paths}
    assert {name for name, option in OPTIONS.items() if "path" in option.kind} - known == {"metadata"}  # refused there
    assert known == {"positions", "corrections", "all_parts", "metadata_from"}
