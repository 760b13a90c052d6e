"""Try everything that can go wrong around files, and print a table.

    python -m tests.chaos [--rounds N] [--minutes M] [NAME ...]

NAME limits it to writers and formats with this in their name. Exit status 1 if anything is wrong.
"""

import argparse
import logging
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import chaos_scenarios as scenarios  # noqa: E402
from chaos_readers import READERS  # noqa: E402
from chaos_writers import WRITERS  # noqa: E402


def tries(rounds):
    """Name and callable of each scenario."""
    for writer in WRITERS:
        yield f"kills, {writer.name}", lambda writer=writer: scenarios.kills(writer)
        yield f"two writers, {writer.name}", lambda writer=writer: scenarios.two_writers(writer, rounds)
        yield f"full disk, {writer.name}", lambda writer=writer: scenarios.full_disk(writer)
        yield f"read-only folder, {writer.name}", lambda writer=writer: scenarios.read_only_folder(writer)
    for ending in ("hspy", "zspy"):
        yield f"killed while HyperSpy writes, {ending}", lambda ending=ending: scenarios.host_formats(ending)
    for name in READERS:
        yield f"changing input, {name}", lambda name=name: scenarios.changing_input(name)
    for scheduler in ("processes", "distributed"):
        yield f"worker killed, {scheduler}", lambda scheduler=scheduler: scenarios.workers(scheduler, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only scenarios with one of these words in their name")
    parser.add_argument("--rounds", type=int, default=100, help="pairs of writers for each format (100)")
    parser.add_argument("--minutes", type=float, default=30, help="begin nothing after so many minutes (30)")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    begin, wrong = time.monotonic(), []
    for name, scenario in tries(options.rounds):
        if options.names and not any(word in name for word in options.names):
            continue
        if time.monotonic() - begin > 60 * options.minutes:
            print(f"{name:42} not begun: {options.minutes} minutes are over", flush=True)
            continue
        table = scenario()
        wrong += table.wrong
        print(table.line(name), flush=True)
    for text in wrong:
        print("WRONG", text)
    print(f"{len(wrong)} wrong in {time.monotonic() - begin:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
