"""The structure of the code in figures: ``python -m benchmarks.structure [CHECKOUT]``.

Modules, lines, functions, annotated arguments, imports inside functions, imports against the layers of
``docs/contributing/architecture.md``, and how often the default of a reader's option is declared.
"""

import ast
import statistics
import sys
from pathlib import Path

__all__ = ["LAYERS", "against_layers", "figures", "imports_of", "modules"]

PACKAGES = ("rsciio_tpx3", "hyperspy_sparse")

LAYERS = (
    ("exceptions",),
    ("utils",),
    ("formats",),
    ("events",),
    ("csr",),
    ("scan",),
    ("electrons",),
    ("cache",),
    ("corrections",),
    ("frames",),
    ("metadata",),
    ("reader",),
    ("tpx3", "t3pa", "raw_csr", "stempy", "nxevent", "_register", "_moved"),
    ("recording", "testing"),
    ("information", "hit_table", "scan_delay"),
    ("convert",),
    ("simulate",),
    ("live",),
    ("cli",),
    ("__main__",),
    ("tests",),
)
"""Wings of ``rsciio_tpx3`` from the bottom up: each may import those before it, and modules of its own."""


def modules(root):
    """Names and paths of all modules of both packages."""
    found = {}
    for package in PACKAGES:
        for path in sorted((Path(root) / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path):
    """Yield ``(line, module, names, inside a function)`` of each import of one of the packages, or of a host."""
    tree = ast.parse(Path(path).read_text(encoding="utf8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module, [alias.name for alias in node.names], id(node) in inside
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, [], id(node) in inside


_RANK = {wing: rank for rank, wings in enumerate(LAYERS) for wing in wings}
_ABOVE_ALL = {"hyperspy", "pyxem", "matplotlib", "hyperspy_sparse"}


def _wing(module):
    return module.split(".")[1] if "." in module else None


def against_layers(root):
    """Imports of ``rsciio_tpx3`` that look up: ``["module:line imports module", ...]``."""
    known = modules(root)
    wrong = []
    for name, path in known.items():
        if not name.startswith("rsciio_tpx3."):
            continue
        for line, module, names, _ in imports_of(path):
            if module.split(".")[0] in _ABOVE_ALL:
                wrong.append(f"{name}:{line} imports {module}")
            if module.split(".")[0] != "rsciio_tpx3":
                continue
            targets = [f"{module}.{n}" if f"{module}.{n}" in known else module for n in names] or [module]
            for target in targets:
                wing, own = _wing(target), _wing(name)
                if wing is None or wing == own:
                    continue
                rank = _RANK.get(wing, len(LAYERS))
                if rank > _RANK.get(own, -1) or (rank == _RANK.get(own) and own in _RANK):
                    wrong.append(f"{name}:{line} imports {target}")
    return wrong


def _functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def _docstring_lines(function):
    text = ast.get_docstring(function, clean=False)
    return text.count("\n") + 1 if text else 0


def _arguments(function):
    all_arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [a for a in all_arguments if a.arg not in ("self", "cls")]


def _comment_lines(text):
    return sum(line.lstrip().startswith("#") or "  # " in line for line in text.splitlines())


_FEW = 5


def _declared_defaults(trees, option):
    """Signatures, dataclass fields and tables of options in which an option has a default."""
    count = 0
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                arguments = node.args.args
                with_default = arguments[len(arguments) - len(node.args.defaults) :]
                names = {a.arg for a in with_default}
                count += option in names and len(names) > _FEW  # a reader, not a helper that takes the value
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                count += node.target.id == option
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Option" and node.args:
                count += getattr(node.args[0], "value", None) == option
    return count


def figures(root):
    """All figures of a checkout, as a dictionary of numbers."""
    known = modules(root)
    texts = {name: path.read_text(encoding="utf8") for name, path in known.items()}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    functions = [f for tree in trees.values() for f in _functions(tree)]
    lengths = [f.end_lineno - f.lineno + 1 for f in functions]
    code = [n - _docstring_lines(f) for n, f in zip(lengths, functions, strict=True)]
    arguments = [a for f in functions for a in _arguments(f)]
    lines = sum(text.count("\n") for text in texts.values())
    imports = [entry for path in known.values() for entry in imports_of(path)]
    own = [tree for name, tree in trees.items() if name.startswith("rsciio_tpx3") and ".simulate" not in name]
    return {
        "modules": len(known),
        "lines": lines,
        "functions": len(functions),
        "median lines of a function": statistics.median(lengths),
        "largest function": max(lengths),
        "functions above 60 lines": sum(n > 60 for n in lengths),
        "the same without docstrings": sum(n > 60 for n in code),
        "arguments annotated, %": round(100 * sum(a.annotation is not None for a in arguments) / len(arguments), 1),
        "imports inside functions": sum(inside for *_, inside in imports),
        "imports against the layers": len(against_layers(root)),
        "declarations of the default of lines_per_row": _declared_defaults(own, "lines_per_row"),
        "comment lines, %": round(100 * sum(_comment_lines(t) for t in texts.values()) / lines, 1),
    }


def main(arguments):
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[1]
    for name, value in figures(root).items():
        print(f"{name:48} {value}")
    for line in against_layers(root):
        print("  ", line)


if __name__ == "__main__":
    main(sys.argv[1:])
