"""Single words and what they say, and where chips lie; by the tables of the format's description."""

from conformance import words
from conformance.make.writing import write_json
from conformance.words import EDGES, address_fields, word

__all__ = ["make_vectors"]


def make_vectors(folder):
    """Write all vectors."""
    _words(folder, "headers", "Chunk headers: the first word of each chunk.", _headers(), "header")
    _words(folder, "hits", "Pixel hits, 0xB.", _hits())
    _words(folder, "count_mode", "Pixels in count mode, 0xA: no time.", _count_mode())
    _words(folder, "edges", "Trigger edges, 0x6; ticks null where fine is not 1 to 12.", _edges())
    _global_times(folder)
    _words(folder, "spidr_control", "Words 0x5: chunk numbers, shutter, heartbeat, times of a chunk.", _spidr())
    _words(folder, "control", "Words 0x7: no data.", _control())
    _live(folder)
    _layouts(folder)


def _words(folder, name, about, vectors, kind=None):
    entries = []
    for made in vectors:
        k = kind or words.kind_of(made)
        entries.append({"word": f"0x{made:016X}", "kind": k, "fields": words.fields(made, k), **words.value(made, k)})
    write_json(folder / f"{name}.json", {"about": about, "ticks": "25/96 ns", "words": entries})


def _headers():
    yield 0x0020000233585054  # as in a real file
    for chip in (0, 1, 3, 7, 255):
        for size in (0, 8, 8952, 65528):
            yield word("header", chip=chip, payload_bytes=size)
    yield word("header", chip=2, payload_bytes=16, reserved=1)


def _hits():
    yield from (0xB49896BD813F0004, 0xB7E8404943C80006, 0xB1693DDDC1A20006)  # real ones
    for bit in range(8):
        for x, y in ((1 << bit, 0), (0, 1 << bit)):
            yield word("hit", toa=1, tot=1, **address_fields(x, y))
    for x, y in ((0, 0), (255, 0), (0, 255), (255, 255), (254, 253), (170, 85)):
        yield word("hit", toa=0x3FFF, tot=1023, ftoa=15, spidr=0xFFFF, **address_fields(x, y))
    for ftoa in range(16):
        yield word("hit", ftoa=ftoa, tot=20, **address_fields(3, 7))
    for toa, spidr in ((0x3FFF, 0), (0, 1), (0x3FFF, 0xFFFF), (0x2AAA, 0x5555)):
        yield word("hit", toa=toa, spidr=spidr, **address_fields(100, 200))
    for tot in (0, 1, 512, 1022, 1023):
        yield word("hit", toa=7, tot=tot, **address_fields(5, 6))


def _count_mode():
    yield word("count_mode", itot=0x3FFF, events=1023, hits=15, **address_fields(255, 255))
    yield word("count_mode", itot=1000, events=3, hits=2, spidr=77, **address_fields(72, 197))


def _edges():
    yield from (0x6A1B6008597A2F80, 0x6F011000069D5A60, 0x6FC97C589D0FD000)  # real ones, the last with fine 0
    for edge in EDGES:
        for fine in range(16):
            yield word("edge", edge=edge, counter=1, coarse=1000, fine=fine)
    for counter in (0, 1, 2048, 4095):
        yield word("edge", edge=0xF, counter=counter, coarse=5, fine=1)
    for bit in range(0, 35, 2):
        yield word("edge", edge=0xE, counter=9, coarse=1 << bit, fine=12)
    yield word("edge", edge=0xB, counter=4095, coarse=(1 << 35) - 1, fine=12)  # the last tick before the wrap
    yield word("edge", edge=0xB, counter=0, coarse=0, fine=1)  # and the next one


def _global_times(folder):
    """Pairs: times in steps of 25 ns, the last before and the first after each wrap."""
    entries = []
    for steps in (0, 59277, (1 << 30) - 1, 1 << 30, (1 << 32) - 1, 1 << 32, 568 << 32, (1 << 48) - 1):
        spidr = steps >> 14 & 0xFFFF
        low = word("global_low", time=steps & 0xFFFFFFFF, spidr=spidr)
        high = word("global_high", time=steps >> 32, spidr=spidr)
        entries.append({"low": f"0x{low:016X}", "high": f"0x{high:016X}", "steps": steps, "ticks": 96 * steps})
    about = "Pairs of global time, 0x44 and 0x45; steps of 25 ns."
    write_json(folder / "global_times.json", {"about": about, "ticks": "25/96 ns", "pairs": entries})


def _spidr():
    yield from (0x5F00000006CA3000, 0x5C00001C68FFF000)  # real ones
    for number in (0, 1, (1 << 48) - 1):
        yield word("chunk_number", number=number)
    for kind in ("shutter_open", "shutter_close", "heartbeat"):
        for time in (0, 40_000_000, (1 << 34) - 1):
            yield word(kind, time=time)
    for time in (0, 640_000_000, (1 << 54) - 1):
        yield word("chunk_time", time=time)
    yield word("chunk_time", time=5, error=1)
    yield word("chunk_time", time=5, overflow=1)


def _control():
    for code in (0x71A0, 0x71B0, 0x7144, 0x7145, 0x7200, 0x71BF, 0x71EF, 0x7100):
        yield word("control", code=code, chip_id=0x1A02, spidr=3)


def _live(folder):
    """96-bit words: 12 bytes, written here as one number; which coordinate comes first is disputed."""
    made = [
        ("pixel", {"type": 0, "time": 6 * 1_158_993, "tot": 19, "first": 72, "second": 197}),
        ("pixel", {"type": 0, "time": (1 << 56) - 1, "tot": 1023, "first": 1023, "second": 0}),
        *(("tdc", {"type": 1, "time": 840_490_271, "input": n, "fall": f}) for n in (1, 2) for f in (0, 1)),
        *(("control", {"type": 2, "time": 96 * 27_811, "code": code}) for code in range(4)),
    ]
    entries = []
    for kind, values in made:
        number = sum(values[name] << low for name, _, low in words.LIVE_KINDS[kind])
        assert words.live_fields(number) == (kind, values)
        entries.append({"word": f"0x{number:024X}", "kind": kind, "fields": values})
    about = (
        "96-bit words of a network socket. One description calls the first coordinate x, one program y; "
        "one program reads the 12 bytes as big-endian. No recorded file is known."
    )
    write_json(folder / "live_words.json", {"about": about, "ticks": "25/96 ns", "words": entries})


def _quad(gap):
    g, side = gap, 512 + gap
    return (side, side), {
        0: lambda x, y: (x + 256 + g, y),
        1: lambda x, y: (511 + g - x, 511 + g - y),
        2: lambda x, y: (255 - x, 511 + g - y),
        3: lambda x, y: (x, y),
    }


_SINGLE = (256, 256), {0: lambda x, y: (x, y)}
_STRIP = (1024, 256), {
    0: lambda x, y: (x + 768, y), 1: lambda x, y: (x, y), 2: lambda x, y: (x + 256, y), 3: lambda x, y: (x + 512, y),
}  # fmt: skip
_STRIP_REVERSED = (1024, 256), {
    0: lambda x, y: (255 - x, y), 1: lambda x, y: (1023 - x, y), 2: lambda x, y: (767 - x, y),
    3: lambda x, y: (511 - x, y),
}  # fmt: skip

_TURNS = {
    "up": lambda x, y, w, h: (x, y),
    "left": lambda x, y, w, h: (y, w - 1 - x),
    "down": lambda x, y, w, h: (w - 1 - x, h - 1 - y),
    "right": lambda x, y, w, h: (h - 1 - y, x),
}
_READOUTS = {
    "LtRTtB": lambda x, y: (x, y), "RtLTtB": lambda x, y: (255 - x, y), "LtRBtT": lambda x, y: (x, 255 - y),
    "RtLBtT": lambda x, y: (255 - x, 255 - y), "TtBLtR": lambda x, y: (y, x), "BtTLtR": lambda x, y: (y, 255 - x),
    "TtBRtL": lambda x, y: (255 - y, x), "BtTRtL": lambda x, y: (255 - y, 255 - x),
}  # fmt: skip
_POINTS = ((0, 0), (255, 0), (0, 255), (37, 201))


def _layouts(folder):
    """Chip pixels to detector pixels, for each layout, gap and turn."""
    layouts = {
        ("single", 0): _SINGLE, **{("quad", gap): _quad(gap) for gap in (0, 2, 4)}, ("strip", 0): _STRIP,
        ("strip-reversed", 0): _STRIP_REVERSED,
    }  # fmt: skip
    entries = []
    for (layout, gap), ((width, height), chips) in layouts.items():
        for turn, rule in _TURNS.items():
            w, h = (width, height) if turn in ("up", "down") else (height, width)
            for mirrored in (False, True):
                points = []
                for chip, place in chips.items():
                    for x, y in _POINTS:
                        column, row = rule(*place(x, y), width, height)
                        points.append([chip, x, y, w - 1 - column if mirrored else column, row])
                entries.append({
                    "layout": layout, "gap": gap, "orientation": turn + "_mirrored" * mirrored, "width": w, "height": h,
                    "chip_x_y_column_row": points,
                })  # fmt: skip
    readouts = [
        {"readout": name, "x_y_column_row": [[x, y, *place(x, y)] for x, y in _POINTS]}
        for name, place in _READOUTS.items()
    ]
    about = "Where chip pixels lie: column to the right, row downwards, both from 0; y * width + x is the flat index."
    write_json(folder / "layouts.json", {"about": about, "layouts": entries, "readout_of_one_chip": readouts})
