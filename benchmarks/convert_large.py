"""Convert a large recording: time compared with writing the same bytes, the most memory, and reading back.

    python -m benchmarks.convert_large [FILE.tpx3] [OUT.toml OUT.nxevent OUT.h5 ...]

Without FILE a recording of 10^7 packets is made first; without OUT all three formats are written. The reference is what
nobody can do without once all rows are known: the SHA-256 of the recording (it is noted in the file), and the arrays of
the result written from memory with all of their checksums and filters, by one thread, in pieces of 4 MB (HDF5: in one),
until they are on the disk. It decodes nothing. Rows of any length, those of stempy, are written in two ways: as h5py
and stempy do it, with an object for each, and as HDF5's interface in C takes them, as we do. Both are given by the
clock and in processor time; the target, 1.5 times, is by the clock, since rows are decoded by other threads than the
one that writes. Each runs five times, in turns, in a process of its own, whose peak of resident memory is that of the
conversion alone; medians are shown.
"""

import hashlib
import os
import sys
import tempfile
import time

import h5py
import numpy as np

from benchmarks import recordings
from benchmarks.measure import fresh, table, target
from rsciio_tpx3.formats import files_of
from rsciio_tpx3.raw_csr.block_sums import SummedBlocks
from rsciio_tpx3.stempy.references import append_rows

_PIECE = 1 << 22
_ROUNDS = 5

_CONVERT = """
import os, sys, time
from rsciio_tpx3.convert import convert

def run(path, shape, output):
    return convert(path, output, to_format=sys.argv[4] or None, overwrite=True, show_progressbar=False,
                   reader_options={"navigation_shape": shape})

folder, name = os.path.split(sys.argv[3])
run(sys.argv[2], (32, 32), os.path.join(folder, "small_" + name))  # compiled and imported
begin = time.perf_counter(), time.process_time()
run(sys.argv[1], (512, 512), sys.argv[3])
result = time.perf_counter() - begin[0], time.process_time() - begin[1]
"""

_PLAIN = """
import sys
from benchmarks.convert_large import plain_writing
result = plain_writing(*sys.argv[1:5])
"""

_READ = """
import sys, time
import numpy as np
from rsciio_tpx3.convert import _plugin, _read
from rsciio_tpx3.frames.dask_array import source_of
begin = time.perf_counter()
data = _read(_plugin(sys.argv[1], sys.argv[2] or None, "format"), [sys.argv[1]], {})["data"]
opened = time.perf_counter() - begin
source = source_of(data)
rows = np.random.default_rng(0).integers(0, np.prod(data.shape[:-2]), 400)
for row in rows[:200]:
    source.frames(int(row), int(row) + 1)
begin = time.perf_counter()
for row in rows[200:]:
    source.frames(int(row), int(row) + 1)
frame = (time.perf_counter() - begin) / 200
begin = time.perf_counter()
data.sum().compute()
result = opened, frame, time.perf_counter() - begin
"""


def plain_writing(recording, converted, copy, rows):
    """Seconds by the clock and of processor time to write the arrays of a converted file again; see the module.

    `rows` tells how those of any length are written: as "objects", or flat.
    """
    if converted.endswith(".toml"):
        arrays = [np.fromfile(path, np.uint8) for path in files_of(converted) if path.endswith(".raw")]
        write = _write_raw
    else:
        import hdf5plugin  # noqa: F401  (makes the filters known to HDF5)

        arrays, write = _arrays_of(converted, rows), _write_hdf5
    begin = time.perf_counter(), time.process_time()
    with open(recording, "rb") as file:
        sum_of_input = hashlib.sha256()
        while piece := file.read(_PIECE):
            sum_of_input.update(piece)
    write(arrays, copy)
    return time.perf_counter() - begin[0], time.process_time() - begin[1]


def _write_raw(arrays, copy):
    for number, array in enumerate(arrays):
        whole, blocks = hashlib.sha256(), SummedBlocks()
        with open(f"{copy}.{number}", "wb") as file:
            for start in range(0, len(array), _PIECE):
                piece = array[start : start + _PIECE]
                piece.tofile(file)
                whole.update(piece)
                blocks.update(piece)
            os.fsync(file.fileno())
        blocks.finish()
        os.remove(f"{copy}.{number}")


def _arrays_of(path, rows):
    """Name to the layout, the type, the shape and the values of each array of an HDF5 file."""
    found = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset) and item.shape:
            values = item[()]
            if h5py.check_vlen_dtype(item.dtype) == np.uint32 and rows != "objects":
                values = np.concatenate(values), np.cumsum([0, *map(len, values)])
            found[name] = item.id.get_create_plist(), item.id.get_type(), item.shape, values

    with h5py.File(path, "r") as file:
        file.visititems(note)
    return found


def _write_hdf5(arrays, copy):
    with h5py.File(copy, "w") as file:
        for number, (layout, kind, shape, values) in enumerate(arrays.values()):
            most = tuple(h5py.h5s.UNLIMITED for _ in shape) if layout.get_layout() == h5py.h5d.CHUNKED else None
            rows = isinstance(values, tuple)
            space = h5py.h5s.create_simple((0,) if rows else shape, most)
            made = h5py.Dataset(h5py.h5d.create(file.id, str(number).encode(), kind, space, layout))
            if rows:
                append_rows(made, *values)
            else:
                made.write_direct(values)
    with open(copy, "r+b") as file:
        os.fsync(file.fileno())
    os.remove(copy)


def measure(path, small, output):
    """Rows of the table, one for each way of plain writing: medians of conversion and plain writing in turns."""
    name = "stempy" if output.endswith(".h5") else ""
    ways = {"stempy": "objects", "stempy, rows as in C": "flat"} if name else {output.rpartition(".")[2]: "flat"}
    runs = [
        (
            *fresh(_CONVERT, path, small, output, name),
            [fresh(_PLAIN, path, output, f"{output}.copy", way)[0] for way in ways.values()],
        )
        for _ in range(_ROUNDS)
    ]
    seconds, processor = np.median([r[0] for r in runs], axis=0)
    peak = max(r[1] for r in runs)
    (opened, frame, total), _ = fresh(_READ, output, name)
    for i, way in enumerate(ways):
        plain, plain_processor = np.median([r[2][i] for r in runs], axis=0)
        yield {
            "name": way.replace("toml", "raw_csr"), "seconds": seconds, "processor": processor, "plain": plain,
            "plain processor": plain_processor, "peak": peak, "open": opened, "frame": frame, "sum": total,
        }  # fmt: skip


def main(arguments):
    with tempfile.TemporaryDirectory() as folder:
        paths = [a for a in arguments if a.endswith(".tpx3")]
        path = paths[0] if paths else recordings.write(os.path.join(folder, "large.tpx3"), 10**7, (512, 512))
        small = recordings.write(os.path.join(folder, "small.tpx3"), 10**5, (32, 32))
        outputs = [a for a in arguments if not a.endswith(".tpx3")]
        outputs = outputs or [os.path.join(folder, f"x.{ending}") for ending in ("toml", "nxevent", "h5")]
        rows = [row for output in outputs for row in measure(path, small, output)]
        size = os.path.getsize(path)
    print(f"{size / 1e9:.2f} GB\n")
    table(
        ["format", "conversion, s", "processor time, s", "writing the bytes, s", "processor time, s", "times",
         "times, processor time", "peak, MiB", "opening, s", "a frame, ms", "sum of all, s"],
        [
            [r["name"], f"{r['seconds']:.2f}", f"{r['processor']:.2f}", f"{r['plain']:.2f}",
             f"{r['plain processor']:.2f}", f"{r['seconds'] / r['plain']:.2f}",
             f"{r['processor'] / r['plain processor']:.2f}", f"{r['peak']:.0f}", f"{r['open']:.2f}",
             f"{r['frame'] * 1e3:.2f}", f"{r['sum']:.2f}"]
            for r in rows
        ],
    )  # fmt: skip
    for r in rows:
        times = r["seconds"] / r["plain"]
        what = f"Conversion to {r['name']}, times writing the same bytes with their checksums"
        target(what, "at most 1.5", f"{times:.2f} ({r['processor'] / r['plain processor']:.2f} in processor time)",
               times <= 1.5)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
