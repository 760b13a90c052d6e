"""Counted frames: raw_csr, NXevent_data and stempy."""

import io
import os
from collections import Counter
from pathlib import Path

import numpy as np

from tests.fuzz.case import Target, Verdict
from tests.fuzz.mutate import change_bytes, change_text, some
from tests.fuzz.targets.hdf5_damage import change_hdf5
from tests.fuzz.targets.making import counted_file

__all__ = ["NXevent", "RawCsr", "Stempy"]

_HOW = "how"
"""A file of the run that says whether bytes were changed, or values by a program that knows the format."""


def _entries(data):
    """(row, flat pixel): count of a dask array of frames."""
    frames = data.compute()
    if isinstance(frames, np.ndarray):
        flat = frames.reshape(-1, int(np.prod(data.shape[-2:])))
        rows, pixels = np.nonzero(flat)
        values = flat[rows, pixels]
    else:
        rows = np.repeat(np.arange(len(frames.indptr) - 1), np.diff(frames.indptr))
        pixels, values = frames.indices, frames.data
    out = Counter()
    for row, pixel, value in zip(rows.tolist(), pixels.tolist(), values.tolist()):
        if value:
            out[row, pixel] += value
    return out


class _Counted(Target):
    """What the three formats share: entries by row and flat pixel, whatever the shapes."""

    options = {}

    def read(self, folder):
        [signal] = self.reader()(str(Path(folder) / self.main), lazy=True, **self.options)
        return _entries(signal["data"])

    def judge(self, found, files, seed):
        before = self.plain_or_none(seed)
        if found == before:
            return Verdict("equal")
        if files.get(_HOW) == b"bytes":
            return Verdict(
                "silent", f"{sum((found - before).values())} counts more, {sum((before - found).values())} fewer"
            )
        wanted = self.plain_or_none(files)
        if found != wanted:
            words = "cannot be read plainly" if wanted is None else f"{sum(wanted.values())} counts"
            return Verdict("silent", f"{sum(found.values())} counts, where the file {words}")
        return Verdict("equal")

    def plain_or_none(self, files):
        try:
            return self.plain(files)
        except Exception:
            return None


def _of_rows(indptr, indices, values):
    out = Counter()
    for row, (start, stop) in enumerate(zip(indptr[:-1], indptr[1:])):
        for p, v in zip(indices[start:stop], values[start:stop]):
            if v:
                out[row, int(p)] += v.item()
    return out


class RawCsr(_Counted):
    """LiberTEM's three arrays and their TOML."""

    name = "raw_csr"
    main = "a.toml"

    def reader(self):
        from rsciio_tpx3.raw_csr import file_reader

        return file_reader

    def seeds(self):
        return [dict(counted_file(".toml"))]

    def mutate(self, rng, files):
        how = b"bytes" if files.get(_HOW) == b"bytes" else b"values"
        name = some(rng, [n for n in files if n != _HOW] + [self.main] * 2)
        if name == self.main:
            return {**files, name: change_text(rng, files[name]), _HOW: how}
        return {**files, name: change_bytes(rng, files[name]), _HOW: b"bytes"}

    def plain(self, files):
        try:
            import tomllib
        except ModuleNotFoundError:  # Python 3.10
            import tomli as tomllib

        head = tomllib.loads(files[self.main].decode())
        about = head["raw_csr"]
        part = {
            n: np.frombuffer(files[os.path.basename(about[f"{n}_file"])], np.dtype(about[f"{n}_dtype"]))
            for n in ("indptr", "indices", "data")
        }
        return _of_rows(part["indptr"].tolist(), part["indices"], part["data"])


class _Hdf5(_Counted):
    def mutate(self, rng, files):
        content = files[self.main]
        if rng.integers(2) and files.get(_HOW) != b"bytes":
            changed = change_hdf5(rng, content)
            if changed is not None:
                return {self.main: changed, _HOW: b"values"}
        return {self.main: change_bytes(rng, content), _HOW: b"bytes"}

    def plain(self, files):
        import h5py
        import hdf5plugin  # noqa: F401  (filters)

        with h5py.File(io.BytesIO(files[self.main]), "r") as file:
            return self.plain_of(file)


class NXevent(_Hdf5):
    """NXevent_data as this project writes it."""

    name = "nxevent"
    main = "a.nxevent"

    def reader(self):
        from rsciio_tpx3.nxevent import file_reader

        return file_reader

    def seeds(self):
        return [dict(counted_file(".nxevent"))]

    def plain_of(self, file):
        events = file["entry/instrument/events"]
        pixel, index = events["event_id"][:].astype(np.int64), events["event_index"][:].astype(np.int64)
        ends = np.append(index[1:], len(pixel))
        return _of_rows([0, *ends.tolist()], pixel, np.ones(len(pixel), np.int64))


class Stempy(_Hdf5):
    """Counted electrons as stempy keeps them."""

    name = "stempy"
    main = "a.h5"

    def reader(self):
        from rsciio_tpx3.stempy import file_reader

        return file_reader

    def seeds(self):
        return [dict(counted_file(".h5", "stempy"))]

    def plain_of(self, file):
        group = file["electron_events"]
        out = Counter()
        for place, pixels in zip(group["scan_positions"][:].tolist(), group["frames"][:]):
            for p in np.atleast_1d(pixels).tolist():
                out[int(place), int(p)] += 1
        return out
