"""Damaged files by the thousand, each read within limits and compared with a plain decoder.

    python -m tests.fuzz                       all targets, one minute each
    python -m tests.fuzz --minutes 30 tpx3     one target, for half an hour
    python -m tests.fuzz --runs 100000 --jobs 2
    python -m tests.fuzz --show tpx3 12345     make the files of one run again, and say what became of it
    python -m tests.fuzz --keep tpx3 12345     and put them into the corpus, which every test run reads

Prints a table: how many runs gave the oracle's answer, an answer with every difference counted as a loss, a refusal in
words, and how many were faults (other data without a word, an error that is not ours, a hang, a crash, or more memory
than 64 MiB and ten times the size of the files). Exit status 1 for any fault.
"""

import argparse
import secrets
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz import judge
from tests.fuzz.campaign import campaign
from tests.fuzz.case import FAULTS, OUTCOMES
from tests.fuzz.corpus import keep
from tests.fuzz.targets import TARGETS, target_of
from tests.fuzz.worker import files_of_run, quiet, warm_up


def _arguments():
    parser = argparse.ArgumentParser(
        "python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"any of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--minutes", type=float, help="time for each target (1 by default)")
    parser.add_argument("--runs", type=int, help="runs of each target, instead of a time")
    parser.add_argument("--seed", type=int, help="of the campaign; another one each time by default")
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    parser.add_argument("--jobs", type=int, default=1, help="targets at the same time")
    parser.add_argument("--show", action="store_true", help="TARGET NUMBER: one run of a campaign again")
    parser.add_argument("--keep", action="store_true", help="TARGET NUMBER: as --show, and add its files to the corpus")
    return parser.parse_args()


def _again(name, number, seed, into_corpus):
    quiet()
    target = target_of(name)
    seeds = target.seeds()
    files, origin = files_of_run(target, seeds, seed, number)
    with tempfile.TemporaryDirectory() as folder:
        warm_up(target, seeds, Path(folder) / "run")
        print({n: len(content) for n, content in files.items()})
        print(judge.run(target, files, origin, Path(folder) / "run"))
    if into_corpus:
        print(keep(name, files, origin))


def _table(reports):
    print(f"\n| target | runs | {' | '.join(OUTCOMES)} | runs/s |")
    print("|---" * (len(OUTCOMES) + 3) + "|")
    for r in reports:
        rate = r.runs / r.seconds if r.seconds else 0
        print(f"| {r.name} | {r.runs:,} | {' | '.join(f'{r.counts[o]:,}' for o in OUTCOMES)} | {rate:.0f} |")
    total = sum((r.counts for r in reports), Counter())
    print(f"| all | {total.total():,} | {' | '.join(f'{total[o]:,}' for o in OUTCOMES)} | |")
    return sum(total[o] for o in FAULTS)


def main():
    options = _arguments()
    if options.show or options.keep:
        return _again(options.targets[0], int(options.targets[1]), options.seed or 0, options.keep)
    seed = secrets.randbits(31) if options.seed is None else options.seed
    seconds = None if options.runs else 60 * (options.minutes or 1)
    print(f"seed {seed}", flush=True)

    def say(name, fault):
        print(f"{name} run {fault['number']}: {fault['outcome']}: {fault['note']}", flush=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        names = options.targets or list(TARGETS)
        reports = list(pool.map(lambda n: campaign(n, seed, options.runs, seconds, options.first, say), names))
    return 1 if _table(reports) else 0


if __name__ == "__main__":
    sys.exit(main())
