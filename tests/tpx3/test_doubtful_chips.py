"""Kind: one wrong word, here the chip number of one chunk header, decides over the whole recording."""

import numpy as np
import pytest

from rsciio_tpx3.exceptions import ConflictError
from rsciio_tpx3.tpx3 import Tpx3Source, packets


def _recording(path, chips):
    """A chunk of two hits for each of the chips; each hit has a pixel of its own."""
    words = []
    for i, chip in enumerate(chips):
        hits = packets.encode_hits(np.arange(2 * i, 2 * i + 2), 24_000 * np.arange(2 * i, 2 * i + 2), np.full(2, 20))
        words += [np.atleast_1d(packets.encode_header(chip, 2)), hits]
    np.concatenate(words).astype("<u8").tofile(path)
    return path


@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("layout", [None, "single"])
def test_one_header_with_another_chip_does_not_choose_the_detector(tmp_path, bit, layout, caplog):
    chips = [0] * 60
    chips[30] = 1 << bit
    source = Tpx3Source(_recording(tmp_path / "a.tpx3", chips), layout=layout, show_progressbar=False)
    assert source.sig_shape == (256, 256)
    assert source.index().losses == {"hits_of_doubtful_chips": 2}
    assert source.index().n_hits == len(source.hits().toa) == 118
    assert "header must be damaged" in caplog.text


def test_chip_beyond_a_quad_in_one_header_is_excluded(tmp_path):
    chips = [0, 1, 2, 3] * 15 + [64]
    source = Tpx3Source(_recording(tmp_path / "a.tpx3", chips), show_progressbar=False)
    assert source.sig_shape == (512, 512)
    assert source.index().losses == {"hits_of_doubtful_chips": 2}


def test_chips_of_a_quad_that_are_seldom_hit_remain(tmp_path, caplog):
    chips = [0] * 60 + [1, 2, 3]
    source = Tpx3Source(_recording(tmp_path / "a.tpx3", chips), show_progressbar=False)
    assert source.sig_shape == (512, 512)
    assert source.index().losses == {}
    assert len(source.hits().toa) == 126
    # and one that the layout has is read as it was written
    chips = [0] * 60 + [2]
    source = Tpx3Source(_recording(tmp_path / "b.tpx3", chips), layout="quad", show_progressbar=False)
    assert len(source.hits().toa) == 122
    assert caplog.text == ""


def test_chip_of_several_headers_is_believed_and_refused_where_it_has_no_place(tmp_path):
    path = _recording(tmp_path / "a.tpx3", [0] * 60 + [9, 9])
    with pytest.raises(ConflictError, match="has no place for chip 9"):
        Tpx3Source(path, layout="quad", show_progressbar=False)
