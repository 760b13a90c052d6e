"""Where the time goes: in opening, decoding, converting and five analyses, as text.

    python -m benchmarks.profiles                    # 10^7 packets, simulated first
    python -m benchmarks.profiles scan.tpx3 --lines 20

One thread, after a first call that compiles. Times are those of Python's profiler: calls of compiled
kernels show as the functions that make them.
"""

import argparse
import cProfile
import os
import pstats
import tempfile

import dask
import hyperspy.api as hs

from benchmarks import recordings
from benchmarks.measure import seconds


def jobs(path, folder):
    """Name to function without parameters."""
    hs.preferences.General.show_progressbar = False
    quiet = {"show_progressbar": False, "lazy": True, "cache": False}

    def signal():
        found = hs.load(path, navigation_shape=(256, 256), **quiet)
        found.calibration.center = (255.5, 255.5)
        return found

    one = signal()
    ring = hs.roi.CircleROI(256, 256, 60, 20)
    return {
        "open": lambda: hs.load(path, navigation_shape=(256, 256), **quiet),
        "decode (all frames)": lambda: [one.data.blocks[i].compute() for i in range(one.data.numblocks[0])],
        "convert (raw_csr)": lambda: one.save(os.path.join(folder, "x.toml"), overwrite=True),
        "sum pattern": lambda: one.sum(axis=(0, 1)).data.compute(),
        "virtual image": lambda: one.get_integrated_intensity(ring).data.compute(),
        "centre of mass": lambda: one.get_direct_beam_position(method="center_of_mass").data.compute(),
        "radial profile": lambda: one.get_azimuthal_integral1d(npt=100).data.compute(),
        "variance": lambda: one.var(axis=(0, 1)).data.compute(),
    }


def profile(name, function, lines):
    with dask.config.set(scheduler="sync"):
        function()
        plain = seconds(function)
        watch = cProfile.Profile()
        watch.runcall(function)
    stats = pstats.Stats(watch)
    total = stats.total_tt
    print(f"\n{name}: {plain:.2f} s\n{'-' * 60}")
    rows = [(own, calls, place) for place, (_, calls, own, _, _) in stats.stats.items()]
    for own, calls, (file, line, function_name) in sorted(rows, reverse=True)[:lines]:
        where = "" if file == "~" else f"{os.path.basename(os.path.dirname(file))}/{os.path.basename(file)}:{line} "
        print(f"{own / total * 100:5.1f} %  {calls:7}  {where}{function_name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--packets", type=float, default=1e7)
    parser.add_argument("--lines", type=int, default=8, help="functions shown of each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or recordings.write(os.path.join(folder, "scan.tpx3"), int(options.packets), (256, 256))
        print("```text", end="")
        for name, function in jobs(path, folder).items():
            profile(name, function, options.lines)
        print("```")


if __name__ == "__main__":
    main()
