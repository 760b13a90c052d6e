"""Recordings of any size, written fast: what is timed is reading them, not what is in them.

Hits come from a pattern of a central disk, Bragg disks and a diffuse background on a quad, one hit an
electron, in the order and the chunks of a real stream: four chips, a little disorder, a line gate on
TDC1. The simulator (`rsciio_tpx3.simulate`) makes truer recordings, at a fifteenth of the speed.
"""

import argparse
import math
import os

import numpy as np

from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.events.grid import pixel_addresses
from rsciio_tpx3.tpx3.packets import EDGE_CODES, encode_header, encode_hits, encode_tdc
from rsciio_tpx3.utils.clock import PIXEL_TICKS, TICKS_PER_SECOND

__all__ = ["write"]

RATE = 20e6  # hits per second, as a quad at a comfortable beam current
_DUTY = 0.9  # share of a line in which the beam scans
_SLOT_HITS = 4096  # hits of all chips between two rounds of chunks
_SPIDR_TICKS = 16384 * 16 * 6  # the lowest 16 bits of a hit count these, 409.6 us each


def write(path, n_packets, nav_shape=(256, 256), seed=0, different=None):
    """Write a recording of about so many packets.

    Parameters
    ----------
    path : path-like
    n_packets : int
    nav_shape : tuple of int
        Scan ``(y, x)``.
    seed : int
    different : int or None
        Lines that are drawn; the others repeat them at later times, which is ten times faster to write.

    Returns
    -------
    path : str
    """
    rng = np.random.default_rng(seed)
    chip_of, address_of = _places(make_layout("quad"), rng)
    n_lines = nav_shape[0]
    per_line = max(n_packets // n_lines, 64)
    # a dwell time of whole pixel ticks, so that lines of all sizes are alike
    dwell = max(1, round(per_line * _DUTY / nav_shape[1] / RATE * TICKS_PER_SECOND / PIXEL_TICKS)) * PIXEL_TICKS
    active = dwell * nav_shape[1]
    whole = _SPIDR_TICKS if different else 12  # repeated lines: later by whole counts of the upper part of the time
    period = math.ceil(active / _DUTY / whole) * whole
    if different:
        active = int(period * _DUTY / nav_shape[1] / PIXEL_TICKS) * PIXEL_TICKS * nav_shape[1]
    jitter = _disorder(per_line, rng)

    def edges_of(line):
        start = (line + 1) * period
        names = [EDGE_CODES["tdc1-rise"], EDGE_CODES["tdc1-fall"]]
        return encode_tdc(names, [line + 1, line + 1], [start, start + active])

    def drawn(line):
        start = (line + 1) * period
        first = rng.integers(len(chip_of))
        place = np.arange(first, first + per_line) % len(chip_of)
        times = (np.arange(per_line) * (period / per_line)).astype(np.int64)
        # random gaps, and words that overtake each other by some microseconds
        times = start + (times + rng.integers(0, 64, per_line))[jitter] // PIXEL_TICKS * PIXEL_TICKS
        words = encode_hits(address_of[place], times, 5 + (place & 31))
        return _in_chunks(words, chip_of[place], edges_of(line))

    with open(path, "wb") as file:
        lines = []
        for line in range(n_lines):
            if different is None or line < different:
                lines.append(drawn(line))
                lines[-1].tofile(file)
            else:
                _later(lines[line % different], line // different * different * period, edges_of(line)).tofile(file)
            if different is None:
                lines.clear()
    return os.fspath(path)


def _later(words, ticks, edges):
    """A line some whole counts of the upper part of the time later, with edges of its own: its second and last word."""
    is_hit = words >> np.uint64(60) == 0xB
    moved = words + np.uint64(ticks // _SPIDR_TICKS)
    # what is carried out of 16 bits is the end of the clock: it begins anew
    found = np.where(is_hit, (words & ~np.uint64(0xFFFF)) | (moved & np.uint64(0xFFFF)), words)
    found[1], found[-1] = edges
    return found


def _places(layout, rng, n=1 << 20):
    """Chip and address of many electrons, drawn from the pattern."""
    kind, side = rng.random(n), layout.sig_shape[0]
    radius, angle = 24 * np.sqrt(rng.random(n)), rng.random(n) * 2 * np.pi
    y, x = side / 2 + radius * np.sin(angle), side / 2 + radius * np.cos(angle)
    order = rng.integers(-3, 4, (2, n))
    bragg, diffuse = (kind > 0.5) & (kind < 0.83), kind >= 0.83
    y, x = (np.where(diffuse, side / 2 + rng.normal(0, 110, n), v + bragg * 55 * o) for v, o in zip((y, x), order))
    flat = np.clip(y, 0, side - 1).astype(np.int64) * side + np.clip(x, 0, side - 1).astype(np.int64)
    chip, address = pixel_addresses(layout)
    return chip[flat].astype(np.uint16), address[flat].astype(np.int64)


def _disorder(n, rng):
    """Order in which the hits of a line leave: each up to 128 places from its own."""
    return np.argsort(np.arange(n) + rng.integers(0, 128, n), kind="stable")


def _in_chunks(words, chip, edges):
    """Words of a line as chunks: for every slot one of each chip, the edges in the first and the last."""
    slot = np.arange(len(words)) // _SLOT_HITS
    n_slots = int(slot[-1]) + 1
    key = (slot * 4 + chip).astype(np.uint16 if n_slots < 1 << 14 else np.uint32)
    order = np.argsort(key, kind="stable")
    sizes = np.bincount(key, minlength=4 * n_slots)
    ends = np.cumsum(sizes)
    # the rise leads the first chunk of the line, the fall ends its last one
    places = np.concatenate([(ends - sizes), [0, len(words)]])
    sizes[0] += 1
    sizes[-1] += 1
    headers = [encode_header(i % 4, int(n)) for i, n in enumerate(sizes)]
    return np.insert(words[order], places, np.concatenate([np.array(headers, np.uint64).ravel(), edges]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file")
    parser.add_argument("--packets", type=float, default=1e7)
    parser.add_argument("--nav", type=int, default=256)
    options = parser.parse_args()
    write(options.file, int(options.packets), (options.nav, options.nav))
    print(f"{os.path.getsize(options.file) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
