"""pyXem's own tests on sparse signals: a pytest plugin, and the command that compares.

pyXem's wheel holds its tests. They make their signals from arrays in memory; the plugin turns the
signals of counts into lazy ones on the way, either with dense chunks or with sparse ones. A test
that passes with lazy dense chunks has to pass with sparse ones. Run all of it with::

    python tests/integration/pyxem_suite.py                # signals of integers, as counts are
    python tests/integration/pyxem_suite.py --kinds uif    # floats too
    python tests/integration/pyxem_suite.py pyxem/tests    # all tests of pyXem, the slow ones as well

A few of pyXem's tests fail on lazy data whatever the chunks; these are counted apart.
"""

import argparse
import functools
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import dask.array as da
import numpy as np

CHUNKS = "PYXEM_SUITE_CHUNKS"
KINDS = "PYXEM_SUITE_KINDS"
REPORT = "PYXEM_SUITE_REPORT"
HERE = Path(__file__).parent

# The tests of pyXem that make signals of images; the others make none that could be converted.
TESTS = tuple(
    f"pyxem/tests/{name}.py"
    for name in (
        "signals/test_diffraction2d",
        "signals/test_pixelated_stem_class",
        "signals/test_electron_diffraction2d",
        "signals/test_lazy_diffraction2d",
        "signals/test_polar_diffraction2d",
        "signals/test_indexation_results",
        "generators/test_virtual_image_generator",
        "generators/test_variance_generator",
        "dummy_data/test_dummy_data",
        "dummy_data/test_simulated_data",
    )
)

_converted = set()
_outcomes = {}
_current = [None]


# -- plugin --------------------------------------------------------------------------------------


def pytest_configure(config):
    # the hosts are loaded where pytest runs; the command at the end of this file starts without them
    import pyxem.signals
    from hyperspy.signals import LazySignal2D, Signal2D

    warnings.simplefilter("ignore")
    names = ("Diffraction2D", "ElectronDiffraction2D", "PolarDiffraction2D")
    hosts = [getattr(pyxem.signals, lazy + name) for name in names for lazy in ("", "Lazy")]
    for kind in (Signal2D, LazySignal2D, *hosts):
        kind.__init__ = _converting(kind, kind.__init__)


def _converting(kind, init):
    @functools.wraps(init)
    def and_convert(self, *args, **kwargs):
        init(self, *args, **kwargs)
        # pyXem makes signals of this class for its results as well; those are not to be touched.
        maker = sys._getframe(1).f_globals.get("__name__", "")
        if type(self) is kind and maker.startswith(("pyxem.tests", "pyxem.data")):
            _convert(self)

    return and_convert


def _convert(signal):
    from hyperspy_sparse.signals import as_sparse_twin
    from hyperspy_sparse.twins import sparsified
    from rsciio_tpx3 import CSRFrames

    data = signal._data
    if isinstance(getattr(data, "_meta", None), CSRFrames) or data.ndim < 3 or not data.size:
        return
    if data.dtype.kind not in os.environ.get(KINDS, "ui"):
        return
    places = [axis.index_in_array for axis in signal.axes_manager.signal_axes]
    if sorted(places) != [data.ndim - 2, data.ndim - 1]:
        return
    _converted.add(_current[0])
    if isinstance(data, np.ndarray):
        data = da.from_array(data.copy(), chunks=(*(-1,) * data.ndim,))
    if os.environ[CHUNKS] == "sparse":
        data = sparsified(data)
    signal._data = data
    signal._lazy = True
    signal._assign_subclass()
    as_sparse_twin(signal)


def pytest_runtest_logstart(nodeid, location):
    _current[0] = nodeid


def pytest_runtest_logreport(report):
    if report.failed:
        _outcomes[report.nodeid] = str(report.longrepr).strip().splitlines()[-1:]
    elif report.when == "call" and report.passed:
        _outcomes.setdefault(report.nodeid, None)


def pytest_sessionfinish(session):
    if REPORT in os.environ:
        found = {node: error for node, error in _outcomes.items() if node in _converted}
        Path(os.environ[REPORT]).write_text(json.dumps(found))


# -- comparison ----------------------------------------------------------------------------------


def run(chunks, tests=TESTS, kinds="ui"):
    """Run pyXem's tests with one kind of chunks.

    Returns
    -------
    dict of str to None or list of str
        The tests in which a signal was converted: None if passed, else the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        path = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
        settings = {CHUNKS: chunks, KINDS: kinds, REPORT: str(report), "PYTHONPATH": path}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "pyxem_suite", "-p", "no:cacheprovider"]
        root = Path(importlib.util.find_spec("pyxem").origin).parents[1]
        options = [
            "--tb=short",
            "--continue-on-collection-errors",
            "-c",
            os.devnull,
            f"--rootdir={root}",
            *(str(root / test) for test in tests),
        ]
        done = subprocess.run(
            command + options, env={**os.environ, **settings}, cwd=folder, capture_output=True, text=True
        )
        if not report.exists():
            raise RuntimeError(f"pyXem's tests did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return json.loads(report.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tests", nargs="*", default=TESTS)
    parser.add_argument("--kinds", default="ui", help="NumPy's letters for kinds of numbers; default: ui")
    options = parser.parse_args()
    dense = run("dense", options.tests, options.kinds)
    sparse = run("sparse", options.tests, options.kinds)
    print(f"{len(dense)} tests make a signal that was converted;")
    print(f"{sum(e is None for e in dense.values())} of them pass with lazy dense chunks,")
    print(f"{sum(e is None for e in sparse.values())} with sparse chunks.")
    for node in sorted(set(dense) | set(sparse)):
        one, other = dense.get(node, ["not converted"]), sparse.get(node, ["not converted"])
        if one or other:
            print(f"\n{node}\n    dense:  {one or 'passes'}\n    sparse: {other or 'passes'}")


if __name__ == "__main__":
    main()
