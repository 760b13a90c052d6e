"""``rsciio-tpx3 replay``: a file to a stream, as a detector sends it."""

from __future__ import annotations

import argparse
import contextlib
import time
from typing import Any

from rsciio_tpx3.cli.options import whole_or_all
from rsciio_tpx3.live import Faults, Replay
from rsciio_tpx3.live.serval_mock import ServalMock

__all__ = ["add_replay_parser"]

_LOOK = 0.5  # s


def add_replay_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add ``replay`` to the command line; ``args.run(args)`` does it."""
    parser = subparsers.add_parser("replay", help="send a .tpx3 file as a detector would, faults included")
    parser.add_argument("file", metavar="FILE", help="a .tpx3 file with chunk headers")
    parser.add_argument(
        "--to", default="tcp://listen@127.0.0.1:8085", metavar="ADDRESS",
        help="tcp://listen@host:port where the receiver connects (the default is 127.0.0.1:8085), or tcp://host:port "
        "where it listens",
    )  # fmt: skip
    parser.add_argument("--speed", type=_speed, default=1.0, help="1 is the recording's own pace; 'max' has no pauses")
    parser.add_argument("--times", type=whole_or_all, default=1, help="measurements, each on a connection of its own")
    parser.add_argument("--stall", type=_stall, metavar="BYTE:SECONDS", help="send nothing for a while")
    parser.add_argument("--cut", type=int, metavar="BYTE", help="end after so many bytes")
    parser.add_argument("--disconnect", type=int, metavar="BYTE", help="break the connection after so many bytes")
    parser.add_argument("--lost", type=_share, default=(), metavar="SHARE", help="of chunks that are not sent, 0 to 1")
    parser.add_argument("--segment", type=int, metavar="BYTES", help="send pieces of so many bytes, 1 one by one")
    parser.add_argument(
        "--serval",
        type=int,
        metavar="PORT",
        help="answer Serval's HTTP calls there, and replay when a measurement starts",
    )
    parser.add_argument("--serval-version", default="3.3.0", metavar="VERSION", help="whose habits to have (3.3.0)")
    parser.add_argument("--seed", type=int, default=0, help="of what is random")
    parser.set_defaults(run=_replay)
    return parser


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    with contextlib.suppress(ValueError):
        if float(text) > 0:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number above 0, or 'max', got {text!r}")


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a share from 0 to 1, got {text!r}")


def _stall(text: str) -> tuple[int, float]:
    byte, _, seconds = text.partition(":")
    with contextlib.suppress(ValueError):
        return int(byte), float(seconds)
    raise argparse.ArgumentTypeError(f"expected BYTE:SECONDS, such as 1000000:5, got {text!r}")


def _replay(arguments: argparse.Namespace) -> None:
    names = ("stall", "cut", "disconnect", "segment", "seed")
    faults = Faults(**{name: getattr(arguments, name) for name in names}, lost_chunks=arguments.lost)
    if arguments.serval is not None:
        _serve(arguments, faults)
        return
    replay = Replay(arguments.file, arguments.to, speed=arguments.speed, times=arguments.times, faults=faults)
    print(f"{arguments.file}: {len(replay.chunks):,} chunks over {replay.chunks.seconds[-1]:.3f} s", flush=True)
    with replay:
        print(f"record with: rsciio-tpx3 record {replay.receiver} FILE", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while not replay.wait(_LOOK):
                pass
    for n in replay.sent:
        print(f"{n:,} bytes sent")
    if replay.error is not None:
        raise replay.error


def _serve(arguments: argparse.Namespace, faults: Faults) -> None:
    version, port, speed = arguments.serval_version, arguments.serval, arguments.speed
    with ServalMock(arguments.file, version, port, speed, faults) as mock:
        print(f"Serval {version} stands at {mock.url}; Ctrl+C ends it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(_LOOK)
