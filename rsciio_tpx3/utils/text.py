"""Numbers and values as people read them, for messages and the command line."""

import math
from typing import Any

__all__ = ["counted", "format_seconds", "format_spread", "shown"]


def counted(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 edge", "3 edges"; `many` where adding an s is not enough."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


_UNITS = ((1, "s"), (1e3, "ms"), (1e6, "us"), (1e9, "ns"))


def format_seconds(seconds: float) -> str:
    """A time for people: three digits more than needed are noise, so "40.02 us", not "4.002e-05 s"."""
    factor, unit = next((f, u) for f, u in _UNITS if abs(seconds) * f >= 1 or u == "ns")
    return f"{seconds * factor:.6g} {unit}"


def format_spread(seconds: float, error: float) -> str:
    """A time and its standard deviation in one unit: "11.98 +- 0.39 us", to two digits of the deviation."""
    factor, unit = next((f, u) for f, u in _UNITS if abs(seconds) * f >= 1 or u == "ns")
    digits = max(1 - math.floor(math.log10(error * factor)), 0) if 0 < error < math.inf else 4
    return f"{seconds * factor:.{digits}f} +- {error * factor:.{digits}f} {unit}"


def shown(value: Any) -> str:
    """A value for a message: what a file holds may be long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return f"<{type(value).__name__} of very many digits>"
    except Exception:  # of an object that cannot even say what it is
        return f"<{type(value).__name__}>"
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text):,} characters)"
