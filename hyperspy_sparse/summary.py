"""What a sparse signal says of itself: how many events it has, where they are, and what of the recording was lost."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from dask.utils import format_bytes

from hyperspy_sparse import navigator
from hyperspy_sparse.arguments import needs_signal
from hyperspy_sparse.blocks import held_bytes
from hyperspy_sparse.deferred import read_recording
from hyperspy_sparse.expansion import bytes_of_entries, entries_of
from rsciio_tpx3.frames.dask_array import is_in_memory, source_of
from rsciio_tpx3.metadata.mapping import LEAVES
from rsciio_tpx3.utils.checks import check_flag
from rsciio_tpx3.utils.text import format_seconds

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal
    from matplotlib.figure import Figure


__all__ = ["NOTABLE", "Summary", "recording_summary"]

NOTABLE = 0.01
"""Share of the events whose loss changes a result: it is marked."""

# Flyback is what every raster scan has, and lines are excluded where frames were chosen; what else has no position may
# be a scan that was misread.
_PLACES = {"frames": "in frames"}  # other conventions: at scan positions
_EXPECTED, _OF_OTHER_FRAMES = "in_flyback", "in_lines_left_out_of_the_scan"


@dataclass(frozen=True)
class Summary:
    """Where the events of a recording went; printed as text, shown as HTML in a notebook, drawn by `plot`.

    Attributes
    ----------
    event : str
        "hits", "electrons", or "counts" where the file holds no events.
    total, placed : int or None
        Events of the recording, and those at a scan position; None where the file does not say.
    outside : dict
        Events without a scan position, by reason.
    losses : dict
        What of the file was lost, by kind.
    sync : str or None
        How positions were found: "line-gate", "frames", ...
    dwell_time : float or None
        Seconds.
    frames_chosen : bool
        Whether some frames of a repeated scan were chosen, so that the events of the others are expected to be missing.
    entries : int or None
        Entries of the sparse frames of this signal, about; None before the recording has been read.
    in_memory : bool
        Whether they are in memory, or read when a computation needs them.
    sparse_size, dense_size : int or None
        Bytes of the sparse frames, about, and of the dense array.
    held_size : int
        Bytes of frames that were made of others in memory (a part, or a binned form), and are held since their second
        use; in addition to the others.
    deferred : bool
        Whether the recording is read at the first computation.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> print(hyperspy_sparse.recording_summary(hyperspy_sparse.data.disks()))
    sparse     4,089 entries in memory: 20.34 kiB, dense 48.00 kiB
    """

    event: str = "counts"
    total: int | None = None
    placed: int | None = None
    outside: dict[str, int] = field(default_factory=dict)
    losses: dict[str, int] = field(default_factory=dict)
    sync: str | None = None
    dwell_time: float | None = None
    frames_chosen: bool = False
    entries: int | None = None
    in_memory: bool = False
    sparse_size: int | None = None
    dense_size: int = 0
    held_size: int = 0
    deferred: bool = False
    _counts: object = None

    @property
    def notable(self) -> list[str]:
        """What was lost in an amount that changes results, in words; empty where all is well."""
        found = [f"{n:,} {name}" for name, n in _words(self.losses).items() if n]
        if self.total:
            usual = {_EXPECTED, _OF_OTHER_FRAMES} if self.frames_chosen else {_EXPECTED}
            stray = {name: n for name, n in self.outside.items() if name not in usual}
            found += [
                f"{n / self.total:.1%} of the {self.event} {name}"
                for name, n in _words(stray).items()
                if n > NOTABLE * self.total
            ]
        return found

    def rows(self) -> list[tuple[str, str]]:
        """Name and words of each line."""
        rows = [("sparse", self._size())]
        if self.deferred:
            rows.append(("recording", "not read yet: the first computation reads it, or read_recording(signal)"))
        elif self.total is not None:
            rows.append(("recording", self._placed()))
        if self.losses:
            rows.append(("lost", ", ".join(f"{n:,} {name}" for name, n in _words(self.losses).items())))
        scan = [self.sync] if self.sync else []
        scan += [f"dwell time {format_seconds(self.dwell_time)}"] if self.dwell_time else []
        if scan:
            rows.append(("scan", ", ".join(scan)))
        if self.notable:
            rows.append(("CHECK", "; ".join(self.notable)))
        return rows

    def _size(self) -> str:
        dense = f"dense {format_bytes(self.dense_size)}"
        where = "in memory" if self.in_memory else "read on demand"
        if self.entries is None or self.sparse_size is None:
            return f"{self.event}, {where}; {dense}"
        held = f"; {format_bytes(self.held_size)} more held since the second use" if self.held_size else ""
        return f"{self.entries:,} entries {where}: {format_bytes(self.sparse_size)}, {dense}{held}"

    def _placed(self) -> str:
        text = f"{self.total:,} {self.event}"
        if self.placed is not None and self.total:
            text += f", {self.placed:,} ({self.placed / self.total:.1%}) {_PLACES.get(self.sync, 'at scan positions')}"
        reasons = ", ".join(f"{n:,} {name}" for name, n in _words(self.outside).items() if n)
        return f"{text}; {reasons}" if reasons else text

    def __str__(self) -> str:
        return "\n".join(f"{name:<10} {text}" for name, text in self.rows())

    __repr__ = __str__

    def indented(self) -> str:
        """The lines as they stand below the first one of a signal."""
        return "\n".join(f"    {line}" for line in str(self).splitlines())

    def _repr_html_(self) -> str:
        cells = []
        for name, text in self.rows():
            mark = ' style="color: #b00020; font-weight: bold"' if name == "CHECK" else ""
            cells.append(f"<tr{mark}><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>")
        return f"<table>{''.join(cells)}</table>"

    def plot(self) -> Figure:
        """Draw the counts of each position, where they are known, and where the events went.

        Returns
        -------
        matplotlib.figure.Figure
        """
        figure = plt.figure(figsize=(10, 4), layout="constrained")
        self.draw(figure)
        return figure

    def draw(self, figure: Figure) -> None:
        """The same as `plot`, in a figure that is there."""
        axes = figure.subplots(1, 2)
        font = 12 if figure.get_figwidth() > 8 else 10  # in a dialog the titles would reach over their neighbours
        if self._counts is not None:
            image = np.atleast_2d(self._counts)
            image = image.reshape(-1, *image.shape[-2:]).sum(axis=0)
            square = 1 / 3 < image.shape[1] / image.shape[0] < 3
            drawn = axes[0].imshow(image, cmap="gray", aspect="equal" if square else "auto")
            figure.colorbar(drawn, ax=axes[0], shrink=0.8, label=f"{self.event} per position")
            axes[0].set(xlabel="scan x", ylabel="scan y")
            axes[0].set_title("Counts per position", fontsize=font)
        else:
            axes[0].set_axis_off()
        bars = {"at scan positions": self.placed or 0, **_words(self.outside)}
        bars.update({f"lost: {name}": n for name, n in _words(self.losses).items()})
        colours = ["tab:red" if name.startswith("lost") else "tab:orange" for name in bars]
        colours[0] = "tab:blue"
        drawn = axes[1].barh(list(bars), list(bars.values()), color=colours)
        axes[1].bar_label(drawn, [f"{n:,}" for n in bars.values()], padding=3)
        axes[1].set_xlim(0, 1.5 * max(*bars.values(), 1))  # room for the numbers
        axes[1].locator_params(axis="x", nbins=4)
        axes[1].invert_yaxis()
        axes[1].set_xlabel(self.event)
        axes[1].set_title(f"Where the {self.event} went", fontsize=font)


@needs_signal
def recording_summary(signal: BaseSignal, read: bool = True) -> Summary:
    """Where the events of the recording of a signal went, and what the signal takes in memory.

    The same as ``signal.recording``.

    Parameters
    ----------
    signal : one of the sparse signal classes
    read : bool
        Read a recording that waits for the first computation; without, what is known already.

    Returns
    -------
    Summary
        It prints as a few lines, and has `plot`.

    Raises
    ------
    rsciio_tpx3.exceptions.Tpx3FormatError, rsciio_tpx3.exceptions.ScanSyncError
        As reading the recording raises.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.disks()
    >>> hyperspy_sparse.recording_summary(s).in_memory
    True
    """
    check_flag("read", read)
    if read:
        read_recording(signal)
    data = signal._data
    deferred = vars(signal).get("_deferred_frames") is not None
    known = {} if deferred else _of_metadata(signal)
    entries = None if deferred else entries_of(data)
    return Summary(
        entries=entries,
        in_memory=is_in_memory(data),
        sparse_size=None if entries is None else bytes_of_entries(data, entries),
        dense_size=math.prod(data.shape) * data.dtype.itemsize,
        held_size=held_bytes(data),
        deferred=deferred,
        _counts=None if deferred else _counts_of(signal),
        **known,
    )


def _counts_of(signal: BaseSignal) -> np.ndarray | None:
    """Events of each position, shape of the navigation; None where they are not known without reading."""
    known = navigator.counts_of(signal)
    if known is not None:  # sources may know no more than how many pixels counted
        return known
    source = source_of(signal._data)
    if source is not None and (counts := source.row_events()) is not None:
        return counts.reshape(source.nav_shape)
    drawn = signal.navigator
    if drawn is not None and drawn.data.size == math.prod(signal._data.shape[:-2]):
        return np.asarray(drawn.data).reshape(signal._data.shape[:-2])
    return None


def _of_metadata(signal: BaseSignal) -> dict:
    """The fields of a `Summary` that the metadata have."""

    def item(name: str) -> object:
        found = signal._metadata.get_item(LEAVES[name].leaf, None) if name in LEAVES else None
        return found.as_dictionary() if hasattr(found, "as_dictionary") else found

    event = item("event_type") or "counts"
    placed, total = item(f"{event}_placed"), item(f"{event}_total")
    outside = item(f"{event}_outside") or {}
    if event == "electrons" and total is None and placed is not None:
        # electrons are counted after the hits: as many as have a position, or have none for a reason
        total = placed + sum(outside.values())
    return {
        "event": event,
        "total": total,
        "placed": placed,
        "outside": outside,
        "losses": item("losses") or {},
        "sync": item("sync"),
        "dwell_time": item("dwell_time"),
        "frames_chosen": item("frames_used") is not None,
    }


def _words(numbers: dict[str, int]) -> dict[str, int]:
    return {name.replace("_", " "): n for name, n in numbers.items()}
