"""HyperSpy asks to report errors to the developers of RosettaSciIO; not where one of our readers has refused a file."""

import subprocess
import sys

import hyperspy.api as hs
import pytest

import hyperspy_sparse  # noqa: F401


@pytest.fixture(autouse=True)
def shown(caplog):
    """The command line, which other tests call in this process, hides what HyperSpy's reading logs."""
    caplog.set_level("ERROR", logger="hyperspy.io")


@pytest.mark.parametrize("name", ["scan.tpx3", "scan.t3p", "scan.t3pa", "scan.nxevent"])
def test_what_our_readers_refuse_is_not_to_be_reported_to_others(name, tmp_path, caplog):
    (tmp_path / name).write_bytes(b"neither this nor that" * 50)
    with pytest.raises((ValueError, OSError)):
        hs.load(tmp_path / name)
    assert "report this error" not in caplog.text


def test_wrong_options_are_not_to_be_reported_to_others(tmp_path, caplog):
    (tmp_path / "scan.tpx3").write_bytes(b"")
    with pytest.raises((ValueError, TypeError)):
        hs.load(tmp_path / "scan.tpx3", navigation_shap=(3, 4))
    assert "report this error" not in caplog.text


def test_advice_for_other_readers_stays(tmp_path, caplog):
    (tmp_path / "scan.hspy").write_bytes(b"neither this nor that")
    with pytest.raises(Exception):  # noqa: B017  (whatever h5py says of it)
        hs.load(tmp_path / "scan.hspy")
    assert "report this error" in caplog.text


def test_first_cell_shows_no_warning_for_developers():
    code = "import hyperspy.api as hs, hyperspy_sparse; print(hyperspy_sparse.data.disks())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert "Simulated disks" in done.stdout and "_get_block_pattern" not in done.stderr
