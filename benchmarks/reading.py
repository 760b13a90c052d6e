"""Speed of reading a recording, compared with summing its bytes and with published readers.

Run it with::

    python -m benchmarks.reading                 # 9 million packets, simulated first
    python -m benchmarks.reading scan.tpx3       # a recording of your own, with trigger edges

All contenders take turns, five rounds. Shown is the processor time of all threads (median), as millions of packets a
second and as a multiple of the time that numpy takes to sum the same bytes in memory, and the shortest time by the
clock, which says something where nothing else runs. The file is in the page cache. Ours is compared with the plain
kernel (`benchmarks.plain_rows`) for equal results before both are timed.

Published readers take part where they are installed (``pip install tdcsophiread rustpix tpx3awkward``; none is
needed by this package). They do less: their results are plain hits, in one table, in no scan and not sorted by
position. Each runs on one thread.
"""

import argparse
import importlib
import os
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from benchmarks.measure import processor_seconds, table, target, turns
from rsciio_tpx3 import simulate
from rsciio_tpx3.frames.event_frames import EventFrames, count_type
from rsciio_tpx3.reader.scan import scan_options
from rsciio_tpx3.scan.sync import build_scan
from rsciio_tpx3.tpx3 import Tpx3Source
from rsciio_tpx3.utils.clock import PIXEL_PERIOD

ROUNDS = 5
PIECE_HITS = 2**20
SUM = "sum of the bytes, in memory"
INDEX = "index (hs.load, first pass)"
COUNTS = "counts per position (second pass), one thread"
ROWS = "CSR rows, one thread"
ROWS_TWO = "CSR rows, two threads"
PLAIN = "plain kernel: key, histogram, scatter, merge"


def published_readers(path):
    """Readers that are installed, as functions without parameters; and the names of those that are not."""
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    calls = {
        "tdcsophiread": lambda module: partial(module.process_tpx3, path, parallel=False),
        "rustpix": lambda module: partial(module.read_tpx3_hits, path),
        "tpx3awkward.processing": lambda module: lambda: module.decode_tpx3_binary(module.raw_as_numpy(path)),
    }
    found, absent = {}, []
    for name, call in calls.items():
        short = name.partition(".")[0]
        try:
            found[f"{short}, hits only"] = call(importlib.import_module(name))
        except (ImportError, AttributeError):  # not installed, or a version with other names
            absent.append(short)
    return found, absent


def contenders(path):
    """What is timed of this package: name to function without parameters; and the number of words."""
    words = np.fromfile(path, "<u8")
    source = Tpx3Source(path, show_progressbar=False)
    scan = build_scan(source.index(), scan_options())
    frames = EventFrames(source, scan, count_type(scan.longest_dwell))
    # of equal size and as many for both threads, as the kernels take them
    n_lines = scan.n_positions // scan.nav_shape[-1]
    n_pieces = min(2 * max(round(source.index().n_hits / PIECE_HITS / 2), 1), n_lines)
    borders = [n_lines * i // n_pieces for i in range(n_pieces + 1)]
    pieces = list(zip(borders[:-1], borders[1:]))

    def ours(piece):
        return frames.frames(*(line * scan.nav_shape[-1] for line in piece))

    def rows(threads):
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(ours, pieces):
                pass

    plain = _plain(frames, pieces)
    if plain is not None:
        for found, piece in zip(plain(), pieces):
            expected = ours(piece)
            for array, name in zip(found, ("data", "indices", "indptr")):
                np.testing.assert_array_equal(array, getattr(expected, name))

    return len(words), {
        **({} if plain is None else {PLAIN: lambda: deque(plain(), 0)}),
        SUM: words.sum,
        INDEX: partial(Tpx3Source, path, show_progressbar=False),
        COUNTS: partial(frames.count, show_progressbar=False, threads=1),
        "hits as columns": source.hits,
        ROWS: partial(rows, 1),
        ROWS_TWO: partial(rows, 2),
    }


def _plain(frames, pieces):
    """The plain kernel over the same pieces; None for recordings that it cannot read."""
    source, scan = frames.source, frames.scan
    wraps = source.index().span[1] >= PIXEL_PERIOD
    by_line = np.array_equal(scan.base, np.arange(len(scan.base)) * scan.n_columns) and not scan.phase.any()
    if wraps or not by_line or len(np.unique(scan.num)) > 1 or len(source.parts) > 1 or source.parts[0].headerless:
        return None
    from benchmarks.plain_rows import plain_rows, spans_of_lines, words_of

    spans = spans_of_lines(frames, pieces)
    return lambda: (plain_rows(words_of(source, span), frames, *piece) for span, piece in zip(spans, pieces))


def measure(path, rounds=ROUNDS):
    """Time everything on one recording.

    Returns
    -------
    rows : list of dict
        ``name``, ``seconds`` (processor time, median), ``clock`` (shortest time by the clock), ``words_per_second``,
        ``times_sum`` (multiple of the time of summing the bytes), ``times_rows`` (of CSR rows on one thread).
    absent : list of str
        Published readers that are not installed.
    """
    n_words, functions = contenders(path)
    others, absent = published_readers(path)
    functions |= others
    by_clock = {name: [] for name in functions}

    def both(name):
        began = time.perf_counter()
        functions[name]()
        by_clock[name].append(time.perf_counter() - began)

    times = turns({name: partial(both, name) for name in functions}, rounds, clock=processor_seconds)
    return [
        {
            "name": name,
            "seconds": took,
            "clock": min(by_clock[name]),
            "words_per_second": n_words / took,
            "times_sum": took / times[SUM],
            "times_rows": took / times[ROWS],
        }
        for name, took in times.items()
    ], absent


def targets(rows):
    """What was aimed for next to what was reached: (text, reached, aim, "most" or "least")."""
    row = {each["name"]: each for each in rows}
    found = [
        ("index, times the sum of the bytes", row[INDEX]["times_sum"], 3, "most"),
        ("CSR rows on one thread, times the sum of the bytes", row[ROWS]["times_sum"], 25, "most"),
    ]
    if PLAIN in row:
        found.append(("CSR rows, times the plain kernel", row[ROWS]["seconds"] / row[PLAIN]["seconds"], 1.2, "most"))
    # what two threads may take together if they are to be 1.8 times faster, however busy the machine is
    found.append(
        ("CSR rows, processor time on two threads, times that on one", row[ROWS_TWO]["times_rows"], 2 / 1.8, "most")
    )
    faster = row[ROWS]["clock"] / row[ROWS_TWO]["clock"]
    found.append(("CSR rows on two threads, times faster than on one", faster, 1.8, "least"))
    for name, least in (("tdcsophiread", 4), ("rustpix", 7), ("tpx3awkward", 15)):
        other = row.get(f"{name}, hits only")
        if other:
            found.append((f"CSR rows on one thread, times faster than {name}", other["times_rows"], least, "least"))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", help="a recording; simulated if omitted")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.file
        if path is None:
            path = os.path.join(folder, "scan.tpx3")
            simulate.demo(path)
        rows, absent = measure(path, arguments.rounds)
        n_bytes = os.path.getsize(path)
    print(f"{n_bytes / 1e6:.0f} MB, {n_bytes // 8:,} words, {os.cpu_count()} cores, {arguments.rounds} rounds\n")
    cells = [  # fmt: skip
        (
            row["name"],
            f"{row['seconds'] * 1e3:.0f}",
            f"{row['words_per_second'] / 1e6:.0f}",
            f"{row['times_sum']:.1f}",
            f"{row['clock'] * 1e3:.0f}",
        )
        for row in rows
    ]
    cells += [(f"{name}, hits only", "not installed", "", "", "") for name in absent]
    table(("", "processor time, ms", "million words/s", "times the sum", "by the clock, ms"), cells)
    for text, reached, aim, kind in targets(rows):
        met = reached <= aim if kind == "most" else reached >= aim
        digits = 2 if met or f"{reached:.2f}" != f"{aim:.2f}" else 4  # or it would look as if it was reached
        target(text, f"at {kind} {aim:.3g}", f"{reached:.{digits}f}", met)


if __name__ == "__main__":
    main()
