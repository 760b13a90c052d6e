"""``rsciio-tpx3 completion``: a script by which the shell completes commands, options and their values."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import rsciio_tpx3.cli.main as main

__all__ = ["add_completion_parser", "completion_script"]

_HEAD = """\
# Completion of rsciio-tpx3 for {shell}: source this file, or put it where your shell looks for completions.
{setup}_rsciio_tpx3() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" command="" words="" w
    for w in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$w" in -*) ;; *) command="$w"; break ;; esac
    done
    case "$command $before" in
"""
_MIDDLE = """\
    esac
    case "$command" in
"""
_TAIL = """\
        *) words="{commands}" ;;
    esac
    case "$word" in
        -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
        *) if [ -z "$command" ]; then COMPREPLY=($(compgen -W "$words" -- "$word"))
           else COMPREPLY=($(compgen -f -- "$word")); fi ;;
    esac
}}
complete -o filenames -F _rsciio_tpx3 rsciio-tpx3
"""
_SETUP = {"bash": "", "zsh": "autoload -U +X bashcompinit && bashcompinit\n"}


def add_completion_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add ``completion`` to the command line; ``args.run(args)`` does it."""
    parser = subparsers.add_parser(
        "completion",
        help="print a script that completes commands and options in your shell",
        description="Print a script that completes commands, options and their values: for bash, source "
        "<(rsciio-tpx3 completion bash).",
    )
    parser.add_argument("shell", choices=sorted(_SETUP))
    parser.set_defaults(run=_run)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    print(completion_script(main.build_parser(), arguments.shell), end="")


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for a shell.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        With subparsers.
    shell : {"bash", "zsh"}

    Returns
    -------
    str
    """
    commands = _commands(parser)
    values = "".join(_values(commands))
    words = "".join(f'        {name}) words="{" ".join(_flags(one))}" ;;\n' for name, one in commands.items())
    names = " ".join([*commands, *_flags(parser)])
    return _HEAD.format(shell=shell, setup=_SETUP[shell]) + values + _MIDDLE + words + _TAIL.format(commands=names)


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    [made] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(made.choices)


def _flags(parser: argparse.ArgumentParser) -> list[str]:
    return [flag for action in parser._actions for flag in action.option_strings]


def _values(commands: dict[str, argparse.ArgumentParser]) -> Iterator[str]:
    """Words that may follow an option which takes one of a few."""
    for name, parser in commands.items():
        for action in parser._actions:
            words = action.choices or getattr(action, "words", ())
            for flag in action.option_strings if words else ():
                listed = " ".join(map(str, words))
                yield f'        "{name} {flag}") COMPREPLY=($(compgen -W "{listed}" -- "$word")); return ;;\n'
