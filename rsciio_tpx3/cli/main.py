"""The command line: ``rsciio-tpx3 info``, ``metadata``, ``demo``, ``convert`` and ``check``."""

import argparse
import json
import logging
import sys

import rsciio_tpx3
from rsciio_tpx3.cli.metadata import add_metadata_parser
from rsciio_tpx3.cli.options import EXPECTED, add_files, add_option, one_line
from rsciio_tpx3.convert import add_check_parser, add_convert_parser
from rsciio_tpx3.utils.paths import need_file
from rsciio_tpx3.utils.text import counted, format_seconds

__all__ = ["main"]

_logger = logging.getLogger(__name__)


def main(argv=None):
    """Run a command; returns the exit status (2 for bad input, as argparse does; 1 where a check failed; 3 for a fault
    of the program)."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments) or 0
    except BrokenPipeError:  # as where the output goes to "head"
        return 2
    except EXPECTED as error:
        # the messages are written for the user; a traceback would bury them
        print(f"rsciio-tpx3: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("rsciio-tpx3: interrupted", file=sys.stderr)
        return 130  # as shells have it
    except Exception as error:
        _logger.debug("what happened", exc_info=True)
        print(
            f"rsciio-tpx3: {type(error).__name__}: {one_line(error)}\n    This is a fault of the program: please "
            "report it with the command, and the file if you can.",
            file=sys.stderr,
        )
        return 3


def _parser():
    parser = argparse.ArgumentParser(
        prog="rsciio-tpx3", description="Timepix3 event recordings as sparse 4D STEM data."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {rsciio_tpx3.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    info = commands.add_parser("info", help="print what is in a file of hits or counts, without decoding it")
    _add_files(info, 1)
    info.add_argument("--json", action="store_true", help="print JSON for other programs")
    info.set_defaults(run=_info)
    demo = commands.add_parser(
        "demo",
        help="from a recording to pictures with pyXem; without FILE a recording is simulated first",
    )
    _add_files(demo, 0)
    demo.add_argument("--output", default=".", metavar="FOLDER", help="where to put the results (here)")
    demo.set_defaults(run=_demo)
    add_metadata_parser(commands)
    add_convert_parser(commands)
    add_check_parser(commands)
    return parser


def _add_files(parser, least):
    add_files(parser, least, "several are pieces of one acquisition")
    add_option(parser, "--option", "reader", "such as -o dwell_time='1 us' -o navigation_shape=256,256")


def _info(arguments):
    for path in arguments.files:
        need_file(path)
    files = arguments.files if len(arguments.files) > 1 else arguments.files[0]
    info = rsciio_tpx3.file_info(files, **dict(arguments.option))
    if arguments.json:
        print(json.dumps(info, indent=2))
    else:
        print("\n".join(_info_lines(info)))


def _info_lines(info):
    yield from info["files"]
    yield from _event_lines(info) if "hits" in info else _counted_lines(info)
    losses = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in info["losses"].items())
    yield f"  losses         {losses or 'none seen'}"


def _counted_lines(info):
    yield f"  format         {info['format']}, {info['bytes']:,} bytes"
    yield f"  positions      {' x '.join(map(str, info['navigation_shape'])) or 'one'} (x, y)"
    yield f"  detector       {' x '.join(map(str, info['detector_shape']))} pixels (x, y), {info['dtype']}"
    known = [counted(info[name], one, name) for name, one in (("entries", "entry"), ("counts", "count")) if info[name]]
    yield f"  holds          {', '.join(known) or 'counts; how many is not known without reading them'}"


def _event_lines(info):
    yield f"  size           {info['bytes']:,} bytes, {info['hits']:,} hits"
    yield f"  detector       {info['layout']}, {' x '.join(map(str, info['detector_shape']))} pixels (x, y)"
    for chip in info["chips"] if "hits_by_chip" in info else ():
        hits = info["hits_by_chip"].get(chip, 0)
        chunks = info["chunks_by_chip"].get(chip, 0)
        yield f"    chip {chip}       {hits:,} hits in {chunks:,} chunks"
    yield f"  time           {format_seconds(info['first'])} to {format_seconds(info['last'])}"
    for kind in ("packets", "records"):
        if kind in info:
            yield f"  {kind:14} " + ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in info[kind].items())
    for name, edge in info["edges"].items():
        yield f"  {name:14} {_edge_text(edge)}"
    if not info["edges"]:
        yield "  edges          none"
    for signal in info["signals"]:
        yield f"  as {signal['signal']:11} {_signal_text(signal)}"


def _edge_text(edge):
    text = f"{edge['number']:,} edges"
    if "period" in edge:
        text += f", every {format_seconds(edge['period'])} (+- {format_seconds(edge['period_error'])})"
        if edge["groups"] > 1:
            text += f", in {edge['groups']} groups"
        if edge["in_bursts"]:
            text += f", {edge['in_bursts']:,} more in bursts"
    return text


def _signal_text(signal):
    if not signal["ready"]:
        return f"needs more: {signal['needs']}"
    shape = " x ".join(map(str, signal["navigation_shape"]))
    text = f"{shape} positions (x, y), dwell time {format_seconds(signal['dwell_time'])}, "
    text += f"{signal['sync']}" + (f" on {signal['tdc']}" if signal["tdc"] else "")
    return "\n                 ".join([text, *signal["notes"]])


def _demo(arguments):
    # the one command that needs HyperSpy, pyXem and matplotlib
    from hyperspy_sparse.demo import run

    # HyperSpy logs a traceback of what a reader refuses; `main` says it on a line
    logging.getLogger("hyperspy.io").setLevel(logging.CRITICAL)

    run(arguments.files, arguments.output, dict(arguments.option))


if __name__ == "__main__":
    sys.exit(main())
