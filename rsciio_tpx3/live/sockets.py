"""Connections that say what went wrong in words of the user, and that can be given up at any time."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsciio_tpx3.live.addresses import Address

__all__ = ["accept", "connect", "listener", "shut"]

_LOOK = 0.1  # s between looks at whether to give up
_TRY = 0.2  # s between attempts to connect


def listener(address: Address) -> socket.socket:
    """A bound socket that listens.

    Raises
    ------
    OSError
        If the port is taken, or the host is not this machine.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # a port stays reserved for a minute after a connection; other listeners are refused in spite of this, but not
        # by Windows, where the option means that all may share it
        if os.name != "nt":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
        sock.listen(4)
    except OSError as error:
        sock.close()
        raise _explained(error, address) from None
    sock.settimeout(_LOOK)
    return sock


def _explained(error: OSError, address: Address) -> OSError:
    if error.errno == errno.EADDRINUSE:
        words = (
            f"port {address.port} is in use: another program listens there already, perhaps a recorder that was not "
            "stopped. Stop it, or choose another port"
        )
    elif error.errno == errno.EACCES:
        words = f"port {address.port} may not be used by this user: choose one above 1023"
    else:
        words = f"{error.strerror or error}: is {address.host!r} a name of this machine? Listen at 'localhost'"
    return OSError(error.errno, f"cannot listen at {address.host}:{address.port}: {words}")


def accept(bound: socket.socket, stopped: threading.Event, wait: float | None = None) -> socket.socket | None:
    """The next connection; None once `stopped` is set, or where none comes in `wait` seconds."""
    until = None if wait is None else time.monotonic() + wait
    while not stopped.is_set() and (until is None or time.monotonic() < until):
        with contextlib.suppress(TimeoutError):
            sock, _ = bound.accept()
            sock.settimeout(None)
            return sock
    return None


def connect(address: Address, stopped: threading.Event, wait: float | None = None) -> socket.socket | None:
    """A connection to a sender that may have to be started yet; None once `stopped` is set.

    Raises
    ------
    ConnectionError
        If nobody listens there within `wait` seconds.
    OSError
        If there is no such host.
    """
    until = None if wait is None else time.monotonic() + wait
    while not stopped.is_set():
        try:
            sock = socket.create_connection((address.host, address.port), timeout=2.0)
        except socket.gaierror as error:
            raise OSError(f"{address}: there is no host {address.host!r} ({error.strerror}). Check the name.") from None
        except OSError as error:
            if until is not None and time.monotonic() >= until:
                raise ConnectionError(
                    f"{address}: nobody listens there ({error.strerror or error}), waited {wait:g} s. Start the sender "
                    "first, check host and port (Serval: its destination tcp://listen@host:port), or wait longer."
                ) from None
            stopped.wait(_TRY)
            continue
        sock.settimeout(None)
        return sock
    return None


def shut(sock: socket.socket | None) -> None:
    """End a connection, also where another thread waits in it."""
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
