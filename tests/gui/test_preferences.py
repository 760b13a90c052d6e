"""Preferences: one file, behind the environment and what is set today; old ways keep working."""

import json
import logging

import hyperspy.api as hs
import pytest

import hyperspy_sparse
import rsciio_tpx3
from hyperspy_sparse.gui import Preferences
from rsciio_tpx3.utils import logs, settings


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for variable in settings.VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(hs.preferences, "save", lambda: None)
    monkeypatch.setattr(settings, "_session", {})
    yield tmp_path
    hyperspy_sparse.set_limit(None)


def test_what_is_chosen_holds_at_once_and_what_is_saved_later_too(home, monkeypatch, widgets):
    preferences = Preferences()
    shown = widgets(preferences)
    shown["memory_limit"].value, shown["cache_folder"].value = "3 GiB", str(home / "fast")
    assert hyperspy_sparse.get_limit() == 3 * 2**30 and rsciio_tpx3.cache_folder() == home / "fast" / "rsciio_tpx3"
    shown["save"].click()
    assert json.loads(settings.file_of_settings().read_text()) == {
        "memory_limit": "3 GiB", "cache_folder": str(home / "fast"),
    }  # fmt: skip
    hyperspy_sparse.set_limit(None)  # another session
    settings._session.clear()
    assert hyperspy_sparse.get_limit() == 3 * 2**30 and rsciio_tpx3.cache_folder().parent == home / "fast"
    assert Preferences().memory_limit == "3 GiB"
    monkeypatch.setenv("HYPERSPY_SPARSE_MEMORY_LIMIT", "4 GiB")
    monkeypatch.setenv("RSCIIO_TPX3_CACHE", str(home / "here"))
    assert hyperspy_sparse.get_limit() == 4 * 2**30 and rsciio_tpx3.cache_folder().parent == home / "here"
    hyperspy_sparse.set_limit("5 GiB")
    assert hyperspy_sparse.get_limit() == 5 * 2**30
    shown["forget"].click()
    assert settings.saved_settings() == {} and shown["memory_limit"].value == ""


def test_wrong_values_are_said_and_not_saved(home):
    preferences = Preferences()
    preferences.memory_limit = "many"
    assert "not a size" in preferences.problem
    with pytest.raises(ValueError, match="Nothing is saved"):
        preferences.save()
    preferences.memory_limit = ""
    preferences.cache_folder = "here"
    assert "whole path" in preferences.problem and not settings.file_of_settings().exists()


def test_limit_that_an_earlier_version_saved_still_holds(home):
    (home / ".hyperspy").mkdir(exist_ok=True)
    (home / ".hyperspy" / "hyperspy_sparse_memory_limit").write_text("1073741824\n")
    assert hyperspy_sparse.get_limit() == 2**30
    hyperspy_sparse.save_limit("2 GiB")
    assert hyperspy_sparse.get_limit() == 2**31 and settings.saved_settings() == {"memory_limit": str(2**31)}
    hyperspy_sparse.save_limit(None)
    assert settings.saved_settings() == {}


def test_file_that_cannot_be_read_is_said_once(home, caplog):
    path = settings.file_of_settings()
    path.parent.mkdir(exist_ok=True)
    path.write_text("[1, 2")
    settings._complained.clear()
    assert settings.saved_settings() == {} == settings.saved_settings()
    assert caplog.text.count("cannot be read") == 1


def test_level_that_was_saved_is_taken_until_another_is_set(home, monkeypatch):
    monkeypatch.setattr(logs, "_chosen", False)
    logger = logging.getLogger("rsciio_tpx3")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    settings.save_settings(log_level="INFO")
    logs.follow_host()
    assert logger.level == logging.INFO
    Preferences().log_level = "ERROR"
    logs.follow_host()
    assert logger.level == logging.ERROR


def test_progress_bars_are_hyperspys(home):
    before = hs.preferences.General.show_progressbar
    preferences = Preferences()
    preferences.show_progressbar = not before
    assert hs.preferences.General.show_progressbar is not before
    preferences.show_progressbar = before


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="must be one of memory_limit"):
        settings.save_settings(memory="1")


def test_preferences_open_as_a_window(window):
    panel, _ = window(Preferences())
    panel.clear_cache = True
    assert "freed" in panel.tool.report and not panel.has_picture
