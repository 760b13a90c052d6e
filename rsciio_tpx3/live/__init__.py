"""A recording that is still being sent: record it, follow it, and play one as a detector would.

The raw stream of ASI's Serval is the ``.tpx3`` file, byte for byte. So live is a recorder, which never looks at what it
writes, and something that follows the file behind it, by the functions that read finished files.
"""

from rsciio_tpx3.live.addresses import Address, parse_address
from rsciio_tpx3.live.following import Following
from rsciio_tpx3.live.recorder import Recorded, Recorder, record
from rsciio_tpx3.live.replay import Faults, Replay
from rsciio_tpx3.live.session import Session

__all__ = ["Address", "Faults", "Following", "Recorded", "Recorder", "Replay", "Session", "parse_address", "record"]
