"""Renew what the documentation takes from the code: ``python docs/make_reference.py``.

The page ``reference/index.md`` from docstrings, and the table of metadata in ``guide/metadata.md`` from
`rsciio_tpx3.metadata.mapping.LEAVES`. A test compares the pages with what this would write.

The site shows the same page, with links to a page for each name (`with_links`, `write_lists`; see ``conf.py``).
"""

import functools
import importlib
import inspect
import math
import re
from pathlib import Path

from rsciio_tpx3.metadata.mapping import LEAVES
from rsciio_tpx3.tpx3 import file_reader

DOCS = Path(__file__).parent

# module: (what it is for, names; None for all public ones)
MODULES = {
    "rsciio_tpx3": ("Files to arrays, without HyperSpy", None),
    "hyperspy_sparse": ("Arrays to signals", None),
    "hyperspy_sparse.gui": ("Dialogs, as objects and as widgets", None),
    "hyperspy_sparse.mixin": ("What sparse signals have in addition to all of HyperSpy's and pyXem's methods", None),
    "hyperspy_sparse.data": ("Small signals whose truth is known", None),
    "rsciio_tpx3.simulate": ("Recordings whose truth is known", None),
    "rsciio_tpx3.simulate.twin": ("A real set-up in the words of simulations, and back", None),
    "rsciio_tpx3.tpx3": ("The reader of `.tpx3` files; its functions are also in `rsciio_tpx3`", None),
    "rsciio_tpx3.t3pa": ("Hit lists of Advacam", None),
    "rsciio_tpx3.raw_csr": ("Counted data shared with LiberTEM", None),
    "rsciio_tpx3.stempy": ("Counted data of stempy and the 4D Camera", None),
    "rsciio_tpx3.nxevent": ("Counted data for keeping", None),
    "rsciio_tpx3.convert": ("From one file of counted data to another", ["check", "convert"]),
    "rsciio_tpx3.live": ("A recording that is still being sent", None),
    "rsciio_tpx3.events.source": ("What an event format has to offer", None),
    "rsciio_tpx3.reader.event_format": ("What an event format declares", None),
    "rsciio_tpx3.testing": ("Whether a source keeps its contract", None),
    "rsciio_tpx3.scan.sync": ("From trigger edges to a scan", ["ScanOptions", "build_scan"]),
    "rsciio_tpx3.scan.scan": ("From hit times to scan positions", ["Scan", "place_hits", "count_positions"]),
    "rsciio_tpx3.electrons.clusters": ("From hits to electrons", ["ClusteredSource", "find_electrons"]),
    "rsciio_tpx3.electrons.options": ("What makes an electron", ["ClusterOption", "ClusterOptions"]),
    "rsciio_tpx3.corrections.steps": ("Corrections of hits and electrons", None),
    "rsciio_tpx3.corrections.bad_pixels": ("Hot and dead pixels", ["BadPixels", "count_pixels", "find_bad_pixels"]),
    "rsciio_tpx3.corrections.cluster_pairs": ("Hits of one electron in pairs", None),
    "rsciio_tpx3.corrections.column_fit": ("Delays of chip columns from clusters", None),
    "rsciio_tpx3.corrections.time_walk": ("Time walk from clusters", ["fit_time_walk", "walk_table"]),
    "rsciio_tpx3.corrections.energy": (
        "Time over threshold to energy",
        ["PixelCalibration", "TableCalibration", "read_calibration"],
    ),
    "rsciio_tpx3.events.geometry": ("From chip pixels to detector pixels", ["Layout", "make_layout"]),
    "rsciio_tpx3.utils.clock": ("The unit of time", ["nearest_period", "ticks_to_seconds"]),
    "rsciio_tpx3.exceptions": ("What can go wrong, one base class for each cause", None),
    "rsciio_tpx3.utils.units": ("Quantities with units", ["convert", "to_plain", "to_ticks"]),
    "rsciio_tpx3.metadata.calibration": ("Scales of axes", None),
    "rsciio_tpx3.metadata.export": ("Metadata for other programs", None),
}

_BEGIN, _END = "<!-- metadata: python docs/make_reference.py -->", "<!-- end of metadata -->"


def first_line(thing):
    """First sentence of a docstring, on one line."""
    text = inspect.getdoc(thing) or ""
    return " ".join(text.split("\n\n")[0].split())


def public_names(module, names):
    if names is None:
        names = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    return sorted((n for n in names if not n.startswith("__")), key=str.lower)


def reference():
    """The page of public names."""
    lines = [
        "# Reference",
        "",
        "Public names and what each is for. `help(name)` in Python has parameters, results, errors and examples.",
        "Made by `python docs/make_reference.py`; edit the docstrings, not this page.",
        "",
    ]
    for name, (purpose, names) in MODULES.items():
        module = importlib.import_module(name)
        lines += [f"## {name}", "", f"{purpose}.", "", "| Name | |", "|---|---|"]
        for public in public_names(module, names):
            thing = getattr(module, public)
            documented = inspect.isclass(thing) or inspect.isroutine(thing) or inspect.ismodule(thing)
            text = first_line(thing) if documented else f"`{thing!r}`"
            lines.append(f"| `{public}` | {text.replace('|', chr(92) + '|')} |")
        lines.append("")
    lines += ["## Options of `hs.load`", "", "For `.tpx3` files; explained in [Loading](../guide/load.md).", ""]
    lines += ["| Option | Default |", "|---|---|"]

    for parameter in inspect.signature(file_reader).parameters.values():
        if parameter.name != "filename" and parameter.kind is not parameter.VAR_KEYWORD:
            lines.append(f"| `{parameter.name}` | `{parameter.default!r}` |")
    return "\n".join(lines) + "\n"


def metadata_table():
    """The table of metadata, one row a quantity: what can be passed, then what reading finds."""
    passed = [
        "| Name | Place in the tree | Unit | Allowed | Example | Sources, most trusted first | Required for | Meaning |"
    ]
    passed.append("|" + "---|" * 8)
    found = ["| Place in the tree | Unit | Meaning |", "|---|---|---|"]
    for name, row in LEAVES.items():
        leaf = row.leaf.replace("Acquisition_instrument.", "")
        if "user" not in row.sources:
            found.append(f"| `{leaf}` | {row.unit or ''} | {row.meaning} |")
            continue
        example = row.example.replace("|", "\\|")
        passed.append(
            f"| `{name}` | `{leaf}` | {row.unit or ''} | {_allowed(row)} | `{example}` | {', '.join(row.sources)} | "
            f"{', '.join(row.required) or 'optional'} | {row.meaning}{f' ({row.reference})' if row.reference else ''} |"
        )
    return "\n".join(["### What can be passed", "", *passed, "", "### What reading finds", "", *found])


def _allowed(row):
    """Bounds, or the words, of a row."""
    if row.choices:
        return ", ".join(row.choices)
    if row.kind in ("number", "whole") and row.low > -math.inf:
        return f"{row.low:g} to {row.high:g}"
    return {"flag": "true, false", "shape": "(x, y) or (x, y, frames)", "date": "ISO", "time": "ISO"}.get(row.kind, "")


def renewed(page, text):
    """The text of a page with its generated part made anew."""
    if page == "reference/index.md":
        return reference()
    return re.sub(
        f"{re.escape(_BEGIN)}.*?{re.escape(_END)}",
        lambda _: f"{_BEGIN}\n\n{metadata_table()}\n\n{_END}",
        text,
        flags=re.DOTALL,
    )


def _has_page(module, public):
    """Functions and classes have a page for themselves in the site; values have their row in the table."""
    thing = getattr(module, public)
    return inspect.isclass(thing) or inspect.isroutine(thing)


def with_links(text):
    """The page of public names as the site shows it: each name leads to its own page."""
    parts = re.split(r"^(## .+)$", text, flags=re.MULTILINE)
    for place in range(1, len(parts), 2):
        name = parts[place][3:]
        if name in MODULES:  # the last table is of options
            module = importlib.import_module(name)
            link = functools.partial(_linked, name, module)
            parts[place + 1] = re.sub(r"^\| `(\w+)` \|", link, parts[place + 1], flags=re.MULTILINE)
    pages = "\n".join(f"api/{name}" for name in MODULES)
    return "".join(parts) + f"\n```{{toctree}}\n:hidden:\n:maxdepth: 2\n\n{pages}\n```\n"


def _linked(name, module, row):
    return f"| [`{row[1]}`](api/generated/{name}.{row[1]}.rst) |" if _has_page(module, row[1]) else row[0]


def write_lists(folder):
    """Write a list of names for each module, of which ``sphinx.ext.autosummary`` makes the pages.

    Parameters
    ----------
    folder : pathlib.Path
        Made where it is missing. Lists that are as they should be are not touched, so that Sphinx need not read them.
    """
    folder.mkdir(exist_ok=True)
    for name, (purpose, names) in MODULES.items():
        module = importlib.import_module(name)
        public = [public for public in public_names(module, names) if _has_page(module, public)]
        lines = [name, "=" * len(name), "", f"{purpose.replace('`', '``')}.", "", f".. currentmodule:: {name}", ""]
        lines += [".. autosummary::", "   :toctree: generated", "", *(f"   {one}" for one in public)]
        path, text = folder / f"{name}.rst", "\n".join(lines) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def main():
    for page in ("reference/index.md", "guide/metadata.md"):
        path = DOCS / page
        path.parent.mkdir(exist_ok=True)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(renewed(page, text), encoding="utf-8")
        print(path.relative_to(DOCS.parent))


if __name__ == "__main__":
    main()
