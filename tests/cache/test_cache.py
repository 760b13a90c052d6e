"""The cache of what opening finds out: used where it fits, noticed where it does not, never wrong."""

import logging
import os
import zipfile

import numpy as np
import pytest

import rsciio_tpx3
from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.cache import recall as kept_index
from rsciio_tpx3.cache import store as cache
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.event_frames import EventFrames
from rsciio_tpx3.tpx3 import recall
from rsciio_tpx3.utils.files import FileStamp

QUIET = {"lazy": True, "show_progressbar": False, "cache": True}


pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (6, 11), electrons_per_position=300, edge_chips=(0, 2), chunk_counts=True, seed=4)
    return path


class Passes:
    """Counts the passes over a recording, instead of forbidding them."""

    def __init__(self, monkeypatch):
        self.index = self.counts = 0
        build, own = recall.build_index, EventFrames.count

        def indexed(*args, **kwargs):
            self.index += 1
            return build(*args, **kwargs)

        def counted(*args, **kwargs):
            self.counts += 1
            return own(*args, **kwargs)

        monkeypatch.setattr(recall, "build_index", indexed)
        monkeypatch.setattr(EventFrames, "count", counted)

    def made(self):
        """Passes for the index and for the counts since the last question."""
        made, self.index, self.counts = (self.index, self.counts), 0, 0
        return made


@pytest.fixture
def passes(monkeypatch):
    return Passes(monkeypatch)


def _load(path, **options):
    return file_reader(path, **{**QUIET, "navigation_shape": (11, 6), **options})[0]


def _same(one, other):
    a, b = one["data"].compute(scheduler="sync"), other["data"].compute(scheduler="sync")
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert one["data"].name == other["data"].name
    assert one["data"].chunks == other["data"].chunks
    assert repr(one["metadata"]) == repr(other["metadata"])
    assert repr(one["original_metadata"]) == repr(other["original_metadata"])
    shown = [signal["post_process"][0].keywords["navigator"] for signal in (one, other)]
    assert shown[0].dtype == shown[1].dtype
    np.testing.assert_array_equal(*shown)


def test_a_second_opening_takes_no_pass_and_gives_the_same(recording, passes, folder):
    first = _load(recording)
    assert passes.made() == (1, 1)
    _same(_load(recording), first)
    assert passes.made() == (0, 0)
    index = source_of(first["data"]).source.index()
    again = source_of(_load(recording)["data"]).source.index()
    for name in ("ticks", "code", "counter"):
        np.testing.assert_array_equal(getattr(index.edges, name), getattr(again.edges, name))
        assert getattr(index.edges, name).dtype == getattr(again.edges, name).dtype
    for name in ("n_hits", "span", "hit_span", "chips", "statistics", "losses"):
        assert repr(getattr(index, name)) == repr(getattr(again, name))
    assert not list(folder.glob("*.partial"))


def test_other_scan_options_count_again_but_take_no_new_index(recording, passes):
    _load(recording)
    other = _load(recording, navigation_shape=(7, 6))
    assert passes.made() == (1, 2)
    _same(_load(recording, navigation_shape=(7, 6)), other)
    _load(recording, gap=4)
    assert passes.made() == (0, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"cluster": {"max_size": 4}},
        {"corrections": {"mask": "find"}},
        {"corrections": {"time_walk": True, "columns": "phase"}, "values": "tot"},
        {"cluster": True, "gap": 4, "corrections": {"mask": {"contrast": 4}, "wide_pixels": "spread"}},
    ],
    ids=lambda options: " ".join(options),
)
def test_electrons_and_fitted_corrections_are_cached_too(tmp_path, reads, options):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (6, 11), electrons_per_position=700, dwell_time="300 us", hits="realistic", seed=2)
    first = _load(path, **options)
    reads.clear()
    again = _load(path, **options)
    assert reads == []
    _same(again, first)
    _same(_load(path, cache=False, **options), first)
    if "mask" in options.get("corrections", {}):
        other = {**options, "corrections": {**options["corrections"], "mask": {"contrast": 2}}}
        reads.clear()
        _load(path, **other)
        assert reads


def test_nothing_is_cached_unless_wanted_or_worth_it(recording, folder, passes, monkeypatch):
    _load(recording, cache=False)
    _load(recording, cache="auto")
    assert not folder.exists()
    monkeypatch.setattr(kept_index, "_WORTH_BYTES", 1000)
    _load(recording, cache="auto")
    assert len(list(folder.iterdir())) == 3
    with pytest.raises(ValueError, match='must be one of True, False, "auto"'):
        _load(recording, cache="always")


def test_a_file_that_changed_is_indexed_again(tmp_path, recording, passes):
    _load(recording)
    stamp = os.stat(recording)
    simulate.recording(recording, (6, 11), electrons_per_position=310, seed=9)
    changed = _load(recording)
    assert passes.made() == (2, 2)
    _same(changed, _load(recording, cache=False))
    # the same size and time, but other bytes at an end
    words = np.fromfile(recording, "<u8")
    passes.made()
    os.utime(recording, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    _load(recording)
    words[-1] ^= np.uint64(1)
    words.tofile(recording)
    os.utime(recording, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    passes.made()
    _load(recording)
    assert passes.made() == (1, 1)


def test_other_code_is_not_trusted(recording, passes, monkeypatch):
    _load(recording)
    monkeypatch.setattr(cache, "_code", lambda: "another version")
    _load(recording)
    assert passes.made() == (2, 2)


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "text", "pickle"])
def test_a_damaged_entry_is_noticed_and_made_again(recording, passes, folder, caplog, damage):
    expected = _load(recording)
    for path in folder.iterdir():
        content = bytearray(path.read_bytes())
        if damage == "cut":
            content = content[: len(content) // 2]
        elif damage == "bit":
            # within the largest array, where no header would tell
            with zipfile.ZipFile(path) as entry:
                largest = max(entry.infolist(), key=lambda info: info.compress_size)
            content[largest.header_offset + 30 + len(largest.filename) + largest.compress_size // 2] ^= 1
        elif damage == "empty":
            content = b""
        elif damage == "text":
            content = b"no archive"
        if damage == "pickle":
            with np.load(path) as entry:
                parts = {name: entry[name] for name in entry.files}
            name = max(parts, key=lambda name: parts[name].nbytes)
            np.savez(path, **{**parts, name: np.array([{"a": 1}], object)})
        else:
            path.write_bytes(content)
    passes.made()
    with caplog.at_level(logging.WARNING):
        _same(_load(recording), expected)
    assert passes.made() == (1, 1)
    assert "is damaged" in caplog.text
    _load(recording)
    assert passes.made() == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("compress", [False, True])
def test_no_bit_of_an_entry_changes_what_it_gives(tmp_path, compress):
    path = tmp_path / "any.bin"
    path.write_bytes(b"recording")
    entry_cache = cache.RecordingCache([FileStamp.of(path)], {})
    arrays = {"a": np.arange(50), "b": np.arange(9, dtype=np.uint8)}
    entry_cache.save("any", arrays, {"n": 5}, compress)
    content = entry_cache._path("any").read_bytes()
    n_loaded = 0
    for i in range(8 * len(content)):
        if i % 5:
            continue
        changed = bytearray(content)
        changed[i // 8] ^= 1 << i % 8
        entry_cache._path("any").write_bytes(changed)
        found = entry_cache.load("any")
        if found is not None:  # dates of the archive, for instance, mean nothing
            n_loaded += 1
            assert found[1] == {"n": 5} and found[0].keys() == arrays.keys()
            for name, array in arrays.items():
                assert found[0][name].dtype == array.dtype
                np.testing.assert_array_equal(found[0][name], array)
    assert 0 < n_loaded < len(content)


def test_losses_are_reported_again_and_damage_is_still_refused(tmp_path, recording, passes, caplog):
    cut = tmp_path / "cut.tpx3"
    cut.write_bytes(recording.read_bytes()[:-12])
    with caplog.at_level(logging.WARNING):
        first = _load(cut, on_loss="warn")
    logged = [r.message for r in caplog.records if "cut.tpx3" in r.message]
    assert logged
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        _same(_load(cut, on_loss="warn"), first)
    assert [r.message for r in caplog.records if "cut.tpx3" in r.message] == logged
    assert passes.made() == (1, 1)
    with pytest.raises(Tpx3FormatError, match="on_loss"):
        _load(cut)


def test_pieces_are_one_entry_and_their_order_counts(tmp_path, passes):
    truth = simulate.recording(tmp_path / "p.tpx3", (6, 11), n_files=3, electrons_per_position=60, seed=4)
    paths = list(truth.paths)
    first = _load(paths)
    _same(_load(paths), first)
    assert passes.made() == (1, 1)
    _load(paths[:2])
    assert passes.made() == (1, 1)


def test_a_folder_that_cannot_be_written_costs_a_note(tmp_path, recording, monkeypatch, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("RSCIIO_TPX3_CACHE", str(blocked / "inside"))
    with caplog.at_level(logging.INFO):
        _same(_load(recording), _load(recording, cache=False))
    assert "is not kept in the cache" in caplog.text


def test_the_cache_is_small_bounded_and_can_be_emptied(recording, folder, monkeypatch):
    _load(recording)
    size = sum(path.stat().st_size for path in folder.iterdir())
    # names and numbers that do not grow with the recording, and 0.2 % of it
    assert size < 8000 + 0.002 * recording.stat().st_size
    monkeypatch.setattr("rsciio_tpx3.cache.CACHE_BYTES", 1000)
    _load(recording, navigation_shape=(5, 6))
    assert len(list(folder.iterdir())) == 1
    assert rsciio_tpx3.clear_cache() > 0
    assert list(folder.iterdir()) == []
    assert rsciio_tpx3.cache_folder() == folder


def test_the_folder_is_the_users_by_default(monkeypatch):
    platformdirs = pytest.importorskip("platformdirs")
    monkeypatch.delenv("RSCIIO_TPX3_CACHE")
    assert str(cache.cache_folder()).startswith(os.path.dirname(platformdirs.user_cache_dir("rsciio_tpx3")))
