"""Kill conversions at random moments and look at what is left: never a file that opens and lies.

    python tests/formats/kill_converter.py [KILLS_A_FORMAT] [SEED]

Half of the conversions replace an old file, half write a new one. A child is killed by SIGKILL at a moment drawn from
the time that a whole conversion takes, or, in every third one, by itself at one of the calls that give files names.
"""

import importlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter

import numpy as np
from counted_data import counted, lazy, signal_dict

from rsciio_tpx3.convert import convert
from rsciio_tpx3.frames import write
from rsciio_tpx3.utils import files

FORMATS = {
    "RawCSR": ("toml", "raw_csr", {}),
    "NXevent": ("nxevent", "nxevent", {}),
    "stempy": ("stempy", "stempy", {"version": 2}),
}


def values(path, module):
    """What a file holds, or None where it does not open."""
    try:
        (found,) = importlib.import_module(f"rsciio_tpx3.{module}").file_reader(path, lazy=True)
        return np.asarray(found["data"].compute(scheduler="sync"))
    except (ValueError, OSError, RuntimeError, KeyError, OverflowError):
        return None


def child(source, target, name, options, suicide):
    """Convert slowly, in spans of few rows; end at the given call of os.replace or os.remove, if any."""
    write.SPAN_ROWS = 64
    read = write._Reader.__call__
    write._Reader.__call__ = lambda self: (time.sleep(0.004), read(self))[1]
    calls = 0

    def ending(function):
        def call(*arguments):
            nonlocal calls
            calls += 1
            if calls == suicide:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments)

        return call

    os.replace, os.remove = ending(os.replace), ending(os.remove)
    try:
        convert(source, target, to_format=name, writer_options=options, overwrite=True, show_progressbar=False)
    finally:
        os._exit(0)


def run(name, kills, seed, folder):
    """Counter of what was found after each kill; raises AssertionError at a file that lies."""
    ending, module, options = FORMATS[name]
    rng = np.random.default_rng(seed)
    old, new = counted((2, 3), (4, 5), seed=9, most=4), counted((30, 41), (11, 13), most=5)
    sources = {}
    for label, dense in (("old", old), ("new", new)):
        os.makedirs(os.path.join(folder, label), exist_ok=True)
        sources[label] = os.path.join(folder, label, "scan.toml")
        importlib.import_module("rsciio_tpx3.raw_csr").file_writer(sources[label], signal_dict(lazy(dense)))
    place = os.path.join(folder, "out")
    os.makedirs(place, exist_ok=True)
    target = os.path.join(place, f"x.{ending}")
    convert(sources["new"], target, to_format=name, writer_options=options)  # compiles what there is to compile
    found, longest = Counter(), _duration(sources["new"], target, name, options)
    for i in range(kills):
        for left in os.listdir(place):
            os.remove(os.path.join(place, left))
        if i % 2:
            convert(sources["old"], target, to_format=name, writer_options=options, show_progressbar=False)
        pid = os.fork()
        if pid == 0:
            child(sources["new"], target, name, options, int(rng.integers(1, 9)) if i % 3 == 0 else 0)
        if i % 3:
            time.sleep(rng.uniform(0, longest))
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        found[_state(place, target, module, old if i % 2 else None, new)] += 1
    return found


def _duration(source, target, name, options):
    begin = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        child(source, target, name, options, 0)
    os.waitpid(pid, 0)
    return time.perf_counter() - begin


def _state(place, target, module, old, new):
    """ "old", "new" or "none"; AssertionError for anything else, also in files under provisional names."""
    for left in sorted(os.listdir(place)):
        path = os.path.join(place, left)
        if path != target and left.endswith(files.PARTIAL):
            within = values(path, module)
            assert within is None or np.array_equal(within, new), f"{left} opens and lies"
    if not os.path.exists(target):
        assert old is None, "the old file is gone"
        return "none"
    within = values(target, module)
    assert within is not None, f"{target} does not open"
    if old is not None and np.array_equal(within, old):
        return "old"
    assert np.array_equal(within, new), f"{target} opens and lies"
    return "new"


def main(arguments):
    kills, seed = [*map(int, arguments), *(200, 0)[len(arguments) :]]
    for name in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            found = run(name, kills, seed, folder)
            print(f"{name}: {kills} killed; then there was " + ", ".join(f"{k} {n}" for k, n in sorted(found.items())))


if __name__ == "__main__":
    main(sys.argv[1:])
