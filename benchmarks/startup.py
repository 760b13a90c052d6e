"""What starting costs: imports, registering, compiling once, and the first load in a fresh process.

    python -m benchmarks.startup

Each figure is the smallest of several fresh processes, where files are in the page cache.
"""

import os
import tempfile

from benchmarks import recordings
from benchmarks.measure import fresh, table, target

_IMPORT = """
import time, numpy
begin = time.perf_counter()
import rsciio_tpx3
result = time.perf_counter() - begin
"""

# what HyperSpy has imported already when it comes to our entry points
_REGISTER = """
import time, numpy, yaml, importlib.metadata
from rsciio import IO_PLUGINS
begin = time.perf_counter()
import hyperspy_sparse
result = time.perf_counter() - begin
"""

_FIRST = """
import sys, time
begin = time.perf_counter()
import hyperspy.api as hs
hs.signals.Signal2D
imported = time.perf_counter()
import pyxem.signals
pyxem.signals.ElectronDiffraction2D
hosts = time.perf_counter()
s = hs.load(sys.argv[1], navigation_shape=(64, 64), lazy=True, cache=False, show_progressbar=False)
loaded = time.perf_counter()
s.sum(axis=(0, 1)).compute(show_progressbar=False)
result = [imported - begin, hosts - imported, loaded - hosts, time.perf_counter() - loaded]
"""


def best(code, *arguments, rounds=4, environment=None):
    """The smallest of each of the times that fresh processes give."""
    found = [fresh(code, *arguments, environment=environment)[0] for _ in range(rounds)]
    return [min(times) for times in zip(*found)] if isinstance(found[0], list) else min(found)


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = recordings.write(os.path.join(folder, "scan.tpx3"), 200_000, (64, 64))
        compiled = {"NUMBA_CACHE_DIR": os.path.join(folder, "numba")}
        cold = fresh(_FIRST, path, environment=compiled)[0]
        warm = best(_FIRST, path, rounds=3, environment=compiled)
        imported, registered = best(_IMPORT, rounds=5), best(_REGISTER, rounds=5)
    ours, first = warm[2], warm[1] + warm[2]
    table(
        ["start-up", "ms"],
        [
            ["`import rsciio_tpx3`, after NumPy", f"{imported * 1e3:.0f}"],
            ["registering inside `import hyperspy.api`", f"{registered * 1e3:.1f}"],
            ["`import hyperspy.api` itself", f"{warm[0] * 1e3:.0f}"],
            ["pyXem's signal classes, imported by the first load", f"{warm[1] * 1e3:.0f}"],
            ["first `hs.load` of a small recording, beyond both", f"{ours * 1e3:.0f}"],
            ["first sum pattern", f"{warm[3] * 1e3:.0f}"],
            ["compiling, once for an installation (load and sum)", f"{(cold[2] + cold[3] - warm[2] - warm[3]) * 1e3:.0f}"],
        ],
    )
    target("`import rsciio_tpx3` beyond NumPy", "below 50 ms", f"{imported * 1e3:.0f} ms", imported < 0.05)
    target("Registering in `import hyperspy.api`", "at most 10 ms", f"{registered * 1e3:.1f} ms", registered <= 0.01)
    reached = f"{first:.1f} s, of which {warm[1]:.1f} s are pyXem's own import"
    target("First load in a fresh process, beyond HyperSpy's import", "under 3 s", reached, first < 3)


if __name__ == "__main__":
    main()
