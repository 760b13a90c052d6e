"""What pyproject.toml cannot say: the description for the package index, which has no folders beside it.

There a link to ``docs/guide/load.md`` or a picture of ``docs/images`` leads nowhere. They become addresses below
``Source`` of ``[project.urls]`` in pyproject.toml; as long as there is none, links become their words, and pictures go.
"""

import re
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent


def source_address(project: str) -> str:
    """The address ``Source`` in the text of pyproject.toml; empty where there is none."""
    table = re.search(r"^\[project\.urls\]\n((?:(?!\[).*\n)*)", project, re.MULTILINE)
    found = table and re.search(r'^Source = "(.+?)/?"', table[1], re.MULTILINE)
    return found[1] if found else ""


def for_index(text: str, address: str) -> str:
    """The README with links that hold away from the repository."""

    def link(match: re.Match) -> str:
        mark, words, target = match.groups()
        if re.match(r"[a-z+]+:|#", target):
            return match[0]
        if address:
            return f"{mark}[{words}]({address}/{'raw' if mark else 'blob'}/main/{target})"
        return "" if mark else words

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", link, text)


if __name__ == "__main__":
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    setup(
        long_description=for_index(readme, source_address(project)),
        long_description_content_type="text/markdown; charset=UTF-8; variant=GFM",
    )
