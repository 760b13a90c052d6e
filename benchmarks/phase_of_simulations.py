"""Phases of multislice simulations against the potential: ``python -m benchmarks.phase_of_simulations [--quick]``.

Needs an environment with abTEM 1.0.11, which ``tests/environments/with_abtem`` makes. A layer of graphene with three
atoms missing is simulated, recorded with a dose, read back, and its phase compared with the projected potential.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "phase_contrast"))

METHODS = ("ssb", "obf", "ls", "wdd", "icom", "parallax")
INNER = (slice(3, -3), slice(3, -3))  # a scan is not a period of the layer


def correlations(folder, case, doses, nav_shape, seeds):
    """Rows of the table for one set-up: mean correlation of each method, and its scatter over the seeds."""
    import from_abtem as way

    import hyperspy_sparse

    patterns, pixel_angle, true = way.simulated(nav_shape, **case)
    rows = []
    for dose in doses:
        reached = {m: [] for m in METHODS}
        for seed in range(seeds):
            path = Path(folder) / "layer.tpx3"
            signal, disk = way.recorded(path, patterns, pixel_angle, dose, seed=seed, **case)
            stack = hyperspy_sparse.tilted_images(signal, **disk)
            stack.compute(show_progressbar=False)
            for method in METHODS:
                if method == "parallax" and not case["overfocus"]:
                    continue
                found = hyperspy_sparse.phase(stack, method).data
                reached[method].append(way.correlation(found[INNER], true[INNER]))
            path.unlink()
        name = f"{case['semi_angle']:g} mrad, {case['overfocus']:+g} nm, {case['rotation']:g} deg"
        rows.append([name, f"{dose:,}", *(f"{np.mean(r):.2f}" if r else "" for r in reached.values())])
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    nav_shape, seeds = ((16, 20), 1) if quick else ((28, 32), 3)
    focus = {"semi_angle": 20.0, "overfocus": 0.0, "rotation": 0.0}
    cases = [(focus, (1, 10, 100, 1000))]
    for change in (
        {"overfocus": 10.0}, {"overfocus": -10.0}, {"overfocus": 30.0}, {"rotation": 33.0},
        {"rotation": -120.0, "overfocus": 10.0}, {"semi_angle": 15.0}, {"semi_angle": 30.0},
    ):  # fmt: skip
        cases.append(({**focus, **change}, (1000,)))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for case, doses in cases[:3] if quick else cases:
            rows += correlations(folder, case, doses, nav_shape, seeds)
    print("\nGraphene, 200 keV, steps of 0.04 nm: correlation with the projected potential up to twice the aperture:\n")
    table(["aperture, overfocus, rotation", "electrons", *METHODS], rows)


if __name__ == "__main__":
    main()
