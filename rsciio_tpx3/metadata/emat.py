"""What text notes beside recordings tell: blocks of ``key: value`` lines, as EMAT writes ``comment.txt``.

Source: public code of evenTem's fork. Lines whose key is one of the table's words count too, with a unit.
"""

import os

from rsciio_tpx3.metadata.told import Told
from rsciio_tpx3.metadata.written import read_mapping

__all__ = ["is_notes", "read_notes"]

_SIGNS = ("scan size", "dwelltime", "scan strategy", "stem magnification")


def _lines(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        pairs = (line.partition(":") for line in file)
        return {key.strip(): value.strip() for key, colon, value in pairs if colon and key.strip() and value.strip()}


def is_notes(path):
    """Whether a text file holds lines that such notes have."""
    return os.path.getsize(path) < 1 << 20 and any(key.lower().startswith(_SIGNS) for key in _lines(path))


def read_notes(path, strict=True):
    """Quantities of a file of notes; see `Told`."""
    told = Told("emat", f"{os.path.basename(path)} (notes)", strict)
    lines = _lines(path)
    told.original = dict(lines)
    lower = {key.lower(): key for key in lines}
    own = {}
    for wanted in ("scan size x", "scan size y", "dwelltime", "stem magnification", "scan strategy"):
        # the unit may stand behind the key, as in "dwelltime (us): 6"
        found = next((key for key in lower if key == wanted or key.startswith(f"{wanted} (")), None)
        if found is not None:
            unit = found[len(wanted) :].strip(" ()")
            own[wanted] = f"{lines.pop(lower[found])} {unit}".strip()
    if {"scan size x", "scan size y"} <= set(own):
        told.add("navigation_shape", [own["scan size x"], own["scan size y"]], key="scan size")
    told.add("dwell_time", own.get("dwelltime"), key="dwelltime")
    told.add("magnification", own.get("stem magnification"), key="STEM magnification")
    told.add("pattern", _strategy(own.get("scan strategy")), key="Scan strategy")
    others = read_mapping(lines, told.label, "emat", strict)
    told.values = {**others.values, **told.values}
    told.errors = {**others.errors, **told.errors}
    return told


def _strategy(text):
    """Only strategies that this package knows by the same name; others stay verbatim."""
    return text if text is not None and text.strip().lower() in ("raster", "serpentine") else None
