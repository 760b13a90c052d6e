"""Changes of HDF5 files by a program that knows HDF5: valid files with odd content."""

import io
import struct

import h5py
import hdf5plugin  # noqa: F401  (filters)
import numpy as np

from rsciio_tpx3.utils.hdf5.dense import lookup3
from tests.fuzz.mutate import ODD_WORDS, some

__all__ = ["change_hdf5", "change_sealed"]

_MOST_COPIED = 1 << 22
"""Values of an array that is read here: another change may have declared terabytes of zeros, and written none."""
_ODD_SIZES = (0, 1, 0x7F, 0x80, 0xFFFF, 2**20, 2**27, 2**30, 2**31, 2**32 - 1)


def change_hdf5(rng, content):
    """The file with one object or attribute changed, or None where HDF5 does not open it."""
    buffer = io.BytesIO(content)
    try:
        with h5py.File(buffer, "r+") as file:
            names = []
            file.visit(names.append)
            if not names:
                return None
            some(rng, _CHANGES)(rng, file, some(rng, names))
    except Exception:  # damaged before: HDF5 does not understand it any more
        return None
    return buffer.getvalue()


def _odd_value(rng):
    return some(
        rng,
        (
            0,
            -1,
            2**31,
            2**62,
            2.5,
            np.nan,
            np.uint64(2**64 - 1),
            "",
            some(rng, ODD_WORDS).replace("\x00", "").replace("\ud7ff", ""),
            b"\xff\xfe",
            np.zeros(0),
            np.zeros(3),
            np.zeros((2, 2), "i8"),
            np.array([3]),
            np.array(["a", "b"], dtype="S3"),
            np.bool_(True),
            np.zeros(2, [("a", "i4"), ("b", "f8")]),
            h5py.Empty("i4"),
            np.float16(1),
            np.array([2], ">i4"),
        ),
    )


def _attribute(rng, file, name):
    thing = file[name]
    known = list(thing.attrs)
    key = (
        some(rng, known) if known and rng.integers(4) else some(rng, ("NX_class", "units", "version", "Nx", "Ny", "x"))
    )
    if rng.integers(4) == 0 and key in thing.attrs:
        del thing.attrs[key]
    else:
        thing.attrs[key] = _odd_value(rng)


def _remove(rng, file, name):
    del file[name]


def _other_object(rng, file, name):
    old = file[name]
    old = old[()] if isinstance(old, h5py.Dataset) and (old.size or 0) <= _MOST_COPIED else None
    del file[name]
    how = int(rng.integers(9))
    if how == 0:
        file.create_group(name)
    elif how == 1:
        file[name] = h5py.SoftLink(some(rng, ("/nowhere", "/", name, "/entry")))
    elif how == 2:
        file[name] = h5py.ExternalLink("other.h5", "/x")
    elif how == 3:
        file.create_dataset(
            name,
            shape=(int(some(rng, (0, 1, 1000, 2**20, 2**34, 2**45))),),
            dtype=some(rng, ("i4", "u1", "f8")),
            chunks=(1024,),
        )
    elif how == 4:
        file.create_dataset(name, shape=(2**20,), dtype="u1", compression="gzip", data=np.zeros(2**20, "u1"))
    elif how == 5:
        file.create_dataset(name, (15,), "i4", external=[("/etc/hostname", 0, 60)])
    elif how == 6:
        layout = h5py.VirtualLayout((15,), "i4")
        layout[:] = h5py.VirtualSource("gone.h5", "d", (15,))
        file.create_virtual_dataset(name, layout)
    elif how == 7 and isinstance(old, np.ndarray) and old.dtype.kind in "iuf":
        file[name] = old.astype(some(rng, (">i8", "<f4", "u1", "i2", "<f8", "f2", "S4")))
    else:
        file[name] = _odd_value(rng)


def _value(rng, file, name):
    data = file[name]
    i = int(rng.integers(data.shape[0]))
    if data.dtype.kind in "iu":
        info = np.iinfo(data.dtype)
        data[i] = some(rng, (0, 1, info.max, info.min, int(data[i]) + 1, int(data[i - 1])))
    else:
        data[i] = data[i - 1]


def _length(rng, file, name):
    if file[name].size > _MOST_COPIED:
        return
    old, attributes = file[name][()], dict(file[name].attrs)
    del file[name]
    n = int(rng.integers(len(old) + 1))
    file[name] = some(rng, (old[:n], np.concatenate([old, old[:n]]), old[::-1], old.reshape(1, -1), old.reshape(-1, 1)))
    file[name].attrs.update(attributes)


_CHANGES = (_attribute, _attribute, _remove, _other_object, _other_object, _value, _value, _length)


# -- tables of attributes in a heap of their own, which have checksums ----------------------------


def change_sealed(rng, content):
    """The file with one number changed in a table of attributes, and its checksum made right; None without a table."""
    tables = [(at, n) for kind, n in ((b"BTHD", 38), (b"FRHP", 146)) for at in _places(content, kind)]
    tables += [(at, _block_size(content, at)) for at in _places(content, b"FHDB")]
    tables = [(at, n) for at, n in tables if n and at + n <= len(content)]
    if not tables:
        return None
    at, n = some(rng, tables)
    out, is_block = bytearray(content), content[at : at + 4] == b"FHDB"
    place = at + int(rng.integers(22 if is_block else 5, n - 8))
    if is_block:  # the references of texts: most of a block is empty
        used = [i for i in range(at + 22, at + n - 4) if content[i]]
        place = some(rng, used) if used else place
    how = int(rng.integers(3))
    if how == 0:
        out[place] = int(rng.integers(256))
    else:
        struct.pack_into("<I", out, min(place, at + n - 8), int(some(rng, _ODD_SIZES)))
    if is_block:
        out[at + 18 : at + 22] = bytes(4)
        out[at + 18 : at + 22] = struct.pack("<I", lookup3(bytes(out[at : at + n])))
    else:
        out[at + n - 4 : at + n] = struct.pack("<I", lookup3(bytes(out[at : at + n - 4])))
    return bytes(out)


def _places(content, kind):
    at = content.find(kind)
    while at >= 0:
        yield at
        at = content.find(kind, at + 4)


def _block_size(content, at):
    """Bytes of a direct block, recognised by its checksum; 0 where none fits."""
    (checksum,) = struct.unpack_from("<I", content, at + 18) if at + 22 <= len(content) else (0,)
    for size in (1024, 2048, 4096):
        if lookup3(content[at : at + 18] + bytes(4) + content[at + 22 : at + size]) == checksum:
            return size
    return 0
