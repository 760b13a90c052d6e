"""The command line, as typed."""

import json

import pytest

from rsciio_tpx3 import simulate
from rsciio_tpx3.cli.main import main


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (24, 20), electrons_per_position=60, dwell_time="20 us", seed=1)
    return path


def test_info_for_people(recording, capsys):
    assert main(["info", str(recording)]) == 0
    text = capsys.readouterr().out
    assert "quad, 512 x 512 pixels" in text
    assert "tdc1-rise      24 edges, every 480 us" in text
    assert "as scan        24 x 24 positions (x, y)" in text
    assert "losses         none seen" in text


def test_info_for_machines(recording, capsys):
    assert main(["info", str(recording), "--json", "-o", "navigation_shape=20,24"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["edges"]["tdc1-rise"]["number"] == 24
    assert info["signals"][0]["navigation_shape"] == [20, 24]
    assert info["signals"][0]["dwell_time"] == pytest.approx(20e-6)


def test_info_of_a_real_raster_says_what_is_missing(real, capsys):
    assert main(["info", real("timestem_raster_000000")]) == 0
    text = capsys.readouterr().out
    assert "513 rows" in text
    assert "active_fraction" in text


@pytest.mark.slow
def test_demo_on_a_file_of_ones_own(recording, tmp_path, capsys):
    out = tmp_path / "results"
    assert main(["demo", str(recording), "--output", str(out), "-o", "navigation_shape=20,24"]) == 0
    text = capsys.readouterr().out
    assert "20 x 24 positions, 512 x 512 pixels" in text and "line-gate" in text
    assert "dwell time 20 us" in text
    assert (out / "scan.png").stat().st_size > 10_000


@pytest.mark.parametrize("argument", ["nowhere.tpx3", __file__])
def test_bad_input_is_one_line_and_status_2(argument, capsys):
    assert main(["info", argument]) == 2
    assert capsys.readouterr().err.startswith("rsciio-tpx3: ")


def test_option_without_value(recording, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["info", str(recording), "-o", "layout"])
    assert stop.value.code == 2
    assert "NAME=VALUE" in capsys.readouterr().err


def test_convert_and_check(recording, tmp_path, capsys):
    target = tmp_path / "scan.toml"
    shape = ["-o", "navigation_shape=20,24"]
    assert main(["convert", str(recording), str(target), "--verify", "--quiet", *shape]) == 0
    assert "verified" in capsys.readouterr().out
    assert main(["check", str(target), "--quiet"]) == 0
    assert "good, RawCSR, 24 x 20 x 512 x 512" in capsys.readouterr().out
    (tmp_path / "broken.toml").write_text("[params]\nfiletype = 'other'\n")
    assert main(["check", str(tmp_path / "broken.toml")]) == 1


@pytest.mark.slow
def test_compiling_beforehand_leaves_nothing_to_compile(capsys):
    assert main(["compile"]) == 0
    capsys.readouterr()
    assert main(["compile"]) == 0
    assert "\neverything was compiled already" in capsys.readouterr().out
