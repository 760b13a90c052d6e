"""One run within its limits: files written, read, and judged."""

import os
import re
import resource
import shutil
import signal
import time
import traceback
import warnings
from contextlib import contextmanager

from numba.core import event

from rsciio_tpx3 import exceptions
from tests.fuzz.case import Verdict

__all__ = ["MEMORY_BYTES", "MEMORY_FACTOR", "SECONDS", "TooLong", "run"]

SECONDS = 5.0
"""Processor time of one run above which it hangs; a good one takes some milliseconds."""

MEMORY_BYTES, MEMORY_FACTOR = 64 * 2**20, 10
"""What one run may add to the process: this, and this many times the size of its files."""

_ADDRESS_SPACE = 3 * 2**30
"""Above what is in use, so that an absurd request ends in an error and not in swapping."""


class TooLong(BaseException):
    """The time of a run is over; no `except Exception` on the way catches it."""


class _Compilations(event.Listener):
    """Functions that numba compiles: whether one is at work, and how many there were.

    Warming up meets most of them. One that only rare damage needs takes seconds and a hundred MiB once, and neither is
    the reader's.
    """

    def __init__(self):
        self.running, self.number = 0, 0
        self.tell = lambda number: None

    def on_start(self, event):
        self.running += 1
        self.number += 1
        self.tell(self.number)

    def on_end(self, event):
        self.running -= 1
        self.tell(self.number)


COMPILATIONS = _Compilations()
event.register("numba:compile", COMPILATIONS)


def run(target, files, seed, folder):
    """Write the files, read them with the project's reader, and judge what it says.

    Parameters
    ----------
    target : tests.fuzz.case.Target
    files, seed : dict of str to bytes
    folder : str or Path
        Emptied first.

    Returns
    -------
    Verdict
    """
    before = COMPILATIONS.number
    verdict = _run(target, files, seed, folder)
    return verdict if COMPILATIONS.number == before else _run(target, files, seed, folder)


def _run(target, files, seed, folder):
    _write(files, folder)
    size = sum(map(len, files.values()))
    try:
        with _limits() as used:
            found = target.read(str(folder))
    except TooLong:
        return Verdict("hang", f"more than {SECONDS} s")
    except MemoryError as error:
        return Verdict("memory", f"{error!r}")
    except Exception as error:
        verdict = _of_error(error, files, getattr(target, "plain_errors", True))
    else:
        verdict = target.judge(found, files, seed)
    if used["bytes"] > MEMORY_BYTES + MEMORY_FACTOR * size:
        return Verdict("memory", f"{used['bytes'] / 2**20:.0f} MiB for {size} bytes; {verdict.outcome}: {verdict.note}")
    return verdict


def _write(files, folder):
    # an own name for each run costs more than to empty a folder of a few files
    os.makedirs(folder, exist_ok=True)
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            os.unlink(entry.path)
    for name, content in files.items():
        with open(os.path.join(folder, name), "wb", buffering=0) as file:
            file.write(content)


def _of_error(error, files, plain_errors):
    """Whether an error is one of ours: its class, where it was raised, and that it says which file."""
    ours = (exceptions.FormatError, exceptions.ConflictError, exceptions.UnitError, exceptions.LimitError)
    words = " ".join(f"{type(error).__name__}: {error}".split())
    frame = traceback.extract_tb(error.__traceback__)[-1]
    raised_here = any(part in frame.filename for part in ("rsciio_tpx3", "hyperspy_sparse"))
    stated = isinstance(error, ours) or (
        isinstance(error, (ValueError, TypeError, OverflowError, OSError, ImportError) if plain_errors else OSError)
        and raised_here
        and "raise" in (frame.line or "")
    )
    if not stated:
        return Verdict("raw error", f"{words[:200]} at {os.path.basename(frame.filename)}:{frame.lineno}")
    if isinstance(error, exceptions.FormatError) and not any(name in words for name in files):
        return Verdict("raw error", f"no file named: {words[:200]}")
    return Verdict("refused", words[:120])


@contextmanager
def _limits():
    """Processor time and address space are limited; tells how much memory was added at the most."""
    used = {"bytes": 0}
    (in_use, before), address_space = _sizes(), resource.getrlimit(resource.RLIMIT_AS)
    _reset_peak()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + _ADDRESS_SPACE, address_space[1]))
    old = signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    begin = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield used
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)
        resource.setrlimit(resource.RLIMIT_AS, address_space)
        used["bytes"] = _peak() - before
        used["seconds"] = time.process_time() - begin


def _stop(*_):
    if not COMPILATIONS.running:
        raise TooLong
    signal.setitimer(signal.ITIMER_PROF, SECONDS)


_PAGE = resource.getpagesize()
_PEAK = re.compile(rb"VmHWM:\s*(\d+)")


def _sizes():
    """Addresses and memory in use by this process in bytes, where the system tells (Linux); 0 elsewhere."""
    words = _content("/proc/self/statm").split()
    return (int(words[0]) * _PAGE, int(words[1]) * _PAGE) if words else (0, 0)


def _peak():
    """Most memory that was in use since `_reset_peak`, in bytes (Linux); 0 elsewhere."""
    found = _PEAK.search(_content("/proc/self/status"))
    return int(found[1]) * 1024 if found else 0


def _content(path):
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(1 << 14)
    except OSError:
        return b""


def _reset_peak():
    """Let the peak of resident memory begin anew (Linux)."""
    try:
        with open("/proc/self/clear_refs", "wb", buffering=0) as file:
            file.write(b"5")
    except OSError:
        pass
