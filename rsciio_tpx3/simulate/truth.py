"""What really happened in a simulated recording, kept next to the file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rsciio_tpx3.events.geometry import Layout
from rsciio_tpx3.simulate.edges import Edges
from rsciio_tpx3.simulate.scan import Scan

__all__ = ["Collector", "Truth"]

HIT_COLUMNS = {
    "hit_position": np.int64, "hit_pixel": np.int32, "hit_time": np.int64, "hit_tot": np.uint16,
    "hit_electron": np.int64,
}  # fmt: skip
ELECTRON_COLUMNS = {
    "electron_position": np.int64, "electron_pixel": np.int32, "electron_time": np.int64,
    "electron_y": np.float32, "electron_x": np.float32,
}  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """Every hit and every electron of a recording.

    Attributes
    ----------
    paths : tuple of pathlib.Path
        The files in their order.
    nav_shape : tuple of int
        ``(frames, y, x)``.
    sig_shape : tuple of int
    layout : Layout
    scan : Scan
    edges : Edges
    edge_copies : numpy.ndarray of int64, shape (n_edges,)
        Packets of each edge in the files; 0 where it is missing or was in a lost chunk.
    hit_position : numpy.ndarray of int64, shape (n_hits,)
        Flat position of the electron behind it, ``frame * ny * nx + y * nx + x``, -1 outside the
        scan; hits in the order of the files, those of a stale start first.
    hit_pixel : numpy.ndarray of int32, shape (n_hits,)
        Flat detector pixel as the layout shows it.
    hit_time : numpy.ndarray of int64, shape (n_hits,)
        Ticks since time zero, not wrapped (of the old clock in a stale start).
    hit_tot : numpy.ndarray of uint16, shape (n_hits,)
    hit_electron : numpy.ndarray of int64, shape (n_hits,)
        Number of the electron, -1 where there was none.
    electron_position, electron_pixel, electron_time : numpy.ndarray, shape (n_electrons,)
        As for hits, in order of time; pixel -1 where the electron missed the detector.
    electron_y, electron_x : numpy.ndarray of float32, shape (n_electrons,)
        Place on the detector in pixels, pixel 0 reaching from 0 to 1.
    n_hits, n_electrons : int
        Known also where the columns were not kept.
    n_stale_hits, n_lost_hits : int
        Hits of the clock before a reset; hits in chunks that were lost.
    n_packets : int
        Words of all files without headers.
    lost_chunks : tuple of (int, int)
        Chip and number of each lost chunk.
    """

    paths: tuple
    nav_shape: tuple
    sig_shape: tuple
    layout: Layout = field(repr=False)
    scan: Scan = field(repr=False)
    edges: Edges = field(repr=False)
    edge_copies: np.ndarray = field(repr=False)
    hit_position: np.ndarray = field(repr=False)
    hit_pixel: np.ndarray = field(repr=False)
    hit_time: np.ndarray = field(repr=False)
    hit_tot: np.ndarray = field(repr=False)
    hit_electron: np.ndarray = field(repr=False)
    electron_position: np.ndarray = field(repr=False)
    electron_pixel: np.ndarray = field(repr=False)
    electron_time: np.ndarray = field(repr=False)
    electron_y: np.ndarray = field(repr=False)
    electron_x: np.ndarray = field(repr=False)
    n_hits: int
    n_electrons: int
    n_stale_hits: int
    n_lost_hits: int
    n_packets: int
    lost_chunks: tuple

    @property
    def n_positions(self) -> int:
        """Positions of all frames."""
        return int(np.prod(self.nav_shape))

    def _columns(self, what: str) -> tuple[np.ndarray, np.ndarray]:
        if what not in ("hits", "electrons"):
            raise ValueError(f"what={what!r} is not valid: must be one of 'hits', 'electrons'.")
        if len(self.hit_position) != self.n_hits or len(self.electron_position) != self.n_electrons:
            raise ValueError("The columns of this recording were not kept; simulate it with keep_truth=True.")
        if what == "hits":
            return self.hit_position, self.hit_pixel
        return self.electron_position, self.electron_pixel

    def counts(self, what: str = "hits") -> np.ndarray:
        """Number of hits or electrons on the detector at each position.

        Parameters
        ----------
        what : {"hits", "electrons"}

        Returns
        -------
        numpy.ndarray of int64, shape `nav_shape`
        """
        position, pixel = self._columns(what)
        inside = position[(position >= 0) & (pixel >= 0)]
        return np.bincount(inside, minlength=self.n_positions).reshape(self.nav_shape)

    def csr(self, what: str = "hits", values: str = "counts") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All frames as one CSR matrix with sorted indices and merged entries.

        Parameters
        ----------
        what : {"hits", "electrons"}
        values : {"counts", "tot"}
            ToT is known for hits only.

        Returns
        -------
        indptr : numpy.ndarray of int64, shape (n_positions + 1,)
        indices : numpy.ndarray of int64, shape (n_entries,)
            ``y * width + x``.
        data : numpy.ndarray of int64, shape (n_entries,)

        Raises
        ------
        ValueError
            For an unknown quantity, or where the columns were not kept.
        """
        position, pixel = self._columns(what)
        inside = (position >= 0) & (pixel >= 0)
        size = self.sig_shape[0] * self.sig_shape[1]
        key, which = np.unique(position[inside] * size + pixel[inside].astype(np.int64), return_inverse=True)
        if values == "counts":
            data = np.bincount(which, minlength=len(key))
        elif values == "tot" and what == "hits":
            data = np.zeros(len(key), np.int64)
            np.add.at(data, which, self.hit_tot[inside].astype(np.int64))
        else:
            raise ValueError(f"values={values!r} is not known for {what}; use 'counts'.")
        indptr = np.searchsorted(key, np.arange(self.n_positions + 1) * size)
        return indptr, key % size, data


class Collector:
    """Gathers the columns piece by piece, in memory, in a folder, or not at all.

    Parameters
    ----------
    keep : bool, str or pathlib.Path
        A folder takes one raw file a column, which `finish` maps into memory.
    """

    def __init__(self, keep: bool | str | Path) -> None:
        self._types = HIT_COLUMNS | ELECTRON_COLUMNS
        self._keep = keep is True or not isinstance(keep, bool)
        self._folder = None if isinstance(keep, bool) else Path(keep)
        self._parts = {name: [] for name in self._types}
        self._files = {}
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._files = {name: open(self._path(name), "wb") for name in self._types}
        self.n_hits = self.n_electrons = 0

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.{np.dtype(self._types[name]).name}"

    def add(self, **columns: Any) -> None:
        """Append arrays to the columns of the same names."""
        self.n_hits += len(columns.get("hit_time", ()))
        self.n_electrons += len(columns.get("electron_time", ()))
        for name, values in columns.items():
            values = np.ascontiguousarray(values, self._types[name])
            if self._files:
                values.tofile(self._files[name])
            elif self._keep:
                self._parts[name].append(values)

    def finish(self) -> dict[str, np.ndarray]:
        """All columns by name."""
        for file in self._files.values():
            file.close()
        return {name: self._column(name, dtype) for name, dtype in self._types.items()}

    def _column(self, name: str, dtype: type) -> np.ndarray:
        if self._folder is not None:
            empty = self._path(name).stat().st_size == 0  # which cannot be mapped
            return np.empty(0, dtype) if empty else np.memmap(self._path(name), dtype, "r")
        return np.concatenate([np.empty(0, dtype), *self._parts.pop(name)])
