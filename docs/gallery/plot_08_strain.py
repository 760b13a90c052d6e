"""
Strain
======

The disks of every pattern are found from its electrons, and compared with a lattice by pyXem's strain maps.
"""

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter

import hyperspy_sparse as hss
from rsciio_tpx3 import simulate

# %%
# Patterns of a square lattice that is stretched along x from left to right, up to 4 %.
ny, nx, size = 9, 12, 128
y, x = np.mgrid[:size, :size] - size // 2
strain_xx = np.linspace(0, 0.04, nx)


def pattern(strain):
    """Expected electrons: disks of 5 pixels radius, nearer to each other where the crystal is stretched."""
    image = np.zeros((size, size))
    for h in range(-2, 3):
        for k in range(-2, 3):
            distance = np.hypot(x - 22 * h / (1 + strain), y - 22 * k)
            image += np.clip(5.5 - distance, 0, 1) * np.exp(-(h**2 + k**2) / 6)
    return gaussian_filter(image, 0.7) / image.sum()


array = np.array([[pattern(strain) for strain in strain_xx]] * ny) * 4000
simulate.recording("strain.tpx3", intensity=array, layout="single", dwell_time="100 us")
s = hs.load("strain.tpx3", navigation_shape=(nx, ny)).isig[64:192, 64:192]
s

# %%
# The axes are set so that the direct beam is at zero, since strain is a change of distances from there. Disks are found
# to a fraction of a pixel, from the electrons alone.
for axis in s.axes_manager.signal_axes:
    axis.offset, axis.scale, axis.units = -64.0, 1.0, "px"
vectors = hss.find_disks(s, radius=5)
vectors

# %%
# The strain that turns the lattice without strain into the disks of each position.
strain = vectors.get_strain_maps(22.0 * np.array([(1, 0), (0, 1)]), distance=5.0)
along_x = np.asarray(strain.data)[1]

fig, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
axes[0].imshow(np.asarray(s.inav[nx - 1, 0].data), vmax=8, cmap="magma", extent=(-64.5, 63.5, 63.5, -64.5))
found = np.asarray(vectors.data[0, nx - 1])
axes[0].scatter(found[:, 1], found[:, 0], s=60, facecolors="none", edgecolors="c", linewidths=0.8)
axes[0].set(title="pattern at the right, its disks", xlabel="detector x / px", ylabel="detector y / px")
fig.colorbar(axes[1].imshow(100 * along_x, vmin=-0.5, vmax=4.5, cmap="viridis"), ax=axes[1], label="strain along x (%)")
axes[1].set(title="strain map", xlabel="scan x / positions", ylabel="scan y / positions")
axes[2].errorbar(range(nx), 100 * along_x.mean(axis=0), 100 * along_x.std(axis=0), fmt="o", label="found, and scatter")
axes[2].plot(100 * strain_xx, "k-", label="truth")
axes[2].set(title="each column", xlabel="scan x / positions", ylabel="strain along x (%)")
axes[2].legend()

print(f"largest error of a column: {np.abs(along_x.mean(axis=0) - strain_xx).max():.4f}")
