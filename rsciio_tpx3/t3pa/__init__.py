"""Advacam (Pixet) hit lists `.t3pa` (text) and `.t3p` (binary), read."""

from rsciio_tpx3.t3pa._api import available_signals, file_info, file_reader
from rsciio_tpx3.t3pa.source import AdvacamSource

__all__ = ["AdvacamSource", "available_signals", "file_info", "file_reader"]
