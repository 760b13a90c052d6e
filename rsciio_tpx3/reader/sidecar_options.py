"""Options that a file next to a recording tells: the table ``[load]`` of a sidecar that a person wrote.

They are those of the reader, and checked as arguments are. A file comes from elsewhere, though: what it names has to
lie in its own folder.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.reader.event_options import event_options
from rsciio_tpx3.reader.option_checks import check_options, nearest_option
from rsciio_tpx3.reader.options import OPTIONS, names_of
from rsciio_tpx3.utils.units import shown

if TYPE_CHECKING:
    from rsciio_tpx3.metadata.values import SourceValues

__all__ = ["options_of_sidecars", "sidecar_of_options"]

_logger = logging.getLogger(__name__)

_NOT_HERE = {
    "lazy": "hs.load always says whether it is lazy: pass it there",
    "metadata": "write its keys into this file itself, outside of the table",
}


def options_of_sidecars(
    sources: Sequence[SourceValues], options: Mapping[str, Any], requested: Mapping[str, Any], what: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """What sidecars tell of a reader's options, where the user has not said it.

    Parameters
    ----------
    sources : sequence of SourceValues
        The most trusted first, see `rsciio_tpx3.metadata.known.read_sources`.
    options : dict
        Every option of the reader.
    requested : dict
        Options that the user gave, which win.
    what : str
        For messages, such as ".tpx3 files".

    Returns
    -------
    options : dict
        Option to value; paths are absolute.
    labels : dict of str to str
        Option to the file that it is from.

    Raises
    ------
    TypeError
        For a name that is not an option, with the nearest that is.
    ValueError
        For a value that the option does not take, or a path that leads out of the folder of the file.
    """
    found: dict[str, Any] = {}
    labels: dict[str, str] = {}
    for source in sources:
        if not source.load:
            continue
        with _named(source.label):
            for name, value in _checked(source, options, what).items():
                # What the user says wins, then the first sidecar; who gave way is logged, so that nobody has to
                # wonder.
                if name in requested or _said_by_the_user(sources, name):
                    _logger.info(f"{name}: {shown(value)} of [load] in {source.label} gives way to what you said.")
                elif name not in found:
                    found[name], labels[name] = value, source.label
                    _logger.info(f"{name}: {shown(value)}, as [load] in {source.label} says.")
                elif found[name] != value:
                    _logger.warning(
                        f"{name}: {shown(found[name])} is taken from [load] in {labels[name]}; {shown(value)} "
                        f"({source.label}) disagrees."
                    )
    return found, labels


def _checked(source: SourceValues, options: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The table of one file, each value as an argument would have to be."""
    if not isinstance(source.load, dict):
        raise TypeError(f"expected a table of options, got {shown(source.load)}.")
    for name in source.load:
        if name in _NOT_HERE:
            raise TypeError(f"{name!r} cannot be set by a file: {_NOT_HERE[name]}.")
        if name not in options:
            raise TypeError(f"unknown option {name!r} for {what}. {nearest_option(name, [*options])}")
    check = partial(_inside, os.path.realpath(source.folder))
    values = {name: _with_paths(name, value, check) for name, value in source.load.items()}
    check_options(values)
    event_options(**{name: values[name] for name in names_of("events") if name in values})
    return values


def _with_paths(name: str, value: Any, check: Callable) -> Any:
    paths = OPTIONS[name].paths
    return value if paths is None else paths(value, partial(check, name))


def _inside(folder: str, name: str, path: str) -> str:
    """The absolute path of what a file names, if it lies in the folder of the file."""
    full = os.path.realpath(os.path.join(folder, path))
    try:
        inside = os.path.commonpath([folder, full]) == folder
    except ValueError:  # on another drive
        inside = False
    if not inside:
        raise ValueError(
            f"{name}: {shown(path)} leads out of the folder of the file, which could then name any file of yours. "
            f"Put it next to the recording, or pass {name} yourself."
        )
    return full


def _said_by_the_user(sources: Sequence[SourceValues], name: str) -> bool:
    return any(source.kind == "user" and name in source.values for source in sources)


@contextmanager
def _named(label: str) -> Iterator[None]:
    """Begin messages with the file: the user has not written these options today."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise type(error)(f"{label}, table [load]: {error}") from None
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{label}, table [load]: {error}") from None


def sidecar_of_options(options: Mapping[str, Any], quantities: Mapping[str, str], folder: str) -> str:
    """The text of a sidecar in TOML that tells these options, for `options_of_sidecars` to read again.

    Parameters
    ----------
    options : dict
        Option to value.
    quantities : dict
        What is known about the microscope, as text with units.
    folder : str
        In which the file will be; what options name has to lie in it.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        For a value that TOML has no words for, or a path that leads out of the folder.

    Examples
    --------
    >>> from rsciio_tpx3.reader.sidecar_options import sidecar_of_options
    >>> print(sidecar_of_options({"navigation_shape": (32, 24)}, {"beam_energy": "200 keV"}, "."))
    beam_energy = "200 keV"
    <BLANKLINE>
    [load]
    navigation_shape = [32, 24]
    <BLANKLINE>
    """
    root = os.path.realpath(folder)

    def relative(name: str, path: str) -> str:
        # as the reader will see it: relative to the file, with slashes
        return os.path.relpath(_inside(root, name, os.path.abspath(path)), root).replace(os.sep, "/")

    lines = [f"{name} = {json.dumps(text, ensure_ascii=False)}" for name, text in quantities.items()]
    lines += ["", "[load]"] if lines else ["[load]"]
    for name, value in options.items():
        lines.append(f"{name} = {_toml(name, _with_paths(name, value, relative))}")
    return "\n".join(lines) + "\n"


def _toml(name: str, value: Any) -> str:
    """A value in TOML, on one line."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (bool, str)):  # JSON has the same words for these
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_toml(name, item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {_toml(name, item)}" for key, item in value.items()) + "}"
    raise ValueError(f"{name}={shown(value)} has no form in a file; pass it to hs.load.")
