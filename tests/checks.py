"""The checks that need no test, with and without git hooks: ``python -m tests.checks``.

``python -m tests.checks spelling types`` runs some of them, ``--fix`` repairs what can be repaired. The hooks of
``.pre-commit-config.yaml`` and ``tests/packaging/test_checks.py`` run the same, so that one list decides.
"""

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests import english

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]

WINGS = [
    *(f"rsciio_tpx3/{name}" for name in "utils events scan electrons corrections csr frames reader".split()),
    "hyperspy_sparse/kernels",
]
"""What mypy reads if ``[tool.mypy]`` names no files itself."""

_TEXTS = {".cff", ".md", ".py", ".pyi", ".toml", ".yaml", ".yml"}
_FOLDERS = (".github", "benchmarks", "conformance", "docs", "hyperspy_sparse", "rsciio_tpx3", "tests")


def texts() -> Iterator[Path]:
    """Files written by hand; recordings and the descriptions that come with them stay as they came."""
    inside = (path for folder in _FOLDERS for path in (ROOT / folder).rglob("*"))
    for path in sorted([*ROOT.iterdir(), *inside]):
        if path.suffix in _TEXTS and path.is_file() and "corpus" not in path.parts:
            yield path


def check_text(fix: bool) -> int:
    """Number of files with blanks at the end of lines, without one newline at the end, or with marks of a conflict."""
    n_faults = 0
    for path in texts():
        # newline translation: a checkout on Windows may have its own
        found = path.read_text(encoding="utf-8")
        lines = [line.rstrip() for line in found.rstrip().splitlines()]
        wanted = "".join(f"{line}\n" for line in lines)
        conflict = any(line.startswith(("<<<<<<< ", ">>>>>>> ")) for line in lines)
        if found == wanted and not conflict:
            continue
        n_faults += 1
        said = "marks of a conflict" if conflict else "blanks at the end of a line or of the file, or no newline there"
        print(f"{path.relative_to(ROOT)}: {said}", flush=True)
        if fix and not conflict:
            path.write_text(wanted, encoding="utf-8")
    return n_faults


def _run(module: str, *arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT).returncode


def check_lint(fix: bool) -> int:
    return _run("ruff", "check", *(["--fix"] if fix else []), ".")


def check_format(fix: bool) -> int:
    return _run("ruff", "format", *([] if fix else ["--diff"]), ".")


def check_spelling(fix: bool) -> int:
    # a word that is not known is not always a mistake: nothing is changed here
    return _run("codespell_lib", ".")


def check_english(fix: bool) -> int:
    return english.check_folders(ROOT)


def _mypy_table() -> dict | None:
    """``[tool.mypy]`` of the project."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"].get("mypy")


def check_types(fix: bool) -> int:
    table = _mypy_table()
    if table is None:
        print("no [tool.mypy] in pyproject.toml: types are not checked", flush=True)
        return 0
    return _run("mypy", *([] if {"files", "packages", "modules"} & set(table) else WINGS))


CHECKS = {
    "text": check_text,
    "lint": check_lint,
    "format": check_format,
    "spelling": check_spelling,
    "english": check_english,
    "types": check_types,
}
TOOLS = {"lint": "ruff", "format": "ruff", "spelling": "codespell_lib", "types": "mypy"}
"""The module that a check needs."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.checks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(CHECKS)}; all if none is given")
    parser.add_argument("--fix", action="store_true", help="repair what can be repaired")
    chosen = parser.parse_args(arguments)
    unknown = sorted(set(chosen.names) - set(CHECKS))
    if unknown:
        parser.error(f"{unknown[0]!r} is not a check: must be one of {', '.join(CHECKS)}")
    failed = []
    for name in chosen.names or CHECKS:
        tool = TOOLS.get(name)
        if tool and importlib.util.find_spec(tool) is None:
            print(f"{name}: {tool} is not installed; python -m pip install -e '.[tests]' brings it", flush=True)
            failed.append(name)
        elif CHECKS[name](chosen.fix):
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks pass", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
