"""Random recordings with known truth and damaged times, read as a user reads them: ``python -m tests.campaigns.clock``.

Each run writes hits, edges, global times and control words over seconds to minutes, with pauses and rollovers, on
one chip or four, damages some times, and compares the time of every hit with the truth. What a run came to:

right             every hit that was not damaged has its time, and nothing was said
right, said       the same, with a loss or a warning about what was damaged
refused           an error of ours
wrong, said       some undamaged hits have other times or are missing, with a loss that is about time
SILENT            the same without a word: there must be none of these
"""

import argparse
import logging
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import rsciio_tpx3
from rsciio_tpx3.tpx3 import packets
from rsciio_tpx3.utils.clock import CONTROL_PERIOD, PIXEL_PERIOD, TDC_PERIOD, TICKS_PER_SECOND

OUTCOMES = ("right", "right, said", "refused", "wrong, said", "SILENT")
CLOCKS = ("hits", "edges", "global", "edges, global", "edges, control", "edges, global, control")
FAULTS = (
    "none", "torn global time", "global high bit", "global low bit", "global duplicated", "half a global time",
    "global of one chip off", "hit SPIDR bit", "hits SPIDR bits", "hit ToA bit", "edge time bit", "edges time bits",
    "control bit", "disorder", "lost chunks", "reset", "several",
)  # fmt: skip
ABOUT_TIME = ("_out_of_time", "_before_reset", "pauses_uncertain")
_GLOBAL = {"torn global time", "global high bit", "global low bit", "global duplicated", "half a global time"}
STEP = packets.PIXEL_TICKS
S = TICKS_PER_SECOND


@dataclass
class Recording:
    """Words in the order of their time, with what each is, and the true time of each hit by its number."""

    clocks: str
    chips: int
    times: np.ndarray  # when each word was sent
    words: np.ndarray
    chip: np.ndarray
    hit: np.ndarray  # number of the hit, -1 for other words
    truth: np.ndarray  # time of each hit
    damaged: set = field(default_factory=set)
    stale: int = 0  # hits before a reset: the first of `truth`
    lost: bool = False

    @property
    def widest(self):
        """Period of the widest clock: hits are right up to a multiple of it."""
        if "global" in self.clocks:
            return 0
        # of one control word, or of two that differ, nobody can tell whether it is right
        if "control" in self.clocks and len(self.of_type(0x5C)) > 2:
            return CONTROL_PERIOD
        return TDC_PERIOD if "edges" in self.clocks else PIXEL_PERIOD

    def of_type(self, top):
        """Words by their top byte, or by their first four bits."""
        shift = 60 if top < 16 else 56
        return np.flatnonzero((self.words >> np.uint64(shift)) == top)

    def flip(self, at, bit):
        self.words[at] ^= np.uint64(1 << int(bit))
        if self.hit[at] >= 0:
            self.damaged.add(int(self.hit[at]))

    def keep(self, used):
        for name in ("times", "words", "chip", "hit"):
            setattr(self, name, getattr(self, name)[used])


def _moments(rng, longest_pause):
    """Times of hits: dense or sparse, with pauses no longer than the widest clock bridges."""
    n = int(rng.integers(300, 3000))
    mean = S * float(rng.choice([20e-6, 1e-3, 30e-3]))
    steps = rng.exponential(mean, n)
    for _ in range(int(rng.integers(0, 4))):
        steps[rng.integers(1, n)] += rng.uniform(0.05, 1) * longest_pause
    start = int(rng.choice([0, 1, 26, 106, 429])) * S + int(rng.integers(S // 1000, S))
    return (start + np.cumsum(steps).astype(np.int64)) // STEP * STEP


def simulated(clocks, rng):
    """A recording without a fault."""
    longest = {"hits": 12, "edges": 45, "edges, control": 200}.get(clocks, 400) * S
    truth = _moments(rng, longest)
    n, chips = len(truth), int(rng.choice([1, 4]))
    number = np.arange(n)
    words = packets.encode_hits(number % 65536, truth, 1 + number // 65536)
    columns = [(truth, words, rng.integers(0, chips, n), number)]
    begin, end = int(truth[0]), int(truth[-1])

    def add(times, words, chip):
        columns.append((times, words, np.broadcast_to(chip, len(times)), np.full(len(times), -1)))

    if "edges" in clocks:
        times = np.arange(begin - S // 5000, end, max((end - begin) // 2000, S // 2000))
        times = times + rng.integers(0, S // 10**6, len(times))
        add(times, packets.encode_tdc(0xF, 1 + np.arange(len(times)), times), 0)
    if "global" in clocks:
        # asked for at an interval, whether hits come or not; some just when the low word rolls over
        times = np.arange(begin - S // 5000, end, max((end - begin) // 300, S // 1000))
        rollovers = np.arange(0, end, TDC_PERIOD)
        times = np.concatenate([times, rollovers[rollovers > begin]])
        for chip in range(chips):
            own = np.sort(times) + chip * 96
            for half in packets.encode_global(own).T:
                add(own, half, chip)
                own = own + 1
    if "control" in clocks:
        times = np.arange(begin, end, S)
        for chip in range(chips):
            add(times, packets.encode_spidr_time(0x5C, times), chip)
    times, words, chip, hit = (np.concatenate(column) for column in zip(*columns))
    order = np.argsort(times, kind="stable")
    return Recording(clocks, chips, times[order], words[order], chip[order].astype(int), hit[order], truth.copy())


def damage(recording, fault, rng):
    """Put one kind of fault into a recording; False where it has no such clock."""
    if fault == "several":
        kinds = rng.choice([f for f in FAULTS[1:-1] if f != "reset"], 3, replace=False)
        return any([damage(recording, kind, rng) for kind in kinds])
    needs = {"edge": "edges", "control": "control"}.get(fault.split()[0].rstrip("s"), "")
    if needs not in recording.clocks or ((fault in _GLOBAL or "global" in fault) and "global" not in recording.clocks):
        return False
    n = int(rng.integers(1, 4))
    if fault in _GLOBAL:
        return _damage_global(recording, fault, rng)
    if fault == "global of one chip off":
        return _wrong_chip(recording, rng)
    if fault.startswith("hit"):
        hits = recording.of_type(0xB)
        n = max(len(hits) // 100, 2) if fault.startswith("hits") else n
        for at in rng.choice(hits, n, replace=False):
            recording.flip(at, rng.integers(30, 44) if "ToA" in fault else rng.integers(0, 16))
    elif needs:
        edges = recording.of_type(6 if needs == "edges" else 0x5C)
        low, high = (9, 44) if needs == "edges" else (12, 46)
        n = max(len(edges) // 100, 2) if fault.startswith("edges") else n
        for at in rng.choice(edges, min(n, len(edges)), replace=False):
            recording.flip(at, rng.integers(low, high))
    elif fault == "disorder":
        late = rng.uniform(0, 1.6e-3 * S, len(recording.words))
        pairs = (recording.words >> np.uint64(60)) == 4  # the halves of a pair keep their order
        recording.times = recording.times + np.where(pairs, 0, late).astype(np.int64)
        recording.keep(np.argsort(recording.times, kind="stable"))
    elif fault == "lost chunks":
        used = np.ones(len(recording.words), bool)
        for _ in range(n):
            at = int(rng.integers(1, len(used)))
            used[at : at + int(rng.integers(1, 100))] = False
        recording.damaged |= {int(hit) for hit in recording.hit[~used] if hit >= 0}
        recording.keep(used)
    elif fault == "reset":
        return _reset(recording, rng)
    return True


def _damage_global(recording, fault, rng):
    low, high = recording.of_type(0x44), recording.of_type(0x45)
    n = min(len(low), len(high))
    for k in rng.choice(n, int(rng.integers(1, 3)) if n > 20 else 1, replace=False):
        if fault == "torn global time":
            recording.words[high[k]] += np.uint64(1 << 16)
        elif fault == "global high bit":
            recording.flip(high[k], rng.integers(16, 32))
        elif fault == "global low bit":
            recording.flip(low[k], rng.integers(32, 48))
        elif fault == "global duplicated":
            recording.words[high[k]], recording.words[low[k]] = (
                recording.words[high[k - 1]],
                recording.words[low[k - 1]],
            )
    if fault == "half a global time":
        used = np.ones(len(recording.words), bool)
        used[rng.choice(np.concatenate([low, high]), 3)] = False
        recording.keep(used)
    return True


def _wrong_chip(recording, rng):
    if recording.chips == 1:
        return False
    own = recording.chip == rng.integers(recording.chips)
    at = np.flatnonzero(own & ((recording.words >> np.uint64(56)) == 0x45))
    recording.words[at] += np.uint64(int(rng.integers(1, 1000)) << 16)
    return True


def _reset(recording, rng):
    """Words of an old clock at the start, as they are left in the buffers: edges, hits, and pairs of global times."""
    if recording.clocks not in ("edges, global", "edges, global, control", "edges"):
        return False
    return _reset_of(recording, int(rng.integers(1, S // 100)), rng)


def _reset_of(recording, begin, rng):
    """A new recording with an old start; the clock of the new one begins near zero."""
    n_old = int(rng.integers(20, 60))
    old_end = int(rng.integers(30, 100)) * S + (568 * TDC_PERIOD if "global" in recording.clocks else 0)
    old = np.sort(old_end - rng.integers(0, S // 20, n_old)) // STEP * STEP
    new = recording.truth - recording.truth[0] + begin // STEP * STEP
    new = new[new < 100 * S]
    truth = np.concatenate([old, new])
    number = np.arange(len(truth))
    old_edges = np.arange(old[0], old_end, S // 1000)
    new_edges = np.arange(begin, int(new[-1]), max(int(np.ptp(new)) // 2000, 6))
    sent = np.concatenate([truth[:n_old] - old_end - S, new])
    columns = [(sent, packets.encode_hits(number % 65536, truth, 1 + number // 65536), number)]
    counters = 3000 + np.arange(len(old_edges)), 1 + np.arange(len(new_edges))
    for times, counter, shift in ((old_edges, counters[0], old_end + S), (new_edges, counters[1], 0)):
        columns.append((times - shift, packets.encode_tdc(0xF, counter, times), np.full(len(times), -1)))
    if "global" in recording.clocks:
        times = np.concatenate([old_end - np.arange(4)[::-1] * 1000, np.arange(begin, int(new[-1]), S // 10)])
        shifts = np.where(np.arange(len(times)) < 4, old_end + S, 0)
        for i, half in enumerate(packets.encode_global(times).T):
            columns.append((times - shifts + i, half, np.full(len(times), -1)))
    times, words, hit = (np.concatenate(column) for column in zip(*columns))
    order = np.argsort(times, kind="stable")
    recording.times, recording.words, recording.hit = times[order], words[order], hit[order]
    recording.chip = np.zeros(len(order), int)
    recording.truth, recording.stale, recording.damaged = truth, n_old, set()
    return True


def write(recording, path, rng):
    """Chunks of one chip each, of what came in 2 ms."""
    size = int(rng.choice([1, 3, 40, 300]))
    cuts = np.flatnonzero(np.diff(recording.times // (S // 500)))
    cuts = np.unique(np.concatenate([cuts + 1, np.arange(0, len(recording.words), size), [len(recording.words)]]))
    with open(path, "wb") as file:
        for part in map(slice, cuts[:-1], cuts[1:]):
            for chip in np.unique(recording.chip[part]):
                words = recording.words[part][recording.chip[part] == chip]
                file.write(packets.encode_header(chip, len(words)).tobytes() + words.astype("<u8").tobytes())


def read(path, **options):
    """Time of each hit by its number, and the losses."""
    index = rsciio_tpx3.file_info(path, cache=False, layout="quad", show_progressbar=False, **options)
    found = {}
    for batch in rsciio_tpx3.read_hits(path, cache=False, layout="quad", show_progressbar=False, **options):
        x, y, tot = (batch.columns[name].astype(np.int64) for name in ("x", "y", "tot"))
        found.update(zip(_number(x, y, tot).tolist(), batch.columns["toa"].tolist()))
    # pauses whose length no clock tells are said as well, and are no losses
    doubtful = {"pauses_uncertain": 1} if index.get("pauses_uncertain") else {}
    return found, {**index["losses"], **doubtful}


def _number(x, y, tot):
    """Number of a hit from its pixel of the quad, whatever its chip, and its ToT."""
    left, low = x < 256, y < 256
    chip_x = np.where(low, np.where(left, x, x - 256), np.where(left, 255 - x, 511 - x))
    chip_y = np.where(low, y, 511 - y)
    return (tot - 1) * 65536 + chip_y * 256 + chip_x


def wrong_hits(recording, found, cached_stale=False):
    """Undamaged hits that are missing or have other times."""
    first = 0 if cached_stale else recording.stale
    expected = [(i, int(t)) for i, t in enumerate(recording.truth) if i >= first and i not in recording.damaged]
    off = Counter(found[i] - t for i, t in expected if i in found)
    allowed = {0}
    if recording.widest and off and off.most_common(1)[0][0] % recording.widest == 0:
        allowed = {off.most_common(1)[0][0]}
    stray = sum(i < first for i in found)
    return sum(i not in found or found[i] - t not in allowed for i, t in expected) + stray


def outcome(recording, path):
    """One of OUTCOMES."""
    try:
        found, losses = read(path)
    except ValueError as error:
        assert type(error).__module__.startswith("rsciio_tpx3"), error
        return "refused"
    said = any(name.endswith(ABOUT_TIME) for name in losses)
    if wrong_hits(recording, found):
        return "wrong, said" if said else "SILENT"
    return "right, said" if said else "right"


def run(clocks, fault, seed, folder):
    """One recording; None where the fault needs a clock that it has not."""
    rng = np.random.default_rng([seed, CLOCKS.index(clocks), FAULTS.index(fault)])
    recording = simulated(clocks, rng)
    if not damage(recording, fault, rng) and fault != "none":
        return None, recording
    path = str(Path(folder) / "clock.tpx3")
    write(recording, path, rng)
    return outcome(recording, path), recording


def main(arguments=None):
    """Run all combinations and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="of each combination of clocks and fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fault", choices=FAULTS, action="append")
    options = parser.parse_args(arguments)
    logging.getLogger("rsciio_tpx3").setLevel(logging.ERROR)
    table, bad = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for fault in options.fault or FAULTS:
            table[fault] = Counter()
            for clocks in CLOCKS:
                for seed in range(options.seed, options.seed + options.runs):
                    found, _ = run(clocks, fault, seed, folder)
                    table[fault][found] += found is not None
                    if found in ("SILENT", "wrong, said"):
                        bad.append((found, clocks, fault, seed))
    print(f"{'':24}" + "".join(f"{name:>14}" for name in OUTCOMES))
    for fault, row in table.items():
        print(f"{fault:24}" + "".join(f"{row[name]:14}" for name in OUTCOMES))
    total = sum(table.values(), Counter())
    print(f"{'all':24}" + "".join(f"{total[name]:14}" for name in OUTCOMES))
    for one in bad:
        print(*one, sep="; ")
    return int(total["SILENT"] > 0)


if __name__ == "__main__":
    sys.exit(main())
