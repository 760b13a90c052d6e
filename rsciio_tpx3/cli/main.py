"""The command line: ``rsciio-tpx3 info``, ``metadata``, ``demo``, ``convert``, ``check``, ``record`` and others."""

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence

import rsciio_tpx3
from rsciio_tpx3.cli.options import EXPECTED, one_line
from rsciio_tpx3.utils.logs import set_log_level

__all__ = ["COMMANDS", "main"]

COMMANDS = ("info", "demo", "metadata", "convert", "check", "compile", "record", "watch", "replay")
"""In the order in which help lists them; each is a module of this package with a function ``add_<command>_parser``."""

_logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status (2 for bad input, as argparse does; 1 where a check failed; 3 for a fault
    of the program)."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    # HyperSpy logs a traceback of what a reader refuses, and asks for reports to others; here it is said on a line
    logging.getLogger("hyperspy.io").setLevel(logging.CRITICAL)
    arguments = _parser(_wanted(sys.argv[1:] if argv is None else argv)).parse_args(argv)
    if arguments.verbose:
        set_log_level("INFO" if arguments.verbose == 1 else "DEBUG")
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


def _wanted(argv: Sequence[str]) -> Sequence[str]:
    """Commands whose modules must be loaded: the one that is called, or all, which help and messages list."""
    first = next((word for word in argv if not word.startswith("-")), None)
    return [first] if first in COMMANDS else COMMANDS


def _parser(wanted: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rsciio-tpx3", description="Timepix3 event recordings as sparse 4D STEM data."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {rsciio_tpx3.__version__}")
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="say what was decided (-v), or every detail (-vv)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in wanted:
        module = importlib.import_module(f"rsciio_tpx3.cli.{command}")
        getattr(module, f"add_{command}_parser")(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
