"""What an event format declares, and the one assembly that makes a reader of it.

A format says what its source is called, which options it takes, and what lies next to its files; everything else (scan,
electrons, metadata, laziness, following a growing file, documentation) is the same for all of them, and is here.
"""

from __future__ import annotations

import functools
import inspect
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.metadata.known import first_piece, gather, read_sources, steered
from rsciio_tpx3.reader.deferred import event_signal_when_needed
from rsciio_tpx3.reader.event_info import event_info, signal_offers
from rsciio_tpx3.reader.event_options import event_options
from rsciio_tpx3.reader.option_checks import check_options, refuse_unknown
from rsciio_tpx3.reader.options import OPTIONS, documented, names_of
from rsciio_tpx3.reader.scan import scan_options
from rsciio_tpx3.reader.sidecar_options import options_of_sidecars
from rsciio_tpx3.reader.signal import followed
from rsciio_tpx3.utils.logs import follow_host

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import EventSource
    from rsciio_tpx3.metadata.known import KnownMetadata
    from rsciio_tpx3.scan.options import ScanOptions


__all__ = ["EventFormat", "open_events", "read_events", "reader_functions"]


@dataclass(frozen=True)
class EventFormat:
    """Everything that tells one event format from another.

    Attributes
    ----------
    name : str
        As RosettaSciIO has it in ``specifications.yaml``.
    what : str
        For messages, such as ".tpx3 files".
    source : callable
        ``source(filename, **options)`` gives the `rsciio_tpx3.EventSource`, by a pass over the recording.
    source_options : tuple of str
        Options of the group "source" that it takes, by their names in `rsciio_tpx3.reader.options.OPTIONS`.
    layout : callable
        ``layout(layout, gap, orientation)`` gives the `Layout` of a detector that the user named.
    unread : callable
        ``unread(filename, **options)`` gives the files (`FileStamp`) as they are now, or None where their index is in
        the cache; it refuses files of other formats. By default always None: no recording waits to be read.
    file : callable
        What the source takes of the user's `filename`; refuses what it cannot be.
    sidecars : callable
        ``sidecars(filename)`` gives `SourceValues` of files next to it that only this format has.
    defaults : dict
        Of options that are not as usual.
    texts : dict
        Documentation of options that mean something else here, as ``(kind, text)``.
    summary, filename_text, notes, raises, example : str
        For the docstring of the reader.
    """

    name: str
    what: str
    source: Callable
    source_options: tuple = ()
    layout: Callable = make_layout
    unread: Callable = lambda filename, **options: None
    file: Callable = lambda filename: filename
    sidecars: Callable = lambda filename: ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, tuple] = field(default_factory=dict)
    summary: str = ""
    filename_text: tuple = ("str or Path", "")
    notes: str = ""
    raises: Mapping[str, str] = field(default_factory=dict)
    example: str = ""

    @property
    def options(self) -> dict:
        """Options of its reader, in order, with their defaults."""
        skipped = {*names_of("file"), *(set(names_of("source")) - set(self.source_options))}
        usual = {name: option.default for name, option in OPTIONS.items() if name not in skipped}
        return {**usual, **self.defaults}


def read_events(form: EventFormat, filename: str | os.PathLike | Sequence, options: Mapping[str, Any]) -> list:
    """Read a recording of any event format.

    Parameters
    ----------
    form : EventFormat
    filename : str, Path or sequence of them
    options : dict
        Of the format, those that the user gave, see `EventFormat.options`; sidecars and defaults tell the others.

    Returns
    -------
    list of dict
        One RosettaSciIO signal dictionary.
    """
    follow_host()
    filename = form.file(filename)
    # before the recording is read: a wrong option should not cost a person the time of a pass
    options, known = _known(form, filename, options)
    scan, about = _decided(form, known, options)
    events = event_options(**_those(options, "events"))
    follow = options.get("follow", False)
    has_layout = about.get("layout") is not None and not follow
    signal = event_signal_when_needed(
        partial(form.source, filename, **about),
        partial(form.unread, filename, **about),
        form.layout(about["layout"], about.get("gap", 0), about.get("orientation", "up")) if has_layout else None,
        scan,
        options["lazy"],
        chunks=options["chunks"],
        dtype=options["dtype"],
        show_progressbar=options.get("show_progressbar"),
        events=events,
        known=known,
    )
    return [followed(signal, filename, form.name, dict(options)) if follow else signal]


def open_events(
    form: EventFormat, filename: str | os.PathLike | Sequence, options: Mapping[str, Any]
) -> tuple[EventSource, ScanOptions, KnownMetadata]:
    """The source of a recording with its scan options, for those who want no frames.

    Parameters
    ----------
    form : EventFormat
    filename : str, Path or sequence of them
    options : dict
        Options of the format about scan, detector, electrons and metadata, those that are not as usual.

    Returns
    -------
    source : EventSource
        Of plain hits.
    scan : ScanOptions
    known : KnownMetadata
        What the user and other files tell; it has a say in the scan, see `rsciio_tpx3.reader.scan.known_scan`.
    """
    taken = {name for name in form.options if OPTIONS[name].group != "array"}
    unknown = {name: value for name, value in options.items() if name not in taken}
    refuse_unknown(unknown, _with_signature(form), form.what, taken)
    check_options({"filename": filename, **options})
    event_options(**_those(options, "events"))
    filename = form.file(filename)
    options, known = _known(form, filename, options)
    scan, about = _decided(form, known, options)
    return form.source(filename, **about), scan, known


def _known(
    form: EventFormat, filename: str | os.PathLike | Sequence, requested: Mapping[str, Any]
) -> tuple[dict[str, Any], KnownMetadata]:
    """Every option of the format: as given, else as a sidecar's table ``[load]`` says, else as usual; what is known."""
    first = first_piece(filename, requested.get("all_parts", False))
    sources = read_sources(first, requested.get("metadata"))
    loaded, labels = options_of_sidecars(sources, form.options, requested, form.what)
    options = {**form.options, **loaded, **requested}
    known = gather(first, **_those(options, "metadata"), more=form.sidecars(first), sources=sources)
    known.loaded_by = labels
    return options, known


def _decided(form: EventFormat, known: KnownMetadata, options: Mapping[str, Any]) -> tuple[ScanOptions, dict]:
    """The scan options, and those of the source: sidecars may decide on scan and detector."""
    place = options.get("layout"), options.get("gap", 0), options.get("orientation")
    steered_to = known.steer(**steered(options["signal"], options["navigation_shape"], options["pattern"], *place))
    words = {
        **_those(options, "scan"),
        "navigation_shape": steered_to.get("navigation_shape"),
        "pattern": steered_to["pattern"],
    }
    scan = replace(scan_options(**words), follow=options.get("follow", False))
    decided = {
        "layout": steered_to["layout"],
        "gap": steered_to["gap"] or 0,
        "orientation": steered_to["orientation"] or "up",
    }
    about = {name: decided.get(name, options[name]) for name in form.source_options}
    return scan, about


def _those(options: Mapping[str, Any], group: str) -> dict:
    return {name: options[name] for name in names_of(group) if name in options}


# -- the functions of a format ------------------------------------------------------------------------


def reader_functions(form: EventFormat, module: str) -> tuple:
    """The public functions of an event format: ``file_reader``, ``available_signals`` and ``file_info``.

    Parameters
    ----------
    form : EventFormat
    module : str
        Where they are defined, for `help` and for pickling.
    """

    def file_reader(*args: Any, **kwds: Any) -> list[dict]:
        requested = signature.bind(*args, **kwds).arguments
        filename, unknown = requested.pop("filename"), requested.pop("kwds", {})
        check_options({"filename": filename, **requested})
        refuse_unknown(unknown, file_reader, form.what)
        # hs.load keeps `show_progressbar` to itself (for stacks of files), so there is a name that reaches us
        if requested.get("progress") is not None:
            requested["show_progressbar"] = requested["progress"]
        return read_events(form, filename, requested)

    def available_signals(filename: str | os.PathLike | Sequence, **options: Any) -> list[dict]:
        source, scan, known = open_events(form, filename, options)
        return signal_offers(source.index(), scan, known)

    def file_info(filename: str | os.PathLike | Sequence, **options: Any) -> dict:
        return event_info(*open_events(form, filename, options), form.name)

    # `inspect` looks for a signature there, types of functions have none
    signature = file_reader.__signature__ = _signature(form)  # type: ignore[attr-defined]
    file_reader.__doc__ = _documented(form)
    available_signals.__doc__, file_info.__doc__ = _AVAILABLE, _INFO
    for function in (file_reader, available_signals, file_info):
        function.__module__, function.__qualname__ = module, function.__name__
    return file_reader, available_signals, file_info


@functools.cache
def _with_signature_of(names: tuple[str, ...]) -> Callable:
    def reader() -> None:
        """Stands for the reader of a format, whose options are compared with what was given."""

    kind = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in names])
    reader.__signature__ = signature  # type: ignore[attr-defined]  # as in `reader_functions`
    return reader


def _with_signature(form: EventFormat) -> Callable:
    return _with_signature_of(("filename", *form.options))


def _signature(form: EventFormat) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    options = [inspect.Parameter(name, kind, default=default) for name, default in form.options.items()]
    return inspect.Signature(
        [inspect.Parameter("filename", kind), *options, inspect.Parameter("kwds", inspect.Parameter.VAR_KEYWORD)]
    )


def _documented(form: EventFormat) -> str:
    """The docstring of a reader, in numpydoc's form."""
    entries = [documented("filename", *form.filename_text)]
    entries += [documented(name, *form.texts.get(name, ())) for name in form.options]
    entries.append("**kwds\n    Refused, with the option that was probably meant.")
    notes = [textwrap.fill(form.notes, 114), ""] if form.notes else []
    lines = [form.summary, "", *notes, "Parameters", "----------", *entries]
    lines += ["", "Returns", "-------", "list of dict"]
    lines.append("    One RosettaSciIO signal dictionary: ``data`` (dask array of `CSRFrames`), ``axes``,")
    lines.append("    ``metadata``, ``original_metadata``, ``attributes``, ``post_process``.")
    lines += ["", "Raises", "------"]
    for name, text in form.raises.items():
        lines += [name, textwrap.indent(textwrap.fill(text, 110), "    ")]
    return "\n".join([*lines, "", "Examples", "--------", form.example, ""])


_AVAILABLE = """What a recording can be loaded as.

Parameters
----------
filename : str, Path or sequence of them
**options
    As for `file_reader`, such as ``dwell_time="1 us"``.

Returns
-------
list of dict
    Each with ``signal`` (what to pass), ``ready`` (whether it loads as it is), and either ``navigation_shape``,
    ``sync`` and ``tdc``, or ``needs``: what has to be given and why.

Examples
--------
>>> import rsciio_tpx3
>>> rsciio_tpx3.available_signals("scan.tpx3")  # doctest: +SKIP
[{'signal': 'scan', 'ready': True, 'sync': 'line-gate', ...}, {'signal': 'frames', ...}]
"""

_INFO = """What is in a recording, without decoding its hits.

Parameters
----------
filename : str, Path or sequence of them
**options
    As for `available_signals`.

Returns
-------
dict
    Plain numbers and text, ready for JSON: ``files``, ``bytes``, ``chips``, ``hits``, ``packets`` or ``records``,
    ``edges`` (number, period and its error of each kind, in seconds), ``first`` and ``last`` time in seconds,
    ``losses``, ``signals`` (`available_signals`).

Examples
--------
>>> import rsciio_tpx3
>>> rsciio_tpx3.file_info("scan.tpx3")["hits"]  # doctest: +SKIP
"""
