"""The page on architecture is about this code: its table of wings, and the functions that a byte passes."""

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/contributing/architecture.md"

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="pages and benchmarks are in the repository only")


@pytest.fixture
def structure(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    yield importlib.import_module("benchmarks.structure")
    sys.modules.pop("benchmarks.structure", None)


def test_table_of_wings_is_in_step_with_the_layers(structure):
    text = PAGE.read_text(encoding="utf-8").split("## The wings")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE)
    package = ROOT / "rsciio_tpx3"
    there = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    layers = [[wing for wing in wings if wing in there] for wings in structure.LAYERS]
    assert [wing for wing, _ in rows] == [wing for wings in layers for wing in wings]
    assert there - {"__init__"} == {wing for wings in layers for wing in wings}
    assert all("?" in question for _, question in rows)


@pytest.mark.slow
def test_imports_look_down_only(structure):
    assert structure.against_layers(ROOT) == []


def _has(thing, names):
    for name in names:
        if name in getattr(thing, "__annotations__", ()) and not hasattr(thing, name):
            return True
        if not hasattr(thing, name):
            return False
        thing = getattr(thing, name)
    return True


def test_functions_on_the_way_of_a_byte_exist(structure):
    text = PAGE.read_text(encoding="utf-8").split("## One byte")[1].split("\n## ")[0]
    modules = set(structure.modules(ROOT))
    checked = 0
    for name in re.findall(r"`([a-z_0-9]+(?:\.\w+)+)", text):
        if name.startswith("s."):  # a signal of the text
            continue
        full = name if name.startswith(("hyperspy_sparse.", "rsciio_tpx3.")) else f"rsciio_tpx3.{name}"
        module = max((m for m in modules if full.startswith(f"{m}.")), key=len)
        rest = full[len(module) + 1 :]
        assert _has(importlib.import_module(module), rest.split(".")), f"{name}: {module} has no {rest}"
        checked += 1
    assert checked > 20
