"""``rsciio-tpx3 compile``: compile what the usual work needs before somebody waits for it."""

from __future__ import annotations

import os
import tempfile
import time
from typing import TYPE_CHECKING, Any

from rsciio_tpx3 import file_reader, nxevent, raw_csr, simulate
from rsciio_tpx3.utils.compiling import announce
from rsciio_tpx3.utils.extensions import extension

if TYPE_CHECKING:
    import argparse


__all__ = ["add_compile_parser", "compile_usual"]


def add_compile_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add ``compile`` to the command line; ``args.run(args)`` does it."""
    parser = subparsers.add_parser(
        "compile",
        help="compile the functions of the usual work now, so that the first recording does not wait for it",
        description="Compile the functions of the usual work, once per installation: a small recording is simulated in "
        "a temporary folder, read with hits and electrons, written in the counted formats, and analysed.",
    )
    parser.set_defaults(run=_run)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    start = time.perf_counter()
    print(
        "Simulating, reading, writing and analysing a small recording: what is new is compiled on the way.", flush=True
    )
    n = compile_usual()
    outcome = "everything was compiled already" if n == 0 else f"{n} functions compiled and kept for the next use"
    print(f"{outcome}, {time.perf_counter() - start:.0f} s")


def compile_usual() -> int:
    """Run the usual work on a small simulated recording, so that its functions are compiled and kept.

    Returns
    -------
    int
        Functions that were compiled; 0 where all had been.
    """
    before = announce().compiled
    with tempfile.TemporaryDirectory(prefix="rsciio_tpx3-compile-") as folder:
        path = os.path.join(folder, "scan.tpx3")
        simulate.demo(path, nav_shape=(16, 16), electrons_per_position=30)
        options = {"navigation_shape": (16, 16), "cache": False, "progress": False}
        signal = file_reader(path, **options)[0]
        file_reader(path, cluster=True, **options)
        for name, counted in (("scan.toml", raw_csr), ("scan.nxevent", nxevent)):
            counted.file_writer(os.path.join(folder, name), signal, show_progressbar=False)
            [again] = counted.file_reader(os.path.join(folder, name))
            again["data"].sum(axis=(0, 1)).compute(scheduler="synchronous")
        analyse = extension("compile_signals")
        if analyse is not None:
            analyse(path, navigation_shape=options["navigation_shape"])
    return announce().compiled - before
