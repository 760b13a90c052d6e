"""Control of Serval, against a stand-in with the habits of its versions."""

import json
import socket
import threading

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
from rsciio_tpx3 import simulate
from rsciio_tpx3.live import Recorder
from rsciio_tpx3.live.serval import Serval, ServalError
from rsciio_tpx3.live.serval_mock import ServalMock

NY, NX = 9, 7


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    path = tmp_path_factory.mktemp("sent") / "scan.tpx3"
    simulate.recording(path, (NY, NX), electrons_per_position=50, dwell_time="40 us", seed=5)
    return path


@pytest.mark.parametrize("version", ["2.3.6", "3.1.0", "3.3.0", "4.0.1", "4.1.1"])
def test_a_measurement_from_start_to_end(tmp_path, sent, version):
    with (
        ServalMock(sent, version, speed=None) as mock,
        Recorder("tcp://connect@127.0.0.1:0", tmp_path / "a.tpx3") as recorder,
    ):
        serval = Serval(mock.url)
        base = f"tcp://connect@127.0.0.1:{recorder.address.port}"
        assert (serval.status, serval.version) == ("DA_IDLE", tuple(int(n) for n in version.split(".")[:2]))
        serval.set_destination([base])
        assert [entry["Base"] for entry in serval.destination()["Raw"]] == [base]
        serval.start()
        assert recorder.wait(20)
        serval.stop()
        assert serval.status == "DA_IDLE"
        known = serval.metadata()
    assert (tmp_path / "a.tpx3").read_bytes() == sent.read_bytes()
    assert known["Detector"]["Config"]["BiasVoltage"] == 100
    assert ("MeasurementConfig" in known) == (version >= "4.1")


def test_two_destinations_since_3_3(sent):
    two = ["tcp://connect@127.0.0.1:1", "file:/data"]
    with ServalMock(sent, "3.2.0") as mock, pytest.raises(ServalError, match=r"2 raw destinations: Serval 3.2 has 1"):
        Serval(mock.url).set_destination(two)
    with ServalMock(sent, "3.3.0") as mock:
        Serval(mock.url).set_destination(two)
        assert mock.raw[0] == {"Base": two[0], "QueueSize": 16384}
        assert mock.raw[1]["SplitStrategy"] == "SINGLE_FILE"


def test_a_live_view_starts_and_stops_it_and_keeps_what_it_knows(tmp_path, sent):
    scan = {"Width": NX, "Height": NY, "DwellTime": 40e-6}
    options = {"record": tmp_path / "scan.tpx3", "navigation_shape": (NX, NY), "wait": 20}
    with ServalMock(sent, "4.1.1", speed=None, scan=scan) as mock:
        with hyperspy_sparse.live("tcp://connect@127.0.0.1:0", serval=mock.url, **options) as live:
            counts = live.counts()
            live.run()
    assert json.loads((tmp_path / "scan.json").read_text())["MeasurementConfig"]["Stem"]["Scan"] == scan
    signal = live.signal
    np.testing.assert_array_equal(counts.data, np.asarray(signal.data.compute()).sum(axis=(-1, -2)))
    assert signal.metadata.Acquisition_instrument.TEM.Detector.bias_voltage == pytest.approx(99.5)
    without = hs.load(sent, navigation_shape=(NX, NY), lazy=True, show_progressbar=False)
    assert not without.metadata.has_item("Acquisition_instrument.TEM.Detector.bias_voltage")


def test_what_goes_wrong_is_said(tmp_path, sent):
    with pytest.raises(ValueError, match="http://localhost:8080"):
        Serval("localhost:8080")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ConnectionError, match="nobody answers"):
        Serval(url).dashboard()
    options = {"record": tmp_path / "a.tpx3", "navigation_shape": (NX, NY)}
    with pytest.raises(ConnectionError, match="nobody answers"):
        with hyperspy_sparse.live("tcp://connect@127.0.0.1:0", serval=url, **options):
            pass
    with pytest.raises(ValueError, match="no meaning"):
        hyperspy_sparse.live(tmp_path / "a.tpx3", serval=url, navigation_shape=(NX, NY))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(ServalError, match=r"no answer within 0.1 s"):
            Serval(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.1).dashboard()
    with ServalMock(sent, "3.3.0") as mock:
        with pytest.raises(ServalError, match="refused with 404"):
            Serval(mock.url)._get("/nowhere")
        mock.take = lambda *about: "the disk is full"
        with pytest.raises(ServalError, match="400 Bad Request: the disk is full"):
            Serval(mock.url).set_destination(["tcp://connect@127.0.0.1:1"])
        mock.take = lambda *about: None
        with pytest.raises(ServalError, match=r"the destination is \[\] although"):
            Serval(mock.url).set_destination(["tcp://connect@127.0.0.1:1"])
        mock.answer = lambda path: "<html>"
        with pytest.raises(ServalError, match="not JSON"):
            Serval(mock.url).dashboard()


def test_a_measurement_that_does_not_stop_is_said(sent):
    with ServalMock(sent, "3.3.0") as mock:
        mock.dashboard = lambda: {"Measurement": {"Status": "DA_STOPPING"}}
        with pytest.raises(ServalError, match="still DA_STOPPING 0.1 s after"):
            Serval(mock.url).stop(wait=0.1)
        assert threading.active_count() < 50
