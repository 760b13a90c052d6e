"""Speed of reading a recording, beside summing its bytes.

Run it with::

    python -m benchmarks.reading                 # 10 million packets, simulated first
    python -m benchmarks.reading scan.tpx3       # a recording of your own, with trigger edges

All contenders take turns, five rounds; the median is shown, as millions of packets a second and as a
multiple of the time that numpy takes to sum the same bytes in memory. The file is in the page cache.
"""

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

ROUNDS = 5


def contenders(path):
    """What is timed: name to function without parameters."""
    from rsciio_tpx3.events.sync import build_scan
    from rsciio_tpx3.frames.event_frames import EventFrames, count_type
    from rsciio_tpx3.reading import scan_options
    from rsciio_tpx3.tpx3 import Tpx3Source

    words = np.fromfile(path, "<u8")
    source = Tpx3Source(path, show_progressbar=False)
    scan = build_scan(source.index(), scan_options())
    frames = EventFrames(source, scan, count_type(scan))
    lines = max(1, 2**21 * scan.n_positions // max(source.index().n_hits, 1) // scan.nav_shape[-1])
    step = lines * scan.nav_shape[-1]
    pieces = [(a, min(a + step, scan.n_positions)) for a in range(0, scan.n_positions, step)]

    def rows(threads):
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(lambda piece: frames.frames(*piece), pieces):
                pass

    return len(words), {
        "sum of the bytes, in memory": words.sum,
        "index (hs.load, first pass)": partial(Tpx3Source, path, show_progressbar=False),
        "counts per position (second pass)": partial(frames.count, show_progressbar=False),
        "hits as columns": source.hits,
        "CSR rows, one thread": partial(rows, 1),
        "CSR rows, two threads": partial(rows, 2),
    }


def timed(functions):
    """Median seconds of each, taken in turn after one round that is not counted."""
    times = {name: [] for name in functions}
    for turn in range(ROUNDS + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", help="a recording; simulated if left out")
    path = parser.parse_args().file
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            from rsciio_tpx3 import simulate

            path = os.path.join(folder, "scan.tpx3")
            simulate.demo(path)
        n_words, functions = contenders(path)
        times = timed(functions)
        base = times["sum of the bytes, in memory"]
        print(f"{os.path.getsize(path) / 1e6:.0f} MB, {n_words:,} words, {os.cpu_count()} cores")
        print("| | ms | million words/s | times the sum |\n|---|---:|---:|---:|")
        for name, seconds in times.items():
            print(f"| {name} | {seconds * 1e3:.0f} | {n_words / seconds / 1e6:.0f} | {seconds / base:.1f} |")


if __name__ == "__main__":
    main()
