"""What a fuzz target is, and the words for what became of one run."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

__all__ = ["FAULTS", "OUTCOMES", "Hits", "Target", "Verdict", "missing_and_invented"]

OUTCOMES = ("equal", "loss counted", "refused", "silent", "raw error", "hang", "crash", "memory")
FAULTS = OUTCOMES[3:]


@dataclass(frozen=True)
class Verdict:
    """What became of one run: one of `OUTCOMES`, and words for whoever looks into it."""

    outcome: str
    note: str = ""


@dataclass
class Hits:
    """Hits, or counts, as a multiset of keys, and how many pieces of data are said to be lost."""

    keys: Counter
    lost: int = 0
    notes: dict = field(default_factory=dict)


class Target:
    """One format: small seeds, its damage, the project's reader, and a plain decoder as oracle.

    A subclass has `name`, and the four methods. Files are a dictionary of names and bytes; they are written into a
    folder of their own before `read` is called with it.
    """

    name = ""
    plain_errors = True
    """Whether an error outside `rsciio_tpx3.exceptions` will do, as long as it is stated: where files do not
    tell what an option can."""

    def seeds(self):
        """List of dictionaries of files that read without a fault."""
        raise NotImplementedError

    def mutate(self, rng, files):
        """Other files made of these, by one or several changes."""
        raise NotImplementedError

    def read(self, folder):
        """What the project reads, in whatever form `judge` takes."""
        raise NotImplementedError

    def judge(self, found, files, seed):
        """Verdict over what was read, by a decoder that shares nothing with the project.

        Parameters
        ----------
        found : object
            From `read`.
        files, seed : dict of str to bytes
            As they were read, and before they were changed.
        """
        raise NotImplementedError


def missing_and_invented(found, wanted):
    """How many keys of one multiset are missing in the other, and the keys that nobody wrote."""
    missing = wanted - found
    return missing.total(), found - wanted


def compare_dense(found, wanted):
    """Verdict over dense counts that must be the same to the last number."""
    if found.shape == wanted.shape and np.array_equal(found, wanted, equal_nan=found.dtype.kind == "f"):
        return Verdict("equal")
    return Verdict(
        "silent", f"other counts: shape {found.shape} for {wanted.shape}, sum {found.sum()} for {wanted.sum()}"
    )
