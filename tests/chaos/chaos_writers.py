"""All that this project writes, as things that can be interrupted: what is written, and what a reader then finds."""

import hashlib
import importlib
import json
import os
import re
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

from rsciio_tpx3 import CSRFrames, simulate, to_dask
from rsciio_tpx3.cache import store as cache
from rsciio_tpx3.convert import convert
from rsciio_tpx3.frames.memory_source import MemorySource
from rsciio_tpx3.metadata.export import write_ro_crate

SHAPES = {"old": (2, 3, 4, 5), "new": (6, 7, 9, 11)}
LEFTOVER = re.compile(r"\.partial$")


def counts(which, seed=0):
    """Dense counts of a data set by name; each seed has its own."""
    rng = np.random.default_rng([seed, *SHAPES[which]])
    return rng.poisson(0.4, SHAPES[which]).astype(np.uint8)


def signal(dense):
    """A RosettaSciIO dictionary of sparse chunks."""
    names = ("y", "x", "ky", "kx")
    axes = [
        {"name": name, "size": size, "navigate": i < 2, "scale": 1.0, "offset": 0.0, "units": ""}
        for i, (name, size) in enumerate(zip(names, dense.shape))
    ]
    data = to_dask(MemorySource(CSRFrames.from_dense(dense)), chunks=2)
    return {"data": data, "axes": axes, "metadata": {"General": {"title": "chaos"}}, "original_metadata": {}}


class Counted:
    """A counted format, written from memory."""

    def __init__(self, module, ending, **options):
        self.name, self.module, self.ending, self.options = module, module, ending, options

    def target(self, folder):
        return Path(folder) / f"scan.{self.ending}"

    def prepare(self, folder):
        """Make the input; none here."""

    def write(self, folder, which, seed=0):
        api = importlib.import_module(f"rsciio_tpx3.{self.module}")
        api.file_writer(self.target(folder), signal(counts(which, seed)), show_progressbar=False, **self.options)

    def read(self, folder):
        """Dense counts under the final name, or words of the error of ours; anything else is raised."""
        return read(self.target(folder), self.module)

    def is_input(self, path):
        return False

    def is_own(self, path):
        """Whether a file may stand under its final name."""
        return path.name.startswith("scan.") and not LEFTOVER.search(path.name)


class Converted(Counted):
    """The same by `convert`, which replaces what is there."""

    def __init__(self, module, ending, source="nxevent", **options):
        super().__init__(module, ending, **options)
        self.source = source
        self.name = f"convert to {module}"

    def _input(self, folder, which, seed):
        return Path(folder) / f"input-{which}-{seed}.nxevent"

    def prepare(self, folder):
        api = importlib.import_module("rsciio_tpx3.nxevent")
        for which in SHAPES:
            for seed in (0, 1):
                api.file_writer(self._input(folder, which, seed), signal(counts(which, seed)), show_progressbar=False)

    def write(self, folder, which, seed=0):
        names = {"raw_csr": "RawCSR", "nxevent": "NXevent", "stempy": "stempy"}
        convert(
            self._input(folder, which, seed),
            self.target(folder),
            to_format=names[self.module],
            writer_options=self.options,
            overwrite=True,
            verify=True,
            show_progressbar=False,
        )

    def is_input(self, path):
        return path.name.startswith("input-")


class Saved(Counted):
    """The same as users do it: a signal of HyperSpy, whose `save` finds the writer and decides about an old file."""

    def __init__(self, module, ending, **options):
        super().__init__(module, ending, **options)
        self.name = f"save as {module}"

    def write(self, folder, which, seed=0):
        # pyXem takes seconds to load, and every kill starts a process; this one writer of many needs it
        from hyperspy_sparse import LazySparseSignal2D

        made = LazySparseSignal2D(signal(counts(which, seed))["data"])
        made.save(self.target(folder), overwrite=True, show_progressbar=False, **self.options)


class Text(Counted):
    """A file of text or words that holds no counts: which one it is tells its content."""

    def __init__(self, name, file, make):
        self.name, self.file, self._make, self._known = name, file, make, {}

    def target(self, folder):
        return Path(folder) / self.file

    def write(self, folder, which, seed=0):
        self._make(self.target(folder), which, seed)

    def read(self, folder):
        if not self.target(folder).exists():
            return "absent"
        content = self.target(folder).read_bytes()
        for which in SHAPES:
            for seed in (0, 1):
                if content == self._content(which, seed, folder):
                    return counts(which, seed)
        return np.zeros(0)  # neither: it lies

    def _content(self, which, seed, folder):
        if (which, seed) not in self._known:
            with tempfile.TemporaryDirectory() as other:
                (Path(other) / "scan.toml").write_text("")
                self.write(other, which, seed)
                self._known[which, seed] = self.target(other).read_bytes()
        return self._known[which, seed]

    def prepare(self, folder):
        (Path(folder) / "scan.toml").write_text("")  # what a description is about

    def is_own(self, path):
        return path.name in (self.file, "scan.toml")


def _describe(path, which, seed):
    about = {"General": {"title": f"{which} {seed}"}}
    files_of = "rsciio_tpx3.metadata.export.files_of"
    with mock.patch(files_of, lambda path: [path]):
        write_ro_crate(about, path.with_name("scan.toml"), overwrite=True)


def _simulate(path, which, seed):
    shape = SHAPES[which][:2]
    simulate.recording(path, shape, electrons_per_position=9, dwell_time="5 us", seed=len(which) * 10 + shape[0] + seed)


class Cached:
    """The cache of a recording: never in the way, whatever became of its files."""

    name = "cache"

    def target(self, folder):
        return Path(folder) / "cache"

    def prepare(self, folder):
        for which, shape in SHAPES.items():
            path = Path(folder) / f"input-{which}.tpx3"
            simulate.recording(
                path, shape[:2], electrons_per_position=20, dwell_time="20 us", seed=len(which) + shape[0]
            )

    def write(self, folder, which, seed=0):
        os.environ["RSCIIO_TPX3_CACHE"] = str(self.target(folder))
        self._load(folder, which)

    def _load(self, folder, which, cached=True):
        shape = SHAPES[which][:2]
        api = importlib.import_module("rsciio_tpx3.tpx3")
        [found] = api.file_reader(
            Path(folder) / f"input-{which}.tpx3",
            navigation_shape=shape[::-1],
            lazy=True,
            cache=cached,
            show_progressbar=False,
        )
        return found["data"]

    def read(self, folder):
        """Frames of the recording as the cache tells, compared with those without it; None where they differ."""
        os.environ["RSCIIO_TPX3_CACHE"] = str(self.target(folder))
        if not cache.cache_folder().exists():
            return "nothing cached"
        for which in SHAPES:
            cached, plain = (
                np.asarray(self._load(folder, which, cached).compute(scheduler="sync")) for cached in (True, False)
            )
            if not np.array_equal(cached, plain):
                return None
        return "nothing cached"

    def is_input(self, path):
        return path.name.startswith("input-")

    def is_own(self, path):
        return path.suffix == ".npz" or path.is_dir()


WRITERS = [
    Counted("raw_csr", "toml"),
    Counted("nxevent", "nxevent"),
    Counted("stempy", "stempy"),
    Converted("raw_csr", "toml"),
    Converted("nxevent", "nxevent"),
    Saved("raw_csr", "toml"),
    Saved("nxevent", "nxevent"),
    Saved("stempy", "h5", file_format="stempy"),
    Text("description", "ro-crate-metadata.json", _describe),
    Text("simulated recording", "scan.tpx3", _simulate),
    Cached(),
]


def read(path, module):
    """Dense counts of a file; the words of the error where there is none, or where it does not open."""
    if not os.path.exists(path):
        return "absent"
    try:
        (found,) = importlib.import_module(f"rsciio_tpx3.{module}").file_reader(path, lazy=True)
        return np.asarray(found["data"].compute(scheduler="sync"))
    except (ValueError, OSError) as error:
        return f"does not open: {type(error).__name__}: {error}"


def checksums(writer, folder):
    """Of the input, which nothing may change."""
    inputs = sorted(path for path in Path(folder).rglob("*") if path.is_file() and writer.is_input(path))
    return json.dumps([(str(path), hashlib.sha256(path.read_bytes()).hexdigest()) for path in inputs])
