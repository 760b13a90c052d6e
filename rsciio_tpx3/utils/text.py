"""Numbers and values as people read them, for messages and the command line."""

from typing import Any

__all__ = ["counted", "format_seconds", "shown"]


def counted(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 edge", "3 edges"; `many` where adding an s is not enough."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def format_seconds(seconds: float) -> str:
    """A time for people: three digits more than needed are noise, so "40.02 us", not "4.002e-05 s"."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if abs(seconds) * factor >= 1:
            return f"{seconds * factor:.6g} {unit}"
    return f"{seconds * 1e9:.6g} ns"


def shown(value: Any) -> str:
    """A value for a message: what a file holds may be long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return f"<{type(value).__name__} of very many digits>"
    except Exception:  # of an object that cannot even say what it is
        return f"<{type(value).__name__}>"
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text):,} characters)"
