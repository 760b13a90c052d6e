"""A sparse signal as a live source: LiberTEM-live receives it as it receives Accos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyperspy_sparse.arguments import need_signal
from hyperspy_sparse.live_view import Live
from rsciio_tpx3.live.csr_live_server import LiveCsrServer
from rsciio_tpx3.live.csr_server import CHUNK_BYTES, CsrServer

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal

__all__ = ["serve"]


def serve(
    signal: BaseSignal | Live,
    csr: int = 8283,
    host: str = "127.0.0.1",
    chunk_bytes: int = CHUNK_BYTES,
    times: int | None = 1,
) -> CsrServer:
    """Send a signal, or a scan that is being recorded, to LiberTEM-live as a stream of CSR frames.

    Parameters
    ----------
    signal : one of the sparse signal classes, or Live
        With two navigation axes, or three: each of the outermost one is a scan of one acquisition. A live view, of
        `hyperspy_sparse.live`, is sent line by line as it becomes complete, from the first line on to whoever connects;
        each of its frames is a scan, each measurement an acquisition.
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
    >>> live = hyperspy_sparse.live("tcp://localhost:1", "scan.tpx3", navigation_shape=(8, 8))  # doctest: +SKIP
    >>> with live:  # doctest: +SKIP
    ...     server = hyperspy_sparse.serve(live, csr=8283)
    ...     live.run()
    """
    if isinstance(signal, Live):
        return LiveCsrServer(signal.session, host, csr, chunk_bytes, times).start()
    need_signal(signal)
    return CsrServer(signal.data, host, csr, chunk_bytes, times).start()
