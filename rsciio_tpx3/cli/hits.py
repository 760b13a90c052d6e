"""``rsciio-tpx3 hits``: the hits of a recording as a table in a Parquet file, for other programs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rsciio_tpx3.cli.options import add_files, add_reader_options, reader_options, recordings
from rsciio_tpx3.hit_table import HitBatch, read_hits
from rsciio_tpx3.reader.options import names_of
from rsciio_tpx3.utils.files import PartialFiles
from rsciio_tpx3.utils.text import counted

if TYPE_CHECKING:
    import argparse

__all__ = ["add_hits_parser", "write_parquet"]


def add_hits_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add ``hits`` to the command line; ``args.run(args)`` does it."""
    parser = subparsers.add_parser(
        "hits",
        help="write the hits, or electrons, of a recording to a Parquet file",
        description="Write the hits of a recording in order of time to a table in a Parquet file: x, y, toa (ticks of "
        "1 / 3.84 GHz), tot (25 ns), and the scan position where a scan is known. Memory stays that of a batch.",
    )
    add_files(parser, 1, "several are pieces of one acquisition, unless --each")
    parser.add_argument("--each", action="store_true", help="each FILE is a recording of its own, with its own table")
    parser.add_argument("--output", metavar="FILE", help="the table; FILE.parquet next to the recording by default")
    parser.add_argument("--start", metavar="TIME", help='from this time on the detector\'s clock, such as "1 ms"')
    parser.add_argument("--stop", metavar="TIME", help="up to this time")
    parser.add_argument("--scan", action="store_true", help="add the scan position of each hit")
    parser.add_argument("--overwrite", action="store_true", help="replace a table that is there")
    add_reader_options(parser, "scan", "source", "events")
    parser.set_defaults(run=_run)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    options = reader_options(arguments)
    about_scan = {name: options.pop(name) for name in names_of("scan") if name in options}
    named = recordings(arguments)
    if arguments.output and len(named) > 1:
        raise ValueError("--output names one table, and --each makes one for each recording. Leave one of them out.")
    for recording in named:
        first = recording if isinstance(recording, str) else recording[0]
        target = arguments.output or f"{os.path.splitext(first)[0]}.parquet"
        if os.path.exists(target) and not arguments.overwrite:
            raise FileExistsError(f"{target!r} is there already. Pass --overwrite, or another --output.")
        scan = about_scan or (True if arguments.scan else None)
        batches = read_hits(recording, arguments.start, arguments.stop, scan=scan, **options)
        print(f"{target}: {counted(write_parquet(target, batches), 'row', 'rows')}")


def write_parquet(path: str, batches: Iterable[HitBatch]) -> int:
    """Write batches of hits to a Parquet file, which appears under its name when it is complete.

    Parameters
    ----------
    path : str
    batches : iterable of HitBatch

    Returns
    -------
    int
        Rows.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    ValueError
        If there is no batch, so that nothing tells the columns.
    """
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise ImportError("Parquet needs pyarrow. Install it by: pip install pyarrow") from None
    rows, writer = 0, None
    with PartialFiles(path) as files:
        try:
            for batch in batches:
                table = batch.to_arrow()
                writer = parquet.ParquetWriter(files.path(), table.schema) if writer is None else writer
                writer.write_batch(table)
                rows += len(batch)
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            raise ValueError("There are no hits in this recording, or in this span of time.")
        files.commit()
    return rows
