"""Private names of the hosts: each has its row in `hyperspy_sparse.hosts`, and is still there."""

import ast
import importlib
import inspect
from importlib.metadata import version
from pathlib import Path

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
import rsciio_tpx3
from hyperspy_sparse.hosts import CHECKED_WITH, PRIVATE_NAMES

FOLDERS = [Path(package.__file__).parent for package in (hyperspy_sparse, rsciio_tpx3)]
OF_OTHERS = {
    "_meta": "dask's empty chunk, documented for those who make arrays",
    "_fields": "namedtuple's documented name",
    **dict.fromkeys(
        ("_actions", "_SubParsersAction", "_ActionsContainer", "_get_formatter", "_mutually_exclusive_groups"),
        "argparse has no public way to its own options and commands, which shell completion lists, and which a short "
        "usage leaves to the help; the same since 2.7",
    ),
    **dict.fromkeys(
        ("_rho", "_beta_loss", "_transform_max_iter"),
        "scikit-learn's state of an online NMF; where one is missing, its own steps run (see `online_nmf`)",
    ),
    "_NoValue": "NumPy's default of arguments, needed to tell them from None",
}


def _trees():
    for folder in FOLDERS:
        for path in folder.rglob("*.py"):
            yield path, ast.parse(path.read_text(encoding="utf8"))


def _owner(row):
    module, _, name = row.owner.partition(":")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("row", PRIVATE_NAMES, ids=lambda row: row.name)
def test_private_name_is_still_there(row):
    owner = _owner(row)
    found = getattr(owner, row.name, None)
    where = f"{row.owner}.{row.name}, checked with {CHECKED_WITH}, found {version('hyperspy')} and {version('pyxem')}"
    if row.parameters is None:
        signal = hs.signals.Signal2D(np.zeros((2, 3, 4)))
        instance = signal if isinstance(signal, owner) else signal.axes_manager
        assert hasattr(instance, row.name), f"{where}: {row.reason}; it is gone"
        return
    assert found is not None, f"{where}: {row.reason}; it is gone"
    names = [name for name in inspect.signature(found).parameters if name != "self"]
    assert tuple(names[: len(row.parameters)]) == row.parameters, f"{where}: its parameters are {names} now"


@pytest.mark.slow
def test_every_private_name_of_a_host_that_is_used_has_a_row():
    defined, used = set(), {}
    for path, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                defined.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                defined.add(node.id)
            elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                if isinstance(node.ctx, ast.Store):
                    defined.add(node.attr)
                else:
                    used.setdefault(node.attr, f"{path.name}:{node.lineno}")
    hosts = [_owner(row) for row in PRIVATE_NAMES]
    foreign = {name for name in used if name not in defined or any(hasattr(host, name) for host in hosts)}
    missing = {name: used[name] for name in foreign - {row.name for row in PRIVATE_NAMES} - set(OF_OTHERS)}
    assert not missing, f"say in hyperspy_sparse/hosts.py why these are needed: {missing}"


@pytest.mark.slow
def test_private_modules_of_hosts_are_imported_in_one_place_only():
    wrong = []
    for path, tree in _trees():
        for node in ast.walk(tree):
            module = getattr(node, "module", None) if isinstance(node, ast.ImportFrom) else None
            if not module or module.split(".")[0] not in ("hyperspy", "pyxem", "dask", "rsciio", "sparse"):
                continue
            names = [*module.split("."), *(alias.name for alias in node.names)]
            if any(name.startswith("_") for name in names) and path.name not in ("hosts.py", "dask_private.py"):
                wrong.append(f"{path.name}:{node.lineno}")
    assert not wrong
