"""
Keep, share and reopen counted data
===================================

From the recording to files that others read, and back.
"""

import os

import hyperspy.api as hs
import matplotlib.pyplot as plt

from rsciio_tpx3 import simulate
from rsciio_tpx3.convert import check, convert
from rsciio_tpx3.formats import files_of

film = simulate.specimen((48, 64), (256, 256))
simulate.recording("scan.tpx3", intensity=film, layout="single", dwell_time="5 us", electrons_per_position=150)

# %%
# ``convert`` streams, so that a file of any size passes. ``s.save("scan.nxevent")`` does the same for a signal that you
# have changed, and ``rsciio-tpx3 convert`` on the command line.
options = {"navigation_shape": (64, 48)}
sizes = {"scan.tpx3": os.path.getsize("scan.tpx3")}
for target, to_format in {"scan.nxevent": None, "scan.toml": None, "counted.h5": "stempy"}.items():
    convert("scan.tpx3", target, to_format=to_format, reader_options=options, overwrite=True, show_progressbar=False)
    sizes[target] = sum(os.path.getsize(file) for file in files_of(target))
for name, size in sizes.items():
    print(f"{name:14}{size / 1e6:6.2f} MB")

# %%
# Each file can be checked, with all checksums that it has, and holds the same counts.
found = check("scan.nxevent", show_progressbar=False)
print(f"good: {found['frames']:,} frames, {found['entries']:,} entries, {found['total']:,} counts")
s = hs.load("scan.tpx3", **options)
reloaded = hs.load("scan.nxevent")
assert (reloaded.sum(axis=(0, 1)).data == s.sum(axis=(0, 1)).data).all()

# %%
# The first is the one to keep and to publish: an open standard with the metadata inside.
fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
ax.barh(list(sizes), [size / 1e6 for size in sizes.values()])
ax.invert_yaxis()
ax.set(xlabel="size / MB")
