"""Speed of what is done with repeated scans, and how true what is found in them is.

Run it with::

    python -m benchmarks.repeated_scans              # times, compared with reading all frames one by one
    python -m benchmarks.repeated_scans --accuracy   # and delay and drift found against those simulated

Times are medians of three rounds in turn, the file in the page cache.
"""

import argparse
import os
import tempfile

import hyperspy.api as hs
import numpy as np

import hyperspy_sparse
import rsciio_tpx3
from benchmarks.measure import table, turns
from rsciio_tpx3 import find_scan_delay, simulate

ROUNDS = 3
SHAPE = (256, 256)  # (y, x)


def contenders(path, n_frames):
    """What is timed: name to function without parameters."""

    def load(**options):
        options = {"navigation_shape": (*SHAPE[::-1], n_frames), "show_progressbar": False, **options}
        return rsciio_tpx3.file_reader(path, **options)[0]

    def align(lazy):
        s = hs.load(path, navigation_shape=(*SHAPE[::-1], n_frames), lazy=lazy, show_progressbar=False)
        aligned = hyperspy_sparse.align_frames(s, np.random.default_rng(0).normal(0, 3, (n_frames, 2)))
        aligned.data.persist()

    def hits():
        for _ in rsciio_tpx3.read_hits(path):
            pass

    over = {"over": "recording", "number": 10}
    return {
        "all frames, one by one": load,
        'frames="sum"': lambda: load(frames="sum"),
        "10 bins of the dwell time": lambda: load(frames="sum", time_bins=10),
        "10 bins of the recording": lambda: load(time_bins=over),
        "table of hits (read_hits)": hits,
        "align_frames, given shifts, from events": lambda: align(True),
        "align_frames, given shifts, frames in memory": lambda: align(False),
        "find_scan_delay": lambda: rsciio_tpx3.find_scan_delay(path, method="borders", navigation_shape=SHAPE[::-1]),
    }


def speed(folder, n_frames):
    path = os.path.join(folder, "scan.tpx3")
    truth = simulate.recording(
        path, SHAPE, n_frames=n_frames, dwell_time="1 us", frame_flyback="2 ms", electrons_per_position=4,
        keep_truth=False, layout="single",
    )  # fmt: skip
    functions = contenders(path, n_frames)
    times = turns(functions, ROUNDS)
    print(f"{truth.n_hits / 1e6:.1f} million hits in {n_frames} frames of {SHAPE[1]} x {SHAPE[0]} positions")
    base = next(iter(times.values()))
    table(
        ["", "s", "million hits/s", "times reading the frames"],
        [
            [name, f"{took:.2f}", f"{truth.n_hits / took / 1e6:.1f}", f"{took / base:.2f}"]
            for name, took in times.items()
        ],
    )


def delays(folder):
    """Errors of the delay, in positions, for each kind of scan and dose."""
    path = os.path.join(folder, "delay.tpx3")
    kinds = [("serpentine", False), ("raster", False), ("raster", True), ("raster", "retrace")]
    print("| pattern | beam in the flyback | electrons per position | found | rms error | stated | beyond 3 errors |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for pattern, flyback in kinds:
        for dose in (10, 40, 160):
            errors, stated = [], []
            for seed, delay in enumerate((-3.4, -1.1, 0.0, 0.7, 2.6, 4.9)):
                simulate.recording(
                    path, (64, 128), pattern=pattern, flyback_electrons=flyback, scan_delay=f"{delay * 2} us",
                    line_flyback="50 us", dwell_time="2 us", electrons_per_position=dose, layout="single", seed=seed,
                )  # fmt: skip
                try:
                    found = find_scan_delay(path, navigation_shape=(128, 64), pattern=pattern)
                except ValueError:
                    continue
                errors.append(found.delay / 2e-6 - delay)
                stated.append(found.error / 2e-6)
            _row(f"{pattern} | {flyback or 'off'} | {dose}", errors, stated, 6)


def drifts(folder):
    """Errors of the drift, in positions, for each reference and dose."""
    path = os.path.join(folder, "drift.tpx3")
    true = np.cumsum(np.random.default_rng(5).normal(0, 1, (10, 2)), axis=0)
    print("| reference | electrons per position and frame | found | rms error | stated | beyond 3 errors |")
    print("|---|---:|---:|---:|---:|---:|")
    for reference in ("mean", "first", "previous"):
        for dose in (3, 12, 48):
            simulate.recording(
                path, (96, 112), n_frames=10, drift=true, frame_flyback="1 ms", dwell_time="2 us", layout="single",
                electrons_per_position=dose, seed=dose,
            )  # fmt: skip
            s = hs.load(path, navigation_shape=(112, 96, 10), lazy=True, show_progressbar=False)
            found = hyperspy_sparse.find_drift(s, reference=reference)
            # where a frame looks; its picture moves the other way
            errors = (found.shifts + true - (true.mean(axis=0) if reference == "mean" else true[0]))[1:]
            _row(f"{reference} | {dose}", errors.ravel(), found.errors[1:].ravel(), errors.size)


def _row(name, errors, stated, n):
    errors, stated = np.asarray(errors), np.asarray(stated)
    if not len(errors):
        print(f"| {name} | 0 of {n} | | | |")
        return
    rms = np.sqrt((errors**2).mean()), np.sqrt((stated**2).mean())
    beyond = int((np.abs(errors) > 3 * stated).sum())
    print(f"| {name} | {len(errors)} of {n} | {rms[0]:.3f} | {rms[1]:.3f} | {beyond} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--accuracy", action="store_true", help="also delay and drift against the truth")
    parser.add_argument("--frames", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        speed(folder, options.frames)
        for part in (delays, drifts) if options.accuracy else ():
            part(folder)
            print()


if __name__ == "__main__":
    main()
