"""Odd values for every option of every public function, and of the command line.

    python -m tests.sweep                     each of the odd values once
    python -m tests.sweep --random 200        and so many made by chance for each option
    python -m tests.sweep nxevent. .chunks    functions and options with one of these words in "function option"

Prints what is neither an answer nor an error that names the option; exit status 1 for any.
"""

import argparse
import logging
import os
import secrets
import sys
import tempfile
import warnings
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

from tests.sweep import functions
from tests.sweep.run import fault_of
from tests.sweep.values import ODD, odd_value

__all__ = ["sweep"]


def sweep(folder, seed, number=0, whole=True, words=(), tell=print):
    """Faults of all options; each is also handed to `tell` as it is found.

    Parameters
    ----------
    folder : Path
        For files.
    seed : int
    number : int
        Values made by chance for each option.
    whole : bool
        All of the odd values too.
    words : sequence of str
    tell : callable

    Returns
    -------
    n_runs : int
    faults : list of str
    """
    functions.make_files(folder)
    before = {entry.name for entry in folder.iterdir()}
    faults, n_runs, seen = [], 0, Counter()
    for function, call in {**functions.calls(folder), **functions.commands(folder)}.items():
        for option in call.options():
            about = f"{function} {option}"
            if words and not any(word in about for word in words):
                continue
            rng = np.random.default_rng([seed, zlib.crc32(about.encode())])
            chosen = [*(ODD if whole else ()), *(odd_value(rng) for _ in range(number))]
            for value in chosen:
                if option in call.writes and not _is_harmless(value):
                    continue
                if option == "scheduler" and callable(value):
                    continue  # a function of somebody's own, that does what it likes
                n_runs += 1
                fault = fault_of(call, option, value)
                if fault:
                    text = f"{about}={_shown(value)}: {fault}"
                    faults.append(text)
                    seen[about] += 1
                    if seen[about] <= 4:
                        tell(text)
            functions.tidy(folder, before)
    return n_runs, faults


def _is_harmless(value):
    """Whether a place to write to lies in the folder of the sweep, or is none: whoever is root may write anywhere."""
    if isinstance(value, (bytes, bytearray)):
        return False
    if isinstance(value, (list, tuple)):
        return all(map(_is_harmless, value))
    if not isinstance(value, (str, os.PathLike)):
        return True
    parts = Path(value).parts
    return len(parts) == 1 and parts[0] not in ("..", "/", "~")


def _shown(value):
    try:
        return repr(value)[:60]
    except Exception:
        return f"<{type(value).__name__}>"


def quiet():
    """No warnings, no log, nothing kept between runs."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")


def main():
    parser = argparse.ArgumentParser("python -m tests.sweep", description=__doc__)
    parser.add_argument("words", nargs="*", help="only these")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="values made by chance for each option")
    parser.add_argument("--seed", type=int, help="of these; another one each time by default")
    options = parser.parse_args()
    seed = secrets.randbits(31) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RSCIIO_TPX3_CACHE"] = str(Path(folder) / "cache")
        os.chdir(folder)
        (Path(folder) / "work").mkdir()
        n_runs, faults = sweep(
            Path(folder) / "work", seed, options.random, words=options.words, tell=lambda text: print(text, flush=True)
        )
    print(f"{n_runs} runs, {len(faults)} wrong")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
