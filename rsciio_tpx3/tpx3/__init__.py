"""ASI `.tpx3` event streams, read."""

from rsciio_tpx3.tpx3._api import available_signals, file_info, file_reader
from rsciio_tpx3.tpx3.source import Tpx3Source

__all__ = ["Tpx3Source", "available_signals", "file_info", "file_reader"]
