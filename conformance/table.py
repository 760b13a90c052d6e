"""``python -m conformance.table RESULT.json ...``: results of several readers as tables in Markdown."""

import json
import sys
from collections import Counter
from pathlib import Path

__all__ = ["tables"]

_OFTEN = 3
_ASPECTS = ("hits", "rows", "edges", "losses", "refused", "values")


def tables(results):
    """Text of the tables, one for each group of cases, with a legend for what is said often.

    Parameters
    ----------
    results : list of dict
        As ``python -m conformance ADAPTER --json FILE`` writes them.
    """
    said = Counter(part for result in results for row in result["results"] for part in _differences(row))
    legend = {text: chr(ord("a") + i) for i, text in enumerate(t for t, n in said.most_common() if n >= _OFTEN)}
    groups = dict.fromkeys(row["case"].split("/")[0] for result in results for row in result["results"])
    out = [_table(group, results, legend) for group in groups]
    out += ["\n".join(f"* **{letter}**: {text}" for text, letter in legend.items())]
    return "\n\n".join(text for text in out if text) + "\n"


def _differences(row):
    return row["says"].split("; ") if row["passed"] is False else []


def _table(group, results, legend):
    """Rows for cases, columns for the readers that offer anything of the group."""
    cells = [_cells(group, result, legend) for result in results]
    columns = [i for i, found in enumerate(cells) if any(found.values())]
    if not columns:
        return ""
    lines = [
        "| " + " | ".join([group, *(results[i]["version"] for i in columns)]) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for case in dict.fromkeys(case for found in cells for case in found):
        if any(cells[i].get(case) for i in columns):
            lines.append("| " + " | ".join([f"`{case}`", *(cells[i].get(case, "") for i in columns)]) + " |")
    return "\n".join(lines)


def _cells(group, result, legend):
    """What is said of each case: aspects that pass, and differences of the others."""
    found = {}
    for row in result["results"]:
        where, _, case = row["case"].partition("/")
        if where == group:
            found.setdefault(case, []).append(row)
    return {case: _cell(rows, legend) for case, rows in found.items()}


def _cell(rows, legend):
    passed = [row["aspect"] for row in rows if row["passed"]]
    says = [", ".join(_ASPECTS[i] for i in sorted(_ASPECTS.index(aspect) for aspect in passed))] if passed else []
    for row in rows:
        parts = [f"**{legend[part]}**" if part in legend else part for part in _differences(row)]
        if parts:
            says.append("; ".join(parts))
    return "; ".join(says)


if __name__ == "__main__":
    print(tables([json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:]]), end="")
