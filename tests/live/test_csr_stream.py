"""LiberTEM's CSR stream: byte for byte as it is written down, and both ways without loss."""

import json
import socket
import threading

import hyperspy.api as hs
import numpy as np
import pytest
from csr_messages import read_messages

import hyperspy_sparse
from rsciio_tpx3 import simulate
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.exceptions import FormatError, LimitError
from rsciio_tpx3.frames.memory_source import MemorySource
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
from rsciio_tpx3.raw_csr import file_reader

NAV, SIG = (5, 7), (13, 17)


def _dense(seed=0, n_scans=None, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    shape = (*NAV, *SIG) if n_scans is None else (n_scans, *NAV, *SIG)
    return (rng.poisson(0.1, shape) * (rng.random(shape) < 0.5)).astype(dtype)


def _load(path):
    return np.asarray(file_reader(path, lazy=False)[0]["data"])


def test_headers_are_these_bytes():
    start = AcquisitionStart(0x0201, 0x0403, 0x0605, 0x0807, sequence=0x0C0B0A09)
    assert start.pack() == bytes([0, 7, 0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 4, 9, 10, 11, 12]) + bytes(15)
    assert ScanStart(5, 9).pack() == bytes([1, 5, 0, 0, 0, 9]) + bytes(26)
    chunk = ArrayChunk(2, 3, 4, 16, 32)
    assert chunk.pack() == bytes([2, 2, 3, 0, 0, 0, 4, 0, 0, 0, 16, 0, 0, 0, 32]) + bytes(17)
    assert ScanEnd(6).pack() == bytes([3, 6]) + bytes(30)
    assert AcquisitionEnd(6).pack() == bytes([4, 6]) + bytes(30)
    for header in (start, ScanStart(5, 9), chunk, ScanEnd(6), AcquisitionEnd(6)):
        assert type(header).unpack(header.pack()) == header


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("n_scans", [None, 3])
def test_what_is_served_is_recorded(tmp_path, dtype, n_scans):
    dense = _dense(1, n_scans, dtype)
    with CsrServer(MemorySource.from_dense(dense), chunk_bytes=300, times=1) as server:
        to = f"csr://127.0.0.1:{server.address.port}"
        chunks = []
        files = record_csr(to, tmp_path / "scan.toml", scans=None, wait=20, look=lambda *about: chunks.append(about))
        assert server.wait(20)
    assert (server.sent, server.error) == (1, None)
    np.testing.assert_array_equal(np.stack([_load(file) for file in files]).reshape(dense.shape), dense)
    assert len(chunks) > 5 * (n_scans or 1)
    assert _load(files[0]).dtype == dtype


def _served(content):
    """A server that sends these bytes and ends."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        sock, _ = server.accept()
        with sock, server:
            sock.sendall(content)

    threading.Thread(target=serve, daemon=True).start()
    return f"csr://127.0.0.1:{server.getsockname()[1]}"


def _stream(dense, metadata=b"", pad=0, **codes):
    """A stream by hand, with padding and any types."""
    start = AcquisitionStart(*NAV, *SIG, **codes)
    parts = [start.pack(), ScanStart(0, len(metadata)).pack(), metadata]
    types = {2: "<u1", 3: "<u2", 4: "<u4", 5: "<u8"}
    for line in dense:
        frames = (
            CSRFrames.from_dense(line)
            if hasattr(CSRFrames, "from_dense")
            else MemorySource.from_dense(line).frames(0, NAV[1])
        )
        indptr = frames.indptr.astype(types[start.indptr]).tobytes() + bytes(pad)
        indices = frames.indices.astype(types[start.indices]).tobytes() + bytes(pad)
        header = ArrayChunk(4, NAV[1], len(frames.indices), len(indptr), len(indptr) + len(indices))
        parts += [header.pack(), indptr, indices, frames.data.astype("<u4").tobytes()]
    return b"".join([*parts, ScanEnd().pack(), AcquisitionEnd().pack()])


@pytest.mark.parametrize(
    "codes", [{"indptr": 4, "indices": 4}, {"indptr": 3, "indices": 2}, {"indptr": 5, "indices": 5}]
)
@pytest.mark.parametrize("pad", [0, 3])
def test_any_types_padding_and_metadata_are_taken(tmp_path, codes, pad):
    dense = _dense(2)
    metadata = json.dumps({"microscope": "x" * 70_000, "dwell": 3}).encode()
    files = record_csr(_served(_stream(dense, metadata, pad, **codes)), tmp_path / "scan.toml", wait=20)
    signal = file_reader(files[0], lazy=False)[0]
    np.testing.assert_array_equal(np.asarray(signal["data"]), dense)
    original = signal["original_metadata"]
    assert "x" * 100 in json.dumps(original)


def test_a_scan_that_is_lost_or_cancelled_has_empty_positions(tmp_path, caplog):
    dense = _dense(3)
    content = _stream(dense)
    files = record_csr(_served(content[: len(content) // 2]), tmp_path / "lost.toml", wait=20)
    lost = _load(files[0]).reshape(dense.shape)
    assert 0 < lost.sum() < dense.sum()
    assert "positions came; the others are empty" in caplog.text
    whole = lost.any(axis=(-1, -2))
    np.testing.assert_array_equal(lost[whole], dense[whole])
    cancelled = content[: content.index(ScanEnd().pack(), len(content) - 64)] + AcquisitionEnd().pack()
    np.testing.assert_array_equal(_load(record_csr(_served(cancelled), tmp_path / "c.toml", wait=20)[0]), dense)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes([9]) + bytes(31), "byte 0 .*9 is not a header's number"),
        (ScanStart().pack(), "ScanStart comes before the acquisition"),
        (AcquisitionStart(*NAV, *SIG).pack() + ScanEnd().pack(), "byte 32 .*before the scan"),
        (AcquisitionStart(*NAV, *SIG, indptr=1).pack(), "types 1 and 4"),
        (AcquisitionStart(*NAV, 0, 5).pack(), "a side of 0"),
        (AcquisitionStart(*NAV, *SIG, format=7).pack(), "format 7"),
        (AcquisitionStart(*NAV, *SIG).pack() + ScanStart(0, 3).pack() + b"{x}", "not JSON"),
        (AcquisitionStart(*NAV, *SIG).pack() + ScanStart().pack() + ArrayChunk(2, 3, 4, 8, 9).pack(), "overlap"),
    ],
)
def test_another_stream_is_refused_with_its_place(content, message):
    with pytest.raises(FormatError, match=message):
        read_messages(content)


def test_lengths_that_fill_the_memory_and_entries_outside_are_refused():
    start = AcquisitionStart(*NAV, *SIG)
    with pytest.raises(LimitError, match="more than the"):
        read_messages(start.pack() + ScanStart(0, 1 << 40).pack())
    payload = np.array([0, 1], "<u4").tobytes() + np.array([13 * 17], "<u4").tobytes() + b"\1"
    with pytest.raises(FormatError, match="entry at pixel 221; the detector has 221"):
        received_frames(ArrayChunk(2, 1, 1, 8, 12), payload, start)
    payload = np.array([1, 1], "<u4").tobytes() + np.array([3], "<u4").tobytes() + b"\1"
    with pytest.raises(FormatError, match="indptr does not go from 0"):
        received_frames(ArrayChunk(2, 1, 1, 8, 12), payload, start)
    with pytest.raises(EOFError):
        read_messages(start.pack()[:20])


def test_what_cannot_be_served_or_recorded_is_said(tmp_path):
    with pytest.raises(LimitError, match="values of type float"):
        CsrServer(MemorySource.from_dense(_dense().astype(np.float32)))
    with pytest.raises(LimitError, match=r"\(13, 17\)"):
        CsrServer(MemorySource.from_dense(_dense()[0, 0]))
    with CsrServer(MemorySource.from_dense(_dense(0) + np.uint8(1)), chunk_bytes=100) as server:
        record_csr(f"csr://127.0.0.1:{server.address.port}", tmp_path / "a.toml", wait=20)
        assert server.wait(20)
    assert "bytes_per_chunk * chunks_per_stack" in str(server.error)
    with pytest.raises(FileExistsError):
        record_csr("csr://127.0.0.1:1", tmp_path / "a.toml")
    assert len(pack_frames(MemorySource.from_dense(_dense()).frames(0, 2), np.dtype(np.uint8))) > 32


@pytest.mark.slow
def test_a_signal_is_served(tmp_path):
    simulate.recording(tmp_path / "scan.tpx3", NAV, electrons_per_position=30, dwell_time="5 us", n_frames=2)
    signal = hs.load(tmp_path / "scan.tpx3", navigation_shape=NAV[::-1], lazy=True, show_progressbar=False)
    with hyperspy_sparse.serve(signal, csr=0) as server:
        to = f"csr://127.0.0.1:{server.address.port}"
        files = record_csr(to, tmp_path / "scan.toml", scans=2, wait=20)
    both = np.stack([_load(file) for file in files])
    np.testing.assert_array_equal(both, np.asarray(signal.data.compute(scheduler="sync")))
