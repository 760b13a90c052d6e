"""The lines that the demo prints, on a screen where progress bars are drawn as well."""

import sys

from rsciio_tpx3.utils.steps import step


def test_a_step_writes_its_whole_line_again_on_a_screen(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with step("Loading"):
        sys.stdout.write("\rCompiling: 3 functions")  # as a bar does
    last = capsys.readouterr().out.rstrip("\n").rpartition("\r")[2]
    assert last.startswith("Loading ... ") and last.endswith(" s")


def test_a_step_writes_one_line_into_a_file(capsys):
    with step("Loading"):
        pass
    out = capsys.readouterr().out
    assert out.count("Loading") == 1 and out.count("\n") == 1 and "\r" not in out
