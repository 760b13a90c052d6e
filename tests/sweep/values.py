"""Odd values for options: those that have failed somewhere, and nests of them made by chance."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pint

__all__ = ["ODD", "odd_value"]


class _Raises:
    """An object that answers nothing, not even what it is called."""

    def __getattr__(self, name):
        raise RuntimeError("no attribute for anybody")


def _quantities():
    units = pint.get_application_registry()
    return (3 * units.us, -1 * units.m, float("nan") * units.s, 2 * units.dimensionless, np.array([1, 2]) * units.mm)


_NOTHING = (None, Ellipsis, NotImplemented, (), [], {}, set(), "", b"", float("nan"), np.ma.masked)
_NUMBERS = (
    True, False, -1, 0, 1, 2, 3, 1.5, 2.0, -0.0, 10**9, 10**30, -(10**30), 2**31, 2**63, 2**64, 1e308, 5e-324,
    float("inf"), float("-inf"), 1j, Fraction(1, 3),
)  # fmt: skip
_NUMPY = (
    np.int64(3), np.uint8(7), np.float32(2.5), np.float64("nan"), np.bool_(True), np.bool_(False), np.int64(-1),
    np.array(3), np.array([8, 6]), np.zeros(0), np.array([[1, 2], [3, 4]]), np.array(["a"]), np.array([1.5, np.nan]),
    np.zeros((3, 3)), np.array([None]), np.array(True), np.datetime64("NaT"), np.timedelta64(1, "us"), np.str_("x"),
    np.zeros(2, [("a", "i4")]),
)  # fmt: skip
_TEXTS = (
    "x", "1", "-1", "auto", "none", "sum", "nan us", "inf", "1e300 us", "-1 us", "0 us", "1 ps", "1e9 s", "1 m", "5 us",
    "1,5 us", "m**9**9**9", "\x00", "\ud800", "a" * 5000, "::0", "../..", "/", "/dev/null", "/nonexistent/x", "~", " ",
    b"x", b"\xff", bytearray(b"x"), Path("/nonexistent"), Path(), "<u2", "O", "M8[ns]", "V3", "f8",
)  # fmt: skip
_NESTS = (
    [1], [1, 2], (1, 2, 3), (3, 2, 1, 1), [None], ["a", "b"], (float("nan"), 2), (2.5, 2), (10**9, 10**9), (0, 0),
    (-1, 4), (True, True), ("8", "6"), frozenset([1]), {"a": 1}, {"a": None}, {1: 2}, [[1, 2], [3]], [{}], [()],
    slice(0, 2), slice(None, None, 0), range(3), [float("inf")] * 2, ["sum", [0]],
)  # fmt: skip
_THINGS = (int, object(), len, np.float32, _Raises(), print, iter([1, 2]), type("Odd", (), {})())

ODD = (*_NOTHING, *_NUMBERS, *_NUMPY, *_TEXTS, *_NESTS, *_THINGS, *_quantities())


def odd_value(rng, depth=0):
    """One of them, or a nest of some."""
    if depth == 2 or rng.integers(4):
        return ODD[int(rng.integers(len(ODD)))]
    parts = [odd_value(rng, depth + 1) for _ in range(int(rng.integers(4)))]
    how = int(rng.integers(4))
    if how == 0:
        return parts
    if how == 1:
        return tuple(parts)
    if how == 2:
        return dict(zip(("a", "over", "number", 1), parts))
    out = np.empty(len(parts), object)
    out[:] = parts
    return out
