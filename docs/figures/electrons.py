"""Figures of the page on hits and electrons; called by ``make_figures.py``."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

from rsciio_tpx3 import simulate
from rsciio_tpx3.corrections.bad_pixels import count_pixels
from rsciio_tpx3.corrections.cluster_pairs import cluster_pairs
from rsciio_tpx3.corrections.fit import hit_steps
from rsciio_tpx3.reader.event_options import event_options, prepare_events
from rsciio_tpx3.simulate import Defects, HitModel, match_electrons
from rsciio_tpx3.tpx3 import Tpx3Source

BLUE, ORANGE, RED, GREY = "#2b6cb0", "#d97706", "#c53030", "#718096"
_NS = 1 / 3.84


def electrons(path, cluster=None, corrections=None, **options):
    source = Tpx3Source(str(path), show_progressbar=False, **options)
    return prepare_events(source, event_options(cluster, corrections))[0]


def clusters_figure(folder, save):
    """Hits of a few electrons, and what is made of them; a pattern before and after."""
    path = folder / "clusters.tpx3"
    truth = simulate.recording(
        path, (24, 25), dwell_time="20 us", electrons_per_position=400, hits=HitModel(wander=0.15), seed=8
    )
    source = electrons(path, {"position": "centroid", "upsample": 9})
    fig, axes = plt.subplot_mosaic(
        [["hits", "hits", "before", "after"]], figsize=(10, 3.6), layout="constrained", width_ratios=(1, 1, 1.1, 1.1)
    )
    draw_hits(axes["hits"], truth, source)
    box = slice(226, 286)
    for name, chosen, title in (
        ("before", None, "hits"),
        ("after", {"position": "centroid", "upsample": 3}, "electrons"),
    ):
        fine = 3 if chosen else 1
        source = electrons(path, chosen)
        hits = source.hits()
        image = np.bincount(hits.pixel, minlength=source.sig_shape[0] * source.sig_shape[1]).reshape(source.sig_shape)
        cut = slice(box.start * fine, box.stop * fine)
        extent = (box.start - 0.5, box.stop - 0.5, box.stop - 0.5, box.start - 0.5)
        axes[name].imshow(image[cut, cut] + 0.5, cmap="magma", norm=LogNorm(), extent=extent)
        axes[name].set_title(title, fontsize=10, loc="left")
    for ax in axes.values():
        ax.set_xlabel("detector x / px")
    axes["hits"].set_ylabel("detector y / px")
    save(fig, "clusters")


def draw_hits(ax, truth, source):
    """Three microseconds around the middle of the detector."""
    hits, found = source.source.hits(), source.hits()
    middle = (np.abs(found.x // 9 - 256) < 14) & (np.abs(found.y // 9 - 256) < 9)
    start = np.sort(found.toa[middle])[40]
    stop = start + 12_000
    shown = (hits.toa >= start) & (hits.toa < stop)
    picture = np.zeros(truth.sig_shape)
    np.add.at(picture.reshape(-1), hits.pixel[shown], hits.tot[shown])
    ax.imshow(np.where(picture, picture, np.nan), cmap="Blues", vmin=-15)
    real = (truth.electron_time >= start) & (truth.electron_time < stop)
    ax.plot(truth.electron_x[real] - 0.5, truth.electron_y[real] - 0.5, "+", color=RED, ms=9, label="true place")
    own = (found.toa >= start) & (found.toa < stop)
    place = (found.x[own] + 0.5) / 9 - 0.5, (found.y[own] + 0.5) / 9 - 0.5
    ax.plot(*place, "o", mfc="none", color=ORANGE, ms=8, label="centroid")
    ax.set(xlim=(242, 270), ylim=(265, 247))
    ax.set_title("3 us: hits (darker: larger ToT) and electrons", fontsize=10, loc="left")
    ax.legend(loc="lower right", fontsize=8)


def walk_figure(data, save):
    """Delays within the clusters of real recordings, the fit, and what is left."""
    fig, axes = plt.subplots(1, 3, figsize=(10, 3.3), layout="constrained")
    for ax, (name, layout) in zip(
        axes, (("serval43_lossy_quad", "quad"), ("ornl_tdc_gdc_60hz", "quad"), ("timestem_raster_000000", "strip"))
    ):
        source = Tpx3Source(str(data / f"{name}.tpx3"), layout=layout, on_loss="warn", show_progressbar=False)
        corrected, [step] = hit_steps(source, {"time_walk": True})
        before, after = cluster_pairs(source), cluster_pairs(corrected)
        ax.plot(before.tot, before.delay * _NS, ".", color=GREY, ms=3, label="as recorded")
        ax.plot(after.tot, after.delay * _NS, ".", color=BLUE, ms=3, label="corrected")
        span = np.arange(1, 61)
        about = step.report()
        ax.plot(span, step.ticks[span] * _NS, color=RED, lw=1.2, label="fit")
        ax.set_title(
            f"{name}\nrms {about['rms_before'] * 1e9:.0f} ns, corrected {about['rms_after'] * 1e9:.0f} ns",
            fontsize=9, loc="left",
        )  # fmt: skip
        top = np.percentile(before.delay * _NS, 99.5)
        ax.set(xlim=(0, 60), ylim=(-0.5 * top, 1.3 * top), xlabel="ToT / 25 ns")
    axes[0].set_ylabel("delay after the largest\nhit of the cluster / ns")
    axes[0].legend(fontsize=8, markerscale=3)
    save(fig, "time_walk")


def corrections_figure(folder, save):
    """Columns, bad pixels, wide pixels and energy, before and after, on simulated recordings."""
    fig, axes = plt.subplot_mosaic(
        [["columns", "columns", "wide", "wide"], ["bad", "masked", "energy", "energy"]],
        figsize=(10, 6), layout="constrained",
    )  # fmt: skip
    draw_columns(axes["columns"], folder)
    draw_wide(axes["wide"], folder)
    draw_bad(axes["bad"], axes["masked"], folder)
    draw_energy(axes["energy"], folder)
    save(fig, "corrections")


def draw_columns(ax, folder):
    columns = np.arange(256)
    phase = np.where(columns // 2 % 16 == 0, 16, columns // 2 % 16) * 6
    offset = -phase + np.where((columns >= 194) & (columns <= 203), 96, 0)
    path = folder / "columns.tpx3"
    truth = simulate.recording(
        path, intensity=np.ones((5, 6, 256, 256)), layout="single", electrons_per_position=12_000, dwell_time="12 ms",
        hits=HitModel(column_offset=offset), seed=7,
    )  # fmt: skip
    for corrections, color, label in (
        ({}, GREY, "as recorded"),
        ({"columns": "find"}, BLUE, "corrected"),
    ):
        hits = electrons(path, corrections=corrections).hits()
        delay = (hits.toa - truth.electron_time[truth.hit_electron]) * _NS
        mean = np.bincount(hits.x, delay, minlength=256) / np.maximum(np.bincount(hits.x, minlength=256), 1)
        ax.plot(mean, color=color, lw=1, drawstyle="steps-mid", label=f"{label}: {mean.std():.1f} ns rms")
    ax.set(xlabel="chip column", ylabel="mean delay after the electron / ns", ylim=(None, 38))
    ax.set_title('columns="find"', fontsize=9, loc="left")
    ax.legend(fontsize=8, loc="upper left")


def draw_wide(ax, folder):
    path = folder / "wide.tpx3"
    flat = np.zeros((4, 5, 516, 516))
    flat[:, :, 100:200, 230:290] = 1
    simulate.recording(
        path, intensity=flat, gap=4, electrons_per_position=20_000, dwell_time="4 ms", hits="exact", seed=2
    )
    for method, color, width in (("leave", GREY, 1.5), ("delete", ORANGE, 1.5), ("spread", BLUE, 1.5)):
        hits = electrons(path, corrections={"wide_pixels": method}, gap=4).hits()
        inside = (hits.y >= 110) & (hits.y < 190)
        ax.plot(np.bincount(hits.x[inside], minlength=516), color=color, lw=width, drawstyle="steps-mid", label=method)
    ax.set(xlim=(235, 280), xlabel="detector column (gap=4: 256 to 259 do not exist)", ylabel="hits")
    ax.set_title("wide_pixels", fontsize=9, loc="left")
    ax.legend(fontsize=8)


def draw_bad(before, after, folder):
    path = folder / "bad.tpx3"
    hot = np.random.default_rng(1).integers(200, 312, (12, 2)) @ (512, 1)
    simulate.recording(
        path, (10, 11), hits="realistic", electrons_per_position=900, dwell_time="400 us",
        defects=Defects(hot=hot, hot_rate=60_000.0, dead=()), seed=4,
    )  # fmt: skip
    for ax, corrections, title in ((before, {}, "as recorded"), (after, {"mask": "find"}, 'mask="find"')):
        image = count_pixels(electrons(path, corrections=corrections))
        ax.imshow(image[200:312, 200:312] + 0.5, cmap="magma", norm=LogNorm(vmax=3000))
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize=9, loc="left")


def draw_energy(ax, folder):
    rng = np.random.default_rng(3)
    path = folder / "energy.tpx3"
    # pixels of this detector differ by 15 % in gain: what a calibration is for
    gain = rng.normal(1, 0.15, (512, 512)).clip(0.6, 1.4)
    response = {"a": 0.3 * gain, "b": -1.8 * gain, "c": 0, "t": 0}
    model = HitModel(response=response)
    simulate.recording(path, (20, 21), hits=model, electrons_per_position=100, dwell_time="50 us", seed=5)
    found = electrons(path, True, {"energy": response}).hits()
    bins = np.arange(100, 300, 3)
    ax.hist(found.tot / 0.3 + 6 * found.size, bins, histtype="step", color=GREY, label="one gain for all pixels")
    ax.hist(found.energy, bins, histtype="step", color=BLUE, label="calibration of each pixel")
    ax.set(xlabel="energy of an electron / keV", ylabel="electrons")
    ax.set_title("energy", fontsize=9, loc="left")
    ax.legend(fontsize=8)


def rates_figure(folder, save):
    """Efficiency and purity against the dose rate, for three windows."""
    rates = np.array([0.1, 1, 3, 10, 30, 75])
    fig, (ax, other) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
    for window, color in (("50 ns", BLUE), ("100 ns", ORANGE), ("200 ns", RED)):
        found = []
        for rate in rates:
            truth, path = rate_recording(folder, rate)
            found.append(match_electrons(truth, electrons(path, {"window": window}, layout="quad")))
        ax.semilogx(rates, [100 * m.efficiency for m in found], "o-", color=color, ms=4, label=window)
        other.semilogx(rates, [100 * m.purity for m in found], "o-", color=color, ms=4)
    ax.set(xlabel="million electrons per second", ylabel="%")
    other.set(xlabel="million electrons per second")
    ax.set_title("efficiency: electrons found as one cluster", fontsize=9, loc="left")
    other.set_title("purity: clusters that are one electron", fontsize=9, loc="left")
    ax.legend(title="window", fontsize=8)
    save(fig, "cluster_rates")


def rate_recording(folder, rate):
    """A recording of some 20,000 electrons of the built-in specimen at a rate in millions a second."""
    path = folder / f"rate_{rate}.tpx3"
    dose = rate * 20
    side = max(3, round((20_000 / dose) ** 0.5))
    truth = simulate.recording(
        path, (side, side + 1), electrons_per_position=dose, dwell_time="20 us", hits="realistic", seed=1
    )
    return truth, path


def electron_figures(folder, data, save):
    """All figures of the page."""
    clusters_figure(folder, save)
    rates_figure(folder, save)
    walk_figure(data, save)
    corrections_figure(folder, save)
