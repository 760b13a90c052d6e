"""What compiling costs after an installation: processor time for each function and each combination of types.

    python -m benchmarks.compiling               # the whole path of `rsciio-tpx3 demo`, with nothing compiled before
    python -m benchmarks.compiling load          # loading a recording and its sum pattern

One process with an empty cache of numba's runs the path, a second one with the cache that the first has left runs it
again. A function that another one calls is compiled with it the first time; its time is not counted twice.
"""

import argparse
import contextlib
import os
import tempfile

from benchmarks import recordings
from benchmarks.measure import fresh, table, target

_LISTEN = """
import sys, time
import numba
from numba.core import event

times, open_now = [], []

class Listen(event.Listener):
    def on_start(self, event):
        open_now.append([time.thread_time(), 0.0])

    def on_end(self, event):
        begin, inner = open_now.pop()
        took = time.thread_time() - begin
        function = event.data["dispatcher"].py_func
        if open_now and function.__module__.startswith("numba."):
            open_now[-1][1] += inner  # what NumPy's functions are made of belongs to the function that calls them
            return
        if open_now:
            open_now[-1][1] += took
        types = ", ".join(str(kind) for kind in event.data["args"])
        times.append([f"{function.__module__}.{function.__name__}", types, took - inner])

before = time.process_time()
imported = len(times)
listener = Listen()
event.register("numba:compile", listener)
"""

_DEMO = """
from rsciio_tpx3.cli.main import main
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()):
    code = main(["demo"])
assert not code, code
result = [time.process_time() - before, times]
"""

_LOAD = """
import hyperspy.api as hs
s = hs.load(sys.argv[1], navigation_shape=(64, 64), lazy=True, cache=False, show_progressbar=False)
s.sum(axis=(0, 1)).compute(show_progressbar=False)
result = [time.process_time() - before, times]
"""

PACKAGES = ("rsciio_tpx3.", "hyperspy_sparse.")
PATHS = {"demo": _DEMO, "load": _LOAD}


def measure(path, folder):
    """Processor seconds of a path with nothing compiled and with everything, and what was compiled the first time."""
    arguments = [recordings.write(os.path.join(folder, "scan.tpx3"), 200_000, (64, 64))] if path == "load" else []
    places = {"NUMBA_CACHE_DIR": os.path.join(folder, "numba"), "RSCIIO_TPX3_CACHE": os.path.join(folder, "cache")}
    with contextlib.chdir(folder) if hasattr(contextlib, "chdir") else contextlib.nullcontext():
        (cold, times), _ = fresh(_LISTEN + PATHS[path], *arguments, environment=places)
        (warm, again), _ = fresh(_LISTEN + PATHS[path], *arguments, environment=places)
    return cold, warm, times, again


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", nargs="?", choices=sorted(PATHS), default="demo")
    parser.add_argument("--types", action="store_true", help="a line for each combination of types")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cold, warm, times, again = measure(options.path, folder)
    ours, hosts = ([one for one in times if one[0].startswith(PACKAGES) is own] for own in (True, False))
    found = {}
    for name, types, took in ours:
        found.setdefault(name, []).append((took, types))
    rows = []
    for name, each in sorted(found.items(), key=lambda item: -sum(took for took, _ in item[1])):
        rows.append([f"`{name}`", len(each), f"{sum(took for took, _ in each):.2f}"])
        if options.types:
            rows += [[types, "", f"{took:.2f}"] for took, types in sorted(each, reverse=True)]
    compiling, theirs = (sum(took for _, _, took in some) for some in (ours, hosts))
    rows.append([f"all of ours, {len(found)} functions", len(ours), f"{compiling:.2f}"])
    rows.append(["functions of pyXem, orix and others, where they are new as well", len(hosts), f"{theirs:.2f}"])
    table(["function", "combinations of types", "s"], rows)
    print(f"{options.path}: {cold:.1f} s of processor time with nothing compiled, {warm:.1f} s the next time,")
    print(f"when {sum(name.startswith(PACKAGES) for name, _, _ in again)} functions of ours are compiled\n")
    what = f"Compiling our functions for the path of {options.path!r}, once for an installation"
    target(what, "at most 10 s", f"{compiling:.1f} s", compiling <= 10)


if __name__ == "__main__":
    main()
