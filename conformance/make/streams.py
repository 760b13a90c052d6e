"""Streams from the simulator, whose truth is what it drew, compared with a plain decode of the words."""

from collections import Counter

import numpy as np

from conformance import plain, words
from conformance.make.writing import CaseWriter, axes
from rsciio_tpx3 import simulate

__all__ = ["make_streams", "simulated"]

NAV = (5, 7)
_PATTERN = np.outer(1 + np.arange(40) % 5, 1 + np.arange(52) % 3)


def _intensity(nav_shape):
    """A pattern that is other at each position, and not symmetric in any way."""
    ny, nx = nav_shape
    images = [[np.roll(_PATTERN * (1 + (3 * y + x) % 4), (y, 2 * x), (0, 1)) for x in range(nx)] for y in range(ny)]
    return np.array(images, float)


CASES = {
    "ordered": ("Hits in order of time, one chip, a line gate.", {"layout": "single", "disorder": 0}),
    "disorder": (
        "Hits of four chips that leave up to 0.4 ms late, each edge in the stream of every chip.",
        {"edge_chips": (0, 1, 2, 3)},
    ),
    "edges_on_one_chip": ("Edges in the stream of chip 2 alone, which count for all chips.", {"edge_chips": (2,)}),
    "rollover_26s": (
        "The hits' clock starts again (26.84 s) between two lines.",
        {"start_time": "26.8435 s", "global_time": "0.2 ms"},
    ),
    "rollover_107s": (
        "The edges' clock and the low word of global time start again (107.37 s).",
        {"start_time": "107.3741 s", "global_time": "0.2 ms"},
    ),
    "rollover_429s": (
        "The clock of the control words starts again (429.5 s).",
        {"start_time": "429.4966 s", "global_time": "0.2 ms"},
    ),
    "lost_chunk": (
        "Chunks have numbers (0x50), and chunk 3 of chip 2 is not there.",
        {"chunk_counts": True, "lost_chunks": [(2, 3)], "chunk_time": "0.1 ms"},
    ),
    "swapped_chunks": (
        "Chunks have numbers (0x50), and neighbours have changed places.",
        {"chunk_counts": True, "swapped_chunks": 0.5, "chunk_time": "40 us"},
    ),
    "stale_start": (
        "Begins with edges, a hit and global time of the clock before a reset.",
        {"stale_start": True, "global_time": "0.2 ms"},
    ),
    "headerless": ("Words without chunk headers, as other readouts of one chip store them.", {"headerless": True}),
    "headerless_stamp": (
        "Words without chunk headers, after 8 bytes of start time in ns since 1970.",
        {"headerless": True, "start_stamp": 1_600_000_000_123_456_789},
    ),
    "two_pieces": ("One acquisition in two files.", {"n_files": 2, "global_time": "0.2 ms"}),
    "gap_2": ("A quad with 2 pixels between the chips.", {"gap": 2}),
    "gap_4": ("A quad with 4 pixels between the chips, which stay empty.", {"gap": 4}),
    "sync_line_start": (
        "An edge at the start of each line; the dwell time has to be known.",
        {"sync": "line-start", "layout": "single"},
    ),
    "sync_periodic_line": (
        "Strictly periodic lines; the dwell time has to be known.",
        {"sync": "periodic-line", "layout": "single"},
    ),
    "sync_pixel_trigger": ("An edge at each position.", {"sync": "pixel-trigger", "layout": "single"}),
    "sync_pixel_list": (
        "An edge at each position, whose order is a list.",
        {"sync": "pixel-trigger", "layout": "single", "positions": [*range(34, -1, -2), *range(1, 35, 2)]},
    ),
    "sync_frame_trigger": (
        "An edge at the start of each frame; dwell time and flyback have to be known.",
        {"sync": "frame-trigger", "layout": "single", "n_frames": 2},
    ),
    "sync_shared_clock": (
        "No edges: the clock itself tells the position.",
        {"sync": "shared-clock", "layout": "single"},
    ),
    "serpentine": ("Every second line runs backwards.", {"layout": "single", "pattern": "serpentine"}),
    "tdc2_fall": ("Falling edges of input 2 start the lines.", {"layout": "single", "tdc": "tdc2-fall"}),
    "repeated_frames": ("Three passes over the same scan.", {"layout": "single", "n_frames": 3}),
    "frame_burst": (
        "Quick edges in the flyback of the frame, which are no lines.",
        {"layout": "single", "sync": "line-start", "frame_burst": (142, "160 ns"), "n_frames": 2},
    ),
    "edge_without_time": (
        "One edge has fine time 0, and the coarse time of the edge before: only its counter is right.",
        {"layout": "single", "sync": "line-start", "invalid_edges": (2,)},
    ),
    "missing_edge": (
        "The edge of one line was counted, but its word is not there.",
        {"layout": "single", "sync": "line-start", "missing_edges": (2,)},
    ),
}  # fmt: skip
"""Name: what it tries, and how the simulator is called."""


def make_streams(folder):
    """Write all simulated streams."""
    for seed, (name, (about, options)) in enumerate(CASES.items()):
        case, _ = simulated(folder, name, about, seed=100 + seed, **options)
        case.finish()


def simulated(folder, name, about, **options):
    """Simulate one case; its writer, with everything noted but not yet written, and the truth."""
    case = CaseWriter(folder, name, about, "simulated")
    options = {"layout": "quad", "gap": 0, "dwell_time": "20 us", "electrons_per_position": 9, **options}
    path = folder / f"{name}.tpx3"
    truth = simulate.recording(path, intensity=_intensity(NAV), hits="exact", **options)
    case.content["files"] = [file.name for file in truth.paths]
    note_truth(case, truth, options)
    check(case, truth)
    return case, truth


def note_truth(case, truth, options):
    """Note what the simulator knows."""
    layout = "single" if options.get("headerless") else options["layout"]
    case.note(layout=layout, gap=0 if layout == "single" else options["gap"], sig_shape=list(truth.sig_shape))
    case.note(headerless=bool(options.get("headerless")))
    case.note(scan=_scan(truth, options), axes=axes(_nav(truth), truth.sig_shape))
    write_truth(case, truth, slice(truth.n_stale_hits, None))
    sent = truth.edge_copies > 0
    if sent.any():
        edges = truth.edges
        ticks = np.where(edges.invalid, -1, edges.time)[sent]
        case.edges(edges.kind[sent], edges.counter[sent], ticks)
    losses = {
        "chunks_lost": len(truth.lost_chunks),
        "hits_before_reset": truth.n_stale_hits,
        "edges_without_time": int((truth.edges.invalid & sent).sum()),
    }
    case.note(losses={what: n for what, n in losses.items() if n})
    if truth.n_lost_hits:
        case.note(hits_in_lost_chunks=truth.n_lost_hits)


def write_truth(case, truth, which):
    """Write expected hits and rows of those hits, in the order of the file, that are chosen."""
    pixel, toa, tot, position = (getattr(truth, f"hit_{name}")[which] for name in ("pixel", "time", "tot", "position"))
    y, x = np.divmod(pixel, truth.sig_shape[1])
    case.hits(x, y, toa, tot)
    size = truth.sig_shape[0] * truth.sig_shape[1]
    placed = position >= 0
    key, values = np.unique(position[placed] * size + pixel[placed], return_counts=True)
    case.rows(np.searchsorted(key, np.arange(truth.n_positions + 1) * size), key % size, values)
    case.note(hits_outside_the_scan=int((~placed).sum()))


def _nav(truth):
    return truth.nav_shape if truth.nav_shape[0] > 1 else truth.nav_shape[1:]


def _scan(truth, options):
    """What a reader may need to know, times in ticks of 25/96 ns as exact fractions."""
    scan = truth.scan
    lines = scan.n_lines * scan.line_pitch
    about = {
        "sync": scan.sync, "tdc": None if scan.sync == "shared-clock" else scan.tdc, "pattern": scan.pattern,
        "nav_shape": list(scan.nav_shape), "n_frames": scan.n_frames, "dwell_ticks": str(scan.dwell),
        "line_flyback_ticks": str(scan.line_pitch - scan.active), "frame_flyback_ticks": str(scan.frame_pitch - lines),
        "start_ticks": scan.start,
    }  # fmt: skip
    if "positions" in options:
        about["positions"] = list(options["positions"])
    return about


def quad_or_single_pixel(layout, gap, chip, x, y):
    """Column and row on the detector, by the table of the format's description."""
    if layout == "single":
        return x, y
    return {
        0: (x + 256 + gap, y), 1: (511 + gap - x, 511 + gap - y), 2: (255 - x, 511 + gap - y), 3: (x, y),
    }[chip]  # fmt: skip


def check(case, truth):
    """Compare the truth with a plain decode of the files; an error here is one of the kit."""
    found, headerless = [], case.content["headerless"]
    for name in case.content["files"]:
        found += plain.chunks((case.folder / name).read_bytes(), headerless)[0]
    hits, edges = plain.decode(found)
    layout, gap = case.content["layout"], case.content["gap"]
    decoded = Counter((*quad_or_single_pixel(layout, gap, c, x, y), t, tot) for c, x, y, t, tot in hits)
    y, x = np.divmod(truth.hit_pixel[: len(hits)], truth.sig_shape[1])
    # the fast counter is subtracted from a coarse time that has wrapped before
    coarse = -(-truth.hit_time // 96) % (1 << 30) * 96
    wrapped = (coarse - -truth.hit_time % 96)[: len(hits)]
    true = Counter(zip(x.tolist(), y.tolist(), wrapped.tolist(), truth.hit_tot[: len(hits)].tolist(), strict=True))
    if decoded != true:
        raise AssertionError(f"{case.name}: the words say {decoded - true}, the simulator {true - decoded}")
    if truth.n_stale_hits:
        return
    edges_of = truth.edges
    columns = (edges_of.kind, edges_of.counter, edges_of.time, edges_of.invalid)
    wanted = {
        (words.EDGES[kind], counter % 4096, None if invalid else time % ((1 << 35) * 12))
        for kind, counter, time, invalid in zip(*(a[truth.edge_copies > 0].tolist() for a in columns), strict=True)
    }
    if {edge[1:] for edge in edges} != wanted:
        raise AssertionError(f"{case.name}: the edges of the words are not those of the simulator")
