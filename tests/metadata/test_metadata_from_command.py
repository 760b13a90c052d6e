"""Metadata that is typed or passed: no value of it is dropped, and an invalid one is refused by the name of its option.

Kind: options that meet odd values, and tools whose messages must be true.
"""

import os

import numpy as np
import pytest

from rsciio_tpx3 import simulate
from rsciio_tpx3.cli.main import main
from rsciio_tpx3.convert import check, convert
from rsciio_tpx3.reader.option_checks import check_options


def _status(words):
    try:
        return main(words)
    except SystemExit as stop:
        return stop.code


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("command") / "scan.tpx3"
    simulate.recording(path, (6, 6), dwell_time="20 us", electrons_per_position=3, seed=1)
    (path.parent / "other.json").write_text('{"beam_energy": "200 keV"}')
    return path


def test_what_is_set_joins_a_named_file(recording, capsys):
    other = recording.parent / "other.json"
    assert main(["metadata", str(recording), "--set", "camera_length=100 mm", "-o", f"metadata={other}"]) == 0
    text = capsys.readouterr().out
    assert "200 keV" in text and "0.1 m" in text


def test_several_values_are_a_list_as_the_message_says(recording, capsys):
    assert main(["metadata", str(recording), "--set", "center=1,2"]) == 2
    assert "several values are a list" in capsys.readouterr().err
    assert main(["metadata", str(recording), "--set", "center=[1.5, 2]"]) == 0
    assert "1.5 px" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["x", "", "=1", " = "])
def test_what_is_no_name_and_value_is_refused(recording, word, capsys):
    assert _status(["metadata", str(recording), "--set", word]) == 2
    assert "NAME=VALUE" in capsys.readouterr().err


COMMANDS = [
    (["metadata", "FILE", "--from", ""], "metadata_from: '' does not exist"),
    (["metadata", "nowhere"], "'nowhere' does not exist"),
    (["info", "FILE", "-o", "chunks=2"], "'chunks' is an option of loading"),
    (["info", "FILE", "-o", "filename=x"], "files stand by themselves"),
    (["convert", "nowhere", "out.toml"], "nowhere' does not exist"),
    (["convert", "FILE", "out.h5"], "--to"),
    (["convert", "FILE", "out.toml", "--dwell-time", ""], "dwell_time=''"),
]


@pytest.mark.parametrize(
    ("words", "expected"), COMMANDS, ids=lambda item: " ".join(item) if isinstance(item, list) else ""
)
def test_a_message_names_what_was_typed(recording, words, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert _status([str(recording) if word == "FILE" else word for word in words]) == 2
    assert expected in capsys.readouterr().err
    assert not os.listdir()


def test_formats_that_are_offered_for_writing_can_be_written(recording, tmp_path):
    with pytest.raises(ValueError) as caught:
        convert(recording, tmp_path / "out.h5")
    for name in str(caught.value).rstrip(".").rpartition("such as ")[2].split(", "):
        convert(recording, tmp_path / f"{name}.h5", to_format=name)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        check(tmp_path / "nowhere")


ODD = [3, True, 1.5, [], {"a": 1}, b"x", np.zeros(2), "", "a\0b", "nowhere.dm4", os.sep]


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_metadata_from_takes_a_file_or_a_signal(value):
    with pytest.raises((ValueError, FileNotFoundError), match="^metadata_from"):
        check_options({"metadata_from": value})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_nothing_waits_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    for name in ("metadata", "metadata_from"):
        with pytest.raises(ValueError, match=f"^{name}.* a pipe"):
            check_options({name: str(tmp_path / "pipe.json")})


@pytest.mark.parametrize("value", [None, [None], ("auto",), np.timedelta64(1, "s"), (np.timedelta64(1), 2)], ids=repr)
def test_chunks_are_sizes(value):
    with pytest.raises(ValueError, match="^chunks"):
        check_options({"chunks": value})
