"""A sparse signal as a live source: LiberTEM-live receives it as it receives Accos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyperspy_sparse.arguments import needs_signal
from rsciio_tpx3.live.csr_server import CHUNK_BYTES, CsrServer

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal

__all__ = ["serve"]


@needs_signal
def serve(
    signal: BaseSignal,
    csr: int = 8283,
    host: str = "127.0.0.1",
    chunk_bytes: int = CHUNK_BYTES,
    times: int | None = 1,
) -> CsrServer:
    """Send a signal to LiberTEM-live, as a stream of CSR frames.

    Parameters
    ----------
    signal : one of the sparse signal classes
        With two navigation axes, or three: each of the outermost one is a scan of one acquisition.
    csr : int
        Port to listen on; LiberTEM-live's usual one is 8283, 0 lets the system choose.
    host : str
        Name or address of this machine at which to listen.
    chunk_bytes : int
        The most that is sent in one piece: not more than LiberTEM-live's ``bytes_per_chunk`` times
        ``chunks_per_stack``.
    times : int or None
        How often it is sent, each time on a connection of its own; None goes on until `stop`.

    Returns
    -------
    rsciio_tpx3.live.csr_server.CsrServer
        It listens already; use it as a context, or call ``wait`` and ``stop``. Its ``address`` has the port.

    Raises
    ------
    LimitError
        If shape or type have no place in the stream.
    OSError
        If the port is taken.

    Examples
    --------
    >>> with hyperspy_sparse.serve(s, csr=8283) as server:  # doctest: +SKIP
    ...     server.wait()
    """
    return CsrServer(signal.data, host, csr, chunk_bytes, times).start()
