"""The dialog for loading: every option of the reader, and at once what it makes of the recording.

Options, their values and documentation come from `rsciio_tpx3.reader.options.OPTIONS`; which of them a file takes,
and their defaults, from the signature of its reader.
"""

from __future__ import annotations

import inspect
import os
import re
from ast import literal_eval
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hyperspy.api as hs
import traits.api as t

from hyperspy_sparse.gui.registry import add_gui
from hyperspy_sparse.gui.tool import Action, Field, Tool, label_of, load_line
from hyperspy_sparse.gui.trigger_edges import describe_edges, draw_edges
from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.formats import EVENT_FORMATS, FORMATS, format_of, module_of, name_of, size_of
from rsciio_tpx3.information import available_signals
from rsciio_tpx3.metadata.known import read_sources
from rsciio_tpx3.metadata.sources.sidecars import sidecar_path
from rsciio_tpx3.reader.option_checks import check_options
from rsciio_tpx3.reader.options import OPTIONS, names_of
from rsciio_tpx3.reader.sidecar_options import options_of_sidecars, sidecar_of_options
from rsciio_tpx3.recording import open_recording
from rsciio_tpx3.utils.files import write_text
from rsciio_tpx3.utils.text import format_seconds

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal
    from matplotlib.figure import Figure

    from hyperspy_sparse.summary import Summary
    from rsciio_tpx3.events.source import Edges
    from rsciio_tpx3.reader.options import Option

__all__ = ["Load"]

FOLLOWED_BYTES = 1 << 28
"""Size up to which a preview follows every choice by itself; above, it waits for its button."""

_QUANTITIES = {
    "beam_energy": ("Beam energy", "200 keV"),
    "camera_length": ("Camera length", "100 mm"),
    "scan_step": ("Scan step", "0.05 nm"),
}
"""What most people know about their microscope; all else goes into a file for `metadata`."""

_FIRST = ("signal", "navigation_shape", "dwell_time", "frame_time", "sync", "tdc", "frames")
_LABELS = {"tdc": "TDC edges", "toa_bits": "ToA bits", "signal": "Load as", "navigation_shape": "Scan shape (x, y)"}
_GROUPS = {
    "scan": "Scan",
    "source": "Detector and file",
    "events": "Hits and electrons",
    "metadata": "Metadata",
    "array": "Reading",
    "file": "Reading",
}
_NOT_OFFERED = ("show_progressbar", "progress", "guard")  # of the program that loads, not of the recording
_NOT_WRITTEN = ("lazy", "metadata", "cluster")  # who loads decides; the file has its keys; written by its own rule
_EXAMPLES = {"navigation_shape": "256, 256", "dwell_time": "0.5 us", "frame_time": "1 ms", "scan_delay": "1.2 us"}


def _choices(option: Option) -> tuple:
    """Words that an option takes, where its documentation lists them all; ``{"raise", "warn"}``."""
    words = re.match(r"\{(.*?)\}(, optional)?$", option.kind)
    if words is None:
        return ()
    found = tuple(literal_eval(f"({words[1]},)"))
    return found if option.default in found else (option.default, *found)


def _field(option: Option) -> Field:
    label = _LABELS.get(option.name, label_of(option.name))
    group = "" if option.name in _FIRST else _GROUPS[option.group]
    choices = _choices(option)
    kind = "choice" if choices else "flag" if option.kind == "bool" else "value"
    example = _EXAMPLES.get(option.name, option.kind.removesuffix(", optional"))
    return Field(option.name, label, kind, option.text, choices, group=group, placeholder=example)


def _fields() -> tuple[Field, ...]:
    rows = [_field(option) for option in OPTIONS.values() if option.name not in _NOT_OFFERED]
    first = [row for name in _FIRST for row in rows if row.name == name]
    rows.sort(key=lambda row: list(_GROUPS.values()).index(row.group) if row.group else -1)
    events = Field("events", "Events", "choice", "Hits as they are, or one electron for each cluster of hits.",
                   ("hits", "electrons"))  # fmt: skip
    known = [Field(name, label, "text", f"Such as {example!r}.", group="Metadata", placeholder=example)
             for name, (label, example) in _QUANTITIES.items()]  # fmt: skip
    file = Field("filename", "File", "file", "A recording (.tpx3, .t3pa, .t3p) or a file of counts.")
    rest = [row for row in rows if row not in first]
    at = next(i for i, row in enumerate(rest) if row.group == "Metadata")
    return (file, *first, events, *rest[:at], *known, *rest[at:])


@add_gui("Load")
class Load(Tool):
    """Choose how a file is loaded, and see what becomes of it.

    Each option of the reader is an attribute of the same name. Widgets show the same choices: ``load.gui()``.

    Parameters
    ----------
    filename : str or Path, optional
    **options
        Of the reader, as for `hs.load`.

    Attributes
    ----------
    offers : list of dict
        What the file can be loaded as, see `rsciio_tpx3.available_signals`.
    events : {"hits", "electrons"}
        Whether clusters of hits become electrons; how is for ``cluster``, a dictionary.
    beam_energy, camera_length, scan_step : str
        Quantities with units, for ``metadata``.
    code : str
        The line that loads the same.
    summary : Summary or None
        Of the last `preview`: what was placed and lost.

    Raises
    ------
    AttributeError
        For an option that no reader has.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from rsciio_tpx3 import simulate
    >>> from hyperspy_sparse.gui import Load
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "scan.tpx3"
    >>> truth = simulate.recording(file, (6, 8), dwell_time="5 us", electrons_per_position=20)
    >>> load = Load(file, navigation_shape=(8, 6))
    >>> load.preview().event
    'hits'
    >>> load.events = "electrons"
    >>> load.code.split(", ", 1)[1]
    'navigation_shape=(8, 6), cluster=True)'
    >>> load.load().axes_manager.navigation_shape
    (8, 6)
    """

    title = "Load a recording"
    fields = _fields()
    actions = (
        Action("preview", "Preview", "Read the recording with these choices and show the counts of each position."),
        Action("write_sidecar", "Remember", "Write the choices next to the recording: hs.load then makes them itself."),
        Action("load", "Load", "Load the signal; it is available as .signal_loaded."),
    )
    figure_size = (8.0, 3.6)

    filename = t.Str()
    events = t.Enum("hits", "electrons")
    beam_energy, camera_length, scan_step = t.Str(), t.Str(), t.Str()
    offers = t.List()
    follow_choices = t.Bool(False)
    signal_loaded = t.Any()
    summary = t.Any()

    def __init__(self, filename: str | os.PathLike = "", **options: Any) -> None:
        super().__init__()
        self._usual: dict[str, Any] = {}  # defaults of the reader
        self._defaults: dict[str, Any] = {}  # those of this file, for which a sidecar has a word
        self._unplaced: Edges | None = None
        self.hidden = list(OPTIONS)
        if filename:
            self.filename = os.fspath(filename)
        for name, value in options.items():
            if name not in self.trait_names():
                raise AttributeError(f"{name!r} is not an option of readers: known are {', '.join(OPTIONS)}.")
            setattr(self, name, value)

    # -- what the file is -----------------------------------------------------------------------------

    @t.observe("filename")
    def _look(self, event: Any = None) -> None:
        """Find out which options the file takes, and what it offers."""
        self.summary, self.problem, self.report, self._unplaced = None, "", "", None
        self.offers = []
        try:
            reader = module_of(format_of(self.filename)).file_reader
        except (OSError, ValueError) as error:  # no such file, or not a file at all
            self.problem = str(error)
            return
        parameters = inspect.signature(reader).parameters
        before = self._defaults
        self._usual = {name: parameters[name].default for name in OPTIONS if name in parameters}
        self._defaults = dict(self._usual)
        if os.path.isfile(self.filename):
            self.press("_ask_sidecars")
        for name, default in self._defaults.items():
            if _same(getattr(self, name), before.get(name, OPTIONS[name].default)):
                setattr(self, name, default)  # a format may have another default, and a sidecar too
        self._hide()
        if os.path.isfile(self.filename) and not self.problem:
            self.press("look")

    def _ask_sidecars(self) -> None:
        """What a file next to the recording contains is the default, since loading takes it too."""
        folder = format_of(self.filename)
        if folder in EVENT_FORMATS:
            found = options_of_sidecars(read_sources(self.filename), self._usual, {}, f"{name_of(folder)} files")[0]
            self._defaults.update(found)

    def look(self) -> list[dict]:
        """Ask the file what it can be loaded as, with the present choices; fills `offers`, and `report` with words."""
        chosen = {name: value for name, value in self.chosen().items() if name not in ("lazy", "chunks", "dtype")}
        self.offers = available_signals(self.filename, **chosen)
        self.report = "\n".join(_offer_text(offer) for offer in self.offers)
        return self.offers

    def _hide(self) -> None:
        taken = set(self._defaults)
        # the length of a frame means nothing for a scan, and what makes a scan nothing for frames over time
        unused = {"frame_time"} if self.signal != "frames" else set(_FIRST) - {"signal", "frame_time"}
        hidden = [name for name in OPTIONS if name not in taken or name in unused]
        self.hidden = hidden + ["events"] * ("cluster" not in taken)

    def shown(self) -> None:
        """In widgets the preview follows each choice, where the file is small."""
        self.follow_choices = True

    # -- what was chosen ------------------------------------------------------------------------------

    def chosen(self) -> dict[str, Any]:
        """Options that differ from the reader's defaults, as `hs.load` takes them.

        Returns
        -------
        dict
            Option to value.
        """
        found = {name: getattr(self, name) for name in self._defaults if name not in self.hidden}
        found.pop("cluster", None)
        found = {name: value for name, value in found.items() if not _same(value, self._defaults[name])}
        found.update(self._cluster(self._defaults))
        known = {name: getattr(self, name) for name in _QUANTITIES if getattr(self, name).strip()}
        if known:
            named = found.get("metadata", [])
            found["metadata"] = [known, *(named if isinstance(named, list) else [named])] if named else known
        folder = format_of(self.filename)
        if os.path.splitext(self.filename)[1].lower() not in FORMATS[folder].endings:
            found["file_format"] = name_of(folder)
        return found

    def _cluster(self, defaults: dict[str, Any]) -> dict[str, Any]:
        """The option for electrons, where it is not the default."""
        if "cluster" not in defaults:
            return {}
        value = (self.cluster or True) if self.events == "electrons" else None if defaults["cluster"] is None else False
        return {} if _same(value, defaults["cluster"]) else {"cluster": value}

    @t.observe("cluster")
    def _electrons(self, event: Any) -> None:
        self.events = "electrons" if event.new else "hits"

    @t.observe("+option, events, beam_energy, camera_length, scan_step, filename")
    def _changed(self, event: Any = None) -> None:
        if not self.filename:
            return
        if event is not None and event.name == "signal":
            self._hide()
        try:
            options = self.chosen()
        except (OSError, ValueError):
            return  # `_look` has said so
        self.code = load_line(self.filename, options)
        if self.follow_choices and self._is_quick():
            self.press("preview")

    def _is_quick(self) -> bool:
        return os.path.isfile(self.filename) and size_of(self.filename) <= FOLLOWED_BYTES

    # -- what becomes of it ---------------------------------------------------------------------------

    def preview(self) -> Summary:
        """Read the recording with the present choices; the picture shows the counts of each position.

        Returns
        -------
        Summary
            The summary of the recording, also available as `summary`.

        Raises
        ------
        ValueError, rsciio_tpx3.ScanSyncError, rsciio_tpx3.UnitError
            As loading raises; then the picture shows the trigger edges, where the file has any.
        """
        self.summary, self._unplaced = None, None
        try:
            self.summary = self._read(lazy=True).recording
        except ScanSyncError:
            self._unplaced = self._edges()
            raise
        finally:
            edges = self._unplaced
            self.report = str(self.summary or ("" if edges is None else describe_edges(edges)))
            self.drawn = True
        return self.summary

    def _edges(self) -> Edges | None:
        """Trigger edges of the file, whatever its scan is; None for counts."""
        detector = {name: value for name, value in self.chosen().items() if name in names_of("source")}
        is_recording = format_of(self.filename) in EVENT_FORMATS
        return open_recording(self.filename, detector)[0].index().edges if is_recording else None

    def load(self) -> BaseSignal:
        """Load the signal, and keep it as `signal_loaded`.

        Returns
        -------
        LazySparseElectronDiffraction2D, or another of the sparse classes
        """
        self.signal_loaded = self._read()
        self.report = repr(self.signal_loaded)
        return self.signal_loaded

    def _read(self, **more: Any) -> BaseSignal:
        if not os.path.isfile(self.filename):
            raise FileNotFoundError(f"There is no file {self.filename!r}. Choose a recording.")
        options = self.chosen()
        check_options(options)
        return hs.load(self.filename, **{**options, **more})

    def write_sidecar(self, overwrite: bool = False) -> str:
        """Write the choices next to the recording, so that `hs.load` makes them by itself.

        Parameters
        ----------
        overwrite : bool
            Replace a file that is there.

        Returns
        -------
        str
            Path of the file, such as ``scan.metadata.toml``: quantities, and a table ``[load]`` of options.

        Raises
        ------
        FileExistsError
            If the file is there and `overwrite` is not set.
        ValueError
            If a choice cannot be written, or the format of the file has no sidecars.
        """
        if format_of(self.filename) not in EVENT_FORMATS:
            raise ValueError(f"{self.filename!r} holds counts: a file of options is for recordings.")
        path = sidecar_path(self.filename)
        if os.path.exists(path) and not overwrite:
            raise FileExistsError(f"{path!r} is there already. Edit it, remove it, or pass overwrite=True.")
        known = {name: getattr(self, name) for name in _QUANTITIES if getattr(self, name).strip()}
        options = {name: getattr(self, name) for name in self._usual if name not in (*self.hidden, *_NOT_WRITTEN)}
        options = {name: value for name, value in options.items() if not _same(value, self._usual[name])}
        options.update(self._cluster(self._usual))
        check_options(options)
        write_text(path, sidecar_of_options(options, known, os.path.dirname(os.path.abspath(path))))
        self.report = f"{path} is written: hs.load({self.filename!r}) now makes these choices by itself."
        return path

    def draw(self, figure: Figure) -> None:
        """Draw the counts of each position and where the events went; without a scan, the trigger edges."""
        if self.summary is not None:
            self.summary.draw(figure)
        elif self._unplaced is not None:
            draw_edges(self._unplaced, figure)

    def recordings(self) -> list[str]:
        """Files in the folder of the present one that can be loaded, for a list to choose from."""
        folder = Path(self.filename).parent if self.filename else Path()
        endings = {ending for form in FORMATS.values() for ending in form.endings}
        if not folder.is_dir():
            return []
        return sorted(str(path) for path in folder.iterdir() if path.suffix.lower() in endings)


for _option in OPTIONS.values():
    Load.add_class_trait(_option.name, t.Any(_option.default, option=True))


def _same(value: Any, default: Any) -> bool:
    """Whether a value is the default: also where its comparison gives an array, or 1 stands for True."""
    if value is None or default is None:
        return value is default
    return type(value) is type(default) and bool(value == default)


def _offer_text(offer: dict) -> str:
    if not offer["ready"]:
        return f"{offer['signal']}: needs {offer['needs']}"
    shape = " x ".join(map(str, offer["navigation_shape"]))
    dwell = f", dwell time {format_seconds(offer['dwell_time'])}" if offer.get("dwell_time") else ""
    how = f", {offer['sync']}" if offer.get("sync") else ""
    return "\n".join([f"{offer['signal']}: {shape} positions (x, y){dwell}{how}", *offer.get("notes", ())])
