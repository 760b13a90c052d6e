"""What people install: wheel and source archive hold everything, and work away from the checkout."""

import email
import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import hyperspy_sparse
import rsciio_tpx3
from rsciio_tpx3 import simulate

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    pytest.importorskip("build")
    out = tmp_path_factory.mktemp("dist")
    # no isolation: what is installed here builds it, without a network
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def _needed():
    """Every file of the packages that is not compiled."""
    for package in ("rsciio_tpx3", "hyperspy_sparse"):
        for path in (ROOT / package).rglob("*"):
            if path.suffix in (".py", ".pyi", ".yaml") or path.name == "py.typed":
                yield path.relative_to(ROOT).as_posix()


@pytest.mark.slow
def test_both_archives_hold_every_module_and_specification(archives):
    wheel, source = archives
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    in_source = {name.partition("/")[2] for name in tarfile.open(source).getnames()}
    needed = set(_needed())
    assert any(name.endswith("specifications.yaml") for name in needed)
    assert "hyperspy_sparse/hyperspy_extension.yaml" in needed
    assert needed <= in_wheel
    assert needed <= in_source
    assert any(name.endswith("/LICENSE") for name in in_wheel)
    kit = {path.relative_to(ROOT).as_posix() for path in (ROOT / "conformance").rglob("*.*") if path.suffix != ".pyc"}
    assert kit <= in_source
    assert not any(name.startswith("conformance") for name in in_wheel)


@pytest.mark.slow
def test_source_archive_holds_what_is_needed_to_test_document_and_cite(archives):
    in_source = {name.partition("/")[2] for name in tarfile.open(archives[1]).getnames()}
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if files.returncode:
        pytest.skip("not a git checkout")
    missing = [name for name in files.stdout.splitlines() if name not in in_source and (ROOT / name).exists()]
    assert [name for name in missing if not name.startswith((".", "tests/data/"))] == []
    assert not [name for name in in_source if "_build/" in name or "auto_gallery" in name or "__pycache__" in name]


@pytest.mark.slow
def test_description_for_the_index_has_no_link_into_the_repository(archives):
    archive = zipfile.ZipFile(archives[0])
    [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Description-Content-Type"].startswith("text/markdown")
    text = metadata.get_payload()
    assert "# rsciio_tpx3" in text and "hs.load" in text
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert targets and all(target.startswith("https://") for target in targets)


def test_links_become_addresses_where_the_source_has_one():
    spec = importlib.util.spec_from_file_location("setup_of_the_project", ROOT / "setup.py")
    setup = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(setup)
    text = "![a](docs/a.png) [b](docs/b.md#c) [d](https://d.example)"
    assert setup.for_index(text, "") == " b [d](https://d.example)"
    assert setup.for_index(text, "https://s.example") == (
        "![a](https://s.example/raw/main/docs/a.png) [b](https://s.example/blob/main/docs/b.md#c) [d](https://d.example)"
    )
    assert setup.source_address('[project.urls]\nSource = "https://s.example/"\n[other]\n') == "https://s.example"
    assert setup.source_address('[other]\nSource = "https://s.example"\n') == ""


@pytest.mark.slow
def test_both_archives_have_the_version_of_the_package(archives):
    wheel, source = archives
    assert wheel.name == f"rsciio_tpx3-{rsciio_tpx3.__version__}-py3-none-any.whl"
    assert source.name == f"rsciio_tpx3-{rsciio_tpx3.__version__}.tar.gz"


@pytest.mark.slow
def test_installed_wheel_is_found_by_hyperspy(archives, tmp_path):
    wheel, _ = archives
    target = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(target)
    recording = tmp_path / "scan.tpx3"
    simulate.recording(recording, (3, 5), electrons_per_position=20, seed=1)
    code = (
        "import hyperspy.api as hs, hyperspy_sparse\n"
        f"s = hs.load({str(recording)!r}, navigation_shape=(5, 3), lazy=True)\n"
        "print(type(s).__name__, hyperspy_sparse.__file__)\n"
    )
    # first on the path, and away from the checkout
    environment = {**os.environ, "PYTHONPATH": str(target)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    name, place = done.stdout.split()
    assert name == "LazySparseElectronDiffraction2D"
    assert Path(place).is_relative_to(target)


def test_licence_and_version_agree_everywhere():
    assert hyperspy_sparse.__version__ == rsciio_tpx3.__version__
    project = (ROOT / "pyproject.toml").read_text()
    citation = (ROOT / "CITATION.cff").read_text()
    assert 'dynamic = ["version", "readme"]' in project
    assert f"version: {rsciio_tpx3.__version__}" in citation
    assert 'license = "GPL-3.0-or-later"' in project
    assert "license: GPL-3.0-or-later" in citation
    assert "GNU GENERAL PUBLIC LICENSE" in (ROOT / "LICENSE").read_text()


def test_readme_commands_are_what_ci_runs():
    readme = (ROOT / "README.md").read_text()
    for name in ("test", "demo", "docs"):
        marker = f"<!-- {name} command -->"
        assert readme.count(marker) == 1
        block = readme.split(marker)[1].split("```")[1]
        assert len(block.strip().splitlines()) == 2, "one pasted line"
