"""Speed of the public methods on sparse signals, compared with scipy, dense data and other packages.

Run it with::

    python -m benchmarks.signals                     # 128 x 128 and 256 x 256 positions; 20, 200, 2000 electrons
    python -m benchmarks.signals --nav 256 --electrons 200
    python -m benchmarks.signals --quick             # a minute or two, to see that all of it runs

Simulated frames of 512 x 512 pixels are held in memory as CSR. Each line is the median of several
rounds, in which all contenders take turns. Ours are called as a user calls them: a method of the
signal, then ``compute()``. The dense contender is the same pyXem method on a lazy ``.zspy`` of the
same frames, measured on a part of the scan and given per frame, since it takes minutes on all.
LiberTEM and stempy take part where they can be imported. Other programs call `measure`, which
returns rows, and `targets`.
"""

import argparse
import importlib.util
import logging
import tempfile
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import dask
import hyperspy.api as hs
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse
from hyperspy.signals import LazySignal2D

import hyperspy_sparse
from benchmarks.measure import note_target, peak_memory
from hyperspy_sparse import finish_loading
from hyperspy_sparse.calibration_cache import CachingCalibration
from hyperspy_sparse.hosts import current_frame
from rsciio_tpx3 import CSRFrames, to_dask
from rsciio_tpx3.frames.memory_source import MemorySource

SIG = (512, 512)


class Row(NamedTuple):
    """One measurement: `who` did `method` in `seconds` on `n_frames` frames."""

    nav: int
    electrons: int
    method: str
    who: str
    seconds: float
    n_frames: int

    @property
    def per_frame(self):
        """Microseconds."""
        return 1e6 * self.seconds / self.n_frames


class Notes(NamedTuple):
    """What there is to say of one data set; memory in bytes, times in seconds."""

    nav: int
    electrons: int
    entries: int
    size: int
    peak: int
    setup: float
    frame: float
    plotted_frame: float
    plotted_frame_dense: float
    moves: dict


def frames_of(nav, electrons, seed=0):
    """Counted frames with a wide bright disk: every electron in one pixel."""
    rng = np.random.default_rng(seed)
    n_frames, n_pixels = nav * nav, SIG[0] * SIG[1]
    parts, per_row = [], []
    step = max(1, 4 * 10**6 // electrons)
    for first in range(0, n_frames, step):
        counts = rng.poisson(electrons, min(step, n_frames - first))
        y, x = (rng.normal(255.5, 70, counts.sum()).clip(0, 511).astype(np.int64) for _ in "yx")
        place = np.repeat(np.arange(counts.size), counts) * n_pixels + y * SIG[1] + x
        place, times = np.unique(place, return_counts=True)
        per_row.append(np.bincount(place // n_pixels, minlength=counts.size))
        parts.append((times.astype(np.uint8), (place % n_pixels).astype(np.int32)))
    data, indices = (np.concatenate(p) for p in zip(*parts, strict=True))
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(per_row))])
    return CSRFrames((data, indices, indptr), shape=(nav, nav, *SIG))


def calibrated(signal):
    signal.calibration.center = (255.5, 255.5)
    signal.calibration.scale = 0.01
    signal.calibration.units = "k_A^-1"
    return signal


def sparse_signal(frames):
    signal = LazySignal2D(to_dask(MemorySource(frames)))
    signal.set_signal_type("electron_diffraction")
    return calibrated(finish_loading(signal))


def dense_signal(frames, n, folder):
    """The first n x n positions as a lazy .zspy."""
    path = Path(folder) / f"part_{frames.nnz}.zspy"
    sparse_signal(frames[:n, :n]).save(path, overwrite=True)
    signal = hs.load(path, lazy=True)
    # pyXem works out the geometry at every call, in seconds; that is the same for both.
    signal.calibration = CachingCalibration(signal)
    return calibrated(signal)


def methods():
    """Name, and the call as a user makes it."""
    disk = hs.roi.CircleROI(0, 0, 0.6, 0.2)
    rings = [hs.roi.CircleROI(0, 0, 0.1 * i + 0.1, 0.1 * i) for i in range(16)]
    nav, sig = (0, 1), (2, 3)
    return {
        "virtual detector": lambda s: s.get_integrated_intensity(disk).compute(),
        "16 detectors (pyXem)": lambda s: s.get_virtual_image(rings).compute(),
        "sum pattern": lambda s: s.sum(axis=nav).compute(),
        "counts per position": lambda s: s.sum(axis=sig).compute(),
        "maximum": lambda s: s.max(axis=nav).compute(),
        "variance": lambda s: s.var(axis=nav).compute(),
        "centre of mass": lambda s: s.get_direct_beam_position(method="center_of_mass").compute(),
        "radial profile": lambda s: s.get_azimuthal_integral1d(npt=100).compute(),
        "azimuthal 2D": lambda s: s.get_azimuthal_integral2d(npt=50, npt_azim=90).sum().compute(),
    }


def own_methods():
    """What pyXem has no method for."""
    rings = {f"{i}": hs.roi.CircleROI(0, 0, 0.1 * i + 0.1, 0.1 * i) for i in range(16)}
    one = {"0": rings["5"]}

    def images(detectors):
        return lambda s: hyperspy_sparse.virtual_images(s, detectors).compute()

    return {
        "1 detector (ours)": images(one),
        "16 detectors (ours)": images(rings),
        "one pass: sum, counts, mass, 1 image": lambda s: hyperspy_sparse.one_pass(s, detectors=one),
    }


def plain(frames):
    """The bare scipy or NumPy calculation on the same arrays."""
    matrix = frames.to_scipy()
    y, x = np.mgrid[: SIG[0], : SIG[1]] - 255.5
    radius = np.hypot(y, x).ravel() * 0.01
    mask = ((radius < 0.6) & (radius > 0.2)).astype(np.float64)
    axes = np.stack([np.ones(radius.size), x.ravel(), y.ravel()], axis=1)
    bins = np.minimum((radius / radius.max() * 100).astype(int), 99)
    rings = scipy.sparse.csr_array((np.ones(bins.size), bins, np.arange(bins.size + 1)))
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    n_pixels = matrix.shape[1]
    return {
        "virtual detector": lambda: matrix @ mask,
        "sum pattern": lambda: np.bincount(matrix.indices, matrix.data, minlength=n_pixels),
        "counts per position": lambda: np.bincount(rows, matrix.data, minlength=matrix.shape[0]),
        "centre of mass": lambda: matrix @ axes,
        "radial profile": lambda: matrix @ rings,
    }


def others(frames, folder):
    """Packages that count electrons as well, where they are installed."""
    contenders = {}
    if importlib.util.find_spec("libertem"):
        contenders["LiberTEM"] = libertem_calls(frames, folder)
    if importlib.util.find_spec("stempy"):
        contenders["stempy"] = stempy_calls(frames)
    return contenders


def libertem_calls(frames, folder):
    """LiberTEM's analyses on raw_csr files of the same frames, inline executor."""
    import libertem.api as lt  # not a dependency of what is measured
    from libertem.udf.masks import ApplyMasksUDF
    from libertem.udf.sum import SumUDF

    logging.getLogger("libertem").setLevel(logging.ERROR)
    folder = Path(folder)
    (folder / "indptr.raw").write_bytes(frames.indptr.astype("<i8").tobytes())
    (folder / "indices.raw").write_bytes(frames.indices.astype("<i4").tobytes())
    (folder / "data.raw").write_bytes(frames.data.astype("<u1").tobytes())
    (folder / "scan.toml").write_text(
        f"""[params]
filetype = "raw_csr"
nav_shape = {list(frames.nav_shape)}
sig_shape = {list(SIG)}
[raw_csr]
indptr_file = "indptr.raw"
indptr_dtype = "<i8"
indices_file = "indices.raw"
indices_dtype = "<i4"
data_file = "data.raw"
data_dtype = "<u1"
"""
    )
    context = lt.Context.make_with("inline")
    data = context.load("raw_csr", path=str(folder / "scan.toml"))
    y, x = np.mgrid[: SIG[0], : SIG[1]] - 255.5
    radius = np.hypot(y, x) * 0.01
    mask = ((radius < 0.6) & (radius > 0.2)).astype(np.float32)
    masks = ApplyMasksUDF(mask_factories=[lambda: mask])
    com = context.create_com_analysis(dataset=data, cx=255.5, cy=255.5)
    return {
        "virtual detector": lambda: context.run_udf(data, masks),
        "sum pattern": lambda: context.run_udf(data, SumUDF()),
        "centre of mass": lambda: context.run(com),
    }


def stempy_calls(frames):
    """stempy's images on its own sparse array of the same frames."""
    import stempy.image  # no wheels for every Python
    from stempy.io import SparseArray

    starts = frames.indptr
    rows = np.empty((frames.n_frames, 1), dtype=object)
    for i in range(frames.n_frames):
        rows[i, 0] = frames.indices[starts[i] : starts[i + 1]].astype(np.uint32)
    array = SparseArray(rows, frames.nav_shape, SIG)
    return {
        "virtual detector": lambda: stempy.image.create_stem_images(array, 20, 60, center=(255, 255)),
        "sum pattern": lambda: array.sum(axis=(0, 1)),
        "centre of mass": lambda: stempy.image.com_sparse(array),
    }


def medians(calls, rounds):
    """Median seconds of each call; all take turns, after one turn that does not count."""
    times = {name: [] for name in calls}
    for round_ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if round_:
                times[name].append(time.perf_counter() - start)
    return {name: float(np.median(t)) for name, t in times.items()}


def one_frame(frames, n=300):
    """Seconds for one frame: from the source, and as plotting asks for it, sparse and dense in memory."""
    signal = sparse_signal(frames)
    signal.persist()
    few = frames[:16, :16]
    dense = hs.signals.Signal2D(few.todense())
    places = np.random.default_rng(1).integers(0, frames.nav_shape[0], (n, 2))
    times = {"source": [], "sparse": [], "dense": []}
    for y, x in places:
        start = time.perf_counter()
        frames[int(y), int(x)]
        times["source"].append(time.perf_counter() - start)
        for name, shown, place in (("sparse", signal, (int(x), int(y))), ("dense", dense, (int(x) % 16, int(y) % 16))):
            shown.axes_manager.indices = place
            start = time.perf_counter()
            current_frame(shown)
            times[name].append(time.perf_counter() - start)
    return [float(np.median(t)) for t in times.values()]


def moves(signal, n=20):
    """Median seconds of a move of the navigator, and of a detector in a plot; drawn without a screen."""
    side = signal.axes_manager.navigation_shape[0]
    signal.plot()
    roi = hs.roi.CircleROI(0, 0, 0.6, 0.2)
    signal.plot_integrated_intensity(roi)
    # Without a screen nothing asks for the canvas to be drawn, so that is done here.
    canvases = [plt.figure(number).canvas for number in plt.get_fignums()]
    taken = {"navigator": [], "detector": []}
    for i in range(n):
        for name in taken:
            start = time.perf_counter()
            if name == "navigator":
                signal.axes_manager.indices = (i % side, 2 * i % side)
            else:
                roi.cx = 0.02 * (i + 1)
            for canvas in canvases:
                canvas.draw()
            taken[name].append(time.perf_counter() - start)
    plt.close("all")
    return {name: float(np.median(t)) for name, t in taken.items()}


def forget_peak():
    """Start measuring the peak anew, where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def measure(nav, electrons, rounds=5, dense_n=16, dense_rounds=1):
    """All measurements of one data set.

    Parameters
    ----------
    nav : int
        Positions along each scan axis.
    electrons : int
        Mean number in a frame.
    rounds, dense_rounds : int
        Of the median; dense data take theirs apart.
    dense_n : int
        Positions along each axis of the part that is measured as dense data; 0 for none.

    Returns
    -------
    rows : list of Row
    notes : Notes
    """
    frames = frames_of(nav, electrons)
    signal = sparse_signal(frames)
    start = time.perf_counter()
    signal.get_azimuthal_integral1d(npt=100)
    signal.get_azimuthal_integral2d(npt=50, npt_azim=90)
    setup = time.perf_counter() - start
    ours = {k: (lambda c=c: c(signal)) for k, c in {**methods(), **own_methods()}.items()}

    def on_one_thread(call):
        with dask.config.set(scheduler="sync"):
            call()

    with tempfile.TemporaryDirectory() as folder:
        calls = {("ours", k): c for k, c in ours.items()}
        calls |= {("scipy", k): c for k, c in plain(frames).items()}
        for package, theirs in others(frames, folder).items():
            calls |= {(package, k): c for k, c in theirs.items()}
            if package == "stempy":
                calls |= {("ours, one thread", k): (lambda c=ours[k]: on_one_thread(c)) for k in theirs}
        forget_peak()
        before = peak_memory()
        medians({key: call for key, call in calls.items() if key[0] == "ours"}, 0)
        peak = (peak_memory() - before) * 2**20
        took = medians(calls, rounds)
        rows = [Row(nav, electrons, k, who, t, nav * nav) for (who, k), t in took.items()]
        shown = {"sparse": moves(sparse_signal(frames))}
        if dense_n:
            dense = dense_signal(frames, dense_n, folder)
            slow = {k: (lambda c=c: c(dense)) for k, c in methods().items()}
            times = medians(slow, dense_rounds)
            rows += [Row(nav, electrons, k, "dense zspy", t, dense_n**2) for k, t in times.items()]
            # The same part of the scan for both, since moving a detector asks for all of it.
            shown = {"sparse": moves(sparse_signal(frames[:dense_n, :dense_n])), "dense": moves(dense)}
            shown["sparse, whole scan"] = moves(sparse_signal(frames))
    notes = Notes(nav, electrons, frames.nnz, frames.nbytes, peak, setup, *one_frame(frames), shown)
    return rows, notes


def _ratio(rows, method, who, to="ours", to_method=None):
    """How many times longer `who` takes for a frame; None where it was not measured."""
    found = {(row.who, row.method): row.per_frame for row in rows}
    one, other = found.get((who, method)), found.get((to, to_method or method))
    return None if one is None or other is None else one / other


def targets(rows, notes):
    """The project's targets next to what was reached.

    Parameters
    ----------
    rows, notes
        As `measure` gives them.

    Returns
    -------
    list of (str, str, str, bool)
        What, wanted, reached, whether that meets it; nothing for contenders that are not installed.
    """
    electrons, found = rows[0].electrons, []

    def at_least(what, ratio, wanted):
        if ratio is not None:
            found.append((what, f"at least {wanted:g} times as fast", f"{ratio:.2f}", ratio >= wanted))

    bare = {200: 0.25, 2000: 1.0}.get(electrons)
    for method in ("virtual detector", "sum pattern", "centre of mass", "radial profile"):
        if bare:
            at_least(f"{method}, compared with bare scipy or bincount", _ratio(rows, method, "scipy"), bare)
    several = _ratio(rows, "16 detectors (ours)", "ours", to_method="1 detector (ours)")
    found.append(("16 detectors compared with one", "at most 1.5 times as long", f"{several:.2f}", several <= 1.5))
    for method in ("virtual detector", "centre of mass", "radial profile") if electrons == 200 else ():
        at_least(f"{method}, compared with lazy dense zspy", _ratio(rows, method, "dense zspy"), 300)
    for method in ("sum pattern", "maximum", "variance", "azimuthal 2D") if electrons == 200 else ():
        at_least(f"{method}, compared with lazy dense zspy", _ratio(rows, method, "dense zspy"), 100)
    for method in ("virtual detector", "sum pattern", "centre of mass") if electrons >= 200 else ():
        at_least(f"{method}, compared with LiberTEM", _ratio(rows, method, "LiberTEM"), 50 if electrons >= 2000 else 20)
        at_least(
            f"{method}, one thread, compared with stempy", _ratio(rows, method, "stempy", to="ours, one thread"), 1
        )
        at_least(f"{method}, all threads, compared with stempy", _ratio(rows, method, "stempy"), 1)
    microseconds = notes.plotted_frame * 1e6
    found.append(("one frame", "at most 200 us", f"{microseconds:.0f} us", microseconds <= 200))
    found.append(("memory above the data", "below 1024 MiB", f"{notes.peak / 2**20:.0f} MiB", notes.peak < 2**30))
    if "dense" in notes.moves:
        for what in ("navigator", "detector"):
            one, other = notes.moves["sparse"][what], notes.moves["dense"][what]
            at_least(f"a move of the {what}, compared with lazy dense zspy", other / one, 1)
    return found


def print_table(rows, notes):
    """Print the measurements of one data set as Markdown."""
    print(f"\n## {notes.nav} x {notes.nav} positions, {notes.electrons} electrons, 512 x 512 pixels\n")
    print(
        f"{notes.entries:,} entries, {notes.size / 2**20:.0f} MiB; peak memory above that {notes.peak / 2**20:.0f} MiB;"
    )
    print(f"set-up of both geometries {notes.setup:.1f} s, once; one frame {notes.frame * 1e6:.0f} us from the chunk,")
    dense_frame = f"{notes.plotted_frame_dense * 1e6:.0f} us dense in memory"
    print(f"{notes.plotted_frame * 1e6:.0f} us as plotting asks ({dense_frame}).")
    for kind, taken in notes.moves.items():
        print(f"A move in a plot, {kind}: " + ", ".join(f"{what} {t * 1e3:.0f} ms" for what, t in taken.items()) + ".")
    ours = {row.method: row for row in rows if row.who == "ours"}
    found = {(row.who, row.method): row.per_frame for row in rows}
    contenders = list(dict.fromkeys(row.who for row in rows if row.who != "ours"))
    print("\n| method | ours, ms | us/frame | " + " | ".join(f"{c}, us/frame (ratio)" for c in contenders) + " |")
    print("|---|--:|--:|" + "--:|" * len(contenders))
    for name, row in ours.items():
        others_ = (found.get((contender, name)) for contender in contenders)
        cells = ["" if other is None else f"{other:.2f} ({other / row.per_frame:.2f})" for other in others_]
        print("| " + " | ".join([name, f"{row.seconds * 1e3:.1f}", f"{row.per_frame:.2f}", *cells]) + " |")
    print("\n| target | wanted | reached | |\n|---|---|---|---|")
    for what, wanted, reached, met in targets(rows, notes):
        print(f"| {what} | {wanted} | {reached} | {'yes' if met else 'no'} |", flush=True)
        note_target(f"{what} ({notes.electrons} electrons)", wanted, reached, met)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nav", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--electrons", type=int, nargs="+", default=[20, 200, 2000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dense", type=int, default=16, help="side of the dense part; 0 for none")
    parser.add_argument("--dense-rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one small data set and one round")
    options = parser.parse_args()
    if options.quick:
        options.nav, options.electrons, options.rounds, options.dense = [32], [200], 1, 4
    prepare()
    for nav in options.nav:
        for electrons in options.electrons:
            print_table(*measure(nav, electrons, options.rounds, options.dense, options.dense_rounds))


def prepare():
    """Settings that keep other things from being measured."""
    warnings.simplefilter("ignore")
    matplotlib.use("agg")
    hs.preferences.General.show_progressbar = False


if __name__ == "__main__":
    main()
