"""Where the real recordings are, and a layout that keeps their chips apart."""

from pathlib import Path

DATA = Path(__file__).parent / "data"

# one place for each chip, one below the other: chip-local pixels can be read back from flat ones
STACK = [{"chip": chip, "x": 0, "y": 256 * chip} for chip in range(4)]
