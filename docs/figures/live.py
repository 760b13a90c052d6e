"""A scan while it comes in: ``python docs/figures/live.py`` writes ``docs/images/live*.png``."""

import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np

import hyperspy_sparse
from rsciio_tpx3 import simulate
from rsciio_tpx3.live import Following

IMAGES = Path(__file__).parents[1] / "images"
NY, NX = 40, 44
DISK = {"center": (256.0, 256.0), "radius": 12.8, "across": 8}
MICROSCOPE = {"beam_energy": "200 keV", "convergence_angle": "20 mrad", "scan_step": "0.04 nm"}
GREY, BLUE, ORANGE = "#a0aec0", "#2b6cb0", "#d97706"


def recording(folder):
    """A scan of four atoms, twice."""
    path = Path(folder) / "scan.tpx3"
    scan = hyperspy_sparse.data.phase_object((NY, NX), electrons=2000)
    intensity = np.asarray(scan.data.compute(), float)
    simulate.recording(
        path, intensity=intensity, electrons_per_position=1500, dwell_time="100 us", line_flyback="0.4 ms", n_frames=2
    )
    return path


def followed_pictures(path, folder, shares):
    """Pictures of a live view of a file of which only so much is there."""
    content = path.read_bytes()
    followed = Path(folder) / "followed.tpx3"
    followed.write_bytes(content[: int(shares[0] * len(content))])
    pictures = []
    with hyperspy_sparse.live(followed, navigation_shape=(NX, NY), layout="quad") as live:
        side = hs.roi.RectangularROI(256, 200, 300, 312)
        signals = {
            "counts": live.counts(),
            "virtual detector": live.virtual_image(side),
            "centre of mass, x": live.center_of_mass(),
            "integrated": live.integrated_center_of_mass(),
            "phase, both frames": live.phase("ssb", **DISK, **MICROSCOPE, wait=30),
        }
        for share in (*shares[1:], None):
            _wait(live, signals["phase, both frames"])
            pictures.append({name: np.array(one.data) for name, one in signals.items()})
            pictures[-1]["lines"] = live.lines_drawn
            if share is not None:
                with open(followed, "ab") as file:
                    file.write(content[followed.stat().st_size : int(share * len(content))])
    return pictures


def _wait(live, phase):
    """Until the picture that comes last has been the same for some seconds."""
    before, times = None, 0
    while times < 4:
        live.run(timeout=1.0)
        times = times + 1 if before is not None and np.array_equal(before, phase.data) else 0
        before = phase.data.copy()


def followed_figure(path, folder):
    """Rows: what has come; columns: what is shown."""
    found = followed_pictures(path, folder, (0.3, 0.7, 1.0))
    names = [name for name in found[0] if name != "lines"]
    figure, axes = plt.subplots(len(found), len(names), figsize=(11, 6.2), layout="constrained")
    for row, pictures in zip(axes, found):
        for ax, name in zip(row, names):
            picture = pictures[name][0] if pictures[name].ndim == 3 else pictures[name]
            last = found[-1][name][0] if found[-1][name].ndim == 3 else found[-1][name]
            low, high = np.nanpercentile(last, [0.5, 99.5])
            ax.imshow(picture, cmap="gray", vmin=low, vmax=high)
            ax.set(xticks=[], yticks=[], title=name if pictures is found[0] else None)
        row[0].set_ylabel(f"{pictures['lines']} of {2 * NY} lines")
    figure.savefig(IMAGES / "live.png", dpi=90)
    plt.close(figure)


def borders_figure(path, folder):
    """Lines that have been sent, are drawn, and are final."""
    content = path.read_bytes()
    followed = Path(folder) / "lines.tpx3"
    followed.write_bytes(b"")
    following = Following(followed, navigation_shape=(NX, NY), layout="quad")
    cuts = np.linspace(0, len(content), 300).astype(int)
    drawn, final = [], []
    for start, stop in zip(cuts[:-1], cuts[1:]):
        with open(followed, "ab") as file:
            file.write(content[start:stop])
        following.update(ended=stop == len(content))
        drawn.append(following.lines_drawn)
        final.append(following.lines_final)
    figure, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
    share = 100 * cuts[1:] / len(content)
    ax.plot(share, 2 * NY * share / 100, color=GREY, label="sent")
    ax.step(share, drawn, where="post", color=BLUE, label="drawn")
    ax.step(share, final, where="post", color=ORANGE, label="final")
    ax.axhline(NY, color=GREY, linewidth=0.6, linestyle="--")
    ax.text(1, NY + 1, "end of the first frame", fontsize=8, color="#4a5568")
    ax.set(xlabel="received / %", ylabel="lines", xlim=(0, 100), ylim=(0, 2 * NY + 2))
    ax.legend(frameon=False)
    figure.savefig(IMAGES / "live_lines.png", dpi=90)


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = recording(folder)
        borders_figure(path, folder)
        followed_figure(path, folder)


if __name__ == "__main__":
    main()
