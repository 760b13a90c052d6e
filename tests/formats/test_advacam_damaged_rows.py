"""Hit lists whose damage makes two rows of one, or one of two (kind: damage that reads as other hits)."""

import numpy as np
import pytest

from rsciio_tpx3 import FormatError
from rsciio_tpx3.corrections.energy import read_calibration
from rsciio_tpx3.corrections.pixet_xml import read_pixet_xml
from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.events.grid import pixel_addresses
from rsciio_tpx3.t3pa import AdvacamSource
from rsciio_tpx3.t3pa.matrix import matrix_layout, matrix_table

HEADER = b"Index\tMatrix Index\tToA\tToT\tFToA\tOverflow\n"
ROWS = [b"%d\t%d\t%d\t%d\t%d\t0" % (i, 1000 + i, 50 * i, 10 + i, i % 32) for i in range(40)]


def read(folder, content, name="a.t3pa"):
    path = folder / name
    path.write_bytes(content)
    source = AdvacamSource(path, on_loss="warn")
    hits = source.hits()
    return list(zip(hits.pixel.tolist(), hits.tot.tolist())), source.index().losses


def wanted(numbers):
    return [(1000 + i, 10 + i) for i in numbers]


@pytest.mark.parametrize("ends", [(b"\r",), (b"\r\n", b"\r"), (b"\n", b"\r", b"\r\n", b"\r\r\n", b"\n\n")])
def test_single_carriage_return_ends_a_row(tmp_path, ends):
    rng = np.random.default_rng(len(ends))
    rows = b"".join(row + ends[int(rng.integers(len(ends)))] for row in ROWS[1:])
    found, losses = read(tmp_path, HEADER + ROWS[0] + b"\n" + rows)
    assert found == wanted(range(40))
    assert losses == {}


@pytest.mark.parametrize("at", range(1, 6))
def test_row_that_a_carriage_return_parts_is_damaged_and_takes_nothing_from_its_neighbours(tmp_path, at):
    parts = ROWS[7].split(b"\t")
    rows = [*ROWS[:7], b"\t".join(parts[:at]) + b"\r" + b"\t".join(parts[at:]), *ROWS[8:]]
    found, losses = read(tmp_path, HEADER + b"\n".join(rows) + b"\n")
    assert found == wanted(i for i in range(40) if i != 7)
    assert losses == {"rows_damaged": 2}


@pytest.mark.parametrize("sign", b":.eE+_x\xff\x1f\0")
def test_number_ends_where_a_separator_follows(tmp_path, sign):
    """Under a column that is passed over, what follows a number directly must not become the next value."""
    header = HEADER.replace(b"Overflow", b"Remark")
    rows = [*ROWS[:7], ROWS[7][:-2] + bytes([sign]) + b"0", *ROWS[8:]]
    found, losses = read(tmp_path, header + b"\n".join(rows) + b"\n")
    assert found == wanted(i for i in range(40) if i != 7)
    assert losses == {"rows_damaged": 1}


def test_single_record_is_not_taken_for_a_shorter_one_without_a_charge(tmp_path):
    record = np.dtype([("pixel", "<u4"), ("toa", "<u8"), ("overflow", "u1"), ("ftoa", "u1"), ("tot", "<u2")])
    for overflow in (0, 1, 7):
        content = np.array([(29036, 9, overflow, 27, 190)], record).tobytes()
        if overflow == 0:
            assert read(tmp_path, content, "a.t3p") == ([(29036, 190)], {})
        else:
            with pytest.raises(FormatError, match=r"a\.t3p"):
                read(tmp_path, content, "a.t3p")


@pytest.mark.parametrize("size", [12, 13, 15])
def test_record_that_was_cut_is_not_a_shorter_one(tmp_path, size):
    content = np.array([29036, 9, 0, 27 << 8 | 190 << 16], "<u4").tobytes()
    with pytest.raises(FormatError, match=r"a\.t3p"):
        read(tmp_path, content[:size], "a.t3p")


CHIPS = [
    {"chip": 3, "x": 0, "y": 0, "orientation": "RtLBtT"},
    {"chip": 0, "x": 260, "y": 7, "orientation": "TtBLtR"},
    {"chip": 5, "x": 0, "y": 300},
]


@pytest.mark.parametrize("orientation", ["up", "left", "down_mirrored"])
@pytest.mark.parametrize("layout", ["single", "quad", "strip", "strip-reversed", CHIPS])
def test_tables_of_pixels_are_the_rule_of_each_chip(layout, orientation):
    made = matrix_layout(layout, orientation)
    by_chip = layout not in ("single", "quad")
    table = matrix_table(made, by_chip)
    chip, address = pixel_addresses(made)
    side = made.sig_shape[0]
    rng = np.random.default_rng(0)
    for number in rng.integers(len(table), size=500).tolist():
        if by_chip:
            of, y, x = number >> 16, number >> 8 & 255, number & 255
        else:
            row, column = divmod(number, side)
            of, y, x = row // 256 * 2 + column // 256, row % 256, column % 256
        offset, along_x, along_y = made.rules[of].tolist()
        if offset < 0:
            assert table[number] == -1
        else:
            flat = offset + along_x * x + along_y * y
            assert (table[number], chip[flat], address[flat]) == (flat, of, y * 256 + x)
    assert (chip >= 0).sum() == len(made.chips) * 65536


@pytest.mark.parametrize(
    ("x", "y", "share"), [(256, 0, False), (0, 256, False), (255, 255, True), (0, 0, True), (1000, 3, False)]
)
def test_chips_that_share_pixels_are_refused(x, y, share):
    table = [{"chip": 0, "x": 0, "y": 0}, {"chip": 1, "x": x, "y": y, "orientation": "BtTRtL"}]
    if share:
        with pytest.raises(ValueError, match="share pixels"):
            make_layout(table)
    else:
        assert make_layout(table).chips == (0, 1)


@pytest.mark.parametrize(("letter", "value"), [("a", 1e-320), ("a", 1e300), ("b", -1e300), ("c", np.inf), ("t", 1e39)])
def test_calibration_is_judged_as_it_is_stored(letter, value):
    """Numbers beyond 32 bits: a slope that becomes 0 must not divide, nor an infinite one give no energy."""
    matrices = {k: np.full((256, 256), v) for k, v in zip("abct", (1.0, 5.0, 1.0, 0.5))}
    plain, _ = read_calibration(matrices, make_layout("single"))
    matrices[letter][3, 4] = value
    damaged, about = read_calibration(matrices, make_layout("single"))
    pixel = np.arange(65536)
    assert about["pixels_without_calibration"] == 1
    assert np.array_equal(damaged.energy(pixel, pixel % 1000), plain.energy(pixel, pixel % 1000))


def test_base64_with_letters_beyond_ascii_is_refused_with_the_name_of_the_file(tmp_path):
    path = tmp_path / "e.xml"
    path.write_text("<xml><J01-W0001><caliba>AAAA\u00b5AAA</caliba></J01-W0001></xml>", encoding="utf-8")
    with pytest.raises(ValueError, match=r"e\.xml.*caliba is not base64"):
        read_pixet_xml(path)
