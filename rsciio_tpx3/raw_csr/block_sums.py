"""Sums of the blocks of an array, so that whoever reads a part can tell whether it is what was written.

A checksum of a whole file has to read all of it. The sum of a block adds up its words of 64 bits (little endian, the
last one filled with zeros), modulo 2**64, each mixed beforehand with its number in the file, as in SplitMix64. Mixing
gives each word another number, so any one word that changes changes the sum; and it is not linear, so that two changes
do not cancel (upper bits of two words did, in a sum of words times odd numbers). The loop takes two thirds of the time
of zlib's CRC-32 where that is fast, and adds up blocks that become one. It is not a cryptographic sum, and finds
damage, not forgery; SHA-256 of the whole is kept next to it.

Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (the constants are those of
their 13th variant of the mixing function).
"""

from __future__ import annotations

import numpy as np

from rsciio_tpx3.utils.compiled import njit

__all__ = ["BlockSums", "SummedBlocks"]

_BLOCK = 1 << 16
_MOST_BLOCKS = 1 << 12  # of an array, so that its TOML stays short: 64 KB of text
_WORD = 8
_DIGITS = 16
_STEP, _MIX_1, _MIX_2 = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


class BlockSums:
    """Sums of the blocks of one file.

    Parameters
    ----------
    size : int
        Bytes of a block, a power of two.
    sums : numpy.ndarray of uint64, shape (n_blocks,)
    """

    def __init__(self, size: int, sums: np.ndarray) -> None:
        self.size, self.sums = size, sums

    @classmethod
    def from_text(cls, text: str, n_bytes: int) -> BlockSums | None:
        """Of what the TOML has, ``size:sums``; None where it is nothing of a file of `n_bytes`."""
        head, _, digits = text.partition(":") if isinstance(text, str) else ("", "", "")
        size = int(head) if head.isascii() and head.isdigit() and len(head) < 16 else 0
        good = size >= _BLOCK and size & (size - 1) == 0 and len(digits) == _DIGITS * -(-n_bytes // size)
        try:
            return cls(size, np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64)) if good else None
        except ValueError:
            return None

    def text(self) -> str:
        """One line of text."""
        return f"{self.size}:{self.sums.astype('>u8').tobytes().hex()}"

    def around(self, start: int, stop: int, n_bytes: int) -> tuple[int, int]:
        """Bytes of whole blocks around those from `start` to `stop` in a file of `n_bytes`."""
        return start // self.size * self.size, min(-(-stop // self.size) * self.size, n_bytes)

    def first_changed(self, words: np.ndarray, start: int) -> int | None:
        """First byte of the first block that is not what was written, or None.

        Parameters
        ----------
        words : numpy.ndarray of uint64
            Whole blocks, the last word filled with zeros.
        start : int
            Byte of the file where they begin.
        """
        first = start // self.size
        found = _sums(words, start // _WORD, self.size // _WORD)
        wrong = np.flatnonzero(found != self.sums[first : first + len(found)])
        return (first + int(wrong[0])) * self.size if len(wrong) else None


class SummedBlocks:
    """Adds up the blocks of a file while it is written."""

    def __init__(self) -> None:
        self._rest, self._sums, self._n_words = b"", [], 0

    def update(self, content: bytes | memoryview | np.ndarray) -> None:
        """Take the next bytes."""
        content = memoryview(content).cast("B")
        if self._rest:
            taken = min(_BLOCK - len(self._rest), len(content))
            self._rest += bytes(content[:taken])
            content = content[taken:]
            if len(self._rest) == _BLOCK:
                self._add(self._rest)
                self._rest = b""
        n_whole = len(content) // _BLOCK * _BLOCK
        if n_whole:
            # copied: not aligned where a block was filled up before
            self._add(bytes(content[:n_whole]))
        self._rest += bytes(content[n_whole:])

    def _add(self, content: bytes) -> None:
        words = np.frombuffer(content, np.uint64)
        self._sums.append(_sums(words, self._n_words, _BLOCK // _WORD))
        self._n_words += len(words)

    def finish(self) -> BlockSums:
        """The `BlockSums` of all, in blocks so large that there are not too many."""
        if self._rest:
            self._add(self._rest + bytes(-len(self._rest) % _WORD))
            self._rest = b""
        size, sums = _BLOCK, np.concatenate([*self._sums, np.zeros(0, np.uint64)])
        while len(sums) > _MOST_BLOCKS:
            sums, size = np.add.reduceat(sums, np.arange(0, len(sums), 2)), 2 * size
        return BlockSums(size, sums)


@njit(nogil=True, cache=True)
def _sums(words: np.ndarray, first: int, n_words: int) -> np.ndarray:
    """Sums of blocks of words, the first of which is word `first` of its file."""
    n = -(-len(words) // n_words)
    sums = np.zeros(n, np.uint64)
    for block in range(n):
        start, total = block * n_words, np.uint64(0)
        for i in range(start, min(start + n_words, len(words))):
            mixed = words[i] + np.uint64(first + i) * _STEP
            mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
            mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
            total += mixed ^ (mixed >> np.uint64(31))
        sums[block] = total
    return sums
