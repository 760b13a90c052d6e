"""Kind: a service that was switched off, or has no place on the disk, still stands in the way."""

import os
import subprocess
import sys
import textwrap

import pytest
import tqdm

from rsciio_tpx3.utils import compiled, progress

posix = pytest.mark.skipif(os.name != "posix", reason="needs forks and folders without rights")


def test_bars_that_are_off_are_no_bars_of_tqdm():
    with progress.progress_bar(False, total=3, desc="Counting") as bar:
        bar.update()
        bar.reset()
    assert not isinstance(bar, tqdm.std.tqdm)


@pytest.mark.slow
@posix
def test_no_bar_waits_for_a_lock_that_a_killed_fork_holds():
    script = """
        import os, signal, sys, time
        from tqdm.auto import tqdm
        from rsciio_tpx3.utils.progress import progress_bar
        with progress_bar(True, total=1) as bar:
            bar.update()
        ready, said = os.pipe()
        pid = os.fork()
        if pid == 0:
            tqdm.get_lock().acquire()
            type(bar).get_lock().acquire()
            os.write(said, b"x")
            time.sleep(60)
        os.read(ready, 1)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for shown in (True, None, False):
            with progress_bar(shown, total=1) as bar:
                bar.update()
        # and a child that is forked while a bar's lock is held here has a lock of its own
        lock = type(progress_bar(True, total=1)).get_lock()
        lock.acquire()
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)
            with progress_bar(True, total=1) as bar:
                bar.update()
            os._exit(0)
        print("status", os.waitpid(pid, 0)[1])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["status", "0"], done.stderr


def test_compiled_code_that_can_be_cached_nowhere_is_compiled_all_the_same(monkeypatch, caplog):
    def refused(*args, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'add': no locator available for file 'x.py'")
        return lambda function: function

    monkeypatch.setattr(compiled.numba, "njit", refused)
    compiled._say_once.cache_clear()

    @compiled.njit(nogil=True, cache=True)
    def add(a, b):
        return a + b

    assert add(1, 2) == 3
    assert "NUMBA_CACHE_DIR" in caplog.text


def test_without_a_home_numba_makes_no_folder_of_that_name(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(compiled.numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    compiled._has_place.cache_clear()
    assert not compiled._has_place(str(tmp_path))
    compiled._has_place.cache_clear()


def test_a_full_disk_under_the_compiled_code_costs_time_and_no_result(monkeypatch):
    @compiled.njit(cache=True)
    def double(a):
        return 2 * a

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(double._cache, "_load_overload", full)
    monkeypatch.setattr(double._cache, "_save_overload", full)
    assert double(21) == 42
