"""Signals in memory compared with the same signal read from its file, and with a plain loop over the same three arrays.

    python -m benchmarks.in_memory                    # 256 x 256 positions, 200 electrons, 512 x 512 pixels
    python -m benchmarks.in_memory --nav 64           # small, to see that all of it runs

Milliseconds of processor time of all threads, medians of rounds in which all take turns. "plain loop" is the simplest
compiled loop over counts, pixel numbers and row starts that has the same answer; it makes no signal, no axes and no
metadata, and runs on one thread.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import hyperspy.api as hs
import numba
import numpy as np

from benchmarks.measure import table, target
from benchmarks.signals import SIG, calibrated, frames_of, sparse_signal
from hyperspy_sparse import reductions, slicing
from hyperspy_sparse.hosts import current_frame
from rsciio_tpx3.frames.dask_array import source_of

NAV_AXES, SIG_AXES = (0, 1), (2, 3)


def loops():
    """The plain loops; compiled here and not kept."""

    @numba.njit
    def sums(data, indices, indptr, out):
        for k in range(data.size):
            out[indices[k]] += data[k]

    @numba.njit
    def squares(data, indices, indptr, out):
        for k in range(data.size):
            out[indices[k], 0] += data[k]
            out[indices[k], 1] += data[k] * data[k]

    @numba.njit
    def largest(data, indices, indptr, out):
        for k in range(data.size):
            out[indices[k]] = max(out[indices[k]], data[k])

    @numba.njit
    def counts(data, indices, indptr, out):
        for row in range(indptr.size - 1):
            for k in range(indptr[row], indptr[row + 1]):
                out[row] += data[k]

    @numba.njit
    def under(data, indices, indptr, mask, out):
        for row in range(indptr.size - 1):
            for k in range(indptr[row], indptr[row + 1]):
                out[row] += data[k] * mask[indices[k]]

    @numba.njit
    def moments(data, indices, indptr, width, out):
        for row in range(indptr.size - 1):
            mass = along_y = along_x = 0
            for k in range(indptr[row], indptr[row + 1]):
                y = indices[k] // width
                mass += data[k]
                along_y += data[k] * y
                along_x += data[k] * (indices[k] - y * width)
            out[row, 0], out[row, 1] = along_x / mass, along_y / mass

    return {"sums": sums, "squares": squares, "largest": largest, "counts": counts, "under": under, "moments": moments}


def plain(frames):
    """The plain loops on the arrays of frames, by the name of the method that has the same answer."""
    loop, parts = loops(), (frames.data, frames.indices, frames.indptr)
    n_pixels, n_frames = frames.n_pixels, frames.n_frames
    y, x = np.mgrid[: frames.sig_shape[0], : frames.sig_shape[1]] - 255.5
    radius = np.hypot(y, x).ravel() * 0.01
    mask = (radius < 0.6) & (radius > 0.2)
    return {
        "sum pattern": lambda: loop["sums"](*parts, np.zeros(n_pixels, np.int64)),
        "variance": lambda: loop["squares"](*parts, np.zeros((n_pixels, 2), np.int64)),
        "maximum": lambda: loop["largest"](*parts, np.zeros(n_pixels, frames.dtype)),
        "counts per position": lambda: loop["counts"](*parts, np.zeros(n_frames, np.int64)),
        "virtual detector": lambda: loop["under"](*parts, mask, np.zeros(n_frames, np.int64)),
        "centre of mass": lambda: loop["moments"](*parts, frames.sig_shape[1], np.zeros((n_frames, 2))),
    }


def methods():
    """The same as a user calls it."""
    disk = hs.roi.CircleROI(0, 0, 0.6, 0.2)
    return {
        "sum pattern": lambda s: s.sum(axis=NAV_AXES).compute(),
        "variance": lambda s: s.var(axis=NAV_AXES).compute(),
        "maximum": lambda s: s.max(axis=NAV_AXES).compute(),
        "counts per position": lambda s: s.sum(axis=SIG_AXES).compute(),
        "virtual detector": lambda s: s.get_integrated_intensity(disk).compute(),
        "centre of mass": lambda s: s.get_direct_beam_position(method="center_of_mass").compute(),
    }


def signals(path):
    """The signal of a file, in memory or not, and parts of it."""
    loaded, lazy = (calibrated(hs.load(path, lazy=lazy)) for lazy in (False, True))
    side = loaded.axes_manager.navigation_shape[0]
    return {
        "from the file": lazy,
        "in memory": loaded,
        "inav": loaded.inav[: side // 2, :],
        "isig": loaded.isig[100:400, 100:400],
        "rebin": loaded.rebin(scale=(1, 1, 2, 2)),
    }


def ring_moves(signal, n=6):
    """Calls that move a ring over the detector and take the image under it, one step each; nothing is drawn."""
    roi = hs.roi.CircleROI(0, 0, 0.6, 0.2)
    part = roi.interactive(signal, navigation_signal=None, axes=signal.axes_manager.signal_axes)
    image = hs.interactive(
        part.nansum, axis=part.axes_manager.signal_axes, event=part.events.data_changed, recompute_out_event=None
    )
    steps = itertools.cycle(range(n))

    def move():
        roi.cx = 0.01 * next(steps)
        np.asarray(image.data)

    return move


def parts_of_calls(signal):
    """Calls on a small signal, where the events cost nothing, and what they are made of."""
    data, key = signal.data, (4, 3, slice(None), slice(None))
    total, one = reductions.reduced("sum", data, NAV_AXES), data[key]
    signal.axes_manager.indices = (3, 4)
    return {
        "sum pattern": lambda: signal.sum(axis=NAV_AXES).compute(),
        "of it HyperSpy: signal, axes, metadata": lambda: signal._without(NAV_AXES, total, None),
        "of it dask: running tasks": lambda: total.compute(),
        "of it ours: tasks": lambda: reductions.reduced("sum", data, NAV_AXES),
        "`inav` of a frame": lambda: signal.inav[3, 4],
        "of it HyperSpy: signal, axes, metadata ": lambda: signal._deepcopy_with_new_data(one),
        "of it dask: slicing": lambda: data[key],
        "of it ours: the source": lambda: slicing.from_source(data, key, one),
        "a move of the navigator: the frame": lambda: current_frame(signal),
    }


def in_turns(calls, rounds):
    """Median milliseconds of processor time of each call, after a round that is not counted."""
    taken = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            begin = time.process_time()
            call()
            if turn:
                taken[name].append(1e3 * (time.process_time() - begin))
    return {name: statistics.median(times) for name, times in taken.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nav", type=int, default=256)
    parser.add_argument("--electrons", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    hs.preferences.General.show_progressbar = False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.toml"
        sparse_signal(frames_of(options.nav, options.electrons)).save(path)
        kinds = signals(path)
        frames = source_of(kinds["in memory"].data).frames(0, options.nav**2)
        rows, worst = [], {}
        for name, method in methods().items():
            calls = {kind: partial(method, s) for kind, s in kinds.items()}
            took = in_turns({"plain loop": plain(frames)[name], **calls}, options.rounds)
            rows.append([name, *(f"{t:.0f}" for t in took.values()), f"{took['in memory'] / took['plain loop']:.2f}"])
            worst[name] = took
        calls = {kind: ring_moves(signal) for kind, signal in kinds.items()}
        took = in_turns(calls, options.rounds)
        rows.append(["a move of a ring (roi.interactive)", "", *(f"{t:.0f}" for t in took.values()), ""])
        move = took["in memory"]
        small = calibrated(kinds["in memory"].inav[:16, :16])
        small.persist()
        parts = in_turns(parts_of_calls(small), max(options.rounds, 9))
    print(f"{options.nav} x {options.nav} positions, {SIG[0]} x {SIG[1]} pixels, {frames.nnz:,} entries; ms\n")
    table(["", "plain loop", *kinds, "in memory / plain"], rows)
    print("Of 16 x 16 positions, where what a call costs is not the events:\n")
    table(["", "ms"], [[name.strip(), f"{taken:.2f}"] for name, taken in parts.items()])
    ours = max(taken for name, taken in parts.items() if "ours" in name)
    target("Fixed cost of a call, our part", "at most 1 ms", f"{ours:.1f} ms", ours <= 1)
    target("A move of a ring without drawing, in memory", "at most 50 ms", f"{move:.0f} ms", move <= 50)
    ratio = max(took["in memory"] / took["plain loop"] for took in worst.values())
    target("Signal in memory, multiple of a plain loop", "at most 2", f"{ratio:.2f}", ratio <= 2)
    ratio = max(took["in memory"] / took["from the file"] for took in worst.values())
    target("Signal in memory, times the same from its file", "at most 1", f"{ratio:.2f}", ratio <= 1)


if __name__ == "__main__":
    main()
