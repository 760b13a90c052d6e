"""Pictures of the guide on repeated scans: the delay of the scan, and frames aligned."""

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np

import hyperspy_sparse
from rsciio_tpx3 import find_scan_delay, simulate

GREY = "#4a5568"


def delay_figure(folder, save):
    """One scan with too small a delay and with the right one, and the curves of the three methods."""
    path = folder / "delay.tpx3"
    base = {"dwell_time": "5 us", "scan_delay": "18 us", "electrons_per_position": 150, "layout": "single"}
    roi = hs.roi.CircleROI(127.5, 127.5, 120, 22)
    fig, axes = plt.subplots(1, 5, figsize=(11, 2.7), layout="constrained", width_ratios=(1, 1, 1.15, 1.15, 1.15))
    simulate.recording(path, (80, 80), pattern="serpentine", seed=1, **base)
    for ax, delay in zip(axes, ("0 us", "18 us")):
        s = hs.load(str(path), navigation_shape=(80, 80), pattern="serpentine", scan_delay=delay)
        ax.imshow(s.get_integrated_intensity(roi).data.compute(), cmap="gray")
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"serpentine, scan_delay\n{delay}", fontsize=9)
    cases = [("serpentine", False), ("raster", "retrace"), ("raster", False)]
    for ax, (pattern, flyback) in zip(axes[2:], cases):
        simulate.recording(path, (80, 80), pattern=pattern, flyback_electrons=flyback, line_flyback="100 us", **base)
        found = find_scan_delay(path, navigation_shape=(80, 80), pattern=pattern)
        found.plot(ax)
        ax.axvline(18, color=GREY, ls=":", lw=1)
        ax.set_yticks([])
        ax.set_title(f"{found.method}\n{found.delay * 1e6:.2f} +- {found.error * 1e6:.2f} us", fontsize=9)
    save(fig, "scan_delay")


def align_figure(folder, save):
    """Twelve frames of a drifting specimen: found against true drift, and what the sum gains by it."""
    path = folder / "drift.tpx3"
    n = 12
    true = np.cumsum(np.random.default_rng(4).normal((0.9, -0.7), 0.5, (n, 2)), axis=0)
    simulate.recording(
        path, (96, 96), n_frames=n, drift=true, frame_flyback="1 ms", dwell_time="2 us", electrons_per_position=12,
        layout="single", seed=2,
    )  # fmt: skip
    s = hs.load(str(path), navigation_shape=(96, 96, n), lazy=True)
    drift = hyperspy_sparse.find_drift(s)
    plain = hs.load(str(path), navigation_shape=(96, 96, n), frames="sum")
    aligned = hyperspy_sparse.align_frames(s, drift)
    fig, axes = plt.subplots(1, 4, figsize=(11, 2.9), layout="constrained", width_ratios=(1.3, 1, 1, 1))
    drift.plot(axes[0])
    centred = true.mean(axis=0) - true  # a picture moves the other way than the view
    axes[0].plot(centred[:, 1], ":", color=GREY, lw=1)
    axes[0].plot(centred[:, 0], ":", color=GREY, lw=1, label="true")
    axes[0].legend(fontsize=8)
    roi = hs.roi.CircleROI(127.5, 127.5, 120, 22)
    shown = [("one frame", s.inav[..., 0]), ("all frames added up", plain), ("aligned", aligned)]
    for ax, (title, signal) in zip(axes[1:], shown):
        ax.imshow(signal.get_integrated_intensity(roi).data.compute(), cmap="gray")
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize=10)
    save(fig, "aligned_frames")


def time_figure(_, save):
    """Where the two kinds of time bins cut a scan of two frames."""
    fig, axes = plt.subplots(2, 1, figsize=(9, 2.9), layout="constrained", sharex=True)
    colours = plt.cm.viridis(np.linspace(0.1, 0.9, 4))
    for line in range(6):
        begin = line * 10 + (line // 3) * 6
        for column in range(4):
            at = begin + column * 2
            for k in range(4):
                axes[0].axvspan(at + k / 2, at + (k + 1) / 2, color=colours[k], lw=0)
            k = int(min(at / 66 * 4, 3))
            border = (k + 1) * 66 / 4
            axes[1].axvspan(at, min(at + 2, border), color=colours[k], lw=0)
            if border < at + 2:
                axes[1].axvspan(border, at + 2, color=colours[k + 1], lw=0)
            for ax in axes:
                ax.axvline(at, color="white", lw=1)
                ax.axvline(at + 2, color="white", lw=1)
    for ax, text in zip(axes, ("time_bins=4", 'time_bins={"over": "recording", "number": 4}')):
        ax.set(yticks=[], xlim=(-1, 67))
        ax.set_title(text, fontsize=10, loc="left", family="monospace")
        for name, at in (("frame 0", 14), ("frame 1", 50)):
            ax.text(at, 0.5, name, ha="center", va="center", fontsize=9, bbox={"fc": "white", "ec": "none", "pad": 2})
    axes[1].set_xlabel("time: 2 frames of 3 lines with 4 positions; white is flyback; one colour a bin")
    axes[1].set_xticks([])
    save(fig, "time_bins")
