"""Phases of multislice simulations against the potential: ``python -m benchmarks.phase_of_simulations [--quick]``.

Needs an environment with abTEM 1.0.11, which ``tests/environments/with_abtem`` makes. A layer of graphene with three
atoms missing is simulated, recorded with a dose, read back, and its phase compared with the projected potential.
Rows are printed as they are found. ``--figure FILE`` draws how the correlation grows with dose.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "phase_contrast"))

METHODS = ("ssb", "obf", "ls", "wdd", "icom", "parallax")
INNER = (slice(3, -3), slice(3, -3))  # a scan is not a period of the layer
FOCUS = {"semi_angle": 20.0, "overfocus": 0.0, "rotation": 0.0}
DOSES = (1, 10, 100, 1000)
CHANGES = (
    {"overfocus": -10.0}, {"overfocus": 30.0}, {"rotation": 33.0}, {"rotation": -120.0, "overfocus": 10.0},
    {"semi_angle": 15.0}, {"semi_angle": 30.0},
)  # fmt: skip


def correlations(folder, case, doses, nav_shape, seeds):
    """Correlation of each method for one set-up, for each dose in turn: mean and scatter over the seeds."""
    import from_abtem as way

    import hyperspy_sparse

    patterns, pixel_angle, true = way.simulated(nav_shape, **case)
    for dose in doses:
        reached = {m: [] for m in METHODS if m != "parallax" or case["overfocus"]}
        for seed in range(seeds):
            path = Path(folder) / "layer.tpx3"
            signal, disk = way.recorded(path, patterns, pixel_angle, dose, seed=seed, **case)
            stack = hyperspy_sparse.tilted_images(signal, **disk)
            stack.compute(show_progressbar=False)
            for method, values in reached.items():
                found = hyperspy_sparse.phase(stack, method).data
                values.append(way.correlation(found[INNER], true[INNER]))
            path.unlink()
        yield dose, {method: (np.mean(values), np.std(values)) for method, values in reached.items()}


def named(case):
    return f"{case['semi_angle']:g} mrad, {case['overfocus']:+g} nm, {case['rotation']:g} deg"


def drawn(path, curves):
    """Correlation over dose, one panel for each of some set-ups."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(curves), figsize=(4.6 * len(curves), 3.4), layout="constrained", sharey=True)
    for ax, (name, found) in zip(np.atleast_1d(axes), curves.items()):
        for method in METHODS:
            if method in found[DOSES[0]]:
                mean, scatter = np.array([found[dose][method] for dose in DOSES]).T
                ax.errorbar(DOSES, mean, scatter, marker="o", markersize=3, capsize=2, label=method)
        ax.axhline(0, color="0.7", linewidth=0.8)
        ax.set(xscale="log", xlabel="electrons per position", title=name)
        ax.legend(frameon=False, fontsize="small")
    np.atleast_1d(axes)[0].set_ylabel("correlation with the potential")
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--figure", help="file for the curves over dose")
    arguments = parser.parse_args()
    nav_shape, seeds = ((16, 20), 1) if arguments.quick else ((28, 32), 3)
    over_dose = [FOCUS, {**FOCUS, "overfocus": 10.0}]
    others = [{**FOCUS, **change} for change in (CHANGES[:1] if arguments.quick else CHANGES)]
    print(
        f"\nGraphene, 200 keV, {nav_shape[1]} x {nav_shape[0]} positions in steps of 0.04 nm, {seeds} draws: "
        "correlation with the projected potential up to twice the aperture:\n"
    )
    print("| aperture, overfocus, rotation | electrons | " + " | ".join(METHODS) + " |")
    print("|---|" + "---:|" * (len(METHODS) + 1), flush=True)
    curves = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in over_dose + others:
            for dose, found in correlations(folder, case, DOSES if case in over_dose else DOSES[-1:], nav_shape, seeds):
                cells = [f"{found[m][0]:.2f}" if m in found else "" for m in METHODS]
                print(f"| {named(case)} | {dose:,} | " + " | ".join(cells) + " |", flush=True)
                curves.setdefault(named(case), {})[dose] = found
    if arguments.figure:
        drawn(arguments.figure, {named(case): curves[named(case)] for case in over_dose})


if __name__ == "__main__":
    main()
