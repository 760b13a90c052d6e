"""Every file that once failed, and a short campaign of each target; ``python -m tests.fuzz`` makes long ones."""

import io
import os
import tracemalloc

import numpy as np
import pytest

from rsciio_tpx3 import Tpx3FormatError
from tests.fuzz import judge
from tests.fuzz.campaign import campaign
from tests.fuzz.case import FAULTS, Verdict
from tests.fuzz.corpus import cases
from tests.fuzz.targets import TARGETS, target_of
from tests.fuzz.targets.hdf5_damage import change_hdf5
from tests.fuzz.worker import STATE, files_of_run

pytestmark = pytest.mark.slow  # a campaign

SEED = 1
"""Fixed, so that a change is judged by what it changes; ``python -m tests.fuzz`` draws another one each time."""

SECONDS = float(os.environ.get("RSCIIO_TPX3_FUZZ_SECONDS", "30"))
"""A slow machine makes fewer runs than `RUNS`; a fast one makes no more, and judges nothing that was not seen."""

RUNS = {"tpx3": 2000, "t3pa": 1500, "t3p": 1000, "raw_csr": 1000, "tpx3-scan": 300}
"""About seven seconds of each target; the others take longer for a run, and make 150."""

CORPUS = list(cases())


@pytest.mark.parametrize(
    ("name", "files", "seed"), [(n, f, s) for n, _, f, s in CORPUS], ids=[f"{n}-{d}" for n, d, *_ in CORPUS]
)
def test_file_that_once_failed(name, files, seed, tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("RSCIIO_TPX3_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(judge, "SECONDS", 60.0)  # kernels may be compiled in this run
    monkeypatch.setattr(judge, "MEMORY_BYTES", 2**29)
    verdict = judge.run(target_of(name), files, seed, tmp_path / "run")
    assert verdict.outcome not in FAULTS, verdict


@pytest.mark.parametrize("name", TARGETS)
def test_short_campaign_finds_no_fault(name):
    report = campaign(name, SEED, runs=RUNS.get(name, 150), seconds=SECONDS)
    assert report.faults == []
    assert report.runs > 10


@pytest.mark.parametrize("name", TARGETS)
def test_run_can_be_made_again_from_its_number(name):
    target = target_of(name)
    seeds = target.seeds()
    assert files_of_run(target, seeds, 5, 17) == files_of_run(target_of(name), target.seeds(), 5, 17)


class _Odd:
    """A target whose reader does what it should not."""

    name = "odd"

    def __init__(self, read, verdict=None):
        self.read, self._verdict = read, verdict

    def judge(self, found, files, seed):
        return self._verdict or Verdict("equal")


def _hang(folder):
    while True:
        pass


@pytest.mark.parametrize(
    ("read", "outcome"),
    [
        (lambda folder: None, "equal"),
        (lambda folder: {}["x"], "raw error"),
        (lambda folder: int("x"), "raw error"),
        (lambda folder: bytearray(2**40), "memory"),
        (lambda folder: bytearray(2**27), "memory"),
        (_hang, "hang"),
    ],
)
def test_what_a_reader_must_not_do_is_seen(read, outcome, tmp_path, monkeypatch):
    # on a busy machine memory alone takes longer to be had
    monkeypatch.setattr(judge, "SECONDS", 0.2 if outcome == "hang" else 20)
    if outcome == "memory" and not judge._peak():
        pytest.skip("the system does not tell the peak of memory")
    assert judge.run(_Odd(read), {"a": b"1"}, {}, tmp_path / "run").outcome == outcome


def test_error_of_a_format_names_the_file(tmp_path):
    def read(words):
        def raising(folder):
            raise Tpx3FormatError(words)

        return raising

    assert judge.run(_Odd(read("it is damaged")), {"a.tpx3": b""}, {}, tmp_path / "r").outcome == "raw error"
    assert judge.run(_Odd(read("'a.tpx3' is damaged")), {"a.tpx3": b""}, {}, tmp_path / "r").outcome == "refused"


def test_state_of_a_worker_has_a_fixed_size():
    assert STATE.size % 8 == 0


def test_changes_of_hdf5_files_read_no_array_that_was_only_declared():
    h5py = pytest.importorskip("h5py")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("a", (2**45,), "u1", chunks=(1024,))
    for seed in range(50):
        tracemalloc.start()
        change_hdf5(np.random.default_rng(seed), buffer.getvalue())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**26
