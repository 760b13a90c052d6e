"""How the speed of decoding changes with the dose and with the number of scan positions.

    python -m benchmarks.growth

One thread turns whole recordings into sorted rows and, without rows, into counts.
"""

import argparse
import os
import tempfile

from benchmarks import recordings
from benchmarks.measure import fresh, point, table

_DECODE = """
import sys, time
from rsciio_tpx3 import file_reader
from rsciio_tpx3.frames.dask_array import source_of
path, ny, nx = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
[found] = file_reader(path, navigation_shape=(nx, ny), lazy=True, cache=False, show_progressbar=False)
source = source_of(found["data"])
n = ny * nx
step = max(1, int(10**6 / max(source.row_events().mean(), 1e-9)) // nx) * nx
source.frames(0, min(step, n))
source.count(show_progressbar=False, threads=1)
begin = time.perf_counter()
hits = sum(int(source.frames(i, min(i + step, n)).data.sum()) for i in range(0, n, step))
rows = time.perf_counter() - begin
begin = time.perf_counter()
source.count(show_progressbar=False, threads=1)
result = [hits, rows, time.perf_counter() - begin]
"""


def one(folder, n_packets, nav):
    path = recordings.write(os.path.join(folder, "scan.tpx3"), n_packets, nav)
    (hits, rows, counts), peak = fresh(_DECODE, path, *nav)
    os.remove(path)
    return hits / rows / 1e6, hits / counts / 1e6, peak


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the packets")
    n = 4 * 10**6 if parser.parse_args().quick else 2 * 10**7
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for label, cases in (
            ("dose", [(n // 4, (64, 64)), (n // 4, (128, 128)), (n // 4, (512, 512))]),
            ("positions", [(64 * 64 * (n // 4096), (64, 64)), (n, (256, 256)), (n, (1024, 1024))]),
        ):
            for packets, nav in cases:
                speed, counting, peak = one(folder, packets, nav)
                dose = packets / (nav[0] * nav[1])
                x = dose if label == "dose" else nav[0] * nav[1]
                point(label, "sorted rows", x, speed)
                point(label, "counts per position", x, counting)
                rows.append([f"{nav[0]} x {nav[1]}", f"{packets:,}", f"{dose:.0f}", f"{speed:.0f}", f"{counting:.0f}",
                             f"{peak:.0f}"])  # fmt: skip
    table(
        ["positions", "packets", "packets per position", "rows, million hits/s", "counts, million hits/s", "peak, MiB"],
        rows,
    )


if __name__ == "__main__":
    main()
