"""Layout, spelling and types: what ``python -m tests.checks`` and the hooks say."""

import re

import pytest

from tests import checks, english


# mypy reads the hosts as well, which takes as long as many tests
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n == "types" else ()) for n in checks.CHECKS]
)
def test_check_finds_nothing(name, capfd):
    if name in checks.TOOLS:
        pytest.importorskip(checks.TOOLS[name])
    failed = checks.main([name])
    assert not failed, "".join(capfd.readouterr())


def test_hooks_run_every_check_with_the_tools_of_the_tests():
    hooks = (checks.ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    entries = re.findall(r"entry: python -m tests\.checks (\w+)", hooks)
    assert sorted(entries) == sorted(checks.CHECKS)
    project = (checks.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for pinned in re.findall(r"additional_dependencies: \[\"(.*?)\"", hooks):
        assert f'"{pinned}"' in project


def test_blanks_at_the_end_are_found_and_removed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    good, bad, torn = (tmp_path / name for name in ("good.md", "bad.py", "torn.toml"))
    good.write_text("one\n\ntwo\n")
    bad.write_text("one \ntwo\n\n")
    torn.write_text("<<<<<<< ours\n")
    (tmp_path / "empty.py").touch()
    assert checks.check_text(fix=True) == 2
    assert bad.read_text() == "one\ntwo\n"
    assert checks.check_text(fix=False) == 1
    assert "torn.toml: marks of a conflict" in capsys.readouterr().out


def test_names_and_messages_are_in_plain_english(tmp_path):
    text = """
def load(given, kept_rows=1, forgiven=2):
    self.told = f"{given} is no HDF5 file"
    raise ValueError("mode is none of 'a', 'b'")  # 5 bytes an entry
"""
    found = english.faults(tmp_path / "growing.py", text)
    expected = ["1: the name 'growing'", "2: the name 'given'", "2: the name 'kept_rows'", "3: 'is no HDF5'"]
    expected += ["3: the name 'told'", "3: 'told'", "4: 'is none of'", "4: 'bytes an entry'"]
    assert len(found) == len(expected)
    for part in expected:
        assert any(f"growing.py:{part}" in line for line in found), part


def test_plain_english_has_no_fault(tmp_path):
    text = """
def read(left_out, keep):
    "There is no file, and it is no longer needed; the counts of a pixel, at 5 bytes per entry."
    self.left_out, found = {}, outside["in lines left out of the scan"]
"""
    assert english.faults(tmp_path / "follow.py", text) == []


def test_exceptions_of_the_english_are_still_needed():
    text = "".join(p.read_text(encoding="utf-8") for p in (checks.ROOT / "rsciio_tpx3").rglob("*.py"))
    assert [name for name in english.EXCEPTIONS if name not in text] == []


def test_a_name_that_is_no_check_is_refused(capsys):
    with pytest.raises(SystemExit):
        checks.main(["grammar"])
    assert "'grammar' is not a check: must be one of text, lint" in capsys.readouterr().err


def test_every_fragment_of_the_changes_has_a_kind_that_towncrier_knows():
    project = (checks.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    kinds = re.findall(r'\[\[tool\.towncrier\.type\]\]\ndirectory = "(\w+)"', project)
    assert len(kinds) == 6
    for fragment in (checks.ROOT / "docs" / "upcoming_changes").glob("*.md"):
        assert fragment.name.count(".") == 2 and fragment.name.split(".")[1] in kinds, fragment.name
