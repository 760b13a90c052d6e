"""Draw ``images/disks.png``: ``python docs/figures/disks.py``."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import hyperspy_sparse as hss

FOLDER = Path(__file__).parents[1] / "images"


def main():
    signal = hss.data.strained_crystal((7, 24), electrons=800)
    vectors = hss.find_disks(signal, radius=6, show_progressbar=False)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), width_ratios=(1, 1.2), layout="constrained")
    frame = signal.inav[3, 2].data
    frame = np.asarray(frame.compute() if hasattr(frame, "compute") else frame)
    axes = signal.axes_manager.signal_axes
    extent = [axes[0].low_value, axes[0].high_value, axes[1].high_value, axes[1].low_value]
    left.imshow(frame, cmap="gray_r", vmax=2, extent=extent)
    for y, x, _ in vectors.data[2, 3]:
        left.add_patch(plt.Circle((x, y), 6 * axes[0].scale, fill=False, color="tab:red", lw=1))
    left.set(title="800 electrons, disks found", xlabel="kx (1/Å)", ylabel="ky (1/Å)")
    unit, turn = 3.5 * 6 * 0.05, np.radians(8)
    basis = unit * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    strain = vectors.get_strain_maps(basis, distance=unit / 4)
    column = np.arange(24)
    true = signal.metadata.Simulation.strain
    # components of strain maps come in pyXem's order; the stretched one is that which follows the truth
    components = [strain.inav[i].data for i in range(4)]
    best = max(components, key=lambda c: abs(np.corrcoef(c.mean(axis=0), true)[0, 1]))
    right.plot(column, 100 * true, "k-", label="true")
    right.plot(np.tile(column, 7), 100 * best.ravel(), "o", ms=3, color="tab:red", alpha=0.5, label="at each position")
    right.set(title="Strain along the scan", xlabel="scan position", ylabel="strain (%)")
    right.legend()
    figure.savefig(FOLDER / "disks.png", dpi=110)


if __name__ == "__main__":
    main()
