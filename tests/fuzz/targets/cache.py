"""Entries of the index cache, damaged in the ways of bytes and of tables."""

import io
import json
import os
from pathlib import Path

import numpy as np

from rsciio_tpx3.tpx3 import file_reader
from tests.fuzz.case import Target, compare_dense
from tests.fuzz.mutate import change_bytes, some
from tests.fuzz.targets.making import NAV, recording
from tests.fuzz.targets.sidecars import _summed, _truth

__all__ = ["CacheEntry"]

_DAMAGE = "damage.json"


class CacheEntry(Target):
    """A recording that was opened before: whatever became of the entry, its frames stay the same.

    An entry belongs to one file at one time: a run makes it, damages it by the numbers in ``damage.json``, and reads.
    """

    name = "cache"

    def seeds(self):
        return [{"a.tpx3": recording(), _DAMAGE: b"[]"}]

    def mutate(self, rng, files):
        numbers = json.loads(files[_DAMAGE]) + [int(rng.integers(2**31))]
        return {**files, _DAMAGE: json.dumps(numbers).encode()}

    def read(self, folder):
        os.environ["RSCIIO_TPX3_CACHE"] = str(Path(folder) / "cache")
        _load(folder)
        entries = [p for p in (Path(folder) / "cache").rglob("*") if p.is_file()]
        for number in json.loads((Path(folder) / _DAMAGE).read_text()):
            rng = np.random.default_rng(number)
            path = some(rng, sorted(entries))
            path.write_bytes(_damaged(rng, path.read_bytes()))
        return _summed(_load(folder)["data"])

    def judge(self, found, files, seed):
        return compare_dense(found, _truth())


def _load(folder):
    options = {"navigation_shape": NAV[::-1], "layout": "single", "lazy": True, "show_progressbar": False}
    [signal] = file_reader(Path(folder) / "a.tpx3", cache=True, **options)
    return signal


def _damaged(rng, content):
    if rng.integers(3) == 0:
        return change_bytes(rng, content)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = dict(file)
    except Exception:
        return change_bytes(rng, content)
    if not arrays:
        return change_bytes(rng, content)
    name = some(rng, sorted(arrays))
    if arrays[name].dtype == np.uint8 and arrays[name].ndim == 1 and rng.integers(2):
        arrays[name] = _other_head(rng, arrays[name])
    else:
        arrays[name] = _other_table(rng, arrays[name])
    out = io.BytesIO()
    np.savez(out, **{n: a for n, a in arrays.items() if a is not None})
    return out.getvalue()


def _other_table(rng, table):
    """Another table under the same name: values, order, length, type, or none at all."""
    how = int(rng.integers(8))
    if how == 0:
        return None
    if how == 1:
        return table[: len(table) // 2] if table.ndim else table
    if how == 2:
        return np.concatenate([table, table]) if table.ndim else table
    if how == 3:
        return table[::-1] if table.ndim else table
    if how == 4:
        return table.astype(some(rng, ("f8", "i1", ">i8", "S4"))) if table.dtype.names is None else table[:0]
    raw = bytearray(np.ascontiguousarray(table).tobytes())
    for _ in range(int(rng.integers(1, 4))):
        if raw:
            raw[int(rng.integers(len(raw)))] ^= 1 << int(rng.integers(8))
    if how == 5 and len(raw) >= 8:
        start = int(rng.integers(len(raw) // 8)) * 8
        raw[start : start + 8] = some(rng, (b"\xff" * 8, bytes(8), b"\xff" * 7 + b"\x7f", bytes(7) + b"\x80"))
    return np.frombuffer(bytes(raw), table.dtype).reshape(table.shape)


def _other_head(rng, table):
    """The head, with one value of its JSON changed where it is JSON."""
    try:
        head = json.loads(table.tobytes())
        at, key = head, some(rng, sorted(head))
        while isinstance(at[key], (dict, list)) and len(at[key]) and rng.integers(4):
            at = at[key]
            key = some(rng, sorted(at)) if isinstance(at, dict) else int(rng.integers(len(at)))
        at[key] = some(rng, (None, -1, 2**62, 2**70, 1.5, "x", [], {}, [1], {"a": 1}, True, float("nan")))
        return np.frombuffer(json.dumps(head).encode(), np.uint8)
    except Exception:
        return _other_table(rng, table)
