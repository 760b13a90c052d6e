"""Every tool on every format: it answers, or says for which formats it is. New tools and formats are entered here."""

import os
from pathlib import Path

import numpy as np
import pytest
import rsciio
import yaml

import rsciio_tpx3
from rsciio_tpx3 import formats, simulate
from rsciio_tpx3.cli.main import main
from rsciio_tpx3.convert import check, convert

pytest.importorskip("h5py")

EVENTS = ("scan.tpx3", "list.t3pa", "list.t3p", "SCAN.TPX3", "LIST.T3PA", "LIST.T3P")
COUNTED = ("x.toml", "x.nxevent", "x.h5")
SCANNED = {"navigation_shape": (8, 6), "dwell_time": "20 us"}
RECORD = np.dtype([("pixel", "<u4"), ("toa", "<u8"), ("overflow", "u1"), ("ftoa", "u1"), ("tot", "<u2")])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    simulate.recording(folder / "scan.tpx3", (6, 8), dwell_time="20 us", electrons_per_position=9, seed=2)
    hits = np.zeros(700, RECORD)
    hits["pixel"], hits["toa"], hits["tot"] = 300 + np.arange(700), 55 * np.arange(700), 9
    hits.tofile(folder / "list.t3p")
    rows = "".join(f"{i}\t{h['pixel']}\t{h['toa']}\t9\t0\t0\n" for i, h in enumerate(hits))
    (folder / "list.t3pa").write_text("Index\tMatrix Index\tToA\tToT\tFToA\tOverflow\n" + rows)
    for name in EVENTS[:3]:
        (folder / name.upper()).write_bytes((folder / name).read_bytes())
    for name in COUNTED:
        writer = {"writer_options": {"compression": "gzip"}} if name == "x.nxevent" else {}
        form = {"to_format": "stempy"} if name == "x.h5" else {}
        convert(folder / "scan.tpx3", folder / name, show_progressbar=False, reader_options=SCANNED, **writer, **form)
    return folder


def test_every_registered_format_is_among_the_files_here():
    endings = {os.path.splitext(name)[1][1:].lower() for name in (*EVENTS, *COUNTED)}
    assert set(formats.FORMATS) == {"tpx3", "t3pa", "raw_csr", "nxevent", "stempy"}
    assert endings == {"tpx3", "t3pa", "t3p", "toml", "nxevent", "h5"}


def test_table_of_formats_is_what_rosettasciio_knows():
    folder = Path(rsciio_tpx3.__file__).parent
    found = {path.parent.name: yaml.safe_load(path.read_text()) for path in folder.glob("*/specifications.yaml")}
    assert set(found) == set(formats.FORMATS)
    for name, form in formats.FORMATS.items():
        assert form.name.lower() == found[name]["name"].lower()
        assert {ending[1:] for ending in form.endings} <= set(found[name]["file_extensions"])
    assert {f"rsciio_tpx3.{name}" for name in found} <= {plugin["api"] for plugin in rsciio.IO_PLUGINS}


@pytest.mark.slow
@pytest.mark.parametrize("name", EVENTS + COUNTED)
def test_info_available_signals_and_check(files, name, capsys):
    path = str(files / name)
    info = rsciio_tpx3.file_info(path)
    assert info["bytes"] > 0 and info["losses"] == {} and info["signals"] == rsciio_tpx3.available_signals(path)
    assert (info["hits"] if name in EVENTS else info["entries"]) > 100
    assert main(["info", path]) == 0
    assert ("hits" if name in EVENTS else "entries") in capsys.readouterr().out
    assert main(["info", "--json", path]) == 0
    options = {"file_format": "stempy"} if name == "x.h5" else {}
    found = check(path, show_progressbar=False, **options)
    assert found.get("hits", found.get("entries")) > 100
    assert main(["check", "--quiet", path, *(["--format", "stempy"] if options else [])]) == 0


@pytest.mark.parametrize("name", EVENTS)
def test_tools_of_recordings(files, name):
    path = str(files / name)
    n = rsciio_tpx3.file_info(path, on_loss="warn", follow=True)["hits"]
    assert sum(len(hits) for hits in rsciio_tpx3.read_hits(path)) == n
    assert "scan_x" in next(rsciio_tpx3.read_hits(path, scan=SCANNED)).columns
    try:
        rsciio_tpx3.find_scan_delay(path, **SCANNED)
    except rsciio_tpx3.ConflictError as error:
        assert str(error)  # too few hits to tell: that is an answer


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("tool", ["read_hits", "find_scan_delay"])
def test_tools_of_recordings_say_so_on_counts(files, name, tool):
    with pytest.raises(rsciio_tpx3.FormatError, match=f"holds counts.*{tool} is for recordings only"):
        getattr(rsciio_tpx3, tool)(str(files / name))


@pytest.mark.parametrize(
    "words",
    [
        ["convert", "--navigation-shape", "8", "6", "IN", "OUT"],
        ["convert", "IN", "--navigation-shape", "8,6", "OUT"],
        ["convert", "IN", "--quiet", "OUT", "--navigation-shape", "8x6"],
        ["convert", "-o", "navigation_shape=8,6", "--quiet", "IN", "--no-checksum", "OUT"],
    ],
)
def test_files_may_stand_anywhere(files, tmp_path, words):
    names = {"IN": str(files / "scan.tpx3"), "OUT": str(tmp_path / "out.toml")}
    assert main([names.get(word, word) for word in words]) == 0
    assert (tmp_path / "out.toml").exists()


@pytest.mark.parametrize("command", ["info", "metadata", "check", "convert", "demo"])
@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "nul", "zeros", "text", "absent"])
def test_what_is_no_file_of_ours_is_said_on_a_line(tmp_path, command, kind, capsys):
    path = tmp_path / "a.t3pa"
    if kind == "fifo":
        os.mkfifo(path)
    if kind == "folder":
        path.mkdir()
    if kind in ("zeros", "text"):
        path.write_bytes(bytes(999) if kind == "zeros" else b"hello world, no list\n" * 9)
    name = {"device": "/dev/null", "nul": "a\0b.t3pa"}.get(kind, str(path))
    out = [str(tmp_path / "o.toml")] if command == "convert" else []
    assert main([command, name, *out]) in (1, 2)
    output = "".join(capsys.readouterr())
    assert "Traceback" not in output and output.strip()


@pytest.mark.parametrize("option", ["layout=5", "navigation_shape=-1", "measurement=x", "toa_bits=[]", "sync={}",
                                    "dwell_time=1e999", "navigation_shape=" + "[" * 500, "no_such=1"])  # fmt: skip
def test_bad_options_are_said_on_a_line(files, option, capsys):
    assert main(["info", str(files / "list.t3pa"), "-o", option]) in (0, 2)
    assert "Traceback" not in "".join(capsys.readouterr())
