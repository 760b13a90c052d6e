"""Every byte of a small counted file is changed, one at a time: an error, an equal result, or a fault.

    python -m tests.campaigns.bytes                     2000 places of each file, one changed bit at each
    python -m tests.campaigns.bytes --every stempy-2    every place of one file, and three changes at each
    python -m tests.campaigns.bytes --places 300 --seed 5

A file that this project writes has checksums of all that it holds, so a changed byte is noticed or means nothing.
Prints how often each was met, and the places that were read as other counts; exit status 1 for any.
"""

import argparse
import importlib
import logging
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from tests.fuzz.case import FAULTS
from tests.fuzz.judge import run
from tests.fuzz.targets import target_of
from tests.fuzz.targets.making import counted_file, written

__all__ = ["FILES", "campaign"]

FILES = {
    "raw_csr": ("raw_csr", lambda: dict(counted_file(".toml"))),
    "raw_csr-compact": ("raw_csr", lambda: _written("raw_csr", "a.toml", np.float32, compact=True)),
    "nxevent-blosc2": ("nxevent", lambda: dict(counted_file(".nxevent"))),
    "nxevent-gzip": ("nxevent", lambda: _written("nxevent", "a.nxevent", np.uint16, compression="gzip")),
    "nxevent-heights": ("nxevent", lambda: _written("nxevent", "a.nxevent", np.float32)),
    "nxevent-kept": ("nxevent", lambda: dict(counted_file(".nxevent", keep=("time", "tot")))),
    "stempy-1": ("stempy", lambda: _written("stempy", "a.h5", np.uint8, version=1)),
    "stempy-2": ("stempy", lambda: _written("stempy", "a.h5", np.uint8, version=2)),
    "stempy-3": ("stempy", lambda: _written("stempy", "a.h5", np.uint8, version=3)),
}


def _written(module, name, dtype, **options):
    return written(importlib.import_module(f"rsciio_tpx3.{module}").file_writer, name, dtype, **options)


def campaign(name, folder, places=None, seed=0, changes=1):
    """Change bytes of one of `FILES`, read each, and compare.

    Parameters
    ----------
    name : str
    folder : Path
        For the files.
    places : int, optional
        How many, drawn at random; all of them by default.
    seed : int
    changes : int
        Changes at each place.

    Returns
    -------
    outcomes : collections.Counter
    faults : list of str
        File, place, change, and what became of it.
    """
    target_name, make = FILES[name]
    target, files = target_of(target_name), make()
    rng = np.random.default_rng([seed, sorted(FILES).index(name)])
    every = [(file, i) for file in sorted(files) for i in range(len(files[file]))]
    if places is not None and places < len(every):
        every = [every[i] for i in np.sort(rng.choice(len(every), places, replace=False))]
    outcomes, faults = Counter(), []
    for file, i in every:
        for _ in range(changes):
            content = bytearray(files[file])
            change = 1 << int(rng.integers(8)) if changes == 1 else int(rng.integers(1, 256))
            content[i] ^= change
            # what is there is compared with what was written, in whatever file the change is
            verdict = run(target, {**files, file: bytes(content), "how": b"bytes"}, files, folder)
            outcomes[verdict.outcome] += 1
            if verdict.outcome in FAULTS:
                faults.append(f"{file} byte {i} of {len(content)} ^ {change:#04x}: {verdict.outcome}: {verdict.note}")
    return outcomes, faults


def main():
    parser = argparse.ArgumentParser("python -m tests.campaigns.bytes", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(FILES)}; all by default")
    parser.add_argument("--places", type=int, default=2000)
    parser.add_argument("--every", action="store_true", help="all places, and three changes at each")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in options.names or FILES:
            places, changes = (None, 3) if options.every else (options.places, 1)
            outcomes, faults = campaign(name, Path(folder) / "run", places, options.seed, changes)
            print(f"{name:18}", ", ".join(f"{n} {what}" for what, n in outcomes.most_common()), flush=True)
            for fault in faults[:20]:
                print("   ", fault)
            wrong += len(faults)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
