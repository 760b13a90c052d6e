"""
Strain
======

Peaks are found in every pattern and compared with a lattice: pyXem's chain from patterns to strain, which reads
sparse frames one at a time.
"""

import hyperspy.api as hs
import numpy as np
from scipy.ndimage import gaussian_filter

from rsciio_tpx3 import simulate

# %%
# Patterns of a square lattice that is stretched along x from left to right, up to 4 %.
ny, nx, size = 9, 12, 96
y, x = np.mgrid[:size, :size] - size // 2
strain_xx = np.linspace(0, 0.04, nx)


def pattern(strain):
    """Expected electrons: disks on a lattice that is smaller where the crystal is stretched."""
    image = np.zeros((size, size))
    for h in range(-2, 3):
        for k in range(-2, 3):
            centre_x, centre_y = 16 * h / (1 + strain), 16 * k
            image += np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / 6) * np.exp(-(h**2 + k**2) / 4)
    return image / image.sum()


array = np.array([[pattern(strain) for strain in strain_xx]] * ny) * 6000
simulate.recording("strain.tpx3", intensity=array, layout="single", dwell_time="100 us")
s = hs.load("strain.tpx3", navigation_shape=(nx, ny), lazy=True).isig[80:176, 80:176]
s

# %%
# The axes are set so that the direct beam is at zero. Peaks are sought in smoothed counts.
for axis in s.axes_manager.signal_axes:
    axis.offset, axis.scale, axis.units = -48.0, 1.0, "px"
smooth = s.map(gaussian_filter, sigma=1.5, inplace=False, output_dtype=float, show_progressbar=False)
vectors = smooth.get_diffraction_vectors(method="local_max", min_distance=5, threshold_abs=1.0)
vectors.compute()
vectors

# %%
# The strain that turns the lattice without strain into the peaks of each position. Peaks lie on whole pixels, of which
# 2 % of 32 pixels are one: the second order is used, and the mean of a column is shown next to the truth.
lattice = 16.0 * np.array([(2, 0), (0, 2), (-2, 0), (0, -2), (2, 1), (-2, 1), (2, -1), (-2, -1)])
strain = vectors.get_strain_maps(lattice, distance=3.0)
print(strain)
