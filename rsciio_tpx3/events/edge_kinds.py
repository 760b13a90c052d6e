"""Names and codes of the trigger edges that a detector marks: two inputs, each with two flanks."""

__all__ = ["EDGE_CODES", "EDGE_NAMES"]

# bits 59-56 of a TDC word of the ASI / SPIDR stream; other formats take the same codes
EDGE_CODES = {"tdc1-rise": 0xF, "tdc1-fall": 0xA, "tdc2-rise": 0xE, "tdc2-fall": 0xB}
EDGE_NAMES = {code: name for name, code in EDGE_CODES.items()}
