"""How the files of a case are written: plain JSON, and NumPy files with fixed types."""

import json

import numpy as np

from conformance.cases import write_hits

__all__ = ["CaseWriter", "axes", "write_json"]


def write_json(path, content):
    """Write readable JSON that is the same everywhere: one line for each entry of the outer level."""
    lines = [f"  {json.dumps(key)}: {_value(value)}" for key, value in content.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", newline="\n")


def _value(value):
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"    {json.dumps(item)}" for item in value) + "\n  ]"
    return json.dumps(value)


def axes(nav_shape, sig_shape):
    """Axes in the order of the array; ``nav_shape`` is (y, x) or (frames, y, x)."""
    names = [*("frame", "y", "x")[-len(nav_shape) :], "ky", "kx"]
    sizes = [*nav_shape, *sig_shape]
    return [
        {"name": name, "size": int(size), "navigate": i < len(nav_shape)}
        for i, (name, size) in enumerate(zip(names, sizes, strict=True))
    ]


class CaseWriter:
    """Collects what is known about one case, and writes it.

    Parameters
    ----------
    folder : pathlib.Path
    name : str
    about : str
        What the case tries.
    made : {"simulated", "word by word"}
    format : str
    """

    def __init__(self, folder, name, about, made, format="tpx3"):
        (folder / "expected").mkdir(parents=True, exist_ok=True)
        self.folder, self.expected, self.name = folder, folder / "expected", name
        self.content = {"name": name, "about": about, "made": made, "format": format, "files": []}

    def path(self, ending=".tpx3"):
        """Path of a file of the case, noted as one of its files."""
        self.content["files"].append(self.name + ending)
        return self.folder / (self.name + ending)

    def note(self, **values):
        """Note values of the description."""
        self.content.update(values)

    def hits(self, x, y, toa, tot):
        """Write the expected hits."""
        self.content.update(hits=f"{self.name}.hits.npy", n_hits=len(toa))
        write_hits(self.expected / self.content["hits"], x, y, toa, tot)

    def edges(self, kind, counter, ticks):
        """Write the expected edges, in order of their counters or times; ticks -1 where a word has no valid time."""
        self.content["edges"] = f"{self.name}.edges.npy"
        out = np.zeros(len(kind), [("kind", "u1"), ("counter", "<u2"), ("ticks", "<i8")])
        out["kind"], out["counter"], out["ticks"] = kind, np.asarray(counter) % 4096, ticks
        np.save(self.expected / self.content["edges"], out)

    def rows(self, indptr, indices, values):
        """Write the expected frames as CSR."""
        names = {what: f"{self.name}.{what}.npy" for what in ("indptr", "indices", "values")}
        types = ("<u4", "<u4", np.min_scalar_type(int(np.max(values, initial=0))).newbyteorder("<"))
        for name, array, kind in zip(names.values(), (indptr, indices, values), types, strict=True):
            array = np.asarray(array)
            np.save(self.expected / name, array if array.dtype.kind == "f" else array.astype(kind))
        self.content["rows"] = names

    def finish(self):
        """Write the description."""
        write_json(self.expected / f"{self.name}.json", self.content)
