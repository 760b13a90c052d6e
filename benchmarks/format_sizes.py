"""Bytes per electron, and seconds, of the same counts in every format that can hold them.

    python benchmarks/format_sizes.py [POSITIONS_PER_SIDE] [--flat]

Patterns on 512 x 512 pixels: a central disk, Bragg disks on a lattice and a diffuse background, as
`Specimen` of the simulator has them, or without any structure (--flat), the worst case for every
compression. Dense formats get HyperSpy's default options.
"""

import os
import sys
import tempfile
import time

import hyperspy.api as hs
import numpy as np

from hyperspy_sparse import to_sparse  # noqa: F401  (the sparse classes)
from hyperspy_sparse.signals import finish_loading
from rsciio_tpx3 import CSRFrames, to_dask
from rsciio_tpx3.csr.build import csr_from_hits
from rsciio_tpx3.frames.memory_source import MemorySource

SIDE = 512


def counted(positions, electrons, flat, seed=0):
    """CSRFrames of shape (positions, positions, 512, 512), with a mean number of electrons in each."""
    rng = np.random.default_rng(seed)
    n = positions * positions
    counts = rng.poisson(electrons, n)
    rows = np.repeat(np.arange(n), counts)
    pixels = rng.integers(0, SIDE * SIDE, len(rows)).astype(np.int32) if flat else _pattern(rng, len(rows))
    arrays = csr_from_hits(rows, pixels, n, SIDE * SIDE, np.uint8)
    return CSRFrames(arrays, shape=(positions, positions, SIDE, SIDE))


def _pattern(rng, n):
    """Pixels: half in a disk of 24 pixels, a third in Bragg disks of a lattice, the rest diffuse."""
    kind = rng.random(n)
    radius, angle = 24 * np.sqrt(rng.random(n)), rng.random(n) * 2 * np.pi
    y, x = 256 + radius * np.sin(angle), 256 + radius * np.cos(angle)
    order = rng.geometric(0.6, (2, n)) * rng.choice([-1, 1], (2, n))
    bragg = (kind > 0.5) & (kind < 0.83)
    y, x = y + bragg * 55 * order[0], x + bragg * 55 * order[1]
    diffuse = kind >= 0.83
    y = np.where(diffuse, 256 + rng.normal(0, 110, n), y)
    x = np.where(diffuse, 256 + rng.normal(0, 110, n), x)
    y, x = (np.clip(v, 0, SIDE - 1).astype(np.int32) for v in (y, x))
    return y * SIDE + x


def formats():
    """Name: (file, options of save, dense)."""
    return {
        "raw_csr": ("x.toml", {}, False),
        "raw_csr, compact": ("y.toml", {"compact": True}, False),
        "NXevent": ("x.nxevent", {}, False),
        "NXevent, gzip": ("y.nxevent", {"compression": "gzip"}, False),
        "stempy": ("x.h5", {"file_format": "stempy"}, False),
        "hspy (dense)": ("x.hspy", {}, True),
        "zspy (dense)": ("x.zspy", {}, True),
    }


def size(folder, name):
    """Bytes of everything that begins with the stem of the name."""
    stem = os.path.join(folder, name)
    if os.path.isdir(stem):
        return sum(os.path.getsize(os.path.join(at, f)) for at, _, files in os.walk(stem) for f in files)
    if name.endswith(".toml"):
        start = name.split(".")[0] + "."
        own = [f for f in os.listdir(folder) if f.startswith(start) and f.endswith((".raw", ".toml"))]
        return sum(os.path.getsize(os.path.join(folder, f)) for f in own)
    return os.path.getsize(stem)


def main(arguments):
    hs.preferences.General.show_progressbar = False
    flat = "--flat" in arguments
    positions = int(next((a for a in arguments if a.isdigit()), 32))
    print(f"{positions} x {positions} positions, {'no structure' if flat else 'disks'}")
    print("| electrons per position | format | bytes per electron | write, s | read all and sum, s |")
    print("|---:|---|---:|---:|---:|")
    for electrons in (20, 200, 2000):
        frames = counted(positions, electrons, flat)
        total = int(frames.data.sum())
        signal = finish_loading(hs.signals.Signal2D(to_dask(MemorySource(frames))).as_lazy())
        print(f"| {electrons} | .tpx3 | 8.00 | | |")
        for label, (name, options, _) in formats().items():
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, name)
                begin = time.perf_counter()
                signal.save(path, overwrite=True, show_progressbar=False, **options)
                written = time.perf_counter() - begin
                begin = time.perf_counter()
                again = hs.load(path, lazy=True, **{k: v for k, v in options.items() if k == "file_format"})
                found = int(again.data.sum().compute())
                read = time.perf_counter() - begin
                assert found == total, (label, found, total)
                print(f"| {electrons} | {label} | {size(folder, name) / total:.2f} | {written:.2f} | {read:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
