"""A slow and plain reader of .tpx3 files, written from the bit tables and nothing else."""

import struct
from pathlib import Path

EDGES = {0xF: "tdc1-rise", 0xA: "tdc1-fall", 0xE: "tdc2-rise", 0xB: "tdc2-fall"}


def words_of(path):
    data = Path(path).read_bytes()
    assert len(data) % 8 == 0
    return struct.unpack(f"<{len(data) // 8}Q", data)


def chunks_of(path):
    """List of (chip, words) by the size chain."""
    words, i, out = words_of(path), 0, []
    while i < len(words):
        assert words[i] & 0xFFFFFFFF == int.from_bytes(b"TPX3", "little")
        size = words[i] >> 48
        assert size % 8 == 0
        n = size // 8
        assert i + n < len(words)
        out.append(((words[i] >> 32) & 0xFF, words[i + 1 : i + 1 + n]))
        i += 1 + n
    return out


def decode(chunks):
    """Hits as (chip, x, y, wrapped ticks, tot), edges as (chip, kind, counter, ticks), the rest."""
    hits, edges, rest = [], [], []
    for chip, words in chunks:
        for w in words:
            top = w >> 60
            if top == 0xB:
                a = (w >> 44) & 0xFFFF
                dcol, spix, pix = (a & 0xFE00) >> 8, (a & 0x1F8) >> 1, a & 7
                coarse = ((w & 0xFFFF) << 14) + ((w >> 30) & 0x3FFF)
                time = (coarse * 16 - ((w >> 16) & 15)) * 6
                hits.append((chip, dcol + (pix >> 2), spix + (pix & 3), time, (w >> 20) & 0x3FF))
            elif top == 0x6:
                fine = (w >> 5) & 15
                coarse = ((w >> 9) & (2**35 - 1)) * 12
                time = coarse + fine - 1 if fine else None
                edges.append((chip, EDGES[(w >> 56) & 15], (w >> 44) & 0xFFF, time))
            else:
                rest.append((chip, w))
    return hits, edges, rest


def quad_pixel(chip, x, y, gap=0):
    """Flat detector pixel, from the table of the format description."""
    width, g = 512 + gap, gap
    column = (x + 256 + g, 511 + g - x, 255 - x, x)[chip]
    row = (y, 511 + g - y, 511 + g - y, y)[chip]
    return row * width + column
