"""Phase from electrons: ``python -m benchmarks.phase [--large] [--rounds N]``.

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
from benchmarks.measure import fresh, point, table, target, turns
from hyperspy_sparse.phase_contrast import loops
from hyperspy_sparse.phase_contrast.groups import Disk, make_groups
from rsciio_tpx3 import simulate
from rsciio_tpx3.metadata.calibration import wavelength

SCAN, PIXELS, STEP, ALPHA = (64, 64), 128, 0.3, 20.0  # positions, angstrom, mrad
DOSES = (10, 50, 200, 1000)
METHODS = ("ssb", "obf", "ls", "wdd", "icom")


def simulated(defocus=0.0):
    """Patterns (sum 1) of a phase object whose period is the scan, the phase at the positions, and mrad per pixel."""
    length, n = wavelength(200) * 1e10, PIXELS
    side = SCAN[0] * STEP
    fine = side / n
    k = np.fft.fftfreq(n, fine)
    square = k[:, None] ** 2 + k**2
    rng = np.random.default_rng(0)
    angle = length * np.sqrt(square) * 1e3
    spectrum = np.fft.fft2(rng.normal(size=(n, n))) * np.exp(-((angle / 22) ** 2)) * (angle < 1.9 * ALPHA)
    phase = np.fft.ifft2(spectrum).real
    phase *= 0.15 / np.abs(phase).max()
    probe = (angle <= ALPHA) * np.exp(-1j * np.pi * length * defocus * square)
    probe /= np.sqrt((np.abs(probe) ** 2).sum())
    patterns = np.empty((*SCAN, n, n), np.float32)
    for y, x in np.ndindex(*SCAN):
        wave = np.fft.ifft2(probe * np.exp(-2j * np.pi * STEP * (k[:, None] * y + k * x)))
        patterns[y, x] = np.fft.fftshift(np.abs(np.fft.fft2(wave * np.exp(1j * phase))) ** 2)
    every = n // SCAN[0]
    return patterns, phase[::every, ::every], 1e3 * length / side


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


def truths(patterns, phase, peers):
    """Correlation with the true phase over dose, ours and the peers', from the same electrons."""
    rows = []
    for dose in (0, *DOSES):
        counts = (
            np.random.default_rng(dose).poisson(dose * patterns).astype(np.uint8)
            if dose
            else np.rint(4e5 * patterns).astype(np.uint32)
        )
        stack = hyperspy_sparse.tilted_images(sparse_signal(counts))
        stack.compute(show_progressbar=False)
        options = {} if dose else {"ls": {"eps": 1e-4}, "wdd": {"eps": 1e-5}}
        found = {m: hyperspy_sparse.phase(stack, m, **options.get(m, {})).data for m in METHODS}
        row = [dose or "no noise", *(f"{correlation(found[m], phase):.3f}" for m in METHODS)]
        for peer in peers:
            row.append(f"{correlation(peer.phase(counts), phase):.3f}" if dose else "")
        rows.append(row)
        if not dose:
            for method, least in (("ls", 0.995), ("wdd", 0.995)):
                reached = correlation(found[method], phase)
                target(f"Phase without noise, {method}", f"above {least}", f"{reached:.4f}", reached > least)
            # damping fine and coarse detail is what this method is; how well it does that is the question
            damped, reached = damped_by_ssb(phase), correlation(found["ssb"], phase)
            same, most = correlation(found["ssb"], damped), correlation(damped, phase)
            target(
                "Phase without noise, ssb, compared with its transfer function",
                "above 0.995",
                f"{same:.4f}",
                same > 0.995,
            )
            print(f"ssb reaches {reached:.4f} of the phase; its transfer function lets {most:.4f} through.\n")
    print("\nCorrelation with the true phase, by electrons per position:\n")
    table(["electrons", *METHODS, *(peer.name for peer in peers)], rows)


def damped_by_ssb(phase):
    """The phase times ``sum_k A(k) |A(k - Q) - A(k + Q)|``, from the definition, pixel by pixel of an aperture."""
    from rsciio_tpx3.metadata.calibration import wavelength

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

    def __init__(self, name, variable, code, folder, angle):
        self.name, self.python, self.code, self.folder, self.angle = name, os.environ.get(variable), code, folder, angle
        self.took = None

    def phase(self, counts):
        data, out = Path(self.folder) / "counts.npy", Path(self.folder) / "phase.npy"
        np.save(data, counts)
        command = [self.python, "-c", self.code, str(data), str(out), str(self.angle), str(STEP), str(ALPHA)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr.strip().splitlines()[-1]}")
        self.took = float(done.stdout.strip().splitlines()[-1])
        return np.load(out)


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
np.save(sys.argv[2], found["phase"].data if "phase" in found else np.angle(found["complex"].data))
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
np.save(sys.argv[2], np.asarray(found.obj).squeeze())
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
        peer.phase(counts)
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
        times = turns(ways, rounds, min)
        return [len(stack.data), *(f"{1e3 * times[name]:.1f}" for name in ways)]

    rows = [[f"{e} electrons", *measured(electrons=e)] for e in (5, 50, 500)]
    rows += [[f"{n} x {n} positions", *measured(side=n)] for n in (32, 128)]
    rows += [[f"{a} groups across", *measured(across=a)] for a in (4, 8, 32)]
    print("\n64 x 64 positions, 50 electrons, 16 groups across, but:\n")
    table(["", "groups", "tilted images, ms", "ssb of them, ms"], rows)


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
    times = turns({"tilted": lambda: loops.tilted_sums(*parts, out)}, rounds)
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    patterns, phase, angle = simulated()
    with tempfile.TemporaryDirectory() as folder:
        peers = [
            Peer("ptychography40", "BENCHMARK_PTYCHOGRAPHY40", _PTYCHOGRAPHY40, folder, angle),
            Peer("quantem", "BENCHMARK_QUANTEM", _QUANTEM, folder, angle),
        ]
        missing = [peer.name for peer in peers if not peer.python]
        if missing:
            print(f"Not compared, as no environment is named for them: {', '.join(missing)}")
        peers = [peer for peer in peers if peer.python]
        kernel_speed(arguments.rounds)
        growth(arguments.rounds)
        small(patterns, angle, peers, arguments.rounds)
        truths(patterns, phase, peers)
        if arguments.large:
            large(folder)


if __name__ == "__main__":
    main()
