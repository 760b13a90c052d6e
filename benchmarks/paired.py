"""Processor time of this code compared with that of another checkout, in turn, on the same recordings.

Run it with::

    git worktree add ../old v0.1                         # the code to compare with
    python -m benchmarks.paired ../old                   # all cases, some minutes
    python -m benchmarks.paired ../old t3p raw_csr       # those whose names begin so
    python -m benchmarks.paired ../old --scale 0.1       # small ones, to see that all of it runs
    python -m benchmarks.paired ../old "in memory" --rounds 3    # profiles before and after

Each checkout runs in a process of its own, which makes ready, and then does one round when it is asked to; so both meet
the same minutes of a machine that others use too. What is shown is the processor time (of all threads, user and system)
of the better half of the rounds, and the ratio. Recordings (`.tpx3`, `.t3p`, `.t3pa`) are the same file for both;
counted data are written by each checkout, as its users have them: what a format keeps for its checksums is part of the
price.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
SCAN = (128, 128)
SIDE = 256
CASES = {}

# What is compared is imported by the cases: the process that takes turns loads none of it, and a checkout may lack
# what another case needs.


def case(name, repeats=1):
    """Register a case: a function of (folder, scale) that makes ready and returns what is timed."""

    def register(function):
        CASES[name] = function, repeats
        return function

    return register


# -- recordings, the same for both ---------------------------------------------------------------

RECORD = np.dtype([("pixel", "<u4"), ("toa", "<u8"), ("overflow", "u1"), ("ftoa", "u1"), ("tot", "<u2")])


def hit_list(n, seed=0):
    """Records of n hits of one chip, in pairs of neighbours, a little out of order."""
    rng = np.random.default_rng(seed)
    found = np.zeros(n, RECORD)
    found["pixel"] = 1 + rng.integers(0, SIDE * SIDE - 2, n)
    found["toa"] = 1000 + np.arange(n) * 2 + rng.integers(0, 40, n)
    found["ftoa"], found["tot"] = rng.integers(0, 16, n), rng.integers(1, 200, n)
    return found


def write_recordings(folder, scale):
    """All files that both checkouts read."""
    from benchmarks import recordings

    hits = hit_list(int(1e7 * scale))
    hits.tofile(folder / "clean.t3p")
    text = hits[: len(hits) // 5]
    with open(folder / "clean.t3pa", "w") as file:
        file.write("Index\tMatrix Index\tToA\tToT\tFToA\tOverflow\n")
        columns = [np.arange(len(text)), *(text[name] for name in ("pixel", "toa", "tot", "ftoa", "overflow"))]
        np.savetxt(file, np.stack([c.astype(np.int64) for c in columns], 1), "%d", "\t")
    recordings.write(folder / "clean.tpx3", int(1e7 * scale), (256, 256))
    words = np.fromfile(folder / "clean.tpx3", "<u8")
    one_hit_shifted(words.copy()).tofile(folder / "hit.tpx3")
    with_global_time(words, damaged=False).tofile(folder / "global.tpx3")
    with_global_time(words, damaged=True).tofile(folder / "global_damaged.tpx3")
    many_edges(int(1e6 * scale), damaged=False).tofile(folder / "edges.tpx3")
    many_edges(int(1e6 * scale), damaged=True).tofile(folder / "edges_damaged.tpx3")


def one_hit_shifted(words):
    """One hit in the middle has another wide time (the upper bit of 16, 13.4 s away)."""
    is_hit = words >> np.uint64(60) == 0xB
    middle = np.flatnonzero(is_hit)[is_hit.sum() // 2]
    words[middle] ^= np.uint64(1 << 15)
    return words


def with_global_time(words, damaged):
    """A pair of global times, as SPIDR inserts them, before about each thousandth chunk; or one of them damaged."""
    heads = np.flatnonzero((words & np.uint64(0xFFFFFFFF)) == 0x33585054)
    places, pairs = heads[200::1000], []
    for i, head in enumerate(places):
        hits = words[head + 1 : head + 4096]
        first = hits[hits >> np.uint64(60) == 0xB][0]
        coarse = int(first & np.uint64(0xFFFF)) * 16384 + int(first >> np.uint64(30) & np.uint64(0x3FFF))
        if damaged and i == len(places) // 2:
            coarse ^= 1 << 31
        low, high = coarse & 0xFFFFFFFF, coarse >> 32
        header = (16 << 48) | 0x33585054
        pairs.append([header, (0x44 << 56) | (low << 16), (0x45 << 56) | (high << 16)])
    return np.insert(words, np.repeat(places, 3), np.array(pairs, np.uint64).ravel())


def many_edges(n, damaged):
    """A rising and a falling edge and two hits in each of n pixels of 20 us, on one chip; one edge may be damaged."""
    from rsciio_tpx3.tpx3.packets import EDGE_CODES, encode_header, encode_hits, encode_tdc

    start = (1 + np.arange(n, dtype=np.int64)) * 76800
    edges = [
        encode_tdc(np.full(n, EDGE_CODES[code]), np.arange(1, n + 1) % 4096, start + after)
        for code, after in (("tdc1-rise", 0), ("tdc1-fall", 38400))
    ]
    if damaged:
        edges[0][n // 2] ^= np.uint64(1 << 40)  # some seconds
    hits = [encode_hits(np.arange(n) % 60000, (start + after) // 6 * 6, np.full(n, 20)) for after in (9600, 48000)]
    words = np.stack([edges[0], hits[0], edges[1], hits[1]], axis=1).astype(np.uint64)
    chunks = [np.append(encode_header(0, part.size), part.ravel()) for part in np.array_split(words, max(n // 1000, 1))]
    return np.concatenate(chunks).astype(np.uint64)


# -- what is timed -------------------------------------------------------------------------------


def _advacam(name):
    from rsciio_tpx3.t3pa import AdvacamSource

    return lambda folder: AdvacamSource(folder / name, show_progressbar=False)


def _all_hits(source):
    def run():
        return sum(len(hits) for piece in source.work(4) for hits in source.part(piece))

    return run


for _name in ("t3p", "t3pa"):

    @case(f"{_name}: index")
    def _(folder, scale, name=_name):
        make = _advacam(f"clean.{name}")
        return lambda: make(folder)

    @case(f"{_name}: hits")
    def _(folder, scale, name=_name):
        return _all_hits(_advacam(f"clean.{name}")(folder))


def _tpx3(path):
    import logging

    from rsciio_tpx3.tpx3 import Tpx3Source

    logging.disable(logging.WARNING)
    return Tpx3Source(path, show_progressbar=False, on_loss="warn")


for _name, _file in (
    ("clean", "clean"),
    ("one hit shifted", "hit"),
    ("global times", "global"),
    ("a global time damaged", "global_damaged"),
    ("many edges", "edges"),
    ("many edges, one damaged", "edges_damaged"),
):

    @case(f"tpx3, {_name}: index")
    def _(folder, scale, file=_file):
        return lambda: _tpx3(folder / f"{file}.tpx3")

    @case(f"tpx3, {_name}: hits")
    def _(folder, scale, file=_file):
        return _all_hits(_tpx3(folder / f"{file}.tpx3"))


def _counted(scan, electrons, seed=0):
    """A lazy signal of counted frames in memory."""
    import hyperspy.api as hs

    from hyperspy_sparse.signals import LazySparseElectronDiffraction2D
    from rsciio_tpx3 import CSRFrames
    from rsciio_tpx3.csr.build import csr_from_hits

    hs.preferences.General.show_progressbar = False
    rng = np.random.default_rng(seed)
    n = scan[0] * scan[1]
    rows = np.repeat(np.arange(n), rng.poisson(electrons, n))
    radius, angle = 24 * np.sqrt(rng.random(len(rows))), rng.random(len(rows)) * 2 * np.pi
    y, x = (np.int32(128 + radius * f(angle)) for f in (np.sin, np.cos))
    frames = CSRFrames(csr_from_hits(rows, y * SIDE + x, n, SIDE * SIDE, np.uint8), shape=(*scan, SIDE, SIDE))
    return LazySparseElectronDiffraction2D(_chunked(frames))


def _chunked(frames):
    from rsciio_tpx3.frames.dask_array import to_dask
    from rsciio_tpx3.frames.memory_source import MemorySource

    return to_dask(MemorySource(frames))


FORMATS = {"raw_csr": ("x.toml", {}), "nxevent": ("x.nxevent", {}), "stempy": ("x.h5", {"file_format": "stempy"})}


def _saved(folder, scale, name, electrons=400):
    """Path and options of a counted set that this checkout has written."""
    import hyperspy.api as hs

    file, options = FORMATS[name]
    path = folder / os.environ["BENCHMARK_SIDE"] / f"{electrons}.{file}"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        _counted(SCAN, electrons * scale).save(path, overwrite=True, **options)
    hs.preferences.General.show_progressbar = False
    return path, options


def _counted_cases(name):
    for what, electrons, repeats in (("small", 40, 20), ("large", 1600, 5)):

        @case(f"{name}, {what}: lazy opening", repeats)
        def _(folder, scale, electrons=electrons):
            import hyperspy.api as hs

            path, options = _saved(folder, scale, name, electrons)
            return lambda: hs.load(path, lazy=True, **options)

        @case(f"{name}, {what}: all frames", 1 if what == "large" else 3)
        def _(folder, scale, electrons=electrons):
            from rsciio_tpx3.frames.dask_array import source_of

            source = source_of(_lazy(_saved(folder, scale, name, electrons)).data)
            n = SCAN[0] * SCAN[1]
            return lambda: [source.frames(i, i + 2048) for i in range(0, n, 2048)]

    @case(f"{name}: one frame, 50 times", 1)
    def _(folder, scale):
        from rsciio_tpx3.frames.dask_array import source_of

        source = source_of(_lazy(_saved(folder, scale, name, 1600)).data)
        return lambda: [source.frames(i, i + 1) for i in range(0, 5000, 100)]


def _lazy(saved):
    import hyperspy.api as hs

    path, options = saved
    return hs.load(path, lazy=True, **options)


for _name in FORMATS:
    _counted_cases(_name)


def _signal_case(name, call):
    @case(f"signal of 32 x 32: {name}", 20)
    def _(folder, scale):
        import hyperspy.api as hs

        signal = _counted((32, 32), 40)
        roi = hs.roi.CircleROI(128, 128, 20)
        return lambda: call(signal, roi)


def _beam(signal, **options):
    return signal.get_direct_beam_position(method="center_of_mass", **options)


_signal_case("centre of mass", lambda s, roi: _beam(s, lazy_output=False))
_signal_case("sum over navigation", lambda s, roi: s.sum(axis=(0, 1)).compute(show_progressbar=False))
_signal_case("sum over the detector", lambda s, roi: s.sum(axis=(2, 3)).compute(show_progressbar=False))
_signal_case("virtual detector", lambda s, roi: s.get_integrated_intensity(roi).compute(show_progressbar=False))
_signal_case("inav", lambda s, roi: s.inav[3:20, 4:30])
_signal_case("isig", lambda s, roi: s.isig[30:200, 40:240])
_signal_case("one frame", lambda s, roi: s.inav[3, 4].data.compute())
_signal_case("deepcopy", lambda s, roi: s.deepcopy())
_signal_case("times a number", lambda s, roi: s * 2)
_signal_case("centre of mass, lazy", lambda s, roi: _beam(s, lazy_output=True))


def _recorded(folder):
    """A recording as users load it, 256 x 256 positions of a detector of 512 x 512 pixels, in memory."""
    import hyperspy.api as hs

    hs.preferences.General.show_progressbar = False
    options = {"navigation_shape": (256, 256), "cache": False, "show_progressbar": False}
    return lambda: hs.load(folder / "clean.tpx3", **options)


@case("in memory: default load")
def _(folder, scale):
    load = _recorded(folder)
    return lambda: load().data.npartitions and None


@case("in memory: sum pattern")
def _(folder, scale):
    signal = _recorded(folder)()
    return lambda: int(signal.sum(axis=(0, 1)).data.compute().sum())


@case("in memory: a move of a ring")
def _(folder, scale):
    import hyperspy.api as hs

    signal, ring, centres = _recorded(folder)(), hs.roi.CircleROI(256, 256, 60, 20), itertools.count()
    part = ring.interactive(signal, navigation_signal=None, axes=signal.axes_manager.signal_axes)
    axes = part.axes_manager.signal_axes
    image = hs.interactive(part.nansum, axis=axes, event=part.events.data_changed, recompute_out_event=None)

    def move():
        ring.cx = 256 + next(centres) % 5
        return int(np.asarray(image.data).sum())

    return move


@case("in memory: first radial profile of a geometry")
def _(folder, scale):
    signal, centres = _recorded(folder)(), itertools.count()
    signal.set_signal_type("electron_diffraction")

    def profile():
        signal.calibration.center = (250 + next(centres) / 7, 255.5)  # nothing is left of the last one
        signal.get_azimuthal_integral1d(npt=100).data.compute()

    return profile


@case("in memory: decomposition (SVD, 5 components, 32 x 32 x 64 x 64)")
def _(folder, scale):
    signal = _counted((32, 32), 400).isig[96:160, 96:160]
    signal.change_dtype(float)
    return lambda: signal.decomposition(output_dimension=5, print_info=False)


# -- taking turns --------------------------------------------------------------------------------


def work(names, folder, scale):
    """Do what stdin says: the name of a case makes it ready, an empty line runs it."""
    import rsciio_tpx3

    print(json.dumps(os.path.dirname(rsciio_tpx3.__file__)), flush=True)
    run, repeats = None, 1
    for line in sys.stdin:
        name = line.strip()
        if name:
            make, repeats = CASES[name]
            try:
                run = make(Path(folder), scale)
                run()
                print(json.dumps("ready"), flush=True)
            except Exception as error:
                print(json.dumps(f"{type(error).__name__}: {str(error)[:200]}"), flush=True)
        else:
            begin = time.process_time()
            for _ in range(repeats):
                found = run()
            took = (time.process_time() - begin) / repeats
            print(json.dumps([took, found if isinstance(found, int) else None]), flush=True)


class _Side:
    """A process over the code of one checkout."""

    def __init__(self, name, checkout, folder, scale):
        environment = {
            **os.environ,
            "PYTHONPATH": str(checkout),
            "BENCHMARK_SIDE": name,
            "RSCIIO_TPX3_CACHE": str(folder / f"cache-{name}"),
            "PYTHONWARNINGS": "ignore",
            "MPLBACKEND": "Agg",
        }
        # the checkout's own `benchmarks` may lack this module: run by its path, in a folder without packages
        command = [sys.executable, str(Path(__file__).resolve()), "--work", str(folder), "--scale", str(scale)]
        self._process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        found = Path(self._answer())
        if found.parent.resolve() != checkout.resolve():
            raise RuntimeError(f"{found} was imported, not the code of {checkout}")

    def ask(self, text=""):
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process ended; run a case by hand with --work to see why")
        return json.loads(line)

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def better_half(times):
    """Median of the faster half: what other programs take away makes times longer, never shorter."""
    return statistics.median(sorted(times)[: (len(times) + 1) // 2])


def measure(checkout, wanted, rounds, scale, folder):
    """Rows of (case, seconds there, seconds here, what else is to be said)."""
    sides = {name: _Side(name, path, folder, scale) for name, path in (("there", checkout), ("here", ROOT))}
    for name in wanted:
        ready = {side: process.ask(name) for side, process in sides.items()}
        remark = "; ".join(f"{side}: {answer}" for side, answer in ready.items() if answer != "ready")
        times, hits = {side: [] for side in sides}, {}
        for _ in range(0 if remark else rounds):
            for side, process in sides.items():
                took, hits[side] = process.ask()
                times[side].append(took)
        if len(set(hits.values())) > 1:
            remark = f"{hits['there']:,} hits there, {hits['here']:,} here"
        yield name, *(better_half(found) if found else None for found in times.values()), remark
    for process in sides.values():
        process.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkout", nargs="?", type=Path, help="folder of the code to compare with")
    parser.add_argument("cases", nargs="*", help="beginnings of names; all by default")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--folder", type=Path, help="keep the files there, and take those that are there")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.cases, options.work, options.scale)
        return
    if options.checkout is None:
        parser.error("which checkout is to be compared with?")
    wanted = [name for name in CASES if not options.cases or name.startswith(tuple(options.cases))]
    print("| processor time, ms | there | here | here / there | |\n|---|---:|---:|---:|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = (options.folder or Path(folder)).resolve()
        folder.mkdir(exist_ok=True)
        if not (folder / "edges_damaged.tpx3").exists():
            write_recordings(folder, options.scale)
        for name, there, here, remark in measure(
            options.checkout.resolve(), wanted, options.rounds, options.scale, folder
        ):
            cells = " | | " if there is None else f"{there * 1e3:.2f} | {here * 1e3:.2f} | {here / there:.2f}"
            print(f"| {name} | {cells} | {remark} |", flush=True)


if __name__ == "__main__":
    if "--work" in sys.argv:
        sys.path.pop(0)  # modules next to this one have names of others
    main()
