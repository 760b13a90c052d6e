"""Disks and variance from few electrons: ``python -m benchmarks.diffraction [--frames N] [--rounds N]``.

Time per pattern of 512 x 512 pixels and error of positions over dose: `find_disks` compared with pyXem's template
matching on dense data, and with libertem-blobfinder where ``BENCHMARK_BLOBFINDER`` names the Python of an environment
that has it (``pip install libertem-blobfinder``). Variance without shot noise compared with pyXem's own.
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import point, table, target, turns

RADIUS, SPACING, SIDE = 12.0, 7.0, 512  # pixels; 21 or so disks
DOSES = (50, 200, 1000, 5000, 50_000)


def crystal(electrons, frames):
    """Signal of disks, and their true places (disks, 2) in pixels for each column of the scan."""
    import hyperspy_sparse as hss

    signal = hss.data.strained_crystal((1, frames), (SIDE, SIDE), electrons, radius=RADIUS, spacing=SPACING)
    simulated = signal.metadata.Simulation
    return signal, np.stack([simulated.center_y, simulated.center_x], axis=-1)


def differences(found, true):
    """Of found places from the nearest true one within 3 pixels, and how many are farther off."""
    near, false = [], 0
    for places, there in zip(found, true):
        if len(places) == 0 or len(there) == 0:
            continue
        apart = np.linalg.norm(places[:, None] - there, axis=-1)
        ok = apart.min(axis=1) < 3
        near.append(places[ok] - there[apart.argmin(axis=1)[ok]])
        false += (~ok).sum()
    return (np.concatenate(near) if near else np.empty((0, 2))), int(false)


def pixels_of(vectors, signal):
    axes = signal.axes_manager.signal_axes[::-1]
    scale, offset = np.array([a.scale for a in axes]), np.array([a.offset for a in axes])
    return [(np.asarray(v)[:, :2] - offset) / scale for v in vectors.data.ravel()]


def pyxem_way(dense):
    """Template matching, peaks, and their centre of mass, as pyXem's examples have it."""
    dense = dense.deepcopy()
    dense.change_dtype("float32")  # its centre of mass divides in place
    matched = dense.template_match_disk(int(RADIUS), show_progressbar=False)
    vectors = matched.get_diffraction_vectors(
        method="local_max", min_distance=int(RADIUS), threshold_rel=0.5, show_progressbar=False
    )
    return vectors.subpixel_refine(dense, "center-of-mass", square_size=2 * int(RADIUS) + 4, show_progressbar=False)


_BLOBFINDER = """
import sys, time, numpy as np
from libertem_blobfinder.common.patterns import BackgroundSubtraction
from libertem_blobfinder.common.correlation import process_frames_fast
frames, true, radius = np.load(sys.argv[1]).astype(np.float32), np.load(sys.argv[2]), float(sys.argv[3])
pattern = BackgroundSubtraction(radius=radius, search=radius * 1.5)
# it refines peaks that are known for the scan: the true ones to a pixel
peaks = np.rint(true.mean(axis=0)).astype(int)
times = []
for _ in range(3):
    start = time.perf_counter()
    _, refined, _, _ = process_frames_fast(pattern, frames, peaks)
    times.append(time.perf_counter() - start)
np.save(sys.argv[4], refined)
print(min(times) / len(frames))
"""


def blobfinder(counts, true, folder):
    """Seconds per pattern, and the places that libertem-blobfinder has."""
    python = os.environ.get("BENCHMARK_BLOBFINDER")
    if not python:
        return None
    data, there, out = (Path(folder) / name for name in ("counts.npy", "true.npy", "found.npy"))
    np.save(data, counts)
    np.save(there, true)
    done = subprocess.run(
        [python, "-c", _BLOBFINDER, str(data), str(there), str(RADIUS), str(out)], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"libertem-blobfinder: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.strip().splitlines()[-1]), list(np.load(out))


def disks(frames, rounds, folder):
    import hyperspy_sparse as hss

    rows = []
    for dose in DOSES:
        signal, true = crystal(dose, frames)
        few = signal.inav[:2, :1]
        dense, little = few.to_dense(), {}
        ways = {
            "ours": lambda signal=signal: hss.find_disks(signal, RADIUS, show_progressbar=False),
            "mean": lambda signal=signal: hss.find_disks(
                signal, RADIUS, refine="center_of_mass", show_progressbar=False
            ),
            "match": lambda dense=dense: dense.template_match_disk(int(RADIUS), show_progressbar=False),
            "pyxem": lambda dense=dense, little=little: little.update(found=pyxem_way(dense)),
        }
        times = turns(ways, rounds)
        ours, theirs, match = times["ours"] / frames, times["pyxem"] / 2, times["match"] / 2
        point("disks", "find_disks", dose, ours)
        point("disks", "pyXem", dose, theirs)
        found = {name: pixels_of(ways[name](), signal) for name in ("ours", "mean")}
        found["pyxem"] = pixels_of(little["found"], few)
        errors = {name: differences(places, true) for name, places in found.items()}
        rms = {name: f"{np.sqrt((d**2).mean()):.3f}" if len(d) else "" for name, (d, _) in errors.items()}
        both, _ = differences(found["pyxem"], found["mean"])
        other = blobfinder(np.asarray(signal.to_dense().data[0]), true, folder)
        rows.append(
            [
                f"{dose:,}", f"{1e3 * ours:.2f}", f"{1e3 * match:.0f}", f"{1e3 * theirs:.0f}",
                "" if other is None else f"{1e3 * other[0]:.1f}", f"{match / ours:.0f}",
                rms["ours"], rms["mean"], rms["pyxem"],
                "" if other is None else f"{np.sqrt((differences(other[1], true)[0] ** 2).mean()):.3f}",
                f"{np.median(np.linalg.norm(both, axis=1)):.3f}" if len(both) else "",
                errors["ours"][1], errors["pyxem"][1],
            ]
        )  # fmt: skip
        if dose <= 200:
            ratio = match / ours
            target(
                f"Disks at {dose} electrons, compared with pyXem's template matching alone",
                "10 times faster",
                f"{ratio:.0f} times",
                ratio >= 10,
            )
    head = [
        "electrons",
        "ms",
        "template matching, ms",
        "all of pyXem, ms",
        "blobfinder, ms",
        "times matching",
        "error, px",
        "by mean",
        "pyXem",
    ]
    head += ["blobfinder", "ours from pyXem", "false", "false, pyXem"]
    print(f"\nDisks of {RADIUS:.0f} px radius, {SIDE} x {SIDE} pixels, per pattern:\n")
    table(head, rows)


def scores(rounds):
    """One map of scores by each way, compared with Fourier transforms: where the rule changes over."""
    import scipy.fft

    from hyperspy_sparse.disk_positions import half_heights
    from hyperspy_sparse.kernels import disk_loops

    half, rng = half_heights(RADIUS), np.random.default_rng(0)
    work = np.empty((SIDE + 1, SIDE + len(half) - 1), np.int32)
    out = np.empty((SIDE, SIDE), np.int32)
    template = np.fft.rfft2(np.ones((25, 25)), (SIDE, SIDE)).astype(np.complex64)
    rows = []
    for lit in (50, 200, 1000, 5000, 10_000, 20_000, 100_000):
        pixels = np.sort(rng.choice(SIDE**2, lit, replace=False)).astype(np.int32)
        parts = np.ones(lit, np.uint8), pixels, SIDE, half, work, out
        image = np.zeros((SIDE, SIDE), np.float32)
        image.ravel()[pixels] = 1
        ways = {
            "electrons": lambda parts=parts: disk_loops.sparse_scores(*parts),
            "columns": lambda parts=parts: disk_loops.dense_scores(*parts),
            "fft": lambda image=image: scipy.fft.irfft2(scipy.fft.rfft2(image) * template, image.shape),
        }
        times = turns(ways, rounds, min)
        rows.append([f"{lit:,}", *(f"{1e3 * times[name]:.2f}" for name in ways)])
    print("\nMap of scores, ms, by lit pixels:\n")
    table(["lit", "electron by electron", "sums of columns", "Fourier transforms"], rows)


def variance(rounds):
    import hyperspy.api as hs

    import hyperspy_sparse as hss

    rng = np.random.default_rng(0)
    nav, sig, npt = (24, 28), (128, 120), 16
    y, x = np.mgrid[: sig[0], : sig[1]]
    profile = np.exp(-np.hypot(y - 64, x - 60) / 40)
    intensity = (profile / profile.mean() * rng.gamma(4, 0.25, (*nav, *sig))).astype(np.float32)

    def as_signal(frames):
        made = hs.signals.Signal2D(frames)
        made.set_signal_type("electron_diffraction")
        for axis, middle in zip(made.axes_manager.signal_axes, (60, 64)):
            axis.scale, axis.offset, axis.units = 0.1, -0.1 * middle, "nm^-1"
        return made

    rows, inner = [], slice(1, npt - 4)
    true = as_signal(intensity).get_variance(npt, "re", show_progressbar=False).data[inner]
    # A few hundred pairs in a ring scatter by a tenth, and askew: the error that 12 exposures tell of themselves is too
    # small when their mean is low, and in groups of 12 the mean is off by up to four such errors where 400 agree.
    for dose, exposures in ((0.02, 400), (0.1, 12), (0.5, 12)):
        dense = as_signal(rng.poisson(dose * intensity).astype(np.uint8))
        signal, part = hss.to_sparse(dense), dense.inav[:4, :4]
        ways = {
            "ours": lambda signal=signal: signal.get_variance(npt, "re", shot_noise="remove").data.compute(),
            "pyxem": lambda part=part: part.get_variance(npt, "re", show_progressbar=False),
        }
        times = turns(ways, rounds)
        found = np.array(
            [
                hss.to_sparse(as_signal(rng.poisson(dose * intensity).astype(np.uint8)))
                .get_variance(npt, "re", shot_noise="remove")
                .data.compute()[inner]
                for _ in range(exposures)
            ]
        )
        means = found.mean(axis=1)
        error = means.std(ddof=1) / np.sqrt(exposures)
        plain = part.get_variance(npt, "re", show_progressbar=False).data[inner]
        ratio = (times["pyxem"] / 16) / (times["ours"] / np.prod(nav))
        rows.append(
            [dose, f"{true.mean():.3f}", f"{means.mean():.3f}", f"{error:.3f}", f"{plain.mean():.2f}",
             f"{1e6 * times['ours'] / np.prod(nav):.0f}", f"{1e6 * times['pyxem'] / 16:.0f}", f"{ratio:.0f}"]
        )  # fmt: skip
        if dose == 0.02:
            off = abs(means.mean() - true.mean()) / error
            target("Variance at 0.02 electrons per pixel", "within 2 errors", f"{off:.1f} errors", off < 2)
            target(
                "Variance, compared with pyXem on dense data", "100 times faster", f"{ratio:.0f} times", ratio >= 100
            )
    print("\nVariance, mean over rings and exposures (400 of the first dose, 12 of the others):\n")
    table(["electrons per pixel", "true", "pairs", "error", "plain", "us per pattern", "pyXem, us", "times"], rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    scores(max(arguments.rounds, 5))
    variance(arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        disks(arguments.frames, arguments.rounds, folder)


if __name__ == "__main__":
    main()
