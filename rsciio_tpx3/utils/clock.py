"""The one unit of time, and how wrapped counters become one time without rollovers.

All times inside the package are int64 *ticks* of 1/12 of 3.125 ns (260.41666 ps). It is the
finest step of any Timepix3 clock: a TDC stamp is an integer number of ticks, a pixel stamp (1.5625 ns)
is 6 of them, so hits and edges compare exactly as integers; int64 holds 76 years.

Sources: ASI SERVAL manual 3.1 and TPX3Cam manual 2.4 (clock frequencies, counter widths).
"""

import numpy as np

from rsciio_tpx3.utils.compiled import njit

__all__ = [
    "COARSE_TICKS",
    "CONTROL_PERIOD",
    "GLOBAL_TICKS",
    "LATEST",
    "PIXEL_PERIOD",
    "PIXEL_STEPS",
    "PIXEL_TICKS",
    "TDC_PERIOD",
    "TDC_TICKS",
    "TICKS_PER_SECOND",
    "nearest_period",
    "ticks_to_seconds",
    "unwrap_sequence",
]

TICKS_PER_SECOND = 3_840_000_000  # 3840 MHz: the TDC's 320 MHz with 12 interpolation steps
TDC_TICKS = 12  # 3.125 ns, the coarse TDC count
PIXEL_TICKS = 6  # 1.5625 ns, one count of the fast ToA (640 MHz)
COARSE_TICKS = 96  # 25 ns, one count of ToA, ToT and the global time (40 MHz)
GLOBAL_TICKS = COARSE_TICKS

PIXEL_STEPS = 1 << 34  # steps of PIXEL_TICKS in a period: a power of two, so that wrapping is a mask
PIXEL_PERIOD = PIXEL_STEPS * PIXEL_TICKS  # 16 bits SPIDR and 14 bits ToA: 26.8435456 s
TDC_PERIOD = (1 << 35) * TDC_TICKS  # 107.3741824 s, exactly four pixel periods
CONTROL_PERIOD = (1 << 34) * COARSE_TICKS  # time in 0x5 control words: 429.4967296 s

LATEST = 1 << 60
"""Longest time that an option may give, ticks (9.5 years): sums and differences with times of hits stay in 64 bits."""


def ticks_to_seconds(ticks: float) -> float:
    """Ticks as float seconds; for display and metadata only."""
    return float(ticks) / TICKS_PER_SECOND


@njit(nogil=True, cache=True)
def nearest_period(wrapped: int, reference: int, period: int) -> int:
    """The time equal to `wrapped` modulo `period` that lies nearest to `reference`.

    All three are int64 ticks; the answer lies in ``[reference - period/2, reference + period/2)``.
    """
    half = period // 2
    return reference - half + (wrapped - reference + half) % period


@njit(nogil=True, cache=True)
def unwrap_sequence(wrapped: np.ndarray, period: int, first_reference: int) -> np.ndarray:
    """Unwrap a wrapped clock read in nearly ascending order.

    A step of more than half a period back counts as a rollover; a step of more than half a period
    forward belongs to the period before (a late packet around the rollover), but none to one before the
    first: the clock began at zero, so that is a pause.

    Parameters
    ----------
    wrapped : numpy.ndarray of int64, shape (n,)
        Ticks modulo `period`, in stream order.
    period : int
    first_reference : int
        Time near which the first value is placed.

    Returns
    -------
    numpy.ndarray of int64, shape (n,)
    """
    out = np.empty(len(wrapped), np.int64)
    reference = first_reference
    for i in range(len(wrapped)):
        reference = max(nearest_period(wrapped[i], reference, period), wrapped[i])
        out[i] = reference
    return out
