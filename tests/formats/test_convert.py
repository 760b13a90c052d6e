"""Conversion between every pair of formats, and what surrounds it."""

import argparse
import hashlib
import importlib
import itertools
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import rsciio
from counted_data import lazy, signal_dict
from rsciio import hspy

import rsciio_tpx3
from rsciio_tpx3 import formats, raw_csr
from rsciio_tpx3.cli.check import add_check_parser
from rsciio_tpx3.cli.convert import add_convert_parser
from rsciio_tpx3.convert import check, convert
from rsciio_tpx3.nxevent.sink import NXEventSink
from rsciio_tpx3.raw_csr.sink import RawCsrSink
from rsciio_tpx3.utils import fingerprints

pytest.importorskip("h5py")
pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed")

ENDINGS = {"RawCSR": "toml", "NXevent": "nxevent", "stempy": "h5"}


def values(path, name):
    module = importlib.import_module(
        f"rsciio_tpx3.{ {'RawCSR': 'raw_csr', 'NXevent': 'nxevent', 'stempy': 'stempy'}[name] }"
    )
    found = module.file_reader(path, lazy=True)[0]
    return np.asarray(found["data"].compute(scheduler="sync")), found


@pytest.fixture
def toml(tmp_path, dense):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "scan.toml"
    raw_csr.file_writer(path, signal_dict(lazy(dense)))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("first, second", list(itertools.product(ENDINGS, ENDINGS)))
def test_every_pair_of_formats_keeps_every_bit(tmp_path, toml, dense, first, second):
    a, b = tmp_path / f"a.{ENDINGS[first]}", tmp_path / f"b.{ENDINGS[second]}"
    convert(toml, a, to_format=first, verify=True)
    report = convert(a, b, from_format=first, to_format=second, verify=True)
    found, signal = values(b, second)
    assert np.array_equal(found, dense) and found.dtype == dense.dtype
    assert report["verified"] and report["frames"] == 35
    assert signal["axes"] == signal_dict(dense)["axes"]
    assert len(signal["metadata"]["General"]["Processing"]) == 2


@pytest.mark.parametrize("name", ENDINGS)
def test_a_scan_without_a_single_count_is_converted(tmp_path, name):
    empty = np.zeros((2, 3, 4, 5), np.uint8)
    raw_csr.file_writer(tmp_path / "in.toml", signal_dict(lazy(empty)))
    target = tmp_path / f"x.{ENDINGS[name]}"
    convert(tmp_path / "in.toml", target, to_format=name, verify=True)
    assert np.array_equal(values(target, name)[0], empty)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    simulate = pytest.importorskip("rsciio_tpx3.simulate")
    path = tmp_path_factory.mktemp("sim") / "scan.tpx3"
    truth = simulate.recording(path, (7, 11), dwell_time="5 us", electrons_per_position=20)
    return path, truth.counts()[0]


@pytest.mark.parametrize("name", ENDINGS)
def test_a_recording_becomes_counted_frames(tmp_path, recording, name):
    path, truth = recording
    target = tmp_path / f"x.{ENDINGS[name]}"
    convert(path, target, to_format=name, verify=True, reader_options={"navigation_shape": (11, 7)})
    found, signal = values(target, name)
    assert np.array_equal(found.sum(axis=(2, 3)), truth)
    step = signal["metadata"]["General"]["Processing"]["conversion_0"]
    assert step["inputs"][0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert step["inputs"][0]["size"] == path.stat().st_size
    assert step["reader_options"] == '{"navigation_shape": [11, 7]}'
    assert signal["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]["dwell_time"] == pytest.approx(5e-6)


def test_dense_data_of_other_readers_are_converted(tmp_path, dense):
    signal = {
        **signal_dict(dense),
        "attributes": {"_lazy": False},
        "tmp_parameters": {},
        "learning_results": {},
        "package_info": {},
        "models": {},
    }
    hspy.file_writer(str(tmp_path / "x.hspy"), signal)
    convert(tmp_path / "x.hspy", tmp_path / "x.toml", verify=True)
    assert np.array_equal(values(tmp_path / "x.toml", "RawCSR")[0], dense)


def test_what_cannot_end_well_is_refused_before_it_starts(tmp_path, toml):
    (tmp_path / "there.nxevent").write_bytes(b"old")
    with pytest.raises(FileExistsError, match="--overwrite"):
        convert(toml, tmp_path / "there.nxevent")
    assert (tmp_path / "there.nxevent").read_bytes() == b"old"
    with pytest.raises(ValueError, match="input too"):
        convert(toml, toml, overwrite=True)
    with pytest.raises(FileNotFoundError, match="no.toml"):
        convert(tmp_path / "no.toml", tmp_path / "x.nxevent")
    with pytest.raises(ValueError, match="fits no format"):
        convert(toml, tmp_path / "x.qqq")
    with pytest.raises(ValueError, match="Did you mean 'NXevent'"):
        convert(toml, tmp_path / "x.h5", to_format="nxevents")
    with pytest.raises(ValueError, match="not a counted format that can be written"):
        convert(toml, tmp_path / "x.tpx3")
    with pytest.raises(FileNotFoundError, match="Make it first"):
        convert(toml, tmp_path / "nowhere" / "x.nxevent")
    convert(toml, tmp_path / "there.nxevent", overwrite=True, verify=True)


def test_a_difference_is_found_when_verifying(tmp_path, toml, monkeypatch):
    honest = NXEventSink.prepare

    def wrong(self, frames):
        columns = honest(self, frames)
        columns["event_id"][3] += 1
        return columns

    monkeypatch.setattr(NXEventSink, "prepare", wrong)
    with pytest.raises(ValueError, match="differs from its source in frames"):
        convert(toml, tmp_path / "x.nxevent", verify=True)


@pytest.mark.parametrize("name", ENDINGS)
def test_too_little_room_is_said_before_anything_is_written(tmp_path, toml, name, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 100}))
    with pytest.raises(OSError, match="free there. Write to another disk"):
        convert(toml, tmp_path / f"x.{ENDINGS[name]}", to_format=name)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("name", ENDINGS)
def test_an_interrupted_conversion_leaves_the_old_file_and_nothing_else(tmp_path, toml, name, monkeypatch, capsys):
    target = tmp_path / f"x.{ENDINGS[name]}"
    convert(toml, target, to_format=name)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("rsciio_tpx3.frames.write._total", interrupted)
    assert command("convert", toml, target, "--to", name, "--overwrite") == 130
    assert "as it was before" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_progress_has_a_rate_and_can_be_switched_off(tmp_path, toml, recording, capsys):
    convert(recording[0], tmp_path / "z.toml", show_progressbar=False, reader_options={"navigation_shape": (11, 7)})
    assert capsys.readouterr().err == ""
    convert(toml, tmp_path / "x.nxevent", show_progressbar=True)
    shown = capsys.readouterr().err
    assert "Writing x.nxevent" in shown and "35.0/35.0" in shown and "frames/s" in shown
    convert(toml, tmp_path / "y.nxevent", show_progressbar=False)
    assert capsys.readouterr().err == ""


def test_every_step_is_noted_with_version_options_and_inputs(tmp_path, toml):
    convert(toml, tmp_path / "x.nxevent", writer_options={"compression": "gzip"})
    _, signal = values(tmp_path / "x.nxevent", "NXevent")
    step = signal["metadata"]["General"]["Processing"]["conversion_0"]
    assert (step["operation"], step["software"], step["format"]) == ("conversion", "rsciio_tpx3", "NXevent")
    assert step["version"] == rsciio_tpx3.__version__
    assert step["writer_options"] == '{"compression": "gzip"}'
    assert {part["name"] for part in step["inputs"]} == {path.name for path in toml.parent.iterdir()}
    for part in step["inputs"]:
        content = (toml.parent / part["name"]).read_bytes()
        assert part["size"] == len(content) and part["sha256"] == hashlib.sha256(content).hexdigest()


def test_check_reads_everything(tmp_path, toml, dense):
    assert check(toml)["entries"] == np.count_nonzero(dense)
    assert check(toml)["total"] == dense.sum()
    pixels = np.fromfile(toml.parent / "scan.indices.raw", np.int32)
    pixels[100] = 1 << 20
    pixels.tofile(toml.parent / "scan.indices.raw")
    position = np.searchsorted(np.fromfile(toml.parent / "scan.indptr.raw", np.int64), 100, "right") - 1
    with pytest.raises(ValueError, match=f"to 1048576, .* that is none is at position {position}[.]"):
        check(toml)


def command(*arguments):
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    add_convert_parser(commands)
    add_check_parser(commands)
    args = parser.parse_args([str(a) for a in arguments])
    return args.run(args)


def test_the_command_line_converts_and_checks(tmp_path, recording, capsys):
    path, truth = recording
    assert (
        command(
            "convert",
            path,
            tmp_path / "x.toml",
            "--navigation-shape",
            11,
            7,
            "--verify",
            "--write-option",
            "compact=true",
        )
        == 0
    )
    assert "verified" in capsys.readouterr().out
    assert (
        command("convert", path, tmp_path / "y.nxevent", "-o", "navigation_shape=11,7", "-o", "sync=auto", "--quiet")
        == 0
    )
    assert np.array_equal(values(tmp_path / "y.nxevent", "NXevent")[0].sum(axis=(2, 3)), truth)
    assert command("check", tmp_path / "x.toml", tmp_path / "y.nxevent") == 0
    (tmp_path / "z.toml").write_text("[a]\n")
    capsys.readouterr()
    assert command("check", tmp_path / "x.toml", tmp_path / "z.toml") == 1
    assert "does not describe counted data" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")
def test_a_killed_conversion_never_leaves_a_file_that_lies():
    here = os.path.dirname(__file__)
    paths = os.pathsep.join([here, *filter(None, sys.path)])
    script = [sys.executable, os.path.join(here, "kill_converter.py"), "6"]
    found = subprocess.run(script, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert [line.split(":")[0] for line in found.stdout.splitlines()] == list(ENDINGS)


def test_no_ending_is_claimed_twice():
    rsciio_tpx3.register()
    ours = [p for p in rsciio.IO_PLUGINS if p["api"].startswith("rsciio_tpx3.")]
    others = {
        e.lower() for p in rsciio.IO_PLUGINS if not p["api"].startswith("rsciio_tpx3.") for e in p["file_extensions"]
    }
    # readers in endings that several others have already are tested in tests/integration/test_hyperspy_load.py
    ours = [p for p in ours if not p["name"].endswith("_h5")]
    claimed = [{e.lower() for e in p["file_extensions"]} for p in ours]
    assert not others & set().union(*claimed)
    assert sum(map(len, claimed)) == len(set().union(*claimed))
    names = [n.lower() for p in rsciio.IO_PLUGINS for n in {p["name"].lower(), *p["name_aliases"]}]
    assert all(names.count(p["name"].lower()) == 1 for p in ours)


def test_counts_in_an_ending_of_another_reader_are_found_by_their_content(tmp_path, toml, dense):
    """RosettaSciIO's reader of `.nxs` makes a signal of each list of an NXevent_data group."""
    convert(toml, tmp_path / "scan.nxevent")
    path = (tmp_path / "scan.nxevent").rename(tmp_path / "scan.nxs")
    assert check(path)["total"] == int(dense.sum())
    convert(path, tmp_path / "again.toml")
    assert np.array_equal(values(tmp_path / "again.toml", "RawCSR")[0], dense)
    with pytest.raises(ValueError, match=r"navigation_shape is not an option of the reader of NeXus.*file_format="):
        check(path, "NeXus", navigation_shape=(1, 1))


def test_who_fails_does_not_wait_for_the_checksum(tmp_path, recording, monkeypatch):
    path, _ = recording
    found, begun = [], threading.Event()

    def slow(part, is_over):
        begun.set()
        while not is_over():
            time.sleep(0.001)
        found.append(fingerprints.sha256(part, is_over))
        return found[0]

    def fails(sink, prepared):
        assert begun.wait(60)
        raise OSError("no room")

    monkeypatch.setattr(formats, "sha256", slow)
    monkeypatch.setattr(RawCsrSink, "append", fails)
    with pytest.raises(OSError, match="no room"):
        convert(path, tmp_path / "x.toml", reader_options={"navigation_shape": (11, 7)})
    assert found == [None] and not list(tmp_path.iterdir())
