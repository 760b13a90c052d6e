"""Where ``rsciio-tpx3`` begins: Ctrl+C ends it without a traceback while its modules are still being imported."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Import the command line, which takes a second, and run it."""
    try:
        from rsciio_tpx3.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        print("rsciio-tpx3: interrupted", file=sys.stderr)
        return 130  # as shells have it
