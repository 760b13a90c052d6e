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
# pyXem's example of two tilted grains of silicon, counted: 40 electrons in the brightest pixel. A recording of your own
# comes from ``hs.load`` with its calibration from ``set_microscope``.
s = si_tilt()
s.change_dtype("float64")
s.data = np.random.default_rng(3).poisson(s.data / s.data.max() * 40).astype(np.uint16)
s.calibration.center = None
s = hyperspy_sparse.to_sparse(s)
s

# %%
# Templates: here rotations about the two axes that the example has. A real library samples all orientations.
angles = [[0, tilt, azimuth] for tilt in range(0, 31, 5) for azimuth in (0, 15, 30)]
simulation = SimulationGenerator(200).calculate_diffraction2d(
    si_phase(),
    rotation=Rotation.from_euler(angles, degrees=True),
    max_excitation_error=0.1,
    reciprocal_radius=1.5,
    with_direct_beam=False,
)

# %%
# The patterns in polar coordinates (from the events alone), and the best template of each.
polar = s.get_azimuthal_integral2d(npt=60, npt_azim=120, inplace=False, mean=True)
orientations = polar.get_orientation(simulation, n_best=1)
best = np.asarray(orientations.data)[..., 0, :]

fig, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
pattern = axes[0].imshow(np.asarray(s.sum(axis=(0, 1)).data) + 1, norm="log", cmap="magma")
axes[0].set_title("sum pattern")
for ax, values, name in zip(axes[1:], (best[..., 0], best[..., 1]), ("template", "correlation"), strict=True):
    fig.colorbar(ax.imshow(values), ax=ax)
    ax.set_title(name)
