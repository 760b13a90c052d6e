"""What a long command is doing, and how long it took."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

__all__ = ["step"]


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Print what begins, and its seconds at the end; an error begins a line of its own.

    Examples
    --------
    >>> from rsciio_tpx3.utils.steps import step
    >>> with step("Loading"):  # doctest: +SKIP
    ...     pass
    Loading ... 0.0 s
    """
    print(f"{text} ...", end=" ", flush=True)
    start = time.perf_counter()
    try:
        yield
    except BaseException:
        print(flush=True)
        raise
    # on a screen a bar may have been drawn over the line: the whole of it once more
    again = f"\r{text} ... " if sys.stdout.isatty() else ""
    print(f"{again}{time.perf_counter() - start:.1f} s", flush=True)
