"""Small recordings and counted files as bytes, made once for each process."""

import contextlib
import functools
import tempfile
from pathlib import Path

import numpy as np

from rsciio_tpx3 import simulate
from rsciio_tpx3.convert import convert
from rsciio_tpx3.frames.dask_array import to_dask
from rsciio_tpx3.frames.memory_source import MemorySource
from rsciio_tpx3.nxevent import sink as nxevent_sink
from rsciio_tpx3.stempy import sink as stempy_sink

__all__ = ["NAV", "SIG", "SMALL", "counted_file", "files_in", "recording", "written"]

NAV, SIG, SMALL = (3, 4), (256, 256), (7, 11)


def files_in(folder):
    """All files of a folder: dict of name to bytes."""
    return {p.name: p.read_bytes() for p in sorted(Path(folder).iterdir()) if p.is_file()}


@functools.cache
def recording(layout="single", name="a.tpx3", **options):
    """Bytes of a simulated recording of 3 lines of 4 positions."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        plain = {"dwell_time": "5 us", "electrons_per_position": 4, "global_time": "20 us", "chunk_counts": True}
        simulate.recording(path, NAV, layout=layout, **{**plain, **options})
        return path.read_bytes()


@functools.cache
def counted_file(ending, to_format=None, **options):
    """Files of the same recording, counted: dict of name to bytes (as a tuple of pairs).

    Options are those of the writer.
    """
    with tempfile.TemporaryDirectory() as folder, _small_parts():
        source, out = Path(folder) / "a.tpx3", Path(folder) / "out"
        out.mkdir()
        source.write_bytes(recording(chunk_counts=False, global_time=None))
        convert(
            str(source),
            str(out / f"a{ending}"),
            to_format=to_format,
            reader_options={"navigation_shape": NAV[::-1], "layout": "single"},
            writer_options=options,
            show_progressbar=False,
        )
        return tuple(files_in(out).items())


def written(writer, name, dtype, **options):
    """Files of a few pixels that count up to three, by a `file_writer`: dict of name to bytes."""
    rng = np.random.default_rng(1)
    dense = (rng.integers(0, 4, (*NAV, *SMALL)) * (rng.random((*NAV, *SMALL)) < 0.06)).astype(dtype)
    if dense.dtype.kind == "f":
        dense *= -0.5
    axes = [{"name": name, "size": n, "navigate": i < 2} for i, (name, n) in enumerate(zip("yxqp", dense.shape))]
    signal = {"data": to_dask(MemorySource.from_dense(dense)), "axes": axes, "metadata": {}}
    with tempfile.TemporaryDirectory() as folder, _small_parts():
        writer(str(Path(folder) / name), {**signal, "original_metadata": {}}, show_progressbar=False, **options)
        return files_in(folder)


@contextlib.contextmanager
def _small_parts():
    """Little room for events that never come: damage hits what means something, and reading unpacks less."""
    known = nxevent_sink.CHUNK_EVENTS, nxevent_sink._CHUNK_ROWS, stempy_sink._ROWS
    nxevent_sink.CHUNK_EVENTS, nxevent_sink._CHUNK_ROWS, stempy_sink._ROWS = (
        64,
        8,
        {"maxshape": (None,), "chunks": (16,)},
    )
    try:
        yield
    finally:
        nxevent_sink.CHUNK_EVENTS, nxevent_sink._CHUNK_ROWS, stempy_sink._ROWS = known
