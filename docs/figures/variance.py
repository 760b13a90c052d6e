"""Draw ``images/variance.png``, of an amorphous specimen in few electrons: ``python docs/figures/variance.py``."""

from pathlib import Path

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np

import hyperspy_sparse as hss

NAV, SIG, RINGS = (48, 56), (128, 120), 16
DOSES = (0.02, 0.1, 0.5)  # electrons per pixel of a pattern


def speckled(rng):
    """Intensities of mean 1 whose variance over the scan peaks at a ring, as that of medium range order does."""
    y, x = np.mgrid[: SIG[0], : SIG[1]]
    distance = np.hypot(y - 64, x - 60)
    variance = 0.1 + 0.25 * np.exp(-(((distance - 28) / 8) ** 2) / 2)
    return np.exp(-distance / 60) * rng.gamma(1 / variance, variance, (*NAV, *SIG))


def as_signal(frames):
    signal = hs.signals.Signal2D(frames)
    signal.set_signal_type("electron_diffraction")
    for axis, middle in zip(signal.axes_manager.signal_axes, (60, 64)):
        axis.scale, axis.offset, axis.units = 0.1, -0.1 * middle, "nm^-1"
    return signal


def main():
    rng = np.random.default_rng(0)
    intensity = speckled(rng).astype(np.float32)
    intensity /= intensity.mean()
    true = as_signal(intensity).get_variance(RINGS, "re", show_progressbar=False)
    radius = true.axes_manager[0].axis
    figure, axes = plt.subplots(1, len(DOSES), figsize=(11, 3.3), layout="constrained", sharey=True)
    for ax, dose in zip(axes, DOSES):
        counts = as_signal(rng.poisson(dose * intensity).astype(np.uint8))
        plain = counts.get_variance(RINGS, "re", show_progressbar=False).data
        # halves of the scan tell the error
        halves = [
            hss.to_sparse(counts.inav[:, part]).get_variance(RINGS, "re", shot_noise="remove").data.compute()
            for part in (slice(0, 24), slice(24, 48))
        ]
        mean, error = np.mean(halves, axis=0), np.abs(halves[0] - halves[1]) / 2
        ax.plot(radius, plain, color="0.6", label="of counts")
        ax.errorbar(
            radius, mean, error, marker="o", markersize=4, linestyle="none", capsize=2, label="without shot noise"
        )
        ax.plot(radius, true.data, color="k", linewidth=1, label="of the specimen")
        ax.set(
            yscale="log", ylim=(0.05, 500), xlabel="spatial frequency / (1/nm)", title=f"{dose:g} electrons per pixel"
        )
    axes[0].set_ylabel("normalised variance")
    axes[0].legend(frameon=False, fontsize="small")
    figure.savefig(Path(__file__).parents[1] / "images" / "variance.png", dpi=90)


if __name__ == "__main__":
    main()
