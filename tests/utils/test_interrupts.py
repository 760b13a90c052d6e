"""Ctrl+C ends what runs, wherever it meets it."""

import builtins
import gc
import os
import signal
import sys
import threading
import weakref
from pathlib import Path

import pytest

from rsciio_tpx3 import nxevent, simulate, stempy
from rsciio_tpx3.cli import start
from rsciio_tpx3.convert import convert
from rsciio_tpx3.utils.interrupts import held_interrupt

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")


@pytest.fixture(autouse=True)
def python_s_own_handler():
    """As in a terminal: a shell starts what runs in the background with interrupts ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class _Thing:
    """Something that a weak reference can refer to."""


def _interrupt_as_after_hdf5():
    """Ctrl+C that meets the function of a weak reference, where Python prints it and goes on."""
    thing = _Thing()
    kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
    del thing
    gc.collect()
    return kept


def test_an_interrupt_acts_at_the_end_of_what_held_it():
    before, reached = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), held_interrupt():
        _interrupt_as_after_hdf5()
        reached.append("end")
    assert reached == ["end"] and signal.getsignal(signal.SIGINT) is before


def test_other_threads_and_other_handlers_pass_through():
    before = signal.getsignal(signal.SIGINT)
    found = []

    def work():
        with held_interrupt():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_interrupt():
            found.append(signal.getsignal(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert found == [before, signal.SIG_IGN]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("name", "module", "sink", "method"),
    [
        ("counted.nxevent", nxevent, "NXEventSink", "append"),
        ("counted.nxevent", nxevent, "NXEventSink", "finish"),
        ("counted.nxevent", nxevent, "NXEventSink", "__init__"),
        ("counted.h5", stempy, "StempySink", "append"),
        ("counted.h5", stempy, "StempySink", "finish"),
        ("counted.h5", stempy, "StempySink", "__init__"),
    ],
)
def test_a_conversion_ends_where_hdf5_would_lose_the_interrupt(tmp_path, monkeypatch, name, module, sink, method):
    simulate.recording(tmp_path / "scan.tpx3", (5, 7), dwell_time="5 us", electrons_per_position=6)
    cls = getattr(module._api, sink)
    done = getattr(cls, method)

    def interrupted(self, *args):
        _interrupt_as_after_hdf5()
        return done(self, *args)

    monkeypatch.setattr(cls, method, interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(
            tmp_path / "scan.tpx3", tmp_path / name, to_format="stempy" if name.endswith("h5") else None,
            reader_options={"navigation_shape": (7, 5), "cache": False}, show_progressbar=False,
        )  # fmt: skip
    assert os.listdir(tmp_path) == ["scan.tpx3"]


def test_the_program_ends_in_words_while_it_is_imported(monkeypatch, capsys):
    usual = builtins.__import__

    def interrupted(name, *args):
        if name == "rsciio_tpx3.cli.main":
            raise KeyboardInterrupt
        return usual(name, *args)

    monkeypatch.setattr(builtins, "__import__", interrupted)
    assert start.main() == 130
    assert capsys.readouterr().err == "rsciio-tpx3: interrupted\n"
    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.exists():
        assert 'rsciio-tpx3 = "rsciio_tpx3.cli.start:main"' in project.read_text(encoding="utf-8")
