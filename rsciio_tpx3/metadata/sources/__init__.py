"""Where metadata come from: files of instruments and programs.

Who asks another file or signal is rare, and finds the reader here: it loads h5py, which recordings do not need.
"""

from typing import Any

from rsciio_tpx3.utils.lazy import loaded

_PUBLIC = {"read_survey": "rsciio_tpx3.metadata.sources.signal_file"}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    return loaded(__name__, _PUBLIC, name)
