"""Files that are not what they should be: the error helps, and what is left can be read."""

import numpy as np
import pytest
from real_files import STACK

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.tpx3 import Tpx3Source, file_reader, packets


def _hits(n, first=1000):
    ticks = (first + np.arange(n)) * 600
    return packets.encode_hits(np.arange(n) % 65536, ticks, np.full(n, 7))


def _source(path, **options):
    return Tpx3Source(path, show_progressbar=False, **options)


def test_file_that_is_something_else(tmp_path):
    path = tmp_path / "picture.tpx3"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(200)))
    with pytest.raises(Tpx3FormatError, match="is not a Timepix3 recording: it begins with b'.x89PNG"):
        _source(path)


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "empty.tpx3"
    path.write_bytes(b"")
    with pytest.raises(Tpx3FormatError, match="no data, 0 bytes"):
        _source(path)


def test_empty_piece_of_an_acquisition_is_normal(write_stream):
    full = write_stream([(0, _hits(5))], "a_0.tpx3")
    empty = write_stream([], "a_1.tpx3")
    more = write_stream([(0, _hits(3, 2000))], "a_2.tpx3")
    assert len(_source([full, empty, more]).hits()) == 8
    assert len(_source(empty, all_parts=True).hits()) == 8


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match="nowhere.tpx3"):
        _source("nowhere.tpx3")


def test_file_cut_inside_a_chunk(write_stream, tmp_path):
    path = write_stream([(0, _hits(10)), (0, _hits(10, 2000))])
    cut = tmp_path / "cut.tpx3"
    cut.write_bytes(open(path, "rb").read()[: -4 * 8])
    with pytest.raises(Tpx3FormatError, match=r"announces 4 words more.*\n.*on_loss=\"warn\""):
        _source(cut)
    source = _source(cut, on_loss="warn")
    assert len(source.hits()) == 16
    assert source.index().losses == {"words_cut": 4}


def test_file_cut_inside_a_word(write_stream):
    path = write_stream([(0, _hits(10))], tail=b"abc")
    with pytest.raises(Tpx3FormatError, match="ends inside a word"):
        _source(path)
    source = _source(path, on_loss="warn")
    assert len(source.hits()) == 10
    assert source.index().losses == {"bytes_cut": 3}


def test_short_last_chunk_at_the_end_of_a_piece_does_not_swallow_the_next(write_stream, tmp_path):
    path = write_stream([(0, _hits(10))])
    cut = tmp_path / "p_0.tpx3"
    cut.write_bytes(open(path, "rb").read()[: -2 * 8])
    other = write_stream([(1, _hits(6, 2000))], "p_1.tpx3")
    source = _source([cut, other], on_loss="warn")
    assert len(source.hits()) == 14
    assert source.index().statistics["hits_by_chip"] == {0: 8, 1: 6}


@pytest.mark.parametrize("wrong", [3, 11, 21, 22, 4000])
def test_chunk_with_a_wrong_size_is_excluded_and_nothing_else(write_stream, tmp_path, wrong):
    chunks = [(chip % 4, _hits(10, 1000 * (chip + 1))) for chip in range(8)]
    content = np.fromfile(write_stream(chunks), "<u8")
    content[2 * 11] = packets.encode_header(2, wrong)
    path = tmp_path / "damaged.tpx3"
    content.tofile(path)
    if wrong == 21:  # as long as two chunks with the header between them: the chain holds, nothing can tell
        assert len(_source(path, layout=STACK).hits()) == 80
        return
    with pytest.raises(Tpx3FormatError, match="damaged from byte 176 on|announces"):
        _source(path)
    source = _source(path, layout=STACK, on_loss="warn")
    found = source.hits()
    assert source.index().losses == {"bytes_skipped": 11 * 8}
    expected = [1000 * (chip + 1) + i for chip in range(8) if chip != 2 for i in range(10)]
    assert sorted((found.toa // 600).tolist()) == expected
    np.testing.assert_array_equal(found.y // 256, (found.toa // 600_000 - 1) % 4)


def test_bytes_missing_inside_a_file_cost_its_rest_but_give_no_wrong_hit(write_stream, tmp_path):
    chunks = [(chip % 4, _hits(10, 1000 * (chip + 1))) for chip in range(8)]
    content = open(write_stream(chunks), "rb").read()
    path = tmp_path / "damaged.tpx3"
    path.write_bytes(content[:300] + content[303:])
    source = _source(path, layout=STACK, on_loss="warn")
    found = source.hits()
    assert len(found) == 30
    np.testing.assert_array_equal(found.y // 256, found.toa // 600_000 - 1)
    assert source.index().losses == {"bytes_skipped": (len(content) // 8 - 1 - 33) * 8, "bytes_cut": 5}


def test_magic_inside_a_payload_is_no_header(write_stream):
    words = _hits(20).copy()
    # a packet whose low half equals the magic: ToA, FToA and SPIDR bits chosen so
    words[7] = (words[7] & np.uint64(0xFFFFFFFF00000000)) | np.uint64(packets.HEADER_MAGIC)
    source = _source(write_stream([(0, words), (0, _hits(4, 3000))]))
    assert source.index().n_hits == 24
    assert source.index().losses == {}


def test_unknown_packets_are_counted_and_passed_over(write_stream):
    odd = np.array([0x1 << 60, 0xF << 60, 0x9 << 60], np.uint64)
    source = _source(write_stream([(0, np.concatenate([odd, _hits(3)]))]))
    assert source.index().n_hits == 3
    names = [name for name in source.index().statistics["packets"] if name.startswith("unknown")]
    assert names == ["unknown 0x1", "unknown 0x9", "unknown 0xf"]


def test_count_mode_packets_carry_no_time_and_are_counted(write_stream):
    words = (_hits(6) & np.uint64((1 << 60) - 1)) | np.uint64(packets.TYPE_COUNT << 60)
    source = _source(write_stream([(0, np.concatenate([words, _hits(3)]))]))
    assert len(source.hits()) == 3
    assert source.index().losses == {"hits_without_time": 6}


def test_file_that_shrank_after_opening(write_stream):
    path = write_stream([(0, _hits(100))])
    source = _source(path)
    with open(path, "r+b") as file:
        file.truncate(80)
    with pytest.raises(Tpx3FormatError, match="changed since it was opened"):
        source.hits()


def test_absent_piece_of_a_numbered_series(write_stream):
    first = write_stream([(0, _hits(3))], "s_000.tpx3")
    write_stream([(0, _hits(3, 2000))], "s_003.tpx3")
    with pytest.raises(Tpx3FormatError, match="2 of the numbered files are absent, the first is number 1"):
        _source(first, all_parts=True)
    assert _source(first, all_parts=True, on_loss="warn").index().losses == {"missing_parts": 2}


def test_chip_without_a_place_in_the_layout(write_stream):
    path = write_stream([(5, _hits(3))])
    with pytest.raises(ValueError, match="data of chip 5"):
        _source(path)
    with pytest.raises(ValueError, match="no place for chip 5"):
        _source(path, layout="quad")


def test_no_edges_says_what_can_be_done(write_stream):
    with pytest.raises(ValueError, match='signal="frames"'):
        file_reader(write_stream([(0, _hits(30))]), show_progressbar=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"navigation_shap": (3, 3)}, "Did you mean navigation_shape"),
        ({"dwell_time": 0.5}, "has no unit"),
        ({"signal": "movie"}, "must be one of 'scan', 'frames'"),
        ({"sync": "magic"}, "must be one of 'auto', 'line-gate'"),
        ({"navigation_shape": (3,)}, r"\(x, y\)"),
        ({"navigation_shape": (3, 0)}, "positive integers"),
        ({"active_fraction": 1.5}, "not above 1"),
        ({"on_loss": "ignore"}, "must be one of 'raise', 'warn'"),
        ({"gap": -1}, "from 0 to 64"),
        ({"layout": "hexagon"}, "or a table of chips"),
        ({"orientation": "sideways"}, "must be one of up"),
        ({"signal": "frames"}, 'frame_time="1 ms"'),
        ({"signal": "frames", "frame_time": "1 ms", "dtype": "float32"}, "unsigned integer"),
    ],
)
def test_wrong_options_are_explained(write_stream, options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        file_reader(write_stream([(0, _hits(30))]), show_progressbar=False, **options)


def test_damage_in_a_later_piece_counts_an_earlier_loss_once(write_stream, tmp_path):
    first = write_stream([(0, _hits(10))], "q_0.tpx3", tail=b"abc")
    cut = tmp_path / "q_1.tpx3"
    cut.write_bytes(open(write_stream([(0, _hits(10, 2000))], "whole.tpx3"), "rb").read()[: -2 * 8])
    source = _source([first, str(cut)], on_loss="warn")
    assert source.index().losses == {"bytes_cut": 3, "words_cut": 2}
