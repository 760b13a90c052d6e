"""The messages of a stream that is there as a whole."""

from rsciio_tpx3.live.csr_stream import read_stream


def read_messages(content):
    view = memoryview(content)

    def receive(n):
        nonlocal view
        found, view = bytes(view[:n]), view[n:]
        return found

    return list(read_stream(receive))
