"""What looks at options before a file is opened: values by the table of options, and names that nobody knows.

`rsciio_tpx3.reader.options` has the table. Readers and writers are wrapped by `checks_options` and `checks_arguments`;
whoever takes options in another way (a sidecar, a dialog, a live view) calls `check_options` or `check_by`.
"""

import difflib
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rsciio_tpx3.reader.option_kinds import columns_to_keep, signal_dictionary, stempy_version
from rsciio_tpx3.reader.options import OPTIONS, documented
from rsciio_tpx3.utils.checks import check_flag, check_table, check_target, check_word, check_word_of, files
from rsciio_tpx3.utils.units import shown

__all__ = ["check_by", "check_options", "checks_arguments", "checks_options", "nearest_option", "refuse_unknown"]


_OF_READERS: Mapping[str, Callable] = {"filename": files, **{name: row.check for name, row in OPTIONS.items()}}

_OF_WRITERS: Mapping[str, Callable] = {
    **dict.fromkeys(("show_progressbar", "compact", "overwrite", "verify", "checksum", "allow_external"), check_flag),
    **dict.fromkeys(("filename", "target"), check_target),
    "signal": signal_dictionary,
    "values": check_word_of("auto", "counts", "pulse_height"),
    "compression": check_word_of("blosc2", "gzip"),
    "keep": columns_to_keep,
    "version": stempy_version,
    "source": files,
    **dict.fromkeys(("from_format", "to_format"), check_word),
    **dict.fromkeys(("reader_options", "writer_options"), check_table),
}
"""Checks of writers and conversion: `filename` and `target` are places to write to, `signal` is a dictionary."""


def check_options(values: Mapping[str, Any]) -> None:
    """Refuse values of another kind than their option takes.

    Parameters
    ----------
    values : dict
        Option to value; names that are not options of readers are passed over.

    Raises
    ------
    ValueError
        With the option, what was given, and what is expected; `UnitError` for quantities.
    """
    check_by(_OF_READERS, values)


def checks_options(reader: Callable) -> Callable:
    """Let a reader check its options by their names before it starts; the signature stays.

    A line ``<chunks, metadata>`` in its docstring becomes the entries of these options in the table.
    """
    checked = _checked_by(_OF_READERS, reader)
    if reader.__doc__:  # not under python -OO
        checked.__doc__ = _PLACE.sub(_entries, reader.__doc__)
    return checked


_PLACE = re.compile(r"^( *)<([\w, ]+)>$", re.MULTILINE)


def _entries(place: re.Match) -> str:
    margin, names = place[1], place[2].split(", ")
    return "\n".join(textwrap.indent(documented(name), margin) for name in names)


def checks_arguments(function: Callable) -> Callable:
    """The same for functions that write, and for conversion."""
    return _checked_by(_OF_WRITERS, function)


def _checked_by(checks: Mapping[str, Callable], function: Callable) -> Callable:
    signature = inspect.signature(function)
    catch_all = {name for name, p in signature.parameters.items() if p.kind is p.VAR_KEYWORD}

    @functools.wraps(function)
    def checked(*args: Any, **kwds: Any) -> Any:
        values = signature.bind(*args, **kwds).arguments
        check_by(checks, {name: value for name, value in values.items() if name not in catch_all})
        return function(*args, **kwds)

    return checked


def check_by(checks: Mapping[str, Callable], values: Mapping[str, Any]) -> None:
    """Let each check of a name look at what was given for it, before any work; the rest is let be."""
    for name, value in values.items():
        if name not in checks:
            continue
        try:
            checks[name](name, value)
        except (ValueError, TypeError, OSError, MemoryError, ImportError):
            raise
        except Exception as error:  # what an object raises that somebody has made
            raise TypeError(f"{name}={shown(value)} cannot be understood: {type(error).__name__}: {error}") from error


def refuse_unknown(unknown: Mapping[str, Any], reader: Callable, what: str, taken: set | None = None) -> None:
    """Raise for options that a reader does not know, naming the one that was probably meant.

    Parameters
    ----------
    unknown : dict
        What was left over; nothing happens when it is empty.
    reader : callable
        Whose parameters are the known options.
    what : str
        For the message, such as ".tpx3 files".
    taken : set of str, optional
        Those of the options that the call takes, where it is not the reader itself.
    """
    if not unknown:
        return
    known = [name for name, p in inspect.signature(reader).parameters.items() if p.kind is not p.VAR_KEYWORD]
    name = next(iter(unknown))
    if taken is not None and name in known:
        raise TypeError(f"{name!r} is an option of loading {what}, and means nothing here. Leave it out.")
    known = [other for other in known if taken is None or other in taken or other == known[0]]
    raise TypeError(f"Unknown option {name!r} for {what}. {nearest_option(name, known, known[1:])}")


def nearest_option(name: str, known: Sequence[str], listed: Sequence[str] | None = None) -> str:
    """For messages: the option that was probably meant, or all there are."""
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"Did you mean {near[0]}?" if near else "Known are " + ", ".join(listed or known) + "."
