"""What can go wrong around a writer or a reader, tried by count and not by luck."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import hyperspy.api as hs
import numpy as np
from chaos_faults import Fault, calls_of, finish, limit_file_size, run, small_disk, start, without_rights
from chaos_readers import READERS
from chaos_writers import LEFTOVER, WRITERS, Cached, checksums, counts
from chaos_writers import signal as signal_of

from hyperspy_sparse import LazySparseSignal2D

__all__ = [
    "Table",
    "changing_input",
    "full_disk",
    "host_formats",
    "kills",
    "read_only_folder",
    "two_writers",
    "workers",
]


@dataclass
class Table:
    """What was found: outcomes that may be, counted, and those that may not, as text."""

    runs: int = 0
    found: Counter = field(default_factory=Counter)
    wrong: list = field(default_factory=list)

    def add(self, what, wrong=()):
        self.runs += 1
        self.found[what] += 1
        self.wrong += wrong

    def line(self, name):
        found = ", ".join(f"{n} {what}" for what, n in sorted(self.found.items()))
        return f"{name:42} {self.runs:5} runs  {len(self.wrong):3} wrong  {found}"


class Place:
    """Folders in which a writer works, each a copy of one that was prepared once; anybody may look into them."""

    def __init__(self, writer, old):
        self.writer, self.old = writer, old
        self.root = Path(tempfile.mkdtemp(prefix="chaos-"))
        self.root.chmod(0o755)
        self.pristine = self.root / "pristine"
        self.pristine.mkdir()
        writer.prepare(self.pristine)
        # compiled and imported here, so that children find it: also those that may not read the installation
        warm = self.fresh("warm")
        writer.write(warm, "new")
        writer.read(warm)
        if old:
            writer.write(self.pristine, "old")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        shutil.rmtree(self.root, ignore_errors=True)

    def fresh(self, name="work"):
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.pristine, folder)
        return folder

    def verdict(self, folder, about, good=None):
        """What is there now ("old", "new", "none", ...), and what is wrong with it."""
        good = good or {"new": counts("new")}
        if self.old:
            good = {"old": counts("old"), **good}
        wrong = []
        found = self.writer.read(folder)
        if isinstance(self.writer, Cached):
            what = "right" if found is not None else "wrong"
            wrong += [f"{about}: the cache changed an answer"] if found is None else []
        elif isinstance(found, str):
            what = "none" if found == "absent" else found
            if found != "absent" or self.old:
                wrong.append(f"{about}: {found}; there should be {' or '.join(good)}")
        else:
            what = next((name for name, dense in good.items() if np.array_equal(dense, found)), "a lie")
            wrong += [f"{about}: a file that lies"] if what == "a lie" else []
        for path in sorted(folder.rglob("*")):
            if not (self.writer.is_input(path) or self.writer.is_own(path) or LEFTOVER.search(path.name)):
                wrong.append(f"{about}: {path.name} cannot be known as a leftover")
        if checksums(self.writer, folder) != checksums(self.writer, self.pristine).replace(
            str(self.pristine), str(folder)
        ):
            wrong.append(f"{about}: the input changed")
        return what, wrong

    def again(self, folder, about):
        """What is wrong with a second run over what is left."""
        ending = run(lambda: self.writer.write(folder, "new"))
        if not ending.done:
            return [f"{about}: a second run ends with {ending.how}"]
        found = self.writer.read(folder)
        fine = isinstance(found, str) if isinstance(self.writer, Cached) else np.array_equal(found, counts("new"))
        return [] if fine else [f"{about}: a second run wrote something else"]


def kills(writer, whats=("kill before", "kill after", "refuse"), olds=(True, False), every=1):
    """Killed, or refused, at each call that gives or takes a name or puts bytes on the disk."""
    table = Table()
    for old in olds:
        with Place(writer, old) as place:
            folder = place.fresh()
            total = calls_of(partial(writer.write, folder, "new"))
            for n in range(1, total + 1, every):
                for what in whats:
                    folder = place.fresh()
                    about = f"{writer.name}, {what} call {n} of {total}, {'an old file' if old else 'no file'} before"
                    ending = run(partial(writer.write, folder, "new"), Fault(what, n))
                    expected = ending.how == "killed by signal 9" or (
                        what == "refuse" and (ending.is_ours or ending.done)
                    )
                    found, wrong = place.verdict(folder, about)
                    wrong += [] if expected else [f"{about}: ended with {ending.how}"]
                    table.add(found, [*wrong, *place.again(folder, about)])
    return table


def two_writers(writer, rounds=10, seed=0):
    """Two processes write different data under one name at once, on a disk that is slow to rename."""
    table = Table()
    with Place(writer, True) as place:
        for i in range(rounds):
            folder = place.fresh()
            about = f"{writer.name}, two writers, round {i}"
            children = [
                start(partial(writer.write, folder, "new", n), Fault("slow"), 1000 * seed + 2 * i + n) for n in (0, 1)
            ]
            endings = [finish(child) for child in children]
            found, wrong = place.verdict(folder, about, {"one": counts("new", 0), "other": counts("new", 1)})
            for ending in endings:
                if not (ending.done or ending.is_ours):
                    wrong.append(f"{about}: ended with {ending.how}")
            if found == "old" and any(ending.done for ending in endings):
                wrong.append(f"{about}: nobody's data are there, although one reported that it wrote")
            table.add(found, wrong + place.again(folder, about))
    return table


def full_disk(writer, sizes=(4096, 8192, 16384, 32768, 65536, 1 << 18, 1 << 20)):
    """A disk that fills up: a small file system where one can be mounted, else a limit on the size of files."""
    table = Table()
    for n_bytes in sizes:
        with Place(writer, False) as place:
            about = f"{writer.name}, {n_bytes} bytes of room"
            folder = place.root / "small"
            with small_disk(folder, n_bytes + _size(place.pristine)) as mounted:
                shutil.copytree(place.pristine, folder, dirs_exist_ok=True)

                def work(mounted=mounted, n_bytes=n_bytes, folder=folder):
                    if not mounted:
                        limit_file_size(n_bytes)
                    writer.write(folder, "new")

                ending = run(work)
                found, wrong = place.verdict(folder, about)
                if not (ending.done or ending.is_ours):
                    wrong.append(f"{about}: ended with {ending.how}")
                if isinstance(writer, Cached) and not ending.done:
                    wrong.append(f"{about}: a full cache kept a recording from loading: {ending.how}")
                if ending.done and found == "none":
                    wrong.append(f"{about}: no file, and no error")
                table.add(f"{found} ({'done' if ending.done else 'refused'})", wrong)
    return table


def read_only_folder(writer):
    """A folder in which nothing can be made."""
    table = Table()
    with Place(writer, not isinstance(writer, Cached)) as place:
        folder = place.fresh()
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)

        def work():
            without_rights()
            writer.write(folder, "new")

        ending = run(work)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        found, wrong = place.verdict(folder, f"{writer.name}, read-only folder")
        fine = ending.done if isinstance(writer, Cached) else ending.is_ours
        wrong += [] if fine else [f"{writer.name}, read-only folder: ended with {ending.how}"]
        table.add(f"{found} ({'done' if ending.done else 'refused'})", wrong)
    return table


def host_formats(ending, moments=(0, 1, 2)):
    """HyperSpy's own writer of dense data is killed at a chunk of ours: the old file is gone, but nothing lies."""
    table = Table()
    for moment in moments:
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            path = Path(folder) / f"scan.{ending}"
            run(partial(_save_by_host, path, "old"))
            ending_of = run(partial(_save_by_host, path, "new", moment))
            found = run(partial(_loaded_by_host, path))
            what = found.answer if found.done else "does not open"
            about = f"{ending}, killed at chunk {moment}"
            wrong = [] if what in ("old", "does not open") else [f"{about}: {what}"]
            wrong += [] if ending_of.how == "killed by signal 9" else [f"{about}: ended with {ending_of.how}"]
            table.add(what, wrong)
    return table


def _save_by_host(path, which, moment=None):
    data = signal_of(counts(which))["data"]
    if moment is not None:
        data = data.map_blocks(_die_at, moment, dtype=data.dtype, meta=data._meta)
    LazySparseSignal2D(data).save(path, overwrite=True, show_progressbar=False)


def _die_at(chunk, moment, block_info=None):
    if block_info and block_info[0]["chunk-location"][0] >= moment:
        os.kill(os.getpid(), signal.SIGKILL)
    return chunk


def _loaded_by_host(path):
    found = np.asarray(hs.load(path).data)
    return next((which for which in ("old", "new") if np.array_equal(found, counts(which))), "a lie")


def _size(folder):
    return sum((path.stat().st_size + 4095) // 4096 * 4096 for path in folder.rglob("*") if path.is_file()) + 8192


CHANGES = {
    "cut": lambda path: os.truncate(path, os.path.getsize(path) // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "removed": os.remove,
    "grown": lambda path: path.open("ab").write(bytes(4096)),
    "replaced": lambda path: _replace(path, path.read_bytes()[::-1]),
    "replaced by a folder": lambda path: (path.unlink(), path.mkdir()),
}


def _replace(path, content):
    other = path.with_name("other")
    other.write_bytes(content)
    os.replace(other, path)


def changing_input(format, changes=tuple(CHANGES), moments=(0, 1, 2)):
    """A file that is cut, removed, grown or replaced between two chunks of a lazy signal that was opened before."""
    table, reader = Table(), READERS[format]
    for change in changes:
        for moment in moments:
            with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
                reader.write(Path(folder))
                expected = reader.load(Path(folder)).compute(scheduler="sync")
                about = f"{format}, {change} after chunk {moment}"

                def work(folder=folder, change=change, moment=moment, expected=expected):
                    data = reader.load(Path(folder))
                    for i in range(data.numblocks[0]):
                        if i == moment:
                            for path in reader.files(Path(folder)):
                                CHANGES[change](path)
                        first = sum(data.chunks[0][:i])
                        got = np.asarray(data.blocks[i].compute(scheduler="sync"))
                        if not np.array_equal(got, np.asarray(expected[first : first + len(got)])):
                            return "other counts"
                    return "equal"

                ending = run(work)
                fine = ending.answer == "equal" if ending.done else ending.is_ours
                what = ending.answer if ending.done else "refused" if ending.is_ours else ending.how[:60]
                table.add(what, [] if fine else [f"{about}: {ending.how} {ending.answer}"])
    return table


def workers(scheduler, rounds=1):
    """A worker of dask is killed in the middle of a computation."""
    table = Table()
    for i in range(rounds):
        script = Path(__file__).with_name("chaos_workers.py")
        try:
            done = subprocess.run(
                [sys.executable, str(script), scheduler, str(i)], capture_output=True, text=True, timeout=180
            )
            lines = done.stdout.strip().splitlines()
            what = lines[-1] if lines else f"ended with status {done.returncode}: {done.stderr[-300:]}"
        except subprocess.TimeoutExpired:
            what = "still running"
        fine = what in ("equal", "refused")
        table.add(what if fine else "wrong", [] if fine else [f"{scheduler}, a worker killed: {what}"])
    return table


def by_name(name):
    """A writer of `WRITERS`."""
    return next(writer for writer in WRITERS if writer.name == name)
