"""Functions of HDF5's filter plugins, called without the library.

hdf5plugin brings filters as libraries with one interface: a function from bytes to bytes, which any thread may call if
nobody else uses the same variables.

Source: "HDF5 Dynamically Loaded Filters" of The HDF Group (H5Z_class2_t); hdf5plugin's documentation (get_config).
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
from collections.abc import Callable, Iterator

import numpy as np
from h5py._objects import phil  # the lock of the library, which h5py has no public name for

__all__ = ["plugin_step"]


def plugin_step(code: int, parameters: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray | None] | None:
    """A function that packs bytes as a plugin does it, in any thread.

    Parameters
    ----------
    code : int
        Registered number of the filter.
    parameters : tuple of int
        Those that HDF5 keeps with the data set.

    Returns
    -------
    callable or None
        Gives None for bytes that the plugin does not pack, and raises MemoryError where there is no room for its work.
        None where hdf5plugin has no such filter, or its library cannot be loaded apart from HDF5.
    """
    function = _plugin_function(code)
    return None if function is None else functools.partial(_filtered, code, function=function, parameters=parameters)


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
