"""A part of the sweep of odd values, by chance from a fixed seed; ``python -m tests.sweep`` makes all of it."""

import importlib
import os
from pathlib import Path

import numpy as np
import pytest

from rsciio_tpx3.reader.option_checks import check_options
from tests.sweep import functions
from tests.sweep.__main__ import sweep

pytestmark = pytest.mark.slow  # a campaign

SEED = 1
NUMBER = 2
"""Values of each option; an option that is new is swept by itself."""


def test_every_public_function_has_a_call_in_the_sweep(tmp_path):
    missing = {name for name, _ in functions.public_functions()} - set(functions.calls(tmp_path))
    assert not missing, "give these a call that works in tests/sweep/functions.py"


PARTS = (
    *("rsciio_tpx3.", "t3pa.", "raw_csr.", "nxevent.", "stempy.", "convert.", "metadata.", "command."),
    *("hyperspy_sparse.", "signal.save"),
)


@pytest.mark.parametrize("part", PARTS)
def test_odd_values_give_an_answer_or_an_error_that_names_the_option(part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RSCIIO_TPX3_CACHE", str(tmp_path / "cache"))
    n_runs, faults = sweep(Path("work").absolute(), SEED, NUMBER, whole=False, words=(part,))
    assert not faults
    assert n_runs >= NUMBER


@pytest.mark.skipif(os.name != "posix", reason="pipes, and links in a circle")
@pytest.mark.parametrize("name", ["raw_csr", "nxevent", "stempy"])
def test_what_is_no_file_is_not_replaced_by_one(name, tmp_path):
    """Whoever is root would put a file in the place of a device."""
    writer = importlib.import_module(f"rsciio_tpx3.{name}").file_writer
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    for place in ("pipe", "folder", "loop"):
        with pytest.raises((ValueError, OSError), match=r"filename.*(pipe|folder|[Ll]evels of symbolic links)"):
            writer(tmp_path / place, functions._dictionary())
    with pytest.raises(ValueError, match="filename.*a device"):
        writer(os.devnull, functions._dictionary())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "loop", "pipe"]
    assert not Path(os.devnull).is_file()


def test_a_type_of_numbers_is_named_by_its_name():
    for odd in (np.True_, np.zeros(3), " ", "\x00", np.int64(3)):
        with pytest.raises(ValueError, match="dtype="):
            check_options({"dtype": odd})
    for good in ("uint16", np.uint8, np.dtype("<f4"), float, None):
        check_options({"dtype": good})
