"""One specimen by every method at three doses: ``python docs/figures/phase.py`` writes ``docs/images/phase.png``."""

from pathlib import Path

import matplotlib.pyplot as plt

import hyperspy_sparse

METHODS = ("icom", "ssb", "obf", "ls", "wdd")
DOSES = (30, 300, 3000)
DEFOCUS = 30  # nm


def main():
    figure, axes = plt.subplots(len(DOSES), len(METHODS) + 2, figsize=(13.6, 5.6), layout="constrained")
    for row, dose in zip(axes, DOSES):
        scan = hyperspy_sparse.data.phase_object((40, 44), electrons=dose)
        stack = hyperspy_sparse.tilted_images(scan)
        true = scan.metadata.Simulation.phase
        pictures = {"true phase": true - true.mean()}
        pictures.update((method, hyperspy_sparse.phase(stack, method).data) for method in METHODS)
        # the method for defocused probes; its contrast is not a phase, so it has a grey scale of its own
        blurred = hyperspy_sparse.data.phase_object((40, 44), electrons=dose, defocus=DEFOCUS)
        moved = hyperspy_sparse.phase(blurred, "parallax", aberrations={"C10": f"{DEFOCUS} nm"}).data
        pictures[f"parallax, {DEFOCUS} nm"] = 0.09 * moved / moved.std()
        for ax, (name, picture) in zip(row, pictures.items()):
            ax.imshow(picture, cmap="gray", vmin=-0.1, vmax=0.4)
            ax.set(xticks=[], yticks=[], title=name if dose == DOSES[0] else None)
        row[0].set_ylabel(f"{dose} electrons\nper position")
    figure.savefig(Path(__file__).parents[1] / "images" / "phase.png", dpi=90)


if __name__ == "__main__":
    main()
