"""
Larger than memory
==================

A scan whose dense array would have 4 GiB, analysed within a few hundred megabytes.
"""

import hyperspy.api as hs
import matplotlib.pyplot as plt

import hyperspy_sparse
from rsciio_tpx3 import simulate

# %%
# 128 x 128 positions on a quad detector. The file has what the electrons cost, eight bytes each.
film = simulate.specimen((128, 128), (512, 512))
simulate.recording("large.tpx3", intensity=film, dwell_time="2 us", electrons_per_position=60, keep_truth=False)
s = hs.load("large.tpx3", navigation_shape=(128, 128), lazy=True)
s

# %%
# ``lazy=True`` keeps an index of 0.1 % of the file. Every result below reads the file in pieces, and ``one_pass`` reads
# it once for all of them.
disk = hs.roi.CircleROI(cx=256, cy=256, r=36)
ring = hs.roi.CircleROI(cx=256, cy=256, r=180, r_inner=46)
results = hyperspy_sparse.one_pass(s, detectors={"bright field": disk, "dark field": ring})

fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.8), layout="constrained")
for ax, name in zip(axes, ("bright field", "dark field"), strict=True):
    fig.colorbar(ax.imshow(results[name].data, cmap="gray"), ax=ax, label="hits")
    ax.set(title=name, xlabel="scan x / positions", ylabel="scan y / positions")

# %%
# What would not fit is refused before it begins, with the size and with what to do instead. The limit is a share of the
# memory of the computer; here it is set low.
try:
    s.compute(memory_limit="1 GiB")
except hyperspy_sparse.DenseMemoryError as error:
    print(error)
