"""What a person wrote: a dictionary, or a JSON, YAML or TOML file, flat or as HyperSpy's tree.

A key may be the name of a row of the table, one of its other words, or its place in HyperSpy's tree, dotted or
nested; case, blanks and hyphens do not matter. A unit stands in the text ("100 mm"), or next to a number as
``<key>_units``.
"""

from __future__ import annotations

import datetime
import difflib
import itertools
import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.exceptions import MetadataConflictError
from rsciio_tpx3.metadata.mapping import LEAVES
from rsciio_tpx3.metadata.merge import display
from rsciio_tpx3.metadata.validation import check
from rsciio_tpx3.metadata.values import SourceValues
from rsciio_tpx3.utils.text_formats import check_depth
from rsciio_tpx3.utils.units import is_number, shown, to_number

if TYPE_CHECKING:
    from rsciio_tpx3.metadata.mapping import Leaf


__all__ = ["HYPERSPY_UNITS", "add_moment", "read_mapping", "read_tree"]

_logger = logging.getLogger(__name__)

_DETECTOR_NODE = re.compile(r"detector|sensor|chip|bias", re.IGNORECASE)
_ENDINGS = re.compile(r"_(units?|errors?)$")
# one word for two quantities: name to the rows that it fills
_PAIRS = {
    "scan_step": ("scan_step_x", "scan_step_y"),
    "scan_pixel_pitch": ("scan_step_x", "scan_step_y"),
    "center": ("center_x", "center_y"),
    "centre": ("center_x", "center_y"),
}
HYPERSPY_UNITS = {
    "beam_energy": "keV",
    "convergence_angle": "mrad",
    "tilt_alpha": "deg",
    "tilt_beta": "deg",
    "scan_rotation": "deg",
    "scan_generator_rotation": "deg",
    "image_rotation": "deg",
    "wavelength": "angstrom",
}
"""Units of plain numbers in HyperSpy's tree on which its guide, pyXem and all readers agree."""

_MOST_SLIPS, _LONGEST_WORD = 100, 40
_MOMENTS = ("start_time", "date_time", "datetime", "start")


def _words() -> dict[str, str]:
    words = {}
    for name, row in LEAVES.items():
        for word in (name, *row.words, row.leaf):
            words[word.lower()] = name
    return words


_WORDS = _words()


@dataclass
class _Once(SourceValues):
    """Quantities of one source that may name each of them under several words, but not with several values."""

    doubtful: set = field(default_factory=set)

    def add(self, name: str, value: Any, bare: str | None = None, key: str | None = None) -> None:
        """As `SourceValues.add`; a second value must be the first one."""
        again = SourceValues(self.kind, self.label, self.strict)
        again.add(name, value, bare, key)
        if name not in again.values:
            return
        if name not in self.values or _equal(self.values[name], again.values[name]):
            self.values[name] = again.values[name]
            self.errors.update(again.errors)
            return
        problem = (
            f"{self.label}: {name} is given twice, as {display(name, self.values[name])} and, by {key or name}, as "
            f"{display(name, again.values[name])}."
        )
        if LEAVES[name].kind == "text":
            _logger.warning(f"{problem} The first is kept.")
        elif self.strict:
            raise MetadataConflictError(f"{problem} Say it once.")
        elif name not in self.doubtful:
            self.doubtful.add(name)
            _logger.warning(f"{problem} Both are excluded.")

    def decided(self) -> SourceValues:
        """Without what is doubtful."""
        for name in self.doubtful:
            self.values.pop(name, None)
            self.errors.pop(name, None)
        return SourceValues(self.kind, self.label, self.strict, self.values, self.errors, self.original)


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, (int, float)):
        return math.isclose(first, second, rel_tol=1e-9)
    return first == second


def read_mapping(mapping: dict, label: str, kind: str = "user", strict: bool = True) -> SourceValues:
    """Quantities that a person stated.

    Parameters
    ----------
    mapping : dict
    label : str
        For people: "metadata=", or the name of the file.
    kind : {"user", "written"}
    strict : bool
        See `SourceValues`.

    Returns
    -------
    SourceValues
        Keys that mean nothing to the table are in ``original`` only; one that looks like a slip of the pen
        is warned about.
    """
    check_depth(mapping)
    source_values = _Once(kind, label, strict)
    unknown = {}
    for name, key, value in _entries(mapping):
        if name in LEAVES:
            source_values.add(name, value, key=key)
        elif name in _PAIRS:
            _add_pair(source_values, _PAIRS[name], value, key)
        elif name in _MOMENTS:
            add_moment(source_values, value, key)
        elif value is not None:
            unknown[key] = value
    _warn_of_slips(unknown, label)
    if kind == "written":
        source_values.original = mapping
    elif unknown:
        source_values.original = unknown
    return source_values.decided()


def read_tree(tree: dict, label: str, kind: str, strict: bool = False, bare: str | None = None) -> SourceValues:
    """Quantities from a metadata tree of HyperSpy, at their own places only.

    Parameters
    ----------
    tree : dict
    label, kind, strict
        See `SourceValues`.
    bare : dict, optional
        Name of a quantity to the unit of its number, where none stands next to it and `HYPERSPY_UNITS` does not
        tell it. A number without a unit is excluded otherwise, with a warning.

    Returns
    -------
    SourceValues
    """
    source_values = SourceValues(kind, label, strict)
    units = {**HYPERSPY_UNITS, **(bare or {})}
    for name, row in LEAVES.items():
        if kind not in row.sources and kind != "recording":
            continue
        branch, last = _branch(tree, row.leaf)
        value = branch.get(last) if branch else None
        value = value.item() if isinstance(value, np.generic) else value
        if value is None:
            continue
        if row.unit is None or branch.get(f"{last}_units") == row.unit:
            _add_as_it_is(source_values, name, value, branch.get(f"{last}_errors"), row)
        else:
            source_values.add(name, _with_unit(value, branch, last), units.get(name), key=row.leaf)
    return source_values


def _add_as_it_is(source_values: SourceValues, name: str, value: Any, error: float | None, row: Leaf) -> None:
    """Values in the table's own unit; what this package wrote stays as it is to the letter, if it can be right."""
    if source_values.kind == "recording":
        try:
            # a file may have been damaged or edited since it was written
            if row.kind != "layout":
                check(name, value, row.unit, f"{source_values.label}: {row.leaf}")
            error = None if error is None else float(to_number(error, f"{source_values.label}: {row.leaf}_errors"))
        except ValueError as problem:
            _logger.warning(f"{problem} This value is excluded.")
            return
        source_values.values[name] = value
        if error is not None:
            source_values.errors[name] = error
    elif row.unit is None:
        source_values.add(name, value, key=row.leaf)
    else:
        source_values.add(name, value, row.unit, key=row.leaf)
        if error is not None and name in source_values.values:
            source_values.errors[name] = float(error)


def _branch(tree: dict, leaf: str) -> tuple:
    *nodes, last = leaf.split(".")
    for node in nodes:
        tree = tree.get(node) if isinstance(tree, dict) else None
    return (tree, last) if isinstance(tree, dict) else (None, last)


def _plain_key(key: str) -> str:
    return re.sub(r"[\s\-]+", "_", str(key).strip()).lower()


def _entries(mapping: dict, path: str = "") -> Iterator[tuple]:
    """(name or None, key as written, value with its unit) of everything in a nested mapping."""
    plain_keys = {_plain_key(key) for key in mapping}
    for key, value in mapping.items():
        full = f"{path}.{key}" if path else str(key)
        word = _plain_key(key)
        if word == "voltage" and _DETECTOR_NODE.search(path):
            word = "bias_voltage"  # elsewhere it is that of the electrons
        known = _WORDS.get(_plain_key(full)) or _WORDS.get(word) or (word if word in _PAIRS else None)
        known = known or (word if word in _MOMENTS else None)
        if isinstance(value, dict) and "value" not in {str(k).lower() for k in value}:
            yield from _entries(value, full)
        elif known:
            yield known, full, _with_unit(value, mapping, key)
        elif not (_ENDINGS.search(word) and _ENDINGS.sub("", word) in plain_keys):
            yield None, full, value


def _with_unit(value: Any, mapping: dict, key: str) -> Any:
    unit = next((mapping[f"{key}{end}"] for end in ("_units", "_unit") if f"{key}{end}" in mapping), None)
    error = next((mapping[f"{key}{end}"] for end in ("_errors", "_error") if f"{key}{end}" in mapping), None)
    if unit is None:
        return value
    if isinstance(value, (list, tuple)):
        return [(item, str(unit)) for item in value]
    return (value, str(unit)) if error is None else (value, error, str(unit))


def _add_pair(source_values: _Once, names: tuple[str, ...], value: Any, key: str | None) -> None:
    """Two values (x, y), or one for both."""
    if isinstance(value, (list, tuple)) and len(value) == 2:
        first, second = value
        if isinstance(first, (list, tuple)) and len(first) == 2 and isinstance(second, str):
            value = [(part, second) for part in first]  # one unit for both numbers
    two = (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and (not isinstance(value[1], str) or (isinstance(value[0], str) and not is_number(value[0])))
    )
    for name, part in zip(names, value if two else (value, value)):
        source_values.add(name, part, key=key)


def add_moment(source_values: SourceValues, value: Any, key: str | None) -> None:
    """A date with its time, and its zone if it has one."""
    try:
        moment = datetime.datetime.fromisoformat(str(value)[:64].replace("Z", "+00:00"))
    except ValueError:
        problem = (
            f"{source_values.label}: {key}={shown(value)} is not an ISO date and time. Write for example "
            "'2024-05-03T14:03:27+02:00'."
        )
        if source_values.strict:
            raise ValueError(problem) from None
        _logger.warning(problem)
        return
    source_values.add("date", moment.date().isoformat(), key=key)
    source_values.add("time", moment.time().isoformat(), key=key)
    if moment.tzinfo is not None:
        source_values.add("time_zone", moment.strftime("%z")[:3] + ":" + moment.strftime("%z")[3:5], key=key)


def _warn_of_slips(unknown: dict, label: str) -> None:
    # to compare a word with all of the table takes a millisecond
    for key in itertools.islice(unknown, _MOST_SLIPS):
        word = _plain_key(key.rsplit(".", 1)[-1][:_LONGEST_WORD])
        near = difflib.get_close_matches(word, _WORDS, n=1, cutoff=0.85)
        if near:
            _logger.warning(
                f"{label}: {key!r} is not a known quantity and was kept in original_metadata only. Did you mean "
                f"{_WORDS[near[0]]!r}?"
            )
