"""`.tpx3` streams: hits one by one, and scans of them."""

from collections import Counter
from pathlib import Path

import numpy as np

from rsciio_tpx3.recording import open_recording
from rsciio_tpx3.tpx3 import file_reader
from tests.fuzz.case import Hits, Target, Verdict, missing_and_invented
from tests.fuzz.mutate import change_bytes, change_words, some
from tests.fuzz.targets.making import NAV, recording

__all__ = ["Tpx3", "Tpx3Scan"]

_MAGIC = 0x33585054
_WRAP = (1 << 14) * 96  # ticks of the 14 bits of coarse time: what lies above may be put back from neighbours
# high bytes whose meaning is documented, and hits (0xB.) and edges (0x6.)
_KNOWN = {0x44, 0x45, 0x50, 0x51, 0x5A, 0x5C, 0x5F, 0x71, 0x72, 0x6A, 0x6B, 0x6E, 0x6F, *range(0xB0, 0xC0)}


def _known_word(rng):
    """A packet of a known type with any content."""
    return (some(rng, sorted(_KNOWN | {0xA0, 0xA5})) << 56) | int(rng.integers(1 << 56))


def _change(rng, word):
    """Another word: bits flipped, another type, a field at its end, or another header."""
    how = int(rng.integers(8))
    if how < 3:
        return word ^ (1 << int(rng.integers(64)))
    if how == 3:
        return (word & ((1 << 60) - 1)) | (int(rng.integers(16)) << 60)
    if how == 4:
        low = some(rng, (0, 16, 20, 30, 32, 44, 48))
        width = some(rng, (4, 10, 14, 16))
        return word & ~(((1 << width) - 1) << low) | (
            some(rng, (0, (1 << width) - 1, int(rng.integers(1 << width)))) << low
        )
    if how == 5:
        return (
            _MAGIC
            | (int(rng.integers(8)) << 32)
            | (some(rng, (0, 8, 16, 80, 3, 0xFFF8, 0xFFFF, int(rng.integers(1 << 16)))) << 48)
        )
    if how == 6:
        return _known_word(rng)
    return int(rng.integers(1 << 63)) * 2


def _mutate_stream(rng, content):
    if rng.integers(4):
        return change_words(rng, content, _change)
    return change_bytes(rng, content)


def _words(content):
    return np.frombuffer(content[: len(content) // 8 * 8], "<u8")


def _payload(words):
    """Words behind headers where the chain of sizes holds to the end, else None."""
    mask, i = np.ones(len(words), bool), 0
    while i < len(words):
        size = int(words[i]) >> 48
        if int(words[i]) & 0xFFFFFFFF != _MAGIC or size % 8:
            return None
        mask[i] = False
        i += 1 + size // 8
    return words[mask] if i == len(words) else None


def _hit_keys(words):
    """(pixel of the chip, ToT, time within 409.6 us) of every word that has the type of a hit."""
    w = words[(words >> np.uint64(60)) == 0xB]
    address = (w >> np.uint64(44)).astype("i8") & 0xFFFF
    double_column, super_pixel, pixel = (address & 0xFE00) >> 8, (address & 0x1F8) >> 1, address & 7
    x, y = double_column + (pixel >> 2), super_pixel + (pixel & 3)
    tot = (w >> np.uint64(20)).astype("i8") & 0x3FF
    time = ((w >> np.uint64(30)).astype("i8") & 0x3FFF) * 96 - ((w >> np.uint64(16)).astype("i8") & 0xF) * 6
    return list(zip((y * 256 + x).tolist(), tot.tolist(), (time % _WRAP).tolist()))


def _quad_pixels():
    """Pixel of the chip for each pixel of a quad without gaps, by the table of the format description."""
    y, x = np.divmod(np.arange(65536), 256)
    local = np.empty(512 * 512, np.int64)
    for column, row in ((x + 256, y), (511 - x, 511 - y), (255 - x, 511 - y), (x, y)):
        local[row * 512 + column] = y * 256 + x
    return local


_WIDTH = {"single": 256, "quad": 512}
_LOCAL = {256: np.arange(65536), 512: _quad_pixels()}


class Tpx3(Target):
    """Hits of a stream, each compared with the words that a plain loop finds."""

    name = "tpx3"

    def seeds(self):
        single = recording(), recording(max_words=9, edge_chips=(0,), electrons_per_position=2)
        return [*({"single.tpx3": content} for content in single), {"quad.tpx3": recording("quad", disorder="20 us")}]

    def mutate(self, rng, files):
        [(name, content)] = files.items()
        return {name: _mutate_stream(rng, content)}

    def read(self, folder):
        [path] = Path(folder).iterdir()
        source, *_ = open_recording(path, {"layout": path.stem, "on_loss": "warn", "show_progressbar": False})
        index = source.index()
        hits = source.hits()
        width = _WIDTH[path.stem]
        local = _LOCAL[width][hits.y.astype(np.int64) * width + hits.x]
        keys = Counter(zip(local.tolist(), hits.tot.tolist(), (hits.toa % _WRAP).tolist()))
        return Hits(keys, _lost(index.losses), dict(index.losses))

    def judge(self, found, files, seed):
        [content] = files.values()
        words = _words(content)
        payload = _payload(words)
        whole = payload is not None
        missing, invented = missing_and_invented(found.keys, Counter(_hit_keys(payload if whole else words)))
        if not whole:
            # a header whose damaged size begins with 0xB may be read as a header or as a hit
            missing -= sum(int(w) & 0xFFFFFFFF == _MAGIC and int(w) >> 60 == 0xB for w in words)
        if invented:
            return Verdict("silent", f"{invented.total()} hits that no word says, such as {next(iter(invented))}")
        allowed = found.lost
        if missing > allowed:
            return Verdict("silent", f"{missing} hits are missing, losses {found.notes}")
        if whole:
            odd = sum(int(w) >> 56 not in _KNOWN for w in payload)
            if odd and not found.lost:
                return Verdict("silent", f"{odd} words that nobody knows, losses {found.notes}")
        return Verdict("loss counted" if found.lost else "equal")


def _lost(losses):
    """Words of the file that are said to be lost; what was lost before the file was written is no part of it."""
    before = ("chunks_lost", "missing_parts", "words_cut", "bytes_cut")
    words = {n: v // 8 if n.startswith("bytes") else v for n, v in losses.items() if n not in before}
    return sum(words.values())


class Tpx3Scan(Target):
    """Scans by `file_reader`: all hits are placed or counted, and no pixel is shown that no word says."""

    name = "tpx3-scan"
    seeds = Tpx3.seeds
    mutate = Tpx3.mutate

    def read(self, folder):
        [path] = Path(folder).iterdir()
        options = {"layout": path.stem, "on_loss": "warn", "cache": False, "show_progressbar": False}
        [signal] = file_reader(path, navigation_shape=NAV[::-1], lazy=True, **options)
        counts = signal["data"].sum(axis=tuple(range(signal["data"].ndim - 2))).compute()
        counts = np.asarray(counts)
        pixel = np.flatnonzero(counts)
        local = _LOCAL[_WIDTH[path.stem]][pixel]
        keys = Counter()
        for p, n in zip(local.tolist(), counts.ravel()[pixel].tolist()):
            keys[p] += int(n)
        return keys, signal["data"].shape

    def judge(self, found, files, seed):
        keys, _ = found
        [content] = files.values()
        words = _words(content)
        payload = _payload(words)
        wanted = Counter(p for p, *_ in _hit_keys(words if payload is None else payload))
        _, invented = missing_and_invented(keys, wanted)
        if invented:
            return Verdict("silent", f"{invented.total()} hits in pixels where no word says so")
        return Verdict("equal")
