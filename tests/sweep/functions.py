"""Every public function with a call of it that works; what can be passed is read from its signature.

A function that becomes public and has no call here fails a test, so that none is forgotten.
"""

import contextlib
import functools
import importlib
import inspect
import io
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import dask.array as da
import hyperspy.api as hs
import numpy as np

import hyperspy_sparse
from hyperspy_sparse import data, mixin, set_limit
from rsciio_tpx3 import simulate
from rsciio_tpx3.cli.main import build_parser, main
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.frames.dask_array import to_dask
from rsciio_tpx3.frames.memory_source import MemorySource

__all__ = ["Call", "Command", "calls", "command", "commands", "make_files", "options_of", "public_functions", "tidy"]

_FORMATS = ("tpx3", "t3pa", "raw_csr", "nxevent", "stempy")
_MODULES = (
    "rsciio_tpx3",
    "rsciio_tpx3.convert",
    "rsciio_tpx3.information",
    "rsciio_tpx3.metadata.export",
    "hyperspy_sparse",
    "hyperspy_sparse.interop.arrays",
    *(f"rsciio_tpx3.{name}" for name in _FORMATS),
)

_OF_THE_HOST = {"plot", "persist", "change_dtype", "crop", "interpolate_on_axis"}
"""Methods that hand all of their options to HyperSpy or dask, which check them."""

NOT_CALLED = {
    # no options, or not for users
    *("register", "cache_folder", "clear_cache", "add_check_parser", "add_convert_parser", "event_info"),
    *("check_events", "refuse_reversed", "register_kernel"),
    # need programs that may be absent
    *("to_libertem", "to_py4dstem", "to_quantem", "to_quantem_direct"),
    # wait for a program at the other end of a connection
    *("live", "serve"),
    # writes into the preferences of whoever runs it
    "save_limit",
}


@dataclass
class Call:
    """A call that works.

    Attributes
    ----------
    function : callable
    values : dict
        Arguments that work, by name; callables are called for each run.
    free : dict
        Names among ``**options`` that are options too: those of the reader that is behind.
    use : callable
        What is done with an answer, to see that it is one.
    answers : tuple of type
        Errors that are answers, whatever the option.
    """

    function: object
    values: dict = field(default_factory=dict)
    free: tuple = ()
    use: object = None
    answers: tuple = ()

    def options(self):
        return [*options_of(self.function), *(name for name in self.free if name not in options_of(self.function))]

    @property
    def writes(self):
        """Options that say where to write, or next to what."""
        name = self.function.__name__
        places = {"write_ro_crate": {"paths"}, "file_writer": {"filename"}, "convert": {"target"}}
        return {"cache", *places.get(name, ()), *(("filename", "extension") if name == "save" else ())}

    def run(self, name, value):
        arguments = {key: item() if callable(item) else item for key, item in self.values.items()}
        arguments[name] = value
        more = ()
        for key, parameter in inspect.signature(self.function).parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL and key in arguments:
                more = arguments.pop(key)
                more = more if isinstance(more, tuple) else (more,)
        try:
            found = self._called(arguments, more)
        except self.answers:
            return
        if self.use is not None:
            self.use(found)

    def _called(self, arguments, more):
        if not more:
            return self.function(**arguments)
        first = [arguments.pop(key) for key in list(inspect.signature(self.function).parameters)[:1]]
        return self.function(*first, *more, **arguments)


def options_of(function):
    """Names of the parameters of a function, but for ``**kwds``."""
    parameters = inspect.signature(function).parameters
    return [name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD]


def public_functions():
    """Name and function of all that is public, each once, as the modules' own lists have it; and methods of signals."""
    seen = set()
    for module in map(importlib.import_module, _MODULES):
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isfunction(found) and name not in NOT_CALLED and found not in seen:
                seen.add(found)
                yield f"{module.__name__.removeprefix('rsciio_tpx3.')}.{name}", found
    for part in mixin.SparseFramesMixin.__mro__:
        if not part.__module__.startswith(mixin.__name__):
            continue
        for name, found in vars(part).items():
            if inspect.isfunction(found) and not name.startswith("_") and name not in _OF_THE_HOST:
                yield f"signal.{name}", found


# -- calls that work -----------------------------------------------------------------------------


def _compute(signals):
    for found in signals:
        if np.prod(found["data"].shape[:-2], dtype=float) < 1e5:
            np.asarray(found["data"].sum().compute(scheduler="sync"))


def _dictionary():
    dense = np.random.default_rng(1).poisson(0.3, (3, 4, 5, 6)).astype(np.uint8)
    axes = [{"name": name, "size": n, "navigate": i < 2} for i, (name, n) in enumerate(zip("yxqp", dense.shape))]
    return {
        "data": to_dask(MemorySource(CSRFrames.from_dense(dense))),
        "axes": axes,
        "metadata": {},
        "original_metadata": {},
    }


def _frames():
    return _dictionary()["data"].compute(scheduler="sync")


def _signal():
    return data.disks((3, 4), (8, 9), 20)


def _series():
    counts = np.random.default_rng(0).poisson(1, (2, 9, 10, 8, 7)).astype(np.uint8)
    s = hyperspy_sparse.to_sparse(hs.signals.Signal2D(da.from_array(counts)).as_lazy())
    for axis, name in zip(s.axes_manager._axes, ("frame", "y", "x")):
        axis.name = name
    return s


def _loaded(path):
    return hs.load(path, lazy=True)


def _udf():
    from libertem.udf.sum import SumUDF

    return SumUDF()


class _Viewer:
    """Takes what napari would be given: a window is not needed for arguments that are refused."""

    def add_image(self, data, **options):
        return _Layer()


class _Layer:
    pass


def make_files(folder):
    """Small files of every format in a folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    simulate.recording(folder / "a.tpx3", (6, 11), electrons_per_position=5, seed=1)
    simulate.recording(folder / "long.tpx3", (18, 40), electrons_per_position=20, seed=2)  # enough lines for a delay
    rng = np.random.default_rng(3)
    rows = [f"{i}\t{rng.integers(65536)}\t{400 * i}\t10\t{rng.integers(16)}\t0" for i in range(100)]
    (folder / "a.t3pa").write_text("\n".join(["Index\tMatrix Index\tToA\tToT\tFToA\tOverflow", *rows, ""]))
    for name, file in (("raw_csr", "a.toml"), ("nxevent", "a.nxevent"), ("stempy", "a.h5")):
        writer = importlib.import_module(f"rsciio_tpx3.{name}").file_writer
        writer(folder / file, _dictionary(), show_progressbar=False)


_READ = {"tpx3": "a.tpx3", "t3pa": "a.t3pa", "raw_csr": "a.toml", "nxevent": "a.nxevent", "stempy": "a.h5"}


def calls(folder):
    """A call for each public function.

    Parameters
    ----------
    folder : str or Path
        With what `make_files` makes.

    Returns
    -------
    dict of str to Call
    """
    folder = Path(folder)
    path = {name: str(folder / file) for name, file in _READ.items()}
    reading = {name: options_of(importlib.import_module(f"rsciio_tpx3.{name}").file_reader) for name in _FORMATS}
    of_scan = tuple(name for name in reading["tpx3"] if name not in ("filename", "lazy", "signal"))
    free = dict.fromkeys(
        (f"rsciio_tpx3.{name}" for name in ("available_signals", "file_info", "find_scan_delay", "read_hits")), of_scan
    )
    arguments = {**_of_recordings(folder, path), **_of_files(folder, path), **_of_signals(folder, path), **_of_phases()}
    found = {}
    for name, function in dict(public_functions()).items():
        module, _, kind = name.rpartition(".")
        if kind == "file_writer":
            target = str(folder / f"out{Path(_READ[module]).suffix}")
            own = {"filename": target, "signal": _dictionary, "show_progressbar": False}
        elif kind == "file_reader":
            own = arguments.get(name, {"filename": path.get(module), "lazy": True})
        elif name in arguments:
            own = arguments[name]
        else:
            continue
        # a delay that cannot be found with this option
        answers = (ScanSyncError,) if kind == "find_scan_delay" else ()
        found[name] = Call(function, own, free.get(name, ()), _USES.get(kind), answers)
    return found


_QUIET = {"show_progressbar": False}


def _of_recordings(folder, path):
    """What the readers of recordings take; other readers do with the name of a file."""
    scan, events = {"navigation_shape": (11, 6)}, {"filename": path["tpx3"]}
    return {
        "rsciio_tpx3.file_reader": {**events, "lazy": True, **_QUIET, **scan},
        "t3pa.file_reader": {"filename": path["t3pa"], "lazy": True, "dwell_time": "10 us", **_QUIET, **scan},
        "rsciio_tpx3.available_signals": events,
        "rsciio_tpx3.file_info": events,
        "tpx3.available_signals": events,
        "tpx3.file_info": events,
        "t3pa.available_signals": {"filename": path["t3pa"]},
        "t3pa.file_info": {"filename": path["t3pa"]},
        "rsciio_tpx3.read_hits": events,
        "rsciio_tpx3.find_scan_delay": {
            "filename": str(folder / "long.tpx3"),
            "span": "40 us",
            "navigation_shape": (40, 18),
        },
    }


def _of_files(folder, path):
    """What functions on counted files and on their metadata take."""
    return {
        "rsciio_tpx3.to_dask": {"frame_source": _memory},
        "convert.check": {"path": path["raw_csr"], **_QUIET},
        "convert.convert": {
            "source": path["raw_csr"],
            "target": str(folder / "c.nxevent"),
            "overwrite": True,
            **_QUIET,
        },
        "raw_csr.check_file": {"filename": path["raw_csr"], **_QUIET},
        "metadata.export.write_ro_crate": {"signal": dict, "paths": (path["raw_csr"],), "overwrite": True},
        "metadata.export.ro_crate": {"signal": dict, "files": {"a": 1}},
        "metadata.export.from_libertem": {"parameters": dict},
        "metadata.export.libertem_parameters": {"signal": dict},
        "metadata.export.known_values": {"signal": dict},
        "metadata.export.data_values": {"signal": dict},
    }


def _of_signals(folder, path):
    """What functions and methods of signals take."""
    return {
        "hyperspy_sparse.convert": {"array": _frames, "backend": "numpy"},
        "hyperspy_sparse.align_frames": {"signal": _series},
        "hyperspy_sparse.find_drift": {"signal": _series},
        "hyperspy_sparse.one_pass": {"signal": _signal},
        "hyperspy_sparse.virtual_images": {"signal": _signal, "detectors": lambda: [np.ones((9, 8))]},
        "hyperspy_sparse.set_microscope": {"signal": _signal},
        "hyperspy_sparse.to_sparse": {"signal": _signal},
        "hyperspy_sparse.refresh": {"signal": lambda: _loaded(path["nxevent"])},
        "hyperspy_sparse.read_recording": {"signal": _signal},
        "hyperspy_sparse.finish_loading": {"signal": _signal},
        "hyperspy_sparse.get_limit": {},
        "hyperspy_sparse.set_limit": {"limit": None},
        "hyperspy_sparse.interop.arrays.run_udf": {"signal": _signal, "udf": _udf},
        "hyperspy_sparse.interop.arrays.to_napari": {"signal": _signal, "viewer": _Viewer},
        "signal.save": {"self": _signal, "filename": str(folder / "s.nxevent"), "overwrite": True},
        "signal.rebin": {"self": _signal, "scale": (1, 1, 3, 2)},
        "signal.get_integrated_intensity": {"self": _signal, "roi": _roi},
        "signal.get_variance": {"self": _signal, "npt": 3, "method": "re", "shot_noise": "remove"},
        "signal.get_virtual_image": {"self": _signal, "rois": lambda: [_roi()]},
        "signal.compute": {"self": _signal, **_QUIET},
        "signal.to_dense": {"self": _signal, **_QUIET},
    }


def _all(batches):
    for _ in batches:
        pass


def _of_phases():
    """What scans of thin specimens are given to, and the other functions that are young."""
    halves = {"one": lambda: _phase("obf", 1), "other": lambda: _phase("obf", 2)}
    return {
        "rsciio_tpx3.set_log_level": {"level": "WARNING"},
        "hyperspy_sparse.recording_summary": {"signal": _signal},
        "hyperspy_sparse.select": {"signal": _signal, "mask": lambda: np.eye(3, 4, dtype=bool)},
        "hyperspy_sparse.find_disks": {"signal": _scan, "radius": 4},
        "hyperspy_sparse.tilted_images": {"signal": _scan, "across": 4},
        "hyperspy_sparse.phase": {"signal": _scan, "across": 4},
        "hyperspy_sparse.fit_aberrations": {"signal": _scan, "across": 4, "rotation": "0 deg", "flip": False},
        "hyperspy_sparse.split_electrons": {"signal": _scan},
        "hyperspy_sparse.fourier_ring_correlation": halves,
        "hyperspy_sparse.error_map": halves,
    }


def _scan(seed=0):
    return data.phase_object(electrons=20, seed=seed)


def _phase(method, seed):
    return hyperspy_sparse.phase(_scan(seed), method, across=4)


def _unlimited(_):
    set_limit(None)


_USES = {"file_reader": _compute, "read_hits": _all, "set_limit": _unlimited}
"""What is done with the result of functions of this name."""


def _roi():
    return hs.roi.CircleROI(4, 4, 3)


def _memory():
    return MemorySource(CSRFrames.from_dense(np.eye(4, dtype=np.uint8).reshape(2, 2, 2, 2)))


# -- command line --------------------------------------------------------------------------------


@dataclass
class Command:
    """A command that works, whose options are swept as those of a function are.

    Attributes
    ----------
    name : str
    words : sequence of str
        That work.
    """

    name: str
    words: tuple
    writes = ()

    def options(self):
        """Each option of the command's own parser, and each that ``-o`` may pass on to a reader."""
        own = [
            max(action.option_strings, key=len)
            for action in _parsers()[self.name]
            if action.nargs != 0 and not action.dest.startswith("reader_")  # these are passed by -o
        ]
        return [*own, *(f"--option {name}" for name in _SOME_OF_READERS)]

    def run(self, name, value):
        """Words where a value ends as a fault of the program, or is refused without naming the option."""
        text = value if isinstance(value, str) else _text_of(value)
        if text is None or "\0" in text:  # no shell passes it on
            return None
        option, _, key = name.partition(" ")
        code, output = command(self.name, *self.words, f"{option}={key}={text}" if key else f"{option}={text}")
        words = " ".join(output.split())
        if code not in (0, 1, 2) or "Traceback" in output:
            return f"exit status {code}: {words[-200:]}"
        if code == 2 and not any(
            part and part in words for part in (key, option, option.strip("-").replace("-", "_"), text[:40])
        ):
            return f"{name!r} is not named: {words[-200:]}"
        return None


_SOME_OF_READERS = ("navigation_shape", "dwell_time", "sync_offset", "corrections", "cluster", "dtype", "lazy", "x")


def _text_of(value):
    try:
        return str(value)
    except Exception:
        return None


@functools.cache
def _parsers():
    """Options of each command: a new one is swept by itself."""
    [commands] = [action for action in build_parser()._actions if isinstance(action.choices, dict)]
    return {
        name: [action for action in parser._actions if action.option_strings]
        for name, parser in commands.choices.items()
    }


def commands(folder):
    """A call for each command that reads; ``demo`` makes pictures of what these read."""
    path = {name: str(Path(folder) / file) for name, file in _READ.items()}
    target = str(Path(folder) / "of_command.nxevent")
    return {
        "command.info": Command("info", (path["tpx3"],)),
        "command.metadata": Command("metadata", (path["tpx3"],)),
        "command.convert": Command("convert", (path["tpx3"], target, "--overwrite", "--quiet")),
        "command.check": Command("check", (path["raw_csr"], "--quiet")),
    }


def command(*words):
    """Exit code and words of the command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(list(words))
        except SystemExit as end:
            code = end.code
    return code or 0, out.getvalue() + err.getvalue()


def tidy(folder, names):
    """Take away what runs have made in a folder."""
    for entry in Path(folder).iterdir():
        if entry.name not in names:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
