"""Convert a large recording: time compared with writing the same bytes, the most memory, and reading back.

    python -m benchmarks.convert_large [FILE.tpx3] [OUT.toml OUT.nxevent OUT.h5 ...]

Without FILE a recording of 10^7 packets is made first; without OUT all three formats are written. The reference is
what nobody can do without once all rows are known: the SHA-256 of the recording (it is noted in the file), and the
arrays of the result written from memory with all of their checksums and filters, by one thread, in pieces of 4 MB
(HDF5: as large as h5py likes). It decodes nothing. Both are given by the clock and in processor time; the target, 1.5
times, is by the clock, since rows are decoded by other threads than the one that writes. Each conversion runs in a
process of its own, whose peak of resident memory is that of the conversion alone.
"""

import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from benchmarks import recordings
from benchmarks.measure import fresh, table, target
from rsciio_tpx3.raw_csr.block_sums import SummedBlocks

_PIECE = 1 << 22

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
result = plain_writing(*sys.argv[1:4])
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


def plain_writing(recording, converted, copy):
    """Seconds by the clock and of processor time to write the arrays of a converted file again; see the module."""
    if converted.endswith(".toml"):
        stem = Path(converted).with_suffix("")
        arrays = [np.fromfile(f"{stem}.{part}.raw", np.uint8) for part in ("indptr", "indices", "values")]
        write = _write_raw
    else:
        import hdf5plugin  # noqa: F401  (makes the filters known to HDF5)

        arrays, write = _arrays_of(converted), _write_hdf5
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


def _arrays_of(path):
    """Name to the layout, and the values, of each array of an HDF5 file."""
    found = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset) and item.shape:
            found[name] = item.id.get_create_plist(), item.id.get_type(), item[()]

    with h5py.File(path, "r") as file:
        file.visititems(note)
    return found


def _write_hdf5(arrays, copy):
    with h5py.File(copy, "w") as file:
        for number, (layout, kind, values) in enumerate(arrays.values()):
            most = tuple(h5py.h5s.UNLIMITED for _ in values.shape) if layout.get_layout() == h5py.h5d.CHUNKED else None
            space = h5py.h5s.create_simple(values.shape, most)
            made = h5py.h5d.create(file.id, str(number).encode(), kind, space, layout)
            h5py.Dataset(made).write_direct(values)
        file.flush()
    os.remove(copy)


def measure(path, small, output):
    """A row of the table."""
    name = "stempy" if output.endswith(".h5") else ""
    (seconds, processor), peak = fresh(_CONVERT, path, small, output, name)
    (plain, plain_processor), _ = fresh(_PLAIN, path, output, f"{output}.copy")
    (opened, frame, total), _ = fresh(_READ, output, name)
    return {
        "name": name or Path(output).suffix[1:].replace("toml", "raw_csr"), "seconds": seconds, "processor": processor,
        "plain": plain, "plain processor": plain_processor, "peak": peak, "open": opened, "frame": frame, "sum": total,
    }  # fmt: skip


def main(arguments):
    with tempfile.TemporaryDirectory() as folder:
        paths = [a for a in arguments if a.endswith(".tpx3")]
        path = paths[0] if paths else recordings.write(os.path.join(folder, "large.tpx3"), 10**7, (512, 512))
        small = recordings.write(os.path.join(folder, "small.tpx3"), 10**5, (32, 32))
        outputs = [a for a in arguments if not a.endswith(".tpx3")]
        outputs = outputs or [os.path.join(folder, f"x.{ending}") for ending in ("toml", "nxevent", "h5")]
        rows = [measure(path, small, output) for output in outputs]
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
