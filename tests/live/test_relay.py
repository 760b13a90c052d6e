"""A relay of two threads: every byte once and in order, however long writes last, and no more than the ring holds."""

import socket
import threading
import time

import numpy as np
import pytest

from rsciio_tpx3.live.relay import Relay
from rsciio_tpx3.live.ring import Ring


def _relayed(content, write, ring_bytes=1 << 16, pieces=4096):
    """Send a content through a relay that writes by `write`; the relay and its ring."""
    one, other = socket.socketpair()
    ring = Ring(ring_bytes)

    def send():
        with one:
            for at in range(0, len(content), pieces):
                try:
                    one.sendall(content[at : at + pieces])
                except OSError:
                    return

    relay = Relay(other, ring, write)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        with other:
            relay.run()
    finally:
        sender.join(20)
    assert not sender.is_alive()
    return relay, ring


@pytest.mark.parametrize("seed", range(4))
def test_every_byte_comes_once_and_in_order(seed):
    rng = np.random.default_rng(seed)
    content, written, threads = rng.bytes(1_000_000), bytearray(), set()

    def write(piece):
        if rng.random() < 0.2:
            time.sleep(0.004 * rng.random())  # longer than the other thread is patient, at times
        n = int(rng.integers(1, len(piece) + 1))
        written.extend(piece[:n])
        threads.add(threading.get_ident())
        return n

    relay, ring = _relayed(content, write, pieces=int(rng.integers(1, 50_000)))
    assert bytes(written) == content
    assert relay.failed is None and ring.peak <= 1 << 16


def test_while_a_write_lasts_the_other_thread_receives():
    first, rest, written = b"first", bytes(range(256)) * 200, bytearray()
    ring = Ring(1 << 20)
    one, other = socket.socketpair()

    def write(piece):
        if not written:
            one.sendall(rest)
            one.shutdown(socket.SHUT_WR)
            until = time.monotonic() + 20
            while len(ring.pending()) < len(first) + len(rest):  # this thread does not receive
                assert time.monotonic() < until
                time.sleep(0.001)
        written.extend(piece)
        return len(piece)

    with one, other:
        one.sendall(first)
        Relay(other, ring, write).run()
    assert bytes(written) == first + rest


def test_a_write_that_fails_ends_both_threads_and_the_connection():
    def write(piece):
        raise OSError(28, "No space left on device")

    before = threading.active_count()
    with pytest.raises(OSError, match="No space left"):
        _relayed(bytes(10_000_000), write)
    assert threading.active_count() == before


def test_a_ring_that_is_full_makes_receiving_wait():
    content, written = bytes(range(256)) * 400, bytearray()

    def write(piece):
        time.sleep(0.002)
        written.extend(piece[:3000])
        return min(len(piece), 3000)

    _, ring = _relayed(content, write, ring_bytes=10_000)
    assert bytes(written) == content
    assert ring.waits > 0 and 5_000 < ring.peak <= 10_000
