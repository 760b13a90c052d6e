"""The dialog for hits or electrons: how clusters are made, and what becomes of a sample of the recording."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import traits.api as t

from hyperspy_sparse.gui.registry import add_gui
from hyperspy_sparse.gui.tool import Action, Field, Tool, label_of, load_line
from rsciio_tpx3.cli.options import EXPECTED
from rsciio_tpx3.electrons.clusters import find_electrons
from rsciio_tpx3.electrons.options import CLUSTER_OPTIONS
from rsciio_tpx3.events.grid import pixel_grid
from rsciio_tpx3.reader.event_options import event_options
from rsciio_tpx3.recording import open_recording

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rsciio_tpx3.electrons.options import ClusterOptions
    from rsciio_tpx3.events.source import Hits

__all__ = ["Electrons"]

SAMPLE_HITS = 200_000
"""Hits that are looked at: clustered again within some ten milliseconds."""

_MOST_SIZE = 12  # hits of a cluster that have a bar of their own


def _fields() -> tuple[Field, ...]:
    made = []
    for name, option in CLUSTER_OPTIONS.items():
        group = "Limits" if name.startswith(("min_", "max_")) else ""
        kind = "choice" if option.choices else "text" if option.example else "value"
        made.append(
            Field(
                name,
                label_of(name),
                kind,
                option.text,
                option.choices,
                group=group,
                placeholder=option.example or "no limit",
            )
        )
    return tuple(made)


@add_gui("Electrons")
class Electrons(Tool):
    """Choose what makes an electron, and see sizes, energies and the pattern of a sample.

    Parameters
    ----------
    filename : str or Path
        A recording.
    cluster : bool or dict
        What to begin with, as the option of the reader.
    **options
        Of the reader, about scan and detector.

    Attributes
    ----------
    window, max_duration : str
        Times with units.
    neighbours, position, time, upsample, min_size, max_size, min_tot, max_tot
        As the parameters of ``cluster``; None for no limit.
    cluster : dict or True
        The choices, for the option of the reader.
    sizes : numpy.ndarray of int64, shape (n,)
        Clusters of the sample by their hits: ``sizes[3]`` have three.

    Raises
    ------
    rsciio_tpx3.Tpx3FormatError
        For a file of counts, which has no hits.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from rsciio_tpx3 import simulate
    >>> from hyperspy_sparse.gui import Electrons
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "scan.tpx3"
    >>> truth = simulate.recording(file, (6, 8), dwell_time="5 us", electrons_per_position=20)
    >>> tool = Electrons(file)
    >>> tool.window = "100 ns"
    >>> tool.cluster
    {'window': '100 ns'}
    >>> tool.n_hits >= tool.n_electrons > 0
    True
    """

    title = "Hits or electrons"
    figure_size = (8.0, 6.0)
    fields = _fields()
    actions = (Action("reset", "Usual values", "What the reader takes for cluster=True."),)

    window, max_duration = (t.Str(CLUSTER_OPTIONS[name].example) for name in ("window", "max_duration"))
    neighbours, position, time = (t.Enum(*CLUSTER_OPTIONS[name].choices) for name in ("neighbours", "position", "time"))
    upsample, min_size, max_size = t.Any(1), t.Any(1), t.Any(None)
    min_tot, max_tot = t.Any(0), t.Any(None)

    def __init__(self, filename: str | os.PathLike, cluster: bool | dict = True, **options: Any) -> None:
        super().__init__()
        event_options(cluster)
        self._filename, self._options = os.fspath(filename), options
        source = open_recording(filename, options, "The dialog for electrons")[0]
        self._grid, self._shape = pixel_grid(source.layout), source.sig_shape
        low, high = source.index().hit_span
        length = (high - low + 1) * SAMPLE_HITS // max(source.index().n_hits, 1)
        middle = max(low, (low + high - length) // 2)
        self._span = middle, min(high + 1, middle + max(length, 1))
        self.hits: Hits = source.hits(*self._span)
        self.electrons: Hits | None = None
        self.sizes = np.zeros(0, np.int64)
        self.trait_set(**(cluster if isinstance(cluster, dict) else {}))
        self._changed()

    @property
    def cluster(self) -> dict | bool:
        found = {field.name: getattr(self, field.name) for field in self.fields}
        usual = {name: self.trait(name).default for name in found}
        return {name: value for name, value in found.items() if value != usual[name]} or True

    @property
    def n_hits(self) -> int:
        """Hits of the sample."""
        return len(self.hits)

    @property
    def n_electrons(self) -> int:
        """Electrons of the sample."""
        return 0 if self.electrons is None else len(self.electrons)

    def reset(self) -> None:
        """Return to what ``cluster=True`` means."""
        self.trait_set(**{field.name: self.trait(field.name).default for field in self.fields})

    @t.observe("window, max_duration, neighbours, position, time, upsample, min_size, max_size, min_tot, max_tot")
    def _changed(self, event: Any = None) -> None:
        if not hasattr(self, "_span"):
            return
        try:
            options = event_options(self.cluster).cluster
        except EXPECTED as error:  # half of two choices that belong together, such as upsample before position
            self.problem = str(error)
            return
        self.problem = ""
        self._find(options)
        self.code = load_line(self._filename, {**self._options, "cluster": self.cluster})
        self.drawn = True

    def _find(self, options: ClusterOptions) -> None:
        """Cluster the sample, as if nothing were outside of it: clusters at its two ends may be cut."""
        self.electrons, tally = find_electrons(self.hits, *self._span, self._grid, options)
        self.sizes = np.bincount(self.electrons.size, minlength=2)
        counts = {field.name: getattr(tally, field.name) for field in fields(tally) if field.name in _EXCLUDED}
        share = self.n_hits / self.n_electrons if self.n_electrons else 0.0
        lines = [f"{self.n_hits:,} hits of the sample make {self.n_electrons:,} electrons, {share:.2f} hits each"]
        lines += [f"excluded: {n:,} {_EXCLUDED[name]}" for name, n in counts.items() if n]
        self.report = "\n".join(lines)

    def patterns(self) -> tuple[np.ndarray, np.ndarray]:
        """The sample as one pattern of hits, and one of electrons.

        Returns
        -------
        hits : numpy.ndarray of int64, shape (height, width)
        electrons : numpy.ndarray of int64, shape (height * upsample, width * upsample)
        """
        return _pattern(self.hits, self._shape), _pattern(self.electrons, self._shape)

    def draw(self, figure: Figure) -> None:
        """Draw sizes and summed time over threshold of clusters, and the pattern before and after."""
        if self.electrons is None:
            return
        (before, after), (sizes, tots) = figure.subplots(2, 2)
        for ax, image, name in zip((before, after), self.patterns(), (f"{self.n_hits:,} hits", "electrons")):
            ax.imshow(np.log1p(image), cmap="gray")
            ax.set_title(name if name != "electrons" else f"{self.n_electrons:,} electrons")
            ax.set_axis_off()
        _draw_sizes(self.sizes, sizes)
        _draw_tots(self.electrons.tot, tots)


_EXCLUDED = {
    "hits_chained": "hits in chains that last too long",
    "too_small": "clusters that are too small",
    "too_large": "clusters that are too large",
    "tot_too_low": "clusters with too small a time over threshold",
    "tot_too_high": "clusters with too large a time over threshold",
}


def _pattern(hits: Hits, shape: tuple[int, int]) -> np.ndarray:
    finer = hits.width // shape[1]
    height, width = shape[0] * finer, hits.width
    return np.bincount(hits.pixel, minlength=height * width).reshape(height, width)


def _draw_sizes(sizes: np.ndarray, ax: Axes) -> None:
    shown = sizes[1 : _MOST_SIZE + 1]
    labels = [str(n) for n in range(1, len(shown) + 1)]
    if len(sizes) > _MOST_SIZE + 1:
        shown, labels = np.append(shown, sizes[_MOST_SIZE + 1 :].sum()), [*labels, f">{_MOST_SIZE}"]
    ax.bar(labels, shown, color="tab:blue")
    ax.set(xlabel="hits per electron", ylabel="electrons")


def _draw_tots(tots: np.ndarray, ax: Axes) -> None:
    most = np.percentile(tots, 99.5) if len(tots) else 1
    ax.hist(tots, np.linspace(0, most + 1, min(int(most) + 2, 100)), color="tab:blue")
    ax.set(xlabel="time over threshold / 25 ns", ylabel="electrons")
