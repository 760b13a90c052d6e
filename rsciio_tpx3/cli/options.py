"""What commands have in common: files wherever they stand, options by ``NAME=VALUE``, and errors on one line.

No option takes more than one word: one that does would swallow the files behind it.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from rsciio_tpx3.reader.options import OPTIONS, list_of_words
from rsciio_tpx3.utils.paths import need_file

__all__ = [
    "EXPECTED",
    "add_files",
    "add_option",
    "add_reader_options",
    "add_recording",
    "joined_numbers",
    "one_line",
    "parsed_value",
    "reader_options",
    "recording_options",
    "recordings",
    "whole_numbers",
    "whole_or_all",
]

EXPECTED = (ValueError, TypeError, OSError, MemoryError, ArithmeticError, ImportError, LookupError, RuntimeError)
"""What bad input and bad options can raise: said on a line."""

_NUMBERS = re.compile(r"\d{1,18}")
_SHAPE = re.compile(r"\d{1,18}(?:[,x]\d{1,18})*")
_LONGEST_SHAPE = 3
_LONGEST_MESSAGE = 2000

_WORDS = {"true": True, "false": False, "null": None}


def add_option(parser: argparse._ActionsContainer, flag: str, whose: str, example: str) -> None:
    """Let a command take options by name, any number of times; a list of (name, value) results."""
    flags = ("-o", flag) if flag == "--option" else (flag,)
    parser.add_argument(
        *flags, action="append", default=[], metavar="NAME=VALUE", type=_parse, help=f"for the {whose}, {example}"
    )


_NOT_OFFERED = (
    "show_progressbar",
    "progress",
    "lazy",
    "follow",
    "guard",
    "metadata",
)  # of programs, or with words of its own
_SHAPES = ("navigation_shape", "signal_shape")


def add_reader_options(parser: argparse.ArgumentParser, *groups: str) -> None:
    """Let a command take the options of readers: each by its own name, as the table of options has them, and by ``-o``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    *groups : str
        Of `rsciio_tpx3.reader.options.OPTIONS`; all by default.
    """
    heading = parser.add_argument_group("options of the reader", "The same as in hs.load; -o takes all others.")
    for option in OPTIONS.values():
        if option.name in _NOT_OFFERED or (groups and option.group not in groups):
            continue
        kind = whole_numbers if option.name in _SHAPES else parsed_value
        words = list_of_words(option)
        shown = "X,Y" if option.name in _SHAPES else "VALUE" if not words else "{" + ",".join(words) + "}"
        added = heading.add_argument(
            f"--{option.name.replace('_', '-')}", dest=f"reader_{option.name}", type=kind, default=argparse.SUPPRESS,
            metavar=shown.replace("%", "%%"), help=option.text.replace("%", "%%").replace("`", ""),
        )  # fmt: skip
        added.words = words  # for completion: they are checked by the reader, in its words
    add_option(heading, "--option", "reader", "such as -o dwell_time='1 us' -o navigation_shape=256,256")
    _short_usage(parser)
    _join_shapes(parser)


def _join_shapes(parser: argparse.ArgumentParser) -> None:
    """Take ``--navigation-shape 32 24`` too, as it is typed by who has seen it with other programs."""
    known = parser.parse_known_args

    def parse(
        words: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        words = sys.argv[1:] if words is None else words
        return known(joined_numbers(words, "--navigation-shape"), namespace)

    parser.parse_known_args = parse


def _short_usage(parser: argparse.ArgumentParser) -> None:
    """Usage without the forty options of readers: it stands before each error, which would be lost behind them."""

    full = parser.format_help

    def short() -> str:
        own = [action for action in parser._actions if not action.dest.startswith("reader_")]
        formatter = parser._get_formatter()
        formatter.add_usage(None, own, parser._mutually_exclusive_groups)
        return f"{formatter.format_help().rstrip()}\n       and options of the reader: {parser.prog} --help\n"

    def whole() -> str:
        parser.usage = short().removeprefix("usage: ").rstrip()
        return full()

    parser.format_usage, parser.format_help = short, whole


def reader_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Options of the reader from those of a command; one that is given in both ways is refused."""
    found = {key.removeprefix("reader_"): value for key, value in vars(arguments).items() if key.startswith("reader_")}
    for name, value in arguments.option:
        if name in found:
            raise ValueError(f"{name} is given twice, by its own name and by -o. Leave one of them out.")
        found[name] = value
    return found


def recordings(arguments: argparse.Namespace) -> list[str | list[str]]:
    """The recordings of a command: all files are one, in pieces, or with ``--each`` one each."""
    files = arguments.files
    for path in files:
        need_file(path)
    return list(files) if arguments.each else [files if len(files) > 1 else files[0]]


def _parse(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as layout=quad")
    if name in ("filename", "path", "lazy"):
        raise argparse.ArgumentTypeError(f"{name} is not for the command line: files stand by themselves")
    return name, parsed_value(value)


def parsed_value(text: str) -> Any:
    """A value as in Python, or as in JSON; "256,256" is a tuple, and anything else is text."""
    if text in _WORDS:
        return _WORDS[text]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def whole_numbers(text: str) -> tuple[int, ...]:
    """Integers separated by commas (or x), as a tuple."""
    if not _SHAPE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected integers such as 256,256, got {text!r}")
    return tuple(map(int, re.split("[,x]", text)))


def joined_numbers(words: Sequence[str], option: str) -> list[str]:
    """Words of a command line with the numbers after an option as one: ``--shape 32 24`` is ``--shape 32,24``."""
    found, i = [], 0
    while i < len(words):
        found.append(words[i])
        i += 1
        if words[i - 1] == option:
            numbers = []
            while i < len(words) and len(numbers) < _LONGEST_SHAPE and _NUMBERS.fullmatch(words[i]):
                numbers.append(words[i])
                i += 1
            if numbers:
                found.append(",".join(numbers))
    return found


def add_files(parser: argparse.ArgumentParser, least: int, text: str) -> None:
    """Let a command take files, before, between and behind its options; `least` of them are needed."""
    parser.add_argument("files", nargs="*", metavar="FILE", help=text)
    known = parser.parse_known_args

    def parse(
        words: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        # argparse ends a list of files at the first option: those behind it are left over
        words = sys.argv[1:] if words is None else words
        # argparse takes the two dashes away, and hands on an empty list
        if without := [word for word in words if word.startswith("-") and word.endswith("=--")]:
            parser.error(f"{without[0]}: '--' is not a value")
        found, rest = known(words, namespace)
        found.files += [word for word in rest if not _is_option(word)]
        options = [word for word in rest if _is_option(word)]
        if options:
            parser.error(f"unrecognized arguments: {' '.join(options)}")
        if len(found.files) < least:
            parser.error(f"expected at least {least} FILE{'s' if least > 1 else ''}, got {len(found.files)}")
        return found, []

    parser.parse_known_args = parse


def _is_option(word: str) -> bool:
    return word.startswith("-") and word != "-"


def one_line(error: object) -> str:
    """The words of an error for the terminal: without what would move its cursor, and not without end."""
    text = str(error) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"{text} is missing"
    text = "".join(letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in text)
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]} ..."


def add_recording(parser: argparse.ArgumentParser) -> None:
    """Let a command take the options of a `rsciio_tpx3.live.Recorder`; `recording_options` gives them."""
    parser.add_argument(
        "--measurements", type=whole_or_all, default=1, metavar="N", help="to record; 'all' until Ctrl+C"
    )
    parser.add_argument("--wait", type=float, metavar="SECONDS", help="for the sender; for ever by default")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")


def recording_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Options of a recorder, from those of a command."""
    return {name: getattr(arguments, name) for name in ("measurements", "wait", "overwrite")}


def whole_or_all(text: str) -> int | None:
    """A number from 1 on, or None for "all"."""
    if text == "all":
        return None
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, or 'all', got {text!r}")
    return int(text)
