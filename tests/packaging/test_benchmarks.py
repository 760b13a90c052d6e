"""The benchmarks run as far as can be checked without a clock: inputs are right, pages are made."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as suite
from benchmarks import measure, recordings
from rsciio_tpx3 import file_reader

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="benchmarks are in the repository only")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_recordings_have_the_hits_they_should_where_they_should(tmp_path):
    path = recordings.write(tmp_path / "scan.tpx3", 90_000, (9, 7))
    [found] = file_reader(path, navigation_shape=(7, 9), lazy=True, cache=False, show_progressbar=False)
    scan = found["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]
    assert scan["hits_total"] == 90_000
    assert (scan["lines_found"], scan["lines_repaired"]) == (9, 0)
    counts = np.asarray(found["data"].sum(axis=(2, 3)).compute())
    # the beam scans for 0.9 of a line
    assert counts.sum() == pytest.approx(0.9 * 90_000, rel=0.01)
    assert counts.std() < 0.02 * counts.mean()
    pattern = np.asarray(found["data"].sum(axis=(0, 1)).compute())
    assert pattern[236:276, 236:276].sum() > 0.4 * pattern.sum()


@pytest.mark.slow
def test_a_recording_of_repeated_lines_is_as_regular(tmp_path):
    from benchmarks import recordings
    from rsciio_tpx3 import file_reader

    # 29 s: the clock of the hits, of 26.8 s, begins anew in between
    path = recordings.write(tmp_path / "scan.tpx3", 70_000, (70_000, 3), different=1)
    assert recordings.write(tmp_path / "other.tpx3", 9_000, (11, 7), different=3)
    for name, shape in ((path, (3, 70_000)), (tmp_path / "other.tpx3", (7, 11))):
        [found] = file_reader(name, navigation_shape=shape, lazy=True, cache=False, show_progressbar=False)
        scan = found["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]
        assert (scan["lines_found"], scan["lines_repaired"]) == (shape[1], 0)
        counts = np.asarray(found["data"].sum(axis=(2, 3)).compute())
        assert counts.sum() > 0.8 * scan["hits_total"]
        assert (counts.sum(axis=1) == counts.sum(axis=1)[0]).all() or counts.std() < 0.05 * counts.mean()


def test_every_benchmark_that_the_suite_names_is_there_or_may_come():
    missing = {name for name in suite.MODULES if importlib.util.find_spec(f"benchmarks.{name}") is None}
    assert missing <= {"clusters"}


def test_the_results_page_holds_targets_tables_and_the_machine(tmp_path, monkeypatch):
    notes = tmp_path / "notes.jsonl"
    monkeypatch.setenv("BENCHMARK_NOTES", str(notes))
    measure.target("Opening", "at most 3", "2.5", True)
    measure.target("Loading", "at most 3", "4.5", False)
    measure.point("packets", "index", 10, 0.1)
    measure.point("packets", "index", 100, 1.0)
    found = [suite.json.loads(line) for line in notes.read_text().splitlines()]
    assert suite.draw(found, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000
    result = {"name": "opening", "text": "| a |", "seconds": 60.0, "notes": found, "machine": measure.machine()}
    text = suite.page([result], True)
    assert "Measured in 1 minutes" in text and "Not measured this time: `reading`" in text
    assert "1 of 2 are reached" in text
    assert "| Opening | at most 3 | 2.5 | yes | [Size](#size) |" in text
    assert text.index("| Loading | at most 3 | 4.5 | **no** | [Size](#size) |") < text.index("| Opening |")
    assert suite.ABOUT["opening"] in text and set(suite.ABOUT) == set(suite.MODULES)
    assert measure.machine() in text and "performance.png" in text
    assert not suite.draw([], tmp_path / "none.png")


@pytest.mark.slow
def test_a_module_that_fails_is_named_and_stops_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(suite, "MODULES", {"recordings": ("Writing", [], []), "absent": ("Absent", [], [])})
    results = suite.collect(["absent", "recordings"], True, tmp_path)
    assert [result["name"] for result in results] == ["recordings"]
    assert "did not finish" in results[0]["text"] and results[0]["notes"] == []
    assert sys.executable not in results[0]["text"]
    capsys.readouterr()


def test_results_stay_until_better_ones_come(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(suite, "MODULES", {"recordings": ("Writing", [], []), "reading": ("Reading", [], [])})
    answers = iter([("whole", None), ("half", "stopped after 10 s"), ("new", None)])
    monkeypatch.setattr(suite, "run", lambda *_: next(answers))
    for expected in ("whole", "whole", "new"):
        suite.collect(["recordings"], True, tmp_path, tmp_path)
        assert suite._stored(tmp_path, "recordings")["text"] == expected
    assert suite.collect(["recordings", "reading"], True, tmp_path, tmp_path, minutes=0.1) == []
    assert suite._stored(tmp_path, "reading") is None
    assert "the 0.1 minutes are over" in capsys.readouterr().out


@pytest.mark.slow
def test_a_module_that_takes_too_long_ends_with_what_it_has_printed(tmp_path):
    text, error = suite.run("structure", [], tmp_path / "notes.jsonl", 0.01)
    assert text == "" and error == "stopped after 0 s"


def test_the_results_page_shows_no_progress_bars():
    from benchmarks import __main__ as suite

    dask = (
        "[        ] | 0% Completed | 189.21 us\r[####    ] | 50% Completed | 1 s\r[########] | 100% Completed | 100 ms"
    )
    tqdm = "Indexing:   0%|          | 1.05M/250M\rIndexing: 100%|##########| 250M/250M [00:05<00:00, 46.0MB/s]"
    text = f"before\n{dask}\n\n\n\n| share | 12 % |\n{tqdm}\nafter 100 % of it\r\n"
    assert suite.without_progress(text) == "before\n\n| share | 12 % |\nafter 100 % of it\n"
    text = "## 128 x 128\n\n# Other"
    page = suite.page([{"name": "signals", "text": text, "seconds": 1.0, "notes": [], "machine": "one"}], False)
    assert "\n### 128 x 128\n" in page and "\n### Other" in page
