"""Files that are read lazily while something happens to them, one for each format."""

import importlib

import numpy as np
from chaos_writers import Counted, counts, signal

from rsciio_tpx3 import simulate

_SHAPE = (6, 7)


class _Recording:
    def write(self, folder):
        simulate.recording(folder / "scan.tpx3", _SHAPE, electrons_per_position=200, dwell_time="20 us", seed=3)

    def files(self, folder):
        return [folder / "scan.tpx3"]

    def load(self, folder):
        return _loaded("tpx3", folder / "scan.tpx3", navigation_shape=_SHAPE[::-1])


class _HitList:
    def write(self, folder):
        rng = np.random.default_rng(5)
        rows = [f"{i}\t{rng.integers(65536)}\t{10 * i}\t10\t{rng.integers(16)}\t0" for i in range(4000)]
        header = "Index\tMatrix Index\tToA\tToT\tFToA\tOverflow"
        (folder / "scan.t3pa").write_text("\n".join([header, *rows, ""]))

    def files(self, folder):
        return [folder / "scan.t3pa"]

    def load(self, folder):
        return _loaded("t3pa", folder / "scan.t3pa", navigation_shape=(*_SHAPE[::-1], 1), dwell_time="20 us")[0]


class _CountedFile:
    def __init__(self, module, ending):
        self.writer = Counted(module, ending)

    def write(self, folder):
        module = importlib.import_module(f"rsciio_tpx3.{self.writer.module}")
        module.file_writer(self.writer.target(folder), signal(counts("new")), show_progressbar=False)

    def files(self, folder):
        # the arrays next to a TOML file hold the counts
        found = [path for path in sorted(folder.iterdir()) if path.suffix != ".toml"]
        return found or [self.writer.target(folder)]

    def load(self, folder):
        return _loaded(self.writer.module, self.writer.target(folder))


def _loaded(module, path, **options):
    if module in ("tpx3", "t3pa"):
        options.update(show_progressbar=False, cache=False)
    api = importlib.import_module(f"rsciio_tpx3.{module}")
    [found] = api.file_reader(path, lazy=True, chunks=2, **options)
    return found["data"]


READERS = {
    "tpx3": _Recording(),
    "t3pa": _HitList(),
    "raw_csr": _CountedFile("raw_csr", "toml"),
    "nxevent": _CountedFile("nxevent", "nxevent"),
    "stempy": _CountedFile("stempy", "stempy"),
}
