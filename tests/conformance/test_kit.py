"""The conformance kit: its files are what the generator makes, small, plain, and read by us as they should be."""

import ast
import json
from collections import Counter

import h5py
import numpy as np
import pytest

from conformance import plain, words
from conformance.__main__ import main
from conformance.cases import KIT, cases
from conformance.make import kit
from conformance.runner import run
from conformance.table import tables

ALL = list(cases())
PLAIN_MODULES = [
    KIT / f"{name}.py" for name in ("__init__", "__main__", "cases", "plain", "runner", "score", "table", "words")
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The kit made anew."""
    folder = tmp_path_factory.mktemp("kit")
    kit.make(folder)
    return folder


def _data(folder):
    found = {name: sorted((folder / name).rglob("*")) for name in kit.DATA}
    return {path.relative_to(folder).as_posix(): path for paths in found.values() for path in paths if path.is_file()}


def _same_random_numbers():
    """Whether NumPy draws what it drew for the committed files: a later version may draw other numbers."""
    known = json.loads((KIT / "made_with.json").read_text(encoding="utf-8"))
    return kit.random_fingerprint() == known["random_fingerprint"]


@pytest.mark.slow
def test_committed_files_are_what_the_generator_makes(made):
    if not _same_random_numbers():
        pytest.skip("this version of NumPy draws other random numbers than that of the committed files")
    committed, again = _data(KIT), _data(made)
    assert list(committed) == list(again)
    hdf5 = {name for name in committed if name.endswith((".h5", ".nxevent"))}
    different = [n for n in committed if n not in hdf5 and committed[n].read_bytes() != again[n].read_bytes()]
    assert different == []
    # versions of the HDF5 library lay out the same content in other ways
    assert all(_content(committed[name]) == _content(again[name]) for name in hdf5)


def _content(path):
    """Everything in an HDF5 file, as plain values."""
    found = {}

    def visit(name, item):
        found[name] = {key: np.asarray(value).tolist() for key, value in item.attrs.items()}
        if isinstance(item, h5py.Dataset):
            found[name, "values"] = [np.asarray(row).tolist() for row in item[()]]

    with h5py.File(path) as file:
        found["attributes"] = {key: np.asarray(value).tolist() for key, value in file.attrs.items()}
        file.visititems(visit)
    return found


def test_kit_is_small():
    files = [path for path in KIT.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 1_000_000
    assert max(path.stat().st_size for path in files) < 50_000


def test_what_others_copy_needs_numpy_alone():
    for path in [*PLAIN_MODULES, KIT / "adapters" / "__init__.py"]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        third_party = names & {"rsciio_tpx3", "hyperspy_sparse", "hyperspy", "numba", "scipy", "h5py", "dask"}
        assert third_party == set(), path.name


def test_every_file_of_the_kit_belongs_to_a_case():
    used = {path.name for case in ALL for path in case.paths}
    arrays = {f"{case.name}.{what}.raw" for case in ALL for what in ("indptr", "indices", "data")}
    for folder in ("streams", "lists", "counted", "csr"):
        for path in (KIT / folder).iterdir():
            assert path.is_dir() or path.name in used | arrays


def test_kit_has_the_cases_that_are_promised():
    names = {case.name for case in ALL}
    assert len([case for case in ALL if case.group == "streams"]) >= 20
    promised = """disorder rollover_26s rollover_107s rollover_429s lost_chunk cut_chunk cut_word empty_chunks
        header_like headerless two_pieces gap_4 repeated_frames raw_csr_int32 raw_csr_int64
        stempy_3 nxevent list_t3pa list_t3p"""
    assert set(promised.split()) <= names
    syncs = {case.about["scan"]["sync"] for case in ALL if "scan" in case.about}
    assert syncs == {"line-gate", "line-start", "periodic-line", "pixel-trigger", "frame-trigger", "shared-clock"}


@pytest.mark.parametrize("case", [c for c in ALL if c.group == "streams"], ids=lambda case: case.name)
def test_expected_hits_are_what_the_words_say(case):
    found = []
    for path in case.paths:
        found += plain.chunks(path.read_bytes(), case.about["headerless"])[0]
    hits, _ = plain.decode(found)
    expected = case.hits()
    n_stale = case.about["losses"].get("hits_before_reset", 0)
    assert len(hits) == len(expected) + n_stale
    # ToT and the time within 25 ns and 409.6 us need neither layout nor rollovers
    said = Counter((tot, ticks % (96 << 14)) for *_, ticks, tot in hits)
    rest = said - Counter(zip(expected["tot"].tolist(), (expected["toa"] % (96 << 14)).tolist()))
    assert rest.total() == n_stale
    if "rows" in case.about:
        indptr, _, values = case.rows()
        assert len(indptr) - 1 == case.n_rows
        assert values.sum() == len(expected) - case.about["hits_outside_the_scan"]


def test_vectors_read_back():
    n = 0
    for path in (KIT / "vectors").glob("*.json"):
        for entry in json.loads(path.read_text(encoding="utf-8")).get("words", []):
            if path.stem != "live_words":
                assert words.word(entry["kind"], **entry["fields"]) == int(entry["word"], 16)
                n += 1
    assert n > 150


@pytest.fixture(scope="module")
def ours():
    return list(run("ours"))


@pytest.mark.slow
def test_our_readers_pass_everything_they_offer(ours):
    assert [row for row in ours if row[2] is False] == []


@pytest.mark.slow
def test_our_readers_offer_what_a_file_can_hold(ours):
    absent = {name for name, _, passed, _ in ours if passed is None}
    streams = {f"csr/{case.name}" for case in ALL if case.about["format"] == "csr_stream"}
    assert absent == streams | {"vectors/control", "vectors/global_times", "vectors/live_words"}
    assert len(ours) - len(absent) > 150


def test_reader_that_crashes_is_named_and_the_rest_goes_on(tmp_path, capsys):
    adapter = tmp_path / "odd.py"
    adapter.write_text(
        "import os\n"
        "FORMATS = ('tpx3',)\n"
        "def version():\n    return 'odd 1'\n"
        "def hits(case):\n"
        "    if case.name == 'gap_2':\n        os._exit(11)\n"
        "    if case.name == 'gap_4':\n        raise ValueError('no such gap')\n"
        "    return {name: case.hits()[name] for name in ('x', 'y', 'toa', 'tot')}\n"
    )
    report = tmp_path / "report.json"
    assert main([str(adapter), "streams/gap", "streams/ordered", "--json", str(report)]) == 1
    said = capsys.readouterr().out
    assert "the process ended with code 11" in said
    assert "ValueError: no such gap" in said
    assert said.splitlines()[-1].startswith("odd 1: 1 pass, 2 differ")
    results = {(r["case"], r["aspect"]): r["passed"] for r in json.loads(report.read_text())["results"]}
    assert results["streams/ordered", "hits"] is True
    assert results["streams/ordered", "rows"] is None


def test_table_has_a_column_for_readers_that_offer_something_and_a_legend():
    rows = [("hits", True, "equal"), ("rows", None, "not offered")]
    other = [("hits", False, "axes swapped; 3 of 9 hits missing")]
    results = [
        {"version": version, "results": [
            {"case": f"streams/{name}", "aspect": aspect, "passed": passed, "says": says}
            for name in ("one", "two", "three") for aspect, passed, says in said
        ]}
        for version, said in (("a 1", rows), ("b 2", other), ("c 3", [("hits", None, "not offered")]))
    ]  # fmt: skip
    lines = tables(results).splitlines()
    assert lines[0] == "| streams | a 1 | b 2 |"
    assert lines[2] == "| `one` | hits | **a**; **b** |"
    assert lines[-2:] == ["* **a**: axes swapped", "* **b**: 3 of 9 hits missing"]


def test_page_names_every_case():
    page = KIT.parent / "docs" / "formats" / "conformance.md"
    if not page.exists():
        pytest.skip("the pages are in the repository only")
    text = page.read_text(encoding="utf-8")
    assert [case.name for case in ALL if f"| `{case.name}` |" not in text] == []
