"""
Orientation
===========

Patterns compared with simulated ones of silicon in many orientations, by pyXem's template matching.
"""

import matplotlib.pyplot as plt
import numpy as np
from diffsims.generators.simulation_generator import SimulationGenerator
from orix.quaternion import Rotation
from pyxem.data import si_phase, si_tilt

import hyperspy_sparse

# %%
# pyXem's example of two grains of silicon, turned against each other by 10 degrees about the beam: 40 electrons in the
# brightest pixel. A recording of your own
# comes from ``hs.load`` with its calibration from ``set_microscope``.
s = si_tilt()
s.change_dtype("float64")
s.data = np.random.default_rng(3).poisson(s.data / s.data.max() * 40).astype(np.uint16)
s.calibration.center = None
s = hyperspy_sparse.to_sparse(s)
s

# %%
# Templates: tilts in three directions, and no tilt. A real library samples all orientations. How a pattern is turned
# about the beam needs no templates: each is compared at all angles.
angles = [[0, tilt, azimuth] for tilt in range(0, 31, 5) for azimuth in (0, 15, 30)]
simulation = SimulationGenerator(200).calculate_diffraction2d(
    si_phase(),
    rotation=Rotation.from_euler(angles, degrees=True),
    max_excitation_error=0.1,
    reciprocal_radius=1.5,
)

# %%
# The patterns in polar coordinates (from the events alone), and the best template of each.
polar = s.get_azimuthal_integral2d(npt=60, npt_azim=360, inplace=False, mean=True)
orientations = polar.get_orientation(simulation, n_best=1)
best = np.asarray(orientations.data)[..., 0, :]

print("tilt of the best templates:", sorted({angles[int(number)][1] for number in best[..., 0].flat}), "degrees")
turned = (best[..., 2] + 45) % 90 - 45  # silicon along this axis repeats every 90 degrees

fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
pattern = axes[0].imshow(np.asarray(s.sum(axis=(0, 1)).data) + 1, norm="log", cmap="magma")
fig.colorbar(pattern, ax=axes[0], label="electrons + 1")
axes[0].set(title="sum pattern", xlabel="detector x / px", ylabel="detector y / px")
fig.colorbar(axes[1].imshow(turned), ax=axes[1], label="turned about the beam / degrees")
axes[1].set(title="two grains", xlabel="scan x / positions", ylabel="scan y / positions")
axes[1].set(xticks=range(4), yticks=range(4))
