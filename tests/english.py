"""Words that a native reader stumbles over, in names and in text: the check ``english`` of ``python -m tests.checks``.

Names are those that a module binds: of modules, functions, classes, arguments, variables and attributes. Text is every
line of a file: messages, docstrings, comments and pages.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

FOLDERS = (
    "rsciio_tpx3", "hyperspy_sparse", "benchmarks", "conformance", "docs", "tests", "README.md", "CONTRIBUTING.md",
)  # fmt: skip
"""Folders and files that are checked. One is added once nothing is found in it."""

ABOUT_WORDS = ("tests/english.py", "tests/packaging/test_checks.py")
"""Files that hold the words in order to look for them."""

NAMES = {
    "account": "report, record",
    "asked": "requested",
    "beside": "adjacent, neighbour, next_to",
    "given": "requested, user_input, values",
    "growing": "follow, resumed, growable",
    "kept": "keep (a mask), cached, chosen, remaining",
    "left_out": "excluded",
    "told": "stated, requested, reported",
    "waiting": "pending, deferred",
}
"""Participles that say of a value how it came, not what it is; and what it may be."""

PHRASES = {
    r"\btold\b": "stated, requested, known, reported; 'distinguished from' for 'told from'",
    r"\baccounts? of\b|\baccount\b": "report, record",
    r"\bbeside\b": "compared with, next to",
    r"\bmend(?:s|ed|ing)?\b": "repair",
    r"\bleft out\b": "excluded, omitted",
    r"\b(?:is|are|was|were) none of\b": "is not valid: must be one of",
    r"(?<![tT]here )\b(?:is|are|was|were) no (?:[A-Z]\w+|hit|picture|image|file|number|name|mask|scan|signal|such)\b": (
        "is not a"
    ),
    r"\bwhole numbers? (?:is|are) (?:needed|expected)": "expected an integer, got",
    r"\b(?:bytes|counts|electrons|events|hits|MB|ns|ticks|words) an? "
    r"(?:chunk|electron|entry|event|file|frame|hit|line|pixel|position|row|second)\b": "per",
    r"\basked (?:of|about)\b": "requested, found, checked",
}
"""What is not written, as regular expressions, and what is written instead."""

EXCEPTIONS = {
    "left_out": "a key of metadata and of cached tallies since 0.1",
    "hits_left_out": "a key of metadata and of cached tallies since 0.1",
    "in lines left out of the scan": "a key of metadata since 0.1",
    "kept": "the method of a correction that excludes hits: those of others define it",
}
"""Names and lines of text that stay, and why."""

_NAME = re.compile(rf"(?:^|_)({'|'.join(NAMES)})(?:_|$)", re.IGNORECASE)
_PHRASES = [(re.compile(pattern), instead) for pattern, instead in PHRASES.items()]


def names_of(text: str) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a module binds."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def faults(path: Path, text: str | None = None) -> list[str]:
    """What is to be said otherwise in a file, as lines for its writer."""
    text = path.read_text(encoding="utf-8") if text is None else text
    found = []
    if path.suffix == ".py":
        for line, name in [(1, path.stem), *names_of(text)]:
            word = _NAME.search(name)
            if word and name not in EXCEPTIONS:
                found.append((line, f"the name {name!r}: better {NAMES[word[1].lower()]}"))
    for number, line in enumerate(text.splitlines(), 1):
        if any(exception in line for exception in EXCEPTIONS if " " in exception):
            continue
        for pattern, instead in _PHRASES:
            phrase = pattern.search(line)
            if phrase:
                found.append((number, f"{phrase[0]!r}: better {instead}"))
    return [f"{path}:{line}: {said}" for line, said in sorted(found)]


def check_folders(root: Path, folders: Sequence[str] = FOLDERS) -> int:
    """Print what is found in the modules and pages of folders, or in files, and return how much it is."""
    found = []
    for folder in folders:
        place = root / folder
        paths = sorted(place.rglob("*")) if place.is_dir() else [place]
        for path in paths:
            if path.relative_to(root).as_posix() in ABOUT_WORDS:
                continue
            if path.suffix in (".py", ".pyi", ".md") and path.is_file():
                found += faults(path.relative_to(root), path.read_text(encoding="utf-8"))
    for line in found:
        print(line, flush=True)
    return len(found)
