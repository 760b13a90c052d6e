"""A stand-in for Serval that replays a recording: for tests, tutorials and programs without a detector."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from rsciio_tpx3.live.replay import Faults, Replay

__all__ = ["ServalMock"]


class ServalMock:
    """Serval's calls that a recording needs; ``/measurement/start`` replays a file to the raw destinations.

    Parameters
    ----------
    path : str or Path
        A ``.tpx3`` file.
    version : str
        Whose habits it has: one raw destination before 3.3; from 4.0 on only ``application/json`` is taken, and
        destinations come wrapped; from 4.1 on there is ``/measurement/config``.
    port : int
        0 lets the system choose one.
    speed : float or None
        See `Replay`.
    faults : Faults, optional
    scan : dict, optional
        ``Stem.Scan`` of 4.1: ``Width``, ``Height``, ``DwellTime``.

    Attributes
    ----------
    url : str
        What `rsciio_tpx3.live.serval.Serval` takes.

    Examples
    --------
    >>> from rsciio_tpx3.live.serval_mock import ServalMock
    >>> with ServalMock("scan.tpx3") as mock:  # doctest: +SKIP
    ...     print(mock.url)
    """

    def __init__(
        self,
        path: str | os.PathLike,
        version: str = "3.3.0",
        port: int = 0,
        speed: float | None = 1.0,
        faults: Faults | None = None,
        scan: dict | None = None,
    ) -> None:
        self._path, self._speed, self._faults, self._scan = path, speed, faults, scan
        self.version = tuple(int(n) for n in version.split(".")[:2])
        self._text = version
        self.raw: list[dict] = []
        self._replays: list[Replay] = []
        handler = type("Handler", (_Handler,), {"mock": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ServalMock:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.stop()
        self._server.shutdown()
        self._server.server_close()

    # -- what it does ----------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        running = any(not replay.wait(0) for replay in self._replays)
        return "DA_RECORDING" if running else "DA_IDLE"

    def start(self) -> None:
        """Replay to every socket among the destinations."""
        bases = [entry["Base"] for entry in self.raw if entry["Base"].startswith("tcp://")]
        addresses = [base.replace("connect@", "") for base in bases]
        self._replays = [Replay(self._path, base, speed=self._speed, faults=self._faults) for base in addresses]
        for replay in self._replays:
            replay.start()

    def stop(self) -> None:
        """Break the replay off."""
        for replay in self._replays:
            replay.stop()

    def dashboard(self) -> dict:
        return {
            "Server": {"SoftwareVersion": self._text, "SoftwareBuild": "mock", "Notifications": []},
            "Measurement": {
                "StartDateTime": 1656070697593,
                "ElapsedTime": 0.0,
                "DroppedFrames": 0,
                "Status": self.status,
                "PixelEventRate": 0,
            },
            "Detector": {"DetectorType": "Tpx3"},
        }

    def answer(self, path: str) -> Any:
        """The JSON of a call; None where this version does not know it, text where it is not JSON."""
        fixed = {
            "/dashboard": self.dashboard,
            "/measurement": lambda: {"Info": self.dashboard()["Measurement"]},
            "/detector/info": lambda: {"IfaceName": "SPIDR", "NumberOfChips": 4, "SW_version": self._text},
            "/detector/layout": lambda: {"DetectorOrientation": "UP"},
            "/detector/config": lambda: {
                "TriggerMode": "AUTOTRIGSTART_TIMERSTOP",
                "BiasVoltage": 100,
                "Tdc": ["P0123"],
            },
            "/detector/health": lambda: {"LocalTemperature": 40.5, "BiasVoltage": 99.5},
            "/server/destination": self._destination,
        }
        if path == "/measurement/config" and self.version >= (4, 1):
            return {"Stem": {"Scan": self._scan or {}}}
        if path in ("/measurement/start", "/measurement/stop"):
            getattr(self, path.rsplit("/", 1)[1])()
            return "measurement " + ("started" if path.endswith("start") else "stopped")
        return fixed[path]() if path in fixed else None

    def _destination(self) -> dict:
        found = {"Raw": self.raw}
        return {"Destination": found} if self.version >= (4, 0) else found

    def take(self, path: str, kind: str, data: bytes) -> str | None:
        """Take a PUT; why it is refused, if it is."""
        if self.version >= (4, 0) and kind != "application/json":
            return f"unsupported content type {kind}"
        try:
            raw = json.loads(data)["Raw"]
            bases = [entry["Base"] for entry in raw]
        except (ValueError, KeyError, TypeError):
            return "the destination is not valid"
        if len(bases) > (2 if self.version >= (3, 3) else 1):
            return "too many raw destinations"
        self.raw = raw
        return None


class _Handler(BaseHTTPRequestHandler):
    mock: ServalMock

    def do_GET(self) -> None:
        found = self.mock.answer(urlsplit(self.path).path)
        if found is None:
            self._say(404, "not found")
        else:
            self._say(200, found if isinstance(found, str) else json.dumps(found))

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        why = "no such object"
        if urlsplit(self.path).path == "/server/destination":
            why = self.mock.take(self.path, self.headers.get("Content-Type", ""), data) or ""
        self._say(400 if why else 200, why or "ok")

    def _say(self, code: int, text: str) -> None:
        content = text.encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""
