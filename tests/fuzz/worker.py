"""The process in which runs are made, one after another; it may hang or crash, and another one goes on.

``python -m tests.fuzz.worker TARGET SEED START STOP STATE FOLDER``: a line of JSON for each fault; STATE is a small
file that is mapped into memory and says which run it is at, and how often each outcome was met.
"""

import gc
import json
import logging
import mmap
import os
import struct
import sys
import zlib
from pathlib import Path

import dask
import numpy as np

from tests.fuzz import judge
from tests.fuzz.case import FAULTS, OUTCOMES
from tests.fuzz.targets import target_of

__all__ = ["STATE", "files_of_run", "main"]

STATE = struct.Struct(f"<qq{len(OUTCOMES)}q")
"""Number of the run that is being made, a number that changes while numba compiles, and how many runs ended in each
outcome."""

_MOST_CHANGES = 4

_WARM_RUNS = 40
"""Damaged files that are read before the campaign, without limits: kernels of damage are compiled there."""


def files_of_run(target, seeds, seed, number):
    """The files of one run, and the seed they were made of: the same for the same numbers, everywhere."""
    rng = np.random.default_rng([seed, zlib.crc32(target.name.encode()), number])
    origin = seeds[int(rng.integers(len(seeds)))]
    files = dict(origin)
    # mostly one change: several hide each other
    for _ in range(1 + int(rng.integers(_MOST_CHANGES)) * int(rng.integers(2))):
        files = target.mutate(rng, files)
    return files, origin


def quiet():
    """A process of runs reports what it finds, and prints nothing."""
    logging.disable(logging.CRITICAL)
    os.environ["MPLBACKEND"] = "agg"

    dask.config.set(scheduler="synchronous")


def warm_up(target, seeds, folder):
    """Read each seed once, so that no run compiles; a seed that does not read as it was made ends the campaign."""
    limits = judge.SECONDS, judge.MEMORY_BYTES
    judge.SECONDS, judge.MEMORY_BYTES = 300.0, 2**34
    for seed in seeds:
        verdict = judge.run(target, seed, seed, folder)
        if verdict.outcome != "equal":
            raise SystemExit(f"{target.name}: a seed of {sorted(seed)} is not read as it was made: {verdict}")
    for number in range(_WARM_RUNS):
        judge.run(target, *files_of_run(target, seeds, 0, number), folder)
    judge.SECONDS, judge.MEMORY_BYTES = limits


def main(name, seed, start, stop, state_path, folder):
    quiet()
    target = target_of(name)
    seeds = target.seeds()
    warm_up(target, seeds, folder)
    with open(state_path, "r+b") as file:
        state = mmap.mmap(file.fileno(), STATE.size)
    beat = 0

    def note(_):
        nonlocal beat
        beat += 1
        state[8:16] = struct.pack("<q", beat)

    judge.COMPILATIONS.tell = note
    counts = dict.fromkeys(OUTCOMES, 0)
    for number in range(start, stop):
        STATE.pack_into(state, 0, number, beat, *counts.values())
        files, origin = files_of_run(target, seeds, seed, number)
        verdict = judge.run(target, files, origin, folder)
        counts[verdict.outcome] += 1
        if verdict.outcome in FAULTS:
            print(json.dumps({"number": number, "outcome": verdict.outcome, "note": verdict.note}), flush=True)
        if number % 500 == 0:
            _tidy()
    STATE.pack_into(state, 0, stop, beat, *counts.values())


def _tidy():
    """Memory that one run left behind is not counted against another."""
    gc.collect()


if __name__ == "__main__":
    name, *numbers, state_path, folder = sys.argv[1:]
    main(name, *map(int, numbers), Path(state_path), Path(folder))
