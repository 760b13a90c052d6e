"""LiberTEM-live itself at the other end: in an environment of its own, ``tests/environments/with_libertem_live``."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.memory_source import MemorySource
from rsciio_tpx3.live.csr_recorder import record_csr
from rsciio_tpx3.live.csr_server import CsrServer
from rsciio_tpx3.live.csr_stream import ArrayChunk, pack_frames, read_stream, received_frames
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


def _read(content):
    view = memoryview(content)

    def receive(n):
        nonlocal view
        found, view = bytes(view[:n]), view[n:]
        return found

    return list(read_stream(receive))


def test_bytes_are_those_of_their_own_writer():
    rows = _rows()
    content, start, at = _sim(rows), None, 0
    packed = []
    for header, payload in _read(content):
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
