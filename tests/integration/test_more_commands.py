"""Commands that come from the table of options, and those for hits, delay, cache and the shell."""

import json
import os
import shutil
import subprocess

import numpy as np
import pytest
from dask.utils import format_bytes

import rsciio_tpx3
import rsciio_tpx3.convert
from rsciio_tpx3 import simulate
from rsciio_tpx3.cli import demo
from rsciio_tpx3.cli.completion import completion_script
from rsciio_tpx3.cli.main import COMMANDS, build_parser, main
from rsciio_tpx3.reader.options import OPTIONS, names_of
from rsciio_tpx3.utils.steps import step


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two recordings of different scans."""
    folder = tmp_path_factory.mktemp("two")
    for name, shape in (("one", (5, 7)), ("other", (6, 9))):
        simulate.recording(folder / f"{name}.tpx3", shape, dwell_time="5 us", electrons_per_position=6, seed=2)
    return str(folder / "one.tpx3"), str(folder / "other.tpx3")


@pytest.mark.parametrize("command", ["info", "demo", "metadata", "convert", "check"])
def test_options_are_those_of_the_table_in_every_command(command):
    [made] = [action for action in build_parser([command])._actions if action.choices]
    flags = {flag for action in made.choices[command]._actions for flag in action.option_strings}
    expected = {f"--{name.replace('_', '-')}" for name in names_of("scan", "source", "events")}
    assert expected - flags == {"--follow", "--show-progressbar"}


def test_names_and_o_mean_the_same(two, capsys):
    answers = []
    named, listed = (
        ["--navigation-shape", "7", "5", "--tdc", "tdc1-rise"],
        ["-o", "navigation_shape=7,5", "-o", "tdc=tdc1-rise"],
    )
    for words in (named, listed):
        assert main(["info", two[0], "--json", *words]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1] and answers[0]["signals"][0]["navigation_shape"] == [7, 5]
    assert main(["info", two[0], "--tdc", "tdc1-rise", "-o", "tdc=auto"]) == 2
    assert "given twice" in capsys.readouterr().err
    assert main(["info", two[0], "--tdc", "tdc3"]) == 2
    assert "tdc3" in capsys.readouterr().err


def test_recordings_stay_apart(two, capsys):
    assert main(["info", *two, "--each", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["hits"] for one in found] == [rsciio_tpx3.file_info(path)["hits"] for path in two]


def test_verbose_stands_before_or_behind_the_command(two, capsys):
    assert build_parser(["info"]).parse_args(["-v", "info", two[0]]).verbose == 1
    assert build_parser(["info"]).parse_args(["info", "-vv", two[0]]).verbose == 2
    assert build_parser(["info"]).parse_args(["info", two[0]]).verbose == 0


def test_hits_become_a_table(two, tmp_path, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    target = tmp_path / "hits.parquet"
    assert main(["hits", two[0], "--output", str(target), "--navigation-shape", "7,5"]) == 0
    table = parquet.read_table(target)
    batches = list(rsciio_tpx3.read_hits(two[0], scan={"navigation_shape": (7, 5)}))
    assert table.column_names == list(batches[0].columns)
    for name in table.column_names:
        np.testing.assert_array_equal(table[name].to_numpy(), np.concatenate([batch[name] for batch in batches]))
    assert table.schema.field("tot").metadata == {b"unit": b"25 ns"}
    assert main(["hits", two[0], "--output", str(target)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["hits", two[0], "--output", str(target), "--overwrite", "--cluster", "true"]) == 0
    assert "size" in parquet.read_table(target).column_names
    assert main(["hits", *two, "--each", "--overwrite"]) == 0
    assert all(os.path.exists(path.replace(".tpx3", ".parquet")) for path in two)
    assert main(["hits", *two, "--each", "--output", str(target), "--overwrite"]) == 2
    assert main(["hits", two[0], "--output", str(tmp_path / "none.parquet"), "--start", "100 s"]) == 2
    assert sorted(os.listdir(tmp_path)) == ["hits.parquet"]


def test_without_pyarrow_the_command_says_what_to_install(two, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert main(["hits", two[0], "--output", str(tmp_path / "hits.parquet")]) == 2
    assert "pip install pyarrow" in capsys.readouterr().err and not os.listdir(tmp_path)


def test_delay_is_that_of_the_function(tmp_path, capsys):
    file = tmp_path / "snake.tpx3"
    simulate.recording(
        file, (32, 64), pattern="serpentine", scan_delay="12 us", dwell_time="5 us", electrons_per_position=60, seed=5
    )
    words = ["--navigation-shape", "64", "32", "--pattern", "serpentine"]
    assert main(["delay", str(file), *words, "--plot", str(tmp_path / "delay.png")]) == 0
    expected = rsciio_tpx3.find_scan_delay(file, navigation_shape=(64, 32), pattern="serpentine")
    assert f'scan_delay = "{expected.scan_delay}"' in capsys.readouterr().out
    assert (tmp_path / "delay.png").stat().st_size > 1000
    assert main(["delay", str(file), "--signal", "frames", "--frame-time", "1 ms"]) == 2


def test_cache_is_listed_and_cleared(two, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RSCIIO_TPX3_CACHE", str(tmp_path))
    rsciio_tpx3.file_reader(two[0], cache=True, progress=False)
    assert main(["cache"]) == 0
    assert " 0 entries" not in capsys.readouterr().out
    assert main(["cache", "--clear"]) == 0
    assert "removed" in capsys.readouterr().out and not list(tmp_path.rglob("*.npz"))


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rsciio-tpx3", "co"], {"convert", "compile", "completion"}),
        (["rsciio-tpx3", "info", "--sy"], {"--sync", "--sync-offset"}),
        (["rsciio-tpx3", "info", "--sync", "line"], {"line-gate", "line-start"}),
        (["rsciio-tpx3", "delay", "--method", "b"], {"borders"}),
    ],
)
def test_shell_completes_words_of_the_command_line(words, expected):
    quoted = " ".join(f"'{word}'" for word in words)
    script = completion_script(build_parser(), "bash")
    complete = f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _rsciio_tpx3; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", f"{script}\n{complete}"], capture_output=True, text=True, timeout=60)
    assert set(done.stdout.split()) == expected, done.stderr


def test_completion_knows_every_command(capsys):
    assert main(["completion", "zsh"]) == 0
    text = capsys.readouterr().out
    assert "bashcompinit" in text and all(f"        {command}) words=" in text for command in COMMANDS)


def test_an_error_is_not_lost_behind_forty_options(two, capsys):
    for words in (["info", "--navigation-shape", "a,b"], ["convert", two[0]], ["check"]):
        with pytest.raises(SystemExit):
            main(words)
        said = capsys.readouterr().err
        assert len(said.splitlines()) < 8 and "--help" in said and "--dwell-time" not in said
    with pytest.raises(SystemExit):
        main(["info", "--help"])
    assert "--dwell-time" in capsys.readouterr().out


def test_every_option_is_explained_in_plain_text(capsys):
    assert all(option.text for option in OPTIONS.values())
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "`" not in capsys.readouterr().out


def test_the_demo_says_at_once_what_it_does_and_what_is_wrong(two, tmp_path, monkeypatch, capsys):
    began = []
    monkeypatch.setattr(demo, "extension", lambda _: lambda *args: began.append(capsys.readouterr().out))
    assert main(["demo", two[0]]) == 0
    assert began[0].startswith("Importing HyperSpy and pyXem") and began[0].endswith(" s\n")
    for words, said in (
        ([str(tmp_path / "absent.tpx3")], "does not exist"),
        ([two[0], "--output", two[1]], "expected a folder"),
    ):
        assert main(["demo", *words]) == 2
        out, err = capsys.readouterr()
        assert said in err and not out and len(began) == 1


def test_an_error_begins_a_line(capsys):
    with pytest.raises(ValueError), step("Loading"):
        raise ValueError
    assert capsys.readouterr().out == "Loading ... \n"


def test_the_size_of_counted_data_is_that_of_all_files(two, tmp_path, capsys):
    pytest.importorskip("pyxem")
    from hyperspy_sparse.demo import run

    rsciio_tpx3.convert.convert(
        two[0], tmp_path / "scan.toml", reader_options={"navigation_shape": (7, 5)}, show_progressbar=False
    )
    run([str(tmp_path / "scan.toml")], tmp_path)
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  file")]
    assert format_bytes(sum(file.stat().st_size for file in tmp_path.glob("scan.*") if file.suffix != ".png")) in line
