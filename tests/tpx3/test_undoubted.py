"""The walk over clocks that do not contradict each other, compared with a plain loop over the same times."""

import numpy as np
import pytest

from rsciio_tpx3.tpx3.stream import BLOCK, COUNTER_LEAP, KIND_CONTROL, KIND_GLOBAL, MARK
from rsciio_tpx3.tpx3.undoubted import Walk, place_undoubted
from rsciio_tpx3.utils.clock import PIXEL_PERIOD, TICKS_PER_SECOND

NO_TIME = np.iinfo(np.int64).min
CODES = 0xF, 0xA, 0xE, 0xB  # both edges of TDC1, both of TDC2
INPUTS = {0xF: 0, 0xA: 0, 0xE: 1, 0xB: 1}
EDGE_PERIOD, CONTROL_PERIOD = 4 * PIXEL_PERIOD, 16 * PIXEL_PERIOD


class Doubt(Exception):
    """What a loop meets that is to be decided."""


class Loop:
    """The same walk, one time after the other, with a dictionary for what it knows."""

    def __init__(self):
        self.reference, self.longest, self.turns, self.edges = None, 0, {}, {}
        self.latest, self.followed_input, self.counter, self.reading = 0, None, None, None

    def go_on(self, blocks, marks):
        of_blocks, of_marks = blocks["first"].tolist(), [NO_TIME] * len(marks)
        for _, _, what, i in sorted(self.items(blocks, marks)):
            if what == "mark":
                of_marks[i] = self.mark(marks[i])
            elif what == "first":
                of_blocks[i] = self.follow(int(blocks["first"][i]))
            else:
                self.follow(int(blocks["first"][i]) + int(blocks["last"][i]))
        shift = self.shift()
        of_marks = [ticks if ticks == NO_TIME else ticks + shift for ticks in of_marks]
        return [t + shift if n else t for t, n in zip(of_blocks, blocks["n_hits"])], of_marks

    @staticmethod
    def items(blocks, marks):
        """Places in the stream; of one word, the mark before the first hit, and that before the last."""
        for i, mark in enumerate(marks):
            if mark["ticks"] >= 0:
                yield int(mark["word"]), 0, "mark", i
        for i, block in enumerate(blocks):
            if block["n_hits"] > 0:
                yield int(block["first_word"]), 1, "first", i
            if block["n_hits"] > 1:
                yield int(block["start"]) + int(block["n_words"]) - 1, 2, "last", i

    def follow(self, ticks):
        if self.reference is None:
            self.reference = min(ticks, ticks % PIXEL_PERIOD)
        turns = (self.reference - ticks + PIXEL_PERIOD // 2) // PIXEL_PERIOD
        near = min((ticks + (turns + k) * PIXEL_PERIOD for k in (-1, 0, 1)), key=lambda t: abs(t - self.reference))
        step = abs(near - self.reference)
        if step > PIXEL_PERIOD // 4:
            raise Doubt("step")
        self.longest, self.reference = max(self.longest, step), near
        return near

    def mark(self, mark):
        ticks, kind, chip = int(mark["ticks"]), int(mark["kind"]), int(mark["chip"])
        time = self.follow(ticks)
        clock = {KIND_GLOBAL: "global", KIND_CONTROL: "control"}.get(kind, "edge")
        turns = (ticks - time) // PIXEL_PERIOD
        apart = turns - self.turns.setdefault(clock, turns)
        if {"edge": apart % 4, "control": apart % 16, "global": apart}[clock]:
            raise Doubt(f"turns of {clock}")
        if clock == "global":
            if ticks < self.latest - TICKS_PER_SECOND:
                raise Doubt("global time falls")
            self.latest = max(self.latest, ticks)
        elif clock == "edge":
            self.edge((chip, INPUTS[kind]), time, ticks, int(mark["counter"]))
        return time

    def edge(self, which, time, ticks, counter):
        if time < self.edges.get(which, NO_TIME):
            raise Doubt("edges out of order")
        self.edges[which] = time
        if self.followed_input is None:
            self.followed_input = which
        elif which == self.followed_input:
            leap = (counter - self.counter) % 4096
            if COUNTER_LEAP < leap < 4096 - COUNTER_LEAP:
                raise Doubt("counter leaps")
            if leap != 1 and ticks < self.reading:
                raise Doubt("counter stands, clock falls")
        if which == self.followed_input:
            self.counter, self.reading = counter, ticks

    def shift(self):
        """The turns that the widest clock counts; narrower ones must agree."""
        if not self.turns:
            return 0
        widest = next(self.turns[clock] for clock in ("global", "control", "edge") if clock in self.turns)
        for clock, width in (("edge", 4), ("control", 16)):
            if clock in self.turns and (widest - self.turns[clock]) % width:
                raise Doubt("clocks disagree")
        return widest * PIXEL_PERIOD


def recording(rng, faults):
    """Blocks and marks in stream order with their true times; each fault is a chance, or None."""
    # Turns that have passed before, which an edge counts modulo 4; some recordings begin at once.
    time = int(rng.integers(0, 70)) * PIXEL_PERIOD * int(rng.integers(0, 2)) + int(rng.integers(0, PIXEL_PERIOD))
    if rng.random() < 0.3:  # shortly before edges count their turns anew
        time = int(rng.integers(1, 9)) * EDGE_PERIOD - int(rng.integers(0, PIXEL_PERIOD // 4))
    kinds = rng.random(4) < 0.7  # blocks, edges, control words and global times; some recordings lack some of them
    blocks, marks, truth, word, counters = [], [], [], 1, {}
    for _ in range(rng.integers(1, 40)):
        kind = rng.choice(4)
        if not kinds[kind]:
            continue
        time += int(rng.integers(0, PIXEL_PERIOD // (3 if rng.random() < 0.02 * faults else 40)))
        if kind == 0:
            n_hits = int(rng.choice([0, 1, 2, 30]))
            n_words, last = max(n_hits, 1) + int(rng.integers(0, 5)), int(rng.integers(-500, 10**6)) * (n_hits > 1)
            place = word + n_words - max(n_hits, 1)
            first = time % PIXEL_PERIOD if n_hits else -7
            blocks.append((word, n_words, 0, 0, n_hits, place, first, min(last, 0), max(last, 0), last))
            truth.append(("block", time if n_hits else -7))
            time, word = max(time, time + last), word + n_words
            continue
        late = time - (int(rng.integers(0, TICKS_PER_SECOND // 2)) if rng.random() < 0.1 and kind != 1 else 0)
        late = max(late, 0)
        if rng.random() < 0.05 * faults:
            late = max(late - int(rng.integers(0, 3 * TICKS_PER_SECOND)), 0)
        ticks = late % EDGE_PERIOD if kind == 1 else late % CONTROL_PERIOD if kind == 2 else late
        if rng.random() < 0.03 * faults:
            ticks = max(ticks + int(rng.integers(-3, 4)) * PIXEL_PERIOD, 0)
        code, chip = (int(rng.choice(CODES)), int(rng.integers(0, 3))) if kind == 1 else (3 - int(kind), 0)
        code = {1: code, 2: KIND_CONTROL, 3: KIND_GLOBAL}[int(kind)]
        number = counters.get((chip, INPUTS.get(code)), int(rng.integers(0, 4096))) + 1
        if rng.random() < 0.05 * faults:
            number += int(rng.choice([-1, 1, COUNTER_LEAP - 1, COUNTER_LEAP, 2000, 4096 - COUNTER_LEAP - 1]))
        counters[(chip, INPUTS.get(code))] = number
        without = rng.random() < 0.05 and (kind != 1 or faults > 0)  # an edge that is missing may be a doubt
        marks.append((word, -1 if without else ticks, number % 4096, code, chip))
        truth.append(("mark", NO_TIME if without else late))
        word += 1
    return np.array(blocks, BLOCK), np.array(marks, MARK), truth


def both(pieces):
    """What the walk and the loop say of pieces of a recording, one after the other; None from a doubt on."""
    walk, loop, why = Walk(NO_TIME), Loop(), ""
    for blocks, marks in pieces:
        found = walk.go_on(blocks, marks)
        try:
            expected = loop.go_on(blocks, marks)
        except Doubt as doubt:
            expected, why = None, str(doubt)
        assert (found is None) == (expected is None), why
        if found is None:
            return None, why
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
        assert walk.longest == loop.longest
        assert walk.shift == loop.shift()
    return found, why


def cut(rng, blocks, marks):
    """The same in two pieces, cut between two words."""
    last = max([0, *blocks["start"], *marks["word"]])
    at = int(rng.integers(0, last + 2))
    return [(blocks[keep(blocks["start"], at)], marks[keep(marks["word"], at)]) for keep in (np.less, np.greater_equal)]


def test_sound_recordings_get_their_true_times_as_a_loop_finds_them():
    placed = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        blocks, marks, truth = recording(rng, faults=0)
        found, why = both([(blocks, marks)])
        assert found is not None, (seed, why)
        both(cut(rng, blocks, marks))
        whole = place_undoubted(blocks, marks, NO_TIME)
        np.testing.assert_array_equal(whole[0], found[0])
        np.testing.assert_array_equal(whole[1], found[1])
        if (marks["kind"][marks["ticks"] >= 0] == KIND_GLOBAL).any():  # the clock that counts all turns
            times = {kind: [time for what, time in truth if what == kind] for kind in ("block", "mark")}
            np.testing.assert_array_equal(found[0], times["block"])
            np.testing.assert_array_equal(found[1], times["mark"])
            placed += 1
    assert placed > 100


def test_doubts_are_those_of_a_loop():
    doubts = []
    for seed in range(800):
        rng = np.random.default_rng(seed)
        blocks, marks, _ = recording(rng, faults=2)
        doubts.append(both([(blocks, marks)])[1])
        both(cut(rng, blocks, marks))
    assert set(doubts) >= {
        "", "step", "turns of edge", "turns of control", "turns of global", "global time falls", "edges out of order",
        "counter leaps", "counter stands, clock falls", "clocks disagree",
    }  # fmt: skip


def block(word, first, n_hits=2, last=0, n_words=4):
    return (word, n_words, 0, 0, n_hits, word, first, min(last, 0), max(last, 0), last)


QUARTER = PIXEL_PERIOD // 4
EDGES = {
    "a step of a quarter turn": ([block(0, 0), block(9, QUARTER)], [], True),
    "a longer one": ([block(0, 0), block(9, QUARTER + 1)], [], False),
    "the longest step within a block": ([block(0, 0, last=QUARTER + 1)], [], False),
    "a hit before zero": ([block(0, -90)], [], True),
    "nothing": ([], [], True),
    "no hits and no times": ([block(0, 5, n_hits=0)], [(4, -1, 0, KIND_GLOBAL, 0)], True),
    "a global time a second late": (
        [], [(0, 2 * TICKS_PER_SECOND, 0, KIND_GLOBAL, 0), (1, TICKS_PER_SECOND, 0, KIND_GLOBAL, 0)], True),
    "and a tick more": (
        [], [(0, 2 * TICKS_PER_SECOND, 0, KIND_GLOBAL, 0), (1, TICKS_PER_SECOND - 1, 0, KIND_GLOBAL, 0)], False),
    "two edges at once": ([], [(0, 99, 1, 0xF, 0), (1, 99, 2, 0xA, 0)], True),
    "one before another": ([], [(0, 99, 1, 0xF, 0), (1, 98, 2, 0xA, 0)], False),
    "of another input": ([], [(0, 99, 1, 0xF, 0), (1, 98, 2, 0xE, 0)], True),
    "of another chip": ([], [(0, 99, 1, 0xF, 0), (1, 98, 2, 0xF, 1)], True),
    "as many edges lost as may be": ([], [(0, 1, 4090, 0xF, 0), (1, 2, (4090 + COUNTER_LEAP) % 4096, 0xF, 0)], True),
    "one more": ([], [(0, 1, 4090, 0xF, 0), (1, 2, (4091 + COUNTER_LEAP) % 4096, 0xF, 0)], False),
    "control words eight turns apart": (
        [], [(0, 5, 0, KIND_CONTROL, 0), (1, 8 * PIXEL_PERIOD + 6, 0, KIND_CONTROL, 0)], False),
    "and sixteen": ([], [(0, 5, 0, KIND_CONTROL, 0), (1, 16 * PIXEL_PERIOD + 6, 0, KIND_CONTROL, 0)], True),
    "edges that count turns as control words do": (
        [], [(0, PIXEL_PERIOD + 5, 1, 0xF, 0), (1, 5 * PIXEL_PERIOD + 6, 0, KIND_CONTROL, 0)], True),
    "and not as they do": (
        [], [(0, PIXEL_PERIOD + 5, 1, 0xF, 0), (1, 6 * PIXEL_PERIOD + 6, 0, KIND_CONTROL, 0)], False),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_limits_of_what_is_doubtful(name):
    blocks, marks, sound = EDGES[name]
    found, _ = both([(np.array(blocks, BLOCK), np.array(marks, MARK))])
    assert (found is not None) == sound


@pytest.mark.parametrize(("ticks", "sound"), [(99, True), (98, False)])
def test_the_latest_edge_is_known_to_the_next_piece(ticks, sound):
    edges = np.array([(0, 50, 1, 0xF, 0), (1, 99, 2, 0xF, 0), (2, ticks, 3, 0xF, 0)], MARK)
    nothing = np.array([], BLOCK)
    assert (both([(nothing, edges[:2]), (nothing, edges[2:])])[0] is not None) == sound
