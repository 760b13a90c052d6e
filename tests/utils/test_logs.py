"""What is logged, at which level, and how it looks."""

import logging
import subprocess
import sys

import pytest

import rsciio_tpx3
from rsciio_tpx3.utils import logs


def _effective():
    names = ("rsciio_tpx3.tpx3.source", "hyperspy_sparse.mixin")
    return {logging.getLogger(name).getEffectiveLevel() for name in names}


@pytest.mark.parametrize("level, number", [("INFO", 20), ("debug", 10), (35, 35)])
def test_one_call_sets_the_level_of_both_packages(level, number):
    rsciio_tpx3.set_log_level(level)
    assert _effective() == {number}


def test_hyperspys_level_reaches_our_loggers_where_it_shows_more():
    logging.getLogger("hyperspy").setLevel("DEBUG")
    logs.follow_host()
    assert _effective() == {logging.DEBUG}
    logging.getLogger("hyperspy").setLevel("ERROR")
    logs.follow_host()
    assert logging.getLogger("rsciio_tpx3").level == logging.NOTSET  # warnings of losses stay


def test_a_level_that_was_set_is_not_changed_by_hyperspys():
    rsciio_tpx3.set_log_level("ERROR")
    logging.getLogger("hyperspy").setLevel("DEBUG")
    logs.follow_host()
    assert _effective() == {logging.ERROR}


def test_a_level_that_was_set_by_logging_is_not_changed_by_hyperspys():
    logging.getLogger("rsciio_tpx3").setLevel("INFO")
    logging.getLogger("hyperspy").setLevel("WARNING")
    logs.follow_host()
    assert logging.getLogger("rsciio_tpx3").level == logging.INFO


@pytest.mark.parametrize("level, error", [("LOUD", ValueError), (None, TypeError), (True, TypeError), (1.5, TypeError)])
def test_what_is_not_a_level_is_refused_with_the_levels(level, error):
    with pytest.raises(error, match="is not valid"):
        rsciio_tpx3.set_log_level(level)


_WARN = "import logging, rsciio_tpx3; {}logging.getLogger('rsciio_tpx3.tpx3').warning('three words lost')"


@pytest.mark.slow
@pytest.mark.parametrize(
    "setup, expected",
    [
        ("", ["WARNING | rsciio_tpx3.tpx3 | three words lost"]),
        ("logging.basicConfig(format='mine: %(message)s'); ", ["mine: three words lost"]),
    ],
)
def test_a_warning_carries_its_level_and_name_once(setup, expected):
    done = subprocess.run([sys.executable, "-c", _WARN.format(setup)], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == expected
