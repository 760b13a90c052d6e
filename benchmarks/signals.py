"""Speed of the public methods on sparse signals, beside scipy, dense data and other packages.

Run it with::

    python -m benchmarks.signals                     # 128 x 128 positions, 20, 200, 2000 electrons
    python -m benchmarks.signals --nav 256 --electrons 200

Simulated frames of 512 x 512 pixels are held in memory as CSR. Each line is the median of several
rounds, in which all contenders take turns. Ours are called as a user calls them: a method of the
signal, then ``compute()``. The dense contender is the same pyXem method on a lazy ``.zspy`` of the
same frames, measured on a part of the scan and given per frame, since it takes minutes on all.
LiberTEM and stempy take part where they can be imported.
"""

import argparse
import importlib.util
import resource
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

SIG = (512, 512)


def frames_of(nav, electrons, seed=0):
    """Counted frames with a wide bright disk: every electron in one pixel."""
    from rsciio_tpx3 import CSRFrames

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
    from hyperspy.signals import LazySignal2D

    from hyperspy_sparse import finish_loading
    from rsciio_tpx3 import to_dask
    from rsciio_tpx3.frames.memory_source import MemorySource

    signal = LazySignal2D(to_dask(MemorySource(frames)))
    signal.set_signal_type("electron_diffraction")
    return calibrated(finish_loading(signal))


def dense_signal(frames, n, folder):
    """The first n x n positions as a lazy .zspy."""
    import hyperspy.api as hs

    from hyperspy_sparse.geometry import CachingCalibration

    path = Path(folder) / f"part_{frames.nnz}.zspy"
    sparse_signal(frames[:n, :n]).save(path, overwrite=True)
    signal = hs.load(path, lazy=True)
    # pyXem works out the geometry at every call, in seconds; that is the same for both.
    signal.calibration = CachingCalibration(signal)
    return calibrated(signal)


def methods():
    """Name, and the call as a user makes it."""
    import hyperspy.api as hs

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
    import hyperspy.api as hs

    import hyperspy_sparse

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
    import scipy.sparse

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


def others(frames):
    """Packages that count electrons as well, where they are installed."""
    contenders = {}
    if importlib.util.find_spec("libertem"):
        contenders["LiberTEM"] = libertem_calls(frames)
    if importlib.util.find_spec("stempy"):
        contenders["stempy"] = stempy_calls(frames)
    return contenders


def libertem_calls(frames):
    """LiberTEM's analyses on raw_csr files of the same frames, inline executor."""
    import logging

    import libertem.api as lt
    from libertem.udf.masks import ApplyMasksUDF
    from libertem.udf.sum import SumUDF

    logging.getLogger("libertem").setLevel(logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="raw_csr_"))
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
    import stempy.image
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
    """Microseconds for one frame: from the source, and as plotting asks for it."""
    signal = sparse_signal(frames)
    signal.persist()
    rng = np.random.default_rng(1)
    places = rng.integers(0, frames.nav_shape[0], (n, 2))
    source_times, signal_times = [], []
    for y, x in places:
        start = time.perf_counter()
        frames[int(y), int(x)]
        source_times.append(time.perf_counter() - start)
        signal.axes_manager.indices = (int(x), int(y))
        start = time.perf_counter()
        signal._get_current_data(as_numpy=True)
        signal_times.append(time.perf_counter() - start)
    return np.median(source_times) * 1e6, np.median(signal_times) * 1e6


def forget_peak():
    """Start measuring the peak anew, where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def peak_bytes():
    """Largest resident memory so far, or since `forget_peak`."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(nav, electrons, rounds, dense_n, dense_rounds):
    """Table of one data set: rows of (method, our time, contender, its time, ratio)."""
    frames = frames_of(nav, electrons)
    signal = sparse_signal(frames)
    n = frames.n_frames
    start = time.perf_counter()
    signal.get_azimuthal_integral1d(npt=100)
    signal.get_azimuthal_integral2d(npt=50, npt_azim=90)
    setup = time.perf_counter() - start
    ours = {k: (lambda c=c: c(signal)) for k, c in {**methods(), **own_methods()}.items()}
    calls = {("ours", k): c for k, c in ours.items()}
    calls |= {("scipy", k): c for k, c in plain(frames).items()}
    for package, theirs in others(frames).items():
        calls |= {(package, k): c for k, c in theirs.items()}
    forget_peak()
    before = peak_bytes()
    medians({key: call for key, call in calls.items() if key[0] == "ours"}, 0)
    peak = peak_bytes() - before
    took = medians(calls, rounds)
    per_frame = {key: 1e6 * t / n for key, t in took.items()}
    if dense_n:
        with tempfile.TemporaryDirectory() as folder:
            dense = dense_signal(frames, dense_n, folder)
            slow = {("dense zspy", k): (lambda c=c: c(dense)) for k, c in methods().items()}
            times = medians(slow, dense_rounds)
            per_frame |= {key: 1e6 * t / dense_n**2 for key, t in times.items()}
    return (
        per_frame,
        took,
        {
            "entries": frames.nnz,
            "bytes": frames.nbytes,
            "peak": peak,
            "setup": setup,
            "frame": one_frame(frames),
        },
    )


def print_table(nav, electrons, per_frame, took, notes):
    print(f"\n## {nav} x {nav} positions, {electrons} electrons, 512 x 512 pixels\n")
    print(f"{notes['entries']:,} entries, {notes['bytes'] / 2**20:.0f} MiB; peak memory above that ")
    print(f"{notes['peak'] / 2**20:.0f} MiB; set-up of both geometries {notes['setup']:.1f} s, once; ")
    print("one frame {:.0f} us from the chunk, {:.0f} us as plotting asks.\n".format(*notes["frame"]))
    contenders = list(dict.fromkeys(who for who, _ in per_frame if who != "ours"))
    print("| method | ours, ms | us/frame | " + " | ".join(f"{c}, us/frame (ratio)" for c in contenders) + " |")
    print("|---|--:|--:|" + "--:|" * len(contenders))
    for (who, name), value in per_frame.items():
        if who != "ours":
            continue
        cells = [name, f"{took[(who, name)] * 1e3:.1f}", f"{value:.2f}"]
        for contender in contenders:
            other = per_frame.get((contender, name))
            cells.append("" if other is None else f"{other:.2f} ({other / value:.2f})")
        print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nav", type=int, nargs="+", default=[128])
    parser.add_argument("--electrons", type=int, nargs="+", default=[20, 200, 2000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dense", type=int, default=16, help="side of the dense part; 0 for none")
    parser.add_argument("--dense-rounds", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import hyperspy.api as hs

    hs.preferences.General.show_progressbar = False
    for nav in options.nav:
        for electrons in options.electrons:
            arguments = nav, electrons, options.rounds, options.dense, options.dense_rounds
            print_table(nav, electrons, *run(*arguments))


if __name__ == "__main__":
    main()
