"""Streams that the simulator does not make: put together word by word, or changed from a simulated one."""

import numpy as np

from conformance import plain
from conformance.make.streams import simulated, write_truth
from conformance.make.writing import CaseWriter
from conformance.words import EDGES, MAGIC, address_fields, kind_of, word

__all__ = ["make_word_streams"]

_KIND_CODES = {name: code for code, name in EDGES.items()}


def make_word_streams(folder):
    """Write all streams of this module."""
    _header_like(folder)
    _time_zero(folder)
    _single_chunks(folder)
    _changed(
        folder, "empty_chunks", "Chunks without a word between the others.",
        lambda chunks: [part for chip, payload in chunks for part in ((chip, payload), (chip ^ 1, ()))],
    )  # fmt: skip
    _changed(
        folder, "count_mode", "Words 0xA, which have no time, among the hits.", _with_count_mode,
        losses={"hits_without_time": 20},
    )  # fmt: skip
    _changed(folder, "chunk_times", "Three words 0x51 at the end of each chunk, which are no loss.", _with_chunk_times)
    _cut(folder, "cut_chunk", "The file ends between two words of its last chunk, a hit among them.", 0)
    _cut(folder, "cut_word", "The file ends inside the word of a hit.", 5)


def stream(chunks):
    """Bytes of chunks, given as (chip, words)."""
    out = []
    for chip, payload in chunks:
        out += [word("header", chip=chip, payload_bytes=8 * len(payload)), *payload]
    return np.array(out, "<u8").tobytes()


def hit(x, y, ticks, tot):
    """The word of a hit; its time is a multiple of 6 ticks, and taken modulo 26.8 s."""
    steps = ticks // 6
    coarse = -(-steps // 16)
    time = {"ftoa": coarse * 16 - steps, "toa": coarse & 0x3FFF, "spidr": coarse >> 14 & 0xFFFF}
    return word("hit", tot=tot, **address_fields(x, y), **time)


def edge(kind, counter, ticks):
    """The word of an edge."""
    coarse, fine = divmod(ticks, 12)
    return word("edge", edge=_KIND_CODES[kind], counter=counter % 4096, coarse=coarse & (1 << 35) - 1, fine=fine + 1)


def _of_hits(folder, name, about, chunks, hits, layout="single", **notes):
    """A case without a scan: chunks of words, and the hits (x, y, ticks, tot) in them as the detector has them."""
    case = CaseWriter(folder, name, about, "word by word")
    case.path().write_bytes(stream(chunks))
    side = 256 if layout == "single" else 512
    case.note(layout=layout, gap=0, sig_shape=[side, side], headerless=False)
    case.hits(*np.array(hits, np.int64).reshape(-1, 4).T)
    case.note(losses={}, **notes)
    case.finish()


def _header_like(folder):
    """Hits whose low half is the bytes TPX3: ToT 821, FToA 8, SPIDR time 0x5054, the two low bits of ToA 0."""
    base = (0x5054 << 14) * 96
    # bits 63 to 48 of a hit would be a size in bytes that is a multiple of 8, bits 39 to 32 a chip
    special = [
        (x, y, base + 4 * n * 96 - 8 * 6, 821) for n, (x, y) in enumerate([(0, 0), (2, 4), (64, 32), (255, 255)])
    ]
    special += [(x, 8 * x % 256, base + (1024 * n + 4) * 96 - 8 * 6, 821) for n, x in enumerate(range(3, 15))]
    assert all(hit(*h) & 0xFFFFFFFF == MAGIC for h in special)
    others = [(7 * n % 256, 11 * n % 256, base + 150 * n * 96 - 6 * (n % 16), 10 + n) for n in range(120)]
    hits = sorted(special + others, key=lambda h: h[2])
    chunks = [(0, [hit(*h) for h in hits[i : i + 17]]) for i in range(0, len(hits), 17)]
    about = "Hits whose low half is the bytes TPX3: a header is known by the chain of sizes alone."
    _of_hits(folder, "header_like", about, chunks, hits)


def _time_zero(folder):
    """Hits of the first 25 ns, whose time is negative since the fast counter is subtracted."""
    hits = [(n, 2 * n, -6 * n, 20 + n) for n in range(15, -1, -1)]
    hits += [(100 + n, 3 * n, 96 * n - 6 * (5 * n % 16), 40 + n) for n in range(1, 40)]
    words = [word("hit", tot=t, ftoa=-ticks // 6, **address_fields(x, y)) for x, y, ticks, t in hits[:16]]
    words += [hit(*h) for h in hits[16:]]
    _of_hits(folder, "time_zero", "Hits up to 23.4 ns before time zero stay there.", [(0, words)], hits)


def _single_chunks(folder):
    """One packet in each chunk, chips in turn, and the largest values of all fields."""
    chunks, hits = [], []
    for n in range(64):
        chip, x, y, ticks, tot = (
            n % 4,
            (37 * n) % 256,
            (91 * n) % 256,
            96_000 * n + 6 * (n % 16),
            (0, 1, 1022, 1023)[n // 4 % 4],
        )
        chunks.append((chip, [hit(x, y, ticks, tot)]))
        place = {0: (x + 256, y), 1: (511 - x, 511 - y), 2: (255 - x, 511 - y), 3: (x, y)}[chip]
        hits.append((*place, ticks, tot))
    _of_hits(folder, "single_packets", "One packet in a chunk, the chips in turn, ToT 0 to 1023.", chunks, hits, "quad")


def _changed(folder, name, about, change, losses=None):
    """A simulated quad stream with other chunks, whose truth is the same."""
    case, _ = simulated(folder, name, about, seed=300, sync="shared-clock", control_words=False)
    path = folder / f"{name}.tpx3"
    path.write_bytes(stream(change(plain.chunks(path.read_bytes())[0])))
    case.note(made="simulated, then changed word by word", losses=losses or {})
    case.finish()


def _with_count_mode(chunks):
    out = [(chip, list(payload)) for chip, payload in chunks]
    for n in range(20):
        more = word("count_mode", itot=700 + n, events=3, hits=n % 16, **address_fields(9 * n, 250 - n))
        out[n % len(out)][1].insert(n % 2, more)
    return out


def _with_chunk_times(chunks):
    out = []
    for chip, payload in chunks:
        times = sorted(plain.decode([(chip, payload)])[0], key=lambda h: h[3])
        first, last = (times[i][3] // 6 for i in (0, -1))
        marks = [word("chunk_time", time=t) for t in (last + 1000, first, last)]
        out.append((chip, [*payload, *marks]))
    return out


def _cut(folder, name, about, bytes_more):
    """A simulated stream without what follows one of its last hits; the truth is in the order of the file."""
    case, truth = simulated(folder, name, about, seed=301, sync="shared-clock", control_words=False, chunk_time="2 ms")
    path = folder / f"{name}.tpx3"
    content = path.read_bytes()
    chunks = plain.chunks(content)[0]
    n_before = sum(1 + len(payload) for _, payload in chunks[:-1])
    kept = len(chunks[-1][1]) // 2
    assert kind_of(chunks[-1][1][kept]) == "hit"
    path.write_bytes(content[: 8 * (n_before + 1 + kept) + bytes_more])
    n_hits = len(plain.decode(chunks[:-1])[0]) + kept
    write_truth(case, truth, slice(0, n_hits))
    losses = {"words_cut": len(chunks[-1][1]) - kept}
    if bytes_more:
        losses["bytes_cut"] = bytes_more
    case.note(made="simulated, then cut", losses=losses)
    case.finish()
