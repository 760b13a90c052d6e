"""``record``, ``watch`` and ``replay``, as typed."""

import re
import socket
import threading
from types import SimpleNamespace

import pytest

from rsciio_tpx3 import simulate
from rsciio_tpx3.cli import replay
from rsciio_tpx3.cli.main import main
from rsciio_tpx3.live import Recorder, Replay, Session
from rsciio_tpx3.live.serval import Serval


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    path = tmp_path_factory.mktemp("sent") / "scan.tpx3"
    simulate.recording(path, (9, 7), electrons_per_position=50, dwell_time="40 us", chunk_counts=True, seed=5)
    return path


def _port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_record_what_replay_sends(tmp_path, sent, capsys):
    port, status = _port(), []
    words = ["replay", str(sent), "--to", f"tcp://listen@127.0.0.1:{port}", "--speed", "max", "--times", "2"]
    thread = threading.Thread(target=lambda: status.append(main(words)))
    thread.start()
    target = tmp_path / "scan.tpx3"
    assert main(["record", f"tcp://127.0.0.1:{port}", str(target), "--measurements", "2", "--wait", "20"]) == 0
    thread.join(20)
    assert status == [0]
    assert target.read_bytes() == (tmp_path / "scan_1.tpx3").read_bytes() == sent.read_bytes()
    text = capsys.readouterr()
    assert f"{sent.stat().st_size:,} bytes, ended" in text.out
    assert f"record with: rsciio-tpx3 record tcp://127.0.0.1:{port} FILE" in text.out
    assert "buffer at most" in text.err


def test_replay_with_faults(sent, capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        received = []

        def receive():
            sock, _ = server.accept()
            while data := sock.recv(65536):
                received.append(data)

        thread = threading.Thread(target=receive)
        thread.start()
        to = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        words = ["--speed", "max", "--cut", "9001", "--segment", "1000", "--stall", "100:0.01", "--lost", "0"]
        assert main(["replay", str(sent), "--to", to, *words]) == 0
        thread.join(20)
    assert b"".join(received) == sent.read_bytes()[:9001]
    assert "9,001 bytes sent" in capsys.readouterr().out


def test_watch_prints_what_comes(tmp_path, sent, capsys):
    with Replay(sent, speed=None) as replay:
        words = ["watch", replay.receiver, "--record", str(tmp_path / "scan.tpx3"), "--navigation-shape", "7", "9"]
        assert main([*words, "--wait", "20"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"ended: [\d,]+ hits, .*9 lines, 9 final; losses: none seen", text)


@pytest.mark.parametrize(
    "words",
    [
        ["record", "localhost:1", "a.tpx3"],
        ["record", "tcp://127.0.0.1:1", "nowhere/a.tpx3"],
        ["watch", "tcp://127.0.0.1:1", "-o", "navigation_shape=7,9"],
        ["watch", "a.tpx3"],
        ["replay", "absent.tpx3"],
    ],
)
def test_bad_input_is_one_line_and_status_2(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("rsciio-tpx3: ")


@pytest.mark.parametrize("option", [["--speed", "0"], ["--times", "0"], ["--lost", "2"], ["--stall", "5"]])
def test_odd_numbers_are_refused_by_the_parser(option, sent, capsys):
    with pytest.raises(SystemExit):
        main(["replay", str(sent), *option])
    assert "expected" in capsys.readouterr().err


def test_replay_stands_for_serval(tmp_path, sent, monkeypatch, capsys):
    def measure(seconds):
        url = capsys.readouterr().out.split("stands at ")[1].split(";")[0]
        with Recorder("tcp://connect@127.0.0.1:0", tmp_path / "scan.tpx3") as recorder:
            serval = Serval(url)
            serval.set_destination([f"tcp://connect@127.0.0.1:{recorder.address.port}"])
            serval.start()
            assert recorder.wait(20)
        raise KeyboardInterrupt

    monkeypatch.setattr(replay, "time", SimpleNamespace(sleep=measure))
    assert main(["replay", str(sent), "--serval", "0", "--serval-version", "4.1.1", "--speed", "max"]) == 0
    assert (tmp_path / "scan.tpx3").read_bytes() == sent.read_bytes()


def test_watch_says_that_it_waits_for_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Session, "wait", lambda *of: True)
    assert main(["watch", str(tmp_path / "later.tpx3"), "-o", "navigation_shape=7,9"]) == 0
    assert f"{str(tmp_path / 'later.tpx3')!r} is not there yet: waiting for it." in capsys.readouterr().out
