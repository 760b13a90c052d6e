"""The examples in docstrings and on the guide page run."""

import doctest
import importlib
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import hyperspy_sparse
import rsciio_tpx3


def _modules_with_examples():
    """Names of all modules of both packages that show a prompt."""
    for package in (rsciio_tpx3, hyperspy_sparse):
        folder = Path(package.__file__).parent
        for path in sorted(folder.rglob("*.py")):
            if ">>> " in path.read_text(encoding="utf-8"):
                parts = path.relative_to(folder.parent).with_suffix("").parts
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PAGE = Path(__file__).parents[2] / "docs" / "guide" / "sparse_signals.md"


@pytest.mark.slow
@pytest.mark.parametrize("name", list(_modules_with_examples()))
def test_docstring_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RSCIIO_TPX3_CACHE", str(tmp_path / "cache"))
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] in ("rsciio_tpx3", "hyperspy_sparse"):
            raise
        pytest.skip(f"needs {error.name}")
    failed, _ = doctest.testmod(module)
    assert not failed


def test_no_package_with_examples_is_forgotten():
    names = set(_modules_with_examples())
    assert {"rsciio_tpx3._register", "rsciio_tpx3.csr.base", "hyperspy_sparse.kernels.table"} <= names


@pytest.mark.slow
@pytest.mark.skipif(not PAGE.exists(), reason="not a source checkout")
def test_the_guide_page_runs_from_top_to_bottom():
    plt.switch_backend("agg")
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(block, names)  # noqa: S102  (our own page)
    plt.close("all")
    assert names["peak"].axes_manager.navigation_shape == (8, 6)
    assert type(names["again"]).__name__ == "LazySparseElectronDiffraction2D"
