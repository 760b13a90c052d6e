"""Random walks of methods on sparse signals, compared with NumPy: ``python -m tests.campaigns.signals``.

A walk begins with counts in memory, of random shape, type and chunks, and takes steps that lead from one signal with
images to another: slices, crops, bins, operators, functions of NumPy, transposes, `map`, types, saving and loading.
The same steps are taken by the dense array and a list of axes, in NumPy and without HyperSpy. After each step shape,
type, values, axes, and the rule of the classes are compared; at the end so are the signals that the walk left behind,
which nothing may have changed. Some steps only look: sums, centres of mass, virtual images, single frames.

right             equal to NumPy
fails with both   an error that HyperSpy raises for the dense lazy signal too
refused           an error of ours, with its reason
ERROR             any other error
WRONG             other values, axes, type or class: of these two there must be none
"""

import argparse
import logging
import pathlib
import sys
import tempfile
import warnings
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field, replace

import dask
import dask.array as da
import hyperspy.api as hs
import numpy as np

from hyperspy_sparse.twins import has_sparse_chunks
from rsciio_tpx3.exceptions import ConflictError, FormatError, LimitError, UnitError
from tests.campaigns.signal_looks import LOOKS
from tests.campaigns.signal_steps import STEPS
from tests.campaigns.signal_truth import Mismatch, NotHere, beginning, compare, compare_values, stock

OUTCOMES = ("right", "fails with both", "refused", "ERROR", "WRONG")
OURS = (ConflictError, FormatError, LimitError, UnitError)


@dataclass
class Report:
    """One step: its name, what it came to, and more words where they are needed."""

    name: str
    outcome: str
    text: str = ""
    path: list = field(default_factory=list)


def _on_dense(take, truth, lazy, state, folder):
    """What HyperSpy says for its own signal of the same truth: an error, a mismatch or None."""
    rng = np.random.default_rng()
    rng.bit_generator.state = state
    signal = stock(truth)
    try:
        take(signal.as_lazy() if lazy else signal, truth, rng, folder)
    except Exception as error:
        return error
    return None


def _taken(name, signal, truth, rng, folder):
    """The step on the signal and on the truth, judged: signal, truth, report; a signal of None where it failed."""
    looks = name in LOOKS
    state, lazy = deepcopy(rng.bit_generator.state), signal._lazy

    def take(s, t, rng, folder):
        if not looks:
            s, t = STEPS[name](s, t, rng, folder)
            if s._lazy and isinstance(s.data, np.ndarray):  # as NumPy's functions leave it in HyperSpy's lazy signals
                s.data = da.from_array(s.data)
            compare(s, t)
            return s, t
        compare_values(*LOOKS[name](s, t, rng))
        return s, t

    try:
        return *take(signal, truth, rng, folder), Report(name, "right")
    except NotHere:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}"[:400]
        if isinstance(error, OURS):
            return None, truth, Report(name, "refused", text)
        dense = _on_dense(take, replace(truth, sparse=None), lazy, state, folder)
        if isinstance(dense, Mismatch) and isinstance(error, Mismatch) and str(dense)[:40] == str(error)[:40]:
            return None, truth, Report(name, "fails with both", f"{text} // {dense}")
        if dense is not None and not isinstance(error, Mismatch):
            return None, truth, Report(name, "fails with both", f"{text} // {type(dense).__name__}: {dense}"[:700])
        return None, truth, Report(name, "WRONG" if isinstance(error, Mismatch) else "ERROR", text)


def _branch(signal):
    """A deep copy to go on with, so that steps in place leave the signal itself as it is."""
    other = signal.deepcopy()
    if signal._lazy and not has_sparse_chunks(signal):
        # HyperSpy 2.5 leaves both the same dask array, which an element that is set changes for both
        other.data = other.data.copy()
    return other


def walk(seed, folder, length=8):
    """The reports of the steps of one walk; it ends where a step fails."""
    rng = np.random.default_rng(seed)
    signal, truth = beginning(rng)
    reports, behind, path = [], [], []
    while len(reports) < length:
        names = list(LOOKS) if rng.random() < 0.25 else list(STEPS)
        if not has_sparse_chunks(signal) and truth.n_nav and rng.random() < 0.6:
            names = ["to_sparse"]
        name = str(rng.choice(names))
        if rng.random() < 0.3 and truth.n_nav:
            behind.append((signal, truth, len(path)))
            signal = _branch(signal)
        if truth.n_nav == 0 or truth.array.size == 0:
            break
        before = signal
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                signal, truth, report = _taken(name, signal, replace(truth), rng, folder)
        except NotHere:
            signal = before
            continue
        path.append(name)
        report.path = list(path)
        reports.append(report)
        if signal is None:
            return reports
    for held, known, at in behind:
        try:
            compare(held, replace(known, sparse=None))
        except Exception as error:
            reports.append(Report("left behind", "WRONG", f"after {at} steps: {error}", path))
    return reports


def campaign(runs, seed, length=8, report=None):
    """Many walks: how often each (step, outcome) came, and the seeds of the bad ones."""
    counts, bad = Counter(), []
    logging.getLogger("hyperspy").setLevel(logging.ERROR)
    before, hs.preferences.General.show_progressbar = hs.preferences.General.show_progressbar, False
    try:
        with dask.config.set(scheduler="sync"):
            for number in range(seed, seed + runs):
                with tempfile.TemporaryDirectory() as folder:
                    for r in walk(number, pathlib.Path(folder), length):
                        counts[r.name, r.outcome] += 1
                        if r.outcome in ("ERROR", "WRONG"):
                            bad.append((number, r))
                        if report:
                            report(number, r)
    finally:
        hs.preferences.General.show_progressbar = before
    return counts, bad


def table(counts):
    """A markdown table of the outcomes, a row for each step."""
    lines = ["| step | steps | " + " | ".join(OUTCOMES) + " |", "|---|" + "---:|" * (len(OUTCOMES) + 1)]
    for name in [*sorted({name for name, _ in counts}), None]:
        numbers = [sum(n for key, n in counts.items() if key[1] == o and name in (None, key[0])) for o in OUTCOMES]
        label = "**all**" if name is None else name.replace("_", " ")
        lines.append(f"| {label} | {sum(numbers):,} | " + " | ".join(f"{n:,}" for n in numbers) + " |")
    return "\n".join(lines)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--length", type=int, default=8)
    parser.add_argument("--show", nargs="*", default=("ERROR", "WRONG"), help="outcomes whose steps are printed")
    arguments = parser.parse_args(argv)

    def report(number, r):
        if r.outcome in arguments.show:
            print(f"{number} {r.outcome}: {' > '.join(r.path)}: {r.text}", flush=True)

    counts, bad = campaign(arguments.runs, arguments.seed, arguments.length, report)
    print(table(counts))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
