"""The pass over packet words, which looks at hits in runs, against a walk word by word in plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.tpx3 import Tpx3Source, packets
from rsciio_tpx3.tpx3.decode import compact_blocks, decode_block
from rsciio_tpx3.tpx3.stream import StreamPass
from rsciio_tpx3.utils.clock import PIXEL_PERIOD, PIXEL_TICKS, TICKS_PER_SECOND


def _stream(rng, n_chunks, share_of_others, far):
    """Chunks of hits with other packets between them; every now and then a hit far off in time."""
    words, now = [], int(rng.integers(0, PIXEL_PERIOD))
    for _ in range(n_chunks):
        n = int(rng.choice([0, 1, 2, 5, 40, 700]))
        ticks = now + rng.integers(0, 10**6, n) + np.where(rng.random(n) < far, rng.integers(0, PIXEL_PERIOD, n), 0)
        now += int(rng.integers(0, 10**6))
        payload = packets.encode_hits(rng.integers(0, 65536, n), ticks // 6 * 6, rng.integers(0, 1024, n))
        others = np.concatenate([
            packets.encode_tdc(0xF, rng.integers(0, 4096, 1), rng.integers(now, now + 10**6, 1)),
            packets.encode_global(now).ravel(),
            packets.encode_chunk_count(rng.integers(0, 100, 1)),
            packets.encode_spidr_time(0x5C, [now]),
            np.array([0x7144 << 48, 0x1 << 60], np.uint64),
        ])  # fmt: skip
        swap = rng.random(n) < share_of_others
        payload[swap] = rng.choice(others, int(swap.sum()))
        words += [packets.encode_header(rng.integers(0, 4), n).reshape(1), payload]
    return np.concatenate(words)


def _walk(words):
    """Chip and packets still to come at each word, and whether it is a header."""
    chips, lefts, headers = [], [], []
    chip = left = 0
    for word in words.tolist():
        chips.append(chip)
        lefts.append(left)
        headers.append(left == 0)
        if left == 0:
            chip, left = (word >> 32) & 0xFF, word >> 51
        else:
            left -= 1
    return np.array(chips), np.array(lefts), np.array(headers)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_chunks=st.integers(1, 60),
    share_of_others=st.sampled_from([0, 0.002, 0.1, 0.6, 1]),
    far=st.sampled_from([0, 0.001, 0.05]),
    window=st.sampled_from([7, 100, 5000, 60_000]),
)
def test_blocks_tell_what_a_walk_word_by_word_finds(seed, n_chunks, share_of_others, far, window):
    rng = np.random.default_rng(seed)
    words = _stream(rng, n_chunks, share_of_others, far)
    chips, lefts, headers = _walk(words)
    stream = StreamPass()
    for start in range(0, len(words), window):
        part = words[start : start + window]
        assert stream.feed(part, start) == len(part)
    stream.finish(len(words))
    is_hit = ~headers & (words >> np.uint64(60) == 0xB)
    after = np.array([packets.header_chip(w) for w in words[headers]], np.int64)
    of_chip = np.concatenate([[0], after])[np.cumsum(headers)]
    np.testing.assert_array_equal(stream.chip_hits, np.bincount(of_chip[is_hit], minlength=256))
    tops = (words[~headers & ~is_hit] >> np.uint64(48)).astype(int)
    np.testing.assert_array_equal(stream.top_counts, np.bincount(tops, minlength=1 << 16))
    blocks = stream.blocks
    np.testing.assert_array_equal(np.cumsum([0, *blocks["n_words"]]), [*blocks["start"], len(words)])
    for block in blocks:
        own = slice(block["start"], block["start"] + block["n_words"])
        assert block["left"] == lefts[own][0]
        assert block["chip"] == chips[own][0] or headers[own][0]
        hits = words[own][is_hit[own]]
        assert block["n_hits"] == len(hits)
        if len(hits) == 0:
            continue
        assert block["first_word"] == block["start"] + np.flatnonzero(is_hit[own])[0]
        ticks = np.array([packets.pixel_ticks(word) for word in hits])
        assert block["first"] == ticks[0]
        d = (ticks - ticks[0] + PIXEL_PERIOD // 2) % PIXEL_PERIOD - PIXEL_PERIOD // 2
        assert np.abs(d).max() <= PIXEL_PERIOD // 4
        assert (block["low"], block["high"], block["last"]) == (d.min(), d.max(), d[-1])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    share_of_others=st.sampled_from([0, 0.01, 0.6]),
    far=st.sampled_from([0, 0.05]),
    span=st.sampled_from([None, 0.0, 0.3, 3.0]),
    layout=st.sampled_from(["single", "quad"]),
)
def test_hits_of_a_block_are_those_of_a_walk_word_by_word(seed, share_of_others, far, span, layout):
    rng = np.random.default_rng(seed)
    words = _stream(rng, 12, share_of_others, far)
    chips, _, headers = _walk(words)
    stream = StreamPass()
    stream.feed(words, 0)
    stream.finish(len(words))
    rules = make_layout(layout).rules
    for block in stream.blocks.copy():
        turns = int(rng.integers(0, 5)) * PIXEL_PERIOD
        block["first"] += turns
        own = slice(block["start"], block["start"] + block["n_words"])
        is_hit = ~headers[own] & (words[own] >> np.uint64(60) == 0xB) & (rules[chips[own], 0] >= 0)
        hits, rule = words[own][is_hit], rules[chips[own][is_hit]]
        ticks = np.array([packets.pixel_ticks(word) for word in hits], np.int64)
        half = PIXEL_PERIOD // 2
        toa = block["first"] + (ticks - block["first"] + half) % PIXEL_PERIOD - half
        address = np.array([packets.pixel_address(word) for word in hits], np.int64)
        pixel = rule[:, 0] + rule[:, 1] * (address & 0xFF) + rule[:, 2] * (address >> 8)
        start, stop = int(block["first"] + block["low"]), int(block["first"] + block["high"]) + 1
        if span is not None:
            start, stop = np.sort(rng.integers(start - 10**6, stop + int(span * 10**6), 2)).tolist()
        inside = (toa >= start) & (toa < stop)

        found = np.empty(len(hits), np.int32), np.empty(len(hits), np.int64), np.empty(len(hits), np.uint16)
        chip, left = np.int64(block["chip"]), np.int64(block["left"])
        n = decode_block(words[own], chip, left, block["first"], rules, np.int64(start), np.int64(stop), *found)
        tot = np.array([packets.pixel_tot(word) for word in hits], np.int64)
        for column, expected in zip(found, (pixel, toa, tot)):
            np.testing.assert_array_equal(column[:n], expected[inside])

        first, last = -(-start // PIXEL_TICKS), -(-stop // PIXEL_TICKS)
        if not 0 < last - first < 2**31 - 1:
            continue
        when, flat = np.empty((2, block["n_words"]), np.int32)
        n = compact_blocks(words[own], block.reshape(1), rules, first, last - first, when, flat)
        in_span = when[:n] < last - first
        np.testing.assert_array_equal((first + when[:n][in_span].astype(np.int64)) * PIXEL_TICKS, toa[inside])
        np.testing.assert_array_equal(flat[:n][in_span], pixel[inside])


@pytest.mark.parametrize("pause", [0, 10], ids=["nothing doubtful", "a long step"])
def test_first_hits_of_the_clock_lie_below_zero_and_stay_there(write_stream, pause):
    fast = [0xB000000000000000 | fine << 16 for fine in (15, 3, 0)]
    later = packets.encode_hits([5, 6], np.array([96, 192]) + pause * TICKS_PER_SECOND, [1, 2]).tolist()
    source = Tpx3Source(write_stream([(0, [*fast, *later])]), on_loss="warn")
    ticks = np.sort(source.hits().toa)
    np.testing.assert_array_equal(ticks[:3], [-90, -18, 0])
    np.testing.assert_array_equal(ticks[3:] - pause * TICKS_PER_SECOND, [96, 192])
