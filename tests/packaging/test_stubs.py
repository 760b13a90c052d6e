"""The stubs of both packages name what the packages import on first use, from the same modules."""

import ast
import importlib
from pathlib import Path

import pytest

import rsciio_tpx3.cache


def _imports(stub):
    found = {}
    for node in ast.parse(stub.read_text(encoding="utf8")).body:
        if isinstance(node, ast.ImportFrom):
            found.update({alias.name: node.module for alias in node.names if alias.asname == alias.name})
    return found


@pytest.mark.parametrize("package", ["rsciio_tpx3", "hyperspy_sparse"])
def test_stub_names_what_is_imported_on_first_use(package):
    module = importlib.import_module(package)
    folder = Path(module.__file__).parent
    found = _imports(folder / "__init__.pyi")
    assert {name: found.get(name) for name in module._PUBLIC} == module._PUBLIC
    assert {*found, "__version__"} == set(module.__all__)
    assert (folder / "py.typed").is_file()


def test_stub_of_the_cache_names_what_is_imported_on_first_use():
    found = _imports(Path(rsciio_tpx3.cache.__file__).with_suffix(".pyi"))
    assert {*found, "CACHE_BYTES"} == set(rsciio_tpx3.cache.__all__)
    for name, module in found.items():
        assert getattr(rsciio_tpx3.cache, name) is getattr(importlib.import_module(module), name)
