"""Chunks packed as HDF5's filters pack them, in any thread.

The library lets one thread in at a time, so that packing, which takes most of the time of writing, keeps all others
out. What its filters do to the bytes of a chunk is no secret of the library: two of them are a few lines, one is zlib,
and those that hdf5plugin brings are functions with the interface of HDF5's plugins, which know nothing of files.

Source: HDF5 file format specification 3.0 (filter pipeline: shuffle, deflate, Fletcher's checksum); "HDF5 Dynamically
Loaded Filters" of The HDF Group (H5Z_class2_t).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import mmap
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator

import h5py
import numpy as np
from h5py._objects import phil  # the lock of the library, which h5py has no public name for

__all__ = ["chunk_packing"]

_STEP = Callable[[np.ndarray], "np.ndarray | None"]


def chunk_packing(dataset: h5py.Dataset) -> Callable[[np.ndarray], tuple[np.ndarray, int]] | None:
    """A function that packs a chunk as the library would, and may run in any thread.

    Parameters
    ----------
    dataset : h5py.Dataset
        In chunks.

    Returns
    -------
    callable or None
        Takes an array of all values of one chunk, and gives the bytes and the mask of filters that were omitted, as
        `h5py.h5d.DatasetID.write_direct_chunk` takes them. None where a filter cannot be applied outside of the
        library: then it has to pack.

    Examples
    --------
    >>> with h5py.File("packed.h5", "w", driver="core", backing_store=False) as file:
    ...     dataset = file.create_dataset("a", (4,), "<i4", chunks=(4,), shuffle=True)
    ...     packed, mask = chunk_packing(dataset)(np.array([1, 2, 3, 4]))
    >>> packed[:4], mask
    (array([1, 2, 3, 4], dtype=uint8), 0)
    """
    create = dataset.id.get_create_plist()
    filters = [create.get_filter(i) for i in range(create.get_nfilters())]
    steps = [_step(code, parameters) for code, _, parameters, _ in filters]
    known = [step for step in steps if step is not None]
    if len(known) < len(steps):
        return None
    optional = [bool(flags & h5py.h5z.FLAG_OPTIONAL) for _, flags, *_ in filters]
    dtype, name = dataset.dtype, dataset.name

    def pack(values: np.ndarray) -> tuple[np.ndarray, int]:
        packed, omitted = np.ascontiguousarray(values, dtype).reshape(-1).view(np.uint8), 0
        for i, step in enumerate(known):
            done = step(packed)
            if done is not None:
                packed = done
            elif optional[i]:  # such as one that would need more bytes than there were
                omitted |= 1 << i
            else:
                raise OSError(f"filter {filters[i][0]} of HDF5 could not pack {packed.nbytes} bytes of {name}.")
        return packed, omitted

    return pack


def _step(code: int, parameters: tuple[int, ...]) -> _STEP | None:
    """The filter of a number, or None where it is not known here."""
    if code == h5py.h5z.FILTER_SHUFFLE:
        return functools.partial(_shuffled, size=parameters[0])
    if code == h5py.h5z.FILTER_DEFLATE:
        return functools.partial(_deflated, level=parameters[0])
    if code == h5py.h5z.FILTER_FLETCHER32:
        return _with_checksum
    function = _plugin_function(code)
    return None if function is None else functools.partial(_filtered, code, function=function, parameters=parameters)


def _shuffled(packed: np.ndarray, size: int) -> np.ndarray:
    """The first bytes of all numbers, then all second ones, and so on; what is no whole number stays at the end."""
    whole = len(packed) // size * size
    if size < 2 or whole == size:
        return packed
    shuffled = np.empty_like(packed)
    numbers, planes = packed[:whole].reshape(-1, size), shuffled[:whole].reshape(size, -1)
    for i in range(size):  # faster than both axes at once
        planes[i] = numbers[:, i]
    shuffled[whole:] = packed[whole:]
    return shuffled


def _deflated(packed: np.ndarray, level: int) -> np.ndarray:
    return np.frombuffer(zlib.compress(packed.data, level), np.uint8)


def _with_checksum(packed: np.ndarray) -> np.ndarray:
    """Bytes with their checksum behind."""
    return np.concatenate([packed, _checksum(packed)])


def _checksum(packed: np.ndarray) -> np.ndarray:
    """Fletcher's checksum of bytes, in four bytes of little endian.

    Sums of 16-bit words, and of these sums, modulo 65535, where HDF5 has 65535 for zero unless all words are zero. The
    first byte of a word is the high one; a last byte without a partner is one too. Here the words are added up with
    their bytes exchanged: modulo 65535, that is a factor of 256.
    """
    words = packed[: len(packed) // 2 * 2].view("<u2")
    if len(packed) % 2:
        words = np.append(words, np.uint16(packed[-1]))
    first = second = 0
    for start in range(0, len(words), len(_WEIGHTS)):
        part = words[start : start + len(_WEIGHTS)].astype(np.uint64)
        second += first * len(part) + int(part @ _WEIGHTS[len(_WEIGHTS) - len(part) :])
        first += int(part.sum())
    folded = [(256 * total - 1) % 65535 + 1 if total else 0 for total in (first, second)]
    return np.array([folded[1] << 16 | folded[0]], "<u4").view(np.uint8)


_WEIGHTS = np.arange(1 << 17, 0, -1, dtype=np.uint64)  # a sum of so many words, each times its place, is below 2**64


class _FilterClass(ctypes.Structure):
    """H5Z_class2_t: what a plugin tells of its filter."""

    _fields_ = [
        ("version", ctypes.c_int),
        ("id", ctypes.c_int),
        ("encoder_present", ctypes.c_uint),
        ("decoder_present", ctypes.c_uint),
        ("name", ctypes.c_char_p),
        ("can_apply", ctypes.c_void_p),
        ("set_local", ctypes.c_void_p),
        ("filter", ctypes.c_void_p),
    ]


_CLASS_VERSION = 1  # H5Z_CLASS_T_VERS
_FUNCTION = ctypes.CFUNCTYPE(
    ctypes.c_size_t,  # bytes packed; 0 for a failure
    ctypes.c_uint,  # flags
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_uint),  # so many parameters
    ctypes.c_size_t,  # bytes to pack
    ctypes.POINTER(ctypes.c_size_t),  # room
    ctypes.POINTER(ctypes.c_void_p),  # of malloc; the function may put other room in its place
)


@functools.cache
def _plugin_function(code: int) -> Callable | None:
    """The function of a filter that hdf5plugin has registered; None where there is none that is safe to call."""
    # Room goes back and forth between us and the function, so both need the same malloc. Elsewhere than here a library
    # may have one of its own.
    if not sys.platform.startswith(("linux", "darwin")):
        return None
    try:
        import hdf5plugin

        loaded = [str(path) for path in hdf5plugin.get_config().registered_filters.values()]
    except (ImportError, AttributeError):
        return None
    for path in filter(os.path.isfile, loaded):  # "unknown" is one that HDF5 had before, as of HDF5_PLUGIN_PATH
        try:
            library = ctypes.CDLL(path)
            about = _about(library)
            if about.id != code:
                continue
            usable = about.version == _CLASS_VERSION and about.encoder_present and about.filter
            own = _own_copy(path, library) if usable else None
            return _FUNCTION(_about(own).filter) if own is not None and _about(own).id == code else None
        except (OSError, AttributeError, ValueError):  # not loaded, without the function that tells, or telling nothing
            continue
    return None


def _about(library: ctypes.CDLL) -> _FilterClass:
    library.H5PLget_plugin_info.restype = ctypes.POINTER(_FilterClass)
    return library.H5PLget_plugin_info().contents


def _own_copy(path: str, library: ctypes.CDLL) -> ctypes.CDLL | None:
    """The same library loaded once more, with variables of its own; None where it shares them all the same.

    A plugin that fails tells HDF5, which has room for one thread only, and Blosc2 takes down what all of its calls
    share. When HDF5 meets a damaged chunk in one thread, no other may be packing with the same variables: processes
    have ended by that. The copy is never introduced to HDF5, so that it has nobody to tell.
    """
    with _copied(path) as copy:
        own = ctypes.CDLL(copy)
    shared = [name for name in _COMMON if (place := _address(own, name)) and place == _address(library, name)]
    return None if shared else own


_COMMON = ("H5Epush1", "H5Epush2", "blosc_init", "blosc2_init")  # functions of libraries that both may be linked to


def _address(library: ctypes.CDLL, name: str) -> int | None:
    function = getattr(library, name, None)
    return None if function is None else ctypes.cast(function, ctypes.c_void_p).value


_copies = itertools.count()


@contextlib.contextmanager
def _copied(path: str) -> Iterator[str]:
    """Path of a copy of a file, for a moment; in memory where possible, since libraries on a disk may be barred."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("filter"), "wb") as copy, open(path, "rb") as file:
            shutil.copyfileobj(file, copy)
            copy.flush()
            # the system takes a path that it has loaded before for the same library, and numbers of files come again
            yield f"/proc/self/fd/{'./' * next(_copies)}{copy.fileno()}"
        return
    with tempfile.TemporaryDirectory() as folder:
        yield shutil.copy(path, folder)


_begun: set[int] = set()


def _filtered(code: int, packed: np.ndarray, function: Callable, parameters: tuple[int, ...]) -> np.ndarray | None:
    """Bytes as a plugin packs them; None if it does not."""
    if code in _begun:
        done = _called(packed, function, parameters)
        if done is None:
            _begun.discard(code)  # with what they share, which the next call has to make again
        return done
    with phil:  # the first call makes what all others share; a lock that is whole after a fork
        done = _called(packed, function, parameters)
        if done is not None:
            _begun.add(code)
        return done


def _called(packed: np.ndarray, function: Callable, parameters: tuple[int, ...]) -> np.ndarray | None:
    memory = _memory()
    _check_memory(packed.nbytes)
    room, size = ctypes.c_void_p(memory.malloc(packed.nbytes)), ctypes.c_size_t(packed.nbytes)
    if not room:
        raise MemoryError(f"no memory for a chunk of {packed.nbytes} bytes")
    try:
        ctypes.memmove(room, packed.ctypes.data, packed.nbytes)
        values = (ctypes.c_uint * len(parameters))(*parameters)
        n = function(0, len(parameters), values, packed.nbytes, ctypes.byref(size), ctypes.byref(room))
        if not n:
            return None
        done = np.empty(n, np.uint8)
        ctypes.memmove(done.ctypes.data, room, n)
        return done
    finally:
        memory.free(room)


_WORK_BYTES, _WORK_TIMES = 1 << 24, 16
"""Memory that a plugin may want while it works, besides so many times the size of a chunk; with some for others."""


def _check_memory(n_bytes: int) -> None:
    """Raise MemoryError unless there is room for the work on a chunk.

    Blosc2 and zstd do not look everywhere whether they got what they asked for, and such a fault ends the process. The
    system is asked, and not malloc, which would keep what it got, and change its ways.
    """
    n_work = _WORK_BYTES + _WORK_TIMES * n_bytes
    try:
        mmap.mmap(-1, n_work).close()
    except (OSError, OverflowError):
        raise MemoryError(f"no memory to pack a chunk of {n_bytes} bytes: {n_work} are needed") from None


@functools.cache
def _memory() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.restype, library.free.argtypes = None, [ctypes.c_void_p]
    return library
