"""When a progress bar is shown."""

import contextlib
import gc
import sys

import numba
import pytest

from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.utils import extensions, progress
from rsciio_tpx3.utils.compiling import Announcement, announce


@pytest.fixture
def preference(monkeypatch):
    monkeypatch.setattr(extensions, "_known", dict(extensions._known))
    monkeypatch.setitem(sys.modules, "hyperspy.api", sys.modules.get("hyperspy.api", sys))
    chosen = {"value": True}
    monkeypatch.setattr(progress, "extension", lambda name: lambda: chosen["value"])
    return chosen


def test_the_preference_of_hyperspy_decides_where_nothing_is_requested(preference):
    assert not isinstance(progress.progress_bar(None, total=1), progress._NoBar)
    preference["value"] = False
    assert isinstance(progress.progress_bar(None, total=1), progress._NoBar)
    assert not isinstance(progress.progress_bar(True, total=1, disable=True), progress._NoBar)


def test_preferences_are_not_looked_for_where_hyperspy_is_not_in_use(monkeypatch):
    monkeypatch.delitem(sys.modules, "hyperspy.api", raising=False)
    monkeypatch.setattr(progress, "extension", lambda name: pytest.fail("looked for"))
    assert not isinstance(progress.progress_bar(None, total=1), progress._NoBar)


@pytest.mark.parametrize("wanted", [True, False])
def test_progress_reaches_the_reader_by_a_name_that_hosts_leave_alone(tmp_path, capsys, wanted):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (5, 7), dwell_time="5 us", electrons_per_position=3)
    file_reader(path, navigation_shape=(7, 5), layout="quad", dwell_time="5 us", cache=False, progress=wanted)
    assert ("Indexing" in capsys.readouterr().err) == wanted


def test_compiling_is_announced_for_our_functions_and_what_loading_imports(monkeypatch):
    seen = Announcement()
    numba.core.event.register("numba:compile", seen)
    try:
        numba.njit(lambda x: x + 1)(1)
        assert seen.compiled == 0

        def ours(x):
            return x + 2

        ours.__module__ = "rsciio_tpx3.tests"
        numba.njit(ours)(1)
        assert seen.compiled == 1

        def imported(x):
            return x + 3

        imported.__module__ = "orix.tests"
        n = seen._bar.n if hasattr(seen._bar, "n") else None
        numba.njit(imported)(1)
        assert seen.compiled == 1 and (n is None or seen._bar.n == n + 1)
    finally:
        numba.core.event.unregister("numba:compile", seen)
        seen._stop_timer()
        seen._close()
    assert seen._bar is None


@pytest.mark.parametrize("enabled", [True, False])
def test_unreachable_objects_are_searched_for_after_compiling_as_before(enabled):
    def ours(x):
        return x.nothing_of_this_name if fails else x + found[0]

    ours.__module__ = "rsciio_tpx3.tests"
    found, during = (3,), []
    for fails in (False, True):
        compiled = numba.njit(ours)
        with numba.core.event.install_listener("numba:compile", _AtStart(lambda: during.append(gc.isenabled()))):
            (gc.enable if enabled else gc.disable)()
            try:
                with pytest.raises(numba.TypingError) if fails else contextlib.nullcontext():
                    compiled(1)
                assert gc.isenabled() is enabled
            finally:
                gc.enable()
    assert during
    assert not any(during)


class _AtStart(numba.core.event.Listener):
    def __init__(self, call):
        self.call = call

    def on_start(self, event):
        self.call()

    def on_end(self, event):
        pass


def test_there_is_one_announcement_in_a_process():
    assert announce() is announce()
    assert numba.core.event._registered["numba:compile"].count(announce()) == 1
