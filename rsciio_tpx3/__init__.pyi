"""What editors and type checkers see of the names that ``rsciio_tpx3`` imports on first use."""

from rsciio_tpx3._register import register as register
from rsciio_tpx3.cache.store import cache_folder as cache_folder
from rsciio_tpx3.cache.store import clear_cache as clear_cache
from rsciio_tpx3.csr.csr_frames import CSRFrames as CSRFrames
from rsciio_tpx3.events.source import EventSource as EventSource
from rsciio_tpx3.exceptions import ConflictError as ConflictError
from rsciio_tpx3.exceptions import FormatError as FormatError
from rsciio_tpx3.exceptions import LimitError as LimitError
from rsciio_tpx3.exceptions import LossError as LossError
from rsciio_tpx3.exceptions import MetadataConflictError as MetadataConflictError
from rsciio_tpx3.exceptions import ScanSyncError as ScanSyncError
from rsciio_tpx3.exceptions import Tpx3FormatError as Tpx3FormatError
from rsciio_tpx3.exceptions import UnitError as UnitError
from rsciio_tpx3.frames.dask_array import to_dask as to_dask
from rsciio_tpx3.frames.source import FrameSource as FrameSource
from rsciio_tpx3.hit_table import read_hits as read_hits
from rsciio_tpx3.information import available_signals as available_signals
from rsciio_tpx3.information import file_info as file_info
from rsciio_tpx3.scan_delay import find_scan_delay as find_scan_delay
from rsciio_tpx3.tpx3 import file_reader as file_reader
from rsciio_tpx3.utils.logs import set_log_level as set_log_level

__version__: str
