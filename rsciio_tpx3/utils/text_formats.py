"""Mappings from JSON, YAML and TOML text, at a cost that the text's length bounds, and errors that name the file.

A few bytes can stand for very much: YAML's aliases repeat what they name, nested brackets use up the stack, and the
names of a TOML table are walked once for each of their parts. Each is checked before the text is parsed.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from rsciio_tpx3.exceptions import FormatError, LimitError, format_errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["MOST_BYTES", "check_depth", "load_text_file", "parse_text", "read_text", "tomllib"]

MOST_BYTES = {".json": 1 << 24, ".txt": 1 << 20}
"""Longest file of each ending that is read; 1 MiB of others, whose parsers are a hundred times slower than JSON's."""

_MOST_DEPTH = 64  # tables inside each other: parsers recurse
_MOST_PARTS = 100  # of a dotted name in TOML: tomllib walks all of them for each
_ENDINGS = (".json", ".yaml", ".yml", ".toml")


def load_text_file(path: str | os.PathLike) -> dict:
    """A mapping from a JSON, YAML or TOML file, by its ending.

    Parameters
    ----------
    path : str
        In UTF-8, or UTF-16 with a byte-order mark.

    Returns
    -------
    dict

    Raises
    ------
    FormatError
        If it is in none of these formats, holds no mapping, or has one key twice.
    LimitError
        If it is too long, too deep, or stands for much more than it holds.
    """
    name = os.path.basename(path)
    return parse_text(read_text(path), os.path.splitext(name)[1].lower(), name)


def read_text(path: str | os.PathLike, otherwise: str | None = None) -> str:
    """The text of a description, whose length is checked before it is read.

    Parameters
    ----------
    path : str
    otherwise : str, optional
        Encoding of what is not UTF-8; refused by default.
    """
    name = os.path.basename(path)
    most = MOST_BYTES.get(os.path.splitext(name)[1].lower(), 1 << 20)
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise LimitError(
            f"{name!r} has {os.path.getsize(path):,} bytes, where a description has {most:,} at most. Keep what "
            "describes the recording, and move the rest to another file."
        )
    try:
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return content.decode("utf-16")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if otherwise is not None:
            return content.decode(otherwise, "replace")
        raise FormatError(
            f"{name!r} is not text in UTF-8: byte {error.start} is {content[error.start]:#04x}. Save it as UTF-8."
        ) from None


def parse_text(text: str, ending: str, name: str) -> dict:
    """A mapping from text.

    Parameters
    ----------
    text : str
    ending : {".json", ".yaml", ".yml", ".toml"}
    name : str
        Of the file, for errors.

    Returns
    -------
    dict
    """
    if ending not in _ENDINGS:
        raise FormatError(f"{name!r} cannot be read: its ending must be one of .json, .yaml, .toml.")
    expected = {".json": "JSON", ".toml": "TOML"}.get(ending, "YAML")
    try:
        with format_errors(name, expected, FormatError):
            found = {"JSON": _json, "YAML": _yaml, "TOML": _toml}[expected](text)
            check_depth(found)
    except (FormatError, LimitError) as error:
        words = str(error) if repr(name) in str(error) else f"{name!r} cannot be read as {expected}: {error}"
        raise type(error)(f"{words.rstrip('.')}. Correct it, or move it away.") from None
    if not isinstance(found, dict):
        raise FormatError(f"{name!r} holds {type(found).__name__}, expected keys with values.")
    return found


def check_depth(value: Any) -> None:
    """Refuse what is nested deeper than anything that describes a recording, without a call for each level.

    Raises
    ------
    LimitError
        For what contains itself, too.
    """
    level = [value]
    for _ in range(_MOST_DEPTH + 1):
        level = [
            item
            for outer in level
            if isinstance(outer, (dict, list))
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return
    raise LimitError(f"brackets or tables are nested more than {_MOST_DEPTH} deep")


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_doubles)


def _without_doubles(pairs: Iterable[tuple[str, Any]]) -> dict:
    found: dict = {}
    for key, value in pairs:
        if key in found and found[key] != value:
            raise FormatError(f"the key {str(key)[:80]!r} is given twice, with different values")
        found[key] = value
    return found


def _toml(text: str) -> dict:
    for number, line in enumerate(text.splitlines(), 1):
        name = line.partition("=")[0]
        if name.count(".") > _MOST_PARTS and not name.lstrip().startswith("#"):
            raise LimitError(f"line {number} has a name of more than {_MOST_PARTS} parts")
    return tomllib.loads(text)


# -- YAML ----------------------------------------------------------------------------------------------


def _yaml(text: str) -> Any:
    loader = _yaml_loader()
    _check_events(yaml.parse(text, Loader=loader), len(text))
    return yaml.load(text, loader)


def _check_events(events: Iterable, length: int) -> None:
    """Refuse what stands for much more than it holds; nothing is built yet.

    `extent` counts the characters and nodes that each open collection stands for, with what its aliases repeat.
    """
    named: dict[str, int] = {}
    extent, most = [0], 2 * length + 1000
    anchors = [None]
    for event in events:
        kind = type(event).__name__
        if kind in ("MappingStartEvent", "SequenceStartEvent"):
            if len(extent) > _MOST_DEPTH:
                raise LimitError(f"it is nested more than {_MOST_DEPTH} deep (line {event.start_mark.line + 1})")
            extent.append(1)
            anchors.append(event.anchor)
            named.pop(event.anchor, None)
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            size, anchor = extent.pop(), anchors.pop()
            extent[-1] += size
            if anchor is not None:
                named[anchor] = size
        elif kind == "ScalarEvent":
            size = 1 + len(event.value)
            extent[-1] += size
            if event.anchor is not None:
                named[event.anchor] = size
        elif kind == "AliasEvent":
            if event.anchor not in named:
                raise FormatError(
                    f"the alias *{event.anchor[:40]} in line {event.start_mark.line + 1} names what contains "
                    "it, or nothing, which cannot be understood"
                )
            extent[-1] += named[event.anchor]
        if extent[-1] > most:
            raise LimitError(
                f"its aliases (*name) stand for more than {most:,} characters, where the file has {length:,}; "
                f"write out "
                "what the anchors (&name) stand for"
            )


def _yaml_loader() -> type:
    """YAML 1.2 in that a time of day and a zone are not numbers of base 60 (14:03:27 is 50607 in YAML 1.1)."""
    # the parser in C is ten times faster, and the same otherwise
    parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(parser):
        yaml_implicit_resolvers = {
            first: [(tag, _without_colon(rule) if tag.endswith((":int", ":float")) else rule) for tag, rule in rules]
            for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    Loader.add_constructor("tag:yaml.org,2002:map", _yaml_mapping)
    return Loader


def _yaml_mapping(loader: Any, node: Any) -> Iterator[dict]:
    seen: dict[str, tuple] = {}
    for key, value in node.value:
        if key.value == "<<" or not isinstance(key.value, str):
            continue
        if key.value in seen and (type(value), value.value) != seen[key.value]:
            raise FormatError(f"the key {key.value[:80]!r} is given twice (line {key.start_mark.line + 1})")
        seen[key.value] = type(value), value.value
    found: dict = {}
    yield found
    found.update(loader.construct_mapping(node))


def _without_colon(rule: re.Pattern) -> re.Pattern:
    return re.compile(rf"(?!.*:)(?:{rule.pattern})", rule.flags)
