"""What editors and type checkers see of the names that ``rsciio_tpx3.cache`` imports on first use."""

from rsciio_tpx3.cache.store import cache_folder as cache_folder
from rsciio_tpx3.cache.store import clear_cache as clear_cache

CACHE_BYTES: int
