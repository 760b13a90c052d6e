"""``python -m conformance ADAPTER``: try a reader on the kit, and say what it passes."""

import argparse
import json
import sys
from pathlib import Path

from conformance.cases import KIT
from conformance.runner import load_adapter, run


def main(arguments=None):
    """Exit code 1 if anything that the reader offers differs."""
    adapters = sorted(path.stem for path in (KIT / "adapters").glob("[!_]*.py"))
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__.splitlines()[0])
    parser.add_argument("adapter", help=f"one of {', '.join(adapters)}, a module, or a file of your own")
    parser.add_argument("only", nargs="*", help="beginnings of names of cases, such as streams/sync")
    parser.add_argument("--json", type=Path, help="write the result to a file as well")
    parser.add_argument("--seconds", type=float, default=120, help="time for one case (default: 120)")
    parser.add_argument("--quiet", action="store_true", help="show what differs, and the sums")
    options = parser.parse_args(arguments)
    version = load_adapter(options.adapter).version()
    rows = []
    for name, aspect, passed, says in run(options.adapter, options.only, seconds=options.seconds):
        rows.append({"case": name, "aspect": aspect, "passed": passed, "says": says})
        if passed is False or not options.quiet:
            mark = {True: "pass", False: "DIFFERS", None: "-"}[passed]
            print(f"{name:36} {aspect:7} {mark:8} {says}", flush=True)
    n = {passed: sum(row["passed"] is passed for row in rows) for passed in (True, False, None)}
    print(f"{version}: {n[True]} pass, {n[False]} differ, {n[None]} not offered")
    if options.json:
        result = {"adapter": options.adapter, "version": version, "results": rows}
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(n[False] > 0)


if __name__ == "__main__":
    sys.exit(main())
