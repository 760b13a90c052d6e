"""Which bits of a 64-bit word mean what, in both directions.

The only place that knows the layout of the ASI / SPIDR stream (little-endian words). Readers use
the shifts and the small inlined functions in their loops, the simulator the ``encode_*`` functions.

Sources: ASI SERVAL manual 3.1 and TPX3Cam manual 2.4 (file format appendices), compared with
lanl/HERMES, tpx3awkward, pymepix and real files; ``docs/formats/tpx3.md`` has the bit tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.events.edge_kinds import EDGE_CODES, EDGE_NAMES
from rsciio_tpx3.utils.clock import COARSE_TICKS, PIXEL_TICKS, TDC_TICKS
from rsciio_tpx3.utils.compiled import njit

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


__all__ = [
    "CHUNK_COUNT",
    "CONTROL_ID_NAMES",
    "EDGE_CODES",
    "EDGE_NAMES",
    "GLOBAL_HIGH",
    "GLOBAL_LOW",
    "HEADER_MAGIC",
    "KNOWN_TOPS",
    "PACKET_TYPE_NAMES",
    "TYPE_CONTROL",
    "TYPE_COUNT",
    "TYPE_GLOBAL",
    "TYPE_PIXEL",
    "TYPE_SPIDR",
    "TYPE_TDC",
    "control_ticks",
    "edge_input",
    "encode_chunk_count",
    "encode_control",
    "encode_global",
    "encode_header",
    "encode_hits",
    "encode_spidr_time",
    "encode_tdc",
    "encode_tdc_invalid",
    "header_chip",
    "header_words",
    "is_edge",
    "is_header",
    "pixel_address",
    "pixel_steps",
    "pixel_ticks",
    "pixel_tot",
    "tdc_coarse",
    "tdc_counter",
    "tdc_edge",
    "tdc_fine",
    "tdc_ticks",
]

HEADER_MAGIC = 0x33585054  # bytes "TPX3"

# top nibble of a word
TYPE_GLOBAL = 0x4
TYPE_SPIDR = 0x5
TYPE_TDC = 0x6
TYPE_CONTROL = 0x7
TYPE_COUNT = 0xA
TYPE_PIXEL = 0xB
PACKET_TYPE_NAMES = {
    TYPE_GLOBAL: "global time",
    TYPE_SPIDR: "SPIDR control",
    TYPE_TDC: "TDC edge",
    TYPE_CONTROL: "TPX3 control",
    TYPE_COUNT: "pixel (count mode)",
    TYPE_PIXEL: "pixel hit",
}

# top byte of global time and SPIDR control words
GLOBAL_LOW = 0x44  # with GLOBAL_HIGH the two halves of one time (docs/formats/tpx3.md, "Global time")
GLOBAL_HIGH = 0x45
CHUNK_COUNT = 0x50  # number of the chunk, per chip: first word of each chunk since Serval 3.2
CHUNK_TIMES = 0x51
CONTROL_ID_NAMES = {0x5F: "shutter open", 0x5A: "shutter close", 0x5C: "heartbeat"}

# Top bytes of all words that mean something. 0x51: when a chunk was made and the times in it, after the Serval manual;
# 0x71 and 0x72: acknowledgements, ends and commands, of which new codes come with new firmware.
KNOWN_TOPS = frozenset(
    [GLOBAL_LOW, GLOBAL_HIGH, CHUNK_COUNT, CHUNK_TIMES, *CONTROL_ID_NAMES, 0x71, 0x72]
    + [TYPE_TDC << 4 | code for code in EDGE_CODES.values()]
    + [kind << 4 | low for kind in (TYPE_COUNT, TYPE_PIXEL) for low in range(16)]
)

_inline = njit(nogil=True, cache=True, error_model="numpy", inline="always")


@_inline
def is_header(word: np.uint64) -> bool:
    """True where the low half is the magic; to be trusted only when the size chain leads here."""
    return (word & np.uint64(0xFFFFFFFF)) == np.uint64(HEADER_MAGIC)


@_inline
def header_chip(word: np.uint64) -> np.int64:
    """Chip index, bits 39-32."""
    return np.int64((word >> np.uint64(32)) & np.uint64(0xFF))


@_inline
def header_words(word: np.uint64) -> np.int64:
    """Number of payload words: bits 63-48 give bytes. -1 where they are not an integer number of words."""
    size = np.int64(word >> np.uint64(48))
    return size >> 3 if (size & 7) == 0 else np.int64(-1)


@_inline
def pixel_address(word: np.uint64) -> np.int64:
    """Chip-local pixel as ``y * 256 + x``.

    Double column, super pixel and pixel of the 16-bit address (bits 59-44):
    x = dcol + pix // 4, y = spix + pix % 4.
    """
    a = np.int64(word >> np.uint64(44))
    x = ((a & 0xFE00) >> 8) | ((a & 0x4) >> 2)
    y = ((a & 0x01F8) >> 1) | (a & 0x3)
    return (y << 8) | x


@_inline
def pixel_steps(word: np.uint64) -> np.int64:
    """Time of arrival in steps of 1.5625 ns, wrapped at 2**34.

    ((SPIDR << 14) + ToA) * 16 - FToA; up to 15 steps below zero at time zero.
    """
    # ToA (bits 43-30) lands on its 16 steps by one shift, SPIDR time (bits 15-0) on its 2**18
    coarse = ((word & np.uint64(0xFFFF)) << np.uint64(18)) | ((word >> np.uint64(26)) & np.uint64(0x3FFF0))
    return np.int64(coarse) - np.int64((word >> np.uint64(16)) & np.uint64(0xF))


@_inline
def pixel_ticks(word: np.uint64) -> np.int64:
    """Time of arrival in ticks, wrapped at `clock.PIXEL_PERIOD`; up to 15 steps below zero at time zero."""
    return pixel_steps(word) * PIXEL_TICKS


@_inline
def pixel_tot(word: np.uint64) -> np.int64:
    """Time over threshold in steps of 25 ns, 0..1023."""
    return np.int64((word >> np.uint64(20)) & np.uint64(0x3FF))


@_inline
def tdc_edge(word: np.uint64) -> np.int64:
    """Input and direction: one of `EDGE_CODES`."""
    return np.int64((word >> np.uint64(56)) & np.uint64(0xF))


@_inline
def is_edge(code: int) -> bool:
    """Whether these four bits are one of `EDGE_CODES`: all of them have bits 3 and 1, and no other code has."""
    return (code & 0xA) == 0xA


@_inline
def edge_input(code: np.int64 | np.ndarray) -> np.int64 | np.ndarray:
    """Input of an edge code: 0 for TDC1 (0xF, 0xA), 1 for TDC2 (0xE, 0xB)."""
    return (code ^ (code >> 2)) & 1


@_inline
def tdc_counter(word: np.uint64) -> np.int64:
    """Number of this edge on its input, modulo 4096; counts every recorded edge."""
    return np.int64((word >> np.uint64(44)) & np.uint64(0xFFF))


@_inline
def tdc_coarse(word: np.uint64) -> np.int64:
    """35 bits of 3.125 ns."""
    return np.int64((word >> np.uint64(9)) & np.uint64(0x7FFFFFFFF))


@_inline
def tdc_fine(word: np.uint64) -> np.int64:
    """Interpolation step 1..12; 0 marks a word whose whole time is invalid."""
    return np.int64((word >> np.uint64(5)) & np.uint64(0xF))


@_inline
def tdc_ticks(word: np.uint64) -> np.int64:
    """Time in ticks, wrapped at `clock.TDC_PERIOD`; -1 where the fine field is not a valid step."""
    fine = tdc_fine(word)
    if fine < 1 or fine > 12:
        return np.int64(-1)
    return tdc_coarse(word) * TDC_TICKS + fine - 1


@_inline
def control_ticks(word: np.uint64) -> np.int64:
    """Time of a shutter or heartbeat word (0x5F, 0x5A, 0x5C), wrapped at `clock.CONTROL_PERIOD`."""
    return np.int64((word >> np.uint64(12)) & np.uint64(0x3FFFFFFFF)) * COARSE_TICKS


def encode_header(chip: ArrayLike, n_words: ArrayLike) -> np.ndarray:
    """Chunk header for `n_words` payload words of one chip."""
    chip, n_words = np.asarray(chip, np.uint64), np.asarray(n_words, np.uint64)
    return np.uint64(HEADER_MAGIC) | (chip << np.uint64(32)) | (n_words << np.uint64(51))


def encode_hits(address: ArrayLike, ticks: ArrayLike, tot: ArrayLike) -> np.ndarray:
    """Pixel words.

    Parameters
    ----------
    address : array of int, ``y * 256 + x`` on the chip
    ticks : array of int64
        Arrival times; a multiple of `clock.PIXEL_TICKS`, wrapped here.
    tot : array of int, 0..1023

    Returns
    -------
    numpy.ndarray of uint64
    """
    address = np.asarray(address, np.int64)
    x, y = address & 0xFF, address >> 8
    dcol, pix = x & 0xFE, ((x & 1) << 2) | (y & 3)
    pixaddr = (dcol << 8) | ((y & 0xFC) << 1) | pix
    steps = np.asarray(ticks, np.int64) // PIXEL_TICKS
    coarse = -(-steps // 16)  # the fast counter is subtracted, so round up
    fast = coarse * 16 - steps
    word = (np.int64(TYPE_PIXEL) << 60) | (pixaddr << 44) | ((coarse & 0x3FFF) << 30)
    word |= (np.asarray(tot, np.int64) & 0x3FF) << 20
    word |= (fast << 16) | ((coarse >> 14) & 0xFFFF)
    return word.astype(np.uint64)


def encode_tdc(edge: ArrayLike, counter: ArrayLike, ticks: ArrayLike) -> np.ndarray:
    """TDC words.

    Parameters
    ----------
    edge : array of int, one of `EDGE_CODES`
    counter : array of int, taken modulo 4096
    ticks : array of int64, wrapped here; -1 writes the invalid fine value 0

    Returns
    -------
    numpy.ndarray of uint64
    """
    ticks = np.asarray(ticks, np.int64)
    coarse = (ticks // TDC_TICKS) & 0x7FFFFFFFF
    fine = np.where(ticks < 0, 0, ticks % TDC_TICKS + 1)
    word = (np.int64(TYPE_TDC) << 60) | (np.asarray(edge, np.int64) << 56)
    word |= (np.asarray(counter, np.int64) & 0xFFF) << 44
    return (word | (coarse << 9) | (fine << 5)).astype(np.uint64)


def encode_tdc_invalid(edge: ArrayLike, counter: ArrayLike, ticks: ArrayLike) -> np.ndarray:
    """TDC words whose fine field is 0; `ticks` gives their (in real data stale) coarse time."""
    return encode_tdc(edge, counter, ticks) & ~np.uint64(0xF << 5)


def encode_control(code: ArrayLike, chip_id: ArrayLike, ticks: ArrayLike) -> np.ndarray:
    """TPX3 control words: a 16-bit code such as 0x71B0, the chip's identifier, SPIDR time."""
    spidr = ((np.asarray(ticks, np.int64) // COARSE_TICKS) >> 14) & 0xFFFF
    word = (np.asarray(code, np.int64) << 48) | (np.asarray(chip_id, np.int64) << 16) | spidr
    return word.astype(np.uint64)


def encode_global(ticks: ArrayLike) -> np.ndarray:
    """The pair of global-time words (low, high) for each time: shape (n, 2)."""
    steps = np.atleast_1d(np.asarray(ticks, np.int64)) // COARSE_TICKS
    spidr = (steps >> 14) & 0xFFFF
    low = (np.int64(GLOBAL_LOW) << 56) | ((steps & 0xFFFFFFFF) << 16) | spidr
    high = (np.int64(GLOBAL_HIGH) << 56) | (((steps >> 32) & 0xFFFF) << 16) | spidr
    return np.stack([low, high], axis=1).astype(np.uint64)


def encode_chunk_count(count: ArrayLike) -> np.ndarray:
    """The 0x50 words with the running number of a chip's chunk."""
    return ((np.int64(CHUNK_COUNT) << 56) | np.asarray(count, np.int64)).astype(np.uint64)


def encode_spidr_time(identifier: int, ticks: ArrayLike) -> np.ndarray:
    """Shutter and heartbeat words (0x5F, 0x5A, 0x5C)."""
    steps = (np.asarray(ticks, np.int64) // COARSE_TICKS) & 0x3FFFFFFFF
    return ((np.int64(identifier) << 56) | (steps << 12)).astype(np.uint64)
