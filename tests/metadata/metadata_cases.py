"""Values and wrong words for every row of the table of metadata, made from the table itself."""

import json
from pathlib import Path

from rsciio_tpx3.metadata.mapping import LEAVES
from rsciio_tpx3.metadata.validation import check
from rsciio_tpx3.tpx3 import file_reader

SIDECARS = Path(__file__).parent / "sidecars"

STATED = [name for name, row in LEAVES.items() if "user" in row.sources]
WITH_UNIT = [name for name in STATED if LEAVES[name].unit not in (None, "px")]

# one wrong dimension for each unit
WRONG = {
    "keV": "5 mm",
    "m": "5 mrad",
    "mrad": "5 mm",
    "nA": "5 V",
    "nm": "5 s",
    "deg": "5 px",
    "mm": "5 kV",
    "s": "5 m",
    "um": "5 degC",
    "V": "5 keV",
    "degC": "5 m",
    "px": "5 mm",
}


def spoken(name):
    """The row's example as a person would write it in Python."""
    text = LEAVES[name].example
    try:
        return json.loads(text)
    except ValueError:
        return text


def plain(name):
    return check(name, spoken(name))[0]


def at(tree, leaf):
    for node in leaf.split("."):
        tree = tree[node]
    return tree


def load(path, **options):
    [signal] = file_reader(str(path), lazy=True, show_progressbar=False, **options)
    return signal
