"""Phase from electrons: ``python -m benchmarks.phase [--large] [--only PART ...] [--rounds N]``.

Times of tilted images and of each method on 64 x 64 positions of 128 x 128 pixels, agreement with the true phase over
dose, and with ``--large`` 512 x 512 positions on 512 x 512 pixels from a recording. Peers live in environments of
their own, whose Python is named by a variable: ``BENCHMARK_PTYCHOGRAPHY40`` (``pip install libertem scikit-image``,
then ``pip install --no-deps ptychography40``) and ``BENCHMARK_QUANTEM`` (``pip install quantem``).
"""

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

import hyperspy.api as hs
import numpy as np

import hyperspy_sparse
from benchmarks.measure import fresh, point, processor_seconds, table, target, turns
from hyperspy_sparse.phase_contrast import loops
from hyperspy_sparse.phase_contrast.groups import Disk, make_groups
from rsciio_tpx3 import simulate
from rsciio_tpx3.metadata.calibration import wavelength

SCAN, PIXELS, STEP, ALPHA = (64, 64), 128, 0.3, 20.0  # positions, angstrom, mrad
DOSES = (10, 50, 200, 1000)
METHODS = ("ssb", "obf", "ls", "wdd", "icom")


def angles(n, step):
    """Angle of each frequency of n x n pixels, mrad."""
    k = np.fft.fftfreq(n, step)
    return 1e3 * wavelength(200) * 1e10 * np.hypot(k[:, None], k)


def random_phase(fine):
    """A phase with detail of all sizes down to what the aperture resolves."""
    angle = angles(PIXELS, fine)
    spectrum = np.fft.fft2(np.random.default_rng(0).normal(size=(PIXELS, PIXELS)))
    return _limited(spectrum * np.exp(-((angle / 22) ** 2)), angle)


def crystal_phase(fine):
    """Columns of a perovskite, 5 x 5 cells of 0.384 nm: (place in the cell, height)."""
    cell, width = PIXELS * fine / 5, 0.4
    y, x = np.mgrid[:PIXELS, :PIXELS] * fine
    phase = np.zeros((PIXELS, PIXELS))
    for v, u, height in ((0, 0, 1.0), (0.5, 0.5, 0.7), (0.5, 0, 0.3), (0, 0.5, 0.3)):
        # the nearest column of its kind: nothing is left of the next one
        dy, dx = (np.abs((axis / cell - place + 0.5) % 1 - 0.5) * cell for axis, place in ((y, v), (x, u)))
        phase += height * np.exp(-(dy**2 + dx**2) / (2 * width**2))
    return _limited(np.fft.fft2(phase), angles(PIXELS, fine))


def _limited(spectrum, angle):
    """A phase of 0.15 rad at its peak, of frequencies that the aperture transfers."""
    spectrum = spectrum * (angle < 1.9 * ALPHA)
    spectrum[0, 0] = 0
    phase = np.fft.ifft2(spectrum).real
    return phase * (0.15 / np.abs(phase).max())


SPECIMENS = {"detail of all sizes": random_phase, "perovskite": crystal_phase}


def simulated(specimen=random_phase):
    """Patterns (sum 1) of a phase object whose period is the scan, the phase at the positions, and mrad per pixel."""
    n, side = PIXELS, SCAN[0] * STEP
    phase = specimen(side / n)
    k = np.fft.fftfreq(n, side / n)
    probe = (angles(n, side / n) <= ALPHA).astype(complex)
    probe /= np.sqrt((np.abs(probe) ** 2).sum())
    patterns = np.empty((*SCAN, n, n), np.float32)
    for y, x in np.ndindex(*SCAN):
        wave = np.fft.ifft2(probe * np.exp(-2j * np.pi * STEP * (k[:, None] * y + k * x)))
        patterns[y, x] = np.fft.fftshift(np.abs(np.fft.fft2(wave * np.exp(1j * phase))) ** 2)
    every = n // SCAN[0]
    return patterns, phase[::every, ::every], 1e3 * wavelength(200) * 1e10 / side


def sparse_signal(counts):
    signal = hs.signals.Signal2D(counts)
    for axis in signal.axes_manager.navigation_axes:
        axis.scale, axis.units = STEP / 10, "nm"
    signal.set_signal_type("electron_diffraction")
    signal = hyperspy_sparse.to_sparse(signal)
    return hyperspy_sparse.set_microscope(
        signal, calibrate=None, beam_energy="200 keV", convergence_angle=f"{ALPHA} mrad"
    )


def correlation(one, other):
    return float(np.corrcoef(np.ravel(one), np.ravel(other))[0, 1])


def reconstructed(counts, **options):
    """The phase of these counts by each method."""
    stack = hyperspy_sparse.tilted_images(sparse_signal(counts))
    stack.compute(show_progressbar=False)
    return {method: hyperspy_sparse.phase(stack, method, **options.get(method, {})).data for method in METHODS}


def without_noise(specimens, peers):
    """What each method makes of perfect data, and what the transfer function of single side band lets through.

    That one is ``sum_k A(k) |A(k - Q) - A(k + Q)|``: 0 at frequency 0 and at twice the aperture, and half of its
    highest value at 0.3 and 1.4 times the semi-angle. A specimen with detail beyond is damped, and no choice of the
    reconstruction changes that but a division, which is least squares.
    """
    rows, alike = [], []
    for name, (patterns, phase) in specimens.items():
        counts = np.rint(4e5 * patterns).astype(np.uint32)
        found = reconstructed(counts, ls={"eps": 1e-4}, wdd={"eps": 1e-5})
        reached = {method: correlation(picture, phase) for method, picture in found.items()}
        damped = damped_by_ssb(phase)
        same, most = correlation(found["ssb"], damped), correlation(damped, phase)
        rows.append([name, *(f"{r:.3f}" for r in reached.values()), f"{most:.3f}", f"{same:.4f}"])
        for method in ("ls", "wdd"):
            what = f"Phase without noise, {method}, {name}"
            target(what, "above 0.995", f"{reached[method]:.4f}", reached[method] > 0.995)
        if name == "perovskite":
            target(f"Phase without noise, ssb, {name}", "above 0.98", f"{reached['ssb']:.4f}", reached["ssb"] > 0.98)
        what = f"Single side band, compared with its transfer function, {name}"
        target(what, "above 0.999", f"{same:.4f}", same > 0.999)
        for peer in peers:
            for method, picture in peer.phases(counts).items():
                same = peer.same.get(method, method)
                reached = correlation(picture, found[same])
                alike.append([f"{peer.name}, {method}", same, name, f"{reached:.5f}"])
                what = f"{method} of {peer.name} without noise, {name}, with {same}"
                target(what, "above 0.999", f"{reached:.5f}", reached > 0.999)
    print("\nCorrelation with the true phase, without noise:\n")
    table(["specimen", *METHODS, "most for ssb", "ssb with the damped phase"], rows)
    if alike:
        print("Correlation of their pictures with ours, without noise:\n")
        table(["theirs", "ours", "specimen", "correlation"], alike)


def truths(patterns, phase, peers):
    """Correlation with the true phase over dose, ours and the peers', from the same electrons."""
    rows = []
    for dose in DOSES:
        counts = np.random.default_rng(dose).poisson(dose * patterns).astype(np.uint8)
        ours = {method: correlation(picture, phase) for method, picture in reconstructed(counts).items()}
        theirs = {}
        for peer in peers if dose in (50, 200) else ():
            theirs.update({f"{peer.name} {m}": correlation(p, phase) for m, p in peer.phases(counts).items()})
        rows.append([dose, *(f"{r:.3f}" for r in ours.values()), "; ".join(f"{n} {r:.3f}" for n, r in theirs.items())])
        for name, reached in theirs.items():
            method = name.split()[-1]
            what = f"Phase of {dose} electrons, {method}, against {name.split()[0]}"
            target(what, f"at least theirs, {reached:.3f}", f"{ours[method]:.3f}", ours[method] >= reached - 0.001)
    print("\nCorrelation with the true phase, by electrons per position:\n")
    table(["electrons", *METHODS, "others"], rows)


def damped_by_ssb(phase):
    """The phase times ``sum_k A(k) |A(k - Q) - A(k + Q)|``, from the definition, pixel by pixel of an aperture."""
    length = wavelength(200) * 1e10
    fine = np.linspace(-ALPHA, ALPHA, 61)
    y, x = (axis.ravel() for axis in np.meshgrid(fine, fine, indexing="ij"))
    y, x = y[np.hypot(y, x) <= ALPHA], x[np.hypot(y, x) <= ALPHA]
    qy, qx = (1e3 * length * np.fft.fftfreq(n, STEP) for n in phase.shape)
    transfer = np.zeros(phase.shape)
    for i, j in np.ndindex(*phase.shape):
        minus, plus = (np.hypot(y - s * qy[i], x - s * qx[j]) <= ALPHA for s in (1, -1))
        transfer[i, j] = (minus ^ plus).mean()
    return np.fft.ifft2(np.fft.fft2(phase - phase.mean()) * transfer).real


class Peer:
    """Another program, in an environment of its own."""

    def __init__(self, name, variable, code, folder, angle, **same):
        self.same = same  # which of our methods one of theirs is, if not that of its name
        self.name, self.python, self.code, self.folder, self.angle = name, os.environ.get(variable), code, folder, angle
        self.took = None

    def phases(self, counts):
        """The picture of each method that it has."""
        data, out = Path(self.folder) / "counts.npy", Path(self.folder) / "phases.npz"
        np.save(data, counts)
        command = [self.python, "-c", self.code, str(data), str(out), str(self.angle), str(STEP), str(ALPHA)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr.strip().splitlines()[-1]}")
        self.took = float(done.stdout.strip().splitlines()[-1])
        with np.load(out) as found:
            return dict(found)


# the disk known, the masks made before: what is repeated for every scan
_PTYCHOGRAPHY40 = """
import sys, time, numpy as np
import libertem.api as lt
from ptychography40.reconstruction.ssb import SSB_UDF, generate_masks
from libertem.common.container import MaskContainer
counts = np.load(sys.argv[1]).astype(np.float32)
angle, step, alpha = map(float, sys.argv[3:])
n = counts.shape[-1]
about = dict(lamb=2.507934e-12, dpix=step * 1e-10, semiconv=alpha * 1e-3, semiconv_pix=alpha / angle,
             cy=n / 2, cx=n / 2)
with lt.Context.make_with("inline") as context:
    data = context.load("memory", data=counts, sig_dims=2)
    masks = generate_masks(reconstruct_shape=counts.shape[:2], mask_shape=counts.shape[2:], dtype=np.float32,
                           method="subpix", **about)
    container = MaskContainer(mask_factories=lambda: masks, dtype=masks.dtype, use_sparse="scipy.sparse.csc",
                         count=masks.shape[0])
    udf = SSB_UDF(**about, mask_container=container)
    times = []
    for _ in range(2):
        start = time.perf_counter()
        found = context.run_udf(dataset=data, udf=udf)
        times.append(time.perf_counter() - start)
np.savez(sys.argv[2], ssb=found["phase"].data if "phase" in found else np.angle(found["complex"].data))
print(min(times))
"""

_QUANTEM = """
import sys, time, numpy as np
from quantem.core.datastructures import Dataset4dstem
from quantem.diffractive_imaging.direct_ptychography import DirectPtychography
counts = np.load(sys.argv[1]).astype(np.float32)
angle, step, alpha = map(float, sys.argv[3:])
data = Dataset4dstem.from_array(counts, sampling=(step, step, angle, angle), units=("A", "A", "mrad", "mrad"))
times = []
for _ in range(2):
    start = time.perf_counter()
    found = DirectPtychography.from_dataset4d(data, energy=200e3, aberration_coefs={}, semiangle_cutoff=alpha,
        rotation_angle=0.0, verbose=False, force_fitted_origin=(counts.shape[-1] / 2, counts.shape[-1] / 2))
    found.reconstruct(deconvolution_kernel="ssb", verbose=False)
    times.append(time.perf_counter() - start)
pictures = {}
for method in ("ssb", "obf", "icom"):
    found.reconstruct(deconvolution_kernel=method, verbose=False)
    pictures[method] = np.asarray(found.obj).squeeze()
np.savez(sys.argv[2], **pictures)
print(min(times))
"""


def small(patterns, angle, peers, rounds):
    counts = np.random.default_rng(1).poisson(50 * patterns).astype(np.uint8)
    signal = sparse_signal(counts)
    disk = {"center": (PIXELS / 2, PIXELS / 2), "radius": ALPHA / angle}
    stack = hyperspy_sparse.tilted_images(signal)
    stack.compute(show_progressbar=False)
    ways = {
        "tilted images": lambda: hyperspy_sparse.tilted_images(signal, **disk).data.compute(),
        **{f"{m} of a stack": lambda m=m: hyperspy_sparse.phase(stack, m) for m in METHODS},
        "all of ssb": lambda: hyperspy_sparse.phase(signal, "ssb", show_progressbar=False),
        "ssb, disk known": lambda: hyperspy_sparse.phase(signal, "ssb", show_progressbar=False, **disk),
    }
    times = turns(ways, rounds)
    rows = [[name, f"{1e3 * seconds:.0f} ms"] for name, seconds in times.items()]
    for peer, least in zip(peers, (20, 80)):
        peer.phases(counts)
        rows.append([f"{peer.name}, warm", f"{1e3 * peer.took:.0f} ms"])
        ratio = peer.took / times["ssb, disk known"]
        target(f"Single side band against {peer.name}", f"{least} times faster", f"{ratio:.0f} times", ratio >= least)
    print(f"\n{SCAN} positions, {PIXELS} x {PIXELS} pixels, {int(counts.sum()):,} electrons:\n")
    table(["", "time"], rows)


def growth(rounds):
    """How tilted images, and the phase of them, grow with electrons, positions and groups: processor time."""
    import hyperspy_sparse
    from hyperspy_sparse.phase_contrast.image import computed_images, stack_and_optics

    def signal(side, electrons):
        disk = np.hypot(*(np.mgrid[:PIXELS, :PIXELS] - PIXELS / 2)) <= 20.4
        pixels = np.random.default_rng(0).choice(np.flatnonzero(disk), (side, side, electrons))
        counts = np.zeros((side, side, PIXELS * PIXELS), np.uint8)
        for row in range(side):
            for column in range(side):
                counts[row, column] = np.bincount(pixels[row, column], minlength=PIXELS**2)
        return sparse_signal(counts.reshape(side, side, PIXELS, PIXELS))

    def measured(side=64, electrons=50, across=16):
        scan = signal(side, electrons)
        disk = {"center": (PIXELS / 2, PIXELS / 2), "radius": 20.4}
        images = stack_and_optics(scan, "", across, disk["center"], disk["radius"], None, None, None)[0]
        stack = hyperspy_sparse.tilted_images(scan, across=across, **disk)
        stack.compute(show_progressbar=False)
        ways = {
            "images": lambda: computed_images(images, False),
            "ssb": lambda: hyperspy_sparse.phase(stack, "ssb"),
        }
        times = turns(ways, rounds, min, processor_seconds)
        return [len(stack.data), *(f"{1e3 * times[name]:.1f}" for name in ways)]

    rows = [[f"{e} electrons", *measured(electrons=e)] for e in (5, 50, 500)]
    rows += [[f"{n} x {n} positions", *measured(side=n)] for n in (32, 128)]
    rows += [[f"{a} groups across", *measured(across=a)] for a in (4, 8, 32)]
    print("\n64 x 64 positions, 50 electrons, 16 groups across, but:\n")
    table(["", "groups", "tilted images, processor ms", "ssb of them, processor ms"], rows)


def kernel_speed(rounds):
    """Events per second of the one loop, on one core."""
    rng, rows, each = np.random.default_rng(0), 16_384, 200
    radius, angle = 85 * np.sqrt(rng.random(rows * each)), rng.random(rows * each) * 2 * np.pi
    pixel = np.rint(256 + radius * np.sin(angle)).astype(np.int64) * 512 + np.rint(256 + radius * np.cos(angle)).astype(
        int
    )
    groups = make_groups(Disk(256, 256, 80), (512, 512))
    parts = np.ones(len(pixel), np.uint8), pixel.astype(np.int32), np.arange(rows + 1) * each, groups.labels.ravel()
    out = np.zeros((len(groups) + 1, rows), np.uint16)
    times = turns({"tilted": lambda: loops.tilted_sums(*parts, out)}, rounds, min, processor_seconds)
    speed = len(pixel) / times["tilted"] / 1e6
    target("Tilted images, one core", "200 million events/s", f"{speed:.0f} million events/s", speed >= 200)
    print(f"\nTilted images: {speed:.0f} million events/s on one core ({each} per position)")


class _Disk:
    """A disk of 80 pixels for the simulator."""

    nav_shape, sig_shape = (512, 512), (512, 512)

    def mean_brightness(self):
        return 1.0

    def brightness(self, positions, shift=(0.0, 0.0)):
        return np.ones(len(positions))

    def draw(self, positions, counts, rng, shift=(0.0, 0.0)):
        radius, angle = 80 * np.sqrt(rng.random(counts.sum())), 2 * np.pi * rng.random(counts.sum())
        return 256 + radius * np.sin(angle), 256 + radius * np.cos(angle)


_LARGE = """
import sys, time
import hyperspy.api as hs, hyperspy_sparse
hs.preferences.General.show_progressbar = False
def all_of_it(method):
    begin, cpu = time.perf_counter(), time.process_time()
    s = hs.load(sys.argv[1], navigation_shape=(512, 512), lazy=True)
    for axis in s.axes_manager.navigation_axes:
        axis.scale, axis.units = 0.04, "nm"
    hyperspy_sparse.set_microscope(s, calibrate=None, beam_energy="200 keV", convergence_angle="20 mrad")
    hyperspy_sparse.phase(s, method)
    return time.perf_counter() - begin, time.process_time() - cpu
all_of_it(sys.argv[2])
result = min(all_of_it(sys.argv[2]) for _ in range(3))
"""


def large(folder):
    path = Path(folder) / "large.tpx3"
    begin = time.perf_counter()
    simulate.recording(path, intensity=_Disk(), electrons_per_position=50, dwell_time="2 us", layout="quad")
    print(
        f"\n512 x 512 positions, 512 x 512 pixels, 50 electrons (simulated in {time.perf_counter() - begin:.0f} s):\n"
    )
    rows = []
    for method in METHODS:
        (seconds, cpu), peak = fresh(_LARGE, path, method)
        rows.append([method, f"{seconds:.2f} s", f"{cpu:.2f} s", f"{peak:.0f} MiB"])
        point("phase", method, 512 * 512, seconds)
        if method == "ssb":
            target(
                "Phase of 512 x 512 x 512 x 512",
                "3 s, 1 GiB",
                f"{seconds:.1f} s, {peak:.0f} MiB",
                seconds <= 3 and peak <= 1024,
            )
    table(["method", "from the recording", "processor", "memory of the process"], rows)


PARTS = ("kernel", "growth", "small", "truth", "large")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--large", action="store_true", help="the part `large` as well")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    parts = arguments.only or (PARTS if arguments.large else PARTS[:-1])
    with tempfile.TemporaryDirectory() as folder:
        if "kernel" in parts:
            kernel_speed(arguments.rounds)
        if "growth" in parts:
            growth(arguments.rounds)
        if "small" in parts or "truth" in parts:
            compared_with_others(parts, folder, arguments.rounds)
        if "large" in parts:
            large(folder)


def compared_with_others(parts, folder, rounds):
    """Times and truth, ours and those of the programs that are there."""
    specimens = {name: simulated(specimen) for name, specimen in SPECIMENS.items()}
    patterns, phase, angle = specimens["detail of all sizes"]
    peers = [
        # it divides each side band by its area, which makes it least squares in focus
        Peer("ptychography40", "BENCHMARK_PTYCHOGRAPHY40", _PTYCHOGRAPHY40, folder, angle, ssb="ls"),
        Peer("quantem", "BENCHMARK_QUANTEM", _QUANTEM, folder, angle),
    ]
    missing = [peer.name for peer in peers if not peer.python]
    if missing:
        print(f"Not compared, as no environment is named for them: {', '.join(missing)}")
    peers = [peer for peer in peers if peer.python]
    if "small" in parts:
        small(patterns, angle, peers, rounds)
    if "truth" in parts:
        without_noise({name: made[:2] for name, made in specimens.items()}, peers)
        truths(patterns, phase, peers)


if __name__ == "__main__":
    main()
