"""Sums of the blocks of an array, so that whoever reads a part can tell whether it is what was written.

A checksum of a whole file has to read all of it. The sum of a block adds up its words of 64 bits (little endian, the
last one filled with zeros), each times an odd number of its own, ``2 i + 1``, modulo 2**64: so any one word that
changes changes the sum, and the loop runs at the speed of memory. It is no cryptographic sum, and finds damage, not
forgery; SHA-256 of the whole is kept beside it.
"""

import numpy as np

from rsciio_tpx3.compiled import njit

__all__ = ["BlockSums", "SummedBlocks"]

_BLOCK = 1 << 16
_MOST_BLOCKS = 1 << 12  # of an array, so that its TOML stays short: 64 KB of text
_WORD = 8
_DIGITS = 16


class BlockSums:
    """Sums of the blocks of one file.

    Parameters
    ----------
    size : int
        Bytes of a block, a power of two.
    sums : numpy.ndarray of uint64, shape (n_blocks,)
    """

    def __init__(self, size, sums):
        self.size, self.sums = size, sums

    @classmethod
    def from_text(cls, text, n_bytes):
        """Of what the TOML has, ``size:sums``; None where it is nothing of a file of `n_bytes`."""
        head, _, digits = text.partition(":") if isinstance(text, str) else ("", "", "")
        size = int(head) if head.isascii() and head.isdigit() and len(head) < 16 else 0
        good = size >= _BLOCK and size & (size - 1) == 0 and len(digits) == _DIGITS * -(-n_bytes // size)
        try:
            return cls(size, np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64)) if good else None
        except ValueError:
            return None

    def text(self):
        """One line of text."""
        return f"{self.size}:{self.sums.astype('>u8').tobytes().hex()}"

    def around(self, start, stop, n_bytes):
        """Bytes of whole blocks around those from `start` to `stop` in a file of `n_bytes`."""
        return start // self.size * self.size, min(-(-stop // self.size) * self.size, n_bytes)

    def first_changed(self, words, start):
        """First byte of the first block that is not what was written, or None.

        Parameters
        ----------
        words : numpy.ndarray of uint64
            Whole blocks, the last word filled with zeros.
        start : int
            Byte of the file where they begin.
        """
        first = start // self.size
        found = _sums(words, self.size // _WORD)[0]
        wrong = np.flatnonzero(found != self.sums[first : first + len(found)])
        return (first + int(wrong[0])) * self.size if len(wrong) else None


class SummedBlocks:
    """Adds up the blocks of a file while it is written."""

    def __init__(self):
        self._rest, self._parts = b"", []

    def update(self, content):
        """Take the next bytes."""
        content = memoryview(content).cast("B")
        if self._rest:
            taken = min(_BLOCK - len(self._rest), len(content))
            self._rest += bytes(content[:taken])
            content = content[taken:]
            if len(self._rest) == _BLOCK:
                self._parts.append(_sums(np.frombuffer(self._rest, "<u8"), _BLOCK // _WORD))
                self._rest = b""
        n_whole = len(content) // _BLOCK * _BLOCK
        if n_whole:
            # not aligned where a block was filled up before
            words = np.frombuffer(content[:n_whole], np.uint8).copy().view("<u8")
            self._parts.append(_sums(words, _BLOCK // _WORD))
        self._rest += bytes(content[n_whole:])

    def finish(self):
        """The `BlockSums` of all, in blocks so large that there are not too many."""
        if self._rest:
            words = np.frombuffer(self._rest + bytes(-len(self._rest) % _WORD), "<u8")
            self._parts.append(_sums(words, _BLOCK // _WORD))
        sums, plain = (np.concatenate([part[i] for part in self._parts] or [np.zeros(0, np.uint64)]) for i in (0, 1))
        size = _BLOCK
        while len(sums) > _MOST_BLOCKS:
            if len(sums) % 2:
                sums, plain = (np.append(part, np.uint64(0)) for part in (sums, plain))
            # the words of the second half of a pair move on by as many as the first has, twice
            sums = sums[::2] + sums[1::2] + plain[1::2] * np.uint64(2 * size // _WORD)
            plain, size = plain[::2] + plain[1::2], 2 * size
        return BlockSums(size, sums)


@njit(nogil=True, cache=True)
def _sums(words, n_words):
    """Sums of the words of each block, times their odd numbers and plain."""
    n = -(-len(words) // n_words)
    sums, plain = np.zeros(n, np.uint64), np.zeros(n, np.uint64)
    for block in range(n):
        start, total, weighted = block * n_words, np.uint64(0), np.uint64(0)
        for i in range(min(n_words, len(words) - start)):
            word = words[start + i]
            total += word
            weighted += np.uint64(i) * word
        sums[block] = total + np.uint64(2) * weighted
        plain[block] = total
    return sums, plain
