"""The commented file that a person fills in, and the file that a signal's metadata make."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rsciio_tpx3.metadata.mapping import LEAVES
from rsciio_tpx3.metadata.merge import display

if TYPE_CHECKING:
    from rsciio_tpx3.metadata.mapping import Leaf
    from rsciio_tpx3.metadata.values import SourceValues


__all__ = ["sidecar_text", "table_lines", "template_text"]

_HEAD = """\
# What is known about {what}. Save it next to the recording: as scan.metadata.toml for scan.tpx3, or as
# metadata.toml where the folder holds one recording only. Every line may be omitted. A quantity needs its unit;
# an error may be given as "100 +/- 2 mm".
"""
_PLACES = (
    ("General", "The recording"),
    ("Sample", "The specimen"),
    ("Acquisition_instrument.TEM.Stage", "The stage"),
    ("Acquisition_instrument.TEM.Scan", "The scan"),
    ("Acquisition_instrument.TEM.Detector", "The detector"),
    ("Acquisition_instrument.TEM", "The microscope"),
)


def _by_place() -> list[tuple[str, list[str]]]:
    """(heading, names) of what a person can tell, in the order in which a microscopist thinks."""
    places = {place: [] for place, _ in _PLACES}
    for name, row in LEAVES.items():
        if "written" in row.sources:
            places[next(place for place, _ in _PLACES if row.leaf.startswith(place))].append(name)
    order = ("General", "Sample", "Acquisition_instrument.TEM", "Acquisition_instrument.TEM.Stage")
    order += ("Acquisition_instrument.TEM.Scan", "Acquisition_instrument.TEM.Detector")
    return [(dict(_PLACES)[place], places[place]) for place in order]


def template_text() -> str:
    """A TOML file with every quantity that can be stated, commented out, with an example each.

    Returns
    -------
    str

    Examples
    --------
    >>> from rsciio_tpx3.metadata.template import template_text
    >>> "camera_length" in template_text()
    True
    """
    lines = [_HEAD.format(what="a recording")]
    for heading, names in _by_place():
        lines += [f"## {heading}", ""]
        for name in names:
            row = LEAVES[name]
            lines += [f"# {row.meaning}", f"# {name} = {_quoted(row.example, row)}", ""]
    return "\n".join(lines)


def sidecar_text(values: dict, what: str = "a recording", errors: dict | None = None) -> str:
    """A TOML file of quantities, so that another recording can have them too.

    Parameters
    ----------
    values : dict
        Name to plain value in the table's unit.
    what : str
        For the comment at the top.
    errors : dict, optional
        Name to one standard deviation.

    Returns
    -------
    str
        Only quantities that a person could tell; counts and measurements belong to their recording.
    """
    lines = [_HEAD.format(what=what)]
    for heading, names in _by_place():
        known = [name for name in names if values.get(name) is not None and values[name] != "table"]
        lines += [f"## {heading}", ""] * bool(known)
        for name in known:
            lines.append(f"{name} = {_written(name, values[name], (errors or {}).get(name))}")
        lines += [""] * bool(known)
    return "\n".join(lines)


def _quoted(example: str, row: Leaf) -> str:
    try:
        value = json.loads(example)
    except ValueError:
        value = example
    if row.kind == "text" and not row.many:
        value = example
    return json.dumps(value, ensure_ascii=False)


def _written(name: str, value: Any, error: float | None) -> str:
    """TOML has JSON's text, numbers, flags and lists; a quantity is text with its unit, and loses no digit."""
    row = LEAVES[name]
    if row.kind == "layout" and not isinstance(value, str):
        return "[" + ", ".join(_inline(chip) for chip in value) + "]"
    if row.unit is None or row.kind in ("text", "flag"):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        return json.dumps([f"{item!r} {row.unit}" for item in value], ensure_ascii=False)
    return json.dumps(f"{value!r}{f' +/- {error!r}' if error is not None else ''} {row.unit}", ensure_ascii=False)


def _inline(chip: dict) -> str:
    return "{" + ", ".join(f"{key} = {json.dumps(item)}" for key, item in chip.items()) + "}"


def table_lines(signal: Any, source_values: SourceValues) -> Iterator:
    """What `rsciio-tpx3 metadata` prints: value with unit and error, source, and conflicts.

    Parameters
    ----------
    signal : dict
        RosettaSciIO signal dictionary, completed.
    source_values : SourceValues
        What its tree says.

    Yields
    ------
    str
    """
    general = signal["metadata"].get("General", {})
    sources, conflicts = general.get("Metadata_sources", {}), general.get("Metadata_conflicts", {})
    own = [
        name for name in source_values.values if name not in ("metadata_sources", "metadata_conflicts", "processing")
    ]
    width = max(map(len, own), default=0)
    for name in own:
        text = display(name, source_values.values[name], source_values.errors.get(name))
        yield f"  {name:{width}}  {text}{f'   [{sources[name]}]' if name in sources else ''}"
        if name in conflicts:
            yield f"  {'':{width}}  ! elsewhere: {conflicts[name]}"
    scale = [f"{a['name']} {a['scale']:.6g} {a['units'] or 'position'}" for a in signal["axes"]]
    yield f"  {'axes':{width}}  {', '.join(scale)} a step"
