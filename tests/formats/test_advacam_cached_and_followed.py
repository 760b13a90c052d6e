"""Advacam hit lists opened for the second time, and while they are being written."""

import logging
import os
import pickle

import numpy as np
import pytest
from advacam_files import HEADER, OLD_RECORD, RECORD, expected_ticks, hits, write_binary, write_text

from hyperspy_sparse import refresh
from rsciio_tpx3.cache import recall as kept_index
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.frames.event_frames import EventFrames
from rsciio_tpx3.t3pa import AdvacamSource, file_reader, records, source

NY, NX = 5, 7
SCAN = {"navigation_shape": (NX, NY), "dwell_time": "6 us", "lazy": True, "show_progressbar": False}
LAST = NY * NX * 240  # steps of 25 ns


pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def passes(monkeypatch):
    """Counts the passes over a recording, for the index and for the counts."""
    made = {"index": 0, "counts": 0}
    build, count = source.build_index, EventFrames.count

    def indexed(*args, **kwargs):
        made["index"] += 1
        return build(*args, **kwargs)

    def counted(*args, **kwargs):
        made["counts"] += 1
        return count(*args, **kwargs)

    monkeypatch.setattr(source, "build_index", indexed)
    monkeypatch.setattr(EventFrames, "count", counted)

    def since_last():
        found = made["index"], made["counts"]
        made.update(index=0, counts=0)
        return found

    return since_last


def written(tmp_path, kind, columns, name="a"):
    if kind == "text":
        return write_text(tmp_path / f"{name}.t3pa", columns)
    return write_binary(tmp_path / f"{name}.t3p", columns, RECORD if kind == "binary" else OLD_RECORD)


def load(path, **options):
    return file_reader(path, **{**SCAN, "cache": True, **options})[0]


def frames(signal):
    return signal["data"].compute(scheduler="sync")


def same(one, other):
    a, b = frames(one), frames(other)
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert one["data"].name == other["data"].name and one["data"].chunks == other["data"].chunks
    assert repr(one["metadata"]) == repr(other["metadata"])
    assert repr(one["original_metadata"]) == repr(other["original_metadata"])


def same_hits(path, columns, n, **options):
    found = AdvacamSource(path, **options).hits()
    np.testing.assert_array_equal(found.pixel, columns["pixel"][:n])
    np.testing.assert_array_equal(found.toa, expected_ticks(columns)[:n])
    np.testing.assert_array_equal(found.tot, columns["tot"][:n])


# -- the second opening -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text", "binary", "old"])
def test_a_second_opening_takes_no_pass_and_gives_the_same(tmp_path, kind, passes, folder, monkeypatch):
    monkeypatch.setattr(records, "_TEXT_BLOCK", 997)
    monkeypatch.setattr(records, "_BINARY_BLOCK", 23)
    path = written(tmp_path, kind, hits(3000, last=LAST))
    first = load(path)
    assert passes() == (1, 1)
    same(load(path), first)
    assert passes() == (0, 0)
    same(load(path, cache=False), first)
    index, again = AdvacamSource(path).index(), AdvacamSource(path, cache=True).index()
    for name in ("n_hits", "span", "hit_span", "chips", "statistics", "losses"):
        assert repr(getattr(index, name)) == repr(getattr(again, name))
    assert not list(folder.glob("*.partial"))


def test_what_decides_the_pass_has_entries_of_its_own(tmp_path, passes):
    first, second = hits(400, 1, last=LAST), hits(300, 2, last=LAST)
    path = written(tmp_path, "text", first)
    more = write_text(tmp_path / "b.t3pa", second, header="").read_bytes()
    path.write_bytes(path.read_bytes() + more)
    for _ in range(2):
        assert 380 < frames(load(path, measurement=0)).data.sum() <= 400
        same_hits(path, first, 400, measurement=0, cache=True)
        same_hits(path, second, 300, measurement=1, cache=True)
    assert passes() == (2, 1)
    load(path, measurement=0, toa_bits=30)
    assert passes() == (1, 1)
    load(path, measurement=0, navigation_shape=(3, 5))
    assert passes() == (0, 1)
    load(path, measurement=0, orientation="left")
    assert passes() == (0, 1)


def test_a_file_that_changed_is_read_again(tmp_path, passes):
    path = written(tmp_path, "binary", hits(500, last=LAST))
    load(path)
    stamp = os.stat(path)
    passes()
    changed = hits(500, last=LAST)
    changed["tot"][-1] ^= 1
    written(tmp_path, "binary", changed)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert os.stat(path).st_size == stamp.st_size
    load(path)
    assert passes() == (1, 1)
    same_hits(path, changed, 500, cache=True)


def test_a_damaged_entry_is_noticed_and_made_again(tmp_path, passes, folder, caplog):
    path = written(tmp_path, "text", hits(500, last=LAST))
    expected = load(path)
    for entry in folder.iterdir():
        entry.write_bytes(entry.read_bytes()[:-40])
    passes()
    with caplog.at_level(logging.WARNING):
        same(load(path), expected)
    assert passes() == (1, 1) and "is damaged" in caplog.text


def test_gaps_in_the_data_are_reported_again(tmp_path, caplog):
    extra = [(10, (10, 0x74, 5, 0, 0, 1)), (11, (11, 0x75, 900, 0, 0, 1))]
    path = write_text(tmp_path / "a.t3pa", hits(50, last=LAST), extra=extra)
    for _ in range(2):
        caplog.clear()
        signal = load(path)
        assert caplog.text.count("lost data 1 times") == 1
        assert signal["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]["Losses"] == {"data_gaps": 1}


def test_nothing_is_cached_unless_wanted_or_worth_it(tmp_path, folder, monkeypatch):
    path = written(tmp_path, "text", hits(500, last=LAST))
    load(path, cache=False)
    load(path, cache="auto")
    load(path, follow=True)
    assert not folder.exists()
    monkeypatch.setattr(kept_index, "_WORTH_BYTES", 1000)
    load(path, cache="auto")
    assert any(folder.iterdir())


def test_a_narrowed_source_is_small_and_gives_the_hits_of_its_spans(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_TEXT_BLOCK", 997)
    c = hits(5000, last=1 << 30, wrap=28)
    full = AdvacamSource(written(tmp_path, "text", c), cache=True)
    low, high = np.quantile(expected_ticks(c), [0.4, 0.5]).astype(int)
    part = pickle.loads(pickle.dumps(full.narrowed([(int(low), int(high))])))
    np.testing.assert_array_equal(part.hits(low, high).toa, full.hits(low, high).toa)
    assert len(pickle.dumps(part)) < len(pickle.dumps(full)) / 3
    with pytest.raises(ValueError, match="narrowed"):
        part.hits(0, high)


# -- while it is being written ------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["text", "crlf", "binary", "old"])
def test_a_recording_written_in_pieces_of_any_length(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(records, "_TEXT_BLOCK", 997)
    monkeypatch.setattr(records, "_BINARY_BLOCK", 23)
    c = hits(2000, last=LAST)
    if kind == "crlf":
        path = write_text(tmp_path / "a.t3pa", c, ending="\r\n")
    else:
        path = written(tmp_path, kind, c)
    content = path.read_bytes()
    followed = tmp_path / f"followed{path.suffix}"
    followed.touch()
    rng = np.random.default_rng(6)
    cuts = np.sort(rng.integers(400, len(content), 30)).tolist()
    for cut in [*cuts, len(content)]:
        with open(followed, "ab") as file:
            file.write(content[followed.stat().st_size : cut])
        size = {"binary": 16, "old": 12}.get(kind)
        # a row counts when its line has ended: before that, digits may be missing
        n = cut // size if size else content[:cut].count(b"\n") - 1
        same_hits(followed, c, n, follow=True)
    signal, expected = load(followed, follow=True), load(path)
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(frames(signal), name), getattr(frames(expected), name))


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_a_signal_still_reads_its_part_while_the_file_grows(tmp_path, kind):
    path = written(tmp_path, kind, hits(2000, last=LAST))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 + 3])
    signal = load(path, follow=True)
    before = frames(signal)
    with open(path, "ab") as file:
        file.write(content[len(content) // 2 + 3 :])
    after = frames(signal)
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    changed = bytearray(content)
    changed[len(content) // 2 - 100] ^= 1
    path.write_bytes(changed)
    with pytest.raises(Tpx3FormatError, match="changed since it was opened"):
        frames(signal)


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_a_file_that_grew_without_follow_is_refused(tmp_path, kind):
    path = written(tmp_path, kind, hits(2000, last=LAST))
    signal = load(path, follow=False)
    with open(path, "ab") as file:
        file.write(path.read_bytes()[-32:])
    with pytest.raises(Tpx3FormatError, match="changed since it was opened"):
        frames(signal)


def test_an_unfinished_file_is_damaged_without_follow_and_damage_stays_damage_with_it(tmp_path):
    text = written(tmp_path, "text", hits(200, last=LAST))
    binary = written(tmp_path, "binary", hits(200, last=LAST))
    content = text.read_bytes()
    text.write_bytes(content[:-5])
    binary.write_bytes(binary.read_bytes()[:-5])
    with pytest.raises(Tpx3FormatError, match="damaged or cut"):
        load(text)
    with pytest.raises(Tpx3FormatError, match="not records of 16 or 12 bytes"):
        load(binary)
    assert load(text, follow=True) and load(binary, follow=True)
    text.write_bytes(content[:800].replace(b"\n7\t", b"\n") + content[800:-5])
    with pytest.raises(Tpx3FormatError, match="a row of 6 integers"):
        load(text, follow=True)


@pytest.mark.parametrize("content", [b"", HEADER[:20].encode(), HEADER.encode(), HEADER.encode() + b"0\t1\t2\t3\t4\t0"])
def test_text_without_a_whole_row_so_far_is_said(tmp_path, content):
    path = tmp_path / "early.t3pa"
    path.write_bytes(content)
    with pytest.raises(Tpx3FormatError, match="Nothing was written yet"):
        load(path, follow=True)


@pytest.mark.parametrize("n_bytes", [0, 12, 16, 48, 191])
def test_records_too_few_to_tell_their_length_are_said(tmp_path, n_bytes):
    path = written(tmp_path, "binary", hits(200, last=LAST))
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(Tpx3FormatError, match="Nothing was written yet"):
        load(path, follow=True)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [RECORD, OLD_RECORD])
def test_records_of_16_and_12_bytes_are_distinguished_while_they_grow(tmp_path, dtype):
    for seed in range(40):
        c = hits(60, seed, last=1 << (12 + seed % 18))
        path = write_binary(tmp_path / "a.t3p", c, dtype)
        content = path.read_bytes()
        for cut in range(192, len(content), 37):
            path.write_bytes(content[:cut])
            assert AdvacamSource(path, follow=True).index().n_hits == cut // dtype.itemsize


def test_refresh_gives_a_new_signal_with_the_rest(tmp_path):
    hs = pytest.importorskip("hyperspy.api")

    for kind in ("text", "binary"):
        path = written(tmp_path, kind, hits(2000, last=LAST), "g")
        content = path.read_bytes()
        expected = hs.load(path, **SCAN).data.compute()
        path.write_bytes(content[: len(content) // 2 + 5])
        signal = hs.load(path, **SCAN, follow=True)
        part = int(signal.data.sum().compute())
        signal.axes_manager[0].scale, signal.axes_manager[0].units = 0.25, "nm"
        path.write_bytes(content)
        later = refresh(signal)
        assert type(later) is type(signal)
        assert 0 < part < int(later.data.sum().compute()) == int(later.navigator.data.sum())
        np.testing.assert_array_equal(np.asarray(later.data.compute()), np.asarray(expected))
        assert (later.axes_manager[0].scale, later.axes_manager[0].units) == (0.25, "nm")
        assert int(signal.data.sum().compute()) == part
