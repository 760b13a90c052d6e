"""Runs a reader over the kit, through an adapter, in a process of its own: what crashes there stops nothing here."""

import importlib
import importlib.util
import json
import multiprocessing
import sys
import traceback
from pathlib import Path

import numpy as np

from conformance.cases import KIT, LOSSES, NotOffered, cases
from conformance.score import Score, compare_hits, compare_rows

__all__ = ["load_adapter", "run"]

_VECTORS = ("headers", "hits", "count_mode", "edges", "spidr_control", "control")


def load_adapter(name):
    """The module of an adapter: one of ``conformance/adapters``, an importable name, or the path of a file."""
    if name.endswith(".py"):
        specification = importlib.util.spec_from_file_location(Path(name).stem, name)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module
    own = f"conformance.adapters.{name}"
    return importlib.import_module(own if importlib.util.find_spec(own) else name)


def run(adapter, only=(), kit=KIT, seconds=120):
    """Run all cases, or those whose names begin with one of `only`.

    Yields
    ------
    name, aspect : str
    passed : bool or None
        None where the reader does not offer it.
    says : str
    """
    jobs = [name for name in _job_names(kit) if not only or name.startswith(tuple(only))]
    context = multiprocessing.get_context("spawn")
    process = None
    for name in jobs:
        if process is None:
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(adapter, str(kit), theirs), daemon=True)
            process.start()
            theirs.close()
        try:
            ours.send(name)
            found = ours.recv() if ours.poll(seconds) else [("all", False, f"no answer after {seconds:g} s")]
            crashed = found[0][0] == "all"
        except (EOFError, OSError):
            process.join()
            found, crashed = [("all", False, f"the process ended with code {process.exitcode}")], True
        yield from ((name, *row) for row in found)
        if crashed:
            process.kill()
            process.join()
            process = None
    if process is not None:
        ours.send(None)
        process.join()


def _job_names(kit):
    vectors = [f"vectors/{path.stem}" for path in sorted((Path(kit) / "vectors").glob("*.json"))]
    return vectors + [f"{case.group}/{case.name}" for case in cases(kit)]


def _serve(adapter, kit, pipe):
    """Child: answer names of cases until None comes."""
    sys.stdout = sys.stderr  # what a reader prints does not mix with the table
    reader = load_adapter(adapter)
    by_name = {f"{case.group}/{case.name}": case for case in cases(kit)}
    while (name := pipe.recv()) is not None:
        folder, _, stem = name.partition("/")
        if folder == "vectors":
            content = json.loads((Path(kit) / "vectors" / f"{stem}.json").read_text(encoding="utf-8"))
            rows = [("values", *_vectors(reader, stem, content))]
        else:
            rows = [(aspect, *_aspect(reader, by_name[name], aspect)) for aspect in by_name[name].aspects]
        pipe.send(rows)


def _guarded(function):
    """Call a part of a reader; whatever it raises is an answer."""

    def guarded(*arguments):
        try:
            score = function(*arguments)
        except NotOffered as error:
            return None, str(error) or "not offered"
        except BaseException as error:  # a panic of a compiled extension is not an Exception
            traceback.print_exc()
            return False, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return score.passed, str(score)

    return guarded


def _part(reader, name):
    if not hasattr(reader, name):
        raise NotOffered("not offered")
    return getattr(reader, name)


@_guarded
def _vectors(reader, name, content):
    if name == "layouts":
        return _layouts(_part(reader, "pixel"), content)
    if name == "global_times":
        pair = _part(reader, "global_time")
        wrong = [p["low"] for p in content["pairs"] if pair(int(p["low"], 16), int(p["high"], 16)) != p["ticks"]]
        return _counted(len(content["pairs"]), wrong)
    if name not in _VECTORS:
        raise NotOffered("not offered")
    wrong, n = [], 0
    for entry in content["words"]:
        found = _part(reader, "word")(int(entry["word"], 16), entry["kind"])
        said = {**entry["fields"], **{key: entry[key] for key in entry if key not in ("word", "kind", "fields")}}
        n += bool(found)
        if any(found[key] != said[key] for key in found):
            wrong.append(entry["word"])
    if not n:
        raise NotOffered("not offered")
    return _counted(n, wrong)


def _layouts(pixel, content):
    wrong, n = [], 0
    for entry in content["layouts"]:
        for chip, x, y, *place in entry["chip_x_y_column_row"]:
            n += 1
            if list(pixel(entry["layout"], entry["gap"], entry["orientation"], chip, x, y)) != place:
                wrong.append(f"{entry['layout']} {entry['orientation']} gap {entry['gap']} chip {chip}")
    return _counted(n, wrong)


def _counted(n, wrong):
    return Score(not wrong, [f"{len(wrong)} of {n} differ, such as {wrong[0]}" if wrong else f"equal ({n})"])


@_guarded
def _aspect(reader, case, aspect):
    if case.about["format"] not in reader.FORMATS:
        raise NotOffered("not offered")
    if aspect == "refused":
        return _refused(reader, case)
    found = _part(reader, aspect)(case)
    if aspect == "hits":
        return compare_hits(case.hits(), found, case.about["sig_shape"], found.get("unit", "ticks"))
    if aspect == "rows":
        return compare_rows(case.rows(), found, case.about["sig_shape"])
    return (_edges if aspect == "edges" else _losses)(case, found)


def _refused(reader, case):
    """Any error will do but one that is not an Exception, such as a panic."""
    read = _part(reader, "rows")
    try:
        read(case)
    except NotOffered:
        raise
    except Exception as error:
        return Score(True, [f"refused: {type(error).__name__}"])
    return Score(False, ["read without an error"])


def _edges(case, found):
    expected = case.edges()
    expected = expected[expected["ticks"] >= 0]
    wanted = set(zip(*(expected[name].tolist() for name in ("kind", "counter", "ticks")), strict=True))
    other = list(zip(*(np.asarray(found[name]).tolist() for name in ("kind", "counter", "ticks")), strict=True))
    missing, extra = len(wanted - set(other)), len(set(other) - wanted)
    says = [f"{missing} of {len(wanted)} edges missing"] if missing else []
    says += [f"{extra} edges that are not in the file"] if extra else []
    says += ["copies of edges"] if len(set(other)) < len(other) else []
    return Score(not says, says or ["equal"])


def _losses(case, found):
    expected = case.about["losses"]
    says = [
        f"{name} {found.get(name, 0)} in place of {expected.get(name, 0)}"
        for name in LOSSES
        if found.get(name, 0) != expected.get(name, 0)
    ]
    return Score(not says, says or ["equal"])
