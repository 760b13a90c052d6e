"""Packets per second and memory of the simulator: ``python benchmarks/simulate.py [million packets]``."""

import resource
import sys
import tempfile
import time
from pathlib import Path

from rsciio_tpx3 import simulate


def main(millions=10.0):
    """Simulate one recording with exact and one with realistic hits, and print what it took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.tpx3"
        for hits, per_electron in (("exact", 1.0), ("realistic", 3.1)):
            simulate.recording(path, (4, 8), hits=hits)  # compiles the kernels
            dose = millions * 1e6 / 256**2 / per_electron
            wall, cpu = time.perf_counter(), time.process_time()
            truth = simulate.recording(
                path, (256, 256), electrons_per_position=dose, hits=hits, edge_chips=(0, 1, 2, 3),
                global_time="1 ms", chunk_counts=True, keep_truth=Path(folder) / "truth",
            )  # fmt: skip
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{hits}: {truth.n_packets:,} packets, {wall:.1f} s ({cpu:.1f} s of CPU), "
                f"{truth.n_packets / wall / 1e6:.2f} million a second, peak {peak:.0f} MiB"
            )


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
