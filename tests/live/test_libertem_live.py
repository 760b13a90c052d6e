"""LiberTEM-live itself at the other end: in an environment of its own, ``tests/environments/with_libertem_live``."""

import threading
import time

import numpy as np
import pytest
from csr_messages import read_messages
from scipy.sparse import csr_array

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.memory_source import MemorySource
from rsciio_tpx3.live.addresses import parse_address
from rsciio_tpx3.live.csr_recorder import record_csr
from rsciio_tpx3.live.csr_server import CsrServer
from rsciio_tpx3.live.csr_stream import (
    AcquisitionEnd,
    AcquisitionStart,
    ArrayChunk,
    ScanEnd,
    ScanStart,
    pack_frames,
    received_frames,
)
from rsciio_tpx3.live.sockets import listener
from rsciio_tpx3.raw_csr import file_reader

libertem_asi_tpx3 = pytest.importorskip("libertem_asi_tpx3", reason="LiberTEM-live has an environment of its own")

NAV, SIG = (6, 8), (512, 512)


def _rows(seed=0, n=NAV[0] * NAV[1], dtype=np.uint32):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 90, n)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    indices = np.concatenate([np.sort(rng.choice(SIG[0] * SIG[1], k, replace=False)) for k in counts]).astype(np.int32)
    return CSRFrames((rng.integers(1, 7, len(indices)).astype(dtype), indices, indptr), shape=(n, *SIG))


def _sim(rows):
    data = libertem_asi_tpx3.make_sim_data(
        NAV, rows.indptr.astype(np.uint32), rows.indices.astype(np.uint32), rows.data.astype(np.uint32)
    )
    return np.array(data, np.uint8).tobytes()


def test_bytes_are_those_of_their_own_writer():
    rows = _rows()
    content, start, at = _sim(rows), None, 0
    packed = []
    for header, payload in read_messages(content):
        start = start or header
        if isinstance(header, ArrayChunk):
            frames = received_frames(header, payload, start)
            expected = rows[at : at + len(frames)]
            np.testing.assert_array_equal(frames.indices, expected.indices)
            at += len(frames)
            packed.append(pack_frames(frames, np.uint32))
        else:
            packed.append(header.pack() + (payload or b""))
    assert b"".join(packed) == content
    assert at == len(rows)


def test_their_sender_is_recorded_three_times(tmp_path):
    from libertem_live.detectors.asi_tpx3.sim import TpxCameraSim

    rows = _rows(1)
    (tmp_path / "sent").write_bytes(_sim(rows))
    sim = TpxCameraSim(paths=[str(tmp_path / "sent")], cached="MEM", port=0, sleep=0)
    sim.start()
    sim.wait_for_listen()
    try:
        to = f"csr://127.0.0.1:{sim.server_t.sockname[1]}"
        files = record_csr(to, tmp_path / "scan.toml", scans=3, wait=20)
    finally:
        sim.stop()
    assert len(files) == 3
    for file in files:
        found = np.asarray(file_reader(file, lazy=False)[0]["data"]).reshape(-1, *SIG)
        np.testing.assert_array_equal(found, np.asarray(rows))


@pytest.fixture(scope="module")
def context():
    from libertem_live.api import LiveContext

    with LiveContext.make_with("pipelined", cpus=1, gpus=0) as found:
        yield found


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("n_scans", [None, 2])
def test_our_sender_is_received(context, dtype, n_scans):
    from libertem.udf.sum import SumUDF
    from libertem.udf.sumsigudf import SumSigUDF

    n = NAV[0] * NAV[1]
    rows = _rows(2, n * (n_scans or 1), dtype)
    shape = NAV if n_scans is None else (n_scans, *NAV)
    source = MemorySource(CSRFrames((rows.data, rows.indices, rows.indptr), shape=(*shape, *SIG)))
    matrix = csr_array((rows.data.astype(np.int64), rows.indices, rows.indptr), shape=(len(rows), SIG[0] * SIG[1]))
    with CsrServer(source, chunk_bytes=5000, times=1) as server:
        connection = context.make_connection("asi_tpx3").open(
            data_port=server.address.port, bytes_per_chunk=16384, chunks_per_stack=24
        )
        with connection:
            pending = connection.wait_for_acquisition(20.0)
            assert pending is not None
            # of several scans in an acquisition, the first
            acquisition = context.make_acquisition(conn=connection, pending_aq=pending, frames_per_partition=16)
            total, of_positions = context.run_udf(dataset=acquisition, udf=[SumUDF(), SumSigUDF()])
            part = matrix[:n]
            np.testing.assert_array_equal(total["intensity"].data.ravel(), np.asarray(part.sum(axis=0)).ravel())
            expected = np.asarray(part.sum(axis=1)).reshape(NAV)
            np.testing.assert_array_equal(of_positions["intensity"].data.reshape(NAV), expected)


def _opened(context, port):
    return context.make_connection("asi_tpx3").open(data_port=port, bytes_per_chunk=16384, chunks_per_stack=24)


def _sums(context, connection):
    """Sums of the next scan: of the detector, and of the positions."""
    from libertem.udf.sum import SumUDF
    from libertem.udf.sumsigudf import SumSigUDF

    pending = connection.wait_for_acquisition(30.0)
    assert pending is not None
    acquisition = context.make_acquisition(conn=connection, pending_aq=pending, frames_per_partition=16)
    total, of_positions = context.run_udf(dataset=acquisition, udf=[SumUDF(), SumSigUDF()])
    return total["intensity"].data, of_positions["intensity"].data


def test_a_scan_that_is_cancelled_and_the_next_acquisition(context):
    """A stream that ends in a scan, `AcquisitionEnd` in its middle, cancels it there; what follows is received."""
    from libertem.exceptions import UDFRunCancelled

    rows = _rows(5, dtype=np.uint16)
    content = [pack_frames(rows[a : a + NAV[1]], np.uint16) for a in range(0, len(rows), NAV[1])]
    start, end = [AcquisitionStart(*NAV, *SIG).pack(), ScanStart().pack()], [ScanEnd().pack(), AcquisitionEnd().pack()]
    with listener(parse_address("csr://connect@127.0.0.1:0", ("csr",))) as bound:
        bound.settimeout(60)
        sender = threading.Thread(target=_send, args=(bound, [*start, *content[:3], end[1], *start, *content, *end]))
        sender.start()
        with _opened(context, bound.getsockname()[1]) as connection:
            with pytest.raises(UDFRunCancelled):
                _sums(context, connection)
            total, of_positions = _sums(context, connection)
        sender.join(60)
    matrix = csr_array((rows.data.astype(np.int64), rows.indices, rows.indptr), shape=(len(rows), SIG[0] * SIG[1]))
    np.testing.assert_array_equal(total.ravel(), np.asarray(matrix.sum(axis=0)).ravel())
    np.testing.assert_array_equal(of_positions.ravel(), np.asarray(matrix.sum(axis=1)).ravel())


def _send(bound, parts):
    sock, _ = bound.accept()
    with sock:
        for part in parts:
            sock.sendall(part)
            time.sleep(0.01)
        time.sleep(5)  # a receiver that finds the line closed connects again


@pytest.mark.parametrize("n_scans", [2])
def test_each_scan_of_an_acquisition_is_received(context, n_scans):
    n = NAV[0] * NAV[1]
    rows = _rows(6, n * n_scans, np.uint8)
    source = MemorySource(CSRFrames((rows.data, rows.indices, rows.indptr), shape=(n_scans, *NAV, *SIG)))
    matrix = csr_array((rows.data.astype(np.int64), rows.indices, rows.indptr), shape=(len(rows), SIG[0] * SIG[1]))
    with CsrServer(source, chunk_bytes=5000, times=1) as server:
        with _opened(context, server.address.port) as connection:
            for scan in range(n_scans):
                total, of_positions = _sums(context, connection)
                part = matrix[scan * n : (scan + 1) * n]
                np.testing.assert_array_equal(total.ravel(), np.asarray(part.sum(axis=0)).ravel())
                np.testing.assert_array_equal(of_positions.ravel(), np.asarray(part.sum(axis=1)).ravel())


def test_a_recording_that_is_being_made_is_received(context, tmp_path):
    from rsciio_tpx3 import file_reader as read
    from rsciio_tpx3 import simulate
    from rsciio_tpx3.live import Replay, Session
    from rsciio_tpx3.live.csr_live_server import LiveCsrServer

    sent = tmp_path / "sent.tpx3"
    simulate.recording(sent, NAV, electrons_per_position=40, dwell_time="2 ms", seed=7)
    with Session("tcp://connect@127.0.0.1:0", tmp_path / "scan.tpx3", navigation_shape=NAV[::-1]) as session:
        with LiveCsrServer(session) as server, _opened(context, server.address.port) as connection:
            with Replay(sent, f"tcp://127.0.0.1:{session.recorder.address.port}", speed=None):
                total, of_positions = _sums(context, connection)
    whole = read(sent, lazy=False, show_progressbar=False, navigation_shape=NAV[::-1])[0]["data"].compute()
    np.testing.assert_array_equal(total, np.asarray(whole.sum(axis=(0, 1))))
    np.testing.assert_array_equal(of_positions.reshape(NAV), np.asarray(whole.sum(axis=(2, 3))))
