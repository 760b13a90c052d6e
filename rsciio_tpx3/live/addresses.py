"""Where a stream comes from, in the words of Serval's destinations."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Address", "parse_address"]

_FORM = re.compile(r"(?P<scheme>\w+)://(?:(?P<who>\w+)@)?(?P<host>\[[0-9a-fA-F:]+\]|[^:/@\s]+):(?P<port>\d{1,5})/?")


@dataclass(frozen=True)
class Address:
    """One end of a stream.

    Attributes
    ----------
    scheme : str
        "tcp" for Serval's raw stream, "csr" for LiberTEM's.
    host : str
    port : int
        0 lets the system choose one, where we listen.
    listen : bool
        We wait for the sender; otherwise the sender waits for us.
    """

    scheme: str
    host: str
    port: int
    listen: bool = False

    def __str__(self) -> str:
        return f"{self.scheme}://{'connect@' if self.listen else ''}{self.host}:{self.port}"


def parse_address(text: str | Address, schemes: tuple[str, ...] = ("tcp",)) -> Address:
    """Read an address, as Serval's ``Base`` of a destination has it too.

    Parameters
    ----------
    text : str or Address
        ``tcp://host:port`` and ``tcp://listen@host:port`` (Serval listens, we connect), or ``tcp://connect@host:port``
        (Serval connects, we listen).
    schemes : tuple of str
        Those that are possible.

    Returns
    -------
    Address

    Raises
    ------
    ValueError
        If the text has another form.

    Examples
    --------
    >>> from rsciio_tpx3.live import parse_address
    >>> parse_address("tcp://localhost:8085")
    Address(scheme='tcp', host='localhost', port=8085, listen=False)
    >>> parse_address("tcp://connect@localhost:8451").listen
    True
    """
    if isinstance(text, Address):
        return text
    found = _FORM.fullmatch(str(text).strip())
    who = found["who"] if found else None
    if not found or found["scheme"] not in schemes or who not in (None, "listen", "connect"):
        raise ValueError(
            f"address {text!r}: expected {' or '.join(f'{scheme}://host:port' for scheme in schemes)}, such as "
            '"tcp://localhost:8085". With "listen@" before the host, as in Serval\'s destination, Serval listens and '
            'we connect; with "connect@" we listen.'
        )
    if int(found["port"]) > 65535:
        raise ValueError(f"address {text!r}: port {found['port']} is above 65535.")
    return Address(found["scheme"], found["host"].strip("[]"), int(found["port"]), who == "connect")
