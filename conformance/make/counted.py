"""Counted frames in each format, and lists of hits; the truth is a dense array, or the columns that are written."""

import json
import struct

import numpy as np

from conformance import plain
from conformance.make.writing import CaseWriter, axes

__all__ = ["dense_counts", "make_counted", "make_csr", "make_lists"]


def dense_counts(nav_shape, sig_shape, most=3, step=7):
    """Counts by a rule and not by chance: empty rows, one full row, every size of a row between."""
    n, size = int(np.prod(nav_shape)), int(np.prod(sig_shape))
    row, pixel = np.arange(n)[:, None], np.arange(size)
    mixed = (row * 7919 + pixel * 104_729 + row * pixel * 31) % 997
    dense = np.where(mixed < 5 * (row % step), 1 + mixed % most, 0)
    dense[n // 2] = 1
    dense[-2:] = 0
    return dense.reshape(*nav_shape, *sig_shape)


def csr_of(dense):
    """indptr, indices and values of dense frames (y, x, ky, kx)."""
    flat = dense.reshape(-1, dense.shape[-2] * dense.shape[-1])
    row, indices = np.nonzero(flat)
    return np.searchsorted(row, np.arange(len(flat) + 1)), indices, flat[row, indices]


def _case(folder, name, about, format, dense):
    case = CaseWriter(folder, name, about, "by a rule", format)
    nav_shape, sig_shape = dense.shape[:-2], dense.shape[-2:]
    case.note(nav_shape=list(nav_shape), sig_shape=list(sig_shape), axes=axes(nav_shape, sig_shape))
    case.rows(*csr_of(dense))
    return case


def make_csr(folder):
    """raw_csr sets, and the same counts as a network sends them."""
    dense = dense_counts((5, 7), (11, 13))
    wide = dense.astype(np.int64) * 70_001
    for name, about, counts, kinds in (
        ("int32", "All arrays int32.", dense, ("<i4", "<i4", "<i4")),
        ("int64", "indptr int64, indices int64.", dense, ("<i8", "<i8", "<u4")),
        ("compact", "The smallest types: uint16 indices, uint8 values.", dense, ("<u4", "<u2", "<u1")),
        ("wide_values", "Values above 2^16, as uint64.", wide, ("<i8", "<u4", "<u8")),
        ("big_endian", "The other byte order.", dense, (">i4", ">i4", ">u2")),
        ("float_values", "Values that are no counts, float32.", dense * 0.25, ("<i8", "<i4", "<f4")),
    ):
        _raw_csr(folder, name, about, counts, kinds)
    _raw_csr(
        folder, "unsorted", "Rows that are not sorted and name pixels twice: the values are added up.", dense,
        ("<i4", "<i4", "<i4"), twice=True,
    )  # fmt: skip
    _damaged(folder, dense)
    _streams(folder, dense)


def _damaged(folder, dense):
    """Sets that are to be an error: counts that are not in the file would be shown otherwise."""
    indptr, indices, values = csr_of(dense)
    falling, beyond = indptr.copy(), indices.copy()
    falling[9] = falling[12]
    beyond[len(beyond) // 2] = dense.shape[2] * dense.shape[3]
    for name, about, arrays in (
        ("no_values", "The file of values is not there.", (indptr, indices, None)),
        ("short_indices", "The file of pixels ends early.", (indptr, indices[:-5], values)),
        ("falling_indptr", "indptr falls.", (falling, indices, values)),
        ("beyond", "A pixel number lies beyond the detector.", (indptr, beyond, values)),
    ):
        case = CaseWriter(folder, f"raw_csr_{name}", about, "by a rule", "raw_csr")
        _write_set(case, dense.shape, arrays, ("<i8", "<i4", "<u4"))
        case.note(sig_shape=list(dense.shape[2:]), refused=about)
        case.finish()


def _raw_csr(folder, name, about, dense, kinds, twice=False):
    case = _case(folder, f"raw_csr_{name}", about, "raw_csr", dense)
    indptr, indices, values = csr_of(dense)
    if twice:
        # the second half again, backwards, with 1 of each count taken out of the first
        rows = [np.arange(a, b) for a, b in zip(indptr[:-1], indptr[1:], strict=True)]
        rows = [(row[::-1], row[values[row] > 1]) for row in rows]
        order = [np.concatenate(row) for row in rows]
        parts = [np.concatenate([values[a] - (values[a] > 1), np.ones(len(b), int)]) for a, b in rows]
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in order])])
        indices, values = indices[np.concatenate(order)], np.concatenate(parts)
    toml = _write_set(case, dense.shape, (indptr, indices, values), kinds)
    assert np.array_equal(plain.raw_csr(toml), dense.reshape(-1, *dense.shape[2:])), name
    case.finish()


def _write_set(case, shape, arrays, kinds):
    """Write the arrays and their description; one that is None is named, and not there."""
    toml = case.path(".toml")
    lines = ["[params]", 'filetype = "raw_csr"', f"nav_shape = {list(shape[:2])}", f"sig_shape = {list(shape[2:])}"]
    lines.append("[raw_csr]")
    for what, array, kind in zip(("indptr", "indices", "data"), arrays, kinds, strict=True):
        name = f"{toml.stem}.{what}.raw"
        lines += [f'{what}_file = "{name}"', f'{what}_dtype = "{kind}"']
        if array is not None:
            array.astype(kind).tofile(toml.parent / name)
    toml.write_text("\n".join(lines) + "\n", newline="\n")
    return toml


_CODES = {"u1": 2, "u2": 3, "u4": 4, "u8": 5}


def _streams(folder, dense):
    """One line in a chunk, half a line, padding in front of the arrays, two scans, and metadata."""
    for name, about, kinds, options in (
        ("u4_u4_u4", "All types u4, a line in a chunk.", ("u4", "u4", "u4"), {}),
        ("u4_u4_u1_unpadded", "u1 values, nothing between the arrays.", ("u4", "u4", "u1"), {}),
        ("u2_u4_u2_padded", "Arrays that begin at multiples of 64.", ("u2", "u4", "u2"), {"align": 64}),
        ("part_lines", "Chunks of three frames, which end inside lines.", ("u4", "u4", "u2"), {"n_frames": 3}),
        ("two_scans", "Two scans in one acquisition; the truth is their sum.", ("u4", "u4", "u4"), {"scans": 2}),
        ("with_metadata", "JSON follows the start of the scan.", ("u4", "u4", "u4"), {"metadata": {"dwell_ns": 1000}}),
    ):  # fmt: skip
        name = f"csr_stream_{name}"
        scans = options.pop("scans", 1)
        case = _case(folder, name, about, "csr_stream", dense * scans)
        case.note(n_scans=scans)
        content = csr_stream(dense, kinds, scans, **options)
        case.path(".bin").write_bytes(content)
        nav_shape, found = plain.csr_stream(content)
        assert nav_shape == dense.shape[:2] and len(found) == scans
        assert all(np.array_equal(frames, dense.reshape(-1, *dense.shape[2:])) for _, frames in found)
        case.finish()


def csr_stream(dense, kinds, scans=1, n_frames=None, align=1, metadata=None):
    """Bytes of an acquisition as they come from a network socket; see ``docs/formats/raw_csr.md``."""
    (ny, nx), (height, width) = dense.shape[:2], dense.shape[2:]
    codes = [_CODES[kind] for kind in kinds]
    out = [struct.pack("<BBBHHBHHBI15x", 0, 7, 0, ny, nx, codes[0], height, width, codes[1], 1)]
    frames = dense.reshape(-1, height, width)
    text = b"" if metadata is None else json.dumps(metadata).encode()
    for scan in range(1, scans + 1):
        out += [struct.pack("<BIQ19x", 1, scan, len(text)), text]
        for first in range(0, len(frames), n_frames or nx):
            part = frames[first : first + (n_frames or nx)]
            arrays = [array.astype(f"<{kind}").tobytes() for array, kind in zip(csr_of(part[None]), kinds, strict=True)]
            at_indices = -(-len(arrays[0]) // align) * align
            at_values = -(-(at_indices + len(arrays[1])) // align) * align
            body = arrays[0].ljust(at_indices, b"\0") + arrays[1]
            n = len(arrays[1]) // np.dtype(kinds[1]).itemsize
            out.append(struct.pack("<BBIIII14x", 2, codes[2], len(part), n, at_indices, at_values))
            out += [body.ljust(at_values, b"\0"), arrays[2]]
        out.append(struct.pack("<BI27x", 3, scan))
    return b"".join([*out, struct.pack("<BI27x", 4, 1)])


def make_counted(folder):
    """Small HDF5 files: stempy's three versions, and NXevent_data."""
    dense = dense_counts((4, 6), (9, 10), most=2)
    _stempy(folder, 1, "A pixel with two electrons is named twice in its row.", dense)
    _stempy(folder, 2, "Positions have any number of rows, which name a pixel at most once.", dense)
    _stempy(folder, 3, "Positions have the same number of rows.", dense)
    _nxevent(folder, dense)


def _electrons(frame):
    """Pixels of all electrons of a frame, ascending."""
    return np.repeat(np.arange(frame.size), frame.ravel())


def _passes(frame, n):
    """Rows that name a pixel at most once: those with more than 0, 1, ... n - 1 electrons."""
    return [np.flatnonzero(frame.ravel() > k) for k in range(n)]


def _plain_file(path):
    import h5py

    return h5py.File(path, "w", libver=("earliest", "v108"), track_order=False)


def _stempy(folder, version, about, dense):
    import h5py

    case = _case(folder, f"stempy_{version}", about, "stempy", dense)
    frames = dense.reshape(-1, *dense.shape[2:])
    if version == 1:
        rows, positions = [_electrons(frame) for frame in frames], np.arange(len(frames))
    else:
        n = [int(frames.max())] * len(frames) if version == 3 else [max(int(frame.max()), 1) for frame in frames]
        rows = [row for frame, k in zip(frames, n, strict=True) for row in _passes(frame, k)]
        positions = np.repeat(np.arange(len(frames)), n)
        if version == 2:  # further rows are appended
            later = np.concatenate([np.arange(k) > 0 for k in n])
            order = np.concatenate([np.flatnonzero(~later), np.flatnonzero(later)])
            rows, positions = [rows[i] for i in order], positions[order]
    with _plain_file(case.path(".h5")) as file:
        if version > 1:
            file.attrs["version"] = version
        group = file.create_group("electron_events")
        kind = h5py.vlen_dtype(np.dtype("<u4"))
        frames = group.create_dataset("frames", (len(rows),), kind, track_times=False)
        for i, row in enumerate(rows):
            frames[i] = row.astype("<u4")
        frames.attrs["Nx"], frames.attrs["Ny"] = (np.int64(n) for n in dense.shape[2:])
        scan = group.create_dataset("scan_positions", data=positions.astype("<u4"), track_times=False)
        scan.attrs["Nx"], scan.attrs["Ny"] = np.int64(dense.shape[1]), np.int64(dense.shape[0])
    case.finish()


def _nxevent(folder, dense):
    about = "NXevent_data: a pulse is a scan position, an event an electron; pixels count from 0."
    case = _case(folder, "nxevent", about, "nxevent", dense)
    events = [_electrons(frame) for frame in dense.reshape(-1, *dense.shape[2:])]
    lengths = [len(row) for row in events]
    with _plain_file(case.path(".nxevent")) as file:
        file.attrs["default"] = "entry"
        for path, kind in (
            ("entry", "NXentry"), ("entry/instrument", "NXinstrument"),
            ("entry/instrument/events", "NXevent_data"), ("entry/instrument/detector", "NXdetector"),
        ):  # fmt: skip
            file.create_group(path).attrs["NX_class"] = kind
        group = file["entry/instrument/events"]
        first = np.cumsum([0, *lengths[:-1]])
        group.create_dataset("event_id", data=np.concatenate(events).astype("<i4"), track_times=False)
        group.create_dataset("event_index", data=first.astype("<i8"), track_times=False)
        number = np.arange(dense.shape[2] * dense.shape[3], dtype="<i4").reshape(dense.shape[2:])
        file["entry/instrument/detector"].create_dataset("detector_number", data=number, track_times=False)
    case.finish()


def make_lists(folder):
    """Hit lists of Advacam: text and records, with and without a scan by a shared clock."""
    n = np.arange(400)
    pixel, tot, ftoa = n * 40_503 % 65_536, 1 + n * 37 % 1023, n * 11 % 32
    order = np.where(n // 2 % 3 == 0, n ^ 1, n)  # some neighbours have changed places
    toa = (2 + order * 73 + order % 5).astype(np.int64)
    for ending, about in (("t3pa", "Text with tabs."), ("t3p", "Records of 16 bytes.")):
        columns = (n, pixel, toa, tot, ftoa)
        _hit_list(folder, f"list_{ending}", about, ending, columns, toa)
    late = toa + (1 << 30) - 15_000
    _hit_list(
        folder, "list_rollover", "Text; the clock of 30 bits starts again.", "t3pa",
        (n, pixel, late % (1 << 30), tot, ftoa), late,
    )  # fmt: skip


def _hit_list(folder, name, about, ending, columns, toa):
    case = CaseWriter(folder, name, about, "by a rule", ending)
    path = case.path(f".{ending}")
    _, pixel, written, tot, ftoa = columns
    if ending == "t3pa":
        rows = ["\t".join(map(str, (*row, 0))) for row in zip(*(c.tolist() for c in columns), strict=True)]
        path.write_text("\n".join(["Index\tMatrix Index\tToA\tToT\tFToA\tOverflow", *rows, ""]), newline="\n")
        found = plain.t3pa(path.read_text())
    else:
        rows = zip(*(c.tolist() for c in (pixel, written, ftoa, tot)), strict=True)
        path.write_bytes(b"".join(struct.pack("<IQBBH", p, t, 0, f, s) for p, t, f, s in rows))
        found = plain.t3p(path.read_bytes())
    ticks = 96 * written - 6 * ftoa
    assert found == list(zip(pixel.tolist(), ticks.tolist(), tot.tolist(), strict=True))
    case.note(layout="single", gap=0, sig_shape=[256, 256], losses={})
    case.hits(pixel % 256, pixel // 256, 96 * toa - 6 * ftoa, tot)
    case.finish()
