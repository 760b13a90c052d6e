"""``rsciio-tpx3 record``: the raw stream of a detector to a file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from dask.utils import format_bytes

from rsciio_tpx3.cli.options import add_recording, recording_options
from rsciio_tpx3.live import Recorder, record

if TYPE_CHECKING:
    import argparse

__all__ = ["add_record_parser"]

_EVERY = 1.0  # s


def add_record_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add ``record`` to the command line; ``args.run(args)`` does it."""
    parser = subparsers.add_parser(
        "record", help="record the raw stream of a detector's server; Ctrl+C ends it and keeps what came"
    )
    parser.add_argument("address", metavar="ADDRESS", help="tcp://host:port, or tcp://connect@host:port to listen")
    parser.add_argument("file", metavar="FILE", help="to record to; a second measurement goes to FILE with _1")
    add_recording(parser)
    parser.set_defaults(run=_record)
    return parser


def _record(arguments: argparse.Namespace) -> None:
    files = record(
        arguments.address, arguments.file, every=_EVERY, progress=_say_recorder, **recording_options(arguments)
    )
    for one in files:
        print(f"{one.path}: {one.bytes:,} bytes, {one.state}")


def _say_recorder(recorder: Recorder) -> None:
    full = 100 * recorder.ring_peak // recorder.memory
    text = f"{recorder.state}: {format_bytes(recorder.bytes)}, {format_bytes(recorder.rate)}/s, buffer at most {full} %"
    print(text, file=sys.stderr, flush=True)
