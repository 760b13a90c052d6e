"""Everything runs on a recording four times the memory that it may use.

    python -m benchmarks.out_of_core                 # 1.6 x 10^8 packets, 1.3 GB
    python -m benchmarks.out_of_core --packets 5e8

Each step runs in a process of its own. After the imports the process limits its data memory
(``RLIMIT_DATA``) to what it has by then and a quarter of the file; an allocation beyond that fails.
"""

import argparse
import os
import tempfile

from benchmarks import recordings
from benchmarks.measure import fresh, table, target

STEPS = {
    "load": "s = load()",
    "load and plot": "s = load(); s.plot(); s.axes_manager.indices = (5, 7)",
    "sum pattern": "found = load().sum(axis=(0, 1)).data.compute()",
    "counts per position": "found = load().sum(axis=(2, 3)).data.compute()",
    "virtual image": "found = load().get_integrated_intensity(hs.roi.CircleROI(256, 256, 60, 20)).data.compute()",
    "centre of mass": 'found = load().get_direct_beam_position(method="center_of_mass").data.compute()',
    "variance": "found = load().var(axis=(0, 1)).data.compute()",
    "electrons (clusters), sum pattern": "found = load(cluster=True).sum(axis=(0, 1)).data.compute()",
    "convert to raw_csr": 'load().save(out + "x.toml", overwrite=True, show_progressbar=False)',
    "convert to NXevent": 'load().save(out + "x.nxevent", overwrite=True, show_progressbar=False)',
}

_LIMITED = """
import os, resource, sys, time, warnings
warnings.simplefilter("ignore")
os.environ["MPLBACKEND"] = "Agg"
path, out, step, budget, threads = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5])
import dask, hyperspy.api as hs, numpy as np
import hyperspy_sparse, pyxem.signals, h5py, hdf5plugin, matplotlib.pyplot, scipy.ndimage
from concurrent.futures import ThreadPoolExecutor
hs.preferences.General.show_progressbar = False
pyxem.signals.ElectronDiffraction2D

def data():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmData"))

def load(**options):
    return hs.load(path, lazy=True, cache=False, show_progressbar=False, **{**options, **shape})

dask.config.set(pool=ThreadPoolExecutor(threads))
# kernels are compiled, and threads have their stacks, before memory is limited
small, path, shape = path, sys.argv[6], {"navigation_shape": (32, 32)}
exec(step)
path, shape = small, {"navigation_shape": (512, 512)}
before = data()
if budget:
    resource.setrlimit(resource.RLIMIT_DATA, (int(before + budget), -1))
begin = time.perf_counter()
exec(step)
result = time.perf_counter() - begin
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--packets", type=float, default=1.6e8)
    parser.add_argument("--share", type=float, default=0.25, help="memory, as a share of the file")
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--folder", help="for the recording; a temporary one by default")
    options = parser.parse_args()
    rows, failed = [], []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = recordings.write(os.path.join(folder, "large.tpx3"), int(options.packets), (512, 512))
        small = recordings.write(os.path.join(folder, "small.tpx3"), 10**5, (32, 32))
        size = os.path.getsize(path)
        budget = size * options.share
        for name in options.steps:
            try:
                took, _ = fresh(_LIMITED, path, folder + os.sep, STEPS[name], budget, 2, small)
                rows.append([name, f"{took:.1f}", "yes"])
            except RuntimeError as error:
                rows.append([name, "", f"no: {str(error)[:70]}"])
                failed.append(name)
    print(f"{size / 1e6:.0f} MB, with {budget / 1e6:.0f} MB of memory beyond the imports, two threads\n")
    table(["step", "s", "runs within it"], rows)
    reached = f"{len(rows) - len(failed)} of {len(rows)} steps" + (f"; not: {', '.join(failed)}" if failed else "")
    target(f"Recording of {1 / options.share:.0f} times the memory", "every step", reached, not failed)


if __name__ == "__main__":
    main()
