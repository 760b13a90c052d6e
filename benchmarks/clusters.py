"""Speed and memory of finding electrons, compared with summing the bytes and with tpx3awkward.

Run it with::

    python -m benchmarks.clusters                 # simulated: 3, 10 and 30 million hits
    python -m benchmarks.clusters scan.tpx3       # a recording of your own

Contenders take turns, five rounds, on one core; the median is shown, in millions of hits per second and as a multiple
of the time that numpy takes to sum the bytes of the file in memory. "find_electrons" is clustering alone, of hits in
memory in the order of the stream, cut as the source cuts them; "ClusteredSource" reads and decodes the file too.
tpx3awkward takes part where it is installed: clustering alone, on the first slice in order of time (it needs hits
sorted). Peak memory is measured in a process of its own for each file, on Linux.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial

import numpy as np

from benchmarks.measure import peak_memory
from rsciio_tpx3 import simulate
from rsciio_tpx3.electrons.clusters import SLICE_HITS, find_electrons
from rsciio_tpx3.reader.event_options import event_options, prepare_events
from rsciio_tpx3.tpx3 import Tpx3Source

ROUNDS = 5


def contenders(path):
    """What is timed: name to a function and the hits it handles."""
    words = np.fromfile(path, "<u8")
    plain, clustered = _sources(path)
    options, grid = clustered.options, clustered.grid
    slices = [clustered.source.hits(a, b) for a, b in _spans(plain.index())]
    n_slices = sum(map(len, slices))

    def cluster(chosen):
        for hits in slices:
            find_electrons(hits, int(hits.toa.min()), int(hits.toa.max()) + 1, grid, chosen)

    n = plain.index().n_hits
    found = {
        "sum of the bytes, in memory": (words.sum, n),
        "hits as columns": (lambda: [None for _ in plain.windows(*plain.index().span)], n),
        "find_electrons, in memory": (partial(cluster, options), n_slices),
        "ClusteredSource, from the file": (
            lambda: [None for piece in clustered.work(1) for _ in clustered.part(piece)], n
        ),
    }  # fmt: skip
    return found | _tpx3awkward(slices)


def _sources(path):
    plain = Tpx3Source(path, show_progressbar=False)
    return plain, prepare_events(plain, event_options(cluster=True))[0]


def _spans(index, most=16):
    """At most sixteen spans of so many hits as are clustered together: those of all would fill the memory."""
    low, high = index.hit_span
    step = max(1, (high + 1 - low) * SLICE_HITS // max(index.n_hits, 1))
    return [(low + i * step, low + (i + 1) * step) for i in range(most) if low + i * step <= high]


def _tpx3awkward(slices):
    try:
        import pandas  # not a dependency, nor is the other
        from tpx3awkward import cluster_decoded_df
    except ImportError:
        return {}
    hits = slices[0].take(np.argsort(slices[0].toa))
    columns = {"x": hits.x, "y": hits.y, "ToT": hits.tot, "t": hits.toa // 6, "chip": 0}

    def run():
        cluster_decoded_df(pandas.DataFrame(columns), 0.2, 2**0.5)

    return {"tpx3awkward, in memory": (run, len(hits))}


def timed(functions):
    """Median seconds of each, taken in turn after one round that is not counted."""
    times = {name: [] for name in functions}
    for turn in range(ROUNDS + 1):
        for name, (function, _) in functions.items():
            start = time.perf_counter()
            function()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def peak(path):
    """Peak memory in MiB of a process that opens a file, and of one that finds all its electrons."""
    program = "import sys; from benchmarks.clusters import run_once; run_once(sys.argv[1], sys.argv[2])"
    found = (
        subprocess.run([sys.executable, "-c", program, path, what], capture_output=True, text=True, check=True)
        for what in ("open", "cluster")
    )
    return [float(run.stdout.split()[-1]) for run in found]


def run_once(path, what):
    """Open a file or find its electrons; prints the peak memory in MiB."""
    _, clustered = _sources(path)
    pieces = clustered.work(8)
    if what == "open":  # compiles and loads everything, but reads little
        low, high = pieces[0]
        pieces = [(low, low + (high - low) // 1000)]
    for piece in pieces:
        for _ in clustered.part(piece):
            pass
    print(peak_memory())


def show(path):
    functions = contenders(path)
    times = timed(functions)
    size = os.path.getsize(path)
    base = times["sum of the bytes, in memory"] / size
    n_all = functions["hits as columns"][1]
    print(f"\n{size / 1e6:.0f} MB, {n_all:,} hits, {os.cpu_count()} cores")
    print("| | hits | ms | million hits/s | times the sum |\n|---|---:|---:|---:|---:|")
    for name, seconds in times.items():
        n = functions[name][1]
        share = size * n / n_all
        print(f"| {name} | {n:,} | {seconds * 1e3:.0f} | {n / seconds / 1e6:.1f} | {seconds / share / base:.1f} |")
    opened, clustered = peak(path)
    print(f"\npeak memory: {opened:.0f} MiB after opening, {clustered:.0f} MiB with all electrons found")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", help="a recording; simulated if omitted")
    parser.add_argument("--millions", type=float, nargs="+", default=[3, 10, 30], help="hits of those simulated")
    arguments = parser.parse_args()
    if arguments.file:
        show(arguments.file)
        return
    with tempfile.TemporaryDirectory() as folder:
        for millions in arguments.millions:
            path = os.path.join(folder, "scan.tpx3")
            side = round((millions * 1e6 / 3.13 / 100) ** 0.5)
            simulate.recording(
                path, (side, side), electrons_per_position=100, dwell_time="20 us", hits="realistic", keep_truth=False
            )
            show(path)


if __name__ == "__main__":
    main()
