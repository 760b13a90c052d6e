"""
Virtual detectors
=================

Bright field, dark field and the two grains, from one reading of the events.
"""

import hyperspy.api as hs
import matplotlib.pyplot as plt

import hyperspy_sparse
from rsciio_tpx3 import simulate

film = simulate.specimen((60, 72), (256, 256))
simulate.recording("film.tpx3", intensity=film, layout="single", dwell_time="5 us", electrons_per_position=300)
s = hs.load("film.tpx3", navigation_shape=(72, 60), lazy=True)

# %%
# Regions are HyperSpy's, in pixels as long as the axes are not calibrated. One of them gives one image, by pyXem's own
# method:
ring = hs.roi.CircleROI(cx=128, cy=128, r=100, r_inner=24)
dark = s.get_integrated_intensity(ring)
dark.compute()
dark

# %%
# Many of them give a stack, from one pass over the file. In a notebook, ``ring.interactive`` and
# ``s.plot_integrated_intensity(ring)`` let you move them with the mouse.
detectors = {
    "bright field": hs.roi.CircleROI(cx=128, cy=128, r=20),
    "annular dark field": ring,
    "upper half": hs.roi.RectangularROI(left=28, top=28, right=228, bottom=104),
    "right half": hs.roi.RectangularROI(left=152, top=28, right=228, bottom=228),
}
images = hyperspy_sparse.one_pass(s, detectors=detectors)
print(sorted(images))

fig, axes = plt.subplots(2, 2, figsize=(7.5, 6.4), layout="constrained")
for ax, name in zip(axes.flat, detectors, strict=True):
    picture = ax.imshow(images[name].data, cmap="gray")
    fig.colorbar(picture, ax=ax, label="hits")
    ax.set_title(name)
    ax.set(xlabel="scan x / positions", ylabel="scan y / positions")
