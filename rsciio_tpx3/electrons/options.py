"""What makes an electron: the table of the parameters of ``cluster``, and their values once they are checked.

The checks of the reader (`rsciio_tpx3.reader.event_options`), the docstring of `ClusterOptions` and the dialog for
electrons come from `CLUSTER_OPTIONS`. A new parameter is a row there, a field of `ClusterOptions`, and the place that
uses it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rsciio_tpx3.utils.clock import TICKS_PER_SECOND

__all__ = ["CLUSTER_OPTIONS", "ClusterOption", "ClusterOptions"]


@dataclass(frozen=True)
class ClusterOption:
    """One parameter of ``cluster``.

    Attributes
    ----------
    name : str
    text : str
        What it does, for docstrings and dialogs.
    choices : tuple
        The values it takes, where these are few; the first is the default.
    least : int or None
        Lowest value of one that counts something.
    example : str
        Of one that is a time.
    """

    name: str
    text: str
    choices: tuple = ()
    least: int | None = None
    example: str = ""

    @property
    def kind(self) -> str:
        """The type inside, as numpydoc writes it: times are ticks once they are read."""
        if self.choices:
            return "{" + ", ".join(f'"{c}"' if isinstance(c, str) else str(c) for c in self.choices) + "}"
        return "int or None" if self.name.startswith("max_") and not self.example else "int"


CLUSTER_OPTIONS: Mapping[str, ClusterOption] = {
    option.name: option
    for option in (
        ClusterOption("window", "Largest difference in time of two hits that are joined.", example="200 ns"),
        ClusterOption("neighbours", "8 joins pixels that share a corner, 4 those that share an edge.", (8, 4)),
        ClusterOption(
            "position",
            "Pixel of an electron: with the largest time over threshold (ToT), the centroid weighted with ToT, or of "
            "the earliest hit.",
            ("largest", "centroid", "earliest"),
        ),
        ClusterOption("time", "Which hit's time is the electron's.", ("earliest", "largest")),
        ClusterOption("upsample", "Finer detector pixels along each axis, for the centroid.", least=1),
        ClusterOption("min_size", "Clusters with fewer hits are excluded.", least=1),
        ClusterOption("max_size", "Clusters with more hits are excluded.", least=1),
        ClusterOption("min_tot", "Clusters with a smaller summed ToT are excluded; steps of 25 ns.", least=0),
        ClusterOption("max_tot", "Clusters with a larger summed ToT are excluded; steps of 25 ns.", least=0),
        ClusterOption(
            "max_duration", "Clusters that last longer are chains of many electrons, and are excluded.", example="10 us"
        ),
    )
}


def _documented(option: ClusterOption) -> str:
    text = option.text + (" In ticks." if option.example else "")
    return f"{option.name} : {option.kind}\n" + textwrap.indent(textwrap.fill(text, 110), "    ")


@dataclass(frozen=True)
class ClusterOptions:
    """What makes an electron.

    Attributes
    ----------
    """

    # Of pairs of neighbouring hits in four real recordings 96 to 100 % lie closer (docs/guide/hits_or_electrons.md).
    window: int = 200 * TICKS_PER_SECOND // 10**9
    neighbours: int = 8
    position: str = "largest"
    time: str = "earliest"
    upsample: int = 1
    min_size: int = 1
    max_size: int | None = None
    min_tot: int = 0
    max_tot: int | None = None
    max_duration: int = 10 * TICKS_PER_SECOND // 10**6

    @property
    def limits(self) -> tuple[int, int, int, int, int]:
        """What `rsciio_tpx3.electrons.summaries.choose` compares with."""
        most = np.iinfo(np.int64).max
        largest = most if self.max_size is None else self.max_size
        return self.min_size, largest, self.min_tot, most if self.max_tot is None else self.max_tot, self.max_duration

    @property
    def margin(self) -> int:
        """Time around a span in which hits matter for it."""
        return self.max_duration + self.window + 1


_entries = "\n".join(map(_documented, CLUSTER_OPTIONS.values()))
ClusterOptions.__doc__ = f"{(ClusterOptions.__doc__ or '').rstrip()}\n{textwrap.indent(_entries, '    ')}\n    "
