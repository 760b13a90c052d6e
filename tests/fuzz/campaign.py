"""Many runs of one target, in a process that may hang or crash."""

import contextlib
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.case import OUTCOMES
from tests.fuzz.worker import STATE

__all__ = ["Report", "campaign"]

_SILENCE = 20.0
"""Seconds without a new run, longer than the processor time of one; waiting for a processor is not counted."""
_FIRST_SILENCE = 600.0  # compiling, and making the seeds
_ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Report:
    """How many runs ended how, and the faults with the number of their run."""

    name: str
    counts: Counter = field(default_factory=Counter)
    faults: list = field(default_factory=list)
    seconds: float = 0.0

    @property
    def runs(self):
        return self.counts.total()


def campaign(name, seed, runs=None, seconds=None, first=0, say=None):
    """Run a target until the number of runs or the time is reached.

    Parameters
    ----------
    name : str
        Of a target.
    seed : int
        Of the whole campaign: run n of the same seed is the same run everywhere.
    runs : int, optional
    seconds : float, optional
        Of the clock on the wall, from the first run on.
    first : int
        Number of the first run.
    say : callable, optional
        Takes each fault as it comes.

    Returns
    -------
    Report
    """
    report, number = Report(name), first
    stop = first + (runs if runs is not None else 2**40)
    begin = None
    while number < stop and (begin is None or seconds is None or time.monotonic() - begin < seconds):
        left = None if seconds is None or begin is None else seconds - (time.monotonic() - begin)
        number, started = _process(report, seed, number, stop, left if begin is not None else seconds, say)
        begin = started if begin is None else begin
    report.seconds = time.monotonic() - begin if begin else 0.0
    return report


def _process(report, seed, number, stop, seconds, say):
    """Runs in one process until it ends, hangs or crashes; the number of the next run, and when the first began."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    state = folder / "state"
    state.write_bytes(STATE.pack(-1, 0, *[0] * len(OUTCOMES)))
    environment = {**os.environ, "RSCIIO_TPX3_CACHE": str(folder / "cache"), "NUMBA_NUM_THREADS": "1"}
    with open(folder / "errors", "wb") as errors:
        run = map(str, (report.name, seed, number, stop, state, folder / "run"))
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", *run],
            stdout=subprocess.PIPE, stderr=errors, cwd=_ROOT, env=environment, text=True,
        )  # fmt: skip
        reader = threading.Thread(target=_listen, args=(process.stdout, report, say), daemon=True)
        reader.start()
        why, started = _watch(process, state, seconds)
        process.kill()
        process.wait()
        reader.join()
    at, _, *counts = STATE.unpack(state.read_bytes())
    report.counts.update(dict(zip(OUTCOMES, counts)))
    words = (folder / "errors").read_text(errors="replace").strip().splitlines()
    shutil.rmtree(folder, ignore_errors=True)
    if at < 0:
        report.counts["crash"] += 1
        _add(report, {"number": number, "outcome": "crash", "note": f"no run was made: {' '.join(words[-3:])}"}, say)
        return stop, time.monotonic()
    if why == "time" or at >= stop:
        return stop, started
    outcome = "hang" if why == "silence" else "crash"
    report.counts[outcome] += 1
    fault = {
        "number": at,
        "outcome": outcome,
        "note": why if outcome == "hang" else f"{why}: {' '.join(words[-2:])[:200]}",
    }
    _add(report, fault, say)
    return at + 1, started


def _watch(process, state, seconds):
    """Wait for the end of a process; why it ended ("time", "silence", or its status), and when its first run began."""
    last, changed, started = (-1, 0), time.monotonic(), None
    waited = {}
    while process.poll() is None:
        time.sleep(0.1)
        now, at = time.monotonic(), STATE.unpack(state.read_bytes())[:2]
        if at != last:
            last, changed, waited = at, now, {}
            started = now if started is None else started
        limit = _FIRST_SILENCE if last[0] < 0 else _SILENCE
        # looked at only where it matters, and against the first time that it was
        if now - changed > limit / 4:
            waits = _waits(process.pid)
            waited = {task: waited.get(task, n) for task, n in waits.items()}
            starved = max((n - waited[task] for task, n in waits.items()), default=0.0)
            if now - changed - starved > limit:
                return "silence", started
        if seconds is not None and started is not None and now - started > seconds:
            return "time", started
    return f"status {process.returncode}", started


def _waits(pid):
    """Seconds for which each thread of a process was ready to run, and no processor was free (Linux)."""
    found = {}
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with contextlib.suppress(OSError, ValueError, IndexError), open(path) as file:
            found[path] = int(file.read().split()[1]) / 1e9
    return found


def _listen(stream, report, say):
    for line in stream:
        _add(report, json.loads(line), say)


def _add(report, fault, say):
    report.faults.append(fault)
    if say is not None:
        say(report.name, fault)
