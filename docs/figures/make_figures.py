"""Make all figures of the documentation: ``python docs/figures/make_figures.py [NAME ...]``.

Uses the package, matplotlib and the recordings in ``tests/data`` only. Pictures go to ``docs/images``.
"""

import sys
import tempfile
from pathlib import Path

import hyperspy.api as hs
import matplotlib
from matplotlib.colors import LogNorm
from scan_figures import align_figure, delay_figure, time_figure

from hyperspy_sparse import demo

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from electrons import electron_figures
from matplotlib.patches import FancyArrowPatch, Rectangle

from rsciio_tpx3 import simulate
from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.reader.scan import scan_options
from rsciio_tpx3.scan.edges import regular_pulses
from rsciio_tpx3.scan.scan import place_hits
from rsciio_tpx3.scan.sync import build_scan
from rsciio_tpx3.tpx3 import Tpx3Source, packets
from rsciio_tpx3.utils import clock

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
DATA = ROOT / "tests" / "data" / "tpx3"

BLUE, ORANGE, GREEN, RED, GREY, LIGHT = "#2b6cb0", "#d97706", "#2f855a", "#c53030", "#718096", "#e2e8f0"
plt.rcParams.update(
    {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.dpi": 110,
        "savefig.dpi": 110,
        "figure.facecolor": "white",
    }
)


# -- scan synchronisation ----------------------------------------------------------------------

# name: simulated scan, reader options, span of lines shown, title
SYNCS = {
    "line_gate": (
        {"sync": "line-gate", "line_flyback": "12 us"},
        {"navigation_shape": (6, 3)},
        "line-gate: the signal is high while the beam scans a line",
    ),
    "line_start": (
        {"sync": "line-start", "line_flyback": "12 us"},
        {"navigation_shape": (6, 3), "dwell_time": "5 us"},
        "line-start: a pulse where a line begins; the dwell time is an option",
    ),
    "periodic_line": (
        {"sync": "periodic-line", "line_flyback": "12 us", "edge_jitter": "2 us"},
        {"navigation_shape": (6, 3), "dwell_time": "5 us", "sync": "periodic-line"},
        "periodic-line: jittering pulses, lines on the regular grid fitted through them",
    ),
    "pixel_trigger": (
        {"sync": "pixel-trigger", "line_flyback": "12 us"},
        {"navigation_shape": (6, 3), "sync": "pixel-trigger"},
        "pixel-trigger: a pulse for each position",
    ),
    "frame_trigger": (
        {"sync": "frame-trigger", "line_flyback": "6 us", "frame_flyback": "15 us", "n_frames": 2},
        {"navigation_shape": (6, 3), "dwell_time": "5 us", "line_flyback": "6 us", "sync": "frame-trigger"},
        "frame-trigger: a pulse where a frame begins; all else comes from options",
    ),
    "shared_clock": (
        {"sync": "shared-clock", "line_flyback": "10 us"},
        {"navigation_shape": (6, 3), "dwell_time": "5 us", "line_flyback": "10 us", "sync": "shared-clock"},
        "shared-clock: no edges; scan and detector start together",
    ),
    "frames": (
        {"sync": "shared-clock", "line_flyback": "10 us"},
        {"signal": "frames", "frame_time": "25 us"},
        'signal="frames": no scan; equal slices of time',
    ),
}


def sync_figures(folder):
    """One picture for each convention: what was recorded, and what the reader makes of it."""
    for name, (recorded, options, title) in SYNCS.items():
        path = folder / f"{name}.tpx3"
        simulate.recording(
            path, (3, 6), dwell_time="5 us", layout="single", intensity=np.ones((3, 6, 8, 8)),
            electrons_per_position=4, flyback_electrons=True, keep_truth=True, seed=2, **recorded,
        )  # fmt: skip
        source = Tpx3Source(str(path), show_progressbar=False)
        scan = build_scan(source.index(), scan_options(**options))
        draw_sync(name, source, scan, title)


def draw_sync(name, source, scan, title):
    origin = scan.start[0]
    us = lambda ticks: (np.asarray(ticks, float) - origin) / clock.TICKS_PER_SECOND * 1e6  # noqa: E731
    fig, (top, middle, low) = plt.subplots(
        3, 1, figsize=(8.2, 3.9), sharex=True, layout="constrained", height_ratios=(0.8, 0.7, 2)
    )
    fig.suptitle(title, fontsize=10.5, x=0.01, ha="left")
    end = us(scan.stop[-1]) + 14
    begin = -12.0 if len(source.index().edges) else -3.0
    draw_edges(top, source.index().edges, us, begin, end)
    if name == "periodic_line":
        for start in us(scan.start):
            top.axvline(start, color=BLUE, ls=":", lw=1.2)
            middle.axvline(start, color=BLUE, ls=":", lw=1.2)
    draw_bands(middle, scan, us, begin, end)
    hits = source.hits()
    position = np.empty(len(hits), np.int64)
    place_hits(hits.toa, *scan.columns(), position)
    placed = position >= 0
    low.plot(us(hits.toa[placed]), position[placed], ".", color=BLUE, ms=4, label="hit with a position")
    n = scan.n_positions
    none = -max(2, n / 9)  # far enough below position 0 for two labels
    low.plot(us(hits.toa[~placed]), np.full((~placed).sum(), none), "x", color=GREY, ms=4, label="hit without one")
    low.set(xlim=(begin, end), ylim=(1.75 * none, n + 0.5), xlabel="time / us", ylabel="flat position\nof each hit")
    ticks = np.arange(0, n + 1, 6 if n % 6 == 0 else max(1, n // 4))
    low.set_yticks([none, *ticks[ticks < n]], ["none", *(str(t) for t in ticks[ticks < n])])
    low.grid(axis="y", color=LIGHT)
    low.legend(loc="upper left", frameon=True, fontsize=8)
    save(fig, f"sync_{name}")


def draw_edges(ax, edges, us, begin, end):
    ax.set(ylim=(-0.25, 1.4), yticks=[], ylabel="trigger")
    ax.spines["left"].set_visible(False)
    if not len(edges):
        ax.plot([begin, end], [0, 0], color=GREY, lw=1.2)
        ax.text((begin + end) / 2, 0.45, "none recorded", ha="center", color=GREY)
        return
    times = us(edges.ticks)
    rising = np.isin(edges.code, [packets.EDGE_CODES["tdc1-rise"], packets.EDGE_CODES["tdc2-rise"]])
    if rising.all():
        # only the rise is in the file; the pulse behind it is drawn short
        for t in times:
            ax.plot([t, t, t + 0.9, t + 0.9], [0, 1, 1, 0], color=RED, lw=1.2)
        ax.plot([begin, end], [0, 0], color=RED, lw=1.2, zorder=0)
    else:
        x, y = [begin], [0.0]
        for t, up in zip(times, rising, strict=True):
            x += [t, t]
            y += [0.0, 1.0] if up else [1.0, 0.0]
        ax.plot([*x, end], [*y, 0.0], color=RED, lw=1.2)
    for t, up in zip(times, rising, strict=True):
        ax.annotate(
            "", (t, 1.0 if up else 0.0), (t, 0.0 if up else 1.0),
            arrowprops={"arrowstyle": "-|>", "color": RED, "lw": 1.2, "mutation_scale": 8},
        )  # fmt: skip


def draw_bands(ax, scan, us, begin, end):
    """Each position as a field, flyback left white."""
    ax.set(ylim=(0, 1), yticks=[], ylabel="position")
    ax.spines["left"].set_visible(False)
    for s in range(len(scan.start)):
        first = scan.start[s] - scan.phase[s] / scan.den
        dwell = scan.num[s] / scan.den
        for column in range(scan.n_columns):
            left, right = first + column * dwell, min(first + (column + 1) * dwell, scan.stop[s])
            if left >= right:
                break
            place = scan.base[s] + scan.step[s] * column
            colour = BLUE if place % 2 == 0 else "#90cdf4"
            ax.add_patch(Rectangle((us(left), 0.15), us(right) - us(left), 0.7, color=colour, lw=0))
            if us(right) - us(left) > 0.013 * (end - begin):
                crowded = us(right) - us(left) < 0.025 * (end - begin)
                ax.text(
                    us((left + right) / 2), 0.48, str(place), ha="center", va="center", fontsize=6 if crowded else 7.5,
                    color="white" if colour == BLUE else "black",
                )  # fmt: skip
    for s in range(len(scan.start) - 1):
        last = min(scan.start[s] + scan.n_columns * scan.num[s] / scan.den, scan.stop[s])
        if us(scan.start[s + 1]) - us(last) > 0.06 * (end - begin):
            middle = (us(last) + us(scan.start[s + 1])) / 2
            ax.text(middle, 0.48, "flyback", ha="center", va="center", fontsize=7.5, color=GREY)


def faults_figure(_):
    """A missing edge, a glitch, a burst, and lines lost in a pause."""
    lines = np.arange(9) * 1000  # one per line, 1000 ticks apart
    none = np.zeros(9, np.int64)
    fourth = (np.arange(8) == 4).astype(np.int64)  # the counter says one is missing before number 4
    burst = np.concatenate([lines[:5], 5000 + np.arange(12) * 50, 5550 + lines[1:4]])
    cases = [
        ("missing edge, counter leaps by 2:\nput back", np.delete(lines, 4), fourth),
        ("an edge too many,\ninside a line: excluded", np.sort(np.append(lines, 4300)), np.append(none, 0)),
        ("burst between frames:\na frame mark, no lines", burst, None),
        ("pause, counter goes on by 1:\na new frame", np.append(lines[:4], lines[4:] + 1300), none),
        (
            "pause longer than the\nmissing edges: lost, empty",
            np.append(lines[:4], lines[4:] + 2300),
            np.append(fourth, 0),
        ),
    ]
    fig, axes = plt.subplots(len(cases), 1, figsize=(8.2, 5), sharex=True, layout="constrained")
    for ax, (text, edges, gaps) in zip(axes, cases, strict=True):
        draw_fault(ax, edges / 1000, regular_pulses(edges, None if gaps is None else np.cumsum(1 + gaps)), 1000)
        ax.text(-0.45, 0.75, text, ha="right", va="center", fontsize=8.5)
    axes[-1].set(xlabel="time / line period", xlim=(-3.6, 11.4))
    axes[-1].set_xticks(range(0, 12, 2))
    handles = [
        plt.Line2D([], [], color=RED, lw=1.6, label="recorded edge"),
        plt.Line2D([], [], color=GREEN, lw=1.6, ls=(0, (2, 1.5)), label="put back"),
        Rectangle((0, 0), 1, 1, color=BLUE, label="line of frame 0"),
        Rectangle((0, 0), 1, 1, color=ORANGE, label="line of frame 1"),
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False, fontsize=8.5)
    save(fig, "sync_faults")


def draw_fault(ax, edges, pulses, unit):
    ax.set(ylim=(-0.1, 1.5), yticks=[])
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="x", length=3 if ax.get_subplotspec().is_last_row() else 0)
    ax.vlines(edges, 0.75, 1.35, color=RED, lw=1.4)
    starts = pulses.ticks / unit
    recorded = np.isclose(starts[:, None], edges[None, :], atol=1e-6).any(axis=1)
    put_back = ~recorded & ~pulses.lost
    ax.vlines(starts[put_back], 0.75, 1.35, color=GREEN, lw=1.6, ls=(0, (2, 1.5)))
    width = 0.86
    for start, run, lost in zip(starts, pulses.run, pulses.lost, strict=True):
        if lost:
            ax.text(start - 1.1, 0.3, "1 line lost", ha="center", va="center", fontsize=8, color=GREY)
        else:
            ax.add_patch(Rectangle((start, 0.12), width, 0.36, color=(BLUE, ORANGE)[run % 2], lw=0))


def raster_figure(_):
    """The real raster: intervals, the burst, and where hits lie in the frame."""
    source = Tpx3Source(
        [str(DATA / f"timestem_raster_{i:06}.tpx3") for i in (0, 1)], layout="strip", show_progressbar=False
    )
    options = scan_options(navigation_shape=(64, 513), active_fraction=1.0)
    index = source.index()
    scan = build_scan(index, options)
    seconds = index.edges.ticks / clock.TICKS_PER_SECOND
    interval = np.diff(seconds) * 1e6
    fig, axes = plt.subplot_mosaic(
        [["all", "all"], ["zoom", "frame"]], figsize=(9.2, 6.6), layout="constrained", height_ratios=(1, 1.5)
    )
    draw_intervals(axes["all"], seconds, interval, boundary_of_files())
    draw_burst(axes["zoom"], seconds, interval)
    draw_frame(axes["frame"], source, scan)
    short, long = interval[interval < 10], interval[interval > 10]
    frame = np.diff(seconds[frame_starts(interval)]).mean() * 1e3
    print(f"raster: {len(short)} intervals of {short.mean():.4f} us, {len(long)} of {long.mean():.4f} us")
    print(f"raster: frame {frame:.5f} ms")
    save(fig, "real_raster")


def boundary_of_files():
    first = Tpx3Source(str(DATA / "timestem_raster_000000.tpx3"), layout="strip", show_progressbar=False)
    return clock.ticks_to_seconds(first.index().edges.ticks[-1])


def frame_starts(interval):
    """Edges after which the intervals become those of lines again."""
    short = interval < 10
    return np.flatnonzero(short[:-1] & ~short[1:]) + 1


def draw_intervals(ax, seconds, interval, boundary):
    ax.semilogy(seconds[:-1], interval, ".", ms=1.5, color=BLUE, rasterized=True)
    ax.axvline(boundary, color=GREY, ls="--", lw=1)
    ax.text(boundary + 0.01, 3, "second file begins", color=GREY, fontsize=8.5)
    ax.set(
        xlabel="time / s", ylabel="time to the next edge / us", ylim=(0.08, 120), xlim=(-0.02, seconds[-1] + 0.02),
        title="a  83,559 edges on TDC1: intervals of a line, and of a burst",
    )  # fmt: skip
    ax.set_yticks([0.16, 1, 10, 40.02], ["0.16", "1", "10", "40.02"])
    ax.minorticks_off()


def draw_burst(ax, seconds, interval):
    start = frame_starts(interval)[40]
    first = start - 142
    zero = seconds[first]
    near = slice(first - 3, start + 4)
    ax.vlines((seconds[near] - zero) * 1e6, 0, 1, color=RED, lw=0.7)
    for number, at in (("line 511", first - 2), ("line 512", first - 1), ("line 0", start), ("line 1", start + 1)):
        middle = (seconds[at] + seconds[at + 1]) / 2 - zero
        ax.text(middle * 1e6, 0.5, number, ha="center", va="center", fontsize=8.5, color=BLUE)
    ax.set(xlim=(-88, 112), ylim=(0, 1.32), yticks=[], xlabel="time / us", title="b  Edges around the frame flyback")
    ax.spines["left"].set_visible(False)
    ax.annotate(
        "142 intervals\nof 0.16 us", (11.4, 1.01), (11.4, 1.12), ha="center", fontsize=8.5,
        arrowprops={"arrowstyle": "-", "color": GREY},
    )  # fmt: skip
    ax.annotate("", (22.72, 0.15), (62.74, 0.15), arrowprops={"arrowstyle": "<->", "color": GREY})
    ax.text(42.7, 0.17, "40.02 us", ha="center", va="bottom", fontsize=8.5, color=GREY)


def draw_frame(ax, source, scan):
    hits = source.hits()
    position = np.empty(len(hits), np.int64)
    place_hits(hits.toa, *scan.columns(), position)
    segment = np.searchsorted(scan.start, hits.toa, "right") - 1
    inside = position >= 0
    row = position[inside] % (513 * 64) // 64
    since = (hits.toa[inside] - scan.start[segment[inside]]) / clock.TICKS_PER_SECOND * 1e6
    ax.plot(since, row, ".", ms=2.2, color=BLUE, alpha=0.6)
    frames = scan.nav_shape[0]
    ax.set(
        xlim=(0, 40.02), ylim=(513, 0), xlabel="time since the start of the line / us", ylabel="line of the frame",
        title=f"c  {inside.sum():,} hits of {frames} frames, by their place",
    )  # fmt: skip


def order_figure(_):
    """How a hit's time compares with the edge that was read before it."""
    words = np.fromfile(DATA / "timestem_raster_000000.tpx3", "<u8")
    last, rows = None, []
    left = 0
    for word in words:
        if left == 0:
            left = int(packets.header_words(word))
            continue
        left -= 1
        kind = int(word >> np.uint64(60))
        if kind == packets.TYPE_TDC:
            last = int(packets.tdc_ticks(word))
        elif kind == packets.TYPE_PIXEL and last is not None:
            rows.append((int(packets.pixel_ticks(word)), last))
    toa, read = np.array(rows).T
    source = Tpx3Source(str(DATA / "timestem_raster_000000.tpx3"), layout="strip", show_progressbar=False)
    ticks = source.index().edges.ticks
    true = ticks[np.maximum(np.searchsorted(ticks, toa, "right") - 1, 0)]
    wrong = read != true
    delay = (toa - read) / clock.TICKS_PER_SECOND * 1e6
    fig, ax = plt.subplots(figsize=(8.2, 3), layout="constrained")
    number = np.arange(len(toa))
    ax.axhspan(0, 40.02, color=LIGHT, zorder=0, label="within a line of that edge")
    ax.plot(number[~wrong], delay[~wrong], ".", ms=3, color=BLUE, label="edge read last is the right one")
    ax.plot(number[wrong], delay[wrong], ".", ms=4, color=RED, label=f"it is not: {wrong.mean():.0%} of the hits")
    ax.set_yscale("symlog", linthresh=50, linscale=1.2)
    ax.set(xlabel="hits in the order of the file", ylabel="hit - edge read last / us", xlim=(0, len(toa)))
    ax.set_yticks([-400, -100, 0, 40, 100, 1000], ["-400", "-100", "0", "40", "100", "1000"])
    ax.minorticks_off()
    ax.legend(loc="upper left", fontsize=8, ncols=3, bbox_to_anchor=(0, 1.16), frameon=False)
    print(f"order: {wrong.sum()} of {len(wrong)} hits, from {delay.min():.0f} to {delay.max():.0f} us")
    save(fig, "stream_order")


def sampling_figure(folder):
    """One recording on three grids."""
    path = folder / "sampling.tpx3"
    film = simulate.specimen((48, 48), (512, 512))
    simulate.recording(path, (48, 48), intensity=film, dwell_time="8 us", electrons_per_position=120)
    fig, axes = plt.subplots(1, 3, figsize=(8.6, 3.3), layout="constrained")
    for ax, columns in zip(axes, (16, 48, 192), strict=True):
        source = Tpx3Source(str(path), show_progressbar=False)
        scan = build_scan(source.index(), scan_options(navigation_shape=(columns, 48)))
        image = dark_field(source, scan)
        ax.imshow(image, cmap="gray", aspect=columns / 48)
        dwell = scan.report["dwell_time"] * 1e6
        ax.set(
            title=f"navigation_shape=({columns}, 48)\n{dwell:.3g} us per position",
            xlabel="scan x / positions",
            ylabel="scan y / positions",
        )
    save(fig, "sampling")


def dark_field(source, scan):
    hits = source.hits()
    position = np.empty(len(hits), np.int64)
    place_hits(hits.toa, *scan.columns(), position)
    height, width = source.sig_shape
    radius = np.hypot(hits.x - width / 2, hits.y - height / 2)
    keep = (position >= 0) & (radius > 60)
    return np.bincount(position[keep], minlength=scan.n_positions).reshape(scan.nav_shape)


def timing_figure(folder):
    """Share of hits that land at another position than their electron, by effect and dwell time."""
    model = simulate.HitModel
    cases = {
        "all effects": "realistic",
        "time walk 20 ns at threshold": model.exact(charge_sharing=True, wander=0.4, walk="20 ns"),
        "jitter 1 ns": model.exact(jitter="1 ns"),
    }
    dwells = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
    fig, ax = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
    print("dwell / us:", *dwells)
    for (name, hits), colour in zip(cases.items(), (RED, ORANGE, BLUE), strict=True):
        shares = [moved(folder, dwell, hits) for dwell in dwells]
        print(f"{name}:", *(f"{share:.2%}" for share in shares))
        behind = hits == "realistic"
        ax.loglog(dwells, np.where(np.array(shares) > 0, shares, np.nan), "o-", color=colour, label=name, ms=4,
                  lw=5 if behind else 1.5, alpha=0.4 if behind else 1)  # fmt: skip
    ax.set(xlabel="dwell time / us", ylabel="share of hits at\nanother position", ylim=(7e-6, 0.3))
    ax.set_xticks(dwells, [f"{d:g}" for d in dwells])
    ax.set_yticks([1e-5, 1e-4, 1e-3, 1e-2, 1e-1], ["0.001 %", "0.01 %", "0.1 %", "1 %", "10 %"])
    ax.minorticks_off()
    ax.grid(color=LIGHT)
    ax.legend(frameon=False, fontsize=8.5)
    save(fig, "timing_budget")


def moved(folder, dwell, hits):
    path = folder / "timing.tpx3"
    truth = simulate.recording(
        path, (16, 64), dwell_time=f"{dwell} us", electrons_per_position=60, layout="single", hits=hits,
        intensity=np.ones((16, 64, 200, 200)),
    )  # fmt: skip
    source = Tpx3Source(str(path), show_progressbar=False)
    found = source.hits()
    scan = build_scan(source.index(), scan_options(navigation_shape=(64, 16)))
    position = np.empty(len(found), np.int64)
    place_hits(found.toa, *scan.columns(), position)
    inside = (truth.hit_position >= 0) & (position >= 0)
    return np.mean(position[inside] != truth.hit_position[inside])


# -- detector, frames, results -----------------------------------------------------------------


def quad_figure(_):
    fig, axes = plt.subplots(1, 2, figsize=(8.6, 4.5), layout="constrained")
    for ax, gap in zip(axes, (0, 4), strict=True):
        layout = make_layout("quad", gap=gap)
        draw_quad(ax, layout, gap)
    save(fig, "quad_geometry")


def draw_quad(ax, layout, gap):
    height, width = layout.sig_shape
    spread = 20 if gap else 0  # four pixels could not be seen
    for chip in layout.chips:
        corners = [layout.rules[chip] @ (1, x, y) for x, y in ((0, 0), (255, 0), (0, 255))]
        (oy, ox), (xy, xx), (yy, yx) = (divmod(int(c), width) for c in corners)
        shift = np.array([spread * (min(ox, xx) > 200), spread * (min(oy, yy) > 200)])
        low = np.array([min(ox, xx), min(oy, yy)]) + shift
        ax.add_patch(Rectangle(low, 256, 256, facecolor="#ebf4ff", edgecolor=BLUE, lw=1))
        ax.text(*(low + 128), f"chip {chip}", ha="center", va="center", fontsize=11)
        origin = np.array([ox, oy]) + shift
        inward = np.sign(low + 128 - origin)
        foot = origin + 22 * inward
        ax.plot(*(origin + 6 * inward), "o", color=RED, ms=5)
        for name, end in (("x", (xx, xy)), ("y", (yx, yy))):
            way = np.sign(np.array(end) + shift - origin) * 75
            style = {"arrowstyle": "-|>", "mutation_scale": 11, "color": ORANGE, "shrinkA": 0}
            ax.add_patch(FancyArrowPatch(foot, foot + way, **style))
            ax.text(*(foot + way * 1.18), name, color=ORANGE, ha="center", va="center")
    ax.set(
        xlim=(-12, width + spread + 12), ylim=(height + spread + 12, -12), aspect="equal",
        xlabel="detector column X", ylabel="detector row Y",
    )  # fmt: skip
    last = f"{width - 1}"
    ax.set_xticks([0, 256 + gap + spread, width - 1 + spread], ["0", f"{256 + gap}", last])
    ax.set_yticks([0, 255, 256 + gap + spread, height - 1 + spread], ["0", "255" if gap else "", f"{256 + gap}", last])
    remark = " (gap drawn wider than it is)" if gap else ""
    ax.set_title(f"gap={gap}: {width} x {height}{remark}", fontsize=10, pad=10)


def csr_figure(_):
    """Three frames of a tiny detector, and the three arrays that hold them."""
    frames = np.zeros((3, 4, 5), int)
    frames[0, 1, 2], frames[0, 2, 0] = 1, 2
    frames[2, 0, 4], frames[2, 2, 3], frames[2, 3, 1] = 1, 1, 1
    flat = frames.reshape(3, -1)
    indptr = np.concatenate([[0], np.cumsum((flat > 0).sum(axis=1))])
    indices = np.concatenate([np.flatnonzero(row) for row in flat])
    data = flat[flat > 0]
    fig, ax = plt.subplots(figsize=(8.2, 3.5), layout="constrained")
    ax.set(xlim=(0, 24), ylim=(0, 10.4), aspect="equal")
    ax.axis("off")
    for number, frame in enumerate(frames):
        left = 0.5 + 8.2 * number
        ax.text(left + 2.5, 9.9, f"position {number}", ha="center", va="center")
        for y in range(4):
            for x in range(5):
                count = frame[y, x]
                face = "#90cdf4" if count else "white"
                ax.add_patch(Rectangle((left + x, 8.3 - y), 1, 1, facecolor=face, edgecolor=GREY, lw=0.6))
                style = {"size": 9, "weight": "bold"} if count else {"size": 6, "color": "#a0aec0"}
                ax.text(left + x + 0.5, 8.8 - y, str(count or y * 5 + x), ha="center", va="center", **style)
    for y, name, values in ((3.4, "indptr", indptr), (2.0, "indices", indices), (0.6, "data", data)):
        ax.text(3.2, y + 0.5, name, ha="right", va="center", family="monospace")
        for i, value in enumerate(values):
            ax.add_patch(Rectangle((3.8 + 1.6 * i, y), 1.6, 1, facecolor="#edf2f7", edgecolor=GREY, lw=0.6))
            ax.text(4.6 + 1.6 * i, y + 0.5, str(value), ha="center", va="center")
    ax.text(13, 3.9, "where each frame begins; equal neighbours: an empty frame", va="center", fontsize=8.5, color=GREY)
    ax.text(13, 2.5, "y * width + x of each pixel that was hit", va="center", fontsize=8.5, color=GREY)
    ax.text(13, 1.1, "how often it was hit", va="center", fontsize=8.5, color=GREY)
    save(fig, "csr")


def analysis_figures(folder):
    """The overview of the start page, and the results of the first analysis."""
    path = folder / "film.tpx3"
    film = simulate.specimen((64, 64), (512, 512))
    truth = simulate.recording(path, (64, 64), intensity=film, dwell_time="10 us", electrons_per_position=300)
    signal = hs.load(str(path), navigation_shape=(64, 64))
    results = demo.analyse(signal)
    demo.figure(results, "A simulated film, 64 x 64 positions, 300 electrons each").savefig(
        IMAGES / "first_analysis.png", dpi=90
    )
    draw_overview(truth, str(path), results)


def draw_overview(truth, path, results):
    source = Tpx3Source(path, show_progressbar=False)
    edges, hits = source.index().edges, source.hits()
    rises = edges.select("tdc1-rise").ticks
    first, last = rises[30], rises[33]
    shown = (hits.toa >= first - 200_000) & (hits.toa < last)
    ms = lambda ticks: (ticks - first) / clock.TICKS_PER_SECOND * 1e3  # noqa: E731
    fig, axes = plt.subplot_mosaic(
        [["stream"] * 3, ["pattern", "dark", "shift"]], figsize=(9, 5.6), layout="constrained", height_ratios=(1, 1.9)
    )
    ax = axes["stream"]
    ax.plot(ms(hits.toa[shown]), hits.x[shown], ",", color=BLUE)
    for t in rises[30:34]:
        ax.axvline(ms(t), color=RED, lw=1)
    ax.set(xlim=(-0.05, ms(last)), ylim=(0, 512), xlabel="time / ms", ylabel="detector x / px")
    ax.set_title("In the file: hits of single electrons (blue), trigger edges (red)", fontsize=10, loc="left")

    axes["pattern"].imshow(results["pattern"] + 1, norm=LogNorm(), cmap="magma")
    axes["pattern"].set_title("sum of all diffraction patterns", fontsize=10)
    axes["dark"].imshow(results["dark_field"], cmap="gray")
    axes["dark"].set_title("annular dark field", fontsize=10)
    demo._draw_shift(fig, axes["shift"], results["shift"])
    axes["shift"].set_title("shift of the centre of mass", fontsize=10)
    for name in ("pattern", "dark", "shift"):
        axes[name].set(xticks=[], yticks=[], xlabel="", ylabel="")
    save(fig, "overview")


def repeated_figures(folder):
    for draw in (delay_figure, align_figure, time_figure):
        draw(folder, save)


def save(fig, name):
    fig.savefig(IMAGES / f"{name}.png")
    plt.close(fig)
    print(f"{name}.png")


FIGURES = {
    "sync": sync_figures,
    "faults": faults_figure,
    "raster": raster_figure,
    "order": order_figure,
    "sampling": sampling_figure,
    "timing": timing_figure,
    "quad": quad_figure,
    "csr": csr_figure,
    "analysis": analysis_figures,
    "repeated": repeated_figures,
    "electrons": lambda folder: electron_figures(folder, DATA, save),
}


def main(names):
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in names or FIGURES:
            FIGURES[name](Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
