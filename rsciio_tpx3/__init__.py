"""Timepix3 event recordings to sparse 4D STEM arrays, without HyperSpy.

Public names are imported on first use, so that ``import rsciio_tpx3`` costs next to nothing.
"""

from rsciio_tpx3._moved import find_moved
from rsciio_tpx3._register import register
from rsciio_tpx3.utils.lazy import loaded
from rsciio_tpx3.utils.logs import set_up

__version__ = "0.1.0"

_PUBLIC = {
    "CSRFrames": "rsciio_tpx3.csr.csr_frames",
    "FrameSource": "rsciio_tpx3.frames.source",
    "to_dask": "rsciio_tpx3.frames.dask_array",
    "EventSource": "rsciio_tpx3.events.source",
    "file_reader": "rsciio_tpx3.tpx3",
    "available_signals": "rsciio_tpx3.information",
    "file_info": "rsciio_tpx3.information",
    "ConflictError": "rsciio_tpx3.exceptions",
    "FormatError": "rsciio_tpx3.exceptions",
    "LimitError": "rsciio_tpx3.exceptions",
    "LossError": "rsciio_tpx3.exceptions",
    "MetadataConflictError": "rsciio_tpx3.exceptions",
    "cache_folder": "rsciio_tpx3.cache.store",
    "clear_cache": "rsciio_tpx3.cache.store",
    "read_hits": "rsciio_tpx3.hit_table",
    "set_log_level": "rsciio_tpx3.utils.logs",
    "find_scan_delay": "rsciio_tpx3.scan_delay",
    "ScanSyncError": "rsciio_tpx3.exceptions",
    "Tpx3FormatError": "rsciio_tpx3.exceptions",
    "UnitError": "rsciio_tpx3.exceptions",
}

__all__ = ["__version__", "register", *_PUBLIC]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    return loaded(__name__, _PUBLIC, name)


set_up()
register()
find_moved()
