"""One value for each quantity from several sources, and a record of where they disagree."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsciio_tpx3.exceptions import MetadataConflictError
from rsciio_tpx3.metadata.mapping import LEAVES, STEERING
from rsciio_tpx3.metadata.validation import check
from rsciio_tpx3.metadata.values import SourceValues

if TYPE_CHECKING:
    from rsciio_tpx3.metadata.mapping import Leaf
    from rsciio_tpx3.metadata.values import SourceValues


__all__ = ["Merged", "by_trust", "display", "merge", "steer"]

_logger = logging.getLogger(__name__)


@dataclass
class Merged:
    """The outcome.

    Attributes
    ----------
    values, errors : dict
        Name of a quantity to the value chosen, and to its standard deviation.
    sources : dict
        Name to the label of the source it is from.
    conflicts : dict
        Name to a list of texts: what other sources say.
    original : dict
        Label of a source to everything it says, verbatim.
    """

    values: dict = field(default_factory=dict)
    errors: dict = field(default_factory=dict)
    sources: dict = field(default_factory=dict)
    conflicts: dict = field(default_factory=dict)
    original: dict = field(default_factory=dict)


def by_trust(sources: list[SourceValues], name: str) -> list[SourceValues]:
    """Sources that tell a quantity, the most trusted first; equals in the order in which they came."""
    order = LEAVES[name].sources
    if "recording" not in order:
        # what a file of counted data kept from its own making is believed unless the user says otherwise
        order = (*order[:1], "recording", *order[1:])
    able = [source for source in sources if name in source.values]
    return sorted(able, key=lambda source: order.index(source.kind))


def _agree(name: str, first: SourceValues, second: SourceValues) -> bool:
    """Whether two sources tell the same, within their errors and the row's tolerance."""
    a, b = first.values[name], second.values[name]
    row = LEAVES[name]
    if row.many and isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_alike(row, x, y, 0) for x, y in zip(a, b))
    return _alike(row, a, b, 3 * sum(source.errors.get(name, 0) for source in (first, second)))


def _alike(row: Leaf, a: Any, b: Any, margin: float) -> bool:
    if isinstance(a, str) and isinstance(b, str):
        return a.strip().lower() == b.strip().lower()
    numbers = [isinstance(v, (int, float)) and not isinstance(v, bool) for v in (a, b)]
    if row.kind == "number" and all(numbers):
        return abs(a - b) <= max(row.tolerance * max(abs(a), abs(b)), margin)
    return a == b


def display(name: str, value: Any, error: float | None = None) -> str:
    """A value with its unit, for people."""
    row = LEAVES[name]
    if isinstance(value, dict):
        return ", ".join(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(display(name, item) if not isinstance(item, dict) else str(item) for item in value)
    text = f"{value:.9g}" if isinstance(value, float) else str(value)
    text += f" +- {error:.2g}" if error is not None else ""
    return f"{text} {row.unit}" if row.unit else text


def merge(sources: list[SourceValues], decided: Collection[str] = ()) -> Merged:
    """Choose by trust, and note what disagrees.

    Parameters
    ----------
    sources : list of SourceValues
    decided : container of str
        Quantities that the user has decided by an option: what others say about them is noted without a
        warning.

    Returns
    -------
    Merged
    """
    merged = Merged()
    for name in LEAVES:
        trusted = by_trust(sources, name)
        if not trusted:
            continue
        best = trusted[0]
        merged.values[name] = best.values[name]
        merged.sources[name] = best.label
        if name in best.errors:
            merged.errors[name] = best.errors[name]
        others = [other for other in trusted[1:] if not _agree(name, best, other)]
        if others and name not in _NAMES_ONLY:
            merged.conflicts[name] = [f"{display(name, o.values[name])} ({o.label})" for o in others]
            log = _logger.info if name in decided else _logger.warning
            log(
                f"{name}: {display(name, best.values[name])} is taken from {best.label}; "
                f"{' and '.join(merged.conflicts[name])} disagrees."
            )
    for source in sources:
        if source.original:
            merged.original[source.label] = source.original
    return merged


# the reader makes a title from the file's name where nobody tells one: no conflict
_NAMES_ONLY = ("title",)


def steer(sources: list[SourceValues], requested: dict) -> tuple[dict, dict]:
    """Options that decide where hits go, from the user or else from the sources.

    Parameters
    ----------
    sources : list of SourceValues
        Without what the recording itself tells: it has not been read yet.
    requested : dict
        Option to what the user passed; None where nothing.

    Returns
    -------
    options : dict
        Option to value, in the table's form (a shape is (x, y)); None where nobody tells.
    known_from : dict
        Option to the label of the source, for those that no option decided.

    Raises
    ------
    MetadataConflictError
        If sources disagree and the user has not decided, or the user said two things.
    """
    options, known_from = dict(requested), {}
    for name in (*STEERING, "dwell_time"):
        if name not in requested:
            continue
        trusted = by_trust(sources, name)
        own = [source for source in trusted if source.kind == "user"]
        if requested[name] is not None:
            if own and not _same_option(name, own[0], requested[name]):
                raise MetadataConflictError(
                    f"{name}={requested[name]!r}, but {own[0].label} says {display(name, own[0].values[name])}. Say "
                    "it once."
                )
            continue
        if not trusted:
            continue
        best = trusted[0]
        others = [other for other in trusted[1:] if not _agree(name, best, other)]
        if others and not own and name in STEERING:
            said = "; ".join(f"{source.label}: {display(name, source.values[name])}" for source in (best, *others))
            raise MetadataConflictError(
                f"{name} decides where hits go, and its sources disagree: {said}. Decide by {name}=..., or in "
                f"metadata={{{name!r}: ...}}."
            )
        options[name] = best.values[name]
        known_from[name] = best.label
        _logger.info(f"{name}: {display(name, best.values[name])}, as {best.label} says.")
    return options, known_from


def _same_option(name: str, source: SourceValues, requested: Any) -> bool:
    option = SourceValues("user", "option", values={name: check(name, requested)[0]})
    return _agree(name, source, option)
