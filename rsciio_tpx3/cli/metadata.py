"""``rsciio-tpx3 metadata``: the merged table of a file, or a template to fill in."""

import argparse
import importlib
import json
import os
from typing import Any

from rsciio_tpx3.cli.options import add_files, add_reader_options, parsed_value, reader_options
from rsciio_tpx3.metadata.record import plain
from rsciio_tpx3.metadata.sources.signal_file import find_reader
from rsciio_tpx3.metadata.template import sidecar_text, table_lines, template_text
from rsciio_tpx3.metadata.user_input import read_tree
from rsciio_tpx3.utils.paths import need_file

__all__ = ["add_metadata_parser"]


def add_metadata_parser(subparsers: Any) -> None:
    """Add ``metadata`` to the command line."""
    parser = subparsers.add_parser(
        "metadata",
        help="print what is known about a file, and from where; or a template to fill in",
        description="Print what is known about a file: each quantity with its unit, error and source, and what other "
        "sources say where they disagree.",
    )
    add_files(parser, 0, "several are pieces of one acquisition")
    parser.add_argument("--template", action="store_true", help="print a commented file to fill in")
    parser.add_argument("--json", action="store_true", help="print the metadata tree as JSON")
    parser.add_argument("--toml", action="store_true", help="print what holds for another recording too, as a sidecar")
    parser.add_argument(
        "--set", dest="user_input", action="append", default=[], metavar="NAME=VALUE", type=_quantity,
        help="what you know, such as --set camera_length='100 mm'",
    )  # fmt: skip
    parser.add_argument("--from", dest="survey", metavar="FILE", help="a file whose microscope node is copied")
    add_reader_options(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.template:
        print(template_text())
        return 0
    if not arguments.files:
        raise ValueError("give a FILE, or --template.")
    signal = _read(arguments)
    if arguments.json:
        print(json.dumps(plain(signal["metadata"]), indent=2, ensure_ascii=False))
    elif arguments.toml:
        source_values = read_tree(signal["metadata"], "the file", "recording")
        print(sidecar_text(source_values.values, os.path.basename(arguments.files[0]), source_values.errors))
    else:
        print(arguments.files[0])
        print("\n".join(table_lines(signal, read_tree(signal["metadata"], "the file", "recording"))))
    return 0


def _quantity(text: str) -> tuple[str, Any]:
    """A quantity and its value; a list in brackets as in Python or JSON, anything else as text."""
    name, sign, value = (part.strip() for part in text.partition("="))
    if not sign or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as camera_length='100 mm'")
    return (name, parsed_value(value)) if value[:1] in ("[", "(") else (name, value)


def _read(arguments: argparse.Namespace) -> dict:
    options = reader_options(arguments)
    if arguments.user_input:
        named = options.get("metadata") or []
        options["metadata"] = [dict(arguments.user_input), *(named if isinstance(named, list) else [named])]
    if arguments.survey is not None:
        options["metadata_from"] = arguments.survey
    files = arguments.files
    for path in files:
        need_file(path)
    plugin = find_reader(files[0], "")
    if not plugin["api"].startswith("rsciio_tpx3."):
        raise ValueError(f"{files[0]!r} is read by {plugin['name']}; this command knows the formats of rsciio_tpx3.")
    reader = importlib.import_module(plugin["api"]).file_reader
    return reader(files[0] if len(files) == 1 else files, lazy=True, **options)[0]
