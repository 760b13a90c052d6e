"""The code of the guide and of the docstrings runs as it stands."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import rsciio_tpx3.simulate

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "simulate.md"
MODULES = [m.name for m in pkgutil.iter_modules(rsciio_tpx3.simulate.__path__, "rsciio_tpx3.simulate.")]


@pytest.mark.slow
@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is in the repository only")
def test_code_of_the_guide_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code) >= 5
    exec("\n".join(code), {})


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
