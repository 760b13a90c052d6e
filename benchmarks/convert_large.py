"""Convert a large recording: time against summing the file's bytes, the most memory, and reading back.

    python benchmarks/convert_large.py FILE.tpx3 OUT.toml [OUT.nxevent ...]

Without FILE a recording of 2 GB is simulated first. Each conversion runs in a process of its own, whose
peak of resident memory is that of the conversion alone.
"""

import os
import subprocess
import sys
import tempfile

from rsciio_tpx3 import simulate

_CONVERT = """
import resource, sys, time
from rsciio_tpx3.convert import convert
begin = time.perf_counter()
convert(sys.argv[1], sys.argv[2], overwrite=True, show_progressbar=False)
print(time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


_READ = """
import sys, time
import numpy as np
from rsciio_tpx3.convert import _plugin, _read
from rsciio_tpx3.frames.dask_array import source_of
begin = time.perf_counter()
data = _read(_plugin(sys.argv[1], None), [sys.argv[1]], {})["data"]
opened = time.perf_counter() - begin
source = source_of(data)
rows = np.random.default_rng(0).integers(0, np.prod(data.shape[:-2]), 400)
for row in rows[:200]:
    source.frames(int(row), int(row) + 1)
begin = time.perf_counter()
for row in rows[200:]:
    source.frames(int(row), int(row) + 1)
frame = (time.perf_counter() - begin) / 200
begin = time.perf_counter()
data.sum().compute()
print(opened, frame, time.perf_counter() - begin)
"""

# in a process of its own too: the peak of a child process begins at the memory of its parent
_SUM = """
import sys, time
import numpy as np
words = np.fromfile(sys.argv[1], np.uint8)
times = []
for _ in range(3):
    begin = time.perf_counter()
    words.sum(dtype=np.uint64)
    times.append(time.perf_counter() - begin)
print(min(times))
"""


def run(code, *arguments):
    """The numbers that a program prints, run in a process of its own."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def simulated(path):
    simulate.recording(path, (512, 512), electrons_per_position=950, dwell_time="5 us", keep_truth=False)
    return path


def main(arguments):
    with tempfile.TemporaryDirectory() as folder:
        given = [a for a in arguments if a.endswith(".tpx3")]
        path = given[0] if given else simulated(os.path.join(folder, "large.tpx3"))
        outputs = [a for a in arguments if not a.endswith(".tpx3")] or [os.path.join(folder, "large.toml")]
        (base,), size = run(_SUM, path), os.path.getsize(path)
        limit = size / 8 / 2 + 300e6
        print(f"{size / 1e9:.2f} GB; summing its bytes takes {base:.2f} s; memory limit {limit / 1e6:.0f} MB")
        for output in outputs:
            seconds, peak = run(_CONVERT, path, output)
            print(f"{os.path.basename(output)}: {seconds:.1f} s ({seconds / base:.0f} times), peak {peak / 1e6:.0f} MB")
            opened, frame, total = run(_READ, output)
            print(f"    open {opened:.2f} s, one frame {frame * 1e3:.1f} ms, sum of all {total:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
