"""
At the microscope
=================

Images that grow while a recording is sent. A replay of a file stands for the detector.
"""

import hyperspy.api as hs
import matplotlib.pyplot as plt

import hyperspy_sparse
from rsciio_tpx3 import simulate
from rsciio_tpx3.live import Replay

film = simulate.specimen((48, 64), (256, 256))
simulate.recording("sent.tpx3", intensity=film, layout="single", dwell_time="20 us", electrons_per_position=80)

# %%
# At your microscope the address is that of Serval's raw destination, such as ``"tcp://localhost:8085"``.
detector = Replay("sent.tpx3", "tcp://listen@127.0.0.1:0").start()

# %%
# Images are ordinary signals; their plots follow the scan. ``live.run()`` returns when the measurement has ended.
with hyperspy_sparse.live(detector.receiver, record="recorded.tpx3", overwrite=True, navigation_shape=(64, 48)) as live:
    bright = live.virtual_image(hs.roi.CircleROI(128, 128, 20))
    dark = live.virtual_image(hs.roi.CircleROI(128, 128, 100, 24))
    live.run()
print(live.state, live.lines_drawn, "lines;", live.losses or "nothing lost")

fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for ax, image, name in zip(axes, (bright, dark), ("bright field", "dark field"), strict=True):
    fig.colorbar(ax.imshow(image.data, cmap="gray"), ax=ax, label="hits")
    ax.set(title=name, xlabel="scan x / positions", ylabel="scan y / positions")

# %%
# What was received is the file, byte for byte, and loads as any other.
s = live.signal
s
