"""What text notes next to recordings tell: blocks of ``key: value`` lines, as EMAT writes ``comment.txt``.

Source: public code of evenTem's fork. Lines whose key is one of the table's words count too, with a unit.
"""

import logging
import os

from rsciio_tpx3.metadata.user_input import read_mapping
from rsciio_tpx3.metadata.values import SourceValues
from rsciio_tpx3.utils.text_formats import MOST_BYTES, read_text

__all__ = ["is_notes", "read_notes"]

_logger = logging.getLogger(__name__)

_SIGNS = ("scan size", "dwelltime", "scan strategy", "stem magnification")


def _lines(path: str | os.PathLike) -> dict[str, str]:
    """Each key with its value; a known one that stands there twice with two values is excluded."""
    # notes of Windows programs may have their micro sign in its own code page
    pairs = [line.partition(":") for line in read_text(path, otherwise="cp1252").splitlines()]
    found, twice = {}, set()
    for key, colon, value in ((key.strip(), colon, value.strip()) for key, colon, value in pairs):
        if colon and key and value:
            if found.setdefault(key, value) != value and key.lower().startswith(_SIGNS):
                twice.add(key)
            found[key] = value
    if twice:
        _logger.warning(
            f"{os.path.basename(path)!r} has several values for {', '.join(sorted(twice)[:10])}: which is that of this "
            "recording cannot be determined, and they are excluded."
        )
    return {key: value for key, value in found.items() if key not in twice}


def is_notes(path: str | os.PathLike) -> bool:
    """Whether a text file holds lines that such notes have."""
    return os.path.getsize(path) <= MOST_BYTES[".txt"] and any(key.lower().startswith(_SIGNS) for key in _lines(path))


def read_notes(path: str | os.PathLike, strict: bool = True) -> SourceValues:
    """Quantities of a file of notes; see `SourceValues`."""
    source_values = SourceValues("emat", f"{os.path.basename(path)} (notes)", strict)
    lines = _lines(path)
    source_values.original = dict(lines)
    lower = {key.lower(): key for key in lines}
    own = {}
    for wanted in ("scan size x", "scan size y", "dwelltime", "stem magnification", "scan strategy"):
        # the unit may stand behind the key, as in "dwelltime (us): 6"
        found = next((key for key in lower if key == wanted or key.startswith(f"{wanted} (")), None)
        if found is not None:
            unit = found[len(wanted) :].strip(" ()")
            own[wanted] = f"{lines.pop(lower[found])} {unit}".strip()
    if {"scan size x", "scan size y"} <= set(own):
        source_values.add("navigation_shape", [own["scan size x"], own["scan size y"]], key="scan size")
    source_values.add("dwell_time", own.get("dwelltime"), key="dwelltime")
    source_values.add("magnification", own.get("stem magnification"), key="STEM magnification")
    source_values.add("pattern", _strategy(own.get("scan strategy")), key="Scan strategy")
    # programs of microscopes note what was dialled in, not the angle between scan and detector
    lines = {"scan_generator_rotation" if _is_rotation(key) else key: text for key, text in lines.items()}
    others = read_mapping(lines, source_values.label, "emat", strict)
    source_values.values = {**others.values, **source_values.values}
    source_values.errors = {**others.errors, **source_values.errors}
    return source_values


def _is_rotation(key: str | None) -> bool:
    return "_".join(key.lower().replace("-", " ").split()) == "scan_rotation"


def _strategy(text: str | None) -> str | None:
    """Only strategies that this package knows by the same name; others stay verbatim."""
    return text if text is not None and text.strip().lower() in ("raster", "serpentine") else None
