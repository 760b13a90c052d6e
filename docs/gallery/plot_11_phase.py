"""
Phase of a thin specimen
========================

Five direct methods on the same electrons, without iterations and without a dense array.
"""

import matplotlib.pyplot as plt

import hyperspy_sparse as hss

# %%
# A weak phase object with four peaks, 300 electrons at each position.
s = hss.data.phase_object(electrons=300)
s

# %%
# Energy, semi-angle and step of the scan are needed. ``phase_object`` has them in its metadata; for a recording they
# are passed to ``hs.load`` or ``set_microscope``.
print(s.metadata.Acquisition_instrument.TEM)

# %%
# Each picture has its own grey scale, since the methods damp the phase by different amounts.
methods = {"icom": "integrated centre of mass", "ssb": "single side band", "obf": "optimum bright field",
           "ls": "least squares", "wdd": "Wigner distribution"}  # fmt: skip
stack = hss.tilted_images(s, across=16)  # one pass over the electrons serves all methods but this one
fig, axes = plt.subplots(1, 5, figsize=(16, 3), layout="constrained")
for ax, (method, name) in zip(axes, methods.items(), strict=True):
    image = hss.phase(s if method == "wdd" else stack, method)
    fig.colorbar(ax.imshow(image.data, cmap="gray"), ax=ax, label="phase / rad", shrink=0.6)
    ax.set_title(name, fontsize=10)
    ax.axis("off")
