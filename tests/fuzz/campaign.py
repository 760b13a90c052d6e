"""Many runs of one target, in a process that may hang or crash."""

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

_SILENCE = 20.0  # seconds without a new run
_BUSY = 10.0  # and of processor time in them: more than a run is allowed, which a busy machine may not have given it
_LONG_SILENCE = 300.0  # whoever waits for something that never comes needs no processor
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
    state.write_bytes(STATE.pack(-1, *[0] * len(OUTCOMES)))
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
    at, *counts = STATE.unpack(state.read_bytes())
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
    last, changed, started, used = -1, time.monotonic(), None, 0.0
    while process.poll() is None:
        time.sleep(0.1)
        now, at = time.monotonic(), STATE.unpack(state.read_bytes())[0]
        if at != last:
            last, changed, used = at, now, _processor_seconds(process.pid)
            started = now if started is None else started
        silence = now - changed
        busy = silence > _SILENCE and _processor_seconds(process.pid) - used >= _BUSY
        if silence > _FIRST_SILENCE or last >= 0 and (busy or silence > _LONG_SILENCE):
            return "silence", started
        if seconds is not None and started is not None and now - started > seconds:
            return "time", started
    return f"status {process.returncode}", started


def _processor_seconds(pid):
    """Processor time of a process; that of the clock where the system does not tell (other than Linux)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return time.monotonic()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _listen(stream, report, say):
    for line in stream:
        _add(report, json.loads(line), say)


def _add(report, fault, say):
    report.faults.append(fault)
    if say is not None:
        say(report.name, fault)
