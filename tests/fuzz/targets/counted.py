"""Counted frames: raw_csr, NXevent_data and stempy."""

import io
import os
from collections import Counter
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (filters)
import numpy as np

from rsciio_tpx3 import nxevent, raw_csr, stempy
from tests.fuzz.case import Target, Verdict
from tests.fuzz.mutate import change_bytes, change_text, some
from tests.fuzz.targets.hdf5_damage import change_hdf5, change_sealed
from tests.fuzz.targets.making import NAV, SMALL, counted_file, written

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

__all__ = ["NXevent", "RawCsr", "Stempy"]

_HOW = "how"
"""A file of the run that says whether bytes were changed, or values by a program that knows the format."""

_BYTES, _VALUES = b"bytes", b"values"
_SEALED = b"foreign sealed"
"""A foreign file with other numbers in its tables: HDF5 itself may not survive it, so nothing else is changed there."""
# damage under right checksums, which somebody must mean: in about one of some thousand of these files the HDF5 library
# itself writes beyond its memory, and the process ends later, in another run. guard=True is for such files
_WITH_SEALED = os.environ.get("RSCIIO_TPX3_FUZZ_SEALED") == "1"
_FOREIGN = b"foreign"
"""Of another program, without our record and checksums: only values are changed, and the file as it is counts."""
_FOREIGN_BYTES = b"foreign bytes"
"""The same with changed bytes. Nothing in it tells of them, so any counts will do; crashes and hangs will not."""


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

    foreign_options = {}

    def read(self, folder):
        path = Path(folder) / self.main
        foreign = (path.parent / _HOW).exists() and (path.parent / _HOW).read_bytes().startswith(_FOREIGN)
        [signal] = self.reader()(str(path), lazy=True, **self.foreign_options if foreign else {})
        return _entries(signal["data"]), signal["data"].shape[:-2]

    def judge(self, found, files, seed):
        found, nav_shape = found
        how, before = files.get(_HOW), self.plain_or_none(seed)
        if how == _FOREIGN_BYTES:
            return Verdict("equal")
        if how == _BYTES and nav_shape != NAV:
            return Verdict("silent", f"a scan of {nav_shape}, where {NAV} were written")
        if found == before:
            return Verdict("equal")
        if how == _BYTES:
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
        return raw_csr.file_reader

    def seeds(self):
        own = written(raw_csr.file_writer, self.main, np.float32, compact=True)
        plain = own[self.main].partition(b"[rsciio_tpx3]")[0].replace(b'data_dtype = "float32"', b'data_dtype = "<f4"')
        return [
            dict(counted_file(".toml")),
            written(raw_csr.file_writer, self.main, np.uint8, compact=True),
            own,
            {**own, self.main: plain, _HOW: _FOREIGN},
        ]

    def mutate(self, rng, files):
        how = files.get(_HOW)
        name = some(rng, [n for n in files if n != _HOW] + [self.main] * 2)
        # not both: a changed TOML may lack the checksums that tell of changed arrays
        if how in (_FOREIGN, _VALUES) or (name == self.main and how is None):
            return {**files, self.main: change_text(rng, files[self.main]), _HOW: how or _VALUES}
        name = some(rng, [n for n in files if n.endswith(".raw")])
        return {**files, name: change_bytes(rng, files[name]), _HOW: _BYTES}

    def plain(self, files):
        head = tomllib.loads(files[self.main].decode("utf-8-sig"))
        about = next(table for name, table in head.items() if name.lower() == "raw_csr")
        types = {"indptr": "int64", "indices": "int32", "data": "int32"}
        part = {
            n: np.frombuffer(files[os.path.basename(about[f"{n}_file"])], np.dtype(about.get(f"{n}_dtype", type_)))
            for n, type_ in types.items()
        }
        return _of_rows(part["indptr"].tolist(), part["indices"], part["data"])


class _Hdf5(_Counted):
    def mutate(self, rng, files):
        content, how = files[self.main], files.get(_HOW)
        if _WITH_SEALED and (how == _SEALED or (how == _FOREIGN and rng.integers(2))):
            sealed = change_sealed(rng, content)
            if sealed is not None or how == _SEALED:
                return {self.main: sealed or content, _HOW: _SEALED}
        if how == _FOREIGN_BYTES or (how == _FOREIGN and rng.integers(3) == 0):
            return {self.main: change_bytes(rng, content), _HOW: _FOREIGN_BYTES}
        # not both: a program that knows HDF5 may have taken away the checksums that tell of changed bytes
        if how in (_FOREIGN, _VALUES) or (how is None and rng.integers(2)):
            changed = change_hdf5(rng, content)
            return files if changed is None else {self.main: changed, _HOW: how or _VALUES}
        return {self.main: change_bytes(rng, content), _HOW: _BYTES}

    def plain(self, files):
        with h5py.File(io.BytesIO(files[self.main]), "r") as file:
            return self.plain_of(file)

    def foreign(self, libver="earliest", **content):
        """A file of arrays and attributes (``path``, ``path@name``) as other programs write them."""
        buffer = io.BytesIO()
        with h5py.File(buffer, "w", libver=libver) as file:
            for path, found in content.items():
                path, _, name = path.partition("@")
                if name:
                    file[path or "/"].attrs[name] = found
                elif found is None:
                    file.create_group(path)
                else:
                    file[path] = found
        return {self.main: buffer.getvalue(), _HOW: _FOREIGN}


def _many(path):
    """More attributes than an object header takes: they lie in a heap of their own."""
    texts = {f"{path}@text {i}": "text" * (i + 1) for i in range(7)}
    return {**texts, f"{path}@list": ["a", "bc", "def"], f"{path}@number": 7.5, f"{path}@numbers": np.arange(5)}


class NXevent(_Hdf5):
    """NXevent_data as this project writes it, and as others do."""

    name = "nxevent"
    main = "a.nxevent"
    foreign_options = {"navigation_shape": NAV[::-1], "signal_shape": SMALL[::-1]}

    def reader(self):
        return nxevent.file_reader

    def seeds(self):
        rng = np.random.default_rng(2)
        index = np.sort(rng.integers(0, 60, 12))
        index[0] = 0
        foreign = {
            "entry": None,
            "entry@NX_class": "NXentry",
            "entry/bank": None,
            "entry/bank@NX_class": "NXevent_data",
            "entry/bank/event_id": rng.integers(0, 77, 60).astype("u4"),
            "entry/bank/event_index": index.astype("u8"),
            "entry/bank/event_time_zero": np.arange(12) * 0.1,
            "entry/bank/event_time_zero@units": "s",
            "entry/bank/event_time_offset": rng.random(60).astype("f4"),
            "entry/bank/event_time_offset@units": "us",
        }
        return [
            dict(counted_file(".nxevent")),
            dict(counted_file(".nxevent", keep=("time", "tot"))),
            written(nxevent.file_writer, self.main, np.uint16, compression="gzip"),
            written(nxevent.file_writer, self.main, np.float32),
            self.foreign(**foreign),
            self.foreign("v110", **foreign, **_many("entry/bank"), **_many("entry")),
        ]

    def plain_of(self, file):
        found, own = [], "entry/process/rsciio_tpx3/coding"
        file.visititems(lambda name, item: found.append(name) if name.endswith("/event_id") else None)
        [name] = found
        events = file[name.removesuffix("/event_id")]
        pixel, index = events["event_id"][:].astype(np.int64), events["event_index"][:].astype(np.int64)
        values = np.ones(pixel.size, np.int64)
        if own in file and file[own][()] == b"pulse_height":
            values = events["pulse_height"][:].ravel()
        # a list of beginnings, which some programs close with the end of the last position
        bounds = index.ravel().tolist()
        if len(bounds) != 13 or bounds[-1] != pixel.size:
            bounds.append(pixel.size)
        return _of_rows(bounds, pixel.ravel(), values)


class Stempy(_Hdf5):
    """Counted electrons as stempy keeps them."""

    name = "stempy"
    main = "a.h5"

    def reader(self):
        return stempy.file_reader

    def seeds(self):
        rng = np.random.default_rng(3)
        rows = np.empty(14, object)
        for i in range(14):
            rows[i] = np.sort(rng.choice(77, int(rng.integers(1, 6)), replace=False)).astype("u4")
        foreign = {
            "electron_events": None,
            "@version": 2,
            "electron_events/frames": rows.astype(h5py.vlen_dtype(np.uint32)),
            "electron_events/frames@Nx": SMALL[0],
            "electron_events/frames@Ny": SMALL[1],
            "electron_events/scan_positions": np.array([*range(12), 3, 7], "i4"),
            "electron_events/scan_positions@Nx": NAV[1],
            "electron_events/scan_positions@Ny": NAV[0],
        }
        own = [written(stempy.file_writer, self.main, np.uint8, version=version) for version in (1, 2, 3)]
        many = {**foreign, "metadata": None, **_many("metadata"), **_many("electron_events/frames")}
        return [dict(counted_file(".h5", "stempy")), *own, self.foreign(**foreign), self.foreign("v110", **many)]

    def plain_of(self, file):
        group = file["electron_events"]
        rows, places = group["frames"][:], group["scan_positions"]
        if file.attrs.get("version", 1) == 3:
            n = int(places.attrs["Nx"]) * int(places.attrs["Ny"])
            listed = np.repeat(np.arange(n), len(rows) // n).tolist()
        else:
            listed = places[:].tolist()
        out = Counter()
        for place, pixels in zip(listed, rows):
            for p in np.atleast_1d(pixels).tolist():
                out[int(place), int(p)] += 1
        return out
