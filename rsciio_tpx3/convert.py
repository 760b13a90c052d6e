"""Conversion between files of counted data, and checking one file.

The reader and writer of each format do the work; here is what surrounds a conversion that may take
an hour: refuse before it starts what cannot end well, note where the data come from, compare at the end.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import rsciio

import rsciio_tpx3
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.formats import EVENT_FORMATS, checksums, events_inside, files_of, size_of
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.write import NullSink, write
from rsciio_tpx3.information import check_events
from rsciio_tpx3.metadata.provenance import provenance, with_step
from rsciio_tpx3.metadata.sources.sidecars import find_sidecars
from rsciio_tpx3.reader.deferred import completed
from rsciio_tpx3.reader.option_checks import checks_arguments
from rsciio_tpx3.reader.options import names_of
from rsciio_tpx3.utils.checks import check_flag, check_one_file, check_word
from rsciio_tpx3.utils.paths import need_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import dask.array as da

    from rsciio_tpx3.frames.source import FrameSource


__all__ = ["check", "convert"]


@checks_arguments
def convert(
    source: str | Path,
    target: str | Path,
    from_format: str | None = None,
    to_format: str | None = None,
    overwrite: bool = False,
    verify: bool = False,
    checksum: bool = True,
    reader_options: dict | None = None,
    writer_options: dict | None = None,
    show_progressbar: bool | None = None,
) -> dict:
    """Convert a file of events or counts into another format, in bounded memory.

    The result appears under its name when it is complete; a run that is interrupted leaves an old
    file as it was.

    Parameters
    ----------
    source : str, Path or list of them
        What to read; any format with a RosettaSciIO reader. A list is one acquisition in pieces.
    target : str or Path
        What to write; the ending tells the format.
    from_format, to_format : str, optional
        Name of a format, where the ending of a file does not tell it (``.h5``).
    overwrite : bool
        False refuses when `target` exists.
    verify : bool
        Read the result back and compare every value with the source.
    checksum : bool
        Note SHA-256 of the inputs, made while they are opened.
    reader_options, writer_options : dict, optional
        Passed to the reader and writer, such as ``{"navigation_shape": (256, 256)}``.
    show_progressbar : bool, optional
        None shows a bar for work that takes longer than two seconds.

    Returns
    -------
    dict
        ``source``, ``target``, ``bytes_in``, ``bytes_out``, ``frames``, ``seconds`` and ``verified``.

    Raises
    ------
    FileExistsError
        If `target` exists and `overwrite` is False.
    ValueError
        If a format is not known, cannot be written, or the result differs from the source.

    Examples
    --------
    >>> from rsciio_tpx3.convert import convert
    >>> convert("scan.tpx3", "scan.toml", reader_options={"navigation_shape": (256, 256)})  # doctest: +SKIP
    """
    begin = time.perf_counter()
    inputs = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    inputs = [os.path.abspath(path) for path in inputs]
    target = os.path.abspath(target)
    for path in inputs:
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path!r} does not exist.")
    reader = _plugin(inputs[0], from_format, "from_format (--from)")
    writer = _plugin(target, to_format, "to_format (--to)", writes=True)
    _refuse(inputs, target, overwrite, writer)
    writer_module = importlib.import_module(writer["api"])
    options = dict(reader_options or {})
    with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as stack:
        is_over = threading.Event()
        stack.callback(is_over.set)  # who is interrupted does not wait for the checksum of a large file
        sums = pool.submit(checksums, inputs if checksum else [], is_over.is_set)
        signal = _read(reader, inputs, options, show_progressbar)
        files = list(itertools.chain.from_iterable(map(files_of, inputs)))
        if writer["api"].startswith("rsciio_tpx3."):
            # ours wait for a sum when all frames are written
            digests = {path: pool.submit(lambda path=path: sums.result().get(path)) for path in files}
        else:
            digests = sums.result()
        note = provenance(files, digests, writer["name"], options, writer_options)
        signal["metadata"] = with_step(signal.get("metadata"), note)
        own = dict(writer_options or {})
        if show_progressbar is not None:
            own["show_progressbar"] = show_progressbar
        writer_module.file_writer(target, signal, **own)
    report = {
        "source": inputs,
        "target": target,
        "bytes_in": sum(size_of(path) for path in inputs),
        "bytes_out": size_of(target),
        "frames": int(np.prod(signal["data"].shape[:-2], dtype=np.int64)),
        "verified": False,
    }
    if verify:
        _compare(signal["data"], _read(writer, [target], {})["data"], target, show_progressbar)
        report["verified"] = True
    return {**report, "seconds": time.perf_counter() - begin}


def check(
    path: str | os.PathLike, file_format: str | None = None, show_progressbar: bool | None = None, **options: Any
) -> dict:
    """Read a whole file and raise at the first thing that is wrong.

    All checksums that the file has are compared. An HDF5 file, its structure and what it holds, is read in another
    process first, which is stopped after 60 s of one step: some damaged files keep the HDF5 library busy for ever.

    Parameters
    ----------
    path : str or Path
    file_format : str, optional
        Where the ending of the file does not tell it.
    **options
        For the reader, where the file cannot be read without; ``guard=300`` gives a file on a slow disk more time.

    Returns
    -------
    dict
        ``path``, ``format``, ``shape`` (NumPy order), ``dtype``, ``frames``, ``entries`` and ``total``, and
        ``canonical`` where the format can hold rows that are not. Of a recording whose scan is not known: ``path``,
        ``format``, ``hits``, ``losses`` and ``detector_shape``; all of its hits were decoded.

    Raises
    ------
    ValueError
        Naming what was found and what was needed.

    Examples
    --------
    >>> from rsciio_tpx3.convert import check
    >>> check("scan.toml")["entries"]  # doctest: +SKIP
    """
    check_one_file("path", path)
    check_word("file_format", file_format)
    check_flag("show_progressbar", show_progressbar)
    path = os.path.abspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path!r} does not exist.")
    plugin = _plugin(path, file_format, "file_format (--format)")
    folder = plugin["api"].rpartition(".")[2] if plugin["api"].startswith("rsciio_tpx3.") else None
    if folder:
        need_file(path)
    about_scan = set(options) & set(names_of("scan"))
    module = importlib.import_module(plugin["api"])
    if "guard" in inspect.signature(module.file_reader).parameters:
        options = {"guard": True, **options}
    found = None
    if hasattr(module, "check_file") and not set(options) - {"allow_external"}:
        # first, since it can say where something is wrong, which a checksum cannot
        found = module.check_file(path, show_progressbar=show_progressbar, **options)
    try:
        signal = _read(plugin, [path], options, show_progressbar)
    except ScanSyncError:
        # a recording can be good without a scan that its edges tell
        if folder not in EVENT_FORMATS or about_scan:
            raise
        return {"path": path, "format": plugin["name"], **check_events(path, folder, options)}
    if found is None:
        name = os.path.basename(path)
        found = write(signal["data"], NullSink(), show_progressbar, description=f"Checking {name}")
    data = signal["data"]
    about = {"path": path, "format": plugin["name"], "shape": list(data.shape), "dtype": data.dtype.name}
    return {**about, **found}


# -- formats -----------------------------------------------------------------------------------


def _plugin(path: str | os.PathLike, name: str | None, option: str, writes: bool = False) -> dict:
    """RosettaSciIO's specification of a format, by name or by the ending of a file; `option` is where to name it."""
    rsciio_tpx3.register()
    plugins = rsciio.IO_PLUGINS
    if name is not None:
        key = name.lower()
        for plugin in plugins:
            if key in (n.lower() for n in (plugin["name"], *plugin["name_aliases"])):
                return plugin
        names = [plugin["name"] for plugin in plugins]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(sorted(names))}."
        raise ValueError(f"{option}: there is no format {name!r}. {hint}")
    ending = os.path.splitext(path)[1][1:].lower()
    found = [p for p in plugins if ending and ending in (e.lower() for e in p["file_extensions"])]
    if len(found) != 1:
        what = "several formats" if found else "no format"
        ours = [p["name"] for p in plugins if p["api"].startswith("rsciio_tpx3.") and (p["writes"] or not writes)]
        others = [] if writes else [p["name"] for p in found]
        raise ValueError(
            f"the ending of {path!r} fits {what}. Give the format by name, by {option}, such as "
            f"{', '.join(dict.fromkeys([*ours, *others]))}."
        )
    # An ending such as .h5 belongs to many programs: the file itself shows whether it is one of ours.
    if not writes and not found[0]["api"].startswith("rsciio_tpx3."):
        inside = events_inside(path)
        found = [p for p in plugins if inside and p["api"] == f"rsciio_tpx3.{inside}"] or found
    return found[0]


def _refuse(inputs: list, target: str, overwrite: bool, writer: dict) -> None:
    """Everything that can be refused before work starts."""
    for path in inputs:
        if not os.path.isdir(path):  # a zspy is a folder
            need_file(path)
    if target in inputs or any(_is_same(target, path) for path in inputs):
        raise ValueError(f"{target!r} is the input too. Write to another name.")
    if os.path.exists(target):
        _refuse_to_destroy(inputs, target)
    if os.path.exists(target) and not overwrite:
        raise FileExistsError(f"{target!r} exists. Write to another name, or pass overwrite=True (--overwrite).")
    if not writer["writes"] or not writer["api"].startswith("rsciio_tpx3."):
        ours = [p for p in rsciio.IO_PLUGINS if p["api"].startswith("rsciio_tpx3.") and p["writes"]]
        raise ValueError(
            f"{writer['name']} is not a counted format that can be written; those are "
            f"{', '.join(p['name'] for p in ours)}. Other formats are written by HyperSpy: hs.load(...).save(...)."
        )


def _refuse_to_destroy(inputs: Sequence[str], target: str) -> None:
    """Raise where replacing the target would take away something that the input needs, or that was written for it."""
    for path in inputs:
        needed = {part: "a part of the input" for part in _parts_of(path)}
        if os.path.isfile(path):
            needed.update({part: "a description of the input" for part in find_sidecars(path)})
        for old in _parts_of(target):
            for part, what in needed.items():
                if _is_same(old, part):
                    raise ValueError(
                        f"{target!r} would replace {old!r}, which is {what}, {path!r}. Write to another name."
                    )


def _parts_of(path: str | os.PathLike) -> list:
    """A file and those it refers to; itself alone where that cannot be found out."""
    try:
        return files_of(path)
    except (ValueError, OSError):
        return [path]


def _is_same(first: str, second: str) -> bool:
    """Whether two paths are one file: by links of either kind, or on a disk that takes capitals for small letters."""
    try:
        return os.path.samefile(first, second)
    except OSError:
        return False


def _read(plugin: dict, paths: list, options: dict, show_progressbar: bool | None = None) -> dict:
    module = importlib.import_module(plugin["api"])
    _refuse_options(plugin, module, options)
    if show_progressbar is not None and "show_progressbar" in inspect.signature(module.file_reader).parameters:
        options = {"show_progressbar": show_progressbar, **options}
    signals = module.file_reader(paths[0] if len(paths) == 1 else paths, lazy=True, **options)
    if len(signals) != 1:
        titles = [s.get("metadata", {}).get("General", {}).get("title", "") for s in signals]
        raise ValueError(
            f"{paths[0]!r} holds {len(signals)} signals: {titles}. Load the one you want and save it by HyperSpy."
        )
    return completed(signals[0])


def _refuse_options(plugin: dict, module: Any, options: dict) -> None:
    """Raise for an option that a reader of others does not have; ours say it themselves, with what was meant."""
    known = inspect.signature(module.file_reader).parameters
    if any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return
    if unknown := [name for name in options if name not in known]:
        names = ", ".join(name for name in known if name != "filename")
        raise ValueError(
            f"{', '.join(unknown)} is not an option of the reader of {plugin['name']}: it has {names}. Where the file "
            "holds counted events, give its format, such as file_format='NXevent' (--format)."
        )


# -- reading back ----------------------------------------------------------------------------------


class _Compare:
    """A sink that writes nothing: it holds what comes against what another source has in that place."""

    def __init__(self, source: FrameSource, target: str) -> None:
        self.source, self.target, self.row = source, target, 0

    def prepare(self, frames: CSRFrames) -> CSRFrames:
        return _without_zeros(frames)

    def append(self, frames: CSRFrames) -> None:
        stop = self.row + frames.n_frames
        found = _without_zeros(self.source.frames(self.row, stop))
        nan = frames.dtype.kind in "fc"
        same = np.array_equal(frames.indptr, found.indptr) and np.array_equal(frames.indices, found.indices)
        if not same or not np.array_equal(frames.data, found.data, equal_nan=nan):
            raise ValueError(
                f"{self.target!r} differs from its source in frames {self.row} to {stop - 1}. Do not use it; "
                "convert again, and report it with the input if it stays so."
            )
        self.row = stop


def _compare(expected: da.Array, found: da.Array, target: str, show_progressbar: bool | None) -> None:
    """Raise unless a file just written holds the values of its source."""
    if expected.shape != found.shape:
        raise ValueError(f"{target!r} reads back as {found.shape}, not {expected.shape}. Do not use it.")
    write(expected, _Compare(source_of(found), target), show_progressbar, description="Comparing")


def _without_zeros(frames: CSRFrames) -> CSRFrames:
    # a stored zero and an absent entry are the same count
    return CSRFrames((frames.data, frames.indices, frames.indptr), shape=frames.shape, prune=True)
