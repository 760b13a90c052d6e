"""Chip pixel to detector pixel."""

import numpy as np
import pytest

from rsciio_tpx3.events.geometry import LAYOUTS, ORIENTATIONS, layout_for, make_layout


def _place(layout, chip, x, y):
    flat = int(layout.rules[chip] @ (1, x, y))
    return flat % layout.sig_shape[1], flat // layout.sig_shape[1]


@pytest.mark.parametrize("gap", [0, 2, 4])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, 100), (255, 7)])
def test_quad_as_the_event_converters_have_it(gap, x, y):
    layout = make_layout("quad", gap)
    far = 511 + gap
    assert layout.sig_shape == (512 + gap, 512 + gap)
    assert _place(layout, 0, x, y) == (x + 256 + gap, y)
    assert _place(layout, 1, x, y) == (far - x, far - y)
    assert _place(layout, 2, x, y) == (255 - x, far - y)
    assert _place(layout, 3, x, y) == (x, y)


@pytest.mark.parametrize(
    ("orientation", "place"),
    [("up", (3, 100)), ("left", (100, 252)), ("down", (252, 155)), ("right", (155, 3)), ("up_mirrored", (252, 100))],
)
def test_turns_of_a_single_chip(orientation, place):
    assert _place(make_layout("single", orientation=orientation), 0, 3, 100) == place


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_pixel_has_a_place_of_its_own(layout, orientation):
    made = make_layout(layout, orientation=orientation)
    address = np.arange(1 << 16)
    pixel = np.stack([np.ones_like(address), address & 0xFF, address >> 8])
    flat = np.concatenate([made.rules[chip] @ pixel for chip in made.chips])
    assert len(np.unique(flat)) == len(flat)
    assert (flat.min(), flat.max()) == (0, made.sig_shape[0] * made.sig_shape[1] - 1)


def test_strip_by_chip():
    strip, reverse = make_layout("strip"), make_layout("strip-reversed")
    assert strip.sig_shape == reverse.sig_shape == (256, 1024)
    assert [_place(strip, c, 5, 9) for c in range(4)] == [(773, 9), (5, 9), (261, 9), (517, 9)]
    assert [_place(reverse, c, 5, 9) for c in range(4)] == [(250, 9), (1018, 9), (762, 9), (506, 9)]


def test_table_with_readout_orders():
    table = [
        {"Chip": 0, "X": 256, "Y": 0, "Orientation": "RtLTtB"},
        {"chip": 1, "x": 0, "y": 10, "orientation": "BtTLtR"},
    ]
    layout = make_layout(table)
    assert layout.sig_shape == (266, 512)
    assert _place(layout, 0, 5, 9) == (256 + 250, 9)
    assert _place(layout, 1, 5, 9) == (9, 10 + 250)  # the chip's x runs upwards, its y to the right


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ([], "names no chip"),
        ([{"chip": 0, "x": 0}], "lacks y"),
        ([{"chip": 0, "x": 0, "y": 0}, {"chip": 0, "x": 256, "y": 0}], "given twice"),
        ([{"chip": 0, "x": 0, "y": 0}, {"chip": 1, "x": 100, "y": 0}], "share pixels"),
        ([{"chip": 0, "x": -1, "y": 0}], "below pixel 0"),
        ([{"chip": 0, "x": 0, "y": 0, "orientation": "LtR"}], "is not valid: must be"),
    ],
)
def test_wrong_tables_are_explained(table, words):
    with pytest.raises(ValueError, match=words):
        make_layout(table)


def test_layout_follows_the_chips():
    assert layout_for([0]).name == "single"
    assert layout_for([0, 3]).name == "quad"
    assert layout_for([0], gap=4).sig_shape == (256, 256)


def test_a_gap_moves_the_chips_of_a_table_apart():
    quad = [
        {"chip": 0, "x": 256, "y": 0, "orientation": "LtRTtB"},
        {"chip": 1, "x": 256, "y": 256, "orientation": "RtLBtT"},
        {"chip": 2, "x": 0, "y": 256, "orientation": "RtLBtT"},
        {"chip": 3, "x": 0, "y": 0, "orientation": "LtRTtB"},
    ]
    for gap in (0, 4):
        table, named = make_layout(quad, gap=gap), make_layout("quad", gap=gap)
        assert table.sig_shape == named.sig_shape and table.gap == gap
        assert (table.rules == named.rules).all()
    with pytest.raises(ValueError, match=r"gap=4: chip 0 of the table lies at \(3, 0\)"):
        make_layout([{"chip": 0, "x": 3, "y": 0}], gap=4)
