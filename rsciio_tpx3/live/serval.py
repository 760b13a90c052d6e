"""Control of ASI's Serval, as far as a recording needs it: what it is doing, where data go, start and stop.

Sources: Serval manual 3.1; ADTimePix3 (release notes and ``serval_http.cpp``) for what changed from 2.3 to 4.1; HERMES
for the answers of 3.3.
"""

from __future__ import annotations

import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from rsciio_tpx3.utils.files import write_text

__all__ = ["Serval", "ServalError"]

_QUEUE = 16384  # of ASI's own examples; Serval drops what does not fit
_OBJECTS = {
    "Info": "/detector/info",
    "Layout": "/detector/layout",
    "Config": "/detector/config",
    "Health": "/detector/health",
}


class ServalError(RuntimeError):
    """Serval refused a request, or answered something else."""


class Serval:
    """Serval's HTTP interface.

    Parameters
    ----------
    url : str
        ``http://localhost:8080``; EPICS sites often use port 8081.
    timeout : float
        Seconds for an answer.

    Raises
    ------
    ValueError
        If it is not an address of HTTP.

    Examples
    --------
    >>> from rsciio_tpx3.live.serval import Serval
    >>> serval = Serval("http://localhost:8080")  # doctest: +SKIP
    >>> serval.status, serval.version  # doctest: +SKIP
    ('DA_IDLE', (3, 3))
    """

    def __init__(self, url: str = "http://localhost:8080", timeout: float = 5.0) -> None:
        if not re.fullmatch(r"http://[^\s/]+/?", url):
            raise ValueError(f'serval={url!r}: expected an address such as "http://localhost:8080".')
        self.url, self._timeout = url.rstrip("/"), timeout
        # no proxy stands between a detector and its computer
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    # -- what it knows ---------------------------------------------------------------------------------

    def dashboard(self) -> dict:
        """Server, measurement and detector in short."""
        return self._get("/dashboard")

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor number of the software."""
        text = str((self.dashboard().get("Server") or {}).get("SoftwareVersion"))
        found = re.match(r"(\d+)\.(\d+)", text)
        if not found:
            raise ServalError(f"{self.url}: the dashboard tells the version {text!r}; expected one such as 3.3.0.")
        return int(found[1]), int(found[2])

    @property
    def status(self) -> str:
        """What it is doing: "DA_IDLE", "DA_PREPARING", "DA_RECORDING" or "DA_STOPPING"."""
        return str((self.dashboard().get("Measurement") or {}).get("Status", "DA_IDLE"))

    def metadata(self) -> dict:
        """All that describes a recording: dashboard, detector, and from 4.1 on the configuration of the measurement.

        What this version does not have is omitted.
        """
        dashboard = self.dashboard()
        found = {"Server": dashboard.get("Server"), "Measurement": dashboard.get("Measurement")}
        detector: dict = dict(dashboard.get("Detector") or {})
        for name, path in _OBJECTS.items():
            value = self._get(path, missing=None)
            if value is not None:
                detector[name] = value
        found["Detector"] = detector
        if self.version >= (4, 1):
            found["MeasurementConfig"] = self._get("/measurement/config", missing=None)
        return {name: value for name, value in found.items() if value}

    def write_metadata(self, recording: str | os.PathLike) -> str:
        """Write `metadata` next to a recording, as ``scan.json``, where loading finds it; its path."""
        path = f"{os.path.splitext(os.fspath(recording))[0]}.json"
        write_text(path, json.dumps(self.metadata(), indent=1))
        return path

    # -- commands ------------------------------------------------------------------------------------

    def destination(self) -> dict:
        """Where data go, as Serval has it."""
        found = self._get("/server/destination")
        return found.get("Destination", found)  # 4.0 wraps it

    def set_destination(self, raw: Sequence[str], queue_size: int = _QUEUE) -> None:
        """Send raw data to addresses or files; what else was set is replaced.

        Parameters
        ----------
        raw : sequence of str
            One, or from 3.3 on two, of ``tcp://connect@host:port``, ``tcp://listen@host:port`` and ``file:/folder``.
        queue_size : int
            Packets that Serval keeps while we are slow.

        Raises
        ------
        ServalError
            If this version has not so many outputs, or did not take the destination.
        """
        version = self.version
        most = 2 if version >= (3, 3) else 1
        if not 1 <= len(raw) <= most:
            raise ServalError(
                f"{len(raw)} raw destinations: Serval {version[0]}.{version[1]} has {most}. Two come with 3.3: leave "
                "one out, or update Serval."
            )
        # file patterns and splitting are for files; with sockets only these two are sent
        wanted = [{"Base": base, "QueueSize": queue_size} for base in raw]
        for entry in wanted:
            if str(entry["Base"]).startswith("file:"):
                entry.update(FilePattern="raw%Hms_", SplitStrategy="SINGLE_FILE")
        self._put("/server/destination", {"Raw": wanted}, version)
        taken = [entry.get("Base") for entry in self.destination().get("Raw", [])]
        if taken != list(raw):
            raise ServalError(f"{self.url}: the destination is {taken} although {list(raw)} was set.")

    def start(self) -> None:
        """Start the measurement."""
        self._get("/measurement/start", text=True)

    def stop(self, wait: float = 10.0) -> None:
        """Stop the measurement, and wait until it has stopped.

        Raises
        ------
        ServalError
            If it goes on for longer than `wait` seconds.
        """
        if self.status == "DA_IDLE":
            return
        self._get("/measurement/stop", text=True)
        until = time.monotonic() + wait
        while self.status != "DA_IDLE":
            if time.monotonic() > until:
                raise ServalError(
                    f"{self.url}: the measurement is still {self.status} {wait:g} s after it was stopped."
                )
            time.sleep(0.05)

    # -- HTTP ------------------------------------------------------------------------------------------

    def _get(self, path: str, text: bool = False, **missing: Any) -> Any:
        answer = self._ask(urllib.request.Request(self.url + path), path, **missing)
        if text or not isinstance(answer, str):
            return answer
        try:
            return json.loads(answer)
        except ValueError:
            raise ServalError(
                f"{self.url}{path} answered {answer[:80]!r}: that is not JSON. Is it Serval that listens there?"
            ) from None

    def _put(self, path: str, content: dict, version: tuple[int, int]) -> None:
        # before 4.0 text is taken, and from then on nothing else than this
        kind = "application/json" if version >= (4, 0) else "text/plain"
        data = json.dumps(content).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": kind}, method="PUT")
        self._ask(request, path)

    def _ask(self, request: urllib.request.Request, path: str, **missing: Any) -> Any:
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404 and missing:
                    return missing["missing"]
                said = " ".join(error.read(400).decode("utf-8", "replace").split())
            raise ServalError(
                f"{self.url}{path}: refused with {error.code} {error.reason}: {said or 'no reason'}"
            ) from None
        except TimeoutError:
            raise ServalError(self._silent(path)) from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise ServalError(self._silent(path)) from None
            raise ConnectionError(
                f"{self.url}: nobody answers ({error.reason}). Start Serval, and check host and port (8080; often 8081 "
                "with EPICS)."
            ) from None

    def _silent(self, path: str) -> str:
        return f"{self.url}{path}: no answer within {self._timeout:g} s. Is it Serval, and is its detector connected?"
