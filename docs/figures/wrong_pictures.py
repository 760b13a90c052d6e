"""Pictures that are wrong, and the same ones right: ``python docs/figures/wrong_pictures.py [NAME ...]``.

They are on the page "My picture is wrong". All are simulated, so that the cause is known.
"""

import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np

from rsciio_tpx3 import simulate

IMAGES = Path(__file__).parents[1] / "images"
SHAPE = (96, 112)
"""Positions ``(y, x)``."""

SCAN = {"navigation_shape": SHAPE[::-1], "lazy": True}


def record(path, electrons=60, **scan):
    """A recording of the built-in specimen: vacuum left, film below, particle right."""
    film = simulate.specimen(SHAPE, (256, 256))
    scan = {"dwell_time": "5 us", **scan}
    simulate.recording(path, intensity=film, layout="single", electrons_per_position=electrons, seed=4, **scan)
    return str(path)


def image(path, **options):
    """Dark field of a recording as it is loaded with these options."""
    s = hs.load(path, **{**SCAN, **options})
    ring = hs.roi.CircleROI(cx=128, cy=128, r=100, r_inner=24)
    return np.asarray(s.get_integrated_intensity(ring).data)


def sheared(folder):
    """The dwell time is wrong by 0.2 %, and no edges correct it."""
    path = record(folder / "clock.tpx3", sync="shared-clock", line_flyback="20 us")
    options = {"sync": "shared-clock", "line_flyback": "20 us"}
    return (
        ("dwell_time=5.01 us", image(path, dwell_time="5.01 us", **options)),
        ("dwell_time=5 us", image(path, dwell_time="5 us", **options)),
    )


def combed(folder):
    """Serpentine scan, the beam 15 us behind the edges."""
    path = record(folder / "snake.tpx3", pattern="serpentine", scan_delay="15 us")
    return (
        ("no scan_delay", image(path, pattern="serpentine")),
        ('scan_delay="15 us"', image(path, pattern="serpentine", scan_delay="15 us")),
    )


def mirrored(folder):
    """Serpentine scan read as a raster: every other line backwards."""
    path = record(folder / "snake.tpx3", pattern="serpentine")
    return (("raster", image(path)), ('pattern="serpentine"', image(path, pattern="serpentine")))


def doubled(folder):
    """Two frames read as one of twice the height."""
    path = record(folder / "frames.tpx3", n_frames=2, electrons=40, sync="line-start")
    tall = {"navigation_shape": (SHAPE[1], 2 * SHAPE[0])}
    return (
        ("navigation_shape=(112, 192)", image(path, dwell_time="5 us", **tall)),
        ('navigation_shape=(112, 96), frames="sum"', image(path, dwell_time="5 us", frames="sum")),
    )


def stripes(folder):
    """Chunks of packets that the readout lost."""
    path = record(folder / "lost.tpx3", lost_chunks=0.05, chunk_counts=True, chunk_time="1 ms")
    whole = record(folder / "whole.tpx3", chunk_counts=True, chunk_time="1 ms")
    return (("5 % of the chunks lost", image(path, on_loss="warn")), ("nothing lost", image(whole)))


def stretched(folder):
    """Only the first part of each line is taken."""
    path = record(folder / "lines.tpx3", sync="line-start", line_flyback="50 us")
    return (
        ("dwell_time=3.5 us", image(path, dwell_time="3.5 us")),
        ("dwell_time=5 us", image(path, dwell_time="5 us")),
    )


def torn(folder):
    """The recording began in the middle of a frame, and nothing marks where frames begin."""
    path = record(folder / "torn.tpx3", n_frames=2, sync="line-start", electrons=40)
    first = {"navigation_shape": (*SHAPE[::-1], 1), "dwell_time": "5 us", "frames": 0}
    return (
        ("begins in the middle of a frame", image(path, first_line=40, **first)),
        ("begins with a frame", image(path, **first)),
    )


def draw(name, pictures):
    """The wrong and the right picture side by side."""
    fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.0), layout="constrained", dpi=90)
    for ax, (title, picture), colour in zip(axes, pictures, ("#c53030", "#2f855a"), strict=True):
        ax.imshow(picture, cmap="gray", vmax=np.percentile(picture, 99.7))
        ax.set_title(title, color=colour, fontsize=9)
        ax.set(xticks=[], yticks=[])
        for side in ax.spines.values():
            side.set(color=colour, linewidth=2)
    fig.savefig(IMAGES / f"wrong_{name}.png")
    plt.close(fig)


PICTURES = (sheared, combed, mirrored, doubled, stripes, stretched, torn)


def main(names):
    with tempfile.TemporaryDirectory() as folder:
        for picture in (one for one in PICTURES if one.__name__ in names or not names):
            draw(picture.__name__, picture(Path(folder)))
            print(IMAGES / f"wrong_{picture.__name__}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
