"""``rsciio-tpx3 watch``: what comes in, in figures."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from rsciio_tpx3.cli.options import add_reader_options, add_recording, reader_options, recording_options
from rsciio_tpx3.live import Session

if TYPE_CHECKING:
    import argparse

__all__ = ["add_watch_parser"]

_EVERY = 1.0  # s


def add_watch_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add ``watch`` to the command line; ``args.run(args)`` does it."""
    parser = subparsers.add_parser(
        "watch", help="print what comes in, line by line of the scan; of an address with --record, or of a growing file"
    )
    parser.add_argument("source", metavar="SOURCE", help="an address as for record, or a .tpx3 file that grows")
    parser.add_argument("--record", metavar="FILE", help="to record to, where SOURCE is an address")
    add_recording(parser)
    add_reader_options(parser, "scan", "source")
    parser.set_defaults(run=_watch)
    return parser


def _watch(arguments: argparse.Namespace) -> None:
    options = reader_options(arguments)
    if not arguments.source.startswith("csr:") and not str(arguments.record or arguments.source).endswith(".toml"):
        options["only_counts"] = True  # figures need no more
    session = Session(arguments.source, arguments.record, **recording_options(arguments), **options)
    with session:
        if session.recorder is None and not os.path.exists(session.path):
            print(f"{session.path!r} is not there yet: waiting for it. Ctrl+C ends this.", flush=True)
        # Ctrl+C is how watching a file ends, which somebody else writes
        with contextlib.suppress(KeyboardInterrupt):
            while not session.wait(_EVERY):
                print(_line(session), flush=True)
        session.stop()
    print(_line(session))
    for note in session.following.notes:
        print(f"  {note}")
    error = session.recorder.error if session.recorder is not None else None
    if error is not None or session.error is not None:
        raise error or session.error or RuntimeError


def _line(session: Session) -> str:
    following = session.following
    rates = ", ".join(f"chip {chip} {rate / 1e6:.2f}" for chip, rate in sorted(session.rates.items()))
    losses = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in following.losses.items())
    return (
        f"{time.strftime('%H:%M:%S')} {session.state}: {sum(following.hits.values()):,} hits, "
        f"{session.rate / 1e6:.2f} million per second{f' ({rates})' if rates else ''}; frame {following.frame}, "
        f"{following.lines_drawn} lines, {following.lines_final} final; losses: {losses or 'none seen'}"
    )
