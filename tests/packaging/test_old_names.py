"""Documented modules of 0.1 that have moved are found by their old names, and say so."""

import importlib
import pickle
import subprocess
import sys
import warnings

import pytest

import rsciio_tpx3.cache
from rsciio_tpx3._moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_old_name_is_the_new_module_and_warns(old):
    new = importlib.import_module(MOVED[old])
    spec = new.__spec__
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=MOVED[old]):
        found = importlib.import_module(old)
    assert found is new and new.__spec__ is spec and new.__name__ == MOVED[old]


def test_names_of_moved_modules_are_imported_as_before_and_pickle():
    sys.modules.pop("rsciio_tpx3.events.clusters", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from rsciio_tpx3.events.clusters import ClusterOptions
    assert pickle.loads(pickle.dumps(ClusterOptions())) == ClusterOptions()


def test_package_that_was_a_module_has_its_functions():
    assert rsciio_tpx3.cache.cache_folder is rsciio_tpx3.cache_folder
    with pytest.raises(AttributeError):
        getattr(rsciio_tpx3.cache, "no_such_name")  # noqa: B009


@pytest.mark.slow
def test_new_names_do_not_warn():
    code = "import importlib, rsciio_tpx3._moved as m; [importlib.import_module(new) for new in m.MOVED.values()]"
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:rsciio_tpx3", "-c", code], capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
