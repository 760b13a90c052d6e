"""How kernels run over a dask array of frames: in blocks of their own.

Chunks are sized for the worst case, a step that makes them dense. A kernel never does, and dask
costs a fixed time per chunk; so where an array comes straight from a source, kernels read the
source in larger blocks. All kernels take the same blocks of a source, so that results computed
together read each block once. Sums of integers take blocks of another kind, of hits that nobody
sorted: they are read in two thirds of the time, and once for all such sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
from dask.system import CPU_COUNT

from hyperspy_sparse import recipes
from hyperspy_sparse.twins import as_frames
from rsciio_tpx3.csr.binning import bin_frames
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.binned_source import BinnedSource
from rsciio_tpx3.frames.dask_array import are_runs, empty_meta, source_of, sources_of, to_dask
from rsciio_tpx3.frames.deferred import DeferredFrames
from rsciio_tpx3.frames.made_once import MadeOnce, as_it_is, as_narrow_as_can_be, can_be_held
from rsciio_tpx3.frames.memory_source import HeldChunks, MemorySource
from rsciio_tpx3.frames.shared_reads import SharedFrames, read_together
from rsciio_tpx3.frames.unmerged import in_any_order, merged, unmerged
from rsciio_tpx3.utils.threads import cluster_threads

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from hyperspy_sparse.kernels.table import Kernel
    from hyperspy_sparse.virtual_detectors import _Sums
    from rsciio_tpx3.frames.source import FrameSource


__all__ = ["apply_kernel", "are_views", "binned", "decoded_entries", "held_bytes", "in_blocks"]

BLOCK_ENTRIES = 8 * 10**6
"""Entries that a block has at most: 40 MB with counts of one byte."""

DECODED_ENTRIES = 2 * 10**6
"""The same for recordings: hits take 13 bytes while they are sorted, and less time where these fit the cache."""

ENTRIES_PER_WORKER = 250_000
"""Hits of a block for each thread of a cluster: a scheduler takes 1 ms for a task and a block has about three, in which
a thread does as many. Were blocks smaller, more workers would not help."""

CLUSTER_ENTRIES = 24 * 10**6
"""Hits of a block that no cluster makes larger: 300 MB for each thread."""

SMALL_BLOCK = 10**6
"""Entries below which a block is not cut further: a millisecond of work, as much as dask takes."""

SMALL_LIGHT_BLOCK = 8 * 10**6
"""The same for what takes the counts of a row and not their pixels."""

OUTPUT_BYTES = 128 * 2**20
"""Size that the dense answer of one block should not exceed."""

ANSWERS = "_answer-"
"""How dask names the layers of `apply_kernel`; their chunks are NumPy's."""

MANY_CHUNKS = 512
"""Chunks above which an array that is not a source's own is worth joining neighbours for."""

BLOCKS_PER_CORE = 2
"""Blocks that each core gets where there is enough to do, so that none waits for long."""


def in_blocks(
    data: da.Array,
    bytes_per_frame: int = 0,
    additive: bool = False,
    any_order: bool = False,
    narrow: bool = False,
    light: bool = False,
) -> da.Array:
    """The same frames in the blocks that kernels like, or `data` itself where no other chunks are possible.

    Parameters
    ----------
    data : dask.array.Array of CSRFrames
    bytes_per_frame : int
        Size of what the kernel makes of each frame; large answers need smaller blocks.
    additive : bool
        The kernel adds up integers: hits of a recording may come in any order, equal pixels apart.
    any_order : bool
        The kernel takes pixels of a frame in any order, each once, and counts of a narrower type.
    narrow : bool
        The kernel takes counts of a narrower type than the array has.
    light : bool
        The kernel looks at counts alone, which are next to each other: fewer blocks keep each core busy.
    """
    if data.ndim < 3 or math.prod(data.shape[:-2]) == 0:
        return data
    source = source_of(data)
    if source is None:
        remade = _remade(data, bytes_per_frame)
        return _joined(data, bytes_per_frame) if remade is None else remade
    if isinstance(source, DeferredFrames):
        source, _ = source.read()  # blocks follow the number of events
    held = _used_again(data, source)
    nav = data.shape[:-2]
    light = light and are_views(held or source)
    chunks = _block_sizes(source, nav, light)
    if bytes_per_frame:
        line = nav[-1] if len(nav) > 1 else 1
        if max(chunks) * line * bytes_per_frame > OUTPUT_BYTES:
            return data
    outer = tuple((1,) * n for n in nav[:-2])
    chunks = (chunks,) if len(nav) == 1 else (*outer, chunks, (nav[-1],))
    # The signal keeps its array, so the array keeps its blocks for the next call.
    cached = vars(data).setdefault("_blocks", {})
    how: Any = unmerged if additive else in_any_order if any_order else None
    if held is not None:
        source, how = held, as_narrow_as_can_be if additive or any_order or narrow else as_it_is
    kept = how, light
    if kept not in cached or cached[kept].chunks[: len(nav)] != chunks:
        cached[kept] = to_dask(source if how is None else how(source), chunks=chunks)
    return cached[kept]


def held_bytes(data: da.Array) -> int:
    """Bytes of frames that are held for an array since its second use, in addition to those that it is made of."""
    _, held = vars(data).get("_uses", (0, None))
    return 0 if held is None else held.held_bytes


def are_views(source: FrameSource | None) -> bool:
    """Whether rows of a source are there already, and cost nothing to take."""
    return type(source) in (MemorySource, HeldChunks, MadeOnce)  # what is derived from them may do more


def _used_again(data: da.Array, source: FrameSource) -> MadeOnce | None:
    """Rows that are made of others in memory, to be held from now on: at the second use of the array, or later."""
    uses, held = vars(data).get("_uses", (0, None))
    if uses == 1 and can_be_held(source):
        held = MadeOnce(source)
    vars(data)["_uses"] = min(uses + 1, 2), held
    return held


def _remade(data: da.Array, bytes_per_frame: int) -> da.Array | None:
    """What was made of frames and images, made again of the blocks of the frames; None where that is not possible."""
    recipe = recipes.recipe_of(data)
    if recipe is None or not recipes.is_frames(data):
        return None
    operands = [in_blocks(x, bytes_per_frame) if recipes.is_frames(x) else x for x in recipe.operands]
    chunks = {x.chunks for x in operands if recipes.is_frames(x)}
    if len(chunks) != 1 or data.chunks in chunks:
        return None
    cached = vars(data).setdefault("_blocks", {})
    (wanted,) = chunks
    if "remade" not in cached or cached["remade"].chunks != wanted:
        cached["remade"] = recipe.again(operands)
    made = cached["remade"]
    return made if recipes.is_frames(made) and made.chunks == wanted else None


def _block_sizes(source: FrameSource, nav: tuple[int, ...], light: bool) -> tuple:
    """Lines per block, along the last but one axis (positions, where there is one axis)."""
    n_lines = nav[-2] if len(nav) > 1 else nav[0]
    repeats = math.prod(nav[:-2]) // read_together(source) if len(nav) > 2 else 1
    total = _entries_of(source)
    # Whole lines: a line is what neighbours share, in the file and in what is read together.
    lines = max(1, min(int(_wanted(total, source, light) * n_lines * repeats / total), n_lines))
    n, cores = -(-n_lines // lines), _cores()
    if n > cores and repeats == 1:  # as many for each core, or some wait for the last ones
        n = min(-(-n // cores) * cores, n_lines)
    return tuple(n_lines * (i + 1) // n - n_lines * i // n for i in range(n))


def _entries_of(source: FrameSource) -> float:
    """Entries that a source has, or may have; at least one."""
    entries = source.row_events()
    if entries is None:
        n_pixels = math.prod(source.sig_shape) / 16  # full for counted electrons
        return max(n_pixels * math.prod(source.nav_shape), 1.0)
    return max(float(np.sum(entries)), 1.0)


def _wanted(total: float, source: FrameSource, light: bool = False) -> int:
    """Entries that one block should have."""
    if getattr(source, "values", None) == "counts":  # of a recording; sums of other values take more memory
        return decoded_entries(total, cluster_threads())
    most = BLOCK_ENTRIES if source.in_memory else DECODED_ENTRIES
    return _shared(total, most, _cores(), light)


def decoded_entries(total: float, workers: int) -> float:
    """Hits that a block of a recording should have, where a cluster of `workers` threads is connected; 0 is none."""
    most = max(DECODED_ENTRIES, min(ENTRIES_PER_WORKER * workers, CLUSTER_ENTRIES))
    return _shared(total, most, workers or CPU_COUNT)


def _shared(total: float, most: float, cores: int, light: bool = False) -> float:
    smallest = SMALL_LIGHT_BLOCK if light else SMALL_BLOCK
    return min(max(total / (BLOCKS_PER_CORE * cores), smallest), most)


def _joined(data: da.Array, bytes_per_frame: int = 0) -> da.Array:
    """The result of other steps with neighbouring chunks joined, where they are many and nearly empty.

    A scan of millions of positions with few electrons has tens of thousands of chunks, since their
    dense form is bounded. What follows here keeps them sparse.
    """
    numbers = data.numblocks[:-2]
    if max(numbers) < MANY_CHUNKS or data.dtype.kind not in "bui":
        return data
    sources = sources_of(data)
    if not sources:
        return data
    # Of several sources the densest decides, since any of their chunks may be as full as it is.
    densest = max(sources, key=lambda source: _entries_of(source) / math.prod(source.nav_shape))
    per_frame = _entries_of(densest) / math.prod(densest.nav_shape)
    total = per_frame * math.prod(data.shape[:-2])
    room = _wanted(total, densest) / per_frame
    if bytes_per_frame:
        room = min(room, OUTPUT_BYTES / bytes_per_frame)
    # Neighbours in memory are joined: along the last axis that is cut.
    axis = max(i for i, n in enumerate(numbers) if n > 1)
    room /= math.prod(data.shape[axis + 1 : -2])
    groups, filled = [], 0
    for size in data.chunks[axis]:
        if filled and filled + size > room:
            groups.append(filled)
            filled = 0
        filled += size
    return data.rechunk({axis: (*groups, filled)})


def _cores() -> int:
    """Threads that will work: those of the cluster where one is connected, else of this machine."""
    return cluster_threads() or CPU_COUNT


def apply_kernel(
    data: da.Array,
    kernel: _Sums | Kernel,
    out_shape: tuple[int, ...],
    dtype: np.dtype,
    otherwise: Callable | None = None,
) -> da.Array:
    """Answers of a kernel for every frame, as a dask array of shape nav_shape + out_shape.

    Parameters
    ----------
    data : dask.array.Array of CSRFrames, shape nav_shape + (height, width)
    kernel : callable
        Takes frames (n, height, width), gives an ndarray (n,) + `out_shape`. One whose attribute
        `additive` is true takes hits as they come, see `in_blocks`; where `any_type` is, too, in a narrower type.
    out_shape : tuple of int
    dtype : numpy.dtype
    otherwise : callable, optional
        Takes a chunk that is dense, or that the kernel declined; gives its answer.
    """
    bytes_per_frame = math.prod(out_shape) * np.dtype(dtype).itemsize
    in_dtype, additive = data.dtype, getattr(kernel, "additive", False)
    data = in_blocks(data, bytes_per_frame, additive, narrow=getattr(kernel, "any_type", False))
    n_nav = data.ndim - 2
    if any(len(c) > 1 for c in data.chunks[-2:]):
        data = data.rechunk({n_nav: -1, n_nav + 1: -1})
    # Weights take megabytes. As a key of its own they are in the graph once, not in every task.
    both = dask.delayed((kernel, otherwise), pure=True, traverse=False)
    return data.map_blocks(
        _answer,
        both=both,
        in_dtype=in_dtype,
        out_shape=tuple(out_shape),
        out_dtype=np.dtype(dtype),
        chunks=data.chunks[:-2] + tuple((n,) for n in out_shape),
        drop_axis=[n_nav, n_nav + 1],
        new_axis=list(range(n_nav, n_nav + len(out_shape))) or None,
        dtype=dtype,
        meta=np.empty((0,) * (n_nav + len(out_shape)), dtype=dtype),
        name=None,  # the function's, see `ANSWERS`
    )


def _answer(
    chunk: CSRFrames, both: tuple, in_dtype: np.dtype, out_shape: tuple[int, ...], out_dtype: np.dtype
) -> np.ndarray:
    kernel, otherwise = both
    nav = chunk.shape[:-2]
    frames = chunk if isinstance(chunk, CSRFrames) else None
    if frames is None and otherwise is not None:
        return otherwise(chunk)
    if frames is None:
        frames = CSRFrames.from_dense(chunk)
    if frames.dtype != in_dtype and not getattr(kernel, "any_type", False):
        # binned frames, of which sums take the counts that they are made of
        frames = frames.astype(in_dtype)
    # 0 / 0 of empty frames is NaN, as in the image function; a warning for each block helps nobody.
    with np.errstate(all="ignore"):
        answer = kernel(frames.reshape((math.prod(nav), *chunk.shape[-2:])))
    if answer is NotImplemented:
        if getattr(kernel, "additive", False):
            chunk = merged(chunk, in_dtype)
        return otherwise(chunk)
    return answer.astype(out_dtype, copy=False).reshape(nav + out_shape)


def binned(data: da.Array, factors: tuple[int, ...], dtype: DTypeLike) -> da.Array | None:
    """Frames added up in groups of neighbours, still sparse; None where axes do not divide."""
    if any(n % f for n, f in zip(data.shape, factors, strict=True)):
        return None
    # Chunks must hold whole groups: cut them at the multiples of the factor nearest below.
    sizes = {}
    for axis, (pieces, f) in enumerate(zip(data.chunks, factors, strict=True)):
        if any(p % f for p in pieces):
            ends = np.unique(-(-np.cumsum(pieces) // f) * f).clip(max=sum(pieces))
            sizes[axis] = tuple(int(n) for n in np.diff(np.concatenate([[0], np.unique(ends)])))
    source = source_of(data)
    data = data.rechunk(sizes) if sizes else data
    chunks = tuple(tuple(p // f for p in s) for s, f in zip(data.chunks, factors, strict=True))
    # chunks of one reading would read it once for each row
    if source is not None and not isinstance(source, SharedFrames) and are_runs(chunks[:-2]):
        return to_dask(BinnedSource(source, factors, dtype), chunks=chunks[:-2])
    meta = empty_meta(np.dtype(dtype), data.ndim - 2)
    return data.map_blocks(_bin, factors, np.dtype(dtype), chunks=chunks, dtype=dtype, meta=meta)


def _bin(chunk: CSRFrames, factors: tuple[int, ...], dtype: DTypeLike) -> CSRFrames:
    return bin_frames(as_frames(chunk), factors, dtype)
