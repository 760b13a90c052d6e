"""The bits of every word, as tables: plain Python, written from the format's description alone.

Slow on purpose. A word is an integer; ``fields(word)`` takes it apart and ``word(kind, ...)`` puts it together, for
every kind. Nothing here is shared with a fast reader, so that both can be wrong only in different ways.
"""

__all__ = [
    "EDGES",
    "KINDS",
    "LIVE_KINDS",
    "MAGIC",
    "address_fields",
    "fields",
    "kind_of",
    "live_fields",
    "value",
    "word",
]

MAGIC = 0x33585054
"""The bytes ``TPX3``, read as a little-endian number."""

EDGES = {0xF: "tdc1-rise", 0xA: "tdc1-fall", 0xE: "tdc2-rise", 0xB: "tdc2-fall"}

_ADDRESS = (("double_column", 59, 53), ("super_pixel", 52, 47), ("right", 46, 46), ("row", 45, 44))
_TIMED = (("type", 63, 56), ("reserved_high", 55, 46), ("time", 45, 12), ("reserved_low", 11, 0))

KINDS = {
    "header": (("payload_bytes", 63, 48), ("reserved", 47, 40), ("chip", 39, 32), ("magic", 31, 0)),
    "hit": (("type", 63, 60), *_ADDRESS, ("toa", 43, 30), ("tot", 29, 20), ("ftoa", 19, 16), ("spidr", 15, 0)),
    "count_mode": (
        ("type", 63, 60), *_ADDRESS, ("itot", 43, 30), ("events", 29, 20), ("hits", 19, 16), ("spidr", 15, 0),
    ),
    "edge": (
        ("type", 63, 60), ("edge", 59, 56), ("counter", 55, 44), ("coarse", 43, 9), ("fine", 8, 5), ("reserved", 4, 0),
    ),
    "global_low": (("type", 63, 56), ("reserved", 55, 48), ("time", 47, 16), ("spidr", 15, 0)),
    "global_high": (("type", 63, 56), ("reserved", 55, 32), ("time", 31, 16), ("spidr", 15, 0)),
    "chunk_number": (("type", 63, 56), ("reserved", 55, 48), ("number", 47, 0)),
    "chunk_time": (("type", 63, 56), ("error", 55, 55), ("overflow", 54, 54), ("time", 53, 0)),
    "shutter_open": _TIMED,
    "shutter_close": _TIMED,
    "heartbeat": _TIMED,
    "control": (("code", 63, 48), ("reserved", 47, 32), ("chip_id", 31, 16), ("spidr", 15, 0)),
}  # fmt: skip
"""Fields of each kind of word: name, highest bit, lowest bit."""

_TYPES = {
    "hit": 0xB, "count_mode": 0xA, "edge": 0x6, "global_low": 0x44, "global_high": 0x45, "chunk_number": 0x50,
    "chunk_time": 0x51, "shutter_open": 0x5F, "shutter_close": 0x5A, "heartbeat": 0x5C,
}  # fmt: skip

LIVE_KINDS = {
    "pixel": (("type", 95, 92), ("time", 91, 36), ("tot", 35, 26), ("first", 25, 16), ("second", 15, 6)),
    "tdc": (("type", 95, 92), ("time", 91, 36), ("input", 35, 30), ("fall", 29, 29)),
    "control": (("type", 95, 92), ("time", 91, 36), ("code", 35, 32)),
}
"""The 96-bit words of a network socket, see ``vectors/live_words.json``."""


def _take(word, table):
    return {name: word >> low & (1 << high - low + 1) - 1 for name, high, low in table}


def _put(values, table):
    out = 0
    for name, high, low in table:
        number = values.pop(name, 0)
        if not 0 <= number < 1 << high - low + 1:
            raise ValueError(f"{name}={number} does not fit into bits {high} to {low}.")
        out |= number << low
    if values:
        raise ValueError(f"{', '.join(values)}: no such field; expected {', '.join(name for name, *_ in table)}.")
    return out


def word(kind, **values):
    """The word of a kind with these fields; those that are not given are 0, but type and magic are right."""
    if kind == "header":
        values.setdefault("magic", MAGIC)
    elif kind in _TYPES:
        values.setdefault("type", _TYPES[kind])
    return _put(values, KINDS[kind])


def kind_of(word):
    """What kind of packet a word is, None for an unknown one. A header is known by its place and not by its bits."""
    top = word >> 60
    if top == 7:
        return "control"
    for kind, number in _TYPES.items():
        if number in (top, word >> 56):
            return kind
    return None


def fields(word, kind=None):
    """Fields of a word, by name."""
    return _take(word, KINDS[kind or kind_of(word)])


def live_fields(word):
    """Kind and fields of a 96-bit word."""
    kind = ("pixel", "tdc", "control")[word >> 92]
    return kind, _take(word, LIVE_KINDS[kind])


def address_fields(x, y):
    """Fields of the address of a chip's pixel."""
    return {"double_column": x >> 1, "super_pixel": y >> 2, "right": x & 1, "row": y & 3}


def value(word, kind=None):
    """What a word says: pixel, time in ticks of 25/96 ns, and so on; the time of a broken edge is None."""
    kind = kind or kind_of(word)
    f = fields(word, kind)
    if kind in ("hit", "count_mode"):
        pixel = {"x": 2 * f["double_column"] + f["right"], "y": 4 * f["super_pixel"] + f["row"]}
        if kind == "count_mode":
            return pixel
        return {**pixel, "ticks": (16 * ((f["spidr"] << 14) + f["toa"]) - f["ftoa"]) * 6, "tot": f["tot"]}
    if kind == "edge":
        good = 1 <= f["fine"] <= 12
        return {
            "edge": EDGES.get(f["edge"]), "counter": f["counter"],
            "ticks": 12 * f["coarse"] + f["fine"] - 1 if good else None,
        }  # fmt: skip
    if kind in ("shutter_open", "shutter_close", "heartbeat"):
        return {"ticks": 96 * f["time"]}
    if kind == "chunk_time":
        return {"ticks": 6 * f["time"]}
    return {}
