"""``rsciio-tpx3 delay``: the time by which the beam lags behind the trigger edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rsciio_tpx3.cli.options import add_files, add_reader_options, reader_options, recordings
from rsciio_tpx3.scan.delay import METHODS
from rsciio_tpx3.scan_delay import find_scan_delay
from rsciio_tpx3.utils.text import format_spread

if TYPE_CHECKING:
    import argparse

__all__ = ["add_delay_parser"]


def add_delay_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add ``delay`` to the command line; ``args.run(args)`` does it."""
    parser = subparsers.add_parser(
        "delay",
        help="find the time by which the beam lags behind the trigger edges",
        description="Find the time by which the beam lags behind the trigger edges, from the recording itself. Nothing "
        "is changed: pass what is printed to loading, or put it into a file next to the recording.",
    )
    add_files(parser, 1, "several are pieces of one acquisition, unless --each")
    parser.add_argument("--each", action="store_true", help="each FILE is a recording of its own")
    parser.add_argument("--span", metavar="TIME", help='how far to look to either side, such as "5 us"')
    parser.add_argument("--method", choices=METHODS, default="auto", help="what the picture is compared with")
    parser.add_argument("--plot", metavar="FILE", help="picture of the curve, such as delay.png")
    add_reader_options(parser, "scan", "source", "events", "metadata")
    parser.set_defaults(run=_run)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    named = recordings(arguments)
    if arguments.plot and len(named) > 1:
        raise ValueError("--plot names one picture, and --each makes one for each recording. Leave one of them out.")
    for recording in named:
        options = reader_options(arguments)
        found = find_scan_delay(recording, span=arguments.span, method=arguments.method, **options)
        first = recording if isinstance(recording, str) else recording[0]
        print(f"{first}: {format_spread(found.delay, found.error)}, {found.method}")
        print(f'  for hs.load, or the table [load] of a sidecar: scan_delay = "{found.scan_delay}"')
        if arguments.plot:
            found.plot().figure.savefig(arguments.plot)
