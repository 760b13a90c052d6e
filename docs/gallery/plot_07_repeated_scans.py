"""
Repeated scans and drift
========================

Many quick scans of a specimen that drifts, added up after the drift was found from the events themselves.
"""

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np

import hyperspy_sparse
from rsciio_tpx3 import simulate

drift = [(0, 0), (0.9, -0.7), (2.1, -1.2), (2.8, -2.6), (3.5, -4.0), (4.9, -4.4)]  # (y, x), in positions
film = simulate.specimen((48, 56), (256, 256))
simulate.recording(
    "drift.tpx3",
    intensity=film,
    n_frames=6,
    drift=drift,
    frame_flyback="1 ms",
    dwell_time="5 us",
    electrons_per_position=40,
    layout="single",
)
s = hs.load("drift.tpx3", navigation_shape=(56, 48), lazy=True)
s

# %%
# The shift of each frame, with its error. A picture moves against the way in which the scan moves over the specimen.
found = hyperspy_sparse.find_drift(s, reference="first")
print("found", np.round(found.shifts, 2), "errors", np.round(found.errors, 2), "true", -np.asarray(drift), sep="\n")

# %%
# ``align_frames`` moves events, not images: each is placed anew by its time.
aligned = hyperspy_sparse.align_frames(s, found)
plain = s.sum(axis=2)

detector = hs.roi.CircleROI(cx=128, cy=128, r=120, r_inner=24)
fig, axes = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
for ax, signal, name in zip(
    axes, (s.inav[:, :, 0], plain, aligned), ("one frame", "added up", "added up, drift removed"), strict=True
):
    image = signal.get_integrated_intensity(detector)
    fig.colorbar(ax.imshow(np.asarray(image.data), cmap="gray"), ax=ax, label="hits", shrink=0.7)
    ax.set(title=name, xlabel="scan x / positions", ylabel="scan y / positions")
