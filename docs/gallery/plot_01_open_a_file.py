"""
Open a file
===========

A Timepix3 recording becomes a pyXem signal by ``hs.load``, like any other file.
"""

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np

from rsciio_tpx3 import simulate

# %%
# A simulated recording stands for yours. It has vacuum at the left, two grains, an amorphous film and a heavy particle.
film = simulate.specimen((60, 72), (256, 256), beyond=0.3)
simulate.recording("film.tpx3", intensity=film, layout="single", dwell_time="5 us", electrons_per_position=150)

# %%
# The shape ``(x, y)`` of the scan is the one thing that is often not in the file. Nothing is decoded yet: with
# ``lazy=True`` only the trigger edges and the sizes have been read.
s = hs.load("film.tpx3", navigation_shape=(72, 60), lazy=True)
s

# %%
# Where the electrons went, and what was lost on the way:
print(s.recording)

# %%
# The sum of all patterns, and the counts of each position.
pattern = s.sum(axis=s.axes_manager.navigation_axes)
counts = s.sum(axis=s.axes_manager.signal_axes)

fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
picture = axes[0].imshow(np.asarray(pattern.data) + 1, norm="log", cmap="magma")
fig.colorbar(picture, ax=axes[0], label="hits + 1")
axes[0].set(title="sum pattern", xlabel="detector x / px", ylabel="detector y / px")
picture = axes[1].imshow(np.asarray(counts.data), cmap="gray")
fig.colorbar(picture, ax=axes[1], label="hits")
axes[1].set(title="counts", xlabel="scan x / positions", ylabel="scan y / positions")
