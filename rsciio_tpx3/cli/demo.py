"""``rsciio-tpx3 demo``: from a recording to pictures, where a package of signals is installed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rsciio_tpx3.cli.options import add_files, add_reader_options, reader_options
from rsciio_tpx3.utils.compiling import announce
from rsciio_tpx3.utils.extensions import extension
from rsciio_tpx3.utils.paths import need_file
from rsciio_tpx3.utils.steps import step

if TYPE_CHECKING:
    import argparse


__all__ = ["add_demo_parser"]


def add_demo_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add ``demo`` to the command line; ``args.run(args)`` does it."""
    parser = subparsers.add_parser(
        "demo", help="from a recording to pictures with pyXem; without FILE a recording is simulated first"
    )
    add_files(parser, 0, "several are pieces of one acquisition")
    add_reader_options(parser)
    parser.add_argument("--output", default=".", metavar="FOLDER", help="where to put the results (here)")
    parser.set_defaults(run=_demo)
    return parser


def _demo(arguments: argparse.Namespace) -> None:
    for path in arguments.files:
        need_file(path)
    if os.path.exists(arguments.output) and not os.path.isdir(arguments.output):
        raise NotADirectoryError(f"--output {arguments.output!r} is a file: expected a folder.")
    announce()  # importing pyXem compiles functions of its own
    with step("Importing HyperSpy and pyXem, which takes up to a minute in a new installation"):
        run = extension("demo")
    if run is None:
        raise ImportError("the demo needs HyperSpy and pyXem. Install them by: pip install hyperspy pyxem")
    run(arguments.files, arguments.output, reader_options(arguments))
