"""Whether a source of events or frames keeps the contract: for our formats, and for those of others.

Examples
--------
>>> import numpy as np
>>> from rsciio_tpx3.frames.memory_source import MemorySource
>>> from rsciio_tpx3.testing import check_frame_source
>>> counts = np.random.default_rng(1).poisson(0.1, (3, 5, 8, 6)).astype(np.uint8)
>>> check_frame_source(MemorySource.from_dense(counts))
"""

import pickle
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.events.edge_kinds import EDGE_CODES, EDGE_NAMES
from rsciio_tpx3.events.source import EventIndex, EventSource, Hits
from rsciio_tpx3.frames.source import FrameSource

__all__ = ["check_event_source", "check_frame_source"]

_DESCRIBED = ("layout", "gap", "orientation", "chips", "toa_step", "tot_step", "paths", "size")


def check_event_source(source: EventSource, seed: int = 0) -> None:
    """Raise AssertionError unless a source of events keeps every promise of `rsciio_tpx3.EventSource`.

    Parameters
    ----------
    source : EventSource
        Of a recording of some thousand hits; all of them are read several times.
    seed : int
        Of the spans of time that are tried.
    """
    source = EventSource.adopt(source)
    _check_description(source)
    index = source.index()
    _check_edges(index)
    low, high = index.hit_span
    whole = source.hits(low, high + 1)
    _check_hits(whole, source)
    _same_hits(source.hits(), whole, "hits() of everything")
    _same_hits(_joined(source.windows(low, high + 1), source), whole, "windows of the whole span")
    _same_hits(_joined(source.windows(low, low), source), whole.take(slice(0, 0)), "windows of an empty span")
    borders = _borders(low, high, seed)
    pieces = [source.hits(a, b) for a, b in zip(borders[:-1], borders[1:], strict=True)]
    _same_hits(_joined(pieces, source), whole, "spans of time that follow each other")
    for a, b in zip(borders[:-1], borders[1:], strict=True):
        inside = whole.take((whole.toa >= a) & (whole.toa < b))
        _same_hits(source.hits(a, b), inside, f"hits from {a} to {b}")
        _same_hits(_travelled(source.narrowed([(a, b)])).hits(a, b), inside, f"narrowed from {a} to {b}")
        compact = [hits.toa_and_pixel() for hits in source.compact_windows(a, b)]
        _same_pairs(compact, inside, f"compact_windows from {a} to {b}")
    for n_parts in (1, 2, 7):
        work = source.work(n_parts)
        _same_hits(_joined((hits for piece in work for hits in source.part(piece)), source), whole, f"work({n_parts})")
        _same_pairs(
            [hits.toa_and_pixel() for piece in source.work(n_parts) for hits in source.compact_part(piece)],
            whole, f"compact_part of work({n_parts})",
        )  # fmt: skip
    _same_hits(_travelled(source).hits(low, high + 1), whole, "a pickled source")


def _check_edges(index: EventIndex) -> None:
    edges = index.edges
    codes = sorted({int(code) for code in np.unique(edges.code)} - set(EDGE_NAMES))
    assert not codes, f"codes {codes} of edges are not known: expected one of {EDGE_CODES}"
    assert (np.diff(edges.ticks) >= 0).all(), "edges must be in order of time"


def check_frame_source(source: FrameSource, seed: int = 0, canonical: bool = True) -> None:
    """Raise AssertionError unless a source of frames keeps every promise of `rsciio_tpx3.FrameSource`.

    Parameters
    ----------
    source : FrameSource
        Of some hundred positions; all of them are read several times.
    seed : int
        Of the ranges of rows that are tried.
    canonical : bool
        Whether rows must be sorted, without repeated pixels.
    """
    source = FrameSource.adopt(source)
    n_rows = int(np.prod(source.nav_shape, dtype=np.int64))
    whole = source.frames(0, n_rows)
    _check_frames(whole, source, n_rows, canonical)
    dense = np.asarray(whole)
    rng = np.random.default_rng(seed)
    borders = np.unique([0, n_rows, *rng.integers(0, n_rows + 1, 6)])
    for a, b in [*zip(borders[:-1], borders[1:], strict=True), (0, 0), (0, n_rows)]:
        a, b = int(a), int(b)
        part = _travelled(source.for_rows(a, b)) if b > a else source
        for name, found in (("frames", source.frames(a, b)), ("for_rows", part.frames(a, b))):
            _check_frames(found, source, b - a, canonical)
            np.testing.assert_array_equal(np.asarray(found), dense[a:b], err_msg=f"{name} of rows {a} to {b}")
    stored = np.diff(whole.indptr)
    events = source.row_events()
    if events is not None:
        assert len(events) == n_rows, f"row_events has {len(events)} rows of {n_rows}"
        assert (np.asarray(events) >= stored).all(), "row_events must not be smaller than the entries of a row"
    counts = source.row_counts()
    if counts is not None:
        np.testing.assert_array_equal(counts, dense.sum(axis=(1, 2)), err_msg="row_counts")
    np.testing.assert_array_equal(np.asarray(_travelled(source).frames(0, n_rows)), dense, err_msg="a pickled source")


# -- what is compared ---------------------------------------------------------------------------------


def _check_description(source: EventSource) -> None:
    about = source.describe()
    missing = [name for name in _DESCRIBED if name not in about]
    assert not missing, f"describe() tells no {', '.join(missing)}"
    assert source.sig_shape == tuple(source.layout.sig_shape) or source.sig_shape[0] % source.layout.sig_shape[0] == 0


def _check_hits(hits: Hits, source: EventSource) -> None:
    index, n_pixels = source.index(), source.sig_shape[0] * source.sig_shape[1]
    assert hits.width == source.sig_shape[1], f"width is {hits.width}, the detector's {source.sig_shape[1]}"
    assert hits.toa.dtype == np.int64, f"times are {hits.toa.dtype}: must be int64 ticks"
    if len(hits):
        assert 0 <= hits.pixel.min() and hits.pixel.max() < n_pixels, "a hit lies outside the detector"
        assert index.hit_span[0] <= hits.toa.min() and hits.toa.max() <= index.hit_span[1], (
            "a hit lies outside hit_span"
        )


def _check_frames(frames: CSRFrames, source: FrameSource, n_rows: int, canonical: bool) -> None:
    assert isinstance(frames, CSRFrames), f"frames are {type(frames).__name__}: must be CSRFrames"
    assert frames.shape == (n_rows, *source.sig_shape), f"shape {frames.shape}: must be {(n_rows, *source.sig_shape)}"
    assert frames.dtype == np.dtype(source.dtype), f"dtype {frames.dtype}: must be {source.dtype}"
    if canonical:
        inner = np.ones(max(len(frames.indices) - 1, 0), bool)
        starts = frames.indptr[1:-1]
        inner[starts[(starts > 0) & (starts <= len(inner))] - 1] = False
        assert (np.diff(frames.indices)[inner] > 0).all(), "pixels of a row must be sorted, each once"


def _borders(low: int, high: int, seed: int) -> list[int]:
    inner = np.random.default_rng(seed).integers(low, high + 2, 5)
    return [int(t) for t in np.unique([low, high + 1, *inner])]


def _travelled(source: Any) -> Any:
    return pickle.loads(pickle.dumps(source))


def _joined(parts: Iterable[Hits], source: EventSource) -> Hits:
    return Hits.joined(parts, source.sig_shape[1])


def _sorted(*columns: Any) -> np.ndarray:
    return np.array(columns, np.int64)[:, np.lexsort(columns)]


def _same_hits(found: Hits, expected: Hits, what: str) -> None:
    columns = [_sorted(hits.tot, hits.pixel, hits.toa) for hits in (found, expected)]
    np.testing.assert_array_equal(*columns, err_msg=f"{what}: other hits (tot, pixel, toa)")


def _same_pairs(found: Sequence[tuple[np.ndarray, np.ndarray]], expected: Hits, what: str) -> None:
    toa = np.concatenate([toa for toa, _ in found]) if found else np.empty(0, np.int64)
    pixel = np.concatenate([pixel for _, pixel in found]) if found else np.empty(0, np.int32)
    columns = _sorted(pixel, toa), _sorted(expected.pixel, expected.toa)
    np.testing.assert_array_equal(*columns, err_msg=f"{what}: other hits (pixel, toa)")
