"""Bits of packet words, against words from real files and in both directions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsciio_tpx3.tpx3 import packets
from rsciio_tpx3.utils import clock


@pytest.mark.parametrize(
    ("word", "x", "y", "tot", "fine_ticks"),
    [
        (0xB49896BD813F0004, 72, 197, 19, 1158993),
        (0xB7E8404943C80006, 127, 64, 60, 1577544),
        (0xB1693DDDC1A20006, 22, 75, 26, 1800046),
    ],
)
def test_pixel_words_of_a_real_file(word, x, y, tot, fine_ticks):
    word = np.uint64(word)
    address = packets.pixel_address(word)
    assert (address & 0xFF, address >> 8) == (x, y)
    assert packets.pixel_tot(word) == tot
    assert packets.pixel_ticks(word) == fine_ticks * clock.PIXEL_TICKS
    assert packets.encode_hits(address, packets.pixel_ticks(word), tot) == word


@pytest.mark.parametrize(
    ("word", "edge", "counter", "ticks"),
    [
        (0x6A1B6008597A2F80, "tdc1-fall", 438, 840_490_271),
        (0x6F011000069D5A60, "tdc1-rise", 17, 2_600_990),
        (0x6FC97C589D0FD000, "tdc1-rise", 3223, -1),  # fine 0: no valid time
    ],
)
def test_tdc_words_of_a_real_file(word, edge, counter, ticks):
    word = np.uint64(word)
    assert packets.tdc_edge(word) == packets.EDGE_CODES[edge]
    assert packets.tdc_counter(word) == counter
    assert packets.tdc_ticks(word) == ticks


def test_fine_field_of_an_invalid_tdc_word_does_not_hide_its_coarse_time():
    assert packets.tdc_coarse(np.uint64(0x6FC97C589D0FD000)) == 26_513_147_880


def test_control_and_header_words_of_a_real_file():
    assert packets.control_ticks(np.uint64(0x5F00000006CA3000)) == 27_811 * clock.COARSE_TICKS
    assert packets.control_ticks(np.uint64(0x5C00001C68FFF000)) == 29_790_207 * clock.COARSE_TICKS
    header = np.uint64(0x0020000233585054)
    assert packets.is_header(header)
    assert (packets.header_chip(header), packets.header_words(header)) == (2, 4)
    assert packets.encode_header(2, 4) == header


def test_global_time_pair_of_a_real_file():
    low, high = packets.encode_global(59_277 * clock.COARSE_TICKS)[0]
    assert (int(low), int(high)) == (0x44000000E78D0003, 0x4500000000000003)


def test_size_field_that_is_no_whole_number_of_words_is_refused():
    assert packets.header_words(np.uint64((13 << 48) | packets.HEADER_MAGIC)) == -1


@given(
    st.integers(0, 65535),
    st.integers(-15, (1 << 34) - 16),
    st.integers(0, 1023),
)
def test_hits_survive_encoding(address, fine, tot):
    ticks = fine * clock.PIXEL_TICKS
    word = packets.encode_hits(address, ticks, tot)
    assert packets.pixel_address(word) == address
    assert packets.pixel_tot(word) == tot
    assert (packets.pixel_ticks(word) - ticks) % clock.PIXEL_PERIOD == 0
    assert int(word) >> 60 == packets.TYPE_PIXEL


@given(
    st.sampled_from(sorted(packets.EDGE_CODES.values())),
    st.integers(0, 4095),
    st.integers(0, clock.TDC_PERIOD - 1),
)
def test_tdc_edges_survive_encoding(edge, counter, ticks):
    word = packets.encode_tdc(edge, counter, ticks)
    found = packets.tdc_edge(word), packets.tdc_counter(word), packets.tdc_ticks(word)
    assert found == (edge, counter, ticks)


def test_every_address_of_the_chip_is_reached_once():
    words = packets.encode_hits(np.arange(1 << 16), np.zeros(1 << 16, np.int64), 1)
    assert [packets.pixel_address(w) for w in words[::4099]] == list(range(0, 1 << 16, 4099))
    assert len(np.unique(words)) == 1 << 16
