"""Kind: a file on disk is trusted because of its name. The cache neither believes nor removes what it has not made."""

import json
import os
import stat
import time
import zipfile

import numpy as np
import pytest

import rsciio_tpx3
from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.cache import store as cache
from rsciio_tpx3.t3pa import file_reader as advacam_reader

pytestmark = pytest.mark.usefixtures("folder")
posix = pytest.mark.skipif(os.name != "posix", reason="needs FIFOs, links and forks")

_ODD = np.array([0, 1, -1, 255, 256, 10**6, 2**30, 2**31 - 1, 2**40, 2**62, -(2**63)])


def _tpx3(path):
    simulate.recording(path, (6, 11), electrons_per_position=300, edge_chips=(0, 2), seed=4)

    def load():
        [found] = file_reader(path, navigation_shape=(11, 6), lazy=True, show_progressbar=False, cache=True)
        return found["data"].compute(scheduler="sync")

    return load


def _t3pa(path):
    rng = np.random.default_rng(3)
    toa = np.sort(rng.integers(0, 40_000, 500))
    rows = [(i, rng.integers(0, 65536), t, 10, rng.integers(0, 16), 0) for i, t in enumerate(toa)]
    lines = ["Index\tMatrix Index\tToA\tToT\tFToA\tOverflow", *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")

    def load():
        [found] = advacam_reader(
            path, signal="frames", frame_time="100 us", lazy=True, show_progressbar=False, cache=True
        )
        return found["data"].compute(scheduler="sync")

    return load


def _same(one, other):
    return one.shape == other.shape and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("indptr", "indices", "data")
    )


class Entry:
    """An entry of the cache, to be written again with other contents."""

    def __init__(self, path):
        self.path, self.content = path, path.read_bytes()
        with np.load(path) as archive:
            self.arrays = {name: archive[name] for name in archive.files}
        self.head = json.loads(self.arrays.pop("head").tobytes())

    def write(self, arrays, head, sealed=True):
        """With a checksum that fits, as whoever knows this package could make it, or without."""
        if sealed:
            head = {**head, "checksum": cache._checksum(head, arrays)}
        np.savez(self.path, head=np.frombuffer(json.dumps(head).encode(), np.uint8), **arrays)

    def restore(self):
        self.path.write_bytes(self.content)


def _poisoned(entry, rng):
    """Other values in some places of one array, or another array in its place."""
    arrays = {name: array.copy() for name, array in entry.arrays.items()}
    if not arrays:
        return {"more": np.arange(3)}
    name = rng.choice(sorted(arrays))
    array = arrays[name]
    way = rng.integers(0, 6)
    if way == 0:
        arrays[name] = array[: rng.integers(0, len(array) + 1)]
    elif way == 1:
        arrays[name] = np.concatenate([array, array, array])
    elif way == 2:
        arrays[name] = np.zeros(len(array) or 3, rng.choice(["f8", "i8", "u1", "S3", "c16"]))
    elif way == 3 and len(array):
        arrays[name] = array[rng.permutation(len(array))]
    elif len(array):
        column = array if array.dtype.names is None else array[rng.choice(array.dtype.names)]
        at = rng.integers(0, len(column), max(1, len(column) // rng.integers(1, 9)))
        column[at] = rng.choice(_ODD).astype(column.dtype)
    return arrays


def _odd_head(entry, rng):
    """One value of the head is another one."""
    head = json.loads(json.dumps(entry.head))
    places = []

    def walk(node):
        for key, item in node.items() if isinstance(node, dict) else enumerate(node):
            places.append((node, key))
            if isinstance(item, (dict, list)):
                walk(item)

    walk(head["values"])
    odd = [None, [], {}, "x", -1, 2**70, 1.5, True, [[[]]], {"tuple": 5}, {"dict": [[1, 2]]}, {"dict": 7}]
    node, key = places[rng.integers(len(places))]
    node[key] = odd[rng.integers(len(odd))]
    return head


def campaign(load, folder, n, seed):
    """Outcomes of loading with `n` poisoned entries, in a process of their own; what may be is "same" or an error."""
    expected, rng = load(), np.random.default_rng(seed)
    entries = [Entry(path) for path in sorted(folder.iterdir())]
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        outcomes = {}
        try:
            for _ in range(n):
                entry = entries[rng.integers(len(entries))]
                sealed = bool(rng.integers(0, 4))
                if rng.integers(0, 3):
                    entry.write(_poisoned(entry, rng), entry.head, sealed)
                else:
                    entry.write(entry.arrays, _odd_head(entry, rng), sealed)
                try:
                    found = "same" if _same(load(), expected) else f"other, sealed={sealed}"
                except Exception as error:
                    found = f"{type(error).__name__}: {error}, sealed={sealed}"
                outcomes[found] = outcomes.get(found, 0) + 1
                for one in entries:
                    one.restore()
        except Exception as error:
            outcomes[f"the campaign itself: {error!r}"] = 1
        finally:
            os.write(write, json.dumps(outcomes).encode()[:60_000])
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        text = file.read()
    _, status = os.waitpid(pid, 0)
    return f"killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else json.loads(text)


@pytest.mark.slow
@posix
@pytest.mark.parametrize("format", [_tpx3, _t3pa])
def test_poisoned_entries_never_crash_nor_change_the_frames(tmp_path, folder, format):
    load = format(tmp_path / ("a.tpx3" if format is _tpx3 else "a.t3pa"))
    outcomes = campaign(load, folder, 60, 1)
    assert outcomes.pop("same") > 50
    # only edges at other times, under a checksum that whoever moved them has made again, are an answer of their own
    assert all("sealed=True" in name and name.startswith(("other", "ScanSync")) for name in outcomes), outcomes


@posix
@pytest.mark.parametrize("thing", ["fifo", "directory", "link", "unreadable", "empty", "long"])
def test_what_lies_where_an_entry_should_be_is_neither_used_nor_removed(tmp_path, folder, thing):
    load = _tpx3(tmp_path / "a.tpx3")
    expected = load()
    elsewhere = tmp_path / "elsewhere.npz"
    for path in list(folder.iterdir()):
        elsewhere.write_bytes(path.read_bytes())
        path.unlink()
        if thing == "fifo":
            os.mkfifo(path)
        elif thing == "directory":
            path.mkdir()
            (path / "mine.txt").write_text("x")
        elif thing == "link":
            path.symlink_to(elsewhere)
        elif thing == "unreadable":
            path.write_bytes(elsewhere.read_bytes())
            path.chmod(0)
        else:
            path.write_bytes(b"" if thing == "empty" else elsewhere.read_bytes() + bytes(10**6))
    before = {path: stat.S_IFMT(path.lstat().st_mode) for path in folder.iterdir()}
    assert _same(load(), expected)
    rsciio_tpx3.clear_cache()
    after = {path: stat.S_IFMT(path.lstat().st_mode) for path in folder.iterdir()}
    assert after == (before if thing in ("fifo", "directory", "link") else {})
    assert elsewhere.exists()


def test_a_full_cache_and_its_cleaning_leave_all_other_files(tmp_path, folder, monkeypatch):
    load = _tpx3(tmp_path / "a.tpx3")
    load()
    name = next(folder.iterdir()).name
    others = ["results.npz", "x.partial", f"{name}.partial", f"{name}.bak", name.upper(), f"a{name}", "0123.index.npz"]
    for where in (folder, folder.parent):
        for other in others:
            (where / other).write_text("mine")
            os.utime(where / other, (1, 1))
    (folder / "0123456789abcdef01234567").mkdir()
    monkeypatch.setattr("rsciio_tpx3.cache.CACHE_BYTES", 1)
    file_reader(tmp_path / "a.tpx3", navigation_shape=(10, 6), lazy=True, show_progressbar=False, cache=True)
    rsciio_tpx3.clear_cache()
    assert {path.name for path in folder.iterdir()} == {*others, "0123456789abcdef01234567"}
    assert {path.name for path in folder.parent.iterdir()} == {*others, "rsciio_tpx3"}


def test_leftovers_of_a_killed_process_go_and_those_of_a_running_one_stay(tmp_path, folder):
    load = _tpx3(tmp_path / "a.tpx3")
    load()
    name = next(folder.iterdir()).name
    old, young = folder / f"{name}.00112233.partial", folder / f"{name}.00112244.partial"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    file_reader(tmp_path / "a.tpx3", navigation_shape=(10, 6), lazy=True, show_progressbar=False, cache=True)
    assert not old.exists() and young.exists()


@pytest.mark.slow
def test_an_entry_that_unpacks_to_far_more_than_the_recording_is_not_unpacked(tmp_path, folder, caplog):
    load = _tpx3(tmp_path / "a.tpx3")
    expected = load()
    for path in folder.iterdir():
        entry = Entry(path)
        large = {**entry.arrays, next(iter(entry.arrays), "more"): np.zeros(10**8, np.uint8)}
        entry.head["arrays"] = list(large)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in {"head": np.frombuffer(json.dumps(entry.head).encode(), np.uint8), **large}.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array)
    caplog.clear()
    assert _same(load(), expected)
    assert "more than it can need" in caplog.text


def test_without_a_home_folder_the_cache_lies_with_temporary_files(monkeypatch, tmp_path):
    monkeypatch.delenv("RSCIIO_TPX3_CACHE")
    monkeypatch.setattr(
        "rsciio_tpx3.cache.store.user_cache_path", lambda *args, **kwds: cache.Path("~/.cache/rsciio_tpx3")
    )
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache.cache_folder().is_relative_to(tmp_path) and cache.cache_folder().name == "rsciio_tpx3"
