"""
A scan that is not found
========================

A recording has the times of trigger edges and not what they mean. Where they do not show the scan, loading ends with an
error that says what is missing.
"""

import hyperspy.api as hs
import matplotlib.pyplot as plt

import rsciio_tpx3
from rsciio_tpx3 import simulate

# %%
# One pulse at the start of each line: it shows when a line begins, and not how fast the beam moves.
film = simulate.specimen((48, 64), (256, 256), beyond=0.3)
simulate.recording(
    "lines.tpx3",
    intensity=film,
    layout="single",
    sync="line-start",
    dwell_time="5 us",
    line_flyback="40 us",
    electrons_per_position=100,
)
try:
    hs.load("lines.tpx3")
except rsciio_tpx3.ScanSyncError as error:
    print(error)

# %%
# What is in the file? 48 edges in one direction, one every 360 us. The microscope was set to 64 columns of 5 us: the
# rest of each period is flyback.
info = rsciio_tpx3.file_info("lines.tpx3")
for name, edges in info["edges"].items():
    print(name, edges)

# %%
# The dwell time, as a text with its unit, is what was missing. A dwell time that is a little wrong takes in the wrong
# part of each line: too long a one does not fit into the line, too short a one leaves out its end.
right = hs.load("lines.tpx3", navigation_shape=(64, 48), dwell_time="5 us")
short = hs.load("lines.tpx3", navigation_shape=(64, 48), dwell_time="4 us")
images = [s.sum(axis=s.axes_manager.signal_axes) for s in (right, short)]

fig, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
for ax, image, title in zip(axes, images, ("dwell time 5 us", "dwell time 4 us"), strict=True):
    fig.colorbar(ax.imshow(image.data, cmap="gray"), ax=ax, label="hits")
    ax.set(title=title, xlabel="scan x / positions", ylabel="scan y / positions")

# %%
# The summary of each says it too: how many hits have no position, and why.
for s in (right, short):
    print(s.recording, end="\n\n")
