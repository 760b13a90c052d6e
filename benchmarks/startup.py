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

# what HyperSpy does with our entry points, where it has imported as much as it has when it comes to them
_REGISTER = """
import time, numpy, yaml, importlib.metadata, importlib.util, pathlib
begin = time.perf_counter()
for name in ("hyperspy_sparse", "hyperspy_sparse._register"):
    folder = pathlib.Path(importlib.util.find_spec(name).origin).parent
    yaml.load((folder / "hyperspy_extension.yaml").read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
result = time.perf_counter() - begin
"""

# the first hs.load imports it too, whoever has registered what
_FORMATS = """
import time, numpy, yaml, importlib.metadata, importlib.util, pathlib
begin = time.perf_counter()
from rsciio import IO_PLUGINS
result = time.perf_counter() - begin
"""

_FIRST = """
import sys, time
begin = time.perf_counter()
import hyperspy.api as hs
hs.signals.Signal2D
imported = time.perf_counter()
if sys.argv[2:]:
    import pyxem.signals
    pyxem.signals.ElectronDiffraction2D
hosts = time.perf_counter()
s = hs.load(sys.argv[1], navigation_shape=(64, 64), lazy=True, cache=False, show_progressbar=False)
loaded = time.perf_counter()
s.sum(axis=(0, 1)).compute(show_progressbar=False)
result = [imported - begin, hosts - imported, loaded - hosts, time.perf_counter() - loaded]
"""


def smallest(runs, rounds, environment):
    """The smallest of each of the times that fresh processes give, which take turns."""
    found = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(fresh(*run, environment=environment)[0])
    return {
        name: [min(times) for times in zip(*values)] if isinstance(values[0], list) else min(values)
        for name, values in found.items()
    }


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = recordings.write(os.path.join(folder, "scan.tpx3"), 200_000, (64, 64))
        # bytecode is kept as in an installation, also where the environment forbids it
        short = {"PYTHONDONTWRITEBYTECODE": ""}
        long = {**short, "NUMBA_CACHE_DIR": os.path.join(folder, "numba")}
        cold = fresh(_FIRST, path, environment=long)[0]
        first = smallest({"alone": (_FIRST, path), "after": (_FIRST, path, "pyxem")}, 5, long)
        small = smallest({"import": (_IMPORT,), "register": (_REGISTER,), "formats": (_FORMATS,)}, 20, short)
    hyperspy, _, load, total = first["alone"]
    _, pyxem, ours, _ = first["after"]
    rows = [
        ["`import rsciio_tpx3`, after NumPy", small["import"]],
        ["`import hyperspy.api` and its signals", hyperspy],
        ["registering within it", small["register"]],
        ["of that RosettaSciIO's list of formats, which the first load needs anyway", small["formats"]],
        ["first `hs.load` of a small recording, pyXem's import included", load],
        ["pyXem's import, as anyone imports it", pyxem],
        ["`hs.load` where pyXem is imported already", ours],
        ["first sum pattern", total],
        ["compiling, once for an installation (load and sum)", cold[2] + cold[3] - load - total],
    ]
    table(["start-up", "ms"], [[what, f"{took * 1e3:.{took < 0.1:d}f}"] for what, took in rows])
    took = small["import"]
    target("`import rsciio_tpx3` beyond NumPy", "below 50 ms", f"{took * 1e3:.0f} ms", took < 0.05)
    took = small["register"]
    reached = f"{took * 1e3:.1f} ms, of which {small['formats'] * 1e3:.1f} ms are RosettaSciIO's list of formats"
    target("Registering in `import hyperspy.api`", "at most 10 ms", reached, took <= 0.01)
    reached = f"{load:.1f} s; pyXem's own import takes {pyxem:.1f} s, the rest {ours:.2f} s"
    target("First load in a fresh process, beyond HyperSpy's import", "under 3 s", reached, load < 3)


if __name__ == "__main__":
    main()
