"""Faults in a child process: killed, refused, slowed or starved at the n-th call that changes a folder.

A child is forked, does its work with `os.replace` and its like wrapped, and is gone; the parent learns how it ended.
"""

import contextlib
import errno
import importlib
import os
import random
import resource
import signal
import subprocess
import time
import traceback
from dataclasses import dataclass

CALLS = ("replace", "rename", "remove", "unlink", "fsync", "link", "symlink", "truncate", "rmdir")
"""Functions of `os` by which a writer gives files names, takes them away, and has them on the disk."""

TIMEOUT = 60


@dataclass(frozen=True)
class Fault:
    """What happens at one of the calls.

    Attributes
    ----------
    what : {"none", "kill before", "kill after", "refuse", "slow"}
    at : int
        Number of the call, from 1; "slow" is for all of them.
    """

    what: str = "none"
    at: int = 0


@dataclass(frozen=True)
class Ending:
    """How a child ended.

    Attributes
    ----------
    how : str
        "done", "killed by signal 9", "still running", or the error's type and words.
    calls : int
        Calls of `CALLS` that were begun.
    answer : object
        What the work gave, as text.
    """

    how: str
    calls: int = 0
    answer: str = ""

    @property
    def done(self):
        return self.how == "done"

    @property
    def is_ours(self):
        """Whether it ended by an error that a person can understand: of ours, or of the operating system."""
        return self.how.startswith(("ours: ", "os: "))


def start(work, fault=Fault(), seed=0):
    """Fork a child that does the work; returns what `finish` takes."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read, time.monotonic()
    counted = [0]
    try:
        os.close(read)
        _wrap(fault, counted, random.Random(seed))
        text = f"done\n{work()}"
    except BaseException as error:
        text = f"{_name(error)}\n"
        if os.environ.get("CHAOS_TRACE"):
            traceback.print_exc()
    os.write(write, f"{counted[0]}\n{text}"[:4000].encode())
    os._exit(0)


def finish(child, timeout=TIMEOUT):
    """Wait for a child, and tell its `Ending`."""
    pid, read, begin = child
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        if time.monotonic() - begin > timeout:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(read)
            return Ending("still running")
        time.sleep(0.002)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    if os.WIFSIGNALED(status):
        return Ending(f"killed by signal {os.WTERMSIG(status)}")
    calls, how, *answer = text.split("\n", 2)
    return Ending(how, int(calls), answer[0] if answer else "")


def run(work, fault=Fault(), seed=0):
    """`start` and `finish`."""
    return finish(start(work, fault, seed))


def calls_of(work):
    """How many of the calls a whole run makes."""
    ending = run(work)
    assert ending.done, ending
    return ending.calls


def _name(error):
    words = " ".join(str(error).split())[:300]
    ours = importlib.import_module("rsciio_tpx3.exceptions")._OURS
    kind = "ours" if isinstance(error, ours) else "os" if isinstance(error, OSError) and error.errno else "raw"
    # raised by this project in words of its own, such as a missing file; libraries raise errors of the same types
    last = traceback.extract_tb(error.__traceback__)[-1]
    if kind == "raw" and f"{os.sep}rsciio_tpx3{os.sep}" in last.filename and (last.line or "").startswith("raise "):
        kind = "ours"
    return f"{kind}: {type(error).__name__}: {words}"


def _wrap(fault, counted, rng):
    def wrapped(function):
        def call(*args, **kwds):
            counted[0] += 1
            hit = counted[0] == fault.at
            if fault.what == "slow":
                time.sleep(rng.uniform(0, 0.02))
            if hit and fault.what == "kill before":
                os.kill(os.getpid(), signal.SIGKILL)
            if hit and fault.what == "refuse":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), args[0] if args else None)
            found = function(*args, **kwds)
            if hit and fault.what == "kill after":
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return call

    for name in CALLS:
        setattr(os, name, wrapped(getattr(os, name)))


def limit_file_size(n_bytes):
    """From now on no file of this process may grow larger: the nearest thing to a full disk without being root."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


@contextlib.contextmanager
def small_disk(folder, n_bytes):
    """A file system of a few bytes at a folder; gives whether it could be mounted."""
    os.makedirs(folder, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={max(n_bytes, 4096)}", "tmpfs", folder]
    try:
        mounted = subprocess.run(command, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.SubprocessError):
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", folder], capture_output=True, timeout=10)


def without_rights():
    """From now on this process has the rights of a stranger, for folders that are read-only even to root."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
