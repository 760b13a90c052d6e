"""What Pixet writes next to a recording: ``.info`` and ``.dsc`` files.

Items of four lines: ``"Name" ("description"):``, ``type[n]``, the values, and an empty line. Source:
Advacam's Pixet manuals. Old files have a decimal comma.
"""

import logging
import os
import re
from typing import Any

from rsciio_tpx3.utils.paths import names_in

__all__ = ["read_sidecars"]

_logger = logging.getLogger(__name__)

_MOST_CHARACTERS = 1 << 20
_ITEM = re.compile(r'^"(?P<name>[^"]+)"\s*\("(?P<text>[^"]*)"\):?\s*$')
_TYPE = re.compile(r"^(?P<kind>[a-z]+\d*)\[(?P<n>[0-9]{1,9})\]$")
_SIZE = re.compile(r"width=([0-9]{1,9})\s+height=([0-9]{1,9})\b")


def read_sidecars(path: str | os.PathLike) -> dict:
    """Items of the sidecars of a recording.

    Parameters
    ----------
    path : str
        Of the recording, such as ``a.t3pa``; its sidecars are ``a.t3pa.info`` and ``a.t3pa.dsc``.

    Returns
    -------
    dict
        Name to value, and ``width`` and ``height`` of the detector where a `.dsc` says so; empty where
        there is no sidecar.
    """
    folder, name = os.path.split(path)
    found, sizes = {}, {}
    for own in names_in(folder, (f"{name}.info", f"{name}.dsc")):
        with open(os.path.join(folder, own), encoding="latin-1") as file:
            text = file.read(_MOST_CHARACTERS + 1)
        if len(text) > _MOST_CHARACTERS:
            _logger.warning(
                f"{own!r} has more than {_MOST_CHARACTERS:,} characters: too many for a description. The recording is "
                "read without it."
            )
            continue
        _add_items(text.splitlines(), found, sizes)
    return {**found, **sizes}


def _add_items(lines: list[str], found: dict, sizes: dict) -> None:
    for i, line in enumerate(lines):
        size = _SIZE.search(line)
        if size:
            sizes["width"], sizes["height"] = int(size[1]), int(size[2])
        item = _ITEM.match(line.strip())
        kind = _TYPE.match(lines[i + 1].strip()) if item and i + 2 < len(lines) else None
        if kind:
            found[item["name"]] = _value(kind["kind"], int(kind["n"]), lines[i + 2].strip())


def _value(kind: str, n: int, text: str) -> Any:
    if kind == "char":
        return text
    try:
        if kind in ("double", "float"):
            values = [float(word.replace(",", ".")) for word in text.split()]
        else:
            values = [int(word) for word in text.split()]
    except ValueError:
        return text
    return values[0] if n == 1 and len(values) == 1 else values
