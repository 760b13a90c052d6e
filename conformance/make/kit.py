"""All parts of the kit."""

import hashlib
import shutil
from pathlib import Path

import numpy as np

from conformance.make.counted import make_counted, make_csr, make_lists
from conformance.make.streams import make_streams
from conformance.make.vectors import make_vectors
from conformance.make.word_streams import make_word_streams
from conformance.make.writing import write_json

__all__ = ["DATA", "make", "random_fingerprint"]

DATA = ("vectors", "streams", "lists", "counted", "csr")
"""Folders that are made."""


def make(target):
    """Write the kit into a folder; its data folders are emptied before."""
    target = Path(target)
    for name in DATA:
        shutil.rmtree(target / name, ignore_errors=True)
        (target / name).mkdir(parents=True)
    make_vectors(target / "vectors")
    make_streams(target / "streams")
    make_word_streams(target / "streams")
    make_lists(target / "lists")
    make_counted(target / "counted")
    make_csr(target / "csr")
    write_json(target / "made_with.json", {"numpy": np.__version__, "random_fingerprint": random_fingerprint()})


def random_fingerprint():
    """What NumPy draws: the simulated streams are the same where this is."""
    rng = np.random.default_rng(20_000)
    drawn = rng.poisson(9.0, 500), rng.random(500), rng.normal(200, 12, 500), rng.integers(0, 1 << 40, 500)
    return hashlib.sha256(b"".join(np.asarray(d, "<f8").tobytes() for d in drawn)).hexdigest()
