"""Signals in memory compared with the same signal read from its file, and with a plain loop over the same three arrays.

    python -m benchmarks.in_memory                    # 256 x 256 positions, 200 electrons, 512 x 512 pixels
    python -m benchmarks.in_memory --nav 64           # small, to see that all of it runs

Milliseconds of processor time of all threads, medians of rounds in which all take turns. "plain loop" is the simplest
compiled loop over counts, pixel numbers and row starts that has the same answer; it makes no signal, no axes and no
metadata, and runs on one thread.
"""

import argparse
import contextlib
import gc
import io
import itertools
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import hyperspy.api as hs
import numba
import numpy as np

from benchmarks.measure import fresh, table, target
from benchmarks.signals import SIG, calibrated, frames_of, sparse_signal
from hyperspy_sparse import reductions, slicing
from hyperspy_sparse.block_lanczos import MOST_STEPS
from hyperspy_sparse.hosts import current_frame
from hyperspy_sparse.line_profiles import Samples, weights_over_detector
from rsciio_tpx3 import CSRFrames
from rsciio_tpx3.frames.dask_array import source_of

NAV_AXES, SIG_AXES = (0, 1), (2, 3)
DIAGONAL = hs.roi.Line2DROI(-1.8, -1.8, 1.8, 1.8, linewidth=0.15)


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

    @numba.njit
    def weighted(data, indices, indptr, weights, out):
        for row in range(indptr.size - 1):
            for k in range(indptr[row], indptr[row + 1]):
                out[indices[k]] += data[k] * weights[row]

    @numba.njit
    def binned(data, indices, indptr, place, frame, used, out):
        for row in range(indptr.size - 1):
            n = 0
            for k in range(indptr[row], indptr[row + 1]):
                pixel = place[indices[k]]
                if frame[pixel] == 0:
                    used[n] = pixel
                    n += 1
                frame[pixel] += data[k]
            for i in range(n):
                value = frame[used[i]]
                out[used[i], 0] += value
                out[used[i], 1] += value * value
                out[used[i], 2] = max(out[used[i], 2], value)
                frame[used[i]] = 0

    @numba.njit
    def shared(data, indices, indptr, start, column, weight, out):
        for row in range(indptr.size - 1):
            for k in range(indptr[row], indptr[row + 1]):
                for i in range(start[indices[k]], start[indices[k] + 1]):
                    out[row, column[i]] += data[k] * weight[i]

    @numba.njit
    def products(data, indices, indptr, columns, rows, out):
        for row in range(indptr.size - 1):
            one = two = 0.0
            for k in range(indptr[row], indptr[row + 1]):
                one += data[k] * columns[indices[k], 0]
                two += data[k] * columns[indices[k], 1]
            rows[row, 0], rows[row, 1] = one, two
            for k in range(indptr[row], indptr[row + 1]):
                out[indices[k], 0] += data[k] * one
                out[indices[k], 1] += data[k] * two

    return {function.__name__: function for function in
            (sums, squares, largest, counts, under, moments, weighted, binned, shared, products)}  # fmt: skip


def plain(frames):
    """The plain loops on the arrays of frames, by the name of the method that has the same answer."""
    loop, parts = loops(), (frames.data, frames.indices, frames.indptr)
    n_pixels, n_frames = frames.n_pixels, frames.n_frames
    total = np.float64 if frames.dtype.kind == "f" else np.int64
    y, x = np.mgrid[: frames.sig_shape[0], : frames.sig_shape[1]] - 255.5
    radius = np.hypot(y, x).ravel() * 0.01
    mask = (radius < 0.6) & (radius > 0.2)
    return {
        "sum pattern": lambda: loop["sums"](*parts, np.zeros(n_pixels, total)),
        "variance": lambda: loop["squares"](*parts, np.zeros((n_pixels, 2), total)),
        "maximum": lambda: loop["largest"](*parts, np.zeros(n_pixels, frames.dtype)),
        "counts per position": lambda: loop["counts"](*parts, np.zeros(n_frames, total)),
        "virtual detector": lambda: loop["under"](*parts, mask, np.zeros(n_frames, total)),
        "centre of mass": lambda: loop["moments"](*parts, frames.sig_shape[1], np.zeros((n_frames, 2))),
    }


ADDED_UP = {"sum pattern", "counts per position", "virtual detector", "centre of mass"}
"""Methods that take hits of a pixel one by one."""


def other_values(frames):
    """The same pixels with other values, each with the methods that may take them."""
    rng = np.random.default_rng(2)
    every = methods().keys()
    # each hit twice, as if nobody had merged them; positions have a pixel as often as it was hit
    twice = np.repeat(frames.data, 2), np.repeat(frames.indices, 2), 2 * frames.indptr
    return {
        "time over threshold, uint16": (frames.with_data(rng.integers(1, 1000, frames.nnz).astype(np.uint16)), every),
        "energy, float32": (frames.with_data((rng.random(frames.nnz) + 0.5).astype(np.float32)), every),
        "hits, not merged": (CSRFrames._make(*twice, frames.shape), ADDED_UP),
    }


def of_other_values(frames, rounds):
    """Rows of the methods on frames with other values, and their multiples of plain loops."""
    rows = []
    for kind, (changed, names) in other_values(frames).items():
        signal, loop = sparse_signal(changed), plain(changed)
        for name in names:
            took = in_turns({"plain loop": loop[name], "in memory": partial(methods()[name], signal)}, rounds)
            ratio = took["in memory"] / took["plain loop"]
            rows.append([f"{name}: {kind}", *(f"{t:.0f}" for t in took.values()), f"{ratio:.2f}", "2"])
    return rows


def more_plain(frames):
    """The plain loops of `more_methods`; those of rings and lines take the shares of pixels as known."""
    loop, parts = loops(), (frames.data, frames.indices, frames.indptr)
    n_pixels, n_frames, (height, width) = frames.n_pixels, frames.n_frames, frames.sig_shape
    y, x = (axis.ravel() for axis in np.mgrid[:height, :width])
    radius = np.hypot(y - 255.5, x - 255.5) * 0.01
    of_scan, of_detector = weights_of(frames)
    kept = np.flatnonzero(scan_disk(frames.nav_shape).ravel())
    place = y // 2 * (width // 2) + x // 2
    detector = (radius < 0.6) & (radius > 0.2)
    rings = (radius / radius.max() * 100).astype(int).clip(max=99)
    sectors = (radius / radius.max() * 16).astype(int).clip(max=15) * 12 + (
        (np.arctan2(y - 255.5, x - 255.5) / np.pi + 1) * 6
    ).astype(int).clip(max=11)
    samples = Samples(DIAGONAL, calibrated(sparse_signal(frames)).axes_manager.signal_axes, order=0)
    of_line = weights_over_detector(samples, frames.sig_shape, each_sample=False)
    line = of_line.start, of_line.column, of_line.weight / samples.width

    def shares(column):
        return np.arange(n_pixels + 1), column, np.ones(n_pixels)

    def binned():
        small = n_pixels // 4
        scratch = np.zeros(small, np.int64), np.empty(n_pixels, np.int64)
        loop["binned"](*parts, place, *scratch, np.zeros((small, 3), np.int64))

    def region():
        for row in kept:
            one = slice(parts[2][row], parts[2][row + 1])
            loop["sums"](parts[0][one], parts[1][one], parts[2], out)

    out = np.zeros(n_pixels, np.int64)
    pieces = {"rings": shares(rings), "sectors": shares(sectors)}
    under = lambda: loop["under"](*parts, detector, np.zeros(n_frames, np.int64))  # noqa: E731
    sums = lambda: loop["sums"](*parts, np.zeros(n_pixels, np.int64))  # noqa: E731
    return {
        "sum weighted by an image of the scan": lambda: loop["weighted"](*parts, of_scan.ravel(), np.zeros(n_pixels)),
        "sum weighted by an image of the detector": lambda: loop["under"](
            *parts, of_detector.ravel(), np.zeros(n_frames)
        ),
        "sum over a disk of the scan": region,
        "virtual detector, mean subtracted": under,
        "sum pattern, binned": binned,
        "variance, binned": binned,
        "maximum, binned": binned,
        "radial profiles, 100 rings": lambda: loop["shared"](*parts, *pieces["rings"], np.zeros((n_frames, 100))),
        "azimuthal, 16 rings of 12 sectors": lambda: loop["shared"](
            *parts, *pieces["sectors"], np.zeros((n_frames, 192))
        ),
        "line over the detector": lambda: loop["shared"](*parts, *line, np.zeros((n_frames, samples.n_points))),
        "sum pattern, persisted by dask": sums,
        "virtual detector, persisted by dask": under,
    }


def weights_of(frames):
    """Images of the scan and of the detector."""
    rng = np.random.default_rng(1)
    return rng.random(frames.nav_shape), rng.random(frames.sig_shape)


def scan_disk(nav_shape):
    """Positions in a disk of half the scan."""
    y, x = np.mgrid[: nav_shape[0], : nav_shape[1]]
    return np.hypot(y - nav_shape[0] // 2, x - nav_shape[1] // 2) < nav_shape[0] / 4


def more_methods(frames):
    """What else a user calls, with the kind of signal for which its plain loop is."""
    ring = hs.roi.CircleROI(0, 0, 0.6, 0.2)
    of_scan, of_detector = (hs.signals.BaseSignal(weights) for weights in weights_of(frames))
    of_scan, of_detector = of_scan.T, hs.signals.Signal2D(of_detector.data)
    side = frames.nav_shape[0]
    disk = hs.roi.CircleROI(side // 2, side // 2, side / 4)

    def detector(s):
        return s.get_integrated_intensity(ring).compute()

    def half(s):
        return s.rebin(scale=(1, 1, 2, 2))

    return {
        "sum weighted by an image of the scan": lambda s: (s * of_scan).sum(axis=NAV_AXES).compute(),
        "sum weighted by an image of the detector": lambda s: (s * of_detector).sum(axis=SIG_AXES).compute(),
        "sum over a disk of the scan": lambda s: disk(s, axes=(0, 1)).nansum(axis=(0, 1)).compute(),
        "virtual detector, mean subtracted": lambda s: detector(s - s.mean(axis=NAV_AXES)),
        "sum pattern, binned": lambda s: half(s).sum(axis=NAV_AXES).compute(),
        "variance, binned": lambda s: half(s).var(axis=NAV_AXES).compute(),
        "maximum, binned": lambda s: half(s).max(axis=NAV_AXES).compute(),
        "radial profiles, 100 rings": lambda s: s.get_azimuthal_integral1d(npt=100).compute(),
        "azimuthal, 16 rings of 12 sectors": lambda s: s.get_azimuthal_integral2d(npt=16, npt_azim=12).compute(),
        "line over the detector": lambda s: DIAGONAL(s, axes=tuple(s.axes_manager.signal_axes)),
        "sum pattern, persisted by dask": lambda s: s.sum(axis=NAV_AXES).compute(),
        "virtual detector, persisted by dask": detector,
    }


_DECOMPOSED = """
import sys, time
import hyperspy.api as hs
from benchmarks.signals import calibrated
hs.preferences.General.show_progressbar = False
signal = calibrated(hs.load(sys.argv[1]))
signal.change_dtype(float)
options = {"algorithm": sys.argv[2], "output_dimension": int(sys.argv[3]), "print_info": False}
small = signal.inav[:16, :16]
small.decomposition(**options)
begin = time.perf_counter(), time.process_time()
signal.decomposition(**options)
result = [time.perf_counter() - begin[0], time.process_time() - begin[1]]
"""


def decompositions(path, frames):
    """Rows of seconds and memory of decompositions in processes of their own, and of the products they are made of."""
    loop, rows = loops()["products"], []
    columns = np.random.default_rng(0).random((frames.n_pixels, 2))
    parts = frames.data, frames.indices, frames.indptr
    out = np.zeros((frames.n_frames, 2)), np.zeros((frames.n_pixels, 2))
    product = in_turns({"": lambda: loop(*parts, columns, *out)}, 3)[""] / 1e3
    for algorithm, n in (("SVD", 10), ("SVD", 20), ("NMF", 10)):
        with contextlib.redirect_stderr(io.StringIO()):
            (wall, processor), peak = fresh(_DECOMPOSED, path, algorithm, n)
        plain_products = f"{MOST_STEPS * product:.1f}" if algorithm == "SVD" else ""
        rows.append([f"{algorithm}, {n} components", f"{wall:.1f}", f"{processor:.1f}", plain_products, f"{peak:.0f}"])
    return rows


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


def ring_moves(signal, roi=None, step=0.01, n=6):
    """Calls that move a ring over the detector and take the image under it, one step each; nothing is drawn."""
    roi = hs.roi.CircleROI(0, 0, 0.6, 0.2) if roi is None else roi
    start = roi.cx
    part = roi.interactive(signal, navigation_signal=None, axes=signal.axes_manager.signal_axes)
    image = hs.interactive(
        part.nansum, axis=part.axes_manager.signal_axes, event=part.events.data_changed, recompute_out_event=None
    )
    steps = itertools.cycle(range(n))

    def move():
        roi.cx = start + step * next(steps)
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
    gc.freeze()  # or each collection looks at all modules
    for turn in range(rounds + 1):
        for name, call in calls.items():
            # HyperSpy's signals refer to themselves, so their arrays stay until they are collected: the next call would
            # pay for it, and would get memory that was not used before, which takes the system longer.
            gc.collect()
            begin = time.process_time()
            call()
            if turn:
                taken[name].append(1e3 * (time.process_time() - begin))
    gc.unfreeze()
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
        frames = frames.reshape((options.nav, options.nav, *SIG))
        rows, worst = [], {}
        for name, method in methods().items():
            calls = {kind: partial(method, s) for kind, s in kinds.items()}
            took = in_turns({"plain loop": plain(frames)[name], **calls}, options.rounds)
            rows.append([name, *(f"{t:.0f}" for t in took.values()), f"{took['in memory'] / took['plain loop']:.2f}"])
            worst[name] = took
        more, plain_ones = more_methods(frames), more_plain(frames)
        others = {}
        persisted = kinds["from the file"].deepcopy()
        persisted.data = persisted.data.persist()
        for name, method in more.items():
            signal = persisted if "persisted" in name else kinds["in memory"]
            both = {"in memory": partial(method, signal), "from the file": partial(method, kinds["from the file"])}
            others[name] = in_turns({"plain loop": plain_ones[name], **both}, min(options.rounds, 3))
        others_rows = [
            [name, *(f"{took[kind]:.0f}" for kind in took), f"{took['in memory'] / took['plain loop']:.2f}", "2"]
            for name, took in others.items()
        ]
        values_rows = of_other_values(frames, min(options.rounds, 3))
        decomposed = decompositions(path, frames)
        kinds["persisted by dask"] = persisted
        moves = in_turns({kind: ring_moves(signal) for kind, signal in kinds.items()}, options.rounds)
        small = calibrated(kinds["in memory"].inav[:16, :16])
        small.persist()
        parts = in_turns(parts_of_calls(small), max(options.rounds, 9))
    print(f"{options.nav} x {options.nav} positions, {SIG[0]} x {SIG[1]} pixels, {frames.nnz:,} entries; ms\n")
    del kinds["persisted by dask"]
    table(["", "plain loop", *kinds, "in memory / plain"], rows)
    table(["", "plain loop", "in memory", "from the file", "in memory / plain", "wanted"], others_rows)
    table(["", "plain loop", "in memory", "in memory / plain", "wanted"], values_rows)
    print("A move of a ring (`roi.interactive`) without drawing; at most 50 ms wanted:\n")
    table(["", "ms"], [[kind, f"{taken:.0f}"] for kind, taken in moves.items()])
    print("Decompositions in a process of its own each; memory includes Python and the entries. Next to those of SVD,")
    print("the time of as many products with the plain loop on one thread. 30 s wanted:\n")
    table(["", "s", "s of processor time", "plain products, s", "MiB at the peak"], decomposed)
    print("Of 16 x 16 positions, where what a call costs is not the events:\n")
    table(["", "ms"], [[name.strip(), f"{taken:.2f}"] for name, taken in parts.items()])
    ours = max(taken for name, taken in parts.items() if "ours" in name)
    target("Fixed cost of a call, our part", "at most 1 ms", f"{ours:.1f} ms", ours <= 1)
    for kind in ("in memory", "persisted by dask", "inav", "isig", "rebin"):
        move = moves[kind]
        target(f"A move of a ring without drawing, {kind}", "at most 50 ms", f"{move:.0f} ms", move <= 50)
    ratio = max(took["in memory"] / took["plain loop"] for took in worst.values())
    target("Signal in memory, multiple of a plain loop", "at most 2", f"{ratio:.2f}", ratio <= 2)
    ratio = max(took["in memory"] / took["from the file"] for took in worst.values())
    target("Signal in memory, times the same from its file", "at most 1", f"{ratio:.2f}", ratio <= 1)
    ratio = max(took["in memory"] / took["plain loop"] for took in others.values())
    target(
        "Weights, regions, bins, rings and lines in memory, times a plain loop", "at most 2", f"{ratio:.2f}", ratio <= 2
    )
    ratio = max(float(row[3]) for row in values_rows)
    target("Hits and values other than counts in memory, times a plain loop", "at most 2", f"{ratio:.2f}", ratio <= 2)
    slowest = max(float(row[1]) for row in decomposed)
    target("Decomposition into 10 or 20 components", "at most 30 s", f"{slowest:.0f} s", slowest <= 30)


if __name__ == "__main__":
    main()
