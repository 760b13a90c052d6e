"""``NAME=VALUE`` on the command line: options of a reader or a writer, as they are named in Python."""

import argparse
import ast

__all__ = ["add_option"]

_WORDS = {"true": True, "false": False, "null": None}


def add_option(parser, flag, whose, example):
    """Let a command take options by name, any number of times; a list of (name, value) results."""
    flags = ("-o", flag) if flag == "--option" else (flag,)
    parser.add_argument(
        *flags, action="append", default=[], metavar="NAME=VALUE", type=_parse, help=f"for the {whose}, {example}"
    )


def _parse(text):
    """The value as in Python, or as in JSON; "256,256" is a tuple, and anything else is text."""
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as layout=quad")
    if value in _WORDS:
        return name, _WORDS[value]
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # the last two for very many brackets
        return name, value
