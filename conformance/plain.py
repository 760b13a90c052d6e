"""A slow and plain decoder of all files of the kit, for comparison with a fast one.

Times of hits and edges are as they stand in the words: modulo 26.8 s and 107.4 s.
"""

import json
import struct

import numpy as np

from conformance import words

__all__ = ["HIT_PERIOD", "chunks", "csr_stream", "decode", "raw_csr", "t3p", "t3pa"]

HIT_PERIOD = (1 << 30) * 96
"""Ticks after which the clock of the hits starts again."""


def chunks(content, headerless=False):
    """Chips and words of each chunk, by the chain of sizes, and what is lost at the end of a cut file."""
    whole = len(content) // 8
    stream = struct.unpack(f"<{whole}Q", content[: 8 * whole])
    losses = {"bytes_cut": len(content) % 8} if len(content) % 8 else {}
    if headerless:
        return [(0, stream[stream[0] >> 60 == 1 :])], losses
    found, i = [], 0
    while i < whole:
        head = words.fields(stream[i], "header")
        if head["magic"] != words.MAGIC or head["payload_bytes"] % 8:
            raise ValueError(f"byte {8 * i}: expected a chunk header, found {stream[i]:#018x}")
        stop = i + 1 + head["payload_bytes"] // 8
        if stop > whole:
            losses["words_cut"] = stop - whole
        found.append((head["chip"], stream[i + 1 : stop]))
        i = stop
    return found, losses


def decode(found):
    """Hits as (chip, x, y, ticks, tot) and edges as (chip, edge, counter, ticks), in the order of the chunks."""
    hits, edges = [], []
    for chip, payload in found:
        for word in payload:
            kind = words.kind_of(word)
            if kind == "hit":
                v = words.value(word)
                hits.append((chip, v["x"], v["y"], v["ticks"], v["tot"]))
            elif kind == "edge":
                v = words.value(word)
                edges.append((chip, v["edge"], v["counter"], v["ticks"]))
    return hits, edges


def t3pa(text):
    """Hits of a text list, as (pixel, ticks, tot)."""
    rows = [line.split() for line in text.splitlines()[1:] if line.strip()]
    rows = [[int(number) for number in row] for row in rows]
    return [(pixel, 96 * toa - 6 * ftoa, tot) for _, pixel, toa, tot, ftoa, overflow in rows if not overflow]


def t3p(content):
    """Hits of records of 16 bytes, as (pixel, ticks, tot)."""
    rows = struct.iter_unpack("<IQBBH", content)
    return [(pixel, 96 * toa - 6 * ftoa, tot) for pixel, toa, overflow, ftoa, tot in rows if not overflow]


_ARRAYS = ("indptr", "indices", "data")


def raw_csr(path):
    """Dense frames ``(positions, y, x)`` of a data set."""
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib
    table = tomllib.loads(path.read_text())
    csr, (height, width) = table["raw_csr"], table["params"]["sig_shape"]
    arrays = (np.fromfile(path.parent / csr[f"{n}_file"], csr[f"{n}_dtype"]) for n in _ARRAYS)
    return _dense(*arrays, height, width)


def _dense(indptr, indices, values, height, width):
    dense = np.zeros((len(indptr) - 1, height * width), values.dtype)
    for row in range(len(dense)):
        for i in range(int(indptr[row]), int(indptr[row + 1])):
            dense[row, int(indices[i])] += values[i]
    return dense.reshape(-1, height, width)


_STREAM_TYPES = {2: "<u1", 3: "<u2", 4: "<u4", 5: "<u8"}


def csr_stream(content):
    """Scans of a network stream of CSR chunks: for each its metadata, and its dense frames ``(positions, y, x)``."""
    scans, at = [], 0
    while at < len(content):
        tag, head = content[at], content[at : at + 32]
        at += 32
        if tag == 0:
            _, _, _, ny, nx, indptr_type, height, width, indices_type, _ = struct.unpack("<BBBHHBHHBI15x", head)
        elif tag == 1:
            _, _, length = struct.unpack("<BIQ19x", head)
            scans.append((json.loads(content[at : at + length] or "{}"), []))
            at += length
        elif tag == 2:
            _, value_type, n_frames, n, indices_at, values_at = struct.unpack("<BBIIII14x", head)
            parts = ((indptr_type, n_frames + 1, 0), (indices_type, n, indices_at), (value_type, n, values_at))
            arrays = [np.frombuffer(content, _STREAM_TYPES[t], count, at + offset) for t, count, offset in parts]
            scans[-1][1].append(_dense(*arrays, height, width))
            at += values_at + arrays[2].nbytes
    return (ny, nx), [(metadata, np.concatenate(frames)) for metadata, frames in scans]
