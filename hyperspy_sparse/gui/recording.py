"""The panel of a recording: where its events went; and its trigger edges, where the scan is not found."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import hyperspy.api as hs
import traits.api as t

from hyperspy_sparse.gui.registry import add_gui
from hyperspy_sparse.gui.tool import Field, Tool, need_sparse
from hyperspy_sparse.gui.trigger_edges import describe_edges, draw_edges
from rsciio_tpx3.exceptions import MetadataConflictError, ScanSyncError
from rsciio_tpx3.reader.options import OPTIONS
from rsciio_tpx3.recording import open_recording

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal
    from matplotlib.figure import Figure


__all__ = ["Recording"]

_SUMMARY, _EDGES = "summary", "trigger edges"


@add_gui("Recording")
class Recording(Tool):
    """What a recording holds and where its events went; its trigger edges in a picture.

    Parameters
    ----------
    source : signal, str or Path
        A sparse signal, or a recording by its name: also one whose scan is not found.
    **options
        Of the reader, for a file.

    Attributes
    ----------
    show : {"summary", "trigger edges"}
        Which picture.
    summary : Summary or None
        See `hyperspy_sparse.recording_summary`; None where the scan is not found.
    problem : str
        Why the scan is not found.

    Raises
    ------
    TypeError, ValueError
        For what is not a signal, or a signal that is not sparse.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> panel = hyperspy_sparse.gui.Recording(hyperspy_sparse.data.disks())
    >>> print(panel.report)
    sparse     4,089 entries in memory: 20.34 kiB, dense 48.00 kiB
    """

    title = "Recording"
    figure_size = (8.0, 3.6)
    fields = (
        Field("show", "Show", "choice", "Where the events went, or the marks by which the scan is found.", "pictures"),
    )

    show = t.Str(_SUMMARY)
    pictures = t.List(t.Str())
    summary = t.Any()

    def __init__(self, source: BaseSignal | str | os.PathLike, **options: Any) -> None:
        super().__init__()
        self._edges: Any = None
        if isinstance(source, (str, os.PathLike)):
            self._open(source, options)
        else:
            need_sparse(source)
            self.summary = source.recording
        known = {_SUMMARY: self.summary, _EDGES: self._edges}
        self.pictures = [name for name, thing in known.items() if thing is not None]
        self.show = self.pictures[0]
        self._report()

    def _open(self, filename: str | os.PathLike, options: dict) -> None:
        known = {name: value for name, value in options.items() if OPTIONS[name].group not in ("array", "file")}
        self._edges = open_recording(filename, known, "The panel of trigger edges")[0].index().edges
        try:
            self.summary = hs.load(os.fspath(filename), lazy=True, **options).recording
        except (ScanSyncError, MetadataConflictError) as error:
            self.problem = str(error)

    @t.observe("show")
    def _report(self, event: Any = None) -> None:
        summarised = self.show == _SUMMARY and self.summary is not None
        edges = self._edges
        self.report = str(self.summary) if summarised else "" if edges is None else describe_edges(edges)
        self.drawn = True

    def draw(self, figure: Figure) -> None:
        """Draw the summary, or the edges."""
        if self.show == _EDGES and self._edges is not None:
            draw_edges(self._edges, figure)
        elif self.summary is not None:
            self.summary.draw(figure)
