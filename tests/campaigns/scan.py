"""Random scans with known truth and damaged marks, read as a user reads them: ``python -m tests.campaigns.scan``.

Each run writes a recording, packet by packet, of one convention with one kind of fault, reads it by
`rsciio_tpx3.tpx3.file_reader`, and compares the position of every hit with the truth. What a run came to:

right             every hit has its position (or none, in flyback), and nothing was said
right, said       the same, with a warning about the fault
empty, said       no hit has a wrong position, some have none, with a warning
refused           an error of ours
wrong, said       hits have wrong positions, with a warning that the same recording without the fault does not cause
SILENT            hits have wrong positions, or none, and no such warning: there must be none of these
"""

import argparse
import logging
import pathlib
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from rsciio_tpx3.exceptions import ConflictError
from rsciio_tpx3.tpx3 import file_reader, packets
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND

OUTCOMES = ("right", "right, said", "empty, said", "refused", "wrong, said", "SILENT")
CONVENTIONS = (
    "line-start", "line-gate", "periodic-line", "line-start with bursts", "line-start with frame edges",
    "pixel-trigger", "frame-trigger", "shared-clock",
)  # fmt: skip
FAULTS = (
    "none", "lost", "lost in a row", "spurious", "spurious in a row", "shifted", "duplicated", "bounce", "lost chunk",
    "leap of the counter", "partial frames", "several of these",
)  # fmt: skip
STEP = 6  # ticks of a hit's time
US = TICKS_PER_SECOND // 10**6
RISE, FALL, SECOND = packets.EDGE_CODES["tdc1-rise"], packets.EDGE_CODES["tdc1-fall"], packets.EDGE_CODES["tdc2-rise"]


@dataclass
class Recording:
    """Hits with their true positions (-1 for none), edges with their counters, and what a user would say."""

    convention: str
    shape: tuple  # frames, y, x
    hits: np.ndarray
    position: np.ndarray
    times: np.ndarray  # of edges
    code: np.ndarray
    counter: np.ndarray
    period: int  # from mark to mark
    options: dict = field(default_factory=dict)
    marked: bool = True  # whether anything tells where a frame begins
    globals_every: int = 0


@dataclass(frozen=True)
class _Raster:
    """Sizes of a scan, and its durations in ticks."""

    n_frames: int
    ny: int
    nx: int
    dwell: int
    line: int  # from line to line
    pause: int  # after the last line of a frame

    @property
    def frame(self):
        return self.ny * self.line + self.pause


def simulated(convention, rng):
    """A recording of this convention without a fault."""
    raster = _drawn_raster(convention, rng)
    frames, lines, places = _starts(convention, raster, rng)
    hits = (places + raster.dwell * rng.uniform(0.1, 0.9, places.shape)).astype(np.int64) // STEP * STEP
    scanned = raster.nx * raster.dwell
    back = (lines + scanned + (raster.line - scanned) * rng.uniform(0.3, 0.7, lines.shape)).astype(np.int64)
    if convention == "pixel-trigger":
        back = back[:0]  # a gap between two pixels is no flyback to this trigger
    options = _said_of_scan(convention, raster, rng)
    edges, period = _edges(convention, raster, frames, lines, places)
    if convention == "line-start with frame edges":
        edges[SECOND] = frames + int(rng.integers(-raster.line // 5, raster.line // 5))
        if rng.random() < 0.5:
            options["tdc"] = "tdc1-rise"
    times, code, counter = _in_order(edges, rng)
    all_hits = np.concatenate([hits.ravel(), back.ravel() // STEP * STEP])
    position = np.concatenate([np.arange(hits.size), np.full(back.size, -1)])
    order = np.argsort(all_hits, kind="stable")
    shape = raster.n_frames, raster.ny, raster.nx
    return Recording(
        convention, shape, all_hits[order], position[order], times, code, counter, period, options,
        bool(raster.pause) or convention in ("frame-trigger", "line-start with frame edges"),
        int(rng.choice([0, 1])) * 300 * US,
    )  # fmt: skip


def _drawn_raster(convention, rng):
    """A scan that this convention can tell of."""
    n_frames = int(rng.choice([1, 1, 2, 3, 5, 8]))
    ny, nx = int(rng.integers(5, 25)), int(rng.integers(4, 14))
    dwell = int(rng.integers(2, 40)) * US
    line = nx * dwell + int(rng.integers(5, 60) * nx * dwell / 100)
    pause = int(rng.choice([0, 0, 3, 30])) * line + int(rng.integers(0, 4) * line / 4)
    if convention == "pixel-trigger":
        pause = max(pause, 2 * line)
        line = max(line, (nx + 2) * dwell)
    if convention == "line-start with bursts":
        n_frames, pause = max(n_frames, 3), 142 * (line // 400)
    if convention == "line-start with frame edges":
        n_frames, pause = max(n_frames, 2), int(rng.choice([0, line // 5]))
    return _Raster(n_frames, ny, nx, dwell, line, pause)


def _starts(convention, raster, rng):
    """When frames, lines and positions begin."""
    begin = int(rng.integers(1, 50)) * 1000 * US
    if convention == "shared-clock":
        begin = 0
    frames = begin + raster.frame * np.arange(raster.n_frames)
    if convention == "line-start" and raster.n_frames > 1 and raster.pause and rng.random() < 0.3:
        # frames start when somebody says so
        frames = frames + np.cumsum(rng.integers(0, 20, raster.n_frames) * raster.line)
    lines = frames[:, None] + raster.line * np.arange(raster.ny)
    return frames, lines, lines[:, :, None] + raster.dwell * np.arange(raster.nx)


def _said_of_scan(convention, raster, rng):
    """Options with which a user would load it."""
    options = {"navigation_shape": (raster.nx, raster.ny), "layout": "single"}
    if raster.n_frames > 1 and rng.random() < 0.3:
        options["navigation_shape"] = (raster.nx, raster.ny, raster.n_frames)
    if convention != "line-gate":
        options["dwell_time"] = f"{raster.dwell // US} us"
    if convention in ("pixel-trigger", "frame-trigger", "shared-clock", "periodic-line"):
        options["sync"] = convention
    if convention in ("frame-trigger", "shared-clock"):
        options["line_flyback"] = _ticks(raster.line - raster.nx * raster.dwell)
    if convention == "shared-clock":
        options["frame_flyback"] = _ticks(raster.pause)
    return options


def _edges(convention, raster, frames, lines, places):
    """Times of the marks of each kind, and the ticks from one to the next."""
    if convention == "shared-clock":
        return {}, raster.line
    if convention == "frame-trigger":
        return {RISE: frames}, raster.frame
    if convention == "pixel-trigger":
        return {RISE: places.ravel()}, raster.dwell
    starts = lines.ravel()
    if convention == "line-gate":
        return {RISE: starts, FALL: starts + raster.nx * raster.dwell}, raster.line
    if convention == "line-start with bursts":
        quick = (lines[:, -1] + raster.line)[:, None] + (raster.line // 400) * np.arange(142)
        starts = np.sort(np.concatenate([starts, quick.ravel()]))
    return {RISE: starts}, raster.line


def _in_order(edges, rng):
    """Times, codes and counters of all marks, in the order of time; each connector counts its own from anywhere."""
    times = np.concatenate([np.empty(0, np.int64), *edges.values()])
    code = np.concatenate([np.full(len(t), c) for c, t in edges.items()]) if edges else np.empty(0, np.int64)
    order = np.argsort(times, kind="stable")
    times, code = times[order], code[order].astype(np.int64)
    counter = np.zeros(len(times), np.int64)
    for second in (False, True):
        own = (code == SECOND) == second
        counter[own] = int(rng.integers(0, 4096)) + np.arange(own.sum())
    return times, code, counter


def _ticks(n):
    """A time in ticks as text; picoseconds hold it exactly enough for a frame."""
    return f"{n * 1e12 / TICKS_PER_SECOND:.6f} ps"


def damaged(recording, fault, rng):
    """The recording with a fault of this kind."""
    if fault == "several of these":
        for one in rng.choice(FAULTS[1:-2], 2, replace=False):
            recording = damaged(recording, str(one), rng)
        return recording
    n = len(recording.times)
    few = int(rng.integers(1, 4))
    if fault == "none" or (n < 4 and fault not in ("partial frames", "lost chunk")):
        return recording
    if fault == "lost":
        return _without(recording, rng.choice(np.arange(1, n - 1), min(few, n - 2), replace=False))
    if fault == "lost in a row":
        first = int(rng.integers(1, n - 1))
        size = int(rng.choice([2, 3, 5, 20, 140, 142, 200]))
        return _without(recording, np.arange(first, min(first + size, n - 1)))
    if fault in ("spurious", "spurious in a row"):
        low, high = recording.times[0] - recording.period // 2, recording.times[-1] + recording.period // 2
        extra = rng.integers(max(low, 0), high, few)
        if fault == "spurious in a row":
            extra = extra[0] + np.cumsum(rng.integers(1, max(recording.period // 3, 2), few + 1))
        return _with(recording, extra, int(rng.choice(recording.code)))
    if fault == "bounce":
        at = rng.choice(n, few, replace=False)
        extra = recording.times[at] + rng.integers(2, max(recording.period // 50, 3), few)
        return _with(recording, extra, recording.code[at])
    if fault == "shifted":
        return _shifted(recording, rng, few)
    if fault == "duplicated":
        at = np.sort(rng.choice(n, few, replace=False))
        times, code, counter = (
            np.insert(getattr(recording, name), at, getattr(recording, name)[at])
            for name in ("times", "code", "counter")
        )
        return replace(recording, times=times, code=code, counter=counter)
    if fault == "lost chunk":
        span = recording.hits[-1] - recording.hits[0]
        begin = recording.hits[0] + int(rng.uniform(0.05, 0.9) * span)
        return _cut(recording, begin, begin + int(rng.uniform(0.01, 0.4) * span), inside=False)
    if fault == "leap of the counter":
        counter = recording.counter.copy()
        at = int(rng.integers(1, n))
        own = (recording.code == SECOND) == (recording.code[at] == SECOND)
        counter[at:] += own[at:] * int(rng.integers(2, 4090))
        return replace(recording, counter=counter)
    return _partial(recording, rng)


def _without(recording, at):
    rest = {name: np.delete(getattr(recording, name), at) for name in ("times", "code", "counter")}
    return replace(recording, **rest)


def _with(recording, extra, code):
    """Further edges, which the detector counts as it does all."""
    times = np.concatenate([recording.times, extra])
    codes = np.concatenate([recording.code, np.broadcast_to(code, len(extra))])
    bonus = np.concatenate([np.zeros(len(recording.times), np.int64), np.ones(len(extra), np.int64)])
    order = np.argsort(times, kind="stable")
    times, codes, bonus = times[order], codes[order], bonus[order]
    counter = np.zeros(len(times), np.int64)
    for second in (False, True):
        own, old = (codes == SECOND) == second, (recording.code == SECOND) == second
        before = np.cumsum(bonus[own])
        # an edge that was recorded keeps its number, moved on by the new ones before it
        plain = np.zeros(own.sum(), np.int64)
        plain[bonus[own] == 0] = recording.counter[old]
        last = np.maximum.accumulate(np.where(bonus[own] == 0, np.arange(own.sum()), -1))
        first = recording.counter[old][0] - 1 if old.any() else 0
        plain = np.where(last >= 0, plain[np.maximum(last, 0)], first)
        counter[own] = plain + before
    return replace(recording, times=times, code=codes, counter=counter)


def _shifted(recording, rng, few):
    """Edges of a train moved by a part of the period; two or three edges make no train, so nothing could tell."""
    times = recording.times.copy()
    own = np.flatnonzero(recording.code == rng.choice(np.unique(recording.code)))
    if len(own) < 8:
        return recording
    at = rng.choice(own, min(few, len(own) // 4), replace=False)
    times[at] += (rng.choice([-1, 1], len(at)) * rng.uniform(0.05, 0.45, len(at)) * recording.period).astype(np.int64)
    order = np.argsort(times, kind="stable")
    times, code = np.maximum(times, 0)[order], recording.code[order]
    return replace(recording, times=times, code=code, counter=recording.counter)


def _cut(recording, begin, end, inside):
    """What lies inside, or outside, of a stretch of time."""
    keep = (recording.times >= begin) & (recording.times < end)
    rest = (recording.hits >= begin) & (recording.hits < end)
    keep, rest = (keep, rest) if inside else (~keep, ~rest)
    return replace(
        recording, times=recording.times[keep], code=recording.code[keep], counter=recording.counter[keep],
        hits=recording.hits[rest], position=recording.position[rest],
    )  # fmt: skip


def _partial(recording, rng):
    """The recording begins inside the first frame, ends inside the last, or both; frames are numbered as found."""
    frames, ny, nx = recording.shape
    if frames < 3 or recording.convention == "shared-clock":
        return recording
    first = recording.hits[0]
    frame = recording.hits[recording.position == ny * nx][0] - first
    begin = first + int(rng.uniform(0, 0.8) * frame)
    end = recording.hits[-1] - int(rng.uniform(0, 0.8) * frame)
    if rng.random() < 0.3 or not recording.marked:
        return _cut(recording, 0, end, inside=True)
    recording = _cut(recording, begin, end, inside=True)
    next_frame = recording.hits[recording.position >= ny * nx][0] - recording.period // 2
    if recording.convention == "frame-trigger" or not (recording.times < next_frame - recording.period // 2).any():
        # of the first frame nothing is left that marks it
        position = np.where(recording.position < ny * nx, -1, recording.position - ny * nx)
        recording = replace(recording, position=position, shape=(frames - 1, ny, nx))
    return recording


def write(path, recording):
    """One chip's stream in order of time; each hit has a pixel of its own."""
    n = len(recording.hits)
    words = [packets.encode_hits(np.arange(n), recording.hits, np.full(n, 20))]
    times = [recording.hits]
    words.append(packets.encode_tdc(recording.code, recording.counter, recording.times))
    times.append(recording.times)
    if recording.globals_every:
        at = np.arange(0, max(recording.hits[-1], 1), max(recording.globals_every, recording.hits[-1] // 500))
        words.append(packets.encode_global(at).ravel())
        times.append(np.repeat(at, 2))
    words, times = np.concatenate(words), np.concatenate(times)
    words = words[np.argsort(times, kind="stable")]
    with open(path, "wb") as file:
        for i in range(0, len(words), 300):
            part = words[i : i + 300]
            file.write(packets.encode_header(0, len(part)).tobytes() + part.tobytes())


class _Said(logging.Handler):
    """Warnings of the reader, which the user would see."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def read(path, options):
    """Position of each hit by its pixel (-1 for none), shape, and what was said."""
    said, logger = _Said(), logging.getLogger("rsciio_tpx3")
    logger.addHandler(said)
    propagated, logger.propagate = logger.propagate, False
    try:
        [signal] = file_reader(str(path), cache=False, show_progressbar=False, **options)
        data = signal["data"].compute(scheduler="synchronous")
    finally:
        logger.removeHandler(said)
        logger.propagate = propagated
    shape = data.shape[:-2]
    csr = data.reshape((-1, *data.shape[-2:])).to_scipy().tocoo()
    place = np.full(65536, -1, np.int64)
    place[csr.col] = csr.row
    return place, shape, said.texts


def outcome(path, recording, clean):
    """What reading a damaged recording came to, by `OUTCOMES`, and a line that says more."""
    write(path, recording)
    try:
        place, shape, said = read(path, recording.options)
    except ConflictError as error:
        return "refused", str(error)
    found, truth = place[: len(recording.hits)], recording.position
    wrong = int(((found >= 0) & (found != truth)).sum())
    absent = int(((found < 0) & (truth >= 0)).sum())
    text = f"{wrong} wrong, {absent} without a position, of {len(truth)}; shape {shape}, truth {recording.shape}"
    if not wrong and not absent:
        return ("right, said" if said else "right"), text
    if said and _only(said, clean, path):
        said = []
    if not said:
        return "SILENT", text
    return ("wrong, said" if wrong else "empty, said"), text + "; " + " | ".join(said)[:300]


def _only(said, clean, path):
    """Whether the recording without the fault says all of it too."""
    write(path, clean)
    try:
        return set(said) <= set(read(path, clean.options)[2])
    except ConflictError:
        return False


def run(seed, path, convention=None, fault=None):
    """One run: convention, fault, outcome, text."""
    rng = np.random.default_rng(seed)
    convention = convention or CONVENTIONS[int(rng.integers(len(CONVENTIONS)))]
    fault = fault or FAULTS[int(rng.integers(len(FAULTS)))]
    clean = simulated(convention, rng)
    broken = damaged(clean, fault, rng)
    if len(broken.hits) == 0:
        broken = clean
    return convention, fault, *outcome(path, broken, clean)


def table(counts, by):
    """A markdown table of the outcomes, a row for each convention or fault."""
    rows = sorted({key[by] for key in counts}, key=(CONVENTIONS, FAULTS)[by].index)
    lines = [
        f"| {('convention', 'fault')[by]} | runs | " + " | ".join(OUTCOMES) + " |",
        "|---|" + "---:|" * (len(OUTCOMES) + 1),
    ]
    for row in [*rows, None]:
        numbers = [sum(n for key, n in counts.items() if key[2] == o and row in (None, key[by])) for o in OUTCOMES]
        total = max(sum(numbers), 1)
        shares = " | ".join(f"{100 * n / total:.1f} %" if n else "0" for n in numbers)
        lines.append(f"| {row or '**all**'} | {sum(numbers):,} | {shares} |")
    return "\n".join(lines)


def campaign(runs, seed, convention=None, fault=None, report=None):
    """Many runs: how often each (convention, fault, outcome) came, and the seeds of the silent ones."""
    counts, silent = Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "scan.tpx3"
        for number in range(seed, seed + runs):
            *key, text = run(number, path, convention, fault)
            counts[tuple(key)] += 1
            if key[2] == "SILENT":
                silent.append((number, *key[:2], text))
            if report:
                report(number, *key, text)
    return counts, silent


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--convention", choices=CONVENTIONS)
    parser.add_argument("--fault", choices=FAULTS)
    parser.add_argument("--show", nargs="*", default=(), help="outcomes whose runs are printed")
    arguments = parser.parse_args(argv)

    def report(number, convention, fault, result, text):
        if result in arguments.show:
            print(f"{number} {convention} / {fault}: {result}: {text}", flush=True)

    counts, silent = campaign(arguments.runs, arguments.seed, arguments.convention, arguments.fault, report)
    print(table(counts, 0), table(counts, 1), sep="\n\n")
    for number, convention, fault, text in silent[:50]:
        print(f"silent: seed {number}, {convention}, {fault}: {text}")
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
