"""``rsciio-tpx3 cache``: where the cache is and what it takes, and ``--clear`` to remove it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dask.utils import format_bytes

from rsciio_tpx3.cache.store import cache_folder, clear_cache
from rsciio_tpx3.utils.text import counted

if TYPE_CHECKING:
    import argparse

__all__ = ["add_cache_parser"]


def add_cache_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add ``cache`` to the command line; ``args.run(args)`` does it."""
    parser = subparsers.add_parser("cache", help="tell where the cache is and what it takes, or remove it")
    parser.add_argument("--clear", action="store_true", help="remove what is kept; it is made again when it is needed")
    parser.set_defaults(run=_run)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    folder = cache_folder()
    if arguments.clear:
        print(f"{folder}: {format_bytes(clear_cache())} removed")
        return
    sizes = [path.stat().st_size for path in folder.glob("*.npz")] if folder.is_dir() else []
    print(f"{folder}: {format_bytes(sum(sizes))} in {counted(len(sizes), 'entry', 'entries')}")
