"""``rsciio-tpx3 check``: read whole files, and say what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rsciio_tpx3.cli.options import EXPECTED, add_files, add_reader_options, one_line, reader_options
from rsciio_tpx3.convert import check

if TYPE_CHECKING:
    import argparse


__all__ = ["add_check_parser"]


def add_check_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add ``check`` to the command line; ``args.run(args)`` does it and returns the exit code."""
    parser = subparsers.add_parser(
        "check",
        help="read a whole file and say what is wrong",
        description="Read a whole file and say what is wrong. Exit code 1 if something is.",
    )
    add_files(parser, 1, "files to check, each by itself")
    parser.add_argument("--format", dest="file_format", help="where the ending does not show it")
    add_reader_options(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=_run_check)
    return parser


def _run_check(args: argparse.Namespace) -> int:
    failed = 0
    for path in args.files:
        try:
            found = check(path, args.file_format, False if args.quiet else None, **reader_options(args))
        except EXPECTED as error:
            print(f"{path}: {one_line(error)}")
            failed = 1
            continue
        if "hits" in found:
            size = " x ".join(map(str, found["detector_shape"]))
            print(f"{path}: good, {found['format']}, {found['hits']:,} hits on {size} pixels; no scan is known")
            continue
        shape = " x ".join(map(str, found["shape"]))
        rows = "" if found.get("canonical", True) else "; rows are unsorted or repeat pixels, repaired on reading"
        print(f"{path}: good, {found['format']}, {shape} {found['dtype']}, {found['entries']:,} entries{rows}")
    return failed
