"""
Hits or electrons
=================

One electron makes two to four pixels fire. With ``cluster=True`` they become one count again.
"""

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np

from rsciio_tpx3 import simulate

# %%
# ``hits="realistic"`` spreads the charge of an electron over neighbouring pixels, as a sensor does.
film = simulate.specimen((24, 32), (256, 256))
truth = simulate.recording(
    "scan.tpx3",
    intensity=film,
    layout="single",
    dwell_time="50 us",
    electrons_per_position=150,
    hits="realistic",
)
hits = hs.load("scan.tpx3", navigation_shape=(32, 24))
electrons = hs.load("scan.tpx3", navigation_shape=(32, 24), cluster=True)
n_hits, n_electrons = (int(s.data.sum().compute()) for s in (hits, electrons))
print(f"{n_hits} hits, {n_electrons} electrons found, {truth.n_electrons} electrons simulated")

# %%
# The number of hits per electron:
clusters = electrons.metadata.Acquisition_instrument.TEM.Detector.Clusters
print(clusters)

# %%
# What it changes. In a patch of vacuum the counts of the positions scatter: for electrons by the square root of their
# number (Poisson), for hits by more, since hits come in groups.
patterns = [np.asarray(s.sum(axis=(0, 1)).data) for s in (hits, electrons)]
vacuum = [np.asarray(s.inav[:5, :12].sum(axis=(2, 3)).data) for s in (hits, electrons)]

fig, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax, pattern, counts, name in zip(axes, patterns, vacuum, ("hits", "electrons"), strict=True):
    picture = ax.imshow(pattern[104:152, 104:152], cmap="magma", extent=(103.5, 151.5, 151.5, 103.5))
    fig.colorbar(picture, ax=ax, label=name)
    ax.set_title(f"{name}\nvariance / mean in vacuum {counts.var() / counts.mean():.2f}")
    ax.set(xlabel="detector x / px", ylabel="detector y / px")
