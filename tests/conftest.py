"""Paths of the real recordings, and small streams written packet by packet."""

import logging

import numpy as np
import pytest
from hypothesis import settings
from real_files import DATA

from rsciio_tpx3.tpx3 import packets
from rsciio_tpx3.tpx3.files import WordReader
from rsciio_tpx3.utils import logs

# Timings decide no test; the first call of a kernel compiles it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config):
    """Compile once what the hosts keep compiled, before several processes of pytest-xdist share it.

    orix compiles generalised ufuncs when it is imported. Two processes that do so at the same time leave a file in
    numba's cache that crashes whoever loads it (seen with numba 0.68.1 in a fresh environment).
    """
    is_controller = not hasattr(config, "workerinput")
    if is_controller and getattr(config.option, "numprocesses", None):
        import orix.quaternion.symmetry  # noqa: F401
        import pyxem.signals  # noqa: F401


@pytest.fixture(autouse=True)
def log_levels():
    """Give every test the levels of a new process: what another one chose, as an example or the sweep, is undone."""
    loggers = [logging.getLogger(name) for name in ("rsciio_tpx3", "hyperspy_sparse", "hyperspy")]
    levels, state = [logger.level for logger in loggers], (logs._chosen, logs._followed)
    for logger in loggers[:2]:
        logger.setLevel(logging.NOTSET)
    logs._chosen, logs._followed = False, logging.NOTSET
    yield
    logs._chosen, logs._followed = state
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="session")
def real():
    """Path of a real recording by name."""
    return lambda name: str(DATA / "tpx3" / f"{name}.tpx3")


@pytest.fixture(scope="session")
def expected():
    """Independent decode of a real recording: `expected("name", "hermes")`."""
    return lambda name, tool: np.load(DATA / "expected" / f"{name}.{tool}.npz")


@pytest.fixture
def write_stream(tmp_path):
    """Write chunks given as (chip, words) to a file and return its path."""

    def write(chunks, name="stream.tpx3", tail=b""):
        path = tmp_path / name
        with open(path, "wb") as file:
            for chip, words in chunks:
                words = np.asarray(words, np.uint64)
                file.write(packets.encode_header(chip, len(words)).tobytes() + words.tobytes())
            file.write(tail)
        return str(path)

    return write


@pytest.fixture
def reads(monkeypatch):
    """Byte ranges in the order they were read."""
    log, read = [], WordReader.read

    def noted(self, part, start, stop):
        log.append((8 * start, 8 * stop))
        return read(self, part, start, stop)

    monkeypatch.setattr(WordReader, "read", noted)
    return log


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache folder of the test's own, for recordings that are kept."""
    monkeypatch.setenv("RSCIIO_TPX3_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rsciio_tpx3"
