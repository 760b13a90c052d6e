"""Small recordings and counted files as bytes, made once for each process."""

import functools
import tempfile
from pathlib import Path

__all__ = ["counted_file", "files_in", "recording"]

NAV, SIG = (3, 4), (256, 256)


def files_in(folder):
    """All files of a folder: dict of name to bytes."""
    return {p.name: p.read_bytes() for p in sorted(Path(folder).iterdir()) if p.is_file()}


@functools.cache
def recording(layout="single", name="a.tpx3", **options):
    """Bytes of a simulated recording of 3 lines of 4 positions."""
    from rsciio_tpx3 import simulate

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        plain = {"dwell_time": "5 us", "electrons_per_position": 4, "global_time": "20 us", "chunk_counts": True}
        simulate.recording(path, NAV, layout=layout, **{**plain, **options})
        return path.read_bytes()


@functools.cache
def counted_file(ending, to_format=None):
    """Files of the same recording, counted: dict of name to bytes (as a tuple of pairs)."""
    from rsciio_tpx3.convert import convert

    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "a.tpx3", Path(folder) / "out"
        out.mkdir()
        source.write_bytes(recording(chunk_counts=False, global_time=None))
        options = {"navigation_shape": NAV[::-1], "layout": "single"}
        convert(
            str(source), str(out / f"a{ending}"), to_format=to_format, reader_options=options, show_progressbar=False
        )
        return tuple(files_in(out).items())
