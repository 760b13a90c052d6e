"""The geometry of azimuthal integration: overlaps of pixels with rings and sectors, compared with pyXem's polygons.

Run it with::

    python -m benchmarks.geometry             # 512 x 512 pixels, 100 rings; pyXem takes some ten seconds per call
    python -m benchmarks.geometry --size 256

Processor time of one call, the median of rounds in which both take turns; ours without its memory of earlier ones.
The largest difference of a weight stands next to it.
"""

import argparse
import statistics
import time
import warnings

import hyperspy.api as hs
import numpy as np
from pyxem.utils.calibration import Calibration

from hyperspy_sparse import calibration_cache
from hyperspy_sparse.calibration_cache import CachingCalibration


def calibrations(size):
    """pyXem's calibration and ours, of the same detector with the beam off its centre."""
    made = {}
    for name, cls in (("pyXem", Calibration), ("ours", CachingCalibration)):
        signal = hs.signals.Signal2D(np.zeros((size, size), np.uint8))
        signal.set_signal_type("electron_diffraction")
        signal.calibration(scale=0.01, center=(size * 0.47, size * 0.52))
        signal.calibration.__class__ = cls
        made[name] = signal.calibration
    return made


def measure(made, name, arguments, rounds):
    """Median processor seconds of each, and the largest difference of the weights."""
    took, found = {key: [] for key in made}, {}
    for turn in range(rounds + 1):
        for key, calibration in made.items():
            calibration_cache._CACHE.clear()
            begin = time.process_time()
            found[key] = getattr(calibration, name)(*arguments)
            if turn or key == "pyXem":  # ours is compiled in the first round
                took[key].append(time.process_time() - begin)
    apart = abs(_dense(*found["ours"], name) - _dense(*found["pyXem"], name)).max()
    return {key: statistics.median(values) for key, values in took.items()}, apart


def _dense(first, weights, places, _, name):
    """Weights in one order: those of sectors have it, those of rings are put into images and added up."""
    if name == "get_slices2d":
        return weights
    rings = np.zeros((len(places) - 1, *(first.max(axis=0) + 1)))
    for i in range(len(places) - 1):
        at = first[places[i] : places[i + 1]]
        rings[i][at[:, 0], at[:, 1]] = weights[places[i] : places[i + 1]]
    return rings


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    made = calibrations(arguments.size)
    print("| geometry | pyXem / s | ours / s | times as fast | largest difference |")
    print("|---|---|---|---|---|")
    for text, name, options in (
        ("100 rings", "get_slices1d", (100,)),
        ("100 rings of 36 sectors", "get_slices2d", (100, 36)),
        ("100 rings of 360 sectors", "get_slices2d", (100, 360)),
    ):
        took, apart = measure(made, name, options, arguments.rounds)
        ratio = took["pyXem"] / took["ours"]
        print(f"| {text} | {took['pyXem']:.2f} | {took['ours']:.3f} | {ratio:.0f} | {apart:.0e} |", flush=True)


if __name__ == "__main__":
    main()
