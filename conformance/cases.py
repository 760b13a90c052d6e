"""The cases of the kit: what is in a folder, and what a reader should find there."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["FOLDERS", "KIT", "LOSSES", "Case", "NotOffered", "cases", "write_hits"]

KIT = Path(__file__).parent
FOLDERS = ("streams", "lists", "counted", "csr")

LOSSES = (
    "chunks_lost", "words_cut", "bytes_cut", "hits_without_time", "edges_without_time", "hits_before_reset",
)  # fmt: skip
"""Names of losses that are compared; ``README.md`` says what each counts."""


class NotOffered(Exception):
    """Raised by an adapter for what its reader does not do; the text says why."""


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes
    ----------
    folder : pathlib.Path
        Where what is expected stands; the files are in the folder above, so that no reader takes one for a sidecar.
    about : dict
        What ``expected/NAME.json`` says; ``README.md`` has its keys.
    """

    folder: Path
    about: dict

    @property
    def name(self):
        return self.about["name"]

    @property
    def group(self):
        """Name of the folder of its files, such as "streams"."""
        return self.folder.parent.name

    @property
    def paths(self):
        """The files, in their order."""
        return [self.folder.parent / name for name in self.about["files"]]

    @property
    def aspects(self):
        """What can be compared: "hits", "rows", "edges", "losses", or "refused" for a file that is to be an error."""
        return [what for what in ("hits", "rows", "edges", "losses", "refused") if what in self.about]

    def hits(self):
        """Expected hits as a structured array x, y, toa, tot in order of time; toa in ticks of 25/96 ns."""
        return np.load(self.folder / self.about["hits"])

    def edges(self):
        """Expected edges, one of each, as a structured array of kind (four bits), counter and ticks (-1 for none)."""
        return np.load(self.folder / self.about["edges"])

    def rows(self):
        """Expected frames as CSR: indptr, indices, values; a row is a scan position."""
        rows = self.about["rows"]
        return tuple(np.load(self.folder / rows[name]) for name in ("indptr", "indices", "values"))

    @property
    def n_rows(self):
        """Number of scan positions, of all frames."""
        return int(np.prod([axis["size"] for axis in self.about["axes"] if axis["navigate"]]))


def cases(kit=KIT):
    """All cases of a kit, in a fixed order."""
    for folder in FOLDERS:
        for path in sorted((Path(kit) / folder / "expected").glob("*.json")):
            yield Case(path.parent, json.loads(path.read_text(encoding="utf-8")))


def write_hits(path, x, y, toa, tot):
    """Write hits in the form of the kit: sorted by time, then by pixel."""
    order = np.lexsort((tot, x, y, toa))
    out = np.zeros(len(order), [("x", "<u2"), ("y", "<u2"), ("toa", "<i8"), ("tot", "<u2")])
    for name, column in (("x", x), ("y", y), ("toa", toa), ("tot", tot)):
        out[name] = np.asarray(column)[order]
    np.save(path, out)
