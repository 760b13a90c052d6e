"""
Radial profile
==============

Counts by scattering angle, for each position of the scan: pyXem's azimuthal integration on sparse frames.
"""

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np

from hyperspy_sparse import set_microscope
from rsciio_tpx3 import simulate

film = simulate.specimen((40, 48), (256, 256))
simulate.recording("film.tpx3", intensity=film, layout="single", dwell_time="5 us", electrons_per_position=400)
s = hs.load("film.tpx3", navigation_shape=(48, 40), lazy=True)

# %%
# What is known of the microscope, with units. The axes become nanometres and milliradians, and the centre of the
# pattern is known to pyXem.
s = set_microscope(
    s, beam_energy="200 keV", camera_length="110 mm", pixel_pitch="55 um", scan_step="0.5 nm", center=(128, 128)
)
print(s.axes_manager)

# %%
# One profile for each position. Counts are added up; ``mean=True`` would give counts per pixel.
profiles = s.get_azimuthal_integral1d(npt=96)
profiles.compute()
profiles

# %%
# Profiles of the parts of the specimen, whose places the simulator knows.
phases = film.phase()
radius = profiles.axes_manager.signal_axes[0]
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for number, name in enumerate(simulate.PHASES):
    mean = np.asarray(profiles.data)[phases == number].mean(axis=0)
    ax.semilogy(radius.axis, np.where(mean > 0, mean, np.nan), label=name)
ax.set(xlabel=f"{radius.name} / {radius.units}", ylabel="counts per position")
ax.legend()
