"""``rsciio-tpx3 convert``: events or counts into another counted format."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rsciio_tpx3.cli.options import add_files, add_option, add_reader_options, reader_options
from rsciio_tpx3.convert import convert

if TYPE_CHECKING:
    import argparse


__all__ = ["add_convert_parser"]


def add_convert_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add ``convert`` to the command line; ``args.run(args)`` does it and returns the exit code."""
    parser = subparsers.add_parser(
        "convert",
        help="convert events or counts into another format",
        description="Convert events or counts into another counted format, in bounded memory. The output appears "
        "when it is complete; an interrupted run leaves an old file as it was.",
    )
    add_files(
        parser, 2, "files to read, and the file to write last, such as scan.toml; several to read are one acquisition "
        "in pieces, in order",
    )  # fmt: skip
    parser.add_argument("--from", dest="from_format", help="format of the input, where its ending does not show it")
    parser.add_argument("--to", dest="to_format", help="format of the output, where its ending does not show it")
    add_reader_options(parser)
    add_option(parser, "--write-option", "writer", "such as compact=true")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    parser.add_argument("--verify", action="store_true", help="read the output back and compare every value")
    parser.add_argument("--no-checksum", action="store_true", help="do not note SHA-256 of the inputs")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=_run_convert)
    return parser


def _run_convert(args: argparse.Namespace) -> int:
    options = reader_options(args)
    *inputs, output = args.files
    try:
        report = convert(
            inputs if len(inputs) > 1 else inputs[0],
            output,
            from_format=args.from_format,
            to_format=args.to_format,
            overwrite=args.overwrite,
            verify=args.verify,
            checksum=not args.no_checksum,
            reader_options=options,
            writer_options=dict(args.write_option),
            show_progressbar=False if args.quiet else None,
        )
    except KeyboardInterrupt:
        print(
            f"{output}: interrupted; it is as it was before, nothing is left to delete. Run the command again.",
            file=sys.stderr,
        )
        return 130  # as shells have it
    rate = report["bytes_in"] / report["seconds"] / 1e6
    print(
        f"{report['target']}: {report['frames']:,} frames, {report['bytes_in'] / 1e6:.1f} MB to "
        f"{report['bytes_out'] / 1e6:.1f} MB in {report['seconds']:.1f} s ({rate:.1f} MB/s)"
        + (", verified" if report["verified"] else "")
    )
    return 0
