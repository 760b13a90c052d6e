"""The notebooks of ``docs/tutorials`` run from their first cell to their last, each in a folder of its own."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / "docs/tutorials"
NOTEBOOKS = sorted(path.name for path in TUTORIALS.glob("*.ipynb"))

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="notebooks are in the repository only")


@pytest.fixture
def read():
    nbformat = pytest.importorskip("nbformat", reason="notebooks need nbformat, nbclient and ipykernel")
    return lambda name: nbformat.read(TUTORIALS / name, as_version=4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name, read, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    # the packages of this checkout, for the kernel and for the workers that it starts
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    notebook = read(name)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()  # raises with the cell and its error


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stored_without_results(name, read):
    notebook = read(name)
    assert notebook.cells[0].source.startswith("# "), "the first cell has the title"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, "clear all outputs before you commit"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_links_of_a_notebook_exist(name, read):
    for cell in read(name).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)\s#]+)", cell.source):
                assert "://" in target or (TUTORIALS / target).exists(), f"{name} links to {target}"
